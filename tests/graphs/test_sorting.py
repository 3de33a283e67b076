"""Sorting by digits is sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs import sorting

LENGTHS = [1, 2, 100, sorting.FEW - 1, sorting.FEW, 3 * sorting.FEW + 1]


@pytest.mark.parametrize("high", [1, 2, 11, 12, 22, 23, 40, 63, 64])
@pytest.mark.parametrize("low", [0, 1, 10, 24])
def test_by_digits_is_numpys(low: int, high: int) -> None:
    rng = np.random.default_rng(100 * low + high)
    for length in LENGTHS:
        # Bits below `low` are the same in all, and those above `high`.
        words = rng.integers(2**64, size=length, dtype=np.uint64)
        words &= np.uint64(2**high - 1)
        words = (words >> np.uint64(low) << np.uint64(low)) | np.uint64((1 << low) // 3)
        expected = np.sort(words)
        sorting.sort_by_digits(words, np.empty_like(words))
        np.testing.assert_array_equal(words, expected)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60))
def test_any_words(given: list[int]) -> None:
    words = np.array(given, np.uint64)
    sorting.sort_by_digits(words, np.empty_like(words))
    assert words.tolist() == sorted(given)


@pytest.mark.parametrize("pays", [True, False])
def test_part_of_an_array_is_sorted_where_it_lies(pays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "digits_pay", lambda: pays)
    words = np.random.default_rng(0).integers(2**50, size=4 * sorting.FEW, dtype=np.uint64)
    before = words.copy()
    part = slice(sorting.FEW, 3 * sorting.FEW)
    sorting.sort(words[part])
    np.testing.assert_array_equal(words[part], np.sort(before[part]))
    np.testing.assert_array_equal(words[: sorting.FEW], before[: sorting.FEW])
    np.testing.assert_array_equal(words[3 * sorting.FEW :], before[3 * sorting.FEW :])


def test_which_is_faster_is_found_out_once() -> None:
    sorting.digits_pay.cache_clear()
    assert sorting.digits_pay() in (True, False)
    assert sorting.digits_pay.cache_info().misses == 1
