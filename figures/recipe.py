"""What a recipe found: how networks learned, what reads their features, block by block, and how they collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, MaxNLocator

from maskgraph.empirical.intervals import Interval
from maskgraph.empirical.judge import ANY
from maskgraph.empirical.summary import Record, Score, several_seeds
from maskgraph.figures.style import GREY, METHOD_COLOURS, METHOD_NAMES, new_figure, share_axis, tidy

NULLS = {
    "pixels": ("pixels", "D", "-"),
    "random-mae": ("random network", "s", "--"),
    "random-simmim": ("random network, SimMIM", "v", "-."),
    "gaussian": ("Gaussian features", "x", ":"),
}
"""How each null is named, marked and drawn."""

CURVES = {
    "reconstruction": "reconstruction, each method's own loss",
    "uniformity": "uniformity",
    "knn": "kNN on validation images",
}


class _Plain(LogFormatterSciNotation):
    """0.94 where matplotlib writes 9.4 times a power of ten, as it does within a decade."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def learning(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Losses and the validation probe against epochs, a line a network.

    Args:
        curves: the points of each network, by its name METHOD-sSEED.
    """
    figure = new_figure(10.5, 3.4)
    for axes, (column, name) in zip(figure.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        for run, points in curves.items():
            method = run.rpartition("-s")[0]
            label = METHOD_NAMES[method] if run.endswith("-s0") else None
            epochs, values = [point["epoch"] for point in points], [point[column] for point in points]
            # A line of one point is none.
            mark = "o" if len(points) == 1 else ""
            axes.plot(
                epochs,
                values,
                mark or "-",
                color=METHOD_COLOURS[method],
                linewidth=1.2,
                alpha=0.8,
                markersize=4,
                label=label,
            )
        if column == "knn":
            share_axis(axes)
        else:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(_Plain())
            axes.yaxis.set_minor_formatter(_Plain())
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlabel("epoch")
        tidy(axes)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    return figure


def readouts(scores: Sequence[Score]) -> Figure:
    """Accuracy of every method by every readout, with its interval (see `several_seeds`), beside the nulls."""
    names = [name for name in dict.fromkeys(score.readout for score in scores) if not name.startswith(ANY)]
    seeds = several_seeds(scores)
    figure = new_figure(8.6, 0.52 * len(names) + 1.6)
    axes = figure.subplots()
    methods = [method for method in METHOD_NAMES if any(score.method == method for score in scores)]
    for row, readout in enumerate(names):
        for place, method in enumerate(methods):
            height = row + 0.16 * (place - (len(methods) - 1) / 2)
            for score in scores:
                if (score.method, score.readout) == (method, readout):
                    ends = score.over_seeds if seeds else score.over_images
                    _draw_score(axes, score, ends, height, METHOD_NAMES[method] if row == 0 else None)
        for method, (name, mark, _) in NULLS.items():
            for score in scores:
                if score.method == method and score.readout in (readout, f"{ANY}.{readout.partition('.')[2]}"):
                    label = name if row == 0 else None
                    axes.plot(score.mean, row, mark, color=GREY, markersize=5, label=label, zorder=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    over = "over seeds" if seeds else "over the draw of the images; one seed"
    axes.set_xlabel(f"accuracy on test images (bars: 95 % {over})")
    tidy(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def blocks(records: Sequence[Record]) -> Figure:
    """Accuracy of ridge on the tokens after every block, mean over seeds, cls and token mean."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for method in dict.fromkeys(record["method"] for record in records if record["layers"]):
        colour, name = METHOD_COLOURS.get(method, GREY), _name(method)
        for kind, style in (("cls", "-"), ("mean", "--")):
            found = [one["layers"][kind] for one in records if one["method"] == method and kind in one["layers"]]
            accuracy = np.mean([[block["accuracy"] for block in seed] for seed in found], axis=0)
            at = np.arange(1, len(accuracy) + 1)
            mark = "o" if method in METHOD_COLOURS else NULLS[method][1]
            axes.plot(at, accuracy, style, marker=mark, markersize=4, color=colour, label=f"{name}, {kind}")
    axes.set_xticks(at)
    axes.set_xlabel("block")
    axes.set_ylabel("ridge accuracy on test images")
    share_axis(axes)
    tidy(axes)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False, handlelength=3.5)
    return figure


def singular_values(records: Sequence[Record]) -> Figure:
    """Singular values of unit-norm features of masked test images over the largest, cls and token mean."""
    kinds = [kind for kind in dict.fromkeys(kind for one in records for kind in one["collapse"]) if kind != ANY]
    figure = new_figure(4.4 * len(kinds) + 1.6, 3.8)
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for method in dict.fromkeys(one["method"] for one in records if one["collapse"]):
            colour, name = METHOD_COLOURS.get(method, GREY), _name(method)
            found = [_values(one["collapse"], kind) for one in records if one["method"] == method]
            values = np.mean(found, axis=0)
            style = "-" if method in METHOD_COLOURS else NULLS[method][2]
            axes.plot(np.arange(1, len(values) + 1), values, style, color=colour, label=name, linewidth=1.3)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(bottom=1e-4)
        axes.set_title(f"{kind} feature", fontsize=10, loc="left")
        axes.set_xlabel("index")
        tidy(axes)
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _name(method: str) -> str:
    return METHOD_NAMES[method] if method in METHOD_NAMES else NULLS[method][0]


def _values(collapse: Mapping[str, Any], kind: str) -> list[float]:
    values: list[float] = collapse.get(kind, collapse.get(ANY))["singular_values"]
    return [value / values[0] if values[0] else 0.0 for value in values]


def _draw_score(axes: Axes, score: Score, ends: Interval | None, height: float, label: str | None) -> None:
    colour = METHOD_COLOURS[score.method]
    axes.plot(score.mean, height, "o", color=colour, markersize=5, label=label, zorder=2)
    if ends is not None:
        axes.hlines(height, *ends, color=colour, linewidth=1.4, zorder=2)
