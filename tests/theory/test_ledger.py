"""The ledger: verdicts as they should be, planted violations that it must see, and inputs that it must refuse."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View
from maskgraph.theory import bounds, losses, risk
from maskgraph.theory.check import Check, at_least, at_most
from maskgraph.theory.ledger import Outputs, ledger
from maskgraph.theory.lipschitz import one_sided_lipschitz
from tests.strategies import FIXED_WORLDS, VIEWS, searched
from tests.theory.toys import VALUED_WORLDS, Array, Case, all_alike, cases, features, joint_graph, two_states

STATEMENTS = ["Thm 3.4", "Thm 3.6", "Thm 4.1", "Thm 4.2"]

ROUNDING = 1e-10
"""The measured sides are sums of at most 10³ terms of size at most 10³."""


def mean_output(graph: MaskGraph) -> Array:
    """What a constant encoder's best decoder says: E x2, or E[x2|m] where it knows the mask."""
    if graph.view != "positional":
        return np.tile(graph.p2 @ graph.X2, (len(graph.p1), 1))
    mask = graph.representatives1[1]
    weights = graph.images.weights
    means = np.stack([weights @ graph.X2[graph.ids2[:, m]] for m in range(graph.ids2.shape[1])])
    return np.asarray(means[mask])


def a_model(graph: MaskGraph, seed: int = 0) -> Outputs:
    """A model that meets every assumption."""
    rng = np.random.default_rng(seed)
    f = rng.standard_normal((len(graph.p1), 3))
    h = risk.conditional_mean(graph) + 0.1 * rng.standard_normal((len(graph.p1), graph.X2.shape[1]))
    return Outputs(h, f, mean_output(graph), 0.0)


def with_array(model: Outputs, name: str, array: Array) -> Outputs:
    """The model with one of its arrays replaced."""
    arrays = {"h": model.h, "f": model.f, "collapsed": model.collapsed, name: array}
    return Outputs(arrays["h"], arrays["f"], arrays["collapsed"], model.epsilon)


def by_statement(checks: list[Check]) -> dict[str, Check]:
    assert [check.statement for check in checks] == STATEMENTS
    return {check.statement: check for check in checks}


@searched(25)
@given(cases(hop="target"))
def test_nothing_is_violated(case: Case) -> None:
    graph, rng = case.graph, case.rng
    d = graph.X2.shape[1]
    for _, f in features(case.A, 2, rng):
        for h in (rng.standard_normal((len(f), d)), f @ rng.standard_normal((2, d)), risk.conditional_mean(graph)):
            for check in ledger(graph, Outputs(h, f, mean_output(graph), 0.0)):
                assert check.verdict != "violated", check
                if check.verdict != "assumption not met":
                    assert check.slack >= -check.tolerance
                assert 0 < check.tolerance < 1e-9 * max(1.0, check.lhs, check.rhs if check.rhs == check.rhs else 0)


@searched(25)
@given(cases(hop="target"))
def test_the_sides_are_what_they_say(case: Case) -> None:
    graph, A = case.graph, case.A
    model = a_model(graph, case.seed)
    found = by_statement(ledger(graph, replace(model, epsilon=0.125)))
    f = losses.normalise(model.f)
    mae = losses.mae_loss(graph, model.h)
    assert found["Thm 3.4"].lhs == mae
    half = losses.pair_distance(A, model.h) / 4
    assert found["Thm 3.4"].rhs == pytest.approx(half - 0.125, abs=ROUNDING)
    assert found["Thm 3.6"].lhs == pytest.approx(found["Thm 3.6"].rhs, abs=ROUNDING)
    L = one_sided_lipschitz(A, f, model.h)
    if 0 < L < math.inf:
        last = found["Thm 4.2"]
        assert last.lhs == pytest.approx(mae + losses.unif_loss(graph, f) / (4 * L), rel=ROUNDING)
        assert last.rhs == bounds.thm_4_2(last.terms["head_sq"], L, 0.125)
    for check in found.values():
        assert json.loads(json.dumps(check.as_dict()))["statement"] == check.statement


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", VALUED_WORLDS)
def test_fixed_worlds(name: str, view: View) -> None:
    world = VALUED_WORLDS[name]
    for kept in range(1, world.patches):
        graph = world.graph(kept, view)
        assert all(check.verdict != "violated" for check in ledger(graph, a_model(graph)))


def test_vacuous_and_holding() -> None:
    graph, _ = two_states(0.2)
    model = Outputs(graph.X2 / 0.6, np.array([[1.0, 0.0], [0.5, 0.75**0.5]]), np.zeros((2, 1)), 0.0)
    found = by_statement(ledger(graph, model))
    assert [found[name].verdict for name in STATEMENTS] == ["holds", "holds", "vacuous", "holds"]
    assert found["Thm 4.1"].rhs >= 1
    generous = by_statement(ledger(graph, replace(model, epsilon=10.0)))
    assert [generous[name].verdict for name in STATEMENTS] == ["vacuous", "holds", "vacuous", "vacuous"]


def test_thm_4_1_can_say_something() -> None:
    # Two separate classes, and features that are the spectral embedding: no error, and the bound knows it.
    graph = joint_graph(np.eye(2), np.eye(2), np.array([[0, 0], [1, 1]]))
    found = by_statement(ledger(graph, Outputs(np.eye(2), np.eye(2), np.full((2, 2), 0.5), 0.0)))
    check = found["Thm 4.1"]
    # ‖A − FFᵀ‖² = ‖I − I/2‖² = ½ and p_max = ½.
    assert check.rhs == pytest.approx(2)
    assert (check.lhs, check.verdict) == (0, "vacuous")
    alike = all_alike()
    found = by_statement(ledger(alike, Outputs(alike.X2, np.ones((1, 1)), alike.X2, 0.0)))
    assert found["Thm 4.1"].terms["alpha"] > 0


@pytest.mark.parametrize(
    ("name", "factor"), [("thm_3_4", 5.0), ("thm_3_6", 1.001), ("thm_4_1", -1.0), ("thm_4_2", 100.0)]
)
def test_a_planted_violation_is_seen(name: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, _ = two_states(0.2)
    model = Outputs(graph.X2 / 0.6, np.array([[1.0, 0.0], [0.5, 0.75**0.5]]), np.zeros((2, 1)), 0.0)
    original = getattr(bounds, name)
    monkeypatch.setattr(bounds, name, lambda *arguments: factor * original(*arguments))
    verdicts = {check.statement: check.verdict for check in ledger(graph, model)}
    planted = f"Thm {name[4]}.{name[6]}"
    assert verdicts[planted] == "violated"
    assert [statement for statement, verdict in verdicts.items() if verdict == "violated"] == [planted]


def test_a_falsified_epsilon_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    # ε enters with its sign: an ε that is added in place of subtracted breaks the bounds, and the ledger says so.
    graph = all_alike()
    model = Outputs(graph.X2, np.ones((1, 1)), graph.X2, 0.25)
    original = bounds.thm_3_4
    monkeypatch.setattr(bounds, "thm_3_4", lambda align, energy, epsilon: original(align, energy, -epsilon))
    assert by_statement(ledger(graph, model))["Thm 3.4"].verdict == "violated"


def test_a_collapsed_model_that_is_not_constant_is_no_violation() -> None:
    # The theorem is about a constant encoder: outputs that follow the view are not one.
    graph = joint_graph(np.eye(3), np.arange(3.0)[:, None])
    model = Outputs(graph.X2, np.eye(3), graph.X2, 0.0)
    assert by_statement(ledger(graph, model))["Thm 3.6"].verdict == "assumption not met"


def test_assumption_of_thm_4_2() -> None:
    graph, _ = two_states(0.2)
    stuck = Outputs(np.ones((2, 1)), np.eye(2), np.zeros((2, 1)), 0.0)
    check = by_statement(ledger(graph, stuck))["Thm 4.2"]
    assert (check.verdict, check.note) == ("assumption not met", "L = inf: equal outputs where features differ")
    assert check.terms["lipschitz"] == math.inf
    alike = Outputs(graph.X2, np.ones((2, 2)), np.zeros((2, 1)), 0.0)
    check = by_statement(ledger(graph, alike))["Thm 4.2"]
    assert (check.verdict, check.note) == ("assumption not met", "L = 0.0: no positive pair whose features differ")


@pytest.mark.parametrize("spread", [1e-4, 1e-6, 1e-8, 1e-9, 1e-10])
def test_nearly_collapsed_features_violate_nothing(spread: float) -> None:
    # L is spread² here, so both sides are of size 1/spread² and their rounding with them.
    graph = joint_graph(np.ones((3, 3)), np.arange(3.0)[:, None])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        f = 1 + spread * rng.standard_normal((3, 2))
        model = Outputs(1 + rng.standard_normal((3, 1)), f, np.ones((3, 1)), 0.0)
        assert by_statement(ledger(graph, model))["Thm 4.2"].verdict != "violated"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_a_feature_does_not_matter(scale: float) -> None:
    graph, _ = two_states(0.3)
    model = a_model(graph)
    one, other = ledger(graph, model), ledger(graph, replace(model, f=scale * model.f))
    for a, b in zip(one, other, strict=True):
        assert a.verdict == b.verdict
        assert [a.lhs, a.rhs] == pytest.approx([b.lhs, b.rhs])


def test_more_dimensions_than_views() -> None:
    graph, _ = two_states(0.3)
    rng = np.random.default_rng(0)
    model = Outputs(rng.standard_normal((2, 1)), rng.standard_normal((2, 50)), np.zeros((2, 1)), 0.0)
    assert all(check.verdict != "violated" for check in ledger(graph, model))


@pytest.mark.parametrize("name", ["h", "f", "collapsed"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite(name: str, bad: float) -> None:
    graph, _ = two_states(0.3)
    model = a_model(graph)
    broken = getattr(model, name).copy()
    broken[1, 0] = bad
    with pytest.raises(InputError, match=f"^{name} has shape .*expected a finite"):
        ledger(graph, with_array(model, name, broken))


@pytest.mark.parametrize("name", ["h", "f", "collapsed"])
@pytest.mark.parametrize("shape", [(3, 1), (2,), (2, 2, 1), ()])
def test_shapes_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    graph, _ = two_states(0.3)
    with pytest.raises(InputError, match=f"^{name} has shape"):
        ledger(graph, with_array(a_model(graph), name, np.ones(shape)))


def test_a_zero_feature() -> None:
    graph, _ = two_states(0.3)
    with pytest.raises(InputError, match="the feature of view 1 has norm 0 and cannot be normalised"):
        ledger(graph, replace(a_model(graph), f=np.array([[1.0, 0.0], [0.0, 0.0]])))
    with pytest.raises(InputError, match="the feature of view 0 has norm inf"):
        losses.normalise(np.array([[math.inf, 0.0]]))


@pytest.mark.parametrize("epsilon", [math.nan, -0.5, math.inf])
def test_an_epsilon_that_is_none(epsilon: float) -> None:
    graph, _ = two_states(0.3)
    with pytest.raises(InputError, match="epsilon"):
        ledger(graph, replace(a_model(graph), epsilon=epsilon))


def test_codes_without_values() -> None:
    graph = FIXED_WORLDS["one class"].graph(2, "bag")
    ones = np.ones((len(graph.p1), 2))
    with pytest.raises(InputError, match="codes but no patch values"):
        ledger(graph, Outputs(ones, ones, ones, 0.0))


@pytest.mark.parametrize(
    ("lhs", "rhs", "verdict"),
    [
        (2.0, 1.0, "holds"),
        (1.0, 1.05, "holds"),
        (1.0, 1.2, "violated"),
        (1.0, 0.0, "vacuous"),
        (math.nan, 1.0, "violated"),
        (1.0, math.nan, "violated"),
    ],
)
def test_verdicts_of_a_lower_bound(lhs: float, rhs: float, verdict: str) -> None:
    check = at_least("S", "lhs >= rhs", lhs, rhs, trivial=0.0, tolerance=0.1, terms={"lhs": lhs})
    assert check.verdict == verdict
    assert check.slack == pytest.approx(lhs - rhs, nan_ok=True)
    assert check.as_dict()["terms"] == {"lhs": lhs}


@pytest.mark.parametrize(
    ("lhs", "rhs", "verdict"),
    [
        (0.2, 0.5, "holds"),
        (0.5, 0.45, "holds"),
        (0.5, 0.2, "violated"),
        (0.5, 1.0, "vacuous"),
        (math.nan, 0.5, "violated"),
        (0.5, math.nan, "violated"),
    ],
)
def test_verdicts_of_an_upper_bound(lhs: float, rhs: float, verdict: str) -> None:
    check = at_most("S", "lhs <= rhs", lhs, rhs, trivial=1.0, tolerance=0.1, terms={})
    assert check.verdict == verdict
    assert check.slack == pytest.approx(rhs - lhs, nan_ok=True)
