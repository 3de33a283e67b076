"""Products with a sparse factor S: block by block of dense columns, and of S with itself.

The inner loop of a product is one vector register: a row of the dense block is 64 bytes, 16 single or 8 double
numbers, so that each entry of S costs one cache line. LLVM does not find that by itself, hence the intrinsic.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from maskgraph.graphs.compiled import compiled
from maskgraph.graphs.machine import cores
from maskgraph.theory.solver.engine import PANEL
from maskgraph.theory.solver.pair import Pair, Tiles, unsigned
from maskgraph.theory.solver.ranks import ALONE, Ranks
from maskgraph.theory.solver.team import Team, team
from maskgraph.theory.solver.vectors import LINE, Array, Lines, aligned, fetch_early, lanes, steps, variable

PARALLEL = 2**18
"""Entries below which starting a thread costs more than it saves."""

PLACES = 3
"""Results that are kept: a three-term recurrence needs the last two to make the next."""

CHAINS = 2
"""Sums that a row is split into: one would wait for each addition before the next."""

AHEAD = 32
"""Entries before a line of the block is needed that it is asked for: about what a line from memory takes."""


class Gram:
    """x ↦ S Sᵀ x on dense blocks.

    Attributes:
        size: the number of rows of S, those of all processes.
        entries: those of S, likewise.
        columns: how many it was applied to so far, with those that fill up a line.
        error: that of `Pair.error`.
    """

    def __init__(self, pair: Pair, dtype: Any, threads: int | None = None, ranks: Ranks = ALONE) -> None:
        self.size, self.entries = pair.whole.size, pair.whole.entries
        self._rows, self._pair, self._ranks = pair.halves[0].shape[0], pair, ranks
        self._dtype, self._threads = np.dtype(dtype), threads
        self._between: Array | None = None
        self._places: list[Array] = []
        self.columns = 0
        self.error = pair.error(self._dtype)

    @cached_property
    def _factors(self) -> list[_Factor]:
        """Sᵀ and S, from the first product on: the second Gram operator of a solve can have the memory of its basis."""
        members = team(self._threads or cores())
        return [_Factor(half.layout(self._dtype), self._dtype, members) for half in self._pair.halves[::-1]]

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
        if self._pair.is_full:
            for low in range(0, S.shape[1], PANEL):
                part = T[low : low + PANEL].toarray()
                result += part.T @ part
            return result
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
        self.columns += lanes(self._dtype)
        if x.ctypes.data % LINE or not x.flags.c_contiguous:
            x, given = aligned(self._rows, self._dtype), x
            x[:] = given
        if self._between is None:
            # Kept: memory that is written for the first time costs as much as the product.
            self._between = aligned(first.rows, self._dtype)
        return second(self._ranks.sum(first(x, self._between)), result)


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
    factor = _Factor(pair.halves[1].layout(np.float64), np.float64, team(cores()))
    width = lanes(np.float64)
    result = np.empty((factor.rows, x.shape[1]))
    for low in range(0, x.shape[1], width):
        used = min(width, x.shape[1] - low)
        block = aligned(len(x), np.float64)
        block[:, :used], block[:, used:] = x[:, low : low + used], 0
        result[:, low : low + used] = factor(block, aligned(factor.rows, np.float64))[:, :used]
    return result
