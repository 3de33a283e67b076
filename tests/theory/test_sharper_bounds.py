"""S1 to S4 and U: each holds, dominates the paper's bound where both apply, and is attained by a stored instance."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.synthetic import joint_graph
from maskgraph.theory import bounds, losses, risk
from maskgraph.theory.lipschitz import one_sided_lipschitz
from maskgraph.theory.spectrum import spectrum
from tests.strategies import searched
from tests.theory.toys import Array, Case, all_alike, cases, dense, features, two_states, unit

ROUNDING = 1e-10
"""Sums of at most 10³ terms of size at most 10³: 4e-12. What is divided by L is compared relative to its size."""

SOLVER = 1e-6
"""SLSQP stops at changes of 1e-12 of a function of size at most 10², near a minimum where it is flat to second
order: the point is good to about 1e-5, the value to the square of that times a curvature of at most 10⁴."""


@searched(50)
@given(cases(hop="target"))
def test_s1_needs_no_assumption(case: Case) -> None:
    graph, rng = case.graph, case.rng
    noise = rng.standard_normal((len(graph.p1), graph.X2.shape[1]))
    for h in (noise, risk.conditional_mean(graph), 5 * noise, noise + 100):
        floor = bounds.s1(losses.pair_distance(case.A, h))
        loss = losses.mae_loss(graph, h)
        assert loss >= floor - ROUNDING * max(1.0, loss)
        energy = losses.energy(graph, h)
        printed = bounds.thm_3_4(losses.align_loss(case.A, h), energy, 0.0)
        assert floor == pytest.approx(2 * printed, abs=ROUNDING * max(1.0, energy))


@pytest.mark.parametrize("flip", [0.1, 0.2, 0.4])
def test_s1_is_attained(flip: float) -> None:
    # E[h|x2] = x2: what is left of the loss is the alignment alone.
    graph, A = two_states(flip)
    h = graph.X2 / (1 - 2 * flip)
    floor = bounds.s1(losses.pair_distance(A, h))
    assert floor > 0.1
    assert losses.mae_loss(graph, h) == pytest.approx(floor, abs=ROUNDING)


@searched(60)
@given(cases(hop="target"))
def test_s2_holds_and_dominates(case: Case) -> None:
    graph, rng = case.graph, case.rng
    d = graph.X2.shape[1]
    for k in (1, 2, 4):
        values = np.clip(np.linalg.eigvalsh(dense(case.A))[::-1][:k], 0, 1)
        head = float(values @ values)
        for _, raw in features(case.A, k, rng):
            f = unit(raw)
            for h in (rng.standard_normal((len(f), d)), f @ rng.standard_normal((k, d))):
                L = one_sided_lipschitz(case.A, f, h)
                if not 1e-6 < L < 1e6:
                    continue
                mae, unif = losses.mae_loss(graph, h), losses.unif_loss(graph, f)
                for lam in (1 / (4 * L), 0.01, 1.0):
                    left = mae + lam * unif
                    floor = bounds.water_filling(values, L, lam)
                    assert 0 <= floor <= left + ROUNDING * (1 + left)
                    assert floor >= bounds.thm_4_2_any_lambda(head, L, lam, 0.0) - ROUNDING * (1 + left)


@searched(200)
@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.05, 20), st.floats(1e-3, 50))
def test_s2_dominates_on_any_spectrum(below: list[float], L: float, lam: float) -> None:
    values = np.sort([1.0, *below])[::-1]
    head = float(values @ values)
    scale = 1 + 1 / L
    floor = bounds.water_filling(values, L, lam)
    assert floor >= 0
    assert floor >= bounds.thm_4_2_any_lambda(head, L, lam, 0.0) - ROUNDING * scale
    printed = bounds.water_filling(values, L, 1 / (4 * L))
    assert printed >= bounds.thm_4_2(head, L, 0.0) - ROUNDING * scale


@searched(40)
@given(st.lists(st.floats(0, 1), max_size=5), st.floats(0.25, 4), st.floats(0.01, 4))
def test_s2_is_the_minimum_of_a_convex_program(below: list[float], L: float, lam: float) -> None:
    values = np.sort([1.0, *below])[::-1]
    scale = max(1 / L, lam)

    def loss(g: Array) -> float:
        return float(((1 - values) @ g / L + lam * g @ g) / scale)

    def slope(g: Array) -> Array:
        return np.asarray(((1 - values) / L + 2 * lam * g) / scale)

    simplex = [{"type": "eq", "fun": lambda g: g.sum() - 1, "jac": np.ones_like}]
    # Its stubs do not take a plain dictionary of options.
    minimize: Any = scipy.optimize.minimize
    start = np.full(len(values), 1 / len(values))
    best: Any = minimize(
        loss,
        start,
        jac=slope,
        bounds=[(0, 1)] * len(values),
        constraints=simplex,
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    found = bounds.water_filling(values, L, lam) / scale
    assert found <= float(best.fun) + SOLVER
    assert found == pytest.approx(float(best.fun), abs=SOLVER)


@pytest.mark.parametrize("flip", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("cosine", [0.2, 0.5, 0.9])
def test_s2_is_attained(flip: float, cosine: float) -> None:
    # Features of the two views at an angle: G = FFᵀ has the eigenvectors of A, and λ is the one that makes its
    # eigenvalues (1 ± cosine)/2 the best; h has E[h|x2] = x2.
    graph, A = two_states(flip)
    f = np.array([[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]])
    h = graph.X2 / (1 - 2 * flip)
    L = one_sided_lipschitz(A, f, h)
    values = spectrum(A, 2).values
    lam = float(1 - values[1]) / (2 * cosine * L)
    loss = losses.mae_loss(graph, h) + lam * losses.unif_loss(graph, f)
    floor = bounds.water_filling(values, L, lam)
    assert loss == pytest.approx(floor, abs=ROUNDING)
    assert floor > bounds.thm_4_2_any_lambda(float(values @ values), L, lam, 0.0) + 0.01
    # A smaller L, as the two-sided reading with distances in place of squares would give, is refuted.
    assert loss < bounds.water_filling(values, L / 1.01, lam)


def test_s2_is_attained_by_isolated_views() -> None:
    graph = joint_graph(np.eye(4), np.arange(4.0)[:, None])
    A = augmentation_graph(graph)
    for k in (1, 2, 4):
        f = np.eye(k)[np.arange(4) % k]
        loss = losses.mae_loss(graph, graph.X2) + 0.3 * losses.unif_loss(graph, f)
        assert loss == pytest.approx(bounds.water_filling(spectrum(A, k).values, 1.0, 0.3), abs=ROUNDING)


@pytest.mark.parametrize("ones", [3, 7, 11])
@pytest.mark.parametrize("L", [0.3, 0.7, 1.0, 7.0])
@pytest.mark.parametrize("lam", [1e-26, 1e-30, 1e-200])
def test_s2_at_a_vanishing_weight_and_many_components(ones: int, L: float, lam: float) -> None:
    # All of the trace on the ones costs λ/ones and no more: below any tolerance.
    assert bounds.water_filling(np.ones(ones), L, lam) == pytest.approx(lam / ones, abs=ROUNDING)


@pytest.mark.parametrize("L", [1e-200, 1e200])
def test_s2_at_extreme_lipschitz_constants(L: float) -> None:
    # λ = 1/(4L): the same program in units of 1/L.
    values = np.array([1.0, 0.5, 0.1])
    expected = bounds.water_filling(values, 1.0, 0.25)
    assert bounds.water_filling(values, L, 1 / (4 * L)) * L == pytest.approx(expected, rel=1e-12)


@searched(50)
@given(cases())
def test_s3_no_linear_decoder_goes_below(case: Case) -> None:
    graph, rng = case.graph, case.rng
    for k in (1, 2, 3):
        floor = risk.rank_floor(graph, k)
        for _, f in features(case.A, k, rng):
            root = np.sqrt(graph.p1)[:, None]
            fitted = np.linalg.lstsq(root * f, root * (graph.M @ graph.X2 / graph.p1[:, None]), rcond=None)[0]
            for W in (fitted, rng.standard_normal(fitted.shape)):
                loss = losses.mae_loss(graph, f @ W)
                assert loss >= floor - ROUNDING * max(1.0, loss)


@searched(50)
@given(cases())
def test_s3_is_attained_by_the_svd(case: Case) -> None:
    graph = case.graph
    root = np.sqrt(graph.p1)[:, None]
    U, s, Vt = np.linalg.svd(root * risk.conditional_mean(graph), full_matrices=False)
    for k in range(1, len(s) + 1):
        f, W = U[:, :k] / root, s[:k, None] * Vt[:k]
        floor = risk.rank_floor(graph, k)
        assert losses.mae_loss(graph, f @ W) == pytest.approx(floor, abs=ROUNDING)
        assert floor == pytest.approx(risk.target_energy(graph) - float((s[:k] ** 2).sum()), abs=ROUNDING)
        assert floor >= risk.bayes_risk(graph)
    assert risk.rank_floor(graph, len(s)) == pytest.approx(risk.bayes_risk(graph), abs=ROUNDING)


def test_s3_counts_a_bias_as_a_dimension() -> None:
    # Three views whose targets lie on a line that misses 0: one dimension and a bias say all, one dimension does not.
    graph = joint_graph(np.eye(3), np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]))
    f = np.array([[0.0], [1.0], [2.0]])
    affine = f @ np.array([[1.0, 0.0]]) + np.array([0.0, 1.0])
    assert losses.mae_loss(graph, affine) == 0
    assert risk.rank_floor(graph, 1) > 0.1
    assert risk.rank_floor(graph, 2) == pytest.approx(0, abs=ROUNDING)


@searched(60)
@given(cases())
def test_s4_is_the_lower_of_the_two_floors(case: Case) -> None:
    graph = case.graph
    given_mask = risk.target_variance_given_mask(graph)
    assert given_mask <= risk.target_variance(graph) + ROUNDING
    if case.view == "positional":
        # The view shows the mask, so that nothing beats the Bayes risk but a decoder with positions is above it.
        assert given_mask >= risk.bayes_risk(graph) - ROUNDING


@searched(60)
@given(cases(valued=False))
def test_u_uniformity_is_a_rank(case: Case) -> None:
    for k in (1, 2, 5):
        for _, raw in features(case.A, k, case.rng):
            f = unit(raw)
            moment = f.T @ (case.graph.p1[:, None] * f)
            spread = np.linalg.eigvalsh(moment)
            ratio = float(spread.sum() ** 2 / (spread**2).sum())
            unif = losses.unif_loss(case.graph, f)
            assert unif == pytest.approx(1 / ratio, rel=ROUNDING)
            assert bounds.uniformity_floor(k) - ROUNDING <= unif <= 1 + ROUNDING


@pytest.mark.parametrize("k", [1, 2, 5])
def test_u_is_attained(k: int) -> None:
    graph = joint_graph(np.eye(k))
    unif = losses.unif_loss(graph, np.eye(k))
    assert unif == pytest.approx(bounds.uniformity_floor(k), rel=ROUNDING)
    assert unif < 1.001 * bounds.uniformity_floor(k)
    assert losses.unif_loss(graph, np.tile(np.eye(k)[:1], (k, 1))) == pytest.approx(1)


@pytest.mark.parametrize("k", [2, 7])
@pytest.mark.parametrize("size", [2, 3, 16])
def test_u_a_batch_with_its_diagonal_has_a_floor_of_its_own(k: int, size: int) -> None:
    rng = np.random.default_rng(k * size)
    for _ in range(20):
        f = unit(rng.standard_normal((size, k)))
        assert float(((f @ f.T) ** 2).mean()) >= max(1 / k, 1 / size) - ROUNDING


def test_what_u_alone_gives_is_vacuous() -> None:
    """L_MAE + λL_unif is λ/k or more without any theorem."""
    floor = 0.3 * bounds.uniformity_floor(7)
    assert bounds.trivial(0.3, 7) == pytest.approx(floor, rel=1e-15)
    assert bounds.is_vacuous(-1.0, 0.3, 7)
    assert bounds.is_vacuous(0.0, 0.3, 7)
    assert bounds.is_vacuous(floor * (1 + 1e-15), 0.3, 7), "equal to rounding"
    assert not bounds.is_vacuous((1 + 1e-9) * floor, 0.3, 7)


def test_at_one_vertex_the_sharper_bounds_meet_the_printed() -> None:
    graph = all_alike()
    values = spectrum(augmentation_graph(graph), 1).values
    assert bounds.water_filling(values, 2.0, 1 / 8) == pytest.approx(bounds.thm_4_2(1.0, 2.0, 0.0), abs=ROUNDING)


def test_where_views_leave_nothing_open_the_floors_are_0() -> None:
    """Not what rounding leaves of the difference of two sums, 1e-15 or so."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        graph = joint_graph(np.diag(rng.random(9)), rng.random((9, 4)))
        assert risk.bayes_risk(graph) == 0
        assert risk.rank_floor(graph, 4) == 0
        low = joint_graph(np.diag(rng.random(9)), rng.random((9, 2)) @ rng.random((2, 4)))
        assert risk.rank_floor(low, 1) > 1e-6
        assert risk.rank_floor(low, 2) == 0


@pytest.mark.parametrize("targets", [2, 3, 10])
def test_where_very_many_views_leave_nothing_open_the_floors_are_0(targets: int) -> None:
    """A sum of a hundred thousand equal terms is off by more than one of nine: here by 1e-12."""
    views, rng = 100_000, np.random.default_rng(targets)
    column = np.arange(views) % targets
    M = sp.csr_array((np.ones(views), (np.arange(views), column)), shape=(views, targets))
    for _ in range(3):
        graph = joint_graph(M, rng.standard_normal((targets, 2)))
        assert risk.bayes_risk(graph) == 0
        assert risk.rank_floor(graph, 2) == 0


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("offset", [1e3, 1e8])
def test_floors_far_from_0_are_good_to_what_the_targets_differ_by(offset: float, width: int) -> None:
    # In eighths, which 1e8 added leaves exact. Of a mean so far away the first squared singular value is
    # |mean|² + u'Ku, u its direction and K the second moment about it, but for |K|²/|mean|².
    rng = np.random.default_rng(width)
    M, X2 = rng.random((6, 3)), rng.integers(-8, 8, size=(3, width)) / 8
    near, far = joint_graph(M, X2), joint_graph(M, X2 + offset)
    assert risk.bayes_risk(far) == pytest.approx(risk.bayes_risk(near), rel=1e-13)
    best = (risk.conditional_mean(near) - near.p2 @ near.X2) * np.sqrt(near.p1)[:, None]
    direction = near.p2 @ near.X2 + offset
    along = float(((best @ direction) ** 2).sum() / (direction @ direction))
    expected = risk.bayes_risk(near) + float((best**2).sum()) - along
    assert risk.rank_floor(far, 1) == pytest.approx(expected, rel=1e-13 + 4 / offset**2)
    assert risk.rank_floor(far, width + 1) == risk.bayes_risk(far)


@pytest.mark.parametrize("slots", [1, 2])
def test_floors_of_targets_that_hardly_differ_far_from_0(slots: int) -> None:
    """By 2⁻²⁰ about 1e8, which no double rounds: about a mean rounded as they are, 1e-4 of the risk would be lost."""
    rng = np.random.default_rng(slots)
    codes, codebook = rng.integers(0, 4, (12, slots + 1)), rng.integers(-8, 8, (4, 3)) / 8
    masks = make_mask_set([[place] for place in range(slots + 1)], slots + 1)
    near, far = (
        mask_graph(make_coded_images("w", codes, [0] * 12, None, values), masks, "sequence")
        for values in (codebook, codebook / 2**17 + 1e8)
    )
    assert risk.bayes_risk(near) > 0.01
    assert risk.bayes_risk(far) * 4**17 == pytest.approx(risk.bayes_risk(near), rel=ROUNDING, abs=0)
    assert risk.target_variance(far) * 4**17 == pytest.approx(risk.target_variance(near), rel=ROUNDING, abs=0)
    assert risk.rank_floor(far, 3 * slots + 1) == risk.bayes_risk(far)


def floors(graph: MaskGraph) -> list[float]:
    """Every floor there is, and the rank floor of one to four dimensions."""
    found = risk.Floors(graph)
    energies = [found.target_energy, found.target_variance, found.target_variance_given_mask, found.bayes_risk]
    return energies + [found.rank_floor(k) for k in range(1, 5)]


@pytest.mark.parametrize("factor", [2.0**-20, -1.0, -(2.0**20)])
@pytest.mark.parametrize("width", [1, 3])
def test_floors_go_like_the_square_of_the_targets(width: int, factor: float) -> None:
    rng = np.random.default_rng(width)
    M, X2 = rng.random((6, 5)), rng.random((5, width)) + 0.25
    expected = [factor**2 * floor for floor in floors(joint_graph(M, X2))]
    assert floors(joint_graph(M, factor * X2)) == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_floors_do_not_depend_on_what_is_laid_out_at_a_time(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    images = make_coded_images("w", rng.integers(0, 3, (30, 4)), [0] * 30, rng.random(30) + 0.1, rng.random((3, 2)))
    graph = mask_graph(images, make_mask_set([[0, 1], [1, 3], [0, 2]], 4))
    assert len(graph.p2) > 20
    expected = floors(graph)
    monkeypatch.setattr(risk, "CHUNK", chunk)
    monkeypatch.setattr(risk, "PART", 4)
    assert floors(graph) == pytest.approx(expected, rel=ROUNDING)


def test_the_variance_of_very_many_targets_is_added_up_without_drift() -> None:
    """A sum of fifty thousand equal masses in order is off by 1e-13 and more of itself."""
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 2, (100_000, 24)), axis=0)
    images = make_coded_images("w", codes, np.zeros(len(codes), dtype=int), None, np.array([[0.0], [1.0]]))
    graph = mask_graph(images, make_mask_set([[0]], 24))
    assert len(graph.p2) > 90_000
    ones = codes[:, 1:].sum(axis=0)
    exact = sum(Fraction(int(one) * (len(codes) - int(one)), len(codes) ** 2) for one in ones)
    assert risk.target_variance(graph) == pytest.approx(float(exact), rel=2e-15, abs=0)


@pytest.mark.parametrize("left", [1e-9, 1e-12])
def test_what_little_views_leave_open_is_not_taken_for_rounding(left: float) -> None:
    """The first of two views as good as tells its target: of its mass ½, `left` sees the other one."""
    graph = joint_graph(np.array([[0.5 - left, left], [0.0, 0.5]]), np.array([[0.0], [1.0]]))
    assert risk.bayes_risk(graph) == pytest.approx(left * (1 - 2 * left), rel=1e-3, abs=0)


def test_a_mask_that_tells_of_an_image_of_hardly_any_mass() -> None:
    """Var(x2) is of size 1e-36, and all of it within masks: beside a mean rounded as x2 is, nothing was left of it."""
    codes = [[1] * 5, [0] * 5]
    images = make_coded_images("rare", codes, [0, 0], [3.0, 1e-36], np.array([[0.7, 0.1], [0.3, 0.9]]))
    graph = mask_graph(images, make_mask_set([[0], [1], [2], [3], [4]], 5))
    # approx would else let anything below 1e-12 pass.
    assert risk.target_variance_given_mask(graph) == pytest.approx(risk.target_variance(graph), rel=1e-12, abs=0)
