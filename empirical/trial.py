"""A network or a null of a recipe: trained, watched, judged, and where its files are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskgraph.empirical.config import TrainConfig, resolve_device
from maskgraph.empirical.curve import Curve
from maskgraph.empirical.divergence import TrainingDivergedError
from maskgraph.empirical.group import Group
from maskgraph.empirical.judge import Judged, Labels, judge_features, judge_network
from maskgraph.empirical.parts import Parts
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.probes import Labelled, knn_probe
from maskgraph.empirical.readout import pixel_vectors, whole_features
from maskgraph.empirical.recipe import Recipe, fine_tuning
from maskgraph.empirical.spectra import gaussian_null
from maskgraph.empirical.state import LAM, RECONSTRUCTION
from maskgraph.empirical.stream import take
from maskgraph.empirical.streams import Use
from maskgraph.empirical.train import TrainedModel, architecture, train, untrained
from maskgraph.graphs.masks import MaskDistribution

CURVE_IMAGES = 5000
"""Most images that the curve's probe is fitted on, and asked about."""


@dataclass(frozen=True)
class Files:
    """Where a network or a null keeps what it leaves.

    Attributes:
        directory: of the run.
        name: of the network or null in it.
    """

    directory: Path
    name: str

    @property
    def checkpoint(self) -> Path:
        """Of training."""
        return self.directory / "models" / f"{self.name}.safetensors"

    @property
    def tuned(self) -> Path:
        """The checkpoint of fine-tuning, for as long as it goes on."""
        return self.directory / "models" / f".fine-tune-{self.name}.safetensors"

    @property
    def curve(self) -> Path:
        """Losses and a probe while it trains."""
        return self.directory / "curves" / f"{self.name}.json"

    @property
    def events(self) -> Path:
        """The same for TensorBoard."""
        return self.directory / "events" / self.name

    @property
    def predictions(self) -> Path:
        """The class of every test image by each readout."""
        return self.directory / "predictions" / f"{self.name}.npz"

    @property
    def record(self) -> Path:
        """Scores, layers, collapse; written last."""
        return self.directory / "records" / f"{self.name}.json"


def network(
    recipe: Recipe,
    config: TrainConfig,
    files: Files,
    parts: Parts,
    group: Group,
    tell: Callable[[], None] | None,
) -> Judged | None:
    """Train a network of a recipe, or go on with it, and judge it.

    Args:
        recipe: says how it is judged.
        config: how it is trained.
        files: its own.
        parts: the data.
        group: the processes that do it together.
        tell: called by the first of them when there is a point of the curve or a checkpoint of fine-tuning.

    Returns:
        what there is to say, in the first process; None in the others.

    Raises:
        InputError: see `train` and `judge_network`.
        TrainingDivergedError: likewise.
    """
    curve = Curve(files.curve, files.events)
    batches = -(-len(parts.train.labels) // config.batch)

    def watch(trained: TrainedModel, steps: int) -> None:
        if group.rank > 0 or len(trained.losses) in curve:
            return
        curve.add(trained, len(trained.losses) / batches, steps, {"knn": _validation_knn(trained, parts)})
        if tell is not None:
            tell()

    trained = train(parts.train, config, files.checkpoint, watch, batches * recipe.judge.every, group)
    curve.close()
    # Judging needs the memory.
    trained.model.zero_grad(set_to_none=True)
    masks, how = _masks(recipe, trained), fine_tuning(recipe.judge, config)
    try:
        judged = judge_network(trained.model, parts, recipe.judge, masks, config.seed, how, files.tuned, group, tell)
    except TrainingDivergedError as error:
        raise TrainingDivergedError(f"{files.name}: {error}") from error
    return judged and _told(
        judged,
        recipe,
        config.method,
        config.seed,
        steps=len(trained.losses),
        final_reconstruction=float(np.mean(trained.losses[-batches:, RECONSTRUCTION])),
        lam=float(trained.losses[-1, LAM]),
        train_cpu_seconds=trained.seconds,
    )


def _validation_knn(trained: TrainedModel, parts: Parts) -> float:
    """Accuracy of nearest neighbours on validation images, by the mean of the tokens of whole images."""
    known, asked = (
        take(part, np.random.default_rng(0).permutation(len(part.labels))[:CURVE_IMAGES])
        for part in (parts.train, parts.validation)
    )
    x, test = (whole_features(trained.model, part, ["mean"])["mean"] for part in (known, asked))
    weights = np.full(len(x), 1 / len(x))
    return float((knn_probe(Labelled(x, known.labels, weights), test) == asked.labels).mean())


def null(recipe: Recipe, name: str, parts: Parts, group: Group) -> Judged | None:
    """What pixels, a random network, or features of nothing score; None where another process says so.

    Args:
        recipe: says how they are judged.
        name: pixels, gaussian or random-FAMILY, and -sSEED.
        parts: the data.
        group: the processes that judge a random network together; the first does all else.
    """
    method, _, number = name.rpartition("-s")
    seed, labels = int(number), Labels.of(parts)
    if method in ("pixels", "gaussian") and group.rank > 0:
        return None
    if method == "pixels":
        three = [
            pixel_vectors(part) for part in (parts.train, parts.validation, parts.test) if isinstance(part, Pixels)
        ]
        judged = judge_features((three[0], three[1], three[2]), None, labels, recipe.judge, seed)
    elif method == "gaussian":
        dim = architecture(parts.train, recipe.runs()[0]).dim
        counts = (len(labels.train), len(labels.validation), len(labels.test))
        x = np.random.default_rng([seed, Use.NULL_FEATURES]).normal(size=(sum(counts), dim))
        first, second, third = np.split(x, np.cumsum(counts)[:2])
        views = gaussian_null((min(recipe.judge.images, counts[2]), recipe.judge.views, dim), seed)
        judged = judge_features((first, second, third), views, labels, recipe.judge, seed)
    else:
        family = method.removeprefix("random-")
        config = next(config for config in recipe.runs() if config.family == family and config.seed == seed)
        network = untrained(parts.train, config)
        model = network.model.to(resolve_device(config.device))
        found = judge_network(model, parts, recipe.judge, _masks(recipe, network), seed, group=group)
        if found is None:
            return None
        judged = found
    return _told(judged, recipe, method, seed)


def _masks(recipe: Recipe, trained: TrainedModel) -> MaskDistribution:
    return recipe.train.masks(trained.model.config.grid)


def _told(judged: Judged, recipe: Recipe, method: str, seed: int, **more: object) -> Judged:
    record = {"dataset": recipe.data.dataset, "method": method, "seed": seed, **more, **judged.record}
    return Judged(record, judged.predicted)
