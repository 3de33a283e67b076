"""How many entries the rows and columns of a factor have."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

COUNTED = 2**20
"""Column numbers that are counted at a time, or as many as there are columns: numpy counts a copy of them in int64."""


def row_lengths(matrix: sp.csr_array) -> NDArray[np.int64]:
    """(rows,) int64, entries of each row."""
    return np.diff(matrix.indptr).astype(np.int64)


def column_lengths(matrix: sp.csr_array) -> NDArray[np.int64]:
    """(columns,) int64, entries of each column."""
    lengths = np.zeros(matrix.shape[1], np.int64)
    counted = max(COUNTED, len(lengths))
    for low in range(0, len(matrix.indices), counted):
        lengths += np.bincount(matrix.indices[low : low + counted], minlength=len(lengths))
    return lengths
