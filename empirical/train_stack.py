"""Training a stack of small models to the checkpoints that each would have alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskgraph.empirical.checkpoint import check_same, read_checkpoint, write_checkpoint
from maskgraph.empirical.config import TrainConfig, check_config, resolve_device
from maskgraph.empirical.footprint import check_footprint
from maskgraph.empirical.stack import Stack, check_stack
from maskgraph.empirical.train import Images, check_finite, identity, shared_identity, store, training_set


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
        checkpoint: of the stack while it trains; removed in the end.
        checkpoint_every: steps between two checkpoints.

    Raises:
        InputError: configurations that make no stack or cannot be trained; a checkpoint of another stack, or one that
            cannot be read or written; a batch that does not fit into memory.
        TrainingDivergedError: the loss of a model became NaN or infinite; it is named.
        KeyboardInterrupt: passed on; the checkpoint before stays.
    """
    for config in configs:
        check_config(config)
    check_stack(configs)
    device = resolve_device(configs[0].device)
    data = training_set(images, configs[0], device)
    check_footprint(configs[0].model(data.grid, data.patch_dim), configs[0], device, 1, len(configs))
    stack = Stack(data, configs, device)
    metas = [identity(data, config) for config in configs]
    whole = [shared_identity(meta) for meta in metas]
    if checkpoint.exists():
        tensors, found = read_checkpoint(checkpoint)
        check_same(checkpoint, found, {"stack": whole})
        stack.load(tensors, int(found["step"]))
        stack.seconds = float(found["seconds"])
    while stack.step < stack.steps:
        stack.advance()
        if stack.step % checkpoint_every == 0 or stack.step == stack.steps:
            for losses, config in zip(stack.losses, configs, strict=True):
                check_finite(losses[: stack.step], config)
            meta = {"stack": whole, "step": stack.step, "seconds": stack.seconds}
            write_checkpoint(checkpoint, stack.tensors(), meta)
    # The stack's own stays until all of them are there.
    for state, path, meta in zip(stack.unstack(), paths, metas, strict=True):
        store(state, path, meta)
    checkpoint.unlink(missing_ok=True)
