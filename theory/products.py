"""Products with a sparse factor S: block by block of dense columns, and of S with itself.

The inner loop of a product is one vector register: a row of the dense block is 64 bytes, 16 single or 8 double
numbers, so that each entry of S costs one cache line. LLVM does not find that by itself, hence the intrinsic.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import cores
from maskgraph.graphs.compiled import compiled
from maskgraph.theory.ranks import ALONE, Ranks

LINE = 64
"""Bytes of a row of a block: one cache line, one AVX-512 register."""

PARALLEL = 2**18
"""Entries below which starting a thread costs more than it saves."""

TILE = 2**14
"""Columns of a tile: one megabyte of the block."""

PLACES = 3
"""Results that are kept: a three-term recurrence needs the last two to make the next."""

LONG = 8
"""Entries that a row should have in a tile on average, for tiles to pay."""

allocate: Any = cgutils.alloca_once_value

CHAINS = 4
"""Sums that a row is split into: one would wait for each addition before the next."""

Array = NDArray[Any]


def lanes(dtype: Any) -> int:
    """Columns of a block of this dtype."""
    return LINE // int(np.dtype(dtype).itemsize)


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


class Pair:
    """A sparse factor and its transpose, entries of a row in the order of their columns.

    Attributes:
        S: (m, c) CSR, ‖S‖ <= 1, entries >= 0.
        T: (c, m) CSR, its transpose.
        whole: the factor that S is, or has some of the rows of.
    """

    def __init__(self, S: sp.csr_array, whole: Whole | None = None) -> None:
        self.T = sp.csr_array(S.T)
        self.T.sort_indices()
        self.S = S if S.has_sorted_indices else sp.csr_array(self.T.T)
        self.whole = whole or self._whole()

    def _whole(self) -> Whole:
        longest = sum(int(np.diff(matrix.indptr).max()) for matrix in (self.S, self.T))
        return Whole(int(self.S.shape[0]), int(self.S.nnz), longest)

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
        other.S, other.T = self.T, self.S
        other.whole = other._whole()
        other.tiles = self.tiles[::-1]
        return other

    @cached_property
    def tiles(self) -> tuple[Tiles, Tiles]:
        """The transpose and the factor, cut into tiles."""
        return Tiles(self.T), Tiles(self.S)


class Gram:
    """x ↦ S Sᵀ x on dense blocks.

    Attributes:
        size: the number of rows of S, those of all processes.
        entries: those of S, likewise.
        error: that of `Pair.error`.
    """

    def __init__(self, pair: Pair, dtype: Any, threads: int | None = None, ranks: Ranks = ALONE) -> None:
        self.size, self.entries = pair.whole.size, pair.whole.entries
        self._rows, self._ranks = int(pair.S.shape[0]), ranks
        self._dtype = np.dtype(dtype)
        self._factors = [_Factor(tiles, self._dtype, threads or cores()) for tiles in pair.tiles]
        self._between: Array | None = None
        self._places: list[Array] = []
        self.error = pair.error(self._dtype)

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
        data: entries, float64.
        indptr: that of the matrix.
    """

    def __init__(self, matrix: sp.csr_array) -> None:
        self.rows, columns = matrix.shape
        self.indptr = matrix.indptr.astype(np.int64)
        tiles = -(-columns // TILE)
        if len(matrix.data) < LONG * self.rows * tiles:
            tiles = 1
        self.width = TILE if tiles > 1 else columns
        if tiles == 1:
            self.starts, self.indices, self.data = self.indptr[None], unsigned(matrix.indices), matrix.data
            return
        self.starts = np.zeros((tiles, self.rows + 1), np.int64)
        self.indices = np.empty(len(matrix.indices), np.uint16)
        self.data = np.empty(len(matrix.data), np.float64)
        split_columns(self.indptr, matrix.indices, matrix.data, self.width, self.starts, self.indices, self.data)


class _Factor:
    """A CSR matrix times a block of one cache line a row."""

    def __init__(self, tiles: Tiles, dtype: Any, threads: int) -> None:
        self._tiles, self._data = tiles, tiles.data.astype(dtype, copy=False)
        indptr = tiles.indptr
        cuts = np.searchsorted(indptr, np.linspace(0, indptr[-1], threads + 1)[1:-1]).tolist()
        whole = len(self._data) < PARALLEL
        self._parts = [(0, tiles.rows)] if whole else list(zip([0, *cuts], [*cuts, tiles.rows], strict=True))
        # Kept: where other work waits for the cores a thread may be started later than the product is done.
        self._pool = ThreadPoolExecutor(max(threads - 1, 1))

    @property
    def rows(self) -> int:
        """Of the matrix."""
        return self._tiles.rows

    def __call__(self, x: Array, result: Array) -> Array:
        others = [self._pool.submit(self._rows_of, x, result, low, high) for low, high in self._parts[1:]]
        self._rows_of(x, result, *self._parts[0])
        for other in others:
            other.result()
        return result

    def _rows_of(self, x: Array, result: Array, low: int, high: int) -> None:
        multiply = multiply_single if x.dtype == np.float32 else multiply_double
        result[low:high] = 0
        width = self._tiles.width
        for tile, starts in enumerate(self._tiles.starts):
            part = x[tile * width : (tile + 1) * width]
            multiply(starts, self._tiles.indices, self._data, part, result, low, high)


def unsigned(indices: Array) -> Array:
    """Column numbers as uint32, without a copy where they are int32: indices that cannot be negative need no check."""
    return indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint32)


def aligned(rows: int, dtype: Any) -> Array:
    """An uninitialised block of `rows` cache lines."""
    width = lanes(dtype)
    space = np.empty((rows + 1) * width, dtype)
    start = (-space.ctypes.data % LINE) // space.itemsize
    return space[start : start + rows * width].reshape(rows, width)


def _row_times_block(width: int) -> Any:
    """An intrinsic that adds one row of a CSR matrix times a block of `width` columns, kept in one register."""

    @intrinsic
    def run(_context: Any, data: Any, indices: Any, block: Any, low: Any, high: Any, result: Any, row: Any) -> Any:
        signature = types.void(data, indices, block, low, high, result, row)

        def codegen(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            entries, columns, x, y = (
                context.make_array(sig.args[k])(context, builder, arguments[k]).data for k in (0, 1, 2, 5)
            )
            element = context.get_value_type(sig.args[0].dtype)
            vector, word, lane = ir.VectorType(element, width), ir.IntType(64), ir.IntType(32)
            undefined = ir.Constant(vector, ir.Undefined)

            def line(base: Any, at: Any) -> Any:
                place = builder.gep(base, [builder.mul(at, ir.Constant(word, width))])
                return builder.bitcast(place, vector.as_pointer())

            before = builder.load(line(y, arguments[6]))
            before.align = element_bytes(element)
            totals = [allocate(builder, ir.Constant(vector, None)) for _ in range(CHAINS)]
            builder.store(before, totals[0])

            def add(e: Any, total: Any) -> None:
                value = builder.insert_element(undefined, builder.load(builder.gep(entries, [e])), ir.Constant(lane, 0))
                spread = builder.shuffle_vector(value, undefined, ir.Constant(ir.VectorType(lane, width), [0] * width))
                at = builder.zext(builder.load(builder.gep(columns, [e])), word)
                loaded = builder.load(line(x, at))
                loaded.align = element_bytes(element)
                product = builder.fmul(spread, loaded, flags=("contract",))
                builder.store(builder.fadd(product, builder.load(total), flags=("contract",)), total)

            low, high = arguments[3], arguments[4]
            rest = builder.srem(builder.sub(high, low), ir.Constant(word, CHAINS))
            whole = builder.sub(high, rest)
            with cgutils.for_range_slice(builder, low, whole, ir.Constant(word, CHAINS), intp=word) as (e, _):
                for chain, total in enumerate(totals):
                    add(builder.add(e, ir.Constant(word, chain)), total)
            with cgutils.for_range_slice(builder, whole, high, ir.Constant(word, 1), intp=word) as (e, _):
                add(e, totals[0])
            result = builder.load(totals[0])
            for total in totals[1:]:
                result = builder.fadd(result, builder.load(total))
            written = builder.store(result, line(y, arguments[6]))
            written.align = element_bytes(element)
            return context.get_dummy_value()

        return signature, codegen

    return run


def element_bytes(element: Any) -> int:
    """Bytes of an LLVM float or double."""
    return 4 if isinstance(element, ir.FloatType) else 8


_single, _double = _row_times_block(lanes(np.float32)), _row_times_block(lanes(np.float64))


@compiled
def multiply_single(indptr: Array, indices: Array, data: Array, x: Array, y: Array, low: int, high: int) -> None:
    """Rows low..high of y += S x for a block of 16 float32 columns."""
    for row in range(low, high):
        _single(data, indices, x, indptr[row], indptr[row + 1], y, row)


@compiled
def multiply_double(indptr: Array, indices: Array, data: Array, x: Array, y: Array, low: int, high: int) -> None:
    """Rows low..high of y += S x for a block of 8 float64 columns."""
    for row in range(low, high):
        _double(data, indices, x, indptr[row], indptr[row + 1], y, row)


def transposed_times(pair: Pair, x: Array) -> Array:
    """(c, b) float64, Sᵀ x for x (m, b)."""
    factor = _Factor(pair.tiles[0], np.float64, cores())
    width = lanes(np.float64)
    result = np.empty((pair.T.shape[0], x.shape[1]))
    for low in range(0, x.shape[1], width):
        used = min(width, x.shape[1] - low)
        block = aligned(len(x), np.float64)
        block[:, :used], block[:, used:] = x[:, low : low + used], 0
        result[:, low : low + used] = factor(block, aligned(factor.rows, np.float64))[:, :used]
    return result


@compiled
def split_columns(
    indptr: Array, indices: Array, data: Array, width: int, starts: Array, out_indices: Array, out_data: Array
) -> None:
    """Cut a CSR matrix with ascending columns into tiles of `width` columns, one after the other.

    Writes starts (tiles, rows + 1), and the entries with their columns counted from the tile's first.
    """
    rows = len(indptr) - 1
    at = 0
    reach = indptr[:-1].copy()
    for tile in range(len(starts)):
        end = (tile + 1) * width
        for row in range(rows):
            starts[tile, row] = at
            e = reach[row]
            while e < indptr[row + 1] and indices[e] < end:
                out_indices[at] = indices[e] - tile * width
                out_data[at] = data[e]
                at += 1
                e += 1
            reach[row] = e
        starts[tile, rows] = at
