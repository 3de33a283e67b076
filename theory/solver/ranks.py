"""The processes that share an iterative solve, each with some rows of every tall array.

All of them run the solver on the same small numbers: sums over rows are made over all processes, and what a
decomposition or a comparison of small numbers gave the first process is what all go on with, so that none can take
another turn for the last bit of its own arithmetic.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory.solver.eigenpairs import Eigenpairs
from maskgraph.theory.solver.goal import Goal

if TYPE_CHECKING:
    from maskgraph.theory.solver.pair import Pair

Floats = NDArray[np.float64]

Question: TypeAlias = "tuple[Pair, Floats, Goal]"
"""A factor, its known eigenvector, and what is asked of the others."""

Solve: TypeAlias = "Callable[[Pair, Floats, Goal], Eigenpairs]"
"""What answers it: `solver.krylov.top_eigenpairs` on some engine."""

T = TypeVar("T")


class Ranks(Protocol):
    """What a solver asks of the processes that share it.

    Attributes:
        count: how many there are.
    """

    count: int

    def share(self, pair: Pair, known: Floats, goal: Goal) -> tuple[Pair, Floats]:
        """This process's rows of a factor and of a vector; the first process hands them out and starts the others."""
        ...

    def deal(self, questions: list[Question], solve: Solve) -> list[Eigenpairs]:
        """The answers to questions that one process can answer alone, each by another where there are several.

        `solve` is this process's way to answer; the others have their own.
        """
        ...

    def eigh(self, stacks: list[Floats]) -> list[tuple[Floats, Floats]]:
        """Eigenvalues (·, s) and eigenvectors (·, s, s) of stacks (·, s, s) of symmetric matrices."""
        ...

    def rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """This process's rows of an array that all of them have."""
        ...

    def whole(self, values: Floats) -> Floats:
        """All rows of a tall array, on the first process."""
        ...

    def sum(self, values: T) -> T:
        """The sum over all processes, in place; the same bits on all."""
        ...

    def agree(self, values: Floats) -> Floats:
        """The first process's values, in place."""
        ...


class Alone:
    """One process that has all rows."""

    count = 1

    def share(self, pair: Pair, known: Floats, goal: Goal) -> tuple[Pair, Floats]:
        """All of them."""
        return pair, known

    def deal(self, questions: list[Question], solve: Solve) -> list[Eigenpairs]:
        """One after another."""
        return [solve(*question) for question in questions]

    def eigh(self, stacks: list[Floats]) -> list[tuple[Floats, Floats]]:
        """One after another."""
        return [eigh(stack) for stack in stacks]

    def rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """All of them."""
        return values

    def whole(self, values: Floats) -> Floats:
        """What it has."""
        return values

    def sum(self, values: T) -> T:
        """Its own."""
        return values

    def agree(self, values: Floats) -> Floats:
        """Its own."""
        return values


ALONE = Alone()
"""No other process."""


def eigh(stack: Floats) -> tuple[Floats, Floats]:
    """Numpy's."""
    values, vectors = np.linalg.eigh(stack)
    return values, vectors


def processes() -> int:
    """How many `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This one's number among them."""
    return int(os.environ.get("RANK", "0"))


def local_processes() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_rank() -> int:
    """This one's number among those."""
    return int(os.environ.get("LOCAL_RANK", "0"))
