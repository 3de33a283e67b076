"""The top eigenpairs of one large connected component: block Lanczos in float32, Rayleigh-Ritz in float64.

Float32 halves what the basis and the products cost and finds the subspace; what is reported are Ritz values of a
float64 basis, and so lower bounds. Each comes with a bracket (`solver.certificate`): an eigenvalue that the iteration
missed shows in the norm of what is left, and is looked for there.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.basis import BLOCK, inverse_root
from maskgraph.theory.solver.certificate import (
    CHOLESKY_SIDE,
    CHOLESKY_WORK,
    MAX_DEGREE,
    bracket,
    norm_beside,
    norm_beside_for_certain,
    project_out,
    rounding,
    tall_product,
    turn,
)
from maskgraph.theory.solver.eigenpairs import Bracket, ConvergenceError, Eigenpairs
from maskgraph.theory.solver.engine import PANEL, Array, Engine, Floats, Gram
from maskgraph.theory.solver.goal import DENSELY, SHARED, Goal, most_columns
from maskgraph.theory.solver.lanczos import (
    BUFFER,
    CLUSTER,
    CLUSTER_DEGREE,
    NEAR_ZERO,
    NEGLIGIBLE,
    degree_of_test,
    lanczos,
    largest,
)
from maskgraph.theory.solver.pair import Pair

TESTS = 12
"""Most times that a solve is tested, and goes on in what is left."""

AT_ONCE = 800
"""Vertices up to which a dense solve for some eigenpairs is sooner done than the iteration, and …"""

EACH = 6
"""… as many more for each eigenvalue wanted."""

SETTLED = 1e-4
"""Residual of an eigenvector that has converged, though its cluster may not be complete."""

ORTHONORMAL = 1e-10
"""Largest defect of a basis that is left as it is; the bracket allows for it."""


def top_eigenpairs(pair: Pair, known: Floats, goal: Goal, engine: Engine) -> Eigenpairs:
    """The largest eigenpairs of A = S Sᵀ after its known one, vectors on the rows of S.

    Every process that shares the solve runs this; the first one, with all rows, has the answer.

    Args:
        pair: S (m, c) of a connected component and its transpose, ‖S‖ = 1.
        known: (m,) unit eigenvector for eigenvalue 1.
        goal: how many and how well.
        engine: where to compute.

    Raises:
        ConvergenceError: an eigenvector did not settle, in float64 either. A wide bracket alone is an answer.
    """
    if pair.whole.entries < SHARED:
        engine = engine.alone()
    pair, known = engine.ranks.share(pair, known, goal)
    rng, want = np.random.default_rng(goal.seed), goal.want
    gram = engine.gram(pair, np.float64)
    if _fits_densely(gram, engine) and gram.size <= AT_ONCE + EACH * want:
        return _densely(gram, known, want, engine)
    fits = _fits_densely(gram, engine)
    best: tuple[float, Eigenpairs] | None = None
    for dtype in (np.float32, np.float64):
        small = engine.gram(pair, np.float32) if dtype == np.float32 else gram
        try:
            found = _solve(small, gram, known, goal, rng, engine, dtype)
        except np.linalg.LinAlgError:
            # Numbers that are none: another precision, or another way.
            if fits:
                return _densely(gram, known, want, engine)
            continue
        uncertain = math.fsum(found.bracket.upper[:want] ** 2) - math.fsum(found.bracket.lower[:want] ** 2)
        uncertain = float(engine.ranks.agree(np.array([uncertain]))[0])
        if best is None or uncertain < best[0]:
            # A second solve may meet with more than the first.
            best = uncertain, found
        uncertain, found = best
        rest = max(goal.frobenius - 1 - math.fsum(found.values**2), EPS)
        # A cluster at the last wanted value that goes on beyond what was found leaves the interval wide, and right.
        clustered = found.bracket.nu >= found.values[want - 1] and float(found.residuals.max()) <= SETTLED
        allowed = 4 * float(found.values.sum()) * found.bracket.slack
        narrow = uncertain <= 4 * goal.width * rest + allowed + NEGLIGIBLE
        if engine.ranks.agree(np.array([float(narrow or (clustered and not fits))]))[0]:
            return found
        if fits:
            return _densely(gram, known, want, engine)
    if best is not None and float(best[1].residuals.max()) <= SETTLED:
        return best[1]
    low, high = 0.0, min(goal.frobenius - 1, float(want))
    if best is not None:
        low, high = (math.fsum(bound[:want] ** 2) for bound in (best[1].bracket.lower, best[1].bracket.upper))
    raise ConvergenceError(
        f"the {want} largest eigenvalues of a component of {gram.size} views did not converge; "
        f"the sum of their squares lies in [{low:.9g}, {high:.9g}]"
    )


def _solve(
    small: Gram, gram: Gram, known: Floats, goal: Goal, rng: np.random.Generator, engine: Engine, dtype: type
) -> Eigenpairs:
    U = engine.array(known[:, None], np.float64)
    theta = np.ones(1)
    want = need = goal.want
    # Two solves, each of as many tests and one when it gives up.
    goal = replace(goal, failure=goal.failure / (2 * (TESTS + 1)))
    # And a block and its image have to find room beside them.
    most = min(most_columns(want), gram.size - 2 * BLOCK)
    bar, first, tests = math.inf, True, 0
    while True:
        before = int((theta > bar).sum())
        AU = None
        U = lanczos(small, U, need, goal, rng, engine, dtype)
        AU, theta = _rayleigh_ritz(gram, U, engine)
        residuals, edge = _residuals(U, AU, theta, engine), float(theta[-1])
        if not first:
            kept = _kept(theta, residuals, want, bar, engine)
            if not kept.all():
                edge, own = float(theta[~kept].max()), np.flatnonzero(kept).tolist()
                U, AU, theta, residuals = U[:, own], AU[:, own], theta[kept], residuals[kept]
        more = int((theta > bar).sum()) >= before + BLOCK
        bar, need, first = (1 - CLUSTER) * float(theta[want]), BUFFER, False
        if more and len(theta) + BLOCK <= most:
            # A block finds as many copies of an eigenvalue as it has columns. Where it found so many that are wanted,
            # or next to the last of these, there may be more, and to look for them costs less than a test that fails.
            continue
        tests += 1
        least = degree_of_test(float(theta[want]), edge, gram.size, goal.failure)
        degree = int(engine.ranks.agree(np.array([float(least)]))[0])
        degrees = [degree] if tests == 1 else [degree, min(4 * degree, MAX_DEGREE)]
        coupling = float(np.linalg.norm(residuals))
        nu = _remainder(gram, U, float(theta[want]), edge, coupling, degrees, goal, rng, engine)
        # A norm above the last wanted value is that of what was missed, unless both are next to nothing. The first test
        # is cheap, and may say no more of what was missed than that it is at most 1.
        if nu <= max(theta[want], 2 * NEAR_ZERO) or (nu >= 1 and tests > 1) or tests == TESTS:
            break
        # Of the others many may have been brought, to make a test cheap: they give way to what is found next.
        if int((theta > bar).sum()) > most:
            break
        if _fits_densely(gram, engine) and _dense_is_due(small, gram):
            break
    last = float(theta[want])
    if nu > max((1 + CLUSTER) * last, 2 * NEAR_ZERO) and not _fits_densely(gram, engine):
        # What is left goes on at the last wanted value: a test that expects it there bounds it by little more.
        found = norm_beside(gram, U, coupling, last, 4 * CLUSTER_DEGREE, goal.failure, rng, engine)
        nu = float(engine.ranks.agree(np.array([min(nu, found)]))[0])
    answer = bracket(U, AU, nu, gram, engine)
    vectors, images = (engine.ranks.whole(engine.host(x[:, 1 : want + 1])) for x in (U, AU))
    return Eigenpairs(theta[1 : want + 1], answer, vectors, images, residuals[1 : want + 1])


def _kept(theta: Floats, residuals: Floats, want: int, bar: float, engine: Engine) -> NDArray[np.bool_]:
    """Which Ritz vectors of a solve that goes on are worth their place.

    What is not wanted would be carried along, and where it has not converged its coupling to the rest widens the
    bracket; some beyond those wanted help the test. At first all do: the iteration went on until they do not matter.
    """
    place = np.arange(len(theta))
    helps = (residuals <= SETTLED) & (theta > NEAR_ZERO) & (place <= want + BUFFER)
    kept = engine.ranks.agree(np.where(helps | (theta > bar) | (place <= want), 1.0, 0.0)) > 0
    return np.asarray(kept)


def _fits_densely(gram: Gram, engine: Engine) -> bool:
    return gram.size <= DENSELY and engine.ranks.count == 1


def _dense_is_due(small: Gram, gram: Gram) -> bool:
    """Whether the products alone have cost what a dense solve does: 4 an entry and column against 4/3 of the cube."""
    columns = gram.columns + (small.columns if small is not gram else 0)
    return 3 * gram.entries * columns >= gram.size**3


def _densely(gram: Gram, known: Floats, want: int, engine: Engine) -> Eigenpairs:
    """The same by a dense solve: a bracket is a value and LAPACK's backward error to either side."""
    # What is known goes to the other end of the spectrum: near 1 the solver would mix it with others.
    A = gram.dense()
    A -= np.outer(2 * known, known)
    values, vectors = largest(A, want + 1)
    error = rounding(gram.size) + gram.error
    lower, upper = np.clip(values - error, 0, 1), np.clip(values + error, 0, 1)
    U, theta = engine.array(vectors[:, :want], np.float64), values[:want]
    AU = gram(U)
    found = Bracket(lower[:want], upper[:want], float(upper[want]), error)
    return Eigenpairs(theta, found, engine.host(U), engine.host(AU), _residuals(U, AU, theta, engine))


def _residuals(U: Array, AU: Array, theta: Floats, engine: Engine) -> Floats:
    """‖A u − θ u‖ of each column."""
    total, own = np.zeros(len(theta)), engine.array(theta, np.float64)
    for low in range(0, U.shape[0], PANEL):
        part = AU[low : low + PANEL] - U[low : low + PANEL] * own
        total += engine.host((part * part).sum(0))
    return np.sqrt(engine.ranks.sum(total))


def _rayleigh_ritz(gram: Gram, U: Array, engine: Engine) -> tuple[Array, Floats]:
    """Make the columns of U orthonormal and turn them to Ritz vectors, in place; their images and values, descending.

    The known eigenvector, column 0, stays as it is: near another eigenvalue 1 a Ritz step would mix the two.
    """
    rest = U[:, 1:]
    project_out(rest, U[:, :1], engine)
    root = inverse_root(tall_product(rest, rest, engine), engine)
    if float(np.linalg.norm(root - np.eye(len(root)))) ** 2 > ORTHONORMAL:
        # A symmetric correction leaves about the square of what it takes away: here too much.
        project_out(turn(rest, root, engine), U[:, :1], engine)
        root = inverse_root(tall_product(rest, rest, engine), engine)
    images = gram(U)
    theta = root @ tall_product(rest, images[:, 1:], engine) @ root
    values, vectors = (engine.ranks.agree(part) for part in np.linalg.eigh((theta + theta.T) / 2))
    for x in (rest, images[:, 1:]):
        turn(x, root @ vectors[:, ::-1], engine)
    return images, np.concatenate([[1.0], values[::-1]])


def _remainder(
    gram: Gram,
    U: Array,
    last: float,
    edge: float,
    coupling: float,
    degrees: list[int],
    goal: Goal,
    rng: np.random.Generator,
    engine: Engine,
) -> float:
    """ν of what U leaves out; a test of the next degree where one does not put it below the last wanted value.

    Args:
        gram: A.
        U: (m, p) nearly orthonormal float64.
        last: the last wanted value.
        edge: where ‖C‖ is believed to lie.
        coupling: ‖AU − UΘ‖.
        degrees: of the tests.
        goal: how well.
        rng: fresh.
        engine: what U belongs to.
    """
    cheap = gram.size <= CHOLESKY_SIDE and gram.size * gram.entries <= CHOLESKY_WORK and engine.ranks.count == 1
    if cheap and edge < last:
        nu = norm_beside_for_certain(gram, U, (edge + last) / 2, engine)
        if nu <= last:
            return nu
    nu = 1.0
    for q in degrees:
        found = norm_beside(gram, U, coupling, edge, q, goal.failure / 2, rng, engine)
        nu = float(engine.ranks.agree(np.array([min(nu, found)]))[0])
        if nu <= last or q == MAX_DEGREE or edge >= last * (1 - EPS):
            break
    return nu
