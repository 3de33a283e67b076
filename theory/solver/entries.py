"""What the rounding of the entries of B does to the eigenvalues of A = BBᵀ; docs/theory.md, section 6, "B itself"."""

from __future__ import annotations

import numpy as np

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.engine import Floats


def entry_rounding(graph: AugmentationGraph, longest: int) -> float:
    """Twice the share of itself that an entry of B is off by, at most: η of docs/theory.md.

    Args:
        graph: the augmentation graph.
        longest: the entries of a row and a column of B together, at most.
    """
    # Masses are sums along a row, of M whatever the hop, or a column, of entries that are sums of their own; those of B
    # are rounded, as are the sums of squares.
    if graph.hop == "image":
        longest += int(np.diff(graph.graph.M.indptr).max())
    return EPS * (longest + 144)


def of_rounded_entries(low: Floats, high: Floats, made: float) -> tuple[Floats, Floats]:
    """Bounds of the eigenvalues of BBᵀ from those of a B >= 0 of norm 1 whose entries are off by half of `made`.

    That is a share of each entry and so of ‖B‖, not of each singular value.
    """
    return np.maximum(np.sqrt(low) - made / 2, 0) ** 2, np.minimum((np.sqrt(high) + made / 2) ** 2, 1)
