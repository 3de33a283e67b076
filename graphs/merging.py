"""Adding up counts: those of two disjoint sets of edges merge, in the order of their keys, into the counts of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.classes import Classes, canonical, classes_of
from maskgraph.graphs.compiled import compiled
from maskgraph.graphs.memory import check_share

Array = NDArray[Any]
Ids = NDArray[np.uint32 | np.int64]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Vertices:
    """What is counted of the D views of one side, in the lexical order of their codes.

    Attributes:
        place: (D,) unsigned, image · S + mask of the first place where it occurs.
        alone: (D,) bool, whether it is seen from one image only.
        one_mask: (D,) bool, whether it is seen under one mask only.
        classes: its classes, masses in units.
        keys: (L, D) uint64, the digits of each view's key; L = 0 in counts that are not to be added up.
    """

    place: NDArray[Any]
    alone: NDArray[np.bool_]
    one_mask: NDArray[np.bool_]
    classes: Classes
    keys: NDArray[np.uint64]

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(a.nbytes for a in (self.place, self.alone, self.one_mask, self.classes, self.keys))


@dataclass(frozen=True)
class Counts:
    """The views of both sides and the pairs of some edges.

    Attributes:
        sides: visible and target views.
        indptr, indices, masses: the pairs, as the arrays of a CSR matrix; masses in units.
        masks_total: S, the number of masks of all edges.
    """

    sides: tuple[Vertices, Vertices]
    indptr: NDArray[Any]
    indices: NDArray[Any]
    masses: NDArray[np.float64]
    masks_total: int

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(a.nbytes for a in (*self.sides, self.indptr, self.indices, self.masses))


def merged(counts: Iterable[Counts], total: int) -> Counts:
    """The sum of `total` counts: like sizes are merged, so that each is copied a logarithmic number of times.

    Raises:
        InputError: the sum would not fit into memory.
    """
    stack: list[tuple[int, Counts]] = []
    for done, one in enumerate(counts, start=1):
        rank = 0
        while stack and stack[-1][0] <= rank:
            rank = max(rank, stack[-1][0]) + 1
            before = stack.pop()[1]
            size = before.nbytes
            one = merge(before, one)
            if done == 2:
                # What is new in the second is an upper estimate of what is new in any later one.
                need = 2 * (one.nbytes + (total - 2) * (one.nbytes - size))
                check_share(
                    need, f"a graph of about {total / 2 * len(one.indices):.2g} edges, going by {2 / total:.0%} of it,"
                )
        stack.append((rank, one))
    result = stack.pop()[1]
    while stack:
        result = merge(stack.pop()[1], result)
    return result


def merge(a: Counts, b: Counts) -> Counts:
    """The counts of two disjoint sets of edges together."""
    of_rows = [np.add.reduceat(one.masses, one.indptr[:-1]) for one in (a, b)]
    of_columns: list[NDArray[np.float64]] = [
        np.bincount(one.indices, one.masses, len(one.sides[1].place)).astype(np.float64, copy=False) for one in (a, b)
    ]
    first, rows = _merge_views(a.sides[0], b.sides[0], of_rows, a.masks_total)
    second, columns = _merge_views(a.sides[1], b.sides[1], of_columns, a.masks_total)
    pairs = _merge_rows((a.indptr, a.indices, a.masses), (b.indptr, b.indices, b.masses), rows, columns)
    return Counts((first, second), *pairs, a.masks_total)


def _merge_views(
    a: Vertices, b: Vertices, masses: Sequence[NDArray[np.float64]], masks_total: int
) -> tuple[Vertices, tuple[Ids, Ids]]:
    ids: type[np.uint32] | type[np.int64] = np.uint32 if len(a.place) + len(b.place) <= 2**32 else np.int64
    to_a, to_b = np.empty(len(a.place), ids), np.empty(len(b.place), ids)
    size = union_maps(a.keys, b.keys, to_a, to_b)
    keys = np.empty((len(a.keys), size), np.uint64)
    keys[:, to_a], keys[:, to_b] = a.keys, b.keys
    nowhere = np.iinfo(a.place.dtype).max
    place = np.full(size, nowhere, a.place.dtype)
    alone, one_mask = np.ones(size, np.bool_), np.ones(size, np.bool_)
    place[to_a], alone[to_a], one_mask[to_a] = a.place, a.alone, a.one_mask
    seen = place[to_b]
    fresh = seen == nowhere
    alone[to_b] &= b.alone & (fresh | (seen // masks_total == b.place // masks_total))
    one_mask[to_b] &= b.one_mask & (fresh | (seen % masks_total == b.place % masks_total))
    place[to_b] = np.minimum(seen, b.place)
    none = np.empty(0, np.uint32)
    x, y = a.classes.joint(masses[0]), b.classes.joint(masses[1])
    rows = (x.indptr, x.indices, x.data), (y.indptr, y.indices, y.data)
    indptr, indices, summed = _merge_rows(*rows, (to_a, to_b), (none, none))
    classes = classes_of(canonical(summed, indices, indptr, (size, x.shape[1])))
    return Vertices(place, alone, one_mask, classes, keys), (to_a, to_b)


def _merge_rows(
    a: tuple[Array, Array, Array], b: tuple[Array, Array, Array], rows: tuple[Ids, Ids], columns: tuple[Ids, Ids]
) -> tuple[Array, Array, NDArray[np.float64]]:
    size = 1 + int(max(to[-1] for to in rows))
    indptr = np.empty(size + 1, np.int64)
    inputs = (rows[0], *a, columns[0], rows[1], *b, columns[1])
    # Of a block they fit into 32 bits, of many blocks they may not.
    index: type[np.int32] | type[np.int64] = (
        np.int32 if all(int(to[-1]) < 2**31 for to in columns if len(to)) else np.int64
    )
    entries = merge_rows(*inputs, indptr, np.empty(0, index), np.empty(0))
    indices, masses = np.empty(entries, index), np.empty(entries)
    merge_rows(*inputs, indptr, indices, masses)
    return indptr, indices, masses


@compiled
def compare(a: Words, i: int, b: Words, j: int) -> int:
    """−1, 0 or 1 as column i of a is before, equal to or after column j of b."""
    for level in range(len(a)):
        if a[level, i] != b[level, j]:
            return -1 if a[level, i] < b[level, j] else 1
    return 0


@compiled
def union_maps(a: Words, b: Words, to_a: Ids, to_b: Ids) -> int:
    """Write where each column of two sorted key arrays stands in their union; how many the union has."""
    i = j = at = 0
    while i < a.shape[1] or j < b.shape[1]:
        order = -1 if j == b.shape[1] else 1 if i == a.shape[1] else compare(a, i, b, j)
        if order <= 0:
            to_a[i] = at
            i += 1
        if order >= 0:
            to_b[j] = at
            j += 1
        at += 1
    return at


@compiled
def merge_rows(
    to_a: Ids,
    indptr_a: Array,
    indices_a: Array,
    masses_a: Array,
    columns_a: Ids,
    to_b: Ids,
    indptr_b: Array,
    indices_b: Array,
    masses_b: Array,
    columns_b: Ids,
    indptr: Array,
    indices: Array,
    masses: Array,
) -> int:
    """Add two CSR matrices, rows and columns renumbered in order; how many entries the sum has.

    `to_a` and `to_b` are the rows of the sum that each row goes to, ascending and together all of them; `columns_a` and
    `columns_b` likewise for columns, and empty where these stay. With empty `indices` only the rows are counted.
    """
    write = len(indices) > 0
    at = a = b = 0
    for row in range(len(indptr) - 1):
        indptr[row] = at
        i = i_end = j = j_end = np.int64(0)
        if a < len(to_a) and to_a[a] == row:
            i, i_end = np.int64(indptr_a[a]), np.int64(indptr_a[a + 1])
            a += 1
        if b < len(to_b) and to_b[b] == row:
            j, j_end = np.int64(indptr_b[b]), np.int64(indptr_b[b + 1])
            b += 1
        while i < i_end or j < j_end:
            one = two = np.int64(2**62)
            if i < i_end:
                one = np.int64(columns_a[indices_a[i]]) if len(columns_a) else np.int64(indices_a[i])
            if j < j_end:
                two = np.int64(columns_b[indices_b[j]]) if len(columns_b) else np.int64(indices_b[j])
            if write:
                indices[at] = min(one, two)
                if one < two:
                    masses[at] = masses_a[i]
                elif two < one:
                    masses[at] = masses_b[j]
                else:
                    masses[at] = masses_a[i] + masses_b[j]
            at += 1
            i += one <= two
            j += two <= one
    indptr[len(indptr) - 1] = at
    return at
