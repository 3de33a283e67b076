"""Worlds made to order: the class mixture, whose spectrum has a closed form, and any joint distribution of views."""

from __future__ import annotations

import itertools
import math
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.errors import InputError, check_type, is_whole, unknown
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.memory import check_memory
from maskgraph.graphs.seeds import check_seed

MAX_ENUMERATED = 200_000
"""Most (class, image) pairs that are enumerated with their exact weights."""


def class_mixture(patches: int, flip: float, classes: int = 2, images: int | None = None, seed: int = 0) -> CodedImages:
    """Equiprobable classes; each patch shows its class with probability 1 − flip, else another code.

    The world of the closed forms (`theory.closed_form`): y is uniform on 0..C-1, the patches are independent
    given y, a patch equals y with probability 1 − flip and each other code with probability flip / (C − 1). The
    patch value of a code is its one-hot vector, or the number 0 or 1 where there are two classes.

    Args:
        patches: n >= 2 patches an image.
        flip: the probability η in [0, 1] that a patch does not show its class.
        classes: C >= 2 classes, and as many codes.
        images: how many images to draw; None enumerates every (class, image) with its exact weight.
        seed: of the draw.

    Raises:
        InputError: a parameter out of range or of another type, a world too large to enumerate, or images beyond
            memory.
    """
    check_seed(seed)
    numbers = is_whole(patches) and is_whole(classes) and isinstance(flip, Real)
    if not numbers or patches < 2 or classes < 2 or not 0 <= flip <= 1:
        raise InputError(
            f"a class mixture with n={patches}, classes={classes}, eta={flip!r}; expected n >= 2, classes >= 2, both "
            "integers, and 0 <= eta <= 1"
        )
    name = f"mixture:n={patches},eta={flip:g},classes={classes}"
    if images is None:
        # As logarithms: the number itself can have more digits than Python prints.
        if (patches + 1) * math.log(classes) > math.log(MAX_ENUMERATED):
            raise InputError(
                f"{name} has {classes}^{patches + 1} (class, image) pairs, more than the {MAX_ENUMERATED} that are "
                "enumerated; draw some of its images (see --images)"
            )
    elif not is_whole(images) or images < 1:
        raise InputError(f"images={images}; expected at least 1, an integer")
    else:
        # Codes, what they are drawn from, and a one-hot patch value of every code.
        check_memory(
            8.0 * (5 * images * patches + classes**2), f"{images} images of {name}", "lower --images, n or classes"
        )
    codebook = np.arange(2.0)[:, None] if classes == 2 else np.eye(classes)
    if images is not None:
        rng = np.random.default_rng(seed)
        labels = rng.integers(classes, size=images)
        other = (labels[:, None] + rng.integers(1, classes, size=(images, patches))) % classes
        codes = np.where(rng.random((images, patches)) < flip, other, labels[:, None])
        return make_coded_images(name, codes, labels, codebook=codebook, grid=(1, patches))
    likelihood = np.full((classes, classes), flip / (classes - 1))
    np.fill_diagonal(likelihood, 1 - flip)
    every = np.array(list(itertools.product(range(classes), repeat=patches)))
    codes = np.tile(every, (classes, 1))
    labels = np.repeat(np.arange(classes), len(every))
    weights = likelihood[labels[:, None], codes].prod(axis=1)
    return make_coded_images(name, codes, labels, weights, codebook, grid=(1, patches))


def load_mixture(spec: str, images: int | None = None, seed: int = 0) -> CodedImages:
    """Read `mixture` or `mixture:n=8,eta=0.3,classes=2` (the values shown are the defaults).

    Raises:
        InputError: an unknown key, one that is set twice, or a value of the wrong type.
    """
    check_type(spec, str, "give mixture:n=8,eta=0.3,classes=2")
    values: dict[str, float] = {"n": 8, "eta": 0.3, "classes": 2}
    given: set[str] = set()
    for item in filter(None, spec.partition(":")[2].split(",")):
        key, _, text = item.partition("=")
        if key not in values:
            raise unknown("key", key, values, f"{spec!r}", also=", as in mixture:n=8,eta=0.3")
        if key in given:
            raise InputError(f"{spec!r} sets {key} twice; set it once")
        given.add(key)
        try:
            values[key] = float(text) if key == "eta" else int(text)
        except ValueError as error:
            kind = "a number" if key == "eta" else "an integer"
            raise InputError(f"{spec!r} sets {key} to {text!r}; expected {kind}") from error
    return class_mixture(int(values["n"]), values["eta"], int(values["classes"]), images, seed)


def joint_graph(
    M: ArrayLike | sp.sparray | sp.spmatrix, X2: ArrayLike | None = None, labels: ArrayLike | None = None
) -> MaskGraph:
    """The mask graph of any joint distribution of views: images (x1, x2) of two patches under one mask.

    So a bipartite graph of one's own becomes one that everything here takes, its mask ratio 1/2.

    Args:
        M: (N1, N2) non-negative, dense or scipy sparse, without empty rows or columns; normalised to sum 1.
        X2: (N2, s) target values; None: no patch values.
        labels: integers, the class of the image (x1, x2), (N1, N2) or what is repeated to it: (N1, 1) gives a class
            to each x1, (1, N2) to each x2; None: one class.

    Raises:
        InputError: no matrix of numbers, arrays that do not fit each other, or a row or column of M without mass.
    """
    rows, columns, mass, shape = _masses(M)
    targets, classes = (None if value is None else np.asarray(value) for value in (X2, labels))
    fit = (targets is None or (targets.ndim == 2 and len(targets) == shape[1])) and (
        classes is None
        or (classes.ndim == 2 and classes.shape[0] in (1, shape[0]) and classes.shape[1] in (1, shape[1]))
    )
    if not fit:
        raise InputError(
            f"targets of shape {None if targets is None else targets.shape} and labels of shape "
            f"{None if classes is None else classes.shape} for a joint distribution of shape {shape}; expected "
            f"({shape[1]}, s) and {shape}"
        )
    codebook = None
    if targets is not None:
        codebook = np.zeros((max(shape), targets.shape[1]), dtype=targets.dtype)
        codebook[: len(targets)] = targets
    label = np.zeros(len(rows), dtype=np.int64) if classes is None else np.broadcast_to(classes, shape)[rows, columns]
    images = make_coded_images("joint", np.stack([rows, columns], axis=1), label, mass, codebook)
    return mask_graph(images, make_mask_set(np.array([[0]]), 2), "sequence")


def _masses(M: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], tuple[int, int]]:
    """Row, column and mass of each positive entry, row by row, and the shape."""
    sparse = sp.issparse(M)
    if not (sparse or isinstance(M, np.ndarray | list | tuple)):
        raise InputError(
            f"a {type(M).__name__} is no joint distribution; give an (N1, N2) array or scipy sparse matrix of masses, "
            "of a networkx graph networkx.bipartite.biadjacency_matrix(graph, rows, columns)"
        )
    matrix = M if sparse else np.asarray(M)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise InputError(
            f"a joint distribution of shape {matrix.shape} and dtype {matrix.dtype}; expected (N1, N2) real numbers"
        )
    # Entries row by row, several in one place summed, as a dense matrix has them; the caller's stay as they are.
    entries = sp.csr_array(matrix, dtype=np.float64, copy=True)
    entries.sum_duplicates()
    mass = entries.data
    if (np.isfinite(mass) & (mass >= 0)).all():
        entries.eliminate_zeros()
        if all(np.diff(one.indptr).all() for one in (entries, entries.tocsc())) and entries.nnz:
            found = entries.tocoo()
            return (
                found.row.astype(np.int64),
                found.col.astype(np.int64),
                found.data,
                (matrix.shape[0], matrix.shape[1]),
            )
    raise InputError(
        f"a joint distribution of shape {matrix.shape}; expected finite masses, some in each row and column"
    )
