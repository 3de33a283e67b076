"""Intervals against scipy's and against the coverage that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from maskgraph.empirical.intervals import accuracy_interval, mcnemar, seeds_interval
from maskgraph.graphs.errors import InputError
from tests.strategies import searched


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0.5, 0.999))
@searched(40)
def test_the_accuracy_interval_is_wilsons(count: int, share: float, level: float) -> None:
    right = round(share * count)
    correct = np.arange(count) < right
    wanted = stats.binomtest(right, count).proportion_ci(level, method="wilson")
    assert accuracy_interval(correct, level) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@pytest.mark.parametrize("count", [1, 7, 30, 40, 10000])
def test_rounding_leads_no_interval_out_of_what_accuracies_can_be_or_past_the_accuracy(count: int) -> None:
    assert accuracy_interval(np.ones(count, dtype=bool))[1] == 1
    assert accuracy_interval(np.zeros(count, dtype=bool))[0] == 0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.5, 0.999))
@searched(40)
def test_the_interval_over_seeds_is_students(values: list[float], level: float) -> None:
    error = stats.sem(values)
    wanted = stats.t.interval(level, len(values) - 1, np.mean(values), error) if error > 0 else (np.mean(values),) * 2
    assert seeds_interval(values, level) == pytest.approx(wanted, abs=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = [low <= 0.8 <= high for low, high in (accuracy_interval(rng.random(300) < 0.8) for _ in range(2000))]
    seeds = [low <= 3 <= high for low, high in (seeds_interval(rng.normal(3, 1, 3).tolist()) for _ in range(2000))]
    # The standard error of 95 % of 2,000 is 0.5 %; five of them. Wilson's is itself 1 % off at this size.
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)
    assert np.mean(seeds) == pytest.approx(0.95, abs=0.025)


def test_two_networks_differ_by_the_images_on_which_they_differ() -> None:
    both = np.ones(500, dtype=bool)
    first, second = np.array([True] * 12 + [False] * 3), np.array([False] * 12 + [True] * 3)
    wanted = 2 * sum(stats.binom.pmf(k, 15, 0.5) for k in range(4))
    assert mcnemar(np.concatenate([both, first]), np.concatenate([both, second])) == pytest.approx(wanted)
    assert mcnemar(first, second) == pytest.approx(wanted)
    assert mcnemar(first, first) == 1


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(InputError, match=r"an interval over 1 seed; expected at least 2"):
        seeds_interval([0.5])
