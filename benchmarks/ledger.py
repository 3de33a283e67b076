"""The full theorem ledger on growing graphs of the digits: ours against the textbook's dense matrices, interleaved.

    python benchmarks/ledger.py

The alternative is what one writes first: P⁺ and A as N1 × N1 numpy arrays, all eigenvalues by `eigvalsh`, the losses
and L from all pairs. It does what I4 and Thm 4.2 need, less than the ledger, and agrees with it or is an error.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.source import Source, load_coded
from maskgraph.theory.ledger import ledger
from maskgraph.theory.outputs import Outputs
from maskgraph.theory.risk import conditional_mean

DENSE = 6000
"""Most views for which the dense alternative is timed: N1² doubles, and N1³ operations for the eigenvalues."""

DIM = 64


def graph_of(images: int, ratio: float) -> MaskGraph:
    """Digits as the main job codes them: 8 codes, 32 masks, positional views."""
    coded = load_coded(Source("digits", codes=8, images=images))
    return mask_graph(coded, mask_set(mask_distribution("uniform", coded.grid, ratio), 32), "positional")


def model_on(graph: MaskGraph) -> Outputs:
    """A noisy model, which meets every assumption that a network meets."""
    rng = np.random.default_rng(0)
    h = conditional_mean(graph) + 0.1 * rng.standard_normal((len(graph.p1), graph.X2.shape[1]))
    f = rng.standard_normal((len(graph.p1), DIM))
    return Outputs(f / np.linalg.norm(f, axis=1, keepdims=True), h, graph.X2, np.zeros_like(h))


def ours(graph: MaskGraph, outputs: Outputs) -> dict[str, float]:
    """Left side of Thm 4.2 and right side of I4, from the whole ledger."""
    found = {check.statement: check for check in ledger(graph, outputs)}
    return {"u_mae": found["Thm 4.2"].lhs, "bound": found["Thm 4.2"].rhs, "scl": found["I4"].rhs}


def dense(graph: MaskGraph, outputs: Outputs) -> dict[str, float]:
    """The same by dense matrices."""
    M, f, h = graph.M.toarray(), outputs.f, outputs.h
    assert f is not None
    assert h is not None
    pairs = (M / graph.p2) @ M.T
    root = np.sqrt(graph.p1)
    A = pairs / np.outer(root, root)
    values: NDArray[np.float64] = np.linalg.eigvalsh(A)[::-1]
    apart_f, apart_h = (cdist(x, x, "sqeuclidean") for x in (f, h))
    pair = (pairs > 0) & (apart_f > 0)
    L = float((apart_f[pair] / apart_h[pair]).max())
    mae = float((M * cdist(h, graph.X2, "sqeuclidean")).sum())
    unif = float((np.outer(graph.p1, graph.p1) * (f @ f.T) ** 2).sum())
    F = root[:, None] * f
    excess = float(((A - F @ F.T) ** 2).sum() - (A**2).sum())
    return {
        "u_mae": mae + unif / (4 * L),
        "bound": (2 - float((values[:DIM] ** 2).sum())) / (4 * L),
        "scl": excess,
    }


def measure(graph: MaskGraph, rounds: int) -> dict[str, float | int]:
    """CPU seconds of the ledger, and of the dense way over it where that is timed."""
    outputs = model_on(graph)
    ways = {"ledger": ours, "dense": dense} if len(graph.p1) <= DENSE else {"ledger": ours}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers = {}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            answers[name] = way(graph, outputs)
            seconds[name].append(time.process_time() - start)
    for name, value in answers.get("dense", {}).items():
        if not np.isclose(value, answers["ledger"][name], rtol=1e-6):
            raise ArithmeticError(f"{name}: {answers['ledger'][name]} in the ledger and {value} densely")
    own = statistics.median(seconds["ledger"])
    found: dict[str, float | int] = {"views": len(graph.p1), "edges": int(graph.M.nnz), "cpu_seconds": own}
    return {**found, "dense_over_ledger": statistics.median(seconds["dense"]) / own} if "dense" in ways else found


def main() -> None:
    """Measure, print a table, and with --json the figures with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    options = parser.parse_args()
    results = []
    for images, ratio in ((50, 0.25), (100, 0.25), (200, 0.25), (1797, 0.75), (800, 0.25), (1797, 0.25)):
        row = {"images": images, "mask_ratio": ratio, **measure(graph_of(images, ratio), options.rounds)}
        results.append(row)
        told = f"{row['dense_over_ledger']:.1f} x" if "dense_over_ledger" in row else "not tried"
        print(
            f"{images:5} images, rho {ratio}: N1 = {row['views']:6}, {row['edges']:6} edges, "
            f"{row['cpu_seconds']:6.2f} s; dense {told}",
            file=sys.stderr,
        )
    if options.json:
        machine = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
        print(json.dumps({"machine": {**machine, "platform": platform.platform()}, "graphs": results}, indent=1))


if __name__ == "__main__":
    # One thread: two would measure the scheduler.
    with threadpool_limits(1):
        main()
