"""How far the numbers of a sample's graph are from those of the data, on many samples, and how fast that falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory import bounds
from maskgraph.theory.closed_form import binary_alpha, binary_lambda_2
from maskgraph.theory.findings.mixture_samples import Measured, MixtureWorld

Array = NDArray[np.float64]
Kind = Literal["mean", "rms"]

IMAGES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
MASK_COUNTS = (1, 2, 4, 8, 16, 32, 70)

FIT_FROM, FIT_UNSEEN = 128, 0.01
"""A rate is fitted over the samples of at least so many images whose unseen mass is below this on both sides."""

CLEAR = 3.0
"""A mean error of fewer standard errors than this is noise, which has no rate."""

STEPS = 50
"""Of Gauss and Newton: the fit of two numbers to a smooth curve settles in a few."""


@dataclass(frozen=True)
class Errors:
    """One number on many samples, less its value on the data.

    Attributes:
        mean: the mean error.
        standard_error: of the mean.
        rms: root of the mean square error.
        rms_error: standard error of `rms`.
    """

    mean: float
    standard_error: float
    rms: float
    rms_error: float

    @property
    def clear(self) -> bool:
        """Whether the mean is told from noise."""
        return abs(self.mean) > CLEAR * self.standard_error


@dataclass(frozen=True)
class Rate:
    """A fitted power of the number of images, with its standard error."""

    power: float
    error: float

    def __str__(self) -> str:
        """The power as a page shows it."""
        return f"{self.power:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class Sampled:
    """What samples of one size say of a world.

    Attributes:
        world: its name.
        images: N.
        masks: S.
        truth: by the name of a number, its value on the data.
        errors: likewise.
        single: mean Good–Turing estimate of the unseen mass, visible and target side.
        missing: mean of the true unseen mass.
        miss: root mean square of their difference.
    """

    world: str
    images: int
    masks: int
    truth: dict[str, float]
    errors: dict[str, Errors]
    single: tuple[float, float]
    missing: tuple[float, float]
    miss: tuple[float, float]


NEXT, SPURIOUS, HEAD, BOUND, TAIL, ALPHA = "λ₂", "λ that is 0", "head", "Thm 4.2", "tail", "α"


def errors(found: Array, truth: float) -> Errors:
    """Mean and root mean square of (T,) errors, with their standard errors over the T samples."""
    error = found - truth
    square = error**2
    rms = float(np.sqrt(square.mean()))
    count = len(error)
    spread = float(square.std(ddof=1)) / np.sqrt(count)
    return Errors(
        float(error.mean()),
        float(error.std(ddof=1) / np.sqrt(count)),
        rms,
        float(spread / (2 * rms)) if rms > 0 else 0.0,
    )


def rate(images: Sequence[int], size: Sequence[float], error: Sequence[float]) -> Rate | None:
    """The power b of size ≈ c·N^b by weighted least squares, each point weighted by its own standard error.

    Not in logarithms: a point that noise put near 0 counts for what it says, and none has to be left out. None where
    all but the first are 0 beside their errors: what falls faster than any power that they could tell has no rate.

    Args:
        images: N of each point.
        size: (points,) of one sign on the whole; the first is well above its error.
        error: (points,) their standard errors.
    """
    x, y, s = (np.asarray(values, dtype=float) for values in (images, size, error))
    x, y = np.log(x / x[0]), y * np.sign(y[0])
    log_c, power = np.log(y[0]), -1.0
    for _ in range(STEPS):
        model = np.exp(log_c + power * x)
        slopes = np.stack([model / s, x * model / s], axis=1)
        if np.linalg.matrix_rank(slopes) < 2:
            return None
        step = np.linalg.lstsq(slopes, (y - model) / s)[0]
        log_c, power = log_c + step[0], power + step[1]
    return Rate(float(power), float(np.linalg.inv(slopes.T @ slopes)[1, 1] ** 0.5))


def truths(world: MixtureWorld, k: int) -> dict[str, float]:
    """The closed form: λ₂ and α of n1 visible patches, and Thm 4.2 at K = k, L = 1, ε = 0; k <= 2 a block."""
    masks = world.graph.masks
    visible, hidden = masks.kept.shape[1], masks.dropped.shape[1]
    second = binary_lambda_2(visible, hidden, world.flip)
    blocks = world.shape[0]
    head = min(k, blocks) + max(k - blocks, 0) * second**2
    tail = blocks * (1 + second**2) - head
    alpha = binary_alpha(visible, world.flip)
    return {
        NEXT: second,
        SPURIOUS: 0.0,
        HEAD: head,
        BOUND: bounds.thm_4_2(head, 1.0, 0.0),
        TAIL: tail,
        ALPHA: alpha,
    }


def numbers(found: Measured, world: MixtureWorld, k: int) -> dict[str, Array]:
    """Of each sample the numbers of `truths`, each (T,): λ₂ is the first eigenvalue after one 1 a block."""
    blocks = world.shape[0]
    head = found.head(k)
    return {
        NEXT: found.values[:, blocks],
        SPURIOUS: found.values[:, 2 * blocks],
        HEAD: head,
        BOUND: (2 - head) / 4,
        TAIL: found.tail(k),
        ALPHA: found.alpha,
    }


def sampled(name: str, world: MixtureWorld, k: int, count: int, masks: int, found: Measured) -> Sampled:
    """Samples of `count` images under `masks` masks, held to the closed form."""
    truth = truths(world, k)
    off = found.single - found.missing
    return Sampled(
        name,
        count,
        masks,
        truth,
        {key: errors(values, truth[key]) for key, values in numbers(found, world, k).items()},
        pair(found.single.mean(axis=0)),
        pair(found.missing.mean(axis=0)),
        pair(np.sqrt((off**2).mean(axis=0))),
    )


def over_images(name: str, world: MixtureWorld, k: int, samples: int) -> list[Sampled]:
    """All masks, and more and more images."""
    rng = np.random.default_rng(0)
    return [
        sampled(name, world, k, count, world.masks, world.measure(world.draw(rng, samples, count))) for count in IMAGES
    ]


def over_masks(name: str, world: MixtureWorld, k: int, samples: int, count: int) -> list[Sampled]:
    """So many images, and more and more of the masks, drawn without replacement; each sample its own."""
    rng = np.random.default_rng(1)
    rows = []
    for masks in MASK_COUNTS:
        found = [world.measure(world.draw(rng, 1, count), rng.permutation(world.masks)[:masks]) for _ in range(samples)]
        joined = Measured(*(np.concatenate([getattr(one, key) for one in found]) for key in Measured.__annotations__))
        rows.append(sampled(name, world, k, count, masks, joined))
    return rows


def points(rows: Sequence[Sampled], key: str, kind: Kind) -> tuple[list[float], list[float]]:
    """The sizes of a number's errors, with the sign of the first taken off, and their standard errors, row by row."""
    found = [row.errors[key] for row in rows]
    if kind == "rms":
        return [one.rms for one in found], [one.rms_error for one in found]
    sign = 1.0 if found[0].mean > 0 else -1.0
    return [sign * one.mean for one in found], [one.standard_error for one in found]


def fitted(rows: Sequence[Sampled], key: str, kind: Kind) -> Rate | None:
    """The rate of the mean error or of the rms of a number over the images; None where there is none."""
    known = [row for row in rows if row.images >= FIT_FROM and max(row.single) < FIT_UNSEEN]
    size, error = points(known, key, kind)
    return rate([row.images for row in known], size, error) if size[0] > CLEAR * error[0] else None


def pair(values: Array) -> tuple[float, float]:
    """Two numbers as such."""
    return float(values[0]), float(values[1])
