"""Finite samples: how fast the numbers of a sample's graph come to those of the data, with images and with masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskgraph.theory.findings.finding import EQUAL, Finding, Line, Panel
from maskgraph.theory.findings.mixture_samples import MixtureWorld
from maskgraph.theory.findings.sample_errors import (
    ALPHA,
    BOUND,
    CLEAR,
    FIT_FROM,
    FIT_UNSEEN,
    HEAD,
    MASK_COUNTS,
    NEXT,
    SPURIOUS,
    TAIL,
    Errors,
    Kind,
    Rate,
    Sampled,
    fitted,
    numbers,
    over_images,
    over_masks,
    points,
    truths,
)
from maskgraph.theory.unseen import OF_THE_SAMPLE

KINDS: tuple[Kind, Kind] = ("mean", "rms")

PATCHES, FLIP = 8, 0.3
SAMPLES, APART = 1500, 150
"""Samples of a size; fewer with positions and over masks, where each costs more."""

SHOWN = 1e-4
"""Least unseen mass that is drawn: below, a thousand samples hardly ever lack anything."""


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
    "data, the masks and the view identity, for a codebook that does not come from these images."
)


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
        f"on {rows[0].images} images the rms error of λ₂ falls from {_rms(rows[0])} under 1 mask to {_rms(rows[-1])} "
        f"under all {rows[-1].masks}, {_told_apart(rows)}"
        for rows in (few, many)
    ]
    return f"{text}; " + "; ".join(parts) + ". What is left is the images' own."


def _rms(row: Sampled) -> str:
    e = row.errors[NEXT]
    return f"{e.rms:.4f} ± {e.rms_error:.4f}"


def _told_apart(rows: Sequence[Sampled]) -> str:
    """Up to how many masks the error is more than that under all of them, beyond what so many samples leave open."""
    last = rows[-1].errors[NEXT]
    more = [row.masks for row in rows if row.errors[NEXT].rms - last.rms > CLEAR * _joint(row.errors[NEXT], last)]
    if not more:
        return "and is not told from that under any"
    return f"and is told from that up to {max(more)} (by {CLEAR:g} standard errors)"


def _joint(one: Errors, other: Errors) -> float:
    return float(np.hypot(one.rms_error, other.rms_error))


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
