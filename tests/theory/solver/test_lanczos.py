"""The basis of block Lanczos: it stays orthonormal to some roundings, where norms of blocks go up and down too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import ortho_group

from maskgraph.theory.solver import lanczos
from maskgraph.theory.solver.basis import BLOCK, CHUNK, SHORT, Basis, cleaned, orthonormal
from maskgraph.theory.solver.goal import Goal
from maskgraph.theory.solver.host import HOST
from maskgraph.theory.solver.pair import Pair
from tests.theory.toys import Array, dense, hypercube, joint_augmentation

ROUNDINGS = 16 / SHORT
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
    real = Basis.times

    def times(self: Any, *given: Array) -> Any:
        kept.append(np.hstack([chunk[:, :used] for chunk, used, _ in self._filled()]).astype(np.float64))
        return real(self, *given)

    monkeypatch.setattr(Basis, "times", times)
    return kept


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_basis_beside_many_known_vectors_stays_orthonormal(dtype: type, seed: int, bases: list[Array]) -> None:
    """Nineteen of nine independent bits, 1, 9 copies of the next value and 9 of 36 of the third, where 27 are left.

    What a block leaves over is small, and what it has of the known and of the basis grows as it is scaled up: tenfold
    a step, where it is not the last that is taken away. With ten values in all a Krylov space is soon exhausted: what
    is left then is rounding, and most of that lies in the basis.
    """
    graph = joint_augmentation(hypercube(9, 0.02))
    values, vectors = np.linalg.eigh(dense(graph))
    # Which vectors of the third space are known decides when it is exhausted, and how well it shows.
    turned, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((36, 36)))
    known = vectors[:, ::-1][:, :46].copy()
    known = np.hstack([known[:, :10], known[:, 10:] @ turned[:, :9]])
    goal = Goal(27, float((values**2).sum()), 2e-9, 1e-10, 0)
    gram, rng = HOST.gram(Pair(graph.B), dtype), np.random.default_rng(seed)
    found = lanczos.lanczos(gram, known, 27, goal, rng, HOST, dtype)
    (basis,) = bases
    assert basis.shape[1] >= 4 * BLOCK
    both = np.hstack([known, basis])
    assert np.abs(both.T @ both - np.eye(both.shape[1])).max() <= ROUNDINGS * np.finfo(dtype).eps
    assert np.array_equal(found[:, :19], known)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_basis_that_starts_again_for_few_vectors_is_orthonormal(dtype: type, bases: list[Array]) -> None:
    """A ring, whose values crowd towards 1: it starts again with a filter, and one wanted makes a block of sixteen."""
    ring = sum(np.roll(np.eye(1100), shift, axis=1) for shift in range(9))
    S = sp.csr_array(np.asarray(ring) / 9)
    known = np.full(1100, 1100**-0.5)
    values = np.linalg.eigvalsh((S @ S.T).toarray())
    goal = Goal(1, float((values**2).sum()), 2e-9, 1e-10, 0)
    gram, rng = HOST.gram(Pair(S), dtype), np.random.default_rng(0)
    lanczos.lanczos(gram, known[:, None], 1, goal, rng, HOST, dtype)
    assert len(bases) == 2
    for basis in bases:
        loss = np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()
        assert loss <= ROUNDINGS * np.finfo(dtype).eps


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("least", [1, 1e-2, 1e-4, 1e-6, 1e-9, 1e-13])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_near_to_fewer_directions_is_made_orthonormal(dtype: type, least: float, seed: int) -> None:
    """Beside what is known, and no direction is given up that is more than rounding.

    Sixteen random mixtures of as many vectors, with which a basis starts again, are near to fifteen directions: one
    time in some hundred by 1e-3. Squares of lengths hide those below the root of a rounding.
    """
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.standard_normal((1000, 20 + BLOCK)))
    known: Array = Q[:, :20].astype(dtype)
    left, right = (ortho_group.rvs(BLOCK, random_state=rng) for _ in range(2))
    block: Array = (Q[:, 20:] @ (left * np.geomspace(1, least, BLOCK)) @ right).astype(dtype)
    found, coupling = orthonormal(block.copy(), Basis(HOST, known, 1000, dtype), rng)
    both = np.hstack([known, found]).astype(np.float64)
    eps = float(np.finfo(dtype).eps)
    assert np.abs(both.T @ both - np.eye(20 + BLOCK)).max() <= ROUNDINGS * eps
    # What gave way to random directions is as short as the rounding of an image of a unit block; and three turns.
    assert np.linalg.norm(both[:, 20:] @ coupling - block, 2) <= (16 + 3 * BLOCK) * eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_block_has_of_any_block_of_the_basis_is_seen(dtype: type) -> None:
    """Of one direction of one block, the hardest to see, from a few roundings on: between half and twice of it."""
    rng, blocks, rows = np.random.default_rng(0), CHUNK // BLOCK + 2, 2000
    Q, _ = np.linalg.qr(rng.standard_normal((rows, (blocks + 1) * BLOCK)))
    basis = Basis(HOST, np.zeros((rows, 0), dtype), rows, dtype)
    few = 20 * float(np.finfo(dtype).eps)
    for _ in range(2):
        for b in range(blocks):
            basis.append(Q[:, b * BLOCK : (b + 1) * BLOCK].astype(dtype))
        fresh = Q[:, -BLOCK:]
        assert basis.overlap(fresh.astype(dtype)) <= few
        for b in range(blocks):
            for size in (1e-1, 10 * few):
                direction = Q[:, b * BLOCK : (b + 1) * BLOCK] @ rng.standard_normal(BLOCK)
                leaning = fresh + np.outer(size * direction / np.linalg.norm(direction), np.eye(BLOCK)[b])
                # χ²/16 of 16 degrees of freedom, and the few roundings of the block itself.
                assert size / 2 - few <= basis.overlap(leaning.astype(dtype)) <= 2 * size + few
        # A basis that begins again has none of what it had.
        basis.clear()
        assert basis.overlap(Q[:, :BLOCK].astype(dtype)) == 0


@pytest.mark.parametrize("size", [1e-7, 1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_that_leans_on_the_basis_is_made_orthonormal_beside_it(dtype: type, size: float) -> None:
    """However much: lengths show the square of what was taken away. Images stay what they are."""
    rng, eps = np.random.default_rng(0), float(np.finfo(dtype).eps)
    Q, _ = np.linalg.qr(rng.standard_normal((2000, 3 * BLOCK)))
    basis = Basis(HOST, np.zeros((2000, 0), dtype), 2000, dtype)
    for b in range(2):
        basis.append(Q[:, b * BLOCK : (b + 1) * BLOCK].astype(dtype))
    leaning = Q[:, -BLOCK:] * np.sqrt(1 - size**2) + size * Q[:, :BLOCK]
    block: Array = leaning.astype(dtype)
    coupling = rng.standard_normal((BLOCK, BLOCK))
    found, back = cleaned(block.copy(), coupling, basis.overlap(block), basis, rng)
    both = np.hstack([Q[:, : 2 * BLOCK], found.astype(np.float64)])
    # The basis itself is rounded to this precision, and what is taken away is off by a few of its roundings.
    assert np.abs(both.T @ both - np.eye(3 * BLOCK)).max() <= ROUNDINGS * eps
    image = Q[:, -BLOCK:] * np.sqrt(1 - size**2) @ coupling
    # Each column of the block is off by some roundings, and where lengths are left alone by a rounding's sixteenth.
    assert np.linalg.norm(found @ back - image, 2) <= 3 * BLOCK * eps * np.linalg.norm(coupling, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_eigenvalues_decay_slowly_a_third_of_the_steps_make_no_pass_over_the_basis(
    dtype: type, bases: list[Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding grows by a factor of about four a step there, so that one in three goes by before it is 100-fold."""
    S, known = noise()
    values = np.linalg.eigvalsh((S @ S.T).toarray())
    passes: list[int] = []

    def counted(x: Array, coupling: Array, overlap: float, basis: Basis, rng: np.random.Generator) -> Any:
        passes.append(basis.count)
        return cleaned(x, coupling, overlap, basis, rng)

    monkeypatch.setattr(lanczos, "cleaned", counted)
    goal = Goal(32, float((values**2).sum()), 2e-9, 1e-10, 0)
    gram, rng = HOST.gram(Pair(S), dtype), np.random.default_rng(0)
    lanczos.lanczos(gram, known[:, None], 32, goal, rng, HOST, dtype)
    steps = bases[0].shape[1] // BLOCK
    assert 3 * len(passes) <= 2 * steps
    # Always two in a row: what a step takes over comes from the last two blocks.
    runs = np.split(passes, np.flatnonzero(np.diff(passes) > BLOCK) + 1)
    assert {len(run) for run in runs[:-1]} == {2}


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
    assert basis.shape[1] >= 12 * BLOCK
    loss = np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()
    assert loss <= ROUNDINGS * np.finfo(dtype).eps
    # And what was wanted is in it: the Ritz values of what is answered, by a solver of its own.
    assert np.array_equal(found[:, 0], known)
    Q, _ = np.linalg.qr(found[:, 1:])
    ritz = np.linalg.eigvalsh(Q.T @ dense @ Q)[::-1][:want]
    np.testing.assert_allclose(ritz, values[::-1][1 : want + 1], rtol=0, atol=1e-8)
