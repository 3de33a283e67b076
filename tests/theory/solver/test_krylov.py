"""One large component that has no dense solve to fall back on: what it answers where a test of what is left fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import ortho_group

from maskgraph.theory.solver import krylov
from maskgraph.theory.solver.eigenpairs import Eigenpairs
from maskgraph.theory.solver.goal import Goal
from maskgraph.theory.solver.host import HOST
from maskgraph.theory.solver.pair import Pair
from tests.theory.toys import Array

VIEWS = 500

RELATIVE = 1e-8
"""Width that a sum of squares is promised, relative to the squares of all other eigenvalues."""

BACKWARD = 8 * VIEWS * 2.0**-52
"""Error of the factor that is made of given eigenvalues."""


@pytest.fixture(autouse=True)
def nothing_is_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in graphs of more than `DENSELY` views."""
    monkeypatch.setattr(krylov, "DENSELY", 0)


def solved(values: Array, want: int) -> Eigenpairs:
    """A graph of these eigenvalues beside a known 1; every bracket holds."""
    values = np.concatenate([[1.0], np.sort(values)[::-1]])
    Q = ortho_group.rvs(VIEWS, random_state=np.random.default_rng(0))
    goal = Goal(want, float((values**2).sum()), 2e-9, 1e-10, 0)
    found = krylov.top_eigenpairs(Pair(sp.csr_array(Q * np.sqrt(values))), Q[:, 0], goal, HOST)
    bracket, true = found.bracket, values[1:]
    count = len(bracket.lower)
    assert (bracket.lower <= true[:count] + BACKWARD).all()
    assert (true[:count] <= bracket.upper + BACKWARD).all()
    assert true[count] <= bracket.nu + BACKWARD
    return found


def width(found: Eigenpairs, want: int) -> float:
    """Of the interval of the sum of the squares of those wanted."""
    return math.fsum(found.bracket.upper[:want] ** 2) - math.fsum(found.bracket.lower[:want] ** 2)


@pytest.mark.parametrize("seed", range(4))
def test_many_that_were_brought_beside_few_that_are_wanted_end_no_solve(seed: int) -> None:
    """The first round brings a hundred to make its test cheap; a cluster begins there, and the test fails.

    More at the last wanted value than may be held are a reason to end, more in all are not.
    """
    values = np.sort(0.5 * np.random.default_rng(seed).random(VIEWS - 1))[::-1].copy()
    values[90:190] = values[90]
    found = solved(values, 15)
    tail = float((np.sort(values)[::-1][15:] ** 2).sum())
    rounded = 4 * float(found.values.sum()) * found.bracket.slack
    assert width(found, 15) <= RELATIVE * tail + rounded


def test_a_cluster_beyond_what_may_be_held_is_bounded_near_it() -> None:
    """Of 130 copies of the last wanted value 96 may be held: a test that expects less of the others tells nothing."""
    values = np.concatenate([np.full(130, 0.5), np.full(VIEWS - 131, 1e-8)])
    found = solved(values, 15)
    # cosh(arccosh(√(4000/0.014))/320) − 1 = 2.4e-4, halved, of each; ν ≤ 1 alone would say 11.
    assert width(found, 15) <= 15 * 2 * 0.5**2 * 2.5e-4
