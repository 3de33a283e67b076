"""Small data and models that the tests of this folder share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch

from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.model import MaskedModel, build_model, model_config
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.train import TrainedModel
from maskgraph.graphs.datasets import CodedImages, make_coded_images

GRID = (2, 3)
PATCH_DIM = 3

SHORT = TrainConfig(method="u-mae", mask_ratio=0.5, lam=0.1, epochs=6, batch=4, device="cpu")
"""18 steps on `images()`, the third of each epoch on a batch of 2."""

GROUPED = dataclasses.replace(SHORT, diagonal=False, queue=3, lam=0.5)
"""The same with all that parts of a batch must know of each other."""


def images(count: int = 10, seed: int = 0) -> CodedImages:
    """Images of unequal weights whose patches are all distinct: a patch value tells image and position."""
    rng = np.random.default_rng(seed)
    patches = GRID[0] * GRID[1]
    codes = rng.permutation(count * patches).reshape(count, patches)
    codebook = rng.normal(size=(count * patches, PATCH_DIM))
    return make_coded_images("toy", codes, np.arange(count) % 2, rng.uniform(0.2, 1, count), codebook, GRID)


def double_model(changes: Mapping[str, object] | None = None, seed: int = 0) -> MaskedModel:
    """A micro model in float64, every parameter moved off the zeros and ones of its initialisation."""
    model = build_model(model_config("micro", GRID, PATCH_DIM, **(changes or {})), seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64), alpha=0.1)
    return model


def with_(config: TrainConfig, **changes: object) -> TrainConfig:
    """The configuration with some fields changed, unchecked by types as a user's would be."""
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def assert_same_bits(a: TrainedModel, b: TrainedModel) -> None:
    """Two models agree in every bit of every parameter and of every loss on the way."""
    left, right = a.model.state_dict(), b.model.state_dict()
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name
    np.testing.assert_array_equal(a.losses, b.losses)


def pixels(augmentation: Augmentation | None = None, channels: int = 3, count: int = 12) -> Pixels:
    """Random images of 8x8 pixels in patches of 4x4, of three classes."""
    values = np.random.default_rng(0).integers(256, size=(count, 8, 8, channels), dtype=np.uint8)
    mean, std = channel_statistics(values, 255)
    return Pixels("noise", values, 255, np.arange(count) % 3, 4, mean, std, augmentation or Augmentation())
