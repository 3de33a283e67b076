"""Products of a tall matrix with a block of one cache line a row, in which BLAS spends more on packing than on sums.

Some columns of the tall matrix at a time, with one vector register for each: a row costs one multiplication and
addition a column, and the matrix is read once, as fast as memory has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite.binding import get_host_cpu_features  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from maskgraph.graphs.compiled import compiled
from maskgraph.theory.solver.team import Team
from maskgraph.theory.solver.vectors import Array, Lines, aligned, fetch_early, lanes, steps, variable

PANEL = 64
"""Rows that are worked on together: all columns of them stay in the second cache."""

SHARED = 2**20
"""Entries of a tall matrix below which starting a thread costs more than it saves."""

KINDS = (np.float32, np.float64)

COLLECTED = 16 if get_host_cpu_features().get("avx512f") else 6
"""Columns at a time whose sums stay in registers beside a row: AVX-512 has 32 of a line, AVX2 16 of half a line."""

SPENT = 16
"""Columns at a time whose coefficients do, or are at hand in the first cache."""


def fits(x: Array, y: Array) -> bool:
    """Whether these loops are made for a tall matrix and a block: of one kind, the block of one cache line a row."""
    lines = y.dtype in KINDS and y.shape[1] == lanes(y.dtype) and y.flags.c_contiguous and y.flags.writeable
    return bool(lines and x.dtype == y.dtype and len(x) == len(y) and x.strides[1] == x.itemsize)


def inner(x: Array, y: Array, rows: int, team: Team) -> Array:
    """(p, b) float64, XᵀY in the precision of both, the sums of every `rows` rows added up in float64.

    Args:
        x: (m, p), entries of a row side by side.
        y: (m, b), one line a row.
        rows: how many products a sum in that precision may have.
        team: who shares the rows.
    """
    parts = _parts(x, team, rows)
    totals = np.zeros((len(parts), x.shape[1], y.shape[1]))
    places = {low: total for (low, _), total in zip(parts, totals, strict=True)}

    def work(low: int, high: int) -> None:
        add_inner(x, y, low, high, rows, aligned(x.shape[1], y.dtype), places[low])

    team.share(work, parts)
    return np.asarray(totals.sum(0))


def subtract(x: Array, y: Array, coefficients: Array, team: Team) -> None:
    """Y −= X·coefficients, in place.

    Args:
        x: (m, p), entries of a row side by side.
        y: (m, b), one line a row.
        coefficients: (p, b) in the dtype of both.
        team: who shares the rows.
    """
    held = aligned(x.shape[1], y.dtype)
    np.negative(coefficients.reshape(held.shape), out=held)

    def work(low: int, high: int) -> None:
        add_product(x, y, low, high, held)

    team.share(work, _parts(x, team, PANEL))


def chebyshev_step(image: Array, current: Array, previous: Array, edge: float, team: Team) -> Array:
    """4/edge·image − 2·current − previous, in the memory of image, of blocks of one shape and kind."""
    scale = image.dtype.type(4 / edge)

    def work(low: int, high: int) -> None:
        combine(image[low:high], current[low:high], previous[low:high], scale)

    team.share(work, _parts(image, team, PANEL))
    return image


def _parts(x: Array, team: Team, rows: int) -> list[tuple[int, int]]:
    """Whole multiples of `rows` rows for each of the team."""
    size = len(x)
    share = size if x.size < SHARED else -(-size // (team.threads * rows)) * rows
    return [(low, min(low + share, size)) for low in range(0, size, max(share, 1))] or [(0, 0)]


def _over_rows(columns: int, collect: bool) -> Any:
    """An intrinsic for rows low..high of a tall matrix and of a block, and `columns` columns from `column` on.

    Collecting, the lines of `small` that belong to the columns take up Σ over rows of entry times line of the block;
    else they are coefficients, and each line of the block takes up Σ over columns of entry times coefficient.
    """

    @intrinsic
    def run(_context: Any, tall: Any, block: Any, low: Any, high: Any, column: Any, small: Any) -> Any:
        signature = types.void(tall, block, low, high, column, small)

        def codegen(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
            arrays = [context.make_array(sig.args[k])(context, builder, arguments[k]) for k in (0, 1, 5)]
            tall, block, small = (array.data for array in arrays)
            low, high, column = arguments[2:5]
            lines = Lines(builder, context.get_value_type(sig.args[0].dtype))
            stride = builder.sdiv(builder.extract_value(arrays[0].strides, 0), lines.number(lines.bytes))
            panel = builder.mul(stride, lines.number(PANEL))
            places = [builder.add(column, lines.number(j)) for j in range(columns)]
            held = [lines.load(small, place) for place in places]
            totals = [variable(builder, line) for line in held]
            with steps(builder, low, high, lines.number(1), intp=lines.word) as (row, _):
                entries = builder.gep(tall, [builder.add(column, builder.mul(row, stride))])
                # The same entries of the next panel: the processor does not foresee steps of a row.
                for j in range(0, columns, lines.width):
                    fetch_early(builder, builder.gep(entries, [builder.add(panel, lines.number(j))]), 2)
                spread = [lines.spread(builder.load(builder.gep(entries, [lines.number(j)]))) for j in range(columns)]
                line = lines.load(block, row)
                if collect:
                    for one, total in zip(spread, totals, strict=True):
                        builder.store(lines.multiply_add(one, line, builder.load(total)), total)
                else:
                    halves = [line, lines.zero]
                    for j, (one, coefficient) in enumerate(zip(spread, held, strict=True)):
                        halves[j % 2] = lines.multiply_add(one, coefficient, halves[j % 2])
                    lines.store(builder.fadd(*halves), block, row)
            if collect:
                for place, total in zip(places, totals, strict=True):
                    lines.store(builder.load(total), small, place)
            return context.get_dummy_value()

        return signature, codegen

    return run


_collect, _collect4, _collect1 = (_over_rows(columns, True) for columns in (COLLECTED, 4, 1))
_spend, _spend4, _spend1 = (_over_rows(columns, False) for columns in (SPENT, 4, 1))


@compiled
def add_inner(x: Array, y: Array, low: int, high: int, rows: int, part: Array, total: Array) -> None:
    """Add XᵀY over rows low..high to the float64 total (p, b), by way of a part in the precision of both."""
    columns = x.shape[1]
    for first in range(low, high, rows):
        part[:] = 0
        end = min(first + rows, high)
        for start in range(first, end, PANEL):
            stop = min(start + PANEL, end)
            column = 0
            while column + COLLECTED <= columns:
                _collect(x, y, start, stop, column, part)
                column += COLLECTED
            while column + 4 <= columns:
                _collect4(x, y, start, stop, column, part)
                column += 4
            while column < columns:
                _collect1(x, y, start, stop, column, part)
                column += 1
        for j in range(total.shape[0]):
            for lane in range(total.shape[1]):
                total[j, lane] += part[j, lane]


@compiled
def combine(image: Array, current: Array, previous: Array, scale: Array) -> None:
    """Image = scale·image − 2·current − previous."""
    rows, columns = image.shape
    for row in range(rows):
        for j in range(columns):
            image[row, j] = scale * image[row, j] - current[row, j] - current[row, j] - previous[row, j]


@compiled
def add_product(x: Array, y: Array, low: int, high: int, coefficients: Array) -> None:
    """Add X·coefficients to rows low..high of Y."""
    columns = x.shape[1]
    for start in range(low, high, PANEL):
        stop = min(start + PANEL, high)
        column = 0
        while column + SPENT <= columns:
            _spend(x, y, start, stop, column, coefficients)
            column += SPENT
        while column + 4 <= columns:
            _spend4(x, y, start, stop, column, coefficients)
            column += 4
        while column < columns:
            _spend1(x, y, start, stop, column, coefficients)
            column += 1
