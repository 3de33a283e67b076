"""What is not finite ends a training: it is named, and not stored."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.state import State


class TrainingDivergedError(ArithmeticError):
    """A loss, a parameter or what a network says is not a finite number any more."""


def check_finite(losses: Tensor, values: Iterable[Tensor], config: TrainConfig) -> None:
    """Raise TrainingDivergedError naming the first step whose loss is not finite, or the last where it is a value.

    Args:
        losses: (steps, 3) so far.
        values: the parameters, and whatever else has to be finite.
        config: of the model, for the message.
    """
    name = f"{config.method} at mask ratio {config.mask_ratio:g}, seed {config.seed}"
    bad = torch.nonzero(~torch.isfinite(losses).all(dim=1))
    if len(bad):
        raise TrainingDivergedError(
            f"the loss of {name} is not finite at step {int(bad[0])}; try a lower lr, or precision fp32"
        )
    if not all_finite(values):
        # The next step would have a loss that says so.
        raise TrainingDivergedError(
            f"a parameter or an output of {name} is not finite after step {len(losses) - 1}; try a lower lr, or "
            "precision fp32"
        )


def check_state(state: State) -> None:
    """Raise TrainingDivergedError where a loss, a parameter or an output is not finite (see `check_finite`)."""
    check_finite(state.total()[: state.step], [*state.model.parameters(), *state.said()], state.config)


def all_finite(values: Iterable[Tensor]) -> bool:
    """Whether tensors on one device hold neither NaN nor infinity."""
    return bool(torch.stack([torch.isfinite(value).all() for value in values]).all())
