"""What a training step takes in memory and arithmetic, worked out before the first one."""

from __future__ import annotations

import torch

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.model import ModelConfig
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.memory import available_bytes, gib

STATE = 16
"""Bytes that a parameter takes in float32: itself, its gradient and two moments of AdamW."""

SAVED = 20
"""Numbers that autograd keeps of a token in a block, in units of the block's width: two norms, queries, keys, values,
the mixed values, four and four of the MLP, and the inputs of each. A test holds it to autograd's own count."""

TRANSIENT = 1.4
"""What the backward pass holds beside them: the gradients of a block at a time, and what the allocator cannot reuse."""


def activation_bytes(shape: ModelConfig, kept: int, half: bool) -> float:
    """Bytes that one image's activations take until the backward pass has used them.

    Args:
        shape: the architecture.
        kept: patches that are shown.
        half: whether they are bfloat16, but for those of norms and residuals, under autocast.
    """
    patches = shape.grid[0] * shape.grid[1]
    shown = 1 + (kept if shape.family == "mae" else patches)
    numbers = shown * shape.depth * shape.dim
    if shape.family == "mae":
        seen = 1 + (patches if shape.bottleneck is None else patches - kept)
        numbers += seen * shape.decoder_depth * shape.decoder_dim
    return SAVED * numbers * (3 if half else 4)


def flops(shape: ModelConfig, kept: int) -> int:
    """Floating-point operations of one image's matrix products, forward and backward: two a multiply-add.

    A backward pass does each product of the forward pass twice, for its two factors, but for the gradient of pixels,
    which nobody asks for. What is computed again to save memory does not count, so that a rate made of this is the one
    that a model FLOP utilisation (MFU) is a share of.

    Args:
        shape: the architecture.
        kept: patches that are shown.
    """
    patches = shape.grid[0] * shape.grid[1]
    embedded = 2 * kept * shape.patch_dim * shape.dim
    if shape.family == "simmim":
        encoded = _blocks(1 + patches, shape.depth, shape.dim)
        return 3 * (embedded + encoded + 2 * (patches - kept) * shape.dim * shape.patch_dim) - embedded
    forward = embedded + _blocks(1 + kept, shape.depth, shape.dim)
    if shape.bottleneck is None:
        seen, read = 1 + patches, 2 * (1 + kept) * shape.dim * shape.decoder_dim
    else:
        seen, read = 1 + patches - kept, 2 * shape.bottleneck * (shape.dim + shape.decoder_dim)
    forward += read + _blocks(seen, shape.decoder_depth, shape.decoder_dim)
    forward += 2 * (patches - kept) * shape.decoder_dim * shape.patch_dim
    return 3 * forward - embedded


def _blocks(tokens: int, depth: int, dim: int) -> int:
    """Forward: queries, keys, values, projection and MLP are 12 dim², scores and mixing 2·tokens·dim a token."""
    return 2 * depth * tokens * (12 * dim**2 + 2 * tokens * dim)


def parameter_count(shape: ModelConfig) -> int:
    """Parameters of a model, but for norms, biases and tokens, which are few."""
    count = shape.patch_dim * shape.dim + 12 * shape.depth * shape.dim**2
    if shape.family == "simmim":
        return count + shape.patch_dim * shape.dim
    decoder = 12 * shape.decoder_depth * shape.decoder_dim**2
    return count + decoder + (shape.dim + shape.patch_dim) * shape.decoder_dim


def check_footprint(
    shape: ModelConfig, config: TrainConfig, device: torch.device, processes: int, models: int = 1
) -> None:
    """Refuse a batch whose step cannot fit.

    Args:
        shape: the architecture.
        config: its training.
        device: where.
        processes: that share every batch.
        models: that are trained at once.

    Raises:
        InputError: naming the need, what there is, and the batch, or the number of models, that would fit.
    """
    half = config.precision == "bf16" or (config.precision == "auto" and device.type == "cuda")
    kept = config.masks(shape.grid).kept
    image, fixed = (
        models * bytes_ for bytes_ in (TRANSIENT * activation_bytes(shape, kept, half), STATE * parameter_count(shape))
    )
    here = -(-config.batch // (processes * config.accumulate))
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    if fixed + here * image <= free:
        return
    need = f"{here} images at a time need about {gib(fixed + here * image)} of memory and {gib(free)} are free"
    if (several := int(models * free // (fixed + here * image))) and models > 1:
        raise InputError(f"{need}; {several} of the {models} models at once would fit: lower --stack")
    if fixed + image > free:
        raise InputError(f"{need}; not even one would fit: choose a smaller --size")
    fit = int((free - fixed) // image)
    parts = -(-config.batch // (processes * fit))
    raise InputError(f"{need}; {fit} would fit: lower --batch, or keep it with --accumulate {parts}")
