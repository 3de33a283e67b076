"""Judging: every probe asked and scored as if alone, parts never mixed, nulls at chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maskgraph.empirical import judge, spectra
from maskgraph.empirical.classifier import predictions
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.intervals import accuracy_interval, seeds_interval
from maskgraph.empirical.judge import ANY, SHUFFLED, Labels, judge_features, judge_network, probed, scored
from maskgraph.empirical.linear_probe import SgdProbe, ridge_probe, sgd_probe
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.parts import Parts
from maskgraph.empirical.probes import DRAWS, Labelled, few_shot_probe, knn_probe
from maskgraph.empirical.readout import view_features
from maskgraph.empirical.recipe import JudgePlan
from maskgraph.empirical.stream import take
from maskgraph.empirical.streams import Use
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.masks import mask_distribution
from tests.empirical.toys import pixels

CPU = torch.device("cpu")
SHORT = {"epochs": 2, "warmup": 1}
"""Of the 90 epochs that the published probe is trained for: what it learns has its own tests."""

ALL = JudgePlan(probes=("ridge", "sgd", "knn", "few-shot"))
COUNTS = (150, 60, 200)

SINGULAR = 1e-7
"""Of singular values of ten unit vectors by way of their squares: the root of 10·2⁻⁵², rounded up."""


def planted(seed: int, apart: float = 2.0) -> tuple[tuple[NDArray[np.float64], ...], Labels]:
    """Features of four classes in three parts, whose means are `apart` of their spread from the origin."""
    rng = np.random.default_rng(seed)
    means = apart * np.eye(4, 6)
    labels = [np.concatenate([np.arange(4), rng.integers(4, size=count - 4)]) for count in COUNTS]
    return tuple(means[y] + rng.normal(size=(len(y), 6)) for y in labels), Labels(*labels)


def equal(x: NDArray[np.float64], y: NDArray[np.int64]) -> Labelled:
    return Labelled(x, y, np.full(len(y), 1 / len(y)))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[SgdProbe]:
    """What the published probe is asked for, each time; it answers after `SHORT` of that."""
    noted: list[SgdProbe] = []

    def short(train: Labelled, test: NDArray[np.float64], how: SgdProbe, device: torch.device) -> NDArray[np.int64]:
        noted.append(how)
        return sgd_probe(train, test, dataclasses.replace(how, **SHORT), device)

    monkeypatch.setattr(judge, "sgd_probe", short)
    return noted


def test_every_probe_answers_as_if_it_were_asked_alone(asked: list[SgdProbe]) -> None:
    (train, validation, test), labels = planted(0)
    found, chosen = probed((train, validation, test), labels, ALL, 7, CPU)
    both = equal(np.concatenate([train, validation]), np.concatenate([labels.train, labels.validation]))
    ridge = ridge_probe(equal(train, labels.train), equal(validation, labels.validation), test)
    np.testing.assert_array_equal(found["ridge"], ridge.predicted)
    assert chosen == {"ridge": ridge.regulariser}
    np.testing.assert_array_equal(found["knn"], knn_probe(both, test))
    assert asked == [SgdProbe(seed=7)]
    np.testing.assert_array_equal(found["sgd"], sgd_probe(both, test, SgdProbe(seed=7, **SHORT)))
    np.testing.assert_array_equal(found["few-shot"], few_shot_probe(both, test, 7))
    assert found["few-shot"].shape == (DRAWS, COUNTS[2])
    deal = np.random.default_rng([7, Use.SHUFFLED]).permutation
    dealt = (equal(x, deal(y)) for x, y in ((train, labels.train), (validation, labels.validation)))
    np.testing.assert_array_equal(found[SHUFFLED], ridge_probe(next(dealt), next(dealt), test).predicted)
    some, _ = probed((train, validation, test), labels, JudgePlan(probes=("knn",)), 7, CPU)
    assert list(some) == ["knn"]
    assert len(asked) == 1


@pytest.mark.usefixtures("asked")
def test_no_probe_sees_a_label_of_the_test_images() -> None:
    three, labels = planted(1)
    other = dataclasses.replace(labels, test=(labels.test + 1) % 4)
    before, after = (probed((three[0], three[1], three[2]), one, ALL, 0, CPU)[0] for one in (labels, other))
    for name, classes in before.items():
        np.testing.assert_array_equal(classes, after[name])


def test_shuffled_labels_score_what_chance_does() -> None:
    three, labels = planted(2, apart=6.0)
    plan = JudgePlan(probes=("ridge",))
    scores = judge_features((three[0], three[1], three[2]), None, labels, plan, 0).record["scores"]
    assert scores[f"{ANY}.ridge"]["accuracy"] > 0.97
    # A quarter of 200, standard deviation 3.1 %; four of them, and the largest class of a few more images.
    assert scores[f"{ANY}.{SHUFFLED}"]["accuracy"] < 0.25 + 4 * 0.031


@pytest.mark.usefixtures("asked")
def test_scores_come_with_the_interval_of_what_was_drawn() -> None:
    three, labels = planted(3)
    judged = judge_features((three[0], three[1], three[2]), None, labels, ALL, 0)
    assert judged.record["layers"] == judged.record["collapse"] == {}
    for name, score in judged.record["scores"].items():
        correct = judged.predicted[name] == labels.test
        assert score["accuracy"] == pytest.approx(correct.mean())
        few = name.endswith("few-shot")
        wanted = np.clip(seeds_interval(correct.mean(axis=1).tolist()), 0, 1) if few else accuracy_interval(correct)
        assert (score["low"], score["high"]) == pytest.approx(wanted)


def test_no_interval_leaves_what_accuracies_can_be() -> None:
    labels = np.array([0, 1, 2, 3])
    right = np.tile(labels, (4, 1))
    wrong = (right + 1) % 4
    right[3, 0], wrong[3, 0] = 1, 0
    high, low = (scored({"few": draws}, labels)["few"] for draws in (right, wrong))
    assert (high["accuracy"], high["high"]) == (15 / 16, 1)
    assert (low["accuracy"], low["low"]) == (1 / 16, 0)


def test_a_network_is_judged_by_its_features_blocks_and_views() -> None:
    images = pixels(count=60)
    parts = Parts(*(take(images, np.arange(start, stop)) for start, stop in ((0, 30), (30, 42), (42, 60))))
    model = build_model(model_config("micro", (2, 2), 48), 0).eval()
    plan = JudgePlan(probes=("ridge",), views=3, images=10)
    masks = mask_distribution("uniform", (2, 2), 0.5)
    how = FineTune(epochs=2, seed=5)
    judged = judge_network(model, parts, plan, masks, 5, how)
    assert judged is not None
    record = judged.record
    assert set(judged.predicted) == {"cls.ridge", f"cls.{SHUFFLED}", "mean.ridge", f"mean.{SHUFFLED}", "mean.fine-tune"}
    # The last block's tokens are normalised as those of the encoder: the same features.
    for kind in ("cls", "mean"):
        assert len(record["layers"][kind]) == model.config.depth
        assert record["layers"][kind][-1] == record["scores"][f"{kind}.ridge"]
    tuned = fine_tune(model, parts.train, 3, how)
    np.testing.assert_array_equal(judged.predicted["mean.fine-tune"], predictions(tuned, parts.test))
    chosen = np.sort(np.random.default_rng([5, 11]).permutation(18)[:10])
    views, crossed = (
        view_features(model, take(parts.test, chosen), masks, 3, 5, ["cls"], crossed)["cls"]
        for crossed in (False, True)
    )
    for name, value in spectra.collapse_report(views, crossed).items():
        assert record["collapse"]["cls"][name] == pytest.approx(value, nan_ok=True)
    first = views[:, 0] / np.linalg.norm(views[:, 0], axis=1, keepdims=True)
    singular = np.sqrt(np.linalg.eigvalsh(first @ first.T)[::-1])
    assert record["collapse"]["cls"]["singular_values"] == pytest.approx(singular, abs=SINGULAR)
    assert (record["collapse"]["cls"]["images"], record["collapse"]["cls"]["dimension"]) == (10, 64)
    assert record["collapse"]["cls"]["bounds"]["rankme"][1] == pytest.approx(10, rel=1e-4)
