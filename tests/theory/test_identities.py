"""The exact identities I1 to I5, and the losses they are made of by plain loops over the joint distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from maskgraph.graphs.augmentation import Hop
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.views import View
from maskgraph.theory import losses, pairs, risk
from maskgraph.theory.solver.frobenius import frobenius_norm_sq
from maskgraph.theory.spectrum import spectrum
from tests import oracle
from tests.strategies import HOPS, VIEWS, World, searched
from tests.theory.toys import Array, Case, cases, dense, features, joint_augmentation, random_joint, unit, weighted

ROUNDING = 1e-10
"""At most 6·10⁴ products of size at most 10² are summed, in worlds whose masses sum to 1: the terms are of size
10² together, off by 10²·√(6·10⁴)·2⁻⁵³ ≈ 3e-12; relative for the few features that are larger than that."""


def close(found: float, expected: float, scale: float = 0.0) -> None:
    assert found == pytest.approx(expected, abs=ROUNDING * max(1.0, scale), rel=ROUNDING)


def outputs(graph: MaskGraph, rng: np.random.Generator) -> list[Array]:
    """Random outputs, the best ones, constant ones, and outputs far off."""
    noise = rng.standard_normal((len(graph.p1), graph.X2.shape[1]))
    return [noise, risk.conditional_mean(graph), np.ones_like(noise), 10 * noise + 3]


def by_loops(case: Case, h: Array) -> dict[str, float]:
    """The losses of h, event by event and pair by pair, with nothing of the package but the numbering of views."""
    world = case.world.events(case.kept, case.view)
    assert case.world.codebook is not None
    place: dict[oracle.Vertex, int] = {}
    rows = {row: at for at, row in enumerate(case.world.rows)}
    masks = case.world.masks(case.kept)
    for number, event in enumerate(world):
        place[event.x1] = int(case.graph.ids1[rows[event.image], number % len(masks)])
    out = {x1: h[at] for x1, at in place.items()}
    value = {event.x2: np.array(oracle.target_vector(event.x2, case.view, case.world.codebook)) for event in world}
    M = oracle.joint_M(world)
    p1, p2 = oracle.marginal(M, 0), oracle.marginal(M, 1)
    pairs = oracle.positive_pairs(world, case.hop)
    mean = sum(mass * out[x1] for x1, mass in p1.items())
    given_target = {x2: np.zeros(h.shape[1]) for x2 in p2}
    for (x1, x2), mass in M.items():
        given_target[x2] = given_target[x2] + mass / p2[x2] * out[x1]
    return {
        "mae": math.fsum(mass * float(((out[x1] - value[x2]) ** 2).sum()) for (x1, x2), mass in M.items()),
        "energy": math.fsum(mass * float((out[x1] ** 2).sum()) for x1, mass in p1.items()),
        "align": -math.fsum(mass * float(out[a] @ out[b]) for (a, b), mass in pairs.items()),
        "pair_distance": math.fsum(mass * float(((out[a] - out[b]) ** 2).sum()) for (a, b), mass in pairs.items()),
        "unif": math.fsum(p1[a] * p1[b] * float(out[a] @ out[b]) ** 2 for a in p1 for b in p1),
        "variance": math.fsum(mass * float(((out[x1] - mean) ** 2).sum()) for x1, mass in p1.items()),
        "gap": math.fsum(mass * float(((given_target[x2] - value[x2]) ** 2).sum()) for x2, mass in p2.items()),
    }


@searched(60)
@given(cases())
def test_losses_are_their_definitions(case: Case) -> None:
    for h in outputs(case.graph, case.rng):
        expected = by_loops(case, h)
        scale = expected["energy"]
        close(losses.mae_loss(case.graph, h), expected["mae"], scale)
        close(losses.energy(case.graph, h), expected["energy"], scale)
        close(losses.align_loss(case.A, h), expected["align"], scale)
        close(losses.pair_distance(case.A, h), expected["pair_distance"], scale)
        close(losses.unif_loss(case.graph, h), expected["unif"], scale**2)
        close(losses.variance(case.graph, h), expected["variance"], scale)
        close(losses.target_gap(case.graph, h), expected["gap"], scale)


@pytest.mark.parametrize("edges", [1, 7, 10**6])
@pytest.mark.parametrize("rows", [1, 7, 10**6])
def test_sums_do_not_depend_on_what_is_added_at_a_time(edges: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 edges or more and 30 views; beside the whole matrices."""
    monkeypatch.setattr(losses, "EDGES", edges)
    monkeypatch.setattr(losses, "ROWS", rows)
    rng = np.random.default_rng(5)
    A = joint_augmentation(random_joint(rng, 30, 12))
    M = A.graph.M.toarray()
    h, targets = rng.standard_normal((30, 3)), rng.standard_normal((12, 3))
    apart = ((h[:, None] - targets) ** 2).sum(axis=2)
    assert np.count_nonzero(M) > 100
    close(losses.cross_distance(A.graph, h, targets), float((M * apart).sum()))
    between = ((h[:, None] - h) ** 2).sum(axis=2)
    close(losses.pair_distance(A, h), float((A.positive_pairs().toarray() * between).sum()))
    F = weighted(A.graph, h)
    spectral = float(((dense(A) - F @ F.T) ** 2).sum() - (dense(A) ** 2).sum())
    close(losses.approximation_excess(A, F), spectral)
    monkeypatch.setattr(pairs, "FEW", 0)
    close(losses.approximation_excess(A, F), spectral)


@pytest.mark.parametrize("density", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("k", [1, 7, 64])
@pytest.mark.parametrize("few", [0, 10**7])
def test_the_other_side_of_i4_loses_nothing_to_the_number_of_pairs(
    few: int, density: float, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views of one target and of many, 10⁵ pairs of all sizes: off by the rounding of each term, not of their sum."""
    monkeypatch.setattr(pairs, "FEW", few)
    rng = np.random.default_rng(k)
    A = joint_augmentation(random_joint(rng, 300, 20, density) * np.exp(5 * rng.standard_normal((300, 1))))
    F = weighted(A.graph, unit(rng.standard_normal((300, k))))
    B, wide = A.B.toarray().astype(np.longdouble), F.astype(np.longdouble)
    a = B @ B.T
    assert np.count_nonzero(a) > 5_000
    g = np.where(a > 0, wide @ wide.T, 0)
    exact = ((wide.T @ wide) ** 2).sum() - 2 * (a * g).sum()
    length = np.linalg.norm(F, axis=1)
    of_terms = np.where(a > 0, a**2 + (length[:, None] * length) ** 2, 0).sum() + (length**2).sum() ** 2
    eps = np.finfo(np.float64).eps
    assert abs(losses.approximation_excess(A, F) - exact) <= (k + 30) * eps * of_terms
    assert losses.approximation_excess(A, np.asfortranarray(F)) == losses.approximation_excess(A, F)


@searched(60)
@given(cases(hop="target"))
def test_i1_conditional_on_the_target(case: Case) -> None:
    for h in outputs(case.graph, case.rng):
        energy = losses.energy(case.graph, h)
        right = energy + losses.align_loss(case.A, h) + losses.target_gap(case.graph, h)
        close(losses.mae_loss(case.graph, h), right, energy)


@searched(60)
@given(cases())
def test_i2_conditional_on_the_view(case: Case) -> None:
    graph = case.graph
    best = risk.conditional_mean(graph)
    first = risk.target_energy(graph) - losses.energy(graph, best)
    close(risk.bayes_risk(graph), first, risk.target_energy(graph))
    close(losses.mae_loss(graph, best), risk.bayes_risk(graph), risk.target_energy(graph))
    for h in outputs(graph, case.rng):
        loss = losses.mae_loss(graph, h)
        close(loss, risk.bayes_risk(graph) + losses.energy(graph, h - best), losses.energy(graph, h))
        assert loss >= risk.bayes_risk(graph) - ROUNDING


@searched(60)
@given(cases())
def test_i3_alignment_is_a_quadratic_form(case: Case) -> None:
    A = dense(case.A)
    for h in outputs(case.graph, case.rng):
        H = weighted(case.graph, h)
        energy = losses.energy(case.graph, h)
        half = losses.pair_distance(case.A, h) / 2
        close(half, energy + losses.align_loss(case.A, h), energy)
        close(half, float(np.trace(H.T @ (np.eye(len(A)) - A) @ H)), energy)
        close(energy, float((H**2).sum()), energy)


@searched(60)
@given(cases(valued=False))
def test_i4_the_spectral_form_of_the_contrastive_loss(case: Case) -> None:
    A = dense(case.A)
    for k in (1, 2, 5):
        for _, f in features(case.A, k, case.rng):
            for g in (f, unit(f)):
                F = weighted(case.graph, g)
                spectral = float(((A - F @ F.T) ** 2).sum() - (A**2).sum())
                scale = float(((F @ F.T) ** 2).sum())
                close(losses.spectral_contrastive_loss(case.A, g), spectral, scale)
                close(losses.unif_loss(case.graph, g), scale, scale)


@searched(60)
@given(cases(valued=False))
def test_i5_the_tail_needs_only_the_head(case: Case) -> None:
    values = np.linalg.eigvalsh(dense(case.A))[::-1]
    one, _ = frobenius_norm_sq(case.A.B)
    close(one, float((values**2).sum()))
    close(one, float((case.A.B.T @ case.A.B).power(2).sum()))
    close(one, float((case.A.B @ case.A.B.T).power(2).sum()))
    for k in {1, min(2, len(values)), len(values)}:
        found = spectrum(case.A, k)
        close(found.tail_sq, float((values[k:] ** 2).sum()))
        low, high = found.tail_sq_interval
        assert low - ROUNDING <= float((values[k:] ** 2).sum()) <= high + ROUNDING


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("view", VIEWS)
def test_losses_at_large_values_lose_nothing_small(view: View, hop: Hop) -> None:
    # At 1e6 the expanded squares are 1e12 with an ulp of 1e-4; the differences here are of size 1.
    shift = 1e6
    small = World(((0, 1, 1), (1, 0, 1), (0, 0, 1)), (0, 1, 1), codebook=((0.0,), (1.0,)))
    large = World(small.codes, small.labels, codebook=((shift,), (1 + shift,)))
    pair = [w.augmented(1, view, hop) for w in (small, large)]
    noise = np.random.default_rng(0).standard_normal((len(pair[0].p1), 2))
    one, other = (
        (losses.mae_loss(A.graph, h), losses.pair_distance(A, h))
        for A, h in zip(pair, (noise, noise + shift), strict=True)
    )
    # Adding 1e6 rounds each value by 1e-10; the square of a difference by a few of that.
    assert other == pytest.approx(one, abs=1e-8)
    assert risk.bayes_risk(pair[1].graph) == pytest.approx(risk.bayes_risk(pair[0].graph), abs=1e-8)
