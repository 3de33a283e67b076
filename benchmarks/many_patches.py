"""What counting costs at 196 patches, ImageNet's at 16 × 16 pixels each, and whether such views repeat.

    python benchmarks/many_patches.py                        # the table of docs/scale.md, a quarter of an hour
    python benchmarks/many_patches.py --codes 2 --rounds 1   # some rows

Images drawn from 1,000 prototypes, 30 % of their patches replaced by uniform codes; 16 uniform masks of ρ = ¾. Speed is
million edges, repetitions counted, a CPU-second of one thread: median [min–max] of interleaved rounds, each in a
process of its own after imports and a warm-up. `bytes` is what the finished graph keeps, an edge; `comps` the
components of M, and `once` the mass of the visible and of the target views that are seen from one image only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from measuring import machine, spread, table, worker
from threadpoolctl import threadpool_limits
from worlds import prototypes

from maskgraph.graphs import bipartite
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.views import View
from maskgraph.theory.solver.components import components
from maskgraph.theory.unseen import singleton_mass

GRID, CLASSES, NOISE = (14, 14), 1000, 0.3

RATIO, MASKS = 0.75, 16

ROWS: tuple[tuple[int, View, int], ...] = (
    (2, "positional", 60_000),
    (2, "bag", 60_000),
    (8, "positional", 60_000),
    (8, "bag", 4_000),
    (8, "bag", 60_000),
    (64, "positional", 60_000),
    (64, "bag", 60_000),
)
"""Codes, view and images of each row."""


def run_one(row: int) -> dict[str, Any]:
    """One measurement, in this process."""
    codes, view, count = ROWS[row]
    masks = mask_set(mask_distribution("uniform", GRID, RATIO), MASKS)
    # Just as many images for the warm-up as are not left to numpy.
    few = bipartite.SMALL // MASKS + 1
    drawn, labels = prototypes(max(count, few), GRID[0] * GRID[1], codes, CLASSES, NOISE)
    with threadpool_limits(1):
        mask_graph(make_coded_images("warm-up", drawn[:few], labels[:few]), masks, view, threads=1)
        images = make_coded_images("many-patches", drawn[:count], labels[:count])
        start = time.process_time()
        graph = mask_graph(images, masks, view, threads=1)
        cpu = time.process_time() - start
    return {
        "cpu": cpu,
        "kept": graph.nbytes,
        "N1": graph.M.shape[0],
        "N2": graph.M.shape[1],
        "edges": int(graph.M.nnz),
        "components": components(graph.M).count,
        "once": [singleton_mass(graph, "visible"), singleton_mass(graph, "target")],
    }


def measure(rows: list[int], rounds: int) -> list[dict[str, Any]]:
    """All rows, rounds interleaved."""
    runs: dict[int, list[dict[str, Any]]] = {row: [] for row in rows}
    for turn in range(rounds):
        for row in rows:
            print(f"round {turn + 1} of {rounds}: {ROWS[row]}", file=sys.stderr)
            runs[row].append(worker(["--worker", str(row)]))
    found = []
    for row, repeated in runs.items():
        codes, view, images = ROWS[row]
        told = {key: value for key, value in repeated[0].items() if key != "cpu"}
        seconds = [run["cpu"] for run in repeated]
        found.append({"codes": codes, "view": view, "images": images, **told, "cpu_seconds": seconds})
    return found


def shown(found: list[dict[str, Any]]) -> str:
    """The table."""
    lines = []
    for row in found:
        edges = row["images"] * MASKS
        lines.append(
            [
                str(row["codes"]),
                row["view"],
                f"{row['images']:,}",
                spread([edges / seconds / 1e6 for seconds in row["cpu_seconds"]], 1),
                f"{row['N1']:,}",
                f"{row['N2']:,}",
                f"{row['components']:,}",
                f"{row['kept'] / edges:.0f}",
                "{:.3f}, {:.3f}".format(*row["once"]),
            ]
        )
    return table(["codes", "view", "images", "Medges / CPU-s", "N1", "N2", "comps", "bytes", "once"], lines)


def main() -> None:
    """Measure, print a table, and with --json the figures with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = sorted({codes for codes, _, _ in ROWS})
    parser.add_argument("--codes", nargs="+", type=int, choices=every, default=every, help="rows with so many codes")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        print(json.dumps(run_one(options.worker)))
        return
    found = measure([at for at, row in enumerate(ROWS) if row[0] in options.codes], options.rounds)
    if options.json:
        told = {"machine": machine(), "command": sys.argv, "seed": 0, "rounds": options.rounds}
        print(json.dumps({**told, "rows": found}, indent=1))
    else:
        print(shown(found))


if __name__ == "__main__":
    main()
