"""The upper bounds that tell whether an eigenvalue was missed: the norm test and the inertia bound."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.certificate import (
    DIAGONAL,
    TESTED,
    bracket,
    eigenvalue_lower_bounds,
    eigenvalue_upper_bounds,
    norm_beside,
    norm_by_cholesky,
    norm_upper_bound,
)
from maskgraph.theory.solver.engine import Apply
from maskgraph.theory.solver.host import HOST
from tests.theory.toys import Array

ROUNDING = 1e-12
"""Dense products and eigenvalues at order 60 and norm 1: 60 · 2⁻⁵² ≈ 1e-14, with room for 1/s in the bounds."""


def psd(values: Array, rng: np.random.Generator) -> Array:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    Q = np.linalg.qr(rng.standard_normal((len(values), len(values))))[0]
    return np.asarray(Q * values @ Q.T)


def times(C: Array) -> Apply:
    """C as a function."""

    def apply(x: Array) -> Array:
        return np.asarray(C @ x)

    return apply


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.05, 2.0])
@pytest.mark.parametrize("degree", [1, 5, 40])
def test_norm_is_bounded_except_with_the_stated_probability(ratio: float, degree: int) -> None:
    # 400 trials at δ = 0.05 fail 20 times in the mean, and more than 45 with probability below 1e-6.
    failure, trials, guess = 0.05, 400, 0.3
    allowed = int(scipy.stats.binom.isf(1e-6, trials, failure))
    failed = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        C = np.diag(ratio * guess * np.concatenate([[1.0], rng.random(29)]))
        bound = norm_upper_bound(times(C), 30, guess, degree, failure, rng)
        assert bound >= guess
        failed += bound < ratio * guess
    assert failed <= allowed


@pytest.mark.parametrize("seed", range(50))
def test_norm_bound_at_the_probability_in_use(seed: int) -> None:
    rng = np.random.default_rng(seed)
    C = psd(np.sort(rng.random(40)), rng)
    norm = float(np.linalg.norm(C, 2))
    for guess in (0.6 * norm, norm, 1.5 * norm):
        assert norm_upper_bound(times(C), 40, guess, 40, 1e-12, rng) >= norm


@pytest.mark.parametrize("error", [0.0, 1e-5, 1e-4, 1e-3])
def test_norm_bound_by_its_formula(error: float) -> None:
    rng = np.random.default_rng(3)
    C, guess, degree, failure = psd(np.linspace(0, 1, 12), rng), 0.4, 7, 1e-3
    found = norm_upper_bound(times(C), 12, guess, degree, failure, np.random.default_rng(11), error)
    block = np.random.default_rng(11).standard_normal((12, TESTED))
    values, Q = np.linalg.eigh(C)
    chebyshev = np.polynomial.chebyshev.Chebyshev.basis(degree)(2 * values / guess - 1)
    size = np.linalg.norm(Q * chebyshev @ Q.T @ block)
    quantile = scipy.stats.chi2(TESTED).ppf(failure)
    # What products lose may hide as much of the block; where that is all of it, nothing is shown.
    left = quantile**0.5 - (4 * error / guess + 8 * EPS * (error > 0)) * degree**2 * np.linalg.norm(block)
    expected = guess * (1 + np.cosh(np.arccosh(size / left) / degree)) / 2 if left > 0 else np.inf
    assert (error == 1e-3) == (left <= 0)
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_the_bound_tightens_with_the_degree() -> None:
    C = psd(np.linspace(0, 1, 50), np.random.default_rng(0))
    bounds = [norm_upper_bound(times(C), 50, 1.0, q, 1e-10, np.random.default_rng(1)) for q in (10, 40, 160, 640)]
    assert bounds == sorted(bounds, reverse=True)
    assert 1 <= bounds[-1] < 1.001


@pytest.mark.parametrize("guess", [0.3, 1e-3, 1e-12])
@pytest.mark.parametrize("degree", [40, 160, 640])
def test_a_guess_far_too_low_is_no_overflow(guess: float, degree: int) -> None:
    # What a solver missed can be far above the guess: T_640(2·0.9/0.3 − 1) is already 10⁶³⁶.
    C = np.diag(np.concatenate([[0.9], np.linspace(0, guess, 29)]))
    bound = norm_upper_bound(times(C), 30, guess, degree, 1e-10, np.random.default_rng(0))
    # √(240/0.014) ≈ 131 for the size of the block and the quantile at 1e-10; its 40th root is 1.13, squared in cosh.
    assert 0.9 <= bound < 0.9 * 2.5


def test_nothing_left_to_bound() -> None:
    assert norm_upper_bound(times(np.zeros((9, 9))), 9, 0.2, 3, 1e-10, np.random.default_rng(0)) >= 0.2


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-2])
def test_eigenvalues_are_bounded_also_where_some_were_dropped(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    size, kept = 30, 8
    true = np.sort(rng.random(size))[::-1]
    true[2:5] = true[2]
    A = psd(true, rng)
    values, Q = np.linalg.eigh(A)
    order = rng.permutation(12)[:kept]
    basis = np.linalg.qr(Q[:, ::-1][:, order] + noise * rng.standard_normal((size, kept)))[0]
    theta, turn = np.linalg.eigh(basis.T @ A @ basis)
    theta, U = theta[::-1], (basis @ turn)[:, ::-1]
    R = A @ U - U * theta
    P = np.eye(size) - U @ U.T
    nu = float(np.linalg.norm(P @ A @ P, 2))
    upper = eigenvalue_upper_bounds(theta, R.T @ R, nu)
    assert (upper >= values[::-1][:kept] - ROUNDING).all()
    assert (upper >= theta - ROUNDING).all()
    assert (np.diff(upper) <= ROUNDING).all()


def test_bounds_are_sharp_where_nothing_was_dropped() -> None:
    rng = np.random.default_rng(1)
    true = np.linspace(1, 0, 20)
    A = psd(true, rng)
    values, Q = np.linalg.eigh(A)
    U, theta = Q[:, ::-1][:, :5], values[::-1][:5]
    R = A @ U - U * theta
    assert eigenvalue_upper_bounds(theta, R.T @ R, float(true[5])) == pytest.approx(true[:5], abs=1e-10)
    # A ν that reaches the third value says nothing finer than ν of all that lie below it.
    upper = eigenvalue_upper_bounds(theta, R.T @ R, float(true[2]) + 0.01)
    assert upper == pytest.approx(np.maximum(true[:5], true[2] + 0.01), abs=1e-10)


def test_bounds_by_their_formula() -> None:
    rng = np.random.default_rng(7)
    theta = np.array([0.9, 0.5, 0.4])
    E = 1e-2 * rng.standard_normal((4, 3))
    nu = 0.3
    found = eigenvalue_upper_bounds(theta, E.T @ E, nu)
    # Every s is valid, so the least over a fine grid is the most that the formula can give.
    grid = np.geomspace(1e-6, 2, 4000)
    shifted = np.array([np.linalg.eigvalsh(np.diag(theta) + E.T @ E / s)[::-1] for s in grid])
    best = np.maximum(nu + grid[:, None], shifted).min(axis=0)
    assert (found >= best - 1e-3).all()
    assert found == pytest.approx(best, abs=1e-3)
    for _ in range(50):
        D = psd(nu * rng.random(4), rng)
        A = np.block([[np.diag(theta), E.T], [E, D]])
        assert (np.linalg.eigvalsh(A)[::-1][:3] <= found + ROUNDING).all()


def test_a_violated_norm_is_noticed_by_the_formula() -> None:
    # ν is what the bound rests on: with ν below ‖D‖ it fails, so no test above passes for free.
    A = np.diag([0.9, 0.8, 0.7])
    theta = np.array([0.9, 0.7])
    assert eigenvalue_upper_bounds(theta, np.zeros((2, 2)), 0.1)[1] < 0.8
    assert eigenvalue_upper_bounds(theta, np.zeros((2, 2)), 0.8)[1] >= np.linalg.eigvalsh(A)[1]


@pytest.mark.parametrize("seed", range(10))
def test_a_cluster_is_bounded_though_other_vectors_have_not_converged(seed: int) -> None:
    """Θ + RᵀR/s of an s that is small is large, and what rounding leaves of its eigenvalues is large with it."""
    rng = np.random.default_rng(seed)
    kept, coupled = int(rng.integers(20, 60)), int(rng.integers(1, 10))
    theta, D = np.full(kept, 0.5), np.diag(rng.uniform(0, 0.02, 80))
    turned = np.linalg.qr(rng.standard_normal((kept, kept)))[0]
    E = 0.1 / 80**0.5 * rng.standard_normal((80, coupled)) @ turned[:, :coupled].T
    values = np.linalg.eigvalsh(np.block([[np.diag(theta), E.T], [E, D]]))[::-1][:kept]
    assert (values <= eigenvalue_upper_bounds(theta, E.T @ E, 0.02) + ROUNDING).all()


@pytest.mark.parametrize("seed", range(10))
def test_no_eigenvalue_is_made_of_the_root_of_a_rounding(seed: int) -> None:
    """Vectors of eigenvalue 0, nearly: A² is 0 on them, and the root of the last digit of 1 is 1e-8."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([[1.0], np.sort(rng.random(9))[::-1], np.zeros(50)])
    A = psd(values, rng)
    U = np.linalg.eigh(A)[1][:, ::-1][:, :20] + 1e-6 * rng.standard_normal((60, 20))
    theta, turned = np.linalg.eigh(np.linalg.qr(U)[0].T @ A @ np.linalg.qr(U)[0])
    theta, U = theta[::-1], np.linalg.qr(U)[0] @ turned[:, ::-1]
    R = A @ U - U * theta
    lower = eigenvalue_lower_bounds(theta, R.T @ R)
    assert (lower <= values[:20] + ROUNDING).all()
    assert (lower >= np.maximum(theta, values[:20] - 1e-6)).all()


class Product:
    """A dense A of norm 1 as a `Gram` whose products are off by `error` as far as anyone is told."""

    def __init__(self, A: Array, error: float = 0.0) -> None:
        self.size, self.entries, self.columns, self.error = len(A), A.size, 0, error
        self._A = A

    def __call__(self, x: Array) -> Array:
        return np.asarray(self._A @ x)

    def dense(self) -> Array:
        return self._A.copy()

    def step(self, x: Array) -> Array:
        return self(x)


VALUES = np.concatenate([[1.0, 0.8, 0.7, 0.5], np.linspace(0.3, 0, 16)])
"""The four that a basis holds, and others up to ν = 0.3."""

NU = 0.3


@pytest.mark.parametrize("stretch", [-1e-9, -1e-7, 1e-9, 1e-7])
def test_a_basis_that_is_not_orthonormal_brackets_all_the_same(stretch: float) -> None:
    """Columns longer by a share δ put every Ritz value off by 2δ of it, and no residual tells."""
    A = psd(VALUES, np.random.default_rng(2))
    U = np.linalg.eigh(A)[1][:, ::-1][:, :4] * (1 + stretch)
    found = bracket(U, A @ U, NU, Product(A), HOST)
    ritz = np.diag(U.T @ A @ U)[1:4]
    # What is found is off by far more than rounding, on the side that the stretch says.
    assert (np.sign(stretch) * (ritz - VALUES[1:4]) > abs(stretch) * VALUES[1:4]).all()
    assert (found.lower <= VALUES[1:4]).all()
    assert (VALUES[1:4] <= found.upper).all()
    # Four times ‖UᵀU − I‖ = |2δ + δ²|√4, and what four columns of sums of 256 terms may round, twice.
    rounded = 4 * 2 * 4 * (256 + 14) * EPS
    assert found.slack == pytest.approx(8 * abs(2 * stretch + stretch**2), rel=0, abs=rounded)
    assert NU <= found.nu <= NU + found.slack


def test_what_vectors_mix_of_a_cluster_is_bracketed() -> None:
    """Two eigenvalues nearer than `DIAGONAL` whose vectors are turned by 45°: both Ritz values are their mean."""
    apart = DIAGONAL / 1.5
    values = VALUES.copy()
    values[1:3] = 0.8 + apart, 0.8 - apart
    Q = np.eye(20)
    Q[1:3, 1:3] = np.array([[1, -1], [1, 1]]) / 2**0.5
    A, U = np.diag(values), Q[:, :3]
    found = bracket(U, A @ U, values[3], Product(A), HOST)
    assert np.abs(np.diag(U.T @ A @ U)[1:] - 0.8).max() < 1e-15
    assert found.upper[0] >= values[1]
    assert found.lower[1] <= values[2]


@pytest.mark.parametrize("error", [1e-12, 1e-9])
def test_products_that_are_off_are_allowed_for_in_the_bracket(error: float) -> None:
    """A product that returns A + E in place of A, ‖E‖ = e, has the eigenvalues of A + E."""
    A = psd(VALUES, np.random.default_rng(2))
    for sign in (-1, 1):
        U = np.linalg.eigh(A)[1][:, ::-1][:, :4]
        found = bracket(U, A @ U + sign * error * U, NU, Product(A, error), HOST)
        assert (found.lower <= VALUES[1:4]).all()
        assert (VALUES[1:4] <= found.upper).all()


@pytest.mark.parametrize("error", [1e-12, 1e-9])
@pytest.mark.parametrize("degree", [12, 100])
def test_a_guess_that_rounding_would_hide_is_raised(error: float, degree: int) -> None:
    """Nothing of norm above 1e-15 is left: what is shown is what rounding lets anyone see, and not only ν <= 1."""
    values = np.concatenate([VALUES[:4], np.zeros(16)])
    A = psd(values, np.random.default_rng(2))
    U = np.linalg.eigh(A)[1][:, ::-1][:, :4]
    gram, failure = Product(A, error), 1e-10
    nu = norm_beside(gram, U, 0.0, EPS, degree, failure, np.random.default_rng(5), HOST)
    quantile = scipy.stats.chi2(TESTED).ppf(failure)
    floor = 16 * error * degree**2 * (20 * TESTED / quantile) ** 0.5
    # √(160/0.014) ≈ 108 for the size of the block and the quantile, and a quarter lost: cosh(5.7/12) = 1.11.
    assert floor <= nu < 1.06 * floor < 0.02


@pytest.mark.parametrize("size", [3, 40, 200])
def test_a_factorisation_shows_a_norm_or_nothing(size: int) -> None:
    rng = np.random.default_rng(size)
    root = rng.standard_normal((size, size))
    C = root @ root.T
    C /= np.linalg.eigvalsh(C)[-1]
    # Only the half below the diagonal counts.
    C[np.triu_indices(size, 1)] = 7.0
    assert 1.0 <= norm_by_cholesky(C.copy(), 1.0 + 1e-9) <= 1.0 + 2e-9 + 4 * (size + 2) ** 2 * EPS
    assert norm_by_cholesky(C.copy(), 1.0 - 1e-9) == np.inf
    C[size - 1, 0] = np.nan
    assert norm_by_cholesky(C, 2.0) == np.inf
