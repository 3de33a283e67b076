"""Finite samples: how fast the numbers of a sample's graph come to those of the data, with images and with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory import bounds
from maskgraph.theory.closed_form import binary_alpha, binary_lambda_2
from maskgraph.theory.finding import EQUAL, Finding, Line, Panel
from maskgraph.theory.mixture_samples import Measured, MixtureWorld
from maskgraph.theory.unseen import OF_THE_SAMPLE

Array = NDArray[np.float64]
Kind = Literal["mean", "rms"]
KINDS: tuple[Kind, Kind] = ("mean", "rms")

PATCHES, FLIP = 8, 0.3
IMAGES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
MASK_COUNTS = (1, 2, 4, 8, 16, 32, 70)
SAMPLES, APART = 1500, 150
"""Samples of a size; fewer with positions and over masks, where each costs more."""

FIT_FROM, FIT_UNSEEN = 128, 0.01
"""A rate is fitted over the samples of at least so many images whose unseen mass is below this on both sides."""

CLEAR = 3.0
"""A mean error of fewer standard errors than this is noise, which has no rate."""

SHOWN = 1e-4
"""Least unseen mass that is drawn: below, a thousand samples hardly ever lack anything."""

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


def rate(images: Sequence[int], size: Sequence[float], error: Sequence[float]) -> Rate:
    """The power b of size ≈ c·N^b by weighted least squares, each point weighted by its own standard error.

    Not in logarithms: a point that noise put near 0 counts for what it says, and none has to be left out.

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
        step = np.linalg.lstsq(slopes, (y - model) / s)[0]
        log_c, power = log_c + step[0], power + step[1]
    return Rate(float(power), float(np.linalg.inv(slopes.T @ slopes)[1, 1] ** 0.5))


def truths(world: MixtureWorld, k: int) -> dict[str, float]:
    """The closed form: λ₂ and α of n1 visible patches, and Thm 4.2 at K = k, L = 1, ε = 0; k <= 2 a block."""
    hidden = round(world.patches * world.ratio)
    visible = world.patches - hidden
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
        _pair(found.single.mean(axis=0)),
        _pair(found.missing.mean(axis=0)),
        _pair(np.sqrt((off**2).mean(axis=0))),
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
    """The rate of the mean error or of the rms of a number over the images; None where its first is noise."""
    known = [row for row in rows if row.images >= FIT_FROM and max(row.single) < FIT_UNSEEN]
    size, error = points(known, key, kind)
    return rate([row.images for row in known], size, error) if size[0] > CLEAR * error[0] else None


def finite_samples() -> Finding:
    """Convergence with images and masks, and what the Good–Turing mass tells of it."""
    half, odd, quarter, apart = (
        ("sequence, ρ = 0.5", MixtureWorld(PATCHES, FLIP, 0.5, "sequence"), 2, SAMPLES),
        ("sequence, ρ = 0.375", MixtureWorld(PATCHES, FLIP, 0.375, "sequence"), 2, SAMPLES),
        ("sequence, ρ = 0.75", MixtureWorld(PATCHES, FLIP, 0.75, "sequence"), 2, SAMPLES),
        ("positional, ρ = 0.75", MixtureWorld(PATCHES, FLIP, 0.75, "positional"), 56, APART),
    )
    worlds = [over_images(*setting) for setting in (half, odd, quarter, apart)]
    few, many = (over_masks(f"{half[0]}, {count} images", half[1], 2, APART, count) for count in (64, 1024))
    whole = max(
        abs(float(numbers(half[1].measure(half[1].weights[None], np.arange(masks)), half[1], 2)[key][0]) - truth)
        for masks in MASK_COUNTS
        for key, truth in truths(half[1], 2).items()
    )
    mean, rms = (_told(fitted(worlds[0], NEXT, kind)) for kind in KINDS)
    bias = [row.images for row in worlds[0] if (e := row.errors[NEXT]).mean ** 2 > e.rms**2 / 2]
    return Finding(
        "finite-samples",
        "The eigenvalues of a sample lie too high",
        f"On samples of the class mixture λ₂ is {ways(worlds, NEXT)} and the bound of Thm 4.2 {ways(worlds, BOUND)}, "
        f"on the mean. Without positions, at ρ = 0.5, the mean error of λ₂ goes like {mean} and the root mean square "
        f"error like {rms}: bias is the larger part of it "
        + (f"up to N = {max(bias)}, fluctuation beyond." if bias else "at no N."),
        f"Class mixture, {PATCHES} patches, η = {FLIP:g}, target hop, L = 1, ε = 0; truth by the closed form. All "
        "masks; K = 2, and 56 with positions, where the 28 masks are 28 components and λ₂, the first eigenvalue below "
        f"1, is the largest of 28 that are equal on the data. {SAMPLES} samples of each size, {APART} with positions "
        "and over masks. Rates: weighted least squares of c·N^b over N ≥ "
        f"{FIT_FROM} where unseen < {FIT_UNSEEN:g}, wherever the first mean error exceeds {CLEAR:g} standard errors. "
        "±: one standard error over the samples; it does not tell a curve that is no power from one that is. unseen: "
        "mean Good–Turing estimate; missing: the true mass of the mixture that the sample lacks, which is known here.",
        (
            "world",
            "N",
            "masks",
            *(f"{key}, {kind}" for key in (NEXT, HEAD, BOUND, ALPHA) for kind in ("mean error", "rms")),
            f"{SPURIOUS}, mean",
            f"{TAIL}, mean error",
            "unseen1",
            "missing1",
            "unseen2",
            "missing2",
        ),
        [_row(one) for rows in (*worlds, few, many) for one in rows],
        [
            _rates_panel(worlds[0], (NEXT, SPURIOUS, ALPHA)),
            _rates_panel(worlds[3], (NEXT, SPURIOUS, BOUND)),
            _masks_panel(few, many),
            _unseen_panel(worlds[2], worlds[3]),
        ],
        [sentence for rows in worlds for sentence in _rates_told(rows)]
        + [
            _alpha_told(worlds[0], worlds[1]),
            _masks_told(whole, few, many),
            _good_turing_told(worlds),
            _rule_told(worlds),
        ]
        + [PROVED],
        [
            "That a small unseen mass means that the eigenvalues are right: " + _not_enough(worlds[3]),
            "A rate on data: real images have more views than any sample shows, and their unseen mass does not vanish "
            "at the sizes that fit a machine.",
            "What masks add where patches differ by their place: on this mixture all masks of a size are alike.",
        ],
    )


PROVED = (
    "Proved (docs/theory.md, section 11): the expected Good–Turing mass of N images is the expected unseen mass of "
    "N − 1 of them, exceeds that of N by at most 1/N, and is off by at most √(3/N) in root mean square, whatever the "
    "data, the masks and the view identity."
)


def _pair(values: Array) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _row(one: Sampled) -> tuple[object, ...]:
    e = one.errors
    pairs = [value for key in (NEXT, HEAD, BOUND, ALPHA) for value in (e[key].mean, e[key].rms)]
    seen = (one.single[0], one.missing[0], one.single[1], one.missing[1])
    return (one.world, one.images, one.masks, *pairs, e[SPURIOUS].mean, e[TAIL].mean, *seen)


def _told(rate: Rate | None) -> str:
    return "no rate (noise)" if rate is None else f"N^({rate})"


def ways(worlds: Sequence[Sequence[Sampled]], key: str) -> str:
    """On which side a number errs, in words, by the mean errors that are clear."""
    clear = [e.mean > 0 for rows in worlds for row in rows if (e := row.errors[key]).clear]
    if not clear or 0 < sum(clear) < len(clear):
        return "wrong either way"
    return "too high" if clear[0] else "too low"


WAYS: tuple[tuple[str, str, Kind], ...] = (
    ("λ₂ mean", NEXT, "mean"),
    ("λ₂ rms", NEXT, "rms"),
    ("bound mean", BOUND, "mean"),
    ("bound rms", BOUND, "rms"),
    ("an eigenvalue that is 0", SPURIOUS, "mean"),
    ("tail mean", TAIL, "mean"),
    ("α mean", ALPHA, "mean"),
    ("α rms", ALPHA, "rms"),
)


def _rates_told(rows: Sequence[Sampled]) -> list[str]:
    told = "; ".join(f"{name} {_told(fitted(rows, key, kind))}" for name, key, kind in WAYS)
    return [f"{rows[0].world}: λ₂ is {ways([rows], NEXT)} on the mean. Measured rates of the errors: {told}."]


def _alpha_told(even: Sequence[Sampled], odd: Sequence[Sampled]) -> str:
    at = next(i for i, row in enumerate(even) if row.images == 1024)
    low, other = even[at].errors[ALPHA], odd[at].errors[ALPHA]
    return (
        f"α of 4 visible patches, whose classes can tie, is too low by {-low.mean:.2g} ± {low.standard_error:.1g} at N "
        f"= 1024, as a sample breaks each tie its own way and calls that right; of 5 patches, which cannot tie, "
        + ("by" if other.clear else "no error is clear there:")
        + f" {-other.mean:.2g} ± {other.standard_error:.1g}."
    )


def _masks_told(whole: float, few: Sequence[Sampled], many: Sequence[Sampled]) -> str:
    text = "Masks: on the whole mixture without positions every set of masks has the same M, and all these numbers are "
    text += "right from the first mask on" if whole < EQUAL else f"off by up to {whole:.1g}"
    parts = [
        f"on {rows[0].images} images the rms error of λ₂ falls from {rows[0].errors[NEXT].rms:.3g} under 1 mask to "
        f"{rows[-1].errors[NEXT].rms:.3g} under all {rows[-1].masks}, and {_saturates(rows)} masks are within a tenth "
        "of that"
        for rows in (few, many)
    ]
    return f"{text}; " + "; ".join(parts) + ". What is left is the images' own."


def _saturates(rows: Sequence[Sampled]) -> int:
    last = rows[-1].errors[NEXT].rms
    return next(row.masks for row in rows if row.errors[NEXT].rms <= 1.1 * last)


def _good_turing_told(worlds: Sequence[Sequence[Sampled]]) -> str:
    rows = [row for world in worlds for row in world]
    worst = max(abs(s - m) * row.images for row in rows for s, m in zip(row.single, row.missing, strict=True))
    widest = max(max(row.miss) * np.sqrt(row.images) for row in rows)
    return (
        f"Good–Turing: over all sizes and worlds the mean estimate is within {worst:.2g}/N of the mean mass that the "
        f"samples lack, and a single estimate is off by at most {widest:.2g}/√N in root mean square."
    )


def _rule_told(worlds: Sequence[Sequence[Sampled]]) -> str:
    rows = [row for world in worlds for row in world if max(row.single) > OF_THE_SAMPLE]
    wrong = sum(row.errors[NEXT].mean > row.truth[NEXT] for row in rows)
    return (
        f"Where more than {OF_THE_SAMPLE:g} is unseen on one side ({len(rows)} sizes), the mean error of λ₂ exceeds λ₂ "
        f"itself in {wrong}: from there on `maskgraph bound` warns that the graph says more about the sample than "
        "about the data."
    )


def _not_enough(rows: Sequence[Sampled]) -> str:
    row = next(one for one in rows if max(one.single) < FIT_UNSEEN)
    return (
        f"{row.world}, N = {row.images}: {100 * max(row.single):.1g} % of the target mass is unseen, and λ₂ is still "
        f"too high by {row.errors[NEXT].mean:.2g}. A large unseen mass tells that the graph is the sample's; a small "
        "one tells only that its vertices are there, not that their masses are known."
    )


def _rates_panel(rows: Sequence[Sampled], keys: Sequence[str]) -> Panel:
    curves: list[tuple[str, Sequence[Sampled], str, Kind]] = []
    for key in keys:
        for kind in KINDS[: 2 if key == NEXT else 1]:
            found = fitted(rows, key, kind)
            curves.append((f"{key}, {kind}" + (f": N^({found})" if found else ""), rows, key, kind))
    return _curves_panel(f"images: {rows[0].world}", "images N", curves, [row.images for row in rows])


def _masks_panel(few: Sequence[Sampled], many: Sequence[Sampled]) -> Panel:
    curves = [(f"λ₂, {kind}, {rows[0].images} images", rows, NEXT, kind) for rows in (few, many) for kind in KINDS]
    return _curves_panel("masks: sequence, ρ = 0.5", "masks S, of 70", curves, [row.masks for row in few])


def _curves_panel(
    title: str, x: str, curves: Sequence[tuple[str, Sequence[Sampled], str, Kind]], places: Sequence[int]
) -> Panel:
    lines: dict[str, Line] = {}
    bars: dict[str, Sequence[float]] = {}
    for name, rows, key, kind in curves:
        # Where noise has turned the sign there is nothing to draw on a logarithmic axis.
        drawn = [point for point in zip(places, *points(rows, key, kind), strict=True) if point[1] > 0]
        at, size, bars[name] = (list(column) for column in zip(*drawn, strict=True))
        lines[name] = at, size
    return Panel(title, x, "size of the error", lines, log=True, errors=bars)


def _unseen_panel(*worlds: Sequence[Sampled]) -> Panel:
    lines: dict[str, Line] = {}
    for rows in worlds:
        view = rows[0].world.partition(",")[0]
        used = [row for row in rows if min(row.missing[1], row.single[1]) > SHOWN]
        lines[f"{view}: Good–Turing"] = [row.images for row in used], [row.single[1] for row in used]
        lines[f"{view}: truly missing"] = [row.images for row in used], [row.missing[1] for row in used]
    return Panel("unseen target mass, ρ = 0.75", "images N", "share of the mass", lines, log=True)
