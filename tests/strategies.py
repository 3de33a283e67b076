"""Random small worlds: few enough events for the enumeration in `oracle`, odd enough to break things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from maskgraph.graphs.augmentation import AugmentationGraph, Hop, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.masks import MaskSet, make_mask_set
from maskgraph.graphs.views import View
from tests import oracle

VIEWS: tuple[View, ...] = get_args(View)
HOPS: tuple[Hop, ...] = get_args(Hop)

MAX_DIM = 6
"""Largest K drawn: the oracle tries 2^K supports."""


def searched(examples: int) -> settings:
    """No deadline, as test machines stall; no chance, so that a run that turns red has a cause."""
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class World:
    """A dataset in plain Python values, for the oracle and the package alike."""

    codes: tuple[tuple[int, ...], ...]
    labels: tuple[int, ...]
    weights: tuple[float, ...] | None = None
    codebook: tuple[tuple[float, ...], ...] | None = None

    @property
    def patches(self) -> int:
        """The number of patches of an image."""
        return len(self.codes[0])

    @property
    def rows(self) -> list[int]:
        """The rows of positive weight, which are those that the package keeps."""
        return [row for row in range(len(self.codes)) if self.weights is None or self.weights[row] > 0]

    def images(self) -> CodedImages:
        """The package's form of this dataset."""
        return make_coded_images(
            "world",
            np.array(self.codes),
            np.array(self.labels),
            None if self.weights is None else np.array(self.weights),
            None if self.codebook is None else np.array(self.codebook),
        )

    def masks(self, kept: int) -> list[oracle.Kept]:
        """Every mask of `kept` patches."""
        return oracle.all_masks(self.patches, kept)

    def mask_set(self, kept: int) -> MaskSet:
        """The package's form of `masks`."""
        return make_mask_set(np.array(self.masks(kept)), self.patches)

    def events(self, kept: int, view: View) -> list[oracle.Event]:
        """The oracle's events under all masks of `kept` patches."""
        return oracle.events(self.codes, self.labels, self.weights, self.masks(kept), view)

    def graph(self, kept: int, view: View) -> MaskGraph:
        """The package's graph under all masks of `kept` patches."""
        return mask_graph(self.images(), self.mask_set(kept), view)

    def augmented(self, kept: int, view: View, hop: Hop) -> AugmentationGraph:
        """The package's augmentation graph under all masks of `kept` patches."""
        return augmentation_graph(self.graph(kept, view), hop)


FIXED_WORLDS = {
    "two patches": World(((0, 1), (1, 1), (0, 0)), (0, 1, 1), codebook=((0.0,), (1.0,))),
    "one image": World(((0, 1, 0),), (7,), codebook=((0.0, 1.0), (2.0, -1.0))),
    "one class": World(((0, 1, 1, 0), (1, 1, 0, 0), (0, 1, 1, 0)), (3, 3, 3), (1.0, 2.0, 0.5)),
    "all the same": World(((1, 1, 1),) * 4, (0, 1, 2, 1), codebook=((5.0,), (0.5,))),
    "a tie in every view": World(((0, 1, 1), (0, 1, 1)), (1, 0), (3.0, 3.0), ((0.0,), (1.0,))),
    "rows of weight zero": World(
        ((0, 1, 2, 0), (2, 1, 0, 0), (1, 1, 1, 1), (0, 2, 2, 0), (2, 2, 1, 0)),
        (0, 1, 2, 1, 0),
        (0.25, 0.0, 1.5, 0.0, 3.0),
        ((0.0, 0.5), (1.0, -1.0), (2.0, 2.0)),
    ),
    "four classes": World(
        ((0, 0, 1, 1, 0), (1, 0, 0, 1, 1), (0, 1, 1, 0, 0), (1, 1, 1, 1, 0), (1, 0, 0, 1, 1)),
        (0, 1, 2, 3, 0),
        (1.0, 2.0, 3.0, 4.0, 5.0),
        ((-1.0,), (1.0,)),
    ),
    "equal values under two codes": World(
        ((0, 1, 2), (2, 1, 0), (1, 2, 0)), (0, 1, 0), codebook=((1.0,), (0.0,), (1.0,))
    ),
}
"""Worlds that random ones may miss, by what is special about them."""


@st.composite
def worlds(draw: st.DrawFn, patches: int | None = None, valued: bool | None = None) -> World:
    """A world of 2..6 patches, 2..3 codes, 1..8 images, 1..4 classes.

    Weights are small integers, so that class masses tie exactly or differ plainly.

    Args:
        draw: given by hypothesis.
        patches: n where it is fixed.
        valued: whether there is a codebook; drawn when None.
    """
    n = draw(st.integers(2, 6)) if patches is None else patches
    alphabet = draw(st.integers(2, 3))
    count = draw(st.integers(1, 8))
    code = st.integers(0, alphabet - 1)
    codes = draw(st.lists(st.tuples(*[code] * n), min_size=count, max_size=count))
    label = st.integers(0, draw(st.integers(0, 3)))
    labels = draw(st.lists(label, min_size=count, max_size=count))
    masses = st.lists(st.integers(0, 9), min_size=count, max_size=count).filter(any)
    weights = draw(st.none() | masses)
    codebook: tuple[tuple[float, ...], ...] | None = None
    if draw(st.booleans()) if valued is None else valued:
        value = st.tuples(*[st.integers(-8, 8)] * draw(st.integers(1, 2)))
        rows = draw(st.lists(value, min_size=alphabet, max_size=alphabet))
        codebook = tuple(tuple(entry / 4 for entry in row) for row in rows)
    return World(tuple(codes), tuple(labels), None if weights is None else tuple(map(float, weights)), codebook)


@st.composite
def masked_worlds(draw: st.DrawFn, valued: bool | None = None) -> tuple[World, int]:
    """A world and how many of its patches are kept."""
    world = draw(worlds(valued=valued))
    return world, draw(st.integers(1, world.patches - 1))


def mask_ratios() -> st.SearchStrategy[float]:
    """Mask ratios that print as decimals of up to three digits."""
    return st.integers(1, 999).map(lambda thousandths: thousandths / 1000)


def views() -> st.SearchStrategy[View]:
    """View identities."""
    return st.sampled_from(VIEWS)


def hops() -> st.SearchStrategy[Hop]:
    """Hops."""
    return st.sampled_from(HOPS)
