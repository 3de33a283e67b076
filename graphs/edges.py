"""The edges of a mask graph, one an image and mask, ready to be counted in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.keys import Layout, layout
from maskgraph.graphs.masks import MaskSet
from maskgraph.graphs.views import View

BLOCK = 2**27
"""Edges counted at a time: at work on them are 12 bytes an edge, which then hold M."""

LEVEL_BITS = 10
"""Of the mass of an image that fit beside two vertices of a block into a word."""

MANY_LEVELS = 2**24, 2**16
"""Edges and images of a block where there are more masses than that."""


@dataclass(frozen=True)
class Block:
    """Some images under some masks."""

    images: slice
    masks: slice

    @property
    def edges(self) -> int:
        """How many edges it has."""
        return len(range(self.images.start, self.images.stop)) * len(range(self.masks.start, self.masks.stop))


@dataclass(frozen=True)
class Edges:
    """All edges of images under masks, ready to be counted: equal images are one, with the mass of all.

    Attributes:
        codes: (n, D) the distinct images' codes, in the order of label and row, as ranks among those that occur.
        labels: (D,) unsigned.
        single: (D,) bool, whether the image is one row of the dataset.
        place: (D,) unsigned, that row, or the first of its rows, times S.
        level: (D,) unsigned, index into `levels`.
        levels: float64, the distinct masses of images in units: whole numbers where all rows weigh the same.
        unit: what a mass of 1 is worth: masses in units times this sum to 1.
        classes: C.
        layouts: of x1 and of x2.
    """

    codes: NDArray[Any]
    labels: NDArray[Any]
    single: NDArray[np.bool_]
    place: NDArray[Any]
    level: NDArray[Any]
    levels: NDArray[np.float64]
    unit: float
    classes: int
    layouts: tuple[Layout, Layout]

    @property
    def masks(self) -> int:
        """S."""
        return len(self.layouts[0].patches)

    def blocks(self, most: int = BLOCK) -> list[Block]:
        """All edges in blocks of at most `most`, masks ascending, as many masks together as fit."""
        images = self.codes.shape[1]
        chunk = min(images, most)
        if len(self.levels) > 2**LEVEL_BITS:
            most, chunk = min(most, MANY_LEVELS[0]), min(chunk, MANY_LEVELS[1])
        masks = min(max(most // chunk, 1), self.masks)
        return [
            Block(slice(i, min(i + chunk, images)), slice(s, min(s + masks, self.masks)))
            for s in range(0, self.masks, masks)
            for i in range(0, images, chunk)
        ]


def edges(images: CodedImages, masks: MaskSet, view: View) -> Edges:
    """Merge equal images and lay out the keys of their views."""
    codes = images.codes
    if codes.max() >= 2**16:
        codes = np.searchsorted(np.unique(codes), codes)
    alphabet = int(codes.max()) + 1
    columns = np.ascontiguousarray(codes.astype(np.min_scalar_type(alphabet - 1)).T)
    labels = images.labels.astype(np.min_scalar_type(len(images.classes)))
    order, start = _equal_images(columns, labels)
    size = np.diff(start, append=len(order))
    of_row, unit = images.in_units(len(masks.kept))
    mass = np.add.reduceat(of_row[order], start)
    first = order[start]
    by_row = np.argsort(first)
    by_row = by_row[np.argsort(labels[first[by_row]], kind="stable")]
    first, size, mass = first[by_row], size[by_row], mass[by_row]
    levels, level = np.unique(mass, return_inverse=True)
    small = len(codes) * len(masks.kept) < 2**32
    return Edges(
        codes=columns.take(first, axis=1),
        labels=labels[first],
        single=size == 1,
        place=(first * len(masks.kept)).astype(np.uint32 if small else np.uint64),
        level=level.astype(np.min_scalar_type(len(levels))),
        levels=levels,
        unit=unit,
        classes=len(images.classes),
        layouts=(layout(view, masks.kept, alphabet), layout(view, masks.dropped, alphabet)),
    )


def _equal_images(columns: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows so ordered that those of equal codes (n, N) and label stand together, ascending; where each run begins."""
    bits = max(int(columns.max()).bit_length(), 1)
    slots = 64 // bits
    digits: list[NDArray[Any]] = [labels]
    for low in range(0, len(columns), slots):
        packed = np.zeros(len(labels), np.uint64)
        for row in columns[low : low + slots]:
            packed <<= np.uint64(bits)
            packed |= row
        digits.append(packed)
    # Lexsort is stable: the first of equal images is the first row.
    order = np.lexsort(digits)
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = np.logical_or.reduce([digit[order[1:]] != digit[order[:-1]] for digit in digits])
    return order, np.flatnonzero(new)
