"""Collapse measures against closed forms and loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.empirical.collapse import (
    VarianceShares,
    participation_ratio,
    rankme,
    told_apart,
    variance_shares,
)
from maskgraph.theory import losses
from maskgraph.theory.losses import singular_values
from tests.strategies import searched

ROUNDING = 1e-10
"""Sums of at most a thousand products of size below 100, relative to variances above 1e-3."""

SEEDS = st.integers(0, 10**6)


def with_spectrum(s: NDArray[np.float64], rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A (rows, k) matrix with the singular values s, in random directions."""
    left, _ = np.linalg.qr(rng.normal(size=(rows, len(s))))
    right, _ = np.linalg.qr(rng.normal(size=(len(s), len(s))))
    return np.asarray(left * s @ right.T)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=6), st.integers(0, 6), SEEDS)
@searched(40)
def test_measures_are_the_formulas_of_the_spectrum(spectrum: list[float], more: int, seed: int) -> None:
    s = np.sort(spectrum)[::-1]
    F = with_spectrum(s, len(s) + more, np.random.default_rng(seed))
    np.testing.assert_allclose(singular_values(F), s, rtol=0, atol=ROUNDING)
    share = s / s.sum()
    assert rankme(singular_values(F)) == pytest.approx(np.prod(share**-share))
    assert participation_ratio(singular_values(F)) == pytest.approx((s**2).sum() ** 2 / (s**4).sum())
    assert participation_ratio(s) <= rankme(singular_values(F)) + ROUNDING <= len(s) + 2 * ROUNDING


@given(st.integers(1, 6), st.integers(1, 6), SEEDS)
@searched(30)
def test_measures_run_from_1_to_k(k: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    orthonormal = with_spectrum(np.full(k, 3.0), k + rows, rng)
    rank_one = np.outer(rng.uniform(1, 2, rows), rng.uniform(1, 2, k))
    for measure in (rankme, participation_ratio):
        assert measure(singular_values(orthonormal)) == pytest.approx(k)
        # √eps of the leading one in other singular values at most: rounding counts k·√eps·log of that.
        assert measure(singular_values(rank_one)) == pytest.approx(1, abs=1e-5)


def test_fewer_rows_than_columns() -> None:
    F = np.random.default_rng(0).normal(size=(3, 8))
    np.testing.assert_allclose(singular_values(F), np.sqrt(np.linalg.eigvalsh(F @ F.T))[::-1], rtol=1e-10)
    assert 1 <= rankme(singular_values(F)) <= 3


@pytest.mark.parametrize("rows", [1, 3, 7, 20, 21])
def test_singular_values_are_the_same_however_many_rows_are_decomposed_at_a_time(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones to the rounding of the largest, as a backward stable decomposition has them."""
    s = np.array([3.0, 1.0, 1e-3, 1e-9, 0.0])
    F = with_spectrum(s, 20, np.random.default_rng(0))
    monkeypatch.setattr(losses, "ROWS", rows)
    np.testing.assert_allclose(singular_values(F), s, rtol=0, atol=100 * 3 * np.finfo(float).eps)
    np.testing.assert_allclose(singular_values(F[:3]), np.linalg.svd(F[:3], compute_uv=False), rtol=0, atol=1e-13)


def test_no_feature_at_all_has_rank_zero() -> None:
    assert rankme(np.zeros(3)) == 0
    assert participation_ratio(np.zeros(3)) == 0


def test_the_participation_ratio_is_one_over_uniformity() -> None:
    rng = np.random.default_rng(0)
    f = rng.normal(size=(20, 5))
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    p = rng.dirichlet(np.ones(20))
    uniformity = sum(p[i] * p[j] * (f[i] @ f[j]) ** 2 for i in range(20) for j in range(20))
    assert participation_ratio(singular_values(f * np.sqrt(p)[:, None])) == pytest.approx(1 / uniformity)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), SEEDS)
@searched(40)
def test_shares_are_those_of_the_loops(images: int, masks: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    views = images * masks
    f, w = rng.normal(size=(views, k)), rng.dirichlet(np.ones(images))
    ids = rng.integers(views, size=(images, masks))
    z = np.array([[f[ids[i, m]] for m in range(masks)] for i in range(images)])
    mean = sum(w[i] * z[i, m] / masks for i in range(images) for m in range(masks))
    row = [z[i].mean(axis=0) - mean for i in range(images)]
    column = [sum(w[i] * z[i, m] for i in range(images)) - mean for m in range(masks)]
    a = sum(w[i] * float(row[i] @ row[i]) for i in range(images))
    b = sum(float(column[m] @ column[m]) / masks for m in range(masks))
    rest = [(w[i], z[i, m] - mean - row[i] - column[m]) for i in range(images) for m in range(masks)]
    c = sum(weight * float(left @ left) / masks for weight, left in rest)
    total = a + b + c
    found = variance_shares(f, ids, w)
    if total < 1e-20:
        assert found == VarianceShares(0, 0, 0)
        return
    assert found.image == pytest.approx(a / total, abs=ROUNDING)
    assert found.mask == pytest.approx(b / total, abs=ROUNDING)
    assert found.interaction == pytest.approx(c / total, abs=ROUNDING)
    assert found.image + found.mask + found.interaction == pytest.approx(1)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_what_is_additive_has_no_interaction(offset: float) -> None:
    """Far from the origin too: the split does not depend on it."""
    rng = np.random.default_rng(0)
    a, b, w = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.dirichlet(np.ones(6))
    a -= w @ a
    b -= b.mean(axis=0)
    z = a[:, None, :] + b[None] + offset
    found = variance_shares(z.reshape(-1, 3), np.arange(24).reshape(6, 4), w)
    image, mask = float(w @ (a**2).sum(axis=1)), float((b**2).sum(axis=1).mean())
    assert found.image == pytest.approx(image / (image + mask), abs=1e-8)
    assert found.mask == pytest.approx(mask / (image + mask), abs=1e-8)
    assert found.interaction == pytest.approx(0, abs=1e-8)


def test_rounding_makes_no_share_negative() -> None:
    """Of additive designs it leaves an interaction of either sign."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        z = rng.normal(size=(6, 1, 3)) + rng.normal(size=(1, 4, 3))
        found.append(variance_shares(z.reshape(-1, 3), np.arange(24).reshape(6, 4), np.full(6, 1 / 6)).interaction)
    assert min(found) == 0, "some would be below"


def test_pure_cases() -> None:
    w = np.array([0.5, 0.5])
    f = np.array([[1.0], [-1.0]])
    assert variance_shares(f, np.array([[0, 0], [1, 1]]), w) == VarianceShares(1, 0, 0)
    assert variance_shares(f, np.array([[0, 1], [0, 1]]), w) == VarianceShares(0, 1, 0)
    assert variance_shares(f, np.array([[0, 1], [1, 0]]), w) == VarianceShares(0, 0, 1)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_what_does_not_vary_has_no_shares(value: float) -> None:
    found = variance_shares(np.full((5, 2), value), np.arange(6).reshape(2, 3) % 5, np.array([0.3, 0.7]))
    assert found == VarianceShares(0, 0, 0)


def test_parallel_features_at_unit_norm_have_no_shares() -> None:
    rng = np.random.default_rng(0)
    f = rng.uniform(0.5, 2, size=(100, 1)) * rng.normal(size=16)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    assert np.ptp(f, axis=0).max() > 0
    assert variance_shares(f, rng.integers(100, size=(50, 5)), np.full(50, 1 / 50)) == VarianceShares(0, 0, 0)
    # A thousand times as far apart they vary.
    f += 1e-13 * rng.normal(size=f.shape)
    assert variance_shares(f, np.arange(100).reshape(20, 5), np.full(20, 1 / 20)).interaction > 0.5


def test_parallel_features_of_float32_have_no_shares_either() -> None:
    rng = np.random.default_rng(0)
    f = (rng.uniform(0.5, 2, size=(100, 1)) * rng.normal(size=16)).astype(np.float32).astype(np.float64)
    unit, ids, weights = (
        f / np.linalg.norm(f, axis=1, keepdims=True),
        rng.integers(100, size=(50, 5)),
        np.full(50, 0.02),
    )
    assert told_apart(f) == pytest.approx(8 * 2.0**-23)
    assert told_apart(unit) == pytest.approx(8 * 2.0**-52)
    assert variance_shares(unit, ids, weights, told_apart(f)) == VarianceShares(0, 0, 0)
    assert variance_shares(unit, ids, weights).interaction > 0


def test_a_weight_is_so_many_copies() -> None:
    rng = np.random.default_rng(0)
    f, ids, copies = rng.normal(size=(9, 2)), rng.integers(9, size=(3, 4)), np.array([1, 3, 2])
    once = variance_shares(f, ids, copies / 6)
    often = variance_shares(f, np.repeat(ids, copies, axis=0), np.full(6, 1 / 6))
    for share in ("image", "mask", "interaction"):
        assert getattr(once, share) == pytest.approx(getattr(often, share))
