"""The loops that rank views: keys of edges, parts of edges with keys of a range, ranks of sorted keys.

A block of edges numbers its (image i, mask s) with pos = i·2^shift + s. Images stand in the order of their labels and,
within one, of their rows, so that the edges of one vertex, sorted, arrive class by class and image by image. A word
holds a key's digit, later the rank of the key in its part, above the `bits` of pos.

What is large is allocated by numpy, which asks the system for large pages, and handed in. Loops that call each other
are in one file: numba's cache sees no change in another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.compiled import compiled

ONE = np.uint64(1)
"""Positions are unsigned all through: a signed index costs a look at its sign."""

STRIP = 2048
"""Images packed at a time, so that their keys stay in the nearest cache."""

ORDERED, COUNTED, SORTED = 0, 1, 2
"""Codes in the order of the patches; how often each code occurs; sorted codes."""

Array = NDArray[Any]
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Recipe = tuple[int, int, Ints, Ints, Ints, Words, Words]
"""What is known here of a `keys.Layout`: kind, bits, patches, lead, starts, table and full."""


@compiled
def pack(recipe: Recipe, codes: Array, mask: int, digits: Words) -> None:
    """Write the first digits of the views of images under one mask.

    Args:
        recipe: of the layout.
        codes: (n, images) unsigned, one row a patch; few images, so that `digits` stays in the nearest cache.
        mask: its place in the recipe.
        digits: (images,) written.
    """
    kind, bits, patches, lead, starts, table, full = recipe
    shift = np.uint64(bits)
    shown = patches[mask]
    if kind == ORDERED:
        digits[:] = np.uint64(lead[mask])
        for slot in range(starts[1]):
            row = codes[shown[slot]]
            for i in range(len(digits)):
                digits[i] = (digits[i] << shift) | np.uint64(row[i])
    elif kind == COUNTED:
        # Lexically, the list of sorted codes with more of the lowest code comes first.
        digits[:] = full[0]
        for slot in range(len(shown)):
            row = codes[shown[slot]]
            for i in range(len(digits)):
                digits[i] -= table[0, row[i]]
    else:
        rows = np.ascontiguousarray(codes.T)
        for i in range(len(digits)):
            digits[i] = digit(recipe, rows, 0, i, mask)


@compiled
def digit(recipe: Recipe, rows: Array, level: int, image: int | np.int64, mask: int | np.int64) -> np.uint64:
    """One digit of one view: `rows` (images, n) unsigned codes, `mask` by its place in the recipe."""
    kind, bits, patches, lead, starts, table, full = recipe
    shown, codes = patches[mask], rows[image]
    if kind == COUNTED:
        left: np.uint64 = full[level]
        for slot in range(len(shown)):
            left -= table[level, codes[shown[slot]]]
        return left
    shift = np.uint64(bits)
    acc = np.uint64(lead[mask]) if level == 0 else np.uint64(0)
    if kind == ORDERED:
        for slot in range(starts[level], starts[level + 1]):
            acc = (acc << shift) | np.uint64(codes[shown[slot]])
        return acc
    # Of the sorted codes only those up to the digit's own; the first digit has few.
    stop = starts[level + 1]
    lowest = np.empty(stop, np.uint64)
    for slot in range(len(shown)):
        code = np.uint64(codes[shown[slot]])
        at = min(slot, stop)
        while at > 0 and lowest[at - 1] > code:
            if at < stop:
                lowest[at] = lowest[at - 1]
            at -= 1
        if at < stop:
            lowest[at] = code
    for slot in range(starts[level], stop):
        acc = (acc << shift) | lowest[slot]
    return acc


@compiled
def part_of(key: np.uint64, splitters: Words, table: Words, down: np.uint64) -> np.uint64:
    """How many splitters are at most `key`; the table says so for all keys with the same bits above `down`, almost."""
    low: np.uint64 = table[key >> down]
    high: np.uint64 = table[(key >> down) + ONE]
    while low < high:
        middle = (low + high) >> ONE
        if splitters[middle] <= key:
            low = middle + ONE
        else:
            high = middle
    return low


@compiled
def tally(
    recipe: Recipe, codes: Array, images: int, stop: int, splitters: Words, table: Words, down: int, sizes: Ints
) -> None:
    """Add to `sizes` how many edges of the images from `images` to `stop` fall to each part; the rest as for `deal`."""
    own_down = np.uint64(down)
    digits = np.empty(STRIP, np.uint64)
    for low in range(images, stop, STRIP):
        strip = codes[:, low : min(low + STRIP, stop)]
        own = digits[: strip.shape[1]]
        for mask in range(len(recipe[2])):
            pack(recipe, strip, mask, own)
            for key in own:
                sizes[part_of(key, splitters, table, own_down)] += 1


@compiled
def deal(
    recipe: Recipe,
    codes: Array,
    images: int,
    stop: int,
    splitters: Words,
    table: Words,
    down: int,
    shift: int,
    bits: int,
    at: Words,
    words: Words,
) -> None:
    """Write a word for every edge of some images to the next place of its part.

    Args:
        recipe: of the side's layout, for the masks of the block.
        codes: (n, ·) of the block.
        images: the first of the images.
        stop: where they end.
        splitters: (P − 1,) ascending, the least keys of all parts but the first.
        table: as for `part_of`.
        down: as for `part_of`.
        shift: of positions.
        bits: of positions. What overflows above a digit is the same in all of its part.
        at: (P,) the next place of each part, moved on.
        words: written.
    """
    up, own_down, step = np.uint64(bits), np.uint64(down), ONE << np.uint64(shift)
    digits = np.empty(STRIP, np.uint64)
    for low in range(images, stop, STRIP):
        strip = codes[:, low : min(low + STRIP, stop)]
        own = digits[: strip.shape[1]]
        for mask in range(len(recipe[2])):
            pack(recipe, strip, mask, own)
            pos = np.uint64((low << shift) + mask)
            for key in own:
                part = part_of(key, splitters, table, own_down)
                to = at[part]
                at[part] = to + ONE
                words[to] = (key << up) | pos
                pos += step


@compiled
def rank(words: Words, bits: int) -> int:
    """Replace the digits of sorted words by their ranks, in place; how many distinct ones there are."""
    up = np.uint64(bits)
    position = (ONE << up) - ONE
    before = np.uint64(0)
    at = -1
    for e in range(len(words)):
        key = words[e] >> up
        at += e == 0 or key != before
        before = key
        words[e] = (np.uint64(at) << up) | (words[e] & position)
    return at + 1


@compiled
def refine(words: Words, bits: int, shift: int, recipe: Recipe, rows: Array, level: int) -> int:
    """Order words of equal rank by one more digit of their keys and rank them anew; how many distinct there are.

    Args:
        words: as `rank` or `refine` left them; overwritten.
        bits: of positions.
        shift: of positions.
        recipe: of the side's layout, for the masks of the block.
        rows: (images, n) codes of the block.
        level: which digit, not the first.
    """
    up = np.uint64(bits)
    position = (ONE << up) - ONE
    within = (1 << shift) - 1
    space = np.empty(len(words), np.uint64)
    at = -1
    low = 0
    while low < len(words):
        before = words[low] >> up
        high = low + 1
        while high < len(words) and words[high] >> up == before:
            high += 1
        if high - low > 1:
            run = space[: high - low]
            for e in range(len(run)):
                pos = np.int64(words[low + e] & position)
                run[e] = (digit(recipe, rows, level, pos >> shift, pos & within) << up) | np.uint64(pos)
            run.sort()
            for e in range(len(run)):
                at += e == 0 or run[e] >> up != run[e - 1] >> up
                words[low + e] = (np.uint64(at) << up) | (run[e] & position)
        else:
            at += 1
            words[low] = (np.uint64(at) << up) | (words[low] & position)
        low = high
    return at + 1


@compiled
def write_keys(words: Words, bits: int, shift: int, recipe: Recipe, rows: Array, keys: Words) -> None:
    """Write the digits (L, ranks) of the keys of a part, which is ranked; `rows` as for `digit`."""
    up = np.uint64(bits)
    position = (ONE << up) - ONE
    within = (1 << shift) - 1
    before = np.int64(-1)
    for e in range(len(words)):
        at = np.int64(words[e] >> up)
        if at != before:
            pos = np.int64(words[e] & position)
            for level in range(len(keys)):
                keys[level, at] = digit(recipe, rows, level, pos >> shift, pos & within)
            before = at
