"""Where the blocks of an iterative solve live and how a sparse Gram matrix is applied to them.

The solver (`solver.krylov`) asks an engine for arrays and otherwise uses only what numpy's and torch's arrays share:
`@`, `.T`, slices and in-place subtraction. What is small (at most a few hundred rows) is numpy on the host. Where
several processes share a solve (`solver.ranks`) a tall array is this process's rows of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from maskgraph.theory.solver.ranks import Ranks

if TYPE_CHECKING:
    from maskgraph.theory.solver.pair import Pair

Array = Any
"""A dense array of the engine's kind."""

Apply = Callable[[Array], Array]
"""A linear map on blocks of columns."""

Floats = NDArray[np.float64]

ROWS = 256
"""Rows whose products are summed before float64 takes over, so that a sum's error is that of 256 + N/256 terms."""

PANEL = 2**12
"""Rows of a block that are worked on together, so that they stay in cache."""


class Gram(Protocol):
    """x ↦ S Sᵀ x.

    Attributes:
        size: the number of rows of S, those of all processes.
        entries: the number of entries of S, likewise.
        columns: how many it was applied to so far, with those that fill up a line.
        error: a bound on ‖computed − exact‖ for a column of norm 1.
    """

    size: int
    entries: int
    columns: int
    error: float

    def __call__(self, x: Array) -> Array:
        """S Sᵀ x for a block x (size, b)."""
        ...

    def dense(self) -> Floats:
        """(size, size) A, multiplied out, where this process has all rows."""
        ...

    def step(self, x: Array) -> Array:
        """The same for a three-term recurrence: a result lasts until the third step after it."""
        ...


class Engine(Protocol):
    """Makes arrays and Gram operators.

    Attributes:
        ranks: the processes that share a solve.
    """

    ranks: Ranks

    def alone(self) -> Engine:
        """The same without other processes."""
        ...

    def gram(self, pair: Pair, dtype: type) -> Gram:
        """The Gram operator of a factor in float32 or float64."""
        ...

    def array(self, values: NDArray[Any], dtype: type) -> Array:
        """A copy of a numpy array in this dtype."""
        ...

    def empty(self, rows: int, columns: int, dtype: type) -> Array:
        """An uninitialised array."""
        ...

    def cast(self, values: Array, dtype: type) -> Array:
        """The same values in this dtype."""
        ...

    def single(self, values: Array) -> bool:
        """Whether an array is float32."""
        ...

    def host(self, values: Array) -> Floats:
        """A float64 numpy array of the same values."""
        ...

    def inner(self, x: Array, y: Array) -> Floats:
        """XᵀY of two tall arrays, of the rows that are here; sums of `ROWS` products, added up in float64."""
        ...

    def subtract(self, y: Array, x: Array, coefficients: Floats) -> None:
        """Y −= X·coefficients, in place."""
        ...

    def chebyshev_step(self, image: Array, current: Array, previous: Array, edge: float) -> Array:
        """T_{j+1} x = 2(2C/edge − 1) T_j x − T_{j−1} x from C T_j x, in the memory of that."""
        ...
