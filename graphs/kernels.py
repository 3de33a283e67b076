"""The loops of `graphs.counting`: exact keys of views, their ranks, and what is counted for each.

A view's key is a row of digits of at most `DIGIT_BITS` bits whose lexical order is that of the view's codes. A
block of edges numbers its (image i, mask s) with pos = i·2^shift + s in the `POS_BITS` bits that are left, so that
sorting plain 64-bit words sorts the keys and carries the edge along; images stand in the order of their labels and,
within one, of their rows, so that the edges of one vertex arrive class by class and image by image.

What is large is allocated by numpy, which asks the system for large pages, and handed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.compiled import compiled

POS_BITS = 24
"""A block has at most 2^24 edges: its arrays stay in the hundreds of MB."""

DIGIT_BITS = 64 - POS_BITS

POSITION = np.uint64((1 << POS_BITS) - 1)

KEY = np.uint64(POS_BITS)

STRIP = 2048
"""Images packed at a time, so that their accumulators stay in the nearest cache."""

Array = NDArray[Any]
Words = NDArray[np.uint64]
Ids = NDArray[np.uint32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@compiled
def pack_in_order(codes: Array, patches: Ints, lead: Ints, starts: Ints, bits: int, digits: Words) -> None:
    """Write the digits of every view of a block; its patches in their order.

    Args:
        codes: (n, images) unsigned, one row a patch.
        patches: (masks, count) what each mask shows.
        lead: (masks,) what precedes the codes in the first digit: the mask's number, or 0.
        starts: (L + 1,) the slots where each digit begins.
        bits: of one code.
        digits: (L, masks, images) the result.
    """
    images = codes.shape[1]
    shift = np.uint64(bits)
    for s in range(len(patches)):
        for low in range(0, images, STRIP):
            high = min(low + STRIP, images)
            for digit in range(len(starts) - 1):
                acc = digits[digit, s, low:high]
                acc[:] = np.uint64(lead[s]) if digit == 0 else np.uint64(0)
                for slot in range(starts[digit], starts[digit + 1]):
                    row = codes[patches[s, slot], low:high]
                    for i in range(len(row)):
                        acc[i] = (acc[i] << shift) | np.uint64(row[i])


@compiled
def pack_counts(codes: Array, patches: Ints, table: Words, full: Words, digits: Words) -> None:
    """Write the digits of every bag of a block from how often each code occurs.

    Lexically, the list of sorted codes with more of the lowest code comes first: a digit holds n − count of each.

    Args:
        codes: as for `pack_in_order`.
        patches: as for `pack_in_order`.
        table: (L, V) what one patch with this code adds to each digit.
        full: (L,) the digit without any patch.
        digits: as for `pack_in_order`.
    """
    images = codes.shape[1]
    for s in range(len(patches)):
        for low in range(0, images, STRIP):
            high = min(low + STRIP, images)
            for digit in range(len(table)):
                acc = digits[digit, s, low:high]
                acc[:] = full[digit]
                add = table[digit]
                for slot in range(patches.shape[1]):
                    row = codes[patches[s, slot], low:high]
                    for i in range(len(row)):
                        acc[i] -= add[row[i]]


@compiled
def pack_sorted(codes: Array, patches: Ints, starts: Ints, bits: int, digits: Words) -> None:
    """As `pack_in_order`, each view's codes sorted first: bags of more codes than fit `pack_counts`."""
    shift = np.uint64(bits)
    view = np.empty(patches.shape[1], np.uint64)
    for s in range(len(patches)):
        for i in range(codes.shape[1]):
            for slot in range(len(view)):
                view[slot] = codes[patches[s, slot], i]
            view.sort()
            for digit in range(len(starts) - 1):
                acc = np.uint64(0)
                for slot in range(starts[digit], starts[digit + 1]):
                    acc = (acc << shift) | view[slot]
                digits[digit, s, i] = acc


@compiled
def append_positions(first: Words, shift: int) -> None:
    """Turn the first digits (masks, images), in place, into words that carry the edge they belong to."""
    for s in range(len(first)):
        row = first[s]
        for i in range(len(row)):
            row[i] = (row[i] << KEY) | np.uint64((i << shift) + s)


@compiled
def take_chosen(words: Words, chosen: Flags) -> int:
    """Move the words of the chosen edges to the front; how many they are. `chosen` goes by pos."""
    kept = 0
    for word in words:
        if chosen[np.int64(word & POSITION)]:
            words[kept] = word
            kept += 1
    return kept


@compiled
def choose(digits: Words, shift: int, part: int, parts: int, chosen: Flags) -> None:
    """Flag, by pos, the edges whose view's key hashes to one part of several (splitmix64's mixing)."""
    for s in range(digits.shape[1]):
        for i in range(digits.shape[2]):
            x = np.uint64(0)
            for level in range(len(digits)):
                x = (x ^ digits[level, s, i]) + np.uint64(0x9E3779B97F4A7C15)
                x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                x = x ^ (x >> np.uint64(31))
            chosen[(i << shift) + s] = x % np.uint64(parts) == np.uint64(part)


@compiled
def refine(words: Words, digits: Words, shift: int, new: Flags) -> int:
    """Order words that are sorted by their first digit by all others too, and flag where a new key begins.

    Args:
        words: (E,) sorted; reordered in place.
        digits: (L, masks, images); the first is not read.
        shift: of the block's positions.
        new: (E,) written: whether the key differs from the one before.

    Returns:
        the number of keys.
    """
    count = len(words)
    within = (1 << shift) - 1
    for e in range(count):
        new[e] = e == 0 or (words[e] >> KEY) != (words[e - 1] >> KEY)
    for level in range(1, len(digits)):
        low = 0
        while low < count:
            high = low + 1
            while high < count and not new[high]:
                high += 1
            if high - low > 1:
                run = np.empty(high - low, np.uint64)
                top = words[low] & ~POSITION
                for e in range(low, high):
                    pos = np.int64(words[e] & POSITION)
                    run[e - low] = (digits[level, pos & within, pos >> shift] << KEY) | np.uint64(pos)
                run.sort()
                for e in range(low, high):
                    words[e] = top | (run[e - low] & POSITION)
                    if e > low and (run[e - low] >> KEY) != (run[e - low - 1] >> KEY):
                        new[e] = True
            low = high
    distinct = 0
    for e in range(count):
        distinct += new[e]
    return distinct


@compiled
def count_entries(words: Words, new: Flags, shift: int, labels: Array) -> int:
    """How many (vertex, class) pairs there are: `labels` by image of the block."""
    entries = 0
    before = np.int64(-1)
    for e in range(len(words)):
        label = np.int64(labels[np.int64(words[e] & POSITION) >> shift])
        entries += new[e] or label != before
        before = label
    return entries


@compiled
def summarise(
    words: Words,
    new: Flags,
    digits: Words,
    shift: int,
    labels: Array,
    single: Flags,
    place: Array,
    mass: Array,
    ids: Ids,
    keys: Words,
    first: Array,
    alone: Flags,
    one_mask: Flags,
    indptr: Ids,
    classes: Array,
    masses: Array,
) -> None:
    """Number the vertices of one side of a block in the order of their keys and count what is seen of each.

    Args:
        words: as `refine` left them.
        new: as `refine` left them.
        digits: (L, masks, images); the first is not read.
        shift: of the block's positions.
        labels: by image of the block, its class.
        single: by image, whether it is one row of the dataset.
        place: by image, the place of its first edge in the block.
        mass: by image, its mass in units; or one mass for all.
        ids: written, by pos.
        keys: written, like all that follow: the fields of `counting.Vertices`.
        first: their `place`.
        alone: a field.
        one_mask: a field.
        indptr: a field.
        classes: a field.
        masses: a field.
    """
    within = (1 << shift) - 1
    even = len(mass) == 1
    at = entry = -1
    e = 0
    while e < len(words):
        at += 1
        entry += 1
        pos = np.int64(words[e] & POSITION)
        image = pos >> shift
        label = labels[image]
        keys[0, at] = words[e] >> KEY
        for level in range(1, len(digits)):
            keys[level, at] = digits[level, pos & within, image]
        indptr[at] = entry
        earliest, only, total = np.int64(place[image]) + (pos & within), single[image], mass[0 if even else image]
        mask, same_mask = pos & within, True
        ids[pos] = at
        e += 1
        while e < len(words) and not new[e]:
            pos = np.int64(words[e] & POSITION)
            same_mask = same_mask and pos & within == mask
            if pos >> shift != image:
                image = pos >> shift
                only = False
                if labels[image] != label:
                    classes[entry], masses[entry] = label, total
                    entry += 1
                    label, total = labels[image], masses.dtype.type(0)
                    # Within a class rows ascend, so only its first edge can be the first of all.
                    earliest = min(earliest, np.int64(place[image]) + (pos & within))
            total += mass[0 if even else image]
            ids[pos] = at
            e += 1
        classes[entry], masses[entry] = label, total
        first[at], alone[at], one_mask[at] = earliest, only, same_mask
    indptr[at + 1] = entry + 1


@compiled
def pair_words(
    ids1: Ids, ids2: Ids, chosen: Flags, shift: int, masks: int, level: Ints, shift1: int, shift2: int, words: Words
) -> int:
    """One word an edge: its two vertices and the level of its image's mass, ready to be sorted; how many."""
    up1, up2 = np.uint64(shift1), np.uint64(shift2)
    kept = 0
    for i in range(len(level)):
        own = np.uint64(level[i])
        for s in range(masks):
            pos = (i << shift) + s
            if len(chosen) == 0 or chosen[pos]:
                words[kept] = (np.uint64(ids1[pos]) << up1) | (np.uint64(ids2[pos]) << up2) | own
                kept += 1
    return kept


@compiled
def count_distinct(words: Words, shift: int) -> int:
    """How many distinct values sorted words have above their lowest `shift` bits."""
    down = np.uint64(shift)
    distinct = min(len(words), 1)
    for e in range(1, len(words)):
        distinct += (words[e] >> down) != (words[e - 1] >> down)
    return distinct


@compiled
def count_pairs(
    words: Words,
    shift1: int,
    shift2: int,
    levels: Array,
    indptr: Ints,
    indices: Ids,
    masses: Array,
) -> None:
    """Sorted pair words to the arrays of a CSR matrix; `indptr` comes in as zeros."""
    down = np.uint64(shift2)
    low = np.uint64((1 << shift2) - 1)
    within = np.uint64((1 << (shift1 - shift2)) - 1)
    at = -1
    for e in range(len(words)):
        if e == 0 or (words[e] >> down) != (words[e - 1] >> down):
            at += 1
            indices[at] = (words[e] >> down) & within
            masses[at] = 0
            indptr[np.int64(words[e] >> np.uint64(shift1)) + 1] += 1
        masses[at] += levels[np.int64(words[e] & low)]
    for row in range(len(indptr) - 1):
        indptr[row + 1] += indptr[row]


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
