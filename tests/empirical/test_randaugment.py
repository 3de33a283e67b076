"""RandAugment's operations against what they are in words, and how often and how strongly each is done."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import stats

from maskgraph.empirical import randaugment
from maskgraph.empirical.augment import TRIES, Augmentation
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.pixels import PixelSet, channel_statistics, filling
from maskgraph.empirical.randaugment import COLUMNS, LAYERS, NAMES, OPERATIONS, distorted
from maskgraph.empirical.readers import DatasetReader
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.stream import Stream, StreamSet
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from tests.empirical.toys import pixels

Bytes = NDArray[np.uint8]

FILL = (10, 20, 30)

BYTE = 1
"""Pillow rounds or cuts to a byte after its own arithmetic."""

SLOPE = 3

BENT = SLOPE * 0.0963
"""Pillow's bicubic kernel (a = -1) leaves d(1 − d)(1 − 2d) of a slope of one at a share d between two pixels."""

LEVEL = 1e-4
"""Probability that a right distribution fails a test of it: seeds are fixed, so that it happens never or always."""


@pytest.fixture
def image() -> Bytes:
    return np.random.default_rng(0).integers(256, size=(12, 16, 3), dtype=np.uint8)


def after(name: str, image: Bytes, level: float = 0.5, sign: float = 1.0) -> NDArray[np.int64]:
    return np.asarray(OPERATIONS[name](Image.fromarray(image), level, sign, FILL)).astype(np.int64)


def test_operations_on_values(image: Bytes) -> None:
    x = image.astype(np.int64)
    np.testing.assert_array_equal(after("invert", image), 255 - x)
    # At half of the largest magnitude two bits stay, 128 is where values are turned over, and 55 is added below it.
    np.testing.assert_array_equal(after("posterise", image), x // 64 * 64)
    np.testing.assert_array_equal(after("posterise", image, 1.0), 0 * x)
    # Bits, thresholds and what is added are cut off, not rounded: 3.6 of 4, 237.6 of 256 and 103.1 of 110.
    np.testing.assert_array_equal(after("posterise", image, 0.9), x // 128 * 128)
    np.testing.assert_array_equal(after("solarise", image, 0.928), np.where(x < 256 - 237, x, 255 - x))
    np.testing.assert_array_equal(after("solarise-add", image, 0.937), np.where(x < 128, x + 103, x))
    np.testing.assert_array_equal(after("solarise", image), np.where(x < 128, x, 255 - x))
    np.testing.assert_array_equal(after("solarise-add", image), np.where(x < 128, x + 55, x))
    low, high = x.min((0, 1)), x.max((0, 1))
    assert np.abs(after("auto-contrast", image) - (x - low) * 255 / (high - low)).max() <= BYTE
    narrow = (image // 4 + 90).astype(np.uint8)
    assert after("auto-contrast", narrow).min() == 0
    assert after("auto-contrast", narrow).max() >= 255 - BYTE


def test_equal_counts_of_all_values() -> None:
    """Of a ramp of squares each value is as frequent as the next, to the steps that there are."""
    ramp = (np.arange(256) ** 2 // 256).repeat(4).reshape(32, 32, 1).repeat(3, axis=2).astype(np.uint8)
    found = after("equalise", ramp)[:, :, 0].ravel()
    rank = np.searchsorted(np.sort(ramp[:, :, 0].ravel()), ramp[:, :, 0].ravel()) / 1024
    assert np.abs(found / 255 - rank).max() <= 0.02


def test_enhancements_are_mixtures_with_less(image: Bytes) -> None:
    x = image.astype(np.float64)
    grey = (x @ [0.299, 0.587, 0.114])[:, :, None]
    for name, less in (("brightness", 0 * x), ("colour", grey + 0 * x), ("contrast", np.rint(grey).mean() + 0 * x)):
        for level, sign, factor in ((0.5, 1.0, 1.45), (1.0, -1.0, 0.1), (0.0, 1.0, 1.0)):
            wanted = np.clip(less + factor * (x - less), 0, 255)
            # The grey that it starts from is a byte, too, and what it is off by is enlarged.
            assert np.abs(after(name, image, level, sign) - wanted).max() <= 2 * BYTE, (name, factor)
    smooth = x.copy()
    for row in range(1, 11):
        for column in range(1, 15):
            around = x[row - 1 : row + 2, column - 1 : column + 2]
            smooth[row, column] = (around.sum((0, 1)) + 4 * x[row, column]) / 13
    assert np.abs(after("sharpness", image, 1.0, -1.0) - (smooth + 0.1 * (x - smooth))).max() <= 2 * BYTE


def test_movements_are_where_they_should_be() -> None:
    """Slopes stay about slopes under bicubic interpolation; what comes from outside is the fill."""
    rows, columns = np.mgrid[0:40, 0:40]
    across = np.stack([SLOPE * columns + 60] * 3, axis=2).astype(np.uint8)
    down = np.stack([SLOPE * rows + 60] * 3, axis=2).astype(np.uint8)
    inner = slice(14, 26)
    x, y = columns + 0.5 - 20, rows + 0.5 - 20
    angle = np.deg2rad(15)
    for sign in (1.0, -1.0):
        for name, moved, image in (
            ("move-x", columns + sign * 9, across),
            ("move-y", rows + sign * 9, down),
            ("shear-x", columns + sign * 0.15 * (rows + 0.5), across),
            ("shear-y", rows + sign * 0.15 * (columns + 0.5), down),
            # Counter-clockwise, as the eye has it: rows count downwards.
            ("rotate", x * np.cos(angle) - sign * y * np.sin(angle) + 19.5, across),
        ):
            found = after(name, image, sign=sign)
            assert np.abs(found[inner, inner, 0] - (SLOPE * moved + 60)[inner, inner]).max() <= BYTE + BENT, name
            outside = (found == FILL).all(axis=2)
            assert 0 < outside.sum() < 800, name
    # By 0.45 of its width at most, and the other way.
    gone = (after("move-x", across, 1.0, -1.0) == FILL).all(axis=2)
    assert gone.sum(axis=1).tolist() == [18] * 40
    assert gone[:, :18].all()
    # Of its own side, where they differ.
    narrow = across[:, :20]
    assert (after("move-x", narrow, 1.0) == FILL).all(axis=2).sum(axis=1).tolist() == [9] * 40
    assert (after("move-y", narrow, 1.0) == FILL).all(axis=2).sum(axis=0).tolist() == [18] * 20


def test_which_how_often_and_how_strongly(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, float, float]] = []

    def recorded(name: str) -> randaugment.Operation:
        def operation(image: Image.Image, level: float, sign: float, _: randaugment.Fill) -> Image.Image:
            done.append((name, level, sign))
            return image

        return operation

    monkeypatch.setattr(randaugment, "OPERATIONS", {name: recorded(name) for name in NAMES})
    count = 6000
    draws = np.random.default_rng(1).random((count, LAYERS * COLUMNS))
    for row in draws:
        distorted(np.zeros((2, 2, 3), np.uint8), row, 9.0, FILL)
    assert stats.binomtest(len(done), LAYERS * count, 0.5).pvalue > LEVEL
    frequency = Counter(name for name, _, _ in done)
    assert len(frequency) == 15
    assert stats.chisquare(list(frequency.values())).pvalue > LEVEL
    assert stats.binomtest(sum(sign > 0 for *_, sign in done), len(done), 0.5).pvalue > LEVEL
    levels = np.array([level for _, level, _ in done])
    # Normal around 0.9, and what would be above the largest is the largest.
    assert stats.binomtest(int((levels == 1).sum()), len(done), stats.norm.sf(2)).pvalue > LEVEL
    below = levels[levels < 1]
    assert stats.kstest(below, stats.truncnorm(-18, 2, 0.9, 0.05).cdf).pvalue > LEVEL


def test_the_fill_is_the_nearest_byte_to_the_mean() -> None:
    """Of ImageNet's means the published recipes fill with 124, 116 and 104."""
    assert filling([0.485, 0.456, 0.406]) == (124, 116, 104)
    assert filling([1.0]) == (255,)


def test_pixels_are_distorted_as_bytes_after_crop_and_flip() -> None:
    values = pixels(count=6).pixels // 16
    # As digits are kept: 255/16 is no whole number, and what is distorted are bytes that were rounded.
    mean, std = channel_statistics(values, 16)
    data = dataclasses.replace(pixels(count=6), pixels=values, full=16, mean=mean, std=std)
    how = dataclasses.replace(data.augmentation, flip=True, randaugment=9.0)
    found = PixelSet(dataclasses.replace(data, augmentation=how), torch.device("cpu"))
    rows = np.arange(6)
    draws = found.draw(np.random.default_rng(0), 6)
    assert draws.shape == (6, 4 * TRIES + 1 + LAYERS * COLUMNS)
    changed = found.augmented(rows, draws).permute(0, 2, 3, 1).numpy()
    for row in range(6):
        cut = data.pixels[row].astype(np.float64) * 255 / data.full
        cut = cut[:, ::-1] if draws[row, 4 * TRIES] < 0.5 else cut
        wanted = distorted(np.rint(cut).astype(np.uint8), draws[row, 4 * TRIES + 1 :], 9.0, filling(data.mean))
        np.testing.assert_allclose(changed[row], (wanted / 255 - data.mean) / data.std, atol=1e-5)
    # Without it nothing is different, the fingerprint included.
    without = dataclasses.replace(data, augmentation=Augmentation(flip=True))
    assert found.images.digest() == without.digest()


def test_streams_see_what_pixels_see() -> None:
    data = dataclasses.replace(pixels(count=6), augmentation=Augmentation(randaugment=9.0))
    assert data.full == 255
    side, channels = data.pixels.shape[1], data.pixels.shape[3]
    mean, std = tuple(data.mean.tolist()), tuple(data.std.tolist())
    reader = DatasetReader([(image, 0) for image in data.pixels])
    stream = Stream("s", reader, data.labels, side, channels, data.patch, mean, std, data.augmentation)
    one, other = PixelSet(data, torch.device("cpu")), StreamSet(stream, torch.device("cpu"))
    rows, draws = np.array([3, 1, 5]), one.draw(np.random.default_rng(2), 3)
    torch.testing.assert_close(one.augmented(rows, draws), other.augmented(rows, draws))
    other.prepare(rows, draws)
    torch.testing.assert_close(one.augmented(rows, draws), other.augmented(rows, draws))


def test_it_changes_what_is_tuned_and_how_it_is_named(tmp_path: Path) -> None:
    model, data = build_model(model_config("micro", (2, 2), 48), 0).eval(), pixels()
    how = FineTune(epochs=2, batch=6)
    strong = dataclasses.replace(how, regularise=Regularise(randaugment=9))
    plain, other = (fine_tune(model, data, 3, one, tmp_path / f"{one.regularise.randaugment}") for one in (how, strong))
    assert not torch.equal(plain.model.embed.weight, other.model.embed.weight)
    with pytest.raises(InputError, match=r"fine_tune.regularise is"):
        fine_tune(model, data, 3, strong, tmp_path / "0.0")


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(InputError, match=r"randaugment 11; expected a magnitude from 0 to 10, such as 9"):
        Regularise(randaugment=11)
    data = pixels()
    two = dataclasses.replace(data, pixels=data.pixels[..., :2], mean=data.mean[:2], std=data.std[:2])
    model = build_model(model_config("micro", (2, 2), 32), 0).eval()
    with pytest.raises(InputError, match=r"randaugment on images of 2 channels; expected 1 or 3"):
        fine_tune(model, two, 3, FineTune(epochs=1, batch=6, regularise=Regularise(randaugment=9)))
