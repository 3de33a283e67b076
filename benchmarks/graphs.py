"""Building the joint distribution M from codes and masks: ours against what libraries offer.

    python benchmarks/graphs.py                              # 1e7 edges, few and many distinct views
    python benchmarks/graphs.py --edges 1e8                  # a large one: ours and pandas
    python benchmarks/graphs.py --edges 1e6 --rounds 1 --only maskgraph torch    # a quick look
    pip install polars duckdb pyarrow                        # optional competitors

Everybody gets the codes (N, n), the patches kept (S, n1) and dropped (S, n2), and answers with the number of distinct
views on either side, of distinct edges, and Σ M². Answers that differ are an error, not a footnote.

Speed is million edges, repetitions counted, a CPU-second of one thread: median [min–max] of interleaved rounds, each
run in a process of its own with all thread pools at one, after imports and a warm-up on a part of the images, in memory
that is the process's already: where a host gives it on demand the first touch is most of what a build takes. Ours takes
images and masks as any caller has them, with the checks of `make_coded_images`. The others' views are first
packed into 64-bit keys by one matrix product, which is exact here and cheap; `build only` leaves it out. Memory is the
peak resident size of a process without that over what it held before, in bytes an edge; it includes keys and result.
The last two, which take one edge at a time, are given the first half a million.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from measuring import WorkerError, machine, missing, spread, table, touch_memory, worker
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from worlds import few_keys, half_masks, many_keys

from maskgraph.graphs import bipartite
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.masks import MaskSet

Keys = NDArray[np.int64]
Summary = tuple[int, int, int, float]
"""N1, N2, distinct edges, Σ M²."""

REGIMES: dict[str, Callable[[int], CodedImages]] = {"few": few_keys, "many": many_keys}

LARGE = 20_000_000
"""Beyond so many edges only `LARGE_ONLY` run unless others are asked for."""

LARGE_ONLY = ("maskgraph", "pandas")

SMALL = 500_000
"""Edges that the competitors get which handle them one at a time."""

TOUCHED = 128
"""Bytes an edge that a process has before its clock starts: none but those two need more."""


@dataclass(frozen=True)
class Competitor:
    """One way to count edges.

    Attributes:
        build: from the keys of x1 and x2, one an edge.
        package: what it needs beyond our own dependencies.
        small: whether it gets the first `SMALL` edges only.
    """

    build: Callable[[Keys, Keys], Summary]
    package: str | None = None
    small: bool = False


def packed(codes: NDArray[np.int64], patches: NDArray[np.int64]) -> Keys:
    """(N·S,) exact keys of the views: the codes of a view are the digits of its key.

    A matrix product in doubles, exact below 2⁵³.
    """
    alphabet, slots = int(codes.max()) + 1, patches.shape[1]
    if alphabet**slots >= 2**53:
        raise OverflowError(f"{slots} codes below {alphabet} are beyond the 53 bits of a double")
    place = np.zeros((codes.shape[1], len(patches)))
    np.put_along_axis(place, patches.T, float(alphabet) ** np.arange(slots)[:, None], axis=0)
    return np.asarray((codes.astype(np.float64) @ place).astype(np.int64)).ravel()


def from_csr(ids1: NDArray[Any], ids2: NDArray[Any], shape: tuple[int, int]) -> Summary:
    """Scipy's route from ids to a matrix: coordinates, then CSR, which sums repetitions."""
    ones = np.ones(len(ids1), dtype=np.int32)
    M = sp.coo_array((ones, (ids1, ids2)), shape=shape).tocsr()
    return (*shape, int(M.nnz), squares(M.data, len(ids1)))


def squares(counts: NDArray[Any], edges: int) -> float:
    """Σ M² of counts."""
    mass = counts.astype(np.float64) / edges
    return float(mass @ mass)


def by_pandas(keys1: Keys, keys2: Keys) -> Summary:
    """Hash tables of pandas."""
    pd = import_module("pandas")
    (ids1, views1), (ids2, views2) = pd.factorize(keys1), pd.factorize(keys2)
    return from_csr(ids1, ids2, (len(views1), len(views2)))


def by_numpy_unique(keys1: Keys, keys2: Keys) -> Summary:
    """numpy.unique with the inverse: an indirect sort."""
    views1, ids1 = np.unique(keys1, return_inverse=True)
    views2, ids2 = np.unique(keys2, return_inverse=True)
    return from_csr(ids1, ids2, (len(views1), len(views2)))


def by_numpy_sort(keys1: Keys, keys2: Keys) -> Summary:
    """Numpy's vectorised sort of plain integers, key and place in one word, then of the pairs of ids."""
    ids1, count1 = _sorted_ids(keys1)
    ids2, count2 = _sorted_ids(keys2)
    ids1 *= count2
    ids1 += ids2
    del ids2
    ids1.sort()
    starts = np.flatnonzero(np.concatenate([[True], ids1[1:] != ids1[:-1]]))
    counts = np.diff(starts, append=len(ids1))
    row, column = np.divmod(ids1[starts], count2)
    M = sp.csr_array((counts, column, np.searchsorted(row, np.arange(count1 + 1))), shape=(count1, count2))
    return count1, count2, int(M.nnz), squares(M.data, len(keys1))


def by_torch(keys1: Keys, keys2: Keys) -> Summary:
    """torch.unique of either side, then of the pairs."""
    torch = import_module("torch")
    views1, ids1 = torch.unique(torch.from_numpy(keys1), return_inverse=True)
    views2, ids2 = torch.unique(torch.from_numpy(keys2), return_inverse=True)
    pairs, counts = torch.unique(ids1 * len(views2) + ids2, return_counts=True)
    row, column = torch.div(pairs, len(views2), rounding_mode="floor"), pairs % len(views2)
    first = torch.searchsorted(row, torch.arange(len(views1) + 1)).numpy()
    M = sp.csr_array((counts.numpy(), column.numpy(), first), shape=(len(views1), len(views2)))
    return (*M.shape, int(M.nnz), squares(M.data, len(keys1)))


def by_polars(keys1: Keys, keys2: Keys) -> Summary:
    """Polars: group by both keys, number the keys, join the numbers."""
    pl = import_module("polars")
    pairs = pl.DataFrame({"a": keys1, "b": keys2}).group_by("a", "b").len("count")
    rows, columns = (pairs.select(side).unique().with_row_index(f"id_{side}") for side in ("a", "b"))
    pairs = pairs.join(rows, on="a").join(columns, on="b")
    M = sp.coo_array((pairs["count"].to_numpy(), (pairs["id_a"].to_numpy(), pairs["id_b"].to_numpy()))).tocsr()
    return rows.height, columns.height, int(M.nnz), squares(M.data, len(keys1))


def by_duckdb(keys1: Keys, keys2: Keys) -> Summary:
    """DuckDB: the same in SQL, over the arrays where they lie."""
    pd = import_module("pandas")
    connection = import_module("duckdb").connect()
    connection.execute("set threads = 1")
    connection.register("edges", pd.DataFrame({"a": keys1, "b": keys2}, copy=False))
    connection.execute("create temp table pairs as select a, b, count(*) as n from edges group by a, b")
    for side in "ab":
        connection.execute(
            f"create temp table ids_{side} as "
            f"select {side}, row_number() over () - 1 as id from (select distinct {side} from pairs)"
        )
    found = connection.execute(
        "select ids_a.id as row, ids_b.id as col, n from pairs join ids_a using (a) join ids_b using (b)"
    ).fetchnumpy()
    M = sp.coo_array((found["n"], (found["row"], found["col"]))).tocsr()
    return (*M.shape, int(M.nnz), squares(M.data, len(keys1)))


def by_pyarrow(keys1: Keys, keys2: Keys) -> Summary:
    """Arrow: dictionaries of either side, then grouping by the ids."""
    pa = import_module("pyarrow")
    coded = [pa.array(keys).dictionary_encode() for keys in (keys1, keys2)]
    shape = (len(coded[0].dictionary), len(coded[1].dictionary))
    edges = pa.table([side.indices for side in coded], names=["a", "b"])
    pairs = edges.group_by(["a", "b"], use_threads=False).aggregate([([], "count_all")])
    row, column, count = (pairs[name].to_numpy() for name in ("a", "b", "count_all"))
    M = sp.coo_array((count, (row, column)), shape=shape).tocsr()
    return (*shape, int(M.nnz), squares(M.data, len(keys1)))


def by_dict(keys1: Keys, keys2: Keys) -> Summary:
    """Three Python dictionaries."""
    ids1: dict[int, int] = {}
    ids2: dict[int, int] = {}
    counts: dict[tuple[int, int], int] = {}
    for a, b in zip(keys1.tolist(), keys2.tolist(), strict=True):
        edge = ids1.setdefault(a, len(ids1)), ids2.setdefault(b, len(ids2))
        counts[edge] = counts.get(edge, 0) + 1
    return len(ids1), len(ids2), len(counts), squares(np.array(list(counts.values())), len(keys1))


def by_networkx(keys1: Keys, keys2: Keys) -> Summary:
    """Networkx's add_edge, weights added up. x2 is told from x1 by its sign."""
    graph = import_module("networkx").Graph()
    for a, b in zip(keys1.tolist(), keys2.tolist(), strict=True):
        target = -1 - b
        if graph.has_edge(a, target):
            graph[a][target]["weight"] += 1
        else:
            graph.add_edge(a, target, weight=1)
    sides = sum(node >= 0 for node in graph)
    counts = np.array([weight for _, _, weight in graph.edges(data="weight")])
    return sides, len(graph) - sides, len(counts), squares(counts, len(keys1))


COMPETITORS: dict[str, Competitor] = {
    "pandas": Competitor(by_pandas),
    "numpy-unique": Competitor(by_numpy_unique),
    "numpy-sort": Competitor(by_numpy_sort),
    "torch": Competitor(by_torch),
    "polars": Competitor(by_polars, "polars"),
    "duckdb": Competitor(by_duckdb, "duckdb"),
    "pyarrow": Competitor(by_pyarrow, "pyarrow"),
    "dict": Competitor(by_dict, small=True),
    "networkx": Competitor(by_networkx, small=True),
}

OURS = "maskgraph"


def ours(images: CodedImages, masks: MaskSet, threads: int) -> Summary:
    """What a caller does."""
    checked = make_coded_images(images.name, images.codes, images.labels)
    M = mask_graph(checked, masks, "sequence", threads).M
    return (*M.shape, int(M.nnz), float(M.data @ M.data))


def run_one(name: str, path: Path, threads: int, touched: int) -> dict[str, Any]:
    """One measurement, in this process: the clocks, the memory beyond what was touched before, and the answer."""
    with np.load(path) as stored:
        codes, labels, kept, dropped = (stored[key] for key in ("codes", "labels", "kept", "dropped"))
    images, masks = make_coded_images("benchmark", codes, labels), MaskSet(kept, dropped, len(kept))
    if name == "torch":
        import_module("torch").set_num_threads(threads)
    competitor = COMPETITORS.get(name)

    def run(images: CodedImages) -> tuple[float, Summary]:
        if competitor is None:
            return 0.0, ours(images, masks, threads)
        start = time.process_time()
        keys = packed(images.codes, masks.kept), packed(images.codes, masks.dropped)
        generated = time.process_time() - start
        return generated, competitor.build(*keys)

    with threadpool_limits(threads):
        # Imports, just-in-time compilation and thread pools, on as many images as hold every code; ours on just as many
        # as it does not leave to numpy.
        few = 200 if competitor else bipartite.SMALL // len(kept) + 1
        run(make_coded_images("warm-up", codes[:few], labels[:few]))
        touch_memory(touched)
        before = _resident()
        start = time.process_time(), time.perf_counter()
        generated, answer = run(images)
        cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cpu": cpu, "keys": generated, "wall": wall, "extra": peak - before, "answer": answer}


def check(name: str, answer: Summary, expected: Summary) -> None:
    """Raise ArithmeticError where two ways to build one graph disagree."""
    if tuple(answer[:3]) != tuple(expected[:3]) or not np.isclose(answer[3], expected[3], rtol=1e-9, atol=0):
        raise ArithmeticError(f"{name} finds N1, N2, edges, ΣM² = {answer}, and {OURS} {expected}")


def measure(regime: str, edges: int, names: list[str], rounds: int) -> dict[str, Any]:
    """All competitors on one regime, rounds interleaved."""
    images = REGIMES[regime](edges // 100)
    masks = half_masks(images)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    two_threads, failed, sizes = [], {}, {}
    with tempfile.TemporaryDirectory() as directory:
        paths = {"all": Path(directory) / "all.npz", "small": Path(directory) / "small.npz"}
        for part, count in (("all", len(images.codes)), ("small", min(SMALL // len(masks.kept), len(images.codes)))):
            arrays: dict[str, Any] = {"codes": images.codes[:count], "labels": images.labels[:count]}
            np.savez(paths[part], **arrays, kept=masks.kept, dropped=masks.dropped)
            sizes[part] = count * len(masks.kept)
        part_of = {name: "small" if name != OURS and COMPETITORS[name].small else "all" for name in names}
        expected: dict[str, Summary] = {}

        def ask(name: str, part: str, threads: int = 1, touched: int = TOUCHED * sizes["all"]) -> dict[str, Any]:
            arguments = ["--worker", name, str(paths[part]), str(threads), str(touched)]
            return worker(arguments, keep_memory=touched > 0)

        for part in sorted(set(part_of.values())):
            expected[part] = ask(OURS, part)["answer"]
        for turn in range(rounds):
            for name in names:
                if name in failed:
                    continue
                print(f"{regime}, round {turn + 1} of {rounds}: {name}", file=sys.stderr)
                try:
                    found = ask(name, part_of[name])
                    found["extra"] = ask(name, part_of[name], touched=0)["extra"]
                except WorkerError as error:
                    failed[name] = str(error)
                    continue
                check(name, found["answer"], expected[part_of[name]])
                runs[name].append(found)
            two_threads.append(ask(OURS, "all", threads=2)["wall"])
    return {
        "regime": regime,
        "edges": sizes["all"],
        "answer": expected.get("all"),
        "our_wall_seconds_two_threads": two_threads,
        "failed": failed,
        "competitors": {
            name: {
                "edges": sizes[part_of[name]],
                "cpu_seconds": [run["cpu"] for run in found],
                "key_cpu_seconds": [run["keys"] for run in found],
                "wall_seconds": [run["wall"] for run in found],
                "extra_bytes": [run["extra"] for run in found],
            }
            for name, found in runs.items()
            if found
        },
    }


def shown(found: dict[str, Any]) -> str:
    """The table of one regime."""
    speeds = {
        name: [figures["edges"] / s / 1e6 for s in figures["cpu_seconds"]]
        for name, figures in found["competitors"].items()
    }
    rows = []
    for name, figures in found["competitors"].items():
        build = [
            figures["edges"] / (cpu - keys) / 1e6
            for cpu, keys in zip(figures["cpu_seconds"], figures["key_cpu_seconds"], strict=True)
        ]
        ratio = statistics.median(speeds[OURS]) / statistics.median(speeds[name]) if OURS in speeds else float("nan")
        rows.append(
            [
                name,
                f"{figures['edges']:.0e}".replace("e+0", "e"),
                spread(speeds[name]),
                "fused" if name == OURS else spread(build),
                f"{ratio:.2f} x",
                f"{statistics.median(figures['wall_seconds']):.2f}",
                f"{statistics.median(figures['extra_bytes']) / figures['edges']:.0f}",
            ]
        )
    head = ["", "edges", "Medges / CPU-s", "build only", "our gain", "wall s", "bytes / edge"]
    N1, N2, nnz, _ = found["answer"]
    told = [f"{found['regime']} keys: {found['edges']:,} edges, {nnz:,} distinct, {N1:,} x {N2:,} views"]
    told += [table(head, rows)]
    told += [f"{name}: {why}" for name, why in found["failed"].items()]
    told += [f"{OURS} with two threads: {spread(found['our_wall_seconds_two_threads'])} s on the clock"]
    return "\n".join(told)


def main() -> None:
    """Measure, print a table, and with --json the figures with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [OURS, *COMPETITORS]
    parser.add_argument("--edges", type=float, default=1e7, help="edges, a hundred an image (1e7)")
    parser.add_argument("--regimes", nargs="+", choices=list(REGIMES), default=list(REGIMES), help="distinct views")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, path, threads, touched = options.worker
        print(json.dumps(run_one(name, Path(path), int(threads), int(touched))))
        return
    edges = int(options.edges)
    chosen = options.only or (list(LARGE_ONLY) if edges > LARGE else names)
    optional = [c.package for c in COMPETITORS.values() if c.package is not None]
    absent = missing(optional)
    for package in absent:
        print(f"{package} is not installed: skipped", file=sys.stderr)
    chosen = [name for name in chosen if name == OURS or COMPETITORS[name].package not in absent]
    results = [measure(regime, edges, chosen, options.rounds) for regime in options.regimes]
    if options.json:
        told = {"machine": machine(optional), "command": sys.argv, "seed": 0, "rounds": options.rounds}
        print(json.dumps({**told, "regimes": results}, indent=1))
    else:
        print("\n\n".join(shown(found) for found in results))


def _sorted_ids(keys: Keys) -> tuple[Keys, int]:
    """Ids in the order of the keys, and how many there are: key and place sorted as one 64-bit word."""
    bits = (len(keys) - 1).bit_length()
    if int(keys.max()).bit_length() + bits > 64:
        raise OverflowError("key and place do not fit into 64 bits")
    word = keys.astype(np.uint64) << np.uint64(bits)
    word |= np.arange(len(keys), dtype=np.uint64)
    word.sort()
    place = (word & np.uint64((1 << bits) - 1)).astype(np.int64)
    word >>= np.uint64(bits)
    rank = np.cumsum(np.concatenate([[False], word[1:] != word[:-1]]))
    ids = np.empty_like(keys)
    ids[place] = rank
    return ids, int(rank[-1]) + 1


def _resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
