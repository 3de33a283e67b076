"""Models of one architecture as one model, whose batch is theirs end to end.

No part of a model but its leaves knows which parameters it applies: a linear layer, a norm or a token that gives every
row those of the row's own model makes M models of the one definition that there is. Attention is not a leaf and stays
the fused kernel, over M·B images, where `torch.func.vmap` would loop over the models or write it out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.model import MaskedModel

TOKENS = ("cls", "mask_token")
"""Parameters that a model adds to its tokens or puts among them, by itself and not in a layer."""


class StackedLinear(nn.Module):
    """The linear layers of M models, `weight` (M, out, in) and `bias` (M, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight, self.bias = (
            _stacked([layer.weight for layer in layers]),
            _stacked([layer.bias for layer in layers]),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(M·B, ..., in) to (M·B, ..., out)."""
        rows = x.reshape(len(self.weight), -1, x.shape[-1])
        return torch.baddbmm(self.bias[:, None], rows, self.weight.mT).view(*x.shape[:-1], -1)


class StackedNorm(nn.Module):
    """The layer norms of M models, `weight` and `bias` (M, dim)."""

    def __init__(self, layers: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.eps = layers[0].eps
        self.weight, self.bias = (
            _stacked([layer.weight for layer in layers]),
            _stacked([layer.bias for layer in layers]),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(M·B, ..., dim), normalised over dim, scaled and shifted."""
        rows = functional.layer_norm(x, x.shape[-1:], eps=self.eps).view(len(self.weight), -1, x.shape[-1])
        return torch.addcmul(self.bias[:, None], rows, self.weight[:, None]).view(x.shape)


def stack_models(models: Sequence[MaskedModel]) -> MaskedModel:
    """One model whose every parameter has a leading axis of M, copies of those of M models, under their names.

    Called with `own_tokens` in the places of its tokens, it takes the batches of all models, one after the other, and
    answers for each as the model would.

    Args:
        models: of one architecture and one floating type, on one device.
    """
    stacked = copy.deepcopy(models[0])
    for name, layer in models[0].named_modules():
        if isinstance(layer, nn.Linear | nn.LayerNorm):
            folder, _, own = name.rpartition(".")
            together = [model.get_submodule(name) for model in models]
            setattr(stacked.get_submodule(folder), own, _stacked_layer(together))
    for name in TOKENS:
        setattr(stacked, name, _stacked([getattr(model, name) for model in models]))
    return stacked


def own_tokens(stacked: MaskedModel, batch: int) -> dict[str, Tensor]:
    """What `torch.func.functional_call` is to put in the places of a stacked model's tokens.

    Args:
        stacked: as `stack_models` gives it.
        batch: B, images of each model.

    Returns:
        by name, (M·B, 1, dim) each: every image's own.
    """
    return {name: getattr(stacked, name).repeat_interleave(batch, dim=0)[:, None] for name in TOKENS}


def _stacked_layer(layers: Sequence[nn.Module]) -> nn.Module:
    if linear := [layer for layer in layers if isinstance(layer, nn.Linear)]:
        return StackedLinear(linear)
    return StackedNorm([layer for layer in layers if isinstance(layer, nn.LayerNorm)])


def _stacked(parameters: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([parameter.detach() for parameter in parameters]))
