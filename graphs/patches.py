"""Patches and codebooks: real-valued patches almost never repeat, so vertices are made of codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.arrays import as_array
from maskgraph.graphs.datasets import CodedImages, Coding, Images
from maskgraph.graphs.errors import InputError, check_type, is_whole, unknown
from maskgraph.graphs.rows import distinct_rows
from maskgraph.graphs.seeds import check_seed

CodebookKind = Literal["exact", "threshold", "kmeans"]

STEPS = 1000
"""Most steps of k-means: eight codes of 20,000 Fashion-MNIST images took 94 in patches of 4, 166 in patches of 7."""

TOGETHER = 65_536
"""Patches that are compared with a codebook at a time: TOGETHER·V doubles."""


@dataclass(frozen=True)
class Codebook:
    """A quantiser of patches.

    Attributes:
        kind: exact (each distinct patch a code), threshold (levels of the patch's mean) or kmeans.
        values: (V, s) float64, the patch value that stands for each code.
        cuts: (V − 1,) float64, for `threshold` the levels between codes; empty otherwise.
    """

    kind: CodebookKind
    values: NDArray[np.float64]
    cuts: NDArray[np.float64]


def patchify(pixels: NDArray[np.float64], patch: int) -> NDArray[np.float64]:
    """Cut images into square patches.

    Args:
        pixels: (N, H, W, C).
        patch: side of a patch in pixels; divides H and W.

    Returns:
        (N, n, s) with n = (H/patch)(W/patch) patches in raster order, s = patch²·C values each, rows first.

    Raises:
        InputError: a patch size that is no integer, does not divide the image, or leaves a single patch.
    """
    pixels = as_array(pixels, "pixels")
    if pixels.ndim != 4:
        raise InputError(f"pixels has shape {pixels.shape}; expected (N, H, W, C), as make_images gives them")
    images, height, width, channels = pixels.shape
    check_patch(patch, height, width)
    rows, columns = height // patch, width // patch
    cut = pixels.reshape(images, rows, patch, columns, patch, channels).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(images, rows * columns, patch * patch * channels)


def check_patch(patch: int, height: int, width: int) -> None:
    """Raise InputError for a patch size that does not divide an image, or that leaves a single patch."""
    if not is_whole(patch):
        raise InputError(f"patch size {patch!r}; expected an integer, the side of a patch in pixels")
    if patch < 1 or height % patch or width % patch:
        raise InputError(
            f"patch size {patch} does not divide the {height}x{width} image; "
            f"choose one of {_divisors(height, width)} as the patch size"
        )
    if (height // patch) * (width // patch) < 2:
        raise InputError(
            f"patch size {patch} leaves one patch of the {height}x{width} image and masking needs at least two; "
            f"choose one of {_divisors(height, width)} as the patch size"
        )


def fit_codebook(
    patches: NDArray[np.float64],
    weights: NDArray[np.float64],
    kind: CodebookKind = "kmeans",
    codes: int = 4,
    seed: int = 0,
) -> Codebook:
    """Learn a codebook from the patches of weighted images.

    Args:
        patches: (N, n, s).
        weights: (N,) masses of the images.
        kind: `exact` ignores `codes`; `threshold` cuts the range of patch means into `codes` equal intervals
            (those that hold no patch are left out) and takes each interval's mean patch as its value;
            `kmeans` is scikit-learn's, on the distinct patches with their masses, until none of them moves.
        codes: V, at least 2.
        seed: of k-means.

    Raises:
        InputError: codes that are no integer, or fewer than two, an unknown kind, more k-means codes than distinct
            patches, a seed that k-means does not take, or NaN.
    """
    return fit_and_assign(patches, weights, kind, codes, seed)[0]


def fit_and_assign(
    patches: NDArray[np.float64],
    weights: NDArray[np.float64],
    kind: CodebookKind = "kmeans",
    codes: int = 4,
    seed: int = 0,
) -> tuple[Codebook, NDArray[np.int64]]:
    """What `fit_codebook` gives and what `assign_codes` then gives for the same patches, looked through once.

    Args:
        patches: (N, n, s).
        weights: (N,) masses of the images.
        kind: as for `fit_codebook`.
        codes: as for `fit_codebook`.
        seed: as for `fit_codebook`.

    Returns:
        The codebook and (N, n) int64 codes.

    Raises:
        InputError: see `fit_codebook`.
    """
    if kind not in get_args(CodebookKind):
        raise unknown("codebook", kind, get_args(CodebookKind))
    patches, weights = _of_images(patches), as_array(weights, "weights")
    if weights.shape != patches.shape[:1]:
        raise InputError(f"weights has shape {weights.shape} for {len(patches)} images; expected ({len(patches)},)")
    flat = patches.reshape(-1, patches.shape[2])
    shape = patches.shape[:2]
    if kind == "exact":
        distinct, code = distinct_rows(flat)
        return Codebook(kind, distinct, np.empty(0)), code.reshape(shape)
    if not is_whole(codes):
        raise InputError(f"codes {codes!r}; expected their number, an integer of at least 2 (see --codes)")
    if codes < 2:
        raise InputError(f"{codes} codes; a codebook needs at least 2 (see --codes)")
    mass = np.repeat(weights, patches.shape[1])
    if kind == "threshold":
        level = flat.mean(axis=1)
        cuts = np.linspace(level.min(), level.max(), codes + 1)[1:-1]
        used, code = np.unique(np.searchsorted(cuts, level, side="right"), return_inverse=True)
        total = np.bincount(code, mass)
        sums = np.stack([np.bincount(code, mass * column) for column in flat.T], axis=1)
        return Codebook(kind, sums / total[:, None], cuts[used[1:] - 1]), code.reshape(shape)
    distinct, place = distinct_rows(flat)
    if codes > len(distinct):
        if len(distinct) == 1:
            raise InputError(f"{codes} k-means codes for 1 distinct patch; use --codebook exact, or images that differ")
        raise InputError(
            f"{codes} k-means codes for {len(distinct)} distinct patches; use --codes {len(distinct)} or fewer, or "
            "--codebook exact"
        )
    check_seed(seed)
    from sklearn.cluster import KMeans  # slow to import, and wanted here only

    # To the end: short of it the last bit of a distance, each processor's own, decides where some patches are.
    to_the_end = KMeans(codes, n_init=4, tol=0, max_iter=STEPS, random_state=seed)
    fitted = to_the_end.fit(distinct, sample_weight=np.bincount(place, mass))
    order = np.lexsort(fitted.cluster_centers_.T[::-1])
    values = np.asarray(fitted.cluster_centers_[order], dtype=np.float64)
    return Codebook(kind, values, np.empty(0)), _nearest(distinct, values)[place].reshape(shape)


def assign_codes(patches: NDArray[np.float64], codebook: Codebook) -> NDArray[np.int64]:
    """The code of each patch: its interval for `threshold`, else the nearest value (lowest code at a tie).

    Args:
        patches: (N, n, s).
        codebook: with s values a code.

    Returns:
        (N, n) int64.

    Raises:
        InputError: an exact codebook that does not hold one of the patches, or NaN.
    """
    check_type(codebook, Codebook, "fit_codebook(patches, weights) makes one")
    patches = _of_images(patches)
    flat = patches.reshape(-1, patches.shape[2])
    if codebook.kind == "threshold":
        code = np.searchsorted(codebook.cuts, flat.mean(axis=1), side="right")
        return np.asarray(code.reshape(patches.shape[:2]), dtype=np.int64)
    if codebook.kind == "exact":
        stacked, code = distinct_rows(np.concatenate([codebook.values, flat]))
        if len(stacked) != len(codebook.values):
            raise InputError("the exact codebook lacks some of these patches; fit it on all the images")
        # An exact codebook is sorted as the stack is, so that a row's place in the stack is its code.
        return code[len(codebook.values) :].reshape(patches.shape[:2])
    distinct, place = distinct_rows(flat)
    return _nearest(distinct, codebook.values)[place].reshape(patches.shape[:2])


def _nearest(distinct: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The nearest of the values (V, s) to each of the patches (D, s), the first at a tie."""
    code = np.empty(len(distinct), dtype=np.int64)
    # About a common centre, so that the squares do not cancel where patch values are far from 0.
    centre = values.mean(axis=0)
    values = values - centre
    for start in range(0, len(distinct), TOGETHER):
        part = distinct[start : start + TOGETHER] - centre
        # ‖x − c‖² less ‖x‖², which does not depend on the code.
        code[start : start + len(part)] = np.argmin((values**2).sum(axis=1) - 2 * part @ values.T, axis=1)
    return code


def encode(images: Images, patch: int, kind: CodebookKind = "kmeans", codes: int = 4, seed: int = 0) -> CodedImages:
    """Patchify images and quantise them with a codebook fitted on themselves.

    Raises:
        InputError: no images; see `patchify` and `fit_codebook`.
    """
    check_type(images, Images, "make_images(name, pixels, labels) of maskgraph.graphs.datasets makes them of arrays")
    codebook, coded = fit_and_assign(patchify(images.pixels, patch), images.weights, kind, codes, seed)
    return _coded(images, patch, codebook, coded)


def encode_split(
    train: Images, test: Images, patch: int, kind: CodebookKind = "kmeans", codes: int = 4, seed: int = 0
) -> tuple[CodedImages, CodedImages]:
    """Patchify training images and others and quantise both with the codebook of the training images.

    An exact codebook, which learns nothing, is that of both.

    Raises:
        InputError: see `patchify` and `fit_codebook`.
    """
    patches, weights = patchify(train.pixels, patch), train.weights
    if kind == "exact":
        patches = np.concatenate([patches, patchify(test.pixels, patch)])
        weights = np.concatenate([weights, test.weights])
    codebook, coded = fit_and_assign(patches, weights, kind, codes, seed)
    count = len(train.pixels)
    rest = coded[count:] if kind == "exact" else assign_codes(patchify(test.pixels, patch), codebook)
    return _coded(train, patch, codebook, coded[:count]), _coded(test, patch, codebook, rest)


def apply_codebook(images: Images, patch: int, codebook: Codebook) -> CodedImages:
    """Patchify images and quantise them with a codebook fitted elsewhere.

    Raises:
        InputError: see `patchify` and `assign_codes`.
    """
    check_type(images, Images, "make_images(name, pixels, labels) of maskgraph.graphs.datasets makes them of arrays")
    return _coded(images, patch, codebook, assign_codes(patchify(images.pixels, patch), codebook))


def _coded(images: Images, patch: int, codebook: Codebook, codes: NDArray[np.int64]) -> CodedImages:
    return CodedImages(
        images.name,
        codes,
        images.labels,
        images.weights,
        images.classes,
        (images.pixels.shape[1] // patch, images.pixels.shape[2] // patch),
        codebook.values,
        images.drawn,
        coding=Coding(patch, codebook.kind, len(codebook.values)),
    )


def _of_images(patches: NDArray[np.float64]) -> NDArray[np.float64]:
    patches = as_array(patches, "patches")
    if patches.ndim != 3 or patches.dtype.kind not in "fiub":
        raise InputError(
            f"patches has shape {patches.shape} and dtype {patches.dtype}; expected numbers (N, n, s), as patchify "
            "gives them"
        )
    if np.isnan(patches).any():
        raise InputError("patches contains nan; every value must be a number: drop or impute those images")
    return patches


def _divisors(height: int, width: int) -> list[int]:
    return [p for p in range(1, min(height, width) + 1) if height % p == width % p == 0 and height * width > p * p]
