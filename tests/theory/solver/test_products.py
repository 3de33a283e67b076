"""The compiled products, components and streamed floors against scipy and plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from maskgraph.graphs import memory
from maskgraph.graphs.errors import InputError
from maskgraph.theory import risk, spectrum
from maskgraph.theory.solver import components, pair, products, search, squares
from maskgraph.theory.solver.pair import Pair
from maskgraph.theory.solver.products import Gram, transposed_times
from maskgraph.theory.solver.squares import square_shares
from maskgraph.theory.solver.union import component_labels
from tests.strategies import FIXED_WORLDS, VIEWS
from tests.theory.toys import disjoint, joint_augmentation, random_joint

SHAPES = [(1, 1), (70, 40), (40, 70), (300, 9)]

EXACT = 1e-13
"""Sums of at most 300 products of numbers below 1: 300 · 2⁻⁵³ ≈ 3e-14."""


def factor(shape: tuple[int, int], density: float = 0.2, seed: int = 0) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    return joint_augmentation(random_joint(rng, *shape, density)).B


@pytest.fixture(params=["one tile", "many tiles"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both layouts, whatever the size."""
    if request.param == "many tiles":
        monkeypatch.setattr(pair, "TILE", 16)
        monkeypatch.setattr(pair, "LONG", 0)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_gram_is_scipys(shape: tuple[int, int], threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "PARALLEL", 0)
    B = factor(shape)
    for dtype in (np.float32, np.float64):
        gram = Gram(Pair(B), dtype, threads)
        for columns in (1, 7, 8, 16, 21):
            x = np.random.default_rng(columns).standard_normal((shape[0], columns)).astype(dtype)
            exact = B @ (B.T @ x.astype(np.float64))
            off = np.linalg.norm(gram(x) - exact, axis=0)
            # The bound that the certificate rests on, and no coincidence: it is of the size of the rounding.
            assert (off <= gram.error * np.linalg.norm(x, axis=0)).all()
            assert gram.error < 700 * np.finfo(dtype).eps


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("shape", SHAPES)
def test_transposed_product(shape: tuple[int, int]) -> None:
    B = factor(shape)
    x = np.random.default_rng(1).standard_normal((shape[0], 11))
    np.testing.assert_allclose(transposed_times(Pair(B), x), B.T @ x, rtol=0, atol=EXACT * 10)


@pytest.fixture(params=["sparse", "as it is", "full"])
def fullness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops over entries and BLAS by panels, whatever the density."""
    for name in ("FULL", "DENSE"):
        monkeypatch.setattr(pair, name, {"sparse": 1.0, "as it is": getattr(pair, name), "full": 0.0}[request.param])
    monkeypatch.setattr(squares, "PANEL", 16)
    monkeypatch.setattr(products, "PANEL", 16)


@pytest.mark.usefixtures("fullness")
@pytest.mark.parametrize("density", [0.01, 0.9])
@pytest.mark.parametrize("shape", SHAPES)
def test_multiplied_out(shape: tuple[int, int], density: float) -> None:
    B = factor(shape, density)
    np.testing.assert_allclose(Gram(Pair(B), np.float64, 1).dense(), (B @ B.T).toarray(), rtol=EXACT, atol=0)


def test_columns_are_counted() -> None:
    """By which a solve knows what it has spent: whole lines of them, 8 of float64 and 16 of float32."""
    B = factor((70, 40))
    for dtype, line in ((np.float64, 8), (np.float32, 16)):
        gram = Gram(Pair(B), dtype, 1)
        gram(np.ones((70, 20), dtype))
        assert gram.columns == -(-20 // line) * line
        gram.step(np.ones((70, line), dtype))
        assert gram.columns == -(-20 // line) * line + line


@pytest.mark.usefixtures("tiles", "fullness")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("density", [0.01, 0.1, 0.9])
@pytest.mark.parametrize("shape", SHAPES)
def test_shares_of_the_frobenius_norm(shape: tuple[int, int], density: float, threads: int) -> None:
    B = factor(shape, density)
    A = (B @ B.T).toarray()
    expected = np.diag(A) ** 2 + 2 * (np.tril(A, -1) ** 2).sum(axis=1)
    np.testing.assert_allclose(square_shares(Pair(B), threads), expected, rtol=EXACT, atol=0)


def test_products_that_underflow_are_touched_once() -> None:
    """Two rows share three columns, and no product of theirs is above 0: a list of two places has room for them."""
    S = sp.csr_array(np.full((2, 3), 1e-170))
    arrays = S.indptr.astype(np.int64), S.indices, S.data
    T = sp.csr_array(S.T)
    found = np.zeros(2)
    # In Python, where a place beyond the list is an error.
    plain = vars(squares)["sparse_squares"].py_func
    plain(*arrays, T.indptr.astype(np.int64), T.indices, T.data, 0, 2, found)
    assert (found == 0).all()


def test_swapped_pairs_are_the_other_side() -> None:
    B = factor((40, 70))
    pair = Pair(B).swapped
    x = np.random.default_rng(1).standard_normal((70, 8))
    np.testing.assert_allclose(Gram(pair, np.float64, 1)(x), B.T @ (B @ x), rtol=0, atol=EXACT * 10)


@pytest.mark.parametrize("seed", range(20))
def test_union_find_is_scipys(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    M = disjoint(random_joint(rng, 5, 4, 0.1), 7)[rng.permutation(35)][:, rng.permutation(28)]
    B = joint_augmentation(M).B
    count, of_row, of_column = component_labels(B.indptr, B.indices, *B.shape)
    square = sp.block_array([[None, B], [B.T, None]], format="csr")
    expected, label = connected_components(square.astype(np.float64), directed=False)  # type: ignore[arg-type]
    assert count == expected
    both = {(one, other) for one, other in zip([*of_row, *of_column], label.tolist(), strict=True)}
    assert len(both) == count
    # The same split whichever of the two finds it.
    small = components.components(B)
    monkeypatch.setattr(components, "SMALL", 0)
    large = components.components(B)
    assert small.count == large.count
    for one, other in ((small.of_row, large.of_row), (small.of_column, large.of_column)):
        assert len(set(zip(one.tolist(), other.tolist(), strict=True))) == count
    order = np.arange(count)
    cut = sorted(block.B.toarray().round(12).tolist() for block in large.blocks(order))
    assert cut == sorted(block.B.toarray().round(12).tolist() for block in small.blocks(order))
    for block in large.blocks(order):
        assert block.B.toarray() == pytest.approx(B.toarray()[block.rows][:, B.toarray()[block.rows].any(axis=0)])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", [name for name, world in FIXED_WORLDS.items() if world.codebook is not None])
def test_floors_do_not_depend_on_the_chunk(name: str, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = FIXED_WORLDS[name].graph(1, view)  # type: ignore[arg-type]
    mean = graph.p2 @ graph.X2
    variance = float(graph.p2 @ ((graph.X2 - mean) ** 2).sum(axis=1))
    Z = np.sqrt(graph.p1)[:, None] * risk.conditional_mean(graph)
    squares = np.linalg.svd(Z, compute_uv=False) ** 2
    energy = float(graph.p2 @ (graph.X2**2).sum(axis=1))
    room = 1e-12 * max(energy, 1.0)
    for chunk in (1, 7, 2**22):
        monkeypatch.setattr(risk, "CHUNK", chunk)
        found = risk.Floors(graph)
        assert found.target_variance == pytest.approx(variance, abs=room)
        assert found.bayes_risk == pytest.approx(energy - squares.sum(), abs=room)
        for k in (1, 2, 5):
            assert found.rank_floor(k) == pytest.approx(energy - squares[:k].sum(), abs=room)
        assert found.target_energy == pytest.approx(energy, abs=room)


def test_a_dense_solve_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = joint_augmentation(random_joint(np.random.default_rng(0), 40, 42))
    monkeypatch.setattr(memory, "available_bytes", lambda: 40 * 40**2)
    spectrum.spectrum(graph, 4)
    monkeypatch.setattr(memory, "available_bytes", lambda: 40 * 40**2 - 1)
    with pytest.raises(InputError, match=r"a dense solve of components of up to 40 views needs .*lower --dim"):
        spectrum.spectrum(graph, 4)


def test_a_basis_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "DENSE_SIDE", 16)
    monkeypatch.setattr(search, "ROOM", 100)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    graph = joint_augmentation(random_joint(np.random.default_rng(0), 400, 420))
    with pytest.raises(InputError, match=r"a basis for the 4 largest .* of 400 views needs about .* GiB.*lower --dim"):
        spectrum.spectrum(graph, 5)
