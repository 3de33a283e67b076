"""Small components, solved densely and many at a time: all their eigenvalues, each on its smaller side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.certificate import rounding
from maskgraph.theory.solver.components import Components
from maskgraph.theory.solver.engine import Floats
from maskgraph.theory.solver.ranks import ALONE, Ranks

LITTLE = 2**13
"""Entries of a full block up to which dense products are done before sparse ones are set up."""


@dataclass(frozen=True)
class Part:
    """Eigenpairs of one component beside its eigenvalue 1.

    Attributes:
        rows: (r,) int64, its vertices x1.
        values: (p,) float64, descending.
        vectors: (r, p) float64.
        residuals: (p,) float64.
    """

    rows: NDArray[np.int64]
    values: Floats
    vectors: Floats
    residuals: Floats


@dataclass(frozen=True)
class Solved:
    """All eigenvalues of one component beside its 1, each off by at most `error`.

    Attributes:
        component: its number.
        rows_are_small: whether its vectors are on its rows, or on its columns.
        values: (s − 1,) float64, descending, for s vertices on that side.
        vectors: (s, s − 1) float64.
        error: of the dense solver, of the sums that made its matrix, and of the known eigenvector.
    """

    component: int
    rows_are_small: bool
    values: Floats
    vectors: Floats
    error: float


def solve_densely(
    graph: AugmentationGraph, split: Components, wave: NDArray[np.int64], ranks: Ranks = ALONE
) -> list[Solved]:
    """Solve components, those of one size together.

    Args:
        graph: the augmentation graph.
        split: its components.
        wave: which of them, by number.
        ranks: the processes among which they are dealt out.
    """
    by_row = split.sides[wave, 0] <= split.sides[wave, 1]
    return [
        solved
        for rows_are_small in (True, False)
        for solved in _solve_side(graph, split, wave[by_row == rows_are_small], rows_are_small, ranks)
    ]


def eigenpairs(
    graph: AugmentationGraph, split: Components, solved: list[Solved], most: int, least: float
) -> list[Part]:
    """The eigenpairs that can be as large as `least`, at most `most` a component, vectors on the rows of A."""
    few = [min(int((one.values + one.error >= least).sum()), most) for one in solved]
    kept = [(one, count) for one, count in zip(solved, few, strict=True) if count]
    blocks = split.blocks(np.array([one.component for one, _ in kept], dtype=np.int64))
    found = []
    for (one, count), block in zip(kept, blocks, strict=True):
        values, vectors = one.values[:count], one.vectors[:, :count]
        B = block.B.toarray() if math.prod(block.B.shape) <= LITTLE else block.B
        if not one.rows_are_small:
            top = np.sqrt(graph.p1[block.rows])
            vectors = _from_columns(B, top / np.linalg.norm(top), values, vectors, one.error)
        off = B @ (B.T @ vectors) - vectors * values
        found.append(Part(block.rows, values, vectors, np.linalg.norm(off, axis=0)))
    return found


def _solve_side(
    graph: AugmentationGraph, split: Components, chosen: NDArray[np.int64], rows_are_small: bool, ranks: Ranks
) -> list[Solved]:
    if not len(chosen):
        return []
    B, mass, of_vertex = graph.B, graph.p1, split.of_row
    if not rows_are_small:
        B, mass, of_vertex = sp.csr_array(B.T), graph.shared_mass, split.of_column
    size = split.sides[:, 0 if rows_are_small else 1]
    chosen = chosen[np.lexsort((chosen, size[chosen]))]
    place = np.full(split.count, -1)
    place[chosen] = np.arange(len(chosen))
    vertices = np.flatnonzero(place[of_vertex] >= 0)
    # Components in the order chosen, and so all of one size together.
    vertices = vertices[np.argsort(place[of_vertex[vertices]], kind="stable")]
    own = place[of_vertex[vertices]]
    local = np.arange(len(own)) - np.searchsorted(own, own)
    root = np.sqrt(mass[vertices])
    part = sp.csr_array(B[vertices])
    gram = sp.csr_array(part @ part.T)
    starts = np.searchsorted(own, np.arange(len(chosen) + 1))
    # A sum of d products is off by dε or less, and so are the masses behind B, which the known eigenvector is of.
    error = rounding(1) * size[chosen] + EPS * (2 * split.longest[chosen] + 16)
    groups = np.split(np.arange(len(chosen)), np.flatnonzero(np.diff(size[chosen])) + 1)
    stacks = []
    for group in groups:
        low, high = int(starts[group[0]]), int(starts[group[-1] + 1])
        side = (high - low) // len(group)
        mine = slice(gram.indptr[low], gram.indptr[high])
        row = np.repeat(np.arange(low, high), np.diff(gram.indptr[low : high + 1]))
        stack = np.zeros((len(group), side, side))
        stack[own[row] - group[0], local[row], local[gram.indices[mine]]] = gram.data[mine]
        top = root[low:high].reshape(len(group), side)
        top = top / np.linalg.norm(top, axis=1, keepdims=True)
        # The known eigenpair is moved from 1 to −1, away from all others: near 1 the solver would mix it with them.
        stack -= 2 * top[:, :, None] * top[:, None, :]
        stacks.append(stack)
    return [
        Solved(int(chosen[c]), rows_are_small, values[i, :0:-1], vectors[i, :, :0:-1], float(error[c]))
        for group, (values, vectors) in zip(groups, ranks.eigh(stacks), strict=True)
        for i, c in enumerate(group)
    ]


def _from_columns(B: sp.csr_array | Floats, top: Floats, values: Floats, vectors: Floats, error: float) -> Floats:
    """Orthonormal eigenvectors of BBᵀ from those of BᵀB; zero columns where the eigenvalue is 0 up to rounding.

    B v/σ alone loses orthogonality as rounding over σ²: hence the QR, `top` (r,) and the largest values first.
    """
    found = values > error
    result = np.zeros((B.shape[0], len(values)))
    result[:, found] = orthonormal_beside(top, np.asarray(B @ vectors[:, found]))
    return result


def orthonormal_beside(top: Floats, vectors: Floats) -> Floats:
    """The vectors made orthonormal, and orthogonal to `top`, the first ones least changed."""
    Q, R = np.linalg.qr(np.column_stack([top, vectors]))
    return np.asarray((Q * np.where(np.diag(R) < 0, -1, 1))[:, 1:])
