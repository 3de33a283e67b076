"""Head sums of many-component graphs: ours against scipy's general solvers, in one process, interleaved.

    python benchmarks/spectrum.py

Each row is a graph; each solver's figure is its CPU time over ours (median of interleaved rounds) and the relative
error of its Σ_{i<=k} λ_i² against the dense spectrum of each component. A ratio without a right answer is no merit.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh, svds
from threadpoolctl import threadpool_limits

from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.source import Source, load_coded
from maskgraph.graphs.views import View
from maskgraph.theory.components import components
from maskgraph.theory.spectrum import spectrum

Solver = Callable[[AugmentationGraph, int], NDArray[np.float64]]


def digits(codes: int, view: View, codebook: str) -> AugmentationGraph:
    """The digits at ρ = ½ under 100 masks."""
    images = load_coded(Source("digits", codebook="threshold" if codebook == "threshold" else "kmeans", codes=codes))
    masks = mask_set(mask_distribution("uniform", images.grid, 0.5), 100)
    return augmentation_graph(mask_graph(images, masks, view))


def disjoint_classes(classes: int) -> AugmentationGraph:
    """Classes that share no code: at least one component each."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 400)
    codes = rng.integers(4, size=(len(labels), 8)) + 4 * labels[:, None]
    masks = mask_set(mask_distribution("uniform", (2, 4), 0.5))
    return augmentation_graph(mask_graph(make_coded_images("disjoint", codes, labels), masks, "sequence"))


def ours(graph: AugmentationGraph, k: int) -> NDArray[np.float64]:
    """Maskgraph's spectrum."""
    return spectrum(graph, k).values


def arpack(graph: AugmentationGraph, k: int) -> NDArray[np.float64]:
    """Scipy's eigsh at its tightest tolerance on the smaller side."""
    B = graph.B if graph.B.shape[0] <= graph.B.shape[1] else sp.csr_array(graph.B.T)
    size, BT = B.shape[0], sp.csr_array(B.T)
    operator = LinearOperator(shape=(size, size), dtype=np.float64, matvec=lambda x: B @ (BT @ x))
    start = np.random.default_rng(0).standard_normal(size)
    return np.asarray(eigsh(operator, k, which="LA", tol=0, v0=start, return_eigenvectors=False))


def propack(graph: AugmentationGraph, k: int) -> NDArray[np.float64]:
    """Scipy's svds with PROPACK."""
    return np.asarray(svds(graph.B, k, solver="propack", return_singular_vectors=False, rng=0)) ** 2


def reference(graph: AugmentationGraph, k: int) -> float:
    """The head sum from a dense spectrum of every component."""
    split = components(graph.B)
    values = []
    for component in split.blocks(np.arange(split.count)):
        side = component.B if component.B.shape[0] <= component.B.shape[1] else component.B.T
        values.append(np.linalg.eigvalsh((side @ side.T).toarray()))
    return math.fsum(np.sort(np.concatenate(values))[::-1][:k] ** 2)


def measure(graph: AugmentationGraph, k: int, solvers: dict[str, Solver], rounds: int) -> dict[str, dict[str, float]]:
    """CPU seconds and relative error of every solver, rounds interleaved."""
    exact = reference(graph, k)
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    errors = dict.fromkeys(solvers, math.nan)
    for _ in range(rounds):
        for name, solve in solvers.items():
            start = time.process_time()
            try:
                head = math.fsum(solve(graph, k) ** 2)
            except (ArithmeticError, np.linalg.LinAlgError) as error:
                print(f"{name} gave up: {error}", file=sys.stderr)
                head = math.nan
            seconds[name].append(time.process_time() - start)
            errors[name] = abs(head - exact) / exact
    return {name: {"cpu_seconds": statistics.median(seconds[name]), "error": errors[name]} for name in solvers}


def main() -> None:
    """Measure, print a table, and with --json the figures with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    options = parser.parse_args()
    graphs = {
        "digits, positional, 2 codes (k = 200)": (digits(2, "positional", "threshold"), 200),
        "digits, sequence, 2 codes (k = 64)": (digits(2, "sequence", "threshold"), 64),
        "ten disjoint classes (k = 64)": (disjoint_classes(10), 64),
    }
    solvers: dict[str, Solver] = {"maskgraph": ours, "eigsh": arpack, "propack": propack}
    results = {}
    for name, (graph, k) in graphs.items():
        results[name] = measure(graph, k, solvers, options.rounds)
        found = results[name]
        count = components(graph.B).count
        print(f"{name}: {graph.B.shape[0]} x {graph.B.shape[1]}, {count} components", file=sys.stderr)
        for solver, figures in found.items():
            ratio = figures["cpu_seconds"] / found["maskgraph"]["cpu_seconds"]
            print(f"  {solver:10} {ratio:8.1f} x our time   error {figures['error']:.1e}", file=sys.stderr)
    if options.json:
        machine = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
        print(json.dumps({"machine": {**machine, "platform": platform.platform()}, "graphs": results}, indent=1))


if __name__ == "__main__":
    # One thread: two would measure the scheduler.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        main()
