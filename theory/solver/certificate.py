"""Two-sided bounds on the eigenvalues of a symmetric positive semidefinite A, from any approximate eigenbasis.

With U orthonormal, Θ = UᵀAU, R = AU − UΘ, C = (I − UUᵀ)A(I − UUᵀ) and ν >= ‖C‖, in the basis [U, U⊥]

    A = [ Θ   Eᵀ ]   with EᵀE = RᵀR and ‖D‖ = ‖C‖ <= ν.
        [ E   D  ]

From below: UᵀA²U = Θ² + RᵀR is a compression of A², so that λ_i(A)² >= its i-th eigenvalue (Cauchy; summed over i,
Ky Fan). From above: for σ > ν the block D − σ is negative definite, so by Haynsworth's inertia additivity the number
of eigenvalues of A above σ is that of Θ − σ + Eᵀ(σ − D)⁻¹E, which is at most Θ − σ + RᵀR/(σ − ν) in the positive
semidefinite order. With σ = max(ν + s, eig_i(Θ + RᵀR/s)) for any s > 0 at most i − 1 eigenvalues exceed σ: λ_i(A) <= σ.

A residual alone says that *some* eigenvalue is near each Ritz value; it is ν that tells whether one was missed.
docs/theory.md, section 6, has the proofs and the allowance for rounding.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import gammaincinv

from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.eigenpairs import Bracket
from maskgraph.theory.solver.engine import PANEL, ROWS, Apply, Array, Engine, Floats, Gram
from maskgraph.theory.solver.host import HOST

FAILURE = 1e-10
"""Probability that the upper bounds of a graph's iterative solves fail."""

TESTED = 8
"""Columns of the random block: the more, the less the test pays for a small δ; one cache line of float64."""

MAX_DEGREE = 640
"""Highest degree of the Chebyshev test."""

CHOLESKY_SIDE = 2048
"""Vertices up to which what is left is bounded for certain, by a dense Cholesky factorisation."""

CHOLESKY_WORK = 2**28
"""Entries times vertices up to which it is: A has to be multiplied out for it."""

LOW_DEGREE = 12
"""Degree of a test that need not be sharp."""

DIAGONAL = 1e-11
"""Norm of what Ritz vectors may leave off the diagonal of UᵀAU."""

HUGE = 1e100
"""Far from overflow, and as sure a sign as any that ‖C‖ exceeds the guess."""


def rounding(size: int) -> float:
    """Backward error of a dense symmetric eigensolver on a matrix of norm 1 and this order, with room for its Gram."""
    return 8 * EPS * size


def bracket(U: Array, AU: Array, nu: float, gram: Gram, engine: Engine) -> Bracket:
    """Bounds of the eigenvalues of A beside its known first, from a basis, its image and ν.

    Args:
        U: (m, p) nearly orthonormal float64; its first column is the known eigenvector of eigenvalue 1 = ‖A‖.
        AU: (m, p) the image as `gram` computed it.
        nu: an upper bound of ‖C‖.
        gram: A, for its rounding error.
        engine: what U and AU belong to.

    Returns:
        bounds of the p − 1 eigenvalues after the first.
    """
    projected = tall_product(U, AU, engine)
    theta, turn = np.linalg.eigh((projected + projected.T) / 2)
    theta, turn = theta[::-1], turn[:, ::-1]
    off = float(np.linalg.norm(projected - np.diag(np.diag(projected))))
    if off <= DIAGONAL:
        # Ritz vectors, the usual case: nothing needs to be turned, and what is off the diagonal counts as rounding.
        order = np.argsort(-np.diag(projected), kind="stable")
        theta, turn = np.diag(projected)[order], np.eye(len(order))[:, order]
    else:
        off = 0.0
    gram_of_residual = _gram_of_residual(U, AU, (turn * theta) @ turn.T, off > 0, engine)
    gram_of_residual = turn.T @ gram_of_residual @ turn
    # ‖Δ‖ of docs/theory.md: what is computed belongs exactly to a matrix as near to A as this.
    slack = 4 * (allowance(gram, len(theta), engine) + orthogonality_defect(U, gram.size, engine) + off)
    error = (_terms(gram.size, engine) + 2 * len(theta) ** 1.5) * EPS * float(np.trace(gram_of_residual))
    upper = eigenvalue_upper_bounds(theta, gram_of_residual, nu, error) + slack
    lower = eigenvalue_lower_bounds(theta, gram_of_residual, error) - slack
    return Bracket(np.clip(lower[1:], 0, 1), np.clip(upper[1:], 0, 1), min(nu + slack, 1.0), slack)


def _gram_of_residual(U: Array, AU: Array, theta: Floats, diagonal: bool, engine: Engine) -> Floats:
    """RᵀR with R = AU − UΘ, `ROWS` rows at a time."""
    total = np.zeros_like(theta)
    held = engine.array(np.diag(theta) if diagonal else theta, np.float64)
    for low in range(0, U.shape[0], ROWS):
        rows = slice(low, low + ROWS)
        R = AU[rows] - (U[rows] * held if diagonal else U[rows] @ held)
        total += engine.host(R.T @ R)
    return engine.ranks.sum(total)


def allowance(gram: Gram, columns: int, engine: Engine) -> float:
    """What rounding does to UᵀAU and to AU − UΘ in norm, ‖U‖ = ‖A‖ = 1: error of A and of sums of `ROWS` terms."""
    return columns * (_terms(gram.size, engine) + columns) * EPS + math.sqrt(columns) * gram.error


def _terms(size: int, engine: Engine) -> float:
    """Additions that a term of a sum over rows goes through: those of its block, of all blocks, of all processes."""
    return ROWS + size / ROWS + 2 * engine.ranks.count


def orthogonality_defect(U: Array, size: int, engine: Engine) -> float:
    """A bound on ‖UᵀU − I‖ of (size, p) columns, rounding included."""
    columns = int(U.shape[1])
    defect = float(np.linalg.norm(tall_product(U, U, engine) - np.eye(columns)))
    return defect + columns * _terms(size, engine) * EPS


def tall_product(x: Array, y: Array, engine: Engine) -> Floats:
    """Xᵀy of two tall matrices on the host, summed over the processes that share their rows."""
    return engine.ranks.sum(engine.inner(x, y))


def project_out(x: Array, U: Array, engine: Engine) -> Array:
    """X − U(Uᵀx), in place."""
    engine.subtract(x, U, tall_product(U, x, engine))
    return x


def turn(x: Array, coefficients: Floats, engine: Engine) -> Array:
    """X·coefficients, square, in place and panel by panel: memory that is new costs more than the product."""
    own = engine.array(coefficients, np.float32 if engine.single(x) else np.float64)
    for low in range(0, x.shape[0], PANEL):
        x[low : low + PANEL] = x[low : low + PANEL] @ own
    return x


def norm_upper_bound(
    apply: Apply,
    size: int,
    guess: float,
    degree: int,
    failure: float,
    rng: np.random.Generator,
    error: float = 0.0,
    project: Apply | None = None,
    engine: Engine = HOST,
) -> float:
    """ν with ‖C‖ <= ν except with probability `failure`, for symmetric positive semidefinite C.

    Chebyshev test on a fresh Gaussian block Ω (size × r): if ‖C‖ > a, with unit top eigenvector u,
    ‖T_q(2C/a − I)Ω‖_F >= T_q(2‖C‖/a − 1)·‖uᵀΩ‖ and ‖uᵀΩ‖² is χ²_r, hence above its δ-quantile with
    probability 1 − δ; solve for ‖C‖. (In the manner of Kuczyński and Woźniakowski, SIAM J. Matrix Anal. 1992.)

    Args:
        apply: C times a (size, r) block.
        size: order of C.
        guess: a > 0, where ‖C‖ is believed to lie; the answer is never below it.
        degree: q of the polynomial; the answer exceeds max(a, ‖C‖) by a factor of about 1 + (log(size)/q)²/4.
        failure: δ.
        rng: source of Ω; must be fresh, independent of what C was made from.
        error: a bound on ‖computed − exact‖ of `apply` for a column of norm 1.
        project: the orthogonal projection outside whose range C is 0; Ω is projected once, and `apply` then
            given nothing outside it.
        engine: what `apply` takes and gives.

    Returns:
        ν, infinite where rounding could hide what is looked for: with an error, `guess` has a floor.
    """
    omega = rng.standard_normal((size, TESTED))
    previous = engine.array(engine.ranks.rows(omega), np.float64)
    if project is not None:
        previous = project(previous)
    current = apply(previous) * (2 / guess) - previous
    reached = 1
    norm = _norm(current, engine)
    # Where ‖C‖ is far above the guess the recurrence explodes; the test is valid at whatever degree it has reached.
    while reached < degree and norm < HUGE:
        previous, current = current, engine.chebyshev_step(apply(current), current, previous, guess)
        reached += 1
        norm = _norm(current, engine)
    # A step's rounding grows no faster than T_q: docs/theory.md.
    lost = (4 * error / guess + 8 * EPS * (error > 0)) * reached**2 * float(np.linalg.norm(omega))
    left = math.sqrt(chi_square_quantile(failure)) - lost
    if left <= 0:
        return math.inf
    return float(guess) / 2 * (1 + math.cosh(math.acosh(max(norm / left, 1.0)) / reached))


def norm_beside(
    gram: Gram,
    U: Array,
    coupling: float,
    guess: float,
    degree: int,
    failure: float,
    rng: np.random.Generator,
    engine: Engine,
) -> float:
    """ν of C = (I − UUᵀ)A(I − UUᵀ) by `norm_upper_bound`, at most 1; its guess is raised to what rounding allows.

    Args:
        gram: A, of norm 1.
        U: (m, p) nearly orthonormal float64.
        coupling: ‖AU − U(UᵀAU)‖ or more.
        guess: where ‖C‖ is believed to lie.
        degree: of the polynomial.
        failure: δ.
        rng: fresh.
        engine: what U belongs to.
    """

    def project(x: Array) -> Array:
        return project_out(x, U, engine)

    def left(x: Array) -> Array:
        return project(gram.step(x))

    columns = int(U.shape[1])
    # What a projection's own rounding leaves lies in the span of U: the next removes it, and only the coupling lets any
    # of it through.
    error = gram.error + (columns + 8) * EPS + min(coupling, 1.0) * gram.size * math.sqrt(columns) * EPS
    floor = 16 * error * degree**2 * math.sqrt(gram.size * TESTED / chi_square_quantile(failure))
    guess = min(max(guess, floor), 1.0)
    return min(norm_upper_bound(left, gram.size, guess, degree, failure, rng, error, project, engine), 1.0)


def norm_beside_for_certain(gram: Gram, U: Array, sigma: float, engine: Engine) -> float:
    """ν of C = (I − UUᵀ)A(I − UUᵀ): σ and an allowance if a Cholesky factorisation shows that, else infinite."""
    basis = engine.host(U)
    if 2 * basis.shape[1] > gram.size:
        return math.inf
    C = gram.dense()
    # (I − UUᵀ)A(I − UUᵀ) = A − UWᵀ − (W − U(UᵀW))Uᵀ with W = AU.
    image = C @ basis
    C -= np.hstack([basis, image - basis @ (basis.T @ image)]) @ np.hstack([image, basis]).T
    return norm_by_cholesky(C, sigma) + gram.error


def norm_by_cholesky(C: Floats, sigma: float) -> float:
    """ν with ‖C‖ <= ν for certain: σ and an allowance where σ − C has a Cholesky factor, else infinite.

    That the factorisation runs through in floating point shows that no eigenvalue of σ − C is below
    −γ_{n+1} tr(σ − C) (Rump, BIT 2006).

    Args:
        C: (n, n) symmetric positive semidefinite, as computed from an exact one by products of n terms an entry; the
            half below its diagonal is read, and overwritten.
        sigma: σ > 0.
    """
    size = len(C)
    allowed = 4 * (size + 2) ** 2 * EPS * max(sigma, 1.0)
    np.negative(C, out=C)
    C[np.diag_indices(size)] += sigma
    try:
        # As LAPACK has it, column by column, that half is the one above.
        factor = scipy.linalg.cholesky(C.T, lower=False, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return math.inf
    # LAPACK takes no notice of what is not a number; every pivot after it is none either.
    return sigma + allowed if np.isfinite(np.trace(factor)) else math.inf


def _norm(x: Array, engine: Engine) -> float:
    return math.sqrt(float(np.trace(tall_product(x, x, engine))))


def chi_square_quantile(failure: float) -> float:
    """The δ-quantile of χ² with `TESTED` degrees of freedom."""
    return 2 * float(gammaincinv(TESTED / 2, failure))


def degree_to_separate(size: int, guess: float, target: float, failure: float) -> int:
    """The least degree at which the test of a C of norm `guess` (the usual outcome) stays below `target`."""
    if target <= guess:
        return MAX_DEGREE
    growth = math.acosh(math.sqrt(size * TESTED / chi_square_quantile(failure)))
    return min(max(math.ceil(growth / math.acosh(2 * target / guess - 1)), 2), MAX_DEGREE)


def eigenvalue_lower_bounds(theta: Floats, residual_gram: NDArray[np.float64], error: float = 0.0) -> Floats:
    """λ_i(A) >= the i-th entry, from Ritz values and residuals (see the module's text).

    Args:
        theta: (p,) Ritz values, descending: Θ is diagonal.
        residual_gram: (p, p) RᵀR in that basis.
        error: a bound on ‖computed − exact‖ of it.

    Returns:
        (p,) float64, descending.
    """
    squares = scipy.linalg.eigvalsh(np.diag(theta**2) + residual_gram)[::-1]
    # The root of a small square would magnify what rounding left of the large ones; a Ritz value is a bound by itself.
    sure = squares - rounding(len(theta)) * squares[0] - error
    return np.asarray(np.maximum(np.sqrt(np.maximum(sure, 0)), theta))


def eigenvalue_upper_bounds(theta: Floats, residual_gram: NDArray[np.float64], nu: float, error: float = 0.0) -> Floats:
    """λ_i(A) <= the i-th entry, from Ritz values and residuals (see the module's text).

    Args:
        theta: (p,) Ritz values, descending: Θ is diagonal.
        residual_gram: (p, p) RᵀR in that basis.
        nu: an upper bound of ‖C‖.
        error: a bound on ‖computed − exact‖ of RᵀR.

    Returns:
        (p,) float64, descending.
    """
    gap = np.abs(theta - nu)
    best = np.full(len(theta), np.inf)
    # Any s > 0 is valid: the gap of each Ritz value to ν is the best for that value, the others serve clusters at ν.
    # Beyond 32 of them, the gaps nearest to ν and a spread of the rest.
    gaps = np.unique(gap[gap > 0])
    if len(gaps) > 32:
        gaps = np.concatenate([gaps[:16], gaps[np.linspace(16, len(gaps) - 1, 16).astype(int)]])
    for s in np.unique(np.concatenate([gaps, np.logspace(-12, -2, 6)])):
        shifted = scipy.linalg.eigvalsh(np.diag(theta) + residual_gram / s)[::-1]
        # What a small s makes large is rounded as such, and the least of several would be the one that lost most.
        lost = rounding(len(theta)) * max(shifted[0], -shifted[-1]) + error / s
        best = np.minimum(best, np.maximum(nu + s, shifted + lost))
    return best
