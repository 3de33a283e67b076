"""Images in bytes: what is computed with them is to the last bit what it was before they were kept so."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from maskgraph.graphs import stored
from maskgraph.graphs.datasets import DEFAULT_PATCH, Images, images_of, load, make_images, take
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.source import Source, load_coded, load_split
from maskgraph.graphs.stored import HAS_TEST, STORED, Stored, load_stored
from tests.graphs.cifar_archive import NAMES, plant
from tests.graphs.test_datasets import write_fashion

CLOTHES = np.random.default_rng(1).integers(0, 256, (40, 28, 28), dtype=np.uint8)
KINDS = np.arange(40, dtype=np.uint8) % 10
TEST_CLOTHES = 255 - CLOTHES[:20]


def idx(array: NDArray[np.uint8]) -> bytes:
    """An array of bytes as the IDX format has it."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    """A folder with both parts of a small Fashion-MNIST."""
    write_fashion(tmp_path, "train", images=idx(CLOTHES), labels=idx(KINDS))
    write_fashion(tmp_path, "t10k", images=idx(TEST_CLOTHES), labels=idx(KINDS[:20]))
    return tmp_path


def same(one: Images, other: Images) -> None:
    """Equal to the last bit, types and names included."""
    for field in ("pixels", "labels", "weights"):
        left, right = getattr(one, field), getattr(other, field)
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        assert left.tobytes() == right.tobytes()
    assert (one.name, one.classes, one.drawn) == (other.name, other.classes, other.drawn)


def kept_in_bytes(part: Stored) -> None:
    """The types are those that are promised."""
    assert part.pixels.dtype == np.uint8
    assert part.labels.dtype == np.int64


def test_digits_are_scikit_learns() -> None:
    data, digits = load_digits(), load_stored("digits")
    kept_in_bytes(digits)
    assert (digits.pixels.shape, digits.full) == ((1797, 8, 8, 1), 16)
    assert np.array_equal(digits.pixels[..., 0], data.images)
    assert digits.labels.tolist() == data.target.tolist()
    images = load("digits")
    assert isinstance(images, Images)
    same(images, make_images("digits", data.images / 16.0, data.target))


def test_fashion_mnist_is_the_bytes_of_its_files(fashion: Path) -> None:
    train = load_stored("fashion-mnist", fashion)
    test = load_stored("fashion-mnist", fashion, held_out=True)
    for part, pixels, labels in ((train, CLOTHES, KINDS), (test, TEST_CLOTHES, KINDS[:20])):
        kept_in_bytes(part)
        assert part.full == 255
        assert np.array_equal(part.pixels[..., 0], pixels)
        assert part.labels.tolist() == labels.tolist()
        assert part.classes == tuple("0123456789")
        same(images_of(part), make_images("fashion-mnist", pixels / 255.0, labels))


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, held_out: bool) -> None:
    planted = plant(monkeypatch, name)
    planted.extract(tmp_path)
    part = load_stored(name, tmp_path, held_out)
    kept_in_bytes(part)
    assert (part.name, part.full) == (name, 255)
    assert np.array_equal(part.pixels, planted.pixels[held_out])
    assert np.array_equal(part.labels, planted.labels[held_out])
    assert part.classes == tuple(NAMES[name])
    images = load(name, tmp_path, held_out)
    assert isinstance(images, Images)
    assert images.pixels.tobytes() == (planted.pixels[held_out] / 255.0).tobytes()
    assert images.classes == part.classes


def test_both_parts_number_the_classes_alike(tmp_path: Path) -> None:
    write_fashion(tmp_path, "train", images=idx(CLOTHES[:3]), labels=idx(np.array([2, 9, 4], dtype=np.uint8)))
    write_fashion(tmp_path, "t10k", images=idx(CLOTHES[:2]), labels=idx(np.array([9, 4], dtype=np.uint8)))
    split = load_split(Source("fashion-mnist", data_dir=str(tmp_path)), held_out=0.5)
    assert split.train.labels.tolist() == [2, 9, 4]
    assert split.test.labels.tolist() == [9, 4]
    assert split.train.classes == split.test.classes


@pytest.mark.parametrize("count", [1, 7, 39])
def test_drawn_images_are_those_drawn_before(fashion: Path, count: int) -> None:
    rows = np.sort(np.random.default_rng(3).permutation(40)[:count])
    whole = make_images("fashion-mnist", CLOTHES / 255.0, KINDS)
    same(images_of(load_stored("fashion-mnist", fashion), rows), take(whole, rows))
    source = Source("fashion-mnist", codebook="exact", images=count, data_dir=str(fashion), seed=3)
    coded = load_coded(source)
    assert coded.labels.tolist() == KINDS[rows].tolist()
    assert coded.weights.tobytes() == take(whole, rows).weights.tobytes()


def test_only_the_drawn_images_become_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = plant(monkeypatch, "cifar10", images=200)
    planted.extract(tmp_path)
    source = Source("cifar10", images=20, data_dir=str(tmp_path))
    load_coded(source)
    tracemalloc.start()
    load_coded(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * 3072 * np.dtype(np.float64).itemsize / 2


@pytest.mark.parametrize("name", HAS_TEST)
def test_split_uses_the_test_part(fashion: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name != "fashion-mnist":
        plant(monkeypatch, name).extract(fashion)
    split = load_split(Source(name, data_dir=str(fashion)), held_out=0.3)
    for held_out, coded, pixels in ((False, split.train, split.train_pixels), (True, split.test, split.test_pixels)):
        part = load_stored(name, fashion, held_out)
        assert pixels is not None
        assert pixels.tobytes() == (part.pixels / 255.0).tobytes()
        assert coded.labels.tolist() == part.labels.tolist()
        assert coded.grid == ((4, 4) if name == "fashion-mnist" else (8, 8))


def test_split_of_digits_holds_images_out() -> None:
    split = load_split(Source("digits"), held_out=0.3)
    assert len(split.train.labels) + len(split.test.labels) == 1797
    assert 500 < len(split.test.labels) < 580


def test_every_dataset_has_a_patch() -> None:
    assert set(DEFAULT_PATCH) == set(STORED)
    assert set(HAS_TEST) < set(STORED)


def test_digits_have_no_test_part() -> None:
    with pytest.raises(InputError, match="digits has no test part of its own, only fashion-mnist, cifar10, cifar100"):
        load_stored("digits", held_out=True)


@pytest.mark.parametrize("name", ["cifar", "", "CIFAR10"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown dataset '{name}'; .*expected one of digits, fashion-mnist, cifar10"):
        load_stored(name)
    with pytest.raises(
        InputError, match=f"unknown dataset '{name}'.* expected one of digits, fashion-mnist, cifar10, cif"
    ):
        load(name)


def test_label_beyond_the_classes(fashion: Path) -> None:
    write_fashion(fashion, images=idx(CLOTHES), labels=idx(KINDS + np.uint8(1)))
    with pytest.raises(InputError, match="labels contains 10 where fashion-mnist has the classes 0 to 9; fetch"):
        load_stored("fashion-mnist", fashion)


@pytest.mark.parametrize("shape", [(0, 28, 28), (3, 0, 28), (3, 28, 0)])
def test_no_images(fashion: Path, shape: tuple[int, ...]) -> None:
    empty = np.zeros(shape, dtype=np.uint8)
    write_fashion(fashion, images=idx(empty), labels=idx(KINDS[: shape[0]]))
    with pytest.raises(InputError, match=r"pixels has shape \(.*1\); expected images in the files of fashion-mnist"):
        load_stored("fashion-mnist", fashion)


def test_a_stored_set_is_frozen() -> None:
    one = Stored("x", np.zeros((1, 1, 1, 1), dtype=np.uint8), 255, np.zeros(1, dtype=np.int64), ("0",))
    with pytest.raises(AttributeError):
        one.full = 16  # type: ignore[misc]


@pytest.mark.skipif(not stored.FASHION_MNIST_DIRS[0].is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_itself() -> None:
    train, test = load_stored("fashion-mnist"), load_stored("fashion-mnist", held_out=True)
    assert (train.pixels.shape, test.pixels.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert np.bincount(train.labels).tolist() == [6_000] * 10
    assert np.bincount(test.labels).tolist() == [1_000] * 10
