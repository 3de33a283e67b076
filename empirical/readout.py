"""What a network says of images: features of whole images, of every block, and of several masked views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.data import Rows
from maskgraph.empirical.model import FeatureKind, MaskedModel
from maskgraph.empirical.pixels import Pixels, masked
from maskgraph.empirical.stream import Stream, image_set
from maskgraph.graphs.masks import MaskDistribution, make_mask_set

BATCH = 512

Features = NDArray[np.float64]


def whole_features(
    model: MaskedModel, images: Pixels | Stream, kinds: Sequence[FeatureKind]
) -> dict[FeatureKind, Features]:
    """(N, D) of each kind for images that are shown whole, without augmentation.

    Args:
        model: on any device; it is run in evaluation mode as it is.
        images: N of them.
        kinds: those of `model.features`.
    """

    def read(patches: Tensor, at: Tensor) -> list[Tensor]:
        tokens = model.encode(patches, at, at[:, :0])
        return [model.feature(tokens, kind) for kind in kinds]

    return dict(zip(kinds, _read(model, images, read), strict=True))


def layer_features(model: MaskedModel, images: Pixels | Stream) -> list[dict[FeatureKind, Features]]:
    """Cls and mean features (N, dim) of whole images after every block, the last one's normalised."""

    def read(patches: Tensor, at: Tensor) -> list[Tensor]:
        pooled: list[Tensor] = []
        for tokens in model.layers(patches, at):
            pooled += [model.feature(tokens, "cls"), model.feature(tokens, "mean")]
        return pooled

    found = _read(model, images, read)
    return [{"cls": found[index], "mean": found[index + 1]} for index in range(0, len(found), 2)]


def view_features(
    model: MaskedModel, images: Pixels | Stream, masks: MaskDistribution, views: int, seed: int, kind: FeatureKind
) -> Features:
    """(N, q, D) features of images under q masks each, drawn independently from `seed`.

    Args:
        model: the network.
        images: N of them.
        masks: distribution of the masks.
        views: q.
        seed: of the masks.
        kind: the feature.
    """
    rng = np.random.default_rng([seed, 5])
    data, parts = image_set(images, _device(model)), []
    for rows in _batches(len(data)):
        patches = data.whole(rows)
        for_image = []
        for _ in range(views):
            mask = make_mask_set(masks.sample(rng, len(rows)), masks.patches)
            batch = masked(patches, mask.kept, mask.dropped)
            with torch.no_grad():
                tokens = model.encode(batch.visible, batch.positions, batch.slots)
                for_image.append(_float64(model.feature(tokens, kind)))
        parts.append(np.stack(for_image, axis=1))
    return np.concatenate(parts)


def pixel_vectors(images: Pixels) -> Features:
    """(N, H·W·C) the pixels themselves, centred and scaled as a network sees them: what any feature should beat."""
    values = (images.pixels / images.full - images.mean) / images.std
    return np.asarray(values.reshape(len(values), -1))


def _read(
    model: MaskedModel, images: Pixels | Stream, read: Callable[[Tensor, Tensor], Sequence[Tensor]]
) -> list[Features]:
    data = image_set(images, _device(model))
    at = torch.arange(data.grid[0] * data.grid[1], device=data.device)
    parts = []
    with torch.no_grad():
        for rows in _batches(len(data)):
            parts.append([_float64(one) for one in read(data.whole(rows), at.expand(len(rows), -1))])
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def _batches(count: int) -> Iterator[Rows]:
    return (np.arange(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def _device(model: MaskedModel) -> torch.device:
    return next(model.parameters()).device


def _float64(tensor: Tensor) -> Features:
    return tensor.cpu().numpy().astype(np.float64)
