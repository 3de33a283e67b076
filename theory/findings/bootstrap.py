"""Do bootstrap intervals over images hold the truth? Counted on the class mixture, whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory.bootstrap import LEVEL, basic_interval, percentile_interval
from maskgraph.theory.findings.finding import EQUAL, Finding, Line, Panel
from maskgraph.theory.findings.mixture_samples import Counts, Measured, MixtureWorld

Array = NDArray[np.float64]

RESAMPLES, SAMPLES, APART = 200, 100, 40
"""Resamples of a sample; samples of a size, and of a size with positions."""

KINDS = ("percentile", "basic")

FAIR, POOR = 0.9, 0.8
"""Coverage that is near enough to the nominal one to be relied on, and coverage that is not to be relied on at all."""

NEAR = 1e-9
"""Rounding that an end of an interval is allowed: where all resamples agree it is a point."""

HEAD, TAIL, NEXT, WATER = "head and Thm 4.2", "tail", "λ₂", "S2"
ALPHA, ALPHA_TARGET, PHI, INTER = "α", "α of x2", "φ", "inter"
BAYES, FLOOR, VARIANCE = "bayes", "floor", "Var(x2)"


@dataclass(frozen=True)
class Cover:
    """How often the intervals of one number hold the truth.

    Attributes:
        world: its name.
        images: N.
        unseen: mean Good–Turing mass of the target side.
        name: of the number.
        truth: on the data.
        estimate: mean over the samples.
        shift: mean over the samples of what the resamples lie above the sample.
        percentile: share of the samples whose percentile interval holds the truth.
        basic: the same of the basic interval.
        trials: how many samples.
    """

    world: str
    images: int
    unseen: float
    name: str
    truth: float
    estimate: float
    shift: float
    percentile: float
    basic: float
    trials: int


def numbers(found: Measured, world: MixtureWorld, k: int) -> dict[str, Array]:
    """The numbers that are given intervals, each (T,); Thm 4.2 is linear in the head, and one interval serves both."""
    return {
        NEXT: found.values[:, world.shape[0]],
        HEAD: found.head(k),
        TAIL: found.tail(k),
        WATER: found.water_filling(k),
        ALPHA: found.alpha,
        ALPHA_TARGET: found.alpha_target,
        PHI: found.phi,
        INTER: found.inter,
        BAYES: found.floor(world.patches),
        FLOOR: found.floor(k),
        VARIANCE: found.variance,
    }


def redraw(rng: np.random.Generator, times: Counts, resamples: int) -> Counts:
    """(resamples, n images) int64: how often each image occurs in resamples of a sample in which it does `times`."""
    return rng.multinomial(times.sum(), times / times.sum(), size=resamples)


def cover(name: str, world: MixtureWorld, k: int, count: int, trials: int) -> list[Cover]:
    """Draw samples of `count` images, resample each, and count how often each interval holds the truth."""
    rng = np.random.default_rng(count)
    whole = numbers(world.measure(world.weights[None]), world, k)
    truth = {key: float(values[0]) if values[0] > EQUAL else 0.0 for key, values in whole.items()}
    drawn = world.draw(rng, trials, count)
    sample = world.measure(drawn)
    estimates = numbers(sample, world, k)
    held = {key: np.zeros((trials, 3)) for key in truth}
    for trial in range(trials):
        again = numbers(world.measure(redraw(rng, drawn[trial], RESAMPLES)), world, k)
        for key, values in again.items():
            estimate = float(estimates[key][trial])
            ends = (percentile_interval(values), basic_interval(estimate, values))
            inside = [low - NEAR <= truth[key] <= high + NEAR for low, high in ends]
            shift = float(values.mean()) - estimate
            held[key][trial] = *inside, shift if abs(shift) > EQUAL else 0.0
    unseen = float(sample.single[:, 1].mean())
    return [
        Cover(
            name, count, unseen, key, truth[key], float(estimates[key].mean()), float(shift), float(p), float(b), trials
        )
        for key, (p, b, shift) in ((key, values.mean(axis=0)) for key, values in held.items())
    ]


def bootstrap_coverage() -> Finding:
    """Which bootstrap interval can be believed, and where none can."""
    odd = MixtureWorld(6, 0.3, 1 / 2, "sequence")
    even = MixtureWorld(6, 0.3, 1 / 3, "sequence")
    apart = MixtureWorld(6, 0.3, 1 / 2, "positional")
    settings = [
        *(("sequence, 3 of 6 kept, K = 2", odd, 2, count, SAMPLES) for count in (32, 256, 2048)),
        *(("sequence, 4 of 6 kept, K = 2", even, 2, count, SAMPLES) for count in (32, 256, 2048)),
        *(("positional, 3 of 6 kept, K = 30", apart, 30, count, APART) for count in (16, 128, 1024)),
    ]
    found = [one for setting in settings for one in cover(*setting)]
    worlds = _worlds(found)
    fair = {kind: sum(getattr(one, kind) >= FAIR for one in found) for kind in KINDS}
    better, worse = ("basic", "percentile") if fair["basic"] >= fair["percentile"] else ("percentile", "basic")
    return Finding(
        "bootstrap-coverage",
        "Which bootstrap interval holds the truth",
        f"A resample's eigenvalues lie above the sample's as the sample's lie above the data's. Of {len(found)} cases "
        f"(world, N, number) the {better} interval of nominal {100 * LEVEL:g} % holds the truth in at least "
        f"{100 * FAIR:g} % of samples in {fair[better]}, the {worse} interval in {fair[worse]}. For the head, and with "
        f"it Thm 4.2: {'; '.join(_least(found, HEAD, kind) for kind in KINDS)}.",
        f"Class mixture, 6 patches, η = 0.3, all 20 or 15 masks, target hop; truth on the whole mixture. {RESAMPLES} "
        f"resamples of each of {SAMPLES} samples of a size, {APART} with positions (coverage is known to about "
        f"{100 * (LEVEL * (1 - LEVEL) / SAMPLES) ** 0.5:.0f} and {100 * (LEVEL * (1 - LEVEL) / APART) ** 0.5:.0f} "
        "points where it is nominal). percentile: from quantile to quantile of the resamples. basic: the same turned "
        "round about the estimate. unseen2: mean Good–Turing mass of the target side. shift: how far the resamples lie "
        "above the sample, on the mean. With positions K is beyond the 20 components.",
        ("world", "N", "unseen2", "number", "truth", "estimate", "shift", "percentile", "basic"),
        [(o.world, o.images, o.unseen, o.name, o.truth, o.estimate, o.shift, o.percentile, o.basic) for o in found],
        [_panel(world, [o for o in found if o.world == world]) for world in worlds],
        [
            *(_told(world, [o for o in found if o.world == world]) for world in worlds),
            _shifts(found),
            _lost(found),
        ],
        [
            "Coverage on data, whose truth nobody knows. What is seen here is that an interval can fail entirely, and "
            "where: on graphs whose sample is small beside their views, for sums of squares that are 0 or nearly so, "
            "and for labels of views that tie.",
            "Intervals over masks or codebooks: both stay as they are in every resample.",
        ],
    )


def _least(found: Sequence[Cover], name: str, kind: str) -> str:
    shares = [getattr(one, kind) for one in found if one.name == name]
    return f"{kind} from {min(shares):.2f} to {max(shares):.2f}"


def _told(world: str, found: Sequence[Cover]) -> str:
    names = dict.fromkeys(one.name for one in found)
    parts = [
        f"{name} " + ", ".join(f"{one.percentile:.2f}/{one.basic:.2f}" for one in found if one.name == name)
        for name in names
    ]
    sizes = ", ".join(str(one.images) for one in found if one.name == HEAD)
    return f"{world}, N = {sizes}, percentile/basic: {'; '.join(parts)}."


def _shifts(found: Sequence[Cover]) -> str:
    def ratios(name: str) -> str:
        middle = [[o for o in found if (o.world, o.name) == (world, name)][1] for world in _worlds(found)]
        return ", ".join(f"{one.shift / (one.estimate - one.truth):.1f}" for one in middle)

    return (
        "Why: the basic interval takes the shift of the resamples for that of the sample. At the middle N of each "
        f"world their ratio is {ratios(NEXT)} for λ₂, and {ratios(TAIL)} for the tail: the squares of small "
        "eigenvalues that double go up by three times themselves, and the interval goes too far down."
    )


def _lost(found: Sequence[Cover]) -> str:
    lost = [one for one in found if one.basic < POOR]
    if not lost:
        return (
            f"The basic interval, which `bound --bootstrap` prints, holds the truth in {100 * POOR:g} % of all samples."
        )
    told = "; ".join(
        f"{world}, N = {images}: {', '.join(o.name for o in lost if (o.world, o.images) == (world, images))}"
        for world, images in dict.fromkeys((one.world, one.images) for one in lost)
    )
    both = sum(one.percentile < POOR for one in lost)
    return (
        "The basic interval, which `bound --bootstrap` prints, holds the truth in fewer than "
        f"{100 * POOR:g} % of samples here: {told}. So does the percentile interval in {both} of these {len(lost)}."
    )


def _worlds(found: Sequence[Cover]) -> list[str]:
    return list(dict.fromkeys(one.world for one in found))


def _panel(world: str, found: Sequence[Cover]) -> Panel:
    lines: dict[str, Line] = {}
    for name in (HEAD, ALPHA):
        own = [one for one in found if one.name == name]
        for kind in KINDS:
            lines[f"{name}, {kind}"] = [one.images for one in own], [getattr(one, kind) for one in own]
    return Panel(world, "images N", "share of intervals that hold the truth", lines, (f"{LEVEL:g}", LEVEL))
