"""Features of whole images, blocks and masked views are those of the model run image by image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maskgraph.empirical import readout
from maskgraph.empirical.classifier import Classifier, predictions
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.model import MaskedModel, build_model, model_config
from maskgraph.empirical.pixels import Pixels, PixelSet
from maskgraph.empirical.readout import layer_features, pixel_vectors, view_features, whole_features
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskDistribution, mask_distribution
from tests.empirical.toys import pixels

Array = NDArray[np.float64]

FORWARD = 2e-5
"""Two float32 forward passes of one input in batches of other sizes: a few hundred ulp at outputs of order 1."""

VARIANTS: dict[str, dict[str, object]] = {"mae": {}, "simmim": {"family": "simmim"}, "bottleneck": {"bottleneck": 5}}


def network(variant: str) -> MaskedModel:
    return build_model(model_config("micro", (2, 2), 48, **VARIANTS[variant]), 0).eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_of_whole_images(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout, "BATCH", 5)
    images, model = pixels(), network(variant)
    found = whole_features(model, images, model.features)
    layers = layer_features(model, images)
    assert list(found) == list(model.features)
    assert [len(layers[kind]) for kind in ("cls", "mean")] == [model.config.depth] * 2
    data, at = PixelSet(images, torch.device("cpu")), torch.arange(4)[None]
    for row in range(12):
        with torch.no_grad():
            tokens = model.encode(data.whole(np.array([row])), at, at[:, :0])
            for kind in model.features:
                wanted = model.feature(tokens, kind)[0].numpy()
                np.testing.assert_allclose(found[kind][row], wanted, rtol=0, atol=FORWARD)
            x = model.embed(data.whole(np.array([row]))) + model.encoder_positions[at]
            x = torch.cat([model.cls[None, None], x], dim=1)
            for index, block in enumerate(model.blocks):
                x = block(x)
                last = model.norm(x) if index + 1 == len(model.blocks) else x
                np.testing.assert_allclose(layers["cls"][index][row], last[0, 0], rtol=0, atol=FORWARD)
                np.testing.assert_allclose(layers["mean"][index][row], last[0, 1:].mean(dim=0), rtol=0, atol=FORWARD)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_computed_in_the_dtype_of_the_network(variant: str, dtype: torch.dtype) -> None:
    images, model = pixels(), network(variant).to(dtype)
    patches, at = PixelSet(images, torch.device("cpu")).whole(np.arange(12)).to(dtype), torch.arange(4).expand(12, -1)
    with torch.no_grad():
        tokens = model.encode(patches, at, at[:, :0])
        wanted = {kind: model.feature(tokens, kind).double().numpy() for kind in model.features}
        blocks = [model.feature(one, "cls").double().numpy() for one in model.layers(patches, at)]
    found, layers = whole_features(model, images, model.features), layer_features(model, images)
    masks = mask_distribution("uniform", (2, 2), 0.5)
    views = view_features(model, images, masks, 2, 0, model.features)
    for kind, values in wanted.items():
        assert found[kind].dtype == views[kind].dtype == np.float64
        np.testing.assert_array_equal(found[kind], values)
        rounded = torch.as_tensor(views[kind]).to(dtype).double().numpy()
        np.testing.assert_array_equal(views[kind], rounded)
    for features, values in zip(layers["cls"], blocks, strict=True):
        np.testing.assert_array_equal(features, values)
    if dtype == torch.float64:
        assert (found["cls"] != found["cls"].astype(np.float32)).any()
    classifier = Classifier(model, 3, "cls").to(dtype).eval()
    with torch.no_grad():
        scores = classifier(patches)
    np.testing.assert_array_equal(predictions(classifier, images), scores.argmax(dim=1).numpy())


def nearest_masks(model: MaskedModel, images: Pixels, masks: MaskDistribution, found: Array) -> NDArray[np.int64]:
    """(N, q) which of all masks each view's mean feature is that of, to within rounding."""
    data, possible = PixelSet(images, torch.device("cpu")), []
    for kept in masks.enumerate():
        dropped = np.setdiff1d(np.arange(4), kept)
        at, slots = (torch.as_tensor(side).expand(12, -1) for side in (kept, dropped))
        with torch.no_grad():
            patches = data.whole(np.arange(12))
            possible.append(model.feature(model.encode(patches[:, kept], at, slots), "mean").numpy())
    distance = np.abs(found[:, :, None] - np.stack(possible, axis=1)[:, None]).max(axis=3)
    assert distance.min(axis=2).max() < FORWARD
    return np.asarray(distance.argmin(axis=2))


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_of_masked_views(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout, "BATCH", 5)
    images, model, masks = pixels(), network(variant), mask_distribution("uniform", (2, 2), 0.5)
    found = view_features(model, images, masks, 40, 3, ["cls", "mean"])
    again = view_features(model, images, masks, 40, 3, ["mean"])
    assert {kind: features.shape for kind, features in found.items()} == {"cls": (12, 40, 64), "mean": (12, 40, 64)}
    np.testing.assert_array_equal(found["mean"], again["mean"])
    assert not np.array_equal(found["mean"], view_features(model, images, masks, 40, 4, ["mean"])["mean"])
    seen = nearest_masks(model, images, masks, found["mean"])
    # 480 draws of one of six masks: 80 expected of each, standard deviation 8.2; five of them.
    assert np.abs(np.bincount(seen.ravel(), minlength=6) - 80).max() < 5 * 8.2
    # Two draws are one in a sixth of the cases: of one image, of neighbours and in batches one after the other.
    for same in (seen[:, 1:] == seen[:, :-1], seen[1:] == seen[:-1], seen[5:] == seen[:-5]):
        assert same.mean() == pytest.approx(1 / 6, abs=5 * math.sqrt(5 / 36 / same.size))
    crossed = nearest_masks(
        model, images, masks, view_features(model, images, masks, 40, 3, ["mean"], crossed=True)["mean"]
    )
    assert (crossed == crossed[0]).all()
    assert len(np.unique(crossed)) == 6


@pytest.mark.parametrize("change", ["smaller", "larger", "patch", "channels"])
def test_images_that_are_cut_otherwise_are_refused(change: str) -> None:
    """Of a smaller grid the network would take the positions of its own first patches."""
    model, images = network("mae"), pixels()
    if change == "smaller":
        model = build_model(model_config("micro", (3, 3), 48), 0)
    if change == "larger":
        images = replace(images, pixels=np.zeros((12, 16, 16, 3), dtype=np.uint8))
    images = replace(images, patch=2) if change == "patch" else images
    images = pixels(channels=1) if change == "channels" else images
    (rows, columns), (down, across) = images.grid, model.config.grid
    message = rf"noise has {rows}x{columns} patches of {images.patch_dim} values, and .* {down}x{across} of 48; bring"
    masks = mask_distribution("uniform", (2, 2), 0.5)
    reads: tuple[Callable[[], object], ...] = (
        lambda: whole_features(model, images, ["mean"]),
        lambda: layer_features(model, images),
        lambda: view_features(model, images, masks, 2, 0, ["mean"]),
        lambda: fine_tune(model, images, 3, FineTune()),
        lambda: predictions(Classifier(model, 3, "mean"), images),
    )
    for read in reads:
        with pytest.raises(InputError, match=message):
            read()


def test_pixels_as_features() -> None:
    images = pixels()
    found = pixel_vectors(images).reshape(12, 8, 8, 3)
    np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=(0, 1, 2)), 1, rtol=1e-12)
    np.testing.assert_allclose(found[3, 2, 1] * images.std + images.mean, images.pixels[3, 2, 1] / 255, rtol=1e-12)
    # The same images in bytes of which 16 stands for 1, as digits are kept.
    few = replace(images, pixels=images.pixels // 16, full=16)
    np.testing.assert_allclose(
        pixel_vectors(few), ((few.pixels / 16 - few.mean) / few.std).reshape(12, -1), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("kind", "message"), [("Mean", "unknown feature 'Mean'"), ("bottleneck", "a model without one")]
)
def test_a_feature_that_a_network_has_not_is_refused(kind: Any, message: str) -> None:
    """A name that is misspelt had been answered by all tokens, one after the other."""
    with pytest.raises(InputError, match=message):
        whole_features(network("mae"), pixels(), [kind])


def test_one_kind_of_feature_is_no_list_of_them() -> None:
    """It was taken letter by letter, and the first named as an unknown feature."""
    with pytest.raises(InputError, match=r"expected a list of them, such as \['mean'\]"):
        whole_features(network("mae"), pixels(), "mean")  # type: ignore[arg-type]
