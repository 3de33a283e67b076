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
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.memory import check_memory
from maskgraph.theory.certificate import EPS, FAILURE, rounding
from maskgraph.theory.components import Components, components
from maskgraph.theory.engine import HOST, Engine, Floats

if TYPE_CHECKING:
    from maskgraph.theory.products import Pair

DENSE_SIDE = 400
"""Components whose smaller side has at most this many vertices are solved densely, all their eigenvalues."""

DENSE_ENTRIES = 2**24
"""Most entries of the dense matrices that are solved in one go, 128 MB."""

SMALL_WORK = 2**22
"""Products of a Gram matrix up to which scipy multiplies it out, sooner than the compiled loops are loaded."""

LEAST = 256
"""Vertices beyond four times the eigenvalues wanted that a Krylov space needs to have room."""

WIDTH = 2e-9
"""What an iterative solve leaves unsure of the squares of its eigenvalues, relative to the squares of all others."""

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
        tail_sq: Σ_{i>k} λ_i² = ‖A‖_F² − head.
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


@dataclass(frozen=True)
class Part:
    """Eigenpairs of one component beside its eigenvalue 1.

    Attributes:
        rows: (r,) int64, its vertices x1.
        values: (p,) float64, descending.
        vectors: (r, p) float64.
        residuals: (p,) float64.
    """

    rows: NDArray[np.int64]
    values: Floats
    vectors: Floats
    residuals: Floats


def spectrum(
    graph: AugmentationGraph, k: int, seed: int = 0, engine: Engine = HOST, tell: Told | None = None
) -> Spectrum:
    """The k largest eigenvalues of A with multiplicity, and the sums over head and tail.

    Where k is at most the number of components the answer needs no solve: all k are 1, and the tail is ‖A‖_F² − k.

    Args:
        graph: the augmentation graph, either hop.
        k: 1 <= k <= N1.
        seed: of the iterative solver's start vectors and of the certificate; unused on small components.
        engine: where large components are solved.
        tell: told, before any solve, how many components there are and for which k the answer is trivial.

    Raises:
        InputError: k out of range, or a basis beyond memory.
        ConvergenceError: an iterative solve did not converge; the message has the interval that it reached.
    """
    vertices = graph.B.shape[0]
    if not 1 <= k <= vertices:
        raise InputError(f"dimension {k} for a graph of {vertices} views; expected 1 to {vertices} (see --dim)")
    split = components(graph.B)
    if tell:
        tell(told(split, k))
    factor = Factor(graph.B)
    squares, frobenius_error = row_squares(factor)
    frobenius = math.fsum(squares)
    state = _search(graph, factor, split, squares, k, np.random.default_rng(seed), engine)
    ones, one_residuals = _known(graph, split, k)
    count = ones.shape[1]
    found = [(float(value), part, i) for part in state.parts for i, value in enumerate(part.values)]
    # Where k cuts a repeated eigenvalue any choice is right; this one does not hang on rounding.
    found = sorted(found, key=lambda entry: (-round(entry[0], 12), entry[1].rows[0], entry[2]))[: k - count]
    values, residuals = np.zeros(k), np.zeros(k)
    values[:count], residuals[:count] = 1, one_residuals
    for j, (value, part, i) in enumerate(found, start=count):
        values[j], residuals[j] = min(max(value, 0.0), 1.0), part.residuals[i]
    values[count:] = np.sort(values[count:])[::-1]
    low, high = values.copy(), values.copy()
    low[count:], high[count:] = 0, state.rest
    low[count : count + len(state.lower)] = np.minimum(state.lower, 1)
    bounds = np.minimum(np.maximum(state.upper, state.rest), 1)
    high[count : count + len(bounds)] = bounds
    head = math.fsum(values**2)
    tail = max(frobenius - head, 0.0)
    head_interval = (min(math.fsum(low**2), head), max(math.fsum(high**2), head))
    return Spectrum(
        values=values,
        vectors=sp.csc_array(sp.hstack([ones, _columns(found, vertices, k - count)], format="csc")),
        residuals=residuals,
        components=split.count,
        frobenius_sq=frobenius,
        head_sq=head,
        tail_sq=tail,
        head_sq_interval=head_interval,
        tail_sq_interval=(
            max(frobenius - head_interval[1] - frobenius_error, 0.0),
            max(frobenius - head_interval[0], 0.0) + frobenius_error,
        ),
        value_error=float(np.maximum(high - values, 0).max()),
    )


def told(split: Components, k: int) -> str:
    """What is known of the head before any solve, in one sentence."""
    count = split.count
    known = f"{count} component{'s' if count > 1 else ''}: the first {count if count > 1 else 'eigenvalue'}"
    known += " eigenvalues are 1" if count > 1 else " is 1"
    if k <= count:
        return f"{known}, the tail is trivially |A|_F^2 - {k}"
    return f"{known}; {k - count} more to solve for"


def frobenius_norm_sq(B: sp.csr_array) -> tuple[float, float]:
    """‖B Bᵀ‖_F² and a bound on its rounding error, on the side that costs less, in bounded memory.

    ‖BBᵀ‖_F = ‖BᵀB‖_F (identity I5), so the side with the smaller sum of squared degrees of the other is multiplied out.
    """
    squares, error = row_squares(Factor(B))
    return math.fsum(squares), error


def frobenius_through_edges(B: sp.csr_array) -> float:
    """‖A‖_F² = tr Bᵀ(BBᵀ)B = Σ over the edges (x1, x2) of B·((BBᵀ)B), the other form of identity I5.

    By scipy, and so for graphs whose A fits in memory.
    """
    return float(((B @ B.T) @ B).multiply(B).sum())


@dataclass(frozen=True)
class Factor:
    """B, and once something large is done with it, B with its transpose ready for compiled products."""

    B: sp.csr_array

    @cached_property
    def pair(self) -> Pair:
        """B and Bᵀ."""
        from maskgraph.theory.products import Pair

        return Pair(self.B)


def row_squares(factor: Factor) -> tuple[Floats, float]:
    """Shares of ‖BBᵀ‖_F² that sum to ‖A_c‖_F² over the rows of a component, and a bound on the sum's rounding error.

    Where the columns are the cheaper side each one's share is given to the row of its first entry.
    """
    B = factor.B
    degrees = np.bincount(B.indices), np.diff(B.indptr)
    work = [int((degree.astype(np.int64) ** 2).sum()) for degree in degrees]
    by_row = work[0] <= work[1]
    if min(work) <= SMALL_WORK:
        side = B if by_row else sp.csr_array(B.T)
        shares = np.asarray((side @ side.T).power(2).sum(axis=1), dtype=np.float64).ravel()
    else:
        from maskgraph.theory.products import square_shares

        pair = factor.pair if by_row else factor.pair.swapped
        side = pair.S
        shares = square_shares(pair)
    # Entries of the product are sums of at most max-degree non-negative terms, each good to a few ulp; a share sums at
    # most as many squares as there are rows, none of them negative. The shares are summed exactly (`math.fsum`).
    error = float(shares.sum()) * EPS * (2 * float(np.diff(side.indptr).max()) + side.shape[0] + 16)
    if not by_row:
        shares = np.bincount(side.indices[side.indptr[:-1]], shares, minlength=B.shape[0]).astype(np.float64)
    return shares, error


def _known(graph: AugmentationGraph, split: Components, k: int) -> tuple[sp.csc_array, Floats]:
    """Eigenvectors √p1 of the min(k, count) heaviest components, (N1, ·), and their measured residuals."""
    mass = np.bincount(split.of_row, graph.p1)
    heaviest = np.argsort(-mass, kind="stable")[: min(k, split.count)]
    place = np.full(split.count, -1)
    place[heaviest] = np.arange(len(heaviest))
    root = np.sqrt(graph.p1)
    off = np.bincount(split.of_row, (graph.B @ (graph.B.T @ root) - root) ** 2)
    rows = np.flatnonzero(place[split.of_row] >= 0)
    entries = root[rows] / np.sqrt(mass[split.of_row[rows]])
    shape = (len(root), len(heaviest))
    return sp.csc_array((entries, (rows, place[split.of_row[rows]])), shape=shape), np.sqrt(off / mass)[heaviest]


def _columns(found: list[tuple[float, Part, int]], vertices: int, count: int) -> sp.csc_array:
    indptr = np.zeros(count + 1, np.int64)
    indptr[1 : len(found) + 1] = [len(part.rows) for _, part, _ in found]
    rows = [part.rows for _, part, _ in found]
    data = [part.vectors[:, i] for _, part, i in found]
    if not found:
        return sp.csc_array((vertices, count))
    return sp.csc_array((np.concatenate(data), np.concatenate(rows), np.cumsum(indptr)), shape=(vertices, count))


@dataclass
class _Search:
    """The state of the search over components for the `want` largest eigenvalues beside the ones.

    Attributes:
        want: k − count: as every component brings one eigenvalue 1, none can bring more others.
        lower, upper: bounds of every eigenvalue of the components visited.
        parts: the eigenpairs among them that can be of the `want` largest.
        rest: a bound of every eigenvalue, beside the ones, of the components not visited.
    """

    want: int
    lower: Floats
    upper: Floats
    parts: list[Part]
    rest: float

    def cutoff(self) -> float:
        """The least value that can still be of the largest."""
        if len(self.lower) < self.want:
            return -1.0
        return float(np.partition(self.lower, -self.want)[-self.want])

    def add(self, lower: Floats, upper: Floats) -> None:
        """Eigenvalues of more components; only the `want` largest bounds of each kind matter."""
        self.lower = np.sort(np.concatenate([self.lower, lower]))[::-1][: self.want]
        self.upper = np.sort(np.concatenate([self.upper, upper]))[::-1][: self.want]


def _search(
    graph: AugmentationGraph,
    factor: Factor,
    split: Components,
    squares: Floats,
    k: int,
    rng: np.random.Generator,
    engine: Engine,
) -> _Search:
    """Visit components in the order of what their eigenvalues beside the 1 can at most be, until none can matter."""
    want = k - split.count
    state = _Search(want, np.empty(0), np.empty(0), [], 0.0)
    if want <= 0:
        return state
    of_component = np.bincount(split.of_row, squares, minlength=split.count)
    # λ_2 is at most √(‖A_c‖_F² − 1) and tr A_c − 1; the room is for the rounding of either.
    room = 64 * EPS * (of_component + split.sides.sum(axis=1))
    most = np.minimum(np.sqrt(np.maximum(of_component - 1, 0) + room), np.maximum(split.slack, 0) + room)
    small = split.sides.min(axis=1)
    order = np.argsort(-most, kind="stable")
    order = order[small[order] > 1]
    dense = small <= max(DENSE_SIDE, 4 * want + LEAST)
    iterative = int((~dense).sum())
    at = 0
    while at < len(order):
        state.rest = float(most[order[at]])
        if len(state.lower) == want and state.rest <= state.cutoff():
            return state
        if not dense[order[at]]:
            _visit_large(
                graph, factor, split, int(order[at]), float(of_component[order[at]]), iterative, state, rng, engine
            )
            at += 1
            continue
        wave: list[int] = []
        entries = 0
        while at < len(order) and dense[order[at]] and (not wave or entries + small[order[at]] ** 2 <= DENSE_ENTRIES):
            wave.append(int(order[at]))
            entries += int(small[order[at]]) ** 2
            at += 1
        _visit_small(graph, split, np.array(wave), state)
    state.rest = 0.0
    return state


def _visit_large(
    graph: AugmentationGraph,
    factor: Factor,
    split: Components,
    component: int,
    frobenius: float,
    iterative: int,
    state: _Search,
    rng: np.random.Generator,
    engine: Engine,
) -> None:
    from maskgraph.theory.krylov import top_eigenpairs
    from maskgraph.theory.products import Pair, transposed_times

    block = next(iter(split.blocks(np.array([component]))))
    by_row = block.B.shape[0] <= block.B.shape[1]
    whole = factor.pair if split.count == 1 else Pair(block.B)
    pair = whole if by_row else whole.swapped
    size = int(pair.S.shape[0])
    check_memory(
        4.0 * size * (10 * state.want + 300) + 8.0 * size * 12 * (state.want + 8) + 40.0 * pair.S.nnz,
        f"a basis for the {state.want} largest eigenvalues of a component of {size} views",
        "lower --dim, or make the views coarser (--codes, --view) or fewer (--images, --max-masks)",
    )
    top = np.sqrt(graph.p1[block.rows])
    known = top if by_row else np.asarray(block.B.T @ top)
    found = top_eigenpairs(
        pair, known / np.linalg.norm(known), state.want, frobenius, WIDTH, FAILURE / iterative, rng, engine
    )
    vectors, off = found.vectors, found.images - found.vectors * found.values
    if not by_row:
        vectors, off = (transposed_times(pair, x) / np.sqrt(np.maximum(found.values, EPS)) for x in (vectors, off))
        vectors = _orthonormal_beside(top / np.linalg.norm(top), vectors)
    bracket = found.bracket
    state.add(bracket.lower[: state.want], bracket.upper[: state.want])
    state.parts.append(Part(block.rows, found.values, vectors, np.linalg.norm(off, axis=0)))


def _orthonormal_beside(top: Floats, vectors: Floats) -> Floats:
    """The vectors made orthonormal, and orthogonal to `top`, the first ones least changed."""
    Q, R = np.linalg.qr(np.column_stack([top, vectors]))
    return np.asarray((Q * np.where(np.diag(R) < 0, -1, 1))[:, 1:])


def _visit_small(graph: AugmentationGraph, split: Components, wave: NDArray[np.int64], state: _Search) -> None:
    """Solve small components densely, those of one size together, each on its smaller side."""
    by_row = split.sides[wave, 0] <= split.sides[wave, 1]
    solved: list[tuple[int, bool, Floats, Floats]] = []
    for rows_are_small in (True, False):
        chosen = wave[by_row == rows_are_small]
        if len(chosen):
            solved += _solve_small(graph, split, chosen, rows_are_small)
    values = [found for _, _, found, _ in solved]
    error = [np.full(len(found), rounding(len(found) + 1)) for found in values]
    state.add(
        np.maximum(np.concatenate(values) - np.concatenate(error), 0), np.concatenate(values) + np.concatenate(error)
    )
    least = state.cutoff()
    kept = [entry for entry in solved if entry[2].size and entry[2][0] >= least - rounding(len(entry[2]) + 1)]
    blocks = split.blocks(np.array([component for component, *_ in kept], dtype=np.int64))
    for (_, rows_are_small, found, vectors), block in zip(kept, blocks, strict=True):
        few = slice(0, min(int((found >= least - rounding(len(found) + 1)).sum()), state.want))
        found, vectors = found[few], vectors[:, few]
        if not rows_are_small:
            top = np.sqrt(graph.p1[block.rows])
            vectors = _from_columns(block.B, top / np.linalg.norm(top), found, vectors)
        off = block.B @ (block.B.T @ vectors) - vectors * found
        state.parts.append(Part(block.rows, found, vectors, np.linalg.norm(off, axis=0)))


def _solve_small(
    graph: AugmentationGraph, split: Components, chosen: NDArray[np.int64], rows_are_small: bool
) -> list[tuple[int, bool, Floats, Floats]]:
    """(component, side, eigenvalues beside its 1, their vectors on that side), eigenvalues descending."""
    B, mass, of_vertex = graph.B, graph.p1, split.of_row
    if not rows_are_small:
        B, mass, of_vertex = sp.csr_array(B.T), graph.shared_mass, split.of_column
    wanted = np.zeros(split.count, dtype=bool)
    wanted[chosen] = True
    vertices = np.flatnonzero(wanted[of_vertex])
    vertices = vertices[np.argsort(of_vertex[vertices], kind="stable")]
    own = of_vertex[vertices]
    first = np.searchsorted(own, own)
    local = np.arange(len(own)) - first
    part = sp.csr_array(B[vertices])
    gram = sp.coo_array(part @ part.T)
    size = np.bincount(own, minlength=split.count)
    results = []
    for side in np.unique(size[chosen]):
        group = np.sort(chosen[size[chosen] == side])
        number = np.full(split.count, -1)
        number[group] = np.arange(len(group))
        stack = np.zeros((len(group), side, side))
        mine = number[own[gram.row]] >= 0
        row, column = gram.row[mine], gram.col[mine]
        stack[number[own[row]], local[row], local[column]] = gram.data[mine]
        top = np.zeros((len(group), side))
        of_group = number[own] >= 0
        top[number[own[of_group]], local[of_group]] = np.sqrt(mass[vertices[of_group]])
        top /= np.linalg.norm(top, axis=1, keepdims=True)
        # The known eigenpair is moved from 1 to −1, away from all others: near 1 the solver would mix it with them.
        stack -= 2 * top[:, :, None] * top[:, None, :]
        values, vectors = np.linalg.eigh(stack)
        results += [
            (int(c), rows_are_small, values[i, :0:-1], vectors[i, :, :0:-1]) for i, c in enumerate(group.tolist())
        ]
    return results


def _from_columns(B: sp.csr_array, top: Floats, values: Floats, vectors: Floats) -> Floats:
    """Orthonormal eigenvectors of BBᵀ from those of BᵀB; zero columns where the eigenvalue is 0 up to rounding.

    B v/σ alone loses orthogonality as rounding over σ²: hence the QR, `top` (r,) and the largest values first.
    """
    found = values > rounding(B.shape[1])
    result = np.zeros((B.shape[0], len(values)))
    result[:, found] = _orthonormal_beside(top, np.asarray(B @ vectors[:, found]))
    return result
