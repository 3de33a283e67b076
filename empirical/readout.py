"""What a network says of images: features of whole images, of every block, and of several masked views.

They are computed in the dtype of the network's parameters, and float64 whatever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.data import Rows
from maskgraph.empirical.group import Group, check_group
from maskgraph.empirical.model import FeatureKind, MaskedModel, check_patches
from maskgraph.empirical.pixels import Pixels, masked
from maskgraph.empirical.shares import cuts, own_parts
from maskgraph.empirical.stream import Stream, image_set
from maskgraph.empirical.streams import Use
from maskgraph.graphs.errors import InputError, check_type
from maskgraph.graphs.masks import MaskDistribution, dropped_patches

BATCH = 512

POOLED: tuple[FeatureKind, ...] = ("cls", "mean")
"""The features that every block's tokens have."""

Features = NDArray[np.float64]


def whole_features(
    model: MaskedModel, images: Pixels | Stream, kinds: Sequence[FeatureKind], group: Group | None = None
) -> dict[FeatureKind, Features]:
    """(N, D) of each kind for images that are shown whole, without augmentation.

    Args:
        model: on any device; it is run in evaluation mode as it is.
        images: N of them.
        kinds: those of `model.features`.
        group: see `read_images`.

    Raises:
        InputError: images that are cut into other patches than the model's, or one kind in the place of some.
    """
    _check(model, images)
    if isinstance(kinds, str):
        # Letter by letter it would be refused as a feature named by its first.
        raise InputError(f"the kinds of feature are {kinds!r}; expected a list of them, such as [{kinds!r}]")

    def read(patches: Tensor, at: Tensor) -> list[Tensor]:
        tokens = model.encode(suited(patches, model), at, at[:, :0])
        return [model.feature(tokens, kind) for kind in kinds]

    found = read_images(images, _device(model), read, group)
    return {kind: values.astype(np.float64) for kind, values in zip(kinds, found, strict=True)}


def layer_features(
    model: MaskedModel, images: Pixels | Stream, group: Group | None = None
) -> dict[FeatureKind, list[Features]]:
    """Cls and mean features (N, dim) of whole images after every block, the last one's normalised.

    Args:
        model: on any device.
        images: N of them.
        group: see `read_images`.

    Raises:
        InputError: images that are cut into other patches than the model's.
    """
    _check(model, images)

    def read(patches: Tensor, at: Tensor) -> list[Tensor]:
        layers = model.layers(suited(patches, model), at)
        return [model.feature(tokens, kind) for kind in POOLED for tokens in layers]

    found = [values.astype(np.float64) for values in read_images(images, _device(model), read, group)]
    depth = len(found) // len(POOLED)
    return {kind: found[index * depth : (index + 1) * depth] for index, kind in enumerate(POOLED)}


def view_features(
    model: MaskedModel,
    images: Pixels | Stream,
    masks: MaskDistribution,
    views: int,
    seed: int,
    kinds: Sequence[FeatureKind],
    crossed: bool = False,
) -> dict[FeatureKind, Features]:
    """(N, q, D) features of each kind, of images under q masks each, drawn from `seed`.

    Args:
        model: the network.
        images: N of them.
        masks: distribution of the masks.
        views: q.
        seed: of the masks.
        kinds: those of `model.features`.
        crossed: whether all images share their q masks; else every view has its own.

    Raises:
        InputError: images that are cut into other patches than the model's.
    """
    _check(model, images)
    rng = np.random.default_rng([seed, Use.VIEWS])
    shared = masks.sample(rng, views) if crossed else None
    data, parts = image_set(images, _device(model)), []
    for rows in _batches(len(data)):
        patches = suited(data.whole(rows), model)
        for_image = []
        for view in range(views):
            kept = masks.sample(rng, len(rows)) if shared is None else np.tile(shared[view], (len(rows), 1))
            batch = masked(patches, kept, dropped_patches(kept, masks.patches))
            with torch.no_grad():
                tokens = model.encode(batch.visible, batch.positions, batch.slots)
                for_image.append([_float64(model.feature(tokens, kind)) for kind in kinds])
        parts.append([np.stack(one, axis=1) for one in zip(*for_image, strict=True)])
    return dict(zip(kinds, (np.concatenate(one) for one in zip(*parts, strict=True)), strict=True))


def _check(model: MaskedModel, images: Pixels | Stream) -> None:
    check_type(images, (Pixels, Stream), "load_parts(data, data_dir).test of maskgraph.empirical.parts gives Pixels")
    check_patches(model, images.name, images.grid, images.patch_dim)


def pixel_vectors(images: Pixels) -> Features:
    """(N, H·W·C) the pixels themselves, centred and scaled as a network sees them: what any feature should beat."""
    values = (images.pixels / images.full - images.mean) / images.std
    return np.asarray(values.reshape(len(values), -1))


def read_images(
    images: Pixels | Stream,
    device: torch.device,
    read: Callable[[Tensor, Tensor], Sequence[Tensor]],
    group: Group | None = None,
) -> list[NDArray[Any]]:
    """What a network says of whole images.

    Args:
        images: N of them.
        device: where the network is.
        read: from patches (B, n, s) and their positions (B, n) to tensors of B rows each.
        group: the processes that share the images; all call this, and the first has the answer, the others no row of
            it. None: this one alone.

    Returns:
        for each tensor its rows for all images, N of them.

    Raises:
        RankLostError: another process has ended.
    """
    check_group(group)
    group, data = group or Group(), image_set(images, device)
    at = torch.arange(data.grid[0] * data.grid[1], device=device)
    parts: list[list[NDArray[Any]]] = []
    batches = list(_batches(len(data), BATCH * group.count))
    mine = [rows[own_parts(len(rows), group)[0].shown] for rows in batches]
    for index, rows in enumerate(batches):
        if index + 1 < len(batches):
            data.prepare_whole(mine[index + 1])
        ends = cuts(len(rows), group.count)
        lengths = np.diff(ends).tolist()
        with torch.no_grad():
            found = read(data.whole(mine[index]), at.expand(len(mine[index]), -1))
        # Also where this process has no image, and ran another's first: that tells the shape.
        gathered = [group.gather(one[: lengths[group.rank]], lengths) for one in found]
        parts.append([_array(one if group.rank == 0 else one[:0]) for one in gathered])
    return [np.concatenate(one) for one in zip(*parts, strict=True)]


def suited(patches: Tensor, model: MaskedModel) -> Tensor:
    """Patches in the dtype of a model, which may have been changed for speed or to see what rounding does."""
    return patches.to(next(model.parameters()).dtype)


def _batches(count: int, size: int = BATCH) -> Iterator[Rows]:
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))


def _device(model: MaskedModel) -> torch.device:
    return next(model.parameters()).device


def _array(tensor: Tensor) -> NDArray[Any]:
    # numpy has no bfloat16.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()


def _float64(tensor: Tensor) -> Features:
    return _array(tensor).astype(np.float64)
