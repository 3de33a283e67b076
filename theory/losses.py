"""The losses of any outputs and features, exactly, over the whole support of the graph and weighted by it.

`h` is (N1, d), the model's output at each visible view; `f` is (N1, k), its feature there; both float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError

Array = NDArray[np.float64]


def energy(graph: MaskGraph, h: Array) -> float:
    """E‖h(x1)‖²."""
    return float(graph.p1 @ (h**2).sum(axis=1))


def mae_loss(graph: MaskGraph, h: Array) -> float:
    """L_MAE(h) = E ‖h(x1) − x2‖² over the joint distribution M (section 2.1)."""
    M, X2 = graph.M, graph.X2
    row = np.repeat(np.arange(M.shape[0]), np.diff(M.indptr))
    total = 0.0
    # Squared differences edge by edge: the expanded square would lose what is small beside the energies.
    for start in range(0, M.nnz, 200_000):
        part = slice(start, start + 200_000)
        total += float(M.data[part] @ ((h[row[part]] - X2[M.indices[part]]) ** 2).sum(axis=1))
    return total


def align_loss(graph: AugmentationGraph, h: Array) -> float:
    """L_align(h) = −E h(x1)·h(x1⁺) over positive pairs of the hop."""
    summed = np.asarray(graph.joint.T @ h)
    return -float((summed**2).sum(axis=1) @ (1 / graph.shared_mass))


def pair_distance(graph: AugmentationGraph, h: Array) -> float:
    """E‖h(x1) − h(x1⁺)‖² over positive pairs = 2 E_c Var(h | c), c the shared view or image."""
    J = graph.joint
    centre = np.asarray(J.T @ h) / graph.shared_mass[:, None]
    row = np.repeat(np.arange(J.shape[0]), np.diff(J.indptr))
    total = 0.0
    for start in range(0, J.nnz, 200_000):
        part = slice(start, start + 200_000)
        total += float(J.data[part] @ ((h[row[part]] - centre[J.indices[part]]) ** 2).sum(axis=1))
    return 2 * total


def unif_loss(graph: MaskGraph, f: Array) -> float:
    """L_unif(f) = E (f(x1)·f(x1⁻))² over independent views = ‖E f fᵀ‖_F²."""
    return float(((f.T @ (f * graph.p1[:, None])) ** 2).sum())


def spectral_contrastive_loss(graph: AugmentationGraph, f: Array) -> float:
    """L_SCL(f) = 2 L_align(f) + E(f·f⁻)² = ‖A − FFᵀ‖_F² − ‖A‖_F² (HaoChen et al. 2021; identity I4)."""
    return 2 * align_loss(graph, f) + unif_loss(graph.graph, f)


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
