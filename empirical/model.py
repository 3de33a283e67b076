"""Masked autoencoders in one file: MAE (He et al. 2022, arXiv 2111.06377), SimMIM (Xie et al. 2022, 2111.09886).

Both are h = g∘f: an encoder of the visible patches x1 and a decoder that answers at the dropped ones. Positions are
arguments, because a view identity decides which of them a model may know (`graphs.views.known_positions`): the true
ones, ranks, or none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.blocks import Block, RelativePositions, sincos_positions
from maskgraph.graphs.errors import InputError, check_type, unknown

Family = Literal["mae", "simmim"]
FeatureKind = Literal["cls", "mean", "tokens", "bottleneck"]
"""f as one vector: the CLS token; the mean of the patch tokens; all tokens, one after the other, which is all that
the decoder reads; the unit vector of a bottleneck, where the model has one."""

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
        decoder_dim: width of the decoder; SimMIM, whose decoder is one linear layer, uses none of its sizes.
        decoder_depth: its blocks.
        decoder_heads: its attention heads.
        family: mae or simmim.
        bottleneck: k where the decoder sees nothing but a unit vector of dimension k; None: it sees every token.
        reads: the feature that the bottleneck is a linear map of, cls or mean.
        relative: whether the encoder learns numbers for offsets between patches (`RelativePositions`) in place of the
            fixed table of positions.
        layer_scale: start of the factors of the encoder's branches (see `Block`); 0: none.
    """

    grid: tuple[int, int]
    patch_dim: int
    dim: int
    depth: int
    heads: int
    decoder_dim: int
    decoder_depth: int
    decoder_heads: int
    family: Family = "mae"
    bottleneck: int | None = None
    reads: FeatureKind = "cls"
    relative: bool = False
    layer_scale: float = 0.0

    def __post_init__(self) -> None:
        """See that the widths can be split over the heads and the bottleneck has a decoder behind it."""
        parts = (("encoder", self.dim, self.heads), ("decoder", self.decoder_dim, self.decoder_heads))
        for name, dim, heads in parts:
            if dim < 1 or heads < 1 or dim % heads:
                raise InputError(f"{name} width {dim} over {heads} heads; expected a multiple of the number of heads")
        if self.depth < 1 or self.decoder_depth < 1:
            raise InputError(f"depths {self.depth} and {self.decoder_depth}; expected at least 1 block each")
        if self.bottleneck is not None and self.family == "simmim":
            raise InputError(
                "a bottleneck needs a decoder behind it, and SimMIM's is one linear layer; use mae or u-mae"
            )
        if self.bottleneck is not None and self.bottleneck < 1:
            raise InputError(f"bottleneck {self.bottleneck}; expected a dimension of at least 1")
        if not 0 <= self.layer_scale < math.inf:
            raise InputError(f"layer_scale {self.layer_scale:g}; expected 0, or a small positive number, such as 0.1")


def check_patches(model: MaskedModel, name: str, grid: tuple[int, int], patch_dim: int) -> None:
    """See that a network reads images that are cut so: of another grid its positions would be others.

    Args:
        model: the network.
        name: of the images.
        grid: (rows, columns) of their patches.
        patch_dim: values of a patch.

    Raises:
        InputError: no network, another grid, or patches of another size.
    """
    check_type(model, MaskedModel, "give the network itself, such as trained.model of what train returns")
    config = model.config
    if (grid, patch_dim) != (config.grid, config.patch_dim):
        here, there = ("x".join(map(str, one)) for one in (grid, config.grid))
        raise InputError(
            f"{name} has {here} patches of {patch_dim} values, and the network reads {there} of {config.patch_dim}; "
            "bring the images to its size and patch, or take a network of theirs"
        )


def model_config(size: str, grid: tuple[int, int], patch_dim: int, **changes: object) -> ModelConfig:
    """The architecture of a named size: micro (digits), tiny, base, large.

    Args:
        size: its name.
        grid: (rows, columns) of the patches.
        patch_dim: values of a patch.
        changes: other fields of `ModelConfig`; None leaves what the size says.

    Raises:
        InputError: an unknown size, or fields that make no model.
    """
    if size not in SIZES:
        raise unknown("size", size, SIZES)
    names = ("dim", "depth", "heads", "decoder_dim", "decoder_depth", "decoder_heads")
    fields: dict[str, Any] = dict(zip(names, SIZES[size], strict=True))
    fields |= {name: value for name, value in changes.items() if value is not None}
    return ModelConfig(grid, patch_dim, **fields)


class MaskedModel(nn.Module):
    """What MAE and SimMIM share: patch embedding, positions, the encoder's blocks, and features."""

    encoder_positions: Tensor
    mask_token: nn.Parameter
    head: nn.Linear

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.patch_dim, config.dim)
        self.cls = nn.Parameter(torch.empty(config.dim))
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.layer_scale) for _ in range(config.depth))
        self.norm: nn.Module = nn.LayerNorm(config.dim, eps=1e-6)
        self.relative = RelativePositions(config.grid, config.heads) if config.relative else None
        fixed = sincos_positions(config.grid, config.dim)
        if config.relative:
            fixed.zero_()
        self.register_buffer("encoder_positions", fixed, persistent=False)

    @property
    def features(self) -> tuple[FeatureKind, ...]:
        """The features whose dimension is the same for every number of visible patches."""
        return ("cls", "mean") if self.config.bottleneck is None else ("cls", "mean", "bottleneck")

    def encode(self, patches: Tensor, positions: Tensor, slots: Tensor, branches: Tensor | None = None) -> Tensor:
        """Tokens of a view.

        Args:
            patches: (B, T, s).
            positions: (B, T) integers in 0..n, n meaning no position.
            slots: (B, n2) positions of the dropped patches; an encoder without mask tokens does not look at them.
            branches: (depth, 2, B) factors of what attention and MLP of every block add (drop path); None: 1.

        Returns:
            (B, 1 + T', dim), CLS first; T' = T for MAE, T + n2 for SimMIM.
        """
        return self._encoded(self._embedded(patches, positions), positions, branches)

    def decode(self, tokens: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """Patches at the slots.

        Args:
            tokens: (B, 1 + T', dim), as `encode` gives them.
            positions: (B, T) of the visible patches.
            slots: (B, n2) of the dropped patches.

        Returns:
            (B, n2, s).
        """
        raise NotImplementedError

    def layers(self, patches: Tensor, positions: Tensor) -> list[Tensor]:
        """Tokens (B, 1 + T, dim) after every block, the last of them normalised as `encode` does it; no mask tokens.

        Args:
            patches: (B, T, s).
            positions: (B, T).
        """
        x, found = self._embedded(patches, positions), []
        bias = self.relative(positions) if self.relative else None
        for block in self.blocks:
            x = block(x, bias=bias)
            found.append(x)
        return [*found[:-1], self.norm(x)]

    def forward(
        self, patches: Tensor, positions: Tensor, slots: Tensor, branches: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(reconstruction (B, n2, s), tokens (B, 1 + T', dim)), of what `encode` takes."""
        tokens = self.encode(patches, positions, slots, branches)
        return self.decode(tokens, positions, slots), tokens

    def feature(self, tokens: Tensor, kind: FeatureKind) -> Tensor:
        """F as one vector (see `FeatureKind`).

        Args:
            tokens: (B, 1 + T', dim).
            kind: a bottleneck only where the model has one.

        Returns:
            (B, D): D = dim for cls and mean, (1 + T')·dim for tokens, k for a bottleneck. Of unit norm for a
            bottleneck alone.

        Raises:
            InputError: a kind that does not exist, or that the model has not.
        """
        if kind == "cls":
            return tokens[:, 0]
        if kind == "mean":
            return tokens[:, 1:].mean(dim=1)
        check_feature(kind)
        if kind == "bottleneck":
            raise InputError("feature bottleneck of a model without one; expected cls, mean or tokens")
        return tokens.flatten(1)

    def _embedded(self, patches: Tensor, positions: Tensor) -> Tensor:
        x = self.embed(patches) + self.encoder_positions[positions]
        return torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)

    def _encoded(self, x: Tensor, positions: Tensor, branches: Tensor | None) -> Tensor:
        bias = self.relative(positions) if self.relative else None
        for index, block in enumerate(self.blocks):
            x = block(x, None if branches is None else branches[index], bias)
        tokens: Tensor = self.norm(x)
        return tokens


class MaskedAutoencoder(MaskedModel):
    """MAE: the encoder sees visible patches only, a second transformer with mask tokens answers at the others.

    With a bottleneck that transformer sees mask tokens and one vector z = W f/‖W f‖ and nothing else of the view, so
    that h = g∘f for the very z whose alignment and uniformity the theorems speak of.
    """

    decoder_positions: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if config.bottleneck is not None:
            self.bottleneck = nn.Linear(config.dim, config.bottleneck)
        self.decoder_embed = nn.Linear(config.bottleneck or config.dim, config.decoder_dim)
        self.mask_token = nn.Parameter(torch.empty(config.decoder_dim))
        self.decoder_blocks = nn.ModuleList(
            Block(config.decoder_dim, config.decoder_heads) for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(config.decoder_dim, eps=1e-6)
        self.head = nn.Linear(config.decoder_dim, config.patch_dim)
        self.register_buffer("decoder_positions", sincos_positions(config.grid, config.decoder_dim), persistent=False)
        _initialise(self)

    def decode(self, tokens: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """Patches at the slots (see `MaskedModel.decode`)."""
        asked = self.mask_token + self.decoder_positions[slots]
        if self.config.bottleneck is None:
            x = self.decoder_embed(tokens)
            seen = x[:, 1:] + self.decoder_positions[positions]
            x = torch.cat([x[:, :1], seen, asked], dim=1)
        else:
            x = torch.cat([self.decoder_embed(self.feature(tokens, "bottleneck"))[:, None], asked], dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        out: Tensor = self.head(self.decoder_norm(x[:, -slots.shape[1] :]))
        return out

    def feature(self, tokens: Tensor, kind: FeatureKind) -> Tensor:
        """F as one vector (see `MaskedModel.feature`)."""
        if kind != "bottleneck" or self.config.bottleneck is None:
            return super().feature(tokens, kind)
        return functional.normalize(self.bottleneck(super().feature(tokens, self.config.reads)), dim=1)


class SimMIM(MaskedModel):
    """SimMIM: mask tokens go through the encoder in the places of the dropped patches, one linear layer answers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.mask_token = nn.Parameter(torch.empty(config.dim))
        self.head = nn.Linear(config.dim, config.patch_dim)
        _initialise(self)

    def encode(self, patches: Tensor, positions: Tensor, slots: Tensor, branches: Tensor | None = None) -> Tensor:
        """Tokens of a view, those of the dropped patches last (see `MaskedModel.encode`)."""
        masked = self.mask_token + self.encoder_positions[slots]
        x = torch.cat([self._embedded(patches, positions), masked], dim=1)
        # Patches that are all there come in rows that share memory, and stay so.
        return self._encoded(x, torch.cat([positions, slots], dim=1) if slots.shape[1] else positions, branches)

    def decode(self, tokens: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """Patches at the slots (see `MaskedModel.decode`)."""
        out: Tensor = self.head(tokens[:, tokens.shape[1] - slots.shape[1] :])
        return out


def build_model(config: ModelConfig, seed: int) -> MaskedModel:
    """A model initialised from a seed, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the CUDA generators too, which the fork does not restore.
        torch.default_generator.manual_seed(seed)
        return MaskedAutoencoder(config) if config.family == "mae" else SimMIM(config)


def check_feature(kind: str) -> None:
    """Raise InputError for a kind of feature that does not exist."""
    if kind not in get_args(FeatureKind):
        raise unknown("feature", kind, get_args(FeatureKind))


def _initialise(model: MaskedModel) -> None:
    """Xavier for every linear layer and small normal tokens, as the reference code of MAE has it."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for name, parameter in model.named_parameters():
        if name in ("cls", "mask_token"):
            nn.init.normal_(parameter, std=0.02)
