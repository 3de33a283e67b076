"""Pixels as they are: cut as graphs cut them, masked where they should be, augmented anew in every step."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.data import Batch
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.pixels import Pixels, PixelSet, channel_statistics
from maskgraph.empirical.train import load_model, train, untrained
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.patches import patchify
from maskgraph.graphs.stored import load_stored
from tests.empirical.test_checkpoint import stop_at
from tests.empirical.toys import assert_same_bits, pixels

CPU = torch.device("cpu")
CONFIG = TrainConfig(mask_ratio=0.5, epochs=4, batch=5, device="cpu")
AUGMENTED = Augmentation((0.3, 1.0), flip=True)


def seen(images: Pixels) -> NDArray[np.float64]:
    """(N, n, s) what a model sees of images without augmentation, by the graph's own patches."""
    return patchify((images.pixels / images.full - images.mean) / images.std, images.patch)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_centred_and_scaled(channels: int) -> None:
    images = pixels(channels=channels)
    values = images.pixels / 255
    np.testing.assert_allclose(images.mean, values.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(images.std, values.std(axis=(0, 1, 2)), rtol=1e-12)
    flat = np.zeros((2, 4, 4, 1), dtype=np.uint8)
    assert channel_statistics(flat, 255)[1] == 1


def test_fingerprints_tell_what_a_network_sees_and_what_the_data_are() -> None:
    images = dataclasses.replace(pixels(), pixels=pixels().pixels // 2, full=200)
    one = images.pixels.copy()
    one[-1, -1, -1, -1] ^= 1
    nudged = {name: np.nextafter(getattr(images, name), 1) for name in ("mean", "std")}
    for changes, seen_as_same, same_data in (
        ({"name": "other"}, True, True),
        ({"labels": np.roll(images.labels, 1)}, True, False),
        ({"pixels": one}, False, False),
        ({"full": 201}, False, False),
        ({"patch": 2}, False, True),
        ({"mean": nudged["mean"]}, False, True),
        ({"std": nudged["std"]}, False, True),
        ({"augmentation": AUGMENTED}, False, True),
    ):
        other = dataclasses.replace(images, **changes)
        assert (other.digest() == images.digest()) == seen_as_same, changes
        assert (other.data_digest() == images.data_digest()) == same_data, changes


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_shows_kept_patches_and_asks_for_the_others(channels: int) -> None:
    images = pixels(channels=channels)
    data, wanted = PixelSet(images, CPU), seen(images)
    assert (data.grid, data.patch_dim, len(data)) == ((2, 2), 16 * channels, 12)
    rows, kept, dropped = np.array([3, 7]), np.array([[0, 2], [1, 3]]), np.array([[1, 3], [0, 2]])
    found = data.batch(rows, kept, dropped, data.draw(np.random.default_rng(0), 2))
    for index, row in enumerate(rows):
        # Bytes times a rounded factor: two roundings of 2⁻²⁴ at values below 2.
        np.testing.assert_allclose(found.visible[index], wanted[row, kept[index]], rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.target[index], wanted[row, dropped[index]], rtol=0, atol=1e-6)
    assert found.positions.tolist() == kept.tolist()
    assert found.slots.tolist() == dropped.tolist()
    assert found.weights.tolist() == [1, 1]
    np.testing.assert_allclose(data.whole(rows), wanted[rows], rtol=0, atol=1e-6)


def test_pixels_may_be_read_backwards_or_read_only() -> None:
    """As a numpy flip is, and what is mapped from a file: PyTorch makes no tensor of the one and warns of the other."""
    images = pixels()
    backwards, fixed = images.pixels[:, :, ::-1].copy()[:, :, ::-1], images.pixels.copy()
    fixed.setflags(write=False)
    wanted = PixelSet(images, CPU).whole(np.arange(12))
    for values in (backwards, fixed):
        assert torch.equal(PixelSet(dataclasses.replace(images, pixels=values), CPU).whole(np.arange(12)), wanted)


def test_every_step_crops_anew_and_a_seed_is_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Batch] = []
    batch = PixelSet.batch

    def noted(*arguments: Any) -> Batch:
        batches.append(batch(*arguments))
        return batches[-1]

    monkeypatch.setattr(PixelSet, "batch", noted)
    first = train(pixels(AUGMENTED), dataclasses.replace(CONFIG, batch=12))
    assert_same_bits(first, train(pixels(AUGMENTED), dataclasses.replace(CONFIG, batch=12)))
    # Four steps each, and the last one's batch again: the model is looked at before it is handed out.
    assert len(batches) == 2 * (4 + 1)
    means = {round(float(one.visible.double().sum() + one.target.double().sum()), 3) for one in batches[:4]}
    assert len(means) == 4, "whole images are of one sum, and crops are not"


@pytest.mark.parametrize("full", [16, 255])
def test_a_crop_stays_between_black_and_white_as_pillow_s_does(full: int) -> None:
    """Of squares of black and white, whose edges bicubic interpolation overshoots; rounded, it is Pillow's."""
    squares = np.random.default_rng(0).integers(2, size=(30, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    values = (full * squares).astype(np.uint8)
    mean, std = channel_statistics(values, full)
    data = PixelSet(Pixels("squares", values, full, np.zeros(30, int), 8, mean, std, AUGMENTED), CPU)
    draws = data.draw(np.random.default_rng(1), 30)
    found = data.augmented(np.arange(30), draws).permute(0, 2, 3, 1).numpy() * std + mean
    assert -1e-6 < found.min() < 1e-6
    assert 1 - 1e-6 < found.max() < 1 + 1e-6
    for image, answer, box, flipped in zip(
        squares, found, AUGMENTED.boxes(draws, 32, 32), AUGMENTED.mirrored(draws), strict=True
    ):
        left, top, w, h = box.astype(int)
        part = Image.fromarray((255 * image[top : top + h, left : left + w]).astype(np.uint8))
        wanted = np.asarray(part.resize((32, 32), Image.Resampling.BICUBIC))
        # Pillow rounds twice, after each direction, and cuts off what overshoots in the first.
        difference = np.abs(255 * answer - (wanted[:, ::-1] if flipped else wanted))
        assert np.quantile(difference, 0.9) <= 2


def test_a_whole_number_is_the_same_share() -> None:
    plain = pixels(Augmentation((0.5, 1)))
    assert plain.digest() == pixels(Augmentation((0.5, 1.0))).digest() != pixels(Augmentation((0.5, 0.9))).digest()


def test_an_interrupted_run_with_crops_goes_on_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images = tmp_path / "model.safetensors", pixels(AUGMENTED)
    with monkeypatch.context() as patch:
        stop_at(patch, torch.optim.AdamW, "step", 8, after=True)
        with pytest.raises(KeyboardInterrupt):
            train(images, CONFIG, path, checkpoint_every=5)
    assert_same_bits(train(images, CONFIG, path), train(images, CONFIG))
    with pytest.raises(InputError, match="is a checkpoint of another model"):
        train(pixels(), CONFIG, path)


def test_digits_are_learnt_from_their_pixels() -> None:
    stored = load_stored("digits")
    mean, std = channel_statistics(stored.pixels[:200], stored.full)
    images = Pixels("digits", stored.pixels[:200], stored.full, stored.labels[:200], 2, mean, std)
    found = train(images, TrainConfig(mask_ratio=0.5, epochs=20, batch=20, lr=3e-3, device="cpu")).losses
    # Standardised pixels: answering their mean costs 1.
    assert found[:5, 0].mean() > 1
    assert found[-10:, 0].mean() < 0.75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": np.array([0.2, 0.0, 0.2])}, r"^std \[0.2, 0.0, 0.2\] of noise; expected numbers above 0"),
        ({"full": 16}, r"^full 16 of noise; expected the byte that stands for 1, 255 to 255"),
        ({"full": 256}, r"^full 256 of noise; expected the byte that stands for 1, 255 to 255"),
        ({"labels": np.arange(12) - 1}, r"^labels of noise contain -1; expected an array \(N,\) of integers from 0"),
        ({"labels": np.ones(12)}, r"^labels of noise have dtype float64; expected an array \(N,\) of integers from 0"),
        (
            {"labels": np.ones((12, 1), int)},
            r"^labels of noise have shape \(12, 1\); expected an array \(N,\) of integ",
        ),
        ({"labels": [0] * 12}, r"^labels of noise are a list; expected an array \(N,\) of integers from 0"),
    ],
)
def test_numbers_that_make_no_images_are_refused(changes: dict[str, Any], message: str) -> None:
    """Not by a loss of NaN after a step, or by one of images 16 times as bright."""
    with pytest.raises(InputError, match=message):
        dataclasses.replace(pixels(), **changes)


def test_no_images_and_no_steps_are_refused() -> None:
    good = pixels()
    none = dataclasses.replace(good, pixels=good.pixels[:0], labels=good.labels[:0])
    with pytest.raises(InputError, match=r"noise holds no images to train on; expected at least 1"):
        train(none, CONFIG)
    model = untrained(good, CONFIG).model
    with pytest.raises(InputError, match=r"noise holds no images to tune on; expected at least 1"):
        fine_tune(model, none, 3, FineTune(epochs=1))
    with pytest.raises(InputError, match=r"checkpoint_every 0; expected at least 1 step"):
        train(good, CONFIG, checkpoint_every=0)


def test_paths_may_be_text(tmp_path: Path) -> None:
    """As those of `load_model` and `load_published` are."""
    good, config = pixels(), dataclasses.replace(CONFIG, epochs=1)
    trained = train(good, config, str(tmp_path / "model.safetensors"))
    assert_same_bits(load_model(str(tmp_path / "model.safetensors")), trained)
    fine_tune(trained.model, good, 3, FineTune(epochs=1), str(tmp_path / "tuned.safetensors"))
    assert (tmp_path / "tuned.safetensors").exists()


def test_images_that_cannot_be_cut_are_refused() -> None:
    good = pixels()
    with pytest.raises(InputError, match=r"noise has images of 6x8 pixels; expected square ones: pad or cut them"):
        dataclasses.replace(good, pixels=good.pixels[:, :6])
    with pytest.raises(
        InputError, match=r"^noise has shape \(12, 3, 8, 8\); expected \(N, H, W, C\) and this looks like"
    ):
        dataclasses.replace(good, pixels=good.pixels.transpose(0, 3, 1, 2))
    with pytest.raises(InputError, match=r"patch size 3 does not divide the 8x8 image"):
        dataclasses.replace(good, patch=3)
    with pytest.raises(InputError, match=r"patch size 8 leaves one patch"):
        dataclasses.replace(good, patch=8)
    with pytest.raises(InputError, match=r"view bag of noise's pixels; expected positional"):
        train(good, dataclasses.replace(CONFIG, view="bag"))
