"""The augmentation graph itself, drawn for a small world with its classes coloured."""

from __future__ import annotations

from collections.abc import Mapping

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from maskgraph.figures.style import CLASS_COLOURS, new_figure
from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View

EXAMPLE = "An example, whatever the run was of: a built-in mixture of three classes, four patches, ρ = 1/4"


def small_worlds() -> dict[str, nx.Graph]:
    """The same class mixture (n = 4, η = 0.2, three classes, ρ = ¼, all masks) under each view identity."""
    images = class_mixture(4, 0.2, classes=3)
    masks = mask_set(mask_distribution("uniform", images.grid, 0.25))
    views: tuple[View, ...] = ("positional", "sequence", "bag")
    return {f"{view} views": augmentation_graph(mask_graph(images, masks, view)).to_networkx() for view in views}


def draw_worlds(worlds: Mapping[str, nx.Graph], about: str) -> Figure:
    """Augmentation graphs side by side.

    Within a component a view stands at its entries in the second and third eigenvectors of A, divided by √p1: views
    that say the same of their class coincide. Its colour is the class it shows most often; its area grows with its mass
    p1, and a line's width with the entry of A. Self-loops, which carry much of the mass, are told in the title instead
    of drawn.

    Args:
        worlds: title to graph, as `AugmentationGraph.to_networkx` makes them.
        about: what they are graphs of.
    """
    figure = new_figure(4.2 * len(worlds), 4.9)
    figure.suptitle(about, fontsize=11)
    for axes, (title, graph) in zip(figure.subplots(1, len(worlds), squeeze=False)[0], worlds.items(), strict=True):
        _draw(axes, graph)
        loops = sum(mass for _, _, mass in nx.selfloop_edges(graph, data="mass"))
        parts = nx.number_connected_components(graph)
        pieces = f"{parts} component" + "s" * (parts > 1)
        axes.set_title(f"{title}\n{len(graph)} views, {pieces}, {loops:.0%} on self-loops", fontsize=10)
    return figure


def _draw(axes: Axes, graph: nx.Graph) -> None:
    # Components stand side by side on a grid, largest first; within one, a view stands where the theory puts it.
    components = sorted(nx.connected_components(graph), key=lambda part: (-len(part), min(part)))
    columns = max(1, round(len(components) ** 0.5 + 0.49))
    places: dict[int, tuple[float, float]] = {}
    for index, part in enumerate(components):
        row, column = divmod(index, columns)
        for node, (x, y) in _spectral_places(graph.subgraph(part)).items():
            places[node] = (2.6 * column + x, -2.6 * row + y)
    edges = [edge for edge in graph.edges(data="weight") if edge[0] != edge[1]]
    # One collection: a line of its own for each of some thousands takes longer than all else in a report.
    axes.add_collection(
        LineCollection(
            [(places[first], places[second]) for first, second, _ in edges],
            linewidths=[8 * weight for *_, weight in edges],
            colors="#999999",
            alpha=0.6,
            zorder=1,
        )
    )
    heaviest = max(mass for _, mass in graph.nodes(data="mass"))
    nodes = list(graph)
    axes.scatter(
        [places[node][0] for node in nodes],
        [places[node][1] for node in nodes],
        s=[20 + 160 * graph.nodes[node]["mass"] / heaviest for node in nodes],
        c=[CLASS_COLOURS[graph.nodes[node]["label"] % len(CLASS_COLOURS)] for node in nodes],
        edgecolors="white",
        linewidths=0.6,
        zorder=2,
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_axis_off()


def _spectral_places(component: nx.Graph) -> dict[int, tuple[float, float]]:
    nodes = sorted(component)
    mass = np.array([component.nodes[node]["mass"] for node in nodes])
    _, vectors = np.linalg.eigh(nx.to_numpy_array(component, nodes, weight="weight"))
    coordinates = np.zeros((len(nodes), 2))
    coordinates[:, : min(2, len(nodes) - 1)] = vectors[:, ::-1][:, 1:3] / np.sqrt(mass)[:, None]
    reach = np.abs(coordinates).max() or 1.0
    return {node: (float(x), float(y)) for node, (x, y) in zip(nodes, coordinates / reach, strict=True)}
