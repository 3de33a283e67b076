"""The spectrum with its multiplicities: many components, repeated values inside one, and the iterative path."""

from __future__ import annotations

import decimal
import fractions
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from hypothesis import given

from maskgraph.graphs.augmentation import AugmentationGraph, Hop, augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.patches import CodebookKind
from maskgraph.graphs.source import Source, load_coded
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory import spectrum
from maskgraph.theory.solver import dense as dense_solver
from maskgraph.theory.solver import krylov, lanczos, search
from maskgraph.theory.solver.certificate import FAILURE
from maskgraph.theory.solver.eigenpairs import ConvergenceError, Eigenpairs
from maskgraph.theory.solver.engine import Engine
from maskgraph.theory.solver.entries import of_rounded_entries
from maskgraph.theory.solver.frobenius import frobenius_norm_sq
from maskgraph.theory.solver.goal import Goal
from maskgraph.theory.solver.pair import Pair
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

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

VALUE = 1e-12
"""Backward error of a dense symmetric solver, order · 2⁻⁵² with a factor of 8 for the product B Bᵀ: 5e-13 at 300."""

ORTHONORMAL = 1e-9
"""Vectors of BBᵀ made of those of BᵀB inherit their error over √λ; with λ >= 10⁻⁴ that is 100 · 1e-12."""

SUM = 1e-11
"""A sum of at most 300 squares, each off by 2 · VALUE at worst in the same direction but typically in neither."""

CONVERGED = 1e-9
"""What an iterative solve may leave in a value: `WIDTH` of the rest of the sum of squares, over 2λ >= 0.02."""

RESIDUAL = 1e-4
"""Vectors found in float32; values are off by its square."""


@pytest.fixture
def iterative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components with room for a Krylov space take the iterative path, and stay on it."""
    monkeypatch.setattr(search, "DENSE_SIDE", 16)
    monkeypatch.setattr(search, "ROOM", 100)
    monkeypatch.setattr(krylov, "DENSELY", 0)


def everything(graph: AugmentationGraph) -> Array:
    """All eigenvalues of A, largest first, by a dense solver."""
    return np.asarray(np.linalg.eigvalsh(dense(graph))[::-1])


def check(
    graph: AugmentationGraph, k: int, seed: int = 0, value: float = VALUE, residual: float = VALUE
) -> spectrum.Spectrum:
    """Hold every field of the answer to the dense eigenvalues."""
    expected = everything(graph)
    found = spectrum.spectrum(graph, k, seed)
    assert found.values == pytest.approx(expected[:k], abs=value)
    assert (np.diff(found.values) <= 0).all()
    assert ((found.values >= 0) & (found.values <= 1)).all()
    assert found.frobenius_sq == pytest.approx(float((expected**2).sum()), abs=SUM)
    head, tail = float((expected[:k] ** 2).sum()), float((expected[k:] ** 2).sum())
    assert found.head_sq == pytest.approx(head, abs=k * value + SUM)
    assert found.tail_sq == pytest.approx(tail, abs=k * value + SUM)
    for exact, middle, (low, high) in (
        (head, found.head_sq, found.head_sq_interval),
        (tail, found.tail_sq, found.tail_sq_interval),
    ):
        assert low - SUM <= exact <= high + SUM
        assert 0 <= low <= middle <= high
        assert high - low < max(1e-9, 10 * k * value)
    # Vectors made of those on the other side of B inherit its error over √λ.
    assert (found.residuals * np.sqrt(found.values) <= residual).all()
    V = found.vectors.toarray()
    solved = (V**2).sum(axis=0) > 0.5
    assert pytest.approx(np.diag(solved.astype(float)), abs=ORTHONORMAL) == V.T @ V
    assert (found.values[~solved] < VALUE).all()
    return found


def check_iterative(graph: AugmentationGraph, k: int, seed: int = 0) -> spectrum.Spectrum:
    """The same of an iterative solve."""
    return check(graph, k, seed, CONVERGED, RESIDUAL)


@searched(40)
@given(cases(valued=False))
def test_random_worlds_at_every_k(case: Case) -> None:
    for k in range(1, case.A.B.shape[0] + 1):
        check(case.A, k)


def copied(single: Array, M: Array, value: float) -> None:
    copies = joint_augmentation(disjoint(M, 16))
    for k in (1, 15, 16, 17, 20):
        found = spectrum.spectrum(copies, k)
        assert found.components == 16
        assert found.values == pytest.approx(np.repeat(single, 16)[:k], abs=value)
        assert found.tail_sq == pytest.approx(float((np.repeat(single, 16)[k:] ** 2).sum()), abs=16 * SUM)
        V = found.vectors.toarray()
        assert pytest.approx(np.eye(k), abs=ORTHONORMAL) == V.T @ V


@pytest.mark.parametrize("shape", [(40, 50), (50, 40)])
def test_sixteen_copies(shape: tuple[int, int]) -> None:
    M = random_joint(np.random.default_rng(1), *shape)
    copied(everything(joint_augmentation(M)), M, VALUE)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("shape", [(300, 320), (320, 300)])
def test_sixteen_copies_iteratively(shape: tuple[int, int]) -> None:
    M = random_joint(np.random.default_rng(1), *shape)
    copied(everything(joint_augmentation(M)), M, CONVERGED)


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

    monkeypatch.setattr(spectrum, "Search", refuse)
    graph = joint_augmentation(disjoint(random_joint(np.random.default_rng(0), 7, 5), 6))
    for k in range(1, 7):
        check(graph, k)


@pytest.mark.parametrize("images", [49, 70, 300])
def test_of_masks_that_weigh_the_same_the_first_are_taken(images: int) -> None:
    """A mask is a component here, of mass 1/20 up to the rounding of its sum, which is no reason to prefer one."""
    world = class_mixture(6, 0.3, images=images)
    graph = mask_graph(world, mask_set(mask_distribution("uniform", world.grid, 0.5)), "positional")
    found = spectrum.spectrum(augmentation_graph(graph), 7)
    assert found.components == 20
    starts = [found.vectors.indices[low] for low in found.vectors.indptr[:-1]]
    masks = graph.representatives1[1][starts]
    assert masks.tolist() == list(range(7))


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


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("k", [2, 3, 9, 10, 20, 40])
def test_multiplicities_inside_a_component(k: int) -> None:
    # 8 and 28 copies: the second more than the solver's block, and some k cut it in two.
    for M in (hypercube(8, 0.1), np.repeat(hypercube(8, 0.1), 2, axis=0)):
        found = check_iterative(joint_augmentation(M), k)
        exact = [1.0] + [0.8**2] * 8 + [0.8**4] * 28 + [0.8**6] * 56
        assert found.components == 1
        assert found.values == pytest.approx(exact[:k], abs=CONVERGED)


@pytest.mark.usefixtures("iterative")
def test_a_cluster_wider_than_a_block_is_tested_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 84 copies the solver finds 16 at a time: one test says that some are missing, and one that none is."""
    norms: list[float] = []
    real = krylov._remainder

    def told(*given: Any) -> float:
        norms.append(real(*given))
        return norms[-1]

    monkeypatch.setattr(krylov, "_remainder", told)
    check_iterative(joint_augmentation(hypercube(9, 0.1)), 50)
    assert len(norms) == 2
    assert norms[0] > 0.8**6 > norms[1]


@pytest.mark.usefixtures("iterative")
def test_many_weakly_connected_classes() -> None:
    """Forty near-equal eigenvalues, then a tenth of them: a block misses most, and the test says 1 of what is left."""
    inner = 1 + 20 * np.random.default_rng(0).random((25, 25))
    joint = np.kron(0.55 * np.eye(40) + 0.45 / 40 * np.ones((40, 40)), inner).astype(np.float64)
    check_iterative(joint_augmentation(joint), 20)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("kind", ["cluster", "zeros"])
def test_what_does_not_settle_is_solved_densely(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the test that fails once the products have cost as much, and where they never do, at the end of float32."""
    rng = np.random.default_rng(0)
    low_rank = (rng.random((300, 2)) + 0.1) @ (rng.random((2, 320)) + 0.1)
    graph = joint_augmentation(hypercube(8, 0.1) if kind == "cluster" else low_rank)
    calls: list[int] = []

    def never(*_: Any) -> float:
        calls.append(0)
        return 0.999

    monkeypatch.setattr(krylov, "_remainder", never)
    monkeypatch.setattr(krylov, "DENSELY", 300)
    monkeypatch.setattr(krylov, "AT_ONCE", -300)
    check_iterative(graph, 3)
    assert len(calls) <= 2
    calls.clear()
    monkeypatch.setattr(krylov, "_dense_is_due", lambda *_: False)
    check_iterative(graph, 3)
    assert len(calls) == krylov.TESTS
    monkeypatch.setattr(krylov, "DENSELY", 0)
    found = spectrum.spectrum(graph, 3)
    # A last test, which expects the rest at the last value: all that these said was that it is below 1.
    assert found.head_sq_interval[1] - found.head_sq_interval[0] <= 1e-3
    monkeypatch.setattr(krylov, "norm_beside", never)
    found = spectrum.spectrum(graph, 3)
    assert found.head_sq_interval[1] - found.head_sq_interval[0] > 0.1


def test_a_thousand_views_are_solved_densely_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By LAPACK's driver for some eigenpairs, where that is sooner done than the iteration."""
    graph = joint_augmentation(random_joint(np.random.default_rng(5), 1000, 1050, 0.02))
    monkeypatch.setattr(krylov, "lanczos", None)
    check_iterative(graph, 65)
    with pytest.raises(TypeError, match="not callable"):
        spectrum.spectrum(graph, 17)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("rank", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(300, 320), (320, 300)])
def test_low_rank_on_the_iterative_path(rank: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(rank)
    M = (rng.random((shape[0], rank)) + 0.1) @ (rng.random((rank, shape[1])) + 0.1)
    for k in (2, 4):
        check_iterative(joint_augmentation(M), k)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("hair", [0.1, 1e-2, 1e-3])
def test_a_hub_that_leaves_little_beside_the_known_eigenvalue(hair: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All views share one thing, few another: values down to 3e-3, which no filter may drown in the known 1."""
    few = scipy.sparse.random_array((700, 700), density=2 / 700, rng=np.random.default_rng(1)).toarray()
    M = np.hstack([np.ones((700, 1)), hair * (few + 0.1 * np.eye(700))])
    kinds: list[type] = []
    real = lanczos.lanczos

    def noted(*given: Any) -> Array:
        kinds.append(given[6])
        found: Array = real(*given)
        return found

    monkeypatch.setattr(krylov, "lanczos", noted)
    check_iterative(joint_augmentation(M), 21)
    assert set(kinds) == {np.float32}


@pytest.mark.usefixtures("iterative")
def test_numbers_that_are_none_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of float32 where float64 has one, nor of both where a dense solve has; else an error with what is known."""
    graph = joint_augmentation(random_joint(np.random.default_rng(8), 400, 420, 0.02))
    real = lanczos.lanczos

    def lost(*given: Any) -> Array:
        if given[6] in kinds:
            raise np.linalg.LinAlgError
        found: Array = real(*given)
        return found

    kinds: list[type] = [np.float32]
    monkeypatch.setattr(krylov, "lanczos", lost)
    check_iterative(graph, 9)
    kinds.append(np.float64)
    with pytest.raises(ConvergenceError, match=r"the 8 largest .* did not converge; .* lies in \[0, ") as raised:
        spectrum.spectrum(graph, 9)
    high = float(str(raised.value).rpartition(", ")[2].rstrip("]"))
    assert high >= float((everything(graph)[1:9] ** 2).sum())
    monkeypatch.setattr(krylov, "DENSELY", 400)
    check_iterative(graph, 9)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("seed", range(6))
def test_a_cluster_that_is_nearly_all_of_a_component_ends(seed: int) -> None:
    """Every view is nearly alone: 160 values next to 1 leave a basis no room beside those that were found."""
    rng = np.random.default_rng(seed)
    graph = joint_augmentation(np.eye(160) + 1e-6 * (random_joint(rng, 160, 160, 0.05) + 1e-6))
    exact = everything(graph)
    for k in (5, 9):
        try:
            low, high = spectrum.spectrum(graph, k, seed).head_sq_interval
        except ConvergenceError as error:
            low, high = (1 + float(part) for part in str(error).partition("[")[2].rstrip("]").split(", "))
        assert low - SUM <= float((exact[:k] ** 2).sum()) <= high + SUM


def forgetful(dropped: int, calls: list[int], every: bool) -> Any:
    """A block Lanczos that silently leaves out the largest of what it finds, the first time or every time."""
    real = lanczos.lanczos

    def forgets(*given: Any) -> Array:
        found: Array = real(*given)
        calls.append(found.shape[1])
        locked = given[1].shape[1]
        return np.delete(found, np.s_[locked : locked + (dropped if every or len(calls) == 1 else 0)], axis=1)

    return forgets


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("dropped", [1, 3])
def test_what_the_solver_misses_is_found(dropped: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for M in (hypercube(8, 0.1), random_joint(np.random.default_rng(3), 300, 320, 1.0)):
        calls: list[int] = []
        with monkeypatch.context() as patched:
            patched.setattr(krylov, "lanczos", forgetful(dropped, calls, every=False))
            check_iterative(joint_augmentation(M), 5)
        assert len(calls) > 1


@pytest.mark.usefixtures("iterative")
def test_all_that_large_components_may_be_asked_shares_one_failure_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    goals: list[Goal] = []
    solve = krylov.top_eigenpairs

    def noted(pair: Pair, known: Array, goal: Goal, engine: Engine) -> Eigenpairs:
        goals.append(goal)
        return solve(pair, known, goal, engine)

    monkeypatch.setattr(krylov, "top_eigenpairs", noted)
    rng, size, wanted = np.random.default_rng(0), 240, 30
    M = disjoint(random_joint(rng, size, size), 3)
    # One of three has all the eigenvalues wanted, and is asked for more than its share.
    M[:size, :size] += np.diag(np.full(size, 1e3))
    found = spectrum.spectrum(joint_augmentation(M), 3 + wanted)
    assert found.components == 3
    asked = [goal.want for goal in goals]
    assert asked[:2] == [20, 30], "one component, twice"
    assert len({goal.failure for goal in goals}) == 1
    assert 3 * 2 * goals[0].failure <= FAILURE


@pytest.mark.usefixtures("iterative")
def test_an_interval_that_admits_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    # Repairs forbidden: the answer is wrong, and the interval has to say so by holding the truth all the same.
    monkeypatch.setattr(krylov, "TESTS", 1)
    monkeypatch.setattr(krylov, "lanczos", forgetful(5, [], every=True))
    graph = joint_augmentation(hypercube(8, 0.1))
    found = spectrum.spectrum(graph, 9)
    expected = everything(graph)
    assert found.values.sum() < expected[:9].sum() - 0.1
    low, high = found.tail_sq_interval
    assert low <= float((expected[9:] ** 2).sum()) <= high
    assert found.head_sq_interval[0] <= float((expected[:9] ** 2).sum()) <= found.head_sq_interval[1]


@pytest.mark.usefixtures("iterative")
def test_a_solve_that_does_not_converge_is_an_error_with_the_interval_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanczos, "BASIS", -200)
    graph = joint_augmentation(random_joint(np.random.default_rng(8), 400, 420, 0.02))
    with pytest.raises(ConvergenceError, match="did not converge; the sum of their squares lies in") as raised:
        spectrum.spectrum(graph, 41)
    low, high = (float(text) for text in str(raised.value).partition("[")[2].rstrip("]").split(", "))
    assert low - 1e-8 <= float((everything(graph)[1:41] ** 2).sum()) <= high + 1e-8


@pytest.mark.usefixtures("iterative")
def test_a_width_that_was_reached_is_enough_whatever_the_residuals(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where much is left beside the head, its squares may be less sure: that is convergence, not a failure of it.
    monkeypatch.setattr(search, "WIDTH", 1e-2)
    monkeypatch.setattr(krylov, "SETTLED", 0.0)
    graph = joint_augmentation(random_joint(np.random.default_rng(8), 400, 420, 0.02))
    found = spectrum.spectrum(graph, 9)
    exact = float((everything(graph)[:9] ** 2).sum())
    assert found.head_sq_interval[0] <= exact <= found.head_sq_interval[1]
    assert found.residuals.max() > 1e-7


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("seed", range(4))
def test_the_seed_moves_nothing_but_rounding(seed: int) -> None:
    graph = joint_augmentation(random_joint(np.random.default_rng(8), 320, 300))
    one, other = check_iterative(graph, 6, seed), check_iterative(graph, 6, seed)
    assert one.values.tolist() == other.values.tolist()
    assert one.tail_sq_interval == other.tail_sq_interval


@pytest.mark.parametrize("bridge", [1e-4, 1e-8, 1e-12, 1e-16, 1e-20])
def test_two_components_and_a_hair_between_them(bridge: float) -> None:
    M = disjoint(np.array([[1.0, 1.0], [1.0, 2.0]]), 2)
    M[0, 2] = bridge
    for k in (1, 2, 3, 4):
        check(joint_augmentation(M), k)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("bridge", [1e-8, 1e-12, 1e-20])
@pytest.mark.parametrize("shape", [(150, 160), (160, 150)])
def test_a_hair_between_two_large_components(shape: tuple[int, int], bridge: float) -> None:
    M = disjoint(random_joint(np.random.default_rng(6), *shape), 2)
    M[0, -1] = bridge
    for k in (2, 4):
        check_iterative(joint_augmentation(M), k)


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


@pytest.mark.parametrize("columns", [2_000, 50_000])
def test_sums_that_are_rounded_the_same_way_are_allowed_for(columns: int) -> None:
    # λ_2 = tr A − 1 of two views, to 50 digits, of the very masses of the graph: thousands of equal terms in a row.
    M = np.ones((2, columns))
    M[0, : columns // 2] = 0.1
    M[1, columns // 2 :] = 1e-4
    graph = joint_augmentation(M)
    with decimal.localcontext(prec=50):
        joint = [[decimal.Decimal(mass) for mass in row] for row in graph.graph.M.toarray().tolist()]
        p1, p2 = [sum(row) for row in joint], [sum(column) for column in zip(*joint, strict=True)]
        trace = sum(m * m / (p * q) for row, p in zip(joint, p1, strict=True) for m, q in zip(row, p2, strict=True))
        squared = (decimal.Decimal(trace) - 1) ** 2
    found = spectrum.spectrum(graph, 2)
    low, high = found.head_sq_interval
    assert decimal.Decimal(low) <= 1 + squared <= decimal.Decimal(high)
    assert abs(decimal.Decimal(found.values[1]) - squared.sqrt()) <= decimal.Decimal(found.value_error)
    assert found.tail_sq_interval[0] == 0
    assert high - low < 1e-9


@pytest.mark.parametrize("patches", range(2, 9))
def test_a_tail_of_rounding_alone_is_none(patches: int) -> None:
    """Two classes and patches that are independent given them: all eigenvalues but two are 0."""
    for flip in (0.1, 0.2, 0.3, 0.35):
        images = class_mixture(patches, flip)
        for kept in range(1, patches):
            masks = mask_set(mask_distribution("uniform", images.grid, 1 - kept / patches))
            found = spectrum.spectrum(augmentation_graph(mask_graph(images, masks, "sequence")), 2)
            assert found.tail_sq == 0
            assert found.tail_sq_interval[0] == 0


def test_the_ends_of_an_interval_are_rounded_outwards() -> None:
    """1 + 2⁻⁶⁰ is no double: the nearest one is 1, and does not hold it."""
    graph = joint_augmentation(hypercube(1, 0.5 - 2.0**-16))
    low, high = spectrum.spectrum(graph, 2).head_sq_interval
    assert low <= 1 < 1 + fractions.Fraction(1, 2**60) <= high


@pytest.mark.parametrize("hop", HOPS)
def test_masses_that_are_sums_of_very_many_edges(hop: Hop) -> None:
    """‖A‖_F² in whole numbers: 270,000 edges of seven views, whose masses must be as good as the interval is narrow."""
    images = class_mixture(12, 0.3, images=300)
    graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.5), 900), "bag")
    other = graph.ids2 if hop == "target" else np.repeat(np.arange(300), 900)
    counts = np.zeros((len(graph.p1), other.max() + 1), dtype=np.int64)
    np.add.at(counts, (graph.ids1.ravel(), other.ravel()), 1)
    rows, columns = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    squares = fractions.Fraction(0)
    for a, one in zip(rows, counts.tolist(), strict=True):
        for b, two in zip(rows, counts.tolist(), strict=True):
            entry = sum(fractions.Fraction(x * y, mass) for x, y, mass in zip(one, two, columns, strict=True))
            squares += entry**2 / (a * b)
    found = spectrum.spectrum(augmentation_graph(graph, hop), 1)
    low, high = found.tail_sq_interval
    assert low <= squares - 1 <= high
    assert high - low < 1e-11


def test_the_frobenius_norm_comes_from_either_side() -> None:
    for shape in ((30, 40), (40, 30), (5, 60), (60, 5), (1, 7), (7, 1)):
        B = joint_augmentation(random_joint(np.random.default_rng(9), *shape)).B
        exact = float(((B @ B.T).toarray() ** 2).sum())
        total, error = frobenius_norm_sq(B)
        assert abs(total - exact) <= error + SUM
        assert error < SUM


@pytest.mark.parametrize("k", [0, -1, 8, 2.5])
def test_dimension_out_of_range(k: Any) -> None:
    graph = joint_augmentation(random_joint(np.random.default_rng(9), 7, 9))
    with pytest.raises(
        InputError, match=f"dimension {k} for a graph of 7 visible views; expected an integer from 1 to 7"
    ):
        spectrum.spectrum(graph, k)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("M", [hypercube(8, 0.1), random_joint(np.random.default_rng(3), 400, 420, 0.05)])
def test_torch_gives_the_same(device: str, M: Array) -> None:
    from maskgraph.theory.solver.torch_engine import TorchEngine

    graph = joint_augmentation(M)
    ours, theirs = spectrum.spectrum(graph, 12), spectrum.spectrum(graph, 12, engine=TorchEngine(device))
    assert theirs.values == pytest.approx(ours.values, abs=CONVERGED)
    assert theirs.components == ours.components
    exact = float((everything(graph)[12:] ** 2).sum())
    assert theirs.tail_sq_interval[0] - SUM <= exact <= theirs.tail_sq_interval[1] + SUM
    assert theirs.residuals.max() < RESIDUAL


def test_a_device_that_is_not_there() -> None:
    from maskgraph.theory.solver.torch_engine import TorchEngine

    with pytest.raises(InputError, match=r"device 'cuda:99' cannot be used .*expected cpu, or cuda"):
        TorchEngine("cuda:99")


@pytest.mark.parametrize("seed", range(6))
def test_components_that_are_not_visited_cannot_matter(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # One component at a time: the search ends as soon as what is left is known to be too small.
    rng = np.random.default_rng(seed)
    blocks = [hypercube(2, flip) for flip in 0.5 * rng.random(12)]
    M = np.zeros((48, 48))
    for number, block in enumerate(blocks):
        M[4 * number : 4 * number + 4, 4 * number : 4 * number + 4] = block
    visited = []
    real = dense_solver.solve_densely

    def counted(*given: Any) -> Any:
        visited.append(given[2])
        return real(*given)

    monkeypatch.setattr(search, "DENSE_ENTRIES", 1)
    monkeypatch.setattr(search, "solve_densely", counted)
    graph = joint_augmentation(M)
    for k in (13, 14, 20, 30):
        visited.clear()
        check(graph, k)
        assert 1 <= len(visited) <= 12
        assert k > 14 or len(visited) < 12


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_a_small_eigenvalue_moves_by_more_than_its_share(size: float) -> None:
    """Entries of B that are off by a share δ move every singular value by up to δ, the smallest too."""
    share = size / 10
    B = np.array([[1, 1], [1, 1 + 4 * size]])
    B /= np.linalg.norm(B, 2)
    moved = B * (1 + share * np.array([[1, -1], [-1, 1]]))
    before, after = (np.asarray(np.linalg.svd(factor, compute_uv=False)[1:] ** 2, np.float64) for factor in (B, moved))
    assert abs(after / before - 1) > 50 * share
    low, high = of_rounded_entries(after, after, 2 * share)
    assert (low <= before).all()
    assert (before <= high).all()
    # And what is 0 stays as good as that.
    assert of_rounded_entries(np.zeros(1), np.zeros(1), 2 * share)[1] <= share**2


def test_beyond_the_rank_the_tail_is_0() -> None:
    """Not what rounding leaves of the difference of two sums, 1e-15 or so."""
    rng = np.random.default_rng(0)
    for views, targets in ((5, 9), (9, 5)) * 10:
        graph = joint_augmentation(random_joint(rng, views, targets))
        found = spectrum.spectrum(graph, 5)
        assert found.tail_sq == 0
        assert found.tail_sq_interval[0] == 0
