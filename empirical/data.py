"""What a model is trained on: batches of visible and target views, on the device that trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.placed import placed
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View, arrange, known_positions

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Some images under one mask each.

    Attributes:
        visible: (B, n1, s) float32, what is shown.
        target: (B, n2, s) float32, what is asked for.
        positions: (B, n1) int64 in 0..n of what is shown, as far as the model may know them.
        slots: (B, n2) int64 of what is asked for.
        weights: (B,) float32, data weights relative to uniform.
    """

    visible: Tensor
    target: Tensor
    positions: Tensor
    slots: Tensor
    weights: Tensor


class TrainingSet(Protocol):
    """Images that batches are made of.

    Attributes:
        grid: (rows, columns) of the patches.
        patch_dim: s, values of a patch.
    """

    grid: tuple[int, int]
    patch_dim: int

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def draw(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """What chance has to say about the augmentation of `size` images, a row each."""
        ...

    def prepare(self, rows: Rows, draws: NDArray[np.float64]) -> None:
        """Begin whatever takes long of a batch that will be asked for next."""
        ...

    def batch(self, rows: Rows, kept: Rows, dropped: Rows, draws: NDArray[np.float64]) -> Batch:
        """Images under masks.

        Args:
            rows: (B,) which images.
            kept: (B, n1) patches that are shown, ascending.
            dropped: (B, n2) the others, ascending.
            draws: (B, ·) as `draw` gives them.
        """
        ...


def patch_values(images: CodedImages) -> NDArray[np.float64]:
    """(V, s) the values of each code.

    Raises:
        InputError: images without patch values.
    """
    if images.codebook is None:
        raise InputError(
            f"{images.name} has codes but no patch values to show a network; add a codebook (V, s) to the .npz"
        )
    return images.codebook


def coded_digest(images: CodedImages) -> str:
    """A fingerprint of all that a model sees of coded images: codes, weights, codebook and grid.

    Raises:
        InputError: images without patch values.
    """
    return fingerprint(images.codes, images.weights, patch_values(images), np.array(images.grid))


class CodedSet:
    """Coded images, made of the patch values that their graph sees."""

    def __init__(self, images: CodedImages, view: View, device: torch.device) -> None:
        """Put them on a device.

        Raises:
            InputError: images without patch values.
        """
        codebook = patch_values(images)
        self.images, self.view, self.device = images, view, device
        self.grid, self.patch_dim = images.grid, int(codebook.shape[1])
        self._codebook = torch.as_tensor(codebook, dtype=torch.float32, device=device)
        weights = images.weights * len(images.weights)
        self._weights = torch.as_tensor(weights, dtype=torch.float32, device=device)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.images.codes)

    def draw(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Nothing: vertices are not augmented."""
        return np.empty((size, 0))

    def prepare(self, rows: Rows, draws: NDArray[np.float64]) -> None:
        """Nothing: all images are here."""

    def batch(self, rows: Rows, kept: Rows, dropped: Rows, draws: NDArray[np.float64]) -> Batch:
        """Images under masks, their patches in the order of the vertex (see `TrainingSet.batch`)."""
        codes = self.images.codes[rows]
        visible, target = (arrange(self.view, np.take_along_axis(codes, side, axis=1)) for side in (kept, dropped))
        # Copies: positions that all views share are a read-only broadcast, which a tensor cannot stand on.
        arrays = (rows, visible, target, *(side.copy() for side in known_positions(self.view, kept, dropped)))
        index, seen, hidden, positions, slots = (placed(array, self.device) for array in arrays)
        return Batch(self._codebook[seen], self._codebook[hidden], positions, slots, self._weights[index])
