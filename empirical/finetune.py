"""Full fine-tuning: encoder and a linear classifier trained together, the lower a block the slower (layer decay).

After He et al. 2022, appendix A.1 (arXiv 2111.06377), and Bao et al. 2022 (arXiv 2106.08254).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from maskgraph.empirical.blocks import compile_blocks
from maskgraph.empirical.checkpoint import check_held, check_known, check_same, read_meta, take_up, write_checkpoint
from maskgraph.empirical.classifier import Classifier
from maskgraph.empirical.config import check_compiler
from maskgraph.empirical.footprint import room
from maskgraph.empirical.group import Group, check_group
from maskgraph.empirical.model import MaskedModel, check_patches
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.steps import to_the_end
from maskgraph.empirical.stream import Stream
from maskgraph.empirical.tuning import FineTune
from maskgraph.empirical.tuning_state import TuningState
from maskgraph.graphs.errors import InputError, as_path, check_function, check_type, is_whole

APART = 200
"""Least steps between two checkpoints."""


def fine_tune(
    model: MaskedModel,
    train: Pixels | Stream,
    classes: int,
    how: FineTune,
    path: str | Path | None = None,
    group: Group | None = None,
    watch: Callable[[], None] | None = None,
) -> Classifier:
    """Fine-tune a copy of a model, or go on where its checkpoint stopped.

    Args:
        model: where it starts; it stays as it is.
        train: labelled images, augmented as they say but for what `how` puts in place of it.
        classes: how many.
        how: the recipe.
        path: the checkpoint; None keeps none. It is written once an epoch, but not more often than every `APART` steps,
            and by one process every minute or few as well. It may be gone on with by another number of processes, and
            in another number of parts.
        group: the processes that tune it together, each with its part of every batch; None: this one alone.
        watch: called by the first process after each checkpoint.

    Returns:
        the classifier, in evaluation mode; in every process.

    Raises:
        InputError: labels beyond the classes; images that are cut into other patches than the model's, or cannot be
            augmented so; a model in another dtype than float32; nothing to compile with; a checkpoint of something
            else, or one that cannot be read or written.
        TrainingDivergedError: the loss or a parameter became NaN or infinite; the checkpoint before stays.
        KeyboardInterrupt: passed on after a checkpoint of the last step was written; where it struck in the middle of
            an update, or several processes tune, the checkpoint before stays.
    """
    path = None if path is None else as_path(path, "a checkpoint")
    check_type(how, FineTune, "give FineTune(epochs=..., lr=...) of maskgraph.empirical.tuning")
    check_type(train, (Pixels, Stream), "load_parts(data, data_dir).train of maskgraph.empirical.parts gives Pixels")
    check_group(group)
    if watch is not None:
        check_function(watch, "watch", "nothing")
    if not len(train.labels):
        raise InputError(f"{train.name} holds no images to tune on; expected at least 1")
    if not is_whole(classes) or classes < 1:
        raise InputError(f"classes {classes!r}; expected how many there are, an integer of at least 1")
    if train.labels.max() >= classes:
        raise InputError(f"label {train.labels.max()} of {train.name}; expected 0 to {classes - 1}")
    check_patches(model, train.name, train.grid, train.patch_dim)
    check_tunable(train, how)
    if (dtype := next(model.parameters()).dtype) != torch.float32:
        raise InputError(f"a network in {dtype}; fine-tuning is of parameters in torch.float32: give model.float()")
    group, device = group or Group(), next(model.parameters()).device
    if how.compile:
        check_compiler(device)
    tuning = TuningState(model, train, classes, how, device, group)
    meta = tuning.identity(_digest(model))
    if path is not None and path.exists():
        # Those from before labels were in it have none to be held to.
        take_up(
            path, tuning, lambda found: check_same(path, {"labels": meta["labels"], **_completed(path, found)}, meta)
        )
        tuning.check()
    # Nobody writes before all have read.
    group.wait()

    def keep() -> None:
        tuning.check()
        if path is not None:
            if group.rank == 0:
                write_checkpoint(path, tuning.tensors(), {**meta, "step": tuning.step, "steps": tuning.steps})
                if watch is not None:
                    watch()
            group.wait()

    running = partial(room, how.batch, how.accumulate, device)
    alone = path is not None and group.count == 1
    to_the_end(tuning, max(tuning.batches, APART), running, keep, alone)
    compile_blocks(tuning.classifier, False)
    return tuning.classifier.eval()


def check_tunable(train: Pixels | Stream, how: FineTune) -> None:
    """Raise InputError for images that cannot be augmented so."""
    if how.regularise.randaugment and train.channels not in (1, 3):
        raise InputError(f"randaugment on images of {train.channels} channels; expected 1 or 3, or randaugment 0")


def tuned_share(path: Path) -> float:
    """How much of a fine-tuning is done, by its checkpoint; 0 where there is none, or none any more."""
    try:
        meta = read_meta(path)
    except InputError:
        return 0.0
    return float(meta["step"] / meta["steps"]) if "steps" in meta else 0.0


def _completed(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a checkpoint, with the defaults of whatever choices came later.

    Raises:
        InputError: a key that this version does not know, or one that every version wrote and that is not there.
    """
    check_held(path, found, ("fine_tune", "classes", "data", "from"))
    check_known(path, found, ("fine_tune", "classes", "data", "labels", "from", "step", "steps"))
    plain = dataclasses.asdict(Regularise())
    # What those from before there was a choice had.
    before = {"regularise": plain, "norm": "own", "clip": 0.0, "crop": []}
    check_known(path, found["fine_tune"], [field.name for field in dataclasses.fields(FineTune)], "fine_tune.")
    how = {**before, **found["fine_tune"]}
    check_known(path, how["regularise"], plain, "fine_tune.regularise.")
    return {**found, "fine_tune": how}


def _digest(model: MaskedModel) -> str:
    """A fingerprint of the weights that fine-tuning starts from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
