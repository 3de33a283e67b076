"""What a finding is, and what several share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.source import Source, load_coded
from maskgraph.graphs.views import View

RATIOS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)

EVERY = 20_000
"""More masks than there are of one size on 16 patches."""

DRAWS = 20
"""Draws of masks, images or batches where a page has not all of them."""

EQUAL = 1e-12
"""Probabilities that agree to this are equal: they are sums of at most 10⁴ terms of size at most 1."""

Line = tuple[Sequence[float], Sequence[float]]
"""x and y of a line."""


@dataclass(frozen=True)
class Panel:
    """One plot: named lines over x.

    Attributes:
        title: above the plot.
        x: name of the abscissa.
        y: name of the ordinate.
        lines: by name; what is not above 0 is left out of a logarithmic plot.
        level: name and height of a line across.
        log: whether both axes are logarithmic.
        errors: by the name of a line, the half-length of its error bars.
    """

    title: str
    x: str
    y: str
    lines: dict[str, Line]
    level: tuple[str, float] | None = None
    log: bool = False
    errors: dict[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What a page says.

    Attributes:
        name: of the page and the figure.
        title: the claim in a few words.
        claim: the claim in a sentence.
        setting: worlds and options.
        headers: of the table.
        rows: of the table; numbers are floats or ints.
        panels: of the figure.
        shown: sentences that the numbers or a proof bear out.
        not_shown: what they do not.
    """

    name: str
    title: str
    claim: str
    setting: str
    headers: tuple[str, ...]
    rows: list[tuple[object, ...]]
    panels: list[Panel]
    shown: list[str] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)


def world_graph(images: CodedImages, ratio: float, view: View, masks: int = EVERY, seed: int = 0) -> MaskGraph:
    """The mask graph under uniform masks, all of them or as many as are named, drawn from the seed."""
    return mask_graph(images, mask_set(mask_distribution("uniform", images.grid, ratio), masks, seed), view)


def digits(codes: int, images: int | None = None) -> CodedImages:
    """scikit-learn's digits under a k-means codebook."""
    return load_coded(Source("digits", codes=codes, images=images))


def trend(values: Sequence[float]) -> str:
    """Which way values go, in words."""
    step = np.diff(np.asarray(values))
    if (np.abs(step) < EQUAL).all():
        return "nowhere"
    if (step >= -EQUAL).all():
        return "up"
    if (step <= EQUAL).all():
        return "down"
    turn = np.sign(step[np.abs(step) >= EQUAL])
    changes = int((np.diff(turn) != 0).sum())
    if changes == 1:
        return "down and then up" if turn[0] < 0 else "up and then down"
    return "both ways"


def trends(found: Mapping[str, Sequence[float]]) -> str:
    """Which way values go on each world, in words: worlds that agree are named together."""
    ways: dict[str, list[str]] = {}
    for world, values in found.items():
        ways.setdefault(trend(values), []).append(world)
    if len(ways) == 1:
        return f"{next(iter(ways))} on every world"
    return ", ".join(f"{way} on {listed(names)}" for way, names in ways.items())


def span(values: Sequence[float], form: str = "") -> str:
    """The least and the greatest of some numbers, in words; one where all are the same."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def listed(worlds: Sequence[str]) -> str:
    """The names of worlds in a sentence: some hold a comma, or an and."""
    *first, last = (f"“{world}”" for world in worlds)
    return " and ".join(filter(None, (", ".join(first), last)))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation, equal to nine digits being a tie; NaN where one of both is constant."""
    from scipy.stats import rankdata  # slow to import, and wanted here alone

    x, y = (rankdata(np.round(v, 9)) for v in (a, b))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
