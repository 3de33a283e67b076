"""A recipe, end to end: every network trained, watched and judged, beside what features of nothing would score.

A recipe lives in one directory, every file written atomically, so that it resumes where it was:

    recipe.json           the plan, versions and machine
    models/*.safetensors  checkpoints
    curves/*.json         losses and a probe on validation images while a network trains
    events/*              the same for TensorBoard, where that is installed
    predictions/*.npz     the class of every test image by each readout
    records/*.json        one network or null: scores, layers, collapse
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskgraph.empirical.claim import check_free, claim
from maskgraph.empirical.config import TrainConfig, resolve_device
from maskgraph.empirical.curve import last_step
from maskgraph.empirical.finetune import check_tunable, tuned_share
from maskgraph.empirical.footprint import check_tuning
from maskgraph.empirical.group import Group, check_group
from maskgraph.empirical.parts import DataPlan, Parts, load_parts
from maskgraph.empirical.recipe import Recipe, check_recipe, fine_tuning, recipe_from, recipe_table
from maskgraph.empirical.records import write_atomically, write_json
from maskgraph.empirical.schedule import Piece, Report, check_report, check_workers, one_by_one, side_by_side, undone
from maskgraph.empirical.stream import check_readable
from maskgraph.empirical.summary import LABELS
from maskgraph.empirical.train import architecture, check_checkpoint, check_fits
from maskgraph.empirical.trial import Files, network, null
from maskgraph.graphs.errors import as_path
from maskgraph.theory.solver.ranks import local_processes

JUDGED, TUNED = 2.0, 2.5
"""Roughly what judging a network, and an epoch of fine-tuning it, cost in epochs of training it."""

PATIENCE = 5.0
"""Seconds between two looks at how far the networks in training are."""

ALONE = Group()

GROWS = {("train", "seeds"), ("train", "methods")}
"""What a recipe may be resumed with more of: networks do not know of each other."""


def run_name(config: TrainConfig) -> str:
    """The name under which a network's files are kept."""
    return f"{config.method}-s{config.seed}"


def run_recipe(
    recipe: Recipe,
    directory: Path,
    data_dir: Path | None,
    resume: bool,
    workers: int,
    report: Report,
    group: Group | None = None,
) -> None:
    """Do whatever of a recipe is not done yet.

    Args:
        recipe: what to train and how to judge it.
        directory: where it lives.
        data_dir: where the dataset lies (see `load_parts`).
        resume: whether the directory may hold a part of this very recipe already, or of one with fewer networks.
        workers: processes of one thread each; networks on a GPU share one process.
        report: told after each finished piece, and of what is done of the others.
        group: the processes that train each network together; None: networks are trained side by side.

    Raises:
        InputError: a recipe that cannot be run; a directory of another one, or one that exists while `resume` is false;
            data that cannot be loaded; a batch that does not fit into memory.
        KeyboardInterrupt: passed on once networks in training have saved their checkpoints.
    """
    check_recipe(recipe)
    check_workers(workers)
    check_report(report)
    check_group(group)
    directory = as_path(directory, "a run")
    device = resolve_device(recipe.train.device)
    if group is None:
        # Before images are fetched or read.
        check_free(directory / "recipe.json", resume)
    # What this process has read before may be other data by now.
    _parts.cache_clear()
    parts = _parts(recipe.data, data_dir)

    networks = {config: _piece(recipe, directory, data_dir, config) for config in recipe.runs()}

    def check() -> None:
        left = [config for config, piece in networks.items() if not piece.done]
        _check_room(recipe, parts, left, device, workers, group)
        for config in networks:
            check_checkpoint(Files(directory, run_name(config)).checkpoint, parts.train, config)
        if left and (group is None or group.rank == 0):
            # These are not looked at before a network is trained.
            check_readable(parts.validation)
            check_readable(parts.test)

    plan, digests = recipe_table(recipe), parts.digests()
    with claim(directory / "recipe.json", plan, digests, _canonical, resume, device, check, group, GROWS):
        # From here on nobody else does any of it.
        pieces = undone([*networks.values(), *_nulls(recipe, directory, data_dir)])
        for config, piece in networks.items():
            if piece.done:
                # Of a run that was killed between the record and the end of its piece.
                Files(directory, run_name(config)).tuned.unlink(missing_ok=True)
        if group is None:
            side_by_side(pieces, 1 if device.type == "cuda" else workers, report, PATIENCE)
        else:
            # All know what is left before anyone does a part of it.
            group.wait()
            one_by_one(pieces, report, group)


def _check_room(
    recipe: Recipe,
    parts: Parts,
    left: list[TrainConfig],
    device: torch.device,
    workers: int,
    group: Group | None,
) -> None:
    """Raise InputError where networks cannot be trained or tuned in the memory that there is."""
    processes, beside = group.count if group else 1, 1
    if device.type == "cpu":
        beside = local_processes() if group else max(min(workers, len(left)), 1)
    for config in left:
        check_fits(parts.train, config, device, processes, beside)
        if (how := fine_tuning(recipe.judge, config)) is not None:
            check_tunable(parts.train, how)
            shape, batch = architecture(parts.train, config), min(how.batch, len(parts.train.labels))
            check_tuning(shape, batch, how.accumulate, how.precision, device, processes, beside, how.regularise.mixes)


def _canonical(table: dict[str, Any]) -> dict[str, Any]:
    return recipe_table(recipe_from(table))


def _piece(recipe: Recipe, directory: Path, data_dir: Path | None, config: TrainConfig) -> Piece:
    """A network; it costs as many epochs of training one."""
    files = Files(directory, run_name(config))
    tuning = TUNED * recipe.judge.fine_tune_epochs if "fine-tune" in recipe.judge.probes else 0.0
    cost = recipe.train.epochs + JUDGED + tuning

    def begun() -> float:
        """By its curve and the checkpoint of its fine-tuning."""
        step, steps = last_step(files.curve)
        trained = recipe.train.epochs * step / steps if steps else 0.0
        return (trained + tuning * tuned_share(files.tuned)) / cost

    outputs, work = (files.checkpoint, files.predictions, files.record), partial(_do, recipe, files, data_dir, config)
    return Piece(files.name, outputs, cost, work, begun)


def _nulls(recipe: Recipe, directory: Path, data_dir: Path | None) -> list[Piece]:
    families = dict.fromkeys(config.family for config in recipe.runs())
    random = [f"random-{family}-s{seed}" for family in families for seed in range(recipe.seeds)]
    gaussian = [f"gaussian-s{seed}" for seed in range(recipe.seeds)]
    pixels = ["pixels-s0"] if recipe.data.image_size is None else []
    kept = [Files(directory, name) for name in (*pixels, *random, *gaussian)]
    return [
        Piece(files.name, (files.predictions, files.record), JUDGED, partial(_do, recipe, files, data_dir, None))
        for files in kept
    ]


def _do(
    recipe: Recipe,
    files: Files,
    data_dir: Path | None,
    config: TrainConfig | None,
    group: Group = ALONE,
    tell: Callable[[], None] | None = None,
) -> None:
    """Judge a network, once it is trained, or a null where there is no configuration."""
    parts = _parts(recipe.data, data_dir)
    if config is None:
        judged = null(recipe, files.name, parts, group)
    else:
        judged = network(recipe, config, files, parts, group, tell)
    if judged is None:
        return
    archive = io.BytesIO()
    arrays: dict[str, Any] = {LABELS: parts.test.labels, **judged.predicted}
    np.savez_compressed(archive, **arrays)
    write_atomically(files.predictions, archive.getvalue())
    write_json(files.record, judged.record)
    files.tuned.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _parts(data: DataPlan, data_dir: Path | None) -> Parts:
    return load_parts(data, data_dir)
