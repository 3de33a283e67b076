"""Thm 4.2 and its form for any λ: the U-MAE loss is bounded below by the spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.synthetic import joint_graph
from maskgraph.theory import bounds, losses
from maskgraph.theory.lipschitz import one_sided_lipschitz
from maskgraph.theory.spectrum import spectrum
from tests.strategies import searched
from tests.theory.toys import Array, Case, all_alike, cases, dense, features, two_states, unit

ROUNDING = 1e-10
"""Sums of at most 10³ terms of size at most 10³: 4e-12. Everything that is divided by L is compared relative to the
size of the two sides, 1 + L_U-MAE."""

LAMBDAS = (1e-3, 0.1, 1.0, 10.0)


def models(case: Case, k: int) -> list[tuple[Array, Array, float]]:
    """Unit features, outputs and an L that serves: measured for any outputs, known for a bi-Lipschitz decoder."""
    graph, rng = case.graph, case.rng
    d = graph.X2.shape[1]
    found = []
    for _, raw in features(case.A, k, rng):
        f = unit(raw)
        for h in (rng.standard_normal((len(f), d)), f @ rng.standard_normal((k, d)), graph.M @ graph.X2):
            found.append((f, h, one_sided_lipschitz(case.A, f, h)))
        if k <= d:
            isometry = np.linalg.qr(rng.standard_normal((d, k)))[0].T
            for scale in (0.5, 1.0, 2.0):
                # ‖g(a) − g(b)‖² = scale²·‖a − b‖²: both halves of the assumption hold with this L.
                found.append((f, scale * f @ isometry + 0.3, max(scale**2, scale**-2)))
    return [(f, h, L) for f, h, L in found if 1e-6 < L < 1e6]


@searched(50)
@given(cases(hop="target"))
def test_holds_for_every_lambda(case: Case) -> None:
    for k in (1, 2, 4):
        values = np.linalg.eigvalsh(dense(case.A))[::-1][:k]
        head = float((values**2).sum())
        for f, h, L in models(case, k):
            mae, unif = losses.mae_loss(case.graph, h), losses.unif_loss(case.graph, f)
            # ε = 0 is what a decoder with every target in its range certifies; any other only lowers the bound.
            for lam in (1 / (4 * L), *LAMBDAS):
                left = mae + lam * unif
                assert left >= bounds.thm_4_2_any_lambda(head, L, lam, 0.0) - ROUNDING * (1 + left)
            left = mae + unif / (4 * L)
            assert left >= bounds.thm_4_2(head, L, 0.0) - ROUNDING * (1 + left)


@searched(25)
@given(cases())
def test_every_step_of_the_proof(case: Case) -> None:
    # On the image hop the spectral steps hold as they stand; only Thm 3.4, their start, is about the target hop.
    values = np.linalg.eigvalsh(dense(case.A))[::-1]
    total = float((values**2).sum())
    for k in (1, 2, 4):
        tail = float((values[k:] ** 2).sum())
        for f, h, L in models(case, k):
            scl = losses.spectral_contrastive_loss(case.A, f)
            distance = losses.pair_distance(case.A, f)
            assert losses.pair_distance(case.A, h) >= distance / L - ROUNDING * (1 + distance / L)
            assert distance == pytest.approx(2 + 2 * losses.align_loss(case.A, f), abs=ROUNDING)
            assert scl >= tail - total - ROUNDING
            mixed = distance / (4 * L) + losses.unif_loss(case.graph, f) / (4 * L)
            assert mixed == pytest.approx(1 / (2 * L) + scl / (4 * L), rel=ROUNDING, abs=ROUNDING)


@searched(60)
@given(cases(valued=False))
def test_printed_form_and_ours_are_one_number(case: Case) -> None:
    for k in {1, min(3, case.A.B.shape[0])}:
        found = spectrum(case.A, k)
        for L, epsilon in ((0.5, 0.0), (1.0, 0.25), (3.0, 1.0)):
            const = 1 / (2 * L) - found.frobenius_sq / (4 * L) - epsilon
            printed = found.tail_sq / (4 * L) + const
            ours = bounds.thm_4_2(found.head_sq, L, epsilon)
            assert ours == pytest.approx(printed, abs=ROUNDING)
            any_lambda = bounds.thm_4_2_any_lambda(found.head_sq, L, 1 / (4 * L), epsilon)
            assert any_lambda == pytest.approx(ours, abs=ROUNDING)


@pytest.mark.parametrize("L", [0.25, 1.0, 4.0])
def test_attained_where_all_views_are_alike(L: float) -> None:
    graph = all_alike()
    head = spectrum(augmentation_graph(graph), 1).head_sq
    loss = losses.mae_loss(graph, graph.X2) + losses.unif_loss(graph, np.ones((1, 1))) / (4 * L)
    assert loss == pytest.approx(bounds.thm_4_2(head, L, 0.0), abs=ROUNDING)
    # Whatever is changed by a thousandth upwards is refuted here: the 2, the 4, the head.
    for wrong in ((2.001 - head) / (4 * L), (2 - head) / (3.999 * L) * 1.001, (2 - 0.999 * head) / (4 * L)):
        assert loss < wrong - ROUNDING


@pytest.mark.parametrize("lam", LAMBDAS)
def test_a_larger_constant_is_refuted_for_any_lambda(lam: float) -> None:
    # L = 1/(4λ) makes this λ the printed one.
    L = 1 / (4 * lam)
    graph = all_alike()
    loss = losses.mae_loss(graph, graph.X2) + lam
    assert loss == pytest.approx(bounds.thm_4_2_any_lambda(1.0, L, lam, 0.0), rel=ROUNDING)
    assert loss < 1.001 / (2 * L) - 1 / (16 * L**2 * lam)
    assert loss < 1 / (2 * L) - 1 / (16.02 * L**2 * lam)


def test_attained_by_constant_features_of_targets_that_are_alike() -> None:
    graph, _ = two_states(0.25, x2=0.0)
    loss = losses.mae_loss(graph, np.zeros((2, 1))) + losses.unif_loss(graph, np.ones((2, 1))) / 4
    assert loss == pytest.approx(bounds.thm_4_2(1.0, 1.0, 0.0), abs=ROUNDING)


def test_epsilon_is_subtracted_once() -> None:
    assert bounds.thm_4_2(1.0, 1.0, 0.125) == bounds.thm_4_2(1.0, 1.0, 0.0) - 0.125
    assert bounds.thm_4_2_any_lambda(1.0, 1.0, 0.3, 0.125) == bounds.thm_4_2_any_lambda(1.0, 1.0, 0.3, 0.0) - 0.125


def test_negative_past_a_head_of_two() -> None:
    assert bounds.thm_4_2(2.0, 1.0, 0.0) == 0
    assert bounds.thm_4_2(2.5, 1.0, 0.0) < 0
    identity = augmentation_graph(joint_graph(np.eye(5)))
    assert bounds.thm_4_2(spectrum(identity, 4).head_sq, 1.0, 0.0) == -0.5


def test_a_larger_wrong_lipschitz_is_refuted() -> None:
    # The assumption is used: with L ten times too small the statement is false for a model with small outputs.
    graph, A = two_states(0.25, x2=0.01)
    f = unit(np.array([[1.0, 0.0], [0.0, 1.0]]))
    h = graph.X2
    L = one_sided_lipschitz(A, f, h)
    values = spectrum(A, 2).values
    head = float(values @ values)
    mae, unif = losses.mae_loss(graph, h), losses.unif_loss(graph, f)
    assert mae + unif / (4 * L) >= bounds.thm_4_2(head, L, 0.0)
    assert mae + unif / (4 * L / 1e4) < bounds.thm_4_2(head, L / 1e4, 0.0)


@pytest.mark.parametrize("L", [1e-200, 1e200])
def test_extreme_lipschitz_constants(L: float) -> None:
    # λ = 1/(4L) is a double at both ends, and there the two forms are one number.
    printed = bounds.thm_4_2(1.5, L, 0.0)
    assert bounds.thm_4_2_any_lambda(1.5, L, 1 / (4 * L), 0.0) == pytest.approx(printed, rel=1e-12)
