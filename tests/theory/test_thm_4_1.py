"""Thm 4.1: the vote error of the mean classifier, the steps of its proof, and the form in terms of the loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.augmentation import augmentation_graph, majority_class
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.synthetic import joint_graph
from maskgraph.theory import bounds, labels, losses
from maskgraph.theory.lipschitz import one_sided_lipschitz
from maskgraph.theory.spectrum import spectrum
from tests.strategies import searched
from tests.theory.toys import Array, Case, cases, dense, features, two_states, unit, weighted

ROUNDING = 1e-9
"""Sums of at most 10³ terms that are at most 10³ (features of norm 30 squared): 10³·√10³·2⁻⁵³ ≈ 4e-12; a quotient by
1 − λ >= 10⁻² in the classical form multiplies it by 100."""


def labels_of(case: Case) -> Array:
    """Onehot of the majority class of each view."""
    return np.eye(case.graph.class_mass1.shape[1])[majority_class(case.graph.class_mass1)]


def scores(case: Case, f: Array) -> Array:
    """Wᵀf(x1) with W = E[f(x1) onehot(y(x1))ᵀ]."""
    return np.asarray(f @ (f.T @ (case.graph.p1[:, None] * labels_of(case))))


@searched(50)
@given(cases(valued=False))
def test_every_step_of_the_proof(case: Case) -> None:
    graph, A = case.graph, case.A
    y = majority_class(graph.class_mass1)
    alpha, phi, p_max = labels.alpha(graph), labels.phi(A), labels.p_max(graph)
    frobenius = float((dense(A) ** 2).sum())
    for k in (1, 3):
        for _, f in features(A, k, case.rng):
            scl = losses.spectral_contrastive_loss(A, f)
            score = scores(case, f)
            square = float(graph.p1 @ ((labels_of(case) - score) ** 2).sum(axis=1))
            bound = bounds.thm_4_1_mean_square(phi, p_max, scl, frobenius)
            slack = ROUNDING * max(1.0, bound)
            assert square <= bound + slack
            vote = np.argmax(score, axis=1)
            wrong_view = float(graph.p1[vote != y].sum())
            assert wrong_view <= 2 * square + slack
            R1 = graph.R1.tocoo()
            wrong_pair = float(R1.data[vote[R1.row] != graph.images.labels[R1.col]].sum())
            assert wrong_pair <= wrong_view + alpha + slack
            error = labels.vote_error(graph, labels.mean_classifier(graph, f))
            assert error <= 2 * wrong_pair + slack
            assert error <= bounds.thm_4_1(alpha, phi, p_max, scl, frobenius) + slack


@searched(50)
@given(cases(hop="target"))
def test_the_form_in_the_loss(case: Case) -> None:
    graph, A, rng = case.graph, case.A, case.rng
    alpha, phi, p_max = labels.alpha(graph), labels.phi(A), labels.p_max(graph)
    frobenius = spectrum(A, 1).frobenius_sq
    for k in (2, 3):
        for _, raw in features(A, k, rng):
            f = unit(raw)
            for h in (
                rng.standard_normal((len(f), graph.X2.shape[1])),
                f @ rng.standard_normal((k, graph.X2.shape[1])),
            ):
                L = one_sided_lipschitz(A, f, h)
                if not 1e-6 < L < 1e6:
                    continue
                u_mae = losses.mae_loss(graph, h) + losses.unif_loss(graph, f) / (4 * L)
                scl = losses.spectral_contrastive_loss(A, f)
                scale = ROUNDING * max(1.0, L * u_mae)
                assert scl <= 4 * L * u_mae - 2 + scale
                bound = bounds.thm_4_1_from_loss(alpha, phi, p_max, frobenius, u_mae, L, 0.0)
                error = labels.vote_error(graph, labels.mean_classifier(graph, f))
                assert error <= bounds.thm_4_1(alpha, phi, p_max, scl, frobenius) + scale
                assert bounds.thm_4_1(alpha, phi, p_max, scl, frobenius) <= bound + 8 * scale


@given(*[st.floats(0, 2)] * 5, st.floats(0.1, 4), st.floats(0, 1))
@searched(50)
def test_the_forms_agree(
    alpha: float, phi: float, p_max: float, frobenius: float, u_mae: float, L: float, epsilon: float
) -> None:
    scl = 4 * L * (u_mae + epsilon) - 2
    square = bounds.thm_4_1_mean_square(phi, p_max, scl, frobenius)
    expected = 2 * (alpha + 2 * square)
    assert bounds.thm_4_1(alpha, phi, p_max, scl, frobenius) == pytest.approx(expected, abs=ROUNDING)
    found = bounds.thm_4_1_from_loss(alpha, phi, p_max, frobenius, u_mae, L, epsilon)
    assert found == pytest.approx(expected, abs=ROUNDING)


def test_how_far_the_constants_of_the_mean_square_are_from_the_best() -> None:
    # Eigenvalues 1 and ½, labels the two views: with f constant the left side is ½, the right side 2·¼ + 2·½·¼ = ¾.
    graph, A = two_states((1 - 0.5**0.5) / 2)
    f = np.ones((2, 1))
    phi, p_max, scl = labels.phi(A), labels.p_max(graph), losses.spectral_contrastive_loss(A, f)
    frobenius = spectrum(A, 1).frobenius_sq
    score = f @ (f.T @ np.eye(2) / 2)
    square = float(((np.eye(2) - score) ** 2).sum() / 2)
    bound = bounds.thm_4_1_mean_square(phi, p_max, scl, frobenius)
    assert square == pytest.approx(0.5)
    assert bound == pytest.approx(0.75)
    # Two thirds of either constant is refuted, so each is within 3/2 of what any proof could give.
    assert square > 0.66 * bound


def test_pinned() -> None:
    assert bounds.thm_4_1(1.0, 0.0, 0.0, 0.0, 0.0) == 2
    assert bounds.thm_4_1(0.0, 1.0, 0.0, 0.0, 0.0) == 8
    assert bounds.thm_4_1(0.0, 0.0, 1.0, 1.0, 0.0) == 8
    assert bounds.thm_4_1(0.0, 0.0, 1.0, 0.0, 1.0) == 8
    assert bounds.thm_4_1_from_loss(0.0, 0.0, 1.0, 2.0, 1.0, 1.0, 0.0) == 32
    assert bounds.thm_4_1_from_loss(0.0, 0.0, 1.0, 2.0, 0.0, 1.0, 1.0) == 32


@searched(60)
@given(cases(valued=False))
def test_classical_form_of_the_exact_embedding(case: Case) -> None:
    values, vectors = np.linalg.eigh(dense(case.A))
    values, vectors = values[::-1], vectors[:, ::-1]
    target = weighted(case.graph, labels_of(case))
    phi = labels.phi(case.A)
    for k in range(1, len(values)):
        if values[k] > 0.99:
            continue
        fit = np.linalg.lstsq(vectors[:, :k], target, rcond=None)[0]
        error = float(((target - vectors[:, :k] @ fit) ** 2).sum())
        assert error <= bounds.spectral_embedding_error(phi, float(values[k])) + ROUNDING


def test_the_classical_form_is_attained() -> None:
    for flip in (0.1, 0.25, 0.4):
        _, A = two_states(flip)
        bound = bounds.spectral_embedding_error(labels.phi(A), float(spectrum(A, 2).values[1]))
        # The one-dimensional embedding is constant and fits each of the two labels with ½: error ½.
        assert bound == pytest.approx(0.5, abs=ROUNDING)


@pytest.mark.parametrize("value", [1.0, 1.5])
def test_the_classical_form_needs_more_dimensions_than_components(value: float) -> None:
    with pytest.raises(InputError, match=r"more than k components .* raise --dim"):
        bounds.spectral_embedding_error(0.1, value)


@searched(50)
@given(cases(valued=False))
def test_phi_from_alpha(case: Case) -> None:
    phi, alpha = labels.phi(case.A), labels.alpha(case.graph)
    if case.hop == "image":
        assert phi <= 2 * alpha + ROUNDING
        return
    assert phi <= bounds.phi_from_alpha(alpha, labels.alpha_target(case.graph)) + ROUNDING


def test_phi_from_alpha_is_best_possible() -> None:
    # One target, two views, the rarer one with mass q and a class of its own: φ = 2q(1 − q), α = 0, α2 = q.
    for q in (0.1, 1e-2, 1e-3):
        graph = joint_graph(np.array([[1 - q], [q]]), labels=np.array([[0], [1]]))
        alpha, alpha_target = labels.alpha(graph), labels.alpha_target(graph)
        phi = labels.phi(augmentation_graph(graph))
        assert alpha == pytest.approx(0.0, abs=ROUNDING)
        assert alpha_target == pytest.approx(q)
        assert phi == pytest.approx(2 * q * (1 - q))
        bound = bounds.phi_from_alpha(alpha, alpha_target)
        # A factor smaller than 2 by more than q is refuted.
        assert (1 - 1.1 * q) * bound < phi <= bound


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_unit_norm_and_balanced_classes_leave_it_vacuous(classes: int) -> None:
    """docs/theory.md: 8(φ + (1 − φ − 1/C)²) >= 2 is below the bound for every unit-norm f, however good."""
    rng = np.random.default_rng(classes)
    for spread in (0.0, 0.01, 0.1, 1.0):
        views = 2 * classes
        M = np.kron(np.eye(classes), np.ones((2, 2))) + spread * np.ones((views, views))
        label = np.repeat(np.arange(classes), 2)
        graph = joint_graph(M, labels=np.tile(label[:, None], (1, views)))
        A = augmentation_graph(graph)
        phi, norm = labels.phi(A), spectrum(A, 1).frobenius_sq
        floor = 8 * (phi + (1 - phi - 1 / classes) ** 2)
        for f in (np.eye(classes)[label], rng.standard_normal((views, classes)), np.ones((views, 1))):
            scl = losses.spectral_contrastive_loss(A, unit(f))
            bound = bounds.thm_4_1(labels.alpha(graph), phi, labels.p_max(graph), scl, norm)
            assert bound >= max(floor, 2) - ROUNDING
