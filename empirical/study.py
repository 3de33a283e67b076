"""A study, end to end: bounds of every graph, a model for every method, ratio and seed, each measured and probed.

A study lives in one directory, every file written atomically, so that it resumes where it was:

    study.json            the plan, versions and machine
    bounds/*.json         the theory of one graph
    models/*.safetensors  checkpoints
    records/*.json        one model or baseline: measurements, probes, theorem checks
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskgraph.empirical import explain
from maskgraph.empirical.claim import check_free, claim
from maskgraph.empirical.config import TrainConfig, resolve_device
from maskgraph.empirical.data import coded_digest, patch_values
from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.footprint import check_footprint
from maskgraph.empirical.plan import Plan, check_plan, plan_from, plan_table
from maskgraph.empirical.probes import check_classes
from maskgraph.empirical.records import write_json
from maskgraph.empirical.schedule import Piece, Report, check_report, check_workers, side_by_side, undone
from maskgraph.empirical.stack import stacks
from maskgraph.empirical.train import architecture, check_checkpoint
from maskgraph.empirical.train_stack import train_stack
from maskgraph.graphs.datasets import CodedImages, check_plane
from maskgraph.graphs.errors import InputError, as_path
from maskgraph.graphs.masks import check_ratios
from maskgraph.graphs.source import Split, load_split

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
        InputError: a plan that cannot be run; a directory of another study, or one that exists while `resume` is
            false; data that cannot be loaded, has no patch values or is of one class.
        KeyboardInterrupt: passed on once running models have saved their checkpoints.
    """
    check_plan(plan)
    check_workers(workers)
    check_report(report)
    directory = as_path(directory, "a run")
    # Before images are coded, which may take minutes.
    check_free(directory / "study.json", resume)
    graph = plan.graph
    split = load_split(
        plan.source, plan.held_out, lambda grid: check_ratios(graph.mask, grid, graph.mask_ratios, graph.mask_unit)
    )
    patch_values(split.train)
    check_classes(plan.source.name, split.train.labels)
    check_plane(split.train, graph.mask)
    device = resolve_device(plan.train.device)

    def check() -> None:
        for config in plan.runs():
            check_checkpoint(_checkpoint(directory, config), split.train, config)
        _check_architectures(plan, directory / "study.json")
        _check_room(plan, directory, split.train, device, workers)

    # Of a stack every model's bits hang on the others.
    grows = GROWS if plan.stack == 1 else ()
    with claim(
        directory / "study.json", plan_table(plan), _digests(split), _canonical, resume, device, check, grows=grows
    ):
        side_by_side(_rounds(plan, directory), 1 if device.type == "cuda" else workers, report)


def _check_room(plan: Plan, directory: Path, images: CodedImages, device: torch.device, workers: int) -> None:
    """Raise InputError where a model cannot be trained in the memory that there is."""
    left = stacks([config for config in plan.runs() if not _checkpoint(directory, config).exists()], plan.stack)
    beside = max(min(workers, len(left)), 1) if device.type == "cpu" else 1
    for configs in left:
        shape, count = architecture(images, configs[0]), len(images.labels)
        check_footprint(shape, configs[0], count, device, models=len(configs), beside=beside)


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
    random = {explain.random_config(some, 0).family for some in (before, plan)}
    if had != has and (plan.train.feature == "tokens" or len(random) > 1):
        raise InputError(
            f"{stored.parent} is a study of {', '.join(before.methods)}; bounds and random networks of "
            f"{', '.join(plan.methods)} are of another architecture: choose another directory"
        )


def _canonical(table: dict[str, Any]) -> dict[str, Any]:
    return plan_table(plan_from(table))


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
        _told(directory / "bounds" / f"{view}-{hop}-r{ratio}.json", 1.0, partial(explain.bound, plan, view, hop, ratio))
        for view in plan.graph.views
        for hop in plan.graph.hops
        for ratio in plan.graph.mask_ratios
    ]


def _baselines(plan: Plan, directory: Path) -> list[Piece]:
    contents = {
        "majority-class": partial(explain.majority_class, plan),
        "raw-pixels": partial(explain.raw_pixels, plan),
        "coded-pixels": partial(explain.coded_pixels, plan),
    }
    contents |= {f"random-network-s{seed}": partial(explain.random_network, plan, seed) for seed in range(plan.seeds)}
    return [_told(directory / "records" / f"{name}.json", 1.0, content) for name, content in contents.items()]


def _models(plan: Plan, directory: Path) -> list[Piece]:
    pieces, cost = [], JUDGED if plan.stack > 1 else TRAINED + JUDGED
    for config in plan.runs():
        record, checkpoint = directory / "records" / f"{run_name(config)}.json", _checkpoint(directory, config)
        pieces.append(_told(record, cost, partial(explain.trained_model, plan, config, checkpoint), checkpoint))
    return pieces


def _stacks(plan: Plan, directory: Path) -> list[Piece]:
    pieces = []
    for index, configs in enumerate(stacks(plan.runs(), plan.stack)):
        paths = tuple(_checkpoint(directory, config) for config in configs)
        work = partial(_stack, plan, configs, paths, directory / "models" / f".stack-{index}.safetensors")
        pieces.append(Piece(str(index), paths, TRAINED * len(configs), work))
    return pieces


def _told(path: Path, cost: float, content: partial[dict[str, Any]], *before: Path) -> Piece:
    """A piece that is done once its JSON is written, after whatever else it leaves."""
    return Piece(path.stem, (path, *before), cost, partial(_write, path, content))


def _write(path: Path, content: Callable[[], dict[str, Any]]) -> None:
    write_json(path, content())


def _checkpoint(directory: Path, config: TrainConfig) -> Path:
    return directory / "models" / f"{run_name(config)}.safetensors"


def _stack(plan: Plan, configs: Sequence[TrainConfig], paths: Sequence[Path], checkpoint: Path) -> None:
    train_stack(explain.study_split(plan.source, plan.held_out).train, configs, paths, checkpoint)
