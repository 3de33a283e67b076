"""What a training draws: which images, under which masks, augmented how. A function of the seed and the step alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.data import TrainingSet
from maskgraph.empirical.streams import Use
from maskgraph.graphs.masks import dropped_patches

Draw = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""The rows of a batch, the patches of each that are kept and dropped, and what chance says of its augmentation."""


class Draws:
    """The batches of a training.

    Attributes:
        batches: steps of an epoch; the last one's batch may be smaller.
        steps: of all epochs.
    """

    def __init__(self, data: TrainingSet, config: TrainConfig) -> None:
        self._data, self._config = data, config
        self._masks = config.masks(data.grid)
        self.batches = math.ceil(len(data) / config.batch)
        self.steps = self.batches * config.epochs
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def at(self, step: int) -> Draw:
        """What one step draws."""
        (epoch, index), seed, batch = divmod(step, self.batches), self._config.seed, self._config.batch
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([seed, Use.ORDER, epoch]).permutation(len(self._data)))
        rows = self._order[1][index * batch : (index + 1) * batch]
        masks, augmentation = (np.random.default_rng([seed, use, step]) for use in (Use.MASKS, Use.AUGMENTATION))
        kept = self._masks.sample(masks, len(rows))
        dropped = dropped_patches(kept, self._masks.patches)
        return rows, kept, dropped, self._data.draw(augmentation, len(rows))
