"""Exact keys of views: rows of digits whose lexical order is that of the views' codes.

A digit leaves room in a 64-bit word for the position of an edge, so that sorting plain words sorts keys and carries the
edges along (`graphs.kernels`). First digits are packed for many edges at once; the later ones, which only edges with
equal first digits need, one edge at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.kernels import COUNTED, ORDERED, SORTED, Recipe
from maskgraph.graphs.views import View

POSITION_BITS = 28
"""Of the number of an edge in its block, at most: image and mask in whole bits."""

FIRST_BITS = 40
"""Of the first digit, at most. A part of the edges spans only as many of its values as fit beside a position."""

LATER_BITS = 64 - POSITION_BITS
"""Of every other digit, at most."""


@dataclass(frozen=True)
class Layout:
    """How the views of one side become keys: lexical, exact, in as many digits as it takes.

    Attributes:
        patches: (S, count) what each mask shows.
        lead_bits: bits of the mask's number, 0 where views of different masks may be one vertex.
        bits: of one code, or of one code's count.
        starts: (L + 1,) slots where each digit begins; slots are patches, or codes where these are counted.
        kind: `ORDERED`, `COUNTED` or `SORTED`.
        alphabet: number of codes.
    """

    patches: NDArray[np.int64]
    lead_bits: int
    bits: int
    starts: NDArray[np.int64]
    kind: int
    alphabet: int

    @property
    def first_bits(self) -> int:
        """Bits of the first digit."""
        return self.lead_bits + self.bits * int(self.starts[1])

    @property
    def digits(self) -> int:
        """L."""
        return len(self.starts) - 1

    def recipe(self, masks: slice) -> Recipe:
        """For the views under some of the masks."""
        patches = np.ascontiguousarray(self.patches[masks])
        number = np.arange(masks.start, masks.stop, dtype=np.int64)
        lead = number if self.lead_bits else np.zeros_like(number)
        # What one patch with a code takes from each digit, where codes are counted.
        table = np.zeros((self.digits, self.alphabet if self.kind == COUNTED else 0), np.uint64)
        for digit in range(len(table)):
            low, high = self.starts[digit : digit + 2]
            for code in range(low, min(high, table.shape[1])):
                table[digit, code] = 1 << (self.bits * int(high - 1 - code))
        full = table.sum(axis=1) * np.uint64(self.patches.shape[1])
        return self.kind, self.bits, patches, lead, self.starts, table, full


def layout(view: View, patches: NDArray[np.int64], alphabet: int) -> Layout:
    """The keys of the views that `patches` (S, count) shows of codes below `alphabet`."""
    lead_bits = (len(patches) - 1).bit_length() if view == "positional" else 0
    count = patches.shape[1]
    bits = max((alphabet - 1).bit_length(), 1)
    starts = _starts(count, bits, lead_bits)
    if view != "bag":
        return Layout(patches, lead_bits, bits, starts, ORDERED, alphabet)
    count_bits = count.bit_length()
    # The number of the last code is known from those of the others.
    counted = _starts(max(alphabet - 1, 1), count_bits, 0)
    if len(counted) <= len(starts):
        return Layout(patches, 0, count_bits, counted, COUNTED, alphabet)
    return Layout(patches, 0, bits, starts, SORTED, alphabet)


def _starts(slots: int, bits: int, lead_bits: int) -> NDArray[np.int64]:
    first = min((FIRST_BITS - lead_bits) // bits, slots)
    return np.array([0, *range(first, slots, LATER_BITS // bits), slots], dtype=np.int64)
