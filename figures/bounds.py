"""What `maskgraph bound` says, over the mask ratio: bounds, label errors, spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskgraph.figures.style import GREY, LABEL_ERRORS, new_figure, share_axis, tidy, wrapped
from maskgraph.graphs.augmentation import Hop
from maskgraph.theory.answer import RatioAnswer
from maskgraph.theory.bounds import is_vacuous, trivial
from maskgraph.theory.draws import mean_and_sd

APART = 0.013
"""How far a bar stands from its mark, and from the next on the same side, on the axis of the mask ratio."""


WIDTH = 92
"""Characters in a line of the title: the figure's width, less the labels of its axes."""

BOUNDED = {
    "target": r"$L_\mathrm{MAE} + \lambda L_\mathrm{unif}$",
    "image": r"$(1 + L_\mathrm{align})/L + \lambda L_\mathrm{unif}$",
}
"""What the bounds are of, by hop: L_MAE knows the target hop alone (docs/theory.md, section 11)."""


def bounds_over_ratios(answers: Sequence[RatioAnswer], title: str, hop: Hop = "target") -> Figure:
    """Three panels over the mask ratio, one mark a ratio, beside it its bootstrap interval or spread over seeds if any.

    Top: S2 and Thm 4.2 above the least that λ L_unif alone can be, λ/K; a mark of Thm 4.2 that says no more is left
    out. Middle: label errors. Beneath: head and tail of the spectrum, and components, on a logarithmic axis.

    Args:
        answers: of one dataset, one a ratio, in any order.
        title: what they are of.
        hop: of the graphs, which decides on what the bounds are of.
    """
    answers = sorted(answers, key=lambda found: found["mask_ratio"])
    figure = new_figure(7.4, 9.0)
    bounds, labels, spectrum = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    ratios = [found["mask_ratio"] for found in answers]
    _draw_bounds(bounds, ratios, answers)
    bounds.set_ylabel(f"lower bound of {BOUNDED[hop]}")
    bounds.set_title(wrapped(title, WIDTH) + _what_bars_are(answers), loc="left", fontsize=9)
    rows: list[dict[str, Any]] = [dict(found) for found in answers]
    for name, (label, colour, mark, size, width) in LABEL_ERRORS.items():
        values = [row[name] for row in rows]
        labels.plot(ratios, values, color=colour, marker=mark, markersize=size, linewidth=width, label=label)
    look = {name: (LABEL_ERRORS[name][1], place) for name, place in zip(LABEL_ERRORS, (-2, -1, 1, 2), strict=True)}
    _draw_intervals(labels, answers, look, 0, 1)
    labels.set_ylabel("label errors")
    share_axis(labels, from_zero=True)
    head, tail = ([found[name] for found in answers] for name in ("head_sq", "tail_sq"))
    dims = sorted({found["dim"] for found in answers})
    largest = f"K largest,\nK = {dims[0]}" + (f" to {dims[-1]}" if len(dims) > 1 else "")
    spectrum.plot(ratios, head, color="#0072b2", marker="o", markersize=5, label=f"head, Σ λ² of the {largest}")
    spectrum.plot(
        ratios, tail, color="#d55e00", marker="v", markersize=5, clip_on=False, label="tail, Σ λ² of all others"
    )
    components = [found["components"] for found in answers]
    spectrum.plot(ratios, components, "s--", color=GREY, markersize=4, label="components = eigenvalues 1")
    spectrum.set_yscale("symlog", linthresh=1e-2)
    spectrum.set_ylim(0, 3 * max(*head, *tail, *components))
    _draw_intervals(spectrum, answers, {"head_sq": ("#0072b2", -1), "tail_sq": ("#d55e00", 1)}, 0, np.inf)
    spectrum.set_ylabel("spectrum of A")
    spectrum.set_xlabel("mask ratio ρ")
    spectrum.set_xlim(0, 1)
    for axes in (bounds, labels, spectrum):
        tidy(axes)
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _draw_bounds(axes: Axes, ratios: list[float], answers: Sequence[RatioAnswer]) -> None:
    lam = answers[0]["lambda"]
    sharper = [found["bounds"]["water_filling"] for found in answers]
    printed = [found["bounds"]["thm_4_2_any_lambda"] for found in answers]
    silent = [is_vacuous(value, lam, found["dim"]) for value, found in zip(printed, answers, strict=True)]
    axes.plot(ratios, sharper, color="#0072b2", marker="s", label="S2, water-filling")
    says = [float("nan") if nothing else value for value, nothing in zip(printed, silent, strict=True)]
    if not all(silent):
        axes.plot(ratios, says, "x", color="black", markersize=8, markeredgewidth=1.6, label="Thm 4.2")
    least = [trivial(lam, found["dim"]) for found in answers]
    axes.plot(ratios, least, color=GREY, linestyle=":", marker="_", label="λ/K, up to which a bound says nothing")
    if any(silent):
        axes.plot([], [], " ", label="(so does Thm 4.2 where it has no mark)")
    axes.axhline(lam, color=GREY, linewidth=0.8, label="λ, the most that either can be")
    # Its ceiling: a feature that collapses onto an eigenvector of eigenvalue 1 costs no more than λ.
    axes.set_ylim(0, 1.08 * lam)
    _draw_intervals(axes, answers, {"water_filling": ("#0072b2", -1)}, -np.inf, lam)
    marked = [found for found, nothing in zip(answers, silent, strict=True) if not nothing]
    _draw_intervals(axes, marked, {"thm_4_2_any_lambda": ("black", 1)}, -np.inf, lam)


def _what_bars_are(answers: Sequence[RatioAnswer]) -> str:
    for made in (found["bootstrap"] for found in answers if "bootstrap" in found):
        return f"\nbars: {100 * made['level']:g} % bootstrap over images, {made['resamples']} resamples"
    for drawn in (found["draws"] for found in answers if "draws" in found):
        return f"\nbars: mean ± SD over {len(drawn['seeds'])} draws of {', '.join(drawn['drawn'])}"
    return ""


def _ends(found: RatioAnswer, name: str) -> Sequence[float]:
    """Of the bar beside a mark: of the bootstrap where there is one, else of other seeds."""
    if "bootstrap" in found:
        return found["bootstrap"]["intervals"][name]
    mean, sd = mean_and_sd(found["draws"]["numbers"][name])
    return mean - sd, mean + sd


def _draw_intervals(
    axes: Axes, answers: Sequence[RatioAnswer], look: Mapping[str, tuple[str, int]], least: float, most: float
) -> None:
    """A bar for each interval beside its mark, which it may leave out: of each number a colour and a place, in `APART`.

    An end where no value can be is drawn at the nearest that can, as the text of `bound` has one read it.
    """
    found = [one for one in answers if "bootstrap" in one or "draws" in one]
    at = np.array([one["mask_ratio"] for one in found])
    for name, (colour, place) in look.items():
        ends = np.array([_ends(one, name) for one in found]).reshape(-1, 2).clip(least, most)
        middle, half = ends.mean(axis=1), np.ptp(ends, axis=1) / 2
        places = (at + APART * place).clip(0, 1)
        axes.errorbar(places, middle, half, fmt="none", ecolor=colour, elinewidth=1.2, capsize=2.5)
