"""Many samples of the class mixture at once: what their graphs say, from how often each image of the support was drawn.

M is linear in the weights of the images, and the support of a small mixture is a few hundred images of a few views: a
thousand samples are one matrix product and one batch of small eigenvalue problems, where a graph each would spend its
time on sparse bookkeeping. `tests/theory/test_bootstrap.py` holds each number to that of the graph itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import TIE
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory.bounds import water_filling
from maskgraph.theory.findings.finding import world_graph

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """What T samples say, target hop; each array has T rows.

    Attributes:
        values: (T, r) all eigenvalues of A that may differ from 0, descending.
        alpha: (T,) α.
        alpha_target: (T,) α of the target side.
        phi: (T,) φ.
        inter: (T,) inter-class mass.
        single: (T, 2) mass seen from one image only, visible and target side (`unseen.singleton_mass`).
        missing: (T, 2) the mass under the whole mixture of the vertices that the sample lacks: what `single` estimates.
        variance: (T,) Var(x2).
        explained: (T, d) the squared singular values of diag(p1)^-½ M X2, descending.
        energy: (T,) E‖x2‖².
    """

    values: Array
    alpha: Array
    alpha_target: Array
    phi: Array
    inter: Array
    single: Array
    missing: Array
    variance: Array
    explained: Array
    energy: Array

    def head(self, k: int) -> Array:
        """(T,) Σ_{i<=k} λ_i²."""
        return np.asarray((self.values[:, :k] ** 2).sum(axis=1))

    def tail(self, k: int) -> Array:
        """(T,) Σ_{i>k} λ_i²."""
        return np.asarray((self.values[:, k:] ** 2).sum(axis=1))

    def floor(self, k: int) -> Array:
        """(T,) the least L_MAE of an encoder of k dimensions with a linear decoder; the Bayes risk for k >= d."""
        return np.asarray(self.energy - self.explained[:, :k].sum(axis=1))

    def water_filling(self, k: int) -> Array:
        """(T,) S2 at L = 1 and λ = ¼."""
        return np.array([water_filling(values, 1.0, 0.25) for values in self.values[:, :k]])


@dataclass(frozen=True)
class MixtureWorld:
    """Two equiprobable classes of binary patches, all masks of one size: the support that samples are drawn from.

    Attributes:
        patches: n.
        flip: η.
        ratio: ρ.
        view: `sequence` or `positional`.
    """

    patches: int
    flip: float
    ratio: float
    view: View

    @cached_property
    def graph(self) -> MaskGraph:
        """The graph of the whole mixture, each image with its probability."""
        return world_graph(class_mixture(self.patches, self.flip), self.ratio, self.view)

    @property
    def masks(self) -> int:
        """S."""
        return len(self.graph.masks.kept)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(blocks, a, b): with positions M is one a × b block a mask, else it is one block."""
        blocks = self.masks if self.view == "positional" else 1
        return blocks, self.graph.M.shape[0] // blocks, self.graph.M.shape[1] // blocks

    @cached_property
    def cells(self) -> Counts:
        """(n images, S) int64, the entry of the blocks that an image falls on under a mask.

        Views are numbered mask by mask, and each mask has all 2^n1 and 2^n2 of them on the whole support.
        """
        blocks, _, b = self.shape
        block = np.arange(self.masks) % blocks
        return (self.graph.ids1 * b) + (self.graph.ids2 - block * b)

    @property
    def weights(self) -> Array:
        """(n images,) the probability of each image of the support."""
        return self.graph.images.weights

    def draw(self, rng: np.random.Generator, samples: int, count: int) -> Counts:
        """(samples, n images) int64: how often each image occurs in samples of `count` images."""
        return rng.multinomial(count, self.weights, size=samples)

    def measure(self, times: Array | Counts, masks: NDArray[np.int64] | None = None) -> Measured:
        """What the graphs of samples say.

        Args:
            times: (T, n images) how often each image occurs, or its weight.
            masks: the masks that are used, all of them where None; without positions only.
        """
        blocks, a, b = self.shape
        weight = times / times.sum(axis=1, keepdims=True)
        table, *shows = self._whole if masks is None else self._tables(masks)
        second = self.graph.images.labels == 1
        M = (weight @ table).reshape(-1, blocks, a, b)
        M2 = ((weight * second) @ table).reshape(M.shape)
        p1, p2 = M.sum(axis=3), M.sum(axis=2)
        B = M / np.sqrt(_positive(p1)[..., :, None] * _positive(p2)[..., None, :])
        gram = B @ B.swapaxes(2, 3) if a <= b else B.swapaxes(2, 3) @ B
        values = np.linalg.eigvalsh(gram).reshape(len(M), -1)
        label, alpha = _majority(p1, M2.sum(axis=3))
        targets = self.graph.X2.reshape(blocks, b, -1)
        outputs = (M @ targets / np.sqrt(_positive(p1))[..., None]).reshape(len(M), blocks * a, -1)
        explained = np.linalg.eigvalsh(outputs.swapaxes(1, 2) @ outputs)[:, ::-1]
        energy = np.einsum("tkb,kb->t", p2, (targets**2).sum(axis=2))
        mean = np.einsum("tkb,kbd->td", p2, targets)
        voted = np.einsum("tkab,tka->tkb", M, label)
        single, missing = zip(
            *(_seen(times, *side) for side in zip(shows, (p1, p2), self._masses, strict=True)), strict=True
        )
        return Measured(
            np.clip(-np.sort(-values, axis=1), 0, 1),
            alpha,
            _majority(p2, M2.sum(axis=2))[1],
            _disagreement(voted, p2),
            _disagreement(M2.sum(axis=2), p2),
            np.stack(single, axis=1),
            np.stack(missing, axis=1),
            energy - (mean**2).sum(axis=1),
            explained,
            energy,
        )

    @cached_property
    def _whole(self) -> tuple[Array, Array, Array]:
        return self._tables(np.arange(self.masks))

    @property
    def _masses(self) -> tuple[Array, Array]:
        return self.graph.p1, self.graph.p2

    def _tables(self, used: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """(n images, blocks·a·b) the share of an image's masks that put it on each entry, and which views it shows.

        The second and third are (n images, N1) and (n images, N2), 0 or 1.
        """
        size = int(np.prod(self.shape))
        count = len(self.cells)
        key = (np.arange(count)[:, None] * size + self.cells[:, used]).ravel()
        table = np.bincount(key, minlength=count * size).reshape(count, size) / len(used)
        shows = [np.zeros((count, len(mass))) for mass in self._masses]
        for known, ids in zip(shows, (self.graph.ids1, self.graph.ids2), strict=True):
            np.put_along_axis(known, ids[:, used], 1, axis=1)
        return table, shows[0], shows[1]


def _seen(times: Array | Counts, shows: Array, p: Array, mass: Array) -> tuple[Array, Array]:
    """(T,) the samples' mass of the views that one image shows; (T,) the data's mass of those that none shows."""
    # Sums of whole numbers below 2⁵³: exact.
    seen = times @ shows
    return np.where(seen == 1, p.reshape(seen.shape), 0).sum(axis=1), np.where(seen == 0, mass, 0).sum(axis=1)


def _majority(mass: Array, second: Array) -> tuple[NDArray[np.int64], Array]:
    """(T, blocks, views) int64 class that most of a view's mass is of, the lower one at a tie; (T,) mass of the others.

    `majority_class` of dense masses, some of which are 0.
    """
    classes = np.stack([mass - second, second], axis=-1)
    label = (classes[..., 0] < classes.max(axis=-1) * (1 - TIE)).astype(np.int64)
    own = np.take_along_axis(classes, label[..., None], axis=-1)[..., 0]
    return label, 1 - own.sum(axis=(1, 2))


def _positive(mass: Array) -> Array:
    """Where a sample lacks a view, 1: its row of M is 0 and stays so."""
    return np.where(mass > 0, mass, 1)


def _disagreement(part: Array, mass: Array) -> Array:
    """(T,) Pr[two independent draws given a shared thing fall on either side], from (T, blocks, b) masses."""
    return np.asarray((2 * part * (mass - part) / _positive(mass)).sum(axis=(1, 2)))
