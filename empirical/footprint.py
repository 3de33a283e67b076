"""What a training step takes in memory and arithmetic, worked out before the first one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.model import ModelConfig
from maskgraph.empirical.network import resolve_precision
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.memory import available_bytes, gib

STATE = 16
"""Bytes that a parameter takes in float32: itself, its gradient and two moments of AdamW."""

FROZEN = 4
"""Bytes of one that is not trained."""

SAVED = 20
"""Numbers that autograd keeps of a token in a block, in units of the block's width: two norms, queries, keys, values,
the mixed values, four and four of the MLP, and the inputs of each. A test holds it to autograd's own count."""

SCALED = 2
"""Further ones where LayerScale multiplies what the two branches add."""

BIASED = 2
"""Numbers for each head and pair of tokens that relative positions take: what scores get, and its gradient. What blocks
keep of it in another precision is within `TRANSIENT`."""

TRANSIENT = 1.4
"""What the backward pass holds beside them: the gradients of a block at a time, and what the allocator cannot reuse."""

PIXELS = 6
"""Float32 numbers that a step takes of each value of an image, whatever the network's width: while it is cropped and
cut into patches, or for its target, the reconstruction, their errors and gradients. A test holds it to what is
allocated."""

HELD = 4
"""Bytes of each value of an image that waits for its part of the batch to be run a second time."""


def activation_bytes(shape: ModelConfig, kept: int, half: bool) -> float:
    """Bytes that one image's activations take until the backward pass has used them.

    Args:
        shape: the architecture.
        kept: patches that are shown.
        half: whether they are bfloat16, but for those of norms and residuals, under autocast.
    """
    patches = shape.grid[0] * shape.grid[1]
    shown = 1 + (kept if shape.family == "mae" else patches)
    numbers = (SAVED + SCALED * (shape.layer_scale > 0)) * shown * shape.depth * shape.dim
    if shape.relative:
        numbers += BIASED * shape.heads * shown**2
    if shape.family == "mae":
        seen = 1 + (patches if shape.bottleneck is None else patches - kept)
        numbers += SAVED * seen * shape.decoder_depth * shape.decoder_dim
    return numbers * (3 if half else 4)


def image_bytes(shape: ModelConfig, kept: int, half: bool) -> float:
    """Bytes that a step takes for each image that is run at a time: its own, and its activations (which see)."""
    return TRANSIENT * activation_bytes(shape, kept, half) + 4 * PIXELS * _values(shape)


def _values(shape: ModelConfig) -> int:
    return shape.grid[0] * shape.grid[1] * shape.patch_dim


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
    read = shape.dim if shape.bottleneck is None else shape.bottleneck
    squeezed = 0 if shape.bottleneck is None else shape.dim * shape.bottleneck
    return count + squeezed + decoder + (read + shape.patch_dim) * shape.decoder_dim


def free_bytes(device: torch.device) -> int:
    """What a training that begins now can have of a device's memory."""
    if device.type != "cuda":
        return available_bytes()
    # What an earlier model of this process has left is kept by the allocator, for whoever comes next.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def check_footprint(
    shape: ModelConfig,
    config: TrainConfig,
    images: int,
    device: torch.device,
    processes: int = 1,
    models: int = 1,
    beside: int = 1,
) -> float:
    """Refuse a batch whose step cannot fit, or that is too small to be shared; else say how many bytes it takes.

    Args:
        shape: the architecture.
        config: its training.
        images: that there are to train on.
        device: where.
        processes: that share every batch.
        models: that are trained at once.
        beside: trainings that begin on this machine, this one among them.

    Raises:
        InputError: naming the need, what there is, and the batch, or the number of models, that would fit; more
            processes than images of a batch.
    """
    if processes > config.batch:
        raise InputError(f"{processes} processes for batches of {config.batch} images; expected at most as many")
    half = resolve_precision(config.precision, device) == "bf16"
    kept = config.masks(shape.grid).kept
    batch = min(config.batch, images)
    # Of uniformity's products of an image with all others, their squares and those with weights.
    products = 3 * 4 * (batch + config.queue) if config.uniform else 0
    image = models * (image_bytes(shape, kept, half) + products)
    fixed = models * STATE * parameter_count(shape)
    here = -(-batch // (processes * config.accumulate))
    if models > 1 and device.type == "cuda":
        # The CUDA graph of the last batch of an epoch has memory of its own.
        here += images % batch
    free = free_bytes(device) // beside
    if models > 1 and (several := int(models * free // (fixed + here * image))) and several < models:
        need = f"{here} images at a time need about {gib(fixed + here * image)} of memory and {gib(free)} are free"
        raise InputError(f"{need}; {several} of the {models} models at once would fit: lower --stack")
    # Uniformity runs parts twice: the features of all come first.
    held = models * HELD * _values(shape) if config.uniform else 0
    smaller = "size or queue" if config.uniform and config.queue else "size"
    return _Need(fixed, image, held, smaller=smaller).check(here, -(-batch // processes), free, beside)


def check_tuning(
    shape: ModelConfig,
    batch: int,
    accumulate: int,
    precision: str,
    device: torch.device,
    processes: int = 1,
    beside: int = 1,
    pairs: bool = False,
) -> None:
    """Refuse a batch of fine-tuning whose step cannot fit: all patches of its images go through the encoder.

    Args:
        shape: the architecture of the network that is tuned.
        batch: images a step.
        accumulate: parts that each process runs its images in.
        precision: auto, fp32 or bf16.
        device: where.
        processes: that share every batch.
        beside: trainings that go on on this machine, this one among them.
        pairs: whether images stay together in pairs (see `own_parts`).

    Raises:
        InputError: naming the need, what there is, and the batch that would fit.
    """
    half = resolve_precision(precision, device) == "bf16"
    encoder = replace(shape, family="simmim", bottleneck=None)
    image = image_bytes(encoder, shape.grid[0] * shape.grid[1], half)
    # What is tuned is a copy, decoder and all; the network itself is judged otherwise, too.
    frozen = FROZEN * (2 * parameter_count(shape) - parameter_count(encoder))
    unit = 2 if pairs else 1
    need = _Need(STATE * parameter_count(encoder) + frozen, image, 0, "fine-tuning: ", "fine_tune_batch", unit)
    here, own = (unit * -(-batch // (unit * parts)) for parts in (processes * accumulate, processes))
    need.check(here, own, free_bytes(device) // beside, beside)


@dataclass(frozen=True)
class _Need:
    """What a step takes.

    Attributes:
        fixed: bytes, whatever the batch.
        image: bytes of each image that is run at a time.
        held: bytes of each image of a batch that is run in parts.
        title: how a refusal begins.
        batch: what the images of a step are called in a recipe.
        unit: how many images stay together.
        smaller: what may be smaller where not one image fits.
    """

    fixed: float
    image: float
    held: float
    title: str = ""
    batch: str = "batch"
    unit: int = 1
    smaller: str = "size"

    def check(self, here: int, own: int, free: int, beside: int) -> float:
        """Refuse what does not fit; else say how many bytes it takes.

        Args:
            here: images at a time.
            own: images of a batch that a process has.
            free: bytes.
            beside: trainings at once.

        Raises:
            InputError: naming the need, what there is, and the batch that would fit.
        """
        held = own * self.held
        whole = self.fixed + here * self.image + (held if here < own else 0)
        if whole <= free:
            return whole
        need = f"{self.title}{here} images at a time need about {gib(whole)} of memory and {gib(free)} are free"
        if beside > 1:
            need += f" for each of {beside} trainings at once"
        fit, part = (
            int((free - taken) // (self.unit * self.image)) * self.unit for taken in (self.fixed, self.fixed + held)
        )
        if fit < self.unit:
            few = ", or fewer --workers" if beside > 1 else ""
            one = "one" if self.unit == 1 else "a pair"
            raise InputError(f"{need}; not even {one} would fit: choose a smaller {self.smaller}{few}")
        keep = f", or keep it with --accumulate {-(-own // part)}" if part >= self.unit else ""
        fewer = ", or with fewer --workers" if beside > 1 else ""
        raise InputError(f"{need}; {fit} would fit: lower the {self.batch}{keep}{fewer}")


WITHOUT_MEMORY = (
    "DefaultCPUAllocator",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "'out of memory'",
)
"""What errors say that are for want of memory and of no type of their own; the last is NCCL's."""


@contextmanager
def room(batch: int, accumulate: int, device: torch.device, models: int = 1) -> Iterator[None]:
    """Say what to do where memory ran out although the estimate before the first step said that it would not.

    Args:
        batch: images a step.
        accumulate: parts that each process runs its images in.
        device: where.
        models: that are trained at once.

    Raises:
        InputError: naming the batch, and what would take less.
    """
    try:
        yield
    except RuntimeError as error:
        if (reason := ran_out(error)) is None:
            raise
        what, mend = f"in {accumulate} parts", f"add --resume and --accumulate {2 * accumulate}"
        if models > 1:
            what, mend = f"of each of {models} models", "lower --stack, with another --out"
        raise InputError(f"{device.type} ran out of memory on {batch} images {what} ({reason}); {mend}") from error


def ran_out(error: BaseException | None) -> str | None:
    """What one of PyTorch's errors says of a want of memory, or None where it is of something else.

    It may be what was raised before: the end of a broken capture raises its own.
    """
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in WITHOUT_MEMORY):
            # CUDA goes on in the same line with how much of which kind there is.
            return str(error).splitlines()[0].partition(". GPU ")[0].rstrip(".")
        error = error.__context__
    return None
