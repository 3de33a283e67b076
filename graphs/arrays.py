"""What arrays have to be before they become images: every check that names one of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskgraph.graphs.errors import InputError

SMALLEST_WEIGHT = 1e-100
"""Least positive weight relative to the largest: masses are divided by square roots and squared further on."""

LARGEST_VALUE = 1e15
"""Largest size of a pixel or of a patch value: models square and sum them in float32, which ends at 3e38."""

CHANNELS = (1, 3, 4)
"""How many channels images have; an axis as long before a plane is one of channels."""


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """A list, a tensor or whatever else numpy takes as it is, as an array.

    Raises:
        InputError: what numpy does not take.
    """
    try:
        return np.asarray(values)
    # Lists of several lengths and tensors with a gradient, on a GPU or of a dtype of their own fail in many ways.
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{name} is a {type(values).__name__} that makes no array ({reason}); expected a numpy array, which of a "
            f"tensor is {name}.detach().cpu().numpy(), of a dtype that numpy has"
        ) from error


def as_pixels(values: ArrayLike) -> NDArray[Any]:
    """Pixels with an axis for their channels.

    Args:
        values: (N, H, W) or (N, H, W, C).

    Returns:
        (N, H, W, C), of any dtype.

    Raises:
        InputError: another shape, nothing in it, or channels that stand before rows and columns.
    """
    pixels = as_array(values, "pixels")
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise InputError(f"pixels has shape {pixels.shape}; expected a non-empty (N, H, W) or (N, H, W, C) array")
    check_channels_last(pixels, "pixels")
    return pixels


def check_channels_last(pixels: NDArray[Any], name: str) -> None:
    """Raise InputError for (N, C, H, W), as tensors of images are, in the place of (N, H, W, C)."""
    _, channels, height, width = pixels.shape
    # A row of pixels with a few channels has an axis as short; a plane that is not square has none.
    if channels in CHANNELS and (height == width > channels or min(height, width) > max(CHANNELS)):
        raise InputError(
            f"{name} has shape {pixels.shape}; expected (N, H, W, C) and this looks like (N, C, H, W): transpose it, "
            "pixels.transpose(0, 2, 3, 1)"
        )


def finite_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """An array as float64 of finite numbers that can be squared and summed.

    Raises:
        InputError: naming the first value that is none.
    """
    array = _finite(values, name)
    size = np.maximum(array.max(initial=0), -array.min(initial=0))
    if size > LARGEST_VALUE:
        where = tuple(int(i) for i in np.argwhere(np.abs(array) == size)[0])
        raise InputError(
            f"{name} contains {array[where]:g} at {where}; expected numbers of a size of at most {LARGEST_VALUE:g}: "
            "scale them, such as to 0 to 1"
        )
    return array


def white(pixels: NDArray[Any], name: str) -> int:
    """The number that stands for 1 in pixels from a file: 1, or the largest of bytes.

    No file says which byte is white, and what is done to images has to know: those of 0 to 16 are no dark ones.

    Args:
        pixels: real, finite numbers, at least one.
        name: of the file.

    Raises:
        InputError: other numbers than bytes from 0 to 255 or those from 0 to 1.
    """
    low, high = float(pixels.min()), float(pixels.max())
    whole = high > 1 and bool(pixels.dtype.kind in "iu" or (pixels == np.rint(pixels)).all())
    if low < 0 or high > (255 if whole else 1):
        raise InputError(
            f"pixels of {name} go from {low:g} to {high:g}; expected bytes from 0 to 255, or numbers from 0 to 1"
        )
    return int(high) if whole else 1


def class_labels(values: ArrayLike, images: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes that labels are of, and (N,) indices into them.

    Raises:
        InputError: labels of another shape or dtype, or below 0.
    """
    labels = as_array(values, "labels")
    if labels.ndim != 1 or len(labels) != images:
        raise InputError(f"labels has shape {labels.shape} for {images} images; expected ({images},)")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels has dtype {labels.dtype}; expected integers (number the classes from 0)")
    if labels.min() < 0:
        raise InputError(
            f"labels contains {labels.min()} at {int(labels.argmin())}, the usual mark of an image without a label; "
            "leave those images out, or number the classes from 0"
        )
    classes, classed = np.unique(labels, return_inverse=True)
    return tuple(str(name) for name in classes), classed.astype(np.int64)


def masses(values: ArrayLike | None, images: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which of N images have a positive weight, (N,), and the (N,) weights, which sum to 1; equal where none are given.

    Raises:
        InputError: weights of another shape, below 0, all 0, or too far apart to be computed with.
    """
    if values is None:
        return np.ones(images, dtype=bool), np.full(images, 1.0 / images)
    weights = as_array(values, "weights")
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


def as_grid(values: ArrayLike, patches: int) -> tuple[int, int]:
    """(rows, columns) of n patches.

    Raises:
        InputError: anything but two positive integers whose product is n.
    """
    grid = as_array(values, "grid")
    if grid.shape != (2,) or not np.issubdtype(grid.dtype, np.integer) or grid.min() < 1 or grid.prod() != patches:
        raise InputError(
            f"grid {grid.tolist()} of {patches} patches; expected two integers, rows and columns, whose product is "
            f"{patches}"
        )
    return int(grid[0]), int(grid[1])


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = as_array(values, name)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise InputError(f"{name} has dtype {array.dtype}; expected real numbers")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(
            f"{name} contains {array[where]} at {where}; every value must be finite: drop or impute those images"
        )
    return array
