"""Verdicts and steps of a check, from numbers alone."""

from __future__ import annotations

import math

import pytest

from maskgraph.theory.check import Check, Met, Sense, Step, broken_step, verdict_of


@pytest.mark.parametrize(
    ("sense", "lhs", "rhs", "trivial", "verdict"),
    [
        (">=", 2.0, 1.0, 0.0, "holds"),
        (">=", 1.0, 1.05, 0.0, "tight"),
        (">=", 1.05, 1.0, 0.0, "tight"),
        (">=", 1.0, 1.2, 0.0, "violated"),
        (">=", 1.0, 0.0, 0.0, "vacuous"),
        (">=", 1.0, 0.4, 0.35, "vacuous"),
        (">=", math.nan, 1.0, 0.0, "violated"),
        (">=", 1.0, math.nan, 0.0, "violated"),
        ("<=", 0.2, 0.5, 1.0, "holds"),
        ("<=", 0.5, 0.45, 1.0, "tight"),
        ("<=", 0.5, 0.2, 1.0, "violated"),
        ("<=", 0.5, 1.0, 1.0, "vacuous"),
        ("<=", 0.5, 0.95, 1.0, "vacuous"),
        ("<=", math.nan, 0.5, 1.0, "violated"),
        ("<=", 0.5, math.nan, 1.0, "violated"),
        ("=", 1.0, 1.05, 0.0, "tight"),
        ("=", 1.05, 1.0, 0.0, "tight"),
        ("=", 1.0, 1.2, 0.0, "violated"),
        ("=", 1.2, 1.0, 0.0, "violated"),
        ("=", math.nan, 1.0, 0.0, "violated"),
    ],
)
def test_verdicts(sense: Sense, lhs: float, rhs: float, trivial: float, verdict: str) -> None:
    assert verdict_of(sense, lhs, rhs, 0.1, trivial) == verdict


@pytest.mark.parametrize(
    ("sense", "values", "exact", "broken"),
    [
        (">=", (3.0, 2.0, 1.0), (False, False), ""),
        (">=", (3.0, 3.05, 1.0), (False, False), ""),
        (">=", (3.0, 1.0, 2.0), (False, False), "two"),
        (">=", (1.0, 2.0, 0.0), (False, False), "one"),
        (">=", (3.0, 2.0, 1.0), (True, False), "one"),
        (">=", (3.0, 2.95, 1.0), (True, False), ""),
        ("<=", (1.0, 2.0, 3.0), (False, False), ""),
        ("<=", (1.0, 3.0, 2.0), (False, False), "two"),
        ("<=", (1.0, 2.0, 3.0), (False, True), "two"),
        ("=", (1.0, 1.0, 1.2), (True, True), "two"),
        (">=", (3.0, math.nan, 1.0), (False, False), "one"),
    ],
)
def test_a_step_that_goes_the_wrong_way(
    sense: Sense, values: tuple[float, ...], exact: tuple[bool, ...], broken: str
) -> None:
    steps = tuple(
        Step(name, value, flag)
        for name, value, flag in zip(("start", "one", "two"), values, (False, *exact), strict=True)
    )
    assert broken_step(sense, steps, 0.1) == broken


@pytest.mark.parametrize(
    ("value", "met"), [(0.0, True), (0.1, True), (0.11, False), (math.nan, False), (math.inf, False)]
)
def test_an_assumption_is_met_up_to_its_limit(value: float, met: bool) -> None:
    assert Met("a", value, 0.1, "text").met is met


@pytest.mark.parametrize(("sense", "slack"), [(">=", 1.0), ("<=", -1.0), ("=", -1.0)])
def test_slack_and_json(sense: Sense, slack: float) -> None:
    check = Check(
        "S", "f", sense, 2.0, 1.0, 0.1, 0.0, "holds", (Step("s", 2.0),), (Met("a", 0.0, 0.1, "t"),), {"x": 1.0}
    )
    found = check.as_dict()
    assert found["slack"] == check.slack == slack
    assert found["terms"] == {"x": 1.0}
    assert found["steps"] == ({"cause": "s", "value": 2.0, "exact": False},)
    assert found["assumptions"] == ({"name": "a", "value": 0.0, "limit": 0.1, "text": "t", "needed": True},)
