"""The spectrum of the augmentation graph: right on graphs with many components.

General Krylov solvers lose copies of a repeated eigenvalue, and eigenvalue 1 repeats once a component. So the
components come first; on each, eigenvalue 1 is known; small ones are solved densely on their smaller side, large
ones by ARPACK with the known eigenvector deflated, and a certificate looks for what was missed and repairs it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.graphs.errors import InputError
from maskgraph.theory.components import Component, Components, components
from maskgraph.theory.krylov import FAILURE, Eigenpairs, deflated_eigenpairs, from_columns, rounding

DENSE_SIDE = 1500
"""Components whose smaller side has at most this many vertices are solved densely (2·n² doubles, about a second)."""

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Spectrum:
    """The largest eigenvalues of A and the sums that the bounds need.

    Attributes:
        values: (k,) float64 in [0, 1], descending, with multiplicity.
        vectors: (N1, k) CSC, orthonormal eigenvectors, each supported on one component (a zero column where the
            eigenvalue is 0 and none was computed).
        residuals: (k,) float64, ‖A v − λ v‖ of each pair, measured.
        components: how many connected components the graph has = the multiplicity of eigenvalue 1.
        frobenius_sq: ‖A‖_F² = Σ λ_i² over the whole spectrum.
        head_sq: Σ_{i<=k} λ_i².
        tail_sq: Σ_{i>k} λ_i² = ‖A‖_F² − head.
        tail_sq_interval: [lo, hi] that holds the tail, allowing for rounding and, on components too large for a
            dense solve, for what an iterative solver may have missed (failure probability `FAILURE`).
        value_error: by how much any one of the k largest eigenvalues may exceed its value here.
    """

    values: NDArray[np.float64]
    vectors: sp.csc_array
    residuals: NDArray[np.float64]
    components: int
    frobenius_sq: float
    head_sq: float
    tail_sq: float
    tail_sq_interval: tuple[float, float]
    value_error: float


def spectrum(graph: AugmentationGraph, k: int, seed: int = 0) -> Spectrum:
    """The k largest eigenvalues of A with multiplicity, and the sums over head and tail.

    Where k is at most the number of components the answer needs no solve: all k are 1.

    Args:
        graph: the augmentation graph, either hop.
        k: 1 <= k <= N1.
        seed: of the iterative solver's start vectors and of the certificate; unused on small components.

    Raises:
        InputError: k out of range.
    """
    vertices = graph.B.shape[0]
    if not 1 <= k <= vertices:
        raise InputError(f"dimension {k} for a graph of {vertices} views; expected 1 to {vertices} (see --dim)")
    split = components(graph.B)
    parts = _parts(graph, split, k, np.random.default_rng(seed)) if k > split.count else []
    values, upper, vectors = _merge(graph, split, parts, k)
    frobenius, frobenius_error = frobenius_norm_sq(graph.B)
    head = math.fsum(values**2)
    # Each dense or Ritz value is off by at most its `rounding`, already inside `upper`; from below likewise.
    low = head - 2 * math.fsum(values * rounding(vertices if parts else 1))
    high = math.fsum(np.minimum(upper, 1) ** 2)
    tail = max(frobenius - head, 0.0)
    interval = (max(frobenius - high - frobenius_error, 0.0), max(frobenius - low, 0.0) + frobenius_error)
    residuals = np.asarray(np.linalg.norm((graph.B @ (graph.B.T @ vectors) - vectors * values).toarray(), axis=0))
    error = float((upper - values).max())
    return Spectrum(values, vectors, residuals, split.count, frobenius, head, tail, interval, error)


def frobenius_norm_sq(B: sp.csr_array) -> tuple[float, float]:
    """‖B Bᵀ‖_F² and a bound on its rounding error, on the side that costs less, in bounded memory.

    ‖BBᵀ‖_F = ‖BᵀB‖_F (identity I5), so the side with the smaller sum of squared degrees of the other is multiplied out,
    a slice of rows at a time.
    """
    side, slices = _gram_slices(B)
    other = sp.csr_array(side.T)
    total = math.fsum(float(((side[part] @ other).data ** 2).sum()) for part in slices)
    # Entries of the product are sums of at most max-degree non-negative terms, each good to a few ulp.
    return total, total * EPS * (16 + 2 * float(np.diff(side.indptr).max()))


def frobenius_through_edges(B: sp.csr_array) -> float:
    """‖A‖_F² = tr Bᵀ(BBᵀ)B = Σ over the edges (x1, x2) of B·((BBᵀ)B), the other form of identity I5.

    The same cost as `frobenius_norm_sq`, times the mean degree.
    """
    side, slices = _gram_slices(B)
    other = sp.csr_array(side.T)
    return math.fsum(float(((side[part] @ other) @ side).multiply(side[part]).sum()) for part in slices)


def _gram_slices(B: sp.csr_array) -> tuple[sp.csr_array, list[slice]]:
    """B or Bᵀ, whose Gram matrix costs less, and slices of its rows whose products fit in memory."""
    work = [int((np.bincount(side.indices).astype(np.int64) ** 2).sum()) for side in (B, sp.csr_array(B.T))]
    side = B if work[0] <= work[1] else sp.csr_array(B.T)
    degree = np.bincount(side.indices, minlength=side.shape[1])
    cost = np.concatenate([[0], np.cumsum(np.add.reduceat(degree[side.indices], side.indptr[:-1]))])
    edges = np.searchsorted(cost, np.arange(0, cost[-1] + 5_000_000, 5_000_000))
    edges = np.unique(np.concatenate([edges, [side.shape[0]]]))
    return side, [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _parts(
    graph: AugmentationGraph, split: Components, k: int, rng: np.random.Generator
) -> list[tuple[NDArray[np.int64], Eigenpairs]]:
    """Eigenpairs of the components, enough to hold the global top k.

    Every component brings one eigenvalue 1, so none can bring more than k − count others. Components are
    visited in the order of what is left beside that 1; once this is below the k-th best found, the rest cannot matter.
    """
    want = k - split.count
    order = np.argsort(-split.slack, kind="stable")
    order = order[split.sides[order].min(axis=1) > 1]
    large = int((split.sides.min(axis=1) > DENSE_SIDE).sum())
    found = np.empty(0)
    parts: list[tuple[NDArray[np.int64], Eigenpairs]] = []
    for c, component in zip(order, split.blocks(order), strict=True):
        if len(found) == want and split.slack[c] <= found[-1]:
            break
        side = min(component.B.shape)
        top = np.sqrt(graph.p1[component.rows] / graph.p1[component.rows].sum())
        if side <= max(DENSE_SIDE, 4 * want):
            part = _dense(component, top, want)
        else:
            part = deflated_eigenpairs(component.B, top, want, FAILURE / large, rng)
        parts.append((component.rows, part))
        found = np.sort(np.concatenate([found, part.values]))[::-1][:want]
    return parts


def _merge(
    graph: AugmentationGraph, split: Components, parts: list[tuple[NDArray[np.int64], Eigenpairs]], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], sp.csc_array]:
    mass = np.bincount(split.of_row, graph.p1)
    heaviest = np.argsort(-mass, kind="stable")[: min(k, split.count)]
    place = np.full(split.count, -1)
    place[heaviest] = np.arange(len(heaviest))
    rows = np.flatnonzero(place[split.of_row] >= 0)
    columns = place[split.of_row[rows]]
    entries = [(np.sqrt(graph.p1[rows] / mass[split.of_row[rows]]), rows, columns)]
    values, upper = np.ones(k), np.ones(k)
    values[len(heaviest) :] = upper[len(heaviest) :] = 0
    pairs = [(part.values[i], rows, part.vectors[:, i]) for rows, part in parts for i in range(len(part.values))]
    pairs.sort(key=lambda pair: -pair[0])
    for j, (value, rows, vector) in zip(range(len(heaviest), k), pairs, strict=False):
        values[j] = min(max(value, 0.0), 1.0)
        entries.append((vector, rows, np.full(len(rows), j)))
    bounds = np.sort(np.concatenate([part.upper for _, part in parts]))[::-1] if parts else np.empty(0)
    bounds = bounds[: k - len(heaviest)]
    upper[len(heaviest) : len(heaviest) + len(bounds)] = bounds
    data, row, column = (np.concatenate(arrays) for arrays in zip(*entries, strict=True))
    return values, upper, sp.csc_array((data, (row, column)), shape=(graph.B.shape[0], k))


def _dense(component: Component, top: NDArray[np.float64], want: int) -> Eigenpairs:
    B = component.B
    by_row = B.shape[0] <= B.shape[1]
    gram = (B @ B.T if by_row else B.T @ B).toarray()
    known = top if by_row else np.asarray(B.T @ top)
    # The known eigenpair is moved from 1 to −1, away from all others: near 1 the solver would mix it with them.
    gram -= 2 * np.outer(known, known) / (known @ known)
    size = len(gram)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=[max(size - want, 1), size - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    if not by_row:
        vectors = from_columns(B, top, values, vectors)
    return Eigenpairs(values, values + rounding(size), vectors)
