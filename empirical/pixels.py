"""Images as they are, in bytes on the device that trains, cropped and flipped there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from maskgraph.empirical.augment import Augmentation, Draws
from maskgraph.empirical.data import Batch, Rows
from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.placed import placed
from maskgraph.empirical.randaugment import Fill
from maskgraph.graphs.arrays import check_channels_last, finite_values
from maskgraph.graphs.errors import InputError, check_type, is_whole, kind_of
from maskgraph.graphs.patches import check_patch


@dataclass(frozen=True)
class Pixels:
    """Images to train on or to judge by.

    Attributes:
        name: what the user asked for.
        pixels: (N, H, W, C) uint8; `pixels / full` runs from 0 to 1. Square, H = W.
        full: the byte that stands for 1.
        labels: (N,) int64 in 0..K-1.
        patch: side of a patch in pixels; divides H.
        mean: (C,) float64, taken from the images before a model sees them.
        std: (C,) float64, positive; they are divided by it then.
        augmentation: what is done to them in training.
    """

    name: str
    pixels: NDArray[np.uint8]
    full: int
    labels: NDArray[np.int64]
    patch: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """See that the images can be cut into patches, and that all else is of them."""
        check_type(self.name, str, "name the images in a string")
        check_bytes(self.pixels, self.name)
        count, *_, channels = self.pixels.shape
        if len(self.labels) != count:
            raise InputError(f"{self.name} has {count} images and {len(self.labels)} labels; expected one an image")
        check_labels(self.labels, self.name)
        _check_full(self.pixels, self.full, self.name)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if np.shape(values) != (channels,):
                raise InputError(f"{name} of shape {np.shape(values)}; expected ({channels},), a number a channel")
            finite_values(values, name)
        if not np.min(self.std) > 0:
            raise InputError(f"std {np.asarray(self.std).tolist()} of {self.name}; expected numbers above 0")
        check_type(self.augmentation, Augmentation, "give Augmentation(crop, flip=...), or leave it out")
        height, width = self.pixels.shape[1:3]
        if height != width:
            raise InputError(
                f"{self.name} has images of {height}x{width} pixels; expected square ones: pad or cut them"
            )
        check_patch(self.patch, height, width)
        check_unit(self.mean, self.name)

    @property
    def channels(self) -> int:
        """C."""
        return int(self.pixels.shape[3])

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the patches."""
        _, height, width, _ = self.pixels.shape
        return height // self.patch, width // self.patch

    @property
    def patch_dim(self) -> int:
        """Values of a patch: side²·channels."""
        return self.patch**2 * self.channels

    def digest(self) -> str:
        """A fingerprint of all that a network sees of them: pixels, normalisation, patch and augmentation."""
        how = repr((self.full, self.patch, self.augmentation)).encode()
        return fingerprint(how, self.pixels, self.mean, self.std)

    def data_digest(self) -> str:
        """A fingerprint of what they are, images and labels, whatever is done to them."""
        return fingerprint(repr((self.full, self.pixels.shape)).encode(), self.pixels, self.labels)


def check_bytes(pixels: object, name: str) -> None:
    """Raise InputError for anything but an array (N, H, W, C) of bytes."""
    if not isinstance(pixels, np.ndarray):
        raise InputError(f"{name} is {kind_of(pixels)}; expected an array (N, H, W, C), as load_stored(name).pixels is")
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise InputError(f"{name} has shape {pixels.shape} and dtype {pixels.dtype}; expected (N, H, W, C) of uint8")
    check_channels_last(pixels, name)


def _check_full(pixels: NDArray[np.uint8], full: Any, name: str) -> None:
    largest = int(pixels.max(initial=1))
    if not is_whole(full) or not largest <= full <= 255:
        raise InputError(f"full {full!r} of {name}; expected the byte that stands for 1, {largest} to 255")


def check_labels(labels: object, name: str) -> None:
    """Raise InputError for anything but an array of integers from 0: what classifies answers at these places."""
    expected = "expected an array (N,) of integers from 0"
    if not isinstance(labels, np.ndarray):
        raise InputError(f"labels of {name} are {kind_of(labels)}; {expected}")
    if labels.ndim != 1:
        raise InputError(f"labels of {name} have shape {labels.shape}; {expected}")
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels of {name} have dtype {labels.dtype}; {expected}")
    if labels.min(initial=0) < 0:
        raise InputError(f"labels of {name} contain {labels.min()}; {expected}")


def check_unit(mean: ArrayLike, name: str) -> None:
    """Raise InputError for a mean of bytes: it is taken from numbers from 0 to 1, and nothing would be left of them."""
    values = np.asarray(mean)
    if values.dtype.kind in "iuf" and (values.min() < 0 or values.max() > 1):
        raise InputError(
            f"mean {values.tolist()} of {name}; expected numbers from 0 to 1, the unit of pixels over the byte that "
            "stands for 1, and std in the same"
        )


def channel_statistics(pixels: NDArray[np.uint8], full: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C,) mean and standard deviation of the channels of (N, H, W, C) bytes over `full`; 1 where a channel is flat.

    Raises:
        InputError: something else than bytes, none, or brighter ones than `full`.
    """
    check_bytes(pixels, "pixels")
    if not pixels.size:
        raise InputError(f"pixels of shape {pixels.shape} have no mean; expected at least one image")
    _check_full(pixels, full, "pixels")
    mean, std = [], []
    for channel in range(pixels.shape[3]):
        # Exact: at most 2⁶³/255² pixels.
        counts = np.bincount(pixels[..., channel].ravel(), minlength=256).astype(np.float64)
        values = np.arange(256) / full
        mean.append(counts @ values / counts.sum())
        spread = np.sqrt(counts @ (values - mean[-1]) ** 2 / counts.sum())
        std.append(spread if spread > 0 else 1.0)
    return np.array(mean), np.array(std)


class PixelSet:
    """Images that live on a device as one tensor of bytes."""

    def __init__(self, images: Pixels, device: torch.device) -> None:
        self.images, self.device = images, device
        self.grid, self.patch_dim = images.grid, images.patch_dim
        # A copy where no tensor stands on the array: it is read backwards, or read-only, or mapped from a file.
        pixels = np.require(images.pixels, requirements=("C", "W"))
        self._pixels = torch.as_tensor(pixels, device=device).permute(0, 3, 1, 2).contiguous()
        factor, shift = self._scale = normaliser(images.mean, images.std, images.full, device)
        self._ends = (shift, images.full * factor + shift)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images.pixels)

    def draw(self, rng: np.random.Generator, size: int) -> Draws:
        """What chance has to say about the augmentation of `size` images."""
        return self.images.augmentation.draw(rng, size)

    def prepare(self, rows: Rows, draws: Draws) -> None:
        """Nothing: all images are here."""

    def prepare_whole(self, rows: Rows) -> None:
        """Nothing: all images are here."""

    def batch(self, rows: Rows, kept: Rows, dropped: Rows, draws: Draws) -> Batch:
        """Images under masks (see `TrainingSet.batch`)."""
        return masked(patchified(self.augmented(rows, draws), self.images.patch), kept, dropped)

    def augmented(self, rows: Rows, draws: Draws) -> Tensor:
        """(B, C, H, W) images as they are trained on, of mean 0 and deviation 1."""
        augmentation = self.images.augmentation
        if not augmentation.randaugment:
            changed = augmentation.apply(self._images(rows), draws)
            # Bicubic interpolation overshoots at edges.
            return changed if augmentation.crop is None else changed.clamp(*self._ends)
        images = self._pixels[placed(rows, self.device)] * (255 / self.images.full)
        cut = augmentation.apply(images, draws).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        fill = filling(self.images.mean)
        distorted = [augmentation.distort(image, draws[at : at + 1], fill) for at, image in enumerate(cut)]
        factor, shift = normaliser(self.images.mean, self.images.std, 255, self.device)
        return placed(np.stack(distorted), self.device).permute(0, 3, 1, 2) * factor + shift

    def whole(self, rows: Rows) -> Tensor:
        """(B, n, s) all patches of images as they are, without augmentation."""
        return patchified(self._images(rows), self.images.patch)

    def _images(self, rows: Rows) -> Tensor:
        factor, shift = self._scale
        return self._pixels[placed(rows, self.device)] * factor + shift


def masked(patches: Tensor, kept: Rows, dropped: Rows) -> Batch:
    """Patches (B, n, s) under masks: shown, asked for, and where they are.

    Args:
        patches: all of each image, in raster order.
        kept: (B, n1).
        dropped: (B, n2).
    """
    at, slots = (placed(side, patches.device) for side in (kept, dropped))
    visible, target = (patches.gather(1, side[:, :, None].expand(-1, -1, patches.shape[2])) for side in (at, slots))
    return Batch(visible, target, at, slots, torch.ones(len(patches), device=patches.device))


def patchified(images: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) to (B, n, s): patches in raster order, the values of each by row, column and channel."""
    batch, channels, height, width = images.shape
    cut = images.reshape(batch, channels, height // patch, patch, width // patch, patch).permute(0, 2, 4, 3, 5, 1)
    return cut.reshape(batch, -1, patch * patch * channels)


def filling(mean: Sequence[float] | NDArray[np.float64]) -> Fill:
    """The mean of each channel as a byte: what stands where an image was moved away from."""
    return tuple(min(255, round(255 * float(value))) for value in mean)


def normaliser(
    mean: Sequence[float] | NDArray[np.float64],
    std: Sequence[float] | NDArray[np.float64],
    full: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Factor and shift, (C, 1, 1) float32 each: bytes times the one plus the other are what a model sees."""
    m, s = np.asarray(mean), np.asarray(std)
    factor, shift = 1 / (full * s), -m / s
    as_column = [torch.as_tensor(v, dtype=torch.float32, device=device)[:, None, None] for v in (factor, shift)]
    return as_column[0], as_column[1]
