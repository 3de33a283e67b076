"""The losses of any outputs and features, exactly, over the whole support of the graph and weighted by it.

`h` is (N1, d), the model's output at each visible view; `f` is (N1, k), its feature there; both float64.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError

Array = NDArray[np.float64]

EDGES = 200_000
"""Edges, or pairs of views, whose differences are taken at a time: a few arrays of EDGES·d doubles."""

ROWS = 2_000
"""Views whose rows of A are multiplied out at a time."""


def energy(graph: MaskGraph, h: Array) -> float:
    """E‖h(x1)‖²."""
    return float(graph.p1 @ (h**2).sum(axis=1))


def mae_loss(graph: MaskGraph, h: Array) -> float:
    """L_MAE(h) = E ‖h(x1) − x2‖² over the joint distribution M (section 2.1)."""
    return cross_distance(graph, h, graph.X2)


def cross_distance(graph: MaskGraph, h: Array, at_target: Array) -> float:
    """E‖h(x1) − c(x2)‖² over the joint distribution M.

    Args:
        graph: the mask graph.
        h: (N1, d) outputs at the visible views.
        at_target: (N2, d) values c at the targets.
    """
    return _edge_mean(graph.M, h, at_target)


def align_loss(graph: AugmentationGraph, h: Array) -> float:
    """L_align(h) = −E h(x1)·h(x1⁺) over positive pairs of the hop."""
    summed = np.asarray(graph.joint.T @ h)
    return -float((summed**2).sum(axis=1) @ (1 / graph.shared_mass))


def pair_distance(graph: AugmentationGraph, h: Array) -> float:
    """E‖h(x1) − h(x1⁺)‖² over positive pairs = 2 E_c Var(h | c), c the shared view or image."""
    return 2 * _edge_mean(graph.joint, h, np.asarray(graph.joint.T @ h) / graph.shared_mass[:, None])


def unif_loss(graph: MaskGraph, f: Array) -> float:
    """L_unif(f) = E (f(x1)·f(x1⁻))² over independent views = ‖E f fᵀ‖_F²."""
    return float(((f.T @ (f * graph.p1[:, None])) ** 2).sum())


def spectral_contrastive_loss(graph: AugmentationGraph, f: Array) -> float:
    """L_SCL(f) = 2 L_align(f) + E(f·f⁻)² = ‖A − FFᵀ‖_F² − ‖A‖_F² (HaoChen et al. 2021; identity I4)."""
    return 2 * align_loss(graph, f) + unif_loss(graph.graph, f)


def approximation_excess(graph: AugmentationGraph, F: Array) -> float:
    """‖A − FFᵀ‖_F² − ‖A‖_F², entry by entry of A: the other side of identity I4.

    Off the support of A both norms differ by (FFᵀ)² alone, so that only entries where A > 0 are visited.

    Args:
        graph: the augmentation graph.
        F: (N1, k) diag(p1)^½ f.
    """
    total = float(((F.T @ F) ** 2).sum())
    for start in range(0, len(F), ROWS):
        block = (graph.B[start : start + ROWS] @ graph.B.T).tocoo()
        for at in range(0, block.nnz, EDGES):
            part = slice(at, at + EDGES)
            a = block.data[part]
            g = np.einsum("ij,ij->i", F[block.row[part] + start], F[block.col[part]])
            total += float(((a - g) ** 2 - a**2 - g**2).sum())
    return total


def target_gap(graph: MaskGraph, h: Array) -> float:
    """E_{x2}‖E[h(x1)|x2] − x2‖², the last term of identity I1."""
    mean = np.asarray(graph.M.T @ h) / graph.p2[:, None]
    return float(graph.p2 @ ((mean - graph.X2) ** 2).sum(axis=1))


def variance(graph: MaskGraph, h: Array) -> float:
    """E‖h − E h‖² over visible views: 0 is complete collapse."""
    return float(graph.p1 @ ((h - graph.p1 @ h) ** 2).sum(axis=1))


def normalise(f: Array) -> Array:
    """Unit-norm features.

    Raises:
        InputError: a zero or non-finite feature, naming the first view that has one.
    """
    norm = np.linalg.norm(f, axis=1)
    bad = ~(np.isfinite(norm) & (norm > 0))
    if bad.any():
        view = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"the feature of view {view} has norm {norm[view]:g} and cannot be normalised; the theorems need "
            "finite, non-zero features: look for dead units or a diverged run"
        )
    return np.asarray(f / norm[:, None])


def _edge_mean(joint: sp.csr_array, left: Array, right: Array) -> float:
    """E‖left − right‖² over a joint distribution."""
    row = np.repeat(np.arange(joint.shape[0]), np.diff(joint.indptr))
    total = 0.0
    # Squared differences edge by edge: the expanded square would lose what is small beside the energies.
    for start in range(0, joint.nnz, EDGES):
        part = slice(start, start + EDGES)
        total += float(joint.data[part] @ ((left[row[part]] - right[joint.indices[part]]) ** 2).sum(axis=1))
    return total
