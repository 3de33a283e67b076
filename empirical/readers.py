"""Where the images of a stream come from: a folder, a torch dataset, some of another reader's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from maskgraph.empirical.augment import Augmentation, Draws
from maskgraph.graphs.errors import InputError, kind_of
from maskgraph.graphs.folder import Folder, check_image, read_crop, read_image

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
