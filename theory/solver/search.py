"""The largest eigenvalues beside the ones, over all components, with no more asked of each than it can bring.

What the eigenvalues of a component beside its 1 can at most be is known before any solve, and after a solve for some of
them what the others can be. The component with the most to give is asked next, a large one for twice as many as before,
until what is not known can no longer matter.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph
from maskgraph.graphs.memory import available_bytes, check_memory
from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.certificate import FAILURE
from maskgraph.theory.solver.components import Components
from maskgraph.theory.solver.dense import Part, eigenpairs, orthonormal_beside, solve_densely
from maskgraph.theory.solver.eigenpairs import Eigenpairs
from maskgraph.theory.solver.engine import Engine, Floats
from maskgraph.theory.solver.frobenius import Factor
from maskgraph.theory.solver.goal import DENSELY, SHARED, Goal, most_columns
from maskgraph.theory.solver.ranks import local_processes

if TYPE_CHECKING:
    from maskgraph.theory.solver.pair import Pair

DENSE_SIDE = 400
"""Components whose smaller side has at most this many vertices are solved densely, all their eigenvalues."""

DENSE_ENTRIES = 2**24
"""Most entries of the dense matrices that are solved in one go, 128 MB."""

ROOM = 256
"""Vertices beyond four times the eigenvalues asked for that a Krylov space needs."""

FIRST = 8
"""Eigenvalues that a large component is asked for at first, at least."""

WIDTH = 2e-9
"""What iterative solves leave unsure of the squares of the eigenvalues, relative to the squares of all others."""

MEND = "lower --dim, or make the views coarser (--codes, --view) or fewer (--images, --max-masks)"


@dataclass(frozen=True)
class Head:
    """The `want` largest eigenvalues beside the ones.

    Attributes:
        lower: float64, descending: the i-th largest is at least the i-th of them, and at least 0 beyond.
        upper: float64, descending: and at most the greater of the i-th of these and `rest`.
        parts: the eigenpairs that can be among them.
        rest: bounds every eigenvalue that is not among those found.
    """

    lower: Floats
    upper: Floats
    parts: list[Part]
    rest: float


@dataclass(frozen=True)
class _Large:
    """What is known of a large component: bounds of its `asked` largest eigenvalues beside the 1, and of all others."""

    asked: int
    lower: Floats
    upper: Floats
    rest: float
    part: Part


@dataclass(frozen=True)
class _Question:
    """A solve of a large component: what `solver.krylov` is given, and what its answer has to be put back into.

    Attributes:
        component: its number.
        rows: its vertices x1.
        by_row: whether the vectors are on them, or on its columns.
        top: (r,) its eigenvector of eigenvalue 1, on its rows.
        pair: its factor, the smaller side first.
        known: the same eigenvector on that side.
        goal: how many and how well.
    """

    component: int
    rows: NDArray[np.int64]
    by_row: bool
    top: Floats
    pair: Pair
    known: Floats
    goal: Goal


class Search:
    """A search over the components of a graph."""

    def __init__(
        self,
        graph: AugmentationGraph,
        factor: Factor,
        split: Components,
        squares: Floats,
        want: int,
        rng: np.random.Generator,
        engine: Engine,
    ) -> None:
        """Prepare.

        Args:
            graph: the augmentation graph.
            factor: that of it.
            split: its components.
            squares: (N1,) shares of ‖A‖_F².
            want: how many eigenvalues beside the ones.
            rng: of iterative solves.
            engine: where large components are solved.
        """
        self._graph, self._factor, self._split, self._rng, self._engine = graph, factor, split, rng, engine
        self._want = want
        self._entries = np.bincount(split.of_row, np.diff(graph.B.indptr), minlength=split.count)
        self._squares = np.bincount(split.of_row, squares, minlength=split.count)
        # λ_2 is at most √(‖A_c‖_F² − 1) and tr A_c − 1; the room is for the rounding of either.
        room = 64 * EPS * (self._squares + split.sides.sum(axis=1))
        self._most = np.minimum(np.sqrt(np.maximum(self._squares - 1, 0) + room), np.maximum(split.slack, 0) + room)
        self._side = split.sides.min(axis=1)
        order = np.argsort(-self._most, kind="stable")
        self._order = order[self._side[order] > 1]
        self._lower = self._upper = np.empty(0)
        self._parts: list[Part] = []
        self._large: dict[int, _Large] = {}
        # A component that cannot be told to matter less than others brings about its share.
        large = max(int((self._side > DENSE_SIDE).sum()), 1)
        self._first = min(max(FIRST, math.ceil(2 * want / large)), want)
        rounds = 1 + math.ceil(math.log2(want / self._first))
        self._failure = FAILURE / (large * rounds)

    def run(self) -> Head:
        """Visit components until none can matter.

        Raises:
            InputError: a basis beyond memory.
            ConvergenceError: an iterative solve did not converge.
        """
        at = 0
        while True:
            new = float(self._most[self._order[at]]) if at < len(self._order) else 0.0
            rest = max((one.rest for one in self._large.values()), default=0.0)
            lower, upper = self._bounds()
            if self._enough(lower, upper, max(new, rest)):
                parts = self._parts + [one.part for one in self._large.values()]
                return Head(lower, upper, parts, max(new, rest))
            # What cannot exceed the bounds of those found changes nothing.
            least = float(upper[-1]) if len(upper) == self._want else 0.0
            if new < rest:
                jobs = self._again(max(new, least))
            else:
                wave = self._wave(at, least)
                at += len(wave)
                if self._fits_dense(wave[0], self._first):
                    self._visit_small(wave)
                    continue
                jobs = [(component, self._first) for component in wave]
            self._visit(jobs)

    def _again(self, least: float) -> list[tuple[int, int]]:
        """The component that hides most, to be asked for more, and others that other processes can ask meanwhile."""
        known = [c for c, one in self._large.items() if one.rest > least]
        most = heapq.nlargest(self._engine.ranks.count, known, key=lambda c: self._large[c].rest)
        jobs = [(c, min(2 * self._large[c].asked, self._want)) for c in most]
        if self._is_shared(most[0]):
            return jobs[:1]
        return self._that_fit([job for job in jobs if not self._is_shared(job[0])])

    def _wave(self, at: int, least: float) -> list[int]:
        """The next component, and those after it that are solved together with it, or by other processes meanwhile."""
        following: list[int] = self._order[at:].tolist()
        wave, entries = following[:1], int(self._side[following[0]]) ** 2
        if self._fits_dense(wave[0], self._first):
            for component in following[1:]:
                entries += int(self._side[component]) ** 2
                if entries > DENSE_ENTRIES or not self._fits_dense(component, self._first):
                    break
                wave.append(component)
            return wave
        if self._is_shared(wave[0]):
            return wave
        for component in following[1 : self._engine.ranks.count]:
            alike = not self._fits_dense(component, self._first) and not self._is_shared(component)
            if not alike or self._most[component] <= least:
                break
            wave.append(component)
        return [component for component, _ in self._that_fit([(c, self._first) for c in wave])]

    def _that_fit(self, jobs: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """As many of the jobs as there is memory for at a time, at least one: the first processes are here."""
        here, room = local_processes(), available_bytes() if len(jobs) > 1 else 0
        for count in range(len(jobs), 1, -1):
            answers = sum(16.0 * self._side[component] * want for component, want in jobs[:count])
            if answers + sum(self._need(*job) for job in jobs[: min(count, here)]) <= room:
                return jobs[:count]
        return jobs[:1]

    def _need(self, component: int, want: int) -> float:
        """Bytes that a solve of one component takes."""
        size, entries = int(self._side[component]), int(self._entries[component])
        # The basis; vectors, their images and those of the round before.
        iterated = 4.0 * size * (10 * want + 300) + 24.0 * size * most_columns(want) + 40.0 * entries
        # A matrix and LAPACK's copy of it, where the solve ends so.
        return max(iterated, 20.0 * size**2 if size <= DENSELY else 0.0)

    def _is_shared(self, component: int) -> bool:
        """Whether all processes take part in the solve."""
        return not self._fits_dense(component, self._first) and self._entries[component] >= SHARED

    def _fits_dense(self, component: int, asked: int) -> bool:
        return bool(self._side[component] <= max(DENSE_SIDE, 4 * asked + ROOM))

    def _bounds(self) -> tuple[Floats, Floats]:
        """Bounds of the `want` largest of the eigenvalues that were found."""
        large = self._large.values()
        both = (self._lower, *(one.lower for one in large)), (self._upper, *(one.upper for one in large))
        lower, upper = (np.sort(np.concatenate(bounds))[::-1][: self._want] for bounds in both)
        return lower, upper

    def _enough(self, lower: Floats, upper: Floats, rest: float) -> bool:
        """Whether what is not known widens the interval by no more than a solve may."""
        if rest == 0:
            return True
        if len(lower) < self._want:
            return False
        wider = float(np.maximum(rest**2 - upper**2, 0).sum())
        others = float(self._squares.sum()) - self._split.count - float((lower**2).sum())
        return wider <= WIDTH * max(others, EPS)

    def _cutoff(self) -> float:
        """The least value that can still be of the largest."""
        lower, _ = self._bounds()
        return float(lower[-1]) if len(lower) == self._want else -1.0

    def _visit_small(self, wave: list[int]) -> None:
        # The matrices, their eigenvectors and what LAPACK works in; only a head that is most of a component gets here
        # with one that is large.
        sides = self._side[wave].astype(float)
        check_memory(
            40 * float((sides**2).sum()),
            f"a dense solve of components of up to {sides.max():.0f} views",
            MEND,
        )
        solved = solve_densely(self._graph, self._split, np.array(wave), self._engine.ranks)
        lower = (self._lower, *(np.maximum(one.values - one.error, 0) for one in solved))
        upper = (self._upper, *(one.values + one.error for one in solved))
        self._lower, self._upper = (np.sort(np.concatenate(b))[::-1][: self._want] for b in (lower, upper))
        self._parts += eigenpairs(self._graph, self._split, solved, self._want, self._cutoff())

    def _visit(self, jobs: list[tuple[int, int]]) -> None:
        """Ask large components for some of their eigenvalues."""
        asked = []
        for component, want in jobs:
            self._large.pop(component, None)
            if self._fits_dense(component, want):
                self._visit_small([component])
            else:
                asked.append(self._question(component, want))
        if asked:
            self._ask(asked)

    def _ask(self, asked: list[_Question]) -> None:
        # Only large components need these.
        from threadpoolctl import threadpool_limits

        from maskgraph.theory.solver.krylov import top_eigenpairs

        solve = partial(top_eigenpairs, engine=self._engine)
        # The loops have threads of their own, which BLAS's would keep from the cores.
        with threadpool_limits(1, user_api="blas"):
            answers = self._engine.ranks.deal([(one.pair, one.known, one.goal) for one in asked], solve)
        for question, found in zip(asked, answers, strict=True):
            self._learn(question, found)

    def _question(self, component: int, want: int) -> _Question:
        # Only large components need these, and they take half a second to load.
        from maskgraph.theory.solver.pair import Pair

        block = next(iter(self._split.blocks(np.array([component]))))
        by_row = block.B.shape[0] <= block.B.shape[1]
        whole = self._factor.pair if self._split.count == 1 else Pair(block.B)
        pair = whole if by_row else whole.swapped
        size = pair.whole.size
        check_memory(
            self._need(component, want),
            f"a basis for the {want} largest eigenvalues of a component of {size} views",
            MEND,
        )
        top = np.sqrt(self._graph.p1[block.rows])
        top /= np.linalg.norm(top)
        known = top if by_row else np.asarray(block.B.T @ top)
        seed = int(self._rng.integers(2**63))
        goal = Goal(want, float(self._squares[component]), WIDTH, self._failure, seed)
        return _Question(component, block.rows, by_row, top, pair, known / np.linalg.norm(known), goal)

    def _learn(self, question: _Question, found: Eigenpairs) -> None:
        from maskgraph.theory.solver.products import transposed_times

        want = question.goal.want
        lower, upper = found.bracket.lower, found.bracket.upper
        # No component brings more than are wanted of all.
        rest = 0.0 if want == self._want else float([*upper, found.bracket.nu][want])
        empty = Part(question.rows, *(np.empty((0,) * d) for d in (1, 2, 1)))
        known = _Large(want, lower[:want], upper[:want], rest, empty)
        self._large[question.component] = known
        few = int((upper[:want] >= self._cutoff()).sum())
        values, vectors, residuals = found.values[:few], found.vectors[:, :few], found.residuals[:few]
        if not question.by_row:
            off = found.images[:, :few] - vectors * values
            roots = np.sqrt(np.maximum(values, EPS))
            vectors, off = (transposed_times(question.pair, x) / roots for x in (vectors, off))
            vectors, residuals = orthonormal_beside(question.top, vectors), np.linalg.norm(off, axis=0)
        part = Part(question.rows, values, vectors, residuals)
        self._large[question.component] = replace(known, part=part)
