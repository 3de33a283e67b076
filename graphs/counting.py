"""Counting views and pairs: exactly, block by block, in memory that the result bounds.

The (image, mask) edges are cut into blocks. Each block is counted on its own by sorting (`graphs.kernels`), and
counts add up: two of them merge, in the order of the views' keys, into the counts of both. Threads, a stream of
blocks and workers on other machines are therefore the same sum in another order, and give the same graph.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.masks import MaskSet
from maskgraph.graphs.memory import available_bytes, check_memory
from maskgraph.graphs.views import View

Ids = NDArray[np.uint32]

BLOCK = 2**24
"""Edges counted at a time: two threads of them take about a gigabyte."""


@dataclass(frozen=True)
class Vertices:
    """What is counted of the D views of one side, in the lexical order of their codes.

    Attributes:
        keys: (L, D) uint64, the digits of each view's key.
        place: (D,) unsigned, image · S + mask of the first place where it occurs.
        alone: (D,) bool, whether it is seen from one image only.
        one_mask: (D,) bool, whether it is seen under one mask only.
        indptr: (D + 1,) uint32, into the next two.
        classes: the classes it is seen with, ascending.
        masses: their masses, in units.
    """

    keys: NDArray[np.uint64]
    place: NDArray[Any]
    alone: NDArray[np.bool_]
    one_mask: NDArray[np.bool_]
    indptr: NDArray[np.uint32]
    classes: NDArray[Any]
    masses: NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """The views of both sides and the pairs of some edges; masses in `unit`s.

    Attributes:
        sides: visible and target views.
        indptr, indices, masses: the pairs, as the arrays of a CSR matrix.
        masks_total: S, the number of masks of all edges.
    """

    sides: tuple[Vertices, Vertices]
    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    masses: NDArray[Any]
    masks_total: int


@dataclass(frozen=True)
class Layout:
    """How the views of one side become keys: lexical, exact, in as many digits as it takes.

    Attributes:
        patches: (S, count) what each mask shows.
        lead_bits: bits of the mask's number, 0 where views of different masks may be one vertex.
        bits: of one code, or of one code's count.
        starts: (L + 1,) slots where each digit begins; slots are patches, or codes where these are counted.
        kind: `ordered`, `counted` or `sorted` codes.
        alphabet: number of codes.
    """

    patches: NDArray[np.int64]
    lead_bits: int
    bits: int
    starts: NDArray[np.int64]
    kind: str
    alphabet: int

    def digits(self, codes: NDArray[Any], masks: slice, space: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
        """(L, masks, images) digits of the views of a block: codes (n, images) under some of the masks.

        They are written into `space`, where some is given.
        """
        from maskgraph.graphs import kernels

        patches = np.ascontiguousarray(self.patches[masks])
        number = np.arange(masks.start, masks.stop, dtype=np.int64)
        lead = number if self.lead_bits else np.zeros_like(number)
        shape = (len(self.starts) - 1, len(patches), codes.shape[1])
        digits = np.empty(shape, np.uint64) if space is None else space[: math.prod(shape)].reshape(shape)
        if self.kind == "counted":
            kernels.pack_counts(codes, patches, *self._count_digits(), digits)
        elif self.kind == "sorted":
            kernels.pack_sorted(codes, patches, self.starts, self.bits, digits)
        else:
            kernels.pack_in_order(codes, patches, lead, self.starts, self.bits, digits)
        return digits

    def _count_digits(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        table = np.zeros((len(self.starts) - 1, self.alphabet), np.uint64)
        for digit, (low, high) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            for code in range(low, high):
                table[digit, code] = 1 << (self.bits * int(high - 1 - code))
        return table, table.sum(axis=1) * np.uint64(self.patches.shape[1])


def layout(view: View, patches: NDArray[np.int64], alphabet: int) -> Layout:
    """The keys of the views that `patches` (S, count) shows of codes below `alphabet`."""
    from maskgraph.graphs.kernels import DIGIT_BITS

    lead_bits = (len(patches) - 1).bit_length() if view == "positional" else 0
    count = patches.shape[1]
    bits = max((alphabet - 1).bit_length(), 1)
    starts = _starts(count, bits, lead_bits, DIGIT_BITS)
    if view != "bag":
        return Layout(patches, lead_bits, bits, starts, "ordered", alphabet)
    count_bits = count.bit_length()
    # The number of the last code is known from those of the others.
    counted = _starts(max(alphabet - 1, 1), count_bits, 0, DIGIT_BITS)
    if len(counted) <= len(starts):
        return Layout(patches, 0, count_bits, counted, "counted", alphabet)
    return Layout(patches, 0, bits, starts, "sorted", alphabet)


def _starts(slots: int, bits: int, lead_bits: int, capacity: int) -> NDArray[np.int64]:
    first = min((capacity - lead_bits) // bits, slots)
    return np.array([0, *range(first, slots, capacity // bits), slots], dtype=np.int64)


@dataclass(frozen=True)
class Block:
    """Some images under some masks."""

    images: slice
    masks: slice

    @property
    def edges(self) -> int:
        """How many edges it has."""
        return len(range(self.images.start, self.images.stop)) * len(range(self.masks.start, self.masks.stop))


@dataclass(frozen=True)
class Edges:
    """All edges of images under masks, ready to be counted: equal images are one, with the mass of all.

    Attributes:
        codes: (n, D) the distinct images' codes, in the order of label and row, as ranks among those that occur.
        labels: (D,) unsigned.
        single: (D,) bool, whether the image is one row of the dataset.
        place: (D,) unsigned, that row, or the first of its rows, times S.
        level: (D,) int64, index into `levels`.
        levels: the distinct masses of images in units: whole numbers where all rows weigh the same.
        unit: what a mass of 1 is worth: masses in units times this sum to 1.
        layouts: of x1 and of x2.
    """

    codes: NDArray[Any]
    labels: NDArray[Any]
    single: NDArray[np.bool_]
    place: NDArray[Any]
    level: NDArray[np.int64]
    levels: NDArray[Any]
    unit: float
    layouts: tuple[Layout, Layout]

    @property
    def masks(self) -> int:
        """S."""
        return len(self.layouts[0].patches)

    def blocks(self, most: int = BLOCK) -> list[Block]:
        """All edges in blocks of at most `most`, masks ascending, as many masks together as fit."""
        images = self.codes.shape[1]
        # A pair's word has 16 bits to tell the masses of a block's images apart.
        chunk = min(images, most, 2**16 if len(self.levels) > 2**16 else most)
        # Positions are (image, mask) in whole bits.
        masks = min(max(most // chunk, 1), self.masks, BLOCK >> (chunk - 1).bit_length())
        return [
            Block(slice(i, min(i + chunk, images)), slice(s, min(s + masks, self.masks)))
            for s in range(0, self.masks, masks)
            for i in range(0, images, chunk)
        ]


def edges(images: CodedImages, masks: MaskSet, view: View) -> Edges:
    """Merge equal images and lay out the keys of their views."""
    used = np.unique(images.codes)
    codes = images.codes if used[-1] < 2**16 else np.searchsorted(used, images.codes)
    alphabet = int(codes.max()) + 1
    columns = np.ascontiguousarray(codes.T, dtype=np.min_scalar_type(alphabet - 1))
    whole = layout("sequence", np.arange(images.patches)[None], alphabet).digits(columns, slice(0, 1))[:, 0]
    order = np.lexsort((*whole, images.labels))
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.diff(images.labels[order]) != 0
    for digit in whole:
        new[1:] |= digit[order][1:] != digit[order][:-1]
    start = np.flatnonzero(new)
    size = np.diff([*start, len(order)])
    even = bool((images.weights == images.weights[0]).all())
    mass = size if even else np.add.reduceat(images.weights[order], start)
    # Lexsort is stable: the first of equal images is the first row.
    first = order[start]
    by_row = np.lexsort((first, images.labels[first]))
    first, size, mass = first[by_row], size[by_row], mass[by_row]
    levels, level = np.unique(mass, return_inverse=True)
    small = len(codes) * len(masks.kept) < 2**32
    return Edges(
        codes=np.ascontiguousarray(columns[:, first]),
        labels=images.labels[first].astype(np.min_scalar_type(len(images.classes) - 1)),
        single=size == 1,
        place=(first * len(masks.kept)).astype(np.uint32 if small else np.uint64),
        level=level.astype(np.int64),
        levels=levels.astype(np.uint32 if even and small else np.float64),
        unit=1 / (len(codes) * len(masks.kept)) if even else 1 / len(masks.kept),
        layouts=(layout(view, masks.kept, alphabet), layout(view, masks.dropped, alphabet)),
    )


def count(found: Edges, threads: int = 1, blocks: Sequence[Block] | None = None) -> Counts:
    """Count the edges in the blocks (all of them when None), in as many threads as given.

    Raises:
        InputError: the counts would not fit into memory.
    """
    most = min(BLOCK, max(math.ceil(found.codes.shape[1] * found.masks / threads), 1))
    blocks = found.blocks(most) if blocks is None else blocks
    if threads == 1 or len(blocks) == 1:
        return merged((count_block(found, block) for block in blocks), len(blocks))
    with ThreadPoolExecutor(threads) as pool:
        return merged(_in_turn(pool, found, blocks, threads), len(blocks))


def _in_turn(pool: ThreadPoolExecutor, found: Edges, blocks: Sequence[Block], threads: int) -> Iterator[Counts]:
    # Not `pool.map`, which would hold the counts of all blocks when merging is slower than counting.
    waiting: deque[Future[Counts]] = deque()
    for block in blocks:
        waiting.append(pool.submit(count_block, found, block))
        if len(waiting) == threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def count_block(found: Edges, block: Block, part: tuple[int, int] = (0, 1)) -> Counts:
    """Count one block.

    Args:
        found: the edges.
        block: which of them.
        part: (p, P): only those edges whose visible view falls to part p of P; the parts together are the block.
    """
    from maskgraph.graphs import kernels

    codes = np.ascontiguousarray(found.codes[:, block.images])
    masks = block.masks.stop - block.masks.start
    shift = (masks - 1).bit_length()
    # One array for all that is sorted in turn: memory that is touched for the first time is what costs most here.
    space = np.empty(max(len(side.starts) - 1 for side in found.layouts) * block.edges, np.uint64)
    chosen = np.empty(0, dtype=np.bool_)
    if part[1] > 1:
        chosen = np.zeros(codes.shape[1] << shift, dtype=np.bool_)
        kernels.choose(found.layouts[0].digits(codes, block.masks, space), shift, *part, chosen)
    first, ids1 = _count_views(found, found.layouts[0], codes, block, shift, chosen, space)
    second, ids2 = _count_views(found, found.layouts[1], codes, block, shift, chosen, space)
    used, level = np.unique(found.level[block.images], return_inverse=True)
    shift2 = (len(used) - 1).bit_length()
    shift1 = shift2 + len(second.place).bit_length()
    words = space[: kernels.pair_words(ids1, ids2, chosen, shift, masks, level, shift1, shift2, space)]
    words.sort()
    pairs = kernels.count_distinct(words, shift2)
    indptr, indices = np.zeros(len(first.place) + 1, np.int64), np.empty(pairs, np.uint32)
    masses = np.empty(pairs, found.levels.dtype)
    kernels.count_pairs(words, shift1, shift2, found.levels[used], indptr, indices, masses)
    return Counts((first, second), indptr, indices, masses, found.masks)


def _count_views(
    found: Edges,
    side: Layout,
    codes: NDArray[Any],
    block: Block,
    shift: int,
    chosen: NDArray[np.bool_],
    space: NDArray[np.uint64],
) -> tuple[Vertices, NDArray[np.uint32]]:
    from maskgraph.graphs import kernels

    digits = side.digits(codes, block.masks, space)
    kernels.append_positions(digits[0], shift)
    words = digits[0].ravel()
    if len(chosen):
        words = words[: kernels.take_chosen(words, chosen)]
    words.sort()
    new = np.empty(len(words), np.bool_)
    vertices = kernels.refine(words, digits, shift, new)
    labels = found.labels[block.images]
    entries = kernels.count_entries(words, new, shift, labels)
    views = Vertices(
        keys=np.empty((len(digits), vertices), np.uint64),
        place=np.empty(vertices, found.place.dtype),
        alone=np.empty(vertices, np.bool_),
        one_mask=np.empty(vertices, np.bool_),
        indptr=np.empty(vertices + 1, np.uint32),
        classes=np.empty(entries, labels.dtype),
        masses=np.empty(entries, found.levels.dtype),
    )
    ids = np.empty(codes.shape[1] << shift, np.uint32)
    place = found.place[block.images] + found.place.dtype.type(block.masks.start)
    mass = found.levels[found.level[block.images]] if len(found.levels) > 1 else found.levels
    kernels.summarise(
        words,
        new,
        digits,
        shift,
        labels,
        found.single[block.images],
        place,
        mass,
        ids,
        views.keys,
        views.place,
        views.alone,
        views.one_mask,
        views.indptr,
        views.classes,
        views.masses,
    )
    return views, ids


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
            size = _bytes(before)
            one = merge(before, one)
            if done == 2:
                # What is new in the second is an upper estimate of what is new in any later one.
                need = 2 * (_bytes(one) + (total - 2) * (_bytes(one) - size))
                fits = max(int(total * available_bytes() / max(need, 1)), 1)
                check_memory(
                    need,
                    f"a graph of about {total / 2 * len(one.indices):.2g} edges, going by {2 / total:.0%} of it,",
                    f"use about {fits / total:.0%} of the masks (--max-masks) or of the images (--images), or coarser "
                    "views (--codes, --view)",
                )
        stack.append((rank, one))
    result = stack.pop()[1]
    while stack:
        result = merge(stack.pop()[1], result)
    return result


def _bytes(counts: Counts) -> int:
    arrays: list[NDArray[Any]] = [counts.indptr, counts.indices, counts.masses]
    for v in counts.sides:
        arrays += [v.keys, v.place, v.alone, v.one_mask, v.indptr, v.classes, v.masses]
    return sum(array.nbytes for array in arrays)


def merge(a: Counts, b: Counts) -> Counts:
    """The counts of two disjoint sets of edges together."""
    (first, rows), (second, columns) = (
        _merge_views(x, y, a.masks_total) for x, y in zip(a.sides, b.sides, strict=True)
    )
    pairs = _merge_rows((a.indptr, a.indices, a.masses), (b.indptr, b.indices, b.masses), rows, columns, np.int64)
    return Counts((first, second), *pairs, a.masks_total)


def _merge_views(a: Vertices, b: Vertices, masks_total: int) -> tuple[Vertices, tuple[Ids, Ids]]:
    from maskgraph.graphs import kernels

    to_a, to_b = np.empty(len(a.place), np.uint32), np.empty(len(b.place), np.uint32)
    size = kernels.union_maps(a.keys, b.keys, to_a, to_b)
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
    masses = _merge_rows(
        (a.indptr, a.classes, a.masses), (b.indptr, b.classes, b.masses), (to_a, to_b), (none, none), np.uint32
    )
    return Vertices(keys, place, alone, one_mask, *masses), (to_a, to_b)


def _merge_rows(
    a: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    b: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    rows: tuple[Ids, Ids],
    columns: tuple[Ids, Ids],
    index: type,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    from maskgraph.graphs import kernels

    size = 1 + int(max(to[-1] for to in rows if len(to)))
    indptr: NDArray[Any] = np.empty(size + 1, index)
    inputs = (rows[0], *a, columns[0], rows[1], *b, columns[1])
    entries = kernels.merge_rows(*inputs, indptr, np.empty(0, a[1].dtype), np.empty(0, a[2].dtype))
    indices, masses = np.empty(entries, a[1].dtype), np.empty(entries, a[2].dtype)
    kernels.merge_rows(*inputs, indptr, indices, masses)
    return indptr, indices, masses
