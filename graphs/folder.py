"""Image folders of the shape of ImageNet: ROOT/train/CLASS/*.jpg beside ROOT/val/CLASS/*.jpg."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError
from maskgraph.graphs.machine import cores

if TYPE_CHECKING:
    from PIL.Image import Image

Part = Literal["train", "val"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""What an image's name ends with, in either case; other files are passed over."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""What an image may be, whatever its name says: Pillow hands some of the others to programs of the system."""

CHECKED = 32
"""Side in pixels that is enough to see that an image can be read: every byte of a JPEG has been decoded then."""

LONGEST = 1000
"""Most times that an image's longer side may be its shorter one: to be cut at a shorter side of 256 pixels it takes
all of 256,000 by 256 then, a quarter of a gigabyte, and a strip of a few kilobytes could ask for any memory."""


@dataclass(frozen=True)
class Folder:
    """The images of one part, by name.

    Attributes:
        root: the folder that holds `train` and `val`.
        classes: names of the classes of `train`, sorted: those of `val` too.
        paths: the N images relative to `root`, by class and then by name.
        labels: (N,) int64 in 0..K-1, indices into `classes`.
        passed_over: what lies beside classes and images and is neither, relative to `root`; a folder ends with a slash.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    passed_over: tuple[str, ...] = ()


def list_folder(root: Path, part: Part) -> Folder:
    """List the images of a part; none is opened.

    A class may be a link to a folder elsewhere, an image a link to a file. Passed over are files that are no images by
    their name, folders in the folder of a class and, unmentioned, hidden entries and links in the place of a class to a
    folder that holds the link itself.

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
    beside = [f"{part}/{entry.name}" for entry in _entries(root / part) if not _is_folder(entry)]
    for name in own:
        images, others = _images(root / part / name)
        paths += [f"{part}/{name}/{image}" for image in images]
        labels += [classes.index(name)] * len(images)
        beside += [f"{part}/{name}/{other}" for other in others]
    return Folder(root, classes, tuple(paths), np.array(labels, dtype=np.int64), tuple(sorted(beside)))


def passed_over(root: Path, parts: Sequence[Part]) -> str:
    """What of some parts and beside both is not read, in one line; empty where all is, and where nothing can be."""
    beside: list[str] = []
    elsewhere: dict[str, tuple[int, int]] = {}
    # What is wrong with a folder is said where it is read.
    with suppress(InputError):
        for part in parts:
            # Names alone: a second or two for a million.
            beside += list_folder(root, part).passed_over
        elsewhere = _elsewhere(root)
    files, folders = ([name for name in beside if name.endswith("/") == kind] for kind in (False, True))
    said = []
    if files:
        kinds = Counter(Path(name).suffix.lower() or "without a suffix" for name in files).most_common()
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds[:4]) + (", ..." if len(kinds) > 4 else "")
        said.append(f"{_count(files, 'file')} passed over ({counts}): images end with {', '.join(SUFFIXES)}")
    if folders:
        said.append(f"{_count(folders, 'folder')} passed over, such as {folders[0]}: images lie in train/CLASS/ itself")
    if elsewhere:
        images, names = sum(map(sum, elsewhere.values())), ", ".join(f"{name}/" for name in elsewhere)
        said.append(f"{images} image{'s' * (images != 1)} passed over in {names}: train/ and val/ alone are read")
    return "; ".join(said)


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'}"


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
    """Read an image as it is, if it has the size, or else as it is usually shown to a model evaluated on ImageNet.

    In RGB (transparency is dropped, the orientation that a camera noted is not applied). What is not of size x size
    pixels has its shorter side resized to size·256/224 by an antialiased bicubic filter, and the middle cut out; beyond
    224 pixels to size itself, as facebookresearch/mae has it.

    Returns:
        (size, size, 3) uint8.

    Raises:
        InputError: a size below 1, or a file that is missing, truncated, no image, of more than 8 bits a channel, or a
            strip (see `LONGEST`).
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
            # Of 16 bits in colour Pillow keeps 8 without a word: what is packed in the file alone tells.
            packed = [str(tile[3]) for tile in image.tile if image.format == "PNG"]
            width, height = image.size
            if least is not None:
                image.draft(None, (least, least))
            mode, pixels = image.mode, _rgb(image)
    # On damaged bytes Pillow passes on whatever its parsers raise: OSError, SyntaxError, ValueError, struct.error ...
    except Exception as error:
        raise InputError(f"{path} cannot be read as an image ({error}); replace or remove it") from error
    if deep := [kind for kind in (mode, *packed) if kind.startswith("I") or ";16" in kind]:
        raise InputError(f"{path} has pixels of kind {deep[0]}; expected 8 bits a channel: convert it")
    if max(width, height) > LONGEST * min(width, height):
        raise InputError(
            f"{path} has {width}x{height} pixels; expected a longer side of at most {LONGEST} shorter ones: cut or "
            "remove it"
        )
    return pixels


def _classes(root: Path, part: Part) -> tuple[str, ...]:
    folder = root / part
    if not folder.is_dir():
        # Without folders in it another would be no better under this name.
        others = [str(root / name) for name, (_, in_classes) in _elsewhere(root).items() if in_classes]
        found = f"; found {', '.join(others)}: rename {'it' if len(others) == 1 else 'one of them'} to {part}"
        raise InputError(
            f"{root} has no folder {part}; expected {folder}/CLASS/ with the images of each class{found * bool(others)}"
        )
    names = sorted(entry.name for entry in _entries(folder) if _is_class(Path(entry.path)))
    if not names:
        raise InputError(f"{folder} holds no classes; expected a folder of images for each class")
    return tuple(names)


def _is_class(path: Path) -> bool:
    if not path.is_dir():
        return False
    parent = path.parent.resolve()
    return not (path.is_symlink() and path.resolve() in (parent, *parent.parents))


def _images(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the images of a class, sorted, and of all else, folders with a slash."""
    names: list[str] = []
    others: list[str] = []
    for entry in _entries(folder):
        if _is_image(entry):
            names.append(entry.name)
        else:
            others.append(f"{entry.name}/" if _is_folder(entry) else entry.name)
    if not names:
        raise InputError(f"class {folder} has no images; expected files that end with {', '.join(SUFFIXES)}")
    return sorted(names), others


def _elsewhere(root: Path) -> dict[str, tuple[int, int]]:
    """Of each folder beside train and val with images: how many lie in it, and how many in the folders in it."""
    found: dict[str, tuple[int, int]] = {}
    for entry in sorted(_entries(root), key=lambda entry: entry.name):
        if entry.name in get_args(Part) or not _is_class(Path(entry.path)):
            continue
        # What may not be listed, such as lost+found, holds nothing that is missed.
        with suppress(InputError):
            inside = _entries(Path(entry.path))
            within = [one for folder in inside if _is_folder(folder) for one in _entries(Path(folder.path))]
            counts = sum(map(_is_image, inside)), sum(map(_is_image, within))
            if any(counts):
                found[entry.name] = counts
    return found


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(SUFFIXES) and not entry.is_dir(follow_symlinks=False)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # An entry asked for what a link in a circle leads to raises, a path does not.
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


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

    if image.size == (size, size):
        return image
    # As facebookresearch/mae has torchvision do it, roundings included.
    shorter = size * 256 // 224 if size <= 224 else size
    least = min(image.size)
    width, height = (shorter * side // least for side in image.size)
    left, top = (round((side - size) / 2) for side in (width, height))
    return image.resize((width, height), Resampling.BICUBIC).crop((left, top, left + size, top + size))
