"""‖A‖_F² = Σ λ_i², exactly and in bounded memory, and which component each part of it belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.degrees import column_lengths, row_lengths
from maskgraph.theory.solver.engine import Floats

if TYPE_CHECKING:
    from maskgraph.theory.solver.pair import Pair

SMALL_WORK = 2**22
"""Products of a Gram matrix up to which scipy multiplies it out, sooner than the compiled loops are loaded."""


@dataclass(frozen=True)
class Factor:
    """B, and once something large is done with it, B with its transpose ready for compiled products."""

    B: sp.csr_array

    @cached_property
    def pair(self) -> Pair:
        """B and Bᵀ."""
        from maskgraph.theory.solver.pair import Pair

        return Pair(self.B)


def frobenius_norm_sq(B: sp.csr_array) -> tuple[float, float]:
    """‖B Bᵀ‖_F² and a bound on its rounding error, on the side that costs less, in bounded memory.

    ‖BBᵀ‖_F = ‖BᵀB‖_F (identity I5), so the side with the smaller sum of squared degrees of the other is multiplied out.
    """
    squares, error = row_squares(Factor(B))
    return math.fsum(squares), error


def frobenius_through_edges(B: sp.csr_array) -> float:
    """‖A‖_F² = tr Bᵀ(BBᵀ)B = Σ over the edges (x1, x2) of B·((BBᵀ)B), the other form of identity I5.

    By scipy, and so for graphs whose A fits in memory.
    """
    return float(((B @ B.T) @ B).multiply(B).sum())


def row_squares(factor: Factor) -> tuple[Floats, float]:
    """Shares of ‖BBᵀ‖_F² that sum to ‖A_c‖_F² over the rows of a component, and a bound on the sum's rounding error.

    Where the columns are the cheaper side each one's share is given to the row of its first entry.
    """
    B = factor.B
    work = [int((lengths**2).sum()) for lengths in (column_lengths(B), row_lengths(B))]
    by_row = work[0] <= work[1]
    if min(work) <= SMALL_WORK:
        side = B if by_row else sp.csr_array(B.T)
        shares = np.asarray((side @ side.T).power(2).sum(axis=1), dtype=np.float64).ravel()
    else:
        from maskgraph.theory.solver.squares import square_shares

        pair = factor.pair if by_row else factor.pair.swapped
        side = pair.S
        shares = square_shares(pair)
    # Entries of the product are sums of at most max-degree non-negative terms, each good to a few ulp; a share sums at
    # most as many squares as there are rows, none of them negative. The shares are summed exactly (`math.fsum`).
    error = float(shares.sum()) * EPS * (2 * float(np.diff(side.indptr).max()) + side.shape[0] + 16)
    if not by_row:
        shares = np.bincount(side.indices[side.indptr[:-1]], shares, minlength=B.shape[0]).astype(np.float64)
    return shares, error
