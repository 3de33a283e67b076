"""A study, end to end: bounds of every graph, a model for every method, ratio and seed, each measured and probed.

A study lives in one directory, every file written atomically, so that it resumes where it was:

    study.json            the plan, versions and machine
    bounds/*.json         the theory of one graph
    models/*.safetensors  checkpoints
    records/*.json        one model or baseline: measurements, probes, theorem checks
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.claim import claim
from maskgraph.empirical.config import Method, TrainConfig, resolve_device
from maskgraph.empirical.data import coded_digest
from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.model import FeatureKind
from maskgraph.empirical.on_graph import as_trained, on_graph
from maskgraph.empirical.plan import Plan, plan_from, plan_table
from maskgraph.empirical.probes import Labelled, check_classes, full_features, pixel_features, probe
from maskgraph.empirical.records import write_json
from maskgraph.empirical.schedule import Piece, Report, side_by_side, undone
from maskgraph.empirical.stack import stacks
from maskgraph.empirical.state import LAM, RECONSTRUCTION
from maskgraph.empirical.train import TrainedModel, check_checkpoint, train, untrained
from maskgraph.empirical.train_stack import train_stack
from maskgraph.graphs.augmentation import Hop
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, check_plane
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import check_ratios, mask_distribution, mask_set
from maskgraph.graphs.source import Split, load_split
from maskgraph.graphs.views import View
from maskgraph.theory.answer import answer
from maskgraph.theory.ledger import ledger
from maskgraph.theory.risk import Floors

TRAINED, JUDGED = 12.0, 3.0
"""Roughly what training a model, and judging it, cost beside bounds or a baseline."""

GROWS = {
    *(("graph", key) for key in ("mask_ratios", "views", "hops")),
    *(("train", key) for key in ("methods", "seeds")),
}
"""What a study may be resumed with more of: bounds and models do not know of each other, but for the architectures."""


def run_name(config: TrainConfig) -> str:
    """The name under which a model's files are kept."""
    return f"{config.method}-r{config.mask_ratio}-s{config.seed}"


def run_study(plan: Plan, directory: Path, resume: bool, workers: int, report: Report) -> None:
    """Do whatever of a study is not done yet.

    Args:
        plan: the study.
        directory: where it lives.
        resume: whether the directory may hold a part of this very study already, or of one with fewer models or bounds.
        workers: processes of one thread each; models on a GPU share one process.
        report: told after each finished piece.

    Raises:
        InputError: a directory of another study, or one that exists while `resume` is false; data that
            cannot be loaded, has no patch values or is of one class.
        KeyboardInterrupt: passed on once running models have saved their checkpoints.
    """
    # What this process has read before may be other data by now.
    _cached_split.cache_clear()
    split = _split(plan)
    if split.train.codebook is None:
        raise InputError(f"{plan.source.name} has codes but no patch values to train on; add a codebook to the .npz")
    check_classes(plan.source.name, split.train.labels)
    check_plane(split.train, plan.graph.mask)
    device = resolve_device(plan.train.device)
    check_ratios(plan.graph.mask, split.train.grid, plan.graph.mask_ratios, plan.graph.mask_unit)

    def check() -> None:
        for config in plan.runs():
            check_checkpoint(_checkpoint(directory, config), split.train, config)
        _check_architectures(plan, directory / "study.json")

    # Of a stack every model's bits hang on the others.
    grows = GROWS if plan.stack == 1 else ()
    with claim(
        directory / "study.json", plan_table(plan), _digests(split), _canonical, resume, device, check, grows=grows
    ):
        side_by_side(_rounds(plan, directory), 1 if device.type == "cuda" else workers, report)


def _digests(split: Split) -> dict[str, str]:
    """A fingerprint of the images and labels of each part."""
    parts = {"train": (split.train, split.train_pixels), "test": (split.test, split.test_pixels)}
    return {
        name: fingerprint(coded_digest(images).encode(), images.labels, b"" if pixels is None else pixels)
        for name, (images, pixels) in parts.items()
    }


def _check_architectures(plan: Plan, stored: Path) -> None:
    """Raise InputError where further methods would need other bounds or random networks than a study has."""
    if not stored.exists():
        return
    before = plan_from(json.loads(stored.read_text())["plan"])
    had, has = ({one.family for one in some.runs()} for some in (before, plan))
    if had != has and (plan.train.feature == "tokens" or _config(before, 0).family != _config(plan, 0).family):
        raise InputError(
            f"{stored.parent} is a study of {', '.join(before.methods)}; bounds and random networks of "
            f"{', '.join(plan.methods)} are of another architecture: choose another directory"
        )


def _canonical(table: dict[str, Any]) -> dict[str, Any]:
    return plan_table(plan_from(table))


def study_graph(images: CodedImages, plan: Plan, ratio: float, view: View) -> MaskGraph:
    """The mask graph of a study at one ratio and view, its targets those that the models are trained on."""
    distribution = mask_distribution(plan.graph.mask, images.grid, ratio, plan.graph.mask_unit)
    graph = mask_graph(images, mask_set(distribution, plan.graph.max_masks, plan.source.seed), view)
    return as_trained(graph, target=plan.train.target)


def _rounds(plan: Plan, directory: Path) -> list[list[Piece]]:
    """What is left, as it can be done together: a model of a stack is judged once it is trained."""
    models, others = undone(_models(plan, directory)), undone([*_bounds(plan, directory), *_baselines(plan, directory)])
    if plan.stack == 1:
        return [[*others, *models]]
    trained = [piece for piece in models if piece.outputs[1].exists()]
    # Those that are trained go first: a stack with a lost model ends the round, and must not cost the others.
    first = [*trained, *others, *undone(_stacks(plan, directory))]
    return [first, [piece for piece in models if piece not in trained]]


def _bounds(plan: Plan, directory: Path) -> list[Piece]:
    return [
        _told(directory / "bounds" / f"{view}-{hop}-r{ratio}.json", 1.0, partial(_bound, plan, view, hop, ratio))
        for view in plan.graph.views
        for hop in plan.graph.hops
        for ratio in plan.graph.mask_ratios
    ]


def _baselines(plan: Plan, directory: Path) -> list[Piece]:
    contents = {"raw-pixels": partial(_raw_pixels, plan), "coded-pixels": partial(_coded_pixels, plan)}
    contents |= {f"random-network-s{seed}": partial(_random_network, plan, seed) for seed in range(plan.seeds)}
    return [_told(directory / "records" / f"{name}.json", 1.0, content) for name, content in contents.items()]


def _models(plan: Plan, directory: Path) -> list[Piece]:
    cost = JUDGED if plan.stack > 1 else TRAINED + JUDGED
    return [
        _told(
            directory / "records" / f"{run_name(config)}.json",
            cost,
            partial(_model, plan, config, checkpoint := _checkpoint(directory, config)),
            checkpoint,
        )
        for config in plan.runs()
    ]


def _stacks(plan: Plan, directory: Path) -> list[Piece]:
    return [
        Piece(
            str(index),
            paths := tuple(_checkpoint(directory, config) for config in configs),
            TRAINED * len(configs),
            partial(_stack, plan, configs, paths, directory / "models" / f".stack-{index}.safetensors"),
        )
        for index, configs in enumerate(stacks(plan.runs(), plan.stack))
    ]


def _told(path: Path, cost: float, content: partial[dict[str, Any]], *before: Path) -> Piece:
    """A piece that is done once its JSON is written, after whatever else it leaves."""
    return Piece(path.stem, (path, *before), cost, partial(_write, path, content))


def _write(path: Path, content: Callable[[], dict[str, Any]]) -> None:
    write_json(path, content())


def _checkpoint(directory: Path, config: TrainConfig) -> Path:
    return directory / "models" / f"{run_name(config)}.safetensors"


def _split(plan: Plan) -> Split:
    return _cached_split(plan.source, plan.held_out)


@lru_cache(maxsize=1)
def _cached_split(*arguments: Any) -> Split:
    return load_split(*arguments)


def _bound(plan: Plan, view: View, hop: Hop, ratio: float) -> dict[str, Any]:
    images = _split(plan).train
    graph = study_graph(images, plan, ratio, view)
    # Features of so many views span no more dimensions.
    dim = min(_dim(plan, graph), len(graph.p1))
    found = answer(graph, ratio, dim, hop, seed=plan.source.seed)
    return {"dataset": images.name, "view": view, "hop": hop, "seed": plan.source.seed, **found}


def _dim(plan: Plan, graph: MaskGraph) -> int:
    """Of the trained feature, the largest of all methods: what bounds that one bounds the others."""
    return max(_feature_dim(config, graph) for config in plan.runs())


def _feature_dim(config: TrainConfig, graph: MaskGraph) -> int:
    model = config.model(graph.images.grid, graph.target_values.shape[1])
    if config.feature == "tokens":
        shown = graph.masks.kept.shape[1] if model.family == "mae" else graph.images.patches
        return (1 + shown) * model.dim
    return model.bottleneck if config.feature == "bottleneck" and model.bottleneck else model.dim


def _stack(plan: Plan, configs: Sequence[TrainConfig], paths: Sequence[Path], checkpoint: Path) -> None:
    train_stack(_split(plan).train, configs, paths, checkpoint)


def _model(plan: Plan, config: TrainConfig, path: Path) -> dict[str, Any]:
    split = _split(plan)
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
    if not isinstance(trained, TrainedModel):
        raise InputError(
            f"a {type(trained).__name__} is no TrainedModel, whose training a record tells of; any other network goes "
            "to on_graph(network, graph) of maskgraph.empirical.on_graph"
        )
    feature = trained.config.feature
    floors = Floors(graph)
    found = on_graph(trained.model, graph, feature, floors=floors)
    L = found.numbers[f"{feature}.lipschitz"]
    assert isinstance(L, float)
    return {
        **found.numbers,
        "four_L_lambda": 4 * L * _theory_lambda(trained, graph),
        "checks": [check.as_dict() for check in ledger(graph, found.outputs, floors=floors)],
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


def _raw_pixels(plan: Plan) -> dict[str, Any]:
    split = _split(plan)
    record = {**_identity(split, "raw-pixels", 0), "checks": []}
    if split.train_pixels is None or split.test_pixels is None:
        return record
    return {**record, **_scores(split, "pixels", split.train_pixels, split.test_pixels, 0)}


def _coded_pixels(plan: Plan) -> dict[str, Any]:
    split = _split(plan)
    scores = _scores(split, "pixels", pixel_features(split.train), pixel_features(split.test), 0)
    return {**_identity(split, "coded-pixels", 0), "checks": [], **scores}


def _random_network(plan: Plan, seed: int) -> dict[str, Any]:
    split = _split(plan)
    probes = _network_probes(untrained(split.train, _config(plan, seed)), split)
    return {**_identity(split, "random-network", seed), "checks": [], **probes}


def _config(plan: Plan, seed: int) -> TrainConfig:
    """Of a random network: one of the architecture that is trained, MAE's where there are both."""
    return dataclasses.replace(plan.train, method=min(plan.methods, key=get_args(Method).index), seed=seed)


def _identity(split: Split, method: str, seed: int) -> dict[str, Any]:
    return {"dataset": split.train.name, "method": method, "seed": seed, "mask_ratio": None}


def _network_probes(trained: TrainedModel, split: Split) -> dict[str, float]:
    view, seed = trained.config.view, trained.config.seed

    def features(images: CodedImages, kind: FeatureKind) -> NDArray[np.float64]:
        return full_features(trained.model, images, view, kind)

    return {
        name: value
        for kind in trained.model.features
        for name, value in _scores(split, kind, features(split.train, kind), features(split.test, kind), seed).items()
    }


def _scores(
    split: Split, prefix: str, train: NDArray[np.float64], test: NDArray[np.float64], seed: int
) -> dict[str, float]:
    known = Labelled(train, split.train.labels, split.train.weights)
    scores = probe(known, Labelled(test, split.test.labels, split.test.weights), seed)
    return {f"{prefix}.{name}": value for name, value in dataclasses.asdict(scores).items()}
