"""Distinct rows are those of `np.unique`."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.graphs import rows as rows_module
from maskgraph.graphs.rows import distinct_rows

RNG = np.random.default_rng(0)
BYTES = RNG.integers(256, size=(3000, 16)) / 255
BACKGROUND = BYTES * (RNG.random((3000, 16)) < 0.05)
WIDE = RNG.integers(256, size=(60, 768)) / 255

FAMILIES: dict[str, NDArray[Any]] = {
    "more bits than a word holds": BYTES,
    "ties that last": BACKGROUND,
    "each twice": np.tile(BYTES, (2, 1)),
    "many levels": RNG.normal(size=(3000, 5)),
    "many levels, each twice": np.tile(RNG.normal(size=(1500, 5)), (2, 1)),
    "equal but for the last": np.hstack([np.repeat(RNG.normal(size=(40, 20)), 50, axis=0), RNG.normal(size=(2000, 1))]),
    "wide": WIDE[RNG.integers(60, size=200)],
    "wide, and all alike": np.full((50, 768), 0.5),
    "binary": RNG.integers(2, size=(3000, 80)) * 1.0,
    "any size": 10.0 ** RNG.integers(-300, 300, size=(500, 3)) * RNG.choice([-1, 1], size=(500, 3)),
    "infinite": RNG.choice([-np.inf, 0.0, 1.0, np.inf], size=(200, 3)),
    "signed zeros": RNG.choice([-1.0, -0.0, 0.0], size=(500, 3)),
    "one row": BYTES[:1],
    "one column": BYTES[:, :1],
    "no row": np.empty((0, 4)),
    "bool": RNG.random((300, 5)) < 0.5,
    "bytes": RNG.integers(256, size=(3000, 16), dtype=np.uint8),
    "negative": RNG.integers(-3, 3, size=(500, 3), dtype=np.int8),
    "integers that no double holds": 2**62 + RNG.integers(3, size=(500, 3)),
    "unsigned": np.uint64(2**64 - 3) + RNG.integers(3, size=(500, 3)).astype(np.uint64),
    "float32": RNG.random((500, 4), dtype=np.float32),
    "columns first": np.asfortranarray(BYTES),
}


def check(rows: NDArray[Any]) -> None:
    distinct, inverse = distinct_rows(rows)
    expected, places = np.unique(rows, axis=0, return_inverse=True)
    assert distinct.dtype == rows.dtype
    assert inverse.dtype == np.int64
    np.testing.assert_array_equal(distinct, expected, strict=True)
    np.testing.assert_array_equal(inverse, places.ravel())


@pytest.mark.parametrize("together", [7, rows_module.TOGETHER])
@pytest.mark.parametrize("family", FAMILIES)
def test_distinct_rows_are_numpys(family: str, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "TOGETHER", together)
    check(FAMILIES[family])


@given(st.integers(1, 5).flatmap(lambda s: st.lists(st.tuples(*[st.integers(-2, 2)] * s), min_size=1, max_size=30)))
def test_any_rows_in_words_with_room_for_a_digit(given: list[tuple[int, ...]]) -> None:
    """Of at most 30 rows and 5 levels a column, so that every second digit finds no room."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rows_module, "MOST", 30)
        check(np.array(given) / 2)


def test_of_zeros_the_first_is_taken() -> None:
    for zeros in ([-0.0, 0.0], [0.0, -0.0]):
        distinct, inverse = distinct_rows(np.array([[1.0], *([zero] for zero in zeros)]))
        assert inverse.tolist() == [1, 0, 0]
        assert np.signbit(distinct[0, 0]) == np.signbit(zeros[0])


def test_nan_equals_nan_and_comes_last() -> None:
    distinct, inverse = distinct_rows(np.array([[np.nan, 1], [np.inf, 0], [np.nan, 0], [np.nan, 1]]))
    np.testing.assert_array_equal(distinct, [[np.inf, 0], [np.nan, 0], [np.nan, 1]])
    assert inverse.tolist() == [2, 0, 1, 2]


def test_wide_rows_need_no_room_of_their_width() -> None:
    rows = np.tile(RNG.integers(256, size=(2000, 768)) / 255, (4, 1))
    tracemalloc.start()
    distinct, _ = distinct_rows(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < distinct.nbytes + 15 * 8 * len(rows) + 3 * 8 * rows_module.TOGETHER < rows.nbytes
