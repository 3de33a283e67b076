"""The processes that train one model together, each with a part of every batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from maskgraph.graphs.errors import InputError, check_type
from maskgraph.theory.solver.ranks import local_processes, local_rank
from maskgraph.theory.solver.torch_group import join_group, others


class Group:
    """One process that has the whole batch.

    Attributes:
        count: how many processes there are.
        rank: this one's number.
    """

    def __init__(self) -> None:
        self.rank, self.count = 0, 1

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model, its gradients those of the mean of all processes' losses."""
        return model

    def gather(self, rows: Tensor, lengths: Sequence[int]) -> Tensor:
        """All processes' rows, one process after the other, without gradient.

        Args:
            rows: (b, ...) this process's.
            lengths: b of each process.
        """
        return rows.detach()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, as a new tensor."""
        return values.clone()

    def working(self) -> AbstractContextManager[Any]:
        """Within it, the end of another process is a RankLostError."""
        return nullcontext()

    def wait(self) -> None:
        """Wait for the others."""

    def leave(self) -> None:
        """End the group."""


class TorchGroup(Group):
    """The processes that torchrun started: gloo between CPUs, NCCL between GPUs."""

    def __init__(self, device: torch.device) -> None:
        """Join them.

        Raises:
            InputError: the others did not come, or there is no GPU for this one.
        """
        if device.type == "cuda":
            if local_rank() >= (there := torch.cuda.device_count()):
                raise InputError(
                    f"{local_processes()} processes on a machine with {there} GPUs; expected one for each: "
                    f"torchrun --nproc-per-node {there}, or --device cpu"
                )
            torch.cuda.set_device(local_rank())
        self._member = join_group(device.type, "-m maskgraph recipe ...")
        self.rank, self.count = self._member.rank, self._member.count

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model in `DistributedDataParallel`."""
        with warnings.catch_warnings():
            # The argument has a new name in PyTorch 2.13, which 2.6 does not know.
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)

    def gather(self, rows: Tensor, lengths: Sequence[int]) -> Tensor:
        """All processes' rows (see `Group.gather`)."""
        # all_gather wants one shape everywhere.
        padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
        padded[: len(rows)] = rows.detach()
        parts = [torch.empty_like(padded) for _ in lengths]
        with others():
            dist.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, as a new tensor."""
        total = values.clone()
        with others():
            dist.all_reduce(total)
        return total

    def working(self) -> AbstractContextManager[Any]:
        """Within it, the end of another process is a RankLostError."""
        return others()

    def wait(self) -> None:
        """Wait for the others."""
        with others():
            dist.barrier()

    def leave(self) -> None:
        """End the group."""
        self._member.leave()


def check_group(group: object) -> None:
    """Raise InputError for what is neither a group of processes nor None, which stands for this one alone."""
    check_type(group, (Group, type(None)), "give TorchGroup(device) of maskgraph.empirical.group")
