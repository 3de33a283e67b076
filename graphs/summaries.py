"""The loops that count what is seen of ranked views, and pairs; words are those of `graphs.kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.compiled import compiled

NONE, ONE = np.uint64(0), np.uint64(1)

Array = NDArray[Any]
Words = NDArray[np.uint64]
Ids = NDArray[np.uint32]
Index = NDArray[np.int32]
Flags = NDArray[np.bool_]
Masses = NDArray[np.float64]


@compiled
def count_several(words: Words, bits: int, shift: int, labels: Array) -> tuple[int, int]:
    """How many ranks are seen with several classes, and with how many together: `labels` by image."""
    up, down = np.uint64(bits), np.uint64(shift)
    position = (ONE << up) - ONE
    several = entries = 0
    met = False
    # Without a branch: where a rank ends is as good as random.
    for e in range(1, len(words)):
        same = words[e] >> up == words[e - 1] >> up
        change = same & (labels[(words[e] & position) >> down] != labels[(words[e - 1] & position) >> down])
        several += change & (not met)
        entries += change
        met = same & (met | change)
    return several, entries + several


@compiled
def describe(
    words: Words,
    bits: int,
    shift: int,
    labels: Array,
    single: Flags,
    place: Array,
    level: Array,
    levels: Masses,
    classes: int,
    first: Array,
    alone: Flags,
    one_mask: Flags,
    label: Array,
    entry: int,
    ends: Index,
    indices: Index,
    masses: Masses,
) -> None:
    """Write what is seen of the views of one part.

    Args:
        words: ranked.
        bits: of positions.
        shift: of positions.
        labels: by image of the block, its class.
        single: by image, whether it is one row of the dataset.
        place: by image, the place of its first edge in the block.
        level: by image, index into the next.
        levels: masses in units.
        classes: how many there are, which stands for several.
        first: written by rank, like the next three: where the view is seen first.
        alone: whether it is seen from one image only.
        one_mask: whether it is seen under one mask only.
        label: its class.
        entry: how many entries of the last two arrays other parts have before.
        ends: where the rows of views end that are seen with several classes.
        indices: their classes, ascending.
        masses: and masses, in units.
    """
    up, down = np.uint64(bits), np.uint64(shift)
    position, within = (ONE << up) - ONE, (ONE << down) - ONE
    # Where a rank ends is as good as random: all but views of several classes goes without a branch on it.
    before = words[0] ^ (ONE << up) if len(words) else ONE
    same_mask = True
    for e in range(len(words)):
        word = words[e]
        at = word >> up
        same_mask = (at != before >> up) | (same_mask & ((word ^ before) & within == NONE))
        before = word
        first[at], one_mask[at] = e + 1, same_mask
    row = 0
    high = np.int64(0)
    for at in range(len(first)):
        low, high = high, np.int64(first[at])
        pos = words[low] & position
        image, last = pos >> down, (words[high - 1] & position) >> down
        own = labels[image]
        first[at] = place[image] + (pos & within)
        alone[at] = single[image] & (last == image)
        label[at] = own
        # Images stand in the order of their labels.
        if labels[last] != own:
            label[at] = classes
            total = lost = 0.0
            for e in range(low, high):
                pos = words[e] & position
                image = pos >> down
                if labels[image] != own:
                    indices[entry], masses[entry] = own, total
                    entry += 1
                    own, total, lost = labels[image], 0.0, 0.0
                    # Within a class rows ascend, so only its first edge can be the first of all.
                    first[at] = min(first[at], place.dtype.type(place[image] + (pos & within)))
                # Compensated (Kahan), as millions may fall to one class.
                added = levels[level[image]] - lost
                so_far, total = total, total + added
                lost = (total - so_far) - added
            indices[entry], masses[entry] = own, total
            entry += 1
            ends[row] = entry
            row += 1


@compiled
def number(words: Words, bits: int, shift: int, masks: int, base: int, ids: Ids) -> None:
    """Write the vertex of every edge of a part, by image · masks + mask: `base` and its rank."""
    up, down, row, start = np.uint64(bits), np.uint64(shift), np.uint64(masks), np.uint64(base)
    position, within = (ONE << up) - ONE, (ONE << down) - ONE
    for e in range(len(words)):
        pos = words[e] & position
        ids[(pos >> down) * row + (pos & within)] = start + (words[e] >> up)


@compiled
def pair(
    words: Words, bits: int, shift: int, masks: int, ids: Ids, level: Array, id_bits: int, level_bits: int
) -> None:
    """Turn the ranked words of a part, in place, into rank, vertex of the other side and level of the image's mass."""
    up, down, row = np.uint64(bits), np.uint64(shift), np.uint64(masks)
    up1, up2 = np.uint64(id_bits + level_bits), np.uint64(level_bits)
    position, within = (ONE << up) - ONE, (ONE << down) - ONE
    for e in range(len(words)):
        pos = words[e] & position
        image = pos >> down
        other = np.uint64(ids[image * row + (pos & within)])
        words[e] = ((words[e] >> up) << up1) | (other << up2) | np.uint64(level[image])


@compiled
def count_distinct(words: Words, bits: int) -> int:
    """How many distinct values sorted words have above their lowest bits."""
    down = np.uint64(bits)
    distinct = min(len(words), 1)
    for e in range(1, len(words)):
        distinct += (words[e] >> down) != (words[e - 1] >> down)
    return distinct


@compiled
def add_pairs(
    words: Words, id_bits: int, level_bits: int, levels: Masses, start: int, ends: Index, indices: Index
) -> None:
    """Turn the sorted pair words of a part into rows of a CSR matrix, each mass good to a few ulp.

    Args:
        words: overwritten from the front by the masses, doubles in units.
        id_bits: of the other side's vertex.
        level_bits: of the mass.
        levels: masses in units.
        start: how many pairs other parts have before.
        ends: (rows,) written: where each row ends.
        indices: (pairs,) written.
    """
    masses = words.view(np.float64)
    down = np.uint64(level_bits)
    low = (ONE << down) - ONE
    within = (ONE << np.uint64(id_bits)) - ONE
    e, at = 0, 0
    while e < len(words):
        own = words[e] >> down
        total = lost = 0.0
        while e < len(words) and words[e] >> down == own:
            first, word = e, words[e]
            while e < len(words) and words[e] == word:
                e += 1
            # Equal ones are counted; the others' sum is compensated (Kahan), as millions may fall to one pair.
            added = levels[word & low] * (e - first) - lost
            before, total = total, total + added
            lost = (total - before) - added
        # Never beyond what was read.
        masses[at] = total
        indices[at] = own & within
        at += 1
        ends[own >> np.uint64(id_bits)] = start + at
