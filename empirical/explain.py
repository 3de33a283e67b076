"""What a study has to say of a graph, a model or a baseline: bounds, measurements, probes, theorem checks."""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.config import Method, TrainConfig
from maskgraph.empirical.measure import measure_features
from maskgraph.empirical.on_graph import as_trained, on_graph
from maskgraph.empirical.plan import Plan
from maskgraph.empirical.probes import Labelled, full_features, pixel_features, probe
from maskgraph.empirical.state import LAM, RECONSTRUCTION
from maskgraph.empirical.streams import Use
from maskgraph.empirical.train import TrainedModel, train, untrained
from maskgraph.graphs.augmentation import Hop
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import check_type
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.source import Split
from maskgraph.graphs.views import View
from maskgraph.theory.answer import answer
from maskgraph.theory.draws import draws
from maskgraph.theory.statements import STATEMENTS

NULLS = 3
"""Draws of Gaussian features on a graph: a mean over every view of it hardly differs between two."""


def study_graph(images: CodedImages, plan: Plan, ratio: float, view: View, draw: int = 0) -> MaskGraph:
    """The mask graph of a study at one ratio and view, its targets those that the models are trained on.

    Args:
        images: of the training part.
        plan: the study.
        ratio: ρ.
        view: when two views are one vertex.
        draw: which draw of the masks; models are measured under the first.
    """
    distribution = mask_distribution(plan.graph.mask, images.grid, ratio, plan.graph.mask_unit)
    graph = mask_graph(images, mask_set(distribution, plan.graph.max_masks, plan.source.seed + draw), view)
    return as_trained(graph, target=plan.train.target)


def bound(plan: Plan, images: CodedImages, view: View, hop: Hop, ratio: float) -> dict[str, Any]:
    """The theory of one graph of the training images of a study, as `bounds/*.json` has it."""
    graph = study_graph(images, plan, ratio, view)
    # Features of so many views span no more dimensions.
    dim = min(_dim(plan, graph), len(graph.p1))
    found = answer(graph, ratio, dim, hop, seed=plan.source.seed)
    if plan.graph.draws > 1 and not graph.masks.exhaustive:
        # One at a time: a graph may be a good part of the memory.
        others = (study_graph(images, plan, ratio, view, draw) for draw in range(1, plan.graph.draws))
        answers = [found, *(answer(other, ratio, min(dim, len(other.p1)), hop) for other in others)]
        seeds = range(plan.source.seed, plan.source.seed + plan.graph.draws)
        found["draws"] = draws(answers, seeds, ["masks"])
    record = {"dataset": images.name, "view": view, "hop": hop, "seed": plan.source.seed, **found}
    # Models are measured on the graphs of their own view, on the target hop: elsewhere nothing stands beside it.
    if (view, hop) == (plan.train.view, "target"):
        record["gaussian"] = gaussian(graph, _null_dim(plan, graph), plan.source.seed)
    return record


def gaussian(graph: MaskGraph, dim: int, seed: int) -> dict[str, Any]:
    """What `measure_features` says of features that know nothing: independent standard normal ones, one a view.

    Args:
        graph: the graph.
        dim: D of the (N1, D) features.
        seed: of the draws.

    Returns:
        `draws`, `dim`, and of each number its `mean` and `sd` over the draws.
    """
    found: dict[str, list[float]] = {}
    for draw in range(NULLS):
        rng = np.random.default_rng([seed, Use.NULL_ON_GRAPH, draw])
        measured = measure_features(graph, {"cls": rng.standard_normal((len(graph.p1), dim))})
        for name, value in measured.items():
            # The singular values are left out: RankMe and L_unif tell of them.
            if isinstance(value, float):
                found.setdefault(name.removeprefix("cls."), []).append(value)
    spread = {name: {"mean": statistics.fmean(x), "sd": statistics.stdev(x)} for name, x in found.items()}
    return {"draws": NULLS, "dim": dim, **spread}


def _null_dim(plan: Plan, graph: MaskGraph) -> int:
    """Of the feature whose probes speak for a study (see `probed_feature`), the same for all methods."""
    config = plan.runs()[0]
    return _feature_dim(dataclasses.replace(config, feature="cls") if config.feature == "tokens" else config, graph)


def _dim(plan: Plan, graph: MaskGraph) -> int:
    """Of the trained feature, the largest of all methods: what bounds that one bounds the others."""
    return max(_feature_dim(config, graph) for config in plan.runs())


def _feature_dim(config: TrainConfig, graph: MaskGraph) -> int:
    model = config.model(graph.images.grid, graph.target_values.shape[1])
    if config.feature == "tokens":
        shown = graph.masks.kept.shape[1] if model.family == "mae" else graph.images.patches
        return (1 + shown) * model.dim
    return model.bottleneck if config.feature == "bottleneck" and model.bottleneck else model.dim


def trained_model(plan: Plan, split: Split, config: TrainConfig, path: Path) -> dict[str, Any]:
    """The record of a model that is trained at `path` (see `train`), measured and probed."""
    trained = train(split.train, config, path)
    return {
        **_identity(split, config.method, config.seed),
        "mask_ratio": config.mask_ratio,
        "lam": _trained_lam(trained),
        "feature": config.feature,
        "train_cpu_seconds": trained.seconds,
        "steps": len(trained.losses),
        "final_reconstruction": float(np.mean(trained.losses[-100:, RECONSTRUCTION])),
        **judge(trained, study_graph(split.train, plan, config.mask_ratio, config.view)),
        **_network_probes(trained, split),
    }


def judge(trained: TrainedModel, graph: MaskGraph) -> dict[str, Any]:
    """Measurements and theorem checks of a model on a graph of its own view; `checks` holds the ledger's rows.

    Raises:
        InputError: no model of a training, or one that does not fit the graph.
    """
    check_type(
        trained,
        TrainedModel,
        "a record tells of its training; any other network goes to on_graph(network, graph) of "
        "maskgraph.empirical.on_graph",
    )
    feature = trained.config.feature
    found = on_graph(trained.model, graph, feature)
    L, lam = found.numbers[f"{feature}.lipschitz"], _theory_lambda(trained, graph)
    assert isinstance(L, float)
    return {
        **found.numbers,
        # Without uniformity it is 0 whatever L, which may be infinite.
        "four_L_lambda": 4 * L * lam if lam else 0.0,
        "checks": [one.measure(found.terms).as_dict() for one in STATEMENTS],
    }


def _theory_lambda(trained: TrainedModel, graph: MaskGraph) -> float:
    """λ of the theory, whose L_MAE sums over the d target values that training takes the mean of."""
    return int(graph.X2.shape[1]) * _trained_lam(trained)


def _trained_lam(trained: TrainedModel) -> float:
    """The weight of uniformity in the last step; 0 where it is not trained for."""
    if not trained.config.uniform:
        return 0.0
    if isinstance(trained.config.lam, float):
        return trained.config.lam
    return float(trained.losses[-1, LAM]) if len(trained.losses) else 0.0


def raw_pixels(split: Split) -> dict[str, Any]:
    """The record of images as they are; without scores where they are codes from the beginning.

    `copies` are held-out images that equal a training image: what a probe makes of them it may have by heart.
    """
    record = {**_identity(split, "raw-pixels", 0), "checks": []}
    if split.train_pixels is None or split.test_pixels is None:
        return record
    known = {_digest(row) for row in split.train_pixels}
    copies = sum(_digest(row) in known for row in split.test_pixels)
    return {**record, "copies": copies, **_scores(split, "pixels", split.train_pixels, split.test_pixels, 0)}


def _digest(row: NDArray[np.float64]) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


def coded_pixels(split: Split) -> dict[str, Any]:
    """The record of images as models see them."""
    scores = _scores(split, "pixels", pixel_features(split.train), pixel_features(split.test), 0)
    return {**_identity(split, "coded-pixels", 0), "checks": [], **scores}


def majority_class(split: Split) -> dict[str, Any]:
    """The record of guessing the class that most training images have: what features that tell nothing come to."""
    largest = np.bincount(split.train.labels, split.train.weights).argmax()
    right = float(split.test.weights[split.test.labels == largest].sum() / split.test.weights.sum())
    return {**_identity(split, "majority-class", 0), "checks": [], "accuracy": right}


def random_network(plan: Plan, split: Split, seed: int) -> dict[str, Any]:
    """The record of a network before its first step."""
    probes = _network_probes(untrained(split.train, random_config(plan, seed)), split)
    return {**_identity(split, "random-network", seed), "checks": [], **probes}


def random_config(plan: Plan, seed: int) -> TrainConfig:
    """How a random network is made: of the architecture that is trained, MAE's where there are both."""
    return dataclasses.replace(plan.train, method=min(plan.methods, key=get_args(Method).index), seed=seed)


def _identity(split: Split, method: str, seed: int) -> dict[str, Any]:
    probed = {"fitted_images": len(split.train.labels), "scored_images": len(split.test.labels)}
    return {"dataset": split.train.name, "method": method, "seed": seed, "mask_ratio": None, **probed}


def _network_probes(trained: TrainedModel, split: Split) -> dict[str, float]:
    model, view, seed = trained.model, trained.config.view, trained.config.seed
    known, held_out = (full_features(model, images, view, model.features) for images in (split.train, split.test))
    scores = (_scores(split, kind, known[kind], held_out[kind], seed) for kind in model.features)
    return {name: value for of_kind in scores for name, value in of_kind.items()}


def _scores(
    split: Split, prefix: str, train: NDArray[np.float64], test: NDArray[np.float64], seed: int
) -> dict[str, float]:
    known = Labelled(train, split.train.labels, split.train.weights)
    scores = probe(known, Labelled(test, split.test.labels, split.test.weights), seed)
    return {f"{prefix}.{name}": value for name, value in dataclasses.asdict(scores).items()}
