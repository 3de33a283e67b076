"""The engine of this machine: numpy's arrays and the compiled products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.machine import cores
from maskgraph.theory.solver.engine import PANEL, ROWS, Floats, Gram
from maskgraph.theory.solver.ranks import ALONE, Ranks
from maskgraph.theory.solver.team import Team, team

if TYPE_CHECKING:
    from maskgraph.theory.solver.pair import Pair


class Host:
    """Numpy arrays and the compiled products."""

    def __init__(self, threads: int | None = None, ranks: Ranks = ALONE) -> None:
        self._threads, self.ranks = threads, ranks

    def alone(self) -> Host:
        """The same without other processes."""
        return Host(self._threads)

    def gram(self, pair: Pair, dtype: type) -> Gram:
        """The Gram operator of a factor in float32 or float64."""
        # Only large components need it, and it takes half a second to load.
        from maskgraph.theory.solver import products

        return products.Gram(pair, dtype, self._threads, self.ranks)

    def array(self, values: NDArray[Any], dtype: type) -> NDArray[Any]:
        """A copy of a numpy array in this dtype."""
        return np.array(values, dtype=dtype)

    def empty(self, rows: int, columns: int, dtype: type) -> NDArray[Any]:
        """An uninitialised array."""
        return np.empty((rows, columns), dtype)

    def cast(self, values: NDArray[Any], dtype: type) -> NDArray[Any]:
        """The same values in this dtype."""
        return values.astype(dtype, copy=False)

    def single(self, values: NDArray[Any]) -> bool:
        """Whether an array is float32."""
        return values.dtype == np.float32

    def host(self, values: NDArray[Any]) -> Floats:
        """A float64 numpy array of the same values."""
        return np.asarray(values, dtype=np.float64)

    def inner(self, x: NDArray[Any], y: NDArray[Any]) -> Floats:
        """XᵀY of two tall arrays, of the rows that are here; sums of `ROWS` products, added up in float64."""
        from maskgraph.theory.solver import tall

        if tall.fits(x, y):
            return tall.inner(x, y, ROWS, self._team())
        total = np.zeros((x.shape[1], y.shape[1]))
        for low in range(0, len(x), ROWS):
            total += x[low : low + ROWS].T @ y[low : low + ROWS]
        return total

    def subtract(self, y: NDArray[Any], x: NDArray[Any], coefficients: Floats) -> None:
        """Y −= X·coefficients, in place."""
        from maskgraph.theory.solver import tall

        own = coefficients.astype(y.dtype, copy=False)
        if tall.fits(x, y):
            tall.subtract(x, y, own, self._team())
            return
        for low in range(0, len(y), PANEL):
            y[low : low + PANEL] -= x[low : low + PANEL] @ own

    def chebyshev_step(
        self, image: NDArray[Any], current: NDArray[Any], previous: NDArray[Any], edge: float
    ) -> NDArray[Any]:
        """T_{j+1} x = 2(2C/edge − 1) T_j x − T_{j−1} x from C T_j x, in the memory of that."""
        from maskgraph.theory.solver import tall

        return tall.chebyshev_step(image, current, previous, edge, self._team())

    def _team(self) -> Team:
        return team(self._threads or cores())


HOST = Host()
"""This machine, all its cores."""
