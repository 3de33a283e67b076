"""What an iterative solve answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ConvergenceError(ArithmeticError):
    """An iterative solve that did not reach its tolerance; the message has the interval that it did reach."""


@dataclass(frozen=True)
class Bracket:
    """lower[i] <= λ_i <= upper[i] of the eigenvalues beside a known 1, i = 0, 1, …, and λ_i <= nu of all others.

    Attributes:
        lower: (p,) float64, descending.
        upper: (p,) float64, descending.
        nu: bounds every eigenvalue from the p-th on.
        slack: what of the width of each is an allowance for rounding, on either side.
    """

    lower: Floats
    upper: Floats
    nu: float
    slack: float


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenpairs of one component beside its eigenvalue 1.

    Attributes:
        values: (p,) float64, descending.
        bracket: bounds of the true eigenvalues.
        vectors: (m, p) float64, orthonormal.
        images: (m, p) float64, A times them.
        residuals: (p,) float64, ‖A v − λ v‖.
    """

    values: Floats
    bracket: Bracket
    vectors: Floats
    images: Floats
    residuals: Floats
