"""Labelled images as they lie on disk, in bytes: an eighth of the memory that their float64 takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.cifar import read_cifar
from maskgraph.graphs.errors import InputError, unknown
from maskgraph.graphs.idx import read_idx

STORED = ("digits", "fashion-mnist", "cifar10", "cifar100")
"""The datasets that `load_stored` knows."""

HAS_TEST = ("fashion-mnist", "cifar10", "cifar100")
"""Those of them that come as files, with a test part of their own; digits come with scikit-learn."""

FASHION_MNIST_DIRS = (Path("/usr/share/datasets/fashion-mnist"), Path("data/fashion-mnist"))
"""Where Fashion-MNIST's IDX files are looked for when no directory is given (the first is Debian's)."""

TEN = tuple(str(label) for label in range(10))


@dataclass(frozen=True)
class Stored:
    """Labelled images in bytes. What is computed with is `pixels / full`, from 0 to 1.

    Attributes:
        name: what the user asked for.
        pixels: (N, H, W, C) uint8 in 0..full.
        full: the byte that stands for 1. A divisor and no factor, so that no reciprocal is rounded.
        labels: (N,) int64 in 0..K-1, indices into `classes`.
        classes: the dataset's own name of each class, the same for both of its parts.
    """

    name: str
    pixels: NDArray[np.uint8]
    full: int
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def load_stored(name: str, data_dir: Path | None = None, held_out: bool = False) -> Stored:
    """Load one of `STORED`.

    Args:
        name: the dataset's name.
        data_dir: where the files of Fashion-MNIST or CIFAR lie; searched in `FASHION_MNIST_DIRS`, or fetched into
            `cifar.FOLDERS`, when None. Digits come with scikit-learn.
        held_out: the dataset's own test part (`HAS_TEST`) instead of its training part.

    Raises:
        InputError: another name, a test part of a dataset without one, a directory for a dataset without files, or
            missing, truncated or malformed files.
    """
    if name not in STORED:
        raise unknown("dataset", name, STORED)
    if held_out and name not in HAS_TEST:
        raise InputError(
            f"{name} has no test part of its own, only {', '.join(HAS_TEST)} have; hold images out instead"
        )
    check_data_dir(name, data_dir)
    if name == "digits":
        return _digits()
    if name == "fashion-mnist":
        return _fashion_mnist(data_dir, "t10k" if held_out else "train")
    return _stored(name, *read_cifar(name, data_dir, held_out))


def check_data_dir(name: str, data_dir: Path | None) -> None:
    """Raise InputError for a directory that nothing of this dataset is read from."""
    if data_dir is not None and name not in HAS_TEST:
        raise InputError(f"data_dir {data_dir} of {name}, which reads nothing there; leave out --data-dir")


def _digits() -> Stored:
    from sklearn.datasets import load_digits  # slow to import, and wanted here only

    data = load_digits()
    return _stored("digits", data.images.astype(np.uint8)[..., None], data.target, TEN, full=16)


def _fashion_mnist(data_dir: Path | None, part: str) -> Stored:
    directories = FASHION_MNIST_DIRS if data_dir is None else (data_dir,)
    for directory in directories:
        if directory.is_dir():
            pixels = read_idx(directory / f"{part}-images-idx3-ubyte")
            labels = read_idx(directory / f"{part}-labels-idx1-ubyte")
            if pixels.ndim != 3:
                raise InputError(f"pixels has shape {pixels.shape}; expected (N, H, W) in {directory}: fetch it again")
            return _stored("fashion-mnist", pixels[..., None], labels, TEN)
    raise InputError(
        f"Fashion-MNIST's IDX files were looked for in {', '.join(map(str, directories))} and no such "
        "directory exists; give theirs with --data-dir (on Debian: apt install dataset-fashion-mnist)"
    )


def _stored(
    name: str, pixels: NDArray[np.uint8], labels: NDArray[Any], classes: tuple[str, ...], full: int = 255
) -> Stored:
    if 0 in pixels.shape:
        raise InputError(f"pixels has shape {pixels.shape}; expected images in the files of {name}: fetch them again")
    if labels.shape != (len(pixels),):
        raise InputError(
            f"labels has shape {labels.shape} for {len(pixels)} images; expected ({len(pixels)},): the files of {name} "
            "are of different sets, fetch them again"
        )
    if labels.max() >= len(classes):
        raise InputError(
            f"labels contains {labels.max()} where {name} has the classes 0 to {len(classes) - 1}; "
            "fetch its files again"
        )
    return Stored(name, pixels, full, labels.astype(np.int64), classes)
