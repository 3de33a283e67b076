"""How good a network is: what its features tell of the class of test images, and how far they have collapsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskgraph.empirical import spectra
from maskgraph.empirical.classifier import predictions
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.group import Group
from maskgraph.empirical.intervals import accuracy_interval, seeds_interval, within_unit
from maskgraph.empirical.linear_probe import SgdProbe, ridge_probe, sgd_probe
from maskgraph.empirical.model import FeatureKind, MaskedModel
from maskgraph.empirical.parts import Parts
from maskgraph.empirical.probes import Labelled, few_shot_probe, knn_probe
from maskgraph.empirical.readout import Features, layer_features, view_features, whole_features
from maskgraph.empirical.recipe import JudgePlan
from maskgraph.empirical.stream import take
from maskgraph.empirical.streams import Use
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.masks import MaskDistribution

Classes = NDArray[np.int64]

SHUFFLED = "shuffled-labels"
"""The readout that is a null: ridge on labels that were dealt out anew."""


ANY = "features"
"""The kind of features that no network gave: they stand beside those of every kind."""


@dataclass(frozen=True)
class Judged:
    """What there is to say of a network or of a null.

    Attributes:
        record: `scores` by readout, each with its interval; `layers` by feature; `collapse` by feature.
        predicted: for each readout the class of every test image, (N,) int64, or (draws, N).
    """

    record: dict[str, Any]
    predicted: dict[str, Classes]


@dataclass(frozen=True)
class Labels:
    """The classes of the three parts of a dataset.

    Attributes:
        train: (N,) int64.
        validation: likewise.
        test: likewise.
    """

    train: Classes
    validation: Classes
    test: Classes

    @classmethod
    def of(cls, parts: Parts) -> Labels:
        """Those of a dataset."""
        return cls(parts.train.labels, parts.validation.labels, parts.test.labels)


Three = tuple[Features, Features, Features]
"""Features of the images of train, validation and test."""


def judge_network(
    model: MaskedModel,
    parts: Parts,
    plan: JudgePlan,
    masks: MaskDistribution,
    seed: int,
    how: FineTune | None = None,
    tuned: Path | None = None,
    group: Group | None = None,
    watch: Callable[[], None] | None = None,
) -> Judged | None:
    """Every readout that is asked for and every measure of collapse.

    Probes are fitted on train and validation together, but for what ridge chooses on validation; networks and
    fine-tuning see train alone; scores are of test.

    Args:
        model: in evaluation mode, on any device.
        parts: the dataset, cut into the patches of the model.
        plan: what is asked for, but for fine-tuning.
        masks: of the views that collapse is measured on.
        seed: of few-shot draws, of probes that are trained and of masks.
        how: how it is fine-tuned; None: it is not.
        tuned: checkpoint of fine-tuning.
        group: the processes that read features and fine-tune together; the first does all else. None: this one alone.
        watch: called by the first process after each checkpoint of fine-tuning.

    Returns:
        in the first process what there is to say, in others None.

    Raises:
        RankLostError: another process has ended.
    """
    labels, kinds, group = Labels.of(parts), model.features, group or Group()
    three_parts = (parts.train, parts.validation, parts.test)
    # First what all do together: others need not wait for the probes of the first.
    classified: dict[str, Classes] = {}
    if how is not None:
        classes = int(labels.train.max()) + 1
        # It is not kept.
        classifier = fine_tune(model, parts.train, classes, how, tuned, group, watch)
        classified = {f"{how.feature}.fine-tune": predictions(classifier, parts.test, group)}
    read = [whole_features(model, part, kinds, group) for part in three_parts]
    layers = [layer_features(model, part, group) for part in three_parts] if plan.layers else []
    if group.rank > 0:
        return None
    device = next(model.parameters()).device
    predicted: dict[str, Classes] = {}
    regularisers: dict[str, float] = {}
    for kind in kinds:
        three = (read[0][kind], read[1][kind], read[2][kind])
        found, chosen = probed(three, labels, plan, seed, device)
        predicted |= {f"{kind}.{name}": classes for name, classes in found.items()}
        regularisers |= {f"{kind}.{name}": value for name, value in chosen.items()}
    predicted |= classified
    record = {
        "scores": scored(predicted, labels.test),
        "regularisers": regularisers,
        "layers": _layers(layers, labels),
        "collapse": _collapse(model, parts, plan, masks, seed),
    }
    return Judged(record, predicted)


def judge_features(three: Three, views: Features | None, labels: Labels, plan: JudgePlan, seed: int) -> Judged:
    """The same of features that no network gave: of the pixels themselves, or of nothing at all.

    Args:
        three: (N, D) of train, validation and test.
        views: (N, q, D) to measure collapse on; None: it is not measured.
        labels: of the three.
        plan: what is asked for; there is nothing to fine-tune and there are no layers.
        seed: of few-shot draws and of probes that are trained.
    """
    found, chosen = probed(three, labels, plan, seed, torch.device("cpu"))
    predicted = {f"{ANY}.{name}": classes for name, classes in found.items()}
    record = {
        "scores": scored(predicted, labels.test),
        "regularisers": {f"{ANY}.{name}": value for name, value in chosen.items()},
        "layers": {},
        "collapse": {} if views is None else {ANY: measured(views, views)},
    }
    return Judged(record, predicted)


def probed(
    three: Three, labels: Labels, plan: JudgePlan, seed: int, device: torch.device
) -> tuple[dict[str, Classes], dict[str, float]]:
    """The classes of the test images by each probe, and the regularisers that were chosen."""
    train, validation = (_equal(x, y) for x, y in zip(three[:2], (labels.train, labels.validation), strict=True))
    both = _equal(np.concatenate(three[:2]), np.concatenate([labels.train, labels.validation]))
    answers: dict[str, Callable[[], Classes]] = {
        "sgd": lambda: sgd_probe(both, three[2], SgdProbe(seed=seed), device),
        "knn": lambda: knn_probe(both, three[2]),
        "few-shot": lambda: few_shot_probe(both, three[2], seed),
    }
    found: dict[str, Classes] = {name: answer() for name, answer in answers.items() if name in plan.probes}
    if "ridge" not in plan.probes:
        return found, {}
    ridge = ridge_probe(train, validation, three[2])
    deal = np.random.default_rng([seed, Use.SHUFFLED]).permutation
    shuffled = ridge_probe(_equal(train.x, deal(train.y)), _equal(validation.x, deal(validation.y)), three[2])
    return {"ridge": ridge.predicted, **found, SHUFFLED: shuffled.predicted}, {"ridge": ridge.regulariser}


def scored(predicted: dict[str, Classes], labels: Classes) -> dict[str, dict[str, float]]:
    """Accuracy and its 95 % interval by readout.

    Over the draw of the test images (Wilson); for few-shot, which is a mean over draws of the labels, over those
    (Student); either within [0, 1].
    """
    found = {}
    for name, classes in predicted.items():
        correct = classes == labels
        by_draw = correct.mean(axis=1).tolist() if correct.ndim > 1 else None
        low, high = within_unit(seeds_interval(by_draw)) if by_draw else accuracy_interval(correct)
        found[name] = {"accuracy": float(correct.mean()), "low": low, "high": high}
    return found


def measured(views: Features, crossed: Features) -> dict[str, Any]:
    """Every measure of collapse, what N and D alone impose on each, and the singular values.

    Args:
        views: (N, q, D), every view under a mask of its own.
        crossed: (N, q, D), every image under the same q masks.
    """
    unit = spectra.unit(views[:, 0])
    return {
        **spectra.collapse_report(views, crossed),
        "bounds": {name: list(pair) for name, pair in spectra.bounds(len(views), views.shape[2]).items()},
        "images": len(views),
        "dimension": views.shape[2],
        "singular_values": np.linalg.svd(unit, compute_uv=False).tolist(),
    }


def _equal(x: Features, y: Classes) -> Labelled:
    return Labelled(x, y, np.full(len(y), 1 / len(y)))


def _layers(read: list[dict[FeatureKind, list[Features]]], labels: Labels) -> dict[FeatureKind, list[dict[str, float]]]:
    """Scores of ridge by feature and block, from those of train, validation and test; none of nothing."""
    found: dict[FeatureKind, list[dict[str, float]]] = {}
    for kind in read[0] if read else {}:
        found[kind] = []
        for train, validation, test in zip(*(one[kind] for one in read), strict=True):
            ridge = ridge_probe(_equal(train, labels.train), _equal(validation, labels.validation), test)
            found[kind].append(scored({"ridge": ridge.predicted}, labels.test)["ridge"])
    return found


def _collapse(
    model: MaskedModel, parts: Parts, plan: JudgePlan, masks: MaskDistribution, seed: int
) -> dict[FeatureKind, dict[str, Any]]:
    rows = np.random.default_rng([seed, Use.MEASURED]).permutation(len(parts.test.labels))[: plan.images]
    images = take(parts.test, np.sort(rows))
    views, crossed = (
        view_features(model, images, masks, plan.views, seed, model.features, crossed) for crossed in (False, True)
    )
    return {kind: measured(views[kind], crossed[kind]) for kind in model.features}
