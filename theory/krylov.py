"""The top eigenpairs of one large connected component: block Lanczos in float32, Rayleigh-Ritz in float64.

Float32 halves what the basis and the products cost and finds the subspace; what is reported are Ritz values of a
float64 basis, and so lower bounds. Each comes with a bracket (`theory.certificate`): an eigenvalue that the iteration
missed shows in the norm of what is left, and is looked for there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from maskgraph.theory.certificate import (
    CHOLESKY_SIDE,
    CHOLESKY_WORK,
    EPS,
    LOW_DEGREE,
    MAX_DEGREE,
    PANEL,
    TESTED,
    Bracket,
    bracket,
    chebyshev_step,
    degree_to_separate,
    norm_beside,
    norm_beside_for_certain,
    project_out,
    tall_product,
)
from maskgraph.theory.engine import Array, Engine, Floats, Gram
from maskgraph.theory.products import Pair

BLOCK = 16
"""Columns of a step: one cache line of float32."""

DEGREE = 8
"""Highest degree of a polynomial filter."""

SPREAD = 1e3
"""How much larger a filter may be at the first eigenvalue than at its edge: float32 keeps four digits of the least."""

PAYS = 18
"""Numbers of the basis to an entry of the factor from which on a pass over the basis costs more than a product: both
are read twice, the first as 4 bytes, the second as 8 and a cache line of the block."""

BUFFER = 8
"""Eigenpairs beyond those wanted that a solve brings at least, so that what is left falls below the last one wanted."""

GROWTH = 1.15
"""The basis grows by this factor from one look at its Ritz values to the next."""

ROUNDS = 12
"""Most times that a solve goes on in what is left."""

SETTLED = 1e-4
"""Residual of an eigenvector that has converged, though its cluster may not be complete."""

NEGLIGIBLE = 1e-10
"""What a sum of squares may always be unsure of: where little is left, a relative width asks for less than rounding."""

NEAR_ZERO = 1e-6
"""Eigenvalues whose squares do not count, 1e-12 each; a test of `LOW_DEGREE` bounds what is left by little more."""

CLUSTER = 1e-3
"""Relative distance of the last Ritz value to the last wanted one from which on no test is asked to tell them apart."""

CLUSTER_DEGREE = 80

REACH = 96
"""Ritz values looked at beyond those needed."""

ORTHONORMAL = 1e-10
"""Largest defect of a basis that is left as it is; the bracket allows for it."""

SHORT = 1e-2
"""Length of an image beside the basis from which on it is orthogonalised twice."""

BASIS = 2000
"""Most columns of the basis beyond eight times those wanted."""


class ConvergenceError(ArithmeticError):
    """An iterative solve that did not reach its tolerance; the message has the interval that it did reach."""


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenpairs of one component beside its eigenvalue 1.

    Attributes:
        values: (p,) float64, descending.
        bracket: bounds of the true eigenvalues.
        vectors: (m, p) float64, orthonormal.
        images: (m, p) float64, A times them.
    """

    values: Floats
    bracket: Bracket
    vectors: Floats
    images: Floats


def top_eigenpairs(
    pair: Pair,
    known: Floats,
    want: int,
    frobenius: float,
    width: float,
    failure: float,
    rng: np.random.Generator,
    engine: Engine,
) -> Eigenpairs:
    """The `want` largest eigenpairs of A = S Sᵀ after its known one, vectors on the rows of S.

    Args:
        pair: S (m, c) of a connected component and its transpose, ‖S‖ = 1.
        known: (m,) unit eigenvector for eigenvalue 1.
        want: how many, well below m.
        frobenius: ‖A‖_F².
        width: relative to the squares of all other eigenvalues, what the squares of the wanted ones may be off by.
        failure: probability allowed to the upper bounds to fail.
        rng: source of start and test blocks.
        engine: where to compute.

    Raises:
        ConvergenceError: an eigenvector did not settle, in float64 either. A wide bracket alone is an answer.
    """
    gram = engine.gram(pair, np.float64)
    for dtype in (np.float32, np.float64):
        small = engine.gram(pair, np.float32) if dtype == np.float32 else gram
        found = _solve(small, gram, known, want, frobenius, width, failure / (2 * ROUNDS), rng, engine, dtype)
        uncertain = _uncertainty(found.bracket, want)
        rest = max(frobenius - 1 - math.fsum(found.values**2), EPS)
        off = np.linalg.norm(found.images - found.vectors * found.values, axis=0).max()
        # A cluster at the last wanted value that goes on beyond what was found leaves the interval wide, and right.
        clustered = found.bracket.nu >= found.values[want - 1] and off <= SETTLED
        allowed = 4 * float(found.values.sum()) * found.bracket.slack
        if uncertain <= 4 * width * rest + allowed + NEGLIGIBLE or clustered:
            return found
    if off > SETTLED:
        low, high = (math.fsum(bound[:want] ** 2) for bound in (found.bracket.lower, found.bracket.upper))
        raise ConvergenceError(
            f"the {want} largest eigenvalues of a component of {gram.size} views did not converge; "
            f"the sum of their squares lies in [{low:.9g}, {high:.9g}]"
        )
    return found


def _solve(
    small: Gram,
    gram: Gram,
    known: Floats,
    want: int,
    frobenius: float,
    width: float,
    failure: float,
    rng: np.random.Generator,
    engine: Engine,
    dtype: type,
) -> Eigenpairs:
    U = engine.array(known[:, None], np.float64)
    theta = np.ones(1)
    need = want
    for _ in range(ROUNDS):
        fresh, degree = _lanczos(small, U, need, want, frobenius, width, failure, rng, engine, dtype)
        U, AU, theta = _rayleigh_ritz(gram, U, fresh, engine)
        coupling = _coupling(U, AU, theta, engine)
        nu = _remainder(gram, U, theta, coupling, want, degree, failure, rng, engine)
        # A norm above the last wanted value is that of what was missed, unless both are next to nothing.
        if nu <= max(theta[want], 2 * NEAR_ZERO) or nu >= 1:
            break
        need = BUFFER
    found = bracket(U, AU, nu, gram, engine)
    chosen = slice(1, want + 1)
    return Eigenpairs(theta[chosen], found, engine.host(U[:, chosen]), engine.host(AU[:, chosen]))


def _coupling(U: Array, AU: Array, theta: Floats, engine: Engine) -> float:
    """‖AU − U·diag(θ)‖_F."""
    total, own = 0.0, engine.array(theta, np.float64)
    for low in range(0, U.shape[0], PANEL):
        part = AU[low : low + PANEL] - U[low : low + PANEL] * own
        total += float(engine.host((part * part).sum()))
    return math.sqrt(total)


def _uncertainty(found: Bracket, want: int) -> float:
    return math.fsum(found.upper[:want] ** 2) - math.fsum(found.lower[:want] ** 2)


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

    def apply(self, gram: Gram, fixed: Array, x: Array, engine: Engine) -> Array:
        """The polynomial times a block, on the complement of what is fixed."""
        if self.degree == 1:
            return project_out(gram(x), fixed, engine)
        # What rounding leaves of the fixed ones grows little more than the wanted, and goes with one projection.
        current = gram(x)
        current *= 2 / self.edge
        current -= x
        previous = x
        for _ in range(self.degree - 1):
            previous, current = current, chebyshev_step(gram(current), current, previous, self.edge)
        current *= 1 / self.scale
        return project_out(current, fixed, engine)

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


def _filter(theta: Floats, edge: float) -> _Filter:
    """The highest degree up to `DEGREE` whose growth over the wanted values float32 can still tell apart."""
    reach = math.acosh(max(2 * float(theta[0]) / edge - 1, 1.0))
    degree = int(min(max(math.acosh(SPREAD) / max(reach, EPS), 2), DEGREE))
    return _Filter(edge, degree, math.cosh(degree * reach))


def _lanczos(
    gram: Gram,
    locked: Array,
    need: int,
    want: int,
    frobenius: float,
    width: float,
    failure: float,
    rng: np.random.Generator,
    engine: Engine,
    dtype: type,
) -> tuple[Array, int]:
    """Ritz vectors of A on the complement of what is locked, and the degree with which a test should tell the rest.

    Block Lanczos with full reorthogonalisation. It ends where the residuals put the sum of the `need` largest squares
    within the width. Where the basis costs more than the products it starts again with a polynomial of A, which needs
    fewer vectors for more products.

    Returns:
        (m, p) float64 block, p >= need, not quite orthonormal, and a degree.
    """
    size = gram.size
    fixed = engine.cast(locked, dtype)
    most = min(BASIS + 8 * want, size - int(locked.shape[1]) - BLOCK)
    step = _Filter(0.0, 1, 1.0)
    basis = _Columns(engine, size, dtype)
    start = engine.array(rng.standard_normal((size, BLOCK)), dtype)
    block = _orthonormal(project_out(start, fixed, engine), basis, fixed, rng, engine, dtype)[0]
    projected = np.zeros((most + BLOCK, most + BLOCK))
    before, coupling = block, np.zeros((BLOCK, BLOCK))
    looked = 0
    while True:
        at = basis.count
        basis.append(block)
        image = step.apply(gram, fixed, block, engine)
        # First the two blocks that exact arithmetic would need: what the full pass then takes from is small, and so is
        # what rounding does to it.
        own = engine.host(block.T @ image)
        image -= block @ engine.array(own, dtype)
        if at:
            image -= before @ engine.array(coupling.T, dtype)
        overlap = basis.transposed_times(image)
        basis.subtract(image, overlap)
        overlap[at:] += own
        if at:
            overlap[at - BLOCK : at] += coupling.T
        projected[: basis.count, at : basis.count] = overlap
        projected[at : basis.count, : basis.count] = overlap.T
        before = block
        block, coupling = _orthonormal(image, basis, fixed, rng, engine, dtype)
        full = basis.count + BLOCK > most
        if not full and basis.count < max(need + BUFFER + BLOCK, GROWTH * looked):
            continue
        looked = basis.count
        few = (max(looked - need - REACH, 0), looked - 1)
        values, Y = scipy.linalg.eigh(projected[:looked, :looked], subset_by_index=few, check_finite=False)
        values, Y = values[::-1], Y[:, ::-1]
        theta, left = step.eigenvalues(values), step.images(values, coupling @ Y[at:looked])
        rest = max(frobenius - 1 - math.fsum(theta[:need] ** 2), EPS)
        count, degree = _cheapest(theta, np.linalg.norm(left, axis=0), need, size, failure)
        if full or _settled(theta[:count], left[:, :count], need, max(width * rest, NEGLIGIBLE / 4), dtype):
            return basis.times(Y[:, :count]), degree
        edge = float(theta[min(need + BUFFER, len(theta)) - 1])
        if step.degree == 1 and basis.count * size > PAYS * gram.entries and edge > NEAR_ZERO:
            step = _filter(theta, edge)
            mixed = basis.times(Y[:, :count] @ rng.standard_normal((count, BLOCK)))
            basis = _Columns(engine, size, dtype)
            block = _orthonormal(engine.cast(mixed, dtype), basis, fixed, rng, engine, dtype)[0]
            coupling = np.zeros((BLOCK, BLOCK))
            looked = 0


def _settled(theta: Floats, left: Floats, need: int, width: float, dtype: type) -> bool:
    """Whether the bracket of these Ritz values, with what the iteration left of each, will be narrow enough.

    Where they end in a cluster nothing tells them from the rest; then small residuals have to do.
    """
    noise = 8 * float(np.finfo(dtype).eps)
    gap = float(theta[need - 1] - theta[-1]) / 2
    sizes = np.linalg.norm(left, axis=0)
    if gap <= noise * theta[0]:
        return bool(sizes[:need].max() <= 16 * noise)
    upper = np.linalg.eigvalsh(np.diag(theta) + left.T @ left / gap)[::-1][:need]
    uncertain = float((upper**2).sum() - (theta[:need] ** 2).sum())
    # Below what rounding leaves in the residuals there is nothing to wait for.
    return uncertain <= max(width, 2 * float(theta[:need].sum()) * noise**2 / gap)


def _cheapest(theta: Floats, residual: Floats, need: int, size: int, failure: float) -> tuple[int, int]:
    """How many Ritz vectors to keep and which degree then separates: the fewer products with A together."""
    best: tuple[float, int, int] = (math.inf, min(need + BUFFER, len(theta)), MAX_DEGREE)
    for count in range(need + BUFFER, len(theta) + 1, TESTED):
        # Beyond the converged ones a Ritz value says little about what is left.
        if residual[count - 1] > 0.05 * abs(theta[need - 1] - theta[count - 1]) and count > need + BUFFER:
            break
        edge = max(float(theta[count - 1]), EPS)
        if edge <= NEAR_ZERO:
            return count, LOW_DEGREE
        if theta[need - 1] - edge <= CLUSTER * edge:
            degree = CLUSTER_DEGREE
        else:
            degree = degree_to_separate(size, edge, (edge + float(theta[need - 1])) / 2, failure)
        best = min(best, (count / TESTED + degree, count, degree))
    return best[1], best[2]


def _rayleigh_ritz(gram: Gram, U: Array, fresh: Array, engine: Engine) -> tuple[Array, Array, Floats]:
    """U and the fresh columns, orthonormal and turned to Ritz vectors; their images and values, descending.

    The known eigenvector, column 0, stays as it is: near another eigenvalue 1 a Ritz step would mix the two.
    """
    known = U[:, :1]
    held = U.shape[1] - 1
    rest = engine.empty(U.shape[0], held + fresh.shape[1], np.float64)
    rest[:, :held], rest[:, held:] = U[:, 1:], fresh
    project_out(rest, known, engine)
    root = _inverse_root(tall_product(rest, rest, engine))
    if float(np.linalg.norm(root - np.eye(len(root)))) ** 2 > ORTHONORMAL:
        # A symmetric correction leaves about the square of what it takes away: here too much.
        rest = project_out(_times(rest, root, engine), known, engine)
        root = _inverse_root(tall_product(rest, rest, engine))
    image = gram(rest)
    theta = root @ tall_product(rest, image, engine) @ root
    values, turn = np.linalg.eigh((theta + theta.T) / 2)
    turn = root @ turn[:, ::-1]
    basis, images = (engine.empty(U.shape[0], 1 + len(root), np.float64) for _ in range(2))
    basis[:, :1], images[:, :1] = known, gram(known)
    _times(rest, turn, engine, basis[:, 1:])
    _times(image, turn, engine, images[:, 1:])
    return basis, images, np.concatenate([[1.0], values[::-1]])


def _times(x: Array, coefficients: Floats, engine: Engine, result: Array | None = None) -> Array:
    """A tall matrix times a small one, panel by panel."""
    own = engine.array(coefficients, np.float64)
    result = engine.empty(x.shape[0], own.shape[1], np.float64) if result is None else result
    for low in range(0, x.shape[0], PANEL):
        result[low : low + PANEL] = x[low : low + PANEL] @ own
    return result


def _inverse_root(G: Floats) -> Floats:
    """G^-½ of a Gram matrix."""
    values, vectors = np.linalg.eigh(G)
    return np.asarray((vectors / np.sqrt(np.maximum(values, EPS * values[-1]))) @ vectors.T)


def _remainder(
    gram: Gram,
    U: Array,
    theta: Floats,
    coupling: float,
    want: int,
    degree: int,
    failure: float,
    rng: np.random.Generator,
    engine: Engine,
) -> float:
    """ν of what U leaves out; a higher degree where the first does not put it below the last wanted value."""
    if gram.size <= CHOLESKY_SIDE and gram.size * gram.entries <= CHOLESKY_WORK and theta[-1] < theta[want]:
        nu = norm_beside_for_certain(gram, U, float(theta[-1] + theta[want]) / 2, engine)
        if nu <= theta[want]:
            return nu
    nu = 1.0
    for q in (degree, min(4 * degree, MAX_DEGREE)):
        nu = min(nu, norm_beside(gram, U, coupling, float(theta[-1]), q, failure / 2, rng, engine))
        if nu <= theta[want] or q == MAX_DEGREE or theta[-1] >= theta[want] * (1 - EPS):
            break
    return nu


class _Columns:
    """A growing orthonormal basis, a block after the other."""

    def __init__(self, engine: Engine, size: int, dtype: type) -> None:
        self._engine, self._dtype = engine, dtype
        # A panel of the block stays in cache while all of the basis passes.
        self._panels = [slice(low, min(low + PANEL, size)) for low in range(0, size, PANEL)]
        self._blocks: list[Array] = []

    @property
    def count(self) -> int:
        """Columns so far."""
        return BLOCK * len(self._blocks)

    def append(self, block: Array) -> None:
        """Add `BLOCK` columns."""
        self._blocks.append(block)

    def transposed_times(self, x: Array) -> Floats:
        """Vᵀx on the host."""
        total = np.zeros((len(self._blocks), BLOCK, x.shape[1]))
        for panel in self._panels:
            part = x[panel]
            for number, block in enumerate(self._blocks):
                total[number] += self._engine.host(block[panel].T @ part)
        return total.reshape(-1, x.shape[1])

    def subtract(self, x: Array, coefficients: Floats) -> None:
        """X −= V·coefficients."""
        parts = [self._engine.array(rows, self._dtype) for rows in coefficients.reshape(-1, BLOCK, x.shape[1])]
        for panel in self._panels:
            part = x[panel]
            for block, own in zip(self._blocks, parts, strict=True):
                part -= block[panel] @ own

    def times(self, coefficients: Floats) -> Array:
        """V·coefficients in float64."""
        result = self._engine.empty(self._panels[-1].stop, coefficients.shape[1], np.float64)
        parts = [self._engine.array(rows, self._dtype) for rows in coefficients.reshape(len(self._blocks), BLOCK, -1)]
        for panel in self._panels:
            total = self._blocks[0][panel] @ parts[0]
            for block, own in zip(self._blocks[1:], parts[1:], strict=True):
                total += block[panel] @ own
            result[panel] = self._engine.cast(total, np.float64)
        return result


def _orthonormal(
    x: Array, basis: _Columns, fixed: Array, rng: np.random.Generator, engine: Engine, dtype: type
) -> tuple[Array, Floats]:
    """An orthonormal block for the columns of x and the coefficients that give x from it.

    Where x has no more directions than rounding (the Krylov space is exhausted) random ones take their place.
    """
    noise = float(np.finfo(dtype).eps)
    values, vectors = np.linalg.eigh(tall_product(x, x, engine, PANEL))
    # The image of a unit block is off by rounding of the order of ‖A‖ = 1, however small it is itself.
    poor = values < (16 * noise) ** 2
    root = np.where(poor, 0, np.sqrt(np.maximum(values, 0)))
    coupling = root[:, None] * vectors.T
    x = x @ engine.array(vectors / np.where(poor, 1, root), dtype)
    if poor.any():
        x = _refill(x, poor, basis, fixed, rng, engine, dtype)
    if basis.count and root[~poor].min(initial=1) < SHORT:
        # What was left of the image is so little that rounding, now scaled up with it, shows against the basis.
        project_out(x, fixed, engine)
        basis.subtract(x, basis.transposed_times(x))
    G = tall_product(x, x, engine, PANEL)
    back = _inverse_root(G)
    # x is now orthonormal but for rounding, which a symmetric correction takes away.
    return x @ engine.array(back, dtype), np.linalg.inv(back) @ coupling


def _refill(
    x: Array,
    poor: NDArray[np.bool_],
    basis: _Columns,
    fixed: Array,
    rng: np.random.Generator,
    engine: Engine,
    dtype: type,
) -> Array:
    fresh = engine.array(rng.standard_normal((int(x.shape[0]), int(poor.sum()))), dtype)
    good = x[:, :0] if poor.all() else x[:, int(poor.sum()) :]
    for _ in range(2):
        project_out(fresh, fixed, engine)
        if basis.count:
            basis.subtract(fresh, basis.transposed_times(fresh))
        fresh = fresh - good @ (good.T @ fresh)
        fresh = fresh @ engine.array(_inverse_root(tall_product(fresh, fresh, engine)), dtype)
    result = engine.empty(int(x.shape[0]), BLOCK, dtype)
    result[:, : int(poor.sum())] = fresh
    result[:, int(poor.sum()) :] = good
    return result
