"""Transformer blocks, and position tables: what every encoder and decoder here is made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-norm transformer block (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, branches: Tensor | None = None) -> Tensor:
        """Tokens after the block.

        Args:
            x: (B, T, dim).
            branches: (2, B) factors of what attention and MLP add to each image; None: 1.

        Returns:
            (B, T, dim).
        """
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = attention(q, k, v).transpose(1, 2).reshape(batch, length, dim)
        x = x + _scaled(self.proj(mixed), branches, 0)
        out: Tensor = x + _scaled(self.fc2(functional.gelu(self.fc1(self.norm2(x)))), branches, 1)
        return out


def _scaled(added: Tensor, branches: Tensor | None, which: int) -> Tensor:
    return added if branches is None else added * branches[which, :, None, None].to(added.dtype)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q kᵀ/√width) v over the last two dimensions.

    Written out where PyTorch's fused kernel is the slower one: in bfloat16 on a CPU, at the lengths of small images
    (benchmarks/training.py).

    Args:
        q: (B, heads, T, width).
        k: likewise.
        v: likewise.

    Returns:
        (B, heads, T, width).
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        score = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        written_out: Tensor = score.softmax(dim=-1, dtype=q.dtype) @ v
        return written_out
    return functional.scaled_dot_product_attention(q, k, v)


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
