"""A study's plan: which graphs are bounded, which models are trained; read from TOML and checked at the door."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskgraph.empirical.config import Method, TrainConfig, check_config, check_decoders, check_given
from maskgraph.empirical.stack import check_stack, stacks
from maskgraph.empirical.typed import check_tables, read_toml, renamed, settle, typed
from maskgraph.graphs.augmentation import Hop, check_hop
from maskgraph.graphs.errors import InputError, as_path, check_type
from maskgraph.graphs.masks import MaskKind, check_mask, check_max_masks
from maskgraph.graphs.seeds import check_seed, check_seeds
from maskgraph.graphs.source import Source
from maskgraph.graphs.views import View, check_view

FILLED_IN = {"method", "mask_ratio", "mask_kind", "mask_unit", "seed"}
"""Fields of a TrainConfig that a study sets for each model."""


@dataclass(frozen=True)
class GraphPlan:
    """The graphs whose bounds are computed.

    Attributes:
        mask_ratios: the mask ratios ρ, of graphs and of models.
        views: view identities to bound; the models are measured on the graph of their own view.
        hops: hops to bound.
        mask: kind of mask distribution.
        mask_unit: side, in patches, of the squares that masks keep or drop as one.
        max_masks: most masks of a graph.
        draws: under how many draws of the masks a graph is bounded that has not all of them; models are measured under
            the first.
    """

    mask_ratios: tuple[float, ...] = (0.25, 0.5, 0.75)
    views: tuple[View, ...] = ("positional",)
    hops: tuple[Hop, ...] = ("target",)
    mask: MaskKind = "uniform"
    mask_unit: int = 1
    max_masks: int = 64
    draws: int = 5

    def __post_init__(self) -> None:
        """See that it holds what its types say."""
        settle(self)


@dataclass(frozen=True)
class Plan:
    """A whole study.

    Attributes:
        source: what is loaded and how it is coded.
        held_out: share of each class held out for scoring probes, where the dataset has no test part.
        graph: the graphs.
        methods: some of mae, u-mae, simmim, u-simmim.
        seeds: how many seeds a method and ratio; seed s has one order and masks for every method, and one
            initialisation for each family.
        train: how each model is trained; method, mask ratio and seed are filled in.
        stack: most models of one mask ratio that are trained at once, on a leading axis; 1: each alone.
    """

    source: Source
    held_out: float = 0.3
    graph: GraphPlan = field(default_factory=GraphPlan)
    methods: tuple[Method, ...] = ("mae", "u-mae")
    seeds: int = 3
    train: TrainConfig = field(default_factory=TrainConfig)
    stack: int = 1

    def __post_init__(self) -> None:
        """See that it holds what its types say."""
        settle(self)

    def runs(self) -> list[TrainConfig]:
        """The configuration of every model."""
        return [
            dataclasses.replace(
                self.train,
                method=method,
                mask_ratio=ratio,
                mask_kind=self.graph.mask,
                mask_unit=self.graph.mask_unit,
                seed=seed,
            )
            for seed in range(self.seeds)
            for method in self.methods
            for ratio in self.graph.mask_ratios
        ]


def check_plan(plan: Plan) -> Plan:
    """The plan itself, if every value in it can be run.

    Raises:
        InputError: naming the first value that cannot.
    """
    check_type(plan, Plan, "give Plan(Source(dataset)) of maskgraph.empirical.plan")
    for part, kind in ((plan.source, Source), (plan.graph, GraphPlan), (plan.train, TrainConfig)):
        check_type(part, kind, f"give {kind.__name__}(...) in its place in the Plan")
    if not plan.graph.mask_ratios or not plan.graph.views or not plan.graph.hops or not plan.methods:
        raise InputError("a study needs at least one each of mask_ratios, views, hops and methods")
    for values in (plan.graph.mask_ratios, plan.graph.views, plan.graph.hops, plan.methods):
        if len(set(values)) < len(values):
            raise InputError(f"{list(values)} names a value twice; name each once")
    check_seeds(plan.seeds)
    if plan.stack < 1:
        raise InputError(f"stack {plan.stack}; expected at least 1 model")
    check_max_masks(plan.graph.max_masks)
    if plan.graph.draws < 1:
        raise InputError(f"draws {plan.graph.draws}; expected at least 1 draw of the masks")
    check_seed(plan.source.seed + plan.graph.draws - 1)
    for view in plan.graph.views:
        check_view(view)
    for hop in plan.graph.hops:
        check_hop(hop)
    for ratio in plan.graph.mask_ratios:
        check_mask(plan.graph.mask, ratio, plan.graph.mask_unit)
    for config in plan.runs():
        check_config(config)
    check_decoders(plan.runs())
    if plan.stack > 1:
        for together in stacks(plan.runs(), plan.stack):
            check_stack(together)
    return plan


def read_plan(path: Path, resume: bool = False) -> Plan:
    """Read a study from a TOML file with the tables [data], [graph] and [train].

    [data] holds the fields of `Source` and `held_out`; [graph] those of `GraphPlan`; [train] `methods`, `seeds`,
    `stack` and the fields of `TrainConfig` but for the method, masks and seed, which the study fills in.

    Args:
        path: the file.
        resume: whether a run may go on with it that was begun before what nothing reads was refused.

    Raises:
        InputError: no such file, not TOML, an unknown table or key, or a value that cannot be run, or that nothing
            reads.
    """
    table = read_toml(as_path(path, "a study"), "study")
    if other := {"judge", "expect"} & set(table):
        raise InputError(f"{path} is a recipe, as [{min(other)}] says; run it by maskgraph recipe {path}")
    plan = plan_from(table)
    if not resume:
        check_given(table.get("train", {}), plan.methods)
    return plan


def plan_from(table: dict[str, Any]) -> Plan:
    """The plan that a table of tables describes (see `read_plan`).

    Raises:
        InputError: an unknown table or key, a value of another type, or one that cannot be run.
    """
    check_tables(table, ("data", "graph", "train"), "study")
    data, graph, train = (dict(table.get(name, {})) for name in ("data", "graph", "train"))
    data = renamed(data, "size", "image_size")
    if filled := sorted(FILLED_IN & set(train)):
        raise InputError(f"[train] sets {filled[0]}, which a study fills in itself; use methods, seeds and [graph]")
    own = {key: train.pop(key) for key in ("methods", "seeds", "stack") if key in train}
    if "held_out" in data:
        own["held_out"] = data.pop("held_out")
    values, source = typed(Plan, "train", own), typed(Source, "data", data, {"held_out"})
    # Last: it may be there under a name that is none.
    if "dataset" not in source:
        raise InputError('the study names no dataset; add dataset = "digits" under [data]')
    return check_plan(
        Plan(
            source=Source(**source),
            graph=GraphPlan(**typed(GraphPlan, "graph", graph)),
            train=TrainConfig(**typed(TrainConfig, "train", train, {"methods", "seeds", "stack"}, FILLED_IN)),
            **values,
        )
    )


def plan_table(plan: Plan) -> dict[str, Any]:
    """The table of tables that `plan_from` turns into this plan again."""
    train = {key: value for key, value in _set(plan.train).items() if key not in FILLED_IN}
    table = {
        "data": {**_set(plan.source), "held_out": plan.held_out},
        "graph": dataclasses.asdict(plan.graph),
        "train": {**train, "methods": plan.methods, "seeds": plan.seeds, "stack": plan.stack},
    }
    return {name: {key: _plain(value) for key, value in part.items()} for name, part in table.items()}


def _set(part: Source | TrainConfig) -> dict[str, Any]:
    """The fields that are not None: TOML has no word for it."""
    return {key: value for key, value in dataclasses.asdict(part).items() if value is not None}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
