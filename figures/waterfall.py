"""Where the slack of a bound goes: the chain of its proof, each step measured on trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from maskgraph.figures.style import GREY, METHOD_COLOURS, METHOD_NAMES, new_figure, tidy

SHOWN = ("Thm 3.4", "Thm 4.1", "Thm 4.2", "S2")

RATIO = 0.75
"""The paper's mask ratio; a study without it shows the nearest that it has."""

ROOM = (0.1, 0.3)
"""Left of the least and right of the largest value, as a part of what lies between; a number stands to the right."""

APART = 0.12
"""How far ticks of a logarithmic axis stand apart at least, as a part of it: their labels would meet."""

Floats = NDArray[np.float64]

Chain = Sequence[tuple[str, float]]


def waterfall(records: pd.DataFrame) -> Figure:
    """Each statement's chain from its left side down, or up, to its right, a panel a statement and method.

    Args:
        records: of a run with trained models; steps are means over seeds at the mask ratio nearest 0.75.
    """
    models = records[records["mask_ratio"].notna()]
    ratios = models["mask_ratio"].unique()
    ratio = float(ratios[np.argmin(np.abs(ratios - RATIO))])
    models = models[models["mask_ratio"] == ratio]
    methods = [method for method in METHOD_NAMES if (models["method"] == method).any()]
    figure = new_figure(4.5 * len(methods) + 1.5, 2.1 * len(SHOWN) + 0.6)
    panels = figure.subplots(len(SHOWN), len(methods), squeeze=False)
    for row, statement in zip(panels, SHOWN, strict=True):
        for axes, method in zip(row, methods, strict=True):
            runs = models[models["method"] == method]
            _draw(axes, chain([_check(checks, statement) for checks in runs["checks"]]), METHOD_COLOURS[method])
            axes.set_title(f"{statement}, {METHOD_NAMES[method]}", fontsize=10, loc="left")
    counts = [int(models.loc[models["method"] == method, "seed"].nunique()) for method in methods]
    least, most = min(counts), max(counts)
    seeds = f"means over {most if least == most else f'{least} to {most}'} seeds" if most > 1 else "one seed"
    told = f"Where the slack goes, mask ratio {ratio:g}, {seeds}: each bar is what one step of the proof gives away"
    # A figure of one method is narrower than the line.
    figure.suptitle(told if len(methods) > 1 else told.replace(": ", ":\n"), fontsize=11)
    return figure


def chain(checks: Sequence[Mapping[str, Any]]) -> Chain:
    """(cause, value) of each step, the mean over checks; empty where one has no value.

    Steps that the proof claims to be equalities are left out.
    """
    if not checks or any(not check["steps"] or _unknown(check) for check in checks):
        return []
    kept = [i for i, step in enumerate(checks[0]["steps"]) if not step["exact"]]
    return [
        (checks[0]["steps"][i]["cause"], float(np.mean([check["steps"][i]["value"] for check in checks]))) for i in kept
    ]


def _unknown(check: Mapping[str, Any]) -> bool:
    return any(step["value"] is None for step in check["steps"])


def _check(checks: Sequence[Mapping[str, Any]], statement: str) -> Mapping[str, Any]:
    return next(check for check in checks if check["statement"] == statement)


def _draw(axes: Axes, steps: Chain, colour: str) -> None:
    tidy(axes)
    if not steps:
        axes.text(0.5, 0.5, "assumption not met", ha="center", color=GREY, transform=axes.transAxes)
        axes.set_yticks([])
        return
    names, values = [name for name, _ in steps], np.array([value for _, value in steps])
    place = np.arange(len(steps))
    axes.barh(place[1:], values[1:] - values[:-1], left=values[:-1], color=colour, height=0.6)
    axes.plot(values[0], 0, "o", color="black", markersize=5)
    axes.plot(values[-1], len(steps) - 1, "D", color="black", markersize=5)
    for i in place[:-1]:
        axes.plot([values[i]] * 2, [i, i + 1], color=GREY, linewidth=0.7)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(place, names, fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=8)
    sizes = np.abs(values[np.abs(values) > 0])
    wide = len(sizes) > 0 and sizes.max() > 50 * np.median(sizes)
    if wide:
        axes.set_xscale("symlog", linthresh=max(float(np.median(sizes)), 1e-3))
    _make_room(axes, values)
    if wide:
        axes.set_xticks(_apart(axes, float(sizes.max())))
        axes.minorticks_off()
    for i, value in ((0, values[0]), (len(steps) - 1, values[-1])):
        label = axes.annotate(f"{value:.3g}", (value, i), xytext=(7, 0), textcoords="offset points", va="center")
        label.set(fontsize=8, bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.8})


def _make_room(axes: Axes, values: Floats) -> None:
    """Limits with room for a number to the right of every value, whatever the scale."""
    scale = axes.xaxis.get_transform()
    low, high = (float(scale.transform(end)) for end in (min(values.min(), 0.0), max(values.max(), 0.0)))
    reach = high - low or 1.0
    axes.set_xlim(*scale.inverted().transform([low - ROOM[0] * reach, high + ROOM[1] * reach]))


def _apart(axes: Axes, largest: float) -> list[float]:
    """Ticks at 0 and at powers of ten, the larger ones first, as far as their labels do not meet."""
    scale = axes.xaxis.get_transform()
    low, high = axes.get_xlim()
    left, right = (float(scale.transform(end)) for end in (low, high))
    powers = [10.0**power for power in range(int(np.floor(np.log10(largest))) + 1, -5, -1)]
    found: dict[float, float] = {}
    for tick in (0.0, *(sign * power for power in powers for sign in (1, -1))):
        place = (float(scale.transform(tick)) - left) / (right - left)
        if low <= tick <= high and all(abs(place - other) >= APART for other in found.values()):
            found[tick] = place
    return sorted(found)
