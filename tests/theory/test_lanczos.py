"""The basis of block Lanczos: it stays orthonormal to some roundings, where norms of blocks go up and down too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import ortho_group

from maskgraph.theory import lanczos
from maskgraph.theory.engine import HOST
from maskgraph.theory.goal import Goal
from maskgraph.theory.pair import Pair
from tests.theory.toys import Array

ROUNDINGS = 16 / lanczos.SHORT
"""What orthogonality may lose, in roundings: some ten of a block before its norm, which may be as small as `SHORT`."""

Factor = tuple[sp.csr_array, Array]
"""S of A = S Sᵀ, and an eigenvector of A that is known."""


def normalised(rows: NDArray[Any], columns: NDArray[Any], weights: Array, views: int) -> Factor:
    M = sp.coo_array((weights / weights.sum(), (rows, columns)), shape=(views, views)).tocsr()
    first, second = (np.asarray(M.sum(axis)).ravel() for axis in (1, 0))
    return sp.csr_array(sp.diags_array(first**-0.5) @ M @ sp.diags_array(second**-0.5)), np.sqrt(first)


def noise(views: int = 1000) -> Factor:
    """A random connected graph, whose spectrum decays slowly and evenly."""
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(views, size=(2, 60 * views))
    return normalised(rows, columns, rng.exponential(size=60 * views) ** 3, views)


def communities(count: int = 80, size: int = 10) -> Factor:
    """Groups of views with few edges between them: as many large eigenvalues, and then a gap."""
    rng, views = np.random.default_rng(0), count * size
    rows = np.repeat(np.arange(views), 40)
    inside = rows // size * size + rng.integers(size, size=len(rows))
    columns = np.where(rng.random(len(rows)) < 0.05, rng.integers(views, size=len(rows)), inside)
    return normalised(rows, columns, np.ones(len(rows)), views)


def gapped(views: int = 600) -> Factor:
    """A quarter of the eigenvalues above a wide gap, among them the known 1: norms of blocks go up and down with it."""
    rng = np.random.default_rng(0)
    values = np.concatenate([[1.0], rng.uniform(0.9, 0.99, views // 4), rng.uniform(0, 0.1, views - 1 - views // 4)])
    Q = ortho_group.rvs(views, random_state=rng)
    return sp.csr_array(Q * np.sqrt(values)), Q[:, 0]


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """The basis at the end of every run."""
    kept: list[Array] = []
    real = lanczos._Columns.times

    def times(self: Any, coefficients: Array) -> Any:
        kept.append(np.hstack([chunk[:, :used] for chunk, used, _ in self._filled()]).astype(np.float64))
        return real(self, coefficients)

    monkeypatch.setattr(lanczos._Columns, "times", times)
    return kept


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("make", "want"), [(noise, 32), (communities, 60), (gapped, 50)])
def test_a_basis_of_many_steps_stays_orthonormal(
    make: Callable[[], Factor], want: int, dtype: type, bases: list[Array]
) -> None:
    S, known = make()
    dense = (S @ S.T).toarray()
    values = np.linalg.eigvalsh(dense)
    goal = Goal(want, float((values**2).sum()), 2e-9, 1e-10, 0)
    gram, rng = HOST.gram(Pair(S), dtype), np.random.default_rng(0)
    found = lanczos.lanczos(gram, known[:, None], want, goal, rng, HOST, dtype)
    (basis,) = bases
    assert basis.shape[1] >= 12 * lanczos.BLOCK
    loss = np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()
    assert loss <= ROUNDINGS * np.finfo(dtype).eps
    # And what was wanted is in it: the Ritz values of what is answered, by a solver of its own.
    Q, _ = np.linalg.qr(found)
    ritz = np.linalg.eigvalsh(Q.T @ dense @ Q)[::-1][:want]
    np.testing.assert_allclose(ritz, values[::-1][1 : want + 1], rtol=0, atol=1e-8)
