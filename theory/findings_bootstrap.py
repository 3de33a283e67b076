"""Do bootstrap intervals over images hold the truth? Counted on the class mixture, whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory.bootstrap import LEVEL, basic_interval, percentile_interval
from maskgraph.theory.finding import Finding, Line, Panel
from maskgraph.theory.mixture_samples import Counts, Measured, MixtureWorld

Array = NDArray[np.float64]

RESAMPLES = 200
NEAR = 1e-9
"""Rounding that an end of an interval is allowed: where all resamples agree it is a point."""

HEAD, TAIL, NEXT, ALPHA, PHI, INTER = "head and Thm 4.2", "tail", "λ₂", "α", "φ", "inter"


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
    """The numbers that are given intervals, each (T,). Thm 4.2 is linear in the head, so that one interval serves both."""
    return {
        NEXT: found.values[:, world.shape[0]],
        HEAD: found.head(k),
        TAIL: found.tail(k),
        ALPHA: found.alpha,
        PHI: found.phi,
        INTER: found.inter,
    }


def redraw(rng: np.random.Generator, times: Counts, resamples: int) -> Counts:
    """(resamples, n images) int64: how often each image occurs in resamples of a sample in which it does `times`."""
    rows = np.repeat(np.arange(len(times)), times)
    drawn = rows[rng.integers(len(rows), size=(resamples, len(rows)))]
    key = (np.arange(resamples)[:, None] * len(times) + drawn).ravel()
    return np.bincount(key, minlength=resamples * len(times)).reshape(resamples, -1)


def cover(name: str, world: MixtureWorld, k: int, count: int, trials: int) -> list[Cover]:
    """Draw samples of `count` images, resample each, and count how often each interval holds the truth."""
    rng = np.random.default_rng(count)
    truth = {key: float(values[0]) for key, values in numbers(world.measure(world.weights[None]), world, k).items()}
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
            held[key][trial] = *inside, values.mean() - estimate
    unseen = float(sample.single[:, 1].mean())
    return [
        Cover(
            name, count, unseen, key, truth[key], float(estimates[key].mean()), float(shift), float(p), float(b), trials
        )
        for key, (p, b, shift) in ((key, values.mean(axis=0)) for key, values in held.items())
    ]


def bootstrap_coverage() -> Finding:
    """Which bootstrap interval can be believed, and where none can."""
    mixed = MixtureWorld(8, 0.3, 0.5, "sequence")
    odd = MixtureWorld(8, 0.3, 0.625, "sequence")
    apart = MixtureWorld(6, 0.3, 0.5, "positional")
    settings = [
        *(("sequence, ρ = 0.5, K = 2", mixed, 2, count, 200) for count in (32, 128, 512, 2048)),
        *(("sequence, ρ = 0.625, K = 2", odd, 2, count, 200) for count in (32, 128, 512, 2048)),
        *(("positional, ρ = 0.5, K = 30", apart, 30, count, 80) for count in (16, 64, 256)),
    ]
    found = [one for setting in settings for one in cover(*setting)]
    worlds = list(dict.fromkeys(one.world for one in found))
    return Finding(
        "bootstrap-coverage",
        "nn",
        f"nominal {LEVEL:g}",
        "",
        ("world", "N", "unseen2", "number", "truth", "mean estimate", "mean shift", "percentile", "basic"),
        [
            (o.world, o.images, o.unseen, o.name, o.truth, o.estimate, o.shift, o.percentile, o.basic)
            for o in found
        ],
        [_panel(world, [o for o in found if o.world == world]) for world in worlds],
    )


def _panel(world: str, found: Sequence[Cover]) -> Panel:
    lines: dict[str, Line] = {}
    for name in (HEAD, ALPHA):
        own = [one for one in found if one.name == name]
        for kind in ("percentile", "basic"):
            lines[f"{name}, {kind}"] = [one.images for one in own], [getattr(one, kind) for one in own]
    return Panel(world, "images N", "share of intervals that hold the truth", lines, (f"{LEVEL:g}", LEVEL))
