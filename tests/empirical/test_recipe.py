"""Recipes: read and checked at the door, parts that are never mixed, and those that come with maskgraph."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.footprint import flops
from maskgraph.empirical.model import model_config
from maskgraph.empirical.parts import DataPlan, load_parts
from maskgraph.empirical.pixels import Pixels, PixelSet
from maskgraph.empirical.recipe import (
    Expected,
    JudgePlan,
    arithmetic,
    check_recipe,
    fine_tuning,
    read_recipe,
    recipe_from,
    recipe_names,
    recipe_table,
)
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.stream import Stream
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.source import Source, load_coded, load_split
from maskgraph.graphs.stored import HAS_TEST, load_stored
from tests.graphs.cifar_archive import plant

DIGITS: dict[str, Any] = {"data": {"dataset": "digits", "patch": 2}}


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_come_along_are_recipes(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe_from(recipe_table(recipe)) == dataclasses.replace(recipe, about="", images=None, expected=())
    assert len(recipe.runs()) == len(recipe.methods) * recipe.seeds
    assert len({(config.method, config.seed) for config in recipe.runs()}) == len(recipe.runs())


def test_a_recipe_is_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[data]\ndataset = "cifar10"\npatch = 4\ncrop = [0.2, 1]\nflip = true\n'
        '[train]\nmethods = ["u-simmim"]\nseeds = 2\nmask_ratio = 0.6\nlam = "auto"\ndiagonal = false\n'
        '[judge]\nprobes = ["knn"]\nlayers = false\n'
    )
    recipe = read_recipe(str(path))
    assert (recipe.data.dataset, recipe.data.crop, recipe.data.flip) == ("cifar10", (0.2, 1), True)
    assert [(config.method, config.seed) for config in recipe.runs()] == [("u-simmim", 0), ("u-simmim", 1)]
    assert (recipe.train.mask_ratio, recipe.train.lam, recipe.train.diagonal) == (0.6, "auto", False)
    assert (recipe.judge.probes, recipe.judge.layers) == (("knn",), False)


def test_a_method_without_a_decoder_is_run_alone_where_others_of_the_recipe_have_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = '[data]\ndataset = "digits"\npatch = 2\n[train]\nmethods = {}\ndecoder_dim = 32\n'
    path.write_text(text.format('["mae", "simmim"]'))
    recipe = read_recipe(str(path))
    alone = check_recipe(dataclasses.replace(recipe, methods=("simmim",)))
    assert alone.runs() == [config for config in recipe.runs() if config.method == "simmim"]
    # As its directory has it, so that it can be gone on with.
    assert recipe_from(recipe_table(alone)) == alone
    path.write_text(text.format('["simmim"]'))
    with pytest.raises(InputError, match="decoder_dim 32 of simmim, whose decoder is one linear layer"):
        read_recipe(str(path))


def test_what_a_recipe_says_of_its_images_is_so() -> None:
    recipe = read_recipe("digits")
    assert recipe.images == len(load_parts(recipe.data, None).train.labels)
    # 50,000 and 1,281,167 images less the share for validation.
    assert read_recipe("cifar10-tiny").images == 45_000
    assert read_recipe("imagenet1k-base").images == round(1_281_167 * 0.98)


@pytest.mark.parametrize(
    ("name", "rate", "images", "tuning_rate", "tuning_images", "crops"),
    [
        # Rates for so many images, and shares that are cut out, as read in the configurations of each repository.
        ("simmim-base", 1e-4, 512, 1.25e-3, 512, [(0.67, 1.0), (0.08, 1.0)]),
        ("cifar10-tiny", 1.5e-4, 256, 1e-3, 256, [(), ()]),
        ("imagenet1k-base", 1.5e-4, 256, None, 256, [(0.2, 1.0), ()]),
    ],
)
def test_recipes_after_a_repository_have_its_rates_and_crops(
    name: str, rate: float, images: int, tuning_rate: float | None, tuning_images: int, crops: list[Any]
) -> None:
    recipe = read_recipe(name)
    assert recipe.train.lr == pytest.approx(rate * recipe.train.batch / images)
    assert [recipe.data.crop, recipe.judge.fine_tune_crop] == crops
    assert recipe.data.flip == bool(crops[0])
    assert (tuning_rate is not None) == ("fine-tune" in recipe.judge.probes)
    if tuning_rate is not None:
        assert recipe.judge.fine_tune_lr == pytest.approx(tuning_rate * recipe.judge.fine_tune_batch / tuning_images)


@pytest.mark.parametrize(
    ("name", "size", "patch", "side"),
    [
        ("cifar10-tiny", "tiny", 2, None),
        ("cifar10-base", "base", 4, None),
        ("imagenet100-base", "base", 16, 224),
        ("imagenet100-large", "large", 16, 224),
        ("imagenet1k-base", "base", 16, 224),
        ("imagenet1k-large", "large", 16, 224),
        ("simmim-base", "base", 16, 224),
    ],
)
def test_recipes_train_the_networks_of_their_names(name: str, size: str, patch: int, side: int | None) -> None:
    recipe = read_recipe(name)
    assert (recipe.train.size, recipe.data.patch, recipe.data.image_size) == (size, patch, side)
    if name.startswith("imagenet"):
        # The recipe of the repository of U-MAE, whose code makes cls uniform; 20 epochs of warm-up.
        train = recipe.train
        assert (recipe.methods, train.target, train.feature) == (("mae", "u-mae"), "normalised", "cls")
        assert (train.mask_ratio, train.lam, train.weight_decay, train.beta2) == (0.75, 0.01, 0.05, 0.95)
        assert (train.epochs, train.batch, train.warmup * train.epochs) == (200, 1024, 20)
    elif name.startswith("simmim"):
        train = recipe.train
        assert (train.target, {one.error for one in recipe.runs()}) == ("pixels", {"absolute"})
        assert (train.relative_positions, train.layer_scale) == (True, 0.1)
        # 30 of 49 squares of 32 pixels, the rate a tenth from epoch 700 on, ten epochs of warm-up.
        assert (train.mask_unit, train.masks((14, 14)).kept) == (2, 4 * 19)
        assert (train.epochs, train.lr_drop * train.epochs, train.warmup * train.epochs) == (800, 700, 10)
        assert (train.clip, train.beta2, train.drop_path, train.weight_decay) == (5, 0.999, 0.1, 0.05)


def test_scores_to_expect_have_their_source() -> None:
    found = recipe_from(
        {
            **DIGITS,
            "expect": {
                "source": "a",
                "mae": {"cls.sgd": 0.5},
                "u-mae": {"cls.sgd": 0.6, "mean.knn": 0.7, "source": "b"},
            },
        }
    ).expected
    assert found == (
        Expected("mae", "cls.sgd", 0.5, "a"),
        Expected("u-mae", "cls.sgd", 0.6, "b"),
        Expected("u-mae", "mean.knn", 0.7, "b"),
    )
    for name in recipe_names():
        assert all(one.source for one in read_recipe(name).expected)


def test_arithmetic_is_that_of_every_network_image_and_epoch() -> None:
    recipe = read_recipe("digits")
    mae, simmim = (flops(model_config("micro", (4, 4), 4, family=family), 4) for family in ("mae", "simmim"))
    assert arithmetic(recipe) == pytest.approx(5 * 100 * 1069 * 2 * (mae + simmim))
    assert arithmetic(dataclasses.replace(recipe, images=None)) is None


def in_memory(data: DataPlan, data_dir: Path | None = None, seed: int = 0) -> tuple[Pixels, Pixels, Pixels]:
    parts = load_parts(data, data_dir, seed)
    assert isinstance(parts.train, Pixels)
    assert isinstance(parts.validation, Pixels)
    assert isinstance(parts.test, Pixels)
    return parts.train, parts.validation, parts.test


def rows_of(pixels: np.ndarray[Any, Any]) -> set[bytes]:
    return {image.tobytes() for image in pixels}


def test_digits_are_parted_into_three_that_share_no_image() -> None:
    recipe = recipe_from({"data": {**DIGITS["data"], "validation": 0.2, "held_out": 0.25}})
    train, validation, test = parts = in_memory(recipe.data)
    stored = load_stored("digits")
    pieces = [rows_of(part.pixels) for part in parts]
    assert sum(len(part.labels) for part in parts) == len(stored.labels)
    assert not pieces[0] & pieces[1]
    assert not pieces[0] & pieces[2]
    assert not pieces[1] & pieces[2]
    assert set.union(*pieces) == rows_of(stored.pixels)
    assert len(test.labels) / len(stored.labels) == pytest.approx(0.25, abs=0.01)
    assert len(validation.labels) / len(stored.labels) == pytest.approx(0.2 * 0.75, abs=0.01)
    values = train.pixels / train.full
    for part in parts:
        np.testing.assert_allclose(part.mean, values.mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(part.std, values.std(axis=(0, 1, 2)))
    np.testing.assert_array_equal(in_memory(recipe.data)[2].labels, test.labels)
    for mine, drawn in zip(pieces, in_memory(recipe.data, seed=1), strict=True):
        assert mine != rows_of(drawn.pixels), "a seed is a draw"


def test_a_test_part_of_its_own_is_used_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted = plant(monkeypatch, "cifar10", images=30)
    planted.extract(tmp_path)
    data = recipe_from({"data": {"dataset": "cifar10", "patch": 8, "flip": True, "validation": 0.5}}).data
    train, validation, test = in_memory(data, tmp_path)
    assert "cifar10" in HAS_TEST
    np.testing.assert_array_equal(test.pixels, planted.pixels[True])
    np.testing.assert_array_equal(test.labels, planted.labels[True])
    assert rows_of(train.pixels) | rows_of(validation.pixels) == rows_of(planted.pixels[False])
    assert train.augmentation.flip
    assert not validation.augmentation.flip
    assert not test.augmentation.flip


def test_a_folder_is_parted_into_three_that_share_no_image(tmp_path: Path) -> None:
    """Every image has a colour of its own, whose red says which it is and whose green says its class."""
    number = 0
    for part, count in (("train", 6), ("val", 3)):
        for label in range(2):
            folder = tmp_path / part / f"class {label}"
            folder.mkdir(parents=True)
            for _ in range(count):
                Image.new("RGB", (12, 10), (number, 100 * label, 7)).save(folder / f"{number:02}.png")
                number += 1
    table = {"dataset": "folder", "patch": 4, "image_size": 8, "crop": [0.5, 1.0], "validation": 0.34}
    parts = load_parts(recipe_from({"data": table}).data, tmp_path)
    shown = []
    for images, count in ((parts.train, 8), (parts.validation, 4), (parts.test, 6)):
        assert isinstance(images, Stream)
        assert len(images.labels) == count
        colours = [images.reader.whole(row)[0, 0] for row in range(count)]
        np.testing.assert_array_equal([colour[1] for colour in colours], 100 * images.labels)
        shown.append({int(colour[0]) for colour in colours})
        assert (images.augmentation.crop is not None) == (images is parts.train)
    assert shown[0] | shown[1] == set(range(12))
    assert not shown[0] & shown[1]
    assert shown[2] == set(range(12, 18))


def test_a_folder_with_one_image_to_judge_by_is_refused(tmp_path: Path) -> None:
    for at in ("train/a/0", "train/a/1", "train/b/0", "train/b/1", "val/a/0"):
        (tmp_path / at).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10)).save(tmp_path / f"{at}.png")
    data = recipe_from({"data": {"dataset": "folder", "patch": 4, "image_size": 8}}).data
    with pytest.raises(InputError, match=r"^val of .* holds 1 image; collapse is measured on 2 or more: add images$"):
        load_parts(data, tmp_path)
    Image.new("RGB", (12, 10)).save(tmp_path / "val/a/1.png")
    assert len(load_parts(data, tmp_path).test.labels) == 2


def test_some_images_are_drawn_from_the_training_part() -> None:
    data = recipe_from({"data": {**DIGITS["data"], "images": 500}}).data
    assert sum(len(part.labels) for part in in_memory(data)) == 500


@pytest.mark.parametrize("seed", range(3))
def test_few_images_of_many_classes_have_every_class_in_its_share(seed: int, tmp_path: Path) -> None:
    """Fifty classes of 40 images and one of 4, in order: each has its share up to one image, and what parting takes."""
    labels = np.repeat(np.arange(51), [40] * 50 + [4])
    path = str(tmp_path / "mine.npz")
    pixels = np.random.default_rng(0).random((len(labels), 2, 2))
    np.savez(path, pixels=pixels, labels=labels)
    for images in (153, 500, 1111, 2003):
        parts = load_parts(DataPlan(path, 1, images=images), None, seed)
        three = (parts.train.labels, parts.validation.labels, parts.test.labels)
        counts = np.bincount(np.concatenate(three))
        assert counts.sum() == images
        assert all(len(np.unique(part)) == 51 for part in three)
        assert (counts >= 3).all()
        assert np.abs(counts[:50] - 40 * images / len(labels)).max() < 1.1
    # Drawn, not the first of each class, and others for another seed.
    train = [load_parts(DataPlan(path, 1, images=500), None, one).train for one in (seed, seed + 1)]
    assert isinstance(train[0], Pixels)
    assert isinstance(train[1], Pixels)
    assert rows_of(train[0].pixels) != rows_of(train[1].pixels)
    with pytest.raises(InputError, match=r"images 152; expected 153, 3 for each of 51 classes, to 2004, which .*npz"):
        load_parts(DataPlan(path, 1, images=152), None, seed)
    # Where half is held out, two of three would be, and one image is in no two parts.
    least = DataPlan(path, 1, images=204, held_out=0.5)
    assert len(np.unique(load_parts(least, None, seed).validation.labels)) == 51
    with pytest.raises(InputError, match=r"images 203; expected 204, 4 for each of 51 classes"):
        load_parts(dataclasses.replace(least, images=203), None, seed)


def test_the_size_of_a_folder_has_the_name_of_the_option_and_once_had_another() -> None:
    """Recipes that were begun before are of the same plan."""
    now, then = (recipe_from({"data": {"dataset": "folder", "patch": 4, key: 8}}) for key in ("image_size", "size"))
    assert now == then
    assert recipe_table(now)["data"]["image_size"] == 8
    with pytest.raises(InputError, match=r"unknown key 'size' in \[data\]"):
        recipe_from({"data": {"dataset": "folder", "patch": 4, "image_size": 8, "size": 8}})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"data": {"datset": "digits"}}, r"unknown key 'datset' in \[data\]; did you mean dataset\?"),
        ({}, r"the recipe names no dataset; add it under \[data\]"),
        ({"data": {"dataset": "digits"}}, r"the recipe names no patch; add it under \[data\]"),
        (
            {**DIGITS, "graph": {}},
            r"unknown table 'graph' in the recipe; expected one of data, train, judge, expect$",
        ),
        (
            {**DIGITS, "train": {"seed": 1}},
            r"\[train\] sets seed, which a recipe fills in itself; use methods and seeds",
        ),
        ({**DIGITS, "train": {"epoch": 1}}, r"unknown key 'epoch' in \[train\]; did you mean epochs"),
        ({**DIGITS, "train": {"lam": "often"}}, r"lam 'often'; expected a number or auto"),
        ({**DIGITS, "train": {"diagonal": 1}}, r"\[train\] sets diagonal to 1; expected true or false"),
        ({**DIGITS, "train": {"view": "bag"}}, r"view bag; networks on pixels know positions"),
        ({**DIGITS, "train": {"methods": []}}, r"methods \[\]; name at least one, and each once"),
        ({**DIGITS, "train": {"methods": ["dino"]}}, r"unknown method 'dino'; expected one of mae, u-mae"),
        ({**DIGITS, "train": {"seeds": 0}}, r"seeds 0; expected at least 1"),
        ({**DIGITS, "judge": {"probes": ["svm"]}}, r"unknown probe 'svm'; expected one of ridge, sgd, knn, few-shot"),
        ({**DIGITS, "judge": {"probes": ["knn", "knn"]}}, r"name at least one, and each once"),
        (
            {**DIGITS, "expect": {"dino": {"cls.knn": 0.5}}},
            r"unknown key 'dino' in \[expect\]; expected one of about, images, source, mae, u-mae, simmim, u-simmim$",
        ),
        ({**DIGITS, "expect": {"mae": 0.5}}, r"\[expect\] sets mae to 0.5; expected a table of accuracies by readout"),
        ({**DIGITS, "expect": {"mae": {"cls.knn": 50}}}, r"\[expect\] sets mae.cls.knn to 50; expected an accuracy in"),
        ({**DIGITS, "expect": {"mae": {"cls.kn": 0.5}}}, r"\[expect\] sets mae.cls.kn; expected a feature and a probe"),
        ({**DIGITS, "expect": {"mae": {"knn": 0.5}}}, r"\[expect\] sets mae.knn; expected a feature and a probe"),
        (
            {**DIGITS, "expect": {"mae": {"cls": {"knn": 0.5}}}},
            r'sets mae.cls; expected .* in quotes, such as "cls.sgd"',
        ),
        ({**DIGITS, "expect": {"images": "many"}}, r"\[expect\] sets images to 'many'; expected an integer"),
        (
            {**DIGITS, "data": {**DIGITS["data"], "image_size": 8}},
            r"image_size 8 for digits, whose images have their own",
        ),
        (
            {"data": {"dataset": "folder", "patch": 16}},
            r"images of a folder have sizes of their own; add image_size = 224",
        ),
        ({"data": {"dataset": "folder", "patch": 4, "image_size": -8}}, r"image_size -8; expected at least 1"),
        (
            {"data": {"dataset": "folder", "patch": 4, "image_size": 8, "readers": 0}},
            r"readers 0; expected at least 1",
        ),
        (
            {**DIGITS, "judge": {"fine_tune_epochs": 0}},
            r"0 epochs of fine-tuning in batches of 128; expected at least 1",
        ),
        ({**DIGITS, "judge": {"views": 1}}, r"views 1; expected at least 2"),
        ({**DIGITS, "judge": {"views": 10**12}}, r"^views 1000000000000; expected at most 1000$"),
        (
            {**DIGITS, "judge": {"probes": ["fine-tune"], "fine_tune_epochs": 10**12}},
            r"^1000000000000 epochs of fine-tuning; expected at most 1000000$",
        ),
        ({"data": {**DIGITS["data"], "crop": [0.5]}}, r"crop \[0.5\]; expected the least and the largest share"),
        ({"data": {**DIGITS["data"], "crop": [0.5, 2]}}, r"^crop \[0.5, 2\]; expected the least and the largest"),
        ({**DIGITS, "judge": {"fine_tune_crop": [0, 1]}}, r"fine-tuning crop \[0, 1\]; expected the least and the"),
        ({**DIGITS, "judge": {"fine_tune_crop": 0.5}}, r"\[judge\] sets fine_tune_crop to 0.5; expected a list of num"),
        ({"data": {**DIGITS["data"], "validation": 0}}, r"validation 0; expected a share of the images in \(0, 1\)"),
    ],
)
def test_a_bad_recipe_is_refused_at_the_door(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe_from(table)


@pytest.mark.parametrize(
    ("unread", "read", "message"),
    [
        (
            "[judge]\nfine_tune_epochs = 5",
            'probes = ["fine-tune"]',
            r"^\[judge\] sets fine_tune_epochs, and no network",
        ),
        (
            "[judge]\nlayer_decay = 0.5",
            'probes = ["fine-tune"]',
            r"^\[judge\] sets layer_decay, .* add fine-tune to probe",
        ),
        ("readers = 2", None, r"^readers 2 of digits, which is in memory; leave it out$"),
    ],
)
def test_what_nothing_reads_is_refused(unread: str, read: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[data]\ndataset = "digits"\npatch = 2\n{unread}\n')
    with pytest.raises(InputError, match=message):
        read_recipe(str(path))
    # A run that was begun when it was taken goes on with it.
    begun = read_recipe(str(path), resume=True)
    if read is None:
        path.write_text(f'[data]\ndataset = "folder"\nimage_size = 8\npatch = 2\n{unread}\n')
        assert read_recipe(str(path)).data.readers == 2
    else:
        path.write_text(f"{path.read_text()}{read}\n")
        assert dataclasses.replace(read_recipe(str(path)).judge, probes=begun.judge.probes) == begun.judge


def test_what_the_data_cannot_give_is_refused() -> None:
    with pytest.raises(InputError, match=r"images 5000; expected 30, 3 for each of 10 classes, to 1797, which"):
        load_parts(recipe_from({"data": {**DIGITS["data"], "images": 5000}}).data, None)
    with pytest.raises(InputError, match=r"patch size 3 does not divide the 8x8 image"):
        load_parts(recipe_from({"data": {"dataset": "digits", "patch": 3}}).data, None)
    with pytest.raises(InputError, match=r"unknown dataset 'svhn'"):
        load_parts(recipe_from({"data": {"dataset": "svhn", "patch": 4}}).data, None)
    with pytest.raises(
        InputError,
        match=r"unknown recipe 'imagenet'; did you mean imagenet1k-base\? expected .*digits.*, or .* .toml file",
    ):
        read_recipe("imagenet")
    with pytest.raises(InputError, match=r"cannot be read .*; expected a recipe in TOML"):
        read_recipe("nowhere.toml")


def test_a_class_of_one_image_is_named_as_the_data_names_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, pixels=np.random.default_rng(0).random((7, 8, 8)), labels=[3, 3, 3, 3, 10, 3, 3])
    with pytest.raises(InputError, match=r"^class 10 has 1 image; holding images out needs at least 2 of every class"):
        load_parts(DataPlan(str(path), 4), None)
    with pytest.raises(InputError, match=r"^class 10 has 1 image"):
        load_split(Source(path, patch=4), 0.3)
    for name in ("train/ant/0", "train/ant/1", "train/bee/0", "val/ant/0", "val/bee/0"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"^class bee has 1 image"):
        load_parts(DataPlan("folder", 4, 8), tmp_path)


@pytest.mark.parametrize("full", [1.0, 255])
def test_pixels_of_a_npz_are_a_dataset(full: float, tmp_path: Path) -> None:
    """The same images as bytes and as numbers from 0 to 1, which the command line's graphs read too."""
    rng = np.random.default_rng(0)
    bytes_ = rng.integers(256, size=(40, 8, 8, 3), dtype=np.uint8)
    pixels = bytes_ if full == 255 else bytes_ / 255
    path = tmp_path / "mine.npz"
    np.savez(path, pixels=pixels, labels=np.arange(40) % 2 + 7)
    parts = load_parts(recipe_from({"data": {"dataset": str(path), "patch": 4}}).data, None)
    three = [part for part in (parts.train, parts.validation, parts.test) if isinstance(part, Pixels)]
    found = np.concatenate([part.pixels for part in three])
    assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in bytes_)
    assert {part.full for part in three} == {255}
    assert set(parts.train.labels.tolist()) == {0, 1}
    assert load_coded(Source(str(path), patch=4, codes=2)).grid == (2, 2)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
def test_the_largest_byte_of_a_npz_stands_for_white(kind: type, tmp_path: Path) -> None:
    """Digits of 0 to 16 are distorted as the dataset is that knows its scale."""
    stored = load_stored("digits")
    np.savez(tmp_path / "mine.npz", pixels=stored.pixels.astype(kind), labels=stored.labels)
    seen = []
    for dataset in ("digits", str(tmp_path / "mine.npz")):
        train, *_ = in_memory(recipe_from({"data": {"dataset": dataset, "patch": 2}}).data)
        data = PixelSet(dataclasses.replace(train, augmentation=Augmentation(randaugment=9.0)), torch.device("cpu"))
        seen.append(data.augmented(np.arange(60), data.draw(np.random.default_rng(0), 60)))
    assert torch.equal(seen[0], seen[1])
    # Nothing is, and nothing is divided by.
    np.savez(tmp_path / "black.npz", pixels=np.zeros((9, 4, 4), np.uint8), labels=np.arange(9) % 2)
    black = in_memory(recipe_from({"data": {"dataset": str(tmp_path / "black.npz"), "patch": 2}}).data)[0]
    assert torch.equal(PixelSet(black, torch.device("cpu")).whole(np.arange(2)), torch.zeros(2, 4, 4))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": np.full((9, 4, 4), 300), "labels": np.arange(9) % 2}, r"pixels of .* go from 300 to 300; expected"),
        ({"pixels": np.full((9, 4, 4), -0.5), "labels": np.arange(9) % 2}, r"go from -0.5 to -0.5; expected bytes"),
        ({"pixels": np.full((9, 4, 4), 1.5), "labels": np.arange(9) % 2}, r"go from 1.5 to 1.5; expected bytes"),
        (
            {"pixels": np.zeros((9, 3, 8, 8), np.uint8), "labels": np.arange(9) % 2},
            r"pixels has shape \(9, 3, 8, 8\); expected \(N, H, W, C\) and this looks like \(N, C, H, W\)",
        ),
        (
            {"pixels": np.ones((9, 4, 4), np.uint8), "labels": -(np.arange(9) % 2)},
            r"labels contains -1 at 1, the usual",
        ),
        ({"codes": np.zeros((9, 4), int), "labels": np.arange(9) % 2}, r"holds codes; a recipe trains on pixels"),
        (
            {"pixels": np.ones((9, 4, 4)), "labels": np.arange(9) % 2, "weights": np.ones(9)},
            r"holds weights; a recipe trains on images as they are drawn",
        ),
        ({"pixels": np.ones((9, 4, 4)), "labels": np.zeros(9, int)}, r"are of one class, which any probe knows"),
    ],
)
def test_a_npz_that_is_no_dataset_is_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message):
        load_parts(recipe_from({"data": {"dataset": str(path), "patch": 2}}).data, None)


def test_what_a_recipe_says_of_fine_tuning_is_what_is_done() -> None:
    plan = JudgePlan(
        probes=("fine-tune",),
        fine_tune_epochs=3,
        fine_tune_batch=5,
        fine_tune_lr=0.25,
        fine_tune_norm="new",
        fine_tune_warmup=0.125,
        fine_tune_clip=2.5,
        fine_tune_crop=(0.25, 0.75),
        fine_tune_mixup=0.1,
        fine_tune_cutmix=0.2,
        fine_tune_erase=0.3,
        fine_tune_drop_path=0.4,
        fine_tune_randaugment=5.0,
        layer_decay=0.625,
    )
    found = fine_tuning(plan, TrainConfig(accumulate=7, precision="bf16", seed=11))
    assert found == FineTune(
        epochs=3,
        batch=5,
        accumulate=7,
        lr=0.25,
        layer_decay=0.625,
        norm="new",
        warmup=0.125,
        clip=2.5,
        crop=(0.25, 0.75),
        regularise=Regularise(mixup=0.1, cutmix=0.2, erase=0.3, drop_path=0.4, randaugment=5.0),
        precision="bf16",
        seed=11,
    )
