"""Worlds made to order: the class mixture, whose spectrum has a closed form, and any joint distribution of views."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.memory import check_memory

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
        InputError: a parameter out of range, a world too large to enumerate, or images beyond memory.
    """
    if patches < 2 or classes < 2 or not 0 <= flip <= 1:
        raise InputError(
            f"a class mixture with n={patches}, classes={classes}, eta={flip}; expected n >= 2, classes >= 2, "
            "0 <= eta <= 1"
        )
    name = f"mixture:n={patches},eta={flip:g},classes={classes}"
    if images is None:
        # As logarithms: the number itself can have more digits than Python prints.
        if (patches + 1) * math.log(classes) > math.log(MAX_ENUMERATED):
            raise InputError(
                f"{name} has {classes}^{patches + 1} (class, image) pairs, more than the {MAX_ENUMERATED} that are "
                "enumerated; draw some of its images (see --images)"
            )
    elif images < 1:
        raise InputError(f"images={images}; expected at least 1")
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
    values: dict[str, float] = {"n": 8, "eta": 0.3, "classes": 2}
    given: set[str] = set()
    for item in filter(None, spec.partition(":")[2].split(",")):
        key, _, text = item.partition("=")
        if key not in values:
            raise InputError(f"{spec!r} sets {key!r}; a mixture has the keys {', '.join(values)}: mixture:n=8,eta=0.3")
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
    M: NDArray[np.float64], X2: NDArray[np.float64] | None = None, labels: NDArray[np.int64] | None = None
) -> MaskGraph:
    """The mask graph of any joint distribution of views: images (x1, x2) of two patches under one mask.

    Args:
        M: (N1, N2) non-negative, without empty rows or columns; normalised to sum 1.
        X2: (N2, s) target values; None: no patch values.
        labels: (N1, N2) class of the image (x1, x2); None: one class.

    Raises:
        InputError: arrays that do not fit each other, or a row or column of M without mass.
    """
    if M.ndim != 2 or not (np.isfinite(M).all() and (M >= 0).all() and M.any(axis=0).all() and M.any(axis=1).all()):
        raise InputError(
            f"a joint distribution of shape {M.shape}; expected finite masses, some in each row and column"
        )
    if (X2 is not None and len(X2) != M.shape[1]) or (labels is not None and labels.shape != M.shape):
        raise InputError(
            f"targets of shape {None if X2 is None else X2.shape} and labels of shape "
            f"{None if labels is None else labels.shape} for a joint distribution of shape {M.shape}"
        )
    rows, columns = np.nonzero(M)
    codebook = None
    if X2 is not None:
        codebook = np.zeros((max(M.shape), X2.shape[1]))
        codebook[: len(X2)] = X2
    label = np.zeros(len(rows), dtype=np.int64) if labels is None else labels[rows, columns]
    images = make_coded_images("joint", np.stack([rows, columns], axis=1), label, M[rows, columns], codebook)
    return mask_graph(images, make_mask_set(np.array([[0]]), 2), "sequence")
