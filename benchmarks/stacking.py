"""Small models trained at once against one after the other: images a second of one core, interleaved.

    python benchmarks/stacking.py

The micro network on the digits as the main job codes them, 16 patches, three quarters masked: a step of `State` for
one model, a step of `Stack` for M, draws of images and masks included. CPU time, one thread. Before anything is timed
the first losses of a stack must be those of its models alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from measuring import machine, spread, table

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.group import Group
from maskgraph.empirical.stack import Stack
from maskgraph.empirical.state import State
from maskgraph.empirical.train import training_set
from maskgraph.graphs.source import Source, load_split

SIZES = (2, 4, 6, 8)
CPU = torch.device("cpu")


def configs(count: int, batch: int) -> list[TrainConfig]:
    """MAE and U-MAE for each seed."""
    return [
        TrainConfig(method="u-mae" if index % 2 else "mae", seed=index // 2, batch=batch, epochs=10_000, device="cpu")
        for index in range(count)
    ]


def measure(rounds: int, steps: int, batch: int) -> dict[int, list[float]]:
    """Images a second of each number of models."""
    images = load_split(Source("digits", patch=2, codes=8), 0.3).train
    data = training_set(images, configs(1, batch)[0], CPU)
    alone = State(data, configs(1, batch)[0], CPU, Group())
    stacked = {count: Stack(data, configs(count, batch), CPU) for count in SIZES}
    ways: dict[int, Callable[[], None]] = {1: alone.advance, **{count: one.advance for count, one in stacked.items()}}
    for step in ways.values():
        step()
    for count, one in stacked.items():
        if not torch.allclose(one.losses[0, 0], alone.losses[0], rtol=1e-5):
            raise ArithmeticError(f"another first loss in a stack of {count}")
    rates: dict[int, list[float]] = {count: [] for count in ways}
    for _ in range(rounds):
        for count, step in ways.items():
            start = time.process_time()
            for _ in range(steps):
                step()
            rates[count].append(count * batch * steps / (time.process_time() - start))
    return rates


def main() -> None:
    """Measure, print a table, and with --json the figures with the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (7)")
    parser.add_argument("--steps", type=int, default=10, help="steps of each way in a round (10)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    options = parser.parse_args()
    # One thread: two would measure the scheduler.
    torch.set_num_threads(1)
    about, found = machine(), []
    for batch in (32, 256):
        rates = measure(options.rounds, options.steps if batch == 32 else max(options.steps // 4, 1), batch)
        over = {count: [a / b for a, b in zip(values, rates[1], strict=True)] for count, values in rates.items()}
        rows: list[dict[str, Any]] = [
            {"models": count, "batch": batch, "images_per_second": rates[count], "over_alone": over[count]}
            for count in rates
        ]
        found += rows
        text = table(
            (f"models, batch {batch}", "images/s", "over one alone"),
            [(str(count), spread(rates[count], 0), spread(over[count])) for count in rates],
        )
        print(text, file=sys.stderr)
    if options.json:
        print(json.dumps({"machine": about, "stacks": found}, indent=1))


if __name__ == "__main__":
    main()
