"""A dataset in three parts that are never mixed, in memory or read as it is needed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.augment import Augmentation, crop_shares
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.probes import check_classes
from maskgraph.empirical.readers import FolderReader
from maskgraph.empirical.stream import Stream, take
from maskgraph.empirical.typed import settle
from maskgraph.graphs.arrays import as_pixels, white
from maskgraph.graphs.datasets import make_images, read_images, split_rows
from maskgraph.graphs.errors import InputError, as_path, check_type, unknown
from maskgraph.graphs.folder import Folder, list_folder
from maskgraph.graphs.seeds import check_seed
from maskgraph.graphs.stored import HAS_TEST, STORED, Stored, check_data_dir, load_stored

FOLDER = "folder"
"""The dataset that is a folder of images, train/CLASS/ and val/CLASS/, as ImageNet is kept."""


@dataclass(frozen=True)
class DataPlan:
    """What is trained on and judged by.

    Attributes:
        dataset: digits, fashion-mnist, cifar10, cifar100; the path of a .npz with `pixels` (N, H, W[, C]), numbers from
            0 to 1, or bytes, the largest of which stands for 1, and `labels` (N,); or folder: train/CLASS/ and
            val/CLASS/ with images.
        patch: side of a patch in pixels.
        image_size: side that images of a folder are brought to; all others have their own.
        crop: least and largest share of an image's area that training cuts out; empty: no crop.
        flip: whether training mirrors an image with a probability of 1/2.
        images: how many images of the training part are used, of each class its share; None for all.
        validation: share of each class held out of the training part to choose regularisers and to draw curves by.
        held_out: share of each class held out for the scores, where the dataset has no test part.
        readers: threads that read the images of a folder.
    """

    dataset: str
    patch: int
    image_size: int | None = None
    crop: tuple[float, ...] = ()
    flip: bool = False
    images: int | None = None
    validation: float = 0.1
    held_out: float = 0.3
    readers: int = 8

    def __post_init__(self) -> None:
        """See that it holds what its types say."""
        settle(self)

    @property
    def augmentation(self) -> Augmentation:
        """What training does to an image.

        Raises:
            InputError: a crop that is none.
        """
        return Augmentation(crop_shares(self.crop, "crop"), self.flip)


@dataclass(frozen=True)
class Parts:
    """A dataset in three parts that are never mixed.

    Attributes:
        train: what networks and probes are fitted on.
        validation: what regularisers are chosen and curves are drawn by; of the dataset's training part.
        test: what scores are of.
    """

    train: Pixels | Stream
    validation: Pixels | Stream
    test: Pixels | Stream

    def digests(self) -> dict[str, str]:
        """A fingerprint of the images and labels of each part; of a folder's, their names stand for the images."""
        return {part.name: getattr(self, part.name).data_digest() for part in dataclasses.fields(self)}


def check_data(data: DataPlan) -> None:
    """Raise InputError naming the first value that no dataset can be parted by."""
    for name, share in (("validation", data.validation), ("held_out", data.held_out)):
        if not 0 < share < 1:
            raise InputError(f"{name} {share:g}; expected a share of the images in (0, 1), such as 0.1")
    if data.dataset not in (*STORED, FOLDER) and not data.dataset.endswith(".npz"):
        also = " (with --data-dir naming the folder of images), or the path of a .npz file"
        raise unknown("dataset", data.dataset, (*STORED, FOLDER), also=also)
    if data.dataset == FOLDER and data.image_size is None:
        raise InputError("images of a folder have sizes of their own; add image_size = 224 under [data]")
    if data.dataset != FOLDER and data.image_size is not None:
        raise InputError(f"image_size {data.image_size} for {data.dataset}, whose images have their own; leave it out")
    for key, number in (("image_size", data.image_size), ("readers", data.readers)):
        if number is not None and number < 1:
            raise InputError(f"{key} {number}; expected at least 1")
    crop_shares(data.crop, "crop")


def load_parts(data: DataPlan, data_dir: Path | None, seed: int = 0) -> Parts:
    """Load a dataset and part it.

    Channels are centred and scaled by the training part, those of a folder as ImageNet's.

    Args:
        data: what to load.
        data_dir: where its files lie (see `load_stored`); the folder itself for a folder.
        seed: of the draws that part it.

    Raises:
        InputError: data that cannot be loaded, too few images, or images that cannot be cut into such patches.
    """
    check_type(data, DataPlan, "give DataPlan(dataset, patch) of maskgraph.empirical.parts")
    check_data(data)
    check_seed(seed)
    data_dir = None if data_dir is None else as_path(data_dir, "the folder of the data")
    parts = _folder(data, data_dir, seed) if data.dataset == FOLDER else _stored(data, data_dir, seed)
    check_classes(parts.train.name, parts.train.labels)
    if (judged := len(parts.test.labels)) < 2:
        # A folder's: what is held out has one of every class.
        raise InputError(
            f"val of {parts.test.name} holds {judged} image; collapse is measured on 2 or more: add images"
        )
    return parts


def _stored(data: DataPlan, data_dir: Path | None, seed: int) -> Parts:
    check_data_dir(data.dataset, data_dir)
    stored = _npz(data.dataset) if data.dataset.endswith(".npz") else load_stored(data.dataset, data_dir)
    rows = _some(data, stored.labels, seed)
    if data.dataset in HAS_TEST:
        test = load_stored(data.dataset, data_dir, held_out=True)
        test_rows = np.arange(len(test.labels))
    else:
        test = stored
        kept, held = split_rows(stored.labels[rows], data.held_out, seed, stored.classes)
        rows, test_rows = rows[kept], rows[held]
    kept, held = split_rows(stored.labels[rows], data.validation, seed + 1, stored.classes)
    mean, std = channel_statistics(stored.pixels[rows[kept]], stored.full)

    def part(images: Stored, at: NDArray[np.int64], augmentation: Augmentation) -> Pixels:
        return Pixels(
            data.dataset, images.pixels[at], images.full, images.labels[at], data.patch, mean, std, augmentation
        )

    plain = Augmentation()
    return Parts(
        part(stored, rows[kept], data.augmentation),
        part(stored, rows[held], plain),
        part(test, test_rows, plain),
    )


def _npz(path: str) -> Stored:
    """Pixels of a .npz in bytes."""
    arrays = read_images(Path(path))
    if "codes" in arrays:
        raise InputError(
            f"{path} holds codes; a recipe trains on pixels: add pixels (N, H, W[, C]), or use maskgraph train"
        )
    if "weights" in arrays:
        raise InputError(f"{path} holds weights; a recipe trains on images as they are drawn: leave weights out")
    pixels = as_pixels(arrays["pixels"])
    # As numbers they would be eight times as large: of bytes one pixel of each is looked at.
    images = make_images(path, pixels[:, :1, :1] if pixels.dtype == np.uint8 else pixels, arrays["labels"])
    full = white(pixels, path)
    if pixels.dtype == np.uint8 or full > 1:
        return Stored(path, pixels.astype(np.uint8, copy=False), full, images.labels, images.classes)
    return Stored(path, np.rint(255 * images.pixels).astype(np.uint8), 255, images.labels, images.classes)


def _folder(data: DataPlan, root: Path | None, seed: int) -> Parts:
    if root is None:
        raise InputError("the recipe is of a folder of images; say where it is with --data-dir")
    listed, judged = list_folder(root, "train"), list_folder(root, "val")
    rows = _some(data, listed.labels, seed)
    kept, held = split_rows(listed.labels[rows], data.validation, seed + 1, listed.classes)
    size = data.image_size
    assert size is not None

    def stream(folder: Folder) -> Stream:
        reader = FolderReader(folder, size)
        return Stream(str(root), reader, folder.labels, size, channels=3, patch=data.patch, workers=data.readers)

    training = stream(listed)
    return Parts(
        take(dataclasses.replace(training, augmentation=data.augmentation), rows[kept]),
        take(training, rows[held]),
        stream(judged),
    )


def _some(data: DataPlan, labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The rows that are used: of each class its share, drawn, and as many as it takes to part it."""
    if data.images is None:
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    # One for each of the parts, of which two are left when as many as `split_rows` takes are held out.
    least = 2
    if data.dataset not in (*HAS_TEST, FOLDER):
        least = next(n for n in count(3) if n - max(1, round(data.held_out * n)) >= 2)
    fewest = int(np.minimum(counts, least).sum())
    if not fewest <= data.images <= len(labels):
        raise InputError(
            f"images {data.images}; expected {fewest}, {least} for each of {len(classes)} classes, to {len(labels)}, "
            f"which {data.dataset} holds"
        )
    rng, place = np.random.default_rng(seed), np.empty(len(labels))
    for label, size in zip(classes, counts, strict=True):
        # Of any first ones in this order a class has its share.
        even = (np.arange(size) + rng.random()) / size
        even[:least] = -1
        place[rng.permutation(np.flatnonzero(labels == label))] = even
    return np.sort(np.argsort(place, kind="stable")[: data.images])
