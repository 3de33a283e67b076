"""The training step of facebookresearch/mae and of U-MAE, written down literally: what ours is timed against.

Kept as it is there: the noise is sorted and the order sorted again, visible tokens are gathered, tokens are put back
in place with mask tokens between them, the decoder answers for every patch and the loss is masked afterwards; AdamW
is not fused and the loss is read every step. Kept out: reading images, which all have in memory here.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.model import ModelConfig
from maskgraph.empirical.published import from_published


class Attention(nn.Module):
    """As in timm 0.3.2, scores and softmax written out, or by PyTorch's fused kernel as in later versions."""

    def __init__(self, dim: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused, self.scale = heads, fused, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim)."""
        batch, length, dim = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1) @ v
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return out


class Mlp(nn.Module):
    """Two layers and a GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim)."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Pre-norm."""

    def __init__(self, dim: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn, self.mlp = Attention(dim, heads, fused), Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class PatchEmbed(nn.Module):
    """A convolution whose stride is its size."""

    def __init__(self, side: int, channels: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, side, stride=side)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, n, dim)."""
        out: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return out


class LiteralMAE(nn.Module):
    """Parameters under their published names, so that weights of ours load (`maskgraph.empirical.published`)."""

    pos_embed: nn.Parameter
    decoder_pos_embed: nn.Parameter

    def __init__(self, shape: ModelConfig, side: int, channels: int, fused: bool = False) -> None:
        super().__init__()
        n = shape.grid[0] * shape.grid[1]
        self.side = side
        self.patch_embed = PatchEmbed(side, channels, shape.dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, n + 1, shape.dim), requires_grad=False)
        self.blocks = nn.ModuleList(Block(shape.dim, shape.heads, fused) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.dim, eps=1e-6)
        self.decoder_embed = nn.Linear(shape.dim, shape.decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, shape.decoder_dim))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, n + 1, shape.decoder_dim), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(
            Block(shape.decoder_dim, shape.decoder_heads, fused) for _ in range(shape.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(shape.decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(shape.decoder_dim, side**2 * channels)

    def patchify(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, n, side²·C)."""
        batch, channels, height, _ = images.shape
        h = height // self.side
        cut = images.reshape(batch, channels, h, self.side, h, self.side)
        return torch.einsum("nchpwq->nhwpqc", cut).reshape(batch, h * h, self.side**2 * channels)

    def forward(self, images: Tensor, noise: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        """The loss, and the CLS feature of the visible view that U-MAE makes uniform.

        Args:
            images: (B, C, H, W).
            noise: (B, n) whose `kept` smallest say which patches stay.
            kept: n1.
        """
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        batch, n, dim = x.shape
        ids_shuffle = torch.argsort(noise, dim=1)
        ids_restore = torch.argsort(ids_shuffle, dim=1)
        x = torch.gather(x, 1, ids_shuffle[:, :kept, None].repeat(1, 1, dim))
        mask = torch.ones(batch, n, device=x.device)
        mask[:, :kept] = 0
        mask = torch.gather(mask, 1, ids_restore)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        x = torch.cat([cls, x], dim=1)
        for block in self.blocks:
            x = block(x)
        latent = self.norm(x)
        x = self.decoder_embed(latent)
        masked = self.mask_token.repeat(batch, n - kept, 1)
        filled = torch.cat([x[:, 1:], masked.to(x.dtype)], dim=1)
        filled = torch.gather(filled, 1, ids_restore[:, :, None].repeat(1, 1, x.shape[2]))
        x = torch.cat([x[:, :1], filled], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        predicted = self.decoder_pred(self.decoder_norm(x))[:, 1:]
        loss = ((predicted - self.patchify(images)) ** 2).mean(dim=-1)
        return (loss * mask).sum() / mask.sum(), latent[:, 0]


class LiteralStep:
    """A training step on images in memory.

    Attributes:
        model: what is trained.
    """

    def __init__(
        self,
        tensors: dict[str, Tensor],
        images: Tensor,
        batch: int,
        kept: int,
        fused: bool = False,
        half: bool = False,
        lam: float = 0.0,
    ) -> None:
        """Take up weights.

        Args:
            tensors: the weights, by their published names.
            images: (N, C, H, W) float32, where the step is made.
            batch: images a step.
            kept: patches shown of each.
            fused: whether attention is PyTorch's kernel.
            half: whether it runs under bfloat16 autocast.
            lam: weight of U-MAE's uniformity; 0: MAE.
        """
        shape, device = from_published(tensors).model.config, images.device
        side = tensors["patch_embed.proj.weight"].shape[2]
        self.model = LiteralMAE(shape, side, images.shape[1], fused)
        self.model.load_state_dict(tensors)
        self.model.to(device)
        self.images, self.batch, self.kept, self.half, self.lam = images, batch, kept, half, lam
        self.rng = np.random.default_rng(0)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.05},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95))

    def __call__(self) -> float:
        """One step; the loss, which the published code reads every time."""
        device = self.images.device
        images = self.images[torch.as_tensor(self.rng.integers(len(self.images), size=self.batch), device=device)]
        noise = torch.rand(self.batch, self.model.pos_embed.shape[1] - 1, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            loss, cls = self.model(images, noise, self.kept)
            if self.lam:
                z = functional.normalize(cls.float(), dim=1)
                loss = loss + self.lam * (z @ z.T).square().mean()
        value = float(loss.item())
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return value
