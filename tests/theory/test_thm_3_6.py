"""Thm 3.6: a constant encoder has L_MAE >= Var(x2), with equality at E x2; with positions, >= E_m Var(x2|m) (S4)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from maskgraph.graphs.views import View
from maskgraph.theory import bounds, losses, risk
from tests import oracle
from tests.strategies import VIEWS, World, searched
from tests.theory.toys import VALUED_WORLDS, Array, Case, cases

ROUNDING = 1e-10
"""Targets of at most 10 values of size 2 over at most 10³ edges: 10²·√10³·2⁻⁵³ ≈ 4e-13."""


def constants(case: Case) -> list[Array]:
    """Decoder answers to a constant encoder, one row each: near the mean, far from it, and at 0."""
    mean = case.graph.p2 @ case.graph.X2
    noise = case.rng.standard_normal(mean.shape)
    return [mean, mean + 1e-3 * noise, mean + noise, np.zeros_like(mean), 100 * noise]


@searched(60)
@given(cases())
def test_no_constant_goes_below_the_variance(case: Case) -> None:
    graph = case.graph
    floor = bounds.thm_3_6(risk.target_variance(graph))
    for value in constants(case):
        h = np.tile(value, (len(graph.p1), 1))
        excess = float(((value - graph.p2 @ graph.X2) ** 2).sum())
        assert losses.mae_loss(graph, h) == pytest.approx(floor + excess, rel=ROUNDING, abs=ROUNDING)


@searched(60)
@given(cases())
def test_variance_given_the_mask_by_loops(case: Case) -> None:
    world = case.world
    assert world.codebook is not None
    masks = world.masks(case.kept)
    within = []
    for kept in masks:
        M = oracle.joint_M(oracle.events(world.codes, world.labels, world.weights, [kept], case.view))
        p2 = oracle.marginal(M, 1)
        value = {x2: oracle.target_vector(x2, case.view, world.codebook) for x2 in p2}
        for j in range(case.graph.X2.shape[1]):
            mean = math.fsum(mass * value[x2][j] for x2, mass in p2.items())
            within.append(math.fsum(mass * (value[x2][j] - mean) ** 2 for x2, mass in p2.items()))
    given_mask = risk.target_variance_given_mask(case.graph)
    assert given_mask == pytest.approx(math.fsum(within) / len(masks), abs=ROUNDING)
    assert given_mask <= risk.target_variance(case.graph) + ROUNDING
    assert given_mask >= 0


@pytest.mark.parametrize("name", VALUED_WORLDS)
def test_a_decoder_with_positions_attains_s4(name: str) -> None:
    world = VALUED_WORLDS[name]
    for kept in range(1, world.patches):
        graph = world.graph(kept, "positional")
        _, mask = graph.representatives1
        masks = len(graph.masks.kept)
        mean = np.zeros((masks, graph.X2.shape[1]))
        for image, weight in enumerate(graph.images.weights):
            mean += weight * graph.X2[graph.ids2[image]]
        floor = bounds.thm_3_6(risk.target_variance_given_mask(graph))
        assert losses.mae_loss(graph, mean[mask]) == pytest.approx(floor, abs=ROUNDING)
        for step in (-0.1, 0.1):
            assert losses.mae_loss(graph, mean[mask] + step) > floor


@pytest.mark.parametrize("view", VIEWS)
def test_the_constant_is_exactly_one(view: View) -> None:
    graph = VALUED_WORLDS["four classes"].graph(2, view)
    attained = losses.mae_loss(graph, np.tile(graph.p2 @ graph.X2, (len(graph.p1), 1)))
    variance = risk.target_variance(graph)
    assert variance > 0.1
    assert attained >= bounds.thm_3_6(variance) - ROUNDING
    assert attained < 1.001 * bounds.thm_3_6(variance)


def test_positions_matter() -> None:
    # Patch 0 is always 0 and patch 1 always 1: knowing the mask is knowing the target.
    graph = World(((0, 1),), (0,), codebook=((0.0,), (1.0,))).graph(1, "positional")
    assert risk.target_variance(graph) == pytest.approx(0.25)
    assert risk.target_variance_given_mask(graph) == 0.0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_variances_do_not_depend_on_where_zero_is(view: View, offset: float) -> None:
    def variances(shift: float) -> tuple[float, float]:
        world = World(((0, 1, 1), (1, 0, 1), (0, 0, 1)), (0, 1, 1), codebook=((shift,), (1 + shift,)))
        graph = world.graph(1, view)
        return risk.target_variance(graph), risk.target_variance_given_mask(graph)

    assert variances(offset) == pytest.approx(variances(0.0), abs=ROUNDING)
