"""The basis of block Lanczos: a pass over all of it every second step leaves it orthonormal to some roundings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from maskgraph.theory import lanczos
from maskgraph.theory.engine import HOST
from maskgraph.theory.goal import Goal
from maskgraph.theory.pair import Pair
from tests.theory.toys import Array

WANT = 32

ROUNDINGS = 16 / lanczos.SHORT
"""What orthogonality may lose, in roundings: some ten of a block before its norm, which may be as small as `SHORT`."""


def factor(views: int = 1000) -> tuple[Pair, Array]:
    """A random connected graph whose spectrum decays slowly, and its known eigenvector."""
    rng = np.random.default_rng(0)
    at = rng.integers(views, size=(2, 60 * views))
    M = sp.coo_array((rng.exponential(size=60 * views) ** 3, (at[0], at[1])), shape=(views, views)).tocsr()
    M /= M.sum()
    rows, columns = (np.asarray(M.sum(axis)).ravel() for axis in (1, 0))
    S = sp.csr_array(sp.diags_array(rows**-0.5) @ M @ sp.diags_array(columns**-0.5))
    return Pair(S), np.sqrt(rows)


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
def test_a_basis_of_many_steps_stays_orthonormal(dtype: type, bases: list[Array]) -> None:
    pair, known = factor()
    dense = (pair.S @ pair.T).toarray()
    values = np.linalg.eigvalsh(dense)
    goal = Goal(WANT, float((values**2).sum()), 2e-9, 1e-10, 0)
    gram, rng = HOST.gram(pair, dtype), np.random.default_rng(0)
    found, _ = lanczos.lanczos(gram, known[:, None], WANT, goal, rng, HOST, dtype)
    (basis,) = bases
    assert basis.shape[1] >= 20 * lanczos.BLOCK
    loss = np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()
    assert loss <= ROUNDINGS * np.finfo(dtype).eps
    # And what was wanted is in it: the Ritz values of what is answered, by a solver of its own.
    Q, _ = np.linalg.qr(found)
    ritz = np.linalg.eigvalsh(Q.T @ dense @ Q)[::-1][:WANT]
    np.testing.assert_allclose(ritz, values[::-1][1 : WANT + 1], rtol=0, atol=1e-8)
