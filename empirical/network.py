"""A model as training runs it: a batch in, its reconstruction and the features of its views out."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from maskgraph.empirical.blocks import compile_blocks
from maskgraph.empirical.config import PRECISIONS, TrainConfig
from maskgraph.empirical.data import Batch
from maskgraph.empirical.model import MaskedModel
from maskgraph.empirical.objective import normalise_patches, reconstruction_share, unit
from maskgraph.graphs.errors import unknown


class Network(nn.Module):
    """The model in the precision and with the feature of a configuration.

    Attributes:
        model: its parameters are all that there are.
    """

    def __init__(self, model: MaskedModel, config: TrainConfig, device: torch.device) -> None:
        super().__init__()
        self.model, self._config, self._device = model, config, device
        compile_blocks(model, config.compile)

    def forward(self, batch: Batch, branches: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, n2, s) and features of unit norm (B, D), both float32.

        Args:
            batch: what is shown and asked for.
            branches: (depth, 2, B), see `MaskedModel.encode`.
        """
        with autocast(self._config.precision, self._device):
            reconstruction, tokens = self.model(batch.visible, batch.positions, batch.slots, branches)
            tokens = self.model.norm(tokens) if self._config.final_norm == "twice" else tokens
            return reconstruction.float(), unit(self.model.feature(tokens, self._config.feature))


def check_precision(precision: str) -> None:
    """Raise InputError for a precision that there is not."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)


def resolve_precision(precision: str, device: torch.device) -> str:
    """What auto stands for on a device, bf16 on CUDA, fp32 on a CPU; the others stand for themselves.

    Raises:
        InputError: another name.
    """
    check_precision(precision)
    return precision if precision != "auto" else "bf16" if device.type == "cuda" else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a model runs in a precision: auto, fp32 or bf16."""
    if resolve_precision(precision, device) == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def error_share(config: TrainConfig, reconstruction: Tensor, batch: Batch, size: int) -> Tensor:
    """What a part of a batch brings to the reconstruction loss of the whole (see `reconstruction_share`).

    Args:
        config: which targets, and which distance to them.
        reconstruction: (b, n2, s).
        batch: the part.
        size: B, images of the whole.
    """
    target = normalise_patches(batch.target) if config.target == "normalised" else batch.target
    return reconstruction_share(reconstruction, target, batch.weights, size, config.error)
