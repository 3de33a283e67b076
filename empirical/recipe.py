"""A recipe: real networks on the pixels of a dataset, trained and judged; read from TOML and checked at the door."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from maskgraph.empirical.config import Method, TrainConfig, check_config, check_decoders, check_given
from maskgraph.empirical.footprint import flops
from maskgraph.empirical.parts import FOLDER, DataPlan, check_data
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.tuning import FineTune
from maskgraph.empirical.typed import check_tables, read_toml, renamed, settle, typed
from maskgraph.graphs.errors import InputError, check_type, unknown
from maskgraph.graphs.seeds import check_seeds

Probe = Literal["ridge", "sgd", "knn", "few-shot", "fine-tune"]

RECIPES = files("maskgraph.empirical") / "recipes"
"""The recipes that come with maskgraph."""

SIDES = {"digits": 8, "fashion-mnist": 28, "cifar10": 32, "cifar100": 32}
"""Sides in pixels of the datasets whose images have one."""

FILLED_IN = {"method", "seed"}
"""Fields of a TrainConfig that a recipe sets for each model."""

MOST_VIEWS = 1_000
"""Masks of an image that collapse is measured on at most: features of all of them are kept."""


@dataclass(frozen=True)
class JudgePlan:
    """How a network is judged.

    Attributes:
        probes: ridge, sgd (the published linear probe), knn, few-shot, fine-tune.
        layers: whether each block's output is probed by ridge, too.
        fine_tune_epochs: of fine-tuning.
        fine_tune_batch: images a step of it.
        fine_tune_lr: its peak learning rate.
        fine_tune_norm: own or new (see `FineTune`).
        fine_tune_warmup: share of its steps in which that rises.
        fine_tune_clip: norm that its gradients are scaled down to; 0: never.
        fine_tune_crop: least and largest share of an image's area that it cuts out; empty: as training does.
        fine_tune_mixup: see `Regularise`.
        fine_tune_cutmix: likewise.
        fine_tune_erase: likewise.
        fine_tune_drop_path: likewise.
        fine_tune_randaugment: likewise.
        layer_decay: factor from one block's learning rate to that of the block below.
        every: epochs between two points of the curve, and between two checkpoints.
        views: masks of an image that collapse is measured on.
        images: test images that collapse is measured on.
    """

    probes: tuple[Probe, ...] = ("ridge", "knn", "few-shot")
    layers: bool = True
    fine_tune_epochs: int = 20
    fine_tune_batch: int = 128
    fine_tune_lr: float = 1e-3
    fine_tune_norm: str = "own"
    fine_tune_warmup: float = 0.1
    fine_tune_clip: float = 0.0
    fine_tune_crop: tuple[float, ...] = ()
    fine_tune_mixup: float = 0.0
    fine_tune_cutmix: float = 0.0
    fine_tune_erase: float = 0.0
    fine_tune_drop_path: float = 0.0
    fine_tune_randaugment: float = 0.0
    layer_decay: float = 0.75
    every: int = 10
    views: int = 8
    images: int = 1024

    def __post_init__(self) -> None:
        """See that it holds what its types say."""
        settle(self)


@dataclass(frozen=True)
class Recipe:
    """Real networks, from data to scores.

    Attributes:
        data: what is trained on and judged by.
        methods: what is trained, each with every seed.
        seeds: how many; seed s has one order, masks and crops for every method, and one initialisation for each family.
        train: how; method and seed are filled in.
        judge: how it is judged.
        about: one line on what it is.
        images: how many are trained on, for the estimate of what it costs; None where nobody said.
        expected: the scores to expect.
    """

    data: DataPlan
    methods: tuple[Method, ...] = ("mae", "u-mae")
    seeds: int = 3
    train: TrainConfig = field(default_factory=TrainConfig)
    judge: JudgePlan = field(default_factory=JudgePlan)
    about: str = ""
    images: int | None = None
    expected: tuple[Expected, ...] = ()

    def __post_init__(self) -> None:
        """See that it holds what its types say."""
        settle(self)

    def runs(self) -> list[TrainConfig]:
        """The configuration of every network."""
        return [
            dataclasses.replace(self.train, method=method, seed=seed)
            for seed in range(self.seeds)
            for method in self.methods
        ]


@dataclass(frozen=True)
class Expected:
    """A score that a network is expected to reach.

    Attributes:
        method: of the network.
        readout: what its feature is read by, such as cls.sgd.
        accuracy: in [0, 1].
        source: where it is from: a table of a paper, or a record under results/.
    """

    method: Method
    readout: str
    accuracy: float
    source: str


def recipe_names() -> list[str]:
    """The recipes that come with maskgraph."""
    return sorted(item.name.removesuffix(".toml") for item in RECIPES.iterdir() if item.name.endswith(".toml"))


def read_recipe(name: str | Path, resume: bool = False) -> Recipe:
    """Read a recipe: one that comes with maskgraph by its name, or a TOML file by its path.

    It holds the tables [data] (the fields of `DataPlan`), [train] (`methods`, `seeds` and the fields of `TrainConfig`
    but for the method and the seed), [judge] (those of `JudgePlan`) and [expect]: `about`, `images`, `source`, and
    for each method a table of accuracies by readout and, where it is another, their `source`.

    Args:
        name: the recipe's, or the path of the file.
        resume: whether a run may go on with it that was begun before what nothing reads was refused.

    Raises:
        InputError: no such recipe, not TOML, an unknown table or key, or a value that cannot be run or that nothing
            reads.
    """
    name = str(name) if isinstance(name, Path) else name
    own = isinstance(name, str) and name.endswith(".toml")
    if not own and name not in recipe_names():
        raise unknown("recipe", name, recipe_names(), also=", or the path of a .toml file")
    table = read_toml(Path(name) if own else Path(str(RECIPES / f"{name}.toml")), "recipe")
    if "graph" in table:
        raise InputError(f"{name} is a study, as [graph] says; run it by maskgraph study {name}")
    recipe = recipe_from(table)
    # Of the methods that it names: some of them may be run alone.
    check_decoders(recipe.runs())
    if not resume:
        _check_read(recipe, table)
    return recipe


def recipe_from(table: dict[str, Any]) -> Recipe:
    """The recipe that a table of tables describes (see `read_recipe`).

    Raises:
        InputError: an unknown table or key, a value of another type, or one that cannot be run.
    """
    check_tables(table, ("data", "train", "judge", "expect"), "recipe")
    data, train, judge = (dict(table.get(name, {})) for name in ("data", "train", "judge"))
    data = renamed(data, "size", "image_size")
    named = typed(DataPlan, "data", data)
    for key in ("dataset", "patch"):
        if key not in named:
            raise InputError(f"the recipe names no {key}; add it under [data]")
    if filled := sorted(FILLED_IN & set(train)):
        raise InputError(f"[train] sets {filled[0]}, which a recipe fills in itself; use methods and seeds")
    own = {key: train.pop(key) for key in ("methods", "seeds") if key in train}
    expect = dict(table.get("expect", {}))
    return check_recipe(
        Recipe(
            data=DataPlan(**named),
            train=TrainConfig(**typed(TrainConfig, "train", train, {"methods", "seeds"}, FILLED_IN)),
            judge=JudgePlan(**typed(JudgePlan, "judge", judge)),
            **typed(Recipe, "expect", {key: expect.pop(key) for key in ("about", "images") if key in expect}),
            expected=_expected(expect),
            **typed(Recipe, "train", own),
        )
    )


def _check_read(recipe: Recipe, table: dict[str, Any]) -> None:
    """Raise InputError for a key of the tables of a recipe that is set and that nothing in it reads."""
    check_given(table.get("train", {}), recipe.methods)
    tuning = [key for key in table.get("judge", {}) if key.startswith("fine_tune_") or key == "layer_decay"]
    if tuning and "fine-tune" not in recipe.judge.probes:
        raise InputError(
            f"[judge] sets {tuning[0]}, and no network is fine-tuned; leave it out, or add fine-tune to probes"
        )
    if "readers" in table["data"] and recipe.data.dataset != FOLDER:
        raise InputError(f"readers {recipe.data.readers} of {recipe.data.dataset}, which is in memory; leave it out")


def arithmetic(recipe: Recipe) -> float | None:
    """Floating-point operations of training all of its networks (see `footprint.flops`); None for unknown sizes."""
    side = recipe.data.image_size or SIDES.get(recipe.data.dataset)
    if recipe.images is None or side is None or side % recipe.data.patch:
        return None
    grid = (side // recipe.data.patch,) * 2
    values = recipe.data.patch**2 * (1 if recipe.data.dataset in ("digits", "fashion-mnist") else 3)
    kept = recipe.train.masks(grid).kept
    per_epoch = sum(flops(config.model(grid, values), kept) for config in recipe.runs())
    return float(per_epoch) * recipe.images * recipe.train.epochs


def recipe_table(recipe: Recipe) -> dict[str, Any]:
    """The tables that `recipe_from` turns into this recipe again, but for what is expected of it."""
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


def fine_tuning(plan: JudgePlan, train: TrainConfig) -> FineTune | None:
    """How a network is fine-tuned that was trained so; None where nobody asks for it.

    Raises:
        InputError: a value that cannot be run.
    """
    how = FineTune(
        epochs=plan.fine_tune_epochs,
        batch=plan.fine_tune_batch,
        accumulate=train.accumulate,
        lr=plan.fine_tune_lr,
        layer_decay=plan.layer_decay,
        norm=plan.fine_tune_norm,
        warmup=plan.fine_tune_warmup,
        clip=plan.fine_tune_clip,
        crop=plan.fine_tune_crop,
        regularise=Regularise(
            mixup=plan.fine_tune_mixup,
            cutmix=plan.fine_tune_cutmix,
            erase=plan.fine_tune_erase,
            drop_path=plan.fine_tune_drop_path,
            randaugment=plan.fine_tune_randaugment,
        ),
        precision=train.precision,
        compile=train.compile,
        seed=train.seed,
    )
    return how if "fine-tune" in plan.probes else None


def check_recipe(recipe: Recipe) -> Recipe:
    """The recipe itself, if every value in it can be run.

    Raises:
        InputError: naming the first value that cannot.
    """
    check_type(recipe, Recipe, "give Recipe(DataPlan(dataset, patch)) of maskgraph.empirical.recipe")
    judge = recipe.judge
    for part, kind in ((recipe.data, DataPlan), (recipe.train, TrainConfig), (judge, JudgePlan)):
        check_type(part, kind, f"give {kind.__name__}(...) in its place in the Recipe")
    check_data(recipe.data)
    for values, known, name in ((recipe.methods, Method, "method"), (judge.probes, Probe, "probe")):
        if not values or len(set(values)) < len(values):
            raise InputError(f"{name}s {list(values)}; name at least one, and each once")
        if others := [value for value in values if value not in get_args(known)]:
            raise unknown(name, others[0], get_args(known))
    check_seeds(recipe.seeds)
    for name, value, least in (
        ("every", judge.every, 1),
        ("views", judge.views, 2),
        ("images", judge.images, 2),
    ):
        if value < least:
            raise InputError(f"{name} {value}; expected at least {least}")
    if judge.views > MOST_VIEWS:
        raise InputError(f"views {judge.views}; expected at most {MOST_VIEWS}")
    if recipe.train.view != "positional":
        raise InputError(f"view {recipe.train.view}; networks on pixels know positions: leave view out")
    for config in recipe.runs():
        check_config(config)
    fine_tuning(judge, recipe.train)
    return recipe


def _expected(table: dict[str, Any]) -> tuple[Expected, ...]:
    source = str(table.pop("source", ""))
    found = []
    if others := [name for name in table if name not in get_args(Method)]:
        raise unknown("key", others[0], ("about", "images", "source", *get_args(Method)), "[expect]")
    if others := [name for name in table if not isinstance(table[name], dict)]:
        raise InputError(
            f"[expect] sets {others[0]} to {table[others[0]]!r}; expected a table of accuracies by readout"
        )
    for method in get_args(Method):
        scores = dict(table.get(method, {}))
        own = str(scores.pop("source", source))
        for readout, accuracy in scores.items():
            kind, _, probe = readout.partition(".")
            if kind not in ("cls", "mean", "bottleneck") or probe not in get_args(Probe):
                raise InputError(
                    # Without quotes a dot makes a table of the feature.
                    f'[expect] sets {method}.{readout}; expected a feature and a probe in quotes, such as "cls.sgd": '
                    f"cls, mean or bottleneck, and {', '.join(get_args(Probe))}"
                )
            if not isinstance(accuracy, float) or not 0 < accuracy <= 1:
                raise InputError(f"[expect] sets {method}.{readout} to {accuracy!r}; expected an accuracy in (0, 1]")
            found.append(Expected(method, readout, accuracy, own))
    return tuple(found)
