"""Image folders: which images are listed under which label, and what a file becomes."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from maskgraph.graphs import memory
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.folder import check_image, list_folder, passed_over, read_crop, read_image
from maskgraph.graphs.source import Source, load_coded, load_split
from maskgraph.graphs.stored import load_stored

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def touch(root: Path, *names: str) -> None:
    """Make empty files, and the folders that they lie in."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def flat(side: int, *colour: int) -> NDArray[np.uint8]:
    """A square of one colour."""
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (side, side, len(colour)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes; `val` has both."""
    touch(tmp_path, "train/cat/b.JPEG", "train/cat/a.png", "train/cat/c.webp", "train/ant/z.bmp", "train/ant/B.jpg")
    touch(tmp_path, "val/cat/1.jpeg", "val/ant/0.png")
    return tmp_path


def test_listing(root: Path) -> None:
    train = list_folder(root, "train")
    assert (train.root, train.classes) == (root, ("ant", "cat"))
    expected = ["train/ant/B.jpg", "train/ant/z.bmp", "train/cat/a.png", "train/cat/b.JPEG", "train/cat/c.webp"]
    assert list(train.paths) == expected
    assert train.labels.dtype == np.int64
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    val = list_folder(root, "val")
    assert (val.classes, list(val.paths)) == (("ant", "cat"), ["val/ant/0.png", "val/cat/1.jpeg"])
    assert val.labels.tolist() == [0, 1]


def test_listing_does_not_depend_on_the_order_of_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = list_folder(root, "train").paths
    scandir = os.scandir

    class Reversed(list[os.DirEntry[str]]):
        def __enter__(self) -> Reversed:
            return self

        def __exit__(self, *raised: object) -> None:
            pass

    for flipped in (False, True):
        monkeypatch.setattr(os, "scandir", lambda path, f=flipped: Reversed(sorted(scandir(path), key=str, reverse=f)))
        assert list_folder(root, "train").paths == listed


def test_what_is_no_image_is_passed_over(root: Path) -> None:
    before = list_folder(root, "train")
    assert before.passed_over == ()
    touch(root, "train/cat/notes.txt", "train/cat/._a.png", "train/.cache/x.png", "train/README.png", "train/cat/jpg")
    touch(root, "train/cat/folder.png/deep.png")
    after = list_folder(root, "train")
    assert (after.classes, after.paths) == (before.classes, before.paths)
    assert after.passed_over == ("train/README.png", "train/cat/folder.png/", "train/cat/jpg", "train/cat/notes.txt")


def test_what_is_passed_over_is_told_in_a_line(root: Path) -> None:
    assert passed_over(root, ("train", "val")) == ""
    touch(root, *(f"train/cat/{name}.gif" for name in "abc"), "train/ant/a.GIF", "val/ant/b.tif", "val/notes")
    files = r"6 files passed over (4 .gif, 1 .tif, 1 without a suffix): images end with .jpg, .jpeg, .png, .webp, .bmp"
    assert passed_over(root, ("train", "val")) == files
    assert passed_over(root, ("train",)).startswith("4 files passed over (4 .gif): images end with")
    touch(root, "val/cat/deep/1.png", "val/cat/deep/2.png")
    folder = "1 folder passed over, such as val/cat/deep/: images lie in train/CLASS/ itself"
    assert passed_over(root, ("train", "val")) == f"{files}; {folder}"
    assert passed_over(root, ("val",)).startswith("2 files passed over (1 ")
    touch(root, *(f"train/ant/x.{suffix}" for suffix in ("a", "b", "c", "d")))
    assert "(4 .gif, 1 .a, 1 .b, 1 .c, ...)" in passed_over(root, ("train",))


def test_images_beside_train_and_val_are_told(root: Path) -> None:
    touch(root, "test/cat/0.png", "test/cat/1.png", "test/cat/notes.txt", "test/2.png", "notes/a.txt", ".old/cat/a.png")
    told = "3 images passed over in test/: train/ and val/ alone are read"
    assert passed_over(root, ("train",)) == passed_over(root, ("train", "val")) == told
    touch(root, "extra/0.png", "train/cat/a.gif")
    (root / "loop").symlink_to(".")
    files, folders = passed_over(root, ("train",)).split("; ")
    assert files.startswith("1 file passed over (1 .gif)")
    assert folders == "4 images passed over in extra/, test/: train/ and val/ alone are read"


def test_what_may_not_be_listed_beside_train_is_no_matter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(root, "lost+found/a.png", "test/cat/0.png")
    scandir = os.scandir

    def denied(path: Path) -> object:
        if Path(path).name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert passed_over(root, ("train",)) == "1 image passed over in test/: train/ and val/ alone are read"


def test_a_part_of_another_name_is_found(root: Path) -> None:
    touch(root, "flat/0.png")
    (root / "val").rename(root / "test")
    found = rf"has no folder val; .* of each class; found {root}/test: rename it to val$"
    with pytest.raises(InputError, match=found):
        list_folder(root, "val")
    touch(root, "holdout/cat/0.png")
    with pytest.raises(InputError, match=rf"; found {root}/holdout, {root}/test: rename one of them to val$"):
        list_folder(root, "val")
    (root / "train").rename(root / "val")
    with pytest.raises(InputError, match=r"has no folder train; .*/holdout, .*/test: rename one of them to train$"):
        list_folder(root, "train")


def test_val_need_not_have_every_class(root: Path) -> None:
    (root / "val/ant/0.png").unlink()
    (root / "val/ant").rmdir()
    val = list_folder(root, "val")
    assert (val.classes, val.labels.tolist()) == (("ant", "cat"), [1])


def test_train_alone_can_be_listed(root: Path) -> None:
    for name in ("val/ant/0.png", "val/cat/1.jpeg"):
        (root / name).unlink()
        (root / name).parent.rmdir()
    (root / "val").rmdir()
    assert len(list_folder(root, "train").paths) == 5
    with pytest.raises(InputError, match=r"has no folder val; expected .*val/CLASS/ with the images"):
        list_folder(root, "val")


def test_class_that_is_a_link(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    touch(elsewhere, "dog.png")
    (root / "train/dog").symlink_to(elsewhere)
    assert "train/dog/dog.png" in list_folder(root, "train").paths


@pytest.mark.parametrize("target", [".", "..", "loop", "../../"])
def test_links_in_a_circle_are_passed_over(root: Path, target: str) -> None:
    before = list_folder(root, "train")
    (root / "train/loop").symlink_to(target)
    (root / "train/cat/loop").symlink_to("..")
    after = list_folder(root, "train")
    assert (after.classes, after.paths) == (before.classes, before.paths)


def test_bad_folders(root: Path) -> None:
    with pytest.raises(InputError, match=r"absent is no folder; expected one that holds train/CLASS/ and val/CLASS/"):
        list_folder(root / "absent", "train")
    with pytest.raises(InputError, match=r"a.png is no folder"):
        list_folder(root / "train/cat/a.png", "train")
    with pytest.raises(InputError, match=r"cat has no folder train"):
        list_folder(root / "train/cat", "train")
    touch(root, "val/elk/0.png", "val/fox/0.png")
    with pytest.raises(InputError, match=r"val has the class 'elk', which .*train lacks; add it or remove it"):
        list_folder(root, "val")


def test_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.png")
    with pytest.raises(InputError, match=r"train holds no classes; expected a folder of images for each class"):
        list_folder(tmp_path, "train")


@pytest.mark.parametrize("part", ["train", "val"])
def test_class_without_images(root: Path, part: str) -> None:
    touch(root, "train/bee/1.png", "val/bee/1.png", f"{part}/bee/notes.txt")
    (root / part / "bee/1.png").unlink()
    with pytest.raises(InputError, match=rf"class .*{part}/bee has no images; expected files that end with .jpg, .jpe"):
        list_folder(root, "train" if part == "train" else "val")


def test_folder_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"train cannot be listed \(Permission denied\); check its permissions"):
        list_folder(root, "train")


@pytest.mark.parametrize("size", [1, 7, 16, 64])
@pytest.mark.parametrize("shape", [(40, 40), (40, 90), (90, 40), (5, 9), (1, 1), (300, 301)])
def test_one_colour_stays_itself(tmp_path: Path, shape: tuple[int, int], size: int) -> None:
    for suffix in ("png", "bmp"):
        Image.new("RGB", shape, (200, 100, 50)).save(tmp_path / f"a.{suffix}")
        pixels = read_image(tmp_path / f"a.{suffix}", size)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, flat(size, 200, 100, 50))


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (50, 30), (200, 100, 50)).save(tmp_path / f"a.{suffix}", quality=95)
    difference = read_image(tmp_path / f"a.{suffix}", 16).astype(int) - [200, 100, 50]
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 90, (90, 90, 90)),
        ("LA", (90, 10), (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (10, 200, 30, 7), (10, 200, 30)),
        ("RGBA", (10, 200, 30, 0), (10, 200, 30)),
    ],
)
def test_other_kinds_of_pixels(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], expected: tuple[int, ...]
) -> None:
    Image.new(mode, (20, 30), colour).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 8), flat(8, *expected))


@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80"])
def test_palette(tmp_path: Path, transparency: int | bytes | None) -> None:
    image = Image.new("P", (20, 30), 1)
    image.putpalette([1, 2, 3, 250, 128, 7])
    if transparency is not None:
        image.info["transparency"] = transparency
    image.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
        assert ("transparency" in saved.info) == (transparency is not None)
    assert np.array_equal(read_image(tmp_path / "a.png", 8), flat(8, 250, 128, 7))


def test_jpeg_in_inks(tmp_path: Path) -> None:
    Image.new("CMYK", (20, 30), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg", 8).astype(int) - RED).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_an_image_of_the_size_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}", 16), pixels)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / f"grey.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"grey.{suffix}", 16), pixels[:, :, [0, 0, 0]])


@pytest.mark.parametrize("lying", [False, True])
def test_the_middle_of_a_wide_and_of_a_high_image(tmp_path: Path, lying: bool) -> None:
    # 32 x 96 at size 28: the shorter side is 32 already, nothing is resized, and rows 2-30, columns 34-62 are kept.
    pixels = np.zeros((32, 96, 3), dtype=np.uint8)
    pixels[:, :34], pixels[:, 34:48], pixels[:, 48:62], pixels[:, 62:] = RED, GREEN, BLUE, RED
    pixels[:2], pixels[30:] = RED, RED
    expected = np.zeros((28, 28, 3), dtype=np.uint8)
    expected[:, :14], expected[:, 14:] = GREEN, BLUE
    if not lying:
        pixels, expected = pixels.transpose(1, 0, 2), expected.transpose(1, 0, 2)
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 28), expected)


@pytest.mark.parametrize(
    ("shape", "size", "resized", "left", "top"),
    [
        ((32, 35), 28, (32, 35), 4, 2),
        ((32, 37), 28, (32, 37), 4, 2),
        ((22, 22), 20, (22, 22), 1, 1),
        ((66, 101), 20, (22, 33), 6, 1),
        ((101, 66), 20, (33, 22), 1, 6),
        ((280, 300), 224, (256, 274), 25, 16),
        ((232, 239), 232, (232, 239), 4, 0),
    ],
)
def test_the_middle_is_that_of_torchvision_to_the_pixel(
    tmp_path: Path, shape: tuple[int, int], size: int, resized: tuple[int, int], left: int, top: int
) -> None:
    """Resize truncates both sides, to int(S/0.875) and up to 224 pixels only; CenterCrop rounds half to even."""
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8))
    image.save(tmp_path / "a.png")
    whole = np.asarray(image.resize(resized[::-1], Image.Resampling.BICUBIC))
    assert np.array_equal(read_image(tmp_path / "a.png", size), whole[top : top + size, left : left + size])


def test_a_crop_is_cut_and_resized_as_pillow_does_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    asked: list[tuple[int, int]] = []

    def box(height: int, width: int) -> tuple[int, int, int, int]:
        asked.append((height, width))
        return 31, 5, 27, 34

    part = Image.fromarray(np.ascontiguousarray(pixels[5 : 5 + 34, 31 : 31 + 27]))
    wanted = np.asarray(part.resize((20, 20), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(read_crop(tmp_path / "a.png", 20, box), wanted)
    assert asked == [(40, 60)]


@pytest.mark.parametrize("factor", [2, 5])
def test_the_middle_of_an_image_that_shrinks(tmp_path: Path, factor: int) -> None:
    pixels = np.zeros((64 * factor, 96 * factor, 3), dtype=np.uint8)
    pixels[:, : 48 * factor], pixels[:, 48 * factor :] = GREEN, BLUE
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = read_image(tmp_path / "a.png", 56)
    # The edge between the colours stays in the middle; a bicubic filter reaches two pixels to either side of it.
    assert np.array_equal(shown[:, :26], flat(56, *GREEN)[:, :26])
    assert np.array_equal(shown[:, 30:], flat(56, *BLUE)[:, 30:])
    assert (shown[:, 26:30] == shown[0, 26:30]).all()


def test_shrinking_averages_and_does_not_pick(tmp_path: Path) -> None:
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png", 28).astype(int) - 127.5).max() < 2


def test_bicubic_overshoots_where_bilinear_does_not(tmp_path: Path) -> None:
    steps = np.repeat(np.array([[64, 192]], dtype=np.uint8), 32, axis=1)
    Image.fromarray(np.repeat(steps, 64, axis=0)).save(tmp_path / "a.png")
    shown = read_image(tmp_path / "a.png", 112)
    assert shown.min() < 64
    assert shown.max() > 192


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_image(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=rf"a.{suffix} cannot be read as an image \(.*replace or remove it") as caught:
        read_image(path, 16)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError) as checked:
        check_image(path)
    assert str(checked.value) == str(caught.value)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x89PNG\r\n\x1a\n" + b"\xff" * 99, b"BM" + b"\0" * 9])
def test_file_that_is_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a.png cannot be read as an image"):
        read_image(tmp_path / "a.png", 16)


def test_image_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name in ("absent.png", "loop.png", ""):
        with pytest.raises(InputError, match=r"cannot be read as an image"):
            read_image(tmp_path / name, 16)


def test_format_of_another_name(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), RED).save(tmp_path / "a.JPEG", format="PNG")
    assert np.array_equal(read_image(tmp_path / "a.JPEG", 4), flat(4, *RED))
    Image.new("RGB", (9, 9), RED).save(tmp_path / "b.png", format="TIFF")
    with pytest.raises(InputError, match=r"b.png cannot be read as an image"):
        read_image(tmp_path / "b.png", 4)


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a.png has pixels of kind I;?1?6?; expected 8 bits a channel: convert it"):
        read_image(tmp_path / "a.png", 4)


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_refused_whatever_the_colour(kind: int, channels: int, tmp_path: Path) -> None:
    """Of those with colour or transparency Pillow keeps the upper bytes and says 8 bits."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = np.random.default_rng(0).integers(256, size=(9, 9 * channels * 2), dtype=np.uint8)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", 9, 9, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    for read in (check_image, lambda path: read_image(path, 4)):
        with pytest.raises(InputError, match=r"a.png has pixels of kind .*16.*; expected 8 bits a channel: convert it"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("size", [0, -3])
def test_size_below_one(tmp_path: Path, size: int) -> None:
    with pytest.raises(InputError, match=f"image size {size}; expected a side of at least 1 pixel"):
        read_image(tmp_path / "a.png", size)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Images of noise of several sizes: four of each of two classes in `train`, two in `val`."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for label in ("ant", "cat"):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(256, size=(*rng.integers(9, 20, size=2), 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "images"


def test_a_folder_is_coded_as_its_pixels_are(noise: Path, tmp_path: Path) -> None:
    listed = list_folder(noise, "train")
    pixels = np.stack([read_image(noise / path, 8) for path in listed.paths])
    np.savez(tmp_path / "same.npz", pixels=pixels / 255, labels=listed.labels)
    same = Source(str(tmp_path / "same.npz"), patch=4, codes=3, images=6, seed=2)
    one, other = (load_coded(source) for source in (replace(same, dataset=str(noise), image_size=8), same))
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.weights, np.full(6, 1 / 6))
    assert one.classes == ("ant", "cat")
    assert one.codebook is not None
    assert other.codebook is not None
    np.testing.assert_allclose(one.codebook, other.codebook)


def test_its_validation_part_is_held_out(noise: Path) -> None:
    split = load_split(Source(str(noise), patch=4, image_size=8), 0.3)
    assert split.train.labels.tolist() == [0] * 4 + [1] * 4
    assert split.test.labels.tolist() == [0, 0, 1, 1]
    assert split.test_pixels is not None
    held = list_folder(noise, "val")
    for values, path in zip(split.test_pixels, held.paths, strict=True):
        np.testing.assert_allclose(values, read_image(noise / path, 8).ravel() / 255)


def test_what_is_wrong_with_a_folder_is_said(noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"images holds images of any size; say with --image-size, .* at how many pixels"
    ):
        load_coded(Source(str(noise), patch=4))
    with pytest.raises(InputError, match=r"image size 0; expected at least 1 pixel a side \(see --image-size\)"):
        load_coded(Source(str(noise), patch=4, image_size=0))
    with pytest.raises(InputError, match=r"holds pixels; give the side of a patch with --patch, in a study with patch"):
        load_coded(Source(str(noise), image_size=8))
    with pytest.raises(
        InputError, match=r"image size 8 of digits, which is no folder of images; leave out --image-size"
    ):
        load_coded(Source("digits", image_size=8))
    with pytest.raises(InputError, match=r"images 9 exceeds the 8 images of"):
        load_coded(Source(str(noise), patch=4, image_size=8, images=9))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(InputError, match=r"8 images of 8x8 pixels needs about .* lower --images or --image-size"):
        load_coded(Source(str(noise), patch=4, image_size=8))
    monkeypatch.undo()
    (noise / "train" / "cat" / "2.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"cat/2.png cannot be read as an image"):
        load_coded(Source(str(noise), patch=4, image_size=8))


def digits_in(folder: Path, mode: str, *parts: str) -> Source:
    """Ninety digits in files, the same in each part."""
    raw = load_stored("digits")
    for part in parts:
        for row, (pixels, label) in enumerate(zip(raw.pixels[:90, :, :, 0], raw.labels[:90], strict=True)):
            (folder / part / str(label)).mkdir(parents=True, exist_ok=True)
            # Multiples of 15 are sixteenths as nearly as bytes can be, and white is 240.
            Image.fromarray(pixels * 15).convert(mode).save(folder / part / str(label) / f"{row:02}.png")
    return Source(folder, patch=2, image_size=8)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_folder_without_colour_has_one_channel(mode: str, tmp_path: Path) -> None:
    """Its graph is that of the same images in a .npz, down to what targets are worth."""
    source = digits_in(tmp_path / "digits", mode, "train", "val")
    listed = list_folder(tmp_path / "digits", "train")
    pixels = np.stack([read_image(listed.root / path, 8)[:, :, 0] for path in listed.paths])
    np.savez(tmp_path / "same.npz", pixels=pixels / 255, labels=listed.labels)
    one, other = load_coded(source), load_coded(Source(tmp_path / "same.npz", patch=2))
    assert one.codebook is not None
    assert other.codebook is not None
    assert one.codebook.shape == (4, 4)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.codebook, other.codebook)
    split = load_split(source, 0.3)
    assert split.train_pixels is not None
    assert split.test_pixels is not None
    assert split.train_pixels.shape == split.test_pixels.shape == (90, 64)


def test_colour_is_in_all_parts_or_in_the_training_part(tmp_path: Path) -> None:
    source = digits_in(tmp_path, "L", "train", "val")
    red = Image.new("RGB", (8, 8), RED)
    red.save(tmp_path / "val" / "3" / "red.png")
    assert load_coded(source).codebook is not None
    with pytest.raises(InputError, match=r"val/3/red.png has colour and the training images have none, .*; save it in"):
        load_split(source, 0.3)
    red.save(tmp_path / "train" / "3" / "red.png")
    coded, split = load_coded(source), load_split(source, 0.3)
    assert coded.codebook is not None
    assert coded.codebook.shape == (4, 12)
    (tmp_path / "val" / "3" / "red.png").unlink()
    split = load_split(source, 0.3)
    assert split.test_pixels is not None
    assert split.test_pixels.shape == (90, 192), "grey images beside coloured ones have three equal channels"


def test_a_path_is_its_text(tmp_path: Path) -> None:
    assert Source(tmp_path, data_dir=tmp_path) == Source(str(tmp_path), data_dir=str(tmp_path))
    for wrong in ("digits", tmp_path):
        message = rf"in the place of a Source, which says how data is coded too; expected Source\('{wrong}'\)"
        with pytest.raises(InputError, match=message):
            load_coded(wrong)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=message):
            load_split(wrong, 0.3)  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "height"), [(1, 1001), (2003, 2)])
def test_strips_are_refused(tmp_path: Path, width: int, height: int) -> None:
    """At 224 pixels a strip of 1x20,000 would be made 256x5,120,000 to have its middle cut out."""
    path, long = tmp_path / "a.png", tmp_path / "long.png"
    Image.new("RGB", (width, height)).save(path)
    message = rf"a.png has {width}x{height} pixels; expected a longer side of at most 1000 shorter ones"
    for read in (check_image, lambda path: read_image(path, 224)):
        with pytest.raises(InputError, match=message):
            read(path)
    Image.new("RGB", (1, 1000), RED).save(long)
    check_image(long)
    assert (read_image(long, 8) == RED).all()
