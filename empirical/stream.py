"""Images that do not fit into memory: read by threads one step ahead of the training."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.augment import Augmentation, Draws
from maskgraph.empirical.data import Batch, Rows
from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.pixels import (
    Pixels,
    PixelSet,
    check_labels,
    check_unit,
    filling,
    masked,
    normaliser,
    patchified,
)
from maskgraph.empirical.readers import ChosenReader, Reader
from maskgraph.graphs.arrays import finite_values
from maskgraph.graphs.errors import InputError, check_type, is_whole, kind_of
from maskgraph.graphs.patches import check_patch

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet, as every published model takes them."""


@dataclass(frozen=True)
class Stream:
    """Images to train on or to judge by, read when they are needed.

    Attributes:
        name: what the user asked for.
        reader: where they come from.
        labels: (N,) int64 in 0..K-1.
        size: side of an image in pixels.
        channels: C.
        patch: side of a patch; divides the size.
        mean: (C,), taken from the images before a model sees them.
        std: (C,), positive; they are divided by it then.
        augmentation: what is done to them in training.
        workers: threads that read.
    """

    name: str
    reader: Reader
    labels: NDArray[np.int64]
    size: int
    channels: int
    patch: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    augmentation: Augmentation = field(default_factory=Augmentation)
    workers: int = 4

    def __post_init__(self) -> None:
        """See that the images can be cut into patches and be read, and that each has its label."""
        for name, number in (("size", self.size), ("channels", self.channels), ("workers", self.workers)):
            if not is_whole(number) or number < 1:
                raise InputError(f"{name} {number!r} of {self.name}; expected an integer of at least 1")
        check_patch(self.patch, self.size, self.size)
        if not isinstance(self.reader, Reader):
            raise InputError(
                f"the reader of {self.name} is {kind_of(self.reader)}; expected one, such as DatasetReader(dataset)"
            )
        if np.shape(self.labels)[:1] != (len(self.reader),):
            raise InputError(
                f"labels has shape {np.shape(self.labels)} for the {len(self.reader)} images of {self.name}; expected "
                f"({len(self.reader)},): some of the images are take(stream, rows)"
            )
        check_labels(self.labels, self.name)
        if not np.shape(self.mean) == np.shape(self.std) == (self.channels,) or min(self.std) <= 0:
            raise InputError(
                f"mean {self.mean} and std {self.std} of {self.channels} channels; expected one each, std above 0"
            )
        check_unit(self.mean, self.name)
        # Of one type each, however they were given: a fingerprint is of what they are written as.
        plain = {name: tuple(finite_values(getattr(self, name), name).tolist()) for name in ("mean", "std")}
        for name, value in (plain | {name: int(getattr(self, name)) for name in ("size", "channels", "patch")}).items():
            object.__setattr__(self, name, value)
        check_type(self.augmentation, Augmentation, "give Augmentation(crop, flip=...), or leave it out")

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the patches."""
        return (self.size // self.patch,) * 2

    @property
    def patch_dim(self) -> int:
        """Values of a patch: side²·channels."""
        return self.patch**2 * self.channels

    def digest(self) -> str:
        """A fingerprint of what is read and of how it is normalised, cut and augmented."""
        how = (self.size, self.patch, self.mean, self.std, self.augmentation, self.reader.digest())
        return fingerprint(repr(how).encode())

    def data_digest(self) -> str:
        """A fingerprint of what they are, as far as the reader tells it, and of their labels."""
        return fingerprint(self.reader.digest().encode(), self.labels)


def take(images: Pixels | Stream, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Pixels | Stream:
    """Some of the images, in the order of `rows` (N,), or those that a mask (N,) is true of."""
    rows = np.arange(len(images.labels))[rows]
    if isinstance(images, Pixels):
        return replace(images, pixels=images.pixels[rows], labels=images.labels[rows])
    return replace(images, reader=ChosenReader(images.reader, rows), labels=images.labels[rows])


def check_readable(images: Pixels | Stream) -> None:
    """See that every image can be read.

    Raises:
        InputError: naming the first that cannot.
    """
    if isinstance(images, Stream):
        pool = ThreadPoolExecutor(images.workers)
        try:
            for _ in pool.map(images.reader.check, range(len(images.labels))):
                pass
        finally:
            pool.shutdown(cancel_futures=True)


Reading = list[Future[NDArray[np.uint8]]]
"""Images on their way."""

Asked = tuple[NDArray[Any], ...]
"""What is read: rows, and as they are trained on what chance says of each; few images come in the same rows again."""


class StreamSet:
    """Images that are read by threads, those of the next batch while this one is trained on."""

    def __init__(self, images: Stream, device: torch.device) -> None:
        self.images, self.device = images, device
        self.grid, self.patch_dim = images.grid, images.patch_dim
        self._scale = normaliser(images.mean, images.std, 255, device)
        self._pool = ThreadPoolExecutor(images.workers)
        self._coming: list[tuple[Asked, Reading]] = []
        self._coming_whole: list[tuple[Asked, Reading]] = []

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images.labels)

    def draw(self, rng: np.random.Generator, size: int) -> Draws:
        """What chance has to say about the augmentation of `size` images."""
        return self.images.augmentation.draw(rng, size)

    def prepare(self, rows: Rows, draws: Draws) -> None:
        """Begin to read a batch that will be asked for."""
        self._coming.append(((rows, draws), self._read(rows, draws)))

    def prepare_whole(self, rows: Rows) -> None:
        """Begin to read images that will be asked for as they are judged."""
        self._coming_whole.append(((rows,), self._read_whole(rows)))

    def batch(self, rows: Rows, kept: Rows, dropped: Rows, draws: Draws) -> Batch:
        """Images under masks (see `TrainingSet.batch`)."""
        return masked(patchified(self.augmented(rows, draws), self.images.patch), kept, dropped)

    def augmented(self, rows: Rows, draws: Draws) -> Tensor:
        """(B, C, H, W) images as they are trained on, of mean 0 and deviation 1."""
        reading = _taken(self._coming, (rows, draws)) or self._read(rows, draws)
        return self._arrived([future.result() for future in reading])

    def whole(self, rows: Rows) -> Tensor:
        """(B, n, s) all patches of images as they are judged."""
        reading = _taken(self._coming_whole, (rows,)) or self._read_whole(rows)
        return patchified(self._arrived([future.result() for future in reading]), self.images.patch)

    def _read_whole(self, rows: Rows) -> Reading:
        return [self._pool.submit(self.images.reader.whole, row) for row in rows.tolist()]

    def _read(self, rows: Rows, draws: Draws) -> Reading:
        return [self._pool.submit(self._cut, row, draws[at : at + 1]) for at, row in enumerate(rows.tolist())]

    def _cut(self, row: int, draws: Draws) -> NDArray[np.uint8]:
        images = self.images
        image = images.reader.cut(row, images.augmentation, draws)
        return images.augmentation.distort(image, draws, filling(images.mean))

    def _arrived(self, read: list[NDArray[np.uint8]]) -> Tensor:
        wanted = (self.images.size, self.images.size, self.images.channels)
        for image in read:
            if image.shape != wanted:
                raise InputError(f"an image of {self.images.name} has shape {image.shape}; expected {wanted} for all")
        # Laid out where a copy to a GPU starts from without waiting (see `placed`).
        stacked = torch.empty((len(read), *wanted), dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        if read:
            np.stack(read, out=stacked.numpy())
        factor, shift = self._scale
        return stacked.to(self.device, non_blocking=True).permute(0, 3, 1, 2) * factor + shift


def _taken(coming: list[tuple[Asked, Reading]], asked: Asked) -> Reading | None:
    """The next batch that is on its way, if it is this one.

    Else what was prepared is of another step: a run that was resumed, or a measurement between two steps.
    """
    if not coming or not all(np.array_equal(*pair) for pair in zip(coming[0][0], asked, strict=True)):
        return None
    return coming.pop(0)[1]


def image_set(images: Pixels | Stream, device: torch.device) -> PixelSet | StreamSet:
    """Images in the form that batches are made of."""
    return PixelSet(images, device) if isinstance(images, Pixels) else StreamSet(images, device)
