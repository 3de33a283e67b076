"""Bound against accuracy over the mask ratio: the theory on one axis, what was trained on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from maskgraph.empirical.records import drawn_bounds
from maskgraph.figures.style import (
    GREY,
    LABEL_ERRORS,
    METHOD_COLOURS,
    METHOD_MARKS,
    METHOD_NAMES,
    METHOD_SIZES,
    METHOD_STYLES,
    ROOM,
    THEORY_MARKS,
    THEORY_STYLES,
    new_figure,
    sequence,
    share_axis,
    tidy,
    wrapped,
)
from maskgraph.theory.bounds import is_vacuous
from maskgraph.theory.draws import mean_and_sd

APART = 0.008
"""How far the marks of two methods stand apart, as a part of the range of mask ratios."""

SPREAD = 0.8
"""The part of the axis over which all stands side by side that a study of one mask ratio has."""

WIDTH = 78
"""Characters in a line of the main figure's title."""

Floats = NDArray[np.float64]

READOUTS = {"linear": "linear probe", "knn": "5-NN", "few_shot": "few-shot probe"}


def bound_versus_accuracy(bounds: pd.DataFrame, records: pd.DataFrame, feature: str, about: str = "") -> Figure:
    """The project's main figure; of one mask ratio all marks stand side by side, in the order of the legend.

    Top: the sharper bound S2 in units of its own ceiling 1/(4L), left axis, and 5-NN accuracy of each method, mean
    and standard deviation over seeds, right axis. Beneath: the label error of both sides.

    Args:
        bounds: one row a graph, as the study records them.
        records: one row a model or baseline.
        feature: cls or mean, the feature that was probed.
        about: what the study is of, in its title; the dataset alone if not given.
    """
    figure = new_figure(8.2, 8.0)
    theory, errors = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    accuracy = theory.twinx()
    graphs, methods = bounds.groupby(["view", "hop"]).ngroups, _methods(records)
    places = _Places(sorted(bounds["mask_ratio"].unique()))
    _draw_bounds(theory, bounds, places, graphs + len(methods))
    _draw_accuracy(accuracy, records, f"{feature}.knn", places, graphs)
    _draw_baselines(accuracy, records, feature)
    share_axis(accuracy)
    accuracy.set_ylabel(f"{READOUTS['knn']} accuracy on held-out images, {feature} feature")
    title = f"Bound versus accuracy over the mask ratio: {about or bounds['dataset'].iloc[0]}"
    theory.set_title(wrapped(title, WIDTH), loc="left")
    _draw_label_errors(errors, bounds, places)
    places.label(errors)
    handles = [line for axes in (theory, accuracy) for line in axes.get_legend_handles_labels()[0]]
    names = [name for axes in (theory, accuracy) for name in axes.get_legend_handles_labels()[1]]
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8, frameon=False, handlelength=3.2)
    return figure


def accuracy_against_bound(bounds: pd.DataFrame, records: pd.DataFrame, feature: str) -> Figure:
    """Does the bound order the models? One point a mask ratio and method, one panel a readout and graph.

    A point is a mean over seeds, its upright bar their standard deviation. A level bar is S2's over draws of the masks,
    about its mean: the point is of the masks that the models were measured under.

    Args:
        bounds: one row a graph, as the study records them.
        records: one row a model or baseline.
        feature: cls or mean, the feature that was probed.
    """
    graphs = list(bounds.groupby(["view", "hop"], sort=False))
    figure = new_figure(3.1 * len(graphs) + 1.2, 7.6)
    panels = figure.subplots(len(READOUTS), len(graphs), squeeze=False, sharey="row", sharex="col")
    for column, ((view, hop), graph) in enumerate(graphs):
        values = graph.set_index("mask_ratio")["bounds"].map(lambda found: 4 * found["water_filling"])
        for row, (readout, name) in enumerate(READOUTS.items()):
            axes = panels[row, column]
            _draw_scatter(axes, values, records, f"{feature}.{readout}")
            if drawn_bounds(graph):
                _draw_draws(axes, graph, records, f"{feature}.{readout}")
            axes.set_xlim(-0.1, 1.1)
            share_axis(axes)
            tidy(axes)
            if not column:
                axes.set_ylabel(f"{name}, {feature}")
        panels[0, column].set_title(f"{view} views, {hop} hop", fontsize=9)
        panels[-1, column].set_xlabel("S2, in units of 1/(4L)")
    if counts := _draws(bounds):
        panels[0, 0].plot([], [], color=GREY, linewidth=0.8, label=f"S2 (mean ± SD, {max(counts)} draws of masks)")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


@dataclass(frozen=True)
class _Places:
    """Where marks of some mask ratios stand on the axis."""

    ratios: Sequence[float]

    def of(self, ratios: pd.Series[float] | pd.Index[float], index: int, count: int, apart: float = 0.0) -> Floats:
        """Of the `index`-th of `count` things, `apart` from each other as a part of the range of the ratios."""
        steps = index - (count - 1) / 2
        step = SPREAD / count if len(self.ratios) == 1 else apart * (max(self.ratios) - min(self.ratios))
        return np.asarray(ratios, dtype=np.float64) + steps * step

    def label(self, axes: Axes) -> None:
        """One mask ratio is one tick in the middle, whatever the others would be."""
        if len(self.ratios) == 1:
            [ratio] = self.ratios
            axes.set_xlim(ratio - 0.5, ratio + 0.5)
            axes.set_xticks([ratio], [f"{ratio:g}"])


def _methods(records: pd.DataFrame) -> list[str]:
    return [method for method in METHOD_NAMES if (records["method"] == method).any()]


def _draw_bounds(axes: Axes, bounds: pd.DataFrame, places: _Places, count: int) -> None:
    graphs = bounds.groupby(["view", "hop"], sort=False)
    for index, (style, mark, ((view, hop), graph)) in enumerate(zip(THEORY_STYLES, THEORY_MARKS, graphs, strict=False)):
        at = places.of(graph["mask_ratio"], index, count)
        name = f"{view} views, {hop} hop"
        sharper = graph["bounds"].map(lambda found: 4 * found["water_filling"])
        printed = graph["bounds"].map(lambda found: 4 * found["thm_4_2"])
        if drawn_bounds(graph):
            # Beside each other, and beside those of accuracies.
            beside = places.of(graph["mask_ratio"], index, count, APART / 2)
            axes.errorbar(beside, *_over_draws(graph), fmt="none", ecolor=GREY, elinewidth=1, capsize=2)
        axes.plot(at, sharper, linestyle=style, color=GREY, marker="s", markersize=3, label=f"S2: {name}")
        says = ~graph.apply(_says_nothing, axis=1)
        if says.any():
            marks = printed.where(says)
            axes.plot(at, marks, mark, color="black", markersize=8, label=f"Thm 4.2: {name}")
    if bounds.apply(_says_nothing, axis=1).any():
        axes.plot([], [], " ", label="(Thm 4.2 is ≤ λ/K, vacuous, wherever no mark is)")
    if counts := _draws(bounds):
        axes.plot([], [], " ", label=f"(bars of S2: mean ± SD over {max(counts)} draws of the masks)")
    bounded = "the U-MAE loss"
    if (on_image := bounds["hop"] == "image").all():
        bounded = "(1 + L_align)/L + λ L_unif"
    elif on_image.any():
        axes.plot([], [], " ", label="(on the image hop of (1 + L_align)/L in place of L_MAE)")
    axes.set_ylabel(f"lower bound of {bounded}\nin units of 1/(4L)", color=GREY)
    axes.set_ylim(0, 1.08)
    tidy(axes)


def _draws(bounds: pd.DataFrame) -> set[int]:
    """How many draws of the masks there are of a graph, where there are several."""
    graphs = bounds.groupby(["view", "hop"])
    return {len(values) for _, graph in graphs for values in drawn_bounds(graph).values()}


def _over_draws(graph: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean and standard deviation of S2 over draws of the masks, in units of 1/(4L); NaN where none are drawn."""
    drawn = drawn_bounds(graph)
    spreads = [mean_and_sd(drawn[ratio]) if ratio in drawn else (np.nan, np.nan) for ratio in graph["mask_ratio"]]
    middle, spread = 4 * np.array(spreads, dtype=np.float64).reshape(-1, 2).T
    return middle, spread


def _says_nothing(row: pd.Series[Any]) -> bool:
    return is_vacuous(row["bounds"]["thm_4_2"], row["lambda"], row["dim"])


def _draw_accuracy(axes: Axes, records: pd.DataFrame, column: str, places: _Places, before: int) -> None:
    methods = _methods(records)
    alone = len(places.ratios) == 1
    for index, method in enumerate(methods):
        runs = records[records["method"] == method]
        mean, spread, name = _over_seeds(runs, column, method)
        # Of one ratio the methods stand after the bounds.
        place, count = (before + index, before + len(methods)) if alone else (index, len(methods))
        axes.errorbar(
            places.of(mean.index, place, count, APART),
            mean,
            spread,
            color=METHOD_COLOURS[method],
            marker=METHOD_MARKS[method],
            markersize=METHOD_SIZES[method],
            linestyle=METHOD_STYLES[method],
            capsize=3,
            label=name,
        )
    axes.spines["top"].set_visible(False)


def _over_seeds(runs: pd.DataFrame, column: str, method: str) -> tuple[pd.Series[float], pd.Series[float] | None, str]:
    """Mean of each mask ratio, its standard deviation if there are several seeds, and the method with what is shown."""
    grouped, seeds = runs.groupby("mask_ratio")[column], runs["seed"].nunique()
    spread = grouped.std(ddof=1).fillna(0) if seeds > 1 else None
    told = f"(mean ± SD, {seeds} seeds)" if seeds > 1 else "(one seed)"
    return grouped.mean(), spread, f"{METHOD_NAMES[method]} {told}"


def _draw_baselines(axes: Axes, records: pd.DataFrame, feature: str) -> None:
    names = {"raw-pixels": "raw pixels", "coded-pixels": "coded pixels", "random-network": "random network"}
    for style, (method, name) in zip(("--", "-.", ":"), names.items(), strict=True):
        column = f"{feature if method == 'random-network' else 'pixels'}.knn"
        rows = records[records["method"] == method]
        if column in rows and rows[column].notna().any():
            axes.axhline(rows[column].mean(), color="black", linestyle=style, linewidth=1.2, label=name)


def _draw_label_errors(axes: Axes, bounds: pd.DataFrame, places: _Places) -> None:
    views = list(bounds.groupby("view", sort=False))
    for index, (style, (view, graph)) in enumerate(zip(THEORY_STYLES, views, strict=False)):
        first = graph.drop_duplicates("mask_ratio")
        for side, name in enumerate(("alpha", "alpha_target")):
            label, colour, mark, size, width = LABEL_ERRORS[name]
            axes.plot(
                places.of(first["mask_ratio"], 2 * index + side, 2 * len(views)),
                first[name],
                linestyle=style,
                color=colour,
                marker=mark,
                markersize=size,
                linewidth=width,
                label=f"{label}, {view}",
            )
    axes.set_xlabel("mask ratio ρ")
    axes.set_ylabel("label error")
    axes.set_ylim(-ROOM, 1 + ROOM)
    tidy(axes)
    axes.legend(fontsize=8, ncols=2, frameon=False, handlelength=3.2)


def _draw_draws(axes: Axes, graph: pd.DataFrame, records: pd.DataFrame, column: str) -> None:
    """What S2 is under other masks, at the height of each method's accuracy."""
    middle, spread = (pd.Series(values, graph["mask_ratio"]) for values in _over_draws(graph))
    for method in _methods(records):
        mean, _, _ = _over_seeds(records[records["method"] == method], column, method)
        axes.errorbar(
            middle.loc[mean.index],
            mean,
            xerr=spread.loc[mean.index],
            fmt="none",
            ecolor=METHOD_COLOURS[method],
            elinewidth=0.6,
            alpha=0.6,
        )


def _draw_scatter(axes: Axes, values: pd.Series[float], records: pd.DataFrame, column: str) -> None:
    """A path a method over the mask ratios, and a point a ratio in its own shade: labels would cover each other."""
    ratios = sorted(values.index)
    shades = dict(zip(ratios, sequence(len(ratios)), strict=True))
    for method in _methods(records):
        mean, spread, name = _over_seeds(records[records["method"] == method], column, method)
        x, colour, mark = values.loc[mean.index], METHOD_COLOURS[method], METHOD_MARKS[method]
        size = METHOD_SIZES[method]
        axes.errorbar(
            x,
            mean,
            spread,
            linestyle=METHOD_STYLES[method],
            color=colour,
            linewidth=1.2,
            marker=mark,
            markersize=size,
            markerfacecolor="none",
            elinewidth=0.9,
            capsize=2,
            label=name,
        )
        points = [shades[ratio] for ratio in mean.index]
        axes.scatter(x, mean, s=size**2, c=points, marker=mark, edgecolors=colour, zorder=3)
    for ratio, shade in shades.items():
        axes.scatter([], [], s=44, c=shade, edgecolors=GREY, label=f"ρ = {ratio:g}")
