"""Bound against accuracy over the mask ratio: the theory on one axis, what was trained on the other."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskgraph.figures.style import (
    GREY,
    METHOD_COLOURS,
    METHOD_NAMES,
    THEORY_MARKS,
    THEORY_STYLES,
    new_figure,
    sequence,
    tidy,
)
from maskgraph.theory.bounds import is_vacuous

READOUTS = {"linear": "linear probe", "knn": "5-NN", "few_shot": "few-shot probe"}


def bound_versus_accuracy(bounds: pd.DataFrame, records: pd.DataFrame, feature: str) -> Figure:
    """The project's main figure.

    Top: the sharper bound S2 in units of its own ceiling 1/(4L), left axis, and 5-NN accuracy of each method, mean
    and standard deviation over seeds, right axis. Beneath: the label error of both sides.

    Args:
        bounds: one row a graph, as the study records them.
        records: one row a model or baseline.
        feature: cls or mean, the feature that was probed.
    """
    figure = new_figure(8.2, 8.0)
    theory, errors = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    accuracy = theory.twinx()
    _draw_bounds(theory, bounds)
    _draw_accuracy(accuracy, records, f"{feature}.knn")
    _draw_baselines(accuracy, records, feature)
    accuracy.set_ylabel(f"{READOUTS['knn']} accuracy on held-out images, {feature} feature")
    theory.set_title(f"Bound versus accuracy over the mask ratio: {bounds['dataset'].iloc[0]}", loc="left")
    _draw_label_errors(errors, bounds)
    handles = [line for axes in (theory, accuracy) for line in axes.get_legend_handles_labels()[0]]
    names = [name for axes in (theory, accuracy) for name in axes.get_legend_handles_labels()[1]]
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8, frameon=False, handlelength=3.2)
    return figure


def accuracy_against_bound(bounds: pd.DataFrame, records: pd.DataFrame, feature: str) -> Figure:
    """Does the bound order the models? One point a mask ratio and method, one panel a readout and graph.

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
            axes.set_xlim(-0.1, 1.1)
            axes.margins(y=0.15)
            tidy(axes)
            if not column:
                axes.set_ylabel(f"{name}, {feature}")
        panels[0, column].set_title(f"{view} views, {hop} hop", fontsize=9)
        panels[-1, column].set_xlabel("S2, in units of 1/(4L)")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _draw_bounds(axes: Axes, bounds: pd.DataFrame) -> None:
    graphs = bounds.groupby(["view", "hop"], sort=False)
    for style, mark, ((view, hop), graph) in zip(THEORY_STYLES, THEORY_MARKS, graphs, strict=False):
        name = f"{view} views, {hop} hop"
        sharper = graph["bounds"].map(lambda found: 4 * found["water_filling"])
        printed = graph["bounds"].map(lambda found: 4 * found["thm_4_2"])
        axes.plot(
            graph["mask_ratio"], sharper, linestyle=style, color=GREY, marker="s", markersize=3, label=f"S2: {name}"
        )
        says = ~graph.apply(_says_nothing, axis=1)
        if says.any():
            marks = printed.where(says)
            axes.plot(graph["mask_ratio"], marks, mark, color="black", markersize=8, label=f"Thm 4.2: {name}")
    if bounds.apply(_says_nothing, axis=1).any():
        axes.plot([], [], " ", label="(Thm 4.2 is ≤ λ/K, vacuous, wherever no mark is)")
    axes.set_ylabel("lower bound of the U-MAE loss\nin units of 1/(4L)", color=GREY)
    axes.set_ylim(0, 1.08)
    tidy(axes)


def _says_nothing(row: pd.Series[Any]) -> bool:
    return is_vacuous(row["bounds"]["thm_4_2"], row["lambda"], row["dim"])


def _draw_accuracy(axes: Axes, records: pd.DataFrame, column: str) -> None:
    for method, colour in METHOD_COLOURS.items():
        runs = records[records["method"] == method]
        if runs.empty:
            continue
        grouped = runs.groupby("mask_ratio")[column]
        seeds = runs["seed"].nunique()
        spread = grouped.std(ddof=1).fillna(0) if seeds > 1 else None
        axes.errorbar(
            grouped.mean().index,
            grouped.mean(),
            spread,
            color=colour,
            marker="o",
            capsize=3,
            label=METHOD_NAMES[method] + (f" (mean ± SD, {seeds} seeds)" if seeds > 1 else " (one seed)"),
        )
    axes.spines["top"].set_visible(False)


def _draw_baselines(axes: Axes, records: pd.DataFrame, feature: str) -> None:
    names = {"raw-pixels": "raw pixels", "coded-pixels": "coded pixels", "random-network": "random network"}
    for style, (method, name) in zip(("--", "-.", ":"), names.items(), strict=True):
        column = f"{feature if method == 'random-network' else 'pixels'}.knn"
        rows = records[records["method"] == method]
        if column in rows and rows[column].notna().any():
            axes.axhline(rows[column].mean(), color="#009e73", linestyle=style, linewidth=1.2, label=name)


def _draw_label_errors(axes: Axes, bounds: pd.DataFrame) -> None:
    for style, (view, graph) in zip(THEORY_STYLES, bounds.groupby("view", sort=False), strict=False):
        first = graph.drop_duplicates("mask_ratio")
        axes.plot(first["mask_ratio"], first["alpha"], linestyle=style, color="#cc79a7", marker="o", label=f"α, {view}")
        axes.plot(
            first["mask_ratio"],
            first["alpha_target"],
            linestyle=style,
            color="#56b4e9",
            marker="v",
            label=f"α of x2, {view}",
        )
    axes.set_xlabel("mask ratio ρ")
    axes.set_ylabel("label error")
    axes.set_ylim(0, 1)
    tidy(axes)
    axes.legend(fontsize=8, ncols=2, frameon=False, handlelength=3.2)


def _draw_scatter(axes: Axes, values: pd.Series[float], records: pd.DataFrame, column: str) -> None:
    """A path a method over the mask ratios, and a point a ratio in its own shade: labels would cover each other."""
    ratios = sorted(values.index)
    shades = dict(zip(ratios, sequence(len(ratios)), strict=True))
    for method, colour in METHOD_COLOURS.items():
        runs = records[records["method"] == method]
        if runs.empty:
            continue
        mean = runs.groupby("mask_ratio")[column].mean()
        x = values.loc[mean.index]
        axes.plot(x, mean, color=colour, linewidth=1.2, label=METHOD_NAMES[method])
        axes.scatter(x, mean, s=44, c=[shades[ratio] for ratio in mean.index], edgecolors=colour, zorder=3)
    for ratio, shade in shades.items():
        axes.scatter([], [], s=44, c=shade, edgecolors=GREY, label=f"ρ = {ratio:g}")
