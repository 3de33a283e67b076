"""Images that are read while a network trains: the same bits as from memory, and crops of what lies on disk."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import ChainDataset, TensorDataset

from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.readers import DatasetReader, FolderReader, as_bytes
from maskgraph.empirical.stream import Stream, StreamSet, take
from maskgraph.empirical.train import train
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.folder import list_folder, read_image
from tests.empirical.test_checkpoint import stop_at
from tests.empirical.toys import assert_same_bits, pixels

CPU = torch.device("cpu")
CONFIG = TrainConfig(method="u-mae", mask_ratio=0.5, epochs=4, batch=5, device="cpu")
SEEN = (("often", 1), ("never", 1000))


def stream_of(images: Pixels, **changes: Any) -> Stream:
    """The same images as items of a torch dataset."""
    dataset = TensorDataset(torch.as_tensor(images.pixels).permute(0, 3, 1, 2), torch.as_tensor(images.labels))
    mean, std = tuple(images.mean.tolist()), tuple(images.std.tolist())
    stream = Stream("noise", DatasetReader(dataset), images.labels, 8, images.pixels.shape[3], images.patch, mean, std)
    return dataclasses.replace(stream, **changes)


@pytest.mark.parametrize("change", [{}, {"accumulate": 2}, {"lam": "auto"}, {"method": "simmim"}])
def test_reading_trains_to_the_bits_of_memory(change: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **change)
    assert_same_bits(train(stream_of(pixels()), config), train(pixels(), config))


def test_an_interrupted_run_goes_on_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, images = tmp_path / "model.safetensors", stream_of(pixels(), augmentation=Augmentation((0.3, 1.0), flip=True))
    with monkeypatch.context() as patch:
        stop_at(patch, torch.optim.AdamW, "step", 8, after=True)
        with pytest.raises(KeyboardInterrupt):
            train(images, CONFIG, path, checkpoint_every=5)
    assert_same_bits(train(images, CONFIG, path), train(images, CONFIG))
    with pytest.raises(InputError, match="is a checkpoint of another model"):
        train(stream_of(pixels()), CONFIG, path)


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_come_as_often_as_they_are_drawn(count: int, tmp_path: Path) -> None:
    """Their rows tell no step from the next, whose crops are others; a look at the model in between takes none."""
    images = dataclasses.replace(pixels(count=count), labels=np.arange(count))
    stream = stream_of(images, augmentation=Augmentation((0.3, 1.0), flip=True))
    data, rows = StreamSet(stream, CPU), np.arange(count)
    first, second = (data.draw(np.random.default_rng(seed), count) for seed in (0, 1))
    data.prepare(rows, second)
    for draws in (first, second):
        assert torch.equal(data.augmented(rows, draws), StreamSet(stream, CPU).augmented(rows, draws))
    often, never = (train(stream, CONFIG, tmp_path / name, checkpoint_every=every) for name, every in SEEN)
    assert_same_bits(often, never)


def test_names_in_any_encoding(tmp_path: Path) -> None:
    """A name on disk is bytes; one that is no UTF-8 is as good as any, and another than its neighbours."""
    digests = set()
    for name in (b"\xe9", b"\xff", "é".encode()):
        folder = tmp_path / name.hex() / "train" / "a"
        folder.mkdir(parents=True)
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name + b".png")).touch()
        digests.add(FolderReader(list_folder(folder.parents[1], "train"), 8).digest())
    assert len(digests) == 3


def test_a_batch_is_read_while_the_one_before_is_trained_on() -> None:
    asked: list[int] = []

    class Noting(DatasetReader):
        def whole(self, row: int) -> NDArray[np.uint8]:
            asked.append(row)
            return super().whole(row)

    images = stream_of(pixels())
    assert isinstance(images.reader, DatasetReader)
    data = StreamSet(dataclasses.replace(images, reader=Noting(images.reader.dataset)), CPU)
    rows, draws = np.array([3, 1]), np.empty((2, 0))
    data.prepare(rows, draws)
    kept, dropped = np.array([[0, 1], [0, 1]]), np.array([[2, 3], [2, 3]])
    found = data.batch(rows, kept, dropped, draws)
    assert sorted(asked) == [1, 3], "each image once"
    whole = data.whole(rows)
    assert torch.equal(torch.cat([found.visible, found.target], dim=1), whole)
    # A batch that was not prepared leaves the one that was.
    asked.clear()
    data.prepare_whole(rows)
    data.whole(rows[::-1])
    assert torch.equal(data.whole(rows), whole)
    assert sorted(asked) == [1, 1, 3, 3]


def folder(tmp_path: Path) -> FolderReader:
    """Two images that are not square, each of one class."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for part in ("train", "val"):
            (tmp_path / part / name).mkdir(parents=True)
            values = rng.integers(256, size=(40, 60, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / part / name / "one.png")
    return FolderReader(list_folder(tmp_path, "train"), 16)


def test_a_folder_is_cropped_as_it_lies_on_disk(tmp_path: Path) -> None:
    reader, augmentation = folder(tmp_path), Augmentation((0.2, 1.0), flip=True)
    draws = augmentation.draw(np.random.default_rng(0), 20)
    flipped = augmentation.mirrored(draws)
    assert 0 < flipped.sum() < 20
    for index in range(20):
        row = index % 2
        found = reader.cut(row, augmentation, draws[index : index + 1])
        image = Image.open(tmp_path / reader.folder.paths[row])
        left, top, w, h = augmentation.boxes(draws[index : index + 1], 40, 60)[0].astype(int).tolist()
        wanted = np.asarray(image.crop((left, top, left + w, top + h)).resize((16, 16), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(found, wanted[:, ::-1] if flipped[index] else wanted)


def test_without_a_crop_a_folder_gives_the_middle(tmp_path: Path) -> None:
    reader = folder(tmp_path)
    middle = read_image(tmp_path / "train" / "b" / "one.png", 16)
    np.testing.assert_array_equal(reader.whole(1), middle)
    np.testing.assert_array_equal(reader.cut(1, Augmentation(), np.empty((1, 0))), middle)


def test_a_folder_is_trained_on(tmp_path: Path) -> None:
    reader = folder(tmp_path)
    images = Stream("folder", reader, reader.folder.labels, 16, 3, 4, augmentation=Augmentation((0.2, 1.0)))
    config = dataclasses.replace(CONFIG, batch=2, epochs=3)
    # As published, in red, green and blue.
    assert (images.mean, images.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    first = train(images, config)
    assert np.isfinite(first.losses).all()
    assert_same_bits(first, train(images, config))


@pytest.mark.parametrize(
    "image",
    [
        np.full((2, 2, 3), 51, dtype=np.uint8),
        np.full((2, 2, 3), 0.2),
        torch.full((3, 2, 2), 0.2),
        torch.full((3, 2, 2), 51, dtype=torch.uint8),
        torch.full((3, 2, 2), 0.2, dtype=torch.bfloat16),
        torch.full((3, 2, 2), 0.2, requires_grad=True),
        Image.fromarray(np.full((2, 2, 3), 51, dtype=np.uint8)),
    ],
)
def test_images_come_in_many_forms(image: Any) -> None:
    found = as_bytes(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.full((2, 2, 3), 51))


def test_images_that_no_tensor_can_stand_on_are_cut_as_others() -> None:
    """Those of Pillow are read-only; an array that is read backwards is a mirrored image, or one of blue before red."""
    array = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    backwards = np.ascontiguousarray(array[:, ::-1, ::-1])[:, ::-1, ::-1]
    augmentation = Augmentation((0.3, 1.0), flip=True)
    draws = augmentation.draw(np.random.default_rng(1), 1)
    plain, given, mirrored = (DatasetReader([image]) for image in (array, Image.fromarray(array), backwards))
    for reader in (given, mirrored):
        np.testing.assert_array_equal(reader.cut(0, Augmentation(), np.empty((1, 0))), array)
        np.testing.assert_array_equal(reader.cut(0, augmentation, draws), plain.cut(0, augmentation, draws))


def test_a_grey_image_has_one_channel() -> None:
    assert as_bytes(np.zeros((2, 3), dtype=np.uint8)).shape == (2, 3, 1)


def test_transparency_is_a_channel_and_floats_of_pillow_run_to_1() -> None:
    colours = np.random.default_rng(0).integers(256, size=(3, 2, 4), dtype=np.uint8)
    np.testing.assert_array_equal(as_bytes(Image.fromarray(colours)), colours)
    np.testing.assert_array_equal(as_bytes(Image.fromarray(colours[..., :2].copy())), colours[..., :2])
    np.testing.assert_array_equal(as_bytes(Image.new("F", (2, 3), 0.4)), np.full((3, 2, 1), 102))
    with pytest.raises(InputError, match=r"values from 0 to 102; expected bytes, or floats from 0 to 1"):
        as_bytes(Image.fromarray(np.array([[0, 102]], dtype=np.float32)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(3, dtype=np.uint8), r"has shape \(3,\); expected \(H, W, C\)"),
        (np.full((2, 2, 1), 1.5), r"dtype float64 and values from 1.5 to 1.5; expected bytes, or floats from 0 to 1"),
        (np.array([[[-1.0], [0.95]]]), r"values from -1 to 0.95; expected bytes, or floats from 0 to 1"),
        (np.full((2, 2, 1), np.nan), r"expected bytes, or floats"),
        (np.zeros((2, 2, 1), dtype=np.int64), r"dtype int64 and values from 0 to 0; expected bytes"),
        (np.zeros((0, 2, 3)), r"has shape \(0, 2, 3\); expected \(H, W, C\)"),
        *(
            (Image.new("RGB", (2, 2)).convert(mode), rf"has the mode {mode}; expected RGB or L: image.convert\('RGB'\)")
            for mode in ("P", "1", "CMYK", "YCbCr", "HSV")
        ),
    ],
)
def test_images_in_other_forms_are_refused(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_bytes(image)


@pytest.mark.parametrize("form", [np.array, list, torch.tensor, lambda values: tuple(np.array(values))])
def test_a_fingerprint_is_of_numbers_in_whatever_form(form: Any) -> None:
    images = stream_of(pixels(), mean=(0.0, 0.5, 0.25), std=(1.0, 0.5, 2.0))
    given = dataclasses.replace(images, mean=form(images.mean), std=form(images.std))
    sizes: dict[str, Any] = {"size": np.int64(images.size), "patch": np.int64(images.patch)}
    whole = dataclasses.replace(given, **sizes)
    assert images.digest() == given.digest() == whole.digest()
    assert dataclasses.replace(images, mean=(0, 0.5, 0.25), std=(1, 0.5, 2)).digest() == images.digest()
    assert dataclasses.replace(images, std=(1.0, 0.5, 2.5)).digest() != images.digest()


def test_what_cannot_be_streamed_is_refused() -> None:
    images = stream_of(pixels())
    with pytest.raises(InputError, match=r"patch size 3 does not divide the 8x8 image"):
        dataclasses.replace(images, patch=3)
    with pytest.raises(InputError, match=r"^mean contains nan at \(1,\); every value must be finite"):
        dataclasses.replace(images, mean=(0.0, float("nan"), 0.0))
    with pytest.raises(InputError, match=r"workers 0 of noise; expected an integer of at least 1"):
        dataclasses.replace(images, workers=0)
    with pytest.raises(InputError, match=r"of 3 channels; expected one each, std above 0"):
        dataclasses.replace(images, std=(1.0, 1.0))
    with pytest.raises(
        InputError, match=r"labels has shape \(10,\) for the 12 images of noise; expected \(12,\): some of"
    ):
        dataclasses.replace(images, labels=images.labels[:10])
    with pytest.raises(InputError, match=r"^labels of noise contain -1; expected an array \(N,\) of integers from 0"):
        dataclasses.replace(images, labels=images.labels - 1)
    iterated: tuple[Any, ...] = (ChainDataset([]), iter([]))
    for dataset in iterated:
        with pytest.raises(InputError, match=r"^the dataset is a.*, which is not indexed; expected one with a length"):
            DatasetReader(dataset)
    assert len(take(images, np.arange(10)).labels) == 10
    assert take(images, images.labels == 1).digest() == take(images, np.flatnonzero(images.labels == 1)).digest()
    other = dataclasses.replace(images, size=12)
    with pytest.raises(InputError, match=r"an image of noise has shape \(8, 8, 3\); expected \(12, 12, 3\) for all"):
        train(other, CONFIG)
