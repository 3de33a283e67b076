"""Upper bounds on the eigenvalues of a symmetric positive semidefinite A, from an approximate eigenbasis.

With U orthonormal, Θ = UᵀAU, R = AU − UΘ, C = (I − UUᵀ)A(I − UUᵀ) and ν >= ‖C‖, in the basis [U, U⊥]

    A = [ Θ   Eᵀ ]   with EᵀE = RᵀR and ‖D‖ = ‖C‖ <= ν.
        [ E   D  ]

For σ > ν the block D − σ is negative definite, so by Haynsworth's inertia additivity the number of eigenvalues
of A above σ is that of Θ − σ + Eᵀ(σ − D)⁻¹E, which is at most Θ − σ + RᵀR/(σ − ν) in the positive semidefinite
order. With σ = max(ν + s, eig_i(Θ + RᵀR/s)) for any s > 0 at most i − 1 eigenvalues exceed σ: λ_i(A) <= σ.

A residual alone says that *some* eigenvalue is near each Ritz value; it is ν that tells whether one was missed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import gammaincinv

Apply = Callable[[NDArray[np.float64]], NDArray[np.float64]]

HUGE = 1e100
"""Far from overflow, and as sure a sign as any that ‖C‖ exceeds the guess."""

BLOCK = 8
"""Columns of the random block: the more, the less the test pays for a small δ."""


def norm_upper_bound(
    apply: Apply, size: int, guess: float, degree: int, failure: float, rng: np.random.Generator
) -> float:
    """ν with ‖C‖ <= ν except with probability `failure`, for symmetric positive semidefinite C.

    Chebyshev test on a fresh Gaussian block Ω (size × r): if ‖C‖ > a, with unit top eigenvector u,
    ‖T_q(2C/a − I)Ω‖_F >= T_q(2‖C‖/a − 1)·‖uᵀΩ‖ and ‖uᵀΩ‖² is χ²_r, hence above its δ-quantile with
    probability 1 − δ; solve for ‖C‖. (In the manner of Kuczyński and Woźniakowski, SIAM J. Matrix Anal. 1992.)

    Args:
        apply: C times a (size, r) block.
        size: order of C.
        guess: a > 0, where ‖C‖ is believed to lie; the answer is never below it.
        degree: q of the polynomial; the answer exceeds max(a, ‖C‖) by a factor of about 1 + (log(size)/q)²/4.
        failure: δ.
        rng: source of Ω; must be fresh, independent of what C was made from.
    """
    previous = rng.standard_normal((size, BLOCK))
    current = 2 * apply(previous) / guess - previous
    reached = 1
    # Where ‖C‖ is far above the guess the recurrence explodes; the test is valid at whatever degree it has reached.
    while reached < degree and float(np.abs(current).max()) < HUGE:
        previous, current = current, 2 * (2 * apply(current) / guess - current) - previous
        reached += 1
    quantile = 2 * float(gammaincinv(BLOCK / 2, failure))
    excess = float(np.linalg.norm(current)) / np.sqrt(quantile)
    return guess / 2 * (1 + float(np.cosh(np.arccosh(max(excess, 1.0)) / reached)))


def eigenvalue_upper_bounds(
    theta: NDArray[np.float64], residual_gram: NDArray[np.float64], nu: float
) -> NDArray[np.float64]:
    """λ_i(A) <= the i-th entry, from Ritz values and residuals (see the module's text).

    Args:
        theta: (p,) Ritz values, descending: Θ is diagonal.
        residual_gram: (p, p) RᵀR.
        nu: an upper bound of ‖C‖.

    Returns:
        (p,) float64, descending.
    """
    gap = np.abs(theta - nu)
    best = np.full(len(theta), np.inf)
    # Any s > 0 is valid: the gap of each Ritz value to ν is the best for that value, the others serve clusters at ν.
    for s in np.unique(np.concatenate([gap[gap > 0], np.logspace(-12, -2, 6)])):
        shifted = scipy.linalg.eigvalsh(np.diag(theta) + residual_gram / s)[::-1]
        best = np.minimum(best, np.maximum(nu + s, shifted))
    return best
