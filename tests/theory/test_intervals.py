"""A thousand settings, most of them from solvers that are wrong: the intervals hold the truth in every one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from scipy.linalg import block_diag

from maskgraph.graphs.augmentation import AugmentationGraph, Hop, augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory.certify import certify
from maskgraph.theory.solver import krylov, lanczos, search
from maskgraph.theory.spectrum import spectrum
from tests.strategies import HOPS
from tests.theory.toys import Array, dense, disjoint, hypercube, joint_augmentation, random_joint

SEEDS = 14
"""Of each family and each wrong solver: 8 · 9 · 14 = 1,008 settings. At δ = 1e-10 none of them may fail by chance."""


ROOM = 3.2e-12
"""The reference's: of at most 270 views, 4 · 13 · 270 · 2⁻⁵² for 13 squares."""


def low_rank(rng: np.random.Generator) -> Array:
    """All but five eigenvalues are 0."""
    return np.asarray((rng.random((60, 5)) + 0.1) @ (rng.random((5, 50)) + 0.1))


def stars(rng: np.random.Generator) -> Array:
    """One-edge components and a dense block."""
    M = np.zeros((52, 50))
    M[:12, :12] = np.diag(rng.random(12) + 0.1)
    M[12:, 12:] = random_joint(rng, 40, 38)
    return M


def clustered(rng: np.random.Generator) -> Array:
    """Twelve components whose second eigenvalues differ in the ninth digit."""
    M = np.zeros((48, 48))
    for block in range(12):
        M[4 * block : 4 * block + 4, 4 * block : 4 * block + 4] = hypercube(2, 0.1 + 1e-10 * rng.random())
    return M


FAMILIES: dict[str, Callable[[np.random.Generator], Array]] = {
    "random": lambda rng: random_joint(rng, 60, 70, 0.1),
    "more targets": lambda rng: random_joint(rng, 40, 90, 0.05),
    "sixteen copies": lambda rng: disjoint(random_joint(rng, 5, 6), 16),
    "multiplicities above a block": lambda rng: hypercube(6, 0.05 + 0.3 * rng.random()),
    "zeros": low_rank,
    "one-edge components": stars,
    "clusters": clustered,
    "two halves and a hair": lambda rng: disjoint(random_joint(rng, 30, 28), 2) + 1e-9,
}

Solver = Callable[[Array, int, np.random.Generator], Array]
"""Vectors from the true ones (all, descending), the number wanted and chance."""


def noisy(size: float) -> Solver:
    """Every vector off by this much."""
    return lambda V, k, rng: V[:, : k + 4] + size * rng.standard_normal((len(V), min(k + 4, len(V))))


SOLVERS: dict[str, Solver] = {
    "right": lambda V, k, rng: V[:, : k + 4],
    "right and no more": lambda V, k, rng: V[:, :k],
    "off by 1e-8": noisy(1e-8),
    "off by 1e-4": noisy(1e-4),
    "off by a tenth": noisy(0.1 / 8),
    "missed the second": lambda V, k, rng: np.delete(V, 1, axis=1)[:, : k + 4],
    "missed three": lambda V, k, rng: np.delete(V, rng.permutation(k + 2)[:3], axis=1)[:, :k],
    "too few": lambda V, k, rng: V[:, : max(k // 2, 1)],
    "noise": lambda V, k, rng: rng.standard_normal((len(V), k)),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_intervals_hold_the_truth(family: str, solver: str) -> None:
    widths = []
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, list(FAMILIES).index(family)])
        graph = joint_augmentation(FAMILIES[family](rng))
        values, V = np.linalg.eigh(dense(graph))
        values, V = values[::-1], V[:, ::-1]
        k = int(rng.integers(1, len(values) // 2))
        found = certify(graph, SOLVERS[solver](V, k, rng), k, seed=seed)
        # The reference is off by the backward error of a dense solver, 2⁻⁵² · order, on each of k squares.
        room = 4 * k * len(values) * float(np.finfo(np.float64).eps)
        for exact, (low, high) in (
            (float((values[:k] ** 2).sum()), found.head_sq_interval),
            (float((values[k:] ** 2).sum()), found.tail_sq_interval),
        ):
            assert low - room <= exact <= high + room
            widths.append(high - low)
    if solver == "right" and family in ("random", "more targets"):
        # Not by being wide: with a gap after the vectors, by next to nothing.
        assert np.median(widths) < 1e-6
    if solver == "missed three" and family == "random":
        assert np.median(widths) > 1e-3


WORLDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "random": lambda rng: random_joint(rng, 150, 140, 0.1),
    "three copies": lambda rng: disjoint(random_joint(rng, 90, 80), 3),
    "two components": lambda rng: block_diag(random_joint(rng, 80, 90), random_joint(rng, 70, 60, 0.3)),
    "multiplicities": lambda rng: hypercube(7, 0.05 + 0.3 * rng.random()),
    "copies of multiplicities": lambda rng: disjoint(hypercube(6, 0.05 + 0.3 * rng.random()), 3),
    "two halves and a hair": lambda rng: disjoint(random_joint(rng, 60, 58), 2) + 1e-9,
}


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize("world", WORLDS)
def test_the_spectrum_says_how_wrong_it_may_be(world: str, certain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the solver's own solves, with one test and no repair: it forgets some vectors and is content with the rest."""
    for part, name, value in (
        *((search, "DENSE_SIDE", 16), (search, "ROOM", 10), (search, "WIDTH", 10.0)),
        *((krylov, "DENSELY", 0), (krylov, "TESTS", 1)),
    ):
        monkeypatch.setattr(part, name, value)
    if not certain:
        monkeypatch.setattr(krylov, "CHOLESKY_SIDE", 0)
    real, wrong = lanczos.lanczos, 0
    for seed in range(10):
        rng = np.random.default_rng([seed, list(WORLDS).index(world), certain])
        graph, k = joint_augmentation(WORLDS[world](rng)), int(rng.integers(4, 14))

        def forgets(*given: Any, rng: np.random.Generator = rng, k: int = k) -> Array:
            found: Array = real(*given)
            locked = given[1].shape[1]
            fresh = found.shape[1] - locked
            lost = min(int(rng.integers(5)), max(found.shape[1] - k - 1, 0), fresh)
            return np.delete(found, locked + rng.permutation(min(fresh, k + 2))[:lost], axis=1)

        monkeypatch.setattr(krylov, "lanczos", forgets)
        values = np.linalg.eigvalsh(dense(graph))[::-1]
        found = spectrum(graph, k, seed)
        head, tail = float((values[:k] ** 2).sum()), float((values[k:] ** 2).sum())
        assert found.head_sq_interval[0] - ROOM <= head <= found.head_sq_interval[1] + ROOM
        assert found.tail_sq_interval[0] - ROOM <= tail <= found.tail_sq_interval[1] + ROOM
        assert (found.values + found.value_error >= values[:k] - ROOM).all()
        wrong += abs(found.head_sq - head) > 1e-6
    assert wrong >= 5


def test_a_solver_that_lost_copies_is_told_from_one_that_did_not() -> None:
    graph = joint_augmentation(disjoint(random_joint(np.random.default_rng(1), 60, 70), 4))
    right = spectrum(graph, 8).vectors.toarray()
    good, bad = certify(graph, right, 7), certify(graph, np.delete(right, [1, 2], axis=1), 7)
    width = [high - low for low, high in (good.head_sq_interval, bad.head_sq_interval)]
    assert width[0] < 0.05 * width[1]
    assert bad.nu >= 1 - 1e-9


@pytest.mark.parametrize("hop", HOPS)
def test_the_rounding_of_the_graph_is_in_it_as_in_that_of_the_spectrum(hop: Hop) -> None:
    """What is known without a solve is known as well: a graph whose masses are sums of thousands, on either hop."""
    images = class_mixture(60, 0.45, images=4)
    graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.95), 4_000), "sequence")
    found = augmentation_graph(graph, hop)
    ours, own = certify(found, np.eye(len(graph.p1)), 1), spectrum(found, 1)
    assert ours.tail_sq_interval == pytest.approx(own.tail_sq_interval, rel=0, abs=1e-14)
    low, high = ours.tail_sq_interval
    assert high - low > 1e-13


def test_what_no_vector_tells_is_between_nothing_and_everything() -> None:
    """Vectors of nothing leave √p1 alone: λ₁ is 1, to the half of an ulp to which a sum is rounded."""
    graph = joint_augmentation(random_joint(np.random.default_rng(1), 5, 7))
    one, three = (certify(graph, np.zeros((5, 2)), k) for k in (1, 3))
    assert one.head_sq_interval == (1 - 2.0**-53, 1 + 2.0**-52)
    assert three.head_sq_interval == (1 - 2.0**-53, 3 + 2.0**-51)
    assert three.tail_sq_interval[0] == 0


def test_what_is_beyond_the_vectors_is_at_most_what_they_leave_out() -> None:
    graph = joint_augmentation(np.random.default_rng(0).random((5, 7)) + np.eye(5, 7))
    vectors = np.linalg.eigh(dense(graph))[1][:, ::-1][:, :2]
    two, four = (certify(graph, vectors, k) for k in (2, 4))
    assert 0.01 < four.nu < 0.9
    # Of the roots of the eigenvalues the entries of B are off by 2⁻⁵² · (7 + 5 + 144)/2: docs/theory.md, section 6.
    beyond = (four.nu**0.5 + 2.0**-52 * 156 / 2) ** 2
    assert four.head_sq_interval[1] - two.head_sq_interval[1] == pytest.approx(2 * beyond**2, rel=0, abs=2e-15)
    assert four.head_sq_interval[0] == two.head_sq_interval[0]


def test_vectors_may_be_of_any_length_and_nearly_dependent() -> None:
    graph = joint_augmentation(random_joint(np.random.default_rng(1), 30, 40, 0.2))
    vectors = np.linalg.eigh(dense(graph))[1][:, ::-1][:, :6]
    plain = certify(graph, vectors, 4)
    assert plain.head_sq_interval[1] - plain.head_sq_interval[0] < 1e-6
    leaning = vectors.copy()
    leaning[:, 2] = vectors[:, 1] + 1e-5 * vectors[:, 2]
    for others in (vectors * [1e-9, 1e9, 1e-200, 1e-300, 1e200, 1e308], leaning, np.c_[vectors, np.zeros(30), vectors]):
        found = certify(graph, others, 4)
        assert found.nu == pytest.approx(plain.nu, rel=1e-2)
        assert found.head_sq_interval == pytest.approx(plain.head_sq_interval, rel=1e-9)


def test_the_test_is_drawn_anew_and_as_sure_as_is_asked_for() -> None:
    graph = joint_augmentation(np.random.default_rng(0).random((5, 7)) + np.eye(5, 7))
    vectors = np.linalg.eigh(dense(graph))[1][:, ::-1][:, :2]
    nus = [certify(graph, vectors, 2, failure, seed).nu for failure, seed in ((1e-10, 0), (1e-3, 0), (1e-3, 1))]
    assert nus[0] > nus[1] != nus[2]


@pytest.mark.parametrize("failure", [1e-10, 1e-3])
def test_what_rounding_lets_through_of_anybodys_vectors(failure: float) -> None:
    """Of eigenvalues of 0 nothing is left out, and ν is what the test allows rounding: docs/theory.md, section 6."""
    pairs = disjoint(np.ones((2, 1)), 60)
    vectors = np.c_[pairs, np.eye(120)[:, 0] - np.eye(120)[:, 1]]
    found = certify(joint_augmentation(pairs), vectors, 2, failure)
    # Nobody knows how far the vectors' images lie outside them: a projection's own rounding goes on in full, which is
    # 2⁻⁵² · views · √columns, at a degree of 2 or more and of a block of eight.
    let_through = 2.0**-52 * 120 * 61**0.5
    block = (120 * 8 / scipy.stats.chi2.ppf(failure, 8)) ** 0.5
    assert 16 * let_through * 2**2 * block <= found.nu < 1e-6


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_vectors_that_are_not_finite(value: float) -> None:
    vectors = np.ones((5, 2))
    vectors[3, 1] = value
    vectors[4, 0] = np.inf
    with pytest.raises(InputError, match=rf"vectors contains {value} at \(3, 1\); expected finite numbers"):
        certify(joint_augmentation(random_joint(np.random.default_rng(1), 5, 7)), vectors, 2)


@pytest.mark.parametrize(("k", "rows", "message"), [(0, 5, "dimension 0"), (6, 5, "dimension 6"), (2, 4, "shape")])
def test_bad_input(k: int, rows: int, message: str) -> None:
    graph: AugmentationGraph = joint_augmentation(random_joint(np.random.default_rng(1), 5, 7))
    with pytest.raises(InputError, match=message):
        certify(graph, np.ones((rows, 2)), k)


@pytest.mark.parametrize("failure", [0.0, 1.0, -1e-10, 2.0, np.nan, "never"])
def test_a_probability_that_is_none(failure: float) -> None:
    """Of -1, 2 and NaN the quantile is NaN, which would be an end of the interval."""
    graph = joint_augmentation(random_joint(np.random.default_rng(1), 5, 7))
    with pytest.raises(InputError, match=r"failure .*; expected a probability above 0 and below 1"):
        certify(graph, np.ones((5, 2)), 2, failure)


def test_a_seed_that_is_none() -> None:
    with pytest.raises(InputError, match="seed -1"):
        certify(joint_augmentation(random_joint(np.random.default_rng(1), 5, 7)), np.ones((5, 2)), 2, seed=-1)
