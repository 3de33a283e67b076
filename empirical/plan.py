"""A study's plan: which graphs are bounded, which models are trained; read from TOML and checked at the door."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskgraph.empirical.config import Method, TrainConfig, check_config
from maskgraph.graphs.augmentation import Hop, check_hop
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskKind, mask_distribution
from maskgraph.graphs.source import Source
from maskgraph.graphs.views import View, check_view

FILLED_IN = {"method", "mask_ratio", "mask_kind", "seed"}
"""Fields of a TrainConfig that a study sets for each model."""

WANTED = {
    "float | Lit": 'a number or "auto"',
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "str": "a string",
    "tuple[float": "a list of numbers",
}
"""What TOML calls the types of the fields; other tuples and literals are (lists of) strings."""


@dataclass(frozen=True)
class GraphPlan:
    """The graphs whose bounds are computed.

    Attributes:
        mask_ratios: the mask ratios ρ, of graphs and of models.
        views: view identities to bound; the models are measured on the graph of their own view.
        hops: hops to bound.
        mask: kind of mask distribution.
        max_masks: most masks of a graph.
    """

    mask_ratios: tuple[float, ...] = (0.25, 0.5, 0.75)
    views: tuple[View, ...] = ("positional",)
    hops: tuple[Hop, ...] = ("target",)
    mask: MaskKind = "uniform"
    max_masks: int = 64


@dataclass(frozen=True)
class Plan:
    """A whole study.

    Attributes:
        source: what is loaded and how it is coded.
        held_out: share of each class held out for scoring probes, where the dataset has no test part.
        graph: the graphs.
        methods: mae, u-mae or both.
        seeds: how many seeds a method and ratio; seed s has one initialisation, order and masks for every method.
        train: how each model is trained; method, mask ratio and seed are filled in.
    """

    source: Source
    held_out: float = 0.3
    graph: GraphPlan = field(default_factory=GraphPlan)
    methods: tuple[Method, ...] = ("mae", "u-mae")
    seeds: int = 3
    train: TrainConfig = field(default_factory=TrainConfig)

    def runs(self) -> list[TrainConfig]:
        """The configuration of every model."""
        return [
            dataclasses.replace(self.train, method=method, mask_ratio=ratio, seed=seed, mask_kind=self.graph.mask)
            for seed in range(self.seeds)
            for method in self.methods
            for ratio in self.graph.mask_ratios
        ]


def check_plan(plan: Plan) -> Plan:
    """The plan itself, if every value in it can be run.

    Raises:
        InputError: naming the first value that cannot.
    """
    if not plan.graph.mask_ratios or not plan.graph.views or not plan.graph.hops or not plan.methods:
        raise InputError("a study needs at least one each of mask_ratios, views, hops and methods")
    for values in (plan.graph.mask_ratios, plan.graph.views, plan.graph.hops, plan.methods):
        if len(set(values)) < len(values):
            raise InputError(f"{list(values)} names a value twice; name each once")
    if plan.seeds < 1:
        raise InputError(f"seeds {plan.seeds}; expected at least 1")
    if plan.graph.max_masks < 1:
        raise InputError(f"max_masks {plan.graph.max_masks}; at least 1 mask is needed")
    for view in plan.graph.views:
        check_view(view)
    for hop in plan.graph.hops:
        check_hop(hop)
    for ratio in plan.graph.mask_ratios:
        mask_distribution(plan.graph.mask, (4, 4), ratio)
    for config in plan.runs():
        check_config(config)
    return plan


def read_plan(path: Path) -> Plan:
    """Read a study from a TOML file with the tables [data], [graph] and [train].

    [data] holds the fields of `Source` and `held_out`; [graph] those of `GraphPlan`; [train] `methods`, `seeds` and
    the fields of `TrainConfig` but for the method, mask ratio and seed, which the study fills in.

    Raises:
        InputError: no such file, not TOML, an unknown table or key, or a value that cannot be run.
    """
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a study in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return plan_from(table)


def plan_from(table: dict[str, Any]) -> Plan:
    """The plan that a table of tables describes (see `read_plan`).

    Raises:
        InputError: an unknown table or key, a value of another type, or one that cannot be run.
    """
    if unknown := sorted(set(table) - {"data", "graph", "train"}):
        raise InputError(f"unknown table {unknown[0]!r} in the study; expected [data], [graph] and [train]")
    if wrong := [name for name, part in table.items() if not isinstance(part, dict)]:
        raise InputError(f"the study sets {wrong[0]} to a value; expected the table [{wrong[0]}]")
    data, graph, train = (dict(table.get(name, {})) for name in ("data", "graph", "train"))
    if "dataset" not in data:
        raise InputError('the study names no dataset; add dataset = "digits" under [data]')
    if filled := sorted(FILLED_IN & set(train)):
        raise InputError(f"[train] sets {filled[0]}, which a study fills in itself; use methods, seeds and [graph]")
    own = {key: train.pop(key) for key in ("methods", "seeds") if key in train}
    if "held_out" in data:
        own["held_out"] = data.pop("held_out")
    values = _typed(Plan, "train", own, set())
    return check_plan(
        Plan(
            source=Source(**_typed(Source, "data", data, {"held_out"})),
            graph=GraphPlan(**_typed(GraphPlan, "graph", graph, set())),
            train=TrainConfig(**_typed(TrainConfig, "train", train, {"methods", "seeds"})),
            **values,
        )
    )


def plan_table(plan: Plan) -> dict[str, Any]:
    """The table of tables that `plan_from` turns into this plan again."""
    train = {key: value for key, value in _set(plan.train).items() if key not in FILLED_IN}
    table = {
        "data": {**_set(plan.source), "held_out": plan.held_out},
        "graph": dataclasses.asdict(plan.graph),
        "train": {**train, "methods": plan.methods, "seeds": plan.seeds},
    }
    return {name: {key: _plain(value) for key, value in part.items()} for name, part in table.items()}


def _set(part: Source | TrainConfig) -> dict[str, Any]:
    """The fields that are not None: TOML has no word for it."""
    return {key: value for key, value in dataclasses.asdict(part).items() if value is not None}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _typed(kind: type, name: str, values: dict[str, Any], beside: set[str]) -> dict[str, Any]:
    """Values with lists as tuples, and integers as floats where a number is wanted.

    Args:
        kind: the dataclass they are fields of.
        name: of their table.
        values: as TOML gives them.
        beside: keys of the table that belong elsewhere, for the message.

    Raises:
        InputError: a key that does not exist or a value of another type.
    """
    fields = {item.name: item for item in dataclasses.fields(kind)}
    result = {}
    for key, value in values.items():
        if key not in fields:
            known = sorted((set(fields) - FILLED_IN if kind is TrainConfig else set(fields)) | beside)
            close = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"[{name}] sets {key!r}, which does not exist; {meant}it may hold {', '.join(known)}")
        wanted, given = str(fields[key].type), value
        if isinstance(value, list):
            value = tuple(value)
        if wanted.startswith("float") and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not _fits(wanted, value):
            other = "a list of strings" if wanted.startswith("tuple") else "a string"
            said = next((words for start, words in WANTED.items() if wanted.startswith(start)), other)
            raise InputError(f"[{name}] sets {key} to {given!r}; expected {said}")
        result[key] = value
    return result


def _fits(wanted: str, value: object) -> bool:
    if wanted.startswith("tuple"):
        number = "float" in wanted
        return isinstance(value, tuple) and all(
            isinstance(item, int | float) and not isinstance(item, bool) if number else isinstance(item, str)
            for item in value
        )
    if wanted.startswith("float"):
        return isinstance(value, float) or ("Literal" in wanted and isinstance(value, str))
    if wanted == "bool":
        return isinstance(value, bool)
    if wanted.startswith("int"):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)
