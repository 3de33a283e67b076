"""The spectrum of the augmentation graph: right on graphs with many components, and certified.

General Krylov solvers lose copies of a repeated eigenvalue, and eigenvalue 1 repeats once a component. So the
components come first; on each, eigenvalue 1 is known; those of rank 1 have no other; small ones are solved densely on
their smaller side, large ones by block Lanczos with the known eigenvector deflated. Every eigenvalue comes with a
bracket that holds it whatever the solver missed, and the sums over head and tail with intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, check_augmentation_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.seeds import check_seed
from maskgraph.theory.dimension import check_dim
from maskgraph.theory.solver.components import Components, components
from maskgraph.theory.solver.dense import Part
from maskgraph.theory.solver.engine import Engine, Floats
from maskgraph.theory.solver.entries import entry_rounding, of_rounded_entries
from maskgraph.theory.solver.frobenius import Factor, row_squares
from maskgraph.theory.solver.host import HOST
from maskgraph.theory.solver.search import Head, Search

NOTHING = Head(np.empty(0), np.empty(0), [], 0.0)
"""What a trivial head needs beside the ones."""

Told = Callable[[str], None]


@dataclass(frozen=True)
class Spectrum:
    """The largest eigenvalues of A and the sums that the bounds need.

    Attributes:
        values: (k,) float64 in [0, 1], descending, with multiplicity.
        vectors: (N1, k) CSC, orthonormal eigenvectors, each supported on one component (a zero column where the
            eigenvalue is 0 and none was computed).
        residuals: (k,) float64, ‖A v − λ v‖ of each pair, measured.
        components: how many connected components the graph has = the multiplicity of eigenvalue 1.
        frobenius_sq: ‖A‖_F² = Σ λ_i² over the whole spectrum.
        head_sq: Σ_{i<=k} λ_i².
        tail_sq: Σ_{i>k} λ_i² = ‖A‖_F² − head, 0 where the difference is no more than rounding.
        head_sq_interval: [lo, hi] that holds the head, allowing for rounding and, on components too large for a
            dense solve, for what an iterative solver may have missed (failure probability `FAILURE`).
        tail_sq_interval: [lo, hi] that holds the tail, likewise.
        value_error: by how much any one of the k largest eigenvalues may exceed its value here.
    """

    values: NDArray[np.float64]
    vectors: sp.csc_array
    residuals: NDArray[np.float64]
    components: int
    frobenius_sq: float
    head_sq: float
    tail_sq: float
    head_sq_interval: tuple[float, float]
    tail_sq_interval: tuple[float, float]
    value_error: float


def spectrum(
    graph: AugmentationGraph, k: int, seed: int = 0, engine: Engine = HOST, tell: Told | None = None
) -> Spectrum:
    """The k largest eigenvalues of A with multiplicity, and the sums over head and tail.

        >>> from maskgraph.graphs.augmentation import augmentation_graph
        >>> from maskgraph.graphs.synthetic import joint_graph
        >>> spectrum(augmentation_graph(joint_graph([[3, 1], [1, 3]])), 2).values.round(12).tolist()
        [1.0, 0.25]

    Where k is at most the number of components the answer needs no solve: all k are 1, and the tail is ‖A‖_F² − k.

    Args:
        graph: the augmentation graph, either hop.
        k: 1 <= k <= N1.
        seed: of the iterative solver's start vectors and of the certificate; unused on small components.
        engine: where large components are solved.
        tell: told, before any solve, how many components there are and for which k the answer is trivial.

    Raises:
        InputError: no augmentation graph, k out of range or no integer, a seed out of range, no engine, or a basis
            beyond memory.
        ConvergenceError: an iterative solve did not converge; the message has the interval that it reached.
    """
    check_augmentation_graph(graph)
    check_seed(seed)
    if isinstance(engine, str):
        raise InputError(
            f"engine {engine!r}; expected an Engine, such as TorchEngine({engine!r}) of "
            "maskgraph.theory.solver.torch_engine"
        )
    vertices = graph.B.shape[0]
    check_dim(k, vertices)
    split = components(graph.B)
    if tell:
        tell(told(split, k))
    factor = Factor(graph.B)
    squares, frobenius_error = row_squares(factor)
    if split.count > 1:
        # A transpose of the whole serves no component then.
        factor = Factor(graph.B)
    frobenius = math.fsum(squares)
    ones, one_residuals = _known(graph, split, k)
    count = ones.shape[1]
    head = NOTHING
    if k > count:
        head = Search(graph, factor, split, squares, k - count, np.random.default_rng(seed), engine).run()
    found = [(float(value), part, i) for part in head.parts for i, value in enumerate(part.values)]
    # Where k cuts a repeated eigenvalue any choice is right; this one does not hang on rounding.
    found = sorted(found, key=lambda entry: (-round(entry[0], 12), entry[1].rows[0], entry[2]))[: k - count]
    values, residuals = np.zeros(k), np.zeros(k)
    values[:count], residuals[:count] = 1, one_residuals
    for j, (value, part, i) in enumerate(found, start=count):
        values[j], residuals[j] = min(max(value, 0.0), 1.0), part.residuals[i]
    values[count:] = np.sort(values[count:])[::-1]
    # Where fewer are found than wanted all are, and the others are 0, as they stand here.
    low, high = values.copy(), values.copy()
    low[count : count + len(head.lower)] = np.minimum(head.lower, 1)
    bounds = np.minimum(np.maximum(head.upper, head.rest), 1)
    high[count : count + len(bounds)] = bounds
    head_sq = math.fsum(values**2)
    made = entry_rounding(graph, int(split.longest.max()))
    low[count:], high[count:] = of_rounded_entries(low[count:], high[count:], made)
    frobenius_error += 2 * made * frobenius
    tail_sq = frobenius - head_sq
    head_interval = (min(math.fsum(low**2), head_sq), max(math.fsum(high**2), head_sq))
    if k > count:
        # The sums of squares are rounded to the nearest, the ends outwards.
        head_interval = math.nextafter(head_interval[0], 0), math.nextafter(head_interval[1], math.inf)
    return Spectrum(
        values=values,
        vectors=sp.csc_array(sp.hstack([ones, _columns(found, vertices, k - count)], format="csc")),
        residuals=residuals,
        components=split.count,
        frobenius_sq=frobenius,
        head_sq=head_sq,
        tail_sq=tail_sq if tail_sq > frobenius_error else 0.0,
        head_sq_interval=head_interval,
        tail_sq_interval=(
            max(frobenius - head_interval[1] - frobenius_error, 0.0),
            max(frobenius - head_interval[0], 0.0) + frobenius_error,
        ),
        value_error=float(np.maximum(high - values, 0).max()),
    )


def told(split: Components, k: int) -> str:
    """What is known of the head before any solve, in one sentence."""
    if split.count == 1:
        known = "1 component: the first eigenvalue is 1, and for k = 1 the tail is trivially |A|_F^2 - 1"
    else:
        known = f"{split.count} components: the first {split.count} eigenvalues are 1, and for k up to {split.count} "
        known += "the tail is trivially |A|_F^2 - k"
    left = k - split.count
    return f"{known}; {f'{left} more' if left > 0 else 'none'} to solve for"


def _known(graph: AugmentationGraph, split: Components, k: int) -> tuple[sp.csc_array, Floats]:
    """Eigenvectors √p1 of the min(k, count) heaviest components, (N1, ·), and their measured residuals.

    Of those that weigh the same up to rounding, as masks do, the first.
    """
    root = np.sqrt(graph.p1)
    off = graph.B @ (graph.B.T @ root)
    off -= root
    off *= off
    mass, off = np.bincount(split.of_row, graph.p1), np.bincount(split.of_row, off)
    heaviest = np.argsort(-mass.round(12), kind="stable")[: min(k, split.count)]
    place = np.full(split.count, -1, split.of_row.dtype)
    place[heaviest] = np.arange(len(heaviest))
    rows = np.flatnonzero(place[split.of_row] >= 0)
    entries = root[rows] / np.sqrt(mass[split.of_row[rows]])
    shape = (len(root), len(heaviest))
    vectors = sp.csc_array((entries, (rows, place[split.of_row[rows]])), shape=shape)
    return vectors, np.sqrt(off[heaviest] / mass[heaviest])


def _columns(found: list[tuple[float, Part, int]], vertices: int, count: int) -> sp.csc_array:
    indptr = np.zeros(count + 1, np.int64)
    indptr[1 : len(found) + 1] = [len(part.rows) for _, part, _ in found]
    rows = [part.rows for _, part, _ in found]
    data = [part.vectors[:, i] for _, part, i in found]
    if not found:
        return sp.csc_array((vertices, count))
    return sp.csc_array((np.concatenate(data), np.concatenate(rows), np.cumsum(indptr)), shape=(vertices, count))
