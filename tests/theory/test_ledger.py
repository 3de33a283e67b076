"""The ledger: every side against plain loops, verdicts as they should be, planted violations, and broken inputs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set, mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture, joint_graph
from maskgraph.graphs.views import View
from maskgraph.theory import bounds, risk, terms_graph
from maskgraph.theory.check import Check, verdict_of
from maskgraph.theory.ledger import ledger
from maskgraph.theory.outputs import Outputs, with_unit_features
from maskgraph.theory.solver.frobenius import frobenius_norm_sq
from maskgraph.theory.statements import STATEMENTS, statement
from maskgraph.theory.terms import Terms
from tests.strategies import FIXED_WORLDS, VIEWS, searched
from tests.theory.both_sides import Model, sides
from tests.theory.toys import VALUED_WORLDS, Array, Case, all_alike, cases, dense, features, together, two_states

NUMBERS = [known.number for known in STATEMENTS]
LOSS = {"I1", "I2", "I3", "Thm 3.2", "Thm 3.4", "Thm 3.4 unit", "S1", "Thm 3.6", "S4", "S3"}
BOTH = {"Thm 4.1 loss", "Thm 4.2", "Thm 4.2 any lambda", "S2"}
FEATURE = {"I4", "U", "Thm 4.1 mean square", "Thm 4.1", "Embedding"}


def mean_output(graph: MaskGraph) -> Array:
    """What a constant encoder's best decoder says: E x2, or E[x2|m] where it knows the mask."""
    if graph.view != "positional":
        return np.tile(graph.p2 @ graph.X2, (len(graph.p1), 1))
    mask = graph.representatives1[1]
    weights = graph.images.weights
    means = np.stack([weights @ graph.X2[graph.ids2[:, m]] for m in range(graph.ids2.shape[1])])
    return np.asarray(means[mask])


def a_model(graph: MaskGraph, seed: int = 0, k: int = 3) -> Outputs:
    """A model that meets every assumption but those on the norm, the rank and the constancy of its outputs."""
    rng = np.random.default_rng(seed)
    d = graph.X2.shape[1]
    return Outputs(
        f=rng.standard_normal((len(graph.p1), k)),
        h=risk.conditional_mean(graph) + 0.1 * rng.standard_normal((len(graph.p1), d)),
        pseudo=graph.X2 + 0.1 * rng.standard_normal(graph.X2.shape),
        collapsed=mean_output(graph),
    )


def a_holding_case() -> tuple[MaskGraph, Outputs]:
    """Two states, on which nearly every bound says something."""
    graph, _ = two_states(0.2)
    f = np.array([[1.0, 0.0], [0.5, 0.75**0.5]])
    return graph, Outputs(f, graph.X2 / 0.6, graph.X2, np.zeros((2, 1)))


def with_part(outputs: Outputs, name: str, value: Any) -> Outputs:
    return replace(outputs, **{name: value})


def held(number: str, graph: MaskGraph, outputs: Outputs) -> Check:
    """One statement, the feature taken as it is."""
    return statement(number).measure(Terms(graph, outputs))


def by_number(checks: list[Check]) -> dict[str, Check]:
    assert [check.statement for check in checks] == NUMBERS
    return {check.statement: check for check in checks}


@searched(25)
@given(cases(hop="target"))
def test_nothing_is_violated(case: Case) -> None:
    graph, rng = case.graph, case.rng
    d = graph.X2.shape[1]
    for _, f in features(case.A, 2, rng):
        for h in (rng.standard_normal((len(f), d)), f @ rng.standard_normal((2, d)), risk.conditional_mean(graph)):
            for check in ledger(graph, Outputs(f, h, rng.standard_normal(graph.X2.shape), mean_output(graph))):
                assert check.verdict != "violated", check
                if check.verdict != "assumption not met":
                    assert check.tolerance >= 0
                    size = max([1.0, *(abs(step.value) for step in check.steps)])
                    assert check.tolerance < 1e-8 * size, check


@searched(25)
@given(cases(hop="target"))
def test_both_sides_are_those_of_plain_loops(case: Case) -> None:
    graph = case.graph
    outputs = with_unit_features(a_model(graph, case.seed, k=2))
    assert outputs.f is not None
    values, vectors = np.linalg.eigh(dense(case.A))
    values, vectors = values[::-1], vectors[:, ::-1]
    k = min(2, len(values))
    top = vectors[:, :k][:, values[:k] > 1e-9]
    Y = (
        np.sqrt(graph.p1)[:, None]
        * np.eye(len(graph.images.classes))[np.argmax(graph.class_mass1.toarray() * (1 + 1e-12), axis=1)]
    )
    error = float(((Y - top @ (top.T @ Y)) ** 2).sum())
    parts = (outputs.f, outputs.h, outputs.pseudo, outputs.collapsed)
    model = Model(*(part.tolist() for part in parts if part is not None))
    wanted = sides(graph, model, [float(v) for v in values], error, False, graph.X2.tolist())
    degenerate = len(values) > k and values[k - 1] - values[k] < 1e-6
    tied = np.sort(graph.class_mass1.toarray(), axis=1)[:, -2:] if graph.class_mass1.shape[1] > 1 else None
    for number, check in by_number(ledger(graph, outputs)).items():
        if number not in wanted or not check.steps:
            continue
        if number == "Embedding" and (degenerate or (tied is not None and (np.ptp(tied, axis=1) < 1e-9).any())):
            continue
        lhs, rhs = wanted[number]
        # Rounding of both ways of summing, and of eigenvalues and their gap, in units of the statement's own size.
        close = 1e-7 * max(1.0, *(abs(step.value) for step in check.steps))
        assert check.lhs == pytest.approx(lhs, abs=close), number
        assert check.rhs == pytest.approx(rhs, abs=close), number


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", VALUED_WORLDS)
def test_fixed_worlds(name: str, view: View) -> None:
    world = VALUED_WORLDS[name]
    for kept in range(1, world.patches):
        graph = world.graph(kept, view)
        assert all(check.verdict != "violated" for check in ledger(graph, a_model(graph)))


def test_steps_add_up_to_the_slack_and_end_at_the_sides() -> None:
    graph, outputs = a_holding_case()
    for check in ledger(graph, outputs):
        if check.steps:
            assert (check.steps[0].value, check.steps[-1].value) == (check.lhs, check.rhs)
        assert json.loads(json.dumps(check.as_dict()))["statement"] == check.statement


def test_verdicts_of_a_case_where_bounds_say_something() -> None:
    graph, outputs = a_holding_case()
    found = {number: check.verdict for number, check in by_number(ledger(graph, outputs)).items()}
    assert {number for number, verdict in found.items() if verdict == "tight"} >= {"I1", "I2", "I3", "I4", "I5"}
    # h = x2/0.6 has E[h|x2] = x2, so that S1 is an equality; the constant 0 is the mean.
    assert (found["S1"], found["Thm 3.6"], found["S4"]) == ("tight", "tight", "tight")
    assert (found["Thm 3.2"], found["Thm 3.4"], found["Thm 4.2"], found["S2"]) == ("holds", "holds", "holds", "holds")
    assert (found["S3"], found["Thm 4.1"], found["Thm 3.4 unit"]) == ("vacuous", "vacuous", "assumption not met")
    generous = by_number(ledger(graph, replace(outputs, epsilon=10.0)))
    assert {generous[number].verdict for number in ("Thm 3.2", "Thm 3.4", "Thm 4.2")} == {"vacuous"}


def test_thm_4_1_is_an_equality_where_every_view_of_half_an_image_misleads() -> None:
    # A = FF' with three components. Image 1, of class 1, shares one of its two views with image 0: a tie, lost to 0.
    graph = mislead()
    f = np.diag(1 / np.sqrt(graph.p1))[:, : len(graph.p1)]
    check = held("Thm 4.1", graph, Outputs(f=f))
    assert check.verdict == "tight"
    assert check.lhs == pytest.approx(2 * check.terms["alpha"])
    assert check.lhs > 0


def mislead() -> MaskGraph:
    """Under one mask both images show the same; under the other each has a view and a target of its own."""
    codes, labels = np.array([[0, 0, 0], [0, 1, 1]]), np.array([0, 1])
    images = make_coded_images("mislead", codes, labels, np.array([0.7, 0.3]), np.arange(2.0)[:, None])
    return mask_graph(images, make_mask_set(np.array([[0], [1]]), 3), "positional")


PLANTED = [
    ("thm_3_2", lambda value: value + 2.0, {"Thm 3.2"}),
    ("thm_3_4", lambda value: 5 * value, {"Thm 3.4"}),
    ("thm_3_6", lambda value: 1.001 * value, {"Thm 3.6", "S4"}),
    ("thm_4_1", lambda value: -value, {"Thm 4.1", "Thm 4.1 loss"}),
    ("thm_4_1_mean_square", lambda value: -value, {"Thm 4.1 mean square"}),
    ("thm_4_1_from_loss", lambda value: -value, {"Thm 4.1 loss"}),
    ("phi_from_alpha", lambda value: value / 2, {"phi"}),
    ("thm_4_2", lambda value: value + 10.0, {"Thm 4.2"}),
    ("thm_4_2_any_lambda", lambda value: value + 10.0, {"Thm 4.2 any lambda"}),
    ("water_filling", lambda value: 5 * value, {"S2", "Thm 4.2", "Thm 4.2 any lambda"}),
    ("s1", lambda value: 1.001 * value, {"S1"}),
    ("uniformity_floor", lambda value: 5 * value, {"U"}),
    ("spectral_embedding_error", lambda value: -value - 0.1, {"Embedding"}),
]


@pytest.mark.parametrize(("name", "wrong", "numbers"), PLANTED)
def test_a_planted_violation_is_seen(
    name: str, wrong: Callable[[float], float], numbers: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, outputs = a_holding_case()
    original = getattr(bounds, name)
    monkeypatch.setattr(bounds, name, lambda *arguments: wrong(original(*arguments)))
    found = {check.statement for check in ledger(graph, outputs) if check.verdict == "violated"}
    assert found & numbers, found
    assert found <= numbers


def test_the_floors_of_both_losses_are_vacuous_from_what_uniformity_alone_gives() -> None:
    graph, outputs = a_holding_case()
    found = by_number(ledger(graph, outputs))
    for number in ("Thm 4.2", "Thm 4.2 any lambda", "S2"):
        assert found[number].trivial == bounds.trivial(found[number].terms["lam"], 2), number


def test_the_floors_take_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, outputs = a_holding_case()
    floor, passes, original = risk.rank_floor(graph, 2), iter(range(1)), risk._conditional_means
    monkeypatch.setattr(risk, "_conditional_means", lambda *arguments: (next(passes), original(*arguments))[1])
    assert by_number(ledger(graph, outputs))["S3"].rhs == floor
    assert next(passes, None) is None


def test_a_broken_step_is_a_violation_though_the_ends_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, outputs = a_holding_case()
    monkeypatch.setattr(Terms, "smoothing", 1e-3 + 1e3)
    found = by_number(ledger(graph, outputs))
    assert found["Thm 4.1"].verdict == "violated"
    assert found["Thm 4.1"].lhs <= found["Thm 4.1"].rhs
    assert "(1 - lambda)^2 <= 1 - lambda" in found["Thm 4.1"].note


def test_the_norm_of_i5_is_held_to_another_way_of_adding_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, outputs = a_holding_case()
    assert by_number(ledger(graph, outputs))["I5"].verdict == "tight"
    right = frobenius_norm_sq
    monkeypatch.setattr(terms_graph, "frobenius_norm_sq", lambda B: (1.001 * right(B)[0], 0.0))
    assert by_number(ledger(graph, outputs))["I5"].verdict == "violated"


def test_a_collapsed_model_that_is_not_constant_is_no_violation() -> None:
    graph = joint_graph(np.eye(3), np.arange(3.0)[:, None])
    found = by_number(ledger(graph, Outputs(np.eye(3), graph.X2, graph.X2, graph.X2)))
    assert found["Thm 3.6"].verdict == found["S4"].verdict == "assumption not met"
    assert "constant output by" in found["Thm 3.6"].note


def test_positions_move_a_model_from_thm_3_6_to_s4() -> None:
    world = FIXED_WORLDS["four classes"].graph(2, "positional")
    found = by_number(ledger(world, a_model(world)))
    assert (found["Thm 3.6"].verdict, found["S4"].verdict) == ("assumption not met", "tight")
    assert "see S4" in found["Thm 3.6"].note
    assert found["S4"].rhs < risk.target_variance(world)


def test_outputs_close_to_constant_are_allowed_for() -> None:
    """Noise within the limit of the assumption may pull the loss below the variance, by no more than the tolerance."""
    graph, _ = two_states(0.2)
    pull = 5e-7 * graph.X2
    check = held("Thm 3.6", graph, Outputs(collapsed=100.0 + pull))
    assert check.verdict != "violated"
    # 2 (Var E‖h‖²)^½ times how far the outputs are from their mean.
    assert check.tolerance == pytest.approx(2 * 100 * 5e-7 / 100, rel=0.1)


@pytest.mark.parametrize(("off", "met"), [(0.9e-6, True), (1.1e-6, False)])
def test_what_agrees_to_a_millionth_counts_as_equal(off: float, met: bool) -> None:
    """Constancy, with positions and without, and the rank of outputs, at any size of theirs."""
    graph, _ = two_states(0.2)
    for size in (1e-3, 1.0, 1e3):
        nearly = size * (1 + off * graph.X2)
        plane = size * np.array([[1.0, off], [1.0, -off]])
        wide = joint_graph(graph.M.toarray(), np.eye(2))
        for check in (
            held("Thm 3.6", graph, Outputs(collapsed=nearly)),
            held("S4", graph, Outputs(collapsed=nearly)),
            held("S3", wide, Outputs(f=np.ones((2, 1)), h=plane)),
        ):
            (one,) = check.assumptions
            assert one.value == pytest.approx(off, rel=1e-3)
            assert one.met is met
            assert (check.verdict == "assumption not met") is not met


@pytest.mark.parametrize(("off", "met"), [(1e-15, True), (1e-12, False)])
def test_a_norm_that_is_not_1_by_more_than_rounding_is_seen(off: float, met: bool) -> None:
    graph, outputs = a_holding_case()
    assert outputs.f is not None
    assert (held("S2", graph, replace(outputs, f=(1 + off) * outputs.f)).verdict == "holds") is met


def test_how_far_a_model_is_from_the_printed_lipschitz_condition() -> None:
    """Outputs 4 times as far apart as features, squared 16: the left half has L = 1/16 and both L = 16."""
    graph, outputs = a_holding_case()
    assert outputs.f is not None
    apart = 2 * float(np.linalg.norm(outputs.f[0] - outputs.f[1]))
    check = held("Thm 4.2", graph, replace(outputs, h=apart * np.array([[1.0], [-1.0]])))
    (one,) = (one for one in check.assumptions if one.name == "bi-Lipschitz everywhere")
    assert check.terms["L"] == pytest.approx(1 / 16)
    assert one.value == pytest.approx(16 * 16 - 1)
    assert not one.met
    assert check.verdict != "assumption not met", "it is not needed"


def test_no_lipschitz_constant() -> None:
    graph, _ = two_states(0.2)
    stuck = by_number(ledger(graph, Outputs(np.eye(2), np.ones((2, 1)))))["Thm 4.2"]
    assert stuck.verdict == "assumption not met"
    assert "L = inf: a positive pair has equal outputs and different features" in stuck.note
    alike = by_number(ledger(graph, Outputs(np.ones((2, 2)), graph.X2)))["Thm 4.2"]
    assert alike.verdict == "assumption not met"
    assert "L = 0: no positive pair has different features" in alike.note
    named = by_number(ledger(graph, Outputs(np.ones((2, 2)), graph.X2, lipschitz=0.5)))["Thm 4.2"]
    assert named.terms["L"] == 0.5
    assert named.verdict in ("holds", "vacuous")


def test_claims_are_held_to_what_is_measured() -> None:
    graph, outputs = a_holding_case()
    small = by_number(ledger(graph, replace(outputs, lipschitz=1e-3)))
    assert {small[number].verdict for number in BOTH} == {"assumption not met"}
    assert "L on positive pairs by" in small["S2"].note
    wrong = by_number(ledger(graph, replace(outputs, pseudo=5 * graph.X2, epsilon=0.0)))
    assert wrong["Thm 3.2"].verdict == "assumption not met"
    # All of E‖5x2 − x2‖² = 16 is left out.
    assert next(one for one in wrong["Thm 3.2"].assumptions).value == pytest.approx(1)
    assert wrong["Thm 3.4"].verdict == "holds", "Assumption 3.1 is not needed there"
    other = by_number(ledger(graph, replace(outputs, lam=0.01)))
    assert other["Thm 4.2"].verdict == "assumption not met"
    assert "lambda >= 1/(4L) by" in other["Thm 4.2"].note
    assert other["Thm 4.2 any lambda"].terms["lam"] == 0.01
    assert other["S2"].verdict == "holds"


def test_an_epsilon_is_claimed_without_a_pseudo_inverse() -> None:
    graph, outputs = a_holding_case()
    claimed = by_number(ledger(graph, replace(outputs, pseudo=None, epsilon=0.0625)))
    plain = by_number(ledger(graph, replace(outputs, pseudo=None)))
    for number in ("Thm 3.4", "Thm 4.2", "Thm 4.2 any lambda"):
        assert claimed[number].verdict == "holds"
        assert claimed[number].rhs == pytest.approx(plain[number].rhs - 0.0625)


def test_parts_that_are_missing_cost_only_what_needs_them() -> None:
    graph, outputs = a_holding_case()
    no_f = by_number(ledger(graph, replace(outputs, f=None)))
    unmet = {number for number, check in no_f.items() if "gives no f" in check.note}
    assert unmet == FEATURE | BOTH | {"S3"}
    no_h = by_number(ledger(graph, Outputs(f=outputs.f)))
    assert {number for number, check in no_h.items() if "gives no h" in check.note} == (LOSS | BOTH) - {"Thm 3.2"} | {
        "Thm 3.2"
    }
    no_pseudo = by_number(ledger(graph, replace(outputs, pseudo=None)))
    assert {number for number, check in no_pseudo.items() if "gives no pseudo" in check.note} == {"Thm 3.2"}
    assert no_pseudo["Thm 4.2"].terms["epsilon"] == 0


def test_a_disconnected_graph_and_its_missing_gap() -> None:
    graph = joint_graph(np.eye(3), np.arange(3.0)[:, None])
    outputs = Outputs(np.eye(3)[:, :2] + 0.1, graph.X2, graph.X2, np.ones((3, 1)))
    found = by_number(ledger(graph, outputs))
    assert found["Embedding"].verdict == "assumption not met"
    assert "the graph has 3 components and k = 2" in found["Embedding"].note
    assert "take k at least the number of components" in found["Embedding"].note
    assert found["U"].verdict == "holds"
    enough = by_number(ledger(graph, replace(outputs, f=np.eye(3))))
    assert enough["Embedding"].verdict in ("holds", "tight")


def test_a_graph_with_an_empty_side() -> None:
    graph, outputs = a_holding_case()
    empty = replace(graph, M=graph.M[:, :0])
    found = by_number(ledger(empty, Outputs(outputs.f, outputs.h)))
    assert {check.verdict for check in found.values()} == {"assumption not met"}
    assert all("visible and 0 target views" in check.note for check in found.values())


@pytest.mark.parametrize("spread", [1e-4, 1e-6, 1e-8, 1e-9, 1e-10])
def test_nearly_collapsed_features_violate_nothing(spread: float) -> None:
    # L is spread² here, so both sides are of size 1/spread² and their rounding with them.
    graph = joint_graph(np.ones((3, 3)), np.arange(3.0)[:, None])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        f = 1 + spread * rng.standard_normal((3, 2))
        outputs = Outputs(f, 1 + rng.standard_normal((3, 1)), collapsed=np.ones((3, 1)))
        assert all(check.verdict != "violated" for check in ledger(graph, outputs))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_a_feature_does_not_matter(scale: float) -> None:
    graph, _ = two_states(0.3)
    outputs = a_model(graph)
    assert outputs.f is not None
    for a, b in zip(ledger(graph, outputs), ledger(graph, replace(outputs, f=scale * outputs.f)), strict=True):
        assert a.verdict == b.verdict
        assert [a.lhs, a.rhs] == pytest.approx([b.lhs, b.rhs], nan_ok=True)


def test_a_check_takes_the_feature_as_it_is() -> None:
    graph, outputs = a_holding_case()
    assert outputs.f is not None
    longer = replace(outputs, f=2 * outputs.f)
    check = held("S2", graph, longer)
    assert check.verdict == "assumption not met"
    assert check.assumptions[0].value == pytest.approx(1)
    assert held("S2", graph, outputs).verdict == "holds"


def test_more_dimensions_than_views() -> None:
    graph, _ = two_states(0.3)
    rng = np.random.default_rng(0)
    outputs = Outputs(rng.standard_normal((2, 50)), rng.standard_normal((2, 1)))
    assert all(check.verdict != "violated" for check in ledger(graph, outputs))


@pytest.mark.parametrize(("name", "hit"), [("h", LOSS | BOTH), ("f", FEATURE | BOTH | {"S3"}), ("pseudo", {"Thm 3.2"})])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_cost_the_rows_that_need_them(name: str, hit: set[str], bad: float) -> None:
    graph, outputs = a_holding_case()
    broken = getattr(outputs, name).copy()
    broken[1, 0] = bad
    found = by_number(ledger(graph, with_part(outputs, name, broken)))
    named = {number for number, check in found.items() if f"{name} has {bad} at view 1" in check.note}
    assert named >= hit - {"Thm 3.6", "S4"}
    assert all(found[number].verdict == "assumption not met" for number in named)
    assert found["phi"].verdict in ("holds", "vacuous")


@pytest.mark.parametrize("name", ["h", "f", "collapsed", "pseudo"])
@pytest.mark.parametrize("shape", [(3, 1), (2,), (2, 2, 1), (2, 0), ()])
def test_shapes_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    graph, outputs = a_holding_case()
    found = ledger(graph, with_part(outputs, name, np.ones(shape)))
    notes = [check.note for check in found if check.verdict == "assumption not met"]
    assert any(f"{name} has shape {shape}; expected a finite (2, " in note for note in notes)
    assert any(check.verdict == "tight" for check in found), "the other rows are still there"


@pytest.mark.parametrize("name", ["h", "collapsed", "pseudo"])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_outputs_of_another_width_than_targets(name: str, width: int) -> None:
    """A single value is not repeated to three."""
    graph = joint_graph(np.array([[3.0, 1.0], [1.0, 3.0]]), np.ones((2, 3)))
    whole = Outputs(np.eye(2), np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)))
    hit = {"h": "I1", "collapsed": "Thm 3.6", "pseudo": "Thm 3.2"}[name]
    assert by_number(ledger(graph, whole))[hit].verdict != "assumption not met"
    found = by_number(ledger(graph, with_part(whole, name, np.ones((2, width)))))
    assert f"{name} has shape (2, {width}); expected a finite (2, 3) array" in found[hit].note
    assert found["U"].verdict == "tight"


def test_a_zero_feature() -> None:
    graph, outputs = a_holding_case()
    found = by_number(ledger(graph, replace(outputs, f=np.array([[1.0, 0.0], [0.0, 0.0]]))))
    for number in ("U", *BOTH):
        assert found[number].verdict == "assumption not met"
        assert "unit-norm f by 1" in found[number].note
    assert found["Thm 4.1"].verdict in ("holds", "vacuous"), "it is about every f"
    dead = by_number(ledger(graph, replace(outputs, f=np.zeros((2, 2)))))
    assert dead["I4"].verdict == "tight"


@pytest.mark.parametrize(
    ("name", "value"), [("epsilon", math.nan), ("epsilon", -0.5), ("lipschitz", 0.0), ("lam", -1.0)]
)
def test_numbers_that_are_none(name: str, value: float) -> None:
    graph, outputs = a_holding_case()
    check = by_number(ledger(graph, with_part(outputs, name, value)))["Thm 4.2"]
    assert check.verdict == "assumption not met"
    assert f"{name} is {value:g}; expected a" in check.note


def test_codes_without_values() -> None:
    graph = FIXED_WORLDS["one class"].graph(2, "bag")
    ones = np.ones((len(graph.p1), 2))
    found = by_number(ledger(graph, Outputs(ones, ones, ones, ones)))
    assert {number for number, check in found.items() if "no patch values" in check.note} >= LOSS | BOTH
    assert found["U"].verdict == "tight" or found["U"].verdict == "holds"


def test_statements_have_numbers_of_their_own() -> None:
    assert len(set(NUMBERS)) == len(NUMBERS)
    assert all(statement(number).number == number for number in NUMBERS)
    with pytest.raises(InputError, match=r"unknown statement 'Thm 9'; did you mean Thm 3.2, .* expected one of I1, I2"):
        statement("Thm 9")


@pytest.mark.parametrize("targets", [2_000, 100_000])
def test_long_sums_of_equal_terms_violate_nothing(targets: int) -> None:
    # A sparse product adds up a row one entry after the other, and equal terms are rounded the same way.
    graph = joint_graph(np.ones((2, targets)), np.where(np.arange(targets) % 2, 1.0, -1.0)[:, None])
    for seed in range(3):
        model = with_unit_features(a_model(graph, seed))
        assert [check.statement for check in ledger(graph, model) if check.verdict == "violated"] == []


@pytest.mark.parametrize(
    ("patches", "ratio", "view"),
    [(10, 0.5, "bag"), (12, 0.75, "bag"), (12, 0.75, "positional"), (12, 1 / 12, "sequence"), (12, 0.25, "positional")],
)
@pytest.mark.parametrize("value", [0.1, 7.3])
def test_a_constant_that_is_reproduced_exactly_violates_nothing(
    patches: int, ratio: float, view: View, value: float
) -> None:
    """Every patch has one value and the model says it: no loss at all, and no floor may be above 0 by rounding."""
    images = replace(class_mixture(patches, 0.3), codebook=np.full((2, 1), value))
    graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, ratio), 20), view)
    h = np.full((len(graph.p1), graph.X2.shape[1]), value)
    f = np.random.default_rng(0).standard_normal((len(h), 2))
    terms = Terms(graph, with_unit_features(Outputs(f, h, graph.X2)))
    for number in ("I1", "I2", "S1", "Thm 3.4", "Thm 3.6", "S4", "S3"):
        assert statement(number).measure(terms).verdict in ("vacuous", "tight"), number
    for loss in (terms.variance, terms.bayes, terms.half_pair_h):
        assert loss <= (1e-12 * value) ** 2 * graph.X2.shape[1]


def test_one_target_of_many_views_that_is_reproduced_exactly_violates_nothing() -> None:
    # The mean of a thousand equal outputs is off by what a column of equal masses adds up to.
    graph = joint_graph(np.ones((1000, 1)), [[0.1]])
    f = np.random.default_rng(0).standard_normal((1000, 2))
    checks = ledger(graph, Outputs(f, np.full((1000, 1), 0.1), lipschitz=1e12))
    assert not [check for check in checks if check.verdict == "violated"]


def test_masses_that_many_places_add_up_to_violate_nothing() -> None:
    """Half a million places on a few dozen edges: added up one after the other they miss 1 by 1e-13 and more."""
    images = class_mixture(10, 0.3, images=2600)
    exact = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.5), 200), "bag")
    place = np.full(exact.ids1.size, 1 / exact.ids1.size)
    graph = replace(exact, M=sp.csr_array((place, (exact.ids1.ravel(), exact.ids2.ravel())), shape=exact.M.shape))
    assert abs(math.fsum(graph.p1) - 1) > 1e-13
    for seed in range(3):
        model = with_unit_features(a_model(graph, seed))
        assert not [check for check in ledger(graph, model) if check.verdict == "violated"]


def test_masses_of_many_targets_violate_nothing() -> None:
    images = class_mixture(12, 0.49, images=450, seed=1)
    masks = mask_set(mask_distribution("uniform", images.grid, 0.8), 40, seed=1)
    graph = replace(mask_graph(images, masks), targets=np.array([[-1.0], [1.0]]))
    terms = Terms(graph, Outputs(h=risk.conditional_mean(graph)))
    assert statement("I2").measure(terms).verdict == "tight"
    # Every target is a corner of the cube.
    assert abs(terms.target_energy - graph.X2.shape[1]) < 1e-14 * graph.X2.shape[1]


def test_all_views_in_the_embedding_leave_nothing() -> None:
    # At k = N1 the top eigenvectors span everything, those of eigenvalue 0 too.
    graph = joint_graph(np.ones((2, 2)), np.array([[1.0], [-1.0]]), np.array([[0, 0], [1, 1]]))
    check = statement("Embedding").measure(Terms(graph, Outputs(f=np.eye(2), h=np.zeros((2, 1)))))
    assert check.lhs == 0
    assert check.verdict == "holds"


def test_eigenvectors_of_eigenvalue_0_are_in_no_embedding() -> None:
    """They are arbitrary: of a rank-1 graph the constant alone is read, at any k below N1, and errs by the variance."""
    graph = joint_graph(np.ones((4, 4)), labels=[[0], [1], [1], [1]])
    for k in (1, 2, 3):
        check = held("Embedding", graph, Outputs(f=np.eye(4)[:, :k]))
        assert check.lhs == pytest.approx(2 * 0.25 * 0.75)
        assert check.verdict == "tight"


def test_one_view_one_target() -> None:
    graph = all_alike()
    found = by_number(ledger(graph, Outputs(np.ones((1, 1)), graph.X2, graph.X2, graph.X2, lipschitz=0.25)))
    assert found["Thm 4.2"].lhs == pytest.approx(1.0)
    assert found["Thm 4.2"].rhs == pytest.approx(1.0)
    assert not [check for check in found.values() if check.verdict == "violated"]


@pytest.mark.parametrize("L", [0.25, 4.0])
@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("Thm 4.2", "head"),
        ("Thm 4.2 any lambda", "head"),
        ("Thm 4.2", "value"),
        ("Thm 4.2 any lambda", "value"),
        ("S2", "value"),
    ],
)
def test_what_a_solver_may_have_missed_violates_nothing(number: str, name: str, L: float) -> None:
    """At equality a head or a value that was found 1e-3 too small puts a right side above its left."""
    graph, missed = all_alike(), 1e-3

    def verdict(error: float) -> str:
        terms = Terms(graph, Outputs(np.ones((1, 1)), graph.X2, graph.X2, lipschitz=L))
        terms.head_sq = 1 - missed * (name == "head")
        terms.values = np.array([1 - missed * (name == "value")])
        terms.head_error, terms.value_error = error * (name == "head"), error * (name == "value")
        return statement(number).measure(terms).verdict

    assert verdict(0.0) == "violated"
    assert verdict(0.99 * missed) == "violated"
    assert verdict(missed) != "violated"


def test_what_may_have_been_missed_is_what_the_intervals_leave_open() -> None:
    graph = all_alike()
    terms = Terms(graph, Outputs(np.ones((1, 1))))
    terms._spectrum = replace(terms._spectrum, tail_sq=0.5, tail_sq_interval=(0.375, 0.75), value_error=0.0625)
    assert (terms.head_error, terms.value_error) == (0.125, 0.0625)


def test_a_vote_may_lack_a_tie_of_its_majority() -> None:
    """Masses within 1e-9 are a tie, so that a vote may go against a majority that is slimmer: allowed for, no more."""
    check = held("Thm 4.1", mislead(), Outputs(f=np.diag(1 / np.sqrt(mislead().p1))))
    assert 2e-9 <= check.tolerance < 3e-9


def nearly_flat(s: float) -> MaskGraph:
    """Two views whose second eigenvalue is s²."""
    return joint_graph(
        np.array([[1 + s, 1 - s], [1 - s, 1 + s]]), np.array([[1.0], [-1.0]]), np.array([[0, 0], [1, 1]])
    )


@pytest.mark.parametrize("square", [1e-20, 1e-14, 2e-13, 9e-13, 1e-12, 2e-12, 1e-11])
def test_eigenvalues_that_are_nearly_zero_violate_no_readout(square: float) -> None:
    check = held("Embedding", nearly_flat(square**0.5), Outputs(f=np.eye(2)))
    assert check.verdict in ("holds", "tight"), check


def test_eigenvectors_that_have_not_quite_converged_violate_no_readout() -> None:
    """Two halves and a hair: λ_2 is 1 but for it, and a Ritz vector off by 1e-6 has that value to 1e-12."""
    M = together(np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([[2.0, 1.0], [1.0, 4.0]])) + 1e-13
    graph = joint_graph(M, labels=[[0], [1], [1], [0]])
    values, U = np.linalg.eigh(dense(augmentation_graph(graph)))
    Y = np.eye(2)[[0, 1, 1, 0]] * np.sqrt(graph.p1)[:, None]
    phi = float((Y * (Y - dense(augmentation_graph(graph)) @ Y)).sum())
    for off in (-1e-6, 1e-6):
        terms = Terms(graph, Outputs(f=np.eye(4)[:, :2]))
        turned = np.column_stack([U[:, 3], U[:, 2] + off * U[:, 1], U[:, 1] - off * U[:, 2]])
        terms._spectrum = replace(terms._spectrum, vectors=sp.csc_array(turned / np.linalg.norm(turned, axis=0)))
        check = statement("Embedding").measure(terms)
        assert check.rhs == pytest.approx(phi / (1 - values[1]), abs=1e-12)
        assert check.verdict in ("holds", "tight", "vacuous"), check
        assert check.tolerance < 1e-5


def test_labels_that_are_nearly_tied_violate_nothing() -> None:
    graph = joint_graph(np.array([[1.0, 1 + 9e-10]]), np.array([[1.0], [-1.0]]), np.array([[0, 1]]))
    for check in ledger(graph, Outputs(f=np.ones((1, 1)), h=np.zeros((1, 1)))):
        assert check.verdict != "violated", check
    check = held("Thm 4.1", graph, Outputs(f=np.ones((1, 1))))
    # The tie goes to class 0, whose mass is the smaller.
    assert check.terms["alpha"] == pytest.approx((1 + 9e-10) / (2 + 9e-10), abs=1e-15)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_thm_4_1_is_held_at_the_best_scale_of_f(scale: float) -> None:
    """Its votes do not depend on the scale and its bound does: A = FF' at f = √2 e_c, not at unit norm."""
    graph = joint_graph(np.eye(2), np.array([[1.0], [-1.0]]), np.array([[0, 0], [1, 1]]))
    for check in (
        held("Thm 4.1", graph, Outputs(f=scale * np.eye(2))),
        by_number(ledger(graph, Outputs(f=scale * np.eye(2))))["Thm 4.1"],
    ):
        assert check.rhs == pytest.approx(0, abs=1e-12)
        assert check.verdict == "tight"


@pytest.mark.parametrize("values", [1e-8, 1e-6, 1e-4, 1.0, 1e4, 1e8])
def test_a_wrong_millionth_is_seen_at_every_scale_of_the_values(values: float) -> None:
    """S1, Thm 3.6 and S2, attained: right sides larger by 1e-6 of themselves must not pass."""
    e, c = 0.25, 0.5
    M, X2 = np.array([[3.0, 1.0], [1.0, 3.0]]), np.array([[values], [-values]])
    f, h = np.array([[1.0, 0.0], [c, (1 - c * c) ** 0.5]]), X2 / (1 - 2 * e)
    L = float(((f[0] - f[1]) ** 2).sum() / ((h[0] - h[1]) ** 2).sum())
    outputs = Outputs(f, h, X2, np.zeros((2, 1)), lam=(1 - 0.25) / (2 * c * L))
    graph = joint_graph(M, X2, np.array([[0, 0], [1, 1]]))
    for number in ("S1", "Thm 3.6", "S2"):
        check = held(number, graph, outputs)
        assert check.verdict == "tight", (number, check)
        assert verdict_of(check.sense, check.lhs, check.rhs * (1 + 1e-6), check.tolerance, check.trivial) == "violated"


def test_a_wrong_millionth_is_seen_beside_a_large_lipschitz_constant() -> None:
    e, c = 0.25, 0.5
    M = np.array([[3.0, 1.0], [1.0, 3.0]])
    for apart in (1.0, 1e-2, 1e-4):
        X2 = 5 + np.array([[apart], [-apart]])
        f, h = np.array([[1.0, 0.0], [c, (1 - c * c) ** 0.5]]), 5 + (X2 - 5) / (1 - 2 * e)
        L = float(((f[0] - f[1]) ** 2).sum() / ((h[0] - h[1]) ** 2).sum())
        check = held("S2", joint_graph(M, X2), Outputs(f, h, lam=(1 - 0.25) / (2 * c * L)))
        assert check.tolerance < 1e-6 * check.rhs


def test_equal_terms_of_very_many_views_are_no_violation() -> None:
    """300,000 views that answer the same, each in a pair of its own; in BLAS's few lanes each loses the same."""
    views = np.arange(300_000)
    first, second = np.divmod(views, 600)
    codes = np.stack([first, second, first, second], axis=1)
    images = make_coded_images("many", codes, views % 2, codebook=np.full((600, 1), -1e-3))
    graph = mask_graph(images, make_mask_set([[0, 1]], 4))
    assert graph.M.shape == (300_000, 300_000)
    for size in (0.17, 0.85, 1.65, 2.6):
        terms = Terms(graph, Outputs(np.ones((300_000, 1)), np.full((300_000, 2), size)))
        for number, room in (("I1", 0.3), ("I2", 0.3), ("U", 0.1)):
            check = statement(number).measure(terms)
            assert max(abs(a.value - b.value) for a, b in pairwise(check.steps[:2])) < room * check.tolerance, number


@pytest.mark.parametrize("flip", [1e-2, 1e-4, 1e-6])
def test_a_small_gap_costs_no_more_tolerance_than_it_must(flip: float) -> None:
    """λ_2 = (1 − 2 flip)²: the gap is about 4 flip, and both sides are ½ exactly."""
    graph, _ = two_states(flip)
    check = held("Embedding", graph, Outputs(f=np.ones((2, 1))))
    assert check.lhs == pytest.approx(0.5)
    assert check.verdict == "tight"
    assert check.tolerance < 1e-11 / flip


@pytest.mark.parametrize(
    "claims",
    [
        {"lipschitz": 1e-310},
        {"lipschitz": 1e308},
        {"lipschitz": 1e-110, "lam": 1e-110},
        {"lam": 1e300},
        {"lam": 1e-300},
    ],
)
def test_claims_beyond_the_range_of_doubles(claims: dict[str, float]) -> None:
    graph, _ = two_states(0.2)
    outputs = Outputs(np.eye(2), graph.X2)
    for name, value in claims.items():
        outputs = with_part(outputs, name, value)
    for check in ledger(graph, outputs):
        assert check.verdict != "violated", check
    assert "expected a number from 1e-60 to 1e+60" in by_number(ledger(graph, outputs))["S2"].note


def test_values_whose_squares_overflow() -> None:
    graph = joint_graph(np.array([[4.0, 1.0], [1.0, 4.0]]), np.array([[1.0], [-1.0]]))
    with np.errstate(all="ignore"):
        found = by_number(ledger(graph, Outputs(np.eye(2), 1e160 * np.ones((2, 1)))))
    assert {check.verdict for check in found.values()} <= {"assumption not met", "tight", "vacuous", "holds"}
    assert "overflows: bring the values of the model nearer to 1" in found["S1"].note


@pytest.mark.parametrize(
    ("field", "named"), [("size", "tolerance"), ("leeway", "tolerance"), ("trivial", "trivial bound")]
)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_tolerance_or_a_trivial_bound_that_overflows_lets_nothing_pass(field: str, named: str, value: float) -> None:
    graph, outputs = a_holding_case()
    changes: dict[str, Any] = {field: lambda t: value}
    check = replace(statement("S1"), **changes).measure(Terms(graph, outputs))
    assert check.verdict == "assumption not met"
    assert check.note == f"'{named}' overflows: bring the values of the model nearer to 1"


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "assumption not met"), (1.0, "holds"), (1.5, "holds")])
def test_a_larger_lambda_only_helps_thm_4_2(factor: float, verdict: str) -> None:
    graph, outputs = a_holding_case()
    L = by_number(ledger(graph, outputs))["Thm 4.2"].terms["L"]
    check = by_number(ledger(graph, replace(outputs, lam=factor / (4 * L))))["Thm 4.2"]
    assert check.verdict == verdict


def test_single_precision_features_are_normalised_in_double() -> None:
    graph, outputs = a_holding_case()
    assert outputs.f is not None
    found = by_number(ledger(graph, replace(outputs, f=np.asfortranarray(outputs.f.astype(np.float32)))))
    assert found["U"].verdict == found["S2"].verdict == "holds"


@pytest.mark.parametrize("size", [1e80, 1e110, 1e160])
def test_features_whose_squares_overflow(size: float) -> None:
    graph, outputs = a_holding_case()
    assert outputs.f is not None
    with np.errstate(all="ignore"):
        for known in STATEMENTS:
            check = held(known.number, graph, replace(outputs, f=size * outputs.f))
            assert check.verdict != "violated", check
