"""‖S Sᵀ‖_F² row by row, by multiplying S Sᵀ out and keeping nothing of it."""

from __future__ import annotations

import numpy as np

from maskgraph.graphs.compiled import compiled, compiled_fast
from maskgraph.graphs.machine import cores
from maskgraph.theory.solver.pair import Pair, unsigned
from maskgraph.theory.solver.team import team
from maskgraph.theory.solver.vectors import LINE, Array, prefetch

AHEAD = 4
"""Columns of a row before one is needed that its entries are asked for."""

FETCHED = 24
"""Entries of each that are: more come by themselves."""

PER_LINE = LINE // 8

PANEL = 1024
"""Rows of a full S Sᵀ at a time."""


def square_shares(pair: Pair, threads: int | None = None) -> Array:
    """(m,) float64, (S Sᵀ)_ii² + 2 Σ_{j<i} (S Sᵀ)_ij²: over a component they sum to its ‖S Sᵀ‖_F², in bounded memory.

    The cost is half the sum of the squared degrees of the columns, or less where S is nearly full. Every sum is of
    non-negative terms, at most max(m, longest row) of them.
    """
    threads = threads or cores()
    S = pair.S
    if pair.is_full:
        return full_squares(S.toarray())
    arrays = (S.indptr.astype(np.int64), unsigned(S.indices), S.data)
    rows = int(S.shape[0])
    work = int((pair.halves[1].lengths ** 2).sum())
    if work > rows * (rows // 8):
        tiles = pair.halves[1].tiles
        squares = [np.zeros(rows) for _ in range(threads)]

        def every(first: int, _end: int) -> None:
            dense_squares(*arrays, tiles.starts, tiles.indices, tiles.data, tiles.width, first, threads, squares[first])

        team(threads).share(every, [(part, part + 1) for part in range(threads)])
        total: Array = np.sum(squares, axis=0)
    else:
        T, total = pair.T, np.zeros(rows)
        sparse_squares(*arrays, T.indptr.astype(np.int64), unsigned(T.indices), T.data, 0, rows, total)
    return total


def full_squares(S: Array) -> Array:
    """The same for a dense S, by BLAS: zeros add nothing to a sum, nor to its rounding."""
    squares = np.empty(len(S))
    for low in range(0, len(S), PANEL):
        high = min(low + PANEL, len(S))
        part = S[low:high] @ S[:high].T
        own = part[:, low:]
        diagonal = np.diag(own).copy()
        own *= np.tri(high - low, k=-1)
        squares[low:high] = diagonal**2 + 2 * np.einsum("ij,ij->i", part, part)
    return squares


@compiled
def dense_squares(
    indptr: Array,
    indices: Array,
    data: Array,
    starts: Array,
    t_indices: Array,
    t_data: Array,
    width: int,
    first: int,
    step: int,
    squares: Array,
) -> None:
    """Add (S Sᵀ)_ii² + 2 Σ_{j<i} (S Sᵀ)_ij² to squares[i], for a nearly full S Sᵀ.

    `starts`, `t_indices` and `t_data` are Sᵀ in tiles of `width` of its columns j, whose sums for one i fit a near
    cache; of the tiles, `first`, `first` + `step`, … are done.
    """
    rows, last = len(indptr) - 1, len(indices) - 1
    acc = np.zeros(width)
    for tile in range(first, len(starts), step):
        low = tile * width
        begin = starts[tile]
        # Up to the diagonal, Sᵀ is followed as far as its columns have been reached.
        reach = begin[:-1].copy()
        for i in range(low, rows):
            below = i >= low + width
            for e in range(indptr[i], indptr[i + 1]):
                later = begin[indices[min(e + AHEAD, last)]]
                prefetch(t_indices, later)
                for f in range(0, FETCHED, PER_LINE):
                    prefetch(t_data, later + f)
                c, value = indices[e], data[e]
                if below:
                    end = begin[c + np.uint32(1)]
                else:
                    reach[c] += 1
                    end = reach[c]
                columns, entries = t_indices[begin[c] : end], t_data[begin[c] : end]
                for f in range(len(columns)):
                    acc[columns[f]] += value * entries[f]
            if below:
                squares[i] += 2 * sum_of_squares(acc)
            else:
                own = acc[i - low]
                acc[i - low] = 0.0
                squares[i] += 2 * sum_of_squares(acc[: i - low]) + own * own


@compiled
def sparse_squares(
    indptr: Array,
    indices: Array,
    data: Array,
    t_indptr: Array,
    t_indices: Array,
    t_data: Array,
    low: int,
    high: int,
    squares: Array,
) -> None:
    """Add (S Sᵀ)_ii² + 2 Σ_{j<i} (S Sᵀ)_ij² to squares[i] for low <= i < high, for a sparse S Sᵀ."""
    acc = np.zeros(high)
    touched = np.empty(high, np.int64)
    reach = t_indptr[:-1].copy()
    for c in range(len(reach)):
        while reach[c] < t_indptr[c + 1] and t_indices[reach[c]] < low:
            reach[c] += 1
    for i in range(low, high):
        count = 0
        for e in range(indptr[i], indptr[i + 1]):
            c, value = indices[e], data[e]
            for f in range(t_indptr[c], reach[c]):
                j, term = t_indices[f], value * t_data[f]
                # A product that underflows leaves its place as untouched as it was: it must not be counted again.
                if acc[j] == 0.0 and term > 0.0:
                    touched[count] = j
                    count += 1
                acc[j] += term
            reach[c] += 1
        total, own = 0.0, 0.0
        for t in range(count):
            total += acc[touched[t]] * acc[touched[t]]
            acc[touched[t]] = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            own += data[e] * data[e]
        squares[i] += 2 * total + own * own


@compiled_fast
def sum_of_squares(acc: Array) -> float:
    """Σ acc_j², in the partial sums of a vector register; the entries are set to 0 while they are at hand."""
    total = 0.0
    for j in range(len(acc)):
        total += acc[j] * acc[j]
        acc[j] = 0.0
    return total
