"""Loading: what good files become, and that each bad one is named in one sentence."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maskgraph.graphs import memory, stored
from maskgraph.graphs.datasets import (
    CodedImages,
    Images,
    check_plane,
    load,
    make_coded_images,
    make_images,
    split_rows,
    take,
)
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.idx import read_idx

ROUNDING = 1e-15
"""One division of masses below 1."""

CODES = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1]])
PIXELS = np.arange(3 * 2 * 4, dtype=np.float64).reshape(3, 2, 4)
LABELS = np.array([3, 7, 3])


def save(path: Path, **arrays: Any) -> str:
    """Write a .npz and name it."""
    np.savez(path / "data.npz", **arrays)
    return str(path / "data.npz")


def test_digits() -> None:
    digits = load("digits")
    assert isinstance(digits, Images)
    assert digits.pixels.shape == (1797, 8, 8, 1)
    assert (digits.pixels.min(), digits.pixels.max()) == (0, 1)
    assert digits.classes == tuple("0123456789")
    np.testing.assert_allclose(digits.weights, 1 / 1797, rtol=ROUNDING)
    # Raw pixels of the first image, as scikit-learn's documentation prints them.
    assert (digits.pixels[0, 0, :, 0] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert digits.labels[:5].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_npz_of_pixels(tmp_path: Path, channels: int | None) -> None:
    pixels = PIXELS if channels is None else np.stack([PIXELS] * channels, axis=-1)
    images = load(save(tmp_path, pixels=pixels, labels=LABELS, weights=np.array([1, 2, 1])))
    assert isinstance(images, Images)
    assert images.pixels.shape == (3, 2, 4, channels or 1)
    assert (images.pixels[..., 0] == PIXELS / 23).all()
    assert images.weights.tolist() == [0.25, 0.5, 0.25]
    assert images.labels.tolist() == [0, 1, 0]
    assert images.classes == ("3", "7")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_bytes_of_a_npz_are_from_0_to_1_and_the_largest_is_1(tmp_path: Path, dtype: type) -> None:
    """In whatever dtype: digits saved as they lie on disk, from 0 to 16, are the digits that come with maskgraph."""
    raw = stored.load_stored("digits")
    images, digits = load(save(tmp_path, pixels=raw.pixels.astype(dtype), labels=raw.labels)), load("digits")
    assert isinstance(images, Images)
    assert isinstance(digits, Images)
    assert images.pixels.dtype == np.float64
    assert np.array_equal(images.pixels, digits.pixels)
    ends: NDArray[Any] = np.repeat([0, 255], 4).reshape(2, 2, 2).astype(dtype)
    photographs = load(save(tmp_path, pixels=ends, labels=np.arange(2)))
    assert isinstance(photographs, Images)
    assert photographs.pixels.ravel().tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.bool_])
def test_pixels_from_0_to_1_stay_as_they_are(tmp_path: Path, dtype: type) -> None:
    pixels: NDArray[Any] = np.array([[[0, 1], [1, 0]], [[0.25, 0.5], [0, 0]]]).astype(dtype)
    images = load(save(tmp_path, pixels=pixels, labels=np.arange(2)))
    assert isinstance(images, Images)
    assert images.pixels.dtype == np.float64
    assert (images.pixels[..., 0] == pixels).all()


def test_what_is_white_does_not_hang_on_weights(tmp_path: Path) -> None:
    """As in a recipe, which knows none: the brightest image speaks even where it is dropped."""
    images = load(save(tmp_path, pixels=PIXELS, labels=LABELS, weights=np.array([1, 1, 0])))
    assert isinstance(images, Images)
    assert (images.pixels[..., 0] == PIXELS[:2] / 23).all()


def test_pixels_from_memory_are_taken_as_they_are() -> None:
    for pixels in (PIXELS, PIXELS - 50, PIXELS * 1e6):
        assert (make_images("mine", pixels, LABELS).pixels[..., 0] == pixels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_npz_of_codes(tmp_path: Path, dtype: type) -> None:
    images = load(save(tmp_path, codes=CODES.astype(dtype), labels=LABELS.astype(dtype)))
    assert isinstance(images, CodedImages)
    assert images.codes.dtype == images.labels.dtype == np.int64
    assert images.codes.tolist() == CODES.tolist()
    assert images.grid == (1, 3)
    assert images.patches == 3
    assert images.codebook is None
    np.testing.assert_allclose(images.weights, 1 / 3, rtol=ROUNDING)


def test_npz_of_codes_with_values(tmp_path: Path) -> None:
    codebook = np.array([[0.5, 1.0], [2.0, -1.0], [9.0, 9.0]])
    images = load(save(tmp_path, codes=CODES, labels=LABELS, codebook=codebook))
    assert isinstance(images, CodedImages)
    assert images.codebook is not None
    assert images.codebook.tolist() == codebook.tolist()


def test_images_of_weight_zero_are_dropped_and_their_class_stays(tmp_path: Path) -> None:
    weights = np.array([1.0, 0.0, 3.0])
    coded = load(save(tmp_path, codes=CODES, labels=LABELS, weights=weights))
    assert isinstance(coded, CodedImages)
    assert coded.codes.tolist() == CODES[[0, 2]].tolist()
    assert coded.weights.tolist() == [0.25, 0.75]
    assert coded.labels.tolist() == [0, 0]
    assert coded.classes == ("3", "7")
    images = load(save(tmp_path, pixels=PIXELS, labels=LABELS, weights=weights))
    assert isinstance(images, Images)
    assert (images.pixels[..., 0] == PIXELS[[0, 2]] / 23).all()


GOOD_CODES: dict[str, NDArray[Any]] = {"codes": CODES, "labels": LABELS}
GOOD_PIXELS: dict[str, NDArray[Any]] = {"pixels": PIXELS, "labels": LABELS}
ANY = np.array([[None, "x"]], dtype=object)
NAN = np.where(PIXELS == 13, np.nan, PIXELS)

BAD_ARRAYS: list[tuple[dict[str, NDArray[Any]], str]] = [
    (GOOD_CODES | {"labels": LABELS[:2]}, r"labels has shape \(2,\) for 3 images; expected \(3,\)"),
    (GOOD_PIXELS | {"labels": LABELS[:2]}, r"labels has shape \(2,\) for 3 images; expected \(3,\)"),
    (GOOD_CODES | {"labels": LABELS[:, None]}, r"labels has shape \(3, 1\) for 3 images"),
    (GOOD_CODES | {"labels": LABELS / 2}, "labels has dtype float64; expected integers"),
    (GOOD_CODES | {"labels": np.array(["a", "b", "a"])}, "labels has dtype <U1; expected integers"),
    (GOOD_PIXELS | {"pixels": NAN}, r"pixels contains nan at \(1, 1, 1, 0\); every value must be finite"),
    (GOOD_PIXELS | {"pixels": np.where(PIXELS == 3, -np.inf, PIXELS)}, r"pixels contains -inf at \(0, 0, 3, 0\)"),
    (
        GOOD_PIXELS | {"pixels": np.where(PIXELS == 3, -1e300, PIXELS)},
        r"pixels contains -1e\+300 at \(0, 0, 3, 0\); .*1e\+15",
    ),
    (GOOD_CODES | {"codebook": np.array([[1.0], [2e15]])}, r"codebook contains 2e\+15 at \(1, 0\); .* scale them"),
    (GOOD_PIXELS | {"pixels": PIXELS.astype(complex)}, "pixels has dtype complex128; expected real numbers"),
    (GOOD_PIXELS | {"pixels": PIXELS.astype(str)}, "pixels has dtype <U.*; expected real numbers"),
    (GOOD_PIXELS | {"pixels": PIXELS[0]}, r"pixels has shape \(2, 4\); expected a non-empty \(N, H, W\)"),
    (
        GOOD_PIXELS | {"pixels": PIXELS - 1},
        r"pixels of .*data.npz go from -1 to 22; expected bytes from 0 to 255, or num",
    ),
    (
        GOOD_PIXELS | {"pixels": PIXELS * 100},
        "pixels of .* go from 0 to 2300; expected bytes from 0 to 255, or numbers",
    ),
    (GOOD_PIXELS | {"pixels": PIXELS / 10}, "go from 0 to 2.3; expected bytes from 0 to 255, or numbers from 0 to 1"),
    (
        GOOD_PIXELS | {"pixels": np.zeros((3, 1, 16, 16))},
        r"pixels has shape \(3, 1, 16, 16\); expected \(N, H, W, C\) and this looks like \(N, C, H, W\): transpose it",
    ),
    (GOOD_PIXELS | {"pixels": np.zeros((3, 3, 40, 24))}, r"shape \(3, 3, 40, 24\); .* this looks like \(N, C, H, W\)"),
    (GOOD_PIXELS | {"pixels": np.zeros((3, 3, 4, 4))}, r"this looks like .*, pixels.transpose\(0, 2, 3, 1\)"),
    (
        GOOD_PIXELS | {"labels": np.array([1, -1, 0])},
        "labels contains -1 at 1, the usual mark of .* leave those images",
    ),
    (
        GOOD_CODES | {"labels": np.array([0, 1, -7])},
        "labels contains -7 at 2, the usual mark of an image without a lab",
    ),
    (GOOD_CODES | {"grid": np.array([2, 2])}, r"grid \[2, 2\] of 3 patches; expected two integers, .* product is 3"),
    (GOOD_CODES | {"grid": np.array([-1, -3])}, r"grid \[-1, -3\] of 3 patches"),
    (GOOD_CODES | {"grid": np.array([3])}, r"grid \[3\] of 3 patches"),
    (GOOD_CODES | {"grid": np.array([3.0, 1.0])}, r"grid \[3.0, 1.0\] of 3 patches"),
    (GOOD_PIXELS | {"grid": np.array([1, 3])}, "holds pixels and a grid; a grid goes with codes only: remove it"),
    (GOOD_PIXELS | {"pixels": PIXELS[:0]}, r"pixels has shape \(0, 2, 4, 1\); expected a non-empty"),
    (GOOD_PIXELS | {"pixels": PIXELS[:, :0]}, r"pixels has shape \(3, 0, 4, 1\); expected a non-empty"),
    (GOOD_CODES | {"weights": np.ones(2)}, r"weights has shape \(2,\) for 3 images; expected \(3,\)"),
    (GOOD_CODES | {"weights": np.array([1, -0.5, 1])}, "weights contains -0.5 at 1; a weight is .* at least 0"),
    (GOOD_PIXELS | {"weights": np.array([1, 1, -2])}, "weights contains -2 at 2"),
    (GOOD_CODES | {"weights": np.zeros(3)}, "weights sum to 0; at least one image needs a positive weight"),
    (GOOD_PIXELS | {"weights": np.zeros(3)}, "weights sum to 0"),
    (GOOD_CODES | {"weights": np.array([1, np.nan, 1])}, r"weights contains nan at \(1,\)"),
    (GOOD_CODES | {"weights": np.array([1, np.inf, 1])}, r"weights contains inf at \(1,\)"),
    (GOOD_CODES | {"codes": CODES - 1}, "codes contains -1; codes count from 0"),
    (GOOD_CODES | {"codes": CODES / 1}, "codes has dtype float64; expected integers"),
    (GOOD_CODES | {"codes": CODES[:, :1]}, r"codes has shape \(3, 1\); expected \(N, n\) with .* n >= 2 patches"),
    (GOOD_CODES | {"codes": CODES[0]}, r"codes has shape \(3,\); expected \(N, n\)"),
    (GOOD_CODES | {"codes": CODES[:0]}, r"codes has shape \(0, 3\); expected \(N, n\)"),
    (GOOD_CODES | {"codes": CODES.astype(np.uint64) + np.uint64(2**63)}, "beyond the 64-bit integers; renumber"),
    (GOOD_CODES | {"codebook": np.ones((1, 2))}, r"codebook has shape \(1, 2\) .* largest code is 1; .* V >= 2"),
    (GOOD_CODES | {"codebook": np.ones(2)}, r"codebook has shape \(2,\) while the largest code is 1"),
    (GOOD_CODES | {"codebook": np.ones((2, 0))}, r"codebook has shape \(2, 0\)"),
    (GOOD_CODES | {"codebook": np.array([[1.0], [np.nan]])}, r"codebook contains nan at \(1, 0\)"),
    (GOOD_CODES | {"pixels": PIXELS}, "must hold either pixels or codes, one and only one"),
    ({"labels": LABELS}, "must hold either pixels or codes, one and only one"),
    ({"codes": CODES}, r"holds no labels; add an integer array labels \(N,\)"),
    (GOOD_PIXELS | {"codebook": np.ones((2, 1))}, "holds pixels and a codebook; a codebook goes with codes only"),
    (GOOD_CODES | {"label": LABELS}, r"unknown array 'label' in .*; did you mean labels\? expected one of"),
    (GOOD_CODES | {"codes": ANY}, "cannot be read as a .npz of plain arrays .*save numbers, not Python objects"),
    (GOOD_PIXELS | {"pixels": ANY}, "save numbers, not Python objects"),
    (GOOD_CODES | {"labels": ANY}, "save numbers, not Python objects"),
    (GOOD_CODES | {"weights": ANY}, "save numbers, not Python objects"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD_ARRAYS)
def test_bad_arrays(tmp_path: Path, arrays: dict[str, NDArray[Any]], message: str) -> None:
    name = save(tmp_path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        load(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nothing of the kind", b"\x80\x04N."])
def test_file_that_is_no_npz(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.npz cannot be read as a \.npz of plain arrays") as caught:
        load(str(path))
    assert "unsafely" not in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_npz(tmp_path: Path, share: float, compressed: bool) -> None:
    path = tmp_path / "data.npz"
    (np.savez_compressed if compressed else np.savez)(path, pixels=PIXELS, labels=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"cannot be read as a \.npz .*; it may be damaged or not complete: copy it"):
        load(str(path))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("damaged", [60, 64, 70, 80])
def test_corrupt_npz(tmp_path: Path, damaged: int, compressed: bool) -> None:
    path = tmp_path / "data.npz"
    (np.savez_compressed if compressed else np.savez)(path, pixels=np.tile(PIXELS, (1, 8, 8)), labels=LABELS)
    content = bytearray(path.read_bytes())
    # The first array begins after its 60 bytes of zip header; deflate itself breaks before any checksum is seen.
    content[damaged : damaged + 16] = b"\xff" * 16
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as a \.npz .*; it may be damaged or not complete: copy it"):
        load(str(path))


def test_no_more_of_a_npz_is_read_than_there_is_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand zeros take a hundred bytes of a file."""
    path = tmp_path / "data.npz"
    np.savez_compressed(path, pixels=np.zeros((1000, 10, 10), dtype=np.uint8), labels=np.zeros(1000, dtype=np.uint8))
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    with pytest.raises(InputError, match=r"^all that .*data\.npz holds needs about .* of memory and .* are free; give"):
        load(str(path))


def test_what_no_npz_of_images_holds_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, pixels=PIXELS, labels=LABELS, zeros=np.full(100, 7, dtype=np.uint8))
    path.write_bytes(path.read_bytes().replace(b"\x07" * 100, b"\x08" * 100))
    with pytest.raises(InputError, match="unknown array 'zeros'"):
        load(str(path))


def test_npy_under_the_name_of_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, PIXELS)
    with pytest.raises(InputError, match=r"cannot be read as a \.npz of plain arrays \(no zip archive, or not all"):
        load(str(path))


def test_npz_that_does_not_exist(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(InputError, match=r"does not exist; expected a .npz file|unknown dataset"):
            load(str(path))


@pytest.mark.parametrize("name", ["mnist", "", "Digits", "data.npy"])
def test_unknown_dataset(name: str) -> None:
    with pytest.raises(
        InputError, match=f"unknown dataset '{name}'; .*expected one of digits, fashion-mnist, .*npz file"
    ):
        load(name)


def idx(array: NDArray[np.uint8]) -> bytes:
    """An array of bytes as the IDX format has it."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


GARMENTS = np.random.default_rng(0).integers(0, 256, size=(5, 28, 28), dtype=np.uint8)
KINDS = np.array([9, 0, 0, 3, 9], dtype=np.uint8)


def write_fashion(directory: Path, part: str = "train", gz: bool = False, **changed: bytes) -> None:
    """Write both files of a part, with `images` or `labels` replaced where given."""
    content = {"images": idx(GARMENTS), "labels": idx(KINDS)} | changed
    for side, axes in (("images", 3), ("labels", 1)):
        name = f"{part}-{side}-idx{axes}-ubyte"
        if gz:
            (directory / f"{name}.gz").write_bytes(gzip.compress(content[side]))
        else:
            (directory / name).write_bytes(content[side])


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(("part", "held_out"), [("train", False), ("t10k", True)])
def test_fashion_mnist(tmp_path: Path, part: str, held_out: bool, gz: bool) -> None:
    write_fashion(tmp_path, part, gz)
    images = load("fashion-mnist", tmp_path, held_out)
    assert isinstance(images, Images)
    assert (images.pixels[..., 0] == GARMENTS / 255).all()
    assert [images.classes[label] for label in images.labels] == [str(kind) for kind in KINDS]
    np.testing.assert_allclose(images.weights, 0.2, rtol=ROUNDING)


def test_fashion_mnist_is_searched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "FASHION_MNIST_DIRS", (tmp_path / "none", tmp_path))
    write_fashion(tmp_path)
    assert isinstance(load("fashion-mnist"), Images)
    monkeypatch.setattr(stored, "FASHION_MNIST_DIRS", (tmp_path / "none", tmp_path / "neither"))
    with pytest.raises(InputError, match=r"looked for in .*none, .*neither and no such directory exists; .*--data-dir"):
        load("fashion-mnist")


def test_fashion_mnist_directory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for in .*absent and no such directory exists; .*--data-dir"):
        load("fashion-mnist", tmp_path / "absent")


def test_missing_idx_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\[.gz\] does not exist.*--data-dir"):
        load("fashion-mnist", tmp_path)
    write_fashion(tmp_path)
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte\[.gz\] does not exist"):
        load("fashion-mnist", tmp_path, held_out=True)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\[.gz\] does not exist"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("length", [8, 15, 16, 17, 500, len(idx(GARMENTS)) - 1])
def test_truncated_idx_file(tmp_path: Path, length: int, gz: bool) -> None:
    write_fashion(tmp_path, gz=gz, images=idx(GARMENTS)[:length])
    with pytest.raises(InputError, match=rf"train-images-.* holds {length} bytes .* it is truncated; fetch it again"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize("drop", [1, 8, 100, 1000])
def test_truncated_gz_file(tmp_path: Path, drop: int) -> None:
    write_fashion(tmp_path, gz=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-drop])
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz is truncated or not gzip .*fetch it again"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x1f\x8b\x08\x00" + b"\xff" * 60])
def test_file_that_is_not_gzip(tmp_path: Path, content: bytes) -> None:
    write_fashion(tmp_path, gz=True)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(InputError, match="is truncated or not gzip"):
        load("fashion-mnist", tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", b"\0\0\x08", b"\0\0\x08\0", b"<html>", b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", b"\x01\0\x08\x01\0\0\0\0"],
)
def test_header_that_is_not_idx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected an IDX header of unsigned bytes"):
        read_idx(path)


def test_header_that_promises_the_world(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 12 + b"\0" * 10)
    with pytest.raises(InputError, match="holds 26 bytes where its header"):
        read_idx(path)


def test_idx_file_with_bytes_to_spare(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(idx(KINDS) + b"\0")
    with pytest.raises(InputError, match="holds 14 bytes where its header"):
        read_idx(path)


def test_images_and_labels_of_different_sets(tmp_path: Path) -> None:
    write_fashion(tmp_path, labels=idx(KINDS[:4]))
    with pytest.raises(InputError, match=r"labels has shape \(4,\) for 5 images"):
        load("fashion-mnist", tmp_path)


def test_labels_in_the_place_of_images(tmp_path: Path) -> None:
    write_fashion(tmp_path, images=idx(KINDS))
    with pytest.raises(InputError, match=r"pixels has shape \(5,\)"):
        load("fashion-mnist", tmp_path)


def test_take_renormalises() -> None:
    coded = make_coded_images("w", CODES, LABELS, np.array([1.0, 2.0, 2.0]))
    taken = take(coded, np.array([2, 0]))
    assert taken.codes.tolist() == CODES[[2, 0]].tolist()
    np.testing.assert_allclose(taken.weights, [2 / 3, 1 / 3], rtol=ROUNDING)
    assert taken.classes == coded.classes
    images = make_images("w", PIXELS, LABELS, np.array([1.0, 2.0, 2.0]))
    chosen = take(images, np.array([1, 2]))
    assert (chosen.pixels[..., 0] == PIXELS[1:]).all()
    assert chosen.labels.tolist() == [1, 0]
    assert chosen.weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.99])
def test_split_holds_out_some_of_every_class(share: float) -> None:
    labels = np.repeat([0, 1, 2], [2, 10, 40])
    train, test = split_rows(labels, share, seed=1)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(52))
    for label, count in ((0, 2), (1, 10), (2, 40)):
        held = int((labels[test] == label).sum())
        assert 1 <= held <= count - 1
        assert abs(held - share * count) <= 1
    again, other = split_rows(labels, share, seed=1)[1], split_rows(labels, share, seed=2)[1]
    assert test.tolist() == again.tolist()
    assert test.tolist() != other.tolist()


def test_split_of_a_class_of_one() -> None:
    with pytest.raises(InputError, match="class 1 has 1 image; holding images out needs at least 2"):
        split_rows(np.array([0, 0, 1]), 0.5, seed=0)


def test_channels_are_told_from_rows_by_the_square_behind_them() -> None:
    for shape in ((2, 3, 3, 3), (2, 4, 3, 3), (2, 3, 4, 5), (2, 2, 16, 16), (2, 16, 16, 1)):
        assert make_images("mine", np.zeros(shape), [0, 1]).pixels.shape == shape


def test_lists_and_tensors_are_arrays() -> None:
    images = make_images("mine", PIXELS, LABELS, np.array([1.0, 2.0, 3.0]))
    for kind in (np.ndarray.tolist, torch.as_tensor):
        same = make_images("mine", kind(PIXELS), kind(LABELS), kind(np.array([1.0, 2.0, 3.0])))
        assert np.array_equal(same.pixels, images.pixels)
        assert np.array_equal(same.labels, images.labels)
        assert np.array_equal(same.weights, images.weights)
        codes = make_coded_images("mine", kind(CODES), kind(LABELS), None, kind(np.eye(2)), kind(np.array([3, 1])))
        assert (codes.codes == CODES).all()
        assert codes.codebook is not None
        assert (codes.codebook == np.eye(2)).all()
        assert codes.grid == (3, 1)
    bad: list[Any] = [
        [[[0.0, 1.0]], [[0.0]]],
        torch.zeros(1, 2, 2, requires_grad=True),
        torch.zeros(1, 2, 2, dtype=torch.bfloat16),
    ]
    for pixels in bad:
        name = type(pixels).__name__
        with pytest.raises(
            InputError, match=rf"pixels is a {name} that makes no array \(.*\); expected a numpy array"
        ) as e:
            make_images("mine", pixels, [0])
        assert "\n" not in str(e.value)


def test_codes_in_memory_fill_their_grid() -> None:
    with pytest.raises(
        InputError, match=r"grid \[3, 3\] of 16 patches; expected two integers, rows and columns, whose"
    ):
        make_coded_images("mine", np.zeros((2, 16), int), [0, 1], grid=(3, 3))
    assert make_coded_images("mine", np.zeros((2, 16), int), [0, 1], grid=(2, 8)).grid == (2, 8)


def test_codes_of_a_npz_lie_where_its_grid_says(tmp_path: Path) -> None:
    bare, placed = (load(save(tmp_path, **GOOD_CODES, **more)) for more in ({}, {"grid": np.array([3, 1])}))
    assert isinstance(bare, CodedImages)
    assert isinstance(placed, CodedImages)
    assert (bare.grid, placed.grid) == ((1, 3), (3, 1))
    for mask in ("block", "grid"):
        check_plane(placed, mask)
        with pytest.raises(InputError, match=rf"{mask} masks of .*, whose codes lie on no known plane; add grid, two"):
            check_plane(take(bare, np.arange(2)), mask)
    check_plane(bare, "uniform")


def test_grid_does_not_touch_the_views() -> None:
    one = make_coded_images("w", np.array([[0, 1, 1, 0]]), np.array([0]), grid=(2, 2))
    assert one.grid == (2, 2)
    assert one.codes.tolist() == [[0, 1, 1, 0]]
