"""Image folders of the shape of ImageNet: ROOT/train/CLASS/*.jpg beside ROOT/val/CLASS/*.jpg."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import cores
from maskgraph.graphs.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Part = Literal["train", "val"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""What an image's name ends with, in either case; other files are left alone."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""What an image may be, whatever its name says: Pillow hands some of the others to programs of the system."""

CHECKED = 32
"""Side in pixels that is enough to see that an image can be read: every byte of a JPEG has been decoded then."""


@dataclass(frozen=True)
class Folder:
    """The images of one part, by name.

    Attributes:
        root: the folder that holds `train` and `val`.
        classes: names of the classes of `train`, sorted: those of `val` too.
        paths: the N images relative to `root`, by class and then by name.
        labels: (N,) int64 in 0..K-1, indices into `classes`.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]


def list_folder(root: Path, part: Part) -> Folder:
    """List the images of a part; none is opened.

    A class may be a link to a folder elsewhere, an image a link to a file. Hidden entries, and links to a folder that
    holds the link itself, are passed over.

    Args:
        root: the folder that holds `train` and `val`.
        part: which of the two.

    Raises:
        InputError: no such folder or part, no classes, a class without images, or a class that only `val` has.
    """
    if not root.is_dir():
        raise InputError(f"{root} is no folder; expected one that holds train/CLASS/ and val/CLASS/ with images")
    classes, own = _classes(root, "train"), _classes(root, part)
    if unknown := sorted(set(own) - set(classes)):
        raise InputError(
            f"{root / part} has the class {unknown[0]!r}, which {root / 'train'} lacks; add it or remove it"
        )
    paths: list[str] = []
    labels: list[int] = []
    for name in own:
        images = _images(root / part / name)
        paths += [f"{part}/{name}/{image}" for image in images]
        labels += [classes.index(name)] * len(images)
    return Folder(root, classes, tuple(paths), np.array(labels, dtype=np.int64))


def read_images(folder: Folder, rows: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Read some images of a folder into memory, on all cores (see `read_image`).

    Args:
        folder: as it was listed.
        rows: (N,) which.
        size: side of the answers in pixels.

    Returns:
        (N, size, size, 3) uint8.

    Raises:
        InputError: see `read_image`.
    """
    pixels = np.empty((len(rows), size, size, 3), np.uint8)

    def read(at: int) -> None:
        pixels[at] = read_image(folder.root / folder.paths[rows[at]], size)

    pool = ThreadPoolExecutor(cores())
    try:
        for _ in pool.map(read, range(len(rows))):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return pixels


def read_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Read an image as it is usually shown to a model that is evaluated on ImageNet.

    In RGB (transparency is dropped, the orientation that a camera noted is not applied), the shorter side resized to
    size·256/224 by an antialiased bicubic filter, and the middle cut out.

    Returns:
        (size, size, 3) uint8.

    Raises:
        InputError: a size below 1, or a file that is missing, truncated, no image, or of more than 8 bits a channel.
    """
    return np.asarray(_middle(_opened(path, size), size))


def read_crop(
    path: Path, size: int, box: Callable[[int, int], Sequence[float] | NDArray[np.float64]]
) -> NDArray[np.uint8]:
    """Read a part of an image, in RGB, resized by an antialiased bicubic filter.

    Args:
        path: the image.
        size: side of the answer.
        box: called with the image's height and width; left, top, width and height of the part, in whole pixels.

    Returns:
        (size, size, 3) uint8.

    Raises:
        InputError: see `read_image`.
    """
    from PIL.Image import Resampling

    image = _opened(path, size)
    left, top, width, height = (int(value) for value in box(image.height, image.width))
    part = image.crop((left, top, left + width, top + height))
    return np.asarray(part.resize((size, size), Resampling.BICUBIC))


def check_image(path: Path) -> None:
    """See that an image can be read, in a fraction of the time that it takes to read a JPEG.

    Raises:
        InputError: see `read_image`.
    """
    _decoded(path, CHECKED)


def _opened(path: Path, size: int) -> Image:
    if size < 1:
        raise InputError(f"image size {size}; expected a side of at least 1 pixel")
    return _decoded(path)


def _decoded(path: Path, least: int | None = None) -> Image:
    """An image in RGB; of a JPEG at half, a quarter or an eighth of its size, of no side below `least`."""
    from PIL import Image  # slow to import, and wanted here only

    try:
        with Image.open(path, formats=FORMATS) as image:
            if least is not None:
                image.draft(None, (least, least))
            mode, pixels = image.mode, _rgb(image)
    # On damaged bytes Pillow passes on whatever its parsers raise: OSError, SyntaxError, ValueError, struct.error ...
    except Exception as error:
        raise InputError(f"{path} cannot be read as an image ({error}); replace or remove it") from error
    if mode.startswith("I"):
        raise InputError(f"{path} has pixels of kind {mode}; expected 8 bits a channel: convert it")
    return pixels


def _classes(root: Path, part: Part) -> tuple[str, ...]:
    folder = root / part
    if not folder.is_dir():
        raise InputError(f"{root} has no folder {part}; expected {folder}/CLASS/ with the images of each class")
    names = sorted(entry.name for entry in _entries(folder) if _is_class(Path(entry.path)))
    if not names:
        raise InputError(f"{folder} holds no classes; expected a folder of images for each class")
    return tuple(names)


def _is_class(path: Path) -> bool:
    if not path.is_dir():
        return False
    parent = path.parent.resolve()
    return not (path.is_symlink() and path.resolve() in (parent, *parent.parents))


def _images(folder: Path) -> list[str]:
    names = sorted(
        entry.name
        for entry in _entries(folder)
        if entry.name.lower().endswith(SUFFIXES) and not entry.is_dir(follow_symlinks=False)
    )
    if not names:
        raise InputError(f"class {folder} has no images; expected files that end with {', '.join(SUFFIXES)}")
    return names


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); check its permissions") from error


def _rgb(image: Image) -> Image:
    # Pillow warns about a palette with several transparent colours unless it passes through RGBA.
    return (image.convert("RGBA") if "transparency" in image.info else image).convert("RGB")


def _middle(image: Image, size: int) -> Image:
    from PIL.Image import Resampling

    shorter = round(size * 256 / 224)
    scale = shorter / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Resampling.BICUBIC).crop((left, top, left + size, top + size))
