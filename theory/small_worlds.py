"""Graphs of a few views, on which statements are attacked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.synthetic import joint_graph

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SmallWorld:
    """A joint distribution of views in a few numbers.

    Attributes:
        M: (N1, N2) masses, normalised when built.
        X2: (N2, d) targets.
        labels: (N1, N2) classes, whole numbers.
    """

    M: Rows
    X2: Rows
    labels: Rows

    def graph(self) -> MaskGraph:
        """Its mask graph."""
        return joint_graph(np.array(self.M), np.array(self.X2), np.array(self.labels, dtype=np.int64))


SMALL_WORLDS = {
    "one target": SmallWorld(((1.0,), (1.0,)), ((1.0,),), ((0.0,), (0.0,))),
    "independent": SmallWorld(((1.0, 1.0), (1.0, 1.0)), ((1.0,), (-1.0,)), ((0.0, 0.0), (0.0, 0.0))),
    "two views": SmallWorld(((4.0, 1.0), (1.0, 4.0)), ((1.0,), (-1.0,)), ((0.0, 0.0), (1.0, 1.0))),
    "two components": SmallWorld(((1.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (0.0, 1.0)), ((0.0, 0.0), (1.0, 1.0))),
    "three views": SmallWorld(
        ((2.0, 1.0, 0.0), (1.0, 2.0, 1.0), (0.0, 1.0, 2.0)),
        ((1.0,), (0.0,), (-1.0,)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ),
}
"""Smallest first."""

MOST_VIEWS = max(len(world.M) for world in SMALL_WORLDS.values())
"""Visible views of the largest."""
