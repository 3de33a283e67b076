"""Products with a sparse factor S: block by block of dense columns, and of S with itself.

The inner loop of a product is one vector register: a row of the dense block is 64 bytes, 16 single or 8 double
numbers, so that each entry of S costs one cache line. LLVM does not find that by itself, hence the intrinsic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numba.core import types
from numba.extending import intrinsic

from maskgraph.graphs.bipartite import cores
from maskgraph.graphs.compiled import compiled
from maskgraph.theory.degrees import column_lengths, row_lengths
from maskgraph.theory.ranks import ALONE, Ranks
from maskgraph.theory.team import Team, team
from maskgraph.theory.vectors import LINE, Array, Lines, aligned, fetch_early, lanes, steps, variable

PARALLEL = 2**18
"""Entries below which starting a thread costs more than it saves."""

TILE = 2**14
"""Columns of a tile: one megabyte of the block."""

PLACES = 3
"""Results that are kept: a three-term recurrence needs the last two to make the next."""

LONG = 8
"""Entries that a row should have in a tile on average, for tiles to pay."""

CHAINS = 2
"""Sums that a row is split into: one would wait for each addition before the next."""

AHEAD = 32
"""Entries before a line of the block is needed that it is asked for: about what a line from memory takes."""


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
        return Tiles(self)


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


class Gram:
    """x ↦ S Sᵀ x on dense blocks.

    Attributes:
        size: the number of rows of S, those of all processes.
        entries: those of S, likewise.
        error: that of `Pair.error`.
    """

    def __init__(self, pair: Pair, dtype: Any, threads: int | None = None, ranks: Ranks = ALONE) -> None:
        self.size, self.entries = pair.whole.size, pair.whole.entries
        self._rows, self._pair, self._ranks = pair.halves[0].shape[0], pair, ranks
        self._dtype, self._threads = np.dtype(dtype), threads
        self._between: Array | None = None
        self._places: list[Array] = []
        self.error = pair.error(self._dtype)

    @cached_property
    def _factors(self) -> list[_Factor]:
        """Sᵀ and S, from the first product on: the second Gram operator of a solve can have the memory of its basis."""
        members = team(self._threads or cores())
        return [_Factor(half.tiles, self._dtype, members) for half in self._pair.halves[::-1]]

    def __call__(self, x: Array) -> Array:
        """S Sᵀ x for x (m, b), any b."""
        width = lanes(self._dtype)
        result = np.empty((self._rows, x.shape[1]), self._dtype)
        block, image = (aligned(self._rows, self._dtype) for _ in range(2))
        for low in range(0, x.shape[1], width):
            used = min(width, x.shape[1] - low)
            block[:, :used], block[:, used:] = x[:, low : low + used], 0
            result[:, low : low + used] = self._block(block, image)[:, :used]
        return result

    def dense(self) -> Array:
        """(size, size) S Sᵀ, multiplied out."""
        S, T = self._pair.S, self._pair.T
        result = np.zeros((self._rows, self._rows))
        multiply_out(S.indptr, unsigned(S.indices), S.data, T.indptr, unsigned(T.indices), T.data, result)
        return result

    def step(self, x: Array) -> Array:
        """S Sᵀ x for x of one cache line a row; the third step from this one overwrites it.

        Memory that is new to the process costs as much as the product.
        """
        if x.shape[1] != lanes(self._dtype):
            return self(x)
        if len(self._places) < PLACES:
            self._places.append(aligned(self._rows, self._dtype))
        else:
            self._places.append(self._places.pop(0))
        return self._block(x, self._places[-1])

    def _block(self, x: Array, result: Array) -> Array:
        first, second = self._factors
        if x.ctypes.data % LINE or not x.flags.c_contiguous:
            x, given = aligned(self._rows, self._dtype), x
            x[:] = given
        if self._between is None:
            # Kept: memory that is written for the first time costs as much as the product.
            self._between = aligned(first.rows, self._dtype)
        return second(self._ranks.sum(first(x, self._between)), result)


class Tiles:
    """A CSR matrix by tiles of columns.

    Where rows are long, columns are taken `TILE` at a time, whose part of a block stays in the second cache.

    Attributes:
        rows: of the matrix.
        width: columns of a tile.
        starts: (tiles, rows + 1) int64, where the entries of each row begin.
        indices: columns, counted from the tile's first.
        indptr: that of the matrix.
    """

    def __init__(self, half: Half) -> None:
        self.rows, columns = half.shape
        self.indptr = np.concatenate([[0], np.cumsum(half.lengths)])
        count = -(-columns // TILE)
        if self.indptr[-1] < LONG * self.rows * count:
            count = 1
        self.width = TILE if count > 1 else columns
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


class _Factor:
    """A CSR matrix times a block of one cache line a row."""

    def __init__(self, tiles: Tiles, dtype: Any, team: Team) -> None:
        self._tiles, self._data = tiles, tiles.entries(dtype)
        indptr = tiles.indptr
        cuts = np.searchsorted(indptr, np.linspace(0, indptr[-1], team.threads + 1)[1:-1]).tolist()
        whole = len(self._data) < PARALLEL
        self._parts = [(0, tiles.rows)] if whole else list(zip([0, *cuts], [*cuts, tiles.rows], strict=True))
        self._team = team

    @property
    def rows(self) -> int:
        """Of the matrix."""
        return self._tiles.rows

    def __call__(self, x: Array, result: Array) -> Array:
        self._team.share(lambda low, high: self._rows_of(x, result, low, high), self._parts)
        return result

    def _rows_of(self, x: Array, result: Array, low: int, high: int) -> None:
        result[low:high] = 0
        width = self._tiles.width
        for tile, starts in enumerate(self._tiles.starts):
            part = x[tile * width : (tile + 1) * width]
            multiply(starts, self._tiles.indices, self._data, part, result, low, high)


def unsigned(indices: Array) -> Array:
    """Column numbers as uint32, without a copy where they are int32: indices that cannot be negative need no check."""
    return indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint32)


def _row_times_block(_context: Any, data: Any, indices: Any, x: Any, low: Any, high: Any, y: Any, row: Any) -> Any:
    signature = types.void(data, indices, x, low, high, y, row)

    def codegen(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        arrays = [context.make_array(sig.args[k])(context, builder, arguments[k]) for k in (0, 1, 2, 5)]
        entries, columns, x, y = (array.data for array in arrays)
        lines = Lines(builder, context.get_value_type(sig.args[0].dtype))
        last = builder.sub(arrays[1].nitems, lines.number(1))
        totals = [variable(builder, lines.zero) for _ in range(CHAINS)]
        builder.store(lines.load(y, arguments[6]), totals[0])

        def column(e: Any) -> Any:
            return builder.zext(builder.load(builder.gep(columns, [e])), lines.word)

        def add(e: Any, total: Any) -> None:
            value = lines.spread(builder.load(builder.gep(entries, [e])))
            ahead = builder.add(e, lines.number(AHEAD))
            later = column(builder.select(builder.icmp_signed("<", ahead, last), ahead, last))
            fetch_early(builder, builder.gep(x, [builder.mul(later, lines.number(lines.width))]), 3)
            builder.store(lines.multiply_add(value, lines.load(x, column(e)), builder.load(total)), total)

        low, high = arguments[3], arguments[4]
        rest = builder.srem(builder.sub(high, low), lines.number(CHAINS))
        whole = builder.sub(high, rest)
        with steps(builder, low, whole, lines.number(CHAINS), intp=lines.word) as (e, _):
            for chain, total in enumerate(totals):
                add(builder.add(e, lines.number(chain)), total)
        with steps(builder, whole, high, lines.number(1), intp=lines.word) as (e, _):
            add(e, totals[0])
        result = builder.load(totals[0])
        for total in totals[1:]:
            result = builder.fadd(result, builder.load(total))
        lines.store(result, y, arguments[6])
        return context.get_dummy_value()

    return signature, codegen


row_times_block: Any = intrinsic(_row_times_block)
"""Add entries low..high of a CSR matrix, its row `row`, times the block x to that line of y, kept in a register."""


@compiled
def multiply(indptr: Array, indices: Array, data: Array, x: Array, y: Array, low: int, high: int) -> None:
    """Rows low..high of y += S x for a block of one cache line a row."""
    for row in range(low, high):
        row_times_block(data, indices, x, indptr[row], indptr[row + 1], y, row)


@compiled
def multiply_out(
    indptr: Array, indices: Array, data: Array, t_indptr: Array, t_indices: Array, t_data: Array, result: Array
) -> None:
    """Add S Sᵀ to a dense result, from S and its transpose."""
    for row in range(len(indptr) - 1):
        own = result[row]
        for e in range(indptr[row], indptr[row + 1]):
            low, high = t_indptr[indices[e]], t_indptr[indices[e] + np.uint32(1)]
            columns, entries = t_indices[low:high], t_data[low:high]
            for f in range(len(columns)):
                own[columns[f]] += data[e] * entries[f]


def transposed_times(pair: Pair, x: Array) -> Array:
    """(c, b) float64, Sᵀ x for x (m, b)."""
    factor = _Factor(pair.halves[1].tiles, np.float64, team(cores()))
    width = lanes(np.float64)
    result = np.empty((factor.rows, x.shape[1]))
    for low in range(0, x.shape[1], width):
        used = min(width, x.shape[1] - low)
        block = aligned(len(x), np.float64)
        block[:, :used], block[:, used:] = x[:, low : low + used], 0
        result[:, low : low + used] = factor(block, aligned(factor.rows, np.float64))[:, :used]
    return result


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
