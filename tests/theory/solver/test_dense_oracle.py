"""Graphs of up to three thousand views, as they are solved in earnest, against LAPACK's dense eigenvalues of A."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.theory.solver import krylov, search
from maskgraph.theory.spectrum import spectrum
from tests.theory.toys import Array, joint_augmentation, random_joint, together

BACKWARD = 8 * 2.0**-52
"""Times the order: error of an eigenvalue of a dense symmetric matrix of norm 1, with room for the product B Bᵀ."""

RELATIVE = 1e-8
"""Width of an interval for the tail relative to it, as promised at 65,000 views."""

ROUNDING = 8 * 300 * (256 + 300) * 2.0**-52
"""Width of the interval of an eigenvalue that rounding is allowed with a basis of 300: `certificate.allowance`."""


def bits(flips: list[float]) -> Array:
    """Independent bits, each of which differs between x1 and x2 with its own probability p.

    An eigenvalue is the product of (1 − 2p)² over a subset: m equal ones bring multiplicities of m choose w.
    """
    M = np.ones((1, 1))
    for flip in flips:
        M = np.kron(M, np.array([[1 - flip, flip], [flip, 1 - flip]]))
    return M


def walk(dimensions: int) -> Array:
    """A lazy step on the corners of a cube: eleven entries a row, and clusters of up to 252."""
    corner = np.arange(2**dimensions)
    M = 4 * np.eye(len(corner))
    for k in range(dimensions):
        M[corner, corner ^ (1 << k)] = 1
    return M


def low_rank(rows: int, columns: int, rank: int, rng: np.random.Generator) -> Array:
    """All but `rank` eigenvalues are 0."""
    one, other = random_joint(rng, rows, rank, 0.05), random_joint(rng, rank, columns, 0.05)
    return np.asarray(one @ other)


def banded(size: int, reach: int) -> Array:
    """A ring of neighbours: eigenvalues in pairs that crowd towards 1."""
    first = np.zeros(size)
    first[: reach + 1] = 1
    return np.stack([np.roll(first, shift) for shift in range(size)])


def halves(rng: np.random.Generator) -> Array:
    """Two large graphs that one pair in 10¹² joins."""
    M = together(random_joint(rng, 1200, 1100, 0.02), random_joint(rng, 1300, 1400, 0.02))
    M[0, -1] = 1e-12
    return M


Family = tuple[Callable[[np.random.Generator], Array], list[int]]

FAMILIES: dict[str, Family] = {
    "multiplicities 10, 45 and 120": (lambda rng: bits([0.1] * 10), [2, 11, 12, 40, 57]),
    "multiplicities 9, 36 and 84 near 1": (lambda rng: bits([0.01] * 9), [11, 50]),
    "the same a little further": (lambda rng: bits([0.02] * 9), [11, 50]),
    "one of 126 cut": (lambda rng: bits([0.005] * 9), [11, 150]),
    "few links": (lambda rng: walk(10), [30, 60, 200]),
    "a cluster at k": (lambda rng: bits([*(0.1 + 1e-8 * rng.random(10))]), [2, 6, 12, 40]),
    "a looser cluster at k": (lambda rng: bits([*(0.1 + 1e-4 * rng.random(10))]), [2, 6, 12, 40]),
    "zero eigenvalues": (lambda rng: low_rank(1200, 3000, 30, rng), [20, 30, 31, 64]),
    "one-edge components beside a large one": (
        lambda rng: together(random_joint(rng, 1600, 1500, 0.01), *[np.ones((1, 1))] * 1400),
        [1400, 1401, 1402, 1464],
    ),
    "stars and rank 1": (
        lambda rng: together(
            np.ones((1, 900)), np.ones((800, 1)), np.ones((30, 40)), random_joint(rng, 900, 950, 0.02)
        ),
        [4, 5, 40],
    ),
    "sixteen copies": (lambda rng: together(*[random_joint(rng, 180, 170, 0.05)] * 16), [16, 17, 31, 32, 33, 100]),
    "six copies of large ones": (
        lambda rng: together(*[random_joint(rng, 500, 480, 0.02)] * 6),
        [6, 7, 11, 12, 13, 80],
    ),
    "one component has nearly all": (
        lambda rng: together(banded(1100, 8), *(random_joint(rng, 450, 440, 0.3) for _ in range(4))),
        [5, 6, 30, 70],
    ),
    "twins": (lambda rng: np.repeat(random_joint(rng, 750, 700, 0.02), 4, axis=0), [2, 40]),
    "many more targets": (lambda rng: random_joint(rng, 500, 3000, 0.01), [2, 64]),
    "many more visible views": (lambda rng: random_joint(rng, 3000, 500, 0.01), [2, 64]),
    "sparse": (lambda rng: random_joint(rng, 3000, 3000, 0.0004), [2, 300]),
    "a hair between two halves": (halves, [1, 2, 3, 20]),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_spectrum_is_that_of_the_dense_solver(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, ks = FAMILIES[family]
    M = make(np.random.default_rng(list(FAMILIES).index(family)))
    assert max(M.shape) <= 3000
    graph = joint_augmentation(M)
    M /= M.sum()
    B = M / np.sqrt(M.sum(axis=1)[:, None] * M.sum(axis=0))
    exact = np.linalg.eigvalsh(B @ B.T if len(B) <= B.shape[1] else B.T @ B)[::-1]
    exact = np.concatenate([exact, np.zeros(len(M) - len(exact))])
    for k in ks:
        hold(graph, exact, k)
    # From four hundred views on, and to the end.
    monkeypatch.setattr(krylov, "DENSELY", 0)
    for k in ks:
        hold(graph, exact, k)


def hold(graph: AugmentationGraph, exact: Array, k: int) -> None:
    """Values from below within what they promise, sums in their intervals, intervals narrow."""
    value = BACKWARD * len(exact)
    total = 2 * float(np.abs(exact).sum()) * value
    found = spectrum(graph, k)
    assert found.frobenius_sq == pytest.approx(float((exact**2).sum()), abs=total)
    assert (found.values <= exact[:k] + value).all()
    assert (exact[:k] <= found.values + found.value_error + value).all()
    head, tail = float((exact[:k] ** 2).sum()), float((exact[k:] ** 2).sum())
    for truth, (low, high) in ((head, found.head_sq_interval), (tail, found.tail_sq_interval)):
        assert low - total <= truth <= high + total
        assert high - low <= RELATIVE * tail + 2 * ROUNDING * float(found.values.sum()) + total
    near = np.flatnonzero(found.values > 1e-3)
    V = found.vectors[:, near].toarray()
    assert np.abs(V.T @ V - np.eye(len(near))).max() <= 1e-9


def test_a_component_that_hides_more_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    real = search.Search._visit

    def counted(self: search.Search, jobs: list[tuple[int, int]]) -> None:
        asked.extend(jobs)
        real(self, jobs)

    monkeypatch.setattr(search.Search, "_visit", counted)
    rng = np.random.default_rng(0)
    # All of the 64 wanted are the first one's: it is asked for its share, then for more, the others for nothing.
    blocks = [banded(1100, 8), *(random_joint(rng, 450, 440, 0.3) for _ in range(4))]
    spectrum(joint_augmentation(together(*blocks)), 69)
    assert asked == [(0, 26), (0, 52), (0, 64)]
    # All bring as many, and none is asked for all.
    asked.clear()
    spectrum(joint_augmentation(together(*[random_joint(rng, 500, 480, 0.02)] * 6)), 54)
    assert sorted(asked) == [(component, 16) for component in range(6)]
