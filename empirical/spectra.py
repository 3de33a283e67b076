"""How far features have collapsed, by every measure in use, and what N and D alone impose on each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.collapse import participation_ratio, rankme, told_apart
from maskgraph.empirical.streams import Use
from maskgraph.graphs.errors import InputError

Features = NDArray[np.float64]

RANKME_EPS = 1e-7
"""Added to each share of RankMe and LiDAR, as published."""

LIDAR_DELTA = 1e-4
"""Added to the within-class covariance of LiDAR, as published: for features as a network gives them, of values about 1
after its last norm."""

FITTED = (10, 50)
"""Eigenvalues that α-ReQ's line is fitted to, by index from 0: the head bends, and the tail is noise. All of them where
there are fewer than twice the first. The paper leaves the range open; the fit's R² is given beside the slope."""


@dataclass(frozen=True)
class PowerLaw:
    """A line through the logarithms of eigenvalues over those of their indices: λ_i ∝ i^-α.

    Attributes:
        alpha: its slope downwards.
        r_squared: share of the logarithms' variance that it explains: what the slope can be believed for.
        points: eigenvalues that it goes through.
    """

    alpha: float
    r_squared: float
    points: int


def stable_rank(Z: Features) -> float:
    """‖Z‖_F²/‖Z‖_2², from 1 to the rank; 0 for Z = 0."""
    s = np.linalg.svd(Z, compute_uv=False)
    return float((s**2).sum() / s[0] ** 2) if s[0] > 0 else 0.0


def about_mean(Z: Features, same: float | None = None) -> Features:
    """The rows of Z less their mean; 0 where rounding alone tells them apart, so that no measure is of that.

    Args:
        Z: (N, D).
        same: how far apart it brings equal rows, where Z is what was made of others; None: that of Z (see
            `told_apart`).
    """
    same, Z = told_apart(Z) if same is None else same, np.asarray(Z, dtype=np.float64)
    # About a row's own place first: a mean of equal rows misses them by its rounding.
    centred = Z - Z[0]
    centred -= centred.mean(axis=0)
    varies = (centred**2).sum() > same**2 * (Z**2).sum()
    return centred if varies else np.zeros_like(centred)


def covariance_spectrum(Z: Features, same: float | None = None) -> Features:
    """(min(N, D),) eigenvalues of the covariance of the rows of Z, over N, descending; `same` as in `about_mean`."""
    return np.asarray(np.linalg.svd(about_mean(Z, same), compute_uv=False) ** 2 / len(Z))


def nesum(Z: Features, same: float | None = None) -> float:
    """Σ λ_i/λ_1 of the covariance (He and Ozay 2022, ICML): 1 for collapse onto a line, D for whitened features.

    0 where nothing varies; `same` as in `about_mean`.
    """
    eigenvalues = covariance_spectrum(Z, same)
    return float(eigenvalues.sum() / eigenvalues[0]) if eigenvalues[0] > 0 else 0.0


def alpha_req(Z: Features, same: float | None = None) -> PowerLaw:
    """The decay of the covariance spectrum (Agrawal et al. 2022, α-ReQ, NeurIPS), by least squares in logarithms.

    Only eigenvalues above rounding are fitted; none or one makes no line, and α and R² are then NaN. `same` as in
    `about_mean`.
    """
    eigenvalues = covariance_spectrum(Z, same)
    usable = int((eigenvalues > _lost(*Z.shape) * eigenvalues[0]).sum()) if eigenvalues[0] > 0 else 0
    fitted = _fitted(usable)
    y = np.log(eigenvalues[fitted])
    if len(y) < 2:
        return PowerLaw(float("nan"), float("nan"), len(y))
    x = np.log(fitted + 1.0)
    slope, intercept = np.polyfit(x, y, 1)
    residual = float(((y - slope * x - intercept) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    return PowerLaw(-float(slope), 1 - residual / total if total > 0 else 1.0, len(y))


def _lost(images: int, dim: int) -> float:
    """The share of the largest eigenvalue up to which rounding may have made another."""
    return float(np.finfo(np.float64).eps) * max(images, dim)


def _fitted(usable: int) -> NDArray[np.int64]:
    """Which of so many eigenvalues α-ReQ's line is fitted to, by index from 0."""
    return np.arange(FITTED[0] if usable >= 2 * FITTED[0] else 0, min(usable, FITTED[1]))


def _steepest(images: int, dim: int) -> float:
    """The largest α of N images in D dimensions.

    Of logarithms y within a range R, the slope Σ(x − x̄)y/Σ(x − x̄)² is the steepest where y is the largest up to x̄ and
    the least beyond, as descending eigenvalues may be: R·½Σ|x − x̄|/Σ(x − x̄)². What is fitted is above rounding.
    """
    steepest = 0.0
    for usable in range(2, min(images - 1, dim, FITTED[1]) + 1):
        x = np.log(_fitted(usable) + 1.0)
        apart = np.abs(x - x.mean())
        steepest = max(steepest, float(apart.sum() / (2 * (apart**2).sum())))
    return -math.log(_lost(images, dim)) * steepest


def lidar(views: Features, same: float | None = None) -> float:
    """LiDAR: the effective rank of what tells images apart, measured by what masks do (Thilak et al. 2023, 2312.04000).

    Σ_w^-½ Σ_b Σ_w^-½, with Σ_b the covariance of the images' means and Σ_w that of views about them, + δI.

    Args:
        views: (N, q, D), q views of each of N images.
        same: how far apart rounding brings equal views (see `about_mean`).
    """
    same = told_apart(views) if same is None else same
    means = views.mean(axis=1)
    within = (views - means[:, None]).reshape(-1, views.shape[2])
    values, vectors = np.linalg.eigh(within.T @ within / len(within) + LIDAR_DELTA * np.eye(views.shape[2]))
    centred = about_mean(means, same) @ (vectors / np.sqrt(values))
    s = np.linalg.svd(centred, compute_uv=False) ** 2
    return rankme(s, RANKME_EPS)


def uniformity(Z: Features) -> float:
    """Mean of (z_i·z_j)² over pairs i ≠ j of rows at unit norm: an unbiased estimate of L_unif."""
    z = unit(Z)
    gram = z.T @ z if z.shape[1] < len(z) else z @ z.T
    # ‖ZᵀZ‖_F = ‖ZZᵀ‖_F, and the diagonal of ZZᵀ holds squared norms.
    own = float(((z**2).sum(axis=1) ** 2).sum())
    # Of orthogonal rows rounding alone is left, of either sign.
    return max(float((gram**2).sum()) - own, 0.0) / (len(z) * (len(z) - 1))


def alignment(views: Features) -> float:
    """−mean z·z⁺ over pairs of different views of one image, rows at unit norm; views is (N, q, D)."""
    z = unit(views)
    q = z.shape[1]
    total = (z.sum(axis=1) ** 2).sum(axis=1) - (z**2).sum(axis=(1, 2))
    return float(-total.mean() / (q * (q - 1)))


def shares(crossed: Features) -> dict[str, float]:
    """Shares of the variance of unit-norm features over (image, mask): of images, of masks, and of their interaction.

    Components of variance of a crossed design without replication: each is what is left of a mean square once the
    interaction, which also moves the means over a few masks and images, is taken off. All 0 where nothing varies.
    `collapse.variance_shares` is the same for a graph, whose masks and images are all there are.

    Args:
        crossed: (N, q, D), every image under the same q masks; N and q at least 2.
    """
    count, q, dim = crossed.shape
    z = about_mean(unit(crossed).reshape(-1, dim), told_apart(crossed)).reshape(crossed.shape)
    images, masks, mean = z.mean(axis=1), z.mean(axis=0), z.mean(axis=(0, 1))
    rest = z - images[:, None] - masks + mean
    interaction = float((rest**2).sum()) / ((count - 1) * (q - 1))
    of_images = float(((images - mean) ** 2).sum()) / (count - 1) - interaction / q
    of_masks = float(((masks - mean) ** 2).sum()) / (q - 1) - interaction / count
    parts = {"share_image": max(of_images, 0.0), "share_mask": max(of_masks, 0.0), "share_interaction": interaction}
    total = sum(parts.values())
    return {name: part / total if total > 0 else 0.0 for name, part in parts.items()}


def collapse_report(views: Features, crossed: Features) -> dict[str, float]:
    """Every measure, of views of N images.

    Measures of one matrix take the first view of every image: rows that are independent.

    Args:
        views: (N, q, D), not normalised, every view under a mask of its own; N and q at least 2.
        crossed: (N, q, D), every image under the same q masks: what the shares of variance are of.

    Raises:
        InputError: fewer images or views, or a value that is not finite.
    """
    for features in (views, crossed):
        if features.ndim != 3 or min(features.shape[:2]) < 2:
            raise InputError(
                f"views of shape {features.shape}; expected (images, views, dimension), at least 2 of the first two"
            )
        if not np.isfinite(features).all():
            raise InputError("features of views are not finite; the network has diverged")
    first, same = unit(views[:, 0]), told_apart(views)
    law, singular = alpha_req(first, same), np.linalg.svd(first, compute_uv=False)
    return {
        "rankme": rankme(singular, RANKME_EPS),
        "stable_rank": stable_rank(first),
        "participation_ratio": participation_ratio(singular),
        "nesum": nesum(first, same),
        "alpha_req": law.alpha,
        "alpha_req_r_squared": law.r_squared,
        "alpha_req_points": law.points,
        # At that scale, whatever the network's own.
        "lidar": lidar(math.sqrt(views.shape[2]) * unit(views), same),
        "uniformity": uniformity(views[:, 0]),
        "alignment": alignment(views),
        **shares(crossed),
    }


def gaussian_null(shape: tuple[int, ...], seed: int) -> Features:
    """(N, q, D) independent standard normal features: what every measure says of nothing at all."""
    return np.random.default_rng([seed, Use.NULL_VIEWS]).normal(size=shape)


def bounds(images: int, dim: int) -> dict[str, tuple[float, float]]:
    """The least and the largest value that N images in D dimensions leave each measure, where no feature is zero.

    Σ_ij (z_i·z_j)² ≥ N²/D, so that the mean over i ≠ j is at least (N/D − 1)/(N − 1). NESum is 0 where nothing varies,
    and at least 1 elsewhere. α is at least 0, as eigenvalues descend, and 0 where the fitted ones are equal; rounding
    alone bounds it from above, and of one direction there is no line and no entry. Each share of variance may be
    anything from 0 to 1 whatever N and D are: in two dimensions an angle may be that of the image, that of the mask, or
    their sum.
    """
    rank, centred = float(min(images, dim)), float(min(images - 1, dim))

    def entropic(positive: float) -> float:
        # The entropy is largest where the shares that may be positive are equal; with the eps of each they sum to more
        # than 1, and of the others there is the eps alone.
        total = 1 + positive * RANKME_EPS
        return float((positive / total) ** total * RANKME_EPS ** (-(rank - positive) * RANKME_EPS))

    def effective(positive: float) -> tuple[float, float]:
        # One direction alone has less than 1, by the eps.
        return min(1.0, entropic(positive)), entropic(positive)

    return {
        "rankme": effective(rank),
        "stable_rank": (1.0, rank),
        "participation_ratio": (1.0, rank),
        "nesum": (0.0, centred),
        "lidar": effective(centred),
        "uniformity": (max(0.0, (images / dim - 1) / (images - 1)), 1.0),
        "alignment": (-1.0, 1.0),
        **({"alpha_req": (0.0, _steepest(images, dim))} if centred >= 2 else {}),
        **dict.fromkeys(("share_image", "share_mask", "share_interaction"), (0.0, 1.0)),
    }


def unit(Z: Features) -> Features:
    """Features at unit norm along the last axis, float64; a zero feature stays zero."""
    Z = np.asarray(Z, dtype=np.float64)
    norm = np.linalg.norm(Z, axis=-1, keepdims=True)
    return np.asarray(Z / np.where(norm > 0, norm, 1))
