"""Block Lanczos on what is left beside known eigenvectors: Ritz vectors of the largest eigenvalues there."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.basis import BLOCK, LOST, Basis, cleaned, orthonormal, random_block
from maskgraph.theory.solver.certificate import (
    LOW_DEGREE,
    TESTED,
    degree_to_separate,
    project_out,
    tall_product,
)
from maskgraph.theory.solver.engine import Array, Engine, Floats, Gram
from maskgraph.theory.solver.goal import Goal

DEGREE = 8
"""Highest degree of a polynomial filter."""

ALONG = 1 / 8
"""How large what rounding has of the known eigenvector may become in a filter, beside the largest of what is wanted."""

SPREAD = 1e3
"""How much larger a filter may be at the first eigenvalue than at its edge: float32 keeps four digits of the least."""

PAYS = 18
"""Numbers of the basis to an entry of the factor from which on a pass over the basis costs more than a product: both
are read twice, the first as 4 bytes, the second as 8 and a cache line of the block."""

BUFFER = 8
"""Eigenpairs beyond those wanted that a solve brings at least, so that what is left falls below the last one wanted."""

GROWTH = 1.2
"""The basis grows by at most this factor from one look at its Ritz values to the next."""

FEW = 5
"""A matrix of how many times the eigenvalues that are wanted takes longer when all are computed."""

LOOK = 10
"""Operations of a look for each cube of columns, where a step has 4 a column for each entry of factor and basis."""

NEGLIGIBLE = 1e-10
"""What a sum of squares may always be unsure of: where little is left, a relative width asks for less than rounding."""

NEAR_ZERO = 1e-6
"""Eigenvalues whose squares do not count, 1e-12 each; a test of `LOW_DEGREE` bounds what is left by little more."""

CLUSTER = 1e-3
"""Relative distance of the last Ritz value to the last wanted one from which on no test is asked to tell them apart."""

CLUSTER_DEGREE = 80

REACH = 96
"""Ritz values looked at beyond those needed."""

BASIS = 2000
"""Most columns of the basis beyond eight times those wanted."""


def lanczos(
    gram: Gram, locked: Array, need: int, goal: Goal, rng: np.random.Generator, engine: Engine, dtype: type
) -> Array:
    """Ritz vectors of A on the complement of what is locked.

    Block Lanczos with partial reorthogonalisation (Simon 1984): a pass over the basis is made where a new block is seen
    to have something of it. It ends where the residuals put the sum of the `need` largest squares within the width.
    Where the basis costs more than the products it starts again with a polynomial of A, which needs fewer vectors for
    more products.

    Args:
        gram: A.
        locked: (m, l) nearly orthonormal float64.
        need: how many eigenvalues are looked for.
        goal: how well, and how many in all.
        rng: of start blocks.
        engine: what `locked` belongs to.
        dtype: of the basis.

    Returns:
        (m, l + p) float64, what is locked and p >= need Ritz vectors, not quite orthonormal.
    """
    size = gram.size
    fixed = engine.cast(locked, dtype)
    most = min(BASIS + 8 * goal.want, size - int(locked.shape[1]) - BLOCK)
    step = _Filter(0.0, 1, 1.0)
    basis = Basis(engine, fixed, size, dtype)
    block = orthonormal(project_out(random_block(BLOCK, basis, rng), fixed, engine), basis, rng)[0]
    projected = np.zeros((most + BLOCK, most + BLOCK))
    coupling = np.zeros((BLOCK, BLOCK))
    looks = _Looks(need, gram)
    previous, again = block, False
    while True:
        at = basis.count
        basis.append(block)
        image = step.apply(gram, block, engine)
        # The two blocks that exact arithmetic would need: after a step alone they still stand in memory without gaps.
        last, before = (block, previous) if step.degree == 1 else (basis.columns(at), basis.columns(max(at - BLOCK, 0)))
        own = tall_product(last, image, engine)
        engine.subtract(image, last, own)
        projected[at : basis.count, at : basis.count] = (own + own.T) / 2
        if at:
            engine.subtract(image, before, coupling.T)
            projected[at - BLOCK : at, at : basis.count] = coupling.T
            projected[at : basis.count, at - BLOCK : at] = coupling
        project_out(image, fixed, engine)
        previous = block
        block, coupling = orthonormal(image, basis, rng)
        overlap = basis.overlap(block)
        if overlap > LOST * float(np.finfo(dtype).eps) or again:
            # What rounding leaves of earlier blocks grows by a factor a step, and comes from the last two: both are
            # made clean.
            block, coupling = cleaned(block, coupling, overlap, basis, rng)
            again = not again
        full = basis.count + BLOCK > most
        if not full and basis.count < looks.due:
            continue
        looked = basis.count
        values, Y = (engine.ranks.agree(part) for part in largest(projected[:looked, :looked], need + REACH))
        theta, left = step.eigenvalues(values), step.images(values, coupling @ Y[at:looked])
        rest = max(goal.frobenius - 1 - math.fsum(theta[:need] ** 2), EPS)
        count = _cheapest(theta, np.linalg.norm(left, axis=0), need, size, goal.failure)
        excess = _excess(theta[:count], left[:, :count], need, max(goal.width * rest, NEGLIGIBLE / 4), dtype)
        agreed = engine.ranks.agree(np.array([count, excess], float))
        count, excess = int(agreed[0]), float(agreed[1])
        if full or excess <= 1:
            return basis.times(Y[:, :count], locked)
        looks.add(looked, excess)
        looks.due = int(engine.ranks.agree(np.array([float(looks.due)]))[0])
        edge = float(theta[min(need + BUFFER, len(theta)) - 1])
        dear = step.degree == 1 and basis.count * size > PAYS * gram.entries
        if dear and edge > NEAR_ZERO and (faster := _filter(theta, edge, dtype)):
            step = faster
            # Of at least as many as a block has, which would otherwise have columns that are no more than rounding.
            held = max(count, BLOCK)
            mixed = basis.times(Y[:, :held] @ rng.standard_normal((held, BLOCK)))
            basis.clear()
            block = orthonormal(engine.cast(mixed, dtype), basis, rng)[0]
            coupling = np.zeros((BLOCK, BLOCK))
            looks = _Looks(need, gram)


def largest(symmetric: Floats, count: int) -> tuple[Floats, Floats]:
    """The `count` largest eigenvalues, or all, and eigenvectors; the largest first."""
    size = len(symmetric)
    if size > FEW * count:
        with contextlib.suppress(np.linalg.LinAlgError):
            few = (size - count, size - 1)
            values, vectors = scipy.linalg.eigh(symmetric, subset_by_index=few, check_finite=False)
            return values[::-1].copy(), vectors[:, ::-1].copy()
        # Its inverse iteration gives up on some clusters; the driver for all knows none.
    values, vectors = scipy.linalg.eigh(symmetric, driver="evd", check_finite=False)
    return values[::-1][:count].copy(), vectors[:, ::-1][:, :count].copy()


class _Looks:
    """When to look at the Ritz values next: what is uncertain of them falls by about a factor a column.

    Attributes:
        due: how many columns there have to be.
    """

    def __init__(self, need: int, gram: Gram) -> None:
        self.due = need + BUFFER + BLOCK
        self._gram = gram
        self._last = (0, math.inf)

    def add(self, looked: int, excess: float) -> None:
        """With so many columns the uncertainty exceeded what is allowed by a factor."""
        before, last = self._last
        self._last = (looked, excess)
        fall = math.log(last / excess) if excess < last < math.inf else 0.0
        columns = (looked - before) * math.log(excess) / fall if fall else math.inf
        # Where a look costs more than steps there is no hurry: about as much goes into the steps to the next.
        dear = LOOK * looked**3 / (4 * (self._gram.entries + self._gram.size * looked))
        # The nearest number of blocks to what is expected.
        self.due = math.ceil(looked + max(min(columns - BLOCK / 2, (GROWTH - 1) * looked), dear / 2))


@dataclass(frozen=True)
class _Filter:
    """A polynomial of A that is small on [0, edge] and grows beyond: T_d(2A/edge − 1), scaled to norm about 1.

    Attributes:
        edge: the end of what is damped.
        degree: d; 1 without an edge is A itself.
        scale: the polynomial at the largest eigenvalue.
    """

    edge: float
    degree: int
    scale: float

    def apply(self, gram: Gram, x: Array, engine: Engine) -> Array:
        """The polynomial times a block."""
        if self.degree == 1:
            return gram.step(x)
        current = gram.step(x)
        current *= 2 / self.edge
        current -= x
        previous = x
        for _ in range(self.degree - 1):
            previous, current = current, engine.chebyshev_step(gram.step(current), current, previous, self.edge)
        # What rounding has of the fixed ones has grown more than the wanted, but no further than `_filter` lets it.
        current *= 1 / self.scale
        return current

    def eigenvalues(self, values: Floats) -> Floats:
        """Those of A, for eigenvalues of the polynomial; `edge` for what is damped."""
        if self.degree == 1:
            return values
        grown = np.arccosh(np.maximum(values * self.scale, 1.0))
        return np.asarray(self.edge / 2 * (1 + np.cosh(grown / self.degree)))

    def images(self, values: Floats, left: Floats) -> Floats:
        """About what A leaves of Ritz vectors, from what the polynomial leaves of them.

        A residual of the polynomial is that of a component in what is damped over the distance to it.
        """
        if self.degree == 1:
            return left
        away = np.maximum(values - 1 / self.scale, EPS)
        return np.asarray(left * (self.eigenvalues(values) / away))


def _filter(theta: Floats, edge: float, dtype: type) -> _Filter | None:
    """The highest degree up to `DEGREE` whose growth over the wanted values float32 can still tell apart.

    Where those are far below the known eigenvalue 1, what a block has of its vector by rounding would outgrow them:
    then a lower degree, or none.
    """
    reach = math.acosh(max(2 * float(theta[0]) / edge - 1, 1.0))
    beyond = math.acosh(max(2 / edge - 1, 1.0))
    degree = int(min(max(math.acosh(SPREAD) / max(reach, EPS), 2), DEGREE))
    # cosh(dx)/cosh(dy) < 2 exp(d(x − y)), which cannot overflow.
    while degree > 1 and degree * (beyond - reach) > math.log(ALONG / (2 * float(np.finfo(dtype).eps))):
        degree -= 1
    return _Filter(edge, degree, math.cosh(degree * reach)) if degree > 1 else None


def _excess(theta: Floats, left: Floats, need: int, width: float, dtype: type) -> float:
    """By which factor the bracket of these Ritz values, with what the iteration left of each, is too wide; 1 is enough.

    Where they end in a cluster nothing tells them from the rest; then small residuals have to do.
    """
    noise = 8 * float(np.finfo(dtype).eps)
    gap = float(theta[need - 1] - theta[-1]) / 2
    sizes = np.linalg.norm(left, axis=0)
    if gap <= noise * theta[0]:
        return float(sizes[:need].max()) / (16 * noise)
    upper = np.linalg.eigvalsh(np.diag(theta) + left.T @ left / gap)[::-1][:need]
    uncertain = float((upper**2).sum() - (theta[:need] ** 2).sum())
    # Below what rounding leaves in the residuals there is nothing to wait for.
    return uncertain / max(width, 2 * float(theta[:need].sum()) * noise**2 / gap)


def _cheapest(theta: Floats, residual: Floats, need: int, size: int, failure: float) -> int:
    """How many Ritz vectors to keep: the fewer products with A they and the test of the rest take together."""
    best: tuple[float, int] = (math.inf, min(need + BUFFER, len(theta)))
    for count in range(need + BUFFER, len(theta) + 1, TESTED):
        # Beyond the converged ones a Ritz value says little about what is left.
        if residual[count - 1] > 0.05 * abs(theta[need - 1] - theta[count - 1]) and count > need + BUFFER:
            break
        if theta[count - 1] <= NEAR_ZERO:
            return count
        degree = degree_of_test(float(theta[need - 1]), float(theta[count - 1]), size, failure)
        best = min(best, (count / TESTED + degree, count))
    return best[1]


def degree_of_test(last: float, edge: float, size: int, failure: float) -> int:
    """With which a test tells what is left, of norm `edge`, from the last wanted value, in a graph of `size` views."""
    edge = max(edge, EPS)
    if edge <= NEAR_ZERO:
        return LOW_DEGREE
    if last - edge <= CLUSTER * edge:
        return CLUSTER_DEGREE
    return degree_to_separate(size, edge, (edge + last) / 2, failure)
