"""The connected components of the bipartite graph behind a factor B.

Eigenvalue 1 of A = B Bᵀ has one eigenvector a component, √p1 on it; nothing iterative is needed to find
them, and a solver that sees one component at a time does not lose their multiplicity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Component:
    """One connected component.

    Attributes:
        rows: (r,) int64, its vertices x1.
        B: (r, c) CSR, its block of the factor.
    """

    rows: NDArray[np.int64]
    B: sp.csr_array


@dataclass(frozen=True)
class Components:
    """The block structure of a factor B, components numbered 0..count-1.

    Attributes:
        count: how many there are = the multiplicity of eigenvalue 1 of A.
        of_row: (N1,) int64, the component of each vertex x1.
        slack: (count,) float64, tr A_c − 1 >= λ_2 of the component: what is left beside its eigenvalue 1.
        sides: (count, 2) int64, its numbers of rows and columns.
    """

    count: int
    of_row: NDArray[np.int64]
    slack: NDArray[np.float64]
    sides: NDArray[np.int64]
    _B: sp.csr_array
    _row_order: NDArray[np.int64]

    def blocks(self, order: NDArray[np.int64]) -> Iterator[Component]:
        """The components in the given order, cut out one at a time."""
        starts = np.concatenate([[0], np.cumsum(self.sides[:, 0])])
        for c in order:
            rows = self._row_order[starts[c] : starts[c + 1]]
            block = self._B[rows]
            used, local = np.unique(block.indices, return_inverse=True)
            yield Component(rows, sp.csr_array((block.data, local, block.indptr), shape=(len(rows), len(used))))


def components(B: sp.csr_array) -> Components:
    """Split a factor with no empty row or column into its connected components.

    Args:
        B: (N1, Nc) CSR with non-negative entries.
    """
    rows, _columns = B.shape
    count, label = connected_components(sp.block_array([[None, B], [B.T, None]], format="csr"), directed=False)
    of_row, of_column = label[:rows].astype(np.int64), label[rows:]
    squares = np.bincount(np.repeat(of_row, np.diff(B.indptr)), B.data**2, minlength=count).astype(np.float64)
    sides = np.stack([np.bincount(of_row, minlength=count), np.bincount(of_column, minlength=count)], axis=1)
    return Components(int(count), of_row, squares - 1, sides, B, np.argsort(of_row, kind="stable"))
