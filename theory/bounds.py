"""Every bound, one function each; numbers are those of "How Mask Matters" (Zhang, Wang, Wang, NeurIPS 2022).

The paper prints its constants as "const" and c1..c4; those here are our explicit constants, derived in
docs/theory.md. Losses are sums over the d target values; L is on squared distances.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError, check_above_zero, check_non_negative, check_reals, is_real
from maskgraph.theory.dimension import check_positive

ROUNDING = 1e-12
"""Relative rounding of a bound over at most some thousand eigenvalues."""


def check_constants(lipschitz: float, lam: float | None = None, epsilon: float | None = None) -> None:
    """Raise InputError unless L > 0, λ > 0 and ε >= 0 are finite numbers; a λ or ε that is None is none to check."""
    for name, value in (("Lipschitz constant", lipschitz), ("lambda", lam), ("epsilon", epsilon)):
        if not (is_real(value) or (value is None and name != "Lipschitz constant")):
            raise InputError(f"{name} {value!r}; expected a number")
    if not 0 < lipschitz < math.inf:
        raise InputError(f"Lipschitz constant {lipschitz:g}; expected a positive number (see --lipschitz)")
    if lam is not None and not 0 < lam < math.inf:
        raise InputError(f"lambda {lam:g}; expected a positive number (see --lambda)")
    if epsilon is not None and not 0 <= epsilon < math.inf:
        raise InputError(f"epsilon {epsilon:g}; expected a number of at least 0 (see --epsilon)")


def is_printed_lambda(lam: float, lipschitz: float) -> bool:
    """Whether λ = 1/(4L) up to rounding, the only λ for which Thm 4.2 is printed."""
    check_above_zero(lipschitz=lipschitz, lam=lam)
    return math.isclose(lam * 4 * lipschitz, 1, rel_tol=1e-12)


def thm_3_2(asym: float, energy_h: float, energy_pseudo: float, epsilon: float) -> float:
    """L_MAE(h) >= L_asym + ½ E‖h‖² + ½ E‖h_g‖² − ε, L_asym = −E h(x1)·h_g(x2), ε = E‖h_g(x2) − x2‖² (Thm 3.2)."""
    check_reals(asym=asym)
    check_non_negative(energy_h=energy_h, energy_pseudo=energy_pseudo, epsilon=epsilon)
    return asym + energy_h / 2 + energy_pseudo / 2 - epsilon


def thm_3_4(align_h: float, energy_h: float, epsilon: float) -> float:
    """L_MAE(h) >= ½ L_align(h) + ½ E‖h‖² − ε, with ε of the pseudo-inverse encoder (Thm 3.4, Assumption 3.1)."""
    check_reals(align_h=align_h)
    check_non_negative(energy_h=energy_h, epsilon=epsilon)
    return align_h / 2 + energy_h / 2 - epsilon


def thm_3_6(variance: float) -> float:
    """Constant f: L_MAE >= Var(x2), or >= E_m Var(x2|m) for a decoder that knows the mask (Thm 3.6; S4)."""
    check_non_negative(variance=variance)
    return variance


def thm_4_1(alpha: float, phi: float, p_max: float, scl: float, frobenius_sq: float) -> float:
    """Pr[ȳ ≠ p_f(x̄)] <= 2α + 8φ + 8 p_max (L_SCL(f) + ‖A‖_F²) for every f (Thm 4.1). Above 1 it is vacuous."""
    check_non_negative(alpha=alpha, phi=phi, p_max=p_max, frobenius_sq=frobenius_sq)
    check_reals(scl=scl)
    return 2 * alpha + 8 * phi + 8 * p_max * (scl + frobenius_sq)


def thm_4_1_mean_square(phi: float, p_max: float, scl: float, frobenius_sq: float) -> float:
    """E‖onehot(y(x1)) − Wᵀf(x1)‖² <= 2φ + 2 p_max (L_SCL(f) + ‖A‖_F²), the first step of Thm 4.1."""
    check_non_negative(phi=phi, p_max=p_max, frobenius_sq=frobenius_sq)
    check_reals(scl=scl)
    return 2 * phi + 2 * p_max * (scl + frobenius_sq)


def thm_4_1_from_loss(
    alpha: float, phi: float, p_max: float, frobenius_sq: float, u_mae: float, lipschitz: float, epsilon: float
) -> float:
    """c1·L·L_U-MAE + c2·α + c3·L·ε + c4, the paper's form of Thm 4.1, for unit-norm f and λ = 1/(4L).

    c1 = c3 = 32 p_max, c2 = 2, c4 = 8φ + 8 p_max (‖A‖_F² − 2), from L_SCL <= 4L(L_U-MAE + ε) − 2.
    """
    check_non_negative(
        alpha=alpha, phi=phi, p_max=p_max, frobenius_sq=frobenius_sq, u_mae=u_mae, lipschitz=lipschitz, epsilon=epsilon
    )
    return 32 * p_max * lipschitz * (u_mae + epsilon) + 2 * alpha + 8 * phi + 8 * p_max * (frobenius_sq - 2)


def phi_from_alpha(alpha: float, alpha_target: float) -> float:
    """φ <= 2(α + α_target) on the target hop."""
    check_non_negative(alpha=alpha, alpha_target=alpha_target)
    return 2 * (alpha + alpha_target)


def thm_4_2(head_sq: float, lipschitz: float, epsilon: float) -> float:
    """L_U-MAE >= (1/4L)(2 − Σ_{i<=k} λ_i²) − ε for unit-norm f and λ = 1/(4L) (Thm 4.2).

    The same number as the printed (1/4L) Σ_{i>k} λ_i² + const, const = 1/(2L) − ‖A‖_F²/(4L) − ε, which depends on
    A and so on the mask: it is the head that moves, and past a head of 2 the bound is negative.
    """
    check_non_negative(head_sq=head_sq, epsilon=epsilon)
    check_above_zero(lipschitz=lipschitz)
    return (2 - head_sq) / (4 * lipschitz) - epsilon


def thm_4_2_any_lambda(head_sq: float, lipschitz: float, lam: float, epsilon: float) -> float:
    """L_U-MAE >= 1/(2L) − Σ_{i<=k} λ_i² / (16 L² λ) − ε for unit-norm f and any λ > 0 (Thm 4.2's steps)."""
    check_non_negative(head_sq=head_sq, epsilon=epsilon)
    check_above_zero(lipschitz=lipschitz, lam=lam)
    # L(Lλ) and not L²λ: the square of an extreme L is no double.
    return 1 / (2 * lipschitz) - head_sq / (16 * lipschitz * (lipschitz * lam)) - epsilon


def water_filling(values: NDArray[np.float64], lipschitz: float, lam: float) -> float:
    """S2: L_U-MAE >= min (1/L)(1 − Σ λ_i g_i) + λ Σ g_i² over g >= 0, Σ g_i = 1, for unit-norm f.

    G = FFᵀ is positive semidefinite of rank at most k and trace 1, and tr AG <= Σ λ_i g_i (von Neumann).
    Solved by g_i = [(λ_i/L + μ)/(2λ)]_+ with μ set by Σ g_i = 1. Never negative, needs no ε, and at
    λ = 1/(4L) never below Thm 4.2 with ε = 0.

    Args:
        values: (k,) the k largest eigenvalues of A, descending, with multiplicity.
        lipschitz: the one-sided L.
        lam: λ.

    Raises:
        InputError: see `water_filling_moments`.
    """
    g = water_filling_moments(values, lipschitz, lam)
    return float((1 - np.asarray(values)[: len(g)]) @ g) / lipschitz + lam * float(g @ g)


def water_filling_moments(values: NDArray[np.float64], lipschitz: float, lam: float) -> NDArray[np.float64]:
    """The minimiser g of S2, (m,) float64 with m <= k: its positive entries, which come first. See `water_filling`.

    Raises:
        InputError: no eigenvalues, or others than finite ones, descending; an L or λ that is no positive number.
    """
    check_constants(lipschitz, lam)
    check_reals(lam=lam)
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in "fiu":
        raise InputError(f"values of shape {values.shape} and dtype {values.dtype}; expected eigenvalues (k,)")
    # NaN is neither more nor less than what follows.
    if not (np.isfinite(values[0]) and (values[1:] <= values[:-1]).all()):
        raise InputError(f"values {values}; expected finite eigenvalues, descending: np.sort(values)[::-1]")
    gain = values / lipschitz
    size = np.arange(1, len(gain) + 1)
    # lead_m = Σ_{i<m} (gain_i − gain_m): the m-th is active while 2λ exceeds it. Built from differences, so that
    # equal eigenvalues lead by exactly 0 and no small λ blows up their rounding.
    lead = np.cumsum(np.concatenate([[0.0], size[:-1] * (gain[:-1] - gain[1:])]))
    active = int(size[lead < 2 * lam][-1])
    top = gain[:active]
    return np.asarray(1 / active + ((top - top[-1]) - lead[active - 1] / active) / (2 * lam))


def s1(pair_distance: float) -> float:
    """S1: L_MAE >= ½ E‖h − h⁺‖² with no assumption, twice Thm 3.4 and without its ε."""
    check_non_negative(pair_distance=pair_distance)
    return pair_distance / 2


def uniformity_floor(k: int) -> float:
    """U: L_unif(f) = 1/PR(E ffᵀ) >= 1/k for unit-norm f in k dimensions, PR the participation ratio."""
    check_positive(k)
    return 1 / k


def trivial(lam: float, k: int) -> float:
    """λ/k, what U alone gives of L_MAE + λL_unif (docs/theory.md, section 9)."""
    check_non_negative(lam=lam)
    check_positive(k)
    return lam / k


def is_vacuous(value: float, lam: float, k: int) -> bool:
    """Whether a lower bound of L_MAE + λL_unif says no more than `trivial`, up to rounding."""
    check_reals(value=value)
    return value <= trivial(lam, k) * (1 + ROUNDING)


def spectral_embedding_error(phi: float, next_value: float) -> float:
    """E‖onehot(y(x1)) − best linear‖² <= φ/(1 − λ_{k+1}) for the exact top-k eigenvectors (HaoChen et al. 2021).

    Args:
        phi: φ of the hop.
        next_value: λ_{k+1}.

    Raises:
        InputError: λ_{k+1} = 1, where the graph has more than k components and nothing can be said.
    """
    check_non_negative(phi=phi)
    # An eigenvalue of 0 may come out below it.
    check_reals(next_value=next_value)
    if next_value >= 1:
        raise InputError(
            f"lambda_(k+1) = {next_value:g}: the graph has more than k components and the bound divides by zero; "
            "raise --dim above the number of components"
        )
    return phi / (1 - next_value)
