"""The processes that `torchrun` starts share iterative solves: torch.distributed, gloo between CPUs, NCCL between GPUs.

The first process runs the command. It hands each of the others some rows of a large component, with about as many
entries each, and all run the solver on their rows; the others hold nothing else and say nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from maskgraph.theory.engine import Engine, Floats
from maskgraph.theory.goal import Goal
from maskgraph.theory.krylov import ConvergenceError, top_eigenpairs
from maskgraph.theory.products import Pair, Whole
from maskgraph.theory.torch_group import RankLostError, join_group, others

T = TypeVar("T")


class TorchRanks:
    """The processes of the default group of torch.distributed.

    Attributes:
        count: how many there are.
        first: whether this is the one that runs the command.
    """

    def __init__(self, device: str = "cpu") -> None:
        """Join the group that the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) describes.

        Args:
            device: where tall arrays are.

        Raises:
            InputError: the variables are wrong, or the others did not come.
        """
        rank, self.count = join_group(device, "-m maskgraph bound ...")
        self.first = rank == 0
        self._rank = rank
        self._cuts = [0] * (self.count + 1)

    def share(self, pair: Pair, known: Floats, goal: Goal) -> tuple[Pair, Floats]:
        """This process's rows of a factor and of a vector; the first process hands them out and starts the others."""
        if not self.first:
            return pair, known
        indptr = pair.S.indptr.astype(np.int64)
        # By entries and rows alike: products cost the one, the basis the other.
        weight = indptr / max(indptr[-1], 1) + np.arange(len(indptr)) / (len(indptr) - 1)
        cuts = [0, *np.searchsorted(weight, 2 * np.arange(1, self.count) / self.count).tolist(), len(known)]
        parts = [pair.S[low:high] for low, high in pairwise(cuts)]
        self._cuts = cuts
        self._tell(
            {
                "goal": asdict(goal),
                "whole": asdict(pair.whole),
                "cuts": cuts,
                "columns": int(pair.S.shape[1]),
                "entries": [int(part.nnz) for part in parts],
            }
        )
        with others():
            for rank, part in enumerate(parts[1:], start=1):
                for values in (part.indptr.astype(np.int64), part.indices.astype(np.int64), part.data):
                    dist.send(torch.from_numpy(np.ascontiguousarray(values)), rank)
                dist.send(torch.from_numpy(known[cuts[rank] : cuts[rank + 1]].copy()), rank)
        return Pair(sp.csr_array(parts[0]), pair.whole), known[: cuts[1]]

    def rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """This process's rows of an array that all of them have."""
        return values[slice(*self._cuts[self._rank : self._rank + 2])]

    def whole(self, values: Floats) -> Floats:
        """All rows of a tall array, on the first process; its own on others."""
        with others():
            if not self.first:
                dist.send(torch.from_numpy(np.ascontiguousarray(values)), 0)
                return values
            parts = [values]
            for rank in range(1, self.count):
                part = np.empty((self._cuts[rank + 1] - self._cuts[rank], values.shape[1]))
                dist.recv(torch.from_numpy(part), rank)
                parts.append(part)
            return np.concatenate(parts)

    def sum(self, values: T) -> T:
        """The sum over all processes, in place; the same bits on all."""
        with others():
            dist.all_reduce(torch.from_numpy(values) if isinstance(values, np.ndarray) else values)
        return values

    def agree(self, values: Floats) -> Floats:
        """The first process's values."""
        values = np.ascontiguousarray(values)
        with others():
            dist.broadcast(torch.from_numpy(values), 0)
        return values

    def serve(self, engine: Engine) -> None:
        """Take part in the first process's solves until it is done; for all other processes.

        Args:
            engine: where this process computes, with these ranks.

        Raises:
            RankLostError: the first process, or another, has ended.
        """
        while (task := self._hear()) is not None:
            whole, entries = Whole(**task["whole"]), task["entries"][self._rank]
            rows = self._cuts[self._rank + 1] - self._cuts[self._rank]
            indptr, indices = (np.empty(length, np.int64) for length in (rows + 1, entries))
            data, known = np.empty(entries), np.empty(rows)
            with others():
                for values in (indptr, indices, data, known):
                    dist.recv(torch.from_numpy(values), 0)
            part = sp.csr_array((data, indices, indptr), shape=(rows, task["columns"]))
            try:
                top_eigenpairs(Pair(part, whole), known, Goal(**task["goal"]), engine)
            except ConvergenceError:
                # The first process has the whole of it, and says so.
                continue

    def leave(self) -> None:
        """Dismiss the others, where this is the first, and end the group."""
        if self.first:
            # Whoever has ended needs no dismissal.
            with suppress(RankLostError):
                self._tell(None)
        dist.destroy_process_group()

    def _tell(self, message: dict[str, Any] | None) -> None:
        text = np.frombuffer(json.dumps(message).encode(), np.uint8).copy()
        with others():
            dist.broadcast(torch.tensor([len(text)]), 0)
            dist.broadcast(torch.from_numpy(text), 0)

    def _hear(self) -> dict[str, Any] | None:
        length = torch.zeros(1, dtype=torch.int64)
        with others():
            dist.broadcast(length, 0)
            text = torch.zeros(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0)
        message: dict[str, Any] | None = json.loads(text.numpy().tobytes())
        self._cuts = message["cuts"] if message else self._cuts
        return message
