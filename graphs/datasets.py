"""Datasets: images with pixels, and images already reduced to patch codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskgraph.graphs.arrays import (
    as_array,
    as_grid,
    as_pixels,
    class_labels,
    finite_values,
    masses,
    white,
)
from maskgraph.graphs.errors import InputError, check_type, unknown
from maskgraph.graphs.npz import read_npz
from maskgraph.graphs.stored import STORED, Stored, load_stored

DEFAULT_PATCH = {"digits": 2, "fashion-mnist": 7, "cifar10": 4, "cifar100": 4}
"""Patch side in pixels where the user names none: 16 patches an image, 64 for CIFAR."""

OF_CODES = ("codebook", "grid")
"""What a .npz may hold beside codes, and not beside pixels."""

NAMED = "name the images in a string, as results will"
"""What is to be done about a name that is none."""


@dataclass(frozen=True)
class Images:
    """A weighted, labelled set of images.

    Attributes:
        name: what the user asked for.
        pixels: (N, H, W, C) float64, finite.
        labels: (N,) int64 in 0..C-1, indices into `classes`.
        weights: (N,) float64, positive, sums to 1: the data distribution.
        classes: the dataset's own name of each class.
        drawn: whether the images are draws, one a row, from the data. Not so where weights were given: they state a
            distribution, and then the rows are its support.
    """

    name: str
    pixels: NDArray[np.float64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]
    drawn: bool


@dataclass(frozen=True)
class Coding:
    """How pixels became codes.

    Attributes:
        patch: side of a patch in pixels.
        codebook: kind of codebook.
        codes: V, how many it has.
    """

    patch: int
    codebook: str
    codes: int


@dataclass(frozen=True)
class CodedImages:
    """Images whose patches are codes: what views, and hence vertices, are made of.

    Attributes:
        name: what the user asked for.
        codes: (N, n) int64 >= 0, one code a patch, patches in raster order.
        labels: (N,) int64 in 0..C-1, indices into `classes`.
        weights: (N,) float64, positive, sums to 1: the data distribution.
        classes: the dataset's own name of each class.
        grid: (rows, columns) of the patches, rows * columns = n. Data without a plane is one row.
        codebook: (V, s) float64, the patch value of each code; None when codes stand for no value.
        drawn: whether the images are draws, one a row, from the data. Not so where weights were given: they state a
            distribution, and then the rows are its support.
        has_grid: whether somebody has said what `grid` is; else it is one row for want of better.
        coding: how pixels became codes; None where the data was codes.
    """

    name: str
    codes: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]
    grid: tuple[int, int]
    codebook: NDArray[np.float64] | None
    drawn: bool
    has_grid: bool = True
    coding: Coding | None = None

    @property
    def patches(self) -> int:
        """n, the number of patches of an image."""
        return int(self.codes.shape[1])

    def in_units(self, masks: int) -> tuple[NDArray[np.float64], float]:
        """(N,) the mass of each row, 1 where all weigh the same, and what a mass of 1 is worth under one of `masks`.

        Sums of such masses are counts, and as exact.
        """
        count = len(self.weights)
        if (self.weights == self.weights[0]).all():
            return np.ones(count), 1 / (count * masks)
        return self.weights, 1 / masks


Some = TypeVar("Some", bound=Images | CodedImages)


def make_images(name: str, pixels: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Images:
    """Check pixels, labels and weights, arrays or what numpy makes arrays of; images of weight 0 are dropped.

    Args:
        name: shown in results.
        pixels: (N, H, W) or (N, H, W, C), numbers of a size of at most `LARGEST_VALUE`, taken as they are.
        labels: (N,) integers of at least 0.
        weights: (N,) non-negative numbers with a positive sum, a distribution; None: the images are draws.

    Raises:
        InputError: naming what is wrong with which array.
    """
    check_type(name, str, NAMED)
    values = finite_values(as_pixels(pixels), "pixels")
    classes, classed = class_labels(labels, len(values))
    kept, weighted = masses(weights, len(values))
    return Images(name, values[kept], classed[kept], weighted[kept], classes, weights is None)


def make_coded_images(
    name: str,
    codes: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    codebook: ArrayLike | None = None,
    grid: ArrayLike | None = None,
) -> CodedImages:
    """Check codes, labels, weights and codebook, arrays or what numpy makes them of; images of weight 0 are dropped.

    Args:
        name: shown in results.
        codes: (N, n) non-negative integers, n >= 2.
        labels: (N,) integers of at least 0.
        weights: (N,) non-negative numbers with a positive sum, a distribution; None: the images are draws.
        codebook: (V, s) numbers of a size of at most `LARGEST_VALUE` with V > codes.max(), or None.
        grid: (rows, columns) of the patches, rows * columns = n; one row, and not known to be one, when None.

    Raises:
        InputError: naming what is wrong with which array.
    """
    check_type(name, str, NAMED)
    codes = as_array(codes, "codes")
    if codes.ndim != 2 or len(codes) == 0 or codes.shape[1] < 2:
        raise InputError(f"codes has shape {codes.shape}; expected (N, n) with at least one image and n >= 2 patches")
    if not np.issubdtype(codes.dtype, np.integer):
        raise InputError(f"codes has dtype {codes.dtype}; expected integers (cast with .astype('int64'))")
    if codes.min() < 0:
        raise InputError(f"codes contains {codes.min()}; codes count from 0 (subtract the minimum)")
    if codes.max() > np.iinfo(np.int64).max:
        raise InputError(f"codes contains {codes.max()}, beyond the 64-bit integers; renumber the codes from 0")
    values = None
    if codebook is not None:
        values = finite_values(codebook, "codebook")
        if values.ndim != 2 or values.shape[1] == 0 or len(values) <= codes.max():
            raise InputError(
                f"codebook has shape {values.shape} while the largest code is {codes.max()}; "
                f"expected (V, s) with V >= {codes.max() + 1} rows of patch values"
            )
    classes, classed = class_labels(labels, len(codes))
    kept, weighted = masses(weights, len(codes))
    return CodedImages(
        name,
        codes.astype(np.int64)[kept],
        classed[kept],
        weighted[kept],
        classes,
        (1, codes.shape[1]) if grid is None else as_grid(grid, codes.shape[1]),
        values,
        drawn=weights is None,
        has_grid=grid is not None,
    )


def check_plane(images: CodedImages, mask: str) -> None:
    """Raise InputError for masks that are made of rows and columns on images of which nobody has said theirs."""
    if mask != "uniform" and not images.has_grid:
        raise InputError(
            f"{mask} masks of {images.name}, whose codes lie on no known plane; add grid, two integers (rows, columns) "
            f"with rows * columns = {images.patches}, to the .npz, or use uniform masks"
        )


def load(name: str, data_dir: Path | None = None, held_out: bool = False) -> Images | CodedImages:
    """Load one of `STORED` or a .npz file (a class mixture: `synthetic.load_mixture`).

    Args:
        name: the dataset's name or the path of a .npz file. The .npz holds `labels` (N,), optional `weights` (N,), and
            either `pixels` (N, H, W[, C]), numbers from 0 to 1 or bytes, which are divided by the largest, or `codes`
            (N, n) with an optional `codebook` (V, s) and an optional `grid` (2,), their rows and columns.
        data_dir: where the dataset's files lie, see `load_stored`.
        held_out: the dataset's own test part instead of its training part (`HAS_TEST` only).

    Raises:
        InputError: an unknown name, a missing, truncated or malformed file, or bad arrays.
    """
    if name in STORED:
        return images_of(load_stored(name, data_dir, held_out))
    if isinstance(name, str) and name.endswith(".npz"):
        return _npz(Path(name))
    also = " (as it is, or mixture:key=value,...), or the path of a .npz file or of a folder of images"
    raise unknown("dataset", name, (*STORED, "mixture"), also=also)


def images_of(stored: Stored, rows: NDArray[np.int64] | None = None) -> Images:
    """The images at `rows` (all when None) in float64; the others stay bytes, an eighth of the memory."""
    count = len(stored.labels)
    # Divided by their sum rather than set to 1 / len(rows): to the last bit what `take` makes of all of them.
    weights = np.full(count, 1.0 / count)
    pixels, labels = stored.pixels, stored.labels
    if rows is not None:
        pixels, labels, weights = pixels[rows], labels[rows], weights[rows] / weights[rows].sum()
    return Images(stored.name, pixels / float(stored.full), labels, weights, stored.classes, drawn=True)


def take(images: Some, rows: NDArray[np.int64]) -> Some:
    """The images at `rows`, with their weights renormalised to sum to 1."""
    weights = images.weights[rows]
    name = "codes" if isinstance(images, CodedImages) else "pixels"
    shown = {name: getattr(images, name)[rows]}
    return replace(images, **shown, labels=images.labels[rows], weights=weights / weights.sum())


def split_rows(
    labels: NDArray[np.int64], held_out: float, seed: int, classes: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for training and rows held out, the share `held_out` of every class, drawn from `seed`.

    Args:
        labels: (N,) of all rows.
        held_out: share in (0, 1).
        seed: of the draw.
        classes: the dataset's own name of each class, for the message; None: its number.

    Raises:
        InputError: a class with fewer than two images, which cannot be on both sides.
    """
    rng = np.random.default_rng(seed)
    test: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            name = label if classes is None else classes[label]
            raise InputError(f"class {name} has {len(rows)} image; holding images out needs at least 2 of every class")
        test.append(rows[: min(max(1, round(held_out * len(rows))), len(rows) - 1)])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), held), held


def _npz(path: Path) -> Images | CodedImages:
    arrays = read_images(path)
    labels, weights = arrays["labels"], arrays.get("weights")
    if "codes" in arrays:
        return make_coded_images(
            str(path), arrays["codes"], labels, weights, arrays.get("codebook"), arrays.get("grid")
        )
    images = make_images(str(path), arrays["pixels"], labels, weights)
    full = white(arrays["pixels"], str(path))
    return images if full == 1 else replace(images, pixels=images.pixels / full)


def read_images(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz of images: labels, perhaps weights, and pixels, or codes and perhaps a codebook and a grid.

    Raises:
        InputError: no such file, one that cannot be read, or other arrays in it.
    """
    if not path.is_file():
        # The path may stand in a TOML file that lies elsewhere.
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise InputError(f"{path} does not exist{where}; expected a .npz file with labels and pixels or codes")
    mend = "it may be damaged or not complete: copy it again, or write it anew with numpy.savez"
    arrays = read_npz(path, mend, {"labels", "weights", "pixels", "codes", *OF_CODES})
    if "labels" not in arrays:
        raise InputError(f"{path} holds no labels; add an integer array labels (N,)")
    if ("pixels" in arrays) == ("codes" in arrays):
        raise InputError(f"{path} must hold either pixels or codes, one and only one of them")
    for name in OF_CODES:
        if "pixels" in arrays and name in arrays:
            raise InputError(f"{path} holds pixels and a {name}; a {name} goes with codes only: remove it")
    return arrays
