"""Head sums Σ_{i<=k} λ_i² and ‖A‖_F² of masking's graphs: ours against general solvers.

    python benchmarks/spectrum.py                                             # every graph and solver: an hour
    python benchmarks/spectrum.py --graphs copies-16 disjoint-classes         # some graphs (see benchmarks/worlds.py)
    python benchmarks/spectrum.py --only maskgraph eigsh --rounds 1           # some solvers
    pip install primme slepc4py                                               # optional competitors

Each solver gets the raw factor B, and works on the Gram operator of its smaller side or takes singular values; ours
gets the graph. CPU seconds of one thread, median [min–max] of interleaved rounds, after imports and a warm-up. A ratio
without a right answer is no merit, so beside it stands the error: relative, of the head sum, the worst of all rounds.
It is measured against a reference that is none of the competitors where that can be computed: the dense spectrum of
every component, or where one is too large for that, ARPACK on that component alone. On the largest graphs nothing
independent can be had in reasonable time; there the error is how far a head sum lies outside the interval that our
certificate allows, which says that the solvers agree and not that we are right.

On a large graph each solver runs in a process of its own, which is ended after --limit CPU seconds. What memory a
solve may need is touched before its clock starts, and stays with the process: on a virtual machine whose host gives
memory on demand the first touch of a megabyte takes up to two milliseconds, some tenths of what is measured here, and
falls to whoever comes first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from measuring import WorkerError, limit_cpu, machine, missing, spread, table, touch_memory, worker
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh, svds
from threadpoolctl import threadpool_limits
from worlds import WORLDS, World, half_masks, prototypes

from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.masks import MaskSet
from maskgraph.graphs.memory import available_bytes
from maskgraph.theory.solver.components import components
from maskgraph.theory.solver.frobenius import frobenius_norm_sq
from maskgraph.theory.spectrum import spectrum

Array = NDArray[np.float64]

OURS = "maskgraph"

DENSE = 7000
"""Components whose smaller side has at most so many views are solved densely for the reference."""

ALONE = 20_000
"""Components up to this size are solved by ARPACK, alone, for the reference."""

PRODUCT_BYTES = 6e9
"""A is multiplied out where it cannot need more memory."""

PARTS = {
    "components": ("maskgraph.theory.spectrum", ("components",)),
    "frobenius": ("maskgraph.theory.spectrum", ("row_squares",)),
    "certificate": ("maskgraph.theory.solver.krylov", ("_remainder", "bracket")),
}
"""The functions in which `spectrum` spends what is not the solve. None calls another."""

BASES = 20
"""Memory that is touched beforehand, in matrices of k vectors: PROPACK takes most, 19 on a million views, and …"""

FACTORS = 8
"""… in the entries of B, for copies of it; at most a third of what there is, as ours asks for what it may need."""

PROBES = 300
"""Products with A that Hutch++ spends."""


@dataclass(frozen=True)
class Solver:
    """One way to the k largest eigenvalues of A = B Bᵀ.

    Attributes:
        values: from B and k, in any order.
        package: what it needs beyond our own dependencies.
        side: the largest smaller side that it is tried on.
    """

    values: Callable[[sp.csr_array, int], Array]
    package: str | None = None
    side: float = math.inf


def smaller(B: sp.csr_array) -> sp.csr_array:
    """B or Bᵀ, whichever has fewer rows."""
    return B if B.shape[0] <= B.shape[1] else sp.csr_array(B.T)


def gram(B: sp.csr_array) -> LinearOperator:
    """The Gram operator of the smaller side."""
    side = smaller(B)
    other = sp.csr_array(side.T)

    def apply(x: Array) -> Array:
        return np.asarray(side @ (other @ x))

    return LinearOperator(shape=(side.shape[0],) * 2, dtype=np.float64, matvec=apply, matmat=apply)


def by_eigsh(B: sp.csr_array, k: int) -> Array:
    """Scipy's ARPACK at its tightest tolerance."""
    A = gram(B)
    start = np.random.default_rng(0).standard_normal(A.shape[0])
    return np.asarray(eigsh(A, k, which="LA", tol=0, v0=start, return_eigenvectors=False))


def by_svds(solver: Literal["arpack", "propack", "lobpcg"]) -> Callable[[sp.csr_array, int], Array]:
    """Scipy's svds."""

    def values(B: sp.csr_array, k: int) -> Array:
        return np.square(svds(B, k, solver=solver, return_singular_vectors=False, rng=0), dtype=np.float64)

    return values


def by_primme(B: sp.csr_array, k: int) -> Array:
    """PRIMME's eigsh with its defaults."""
    values, _ = import_module("primme").eigsh(gram(B), k, which="LA")
    return np.asarray(values)


def by_primme_svds(B: sp.csr_array, k: int) -> Array:
    """PRIMME's svds with its defaults."""
    values = import_module("primme").svds(sp.csr_matrix(B), k, return_singular_vectors=False)
    return np.asarray(values) ** 2


def by_slepc(B: sp.csr_array, k: int) -> Array:
    """SLEPc's cross-product SVD solver: thick-restart Lanczos on the smaller Gram matrix, at 1e-12."""
    petsc, slepc = import_module("petsc4py.PETSc"), import_module("slepc4py.SLEPc")
    side = smaller(B)
    arrays = (side.indptr.astype(petsc.IntType), side.indices.astype(petsc.IntType), side.data)
    matrix = petsc.Mat().createAIJ(side.shape, csr=arrays)
    solver = slepc.SVD().create()
    solver.setOperators(matrix)
    solver.setType(slepc.SVD.Type.CROSS)
    solver.setWhichSingularTriplets(slepc.SVD.Which.LARGEST)
    solver.setDimensions(k)
    solver.setTolerances(1e-12, 1000)
    solver.solve()
    found = min(solver.getConverged(), k)
    return np.array([solver.getValue(i) for i in range(found)]) ** 2


def by_randomized(iterations: int | str) -> Callable[[sp.csr_array, int], Array]:
    """Scikit-learn's randomized SVD."""

    def values(B: sp.csr_array, k: int) -> Array:
        found = import_module("sklearn.utils.extmath").randomized_svd(B, k, n_iter=iterations, random_state=0)
        return np.asarray(found[1]) ** 2

    return values


def by_lowrank(B: sp.csr_array, k: int) -> Array:
    """Torch's randomized SVD, ten columns wider than k as scikit-learn's, 20 iterations."""
    torch = import_module("torch")
    torch.manual_seed(0)
    factor = torch.sparse_csr_tensor(*map(torch.from_numpy, (B.indptr, B.indices, B.data)), size=B.shape)
    return np.asarray(torch.svd_lowrank(factor.to_sparse_coo(), q=k + 10, niter=20)[1].numpy()[:k]) ** 2


def by_lobpcg(B: sp.csr_array, k: int) -> Array:
    """Torch's LOBPCG with its defaults, on A as a dense tensor."""
    torch = import_module("torch")
    torch.manual_seed(0)
    side = smaller(B)
    return np.asarray(torch.lobpcg(torch.from_numpy((side @ side.T).toarray()), k)[0].numpy())


def by_networkx(B: sp.csr_array, k: int) -> Array:
    """Networkx's spectrum of A as a weighted graph with its loops; the graph is made inside the clock."""
    nx = import_module("networkx")
    side = smaller(B)
    graph = nx.from_scipy_sparse_array(side @ side.T)
    return np.sort(nx.adjacency_spectrum(graph).real)[::-1][:k]


def by_dense(B: sp.csr_array, k: int) -> Array:
    """LAPACK on the whole smaller side."""
    side = smaller(B)
    size = side.shape[0]
    return np.asarray(scipy.linalg.eigvalsh((side @ side.T).toarray(), subset_by_index=[size - k, size - 1]))


SOLVERS: dict[str, Solver] = {
    "eigsh": Solver(by_eigsh),
    "svds-arpack": Solver(by_svds("arpack")),
    "svds-propack": Solver(by_svds("propack")),
    "svds-lobpcg": Solver(by_svds("lobpcg")),
    "primme-eigsh": Solver(by_primme, "primme"),
    "primme-svds": Solver(by_primme_svds, "primme"),
    "slepc-cross": Solver(by_slepc, "slepc4py"),
    "randomized-svd": Solver(by_randomized("auto")),
    "randomized-svd-20": Solver(by_randomized(20)),
    "torch-lowrank-20": Solver(by_lowrank),
    "torch-lobpcg": Solver(by_lobpcg, side=1100),
    "networkx": Solver(by_networkx, side=1100),
    "dense": Solver(by_dense, side=5000),
}


def by_product(B: sp.csr_array) -> float:
    """‖A‖_F² from A itself, multiplied out by scipy."""
    side = smaller(B)
    A = side @ side.T
    return float(A.data @ A.data)


def by_hutch(B: sp.csr_array) -> float:
    """‖A‖_F² = tr A² by Hutch++ (Meyer, Musco, Musco and Woodruff 2021).

    A third of the products finds a subspace, a third takes the trace over it exactly, a third estimates the rest.
    """
    A, rng = gram(B), np.random.default_rng(0)
    third = PROBES // 3
    sketch, probe = (rng.choice([-1.0, 1.0], size=(A.shape[0], third)) for _ in range(2))
    Q = np.linalg.qr(A @ sketch)[0]
    probe -= Q @ (Q.T @ probe)
    return float(np.square(A @ Q).sum() + np.square(A @ probe).sum() / third)


FROBENIUS: dict[str, Callable[[sp.csr_array], float]] = {"B @ B.T": by_product, "Hutch++": by_hutch}
"""The other ways to ‖A‖_F²."""


def reference(B: sp.csr_array, k: int) -> dict[str, Any]:
    """Head sum and, where every component is solved densely, ‖A‖_F², from the components one by one."""
    _, label = connected_components(sp.block_array([[None, B], [B.T, None]], format="csr"), directed=False)
    of_row, of_column = label[: B.shape[0]], label[B.shape[0] :]
    rows, columns = (
        np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1]) for of in (of_row, of_column)
    )
    if max(min(len(r), len(c)) for r, c in zip(rows, columns, strict=True)) > ALONE:
        return {"kind": "the interval of our certificate"}
    kind, values = "the dense spectrum of every component", []
    for r, c in zip(rows, columns, strict=True):
        block = smaller(sp.csr_array(B[r][:, c]))
        if block.shape[0] <= DENSE:
            values.append(np.linalg.eigvalsh((block @ block.T).toarray()))
        else:
            kind = "dense spectra, and ARPACK on each component too large for that"
            values.append(by_eigsh(block, k))
    every = np.sort(np.concatenate(values))[::-1]
    whole = math.fsum(every**2) if kind.startswith("the dense") else None
    return {"kind": kind, "head": math.fsum(every[:k] ** 2), "frobenius_sq": whole}


def ours(graph: AugmentationGraph, k: int) -> dict[str, Any]:
    """Maskgraph's spectrum: the head sum and all that comes with it."""
    with contextlib.ExitStack() as clocks:
        spent = {
            part: clocks.enter_context(clocked(import_module(module), names)) for part, (module, names) in PARTS.items()
        }
        found = spectrum(graph, k)
    low, high = found.tail_sq_interval
    return {
        "cpu_seconds": {part: sum(seconds) for part, seconds in spent.items()},
        "head": found.head_sq,
        "head_interval": [found.frobenius_sq - high, found.frobenius_sq - low],
        "components": found.components,
        "frobenius_sq": found.frobenius_sq,
        "tail_sq": found.tail_sq,
        "tail_sq_interval": [low, high],
    }


@contextlib.contextmanager
def clocked(module: Any, names: tuple[str, ...]) -> Iterator[list[float]]:
    """The CPU seconds of every call of some functions of a module, none of which calls another."""
    seconds: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.process_time()
            result = function(*arguments)
            seconds.append(time.process_time() - start)
            return result

        return call

    real = {name: getattr(module, name) for name in names}
    for name, function in real.items():
        setattr(module, name, timed(function))
    try:
        yield seconds
    finally:
        for name, function in real.items():
            setattr(module, name, function)


def our_frobenius(B: sp.csr_array) -> dict[str, Any]:
    """Maskgraph's ‖A‖_F² and its bound on the rounding."""
    value, error = frobenius_norm_sq(B)
    return {"frobenius_sq": value, "bound": error}


def stored_graph(path: Path) -> AugmentationGraph:
    """The graph that a worker was handed, built again from its images and masks."""
    with np.load(path) as stored:
        codes, labels, kept, dropped, view = (stored[name] for name in ("codes", "labels", "kept", "dropped", "view"))
    images = make_coded_images("benchmark", codes, labels)
    return augmentation_graph(mask_graph(images, MaskSet(kept, dropped, len(kept)), view.item()))


def stored_factor(path: Path) -> sp.csr_array:
    """Its factor B alone."""
    with np.load(path) as stored:
        data, indices, indptr, shape = (stored[name] for name in ("data", "indices", "indptr", "shape"))
    return sp.csr_array((data, indices, indptr), shape=tuple(shape))


def task(name: str, path: Path, k: int) -> Callable[[], dict[str, Any]]:
    """What is to be timed, everything read and ready."""
    if name == OURS:
        graph = stored_graph(path)
        return lambda: ours(graph, k)
    B = stored_factor(path)
    if name == "reference":
        return lambda: reference(B, k)
    if name == "frobenius":
        return lambda: our_frobenius(B)
    if name in FROBENIUS:
        return lambda: {"frobenius_sq": FROBENIUS[name](B)}
    return lambda: {"head": math.fsum(np.square(SOLVERS[name].values(B, k)))}


def warm_up(names: list[str]) -> None:
    """Import and compile, on a connected graph of 4,096 views, small enough to be quick and too large to be dense.

    Ours on 19,683 too: beyond 16,384 columns a product takes other loops.
    """
    graph, tiled = (
        augmentation_graph(mask_graph(images, half_masks(images), "sequence"))
        for images in (
            make_coded_images("warm-up", *prototypes(images, patches, codes, 4, 0.6))
            for images, patches, codes in ((500, 12, 4), (6000, 18, 3))
        )
    )
    import_module("torch").set_num_threads(1)
    if OURS in names:
        ours(graph, 4)
        ours(tiled, 4)
    if {OURS, "frobenius"} & set(names):
        # A full and a sparse A take different loops.
        for B in (graph.B, sp.csr_array(sp.kron(sp.eye_array(16), graph.B))):
            our_frobenius(B)
    for name in set(names) & set(SOLVERS):
        # One that fails here fails again where it is timed, and is reported there.
        if SOLVERS[name].side >= min(graph.B.shape):
            with contextlib.suppress(Exception):
                SOLVERS[name].values(graph.B, 4)


def run(names: list[str], path: Path, k: int, rounds: int, limit: float) -> dict[str, Any]:
    """Rounds of all tasks, interleaved, in this process on one core: clocks and answers."""
    if hasattr(os, "sched_setaffinity"):
        # Ours takes as many threads as there are cores, and two that share a memory bus take more CPU seconds than one.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up(names)
        tasks = {name: task(name, path, k) for name in names}
        B = stored_factor(path)
        touch_memory(min(BASES * 8 * k * B.shape[0] + FACTORS * B.data.nbytes, available_bytes() // 3))
        found: dict[str, Any] = {name: {"cpu_seconds": [], "wall_seconds": [], "answers": []} for name in names}
        if limit:
            limit_cpu(limit)
        # Pools that a competitor's import brought in are pinned too.
        with threadpool_limits(1):
            for _ in range(rounds):
                for name, work in tasks.items():
                    cpu, wall = time.process_time(), time.perf_counter()
                    try:
                        answer = work()
                    # Each library fails in its own way, and that it did is its row of the table.
                    except Exception as error:
                        answer = {"gave_up": f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"}
                    found[name]["cpu_seconds"].append(time.process_time() - cpu)
                    found[name]["wall_seconds"].append(time.perf_counter() - wall)
                    found[name]["answers"].append(answer)
    return found


def store(world: World, path: Path) -> sp.csr_array:
    """Write what workers read; returns B."""
    graph = augmentation_graph(world.graph())
    images, masks, B = graph.graph.images, graph.graph.masks, graph.B
    given: dict[str, Any] = {
        "codes": images.codes,
        "labels": images.labels,
        "kept": masks.kept,
        "dropped": masks.dropped,
    }
    np.savez(path, **given, view=world.view, data=B.data, indices=B.indices, indptr=B.indptr, shape=B.shape)
    return B


def measure(world: World, names: list[str], rounds: int, limit: float) -> dict[str, Any]:
    """Everything about one graph."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "graph.npz"
        B = store(world, path)
        shape, side = B.shape, min(B.shape)
        k = world.k + (components(B).count if world.beyond else 0)
        names = [name for name in names if name == OURS or (SOLVERS[name].side >= side and not world.beyond)]
        work = min(
            float(np.square(np.bincount(half.indices, minlength=1).astype(float)).sum()) for half in (B, B.tocsc())
        )
        entries = min(work, float(side) ** 2)
        others = [name for name in FROBENIUS if name != "B @ B.T" or 12 * entries <= PRODUCT_BYTES]
        skipped = {} if len(others) == len(FROBENIUS) else {"B @ B.T": f"A could need {12 * entries / 1e9:.0f} GB"}
        if world.beyond:
            others, skipped = [], {}
        edges = int(B.nnz)
        del B
        every = [*names, *(["frobenius", *others] if OURS in names else [])]
        runs: dict[str, Any] = {}

        def ask(group: list[str], times: int, cap: float) -> None:
            arguments = ["--worker", str(path), str(k), str(times), str(cap), "--tasks", *group]
            try:
                answers = worker(arguments, limit=cap or None, keep_memory=True)
            except WorkerError as error:
                if len(group) > 1:
                    raise
                skipped[group[0]] = str(error)
                return
            for name, new in answers.items():
                held = runs.setdefault(name, {key: [] for key in new})
                for key, values in new.items():
                    held[key].extend(values)

        if not world.beyond:
            print("  reference", file=sys.stderr)
            ask(["reference"], 1, 0)
        if world.large:
            for turn in range(rounds):
                for name in every:
                    if name not in skipped:
                        print(f"  round {turn + 1} of {rounds}: {name}", file=sys.stderr)
                        ask([name], 1, limit)
        else:
            print(f"  {rounds} rounds of {', '.join(every)}", file=sys.stderr)
            ask(every, rounds, 0)
    basis = runs.pop("reference", {"answers": [{"kind": "none"}]})["answers"][0]
    return {
        "about": world.about,
        "N1": int(shape[0]),
        "N2": int(shape[1]),
        "edges": edges,
        "k": k,
        "reference": basis,
        "no_answer": skipped,
        "runs": runs,
        "errors": errors(runs, basis),
    }


def errors(runs: dict[str, Any], basis: dict[str, Any]) -> dict[str, float]:
    """The worst relative error of each; where nothing independent is known, how far outside our interval it lies.

    Those that gave up, and those with nothing to compare with, are left out.
    """
    mine = next((a for a in runs.get(OURS, {"answers": []})["answers"] if "head" in a), None)
    exact = runs.get("frobenius", {"answers": [{}]})["answers"][0].get("frobenius_sq")
    whole = basis.get("frobenius_sq") or exact
    found = {}
    for name, figures in runs.items():
        answers = figures["answers"]
        # Ours is not held to itself where there is nothing else.
        own = (name == "frobenius" and not basis.get("frobenius_sq")) or (name == OURS and "head" not in basis)
        if own or any("gave_up" in answer for answer in answers):
            continue
        if name == "frobenius" or name in FROBENIUS:
            wrong = [abs(answer["frobenius_sq"] - whole) / whole for answer in answers] if whole else []
        elif "head" in basis:
            wrong = [abs(answer["head"] - basis["head"]) / basis["head"] for answer in answers]
        elif mine:
            low, high = mine["head_interval"]
            wrong = [max(low - answer["head"], answer["head"] - high, 0.0) / mine["head"] for answer in answers]
        else:
            wrong = []
        if wrong and np.isfinite(wrong).all():
            found[name] = max(wrong)
    return found


def shown(name: str, found: dict[str, Any]) -> str:
    """The tables of one graph."""
    runs, wrong = found["runs"], found["errors"]
    no_answer = dict(found["no_answer"])

    def rows(names: list[str], against: str) -> list[list[str]]:
        told = []
        base = statistics.median(runs[against]["cpu_seconds"]) if against in runs else math.nan
        for each in names:
            seconds = runs[each]["cpu_seconds"]
            label = OURS if each == "frobenius" else each
            if gave_up := next((answer["gave_up"] for answer in runs[each]["answers"] if "gave_up" in answer), None):
                no_answer[each] = gave_up
                told.append([label, spread(seconds, 3), "", "gave up"])
            else:
                ratio = f"{statistics.median(seconds) / base:.2f} x" if against in runs else ""
                told.append([label, spread(seconds, 3), ratio, f"{wrong[each]:.1e}" if each in wrong else "-"])
        return told

    solvers = [each for each in runs if each == OURS or each in SOLVERS]
    norms = [each for each in runs if each == "frobenius" or each in FROBENIUS]
    lines = [
        f"{name}: {found['about']}",
        f"{found['N1']:,} x {found['N2']:,} views, {found['edges']:,} edges, k = {found['k']}",
        f"reference: {found['reference']['kind']}",
    ]
    if solvers:
        head = "relative error" if "head" in found["reference"] else "outside interval"
        lines.append(table(["head sum", "CPU s", "over ours", head], rows(solvers, OURS)))
    if norms:
        head = "relative error" if found["reference"].get("frobenius_sq") else "off ours"
        lines.append(table(["‖A‖_F²", "CPU s", "over ours", head], rows(norms, "frobenius")))
    lines += [f"{each}: {why}" for each, why in no_answer.items()]
    mine = next((a for a in runs.get(OURS, {"answers": []})["answers"] if "head" in a), None)
    if mine:
        low, high = mine["tail_sq_interval"]
        width = (high - low) / mine["tail_sq"] if mine["tail_sq"] > 0 else math.nan
        lines.append(
            f"{OURS}: components: {mine['components']:,}; head {mine['head']:.12g}; tail in [{low:.12g}, {high:.12g}], "
            f"relative width {width:.1e}\n  {parts_of_ours(runs)}"
        )
    return "\n".join(lines)


def parts_of_ours(runs: dict[str, Any]) -> str:
    """What our CPU seconds went into, the medians of its rounds."""
    rounds = [
        {**answer["cpu_seconds"], "solve": whole - sum(answer["cpu_seconds"].values())}
        for whole, answer in zip(runs[OURS]["cpu_seconds"], runs[OURS]["answers"], strict=True)
    ]
    median = {part: statistics.median(each[part] for each in rounds) for part in rounds[0]}
    told = ", ".join(f"{part} {seconds:.3f} s" for part, seconds in median.items())
    beside = (median["frobenius"] + median["certificate"]) / median["solve"]
    return f"of its time: {told}; ‖A‖_F² and certificate are {beside:.2f} times the solve"


def main() -> None:
    """Measure, print tables, and with --json the figures with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [OURS, *SOLVERS]
    parser.add_argument(
        "--graphs",
        nargs="+",
        choices=list(WORLDS),
        default=list(WORLDS),
        metavar="GRAPH",
        help=f"some of {', '.join(WORLDS)}",
    )
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--limit", type=float, default=400, help="CPU seconds for a solver on a large graph (400)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        path, k, rounds, limit = options.worker
        print(json.dumps(run(options.tasks, Path(path), int(k), int(rounds), float(limit))))
        return
    optional = sorted({solver.package for solver in SOLVERS.values() if solver.package is not None})
    absent = missing(optional)
    for package in absent:
        print(f"{package} is not installed: skipped", file=sys.stderr)
    chosen = [name for name in options.only or names if name == OURS or SOLVERS[name].package not in absent]
    results = {}
    for name in options.graphs:
        print(name, file=sys.stderr)
        results[name] = measure(WORLDS[name], chosen, options.rounds, options.limit)
        print(shown(name, results[name]) + "\n", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        told = {"machine": machine(optional), "command": sys.argv, "seed": 0, "rounds": options.rounds}
        print(json.dumps({**told, "limit_cpu_seconds": options.limit, "graphs": results}, indent=1))


if __name__ == "__main__":
    main()
