"""Training a stack of small models to the checkpoints that each would have alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maskgraph.empirical.checkpoint import check_held, check_known, check_same, take_up, write_checkpoint
from maskgraph.empirical.config import TrainConfig, check_config, resolve_device
from maskgraph.empirical.divergence import TrainingDivergedError, check_finite, check_state
from maskgraph.empirical.footprint import check_footprint, room
from maskgraph.empirical.stack import Stack, check_stack
from maskgraph.empirical.steps import to_the_end
from maskgraph.empirical.train import (
    Images,
    architecture,
    check_every,
    check_images,
    completed,
    identity,
    shared_identity,
    store,
    training_set,
)
from maskgraph.graphs.errors import InputError, as_path, check_type


def train_stack(
    images: Images,
    configs: Sequence[TrainConfig],
    paths: Sequence[Path],
    checkpoint: Path,
    checkpoint_every: int = 500,
) -> None:
    """Train models at once, or go on where the checkpoint of their stack stopped.

    Bits depend on which models are in a stack, and on nothing else: give the same ones to go on.

    Args:
        images: as `train` takes them, in memory.
        configs: of each model; they differ in method, seed and lam alone.
        paths: the checkpoint of each, written when all are finished.
        checkpoint: of the stack while it trains; removed in the end, unless a model was lost.
        checkpoint_every: steps between two checkpoints; one is written every minute or few as well.

    Raises:
        InputError: configurations that make no stack or cannot be trained; a checkpoint of another stack, or one that
            cannot be read or written; a batch that does not fit into memory.
        TrainingDivergedError: the loss, a parameter or an output of a model became NaN or infinite; it is named, and
            those of the others that are finite have been trained to their end and written. When all have, training
            ends at once.
        KeyboardInterrupt: passed on after a checkpoint of the last step was written; where it struck in the middle of
            an update, the checkpoint before stays.
    """
    check_type(configs, (list, tuple), "give the TrainConfig of each model in a list")
    for config in configs:
        check_config(config)
    check_stack(configs)
    check_images(images)
    check_every(checkpoint_every)
    checkpoint, paths = as_path(checkpoint, "a checkpoint"), [as_path(path, "a checkpoint") for path in paths]
    if len(paths) != len(configs):
        raise InputError(f"{len(paths)} paths for {len(configs)} models; expected one for the checkpoint of each")
    device = resolve_device(configs[0].device)
    shape, count = architecture(images, configs[0]), len(images.labels)
    check_footprint(shape, configs[0], count, device, models=len(configs))
    stack = Stack(training_set(images, configs[0], device), configs, device)
    metas = [identity(images, config) for config in configs]
    whole = [shared_identity(meta) for meta in metas]
    if checkpoint.exists():
        found = take_up(checkpoint, stack, lambda found: _check_whole(checkpoint, found, whole))
        stack.seconds = float(found["seconds"])

    def keep() -> None:
        if None not in (lost := _lost(stack, configs)):
            raise next(error for error in lost if error is not None)
        write_checkpoint(checkpoint, stack.tensors(), {"stack": whole, "step": stack.step, "seconds": stack.seconds})

    running = partial(room, configs[0].batch, configs[0].accumulate, device, len(configs))
    to_the_end(stack, checkpoint_every, running, keep, alone=True)
    lost = []
    # The stack's own stays until all of them are there.
    for state, path, meta in zip(stack.unstack(), paths, metas, strict=True):
        try:
            check_state(state)
            store(state, path, meta)
        except TrainingDivergedError as error:
            lost.append(error)
    if lost:
        raise lost[0]
    checkpoint.unlink(missing_ok=True)


def _check_whole(path: Path, found: dict[str, Any], whole: list[dict[str, Any]]) -> None:
    """Raise InputError for metadata of another stack."""
    check_held(path, found, ("stack", "seconds"))
    check_known(path, found, ("stack", "step", "seconds"))
    if len(found["stack"]) != len(whole):
        raise InputError(
            f"{path} is a checkpoint of {len(found['stack'])} models and not of {len(whole)}; choose another --out, or "
            "delete it"
        )
    for one, own in zip(found["stack"], whole, strict=True):
        check_same(path, completed(path, one, own, {}), own)


def _lost(stack: Stack, configs: Sequence[TrainConfig]) -> list[TrainingDivergedError | None]:
    """What there is to say of each model that is not finite any more; the others do not see it."""
    found: list[TrainingDivergedError | None] = []
    for index, config in enumerate(configs):
        try:
            own = (value[index] for value in stack.parameters.values())
            check_finite(stack.losses[index, : stack.step], own, config)
            found.append(None)
        except TrainingDivergedError as error:
            found.append(error)
    return found
