"""What a study takes beside training: CPU seconds of coding, bounds, judging and probes, and of all that it asks for.

    python benchmarks/sweep.py studies/fashion-mnist.toml --mask-ratio 0.1 0.5 0.9

Networks are as they were before their first step: of the same shape, and asked for the same. What runs a network is
told apart, as a GPU takes it over. A study's other pieces run side by side, in as many processes as there are cores.
The two baselines of pixels are left out: one piece each, of several minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from measuring import machine, table
from threadpoolctl import threadpool_limits

from maskgraph.empirical import explain
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.measure import evaluate, invert_decoder, measure, terms_of
from maskgraph.empirical.plan import Plan, read_plan
from maskgraph.empirical.probes import Labelled, full_features, probe
from maskgraph.empirical.train import untrained
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.source import Split, load_split
from maskgraph.theory.statements import STATEMENTS

NETWORK = ("network on the graph", "inverse of the decoder", "network on images")
"""What a GPU takes over."""

T = TypeVar("T")


class Clock:
    """CPU seconds by what they went into."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """What the work answers."""
        start = time.process_time()
        answer = work()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start
        print(f"{name}: {self.seconds[name]:.1f} s", file=sys.stderr)
        return answer


def bounds(plan: Plan, split: Split, ratio: float) -> dict[str, float]:
    """Of the bounds of one mask ratio."""
    clock = Clock()
    for view in plan.graph.views:
        for hop in plan.graph.hops:
            clock(f"bound, {view} views, {hop} hop", partial(explain.bound, plan, split.train, view, hop, ratio))
    return clock.seconds


def judged(plan: Plan, split: Split, config: TrainConfig) -> dict[str, float]:
    """Of one model, on its graph."""
    clock, model = Clock(), untrained(split.train, config).model
    graph = clock("graph", lambda: explain.study_graph(split.train, plan, config.mask_ratio, config.view))
    answers = clock("network on the graph", lambda: evaluate(model, graph))
    inverse = clock("inverse of the decoder", lambda: invert_decoder(model, graph, answers.h))
    terms = terms_of(graph, answers, inverse.outputs)
    clock("numbers", lambda: measure(graph, answers, terms))
    clock("statements", lambda: [one.measure(terms[model.features[0]]) for one in STATEMENTS])
    return clock.seconds


def probed(split: Split, config: TrainConfig) -> dict[str, float]:
    """Of one model's probes."""
    clock, model = Clock(), untrained(split.train, config).model
    parts = (split.train, split.test)
    known, asked = clock(
        "network on images", lambda: [full_features(model, images, config.view, model.features) for images in parts]
    )
    for kind in model.features:
        fitted, held_out = (
            Labelled(found[kind], images.labels, images.weights)
            for found, images in zip((known, asked), parts, strict=True)
        )
        clock("probes", partial(probe, fitted, held_out, 0))
    return clock.seconds


def total(plan: Plan, found: dict[str, Any]) -> dict[str, float]:
    """Of the whole study, networks apart; ratios that were not measured take the mean of those that were."""
    ratios, models = len(plan.graph.mask_ratios), len(plan.runs())
    means = {
        part: sum(sum(one[part].values()) for one in found["ratios"].values()) / len(found["ratios"])
        for part in ("bounds", "judged")
    }
    network = sum(sum(one["judged"][name] for name in NETWORK[:2]) for one in found["ratios"].values())
    network = network / len(found["ratios"]) * models + found["probed"][NETWORK[2]] * (models + plan.seeds)
    whole = ratios * means["bounds"] + models * means["judged"] + (models + plan.seeds) * sum(found["probed"].values())
    return {"coding, once": found["coding"], "networks": network, "all else": whole - network}


def main() -> None:
    """Measure, and print tables, or JSON with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study's TOML file")
    parser.add_argument("--mask-ratio", type=float, nargs="+", help="of the study's, those to measure (all)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    options = parser.parse_args()
    try:
        plan = read_plan(options.study)
    except InputError as error:
        parser.error(str(error))
    ratios = options.mask_ratio or list(plan.graph.mask_ratios)
    if not set(ratios) <= set(plan.graph.mask_ratios):
        parser.error(f"mask ratios {ratios}; expected some of {', '.join(map(str, plan.graph.mask_ratios))}")
    clock = Clock()
    split = clock("coding", lambda: load_split(plan.source, plan.held_out))
    # Kernels are compiled once a machine.
    with threadpool_limits(1):
        explain.bound(plan, split.train, plan.graph.views[0], plan.graph.hops[0], ratios[-1])
    configs = {config.mask_ratio: config for config in plan.runs()}
    found: dict[str, Any] = {
        "coding": clock.seconds["coding"],
        "ratios": {
            str(ratio): {"bounds": bounds(plan, split, ratio), "judged": judged(plan, split, configs[ratio])}
            for ratio in ratios
        },
        "probed": probed(split, configs[ratios[0]]),
    }
    found["study"] = total(plan, found)
    if options.json:
        print(json.dumps({"machine": machine(), "study": str(options.study), "found": found}, indent=1))
        return
    for part in ("bounds", "judged"):
        names = list(found["ratios"][str(ratios[0])][part])
        rows = [(ratio, *(f"{one[part][name]:.1f}" for name in names)) for ratio, one in found["ratios"].items()]
        print(table(("rho", *names), rows) + "\n")
    rest = {"coding": found["coding"], **found["probed"]}
    print(table(("CPU seconds", ""), [(name, f"{value:.1f}") for name, value in rest.items()]) + "\n")
    print(table(("the whole study", ""), [(name, f"{value:.0f}") for name, value in found["study"].items()]))


if __name__ == "__main__":
    # As a study's processes do.
    torch.set_num_threads(1)
    with threadpool_limits(1):
        main()
