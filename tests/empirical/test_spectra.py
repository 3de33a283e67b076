"""Collapse measures against planted spectra, literal loops and the bounds that N and D impose."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from maskgraph.empirical import collapse
from maskgraph.empirical.spectra import (
    alignment,
    alpha_req,
    bounds,
    collapse_report,
    covariance_spectrum,
    gaussian_null,
    lidar,
    nesum,
    shares,
    stable_rank,
    uniformity,
)
from maskgraph.graphs.errors import InputError
from tests.empirical.test_collapse import with_spectrum
from tests.strategies import searched

ROUNDING = 1e-9
"""Of sums of at most some thousand products of order 1 in float64, and of eigenvalues of well conditioned matrices."""

SEEDS = st.integers(0, 10**6)
Array = NDArray[np.float64]


def published(Z: Array) -> float:
    """RankMe as recipes have it."""
    return collapse.rankme(np.linalg.svd(Z, compute_uv=False), 1e-7)


def centred_with_spectrum(eigenvalues: Array, rows: int, seed: int) -> Array:
    """(rows, k) features whose covariance has these eigenvalues, off the origin."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(np.concatenate([np.ones((rows, 1)), rng.normal(size=(rows, len(eigenvalues)))], axis=1))
    right, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues), len(eigenvalues))))
    return np.asarray(left[:, 1:] * np.sqrt(rows * eigenvalues) @ right.T + rng.normal(size=len(eigenvalues)))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8), st.integers(1, 9), SEEDS)
@searched(40)
def test_ranks_are_the_formulas_of_a_planted_spectrum(values: list[float], more: int, seed: int) -> None:
    s = np.sort(values)[::-1]
    Z = with_spectrum(s, len(s) + more, np.random.default_rng(seed))
    share = s / s.sum() + 1e-7
    assert published(Z) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)), rel=ROUNDING)
    assert stable_rank(Z) == pytest.approx(sum(v**2 for v in s) / max(s) ** 2)
    centred = centred_with_spectrum(s, len(s) + 1 + more, seed)
    np.testing.assert_allclose(covariance_spectrum(centred)[: len(s)], s, rtol=1e-8)
    assert nesum(centred) == pytest.approx(s.sum() / s[0])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("count", [6, 15, 19, 20, 40, 80])
def test_a_power_law_is_found_with_a_perfect_fit(alpha: float, count: int) -> None:
    law = alpha_req(centred_with_spectrum(np.arange(1.0, count + 1) ** np.float64(-alpha), count + 5, 0))
    assert law.alpha == pytest.approx(alpha, rel=1e-6)
    assert law.r_squared == pytest.approx(1, abs=1e-9)
    assert law.points == {6: 6, 15: 15, 19: 19, 20: 10, 40: 30, 80: 40}[count]


def test_a_fit_that_is_none_says_so() -> None:
    stairs = np.repeat([1.0, 1e-4], 20)
    law = alpha_req(centred_with_spectrum(stairs, 60, 0))
    assert law.r_squared < 0.9
    # Of the eigenvalues 11 to 40, by scipy.
    wanted = stats.linregress(np.log(np.arange(11, 41)), np.log(stairs[10:]))
    assert law.r_squared == pytest.approx(wanted.rvalue**2, rel=1e-6)
    assert law.alpha == pytest.approx(-wanted.slope, rel=1e-6)
    assert math.isnan(alpha_req(np.ones((5, 3))).alpha)
    assert alpha_req(np.outer(np.arange(5.0), np.ones(3))).points == 1


def test_published_rankme_is_that_of_the_graph_up_to_its_eps() -> None:
    Z = np.random.default_rng(0).normal(size=(50, 20))
    s = np.linalg.svd(Z, compute_uv=False)
    assert published(Z) == pytest.approx(collapse.rankme(s), rel=1e-4)
    assert published(Z) != collapse.rankme(s)
    views = Z.reshape(25, 2, 20)
    first = views[:, 0] / np.linalg.norm(views[:, 0], axis=1, keepdims=True)
    assert collapse_report(views, views)["rankme"] == pytest.approx(published(first), rel=1e-14)
    assert published(np.zeros((4, 3))) == pytest.approx(1, abs=1e-5)


@given(st.integers(3, 8), st.integers(2, 4), st.integers(1, 5), SEEDS)
@searched(30)
def test_lidar_is_its_formula(images: int, q: int, dim: int, seed: int) -> None:
    # Views scatter about their image with a variance near δ, which then counts.
    rng = np.random.default_rng(seed)
    views = 0.02 * rng.normal(size=(images, q, dim)) + rng.normal(size=(images, 1, dim))
    mean = views.mean(axis=(0, 1))
    between, within = np.zeros((dim, dim)), 1e-4 * np.eye(dim)
    for image in views:
        between += np.outer(image.mean(axis=0) - mean, image.mean(axis=0) - mean) / images
        for view in image:
            within += np.outer(view - image.mean(axis=0), view - image.mean(axis=0)) / (images * q)
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values) @ vectors.T
    eigenvalues = np.clip(np.linalg.eigvalsh(whiten @ between @ whiten), 0, None)
    share = eigenvalues / eigenvalues.sum()
    # The eps of directions that do not vary is 1e-7·log 1e-7 each, whether they are counted or not.
    wanted = math.exp(-sum((p + 1e-7) * math.log(p + 1e-7) for p in share))
    assert lidar(views) == pytest.approx(wanted, rel=dim * 2e-6)


@given(SEEDS)
@searched(10)
def test_lidar_is_measured_at_the_scale_that_it_was_published_for(seed: int) -> None:
    """Views of variances near δ: at another scale δ would be most of them, or nothing."""
    views = np.random.default_rng(seed).normal(size=(9, 3, 5)) * 0.02 + np.eye(9, 5)[:, None]
    normed = views / np.linalg.norm(views, axis=2, keepdims=True) * math.sqrt(5)
    wanted = lidar(normed)
    assert abs(lidar(normed / math.sqrt(5)) - wanted) > 1e-3
    for scale in (1.0, 1e3):
        assert collapse_report(scale * views, views)["lidar"] == pytest.approx(wanted, rel=1e-9)


def test_lidar_counts_the_directions_that_tell_images_apart() -> None:
    """Images on the axes of three dimensions of six, their views scattered in the other three."""
    rng = np.random.default_rng(0)
    means = np.concatenate([np.eye(3), -np.eye(3)]).repeat(20, axis=0)
    views = np.zeros((120, 10, 6))
    views[:, :, :3] = means[:, None]
    views[:, :, 3:] = rng.normal(size=(120, 10, 3)) * 0.01
    assert lidar(views) == pytest.approx(3, abs=0.01)


@given(st.integers(2, 7), st.integers(2, 4), st.integers(1, 6), SEEDS)
@searched(30)
def test_uniformity_and_alignment_are_their_means_over_pairs(images: int, q: int, dim: int, seed: int) -> None:
    views = np.random.default_rng(seed).normal(size=(images, q, dim))
    z = views / np.linalg.norm(views, axis=2, keepdims=True)
    pairs = itertools.permutations(range(images), 2)
    assert uniformity(views[:, 0]) == pytest.approx(np.mean([(z[i, 0] @ z[j, 0]) ** 2 for i, j in pairs]), abs=ROUNDING)
    inner = [-(z[i, a] @ z[i, b]) for i in range(images) for a, b in itertools.permutations(range(q), 2)]
    assert alignment(views) == pytest.approx(np.mean(inner), abs=ROUNDING)


@pytest.mark.parametrize("seed", range(8))
def test_uniformity_of_orthogonal_features_is_not_below_its_floor(seed: int) -> None:
    """A mean of squares: what rounding leaves of 0, some ulp of a few squared norms of 1, must not be less."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(64, 64)))
    for images in range(2, 65):
        found = uniformity(turn[:images] * rng.uniform(0.1, 9, size=(images, 1)))
        assert 0 <= found < 1e-15


def test_a_report_is_of_first_views_at_unit_norm_and_what_compares_views_of_all() -> None:
    rng = np.random.default_rng(0)
    # Lengths of many sizes, so that each measure of what is not normalised would be another; and no two arrays alike.
    views, crossed = (rng.normal(size=(30, q, 4)) * rng.uniform(0.1, 9, size=(30, q, 1)) + 0.5 for q in (3, 4))
    first = views[:, 0] / np.linalg.norm(views[:, 0], axis=1, keepdims=True)
    law = alpha_req(first)
    wanted = {
        "rankme": published(first),
        "stable_rank": stable_rank(first),
        "participation_ratio": 1 / np.mean((first @ first.T) ** 2),
        "nesum": nesum(first),
        "alpha_req": law.alpha,
        "alpha_req_r_squared": law.r_squared,
        "alpha_req_points": law.points,
        "lidar": lidar(2 * views / np.linalg.norm(views, axis=2, keepdims=True)),
        "uniformity": uniformity(first),
        "alignment": alignment(views),
        **shares(crossed),
    }
    assert collapse_report(views, crossed) == pytest.approx(wanted, rel=ROUNDING)


def test_shares_are_those_of_a_planted_variance() -> None:
    """Unit vectors near a pole, moved by independent normals of an image, of a mask and of both."""
    rng = np.random.default_rng(0)
    count, q, dim = 400, 300, 6
    moves = (
        0.03 * rng.normal(size=(count, 1, dim))
        + 0.02 * rng.normal(size=(1, q, dim))
        + 0.01 * rng.normal(size=(count, q, dim))
    )
    moves[:, :, 0] = 1
    found = shares(moves)
    # The relative standard error of a variance over 300·5 normals is 3.7 %; four of them, of shares 9, 4 and 1 of 14.
    for name, wanted in (("share_image", 9), ("share_mask", 4), ("share_interaction", 1)):
        assert found[name] == pytest.approx(wanted / 14, rel=4 * 0.037)
    assert sum(found.values()) == pytest.approx(1)
    assert shares(np.ones((5, 3, 2))) == {"share_image": 0.0, "share_mask": 0.0, "share_interaction": 0.0}


def test_views_that_hang_on_nothing_are_interaction() -> None:
    """The means over q masks vary by chance alone: without the correction the share of images would be 1/q."""
    found = shares(gaussian_null((3000, 2, 8), 0))
    assert found["share_image"] < 0.03
    assert found["share_mask"] < 0.03


@given(st.integers(2, 5), st.integers(2, 4), st.integers(1, 4), SEEDS)
@searched(20)
def test_shares_are_the_analysis_of_variance(images: int, q: int, dim: int, seed: int) -> None:
    views = np.random.default_rng(seed).normal(size=(images, q, dim))
    z = views / np.linalg.norm(views, axis=2, keepdims=True)
    mean = z.mean(axis=(0, 1))
    rest = sum(
        float(((z[i, j] - z[i].mean(axis=0) - z[:, j].mean(axis=0) + mean) ** 2).sum())
        for i in range(images)
        for j in range(q)
    ) / ((images - 1) * (q - 1))
    of_images = q * sum(float(((z[i].mean(axis=0) - mean) ** 2).sum()) for i in range(images)) / (images - 1)
    of_masks = images * sum(float(((z[:, j].mean(axis=0) - mean) ** 2).sum()) for j in range(q)) / (q - 1)
    parts = [max((of_images - rest) / q, 0), max((of_masks - rest) / images, 0), rest]
    wanted = [part / sum(parts) if sum(parts) > 1e-12 else 0 for part in parts]
    np.testing.assert_allclose(list(shares(views).values()), wanted, atol=ROUNDING)


@given(st.integers(3, 12), st.integers(2, 4), st.integers(1, 9), SEEDS)
@searched(40)
def test_every_measure_is_within_its_bounds(images: int, q: int, dim: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(images, q, dim)) * rng.uniform(0.01, 1, dim)
    found = collapse_report(views, views)
    for name, (low, high) in bounds(images, dim).items():
        # LiDAR and RankMe count 1e-7 for every direction that is not there.
        assert low - 1e-5 <= found[name] <= high + 1e-5, name


def test_bounds_are_reached() -> None:
    frame = np.concatenate([np.eye(4), -np.eye(4), np.eye(4)])
    low, high = bounds(12, 4)["uniformity"]
    assert uniformity(frame) == pytest.approx(low)
    assert uniformity(np.ones((12, 4))) == pytest.approx(high)
    assert bounds(3, 8)["uniformity"][0] == 0 == uniformity(np.eye(8)[:3])
    for name, measure in (("rankme", published), ("stable_rank", stable_rank)):
        assert measure(np.eye(4)) == pytest.approx(bounds(4, 4)[name][1])
        assert measure(np.ones((4, 4))) == pytest.approx(1, abs=1e-5)
    # Four points span three directions about their mean.
    points = np.eye(4)[:, None].repeat(2, axis=1)
    assert lidar(points) == pytest.approx(bounds(4, 4)["lidar"][1], abs=1e-9)
    assert bounds(4, 4)["lidar"][1] == pytest.approx(3, abs=1e-4)
    assert nesum(frame[:8]) == pytest.approx(bounds(8, 4)["nesum"][1])
    assert nesum(np.eye(4)) == pytest.approx(bounds(4, 4)["nesum"][1])


@pytest.mark.parametrize(("images", "dim"), [(40, 2), (6, 9), (40, 19), (90, 20), (90, 64)])
def test_the_decay_of_a_spectrum_reaches_its_bounds(images: int, dim: int) -> None:
    """Equal eigenvalues, and of all that fall once, as far as rounding lets them, the steepest line."""
    low, high = bounds(images, dim)["alpha_req"]
    rank = min(images - 1, dim)
    assert alpha_req(centred_with_spectrum(np.ones(rank), images, 0)).alpha == pytest.approx(low, abs=1e-9)
    least = 4 * np.finfo(np.float64).eps * max(images, dim)
    found = [
        alpha_req(centred_with_spectrum(np.repeat([1.0, least], [top, usable - top]), images, 0)[:, :dim]).alpha
        for usable in range(2, rank + 1)
        for top in range(1, usable)
    ]
    # A factor of 4 above what rounding takes.
    assert max(found) == pytest.approx(high * math.log(least) / math.log(least / 4), rel=1e-3)
    assert max(found) < high


def test_where_one_direction_is_left_there_is_no_decay_to_bound() -> None:
    assert "alpha_req" not in bounds(2, 9)
    assert "alpha_req" not in bounds(9, 1)


@pytest.mark.parametrize(("images", "masks"), [(2, 2), (3, 5), (6, 4)])
def test_each_share_may_be_all_of_the_variance_whatever_n_and_d(images: int, masks: int) -> None:
    i, j = np.meshgrid(np.arange(images) / images, np.arange(masks) / masks, indexing="ij")
    for name, turn in (("share_image", i), ("share_mask", j), ("share_interaction", i + j)):
        features = np.stack([np.cos(2 * math.pi * turn), np.sin(2 * math.pi * turn)], axis=2)
        assert shares(features)[name] == pytest.approx(bounds(images, 2)[name][1], abs=ROUNDING)


def test_chance_alone_has_no_share_of_images_or_masks_on_average() -> None:
    """Unlike their shares of the sums of squares: (N − 1)/(Nq − 1) = 0.36 and (q − 1)/(Nq − 1) = 0.27 here."""
    found = [shares(gaussian_null((5, 4, 200), seed)) for seed in range(40)]
    # One strays by √(2/200·(1/4 + 1/12))/4 = 0.014, or √(2/200·(1/3 + 1/12))/5 = 0.013; what is below 0 is cut off,
    # which leaves 0.4 of that on average, and a mean of 40 is off by a tenth of it: five of those.
    for name in ("share_image", "share_mask"):
        assert np.mean([one[name] for one in found]) < 0.4 * 0.014 + 5 * 0.0014


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("images", "dim"), [(9, 4), (100, 16), (1000, 64)])
def test_what_rounding_tells_apart_does_not_vary(images: int, dim: int, parallel: bool) -> None:
    """Views on one ray: at unit norm they are equal, but for the last bits."""
    rng = np.random.default_rng(0)
    views = rng.uniform(0.5, 2, size=(images, 4, 1)) if parallel else np.ones((images, 4, 1))
    found = collapse_report(views * rng.normal(size=dim), views * rng.normal(size=dim))
    assert (found["nesum"], found["alpha_req_points"]) == (0, 0)
    # The eps of each direction alone.
    assert found["lidar"] == pytest.approx(math.exp(-dim * 1e-7 * math.log(1e-7)), rel=1e-12)
    assert [found[f"share_{part}"] for part in ("image", "mask", "interaction")] == [0, 0, 0]


@pytest.mark.parametrize("kept_as", [np.float32, np.float64])
@pytest.mark.parametrize("ulps", [0, 2])
@pytest.mark.parametrize(("images", "masks", "dim"), [(2, 2, 4), (9, 4, 4), (400, 4, 64)])
def test_constant_features_of_a_network_do_not_vary(
    images: int, masks: int, dim: int, ulps: int, kept_as: type[np.floating[Any]]
) -> None:
    """Computed in float32, and off by two of its ulp: as constant ones in float64, not as what rounding tells apart."""
    rng = np.random.default_rng(0)
    rays = rng.uniform(0.5, 2, size=(images, masks, 1)) * rng.normal(size=dim)
    eps = float(np.finfo(np.float32).eps)
    views = (rays * (1 + ulps * eps * rng.uniform(-1, 1, size=rays.shape))).astype(np.float32).astype(kept_as)
    found = collapse_report(views, views)
    assert (found["nesum"], found["alpha_req_points"]) == (0, 0)
    assert found["lidar"] == pytest.approx(math.exp(-min(images, dim) * 1e-7 * math.log(1e-7)), rel=1e-12)
    assert [found[f"share_{part}"] for part in ("image", "mask", "interaction")] == [0, 0, 0]
    # A thousand times as far apart they vary, in whatever precision; and in float64 much less does.
    for apart, dtype in ((1e3 * eps, np.float32), (1e3 * np.finfo(np.float64).eps, np.float64)):
        moved: Any = (rays + apart * rng.normal(size=rays.shape)).astype(dtype)
        varied = collapse_report(moved, moved)
        assert varied["nesum"] >= 1
        assert sum(varied[f"share_{part}"] for part in ("image", "mask", "interaction")) == pytest.approx(1)


@pytest.mark.parametrize("images", [2, 3, 9])
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_no_bound_crosses_its_other(images: int, dim: int) -> None:
    assert all(low <= high for low, high in bounds(images, dim).values())
    # Where there is but one direction, both are what it has.
    line = np.arange(1.0, images + 1)[:, None]
    low, high = bounds(images, 1)["rankme"]
    assert low == high == pytest.approx(published(line), rel=1e-14)
    low, high = bounds(images, 1)["lidar"]
    assert low == high == pytest.approx(lidar(line[:, None].repeat(2, axis=1)), rel=1e-14)


@given(SEEDS)
@searched(10)
def test_a_rotation_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    views = rng.normal(size=(20, 3, 5)) + 0.3
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    before, after = collapse_report(views, views), collapse_report(views @ turn, views @ turn)
    for name, value in before.items():
        assert after[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"views of shape \(1, 4, 3\); expected \(images, views, dimension\), at least"
    ):
        collapse_report(np.zeros((1, 4, 3)), np.zeros((2, 4, 3)))
    with pytest.raises(InputError, match=r"features of views are not finite; the network has diverged"):
        collapse_report(np.ones((3, 2, 3)), np.full((3, 2, 3), np.nan))
