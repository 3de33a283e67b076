"""Two runs of one recipe that differ in precision: does any score or loss differ beyond its seeds' spread?

    maskgraph recipe digits --precision fp32 --out fp32
    maskgraph recipe digits --precision bf16 --out bf16
    python benchmarks/precision.py fp32 bf16

Paired by seed: the same initialisation, order and masks on both sides. Of intervals of 95 % one in twenty leaves out a
difference that is 0; what goes the same way in every network is seen in the pairs of all of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from measuring import table

from maskgraph.empirical.intervals import seeds_interval
from maskgraph.empirical.judge import SHUFFLED
from maskgraph.empirical.summary import Record, read_judged


def numbers(record: Record) -> dict[str, float]:
    """The final loss and every accuracy but that of the null."""
    scores = {name: score["accuracy"] for name, score in record["scores"].items() if not name.endswith(SHUFFLED)}
    return {"loss": record["final_reconstruction"], **scores}


def main() -> int:
    """Print a row a network and number, how many intervals leave out 0, and a row a number over all networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="directories of finished recipes")
    first, second = (
        {(record["method"], record["seed"]): numbers(record) for record in read_judged(run) if "steps" in record}
        for run in parser.parse_args().runs
    )
    if first.keys() != second.keys():
        print("the runs hold other networks; expected the same methods and seeds in both", file=sys.stderr)
        return 2
    rows, apart = [], 0
    changes: dict[str, list[float]] = {}
    for method in dict.fromkeys(method for method, _ in first):
        seeds = [seed for name, seed in first if name == method]
        for name in first[method, seeds[0]]:
            a, b = (np.array([run[method, seed][name] for seed in seeds]) for run in (first, second))
            low, high = seeds_interval((b - a).tolist())
            changes.setdefault(name, []).extend((b - a).tolist())
            apart += not low <= 0 <= high
            spread, change = f"{a.std(ddof=1):.4f}", f"{(b - a).mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            rows.append((f"{method} {name}", f"{a.mean():.4f}", spread, change))
    print(table(("", "first", "SD over seeds", "second - first [95 %]"), rows))
    print(f"{apart} of {len(rows)} intervals leave out 0\n")
    pairs = [
        (
            name,
            f"{np.mean(found):+.4f}",
            *(f"{sum(sign * one > 0 for one in found)} of {len(found)}" for sign in (-1, 1)),
        )
        for name, found in changes.items()
    ]
    print(table(("all networks", "second - first", "lower", "higher"), pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
