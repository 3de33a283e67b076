"""The processes that `torchrun` starts share solves: torch.distributed, gloo between CPUs, NCCL between GPUs.

The first process runs the command. It hands each of the others some rows of a large component, with about as many
entries each, and all run the solver on their rows; smaller components it deals out whole. The others hold nothing else
and say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from maskgraph.theory.solver.eigenpairs import Bracket, ConvergenceError, Eigenpairs
from maskgraph.theory.solver.engine import Engine, Floats
from maskgraph.theory.solver.goal import Goal
from maskgraph.theory.solver.krylov import top_eigenpairs
from maskgraph.theory.solver.pair import Pair, Whole
from maskgraph.theory.solver.ranks import Question, Solve, eigh
from maskgraph.theory.solver.torch_group import RankLostError, join_group, others

DEALT = 1e8
"""Sum of the cubes of the orders of matrices, a tenth of a second or so, from which on they are dealt out."""

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
        self._member = join_group(device, "-m maskgraph bound ...")
        self._rank, self.count = self._member.rank, self._member.count
        self.first, self._busy = self._rank == 0, False
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
        self._start({"task": "rows", "goal": asdict(goal), "whole": asdict(pair.whole), "cuts": cuts})
        for rank, part in enumerate(parts[1:], start=1):
            own = known[cuts[rank] : cuts[rank + 1]]
            self._post(rank, {"shape": list(part.shape)}, [part.data, part.indices, part.indptr, own])
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

    def deal(self, questions: list[Question], solve: Solve) -> list[Eigenpairs]:
        """The answers to questions that one process can answer alone; this one has the first of as many as there are.

        A single one, which may be large, is left to `top_eigenpairs`, and that shares it.
        """
        answers: list[Eigenpairs | ConvergenceError] = []
        for low in range(0, len(questions), self.count):
            mine, *dealt = questions[low : low + self.count]
            if dealt:
                self._start({"task": "solve", "ranks": len(dealt)})
            for rank, (pair, known, goal) in enumerate(dealt, start=1):
                message = {"goal": asdict(goal), "shape": list(pair.S.shape)}
                self._post(rank, message, [pair.S.data, pair.S.indices, pair.S.indptr, known])
            answers.append(_attempt(mine, solve))
            answers += [_unpacked(*self._take(rank)) for rank in range(1, len(dealt) + 1)]
            self._busy = False
        found = [answer for answer in answers if isinstance(answer, Eigenpairs)]
        if len(found) < len(answers):
            raise next(answer for answer in answers if isinstance(answer, ConvergenceError))
        return found

    def eigh(self, stacks: list[Floats]) -> list[tuple[Floats, Floats]]:
        """Eigenvalues and eigenvectors of stacks of symmetric matrices, about as much work of them for each process."""
        work = np.concatenate([np.full(len(stack), float(stack.shape[1]) ** 3) for stack in stacks])
        if len(work) == 1 or work.sum() < DEALT:
            return [eigh(stack) for stack in stacks]
        # Each matrix goes to the process in whose share its middle lies.
        middles = np.cumsum(work) - work / 2
        cuts = np.searchsorted(middles, work.sum() * np.arange(1, self.count) / self.count).tolist()
        starts = np.cumsum([0, *map(len, stacks)])[:-1]
        shares = [
            [stack[max(low - start, 0) : max(high - start, 0)] for stack, start in zip(stacks, starts, strict=True)]
            for low, high in pairwise([0, *cuts, len(work)])
        ]
        self._start({"task": "eigh"})
        for rank, share in enumerate(shares[1:], start=1):
            self._post(rank, {}, share)
        found = [[array for stack in shares[0] for array in eigh(stack)]]
        found += [self._take(rank)[1] for rank in range(1, self.count)]
        self._busy = False
        return [
            (np.concatenate([one[2 * i] for one in found]), np.concatenate([one[2 * i + 1] for one in found]))
            for i in range(len(stacks))
        ]

    def serve(self, engine: Engine) -> None:
        """Take part in the first process's solves until it is done; for all other processes.

        Args:
            engine: where this process computes, with these ranks.

        Raises:
            RankLostError: the first process, or another, has ended.
        """
        serve = {"rows": self._serve_rows, "solve": self._serve_solve, "eigh": self._serve_eigh}
        while (task := self._hear()) is not None:
            serve[task["task"]](task, engine)

    def _serve_rows(self, task: dict[str, Any], engine: Engine) -> None:
        self._cuts = task["cuts"]
        message, (data, indices, indptr, known) = self._take(0)
        part = sp.csr_array((data, indices, indptr), shape=tuple(message["shape"]))
        # The first process has the whole of an error, and says so.
        with suppress(ConvergenceError):
            top_eigenpairs(Pair(part, Whole(**task["whole"])), known, Goal(**task["goal"]), engine)

    def _serve_solve(self, task: dict[str, Any], engine: Engine) -> None:
        if self._rank > task["ranks"]:
            return
        message, (data, indices, indptr, known) = self._take(0)
        pair = Pair(sp.csr_array((data, indices, indptr), shape=tuple(message["shape"])))
        question = pair, known, Goal(**message["goal"])
        self._post(0, *_packed(_attempt(question, partial(top_eigenpairs, engine=engine))))

    def _serve_eigh(self, _task: dict[str, Any], _engine: Engine) -> None:
        self._post(0, {}, [array for stack in self._take(0)[1] for array in eigh(stack)])

    def leave(self) -> None:
        """Dismiss the others, where this is the first, and end the group.

        Where common work was broken off they hear of the end by that of the group: they wait for something else.
        """
        if self.first and not self._busy:
            # Whoever has ended needs no dismissal.
            with suppress(RankLostError):
                self._tell(None)
        self._member.leave()

    def _start(self, task: dict[str, Any]) -> None:
        """Have the others begin with something."""
        self._busy = True
        self._tell(task)

    def _tell(self, message: dict[str, Any] | None) -> None:
        """From the first process to all."""
        text = _encoded(message)
        with others():
            dist.broadcast(torch.tensor([len(text)]), 0)
            dist.broadcast(torch.from_numpy(text), 0)

    def _hear(self) -> dict[str, Any] | None:
        """What the first process tells."""
        length = torch.zeros(1, dtype=torch.int64)
        with others():
            dist.broadcast(length, 0)
            text = torch.zeros(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0)
        message: dict[str, Any] | None = json.loads(text.numpy().tobytes())
        return message

    def _post(self, rank: int, message: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> None:
        """A message and arrays to one process."""
        sent = [np.require(array, requirements=["C", "W"]) for array in arrays]
        text = _encoded({**message, "arrays": [[array.dtype.str, list(array.shape)] for array in sent]})
        with others():
            for array in (np.array([len(text)]), text, *sent):
                if array.size:
                    dist.send(torch.from_numpy(array), rank)

    def _take(self, rank: int) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """What one process posted."""
        length = torch.zeros(1, dtype=torch.int64)
        with others():
            dist.recv(length, rank)
            text = torch.zeros(int(length), dtype=torch.uint8)
            dist.recv(text, rank)
            message: dict[str, Any] = json.loads(text.numpy().tobytes())
            arrays = [np.empty(shape, dtype) for dtype, shape in message["arrays"]]
            for array in arrays:
                if array.size:
                    dist.recv(torch.from_numpy(array), rank)
        return message, arrays


def _encoded(message: dict[str, Any] | None) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(message).encode(), np.uint8).copy()


def _attempt(question: Question, solve: Solve) -> Eigenpairs | ConvergenceError:
    """The answer to a question, or why there is none."""
    try:
        return solve(*question)
    except ConvergenceError as error:
        return error


def _packed(found: Eigenpairs | ConvergenceError) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """A solve's answer as a message and arrays."""
    if isinstance(found, ConvergenceError):
        return {"error": str(found)}, []
    bounds = found.bracket
    arrays = [found.values, bounds.lower, bounds.upper, found.vectors, found.images, found.residuals]
    return {"nu": bounds.nu, "slack": bounds.slack}, arrays


def _unpacked(message: dict[str, Any], arrays: list[NDArray[Any]]) -> Eigenpairs | ConvergenceError:
    """The answer again."""
    if "error" in message:
        return ConvergenceError(message["error"])
    values, lower, upper, vectors, images, residuals = arrays
    return Eigenpairs(values, Bracket(lower, upper, message["nu"], message["slack"]), vectors, images, residuals)
