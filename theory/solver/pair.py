"""A sparse factor and its transpose, each cut into tiles of columns when it is multiplied.

Nothing is copied before it is asked for, and the transpose is cut from the factor itself: memory that is touched for
the first time costs as much as what is done with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from maskgraph.graphs.compiled import compiled
from maskgraph.theory.solver.degrees import column_lengths, row_lengths
from maskgraph.theory.solver.vectors import Array

TILE = 2**14
"""Columns of a tile: one megabyte of the block."""

LONG = 8
"""Entries that a row should have in a tile on average, for tiles to pay."""

FULL = 1 / 32
"""Terms of S Sᵀ, of those of a full S, from which on BLAS, which has all of them, is sooner done."""

DENSE = 1 / 8
"""Entries of S, of those of a full one, from which on a dense S is five times the sparse one or less."""


@dataclass(frozen=True)
class Whole:
    """A factor of which a process may hold some rows.

    Attributes:
        size: its rows.
        entries: how many it has.
        longest: entries of its longest row and of its longest column, together.
    """

    size: int
    entries: int
    longest: int


class Half:
    """A factor, or the transpose of one, of which nothing is copied before it is asked for.

    Attributes:
        source: CSR, entries of a row in the order of their columns.
        flipped: whether this is the transpose of it.
        shape: (rows, columns) of this.
        lengths: (rows,) int64, entries of each row of this.
    """

    def __init__(self, source: sp.csr_array, flipped: bool) -> None:
        self.source, self.flipped = source, flipped
        self.shape: tuple[int, int] = source.shape[::-1] if flipped else source.shape
        self.lengths = column_lengths(source) if flipped else row_lengths(source)

    @cached_property
    def matrix(self) -> sp.csr_array:
        """It, in CSR, entries of a row in the order of their columns."""
        if not self.flipped:
            return self.source
        matrix = sp.csr_array(self.source.T)
        matrix.sort_indices()
        return matrix

    @cached_property
    def tiles(self) -> Tiles:
        """It, cut into tiles."""
        return Tiles(self, TILE)

    def layout(self, dtype: Any) -> Tiles:
        """As it is multiplied in a dtype: few products are in float64, and the source itself needs no memory."""
        return self.tiles if self.flipped or dtype == np.float32 else Tiles(self, self.shape[1])


class Pair:
    """A sparse factor S (m, c), ‖S‖ <= 1, entries >= 0, and its transpose.

    Attributes:
        halves: S and Sᵀ.
        whole: the factor that S is, or has some of the rows of.
    """

    def __init__(self, S: sp.csr_array, whole: Whole | None = None) -> None:
        if not S.has_sorted_indices:
            S = sp.csr_array(S, copy=True)
            S.sort_indices()
        self.halves = (Half(S, flipped=False), Half(S, flipped=True))
        self.whole = whole or self._whole()

    @property
    def S(self) -> sp.csr_array:
        """(m, c) CSR."""
        return self.halves[0].matrix

    @property
    def T(self) -> sp.csr_array:
        """(c, m) CSR, its transpose."""
        return self.halves[1].matrix

    @cached_property
    def is_full(self) -> bool:
        """Whether S Sᵀ is multiplied out sooner from a dense S, which has to be no more than a few times S."""
        (rows, columns), lengths = self.halves[0].shape, self.halves[1].lengths
        terms = int((lengths**2).sum())
        return bool(terms > FULL * rows**2 * columns and lengths.sum() > DENSE * rows * columns)

    def _whole(self) -> Whole:
        longest = sum(int(half.lengths.max()) for half in self.halves)
        return Whole(self.halves[0].shape[0], int(self.halves[0].lengths.sum()), longest)

    def error(self, dtype: Any) -> float:
        """A bound on ‖computed − exact‖ of S Sᵀ x for a column of norm 1, whatever the order of the sums.

        (d + d' + 2)·ε with d, d' the longest row of S and of Sᵀ, as ‖S‖ <= 1 and S >= 0 (Higham 2002, section 3.1:
        |fl(Sx) − Sx| <= γ_d S|x| row by row).
        """
        return (self.whole.longest + 2) * float(np.finfo(dtype).eps)

    @cached_property
    def swapped(self) -> Pair:
        """The same two matrices, the other way round."""
        other = object.__new__(Pair)
        other.halves = self.halves[::-1]
        other.whole = other._whole()
        return other


class Tiles:
    """A CSR matrix by tiles of columns.

    Where rows are long, columns are taken `width` at a time, whose part of a block stays in the second cache.

    Attributes:
        rows: of the matrix.
        width: columns of a tile.
        starts: (tiles, rows + 1) int64, where the entries of each row begin.
        indices: columns, counted from the tile's first.
        indptr: that of the matrix.
    """

    def __init__(self, half: Half, width: int) -> None:
        self.rows, columns = half.shape
        self.indptr = np.concatenate([[0], np.cumsum(half.lengths)])
        count = -(-columns // width)
        if self.indptr[-1] < LONG * self.rows * count:
            count = 1
        self.width = width if count > 1 else columns
        self._half = half
        if count == 1:
            self.starts, self.indices = self.indptr[None], unsigned(half.matrix.indices)
            return
        source, place = half.source, place_rows if half.flipped else place_columns
        self.starts = np.zeros((count, self.rows + 1), np.int64)
        self.indices = np.empty(self.indptr[-1], np.uint16)
        place(source.indptr, source.indices, self.width, self.starts, self.indices)

    @cached_property
    def data(self) -> Array:
        """Entries, float64."""
        return self._placed(np.float64)

    def entries(self, dtype: Any) -> Array:
        """Entries in float32 or float64; float32 of no float64 copy that is not there yet."""
        if dtype == np.float64 or "data" in self.__dict__:
            return self.data.astype(dtype, copy=False)
        return self._placed(dtype)

    def _placed(self, dtype: Any) -> Array:
        if len(self.starts) == 1:
            return self._half.matrix.data.astype(dtype, copy=False)
        source, move = self._half.source, move_rows if self._half.flipped else move_columns
        data = np.empty(self.indptr[-1], dtype)
        move(source.indptr, source.indices, source.data, self.width, self.starts, data)
        return data


def unsigned(indices: Array) -> Array:
    """Column numbers as uint32, without a copy where they are int32: indices that cannot be negative need no check."""
    return indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint32)


@compiled
def place_columns(indptr: Array, indices: Array, width: int, starts: Array, placed: Array) -> None:
    """Cut a CSR matrix with ascending columns into tiles of `width` columns, one after the other.

    Writes starts (tiles, rows + 1), and the columns, counted from the tile's first, where the entries go.
    """
    rows = len(indptr) - 1
    reach = indptr[:-1].copy()
    at = 0
    for tile in range(len(starts)):
        first = tile * width
        for row in range(rows):
            starts[tile, row] = at
            e = reach[row]
            while e < indptr[row + 1] and indices[e] < first + width:
                placed[at] = indices[e] - first
                at += 1
                e += 1
            reach[row] = e
        starts[tile, rows] = at


@compiled
def move_columns(indptr: Array, _indices: Array, data: Array, _width: int, starts: Array, moved: Array) -> None:
    """Put the entries where `place_columns` has them go."""
    for row in range(len(indptr) - 1):
        e = indptr[row]
        for tile in range(len(starts)):
            for at in range(starts[tile, row], starts[tile, row + 1]):
                moved[at] = data[e]
                e += 1


@compiled
def place_rows(indptr: Array, indices: Array, width: int, starts: Array, placed: Array) -> None:
    """Cut the transpose of a CSR matrix likewise: tiles of `width` rows of it, column by column.

    Writes starts (tiles, columns + 1), and the rows, counted from the tile's first.
    """
    rows, columns = len(indptr) - 1, starts.shape[1] - 1
    at = 0
    for tile in range(len(starts)):
        low, high = tile * width, min((tile + 1) * width, rows)
        own = starts[tile]
        for e in range(indptr[low], indptr[high]):
            own[indices[e] + 1] += 1
        own[0] = at
        for column in range(columns):
            own[column + 1] += own[column]
        at = own[columns]
        free = own[:columns].copy()
        for row in range(low, high):
            for e in range(indptr[row], indptr[row + 1]):
                placed[free[indices[e]]] = row - low
                free[indices[e]] += 1


@compiled
def move_rows(indptr: Array, indices: Array, data: Array, width: int, starts: Array, moved: Array) -> None:
    """Put the entries where `place_rows` has them go."""
    rows = len(indptr) - 1
    for tile in range(len(starts)):
        free = starts[tile, :-1].copy()
        for e in range(indptr[tile * width], indptr[min((tile + 1) * width, rows)]):
            moved[free[indices[e]]] = data[e]
            free[indices[e]] += 1
