"""How much of the class a frozen feature holds: linear, kNN and few-shot probes on held-out images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from maskgraph.empirical.data import patch_values
from maskgraph.empirical.model import FeatureKind, MaskedModel, check_patches
from maskgraph.empirical.pixels import check_labels
from maskgraph.empirical.spectra import unit
from maskgraph.empirical.streams import Use
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import ROUNDED, InputError, kind_of
from maskgraph.graphs.views import View, arrange, known_positions

NEIGHBOURS = 5
SHOTS = 5
DRAWS = 4
BATCH = 1024
"""Images that are encoded at a time."""

COSINES = 2**24
"""Cosines that nearest neighbours are looked for among at a time, and most votes: they and their order take 256 MB."""


@dataclass(frozen=True)
class Labelled:
    """Features with the labels and masses of their images.

    Attributes:
        x: (N, D) float64.
        y: (N,) int64 classes.
        weights: (N,) masses, sum 1.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        """See that a probe fits them: several answer to wrong labels and masses, and wrongly."""
        expected = "expected an array (N, D) of finite floats, at least one row"
        if not isinstance(self.x, np.ndarray):
            raise InputError(f"features are {kind_of(self.x)}; {expected}")
        if self.x.ndim != 2 or not len(self.x) or self.x.dtype.kind != "f":
            raise InputError(f"features have shape {self.x.shape} and dtype {self.x.dtype}; {expected}")
        if not np.isfinite(self.x).all():
            raise InputError(f"features contain {self.x[~np.isfinite(self.x)][0]}; {expected}")
        check_labels(self.y, "features")
        for name, values in (("labels", self.y), ("weights", self.weights)):
            if np.shape(values) != (len(self.x),):
                raise InputError(f"{name} of shape {np.shape(values)} for {len(self.x)} features; expected one each")
        total = float(np.sum(self.weights))
        if not abs(total - 1) < ROUNDED or np.min(self.weights) < 0:
            raise InputError(f"weights sum to {total:g}; expected masses from 0 that sum to 1: weights / weights.sum()")


@dataclass(frozen=True)
class ProbeScores:
    """Accuracies on held-out images, weighted by their masses.

    Attributes:
        linear: logistic regression on standardised features, all training labels.
        knn: 5 nearest neighbours by cosine, votes worth their training mass; recipes ask as published (`knn_probe`).
        few_shot: logistic regression on 5 labels a class, mean of 4 draws.
    """

    linear: float
    knn: float
    few_shot: float


def check_classes(name: str, labels: NDArray[np.int64]) -> None:
    """Raise InputError for images of one class, which any probe knows."""
    if len(np.unique(labels)) < 2:
        raise InputError(f"all images of {name} are of one class, which any probe knows; expected two or more")


def full_features(
    model: MaskedModel, images: CodedImages, view: View, kinds: Sequence[FeatureKind]
) -> dict[FeatureKind, NDArray[np.float64]]:
    """(N, D) features of whole images by kind, all patches visible, at the positions that the view lets a model know.

    Raises:
        InputError: images without patch values, or that are cut into other patches than the model's.
    """
    values = patch_values(images)
    check_patches(model, images.name, images.grid, values.shape[1])
    parameter = next(model.parameters())
    codebook = torch.as_tensor(values, dtype=parameter.dtype, device=parameter.device)
    everywhere, nothing = np.arange(images.patches)[None, :], np.empty((1, 0), dtype=np.int64)
    positions, slots = (
        torch.as_tensor(side.copy(), device=parameter.device) for side in known_positions(view, everywhere, nothing)
    )
    parts = []
    with torch.no_grad():
        for start in range(0, len(images.codes), BATCH):
            codes = torch.as_tensor(arrange(view, images.codes[start : start + BATCH]), device=parameter.device)
            tokens = model.encode(codebook[codes], positions.expand(len(codes), -1), slots.expand(len(codes), -1))
            parts.append([model.feature(tokens, kind).cpu().double().numpy() for kind in kinds])
    return {kind: np.concatenate(part) for kind, part in zip(kinds, zip(*parts, strict=True), strict=True)}


def pixel_features(images: CodedImages) -> NDArray[np.float64]:
    """(N, n·s) the patch values themselves: the baseline that any feature should beat.

    Raises:
        InputError: images without patch values.
    """
    return patch_values(images)[images.codes].reshape(len(images.codes), -1)


def probe(train: Labelled, test: Labelled, seed: int) -> ProbeScores:
    """Fit the probes on training images and score them on held-out ones.

    Args:
        train: what the probes are fitted on.
        test: what they are scored on; no image of `train`.
        seed: of the few-shot draws.
    """
    few = [_accuracy(predicted, test) for predicted in few_shot_probe(train, test.x, seed)]
    standard, asked = standardised(train, test.x)
    return ProbeScores(
        linear=_accuracy(_logistic(standard, asked), test),
        knn=_accuracy(knn_probe(train, test.x, NEIGHBOURS, math.inf), test),
        few_shot=float(np.mean(few)),
    )


def few_shot_probe(train: Labelled, test: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The classes that logistic regressions on `SHOTS` labels a class give, one a draw of the labels.

    Args:
        train: what the labels are drawn from; features are centred and scaled by all of it.
        test: (N, D).
        seed: of the draws.

    Returns:
        (DRAWS, N) int64.
    """
    standard, asked = standardised(train, test)
    rng = np.random.default_rng([seed, Use.FEW_SHOT])
    return np.stack([_logistic(_few(standard, rng), asked) for _ in range(DRAWS)])


def knn_probe(
    train: Labelled, test: NDArray[np.float64], neighbours: int = 20, temperature: float = 0.07
) -> NDArray[np.int64]:
    """The class with the most votes among the nearest by cosine, each worth exp(cosine/T) (Wu et al. 2018, 1805.01978).

    Of 200 neighbours there; of 20 by Caron et al. 2021 (arXiv 2104.14294), whose code names that number the best.

    Args:
        train: features, classes and masses; a vote is worth its mass, too.
        test: (N, D).
        neighbours: how many vote; all of them where there are fewer.
        temperature: T; infinite: all cosines are worth the same.
    """
    opposite, asked = -unit(train.x), unit(test)
    count, classes = min(neighbours, len(opposite)), int(train.y.max()) + 1
    # A power of two: rows beyond the last whole tile of a product are rounded differently, and ties fall another way.
    together = 2 ** int(math.log2(max(COSINES // max(len(opposite), classes), 1)))
    found = []
    for start in range(0, len(asked), together):
        apart = asked[start : start + together] @ opposite.T
        nearest = np.argpartition(apart, count - 1, axis=1)[:, :count]
        vote = train.weights[nearest] * np.exp((-np.take_along_axis(apart, nearest, axis=1) - 1) / temperature)
        place = np.arange(len(vote))[:, None] * classes + train.y[nearest]
        votes = np.bincount(place.ravel(), vote.ravel(), minlength=len(vote) * classes)
        found.append(votes.reshape(-1, classes).argmax(axis=1))
    return np.concatenate(found).astype(np.int64)


def standardised(fitted: Labelled, asked: NDArray[np.float64]) -> tuple[Labelled, NDArray[np.float64]]:
    """Both centred and scaled by the weighted mean and spread of what is fitted; constant features become 0."""
    mean = fitted.weights @ fitted.x
    spread = np.sqrt(fitted.weights @ (fitted.x - mean) ** 2)
    # What rounding of the mean leaves of a constant feature is no spread, and must not be blown up to one.
    rounding = len(fitted.x) * np.finfo(np.float64).eps * np.abs(fitted.x).max(axis=0)
    scale = np.where(spread > rounding, spread, 1)
    return Labelled((fitted.x - mean) / scale, fitted.y, fitted.weights), (asked - mean) / scale


def _accuracy(predicted: NDArray[np.int64], test: Labelled) -> float:
    return float(test.weights[predicted == test.y].sum() / test.weights.sum())


def _logistic(train: Labelled, asked: NDArray[np.float64]) -> NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(train.y)) == 1:
        return np.full(len(asked), train.y[0])
    fitted = LogisticRegression(max_iter=5000)
    fitted.fit(train.x, train.y, sample_weight=train.weights / train.weights.mean())
    return np.asarray(fitted.predict(asked), dtype=np.int64)


def _few(train: Labelled, rng: np.random.Generator) -> Labelled:
    rows = np.concatenate([rng.permutation(np.flatnonzero(train.y == y))[:SHOTS] for y in np.unique(train.y)])
    weights = train.weights[rows]
    return Labelled(train.x[rows], train.y[rows], weights / weights.sum())
