"""Good–Turing: how much of what a fresh image, or a fresh mask, shows falls on vertices that the graph lacks.

The graph of a sample knows the views of its own images under its own masks. What it lacks can be told from itself:
leave one image out, and what the others lack of it is what only that image shows. docs/theory.md, section 11, has the
derivation, for a codebook that does not depend on the images: one fitted on them, with few patches a code, makes the
estimate too high.
"""

from __future__ import annotations

from typing import Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph, Views, check_mask_graph
from maskgraph.graphs.errors import unknown

Side = Literal["visible", "target"]

OF_THE_SAMPLE = 0.1
"""Above this unseen mass a graph says more about the sample than about the data: on worlds whose spectrum is known the
error of λ₂ then exceeds λ₂ itself (the finding `finite-samples`)."""

ROUNDING = 1e-9
"""A share is a quotient of sums of masses; by so much of itself it may be off, and far less is what it is off by."""


class Unseen(TypedDict):
    """Estimated share of the mass of fresh views that falls on no vertex of the graph, side by side.

    `visible`, `target`: the views of a fresh image under the same masks; None where the images are no draws.
    `visible_fresh_mask`, `target_fresh_mask`: those of the same images under a mask that the graph lacks; None where it
    has all masks of the distribution, and 1 with positional views, whose vertices fix their mask.
    """

    visible: float | None
    target: float | None
    visible_fresh_mask: float | None
    target_fresh_mask: float | None


def unseen(graph: MaskGraph) -> Unseen:
    """The Good–Turing estimates of a graph on both sides, over images and over masks."""
    check_mask_graph(graph)
    drawn, sampled = graph.images.drawn, not graph.masks.exhaustive
    return {
        "visible": singleton_mass(graph, "visible") if drawn else None,
        "target": singleton_mass(graph, "target") if drawn else None,
        "visible_fresh_mask": single_mask_mass(graph, "visible") if sampled else None,
        "target_fresh_mask": single_mask_mass(graph, "target") if sampled else None,
    }


def of_the_sample(share: float | None) -> bool:
    """Whether an unseen mass is above `OF_THE_SAMPLE`, and not by rounding alone; None, where there is none, is not."""
    return share is not None and share > OF_THE_SAMPLE * (1 + ROUNDING)


def singleton_mass(graph: MaskGraph, side: Side) -> float:
    """The share of a side's mass that is seen from one image only; two equal images are two.

    Where the N images are draws, its expectation is the unseen mass of a graph of N − 1 of them (Good–Turing).
    """
    p, views = _views(graph, side)
    return float(p[views.alone].sum() / p.sum())


def single_mask_mass(graph: MaskGraph, side: Side) -> float:
    """The share of a side's mass that is seen under one mask only.

    Where the S masks are drawn without replacement, its expectation is the mass that one further mask shows and a graph
    of S − 1 masks lacks, whatever the weights of the images.
    """
    p, views = _views(graph, side)
    return float(p[views.one_mask].sum() / p.sum())


def _views(graph: MaskGraph, side: Side) -> tuple[NDArray[np.float64], Views]:
    """Masses and views of a side."""
    check_mask_graph(graph)
    if side not in get_args(Side):
        raise unknown("side", side, get_args(Side))
    return (graph.p1, graph.visible) if side == "visible" else (graph.p2, graph.target)
