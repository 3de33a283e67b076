"""The Lipschitz constants against plain loops over pairs: one-sided over positive ones, two-sided over all."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.graphs.errors import InputError
from maskgraph.theory import lipschitz, pairs
from maskgraph.theory.lipschitz import one_sided_lipschitz, two_sided_lipschitz
from maskgraph.theory.pairs import LEAD, LOOSE
from tests.strategies import searched
from tests.theory.toys import Array, Case, cases, disjoint, joint_augmentation, random_joint, two_states

RELATIVE = 1e-12
"""A quotient of two sums of at most 8 squares."""


def apart(x: Array, i: int, j: int) -> float:
    """The squared distance of two rows."""
    return math.fsum((float(a) - float(b)) ** 2 for a, b in zip(x[i], x[j], strict=True))


def literally(graph: AugmentationGraph, f: Array, h: Array) -> float:
    """By the formula of the package on all positive pairs at once, none left out."""
    i, j = np.nonzero(np.triu(graph.positive_pairs().toarray(), k=1))
    df, dh = f[i] - f[j], h[i] - h[j]
    feature, output = np.einsum("ij,ij->i", df, df), np.einsum("ij,ij->i", dh, dh)
    size = np.einsum("ij,ij->i", f[i], f[i]) + np.einsum("ij,ij->i", f[j], f[j])
    differs = feature > lipschitz.SAME**2 * size
    with np.errstate(divide="ignore"):
        return float((feature[differs] / output[differs]).max(initial=0.0))


def by_loops(graph: AugmentationGraph, f: Array, h: Array) -> float:
    largest = 0.0
    positive = graph.positive_pairs().toarray()
    for i in range(len(f)):
        for j in range(len(f)):
            feature, output = apart(f, i, j), apart(h, i, j)
            if positive[i, j] > 0 and feature > 0:
                largest = max(largest, feature / output if output > 0 else math.inf)
    return largest


def both_sides_by_loops(f: Array, h: Array) -> float:
    """The least L that serves both halves at every pair, 0 where none differs."""
    largest = 0.0
    for i in range(len(f)):
        for j in range(i):
            feature, output = apart(f, i, j), apart(h, i, j)
            if feature > 0 and output > 0:
                largest = max(largest, feature / output, output / feature)
            elif feature > 0 or output > 0:
                return math.inf
    return largest


@searched(80)
@given(cases(valued=False), st.booleans())
def test_random_worlds(case: Case, rounded: bool) -> None:
    rng = case.rng
    f, h = rng.standard_normal((len(case.A.p1), 3)), rng.standard_normal((len(case.A.p1), 5))
    if rounded:
        # Few distinct values, so that features and outputs coincide in some pairs.
        f, h = np.round(f[:, :1]), np.round(h[:, :1] / 2)
    found = one_sided_lipschitz(case.A, f, h)
    assert found == pytest.approx(by_loops(case.A, f, h), rel=RELATIVE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "FEW", 0)
        assert one_sided_lipschitz(case.A, f, h) == found, "of many pairs"


@searched(80)
@given(cases(valued=False), st.sampled_from([0.1, 1.0, 10.0]), st.booleans(), st.sampled_from([1, 7, 256]))
def test_two_sided_on_random_worlds(case: Case, scale: float, rounded: bool, together: int) -> None:
    """Outputs nearer to each other than features are, about as far, and farther: either half may be the one to bind."""
    rng, count = case.rng, len(case.A.p1)
    f, h = rng.standard_normal((count, 3)), scale * rng.standard_normal((count, 5))
    if rounded:
        # Outputs that coincide exactly where features do, now and then: the pairs that differ decide.
        f = np.round(f[:, :1])
        h = scale * (f + f**3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lipschitz, "TOGETHER", together)
        found = two_sided_lipschitz(f, h, case.A.p1)
    assert found == pytest.approx(both_sides_by_loops(f, h), rel=RELATIVE)
    assert found == 0 or found >= 1


@pytest.mark.parametrize("together", [1, 7, 100])
@pytest.mark.parametrize("at", range(0, 30, 4))
def test_every_pair_counts_whatever_is_compared_together(
    at: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two views that bind are of one place of thirty: only a block that has a row of theirs can tell."""
    monkeypatch.setattr(lipschitz, "TOGETHER", together)
    mass = np.linspace(2, 1, 30)
    f = np.arange(30.0)[:, None]
    h = f.copy()
    h[at + 1] = h[at] + 0.125
    wide = both_sides_by_loops(f, h)
    assert wide == 64
    assert two_sided_lipschitz(f, h, mass) == two_sided_lipschitz(h, f, mass) == wide


def test_the_heaviest_views_are_those_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two lightest bind and are left out, which only lowers what is found."""
    rng = np.random.default_rng(4)
    f, h = rng.standard_normal((12, 2)), rng.standard_normal((12, 3))
    mass = rng.permutation(np.arange(1.0, 13.0))
    heavy = mass > 2
    h[~heavy] = h[0]
    assert two_sided_lipschitz(f, h, mass) == math.inf
    monkeypatch.setattr(lipschitz, "HEAVIEST", 10)
    assert two_sided_lipschitz(f, h, mass) == pytest.approx(both_sides_by_loops(f[heavy], h[heavy]), rel=RELATIVE)


def test_two_sided_where_only_one_of_both_differs() -> None:
    mass, same, other = np.ones(3), np.ones((3, 2)), np.eye(3)
    assert two_sided_lipschitz(other, same, mass) == two_sided_lipschitz(same, other, mass) == math.inf
    assert two_sided_lipschitz(same, same, mass) == 0


@pytest.mark.parametrize("together", [1, 7, 100])
def test_the_size_of_a_slice_changes_nothing(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    A = joint_augmentation(random_joint(rng, 30, 12))
    f, h = rng.standard_normal((30, 3)), rng.standard_normal((30, 4))
    whole = one_sided_lipschitz(A, f, h)
    monkeypatch.setattr(pairs, "FEW", 0)
    monkeypatch.setattr(lipschitz, "PAIRS", together)
    assert one_sided_lipschitz(A, f, h) == whole == pytest.approx(by_loops(A, f, h), rel=RELATIVE)


def test_only_positive_pairs_count() -> None:
    A = joint_augmentation(disjoint(np.ones((2, 1)), 2))
    f = np.array([[0.0], [1.0], [0.0], [1.0]])
    # Within a pair outputs differ by 2; across the pairs equal outputs with different features do not matter.
    h = np.array([[0.0], [2.0], [2.0], [0.0]])
    assert one_sided_lipschitz(A, f, h) == pytest.approx(0.25)


def test_equal_outputs_of_different_features() -> None:
    _, A = two_states(0.2)
    assert one_sided_lipschitz(A, np.eye(2), np.zeros((2, 3))) == math.inf
    assert one_sided_lipschitz(A, np.eye(2), np.ones((2, 3))) == math.inf


def test_features_that_never_differ() -> None:
    _, A = two_states(0.2)
    assert one_sided_lipschitz(A, np.ones((2, 2)), np.eye(2)) == 0
    assert one_sided_lipschitz(A, np.ones((2, 2)), np.zeros((2, 2))) == 0
    isolated = joint_augmentation(np.eye(3))
    assert one_sided_lipschitz(isolated, np.eye(3), np.zeros((3, 1))) == 0


def test_parallel_features_are_equal_ones() -> None:
    """Divided by their norms they differ in the last bit; their outputs may well be the same."""
    A = joint_augmentation(np.array([[4.0, 1, 0], [1, 4, 1], [1, 1, 4]]))
    parallel = np.array([[0.1, 0.2, 0.3], [0.7, 1.4, 2.1], [1, -1, 0]])
    f = parallel / np.linalg.norm(parallel, axis=1, keepdims=True)
    assert 0 < np.abs(f[0] - f[1]).max() < 1e-15
    h = np.array([[1.0], [1.0], [-1.0]])
    equal = f[[0, 0, 2]]
    assert one_sided_lipschitz(A, f, h) == pytest.approx(one_sided_lipschitz(A, equal, h), rel=RELATIVE)
    assert two_sided_lipschitz(f, h, A.p1) == pytest.approx(two_sided_lipschitz(equal, h, A.p1), rel=RELATIVE)
    # But what is told apart by more than rounding is not.
    assert one_sided_lipschitz(A, f + np.array([[1e-13], [0], [0]]), h) == math.inf


@pytest.mark.parametrize("seed", range(5))
def test_outputs_of_parallel_features_are_equal_ones(seed: int) -> None:
    """Whatever reads features passes their last bits on: outputs that are a power of two times them, bit for bit."""
    rng = np.random.default_rng(seed)
    rays = rng.standard_normal((3, 5))
    f = (rng.uniform(0.1, 10, (4, 1, 1)) * rays).reshape(12, 5)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    h = 2 * f[:, ::-1]
    mass = np.ones(12)
    assert 0 < np.abs(h[:3] - h[3:6]).max() < 1e-15
    assert two_sided_lipschitz(f, h, mass) == pytest.approx(4, rel=RELATIVE)
    # Outputs that more than rounding tells apart are another matter.
    assert two_sided_lipschitz(f, h + 1e-13 * np.eye(12, 5), mass) == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_no_view_that_never_differs(bad: float) -> None:
    _, A = two_states(0.2)
    for f, h in ((np.array([[1.0], [bad]]), np.eye(2)), (np.eye(2), np.array([[1.0], [bad]]))):
        with pytest.raises(InputError, match=rf"has \[{bad}\] at view 1; expected finite numbers"):
            one_sided_lipschitz(A, f, h)
        with pytest.raises(InputError, match=rf"has \[{bad}\] at view 1; expected finite numbers"):
            two_sided_lipschitz(f, h, A.p1)


def test_scaling_is_on_squares() -> None:
    rng = np.random.default_rng(1)
    A = joint_augmentation(random_joint(rng, 9, 7))
    f, h = rng.standard_normal((9, 3)), rng.standard_normal((9, 4))
    L = one_sided_lipschitz(A, f, h)
    assert one_sided_lipschitz(A, 3 * f, h) == pytest.approx(9 * L)
    assert one_sided_lipschitz(A, f, 3 * h) == pytest.approx(L / 9)
    assert one_sided_lipschitz(A, f + 5, h - 7) == pytest.approx(L)


def test_it_is_the_least() -> None:
    rng = np.random.default_rng(2)
    A = joint_augmentation(random_joint(rng, 8, 5))
    f, h = rng.standard_normal((8, 2)), rng.standard_normal((8, 2))
    L = one_sided_lipschitz(A, f, h)
    i, j = np.nonzero(A.positive_pairs().toarray())
    feature, output = ((f[i] - f[j]) ** 2).sum(axis=1), ((h[i] - h[j]) ** 2).sum(axis=1)
    assert (feature / L <= output * (1 + RELATIVE)).all()
    assert not (feature / (0.999 * L) <= output).all()


def cliques(rng: np.random.Generator, *sizes: int) -> AugmentationGraph:
    """Targets that so many views share each, with a few views of several targets."""
    M = np.repeat(np.eye(len(sizes)), sizes, axis=0)
    rows = rng.integers(len(M), size=len(M) // 10)
    M[rows, rng.integers(len(sizes), size=len(rows))] = 1.0
    return joint_augmentation(M[rng.permutation(len(M))])


MODELS: dict[str, Callable[[Array, Array, np.random.Generator], tuple[Array, ...]]] = {
    "independent": lambda f, h, rng: (f, h),
    "of rank 2 and noise": lambda f, h, rng: (
        f,
        f[:, :2] @ rng.standard_normal((2, h.shape[1])) + 1e-6 * rng.standard_normal(h.shape),
    ),
    "one to one": lambda f, h, rng: (f, np.resize(f.T, h.T.shape).T),
    "nearly collapsed": lambda f, h, rng: (f, h[0] + 1e-9 * h),
    "collapsed": lambda f, h, rng: (f, np.tile(h[:1], (len(h), 1))),
    "collapsed but for one": lambda f, h, rng: (np.tile(f[:1], (len(f), 1)), h),
    "near copies": lambda f, h, rng: (f, np.repeat(h[::4], 4, axis=0)[: len(h)] + 1e-12 * h),
    "copies": lambda f, h, rng: tuple(np.repeat(x[::4], 4, axis=0)[: len(x)] for x in (f, h)),
    "few features": lambda f, h, rng: (f[rng.integers(3, size=len(f))], h),
    "features equal but for rounding": lambda f, h, rng: (f[:1] * (1 + 2e-15 * rng.standard_normal((len(f), 1))), h),
    "outputs far off": lambda f, h, rng: (f, h + 1e8),
    "features far off": lambda f, h, rng: (f + 1e6, h),
    "outputs in clusters": lambda f, h, rng: (f, 1e4 * h[rng.integers(5, size=len(h))] + 1e-11 * h),
    "features in clusters": lambda f, h, rng: (1e4 * f[rng.integers(5, size=len(f))] + 1e-10 * f, h),
    "both in clusters": lambda f, h, rng: tuple(1e4 * x[np.arange(len(x)) % 5] + 1e-10 * x for x in (f, h)),
    "parallel features of near outputs": lambda f, h, rng: (
        f[np.arange(len(f)) % 9] * (1 + 5e-16 * rng.standard_normal((len(f), 1))),
        h[np.arange(len(h)) % 9] + 1e-15 * h,
    ),
    "far off but nearly equal": lambda f, h, rng: (f + 1e6, 1e8 + np.round(1e-6 * h, 7)),
    "small": lambda f, h, rng: (1e-8 * f, 1e-8 * h),
    "large": lambda f, h, rng: (1e8 * f, 1e8 * h),
    "small and large": lambda f, h, rng: (1e-8 * f, 1e8 * h),
    "squares that underflow": lambda f, h, rng: (1e-160 * f, 1e-161 * h),
    "squares of a few least numbers": lambda f, h, rng: (4e-162 * f, 4e-162 * h),
    "squares that overflow": lambda f, h, rng: (f, 1e160 * h),
    "lengths of all sizes": lambda f, h, rng: (f * np.exp(5 * rng.standard_normal((len(f), 1))), h),
    "one output": lambda f, h, rng: (f, h[:, :1]),
    "only the last differ": lambda f, h, rng: (f, np.where(np.arange(h.shape[1]) == h.shape[1] - 1, h, 1.0)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_that_of_all_pairs_to_the_last_bit(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng([seed, len(name)])
    A = cliques(rng, 90, 40, 7, 2, 1)
    k, d = ((3, 5), (8, 8), (17, 40), (64, 80))[seed]
    f, h = MODELS[name](rng.standard_normal((140, k)), rng.standard_normal((140, d)), rng)
    wanted = literally(A, f, h)
    assert one_sided_lipschitz(A, f, h) == wanted, "of few pairs"
    monkeypatch.setattr(pairs, "FEW", 0)
    assert one_sided_lipschitz(A, f, h) == wanted
    # In slices what was found before decides, and of two views the later one may be first.
    monkeypatch.setattr(lipschitz, "PAIRS", 500)
    assert one_sided_lipschitz(A, f, h) == wanted
    back = joint_augmentation(A.graph.M.toarray()[::-1])
    assert one_sided_lipschitz(back, f[::-1], h[::-1]) == wanted


@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-6, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("n", [1, 5, 40, 200])
def test_leading_coordinates_bound_distances_from_both_sides(n: int, offset: float, spread: float) -> None:
    """As the compiled loop asks of them, in numbers of twice the digits or near: clusters that rounding blurs."""
    rng = np.random.default_rng(n)
    x = offset + 1e3 * rng.standard_normal((6, n))[rng.integers(6, size=120)] + spread * rng.standard_normal((120, n))
    y, blur, rest = lipschitz._leading(x)
    i, j = np.triu_indices(120, k=1)
    wide = x.astype(np.longdouble)
    true = ((wide[i] - wide[j]) ** 2).sum(axis=1)
    lead = ((y[i].astype(np.longdouble) - y[j]) ** 2).sum(axis=1)
    assert (lead <= (1 + LOOSE) * true + (blur[i] + blur[j]) ** 2).all()
    assert (true <= (1 + LOOSE) * lead + (rest[i] + blur[i] + rest[j] + blur[j]) ** 2).all()
    # And they say something: of few directions nothing is left open but the blur.
    assert (blur < 1e-6 * (1 + np.abs(x - x.mean(axis=0)).max() * n)).all()
    if n <= LEAD:
        assert (lead >= (1 - LOOSE) * true - (blur[i] + blur[j]) ** 2).all()


@pytest.mark.parametrize("few", [0, 10_000])
def test_values_of_any_layout_and_type_count_the_same(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "FEW", few)
    rng = np.random.default_rng(7)
    A = cliques(rng, 30, 9)
    f, h = np.round(4 * rng.standard_normal((39, 12))), np.round(9 * rng.standard_normal((39, 10)))
    wanted = literally(A, f, h)
    for change in (np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x.astype(np.int8)):
        assert one_sided_lipschitz(A, change(f), change(h)) == wanted
    assert one_sided_lipschitz(A, f, h[:, :0]) == math.inf
    assert one_sided_lipschitz(A, f[:, :0], h) == 0
