"""From what a user names to coded images: the front door of every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.datasets import (
    DEFAULT_PATCH,
    CodedImages,
    Images,
    images_of,
    load,
    split_rows,
    take,
)
from maskgraph.graphs.errors import InputError, as_path, is_whole
from maskgraph.graphs.folder import Folder, Part, list_folder, passed_over, read_images
from maskgraph.graphs.memory import check_memory
from maskgraph.graphs.patches import CodebookKind, check_patch, encode, encode_split
from maskgraph.graphs.seeds import check_seed
from maskgraph.graphs.stored import HAS_TEST, STORED, Stored, check_data_dir, load_stored
from maskgraph.graphs.synthetic import load_mixture


@dataclass(frozen=True)
class Source:
    """What to load and how to code it.

    Attributes:
        dataset: one of `STORED`, mixture[:n=8,eta=0.3,classes=2], the path of a .npz file, or that of a folder of
            images (see `folder`), whose training part is taken. A Path becomes its text.
        patch: side of a patch in pixels; None for the dataset's own, and for data that is already codes.
        codebook: kind of codebook for pixels; None for k-means, and for data that is already codes.
        codes: number of codes; None for 4, and for data that is already codes.
        images: how many images to draw from the dataset, without repetition; None for all.
        data_dir: where files that are not bundled lie. A Path becomes its text.
        seed: of the draw of images and of k-means.
        image_size: side in pixels that the images of a folder are read at; None for all else.
    """

    dataset: str | Path
    patch: int | None = None
    codebook: CodebookKind | None = None
    codes: int | None = None
    images: int | None = None
    data_dir: str | Path | None = None
    seed: int = 0
    image_size: int | None = None

    def __post_init__(self) -> None:
        """Have paths as text, which records hold."""
        object.__setattr__(self, "dataset", str(self.dataset))
        if self.data_dir is not None:
            object.__setattr__(self, "data_dir", str(as_path(self.data_dir, "the dataset's files")))

    @property
    def name(self) -> str:
        """What the user asked for, as text."""
        return str(self.dataset)


@dataclass(frozen=True)
class Split:
    """Training images, images held out, and the pixels of both where there are any, as flat vectors.

    Attributes:
        train: what graphs are built of and models are trained on.
        test: what probes are scored on; coded with the codebook of `train`.
        train_pixels: (N, H·W·C) float64 or None.
        test_pixels: likewise.
    """

    train: CodedImages
    test: CodedImages
    train_pixels: NDArray[np.float64] | None
    test_pixels: NDArray[np.float64] | None


Look = Callable[[tuple[int, int]], None]
"""Called with the rows and columns of the patches before images are coded, which may take minutes."""


def load_coded(source: Source, look: Look | None = None) -> CodedImages:
    """All the images of a source, coded by a codebook of their own.

        >>> images = load_coded(Source("mixture:n=4,eta=0.2"))
        >>> images.codes.shape, images.classes
        ((32, 4), ('0', '1'))

    Args:
        source: what to load.
        look: what looks at the grid of the patches; None: nothing does.

    Raises:
        InputError: whatever is wrong with the name, the files or the options, or `look` raises.
    """
    data = _load(source)
    if look is not None:
        look(_grid(source, data))
    if isinstance(data, CodedImages):
        return data
    return encode(data, _patch(source), source.codebook or "kmeans", _codes(source), source.seed)


def load_split(source: Source, held_out: float, look: Look | None = None) -> Split:
    """Training and held-out images: the dataset's own test part (val/ of a folder) or else a stratified draw.

    The codebook is fitted on the training images alone; an exact one, which learns nothing, on all.

    Args:
        source: what to load.
        held_out: share of each class to hold out, in (0, 1).
        look: as for `load_coded`.

    Raises:
        InputError: whatever is wrong with the name, the files or the options, or `look` raises.
    """
    if not isinstance(held_out, Real) or not 0 < held_out < 1:
        raise InputError(f"held_out {held_out!r}; expected a share of the images in (0, 1), such as 0.3")
    data = _load(source)
    if look is not None:
        look(_grid(source, data))
    if isinstance(data, CodedImages):
        train_rows, test_rows = split_rows(data.labels, held_out, source.seed, data.classes)
        return Split(take(data, train_rows), take(data, test_rows), None, None)
    if source.name in HAS_TEST:
        train, test = data, load(source.name, _directory(source), held_out=True)
        assert isinstance(test, Images)
    elif _is_folder(source):
        train, test = data, _folder(source, "val", data.pixels.shape[3])
    else:
        train_rows, test_rows = split_rows(data.labels, held_out, source.seed, data.classes)
        train, test = take(data, train_rows), take(data, test_rows)
    coded = encode_split(train, test, _patch(source), source.codebook or "kmeans", _codes(source), source.seed)
    return Split(
        *coded,
        train.pixels.reshape(len(train.pixels), -1),
        test.pixels.reshape(len(test.pixels), -1),
    )


def what_is_passed_over(source: Source, *parts: Part) -> str:
    """What lies in a folder of images and is not read, in one line; empty where all is, and for all else."""
    return passed_over(Path(source.name), parts) if _is_folder(source) else ""


def _load(source: Source) -> Images | CodedImages:
    if not isinstance(source, Source):
        raise InputError(
            f"{source!r} in the place of a Source, which says how data is coded too; expected Source({str(source)!r})"
        )
    check_seed(source.seed)
    if source.images is not None and (not is_whole(source.images) or source.images < 1):
        raise InputError(f"images {source.images!r}; expected at least 1, an integer (see --images)")
    if source.image_size is not None and not _is_folder(source):
        raise InputError(
            f"image size {source.image_size} of {source.name}, which is no folder of images; leave out --image-size"
        )
    check_data_dir(source.name, _directory(source))
    if source.name.partition(":")[0] == "mixture":
        data: Images | CodedImages = load_mixture(source.name, source.images, source.seed)
    else:
        data = _some(source)
    if isinstance(data, CodedImages) and (source.patch, source.codebook, source.codes) != (None, None, None):
        raise InputError(f"{source.name} is made of codes already; leave out --patch, --codebook and --codes")
    return data


def _some(source: Source) -> Images | CodedImages:
    if _is_folder(source):
        return _folder(source, "train")
    if source.name in STORED:
        stored = load_stored(source.name, _directory(source))
        return images_of(stored, _rows(source, len(stored.labels)))
    data = load(source.name, _directory(source))
    rows = _rows(source, len(data.labels))
    return data if rows is None else take(data, rows)


def _is_folder(source: Source) -> bool:
    return source.name not in STORED and bool(source.name) and Path(source.name).is_dir()


def _folder(source: Source, part: Part, channels: int | None = None) -> Images:
    """The images of a part, of the training part those that are drawn; None channels: one if no image has colour."""
    listed = list_folder(Path(source.name), part)
    if source.image_size is None:
        raise InputError(
            f"{source.name} holds images of any size; say with --image-size, in a study with image_size under [data], "
            "at how many pixels a side they are read"
        )
    if source.image_size < 1:
        raise InputError(f"image size {source.image_size}; expected at least 1 pixel a side (see --image-size)")
    rows = _rows(source, len(listed.labels)) if part == "train" else None
    if rows is None:
        rows = np.arange(len(listed.labels))
    # As bytes and as float64.
    check_memory(
        9.0 * len(rows) * 3 * source.image_size**2,
        f"{len(rows)} images of {source.image_size}x{source.image_size} pixels",
        "lower --images or --image-size",
    )
    pixels = read_images(listed, rows, source.image_size)
    if channels != 3 and _is_grey(pixels, listed, rows, channels == 1):
        # Equal channels say nothing and count three times in every sum over the values of a target.
        pixels = pixels[..., :1].copy()
    return images_of(Stored(source.name, pixels, 255, listed.labels[rows], listed.classes))


def _is_grey(pixels: NDArray[np.uint8], listed: Folder, rows: NDArray[np.int64], wanted: bool) -> bool:
    """Whether no image has colour; if that is `wanted`, one that does is refused by name."""
    coloured = (pixels != pixels[..., :1]).any(axis=(1, 2, 3))
    if wanted and coloured.any():
        raise InputError(
            f"{listed.root / listed.paths[rows[coloured.argmax()]]} has colour and the training images have none, so "
            "that all are read as one channel; save it in grey, or remove it"
        )
    return not coloured.any()


def _rows(source: Source, count: int) -> NDArray[np.int64] | None:
    """Sorted rows of the images to draw; None for all of them."""
    if source.images is None or source.images == count:
        return None
    if source.images > count:
        raise InputError(f"images {source.images} exceeds the {count} images of {source.name}; lower --images")
    return np.sort(np.random.default_rng(source.seed).permutation(count)[: source.images])


def _patch(source: Source) -> int:
    if source.patch is not None:
        return source.patch
    if source.name not in DEFAULT_PATCH:
        raise InputError(
            f"{source.name} holds pixels; give the side of a patch with --patch, in a study with patch under [data]"
        )
    return DEFAULT_PATCH[source.name]


def _grid(source: Source, data: Images | CodedImages) -> tuple[int, int]:
    """Rows and columns of the patches."""
    if isinstance(data, CodedImages):
        return data.grid
    patch, (height, width) = _patch(source), data.pixels.shape[1:3]
    check_patch(patch, height, width)
    return height // patch, width // patch


def _codes(source: Source) -> int:
    return 4 if source.codes is None else source.codes


def _directory(source: Source) -> Path | None:
    return None if source.data_dir is None else Path(source.data_dir)
