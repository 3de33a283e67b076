"""The eigenvalues of every graph of a study."""

from __future__ import annotations

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from maskgraph.figures.style import new_figure, tidy


def spectra(bounds: pd.DataFrame) -> Figure:
    """λ_i of A against i, one panel a view and hop, one line a mask ratio; the legend tells the head's sum.

    Args:
        bounds: one row a graph, as the study records them.
    """
    graphs = list(bounds.groupby(["view", "hop"], sort=False))
    columns = min(len(graphs), 2)
    rows = -(-len(graphs) // columns)
    figure = new_figure(4.6 * columns, 3.5 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    colours = matplotlib.colormaps["viridis"]
    ratios = sorted(bounds["mask_ratio"].unique())
    for axes in panels[len(graphs) :]:
        axes.set_axis_off()
    for axes, ((view, hop), graph) in zip(panels, graphs, strict=False):
        for _, row in graph.iterrows():
            colour = colours(0.9 * ratios.index(row["mask_ratio"]) / max(len(ratios) - 1, 1))
            label = f"ρ = {row['mask_ratio']:g}: {row['components']} comp., head {row['head_sq']:.1f}"
            values = row["eigenvalues"]
            axes.plot(range(1, len(values) + 1), values, color=colour, marker=".", markersize=4, label=label)
        axes.set_title(f"{view} views, {hop} hop", fontsize=10)
        axes.set_xlabel("i")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_ylim(-0.03, 1.05)
        tidy(axes)
        axes.legend(fontsize=7, frameon=False)
    figure.supylabel("eigenvalue λ_i of the augmentation graph", fontsize=10)
    return figure
