"""Mask distributions: what they hold, and that samples of them are fair."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import (
    MaskDistribution,
    MaskKind,
    MaskSet,
    dropped_patches,
    kept_patches,
    make_mask_set,
    mask_distribution,
    mask_set,
)
from tests import oracle
from tests.strategies import mask_ratios, searched

Z = 5.0
"""Standard errors that a frequency may be off: 6e-7 for a fair one, so 1e-4 over the largest family tested, and
the seeds are fixed."""

GRIDS = [(1, 2), (2, 2), (2, 3), (3, 3), (4, 4), (4, 6), (5, 3), (1, 7), (6, 1)]


@pytest.mark.parametrize(
    ("patches", "ratio", "kept"),
    [
        (16, 0.75, 4),
        (16, 0.5, 8),
        (196, 0.75, 49),
        (196, 0.9, 20),
        # 13.5 and 1.5 exactly, which binary fractions would take for a little less.
        (30, 0.55, 14),
        (30, 0.95, 2),
        (10, 0.95, 1),
        (10, 0.85, 2),
        (10, 0.15, 9),
        (5, 0.5, 3),
        (3, 0.5, 2),
        (2, 0.5, 1),
        (10, 0.851, 1),
        (10, 0.999, 1),
        (10, 0.001, 9),
        (2, 0.999, 1),
        (2, 0.001, 1),
        (10, 1e-12, 9),
    ],
)
def test_kept_patches(patches: int, ratio: float, kept: int) -> None:
    assert kept_patches(patches, ratio) == kept


@searched(200)
@given(st.integers(2, 400), mask_ratios())
def test_kept_patches_rounds_half_up_within_bounds(patches: int, ratio: float) -> None:
    kept = kept_patches(patches, ratio)
    assert kept == oracle.kept_patches(patches, ratio)
    assert 1 <= kept <= patches - 1
    exact = patches * (1 - Fraction(round(ratio * 1000), 1000))
    assert abs(kept - exact) <= Fraction(1, 2) or kept in (1, patches - 1)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 1.5, 75.0, math.nan, math.inf])
def test_ratio_outside_the_unit_interval(ratio: float) -> None:
    with pytest.raises(InputError, match=rf"mask ratio {ratio:g} is outside \(0, 1\)"):
        kept_patches(16, ratio)
    with pytest.raises(InputError, match="mask ratio"):
        mask_distribution("block", (4, 4), ratio)


def test_unknown_kind() -> None:
    with pytest.raises(InputError, match="unknown mask distribution 'random'; expected one of uniform, block, grid"):
        mask_distribution("random", (4, 4), 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", GRIDS)
def test_uniform_is_every_subset(grid: tuple[int, int]) -> None:
    n = grid[0] * grid[1]
    for kept in {1, n // 2, n - 1}:
        distribution = MaskDistribution("uniform", grid, kept)
        if math.comb(n, kept) > 20_000:
            continue
        assert distribution.patches == n
        assert distribution.total == math.comb(n, kept)
        assert list(map(tuple, distribution.enumerate().tolist())) == oracle.all_masks(n, kept)


def check_mask_set(masks: MaskSet, patches: int) -> None:
    """Distinct masks, ascending on both sides, that split the patches."""
    both = np.concatenate([masks.kept, masks.dropped], axis=1)
    assert (np.sort(both, axis=1) == np.arange(patches)).all()
    for side in (masks.kept, masks.dropped):
        assert (np.diff(side, axis=1) > 0).all()
    assert len({tuple(row) for row in masks.kept.tolist()}) == len(masks.kept)


@pytest.mark.parametrize("kind", ["uniform", "block", "grid"])
@pytest.mark.parametrize("grid", GRIDS)
def test_enumerated_masks_are_distinct_and_complete(grid: tuple[int, int], kind: MaskKind) -> None:
    for ratio in (0.1, 0.3, 0.5, 0.75, 0.9):
        distribution = mask_distribution(kind, grid, ratio)
        if distribution.total > 5_000:
            continue
        masks = mask_set(distribution, max_masks=5_000)
        check_mask_set(masks, distribution.patches)
        assert masks.exhaustive
        assert len(masks.kept) == masks.total == distribution.total
        assert masks.kept.shape[1] == distribution.kept
        listed = masks.kept.tolist()
        assert listed == sorted(listed)


@pytest.mark.parametrize(("limit", "exhaustive"), [(70, True), (71, True), (69, False), (1, False)])
def test_enumerated_up_to_the_limit(limit: int, exhaustive: bool) -> None:
    masks = mask_set(MaskDistribution("uniform", (2, 4), 4), max_masks=limit)
    assert masks.exhaustive is exhaustive
    assert len(masks.kept) == min(limit, 70)
    assert masks.total == 70
    check_mask_set(masks, 8)
    # Enumerated masks come in lexical order; a sample that happens to hold all of them does not.
    listed = list(map(tuple, masks.kept.tolist()))
    assert (listed == oracle.all_masks(8, 4)) is exhaustive


def test_at_least_one_mask() -> None:
    for limit in (0, 2.5):
        with pytest.raises(InputError, match=f"max_masks {limit}; expected an integer of at least 1"):
            mask_set(MaskDistribution("uniform", (2, 2), 2), max_masks=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["uniform", "block", "grid"])
@pytest.mark.parametrize("unit", [1, 2])
def test_no_draw_is_an_array_of_no_masks(kind: MaskKind, unit: int) -> None:
    drawn = mask_distribution(kind, (4, 4), 0.75, unit).sample(np.random.default_rng(0), 0)
    assert (drawn.shape, dropped_patches(drawn, 16).shape) == ((0, 4), (0, 12))


def test_sample_of_a_huge_distribution() -> None:
    distribution = mask_distribution("uniform", (14, 14), 0.75)
    masks = mask_set(distribution, max_masks=500, seed=3)
    check_mask_set(masks, 196)
    assert masks.kept.shape == (500, 49)
    assert masks.total == math.comb(196, 49)
    assert not masks.exhaustive
    assert (mask_set(distribution, 500, seed=3).kept == masks.kept).all()
    assert (mask_set(distribution, 500, seed=4).kept != masks.kept).any()


@pytest.mark.parametrize("kind", ["uniform", "block"])
def test_sample_without_repetition_is_fair_to_every_mask(kind: MaskKind) -> None:
    distribution = MaskDistribution(kind, (2, 4), 4)
    total, size, draws = distribution.total, distribution.total // 3, 600
    count: Counter[tuple[int, ...]] = Counter()
    for seed in range(draws):
        masks = mask_set(distribution, size, seed)
        check_mask_set(masks, 8)
        count.update(map(tuple, masks.kept.tolist()))
    # Each mask is in each sample with probability size/total, and samples of different seeds are independent.
    share = size / total
    error = math.sqrt(share * (1 - share) / draws)
    for mask in distribution.enumerate().tolist():
        assert abs(count[tuple(mask)] / draws - share) < Z * error


@pytest.mark.parametrize("kind", ["uniform", "block", "grid"])
def test_independent_draws_are_uniform(kind: MaskKind) -> None:
    distribution = MaskDistribution(kind, (2, 4), 3)
    draws = 20_000
    drawn = distribution.sample(np.random.default_rng(1), draws)
    assert (np.diff(drawn, axis=1) > 0).all()
    count = Counter(map(tuple, drawn.tolist()))
    listed = [tuple(mask) for mask in distribution.enumerate().tolist()]
    assert set(count) <= set(listed)
    share = 1 / len(listed)
    error = math.sqrt(share * (1 - share) / draws)
    for mask in listed:
        assert abs(count[mask] / draws - share) < Z * error + 1e-12


@pytest.mark.parametrize("kept", [1, 12, 48])
def test_a_mask_keeps_the_patches_of_the_smallest_numbers(kept: int) -> None:
    """Which is what a seed draws, and so what a run can go on with."""
    found = MaskDistribution("uniform", (7, 7), kept).sample(np.random.default_rng(3), 500)
    numbers = np.random.default_rng(3).random((500, 49))
    np.testing.assert_array_equal(found, np.sort(np.argsort(numbers, axis=1)[:, :kept], axis=1))


def test_of_equal_numbers_the_first_is_kept() -> None:
    """They are too rare to be met: of 2⁵³ numbers each, two of a mask are equal once in 10¹⁴ masks."""
    chance: Any = SimpleNamespace(random=lambda shape: np.array([[0.9, 0.5, 0.1, 0.7], [0.5, 0.5, 0.5, 0.1]]))
    drawn = MaskDistribution("uniform", (2, 2), 2).sample(chance, 2)
    np.testing.assert_array_equal(drawn, [[1, 2], [0, 3]])


@pytest.mark.parametrize("kind", ["block", "grid"])
def test_masks_are_listed_once_and_nobody_changes_the_list(kind: MaskKind, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = MaskDistribution(kind, (3, 5), 4)
    listed, drawn = distribution.enumerate(), distribution.sample(np.random.default_rng(0), 6)
    # What makes a list goes through the places of a block, or of a shift.
    monkeypatch.setattr(itertools, "product", lambda *_: pytest.fail("listed again"))
    MaskDistribution(kind, (3, 5), 4).enumerate()[:] = -1
    distribution.sample(np.random.default_rng(1), 6)[:] = -1
    np.testing.assert_array_equal(distribution.enumerate(), listed)
    np.testing.assert_array_equal(distribution.sample(np.random.default_rng(0), 6), drawn)


def neighbours(grid: tuple[int, int]) -> nx.Graph:
    """The patches of a grid, joined where they share a side."""
    return nx.relabel_nodes(
        nx.grid_2d_graph(*grid), {(row, column): row * grid[1] + column for row, column in np.ndindex(*grid)}
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_block_masks_drop_one_block(grid: tuple[int, int]) -> None:
    n = grid[0] * grid[1]
    plane = neighbours(grid)
    for kept in range(1, n):
        masks = make_mask_set(MaskDistribution("block", grid, kept).enumerate(), n)
        assert masks.dropped.shape[1] == n - kept
        for dropped in masks.dropped.tolist():
            assert nx.is_connected(plane.subgraph(dropped))
            rows, columns = np.divmod(np.array(dropped), grid[1])
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            # One rectangle, of which less than a row is missing.
            assert height * width - width < len(dropped) <= height * width


def test_block_masks_by_hand() -> None:
    # Four of nine dropped: the 2×2 squares, and the bars of three with one more at an end.
    masks = make_mask_set(MaskDistribution("block", (3, 3), 5).enumerate(), 9)
    dropped = {frozenset(row) for row in masks.dropped.tolist()}
    corner = [frozenset({a, a + 1, a + 3, a + 4}) for a in (0, 1, 3, 4)]
    bars = [
        frozenset({*(3 * row + column for column in range(3)), 3 * other + end})
        for row, other in ((0, 1), (1, 0), (1, 2), (2, 1))
        for end in (0, 2)
    ]
    assert dropped == {*corner, *bars}


def test_block_masks_reach_every_patch() -> None:
    masks = make_mask_set(MaskDistribution("block", (4, 4), 4).enumerate(), 16)
    assert set(masks.dropped.ravel().tolist()) == set(range(16))


@pytest.mark.parametrize("grid", [(2, 2), (4, 4), (2, 6), (6, 6), (4, 10), (14, 14)])
def test_grid_masks_at_three_quarters_keep_one_patch_in_each_cell(grid: tuple[int, int]) -> None:
    masks = mask_set(mask_distribution("grid", grid, 0.75))
    # One mask for each of the four places within a cell.
    assert masks.total == 4
    for kept in masks.kept.tolist():
        cells = {(patch // grid[1] // 2, patch % grid[1] // 2) for patch in kept}
        assert len(cells) == len(kept) == grid[0] * grid[1] // 4


@pytest.mark.parametrize(("grid", "cell"), [((4, 4), 4), ((8, 8), 4), ((8, 4), 4), ((8, 8), 8), ((16, 8), 8)])
def test_grid_masks_are_spread_at_every_power_of_four(grid: tuple[int, int], cell: int) -> None:
    masks = MaskDistribution("grid", grid, grid[0] * grid[1] // cell**2).enumerate()
    assert len(masks) == cell**2
    for kept in masks.tolist():
        assert len({(patch // grid[1] // cell, patch % grid[1] // cell) for patch in kept}) == len(kept)


@pytest.mark.parametrize("grid", [(1, 8), (8, 1)])
def test_grid_masks_of_a_line_are_spread_over_all_of_it(grid: tuple[int, int]) -> None:
    """At every power of two: each half, quarter or pair has one."""
    for kept in (1, 2, 4):
        masks = MaskDistribution("grid", grid, kept).enumerate()
        step = 8 // kept
        assert masks.tolist() == [list(range(first, 8, step)) for first in range(step)]


@pytest.mark.parametrize("grid", GRIDS)
def test_grid_masks_are_each_others_cyclic_shifts(grid: tuple[int, int]) -> None:
    for kept in range(1, grid[0] * grid[1]):
        listed = {tuple(mask) for mask in MaskDistribution("grid", grid, kept).enumerate().tolist()}
        first = np.zeros(grid, dtype=bool)
        first.flat[list(min(listed))] = True
        shifts = {
            tuple(np.flatnonzero(np.roll(first, shift, (0, 1))).tolist())
            for shift in itertools.product(range(grid[0]), range(grid[1]))
        }
        assert listed == shifts


@pytest.mark.parametrize("grid", [(4, 4), (8, 8)])
def test_grid_masks_at_one_half_are_the_checkerboard(grid: tuple[int, int]) -> None:
    masks = mask_set(mask_distribution("grid", grid, 0.5))
    rows, columns = np.divmod(masks.kept, grid[1])
    assert masks.total == 2
    assert (np.ptp((rows + columns) % 2, axis=1) == 0).all()


def test_mask_set_sorts_what_it_is_given() -> None:
    masks = make_mask_set(np.array([[3, 0], [2, 1]]), 4)
    assert masks.kept.tolist() == [[0, 3], [1, 2]]
    assert masks.dropped.tolist() == [[1, 2], [0, 3]]
    assert masks.exhaustive


@pytest.mark.parametrize(("grid", "unit"), [((4, 4), 2), ((2, 6), 2), ((6, 6), 3), ((3, 6), 3)])
@pytest.mark.parametrize("kind", ["uniform", "block", "grid"])
def test_units_are_kept_or_dropped_as_one(kind: MaskKind, grid: tuple[int, int], unit: int) -> None:
    """Against the definition: of all masks of so many patches, those that are made of whole squares."""
    rows, columns = grid
    square = [(p // columns // unit, p % columns // unit) for p in range(rows * columns)]
    units = len(set(square))
    for kept_units in range(1, units):
        ratio = round(1 - kept_units / units, 6)
        masks = mask_distribution(kind, grid, ratio, unit)
        assert masks.kept == unit**2 * kept_units
        listed = list(map(tuple, masks.enumerate().tolist()))
        assert listed == sorted(set(listed))
        assert len(listed) == masks.total
        for mask in listed:
            assert mask == tuple(sorted(mask))
            assert len(mask) == masks.kept
            assert all(count == unit**2 for count in Counter(square[p] for p in mask).values())
        coarse = mask_distribution(kind, (rows // unit, columns // unit), ratio)
        chosen = {tuple(sorted({square[p] for p in mask})) for mask in listed}
        wanted = [[divmod(u, columns // unit) for u in mask] for mask in coarse.enumerate().tolist()]
        assert chosen == {tuple(sorted(mask)) for mask in wanted}
        if kind == "uniform":
            assert len(listed) == math.comb(units, kept_units)
        drawn = masks.sample(np.random.default_rng(0), 40 * len(listed))
        # A mask is missed with probability (1 − 1/T)^(40T) < e^-40.
        assert set(map(tuple, drawn.tolist())) == set(listed)


@pytest.mark.parametrize(
    ("grid", "unit", "message"),
    [
        ((4, 4), 0, "mask unit 0; expected the side of a square in patches, at least 1"),
        ((4, 4), 3, "mask unit 3 on 4 x 4 patches; expected a divisor of both sides that leaves at least 2 units"),
        ((4, 6), 4, "mask unit 4 on 4 x 6 patches"),
        ((3, 7), 3, "mask unit 3 on 3 x 7 patches"),
        ((7, 3), 3, "mask unit 3 on 7 x 3 patches"),
        ((4, 4), 4, "mask unit 4 on 4 x 4 patches"),
    ],
)
def test_units_that_do_not_fit(grid: tuple[int, int], unit: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mask_distribution("uniform", grid, 0.5, unit)


def test_masks_may_be_flags_or_lists() -> None:
    """A row of flags is the mask of its true places."""
    wanted = make_mask_set(np.array([[0, 1], [1, 3]]), 4)
    for masks in (
        np.array([[True, True, False, False], [False, True, False, True]]),
        [[0, 1], [3, 1]],
        np.array([[0, 1], [3, 1]], dtype=np.uint8),
    ):
        found = make_mask_set(masks, 4)
        assert found.kept.tolist() == wanted.kept.tolist()
        assert found.dropped.tolist() == wanted.dropped.tolist()
        assert found.kept.dtype == np.int64


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([[0, 1], [2, 3], [0, 1]], r"masks 0 and 2 keep the same patches \[0, 1\]; expected distinct .*: drop one"),
        ([[2, 3], [0, 1], [1, 0]], r"masks 1 and 2 keep the same patches \[0, 1\]"),
        ([[0, 3], [0, -1]], r"mask 1 keeps patch -1; expected patches from 0 to 3, counted from the first"),
        ([[0, 99]], r"mask 0 keeps patch 99; expected patches from 0 to 3"),
        ([[0, 1], [2, 2]], r"mask 1 names a patch twice \(\[2, 2\]\); name each kept patch once"),
        ([[1, 1, 0, 0], [0, 0, 1, 1]], r"that keep 4 of 4 patches; expected 1 to 3 kept: rows of 0 and 1 .*astype"),
        ([[True] * 4], r"masks that keep 4 of 4 patches; expected 1 to 3 kept$"),
        ([[False] * 4], r"masks that keep 0 of 4 patches; expected 1 to 3 kept$"),
        (
            [[True, False, False, False], [True, True, False, False]],
            r"masks 0 and 1 keep 1 and 2 patches; .* for each n",
        ),
        ([[True, False]], r"masks of shape \(1, 2\) and dtype bool; expected \(1, 4\)"),
        ([[0, 1], [2]], r"masks that keep different numbers of patches \(.*\); expected as many in each"),
        ([[0.0, 1.0]], r"masks of dtype float64; expected integers, the kept patches, or bool"),
        ([0, 1], r"masks of shape \(2,\); expected \(S, n1\), a row of kept patches for each mask"),
        (np.empty((0, 2), dtype=np.int64), r"masks of shape \(0, 2\); expected \(S, n1\)"),
    ],
)
def test_masks_that_are_none_are_refused(kept: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_mask_set(kept, 4)


def test_numbers_of_masks_and_patches_that_cannot_be() -> None:
    for patches in (1, 2.0):
        with pytest.raises(InputError, match=rf"masks over {patches} patches; expected an integer of at least 2"):
            make_mask_set(np.array([[0]]), patches)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"total 1 for 2 masks; expected at least as many, or none"):
        make_mask_set(np.array([[0], [1]]), 3, total=1)


def test_a_ratio_that_is_no_number() -> None:
    for ratio in ("0.75", None, 0.5j, np.array([0.5, 0.75])):
        with pytest.raises(InputError, match=r"mask ratio .*; expected a number, the share of patches that is masked"):
            mask_distribution("uniform", (4, 4), ratio)  # type: ignore[arg-type]
