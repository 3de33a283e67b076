"""Transformer blocks, and position tables: what every encoder and decoder here is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskgraph.graphs.errors import InputError

BACKEND = "inductor"
"""Which of torch.compile's makes code: the one that fuses."""

WITH_GRADIENT: dict[SDPBackend, Callable[[], bool]] = {
    SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled,
    SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled,
    SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled,
}
"""The kernels of attention that have a gradient of what is added to the scores, or give way to one that has, and what
says whether they are allowed. cuDNN's, the first choice of later PyTorch in bfloat16 on an H100, does neither: an error
is all that comes of asking for it."""


Through = Callable[["Block", Tensor, Tensor | None, Tensor | None], Tensor]
"""A block's way from tokens, branches and bias to tokens."""


class Block(nn.Module):
    """Pre-norm transformer block (Dosovitskiy et al. 2021, arXiv 2010.11929).

    Attributes:
        compiled: `through` as it is run where gradients are wanted in training (see `compile_blocks`); None: as it is.
    """

    compiled: Through | None = None

    def __init__(self, dim: int, heads: int, layer_scale: float = 0.0) -> None:
        """Initialise it as PyTorch does.

        Args:
            dim: width.
            heads: of the attention.
            layer_scale: start of the factors of each channel that attention and MLP add (LayerScale, Touvron et al.
                2021, arXiv 2103.17239); 0: none.
        """
        super().__init__()
        self.heads = heads
        self.scale1, self.scale2 = (
            nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None for _ in range(2)
        )
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, branches: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Tokens after the block.

        Args:
            x: (B, T, dim).
            branches: (2, B) factors of what attention and MLP add to each image; None: 1.
            bias: (B or 1, heads, T, T), what is added to the scores of attention; None: 0.

        Returns:
            (B, T, dim).
        """
        compiled = self.compiled if self.training and torch.is_grad_enabled() else None
        # Around what is compiled and not in it: traced code would bring back, ever after, what was allowed then.
        with nullcontext() if bias is None else sdpa_kernel(_with_gradient()):
            return (compiled or Block.through)(self, x, branches, bias)

    def through(self, x: Tensor, branches: Tensor | None, bias: Tensor | None) -> Tensor:
        """What `forward` computes."""
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = attention(q, k, v, bias).transpose(1, 2).reshape(batch, length, dim)
        x = x + _scaled(self.proj(mixed), self.scale1, branches, 0)
        out: Tensor = x + _scaled(self.fc2(functional.gelu(self.fc1(self.norm2(x)))), self.scale2, branches, 1)
        return out


def compile_blocks(model: nn.Module, whether: bool) -> None:
    """Have torch.compile make the code that a model's blocks are trained by, or run them as they are written.

    One piece of code for each shape that a batch gives a block, eight at most: those of networks before are dropped.
    A ninth, which no training has, is an error of PyTorch's, and what cannot be compiled as a whole an InputError.
    """
    compiled = None
    if whether:
        # A second to import, and wanted here alone.
        from torch._dynamo.exc import TorchDynamoException

        torch.compiler.reset()
        made = torch.compile(Block.through, fullgraph=True, dynamic=False, backend=BACKEND)
        compiled = partial(_compiled, made, TorchDynamoException)
    for module in model.modules():
        if isinstance(module, Block):
            module.compiled = compiled


def _compiled(
    made: Through,
    failed: type[Exception],
    block: Block,
    x: Tensor,
    branches: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    try:
        return made(block, x, branches, bias)
    except failed as error:
        # The first line says who, the second what.
        said = " ".join([line.strip() for line in str(error).splitlines() if line.strip()][:2]) or type(error).__name__
        raise InputError(f"torch.compile makes no code of the blocks ({said}); leave compile out") from error


@contextmanager
def as_written(model: nn.Module) -> Iterator[None]:
    """Within it a model's blocks run as they are written; afterwards by the code that they had, which is not dropped.

    What was compiled belongs to the process: whoever is shown the model may copy it, write it or send it elsewhere.
    """
    before = {module: module.compiled for module in model.modules() if isinstance(module, Block)}
    compile_blocks(model, False)
    try:
        yield
    finally:
        for block, compiled in before.items():
            block.compiled = compiled


def _with_gradient() -> list[SDPBackend]:
    """Those of `WITH_GRADIENT` that the caller has not ruled out, as who wants sums in a fixed order does."""
    return [kernel for kernel, allowed in WITH_GRADIENT.items() if allowed()]


def _scaled(added: Tensor, scale: Tensor | None, branches: Tensor | None, which: int) -> Tensor:
    if scale is not None:
        added = added * scale.to(added.dtype)
    return added if branches is None else added * branches[which, :, None, None].to(added.dtype)


class RelativePositions(nn.Module):
    """A learned number for every head and offset between two patches, which their score of attention gets.

    As in SimMIM's ViT, which has it of BEiT (Bao et al. 2022, arXiv 2106.08254): one table for all blocks, from 0, and
    a number each for the CLS token as it looks, as it is looked at, and at itself. One more is for pairs of which a
    view does not know the positions.
    """

    table: nn.Parameter
    offsets: Tensor

    def __init__(self, grid: tuple[int, int], heads: int) -> None:
        super().__init__()
        rows, columns = grid
        count, known = rows * columns, (2 * rows - 1) * (2 * columns - 1)
        place = torch.arange(count)
        row, column = place // columns, place % columns
        down, right = (axis[:, None] - axis + size - 1 for axis, size in ((row, rows), (column, columns)))
        # The last but one is no position, the last is CLS.
        offsets = torch.full((count + 2, count + 2), known)
        offsets[:count, :count] = down * (2 * columns - 1) + right
        offsets[-1], offsets[:, -1], offsets[-1, -1] = known + 1, known + 2, known + 3
        self.table = nn.Parameter(torch.zeros(known + 4, heads))
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, positions: Tensor) -> Tensor:
        """What scores get.

        Args:
            positions: (B, T) integers in 0..n of the tokens after CLS, n meaning no position.

        Returns:
            (B, heads, 1 + T, 1 + T), or (1, heads, ...) where all rows are one that was expanded.
        """
        at = positions[:1] if positions.stride(0) == 0 else positions
        at = functional.pad(at, (1, 0), value=len(self.offsets) - 1)
        every = self.table.T[:, self.offsets]
        return every[:, at[:, :, None], at[:, None, :]].transpose(0, 1)


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Softmax(q kᵀ/√width + bias) v over the last two dimensions.

    Written out where PyTorch's fused kernel is the slower one: in bfloat16 on a CPU, at the lengths of small images
    (benchmarks/training.py).

    Args:
        q: (B, heads, T, width).
        k: likewise.
        v: likewise.
        bias: (B or 1, heads, T, T); None: 0.

    Returns:
        (B, heads, T, width).
    """
    if bias is not None:
        bias = bias.to(q.dtype)
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        score = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        score = score if bias is None else score + bias
        written_out: Tensor = score.softmax(dim=-1, dtype=q.dtype) @ v
        return written_out
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def sincos_positions(grid: tuple[int, int], dim: int) -> Tensor:
    """(n + 1, dim) float32, fixed sines and cosines of column and then row; the last row, no position, is zero.

    Columns come first as in the checkpoints that He et al. published (facebookresearch/mae).
    """
    rows, columns = grid
    index = torch.arange(rows * columns, dtype=torch.float64)
    quarter = dim // 4
    frequency = torch.exp(-math.log(10_000) * torch.arange(quarter, dtype=torch.float64) / max(quarter, 1))
    parts = []
    for coordinate in (index % columns, index // columns):
        angle = coordinate[:, None] * frequency
        parts += [angle.sin(), angle.cos()]
    table = torch.zeros(rows * columns + 1, dim, dtype=torch.float64)
    table[:-1, : 4 * quarter] = torch.cat(parts, dim=1)
    return table.float()
