"""What is asked of an iterative solve."""

from __future__ import annotations

from dataclasses import dataclass

DENSELY = 4096
"""Vertices up to which a component that does not settle is solved densely: a third of a gigabyte, five seconds."""

CLUSTERED = 96
"""Columns that a solve may hold, whatever few are wanted, to find a cluster whole."""

SHARED = 2**18
"""Entries from which on a component is worth sharing with other processes; smaller ones are dealt out."""


@dataclass(frozen=True)
class Goal:
    """What is asked of a solve for the largest eigenvalues of A beside its known one.

    Attributes:
        want: how many, well below the order of A.
        frobenius: ‖A‖_F².
        width: relative to the squares of all other eigenvalues, what the squares of the wanted ones may be off by.
        failure: probability allowed to the upper bounds to fail.
        seed: of start and test blocks.
    """

    want: int
    frobenius: float
    width: float
    failure: float
    seed: int


def most_columns(want: int) -> int:
    """How many float64 vectors a solve may hold at most: a cluster at the last wanted value is to have room."""
    return max(4 * (want + 8), CLUSTERED)
