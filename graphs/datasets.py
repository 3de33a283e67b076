"""Datasets: images with pixels, and images already reduced to patch codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError
from maskgraph.graphs.npz import read_npz
from maskgraph.graphs.stored import STORED, Stored, load_stored

SMALLEST_WEIGHT = 1e-100
"""Least positive weight relative to the largest: masses are divided by square roots and squared further on."""

LARGEST_VALUE = 1e15
"""Largest size of a pixel or of a patch value: models square and sum them in float32, which ends at 3e38."""

DEFAULT_PATCH = {"digits": 2, "fashion-mnist": 7, "cifar10": 4, "cifar100": 4}
"""Patch side in pixels where the user names none: 16 patches an image, 64 for CIFAR."""


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
    """

    name: str
    codes: NDArray[np.int64]
    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: tuple[str, ...]
    grid: tuple[int, int]
    codebook: NDArray[np.float64] | None
    drawn: bool

    @property
    def patches(self) -> int:
        """n, the number of patches of an image."""
        return int(self.codes.shape[1])


def make_images(name: str, pixels: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None = None) -> Images:
    """Check pixels, labels and weights and normalise them; images of weight 0 are dropped.

    Args:
        name: shown in results.
        pixels: (N, H, W) or (N, H, W, C), numbers of a size of at most `LARGEST_VALUE`.
        labels: (N,) integers of any value.
        weights: (N,) non-negative numbers with a positive sum, a distribution; None: the images are draws.

    Raises:
        InputError: naming what is wrong with which array.
    """
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise InputError(f"pixels has shape {pixels.shape}; expected a non-empty (N, H, W) or (N, H, W, C) array")
    pixels = _values(pixels, "pixels")
    classes, classed = _labels(labels, len(pixels))
    kept, weighted = _weights(weights, len(pixels))
    return Images(name, pixels[kept], classed[kept], weighted[kept], classes, weights is None)


def make_coded_images(
    name: str,
    codes: NDArray[Any],
    labels: NDArray[Any],
    weights: NDArray[Any] | None = None,
    codebook: NDArray[Any] | None = None,
    grid: tuple[int, int] | None = None,
) -> CodedImages:
    """Check codes, labels, weights and codebook; images of weight 0 are dropped.

    Args:
        name: shown in results.
        codes: (N, n) non-negative integers, n >= 2.
        labels: (N,) integers of any value.
        weights: (N,) non-negative numbers with a positive sum, a distribution; None: the images are draws.
        codebook: (V, s) numbers of a size of at most `LARGEST_VALUE` with V > codes.max(), or None.
        grid: (rows, columns) of the patches; one row when None.

    Raises:
        InputError: naming what is wrong with which array.
    """
    if codes.ndim != 2 or len(codes) == 0 or codes.shape[1] < 2:
        raise InputError(f"codes has shape {codes.shape}; expected (N, n) with at least one image and n >= 2 patches")
    if not np.issubdtype(codes.dtype, np.integer):
        raise InputError(f"codes has dtype {codes.dtype}; expected integers (cast with .astype('int64'))")
    if codes.min() < 0:
        raise InputError(f"codes contains {codes.min()}; codes count from 0 (subtract the minimum)")
    if codes.max() > np.iinfo(np.int64).max:
        raise InputError(f"codes contains {codes.max()}, beyond the 64-bit integers; renumber the codes from 0")
    grid = grid or (1, codes.shape[1])
    if codebook is not None:
        codebook = _values(codebook, "codebook")
        if codebook.ndim != 2 or codebook.shape[1] == 0 or len(codebook) <= codes.max():
            raise InputError(
                f"codebook has shape {codebook.shape} while the largest code is {codes.max()}; "
                f"expected (V, s) with V >= {codes.max() + 1} rows of patch values"
            )
    classes, classed = _labels(labels, len(codes))
    kept, weighted = _weights(weights, len(codes))
    codes = codes.astype(np.int64)
    return CodedImages(name, codes[kept], classed[kept], weighted[kept], classes, grid, codebook, weights is None)


def load(name: str, data_dir: Path | None = None, held_out: bool = False) -> Images | CodedImages:
    """Load one of `STORED` or a .npz file (a class mixture: `synthetic.load_mixture`).

    Args:
        name: the dataset's name or the path of a .npz file. The .npz holds `labels` (N,), optional `weights`
            (N,), and either `pixels` (N, H, W[, C]) or `codes` (N, n) with an optional `codebook` (V, s).
        data_dir: where the dataset's files lie, see `load_stored`.
        held_out: the dataset's own test part instead of its training part (`HAS_TEST` only).

    Raises:
        InputError: an unknown name, a missing, truncated or malformed file, or bad arrays.
    """
    if name in STORED:
        return images_of(load_stored(name, data_dir, held_out))
    if name.endswith(".npz"):
        return _npz(Path(name))
    raise InputError(
        f"unknown dataset {name!r}; expected {', '.join(STORED)}, mixture[:key=value,...] or the path of a .npz file "
        "or of a folder of images"
    )


def images_of(stored: Stored, rows: NDArray[np.int64] | None = None) -> Images:
    """The images at `rows` (all when None) in float64; the others stay bytes, an eighth of the memory."""
    count = len(stored.labels)
    # Divided by their sum rather than set to 1 / len(rows): to the last bit what `take_images` makes of all of them.
    weights = np.full(count, 1.0 / count)
    pixels, labels = stored.pixels, stored.labels
    if rows is not None:
        pixels, labels, weights = pixels[rows], labels[rows], weights[rows] / weights[rows].sum()
    return Images(stored.name, pixels / float(stored.full), labels, weights, stored.classes, drawn=True)


def take(images: CodedImages, rows: NDArray[np.int64]) -> CodedImages:
    """The images at `rows`, with their weights renormalised to sum to 1."""
    weights = images.weights[rows]
    return replace(images, codes=images.codes[rows], labels=images.labels[rows], weights=weights / weights.sum())


def take_images(images: Images, rows: NDArray[np.int64]) -> Images:
    """The images at `rows`, with their weights renormalised to sum to 1."""
    weights = images.weights[rows]
    return replace(images, pixels=images.pixels[rows], labels=images.labels[rows], weights=weights / weights.sum())


def split_rows(labels: NDArray[np.int64], held_out: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows for training and rows held out, the share `held_out` of every class, drawn from `seed`.

    Raises:
        InputError: a class with fewer than two images, which cannot be on both sides.
    """
    rng = np.random.default_rng(seed)
    test: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) < 2:
            raise InputError(f"class {label} has {len(rows)} image; holding images out needs at least 2 of every class")
        test.append(rows[: min(max(1, round(held_out * len(rows))), len(rows) - 1)])
    held = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), held), held


def _npz(path: Path) -> Images | CodedImages:
    arrays = read_images(path)
    if "pixels" in arrays:
        return make_images(str(path), arrays["pixels"], arrays["labels"], arrays.get("weights"))
    return make_coded_images(
        str(path), arrays["codes"], arrays["labels"], arrays.get("weights"), arrays.get("codebook")
    )


def read_images(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz of images: labels, perhaps weights, and either pixels, or codes and perhaps a codebook.

    Raises:
        InputError: no such file, one that cannot be read, or other arrays in it.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected a .npz file with labels and pixels or codes")
    arrays = read_npz(path, "save numbers, not Python objects, with numpy.savez")
    known = {"labels", "weights", "pixels", "codes", "codebook"}
    if unknown := sorted(set(arrays) - known):
        raise InputError(f"{path} holds unknown arrays {unknown}; expected some of {sorted(known)}")
    if "labels" not in arrays:
        raise InputError(f"{path} holds no labels; add an integer array labels (N,)")
    if ("pixels" in arrays) == ("codes" in arrays):
        raise InputError(f"{path} must hold either pixels or codes, one and only one of them")
    if "pixels" in arrays and "codebook" in arrays:
        raise InputError(f"{path} holds pixels and a codebook; a codebook goes with codes only: remove it")
    return arrays


def _values(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    """An array as float64 of finite numbers that can be squared and summed."""
    array = _finite(array, name)
    size = np.maximum(array.max(initial=0), -array.min(initial=0))
    if size > LARGEST_VALUE:
        where = tuple(int(i) for i in np.argwhere(np.abs(array) == size)[0])
        raise InputError(
            f"{name} contains {array[where]:g} at {where}; expected numbers of a size of at most {LARGEST_VALUE:g}: "
            "scale them, such as to 0 to 1"
        )
    return array


def _finite(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise InputError(f"{name} has dtype {array.dtype}; expected real numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"{name} contains {array[where]} at {where}; every value must be finite: drop or impute those images"
        )
    return array


def _labels(labels: NDArray[Any], images: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if labels.ndim != 1 or len(labels) != images:
        raise InputError(f"labels has shape {labels.shape} for {images} images; expected ({images},)")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels has dtype {labels.dtype}; expected integers (number the classes from 0)")
    classes, classed = np.unique(labels, return_inverse=True)
    return tuple(str(name) for name in classes), classed.astype(np.int64)


def _weights(weights: NDArray[Any] | None, images: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    if weights is None:
        return np.ones(images, dtype=bool), np.full(images, 1.0 / images)
    if weights.shape != (images,):
        raise InputError(f"weights has shape {weights.shape} for {images} images; expected ({images},)")
    weights = _finite(weights, "weights")
    if weights.min() < 0:
        raise InputError(
            f"weights contains {weights.min():g} at {int(weights.argmin())}; a weight is a probability mass, at least 0"
        )
    if weights.max() == 0:
        raise InputError("weights sum to 0; at least one image needs a positive weight")
    weights = weights / weights.max()
    if weights[weights > 0].min() < SMALLEST_WEIGHT:
        raise InputError(
            f"weights span a factor of more than {1 / SMALLEST_WEIGHT:g}; set those that do not matter to 0"
        )
    return weights > 0, weights / weights.sum()
