"""Every statement that is held, in one place: number, formula, assumptions, and the chain of its proof.

Numbers "Thm" are those of "How Mask Matters" (Zhang, Wang, Wang, NeurIPS 2022), with our explicit constants; I, U and S
are those of docs/theory.md, which proves each and every step. A chain runs from the left side to the right, and
what a step gives up has the name of its cause, so that the slack of a statement is the sum of its steps'.
"""

from __future__ import annotations

import math
from typing import Any

from maskgraph.graphs.augmentation import TIE
from maskgraph.graphs.errors import unknown
from maskgraph.theory import bounds
from maskgraph.theory.assumptions import (
    CONSTANT,
    CONSTANT_GIVEN_MASK,
    EIGENVECTORS,
    EPSILON,
    EPSILON_UNNEEDED,
    LARGE_LAMBDA,
    LIPSCHITZ,
    RANK,
    TWO_SIDED,
    UNIT_F,
    UNIT_H,
)
from maskgraph.theory.rounding import EPS
from maskgraph.theory.statement import Link, Statement, Value


def _energies(t: Any) -> Any:
    return t.energy_h + t.target_energy


def _loss_size(t: Any) -> Any:
    # A sum of squared differences is good to a few ulp of itself; where they are from the mean given a target, that
    # mean is off by the rounding of a sum over a column, which enters squared.
    return t.mae + t.rounding * _energies(t)


def _u_mae(t: Any) -> Any:
    return t.mae + t.lam * t.unif


def _u_mae_size(t: Any) -> Any:
    # Unit norms, L_unif and the head are good to a few ulp of 1, and enter over L and times λ.
    return _loss_size(t) + t.epsilon + (2 + t.unif + t.head_sq) * (1 / t.L + t.lam)


def _head_leeway(t: Any) -> Any:
    return t.head_error / (4 * t.L) + t.value_error / (2 * t.L)


def _any_lambda_leeway(t: Any) -> Any:
    return t.head_error / (16 * t.L * (t.L * t.lam)) + t.value_error / (2 * t.L)


def _class_size(t: Any) -> Any:
    return 8 * (2 + (t.scale_sq * t.energy_f) ** 2 + t.frobenius_sq)


def _floor_leeway(t: Any) -> Any:
    return 2 * math.sqrt(max(t.rank_floor - t.bayes, 0.0)) * min(t.rank_excess, RANK.limit * math.sqrt(t.energy_h))


def _vote_leeway(t: Any) -> Any:
    # Votes within TIE of each other are a tie, so that a wrong vote may lack that much of half of an image's mass.
    return 2 * TIE


def _constant_leeway(t: Any) -> Any:
    # (E‖c + δ − x2‖²)^½ is at least the root of the floor less (E‖δ‖²)^½.
    return 2 * math.sqrt(t.variance * t.energy_collapsed) * min(t.apart, CONSTANT.limit)


def _constant_given_mask_leeway(t: Any) -> Any:
    return 2 * math.sqrt(t.variance_given_mask * t.energy_collapsed) * min(t.apart_given_mask, CONSTANT.limit)


def _thm_4_2_chain(rhs: Value) -> tuple[Link, ...]:
    """The chain of Thm 4.2, whose last value takes its λ as printed or any."""
    return (
        Link("L_MAE + lambda L_unif", _u_mae),
        Link("target gap", lambda t: t.half_pair_h + t.lam * t.unif),
        Link("factor 2 of Thm 3.4", lambda t: t.half_pair_h / 2 + t.lam * t.unif),
        Link("epsilon", lambda t: t.half_pair_h / 2 - t.epsilon + t.lam * t.unif),
        Link("Lipschitz", lambda t: t.half_pair_f / (2 * t.L) - t.epsilon + t.lam * t.unif),
        Link("spectral truncation", lambda t: (1 - t.aligned) / (2 * t.L) - t.epsilon + t.lam * t.unif),
        Link("spectrum of the features", lambda t: t.water_filling_half - t.epsilon),
        Link("trace constraint", rhs),
    )


STATEMENTS = (
    Statement(
        "I1",
        "the loss splits at the target",
        "L_MAE = E|h|^2 + L_align(h) + E|E[h|x2] - x2|^2",
        "=",
        (
            Link("L_MAE", lambda t: t.mae),
            Link("split given x2", lambda t: t.energy_h + t.align_h + t.target_gap, exact=True),
        ),
        _energies,
        reported=("energy_h", "align_h", "target_gap"),
    ),
    Statement(
        "I2",
        "the loss splits at the view: Bayes risk and excess",
        "L_MAE = Bayes risk + E|h - E[x2|x1]|^2",
        "=",
        (Link("L_MAE", lambda t: t.mae), Link("split given x1", lambda t: t.bayes + t.excess, exact=True)),
        _energies,
        reported=("bayes", "excess"),
    ),
    Statement(
        "I3",
        "alignment is distance in a positive pair",
        "E|h - h+|^2 / 2 = E|h|^2 + L_align(h) = tr H'(I - A)H",
        "=",
        (
            Link("E|h - h+|^2 / 2", lambda t: t.half_pair_h),
            Link("square expanded", lambda t: t.energy_h + t.align_h, exact=True),
            Link("trace", lambda t: t.trace_h, exact=True),
        ),
        _energies,
        reported=("energy_h", "align_h"),
    ),
    Statement(
        "I4",
        "the spectral contrastive loss is a matrix approximation",
        "2 L_align(f) + L_unif(f) = |A - FF'|_F^2 - |A|_F^2",
        "=",
        (Link("L_SCL", lambda t: t.scl), Link("entry by entry", lambda t: t.scl_spectral, exact=True)),
        lambda t: 1 + t.energy_f + t.energy_f**2 + t.frobenius_sq,
        reported=("align_f", "unif", "frobenius_sq"),
    ),
    Statement(
        "I5",
        "the tail needs only the head",
        "|A|_F^2 = tr B'(BB')B: the sum of all squared eigenvalues, from either side",
        "=",
        (
            Link("|A|_F^2", lambda t: t.frobenius_sq),
            Link("sum over edges", lambda t: t.frobenius_sq_edges, exact=True),
        ),
        lambda t: t.frobenius_sq * 8,
    ),
    Statement(
        "U",
        "uniformity is a rank",
        "L_unif(f) = 1/PR(E ff') >= 1/k",
        ">=",
        (
            Link("L_unif", lambda t: t.unif),
            Link("participation ratio", lambda t: t.inverse_rank, exact=True),
            Link("unequal moments", lambda t: bounds.uniformity_floor(t.k)),
        ),
        lambda t: 4.0,
        (UNIT_F,),
        reported=("k",),
    ),
    Statement(
        "Thm 3.2",
        "the loss bounds an asymmetric alignment",
        "L_MAE >= L_asym + E|h|^2/2 + E|h_g|^2/2 - epsilon",
        ">=",
        (
            Link("L_MAE", lambda t: t.mae),
            Link("factor 2", lambda t: t.half_cross - t.epsilon_found),
            Link("epsilon", lambda t: bounds.thm_3_2(t.asym, t.energy_h, t.energy_pseudo, t.epsilon)),
        ),
        lambda t: _energies(t) + t.energy_pseudo + t.epsilon,
        (EPSILON,),
        reported=("asym", "energy_h", "energy_pseudo", "epsilon"),
    ),
    Statement(
        "Thm 3.4",
        "the loss bounds an alignment of positive pairs",
        "L_MAE >= L_align(h)/2 + E|h|^2/2 - epsilon",
        ">=",
        (
            Link("L_MAE", lambda t: t.mae),
            Link("target gap", lambda t: t.half_pair_h),
            Link("factor 2", lambda t: t.half_pair_h / 2),
            Link("epsilon", lambda t: bounds.thm_3_4(t.align_h, t.energy_h, t.epsilon)),
        ),
        lambda t: _energies(t) + t.epsilon,
        (EPSILON_UNNEEDED,),
        reported=("align_h", "energy_h", "epsilon"),
    ),
    Statement(
        "Thm 3.4 unit",
        "the same with the const of unit-norm outputs",
        "L_MAE >= L_align(h)/2 + 1/2 - epsilon",
        ">=",
        (
            Link("L_MAE", lambda t: t.mae),
            Link("target gap", lambda t: t.half_pair_h),
            Link("factor 2", lambda t: t.half_pair_h / 2),
            Link("epsilon", lambda t: bounds.thm_3_4(t.align_h, 1.0, t.epsilon)),
        ),
        lambda t: _energies(t) + t.epsilon,
        (UNIT_H, EPSILON_UNNEEDED),
        reported=("align_h", "energy_h", "epsilon"),
    ),
    Statement(
        "S1",
        "twice Thm 3.4, with no assumption",
        "L_MAE >= E|h - h+|^2 / 2",
        ">=",
        (Link("L_MAE", lambda t: t.mae), Link("target gap", lambda t: bounds.s1(t.pair_h))),
        _loss_size,
        reported=("bayes",),
    ),
    Statement(
        "Thm 3.6",
        "full collapse has a price",
        "f constant: L_MAE >= Var(x2)",
        ">=",
        (
            Link("L_MAE, f constant", lambda t: t.mae_collapsed),
            Link("not the mean", lambda t: bounds.thm_3_6(t.variance)),
        ),
        lambda t: t.mae_collapsed + t.variance + EPS * (t.energy_collapsed + t.target_energy),
        (CONSTANT,),
        leeway=_constant_leeway,
        reported=("variance", "variance_given_mask"),
    ),
    Statement(
        "S4",
        "the price where the decoder knows the mask",
        "f constant: L_MAE >= E_m Var(x2|m)",
        ">=",
        (
            Link("L_MAE, f constant", lambda t: t.mae_collapsed),
            Link("not the mean of the mask", lambda t: bounds.thm_3_6(t.variance_given_mask)),
        ),
        lambda t: t.mae_collapsed + t.variance + EPS * (t.energy_collapsed + t.target_energy),
        (CONSTANT_GIVEN_MASK,),
        leeway=_constant_given_mask_leeway,
        reported=("variance", "variance_given_mask"),
    ),
    Statement(
        "S3",
        "dimensional collapse has a price",
        "linear decoder: L_MAE >= E|x2|^2 - sum_{i<=k} s_i^2",
        ">=",
        (
            Link("L_MAE", lambda t: t.mae),
            Link("split given x1", lambda t: t.bayes + t.excess, exact=True),
            Link("not the best rank-k outputs", lambda t: t.rank_floor),
        ),
        _energies,
        (RANK,),
        trivial=lambda t: t.bayes,
        leeway=_floor_leeway,
        reported=("bayes", "k"),
    ),
    Statement(
        "phi",
        "the label errors of both sides bound phi",
        "phi <= 2 (alpha + alpha_target)",
        "<=",
        (
            Link("phi", lambda t: t.phi),
            Link("labels through the images", lambda t: bounds.phi_from_alpha(t.alpha, t.alpha_target)),
        ),
        lambda t: 2.0,
        trivial=lambda t: 1.0,
        reported=("alpha", "alpha_target"),
    ),
    Statement(
        "Thm 4.1 mean square",
        "the mean classifier's square error",
        "E|onehot(y(x1)) - W'f|^2 <= 2 phi + 2 p_max (L_SCL(f) + |A|_F^2), f at its best scale",
        "<=",
        (
            Link("E|onehot(y(x1)) - W'f|^2", lambda t: t.mean_square),
            Link("factor 2", lambda t: 2 * (t.smoothing + t.embedding_gap)),
            Link("(1 - lambda)^2 <= 1 - lambda", lambda t: 2 * (t.phi + t.embedding_gap)),
            Link(
                "norm of the labels", lambda t: bounds.thm_4_1_mean_square(t.phi, t.p_max, t.scl_fitted, t.frobenius_sq)
            ),
        ),
        _class_size,
        trivial=lambda t: 1.0,
        reported=("phi", "p_max", "scl_fitted", "scale_sq", "frobenius_sq"),
    ),
    Statement(
        "Thm 4.1",
        "the downstream error",
        "Pr[vote of f wrong] <= 2 alpha + 8 phi + 8 p_max (L_SCL(f) + |A|_F^2), f at its best scale",
        "<=",
        (
            Link("Pr[vote of f wrong]", lambda t: t.vote_error),
            Link("majority vote", lambda t: 2 * t.joint_error),
            Link("label of the view", lambda t: 2 * (t.alpha + t.view_error)),
            Link("argmax", lambda t: 2 * t.alpha + 4 * t.mean_square),
            Link("factor 2", lambda t: 2 * t.alpha + 8 * (t.smoothing + t.embedding_gap)),
            Link("(1 - lambda)^2 <= 1 - lambda", lambda t: 2 * t.alpha + 8 * (t.phi + t.embedding_gap)),
            Link("norm of the labels", lambda t: bounds.thm_4_1(t.alpha, t.phi, t.p_max, t.scl_fitted, t.frobenius_sq)),
        ),
        _class_size,
        trivial=lambda t: 1.0,
        leeway=_vote_leeway,
        reported=("alpha", "phi", "p_max", "scl_fitted", "scale_sq", "frobenius_sq"),
    ),
    Statement(
        "Thm 4.1 loss",
        "the downstream error through the U-MAE loss",
        "Pr[vote of f wrong] <= c1 L L_U-MAE + c2 alpha + c3 L epsilon + c4",
        "<=",
        (
            Link("Pr[vote of f wrong]", lambda t: t.vote_error),
            Link("Thm 4.1", lambda t: bounds.thm_4_1(t.alpha, t.phi, t.p_max, t.scl, t.frobenius_sq)),
            Link(
                "L_SCL <= 4L(L_U-MAE + epsilon) - 2",
                lambda t: bounds.thm_4_1_from_loss(t.alpha, t.phi, t.p_max, t.frobenius_sq, _u_mae(t), t.L, t.epsilon),
            ),
        ),
        lambda t: _class_size(t) + 32 * t.L * (_loss_size(t) + t.epsilon),
        (UNIT_F, LIPSCHITZ, LARGE_LAMBDA, EPSILON_UNNEEDED, TWO_SIDED),
        trivial=lambda t: 1.0,
        leeway=_vote_leeway,
        reported=("alpha", "phi", "p_max", "frobenius_sq", "mae", "unif", "L", "lam", "epsilon"),
    ),
    Statement(
        "Embedding",
        "the best readout of the spectral embedding",
        "E|onehot(y(x1)) - best linear|^2 <= phi/(1 - lambda_{k+1})",
        "<=",
        (
            Link("E|onehot(y(x1)) - best linear|^2", lambda t: t.readout_error),
            Link("eigenvalues below k+1", lambda t: t.readout_energy / t.gap),
            Link("energy in the top k", lambda t: bounds.spectral_embedding_error(t.phi, t.next_value)),
        ),
        lambda t: 8 * (1 + t.phi / t.gap) / t.gap,
        (EIGENVECTORS,),
        trivial=lambda t: 1.0,
        leeway=lambda t: (t.dropped_energy + t.value_error + t.mixed_energy) / t.gap,
        reported=("phi", "next_value", "k"),
    ),
    Statement(
        "Thm 4.2",
        "uniformity has a price, and the spectrum sets a floor",
        "lambda >= 1/(4L): L_MAE + lambda L_unif >= (2 - sum_{i<=k} lambda_i^2)/(4L) - epsilon",
        ">=",
        _thm_4_2_chain(lambda t: bounds.thm_4_2(t.head_sq, t.L, t.epsilon)),
        _u_mae_size,
        (UNIT_F, LIPSCHITZ, LARGE_LAMBDA, EPSILON_UNNEEDED, TWO_SIDED),
        trivial=lambda t: bounds.trivial(t.lam, t.k),
        leeway=_head_leeway,
        reported=("mae", "unif", "L", "lam", "head_sq", "epsilon"),
    ),
    Statement(
        "Thm 4.2 any lambda",
        "the same at any weight of uniformity",
        "L_MAE + lambda L_unif >= 1/(2L) - sum_{i<=k} lambda_i^2 / (16 L^2 lambda) - epsilon",
        ">=",
        _thm_4_2_chain(lambda t: bounds.thm_4_2_any_lambda(t.head_sq, t.L, t.lam, t.epsilon)),
        _u_mae_size,
        (UNIT_F, LIPSCHITZ, EPSILON_UNNEEDED, TWO_SIDED),
        trivial=lambda t: bounds.trivial(t.lam, t.k),
        leeway=_any_lambda_leeway,
        reported=("mae", "unif", "L", "lam", "head_sq", "epsilon"),
        any_lambda=True,
    ),
    Statement(
        "S2",
        "the sharper floor, by water-filling",
        "L_MAE + lambda L_unif >= min_g (1 - sum lambda_i g_i)/L + lambda sum g_i^2",
        ">=",
        (
            Link("L_MAE + lambda L_unif", _u_mae),
            Link("target gap", lambda t: t.half_pair_h + t.lam * t.unif),
            Link("Lipschitz", lambda t: t.half_pair_f / t.L + t.lam * t.unif),
            Link("spectral truncation", lambda t: (1 - t.aligned) / t.L + t.lam * t.unif),
            Link("spectrum of the features", lambda t: t.water_filling),
        ),
        _u_mae_size,
        (UNIT_F, LIPSCHITZ, TWO_SIDED),
        trivial=lambda t: bounds.trivial(t.lam, t.k),
        leeway=lambda t: t.value_error / t.L,
        reported=("mae", "unif", "L", "lam", "head_sq"),
        any_lambda=True,
    ),
)
"""Identities, the paper's theorems in their order, and beside each what is sharper or enters it."""


def statement(number: str) -> Statement:
    """The statement of this number.

    Raises:
        InputError: there is none.
    """
    for known in STATEMENTS:
        if known.number == number:
            return known
    numbers = [known.number for known in STATEMENTS]
    raise unknown("statement", number, numbers, also="; one with a space stands in quotes, such as 'Thm 4.2'")
