"""A recipe: real networks on the pixels of a dataset, trained and judged; read from TOML and checked at the door."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.config import Method, TrainConfig, check_config
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.typed import check_tables, read_toml, typed
from maskgraph.graphs.datasets import split_rows
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.stored import HAS_TEST, Stored, load_stored

Probe = Literal["ridge", "sgd", "knn", "few-shot"]

RECIPES = files("maskgraph.empirical") / "recipes"
"""The recipes that come with maskgraph."""

FILLED_IN = {"method", "seed"}
"""Fields of a TrainConfig that a recipe sets for each model."""


@dataclass(frozen=True)
class DataPlan:
    """What is trained on and judged by.

    Attributes:
        dataset: digits, fashion-mnist, cifar10 or cifar100.
        patch: side of a patch in pixels.
        crop: least and largest share of an image's area that training cuts out; empty: no crop.
        flip: whether training mirrors every second image.
        images: how many images of the training part are used; None for all.
        validation: share of each class held out of the training part to choose regularisers and to draw curves by.
        held_out: share of each class held out for the scores, where the dataset has no test part.
    """

    dataset: str
    patch: int
    crop: tuple[float, ...] = ()
    flip: bool = False
    images: int | None = None
    validation: float = 0.1
    held_out: float = 0.3


@dataclass(frozen=True)
class JudgePlan:
    """How a network is judged.

    Attributes:
        probes: ridge, sgd (the published linear probe), knn, few-shot.
        layers: whether each block's output is probed by ridge, too.
        every: epochs between two points of the curve.
        views: masks of an image that collapse is measured on.
        images: test images that collapse is measured on.
    """

    probes: tuple[Probe, ...] = ("ridge", "knn", "few-shot")
    layers: bool = True
    every: int = 10
    views: int = 8
    images: int = 1024


@dataclass(frozen=True)
class Recipe:
    """Real networks, from data to scores.

    Attributes:
        data: what is trained on and judged by.
        methods: what is trained, each with every seed.
        seeds: how many; seed s has one initialisation, order, masks and crops for every method.
        train: how; method and seed are filled in.
        judge: how it is judged.
    """

    data: DataPlan
    methods: tuple[Method, ...] = ("mae", "u-mae")
    seeds: int = 3
    train: TrainConfig = field(default_factory=TrainConfig)
    judge: JudgePlan = field(default_factory=JudgePlan)

    def runs(self) -> list[TrainConfig]:
        """The configuration of every network."""
        return [
            dataclasses.replace(self.train, method=method, seed=seed)
            for seed in range(self.seeds)
            for method in self.methods
        ]


@dataclass(frozen=True)
class Parts:
    """A dataset in three parts that are never mixed.

    Attributes:
        train: what networks and probes are fitted on.
        validation: what regularisers are chosen and curves are drawn by; of the dataset's training part.
        test: what scores are of.
    """

    train: Pixels
    validation: Pixels
    test: Pixels


def recipe_names() -> list[str]:
    """The recipes that come with maskgraph."""
    return sorted(item.name.removesuffix(".toml") for item in RECIPES.iterdir() if item.name.endswith(".toml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe: one that comes with maskgraph by its name, or a TOML file by its path.

    It holds the tables [data] (the fields of `DataPlan`), [train] (`methods`, `seeds` and the fields of `TrainConfig`
    but for the method and the seed) and [judge] (those of `JudgePlan`).

    Raises:
        InputError: no such recipe, not TOML, an unknown table or key, or a value that cannot be run.
    """
    if name.endswith(".toml"):
        return recipe_from(read_toml(Path(name), "recipe"))
    if name not in recipe_names():
        raise InputError(f"unknown recipe {name!r}; expected {', '.join(recipe_names())}, or the path of a .toml file")
    return recipe_from(read_toml(Path(str(RECIPES / f"{name}.toml")), "recipe"))


def recipe_from(table: dict[str, Any]) -> Recipe:
    """The recipe that a table of tables describes (see `read_recipe`).

    Raises:
        InputError: an unknown table or key, a value of another type, or one that cannot be run.
    """
    check_tables(table, ("data", "train", "judge"), "recipe")
    data, train, judge = (dict(table.get(name, {})) for name in ("data", "train", "judge"))
    for key in ("dataset", "patch"):
        if key not in data:
            raise InputError(f"the recipe names no {key}; add it under [data]")
    if filled := sorted(FILLED_IN & set(train)):
        raise InputError(f"[train] sets {filled[0]}, which a recipe fills in itself; use methods and seeds")
    own = {key: train.pop(key) for key in ("methods", "seeds") if key in train}
    return check_recipe(
        Recipe(
            data=DataPlan(**typed(DataPlan, "data", data)),
            train=TrainConfig(**typed(TrainConfig, "train", train, {"methods", "seeds"}, FILLED_IN)),
            judge=JudgePlan(**typed(JudgePlan, "judge", judge)),
            **typed(Recipe, "train", own),
        )
    )


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The table of tables that `recipe_from` turns into this recipe again."""
    train = {key: value for key, value in dataclasses.asdict(recipe.train).items() if key not in FILLED_IN}
    parts = {
        "data": dataclasses.asdict(recipe.data),
        "train": {**train, "methods": recipe.methods, "seeds": recipe.seeds},
        "judge": dataclasses.asdict(recipe.judge),
    }
    return {
        name: {
            key: list(value) if isinstance(value, tuple) else value for key, value in part.items() if value is not None
        }
        for name, part in parts.items()
    }


def check_recipe(recipe: Recipe) -> Recipe:
    """The recipe itself, if every value in it can be run.

    Raises:
        InputError: naming the first value that cannot.
    """
    data, judge = recipe.data, recipe.judge
    for name, share in (("validation", data.validation), ("held_out", data.held_out)):
        if not 0 < share < 1:
            raise InputError(f"{name} {share:g}; expected a share of the images in (0, 1), such as 0.1")
    _augmentation(data)
    for values, known, name in ((recipe.methods, Method, "method"), (judge.probes, Probe, "probe")):
        if not values or len(set(values)) < len(values):
            raise InputError(f"{name}s {list(values)}; name at least one, and each once")
        if unknown := [value for value in values if value not in get_args(known)]:
            raise InputError(f"unknown {name} {unknown[0]!r}; expected some of {', '.join(get_args(known))}")
    for name, value, least in (
        ("seeds", recipe.seeds, 1),
        ("every", judge.every, 1),
        ("views", judge.views, 2),
        ("images", judge.images, 2),
    ):
        if value < least:
            raise InputError(f"{name} {value}; expected at least {least}")
    if recipe.train.view != "positional":
        raise InputError(f"view {recipe.train.view}; networks on pixels know positions: leave view out")
    for config in recipe.runs():
        check_config(config)
    return recipe


def load_parts(data: DataPlan, data_dir: Path | None, seed: int = 0) -> Parts:
    """Load a dataset and part it.

    Channels are centred and scaled by the training part.

    Args:
        data: what to load.
        data_dir: where its files lie (see `load_stored`).
        seed: of the draws that part it.

    Raises:
        InputError: data that cannot be loaded, too few images, or images that cannot be cut into such patches.
    """
    stored = load_stored(data.dataset, data_dir)
    rows = _some(data, stored, seed)
    if data.dataset in HAS_TEST:
        test = load_stored(data.dataset, data_dir, held_out=True)
        test_rows = np.arange(len(test.labels))
    else:
        test = stored
        kept, held = split_rows(stored.labels[rows], data.held_out, seed)
        rows, test_rows = rows[kept], rows[held]
    kept, held = split_rows(stored.labels[rows], data.validation, seed + 1)
    mean, std = channel_statistics(stored.pixels[rows[kept]], stored.full)

    def part(images: Stored, at: NDArray[np.int64], augmentation: Augmentation) -> Pixels:
        return Pixels(
            data.dataset, images.pixels[at], images.full, images.labels[at], data.patch, mean, std, augmentation
        )

    plain = Augmentation()
    return Parts(
        part(stored, rows[kept], _augmentation(data)),
        part(stored, rows[held], plain),
        part(test, test_rows, plain),
    )


def _augmentation(data: DataPlan) -> Augmentation:
    if len(data.crop) not in (0, 2):
        raise InputError(f"crop {list(data.crop)}; expected the least and the largest share of the area, or nothing")
    return Augmentation((data.crop[0], data.crop[1]) if data.crop else None, data.flip)


def _some(data: DataPlan, stored: Stored, seed: int) -> NDArray[np.int64]:
    count = len(stored.labels)
    if data.images is None:
        return np.arange(count)
    if not 1 <= data.images <= count:
        raise InputError(f"images {data.images}; expected 1 to {count}, which {data.dataset} holds")
    return np.sort(np.random.default_rng(seed).permutation(count)[: data.images])
