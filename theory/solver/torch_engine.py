"""The engine of torch: the iterative solver on a GPU, with the same results."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError, unknown
from maskgraph.theory.solver.engine import ROWS, Floats
from maskgraph.theory.solver.pair import Pair
from maskgraph.theory.solver.ranks import ALONE, Ranks

SLAB = 2**24
"""Sums of `ROWS` products that are in memory at once."""

KINDS: dict[Any, torch.dtype] = {np.float32: torch.float32, np.float64: torch.float64}


DEVICES = ("cpu", "cuda")
"""Kinds of device; torch knows others, which have not all that a solve needs."""


class TorchEngine:
    """Torch tensors on one device and torch's sparse products."""

    def __init__(self, device: str, ranks: Ranks = ALONE) -> None:
        """Use a device.

        Args:
            device: `cpu`, `cuda`, `cuda:1`, …
            ranks: the processes that share a solve.

        Raises:
            InputError: a device that this machine, or this torch, does not have.
        """
        if device.partition(":")[0] not in DEVICES:
            raise unknown("device", device, DEVICES)
        try:
            self._device = torch.device(device)
            torch.empty(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"device {device!r} cannot be used ({reason}); expected cpu, or cuda with a GPU"
            ) from error

        self.ranks = ranks

    def alone(self) -> TorchEngine:
        """The same without other processes."""
        return TorchEngine(str(self._device))

    def gram(self, pair: Pair, dtype: type) -> TorchGram:
        """The Gram operator of a factor in float32 or float64."""
        return TorchGram(self._sparse(pair.S, dtype), self._sparse(pair.T, dtype), pair, dtype, self.ranks)

    def array(self, values: NDArray[Any], dtype: type) -> torch.Tensor:
        """A copy of a numpy array in this dtype."""
        return torch.tensor(np.ascontiguousarray(values), dtype=KINDS[dtype], device=self._device)

    def empty(self, rows: int, columns: int, dtype: type) -> torch.Tensor:
        """An uninitialised array."""
        return torch.empty((rows, columns), dtype=KINDS[dtype], device=self._device)

    def cast(self, values: torch.Tensor, dtype: type) -> torch.Tensor:
        """The same values in this dtype."""
        return values.to(KINDS[dtype])

    def single(self, values: torch.Tensor) -> bool:
        """Whether an array is float32."""
        return values.dtype == torch.float32

    def host(self, values: torch.Tensor) -> Floats:
        """A float64 numpy array of the same values."""
        return values.detach().to("cpu", torch.float64).numpy()

    def inner(self, x: torch.Tensor, y: torch.Tensor) -> Floats:
        """XᵀY of two tall arrays, of the rows that are here; sums of `ROWS` products, added up in float64."""
        whole = len(x) // ROWS * ROWS
        total = (x[whole:].T @ y[whole:]).double()
        slab = ROWS * max(SLAB // max(total.numel(), 1), 1)
        for low in range(0, whole, slab):
            left, right = (z[low : min(low + slab, whole)].unflatten(0, (-1, ROWS)) for z in (x, y))
            total += torch.bmm(left.mT, right).double().sum(0)
        return self.host(total)

    def subtract(self, y: torch.Tensor, x: torch.Tensor, coefficients: Floats) -> None:
        """Y −= X·coefficients, in place."""
        y.sub_(x @ torch.as_tensor(coefficients, dtype=y.dtype, device=self._device))

    def chebyshev_step(
        self, image: torch.Tensor, current: torch.Tensor, previous: torch.Tensor, edge: float
    ) -> torch.Tensor:
        """T_{j+1} x = 2(2C/edge − 1) T_j x − T_{j−1} x from C T_j x, in the memory of that."""
        return image.mul_(4 / edge).sub_(current, alpha=2).sub_(previous)

    def _sparse(self, matrix: sp.csr_array, dtype: type) -> torch.Tensor:
        with warnings.catch_warnings():
            # Torch says that its CSR tensors are in beta, and 2.11 that they are not checked, which these are.
            for said in ("Sparse CSR tensor support is in beta", "Sparse invariant checks are implicitly disabled"):
                warnings.filterwarnings("ignore", message=said, category=UserWarning)
            return torch.sparse_csr_tensor(
                torch.as_tensor(matrix.indptr.astype(np.int64)),
                torch.as_tensor(matrix.indices.astype(np.int64)),
                torch.as_tensor(matrix.data.astype(dtype)),
                size=tuple(matrix.shape),
                device=self._device,
                check_invariants=True,
            )


class TorchGram:
    """x ↦ S Sᵀ x for torch tensors.

    Attributes:
        size: the number of rows of S, those of all processes.
        entries: the number of entries of S, likewise.
        columns: how many it was applied to so far.
        error: that of `Pair.error`.
    """

    def __init__(self, S: torch.Tensor, T: torch.Tensor, pair: Pair, dtype: type, ranks: Ranks) -> None:
        self._S, self._T, self._ranks = S, T, ranks
        self.size, self.entries = pair.whole.size, pair.whole.entries
        self.columns = 0
        self.error = pair.error(dtype)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """S Sᵀ x for a block x (size, b)."""
        self.columns += int(x.shape[1])
        return self._S @ self._ranks.sum(self._T @ x)

    def dense(self) -> Floats:
        """(size, size) S Sᵀ, multiplied out."""
        result = np.empty((self.size, self.size))
        for low in range(0, self.size, ROWS):
            high = min(low + ROWS, self.size)
            part = torch.zeros(self.size, high - low, dtype=self._S.dtype, device=self._S.device)
            part[low:high].fill_diagonal_(1)
            result[:, low:high] = (self._S @ (self._T @ part)).to("cpu", torch.float64).numpy()
        return result

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The same: torch hands out memory that it had before."""
        return self(x)
