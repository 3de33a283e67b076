"""The losses of any outputs and features, exactly, over the whole support of the graph and weighted by it.

`h` is (N1, d), the model's output at each visible view; `f` is (N1, k), its feature there; both float64.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from maskgraph.graphs.arrays import as_array
from maskgraph.graphs.augmentation import AugmentationGraph, check_augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.theory import pairs
from maskgraph.theory.pairs import excess

Array = NDArray[np.float64]

EDGES = 200_000
"""Edges whose differences are taken at a time: a few arrays of EDGES·d doubles."""

ROWS = 2_000
"""Views whose moments are added up, or whose rows are decomposed, at a time."""


def on_views(name: str, values: ArrayLike, views: int, finite: bool = False) -> Array:
    """Real numbers with a row for each view.

    Args:
        name: of the values.
        values: (views, ·), an array or what numpy makes one of.
        views: how many there are.
        finite: whether NaN and infinity are refused, by what would otherwise not show them.

    Raises:
        InputError: anything else.
    """
    array = as_array(values, name)
    if array.ndim != 2 or len(array) != views or array.dtype.kind not in "fiub":
        raise InputError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected real numbers, one row for each of "
            f"{views} views"
        )
    if finite and not np.isfinite(array).all():
        view = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise InputError(f"{name} has {array[view]} at view {view}; expected finite numbers: look for a diverged run")
    return array


def mean(mass: Array, values: Array) -> float:
    """Σ mass · value, both (n,)."""
    # In pairs: BLAS adds in a few lanes, one after the other, and of millions of equal terms each loses the same.
    return float((mass * values).sum())


def energy(graph: MaskGraph, h: Array) -> float:
    """E‖h(x1)‖²."""
    check_mask_graph(graph)
    h = on_views("h", h, len(graph.p1))
    return mean(graph.p1, (h**2).sum(axis=1))


def mae_loss(graph: MaskGraph, h: Array) -> float:
    """L_MAE(h) = E ‖h(x1) − x2‖² over the joint distribution M (section 2.1)."""
    check_mask_graph(graph)
    return cross_distance(graph, h, graph.X2)


def cross_distance(graph: MaskGraph, h: Array, at_target: Array) -> float:
    """E‖h(x1) − c(x2)‖² over the joint distribution M.

    Args:
        graph: the mask graph.
        h: (N1, d) outputs at the visible views.
        at_target: (N2, d) values c at the targets.
    """
    check_mask_graph(graph)
    h = on_views("h", h, len(graph.p1))
    at_target = on_views("at_target", at_target, len(graph.p2))
    _check_width(h, at_target.shape[1])
    return _edge_mean(graph.M, h, at_target)


def align_loss(graph: AugmentationGraph, h: Array) -> float:
    """L_align(h) = −E h(x1)·h(x1⁺) over positive pairs of the hop."""
    check_augmentation_graph(graph)
    h = on_views("h", h, len(graph.p1))
    summed = np.asarray(graph.joint.T @ h)
    return -mean(1 / graph.shared_mass, (summed**2).sum(axis=1))


def pair_distance(graph: AugmentationGraph, h: Array) -> float:
    """E‖h(x1) − h(x1⁺)‖² over positive pairs = 2 E_c Var(h | c), c the shared view or image."""
    check_augmentation_graph(graph)
    h = on_views("h", h, len(graph.p1))
    return 2 * _edge_mean(graph.joint, h, np.asarray(graph.joint.T @ h) / graph.shared_mass[:, None])


def unif_loss(graph: MaskGraph, f: Array) -> float:
    """L_unif(f) = E (f(x1)·f(x1⁻))² over independent views = ‖E f fᵀ‖_F²."""
    check_mask_graph(graph)
    f = on_views("f", f, len(graph.p1))
    moment = np.zeros((f.shape[1],) * 2)
    for start in range(0, len(f), ROWS):
        part = slice(start, start + ROWS)
        moment += f[part].T @ (f[part] * graph.p1[part, None])
    return float((moment**2).sum())


def singular_values(F: Array) -> Array:
    """(min(N, k),) singular values of F (N, k), descending; of diag(p1)^½ f their squares are the eigenvalues of E ffᵀ.

    By a QR decomposition of some rows after the other, which stay in the cache: all at once takes up to four times as
    long, and both are backward stable.
    """
    R = np.empty((0, F.shape[1]))
    for start in range(0, len(F), ROWS):
        R = np.asarray(np.linalg.qr(np.concatenate([R, F[start : start + ROWS]]), mode="r"))
    return np.asarray(np.linalg.svd(R, compute_uv=False), dtype=np.float64)


def spectral_contrastive_loss(graph: AugmentationGraph, f: Array) -> float:
    """L_SCL(f) = 2 L_align(f) + E(f·f⁻)² = ‖A − FFᵀ‖_F² − ‖A‖_F² (HaoChen et al. 2021; identity I4)."""
    check_augmentation_graph(graph)
    return 2 * align_loss(graph, f) + unif_loss(graph.graph, f)


def approximation_excess(graph: AugmentationGraph, F: Array) -> float:
    """‖A − FFᵀ‖_F² − ‖A‖_F², entry by entry of A: the other side of identity I4.

    Off the support of A both norms differ by (FFᵀ)² alone, so that only entries where A > 0 are visited.

    Args:
        graph: the augmentation graph.
        F: (N1, k) diag(p1)^½ f.
    """
    check_augmentation_graph(graph)
    F = on_views("F", F, len(graph.p1))
    F = np.ascontiguousarray(F, dtype=np.float64)
    B, other = graph.B, sp.csr_array(graph.B.T)
    if np.diff(other.indptr)[B.indices].sum() <= pairs.FEW:
        A = (B @ other).tocoo()
        g = np.einsum("ij,ij->i", F[A.row], F[A.col])
        return float(((F.T @ F) ** 2).sum() + ((A.data - g) ** 2 - A.data**2 - g**2).sum())
    rows = np.empty(len(F))
    excess(B.indptr, B.indices, B.data, other.indptr, other.indices, other.data, F, rows)
    return float(((F.T @ F) ** 2).sum() + rows.sum())


def target_gap(graph: MaskGraph, h: Array) -> float:
    """E_{x2}‖E[h(x1)|x2] − x2‖², the last term of identity I1."""
    check_mask_graph(graph)
    h = on_views("h", h, len(graph.p1))
    _check_width(h, graph.X2.shape[1])
    given = np.asarray(graph.M.T @ h) / graph.p2[:, None]
    return mean(graph.p2, ((given - graph.X2) ** 2).sum(axis=1))


def variance(graph: MaskGraph, h: Array) -> float:
    """E‖h − E h‖² over visible views: 0 is complete collapse."""
    check_mask_graph(graph)
    h = on_views("h", h, len(graph.p1))
    return mean(graph.p1, ((h - graph.p1 @ h) ** 2).sum(axis=1))


def normalise(f: Array) -> Array:
    """Unit-norm features.

    Raises:
        InputError: a zero or non-finite feature, naming the first view that has one.
    """
    f = as_array(f, "f")
    f = on_views("f", f, len(np.atleast_1d(f)))
    norm = np.linalg.norm(f, axis=1)
    bad = ~(np.isfinite(norm) & (norm > 0))
    if bad.any():
        view = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"the feature of view {view} has norm {norm[view]:g} and cannot be normalised; the theorems need "
            "finite, non-zero features: look for dead units or a diverged run"
        )
    return np.asarray(f / norm[:, None])


def _check_width(h: Array, width: int) -> None:
    """Raise InputError for outputs that are no targets: numpy would repeat a single value."""
    if h.shape[1] != width:
        raise InputError(f"h has shape {h.shape}; expected {width} values a view, as targets have")


def _edge_mean(joint: sp.csr_array, left: Array, right: Array) -> float:
    """E‖left − right‖² over a joint distribution."""
    row = np.repeat(np.arange(joint.shape[0]), np.diff(joint.indptr))
    total = 0.0
    # Squared differences edge by edge: the expanded square would lose what is small beside the energies.
    for start in range(0, joint.nnz, EDGES):
        part = slice(start, start + EDGES)
        total += mean(joint.data[part], ((left[row[part]] - right[joint.indices[part]]) ** 2).sum(axis=1))
    return total
