"""Adding up counts: those of two disjoint sets of edges merge, in the order of their keys, into the counts of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.classes import Classes, canonical
from maskgraph.graphs.compiled import compiled
from maskgraph.graphs.memory import check_share

MERGING = 2.5
"""Bytes that are held while two counts merge, in those of their sum: they, the sum, and what it is made with. Measured:
2.2 where a view has one class, 2.5 where each has two."""

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


def merged(counts: Iterable[Counts], edges: Sequence[int]) -> Counts:
    """The sum of counts of so many edges: like sizes are merged, so that each is copied a logarithmic number of times.

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
            if done == 2:
                _check_two(before, one, edges)
            one = merge(before, one)
            del before
            if done == 2 < len(edges):
                _check_rest(size, one, edges)
        stack.append((rank, one))
    result = stack.pop()[1]
    while stack:
        result = merge(stack.pop()[1], result)
    return result


def _check_two(a: Counts, b: Counts, edges: Sequence[int]) -> None:
    """Refuse a first sum that does not fit: beside the two it takes at least what the larger does."""
    both, whole, part = a.nbytes + b.nbytes, sum(edges), sum(edges[:2])
    check_share(
        both + max(a.nbytes, b.nbytes),
        f"adding up the counts of {part:.2g} edges",
        held=both,
        most=MERGING * both * whole / part,
        least=edges[0] / whole,
    )


def _check_rest(first: int, two: Counts, edges: Sequence[int]) -> None:
    """Refuse a sum that does not fit, going by the first two counts, the first of so many bytes."""
    whole, part = sum(edges), sum(edges[:2])
    # What is new in the second is an upper estimate of what is new in as many edges later.
    new = (two.nbytes - first) / edges[1]
    check_share(
        MERGING * (two.nbytes + (whole - part) * new),
        f"a graph of about {whole / part * len(two.indices):.2g} edges, going by {part / whole:.0%} of it,",
        held=two.nbytes,
        fixed=MERGING * (two.nbytes - part * new),
        least=edges[0] / whole,
    )


def merge(a: Counts, b: Counts) -> Counts:
    """The counts of two disjoint sets of edges together."""
    first, rows = _merge_views(
        a.sides[0], b.sides[0], [np.add.reduceat(one.masses, one.indptr[:-1]) for one in (a, b)], a.masks_total
    )
    second, columns = _merge_views(
        a.sides[1],
        b.sides[1],
        [
            np.bincount(one.indices, one.masses, len(one.sides[1].place)).astype(np.float64, copy=False)
            for one in (a, b)
        ],
        a.masks_total,
    )
    pairs = (a.indptr, a.indices, a.masses), (b.indptr, b.indices, b.masses)
    return Counts((first, second), *_merge_rows(*pairs, rows, columns, len(first.place)), a.masks_total)


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
    classes = _merge_classes((a.classes, b.classes), masses, (to_a, to_b), fresh, size)
    return Vertices(place, alone, one_mask, classes, keys), (to_a, to_b)


def _merge_classes(
    classes: tuple[Classes, Classes],
    masses: Sequence[NDArray[np.float64]],
    maps: tuple[Ids, Ids],
    fresh: NDArray[np.bool_],
    size: int,
) -> Classes:
    """Classes of the union's views; `fresh` are those of the second that the first has not."""
    a, b = classes
    total = a.several.shape[1]
    label = np.empty(size, a.label.dtype)
    label[maps[0]] = a.label
    label[maps[1]] = np.where(fresh | (label[maps[1]] == b.label), b.label, np.array(total, label.dtype))
    # Masses by class are kept, and added, only of views that have several classes.
    several = label == total
    number = np.cumsum(several, dtype=maps[0].dtype)
    rows, joints = [], []
    for own, mass, to in zip(classes, masses, maps, strict=True):
        which = several[to]
        joint = own.some(which).joint(mass[which])
        rows.append(number[to[which]] - 1)
        joints.append((joint.indptr, joint.indices, joint.data))
    none = np.empty(0, maps[0].dtype)
    indptr, indices, summed = _merge_rows(joints[0], joints[1], (rows[0], rows[1]), (none, none), int(several.sum()))
    return Classes(label, canonical(summed, indices, indptr, (len(indptr) - 1, total)))


def _merge_rows(
    a: tuple[Array, Array, Array],
    b: tuple[Array, Array, Array],
    rows: tuple[Ids, Ids],
    columns: tuple[Ids, Ids],
    size: int,
) -> tuple[Array, Array, NDArray[np.float64]]:
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
