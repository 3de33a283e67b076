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

from maskgraph.empirical.claim import claim
from maskgraph.empirical.config import TrainConfig, resolve_device
from maskgraph.empirical.curve import Curve, last_step
from maskgraph.empirical.finetune import check_tunable, tuned_share
from maskgraph.empirical.footprint import check_tuning
from maskgraph.empirical.group import Group
from maskgraph.empirical.judge import Judged, Labels, judge_features, judge_network
from maskgraph.empirical.linear_probe import knn_probe
from maskgraph.empirical.parts import DataPlan, Parts, load_parts
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.probes import Labelled
from maskgraph.empirical.readout import pixel_vectors, whole_features
from maskgraph.empirical.recipe import Recipe, fine_tuning, recipe_from, recipe_table
from maskgraph.empirical.records import write_atomically, write_json
from maskgraph.empirical.schedule import Piece, Report, one_by_one, side_by_side, undone
from maskgraph.empirical.spectra import gaussian_null
from maskgraph.empirical.state import LAM, RECONSTRUCTION
from maskgraph.empirical.stream import check_readable, take
from maskgraph.empirical.streams import Use
from maskgraph.empirical.summary import LABELS
from maskgraph.empirical.train import (
    TrainedModel,
    TrainingDivergedError,
    architecture,
    check_checkpoint,
    check_fits,
    train,
    untrained,
)
from maskgraph.graphs.masks import MaskDistribution
from maskgraph.theory.solver.ranks import local_processes

JUDGED, TUNED = 2.0, 2.5
"""Roughly what judging a network, and an epoch of fine-tuning it, cost in epochs of training it."""

PATIENCE = 5.0
"""Seconds between two looks at how far the networks in training are."""

CURVE_IMAGES = 5000
"""Most images that the curve's probe is fitted on, and asked about."""

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
        InputError: a directory of another recipe, or one that exists while `resume` is false; data that cannot be
            loaded; a batch that does not fit into memory.
        KeyboardInterrupt: passed on once networks in training have saved their checkpoints.
    """
    device = resolve_device(recipe.train.device)
    # What this process has read before may be other data by now.
    _parts.cache_clear()
    parts = _parts(recipe.data, data_dir)

    networks = {config: _piece(recipe, directory, data_dir, config) for config in recipe.runs()}

    def check() -> None:
        left = [config for config, piece in networks.items() if not piece.done]
        _check_room(recipe, parts, left, device, workers, group)
        for config in networks:
            check_checkpoint(_checkpoint(directory, config), parts.train, config)
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
                _tuned(directory, run_name(config)).unlink(missing_ok=True)
        if group is None:
            side_by_side([pieces], 1 if device.type == "cuda" else workers, report, PATIENCE)
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
    name = run_name(config)
    tuning = TUNED * recipe.judge.fine_tune_epochs if "fine-tune" in recipe.judge.probes else 0.0
    cost = recipe.train.epochs + JUDGED + tuning

    def begun() -> float:
        """By its curve and the checkpoint of its fine-tuning."""
        step, steps = last_step(directory / "curves" / f"{name}.json")
        trained = recipe.train.epochs * step / steps if steps else 0.0
        return (trained + tuning * tuned_share(_tuned(directory, name))) / cost

    work = partial(_do, recipe, directory, data_dir, name, config)
    return Piece(name, (_checkpoint(directory, config), *_outputs(directory, name)), cost, work, begun)


def _nulls(recipe: Recipe, directory: Path, data_dir: Path | None) -> list[Piece]:
    families = dict.fromkeys(config.family for config in recipe.runs())
    random = [f"random-{family}-s{seed}" for family in families for seed in range(recipe.seeds)]
    gaussian = [f"gaussian-s{seed}" for seed in range(recipe.seeds)]
    pixels = ["pixels-s0"] if recipe.data.image_size is None else []
    return [
        Piece(name, _outputs(directory, name), JUDGED, partial(_do, recipe, directory, data_dir, name, None))
        for name in (*pixels, *random, *gaussian)
    ]


def _checkpoint(directory: Path, config: TrainConfig) -> Path:
    return directory / "models" / f"{run_name(config)}.safetensors"


def _tuned(directory: Path, name: str) -> Path:
    """The checkpoint of fine-tuning, for as long as it goes on."""
    return directory / "models" / f".fine-tune-{name}.safetensors"


def _outputs(directory: Path, name: str) -> tuple[Path, Path]:
    """What judging leaves; the record is written last."""
    return directory / "predictions" / f"{name}.npz", directory / "records" / f"{name}.json"


def _do(
    recipe: Recipe,
    directory: Path,
    data_dir: Path | None,
    name: str,
    config: TrainConfig | None,
    group: Group = ALONE,
    tell: Callable[[], None] | None = None,
) -> None:
    """Judge a network, once it is trained, or a null where there is no configuration."""
    parts = _parts(recipe.data, data_dir)
    if config is None:
        judged = _null(recipe, name, parts, group)
    else:
        judged = _network(recipe, config, directory, parts, group, tell)
    if judged is None:
        return
    archive, (predictions, record) = io.BytesIO(), _outputs(directory, name)
    arrays: dict[str, Any] = {LABELS: parts.test.labels, **judged.predicted}
    np.savez_compressed(archive, **arrays)
    write_atomically(predictions, archive.getvalue())
    write_json(record, judged.record)
    _tuned(directory, name).unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _parts(data: DataPlan, data_dir: Path | None) -> Parts:
    return load_parts(data, data_dir)


def _network(
    recipe: Recipe,
    config: TrainConfig,
    directory: Path,
    parts: Parts,
    group: Group,
    tell: Callable[[], None] | None,
) -> Judged | None:
    name = run_name(config)
    curve = Curve(directory / "curves" / f"{name}.json", directory / "events" / name)
    batches = -(-len(parts.train.labels) // config.batch)

    def watch(trained: TrainedModel, steps: int) -> None:
        if group.rank > 0 or len(trained.losses) in curve:
            return
        curve.add(trained, len(trained.losses) / batches, steps, {"knn": _validation_knn(trained, parts)})
        if tell is not None:
            tell()

    path = _checkpoint(directory, config)
    trained = train(parts.train, config, path, watch, batches * recipe.judge.every, group)
    curve.close()
    # Judging needs the memory.
    trained.model.zero_grad(set_to_none=True)
    masks, how = _masks(recipe, trained), fine_tuning(recipe.judge, config)
    tuned = _tuned(directory, name)
    try:
        judged = judge_network(trained.model, parts, recipe.judge, masks, config.seed, how, tuned, group, tell)
    except TrainingDivergedError as error:
        raise TrainingDivergedError(f"{name}: {error}") from error
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


def _null(recipe: Recipe, name: str, parts: Parts, group: Group) -> Judged | None:
    """What pixels, a random network, or features of nothing score; None where another process says so."""
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
