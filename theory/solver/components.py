"""The connected components of the bipartite graph behind a factor B.

Eigenvalue 1 of A = B Bᵀ has one eigenvector a component, √p1 on it; nothing iterative is needed to find
them, and a solver that sees one component at a time does not lose their multiplicity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from maskgraph.theory.solver.degrees import column_lengths, row_lengths

SMALL = 2**18
"""Entries up to which scipy finds the components, sooner than the compiled loop is loaded."""


@dataclass(frozen=True)
class Component:
    """One connected component.

    Attributes:
        rows: (r,) int32 or int64, its vertices x1.
        B: (r, c) CSR, its block of the factor.
    """

    rows: NDArray[Any]
    B: sp.csr_array


@dataclass(frozen=True)
class Components:
    """The block structure of a factor B, components numbered 0..count-1.

    Attributes:
        count: how many there are = the multiplicity of eigenvalue 1 of A.
        of_row: (N1,) int32 or int64, the component of each vertex x1.
        of_column: (Nc,) likewise, the component of each shared thing.
        slack: (count,) float64, tr A_c − 1 >= λ_2 of the component: what is left beside its eigenvalue 1.
        sides: (count, 2) int64, its numbers of rows and columns.
    """

    count: int
    of_row: NDArray[Any]
    of_column: NDArray[Any]
    slack: NDArray[np.float64]
    sides: NDArray[np.int64]
    _B: sp.csr_array
    _row_order: NDArray[Any]
    _local_column: NDArray[Any]

    @cached_property
    def longest(self) -> NDArray[np.int64]:
        """(count,) int64, entries of the longest row and of the longest column of each component, together."""
        longest = np.zeros((2, self.count), np.int64)
        np.maximum.at(longest[0], self.of_row, row_lengths(self._B))
        np.maximum.at(longest[1], self.of_column, column_lengths(self._B))
        return np.asarray(longest.sum(axis=0))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.sides[:, 0])])

    def blocks(self, order: NDArray[np.int64]) -> Iterator[Component]:
        """The components in the given order; all of them are cut out at once, as one selection of rows."""
        if self.count == 1:
            yield from (Component(self._row_order, self._B) for _ in order)
            return
        rows = [self._row_order[self._starts[c] : self._starts[c + 1]] for c in order]
        if not rows:
            return
        part = self._B[np.concatenate(rows)]
        local = self._local_column[part.indices].astype(np.int32, copy=False)
        low = 0
        for own, columns in zip(rows, self.sides[order, 1].tolist(), strict=True):
            indptr = part.indptr[low : low + len(own) + 1]
            mine = slice(indptr[0], indptr[-1])
            low += len(own)
            shape = (len(own), columns)
            yield Component(own, sp.csr_array((part.data[mine], local[mine], indptr - indptr[0]), shape=shape))


def components(B: sp.csr_array) -> Components:
    """Split a factor with no empty row or column into its connected components.

    Args:
        B: (N1, Nc) CSR with non-negative entries.
    """
    rows, columns = B.shape
    if B.nnz <= SMALL:
        size = rows + columns
        indptr = np.pad(B.indptr, (0, columns), mode="edge")
        square = sp.csr_array((B.data, B.indices + rows, indptr), shape=(size, size))
        count, label = connected_components(square, directed=False)
        of_row, of_column = label[:rows], label[rows:]
    else:
        from maskgraph.theory.solver.union import component_labels

        count, of_row, of_column = component_labels(B.indptr, B.indices, rows, columns)
    squares = np.bincount(of_row, np.add.reduceat(B.data**2, B.indptr[:-1]), minlength=count).astype(np.float64)
    sides = np.stack([np.bincount(of_row, minlength=count), np.bincount(of_column, minlength=count)], axis=1)
    by_component = np.argsort(of_column, kind="stable")
    local_column = np.empty_like(of_column)
    local_column[by_component] = np.arange(columns) - (np.cumsum(sides[:, 1]) - sides[:, 1])[of_column[by_component]]
    row_order = np.argsort(of_row, kind="stable").astype(of_row.dtype)
    return Components(int(count), of_row, of_column, squares - 1, sides, B, row_order, local_column)
