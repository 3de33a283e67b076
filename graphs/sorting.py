"""Sorting 64-bit words: numpy's sort, or by digits where that is faster.

Numpy sorts them with AVX-512 where there is any, which does not pay on every processor that has it: on AMD's Zen 4 it
takes 20 to 50 ns a word, with AVX-512 forbidden 8 to 11, and by digits 9. Which is faster here is found out once, on
some thousand words.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.compiled import compiled

DIGIT = 11
"""Bits at a time: the counts of a digit stay in the first cache."""

FEW = 2**12
"""Words up to which the counts cost more than the words."""

TRIED = 2**15

Words = NDArray[np.uint64]


def sort(words: Words) -> None:
    """Sort words in place."""
    if len(words) < FEW or not digits_pay():
        words.sort()
    else:
        sort_by_digits(words, np.empty_like(words))


@cache
def digits_pay() -> bool:
    """Whether this machine sorts by digits sooner than numpy does."""
    words = np.random.default_rng(0).integers(2**54, size=TRIED, dtype=np.uint64)
    seconds: list[list[float]] = [[], []]
    for _ in range(4):
        for own, by_digits in zip(seconds, (False, True), strict=True):
            held = words.copy()
            start = time.perf_counter()
            if by_digits:
                sort_by_digits(held, np.empty_like(held))
            else:
                held.sort()
            own.append(time.perf_counter() - start)
    # The first round compiles.
    return min(seconds[1][1:]) < min(seconds[0][1:])


@compiled
def sort_by_digits(words: Words, other: Words) -> None:
    """Sort words, with room for as many: stably by each digit from the lowest bit that varies to the highest."""
    varying = np.uint64(0)
    for word in words:
        varying |= word ^ words[0]
    low, high = 0, 64
    while low < 64 and not (varying >> np.uint64(low)) & np.uint64(1):
        low += 1
    while high > low and not (varying >> np.uint64(high - 1)) & np.uint64(1):
        high -= 1
    one, two = words, other
    mask = np.uint64((1 << DIGIT) - 1)
    at = np.empty(1 << DIGIT, np.int64)
    moved = False
    for first in range(low, high, DIGIT):
        shift = np.uint64(first)
        at[:] = 0
        for word in one:
            at[(word >> shift) & mask] += 1
        total = 0
        for digit in range(len(at)):
            total, at[digit] = total + at[digit], total
        for word in one:
            digit = (word >> shift) & mask
            two[at[digit]] = word
            at[digit] += 1
        one, two = two, one
        moved = not moved
    if moved:
        words[:] = other
