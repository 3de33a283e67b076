"""Images that do not fit into memory: read by threads one step ahead of the training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

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
from maskgraph.graphs.arrays import finite_values
from maskgraph.graphs.errors import InputError, check_type, is_whole, kind_of
from maskgraph.graphs.folder import Folder, check_image, read_crop, read_image
from maskgraph.graphs.patches import check_patch

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet, as every published model takes them."""

MODES = ("L", "LA", "RGB", "RGBA", "F")
"""Of Pillow, those whose numbers are what the channels of an image are taken for."""


@runtime_checkable
class Reader(Protocol):
    """Where images come from; called from several threads at once."""

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def whole(self, row: int) -> NDArray[np.uint8]:
        """(size, size, C) the image as it is judged."""
        ...

    def cut(self, row: int, augmentation: Augmentation, draws: Draws) -> NDArray[np.uint8]:
        """(size, size, C) the image as it is trained on; `draws` is (1, ·), as `Augmentation.draw` gives them."""
        ...

    def check(self, row: int) -> None:
        """Raise InputError for an image that cannot be read."""
        ...

    def digest(self) -> str:
        """A fingerprint of what is read."""
        ...


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
        finite_values(self.mean, "mean")
        finite_values(self.std, "std")
        check_unit(self.mean, self.name)
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


@dataclass(frozen=True)
class FolderReader:
    """The images of a folder, cropped while they are read: a crop is of the image as it is on disk.

    Attributes:
        folder: its images by name.
        size: side of the answer in pixels.
    """

    folder: Folder
    size: int

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.folder.paths)

    def whole(self, row: int) -> NDArray[np.uint8]:
        """The middle of the image (see `read_image`)."""
        return read_image(self.folder.root / self.folder.paths[row], self.size)

    def cut(self, row: int, augmentation: Augmentation, draws: Draws) -> NDArray[np.uint8]:
        """A crop of the image (see `read_crop`), or its middle where none is asked for."""
        path = self.folder.root / self.folder.paths[row]
        if augmentation.crop is None:
            image = read_image(path, self.size)
        else:
            image = read_crop(path, self.size, lambda height, width: augmentation.boxes(draws, height, width)[0])
        return np.ascontiguousarray(image[:, ::-1]) if augmentation.mirrored(draws)[0] else image

    def check(self, row: int) -> None:
        """Raise InputError for an image that cannot be read (see `check_image`)."""
        check_image(self.folder.root / self.folder.paths[row])

    def digest(self) -> str:
        """A fingerprint of names, labels and size: a million images are not read to see that they are the same."""
        digest = hashlib.sha256(repr((self.size, self.folder.classes)).encode())
        # Names of files are bytes, of any encoding.
        digest.update("\0".join(self.folder.paths).encode(errors="surrogateescape"))
        digest.update(self.folder.labels.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class DatasetReader:
    """Any torch dataset whose items are (image, label), or images.

    An image is an array or a tensor of bytes, (H, W, C) or as a tensor (C, H, W), or of floats in [0, 1]; or a Pillow
    image of a mode in `MODES`. All are of one size. Whenever the dataset is asked for an item it gives the same image,
    by which a checkpoint knows it again: what is random belongs into an `Augmentation`.

    Attributes:
        dataset: what is indexed; from several threads at once.
    """

    dataset: Any

    def __post_init__(self) -> None:
        """See that it can be indexed."""
        # One that is iterated over may have a length.
        indexed = hasattr(self.dataset, "__len__") and hasattr(self.dataset, "__getitem__")
        if isinstance(self.dataset, IterableDataset) or not indexed:
            raise InputError(
                f"the dataset is {kind_of(self.dataset)}, which is not indexed; expected one with a length whose items "
                "are asked for by their number, no IterableDataset and no DataLoader"
            )

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.dataset)

    def whole(self, row: int) -> NDArray[np.uint8]:
        """The image as the dataset gives it."""
        try:
            item = self.dataset[row]
        except LookupError as error:
            raise InputError(
                f"the dataset, {kind_of(self.dataset)}, has no item {row} ({type(error).__name__}: {error}); expected "
                f"{len(self)} items that are asked for by their number, from 0"
            ) from error
        if isinstance(item, Mapping):
            raise InputError(
                f"an item of the dataset holds {', '.join(map(str, item))} by name; expected (image, label), or an "
                "image: give a dataset that returns the one that is the image"
            )
        return as_bytes(item[0] if isinstance(item, tuple | list) else item)

    def cut(self, row: int, augmentation: Augmentation, draws: Draws) -> NDArray[np.uint8]:
        """A crop of it, enlarged to the size it was."""
        # A copy: no tensor stands on an array that is read backwards, as a mirrored image, or read-only, as Pillow's.
        image = torch.as_tensor(np.array(self.whole(row), order="C")).permute(2, 0, 1)[None].float()
        changed = augmentation.apply(image, draws)[0].permute(1, 2, 0)
        return np.asarray(changed.round().clamp(0, 255).to(torch.uint8).numpy())

    def check(self, row: int) -> None:
        """Raise InputError for an image in a form that is not known."""
        self.whole(row)

    def digest(self) -> str:
        """A fingerprint of its first and its last image and of how many there are."""
        digest = hashlib.sha256(str(len(self.dataset)).encode())
        for row in (0, len(self.dataset) - 1):
            digest.update(np.ascontiguousarray(self.whole(row)).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ChosenReader:
    """Some images of another reader.

    Attributes:
        reader: the other.
        rows: (N,) int64, which of its images.
    """

    reader: Reader
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.rows)

    def whole(self, row: int) -> NDArray[np.uint8]:
        """The image as it is judged."""
        return self.reader.whole(int(self.rows[row]))

    def cut(self, row: int, augmentation: Augmentation, draws: Draws) -> NDArray[np.uint8]:
        """The image as it is trained on (see `Reader.cut`)."""
        return self.reader.cut(int(self.rows[row]), augmentation, draws)

    def check(self, row: int) -> None:
        """Raise InputError for an image that cannot be read."""
        self.reader.check(int(self.rows[row]))

    def digest(self) -> str:
        """A fingerprint of what is read."""
        return hashlib.sha256(self.reader.digest().encode() + self.rows.tobytes()).hexdigest()


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


def as_bytes(image: Any) -> NDArray[np.uint8]:
    """(H, W, C) uint8 of an image in any of the forms that `DatasetReader` takes.

    Raises:
        InputError: another form, another mode of Pillow, or floats outside of [0, 1].
    """
    array = np.asarray(_values(image))
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not array.size:
        raise InputError(f"an image of the dataset has shape {array.shape}; expected (H, W, C), or a tensor (C, H, W)")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not (array.min() >= 0 and array.max() <= 1):
        raise InputError(
            f"an image of the dataset has dtype {array.dtype} and values from {array.min():g} to {array.max():g}; "
            "expected bytes, or floats from 0 to 1: leave the normalisation to maskgraph"
        )
    return np.asarray(np.rint(array * 255), dtype=np.uint8)


def _values(image: Any) -> Any:
    """A tensor as numpy can have it; all else as it is.

    Raises:
        InputError: a Pillow image whose numbers are no grey values and no colours as they are.
    """
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image.permute(1, 2, 0) if image.ndim == 3 else image
        # numpy has no bfloat16.
        return image.float() if image.dtype == torch.bfloat16 else image
    # Numbers of a palette are places in it, and those of YCbCr, HSV and Lab would be taken for red, green and blue.
    mode = getattr(image, "mode", None)
    if isinstance(mode, str) and mode not in MODES:
        raise InputError(f"an image of the dataset has the mode {mode}; expected RGB or L: image.convert('RGB')")
    return image


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
