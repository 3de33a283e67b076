"""Crops and flips against a literal loop and against images on which interpolation is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from maskgraph.empirical.augment import ASPECT, TRIES, Augmentation
from maskgraph.graphs.errors import InputError
from tests.strategies import searched

FLOAT32 = 1e-3
"""Sums of sixteen products of values up to 255 with weights up to 1, twice rounded: some 30 roundings of 255·2⁻²⁴."""


def literal_box(draw: NDArray[np.float64], crop: tuple[float, float], height: int, width: int) -> list[float]:
    """Torchvision's RandomResizedCrop in words: ten tries, then the middle."""
    for attempt in range(TRIES):
        area, aspect, x, y = (draw[part * TRIES + attempt] for part in range(4))
        wanted = height * width * (crop[0] + area * (crop[1] - crop[0]))
        ratio = math.exp(math.log(3 / 4) + aspect * (math.log(4 / 3) - math.log(3 / 4)))
        w, h = round(math.sqrt(wanted * ratio)), round(math.sqrt(wanted / ratio))
        if 0 < w <= width and 0 < h <= height:
            return [math.floor(x * (width - w + 1)), math.floor(y * (height - h + 1)), w, h]
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return [(width - w) // 2, (height - h) // 2, w, h]


@given(st.integers(4, 40), st.integers(4, 40), st.floats(0.05, 1), st.floats(0.05, 1), st.integers(0, 10**6))
@searched(60)
def test_boxes_are_those_of_the_literal_loop(height: int, width: int, a: float, b: float, seed: int) -> None:
    crop = (min(a, b), max(a, b))
    augmentation = Augmentation(crop)
    draws = augmentation.draw(np.random.default_rng(seed), 20)
    found = augmentation.boxes(draws, height, width)
    np.testing.assert_array_equal(found, [literal_box(draw, crop, height, width) for draw in draws])
    assert (found[:, :2] >= 0).all()
    assert (found[:, 0] + found[:, 2] <= width).all()
    assert (found[:, 1] + found[:, 3] <= height).all()


def test_crops_are_spread_over_area_and_place() -> None:
    augmentation = Augmentation((0.2, 1.0))
    boxes = augmentation.boxes(augmentation.draw(np.random.default_rng(0), 4000), 200, 200)
    share = boxes[:, 2] * boxes[:, 3] / 200**2
    # Rounding a side of at least 77 pixels to whole ones moves the area by 1.3 %, twice.
    assert share.min() > 0.2 * 0.974
    # An area a is uniform, and tried again unless |log aspect| <= -log a: its density is min(1, -log a/log(4/3)).
    area = np.linspace(0.2, 1, 100_001)
    density = np.minimum(1, -np.log(area) / math.log(4 / 3))
    mean = (area * density).sum() / density.sum()
    assert share.mean() == pytest.approx(mean, abs=5 * share.std() / math.sqrt(4000))
    assert 0.74 < (boxes[:, 2] / boxes[:, 3]).min() < 0.78
    loose = boxes[share < 0.5]
    centre = (loose[:, 0] / (200 - loose[:, 2])).mean()
    assert centre == pytest.approx(0.5, abs=5 / math.sqrt(12 * len(loose)))


def test_crops_are_enlarged_and_mirrored_as_pillow_does_it() -> None:
    augmentation = Augmentation((0.2, 0.9), flip=True)
    rng = np.random.default_rng(1)
    draws = augmentation.draw(rng, 50)
    images = rng.uniform(0, 255, (50, 2, 24, 32)).astype(np.float32)
    found = augmentation.apply(torch.tensor(images), draws).numpy()
    mirrored = augmentation.mirrored(draws)
    assert 15 < mirrored.sum() < 35
    for image, other, box, flipped in zip(images, found, augmentation.boxes(draws, 24, 32), mirrored, strict=True):
        left, top, w, h = box.astype(int)
        for channel, answer in zip(image, other, strict=True):
            part = Image.fromarray(channel[top : top + h, left : left + w])
            wanted = np.asarray(part.resize((32, 24), Image.Resampling.BICUBIC))
            np.testing.assert_allclose(answer, wanted[:, ::-1] if flipped else wanted, rtol=0, atol=FLOAT32)


def test_the_whole_image_is_itself() -> None:
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    augmentation = Augmentation((1.0, 1.0))
    draws = augmentation.draw(np.random.default_rng(0), 3)
    torch.testing.assert_close(augmentation.apply(images, draws), images, rtol=0, atol=1e-6)
    nothing = Augmentation()
    assert nothing.apply(images, nothing.draw(np.random.default_rng(0), 3)) is images


def test_a_flip_alone_moves_pixels_and_changes_none() -> None:
    images, augmentation = torch.arange(2 * 8.0).reshape(2, 1, 2, 4), Augmentation(flip=True)
    draws = np.array([[0.0] * 40 + [0.4], [0.0] * 40 + [0.6]])
    found = augmentation.apply(images, draws)
    assert torch.equal(found[0], images[0].flip(2))
    assert torch.equal(found[1], images[1])


@pytest.mark.parametrize("crop", [(0.0, 1.0), (0.5, 0.4), (0.5, 1.5), (math.nan, 1.0)])
def test_shares_that_are_none_are_refused(crop: tuple[float, float]) -> None:
    with pytest.raises(
        InputError, match=r"^crop \[.*\]; expected the least and the largest share of the area, such as"
    ):
        Augmentation(crop)


def test_the_aspect_is_that_of_torchvision() -> None:
    assert ASPECT == (3 / 4, 4 / 3)
