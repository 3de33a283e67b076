"""The mask graph: the joint distribution of the visible and the target view of one image under one mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskSet
from maskgraph.graphs.views import View, arrange, check_view, view_ids


@dataclass(frozen=True)
class MaskGraph:
    """M(x1, x2) = E_x̄ E_m 1[x̄ under m shows x1 and hides x2] (How Mask Matters, section 3.1).

    Attributes:
        images: the N images that were masked.
        masks: the S masks.
        view: when two views are the same vertex.
        ids1: (N, S) int64, the vertex x1 of each image under each mask.
        ids2: (N, S) int64, the vertex x2 likewise.
        M: (N1, N2) float64 CSR, sums to 1.
    """

    images: CodedImages
    masks: MaskSet
    view: View
    ids1: NDArray[np.int64]
    ids2: NDArray[np.int64]
    M: sp.csr_array

    @cached_property
    def p1(self) -> NDArray[np.float64]:
        """(N1,) marginal of the visible view, positive."""
        return np.asarray(self.M.sum(axis=1), dtype=np.float64).ravel()

    @cached_property
    def p2(self) -> NDArray[np.float64]:
        """(N2,) marginal of the target view, positive."""
        return np.asarray(self.M.sum(axis=0), dtype=np.float64).ravel()

    @cached_property
    def R1(self) -> sp.csr_array:
        """(N1, N) CSR, the joint distribution of visible view and image."""
        return self._with_images(self.ids1, len(self.p1))

    @cached_property
    def R2(self) -> sp.csr_array:
        """(N2, N) CSR, the joint distribution of target view and image."""
        return self._with_images(self.ids2, len(self.p2))

    @cached_property
    def class_mass1(self) -> NDArray[np.float64]:
        """(N1, C) joint distribution of the visible view and the image's class."""
        return np.asarray(self.R1 @ self._onehot())

    @cached_property
    def class_mass2(self) -> NDArray[np.float64]:
        """(N2, C) joint distribution of the target view and the image's class."""
        return np.asarray(self.R2 @ self._onehot())

    @cached_property
    def representatives1(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(image, mask) indices, each (N1,): one place where each visible view occurs."""
        return _representatives(self.ids1, len(self.p1))

    @cached_property
    def representatives2(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(image, mask) indices, each (N2,): one place where each target view occurs."""
        return _representatives(self.ids2, len(self.p2))

    @cached_property
    def codes1(self) -> NDArray[np.int64]:
        """(N1, n1) int64 codes of each visible view, in the order of its vertex."""
        image, mask = self.representatives1
        return arrange(self.view, self.images.codes[image[:, None], self.masks.kept[mask]])

    @cached_property
    def codes2(self) -> NDArray[np.int64]:
        """(N2, n2) int64 codes of each target view, in the order of its vertex."""
        image, mask = self.representatives2
        return arrange(self.view, self.images.codes[image[:, None], self.masks.dropped[mask]])

    @cached_property
    def X2(self) -> NDArray[np.float64]:
        """(N2, d) float64, the target vectors, d = n2·s.

        Raises:
            InputError: codes without a codebook have no patch values.
        """
        if self.images.codebook is None:
            raise InputError(
                f"{self.images.name} has codes but no patch values, and this quantity is about values; "
                "add a codebook (V, s) to the .npz"
            )
        return self.images.codebook[self.codes2].reshape(len(self.p2), -1)

    def _with_images(self, ids: NDArray[np.int64], vertices: int) -> sp.csr_array:
        count, masks = ids.shape
        mass = np.repeat(self.images.weights / masks, masks)
        image = np.repeat(np.arange(count), masks)
        return sp.csr_array((mass, (ids.ravel(), image)), shape=(vertices, count))

    def _onehot(self) -> NDArray[np.float64]:
        return np.eye(len(self.images.classes))[self.images.labels]


def mask_graph(images: CodedImages, masks: MaskSet, view: View = "positional") -> MaskGraph:
    """Build the mask graph of images under masks.

    Args:
        images: N images of n patches with weights.
        masks: S equiprobable masks of n patches.
        view: when two views are the same vertex.

    Raises:
        InputError: masks of another number of patches, or an unknown view identity.
    """
    check_view(view)
    n = masks.kept.shape[1] + masks.dropped.shape[1]
    if n != images.patches:
        raise InputError(f"the masks are over {n} patches and the images have {images.patches}")
    ids1, ids2 = view_ids(images.codes, masks, view)
    shape = (int(ids1.max()) + 1, int(ids2.max()) + 1)
    mass = np.repeat(images.weights / len(masks.kept), len(masks.kept))
    M = sp.csr_array((mass, (ids1.ravel(), ids2.ravel())), shape=shape)
    return MaskGraph(images, masks, view, ids1, ids2, M)


def _representatives(ids: NDArray[np.int64], vertices: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    place = np.empty(vertices, dtype=np.int64)
    # Written back to front, so that the first occurrence is the one that stays.
    place[ids.ravel()[::-1]] = np.arange(ids.size)[::-1]
    image, mask = np.divmod(place, ids.shape[1])
    return image, mask
