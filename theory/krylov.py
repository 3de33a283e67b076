"""The top eigenpairs of one large connected component, certified: what was missed is found and added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from maskgraph.theory.certificate import eigenvalue_upper_bounds, norm_upper_bound

Apply = Callable[[NDArray[np.float64]], NDArray[np.float64]]

FAILURE = 1e-10
"""Probability that the upper bounds of a graph's iterative solves fail."""

BUFFER = 4
"""Eigenpairs solved beyond those wanted, so that what remains can fall below the last one wanted."""

ROUNDS = 16
"""Most times a solve is repaired before its upper bounds are left wide."""

DEGREES = (40, 160, 640)
"""Degrees of the Chebyshev test, tried in turn until it separates."""


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenpairs of one component beside its eigenvalue 1.

    Attributes:
        values: (p,) float64, descending.
        upper: (p,) float64, an upper bound of the i-th true eigenvalue at i.
        vectors: (r, p) float64 on the component's rows.
    """

    values: NDArray[np.float64]
    upper: NDArray[np.float64]
    vectors: NDArray[np.float64]


def rounding(size: int) -> float:
    """Backward error of a dense symmetric eigensolver on a matrix of norm 1 and this order, with room for its Gram."""
    return 8 * float(np.finfo(np.float64).eps) * size


def from_columns(
    B: sp.csr_array, top: NDArray[np.float64], values: NDArray[np.float64], vectors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Orthonormal eigenvectors of BBᵀ from those of BᵀB; zero columns where the eigenvalue is 0 up to rounding.

    B v/σ alone loses orthogonality as rounding over σ²: hence the QR, `top` (r,) and the largest values first.
    """
    found = values > rounding(B.shape[1])
    Q, R = np.linalg.qr(np.column_stack([top, np.asarray(B @ vectors[:, found])]))
    result = np.zeros((B.shape[0], len(values)))
    result[:, found] = (Q * np.sign(np.diag(R)))[:, 1:]
    return result


def deflated_eigenpairs(
    B: sp.csr_array, top: NDArray[np.float64], want: int, failure: float, rng: np.random.Generator
) -> Eigenpairs:
    """The `want` largest eigenpairs of BBᵀ after its known one, on the smaller side.

    ARPACK works on the complement of what is known; then a Chebyshev test on a fresh random block looks for an
    eigenvalue above the last wanted one that was missed (a single-vector method loses copies), and while it finds
    one, ARPACK goes again on the new complement.

    Args:
        B: (r, c) CSR of a connected component.
        top: (r,) unit eigenvector of BBᵀ for eigenvalue 1.
        want: how many, well below min(r, c).
        failure: probability allowed to the upper bounds to fail.
        rng: source of start vectors and test blocks.
    """
    by_row = B.shape[0] <= B.shape[1]
    small = B if by_row else sp.csr_array(B.T)
    wide = sp.csr_array(small.T)

    def gram(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(small @ (wide @ x))

    known = top if by_row else np.asarray(B.T @ top)
    U = known[:, None] / np.linalg.norm(known)
    count = want + BUFFER
    for _ in range(ROUNDS):
        U, theta, residual = _extend(gram, U, count, rng)
        nu = _remainder(gram, U, theta, want, failure / ROUNDS, rng)
        if nu <= theta[want]:
            break
        count = BUFFER
    upper = eigenvalue_upper_bounds(theta, residual.T @ residual, nu) + rounding(len(U))
    chosen = slice(1, want + 1)
    vectors = U[:, chosen] if by_row else from_columns(B, top, theta[chosen], U[:, chosen])
    return Eigenpairs(theta[chosen], upper[chosen], vectors)


def _complement(apply: Apply, U: NDArray[np.float64]) -> Apply:
    """(I − UUᵀ) A (I − UUᵀ)."""

    def deflated(x: NDArray[np.float64]) -> NDArray[np.float64]:
        x = apply(x - U @ (U.T @ x))
        return np.asarray(x - U @ (U.T @ x))

    return deflated


def _extend(
    gram: Apply, U: NDArray[np.float64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """U with `count` more directions: vectors, Ritz values (descending from the known 1) and residual block.

    Column 0, the known eigenvector, stays as it is: near another eigenvalue 1 a Ritz step would mix the two.
    """
    size = len(U)
    deflated = _complement(gram, U)
    operator = LinearOperator(shape=(size, size), dtype=np.float64, matvec=deflated)
    start = deflated(rng.standard_normal(size))
    _, found = eigsh(operator, count, which="LA", v0=start, tol=0)
    basis = np.linalg.qr(np.column_stack([U, found]))[0][:, 1:]
    values, turn = scipy.linalg.eigh(basis.T @ gram(basis))
    U = np.column_stack([U[:, 0], basis @ turn[:, ::-1]])
    theta = np.concatenate([[1.0], values[::-1]])
    return U, theta, gram(U) - U * theta


def _remainder(
    gram: Apply, U: NDArray[np.float64], theta: NDArray[np.float64], want: int, failure: float, rng: np.random.Generator
) -> float:
    """ν of what U leaves out, by the cheapest test that puts it below the last wanted value."""
    deflated = _complement(gram, U)
    guess = max(float(theta[-1]), rounding(len(U)))
    for degree in DEGREES:
        nu = norm_upper_bound(deflated, len(U), guess, degree, failure / len(DEGREES), rng)
        if nu <= theta[want]:
            break
    return nu
