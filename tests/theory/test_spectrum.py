"""The spectrum with its multiplicities: many components, repeated values inside one, and the iterative path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import given

from maskgraph.graphs.augmentation import AugmentationGraph, Hop, augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.patches import CodebookKind
from maskgraph.graphs.source import Source, load_coded
from maskgraph.theory import krylov, spectrum
from tests.strategies import HOPS, searched
from tests.theory.toys import (
    Array,
    Case,
    cases,
    dense,
    disjoint,
    hypercube,
    joint_augmentation,
    random_joint,
)

VALUE = 1e-12
"""Backward error of a dense symmetric solver, order · 2⁻⁵² with a factor of 8 for the product B Bᵀ: 5e-13 at 300."""

ORTHONORMAL = 1e-9
"""Vectors of BBᵀ made of those of BᵀB inherit their error over √λ; with λ >= 10⁻⁴ that is 100 · 1e-12."""

SUM = 1e-11
"""A sum of at most 300 squares, each off by 2 · VALUE at worst in the same direction but typically in neither."""

ITERATIVE = 16
"""Components with more vertices than this on both sides take the iterative path where a test says so."""


def everything(graph: AugmentationGraph) -> Array:
    """All eigenvalues of A, largest first, by a dense solver."""
    return np.asarray(np.linalg.eigvalsh(dense(graph))[::-1])


def check(graph: AugmentationGraph, k: int, seed: int = 0) -> spectrum.Spectrum:
    """Hold every field of the answer to the dense eigenvalues."""
    expected = everything(graph)
    found = spectrum.spectrum(graph, k, seed)
    assert found.values == pytest.approx(expected[:k], abs=VALUE)
    assert (np.diff(found.values) <= 0).all()
    assert ((found.values >= 0) & (found.values <= 1)).all()
    assert found.frobenius_sq == pytest.approx(float((expected**2).sum()), abs=SUM)
    assert found.head_sq == pytest.approx(float((expected[:k] ** 2).sum()), abs=SUM)
    tail = float((expected[k:] ** 2).sum())
    assert found.tail_sq == pytest.approx(tail, abs=SUM)
    low, high = found.tail_sq_interval
    assert low - SUM <= tail <= high + SUM
    assert 0 <= low <= found.tail_sq <= high
    assert high - low < 1e-9
    # Vectors made of those on the other side of B inherit its error over √λ.
    assert (found.residuals * np.sqrt(found.values) <= VALUE).all()
    V = found.vectors.toarray()
    solved = (V**2).sum(axis=0) > 0.5
    assert pytest.approx(np.diag(solved.astype(float)), abs=ORTHONORMAL) == V.T @ V
    assert (found.values[~solved] < VALUE).all()
    return found


@searched(40)
@given(cases(valued=False))
def test_random_worlds_at_every_k(case: Case) -> None:
    for k in range(1, case.A.B.shape[0] + 1):
        check(case.A, k)


@pytest.mark.parametrize("dense_side", [ITERATIVE, spectrum.DENSE_SIDE])
@pytest.mark.parametrize("shape", [(40, 50), (50, 40)])
def test_sixteen_copies(shape: tuple[int, int], dense_side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "DENSE_SIDE", dense_side)
    M = random_joint(np.random.default_rng(1), *shape)
    single = everything(joint_augmentation(M))
    copies = joint_augmentation(disjoint(M, 16))
    for k in (1, 15, 16, 17, 20):
        found = spectrum.spectrum(copies, k)
        assert found.components == 16
        assert found.values == pytest.approx(np.repeat(single, 16)[:k], abs=VALUE)
        assert found.tail_sq == pytest.approx(float((np.repeat(single, 16)[k:] ** 2).sum()), abs=16 * SUM)
        V = found.vectors.toarray()
        assert pytest.approx(np.eye(k), abs=ORTHONORMAL) == V.T @ V
        assert found.residuals.max() < VALUE


def test_a_general_solver_loses_copies() -> None:
    # All copies see one and the same arithmetic when the start is alike on all of them: no copy is ever told apart.
    M = random_joint(np.random.default_rng(1), 60, 70)
    single = everything(joint_augmentation(M))
    copies = joint_augmentation(disjoint(M, 4))
    start = np.tile(np.linspace(1, 2, 60), 4)
    naive = scipy.sparse.linalg.eigsh(copies.matrix(), k=4, which="LA", v0=start, tol=0)[0][::-1]
    assert naive[1] < 1 - 1e-3
    assert spectrum.spectrum(copies, 4).values == pytest.approx(np.ones(4), abs=VALUE)
    assert naive == pytest.approx(single[:4], abs=1e-8)


def test_every_k_up_to_the_components_needs_no_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("solved")

    monkeypatch.setattr(spectrum, "_dense", refuse)
    monkeypatch.setattr(spectrum, "deflated_eigenpairs", refuse)
    graph = joint_augmentation(disjoint(random_joint(np.random.default_rng(0), 7, 5), 6))
    for k in range(1, 7):
        check(graph, k)


def test_components_of_different_kinds() -> None:
    rng = np.random.default_rng(5)
    blocks = [
        random_joint(rng, 12, 9),
        np.ones((1, 6)),
        np.ones((5, 1)),
        np.array([[1.0]]),
        random_joint(rng, 4, 15),
        hypercube(3, 0.2),
        np.outer(rng.random(4) + 0.1, rng.random(3) + 0.1),
    ]
    rows, columns = (sum(block.shape[side] for block in blocks) for side in (0, 1))
    M = np.zeros((rows, columns))
    at = np.zeros(2, dtype=int)
    for weight, block in enumerate(blocks, start=1):
        M[at[0] : at[0] + block.shape[0], at[1] : at[1] + block.shape[1]] = weight * block / block.sum()
        at += block.shape
    for graph in (joint_augmentation(M), joint_augmentation(M.T)):
        assert check(graph, 1).components == len(blocks)
        for k in (len(blocks), len(blocks) + 1, 12, 20, graph.B.shape[0]):
            check(graph, k)


def test_a_component_with_little_left_can_still_hold_the_next_value() -> None:
    # The cube has much left, 3·0.5 + 3·0.25 + 0.125, in values of at most 0.5; the pair has 0.55 left in one.
    def flip(value: float) -> float:
        return float(1 - value**0.5) / 2

    M = np.zeros((10, 10))
    M[:8, :8], M[8:, 8:] = hypercube(3, flip(0.5)), hypercube(1, flip(0.55))
    assert check(joint_augmentation(M), 3).values == pytest.approx([1, 1, 0.55], abs=VALUE)


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("kind", ["threshold", "kmeans"])
def test_digits_with_positions(kind: CodebookKind, hop: Hop) -> None:
    images = load_coded(Source("digits", patch=4, codebook=kind, codes=3, images=60))
    graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.5)), "positional")
    A = augmentation_graph(graph, hop)
    found = check(A, min(20, A.B.shape[0]))
    if hop == "target":
        assert found.components >= 6
        check(A, min(found.components + 10, A.B.shape[0]))


def test_digits_with_very_many_components() -> None:
    images = load_coded(Source("digits", patch=2, codebook="threshold", codes=3, images=60))
    graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.75), 20), "positional")
    A = augmentation_graph(graph)
    components = check(A, 1).components
    assert components > 100
    for k in (components - 1, components, components + 1, components + 7):
        check(A, min(k, A.B.shape[0]))


@pytest.mark.parametrize("k", [2, 3, 6, 7, 12])
@pytest.mark.parametrize("bits", [6, 7])
def test_multiplicities_inside_a_component(bits: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "DENSE_SIDE", ITERATIVE)
    for M in (hypercube(bits, 0.1), np.repeat(hypercube(bits, 0.1), 2, axis=0)):
        found = check(joint_augmentation(M), k)
        exact = [1.0] + [0.8**2] * bits + [0.8**4] * (bits * (bits - 1) // 2)
        assert found.components == 1
        assert found.values == pytest.approx(exact[:k], abs=VALUE)


@pytest.mark.parametrize("rank", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(60, 70), (70, 60)])
def test_low_rank_on_the_iterative_path(rank: int, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "DENSE_SIDE", ITERATIVE)
    rng = np.random.default_rng(rank)
    M = (rng.random((shape[0], rank)) + 0.1) @ (rng.random((rank, shape[1])) + 0.1)
    for k in (2, 4):
        check(joint_augmentation(M), k)


@pytest.mark.parametrize("dropped", [1, 3])
def test_what_the_solver_misses_is_found(dropped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A solver that silently leaves out its largest pairs, once: the test for what is missing has to notice.
    monkeypatch.setattr(spectrum, "DENSE_SIDE", ITERATIVE)
    calls = []

    def forgetful(operator: Any, count: int, **options: Any) -> tuple[Array, Array]:
        calls.append(count)
        extra = dropped if len(calls) == 1 else 0
        values, vectors = scipy.sparse.linalg.eigsh(operator, count + extra, **options)
        return values[:count], vectors[:, :count]

    monkeypatch.setattr(krylov, "eigsh", forgetful)
    for M in (hypercube(6, 0.1), random_joint(np.random.default_rng(3), 60, 70, 1.0)):
        calls.clear()
        check(joint_augmentation(M), 5)
        assert len(calls) > 1


def test_an_interval_that_admits_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    # Repairs forbidden: the answer is wrong, and the interval has to say so by holding the truth all the same.
    monkeypatch.setattr(spectrum, "DENSE_SIDE", ITERATIVE)
    monkeypatch.setattr(krylov, "ROUNDS", 1)

    def forgetful(operator: Any, count: int, **options: Any) -> tuple[Array, Array]:
        values, vectors = scipy.sparse.linalg.eigsh(operator, count + 2, **options)
        return values[:count], vectors[:, :count]

    monkeypatch.setattr(krylov, "eigsh", forgetful)
    graph = joint_augmentation(hypercube(6, 0.1))
    found = spectrum.spectrum(graph, 7)
    expected = everything(graph)
    assert found.values.sum() < expected[:7].sum() - 0.1
    low, high = found.tail_sq_interval
    assert low <= float((expected[7:] ** 2).sum()) <= high


@pytest.mark.parametrize("seed", range(4))
def test_the_seed_moves_nothing_but_rounding(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "DENSE_SIDE", ITERATIVE)
    graph = joint_augmentation(random_joint(np.random.default_rng(8), 70, 60))
    one, other = check(graph, 6, seed), check(graph, 6, seed)
    assert one.values.tolist() == other.values.tolist()
    assert one.tail_sq_interval == other.tail_sq_interval


@pytest.mark.parametrize("bridge", [1e-4, 1e-8, 1e-12, 1e-16, 1e-20])
def test_two_components_and_a_hair_between_them(bridge: float) -> None:
    M = disjoint(np.array([[1.0, 1.0], [1.0, 2.0]]), 2)
    M[0, 2] = bridge
    for k in (1, 2, 3, 4):
        check(joint_augmentation(M), k)


@pytest.mark.parametrize("bridge", [1e-8, 1e-12, 1e-20])
@pytest.mark.parametrize("shape", [(20, 25), (25, 20)])
def test_a_hair_between_two_large_components(
    shape: tuple[int, int], bridge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spectrum, "DENSE_SIDE", ITERATIVE)
    M = disjoint(random_joint(np.random.default_rng(6), *shape), 2)
    M[0, -1] = bridge
    for k in (2, 4):
        check(joint_augmentation(M), k)


@pytest.mark.parametrize("flip", [0.4, 0.49, 0.4995])
def test_tiny_eigenvalues_of_more_views_than_targets(flip: float) -> None:
    # (1 − 2 flip)^6 down to 1e-18: above rounding or not, vectors that are there are orthonormal.
    check(joint_augmentation(np.repeat(hypercube(3, flip), 2, axis=0)), 8)


@pytest.mark.parametrize("masses", [1e-3, 1e-12, 1e-90])
def test_extreme_weights(masses: float) -> None:
    M = random_joint(np.random.default_rng(2), 9, 11)
    M[:3] *= masses
    for k in (1, 4, 9):
        check(joint_augmentation(M), k)


@pytest.mark.parametrize("columns", [50_000])
def test_a_few_views_of_very_many_targets(columns: int) -> None:
    # Gram entries are sums over 50,000 targets here: off by √50000 · 2⁻⁵³ ≈ 2e-14, and the interval has to allow it.
    rng = np.random.default_rng(0)
    M = rng.random((3, columns)) + 0.5
    graph = joint_augmentation(M)
    expected = everything(graph)
    for k in (1, 2, 3):
        found = spectrum.spectrum(graph, k)
        assert found.values == pytest.approx(expected[:k], abs=VALUE)
        low, high = found.tail_sq_interval
        assert low <= float((expected[k:] ** 2).sum()) <= high


def test_the_frobenius_norm_comes_from_either_side() -> None:
    for shape in ((30, 40), (40, 30), (5, 60), (60, 5), (1, 7), (7, 1)):
        B = joint_augmentation(random_joint(np.random.default_rng(9), *shape)).B
        exact = float(((B @ B.T).toarray() ** 2).sum())
        total, error = spectrum.frobenius_norm_sq(B)
        assert abs(total - exact) <= error + SUM
        assert error < SUM


@pytest.mark.parametrize("k", [0, -1, 8])
def test_dimension_out_of_range(k: int) -> None:
    graph = joint_augmentation(random_joint(np.random.default_rng(9), 7, 9))
    with pytest.raises(InputError, match=f"dimension {k} for a graph of 7 views; expected 1 to 7"):
        spectrum.spectrum(graph, k)
