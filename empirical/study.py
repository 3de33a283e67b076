"""A study, end to end: bounds of every graph, a model for every method, ratio and seed, each measured and probed.

A study lives in one directory, every file written atomically, so that it resumes where it was:

    study.json            the plan, versions and machine
    bounds/*.json         the theory of one graph
    models/*.safetensors  checkpoints
    records/*.json        one model or baseline: measurements, probes, theorem checks
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskgraph.empirical import explain
from maskgraph.empirical.claim import check_free, claim
from maskgraph.empirical.config import TrainConfig, resolve_device
from maskgraph.empirical.data import coded_digest, patch_values
from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.footprint import check_footprint, free_bytes
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

JUDGING = 2 * 2**30
"""Bytes of a GPU that a process takes to judge on it: CUDA's own, and the views that a network is run on at once."""

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
        workers: processes of one thread each; a GPU trains for one of them at a time, and judges models of stacks for
            as many as its memory has room for.
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
        processes = _check_room(plan, directory, split.train, device, workers)
        side_by_side(_pieces(plan, split, directory, device, processes), processes, report)


def _check_room(plan: Plan, directory: Path, images: CodedImages, device: torch.device, workers: int) -> int:
    """How many processes there is room for, at least one.

    Raises:
        InputError: a model that cannot be trained in the memory that there is.
    """
    left = stacks([config for config in plan.runs() if not _checkpoint(directory, config).exists()], plan.stack)
    beside = max(min(workers, len(left)), 1) if device.type == "cpu" else 1
    most = 0.0
    for configs in left:
        shape, count = architecture(images, configs[0]), len(images.labels)
        most = max(most, check_footprint(shape, configs[0], count, device, models=len(configs), beside=beside))
    if device.type == "cpu":
        return workers
    # The one that trains judges, too, before and after.
    return max(1, min(workers, 1 + int((free_bytes(device) - max(most, JUDGING)) // JUDGING)))


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


def _pieces(plan: Plan, split: Split, directory: Path, device: torch.device, processes: int) -> list[Piece]:
    """What is left, in the order in which it is begun."""
    # Pixels are many times the codes, and every process is sent what its piece needs.
    coded = dataclasses.replace(split, train_pixels=None, test_pixels=None)
    alone = device.type == "cuda"
    trained, judged = undone(_models(plan, coded, directory, alone)), list[Piece]()
    if plan.stack > 1:
        trained, judged = undone(_stacks(plan, coded.train, directory, alone)), trained
    others = undone([*_bounds(plan, coded.train, directory), *_baselines(plan, split, coded, directory)])
    if alone and processes > 1 and plan.stack > 1:
        # A GPU is not to wait for what needs none. A stack that has left some of its models has lost the others, and
        # will end this run, too.
        lost = [piece for piece in trained if any(path.exists() for path in piece.outputs)]
        return [*(piece for piece in trained if piece not in lost), *judged, *others, *lost]
    # A model that is lost ends the run, and must not cost the others.
    return [*judged, *others, *trained]


def _bounds(plan: Plan, images: CodedImages, directory: Path) -> list[Piece]:
    pieces = []
    for view, hop, ratio in itertools.product(plan.graph.views, plan.graph.hops, plan.graph.mask_ratios):
        path = directory / "bounds" / f"{view}-{hop}-r{ratio}.json"
        pieces.append(_told(path, partial(explain.bound, plan, images, view, hop, ratio)))
    return pieces


def _baselines(plan: Plan, split: Split, coded: Split, directory: Path) -> list[Piece]:
    contents = {
        "majority-class": partial(explain.majority_class, coded),
        "raw-pixels": partial(explain.raw_pixels, split),
        "coded-pixels": partial(explain.coded_pixels, coded),
    }
    for seed in range(plan.seeds):
        contents[f"random-network-s{seed}"] = partial(explain.random_network, plan, coded, seed)
    return [_told(directory / "records" / f"{name}.json", content) for name, content in contents.items()]


def _told(path: Path, content: partial[dict[str, Any]]) -> Piece:
    """A piece that leaves a file of JSON."""
    return Piece(path.stem, (path,), 1.0, partial(_write, path, content))


def _models(plan: Plan, split: Split, directory: Path, alone: bool) -> list[Piece]:
    """Every model: trained, unless a stack does that, and judged."""
    pieces = []
    for config in plan.runs():
        record, checkpoint = directory / "records" / f"{run_name(config)}.json", _checkpoint(directory, config)
        work = partial(_write, record, partial(explain.trained_model, plan, split, config, checkpoint))
        whole = Piece(record.stem, (record, checkpoint), TRAINED + JUDGED, work, alone=alone)
        judged = dataclasses.replace(whole, cost=JUDGED, after=(checkpoint,), alone=False)
        pieces.append(judged if plan.stack > 1 else whole)
    return pieces


def _stacks(plan: Plan, images: CodedImages, directory: Path, alone: bool) -> list[Piece]:
    pieces = []
    for index, configs in enumerate(stacks(plan.runs(), plan.stack)):
        paths = tuple(_checkpoint(directory, config) for config in configs)
        checkpoint = directory / "models" / f".stack-{index}.safetensors"
        work = partial(train_stack, images, configs, paths, checkpoint)
        pieces.append(Piece(str(index), paths, TRAINED * len(configs), work, alone=alone))
    return pieces


def _write(path: Path, content: Callable[[], dict[str, Any]]) -> None:
    write_json(path, content())


def _checkpoint(directory: Path, config: TrainConfig) -> Path:
    return directory / "models" / f"{run_name(config)}.safetensors"
