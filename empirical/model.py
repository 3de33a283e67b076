"""A ViT masked autoencoder in one file, after He et al. 2022 (arXiv 2111.06377), and the losses of MAE and U-MAE.

The encoder sees visible patches only. Positions are arguments, because a view identity decides which of them a
model may know (`graphs.views.known_positions`): the true ones, ranks, or none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.graphs.errors import InputError

FeatureKind = Literal["cls", "mean"]

SIZES = {
    "micro": (64, 2, 4, 32, 1, 2),
    "tiny": (192, 12, 3, 192, 4, 3),
    "base": (768, 12, 12, 512, 8, 16),
    "large": (1024, 24, 16, 512, 8, 16),
}
"""Encoder (dim, depth, heads) and decoder (dim, depth, heads) of each size."""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture.

    Attributes:
        grid: (rows, columns) of the patches of an image, n = rows·columns.
        patch_dim: s, values of a patch: side²·channels.
        dim: width of the encoder, the dimension of cls and mean features.
        depth: its blocks.
        heads: its attention heads.
        decoder_dim: width of the decoder.
        decoder_depth: its blocks.
        decoder_heads: its attention heads.
    """

    grid: tuple[int, int]
    patch_dim: int
    dim: int
    depth: int
    heads: int
    decoder_dim: int
    decoder_depth: int
    decoder_heads: int


def model_config(size: str, grid: tuple[int, int], patch_dim: int) -> ModelConfig:
    """The architecture of a named size: micro (digits), tiny, base, large.

    Raises:
        InputError: an unknown size.
    """
    if size not in SIZES:
        raise InputError(f"unknown size {size!r}; expected one of {', '.join(SIZES)}")
    return ModelConfig(grid, patch_dim, *SIZES[size])


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) to (B, T, dim)."""
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, dim)
        x = x + self.proj(mixed)
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return out


class MaskedAutoencoder(nn.Module):
    """The encoder f and the decoder g; h = g∘f is the reconstruction of the dropped patches."""

    encoder_positions: Tensor
    decoder_positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_dim, config.dim)
        self.cls = nn.Parameter(torch.empty(1, 1, config.dim))
        self.blocks = nn.ModuleList(Block(config.dim, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.decoder_embed = nn.Linear(config.dim, config.decoder_dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, config.decoder_dim))
        self.decoder_blocks = nn.ModuleList(
            Block(config.decoder_dim, config.decoder_heads) for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(config.decoder_dim, eps=1e-6)
        self.head = nn.Linear(config.decoder_dim, config.patch_dim)
        self.register_buffer("encoder_positions", sincos_positions(config.grid, config.dim), persistent=False)
        self.register_buffer("decoder_positions", sincos_positions(config.grid, config.decoder_dim), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.cls, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)

    def encode(self, patches: Tensor, positions: Tensor) -> Tensor:
        """Tokens of visible patches.

        Args:
            patches: (B, T, s).
            positions: (B, T) integers in 0..n, n meaning no position.

        Returns:
            (B, 1 + T, dim), CLS first.
        """
        x = self.embed(patches) + self.encoder_positions[positions]
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens

    def decode(self, tokens: Tensor, positions: Tensor, targets: Tensor) -> Tensor:
        """Patches at the target positions, from all tokens of the visible ones.

        Args:
            tokens: (B, 1 + T, dim).
            positions: (B, T) of the visible patches.
            targets: (B, n2) of the dropped patches.

        Returns:
            (B, n2, s).
        """
        x = self.decoder_embed(tokens)
        seen = x[:, 1:] + self.decoder_positions[positions]
        asked = self.mask_token + self.decoder_positions[targets]
        x = torch.cat([x[:, :1], seen, asked], dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        out: Tensor = self.head(self.decoder_norm(x[:, -targets.shape[1] :]))
        return out

    def forward(self, patches: Tensor, positions: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(reconstruction (B, n2, s), tokens (B, 1 + T, dim))."""
        tokens = self.encode(patches, positions)
        return self.decode(tokens, positions, targets), tokens


def build_model(config: ModelConfig, seed: int) -> MaskedAutoencoder:
    """A model initialised from a seed, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the CUDA generators too, which the fork does not restore.
        torch.default_generator.manual_seed(seed)
        return MaskedAutoencoder(config)


def feature(tokens: Tensor, kind: FeatureKind) -> Tensor:
    """F as one vector: the CLS token, or the mean of the patch tokens.

    Args:
        tokens: (B, 1 + T, dim).
        kind: cls or mean.

    Returns:
        (B, dim), not normalised.
    """
    return tokens[:, 0] if kind == "cls" else tokens[:, 1:].mean(dim=1)


def check_feature(kind: str) -> None:
    """Raise InputError for a kind of feature that does not exist."""
    if kind not in get_args(FeatureKind):
        raise InputError(f"unknown feature {kind!r}; expected one of {', '.join(get_args(FeatureKind))}")


def reconstruction_loss(reconstruction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean over images and target values of the squared error: L_MAE / d, d = n2·s.

    Args:
        reconstruction: (B, n2, s).
        target: (B, n2, s).
        weights: (B,) data weights relative to uniform, 1 on average over the data.
    """
    return (weights * (reconstruction - target).square().mean(dim=(1, 2))).mean()


def uniformity_loss(features: Tensor, weights: Tensor) -> Tensor:
    """Σ_ij w_i w_j (z_i·z_j)² / B² of L2-normalised features, diagonal included as in the reference U-MAE code.

    The diagonal keeps it at or above max(1/D, 1/B) for uniform weights, while L_unif on the graph is without it.
    Because the reconstruction loss is a mean over d target values, MAE + lam·uniformity is (L_MAE + d·lam·L_unif)/d:
    the λ of the theory is d·lam.

    Args:
        features: (B, D).
        weights: (B,) data weights relative to uniform.
    """
    z = functional.normalize(features, dim=1)
    return torch.einsum("i,j,ij->", weights, weights, (z @ z.T).square()) / len(z) ** 2


def sincos_positions(grid: tuple[int, int], dim: int) -> Tensor:
    """(n + 1, dim) fixed sines and cosines of row and column; the last row, no position, is zero."""
    rows, columns = grid
    index = torch.arange(rows * columns, dtype=torch.float64)
    quarter = dim // 4
    frequency = torch.exp(-math.log(10_000) * torch.arange(quarter, dtype=torch.float64) / max(quarter, 1))
    parts = []
    for coordinate in (index // columns, index % columns):
        angle = coordinate[:, None] * frequency
        parts += [angle.sin(), angle.cos()]
    table = torch.zeros(rows * columns + 1, dim, dtype=torch.float64)
    table[:-1, : 4 * quarter] = torch.cat(parts, dim=1)
    return table.float()
