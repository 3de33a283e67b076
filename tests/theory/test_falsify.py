"""The falsifier finds what is false by one per cent, every time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set, mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture, joint_graph
from maskgraph.theory import bounds
from maskgraph.theory.falsify import Found, falsify, tightness
from maskgraph.theory.outputs import Outputs
from maskgraph.theory.small_worlds import SMALL_WORLDS
from maskgraph.theory.statement import Link, Statement
from maskgraph.theory.statements import STATEMENTS, statement
from maskgraph.theory.terms import Terms
from maskgraph.theory.traced import GRAPH_ALONE, SmallGraph, TracedTerms
from tests.strategies import FIXED_WORLDS
from tests.theory.test_ledger import mislead

STARTS, STEPS = 8, 300
"""One budget for true and for planted statements."""

SEEDS = range(3)


def search(
    held: Statement, graph: MaskGraph, dim: int, seed: int, lipschitz: float | None = None, starts: int = STARTS
) -> Found:
    return falsify(held, graph, dim, starts=starts, steps=STEPS, seed=seed, lipschitz=lipschitz)


def planted(number: str, wrong: Callable[[Any], Any]) -> Statement:
    """A statement with another right side."""
    known = statement(number)
    return replace(known, chain=(*known.chain[:-1], Link("planted", wrong)))


def two_views(x2: tuple[float, ...], labels: bool = True) -> MaskGraph:
    M = np.array([[4.0, 1.0], [1.0, 4.0]])
    second = (-x2[0], *x2[1:])
    return joint_graph(M, np.array([x2, second]), np.array([[0, 0], [1, 1]]) if labels else None)


def rare_view() -> MaskGraph:
    """One target, a view of mass 1/250 with a class of its own: φ is nearly 2(α + α2)."""
    return joint_graph(np.array([[249.0], [1.0]]), np.array([[1.0]]), np.array([[0], [1]]))


def half() -> MaskGraph:
    """Two equiprobable views with λ_2 = ½, the worst case known of the mean square."""
    flip = (1 - 0.5**0.5) / 2
    M = np.array([[1 - flip, flip], [flip, 1 - flip]])
    return joint_graph(M, np.array([[1.0], [-1.0]]), np.array([[0, 0], [1, 1]]))


def minority() -> MaskGraph:
    """Independent views whose images are of class 1 in two of five cases, whatever they show."""
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    labels, weights = np.repeat([0, 1], 4), np.repeat([3.0, 2.0], 4)
    images = make_coded_images("minority", np.tile(codes, (2, 1)), labels, weights, np.arange(2.0)[:, None])
    return mask_graph(images, make_mask_set(np.array([[0]]), 2), "sequence")


def u_mae_bound(t: Any, two: float) -> Any:
    return (two - t.head_sq) / (4 * t.L) - t.epsilon


def loss_form(t: Any) -> Any:
    """Thm 4.1's with c2 = 0.99, where the least c2 that is known to be needed is 1."""
    full = bounds.thm_4_1_from_loss(t.alpha, t.phi, t.p_max, t.frobenius_sq, t.mae + t.lam * t.unif, t.L, 0.0)
    return full - (2 - 0.99) * t.alpha


PLANTED: dict[str, tuple[str, Callable[[], MaskGraph], int, Callable[[Any], Any]]] = {
    "I1, gap": ("I1", lambda: two_views((1.0,)), 2, lambda t: t.energy_h + t.align_h + 1.01 * t.target_gap),
    "I2, excess": ("I2", lambda: two_views((1.0,)), 2, lambda t: t.bayes + 1.01 * t.excess),
    "I3, alignment": ("I3", lambda: two_views((1.0,)), 2, lambda t: t.energy_h + 1.01 * t.align_h),
    "I4, norm": ("I4", lambda: two_views((1.0,)), 2, lambda t: 1.01 * t.scl_spectral),
    "I5, norm": ("I5", lambda: two_views((1.0,)), 2, lambda t: 1.01 * t.frobenius_sq_edges),
    "U, 1/k": ("U", lambda: two_views((1.0,)), 2, lambda t: 1.01 / t.k),
    "Thm 3.2, epsilon": (
        "Thm 3.2",
        lambda: two_views((1.0,)),
        2,
        lambda t: bounds.thm_3_2(t.asym, t.energy_h, t.energy_pseudo, 0.99 * t.epsilon),
    ),
    "Thm 3.2, alignment": (
        "Thm 3.2",
        lambda: two_views((1.0,)),
        2,
        lambda t: bounds.thm_3_2(1.01 * t.asym, t.energy_h, 1.01 * t.energy_pseudo, t.epsilon),
    ),
    "Thm 3.4, 1/2 past its best, 1": (
        "Thm 3.4",
        lambda: two_views((1.0,)),
        2,
        lambda t: 1.01 * (t.align_h + t.energy_h),
    ),
    "Thm 3.4 unit, 1/2 past its best, 1": (
        "Thm 3.4 unit",
        lambda: two_views((0.6,)),
        2,
        lambda t: 1.01 * (t.align_h + 1),
    ),
    "S1, 1/2": ("S1", lambda: two_views((1.0,)), 2, lambda t: 1.01 * t.half_pair_h),
    "Thm 3.6, variance": ("Thm 3.6", lambda: two_views((1.0,)), 2, lambda t: 1.01 * t.variance),
    "S4, variance": ("S4", lambda: two_views((1.0,)), 2, lambda t: 1.01 * t.variance_given_mask),
    "S3, floor": ("S3", lambda: two_views((1.0, 1.0)), 1, lambda t: t.bayes + 1.01 * (t.rank_floor - t.bayes)),
    "phi, 2": ("phi", rare_view, 1, lambda t: 1.98 * (t.alpha + t.alpha_target)),
    "Thm 4.1 mean square, 2 past the 4/3 it needs": (
        "Thm 4.1 mean square",
        half,
        2,
        lambda t: 0.99 * 4 / 3 * (t.phi + t.p_max * (t.scl_fitted + t.frobenius_sq)),
    ),
    "Thm 4.1, 2 alpha": (
        "Thm 4.1",
        mislead,
        3,
        lambda t: bounds.thm_4_1(0.99 * t.alpha, t.phi, t.p_max, t.scl_fitted, t.frobenius_sq),
    ),
    "Thm 4.1 loss, c2 past the 1 it needs": ("Thm 4.1 loss", minority, 2, loss_form),
    "Embedding, phi": ("Embedding", lambda: two_views((1.0,)), 1, lambda t: 0.99 * t.phi / (1 - t.next_value)),
    "Thm 4.2, 2": ("Thm 4.2", SMALL_WORLDS["independent"].graph, 2, lambda t: u_mae_bound(t, 2.02)),
    "Thm 4.2, head": (
        "Thm 4.2",
        SMALL_WORLDS["independent"].graph,
        2,
        lambda t: bounds.thm_4_2(0.99 * t.head_sq, t.L, t.epsilon),
    ),
    "Thm 4.2 any lambda, 1/(2L)": (
        "Thm 4.2 any lambda",
        SMALL_WORLDS["independent"].graph,
        2,
        lambda t: bounds.thm_4_2_any_lambda(t.head_sq, t.L, t.lam, t.epsilon) + 0.01 / (2 * t.L),
    ),
    # These two are right at lambda = 1/(4L).
    "Thm 4.2 any lambda, 1/lambda": (
        "Thm 4.2 any lambda",
        SMALL_WORLDS["two views"].graph,
        2,
        lambda t: 1 / (2 * t.L) - t.lam * t.head_sq - t.epsilon,
    ),
    "S2, lambda": (
        "S2",
        lambda: two_views((1.0,)),
        2,
        lambda t: t.water_filling + 0.01 * (t.lam - 1 / (4 * t.L)) / t.k,
    ),
    "S2, floor": ("S2", lambda: two_views((1.0,)), 2, lambda t: 1.01 * t.water_filling),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PLANTED)
def test_a_statement_false_by_one_per_cent_is_broken_every_time(name: str, seed: int) -> None:
    number, graph, dim, wrong = PLANTED[name]
    found = search(planted(number, wrong), graph(), dim, seed)
    assert found.broken
    assert found.check.slack < -found.check.tolerance
    assert not [one for one in found.check.assumptions if one.needed and not one.met], "no assumption was dropped"


def test_every_statement_has_a_planted_twin() -> None:
    assert {number for number, *_ in PLANTED.values()} == {known.number for known in STATEMENTS}


@pytest.mark.parametrize("name", PLANTED)
def test_the_true_statement_is_not_broken_where_its_planted_twin_is(name: str) -> None:
    """By as many models as all searches for the twin have together."""
    number, graph, dim, _ = PLANTED[name]
    assert not search(statement(number), graph(), dim, 0, starts=len(SEEDS) * STARTS).broken


@pytest.mark.parametrize("world", SMALL_WORLDS)
@pytest.mark.parametrize("known", [one for one in STATEMENTS if one.assumptions], ids=lambda one: str(one.number))
def test_nothing_true_is_broken_on_small_worlds(known: Statement, world: str) -> None:
    assert not search(known, SMALL_WORLDS[world].graph(), 2, 0).broken


def test_known_tightness() -> None:
    graph = two_views((1.0,))
    assert search(statement("S1"), graph, 2, 0).tightness == pytest.approx(1, abs=1e-6)
    # S1 is attained, and Thm 3.4 is half of it.
    assert search(statement("Thm 3.4"), graph, 2, 0).tightness == pytest.approx(0.5, abs=1e-6)
    # As f becomes constant L falls to 0, and (2 − Σ λ_i²)/(4L) meets λ L_unif = 1/(4L): the ratio is 2 − Σ λ_i².
    head = 1 + 0.36**2
    assert search(statement("Thm 4.2"), graph, 2, 0).tightness == pytest.approx(2 - head, abs=1e-3)


def test_models_of_one_lipschitz_constant() -> None:
    found = search(statement("S2"), two_views((1.0,)), 2, 0, lipschitz=0.5)
    assert found.check.terms["L"] == pytest.approx(0.5, rel=1e-9)
    assert 0 < found.tightness <= 1


def test_models_of_one_weight_of_uniformity() -> None:
    found = falsify(statement("S2"), two_views((1.0,)), starts=STARTS, steps=STEPS, lam=0.125)
    assert found.check.terms["lam"] == 0.125
    assert 0 < found.tightness <= 1


def test_a_broken_bound_of_no_positive_number_is_not_lost() -> None:
    """Where the right side of an upper bound is negative the ratio of the sides says nothing."""
    false = planted("Thm 4.1", lambda t: 2 * t.alpha + 8 * t.phi + 8 * t.p_max * t.scl)
    for seed in range(6):
        found = falsify(false, SMALL_WORLDS["one target"].graph(), steps=60, seed=seed)
        assert found.broken
        assert found.tightness == np.inf


@pytest.mark.parametrize("number", ["Thm 3.6", "Thm 4.2"])
def test_a_dropped_assumption_lets_the_statement_fail(number: str) -> None:
    known = statement(number)
    name = next(one.name for one in known.assumptions if one.needed)
    found = falsify(known, two_views((1.0,)), 2, dropped=(name,))
    assert found.broken
    assert found.check.verdict == "assumption not met"
    assert name in found.check.note


def test_the_same_seed_finds_the_same_model() -> None:
    one, other = (search(statement("S2"), two_views((1.0,)), 2, 5) for _ in range(2))
    assert one.tightness == other.tightness
    assert one.outputs.f is not None
    assert other.outputs.f is not None
    np.testing.assert_array_equal(one.outputs.f, other.outputs.f)


def test_what_cannot_be_searched() -> None:
    graph = two_views((1.0,))
    with pytest.raises(InputError, match=r"S1 does not need \['unit-norm f'\]; it needs nothing"):
        falsify(statement("S1"), graph, dropped=("unit-norm f",))
    with pytest.raises(InputError, match=r"does not need \['Assumption 3.1'\]"):
        falsify(statement("Thm 4.2"), graph, dropped=("Assumption 3.1",))
    with pytest.raises(InputError, match="with patch values"):
        falsify(statement("S1"), FIXED_WORLDS["one class"].graph(2, "bag"))
    big = class_mixture(8, 0.3)
    with pytest.raises(InputError, match="at most 64 a side"):
        falsify(statement("S1"), mask_graph(big, mask_set(mask_distribution("uniform", big.grid, 0.25)), "positional"))
    with pytest.raises(InputError, match="dimension 0; expected at least 1"):
        tightness(statement("S1"), 0, 1.0)
    with pytest.raises(InputError, match="seed -1; expected an integer from 0 to 4294967295"):
        tightness(statement("S1"), 2, 1.0, seed=-1)
    with pytest.raises(InputError, match="Lipschitz constant 0; expected a positive number"):
        tightness(statement("S1"), 2, 0.0)


TRACED = (
    *(
        "mae",
        "mae_collapsed",
        "energy_h",
        "align_h",
        "pair_h",
        "half_pair_h",
        "trace_h",
        "target_gap",
        "excess",
        "epsilon",
    ),
    *(
        "energy_pseudo",
        "asym",
        "unif",
        "scl",
        "scl_spectral",
        "scale_sq",
        "scl_fitted",
        "L",
        "lam",
        "water_filling",
        "mean_square",
    ),
    *("vote_error", "readout_error"),
)


@pytest.mark.parametrize("name", [*TRACED, *GRAPH_ALONE])
@pytest.mark.parametrize("embeds", [False, True])
def test_terms_with_a_gradient_are_the_terms(name: str, embeds: bool) -> None:
    rng = np.random.default_rng(3)
    M = rng.random((5, 4)) * (rng.random((5, 4)) < 0.6) + np.eye(5, 4) + np.eye(5, 4)[::-1]
    graph = joint_graph(M, rng.standard_normal((4, 2)), rng.integers(3, size=(5, 4)))
    f, h, collapsed = (rng.standard_normal((2, 5, width)) for width in (3, 2, 2))
    pseudo = rng.standard_normal((2, 4, 2))
    parts = (torch.tensor(f), torch.tensor(h), torch.tensor(pseudo), torch.tensor(collapsed))
    traced = TracedTerms(SmallGraph(graph, 3), *parts, embeds=embeds)
    for start in range(2):
        outputs = Outputs(f[start], h[start], pseudo[start], collapsed[start])
        wanted = getattr(Terms(graph, outputs, embedding=f[start] if embeds else None), name)
        found = getattr(traced, name)
        found = found[start] if isinstance(found, torch.Tensor) else found
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-10, atol=1e-12)


def test_claims_reach_the_terms() -> None:
    graph = two_views((1.0,))
    one = torch.ones(1, 2, 1, dtype=torch.float64)
    traced = TracedTerms(SmallGraph(graph, 1), one, one, one, one, 0.5, 0.25, torch.tensor([0.125]))
    assert (traced.L, traced.epsilon, float(traced.lam)) == (0.5, 0.25, 0.125)
    with pytest.raises(AttributeError, match="no term 'nonsense' with a gradient"):
        _ = traced.nonsense
