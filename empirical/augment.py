"""Random resized crops and flips, drawn for a whole batch at once and made where the images are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.placed import placed
from maskgraph.empirical.randaugment import COLUMNS, LAYERS, Fill, distorted
from maskgraph.empirical.typed import settle
from maskgraph.graphs.errors import InputError

TRIES = 10
"""Crops that are tried before the middle of the image is taken, as torchvision's RandomResizedCrop has it."""

ASPECT = (3 / 4, 4 / 3)
"""Least and largest ratio of width to height of a crop."""

Draws = NDArray[np.float64]
"""(B, 4·TRIES + 1) independent uniform numbers in [0, 1), whatever the sizes of the images will be; with RandAugment
(B, 4·TRIES + 1 + 8)."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to an image before it is masked.

    Attributes:
        crop: least and largest share of the image's area that is cut out and enlarged; None: no crop.
        flip: whether an image is mirrored, left to right, with a probability of 1/2.
        randaugment: magnitude of the operations that follow (see `randaugment`); 0: none.
    """

    crop: tuple[float, float] | None = None
    flip: bool = False
    # Of fine-tuning alone, whose recipe says so; what training has seen keeps its fingerprint.
    randaugment: float = field(default=0.0, repr=False)

    def __post_init__(self) -> None:
        """See that the shares are shares."""
        settle(self)
        crop_shares(self.crop or (), "crop")

    def draw(self, rng: np.random.Generator, size: int) -> Draws:
        """What chance has to say about `size` images; no columns where nothing is random."""
        if self.randaugment:
            return rng.random((size, 4 * TRIES + 1 + LAYERS * COLUMNS))
        return rng.random((size, 4 * TRIES + 1 if self.crop is not None or self.flip else 0))

    def boxes(self, draws: Draws, height: int, width: int) -> NDArray[np.float64]:
        """The parts of images that are cut out.

        Args:
            draws: as `draw` gives them, of B images.
            height: of these images, in pixels.
            width: likewise.

        Returns:
            (B, 4) left, top, width and height in whole pixels.
        """
        whole = np.tile([0.0, 0.0, width, height], (len(draws), 1))
        if self.crop is None:
            return whole
        area, aspect, x, y = np.split(draws[:, : 4 * TRIES], 4, axis=1)
        wanted = height * width * (self.crop[0] + area * (self.crop[1] - self.crop[0]))
        ratio = np.exp(math.log(ASPECT[0]) + aspect * math.log(ASPECT[1] / ASPECT[0]))
        w, h = np.rint(np.sqrt(wanted * ratio)), np.rint(np.sqrt(wanted / ratio))
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        first = fits.argmax(axis=1)
        rows = np.arange(len(draws))
        w, h, x, y = (values[rows, first] for values in (w, h, x, y))
        cut = np.stack([np.floor(x * (width - w + 1)), np.floor(y * (height - h + 1)), w, h], axis=1)
        return np.where(fits[rows, first][:, None], cut, _middle(height, width))

    def mirrored(self, draws: Draws) -> NDArray[np.bool_]:
        """(B,) whether each image is mirrored."""
        return draws[:, 4 * TRIES] < 0.5 if self.flip else np.zeros(len(draws), dtype=bool)

    def distort(self, image: NDArray[np.uint8], draws: Draws, fill: Fill) -> NDArray[np.uint8]:
        """RandAugment of one image, after crop and flip; the image itself where none is asked for.

        Args:
            image: (H, W, C).
            draws: (1, ·) as `draw` gives them.
            fill: what stands where nothing was, a byte a channel.
        """
        if not self.randaugment:
            return image
        return distorted(image, draws[0, 4 * TRIES + 1 :], self.randaugment, fill)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Crop, enlarge by bicubic interpolation to the size it was, mirror.

        Args:
            images: (B, C, H, W) of a floating type.
            draws: as `draw` gives them.

        Returns:
            (B, C, H, W) on the same device.
        """
        if self.crop is None and not self.flip:
            return images
        height, width = images.shape[2:]
        cut = placed(self.boxes(draws, height, width), images.device)
        left, top, w, h = cut.T
        across, rows = _interpolation(left, w, width), _interpolation(top, h, height)
        mirrored = placed(self.mirrored(draws), images.device)[:, None, None]
        columns = torch.where(mirrored, across.flip(1), across)
        rows, columns = (matrix.to(images.dtype)[:, None] for matrix in (rows, columns))
        return rows @ images @ columns.mT


def crop_shares(shares: tuple[float, ...], key: str) -> tuple[float, float] | None:
    """Least and largest share of an image's area that a crop has; None where there are none.

    Args:
        shares: two, or none.
        key: what they are called, for the message.

    Raises:
        InputError: other than two, or no shares.
    """
    if not shares:
        return None
    if len(shares) != 2 or not 0 < shares[0] <= shares[1] <= 1:
        raise InputError(
            f"{key} [{', '.join(f'{share:g}' for share in shares)}]; expected the least and the largest share of the "
            "area, such as [0.2, 1], or nothing"
        )
    return shares[0], shares[1]


def _interpolation(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices that enlarge a part of a line to all of it, bicubic with a = -1/2 (Keys 1981), as Pillow has it.

    What is beyond the part has no weight, and the others sum to 1.

    Args:
        start: (B,) float64, first pixel of each part.
        length: (B,) float64, its pixels, at most `size`.
        size: pixels of the line.

    Returns:
        (B, size, size) float64 from the pixels of the line to those of the enlarged part, where the parts are.
    """
    pixel = torch.arange(size, dtype=torch.float64, device=start.device)
    place = start[:, None] + (pixel + 0.5) * (length / size)[:, None]
    distance = (pixel + 0.5 - place[:, :, None]).abs()
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    within = (pixel >= start[:, None]) & (pixel < (start + length)[:, None])
    weight = weight * within[:, None]
    return weight / weight.sum(dim=2, keepdim=True)


def _middle(height: int, width: int) -> list[float]:
    """The largest box in the middle whose ratio of sides is allowed."""
    w = min(width, round(height * ASPECT[1]))
    h = min(height, round(width / ASPECT[0]))
    return [(width - w) // 2, (height - h) // 2, w, h]
