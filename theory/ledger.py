"""Theorems 3.4, 3.6, 4.1 and 4.2 held to the outputs of one model on the whole graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError
from maskgraph.theory import bounds, labels, losses, risk
from maskgraph.theory.check import Check, at_least, at_most
from maskgraph.theory.lipschitz import one_sided_lipschitz
from maskgraph.theory.spectrum import spectrum

CONSTANT = 1e-6
"""Outputs that agree to single precision, in which networks answer, are the outputs of a constant encoder."""

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Outputs:
    """What the theorems see of a model, at every visible view of a graph.

    Attributes:
        h: (N1, d) float64, its reconstruction of the target.
        f: (N1, k) float64, its feature; normalised here to unit norm.
        collapsed: (N1, d) float64, its output when the encoder's answer is replaced by one and the same for all.
        epsilon: an ε >= 0 of Assumption 3.1, certified by some pseudo-inverse encoder.
    """

    h: NDArray[np.float64]
    f: NDArray[np.float64]
    collapsed: NDArray[np.float64]
    epsilon: float


def ledger(graph: MaskGraph, outputs: Outputs, seed: int = 0) -> list[Check]:
    """The four theorems on the target hop, each with its two sides, slack and verdict.

    Raises:
        InputError: arrays that do not fit the graph, or features that cannot be normalised.
    """
    views, width = len(graph.p1), graph.X2.shape[1]
    for name, array, columns in (
        ("h", outputs.h, width),
        ("f", outputs.f, None),
        ("collapsed", outputs.collapsed, width),
    ):
        fits = array.ndim == 2 and len(array) == views and columns in (None, array.shape[1])
        if not fits or not np.isfinite(array).all():
            wanted = f"({views}, {'k' if columns is None else columns})"
            raise InputError(f"{name} has shape {array.shape}; expected a finite {wanted} array")
    bounds.check_constants(1.0, None, outputs.epsilon)
    f = losses.normalise(outputs.f)
    tolerance = _tolerance(graph, outputs)
    return [
        _thm_3_4(graph, outputs, tolerance),
        _thm_3_6(graph, outputs, tolerance),
        *_section_4(graph, outputs, f, tolerance, seed),
    ]


def _tolerance(graph: MaskGraph, outputs: Outputs) -> float:
    """Rounding of the sums: each is over at most nnz(M) products of the size of the energies."""
    scale = losses.energy(graph, outputs.h) + losses.energy(graph, outputs.collapsed) + risk.target_energy(graph) + 1
    return scale * EPS * (64 + math.sqrt(graph.M.nnz))


def _thm_3_4(graph: MaskGraph, outputs: Outputs, tolerance: float) -> Check:
    A = augmentation_graph(graph)
    align, energy = losses.align_loss(A, outputs.h), losses.energy(graph, outputs.h)
    return at_least(
        "Thm 3.4",
        "L_MAE(h) >= L_align(h)/2 + E|h|^2/2 - eps",
        losses.mae_loss(graph, outputs.h),
        bounds.thm_3_4(align, energy, outputs.epsilon),
        trivial=0.0,
        tolerance=tolerance,
        terms={"align_h": align, "energy_h": energy, "epsilon": outputs.epsilon},
    )


def _thm_3_6(graph: MaskGraph, outputs: Outputs, tolerance: float) -> Check:
    knows_mask = graph.view == "positional"
    variance, given_mask = risk.target_variance(graph), risk.target_variance_given_mask(graph)
    formula = "f constant: L_MAE >= E_m Var(x2|m)" if knows_mask else "f constant: L_MAE >= Var(x2)"
    lhs = losses.mae_loss(graph, outputs.collapsed)
    terms = {"target_variance": variance, "target_variance_given_mask": given_mask}
    if (apart := _apart(graph, outputs.collapsed, knows_mask)) > CONSTANT:
        note = f"collapsed outputs differ by {apart:.2g} of their size: no constant encoder gives them"
        return Check("Thm 3.6", formula, ">=", lhs, math.nan, tolerance, "assumption not met", terms, note)
    return at_least(
        "Thm 3.6",
        formula,
        lhs,
        bounds.thm_3_6(given_mask if knows_mask else variance),
        trivial=0.0,
        tolerance=tolerance,
        terms=terms,
        note="the decoder knows the positions, so it is held to S4" if knows_mask else "",
    )


def _apart(graph: MaskGraph, h: NDArray[np.float64], by_mask: bool) -> float:
    """How far outputs are from one value (one a mask, where the decoder knows it), relative to their size."""
    mask = graph.representatives1[1] if by_mask else np.zeros(len(h), dtype=np.int64)
    _, first, group = np.unique(mask, return_index=True, return_inverse=True)
    return float(np.abs(h - h[first][group]).max() / (np.abs(h).max() or 1.0))


def _section_4(graph: MaskGraph, outputs: Outputs, f: NDArray[np.float64], tolerance: float, seed: int) -> list[Check]:
    A = augmentation_graph(graph)
    found = spectrum(A, min(f.shape[1], len(graph.p1)), seed)
    alpha, phi, p_max = labels.alpha(graph), labels.phi(A), labels.p_max(graph)
    scl = losses.spectral_contrastive_loss(A, f)
    vote = at_most(
        "Thm 4.1",
        "Pr[vote of f wrong] <= 2 alpha + 8 phi + 8 p_max (L_SCL(f) + |A|_F^2)",
        labels.vote_error(graph, f),
        bounds.thm_4_1(alpha, phi, p_max, scl, found.frobenius_sq),
        trivial=1.0,
        tolerance=tolerance,
        terms={"alpha": alpha, "phi": phi, "p_max": p_max, "scl": scl, "frobenius_sq": found.frobenius_sq},
    )
    return [vote, _thm_4_2(graph, outputs, f, found.head_sq, tolerance)]


def _thm_4_2(graph: MaskGraph, outputs: Outputs, f: NDArray[np.float64], head_sq: float, tolerance: float) -> Check:
    L = one_sided_lipschitz(augmentation_graph(graph), f, outputs.h)
    mae, unif = losses.mae_loss(graph, outputs.h), losses.unif_loss(graph, f)
    formula = "L_MAE + L_unif/(4L) >= (2 - sum_{i<=k} lambda_i^2)/(4L) - eps"
    if not 0 < L < math.inf:
        cause = "equal outputs where features differ" if L else "no positive pair whose features differ"
        nothing: dict[str, float] = {"L_MAE": mae, "L_unif": unif, "head_sq": head_sq, "lipschitz": L}
        return Check(
            "Thm 4.2", formula, ">=", mae, math.nan, tolerance, "assumption not met", nothing, f"L = {L}: {cause}"
        )
    lam = 1 / (4 * L)
    # Unit norms, L_unif and the head are good to a few ulp of 1, and enter over 4L.
    tolerance += EPS * (64 + math.sqrt(graph.M.nnz)) * (2 + unif + head_sq) * lam
    return at_least(
        "Thm 4.2",
        formula,
        mae + lam * unif,
        bounds.thm_4_2(head_sq, L, outputs.epsilon),
        trivial=0.0,
        tolerance=tolerance,
        terms={
            "L_MAE": mae,
            "L_unif": unif,
            "lipschitz": L,
            "lambda": lam,
            "head_sq": head_sq,
            "epsilon": outputs.epsilon,
        },
    )
