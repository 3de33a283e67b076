"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719) as published recipes of MAE and SimMIM have it, m9-mstd0.5-inc1.

Two of fifteen operations of Pillow, drawn with replacement, each done in half of the cases and the stronger the larger
its magnitude.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

LAYERS = 2
"""Operations that are drawn for an image."""

COLUMNS = 4
"""Numbers that chance gives for each: which, whether, its magnitude, its direction."""

LARGEST, SPREAD = 10.0, 0.5
"""The largest magnitude, and the deviation of the normal distribution that it is drawn from."""

Fill = tuple[int, ...]
"""What stands where nothing was, a byte a channel."""

Operation = Callable[[Image.Image, float, float, Fill], Image.Image]
"""Of an image, the share of the largest magnitude, a sign and the fill."""


def distorted(image: NDArray[np.uint8], draws: NDArray[np.float64], magnitude: float, fill: Fill) -> NDArray[np.uint8]:
    """An image after its operations.

    Args:
        image: (H, W, C) with one or three channels.
        draws: (LAYERS * COLUMNS,) independent uniform numbers in [0, 1).
        magnitude: mean of the magnitudes, up to 10; published: 9.
        fill: what stands where nothing was.
    """
    changed = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    for which, whether, place, direction in draws.reshape(LAYERS, COLUMNS).tolist():
        if whether >= 0.5:
            continue
        drawn = NormalDist(magnitude, SPREAD).inv_cdf(min(max(place, 1e-12), 1 - 1e-12))
        level = min(max(drawn, 0.0), LARGEST) / LARGEST
        name = NAMES[int(which * len(NAMES))]
        changed = OPERATIONS[name](changed, level, 1.0 if direction < 0.5 else -1.0, fill)
    return np.asarray(changed, dtype=np.uint8).reshape(image.shape)


def _moved(image: Image.Image, fill: Fill, *matrix: float) -> Image.Image:
    """Each pixel from where the first two rows of an affine map put it."""
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC, fillcolor=_colour(fill)
    )


def _turned(image: Image.Image, degrees: float, fill: Fill) -> Image.Image:
    return image.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=_colour(fill))


def _colour(fill: Fill) -> Any:
    """As Pillow has it: of one channel it is a number."""
    return fill if len(fill) > 1 else fill[0]


def _coarser(image: Image.Image, bits: int) -> Image.Image:
    """Keep the highest bits of each value, also none, which Pillow's own refuses."""
    step = 2 ** (8 - bits)
    return image.point([value // step * step for value in range(256)] * len(image.getbands()))


def _brighter_up_to(image: Image.Image, level: float) -> Image.Image:
    """Add to what is below the middle."""
    added = int(110 * level)
    table = [min(255, value + added) if value < 128 else value for value in range(256)]
    return image.point(table * len(image.getbands()))


def _enhanced(kind: Callable[[Image.Image], Any]) -> Operation:
    def enhance(image: Image.Image, level: float, sign: float, _: Fill) -> Image.Image:
        changed: Image.Image = kind(image).enhance(1 + sign * 0.9 * level)
        return changed

    return enhance


OPERATIONS: dict[str, Operation] = {
    "auto-contrast": lambda image, *_: ImageOps.autocontrast(image),
    "equalise": lambda image, *_: ImageOps.equalize(image),
    "invert": lambda image, *_: ImageOps.invert(image),
    "rotate": lambda image, level, sign, fill: _turned(image, sign * 30 * level, fill),
    "posterise": lambda image, level, *_: _coarser(image, 4 - int(4 * level)),
    "solarise": lambda image, level, *_: ImageOps.solarize(image, 256 - int(256 * level)),
    "solarise-add": lambda image, level, *_: _brighter_up_to(image, level),
    "colour": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear-x": lambda image, level, sign, fill: _moved(image, fill, 1, sign * 0.3 * level, 0, 0, 1, 0),
    "shear-y": lambda image, level, sign, fill: _moved(image, fill, 1, 0, 0, sign * 0.3 * level, 1, 0),
    "move-x": lambda image, level, sign, fill: _moved(image, fill, 1, 0, sign * 0.45 * level * image.width, 0, 1, 0),
    "move-y": lambda image, level, sign, fill: _moved(image, fill, 1, 0, 0, 0, 1, sign * 0.45 * level * image.height),
}
"""By name; those that have a strength grow with it."""

NAMES = list(OPERATIONS)
