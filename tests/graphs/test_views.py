"""Two views have one id exactly if they are one vertex."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import NUMBERED
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskSet, make_mask_set, mask_distribution, mask_set
from maskgraph.graphs.views import View, arrange, check_view, distinct_ids, known_positions, view_ids
from tests import oracle
from tests.strategies import VIEWS, World, masked_worlds, searched, views


def check_ids(codes: NDArray[np.int64], masks: MaskSet, view: View) -> None:
    for ids, patches in zip(view_ids(codes, masks, view), (masks.kept, masks.dropped), strict=True):
        literal = [oracle.vertex(row, positions, view) for row in codes.tolist() for positions in patches.tolist()]
        found = ids.ravel().tolist()
        assert ids.shape == (len(codes), len(patches))
        # As many pairs as literals and as many as ids: neither side says "same" where the other says "different".
        assert len(set(zip(literal, found, strict=True))) == len(set(literal)) == len(set(found))
        assert set(found) == set(range(len(set(literal))))


@searched(150)
@given(masked_worlds(), views())
def test_ids_are_equal_exactly_if_the_views_are(drawn: tuple[World, int], view: View) -> None:
    world, kept = drawn
    check_ids(np.array(world.codes), world.mask_set(kept), view)


def single_changes(patches: int, alphabet: int, seed: int) -> NDArray[np.int64]:
    """An image twice, those that differ from it in one patch, by much and by little, and the largest code."""
    base = np.random.default_rng(seed).integers(alphabet, size=patches)
    rows = [base, base, np.full(patches, alphabet - 1)]
    for patch, change in itertools.product(range(patches), (1, -1, alphabet // 2)):
        row = base.copy()
        row[patch] = (row[patch] + change) % alphabet
        rows.append(row)
    return np.array(rows)


def corner_masks(patches: int) -> MaskSet:
    """The first half, the second half and the even patches: each end of a packed key is on either side."""
    half = patches // 2
    return make_mask_set(
        np.array([np.arange(half), np.arange(half, patches), np.arange(0, patches, 2)]), patches, total=99
    )


# 65,536⁴ = 2⁶⁴ and 4³² = 2⁶⁴ are 0 in 64 bits and 4¹⁶ = 2³² is 0 in 32: a packed key then forgets whole patches.
OVERFLOWING = [(16, 70_000), (16, 65_536), (16, 2**31), (16, 2**40), (64, 4), (64, 2), (64, 3), (196, 256), (6, 2**62)]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("patches", "alphabet"), OVERFLOWING)
def test_ids_are_exact_beyond_64_bits(patches: int, alphabet: int, view: View) -> None:
    codes = single_changes(patches, alphabet, seed=patches)
    check_ids(codes, corner_masks(patches), view)


@pytest.mark.parametrize("view", VIEWS)
def test_long_views_are_numbered_in_the_bytes_that_they_have(view: View) -> None:
    """A byte a code where they are sorted, one patch at a time where not: all of them in 64 bits took 3,000 an edge."""
    codes = np.random.default_rng(0).integers(8, size=(200, 400))
    masks = mask_set(mask_distribution("uniform", (20, 20), 0.5), 25)
    tracemalloc.start()
    view_ids(codes, masks, view)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= (NUMBERED + 400) * 200 * 25


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("top", [2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**32 - 1, 2**32])
def test_the_first_code_that_needs_another_byte_is_not_0(view: View, top: int) -> None:
    codes = np.array([[0, 1, 0, 1], [top, 1, 0, 1], [0, top, top, 1], [top, 1, top, 0]])
    check_ids(codes, make_mask_set(np.array(oracle.all_masks(4, 2)), 4), view)


@pytest.mark.parametrize("view", VIEWS)
def test_the_largest_code_there_is(view: View) -> None:
    top = np.iinfo(np.int64).max
    codes = np.array([[0, top, 1, top], [0, top - 1, 1, top], [top, 0, 1, top], [0, top, 1, top]])
    check_ids(codes, make_mask_set(np.array(oracle.all_masks(4, 2)), 4), view)


@pytest.mark.parametrize("view", VIEWS)
def test_random_long_images(view: View) -> None:
    rng = np.random.default_rng(0)
    # Each image comes twice and shares halves with others, so that equal views beyond 64 bits exist to be found.
    halves = rng.integers(0, 70_000, size=(4, 8))
    codes = np.array([np.concatenate(pair) for pair in itertools.product(halves, halves)] * 2)
    check_ids(codes, corner_masks(16), view)


@searched(100)
@given(
    st.lists(st.lists(st.integers(0, 2**62 - 1), min_size=3, max_size=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 2**62 - 1), max_size=3),
)
def test_distinct_ids_follow_the_order_of_the_tuples(rows: list[list[int]], repeated: list[int]) -> None:
    tuples = rows + [[*row[:2], value] for row, value in zip(rows, repeated, strict=False)] + rows[:1]
    columns = list(np.array(tuples, dtype=np.int64).T)
    ids = distinct_ids(columns, [2**62] * 3)
    order = sorted({tuple(row) for row in tuples})
    assert ids.tolist() == [order.index(tuple(row)) for row in tuples]


def test_distinct_ids_need_a_column() -> None:
    with pytest.raises(ValueError, match="no columns"):
        distinct_ids([], [])


def test_bag_lists_codes_in_ascending_order() -> None:
    codes = np.array([[2, 0, 1], [1, 1, 0]])
    assert arrange("bag", codes).tolist() == [[0, 1, 2], [0, 1, 1]]
    for view in ("positional", "sequence"):
        assert arrange(view, codes).tolist() == codes.tolist()


KNOWN: list[tuple[View, list[list[int]], list[list[int]]]] = [
    ("positional", [[0, 3], [1, 4]], [[1, 2, 4], [0, 2, 3]]),
    ("sequence", [[0, 1], [0, 1]], [[2, 3, 4], [2, 3, 4]]),
    ("bag", [[5, 5], [5, 5]], [[2, 3, 4], [2, 3, 4]]),
]


@pytest.mark.parametrize(("view", "first", "second"), KNOWN)
def test_known_positions(view: View, first: Sequence[Sequence[int]], second: Sequence[Sequence[int]]) -> None:
    masks = make_mask_set(np.array([[0, 3], [1, 4]]), 5)
    one, two = known_positions(view, masks.kept, masks.dropped)
    assert one.tolist() == first
    assert two.tolist() == second


@searched(50)
@given(masked_worlds(), views())
def test_known_positions_are_a_function_of_the_vertex(drawn: tuple[World, int], view: View) -> None:
    world, kept = drawn
    masks = world.mask_set(kept)
    graph = world.graph(kept, view)
    positions = known_positions(view, masks.kept, masks.dropped)
    for ids, known in zip((graph.ids1, graph.ids2), positions, strict=True):
        assert known.min() >= 0
        assert known.max() <= world.patches
        seen: dict[int, list[int]] = {}
        for row in ids.tolist():
            for vertex, listed in zip(row, known.tolist(), strict=True):
                assert seen.setdefault(vertex, listed) == listed


def test_unknown_view() -> None:
    with pytest.raises(
        InputError, match=r"unknown view 'Bag'; did you mean bag\? expected one of positional, sequence, bag"
    ):
        check_view("Bag")
