"""Joining the processes that `torchrun` started, and noticing that one of them has ended."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# Its functions have the group of the moment of their import as a default: imported later (DistributedDataParallel does
# so), they would keep it and its threads alive past the end, where a thread that meets an interpreter already gone
# aborts the process after all its work is done.
import torch.distributed.nn.functional

from maskgraph.graphs.errors import InputError
from maskgraph.theory.solver.torch_heartbeat import Heartbeat

JOIN = timedelta(seconds=60)
"""How long a process waits for the others to start."""

LOOK = 0.02
"""Seconds between two looks at whether they have."""

IDLE = timedelta(days=7)
"""How long it waits in a sum: the first may build graphs for hours. The end of a process ends all waiting at once, and
one that falls silent is noticed by `solver.torch_heartbeat`."""

OWN = ("CUDA error", "Cuda failure", "CUBLAS", "cuDNN", "DefaultCPUAllocator")
"""What errors of this process's own work say, whatever else they do; the second is NCCL's of CUDA."""

OF_ANOTHER = ("gloo", "NCCL", "onnection", "ocket", "peer", "imed out", "imeout", "roken pipe")
"""What those of a lost one say, which come from gloo, NCCL or the store."""


SETTLE = 0.5
"""Seconds that gloo's threads have to let go of what was broken off: they need less than a thousandth."""


class RankLostError(ArithmeticError):
    """Another process of the group ended in the middle of common work."""


class Member:
    """This process of a group.

    Attributes:
        rank: its number.
        count: how many there are.
    """

    def __init__(self, rank: int, count: int, heartbeat: Heartbeat) -> None:
        self.rank, self.count, self._heartbeat = rank, count, heartbeat

    def leave(self) -> None:
        """End the group, after an error too.

        Work that was broken off is let go of by a thread of gloo's, which takes Python's lock for it; the end of the
        group waits for that thread and keeps the lock. So the thread goes first.
        """
        self._heartbeat.stop()
        if sys.exc_info()[0] is not None:
            time.sleep(SETTLE)
        dist.destroy_process_group()


def join_group(device: str, command: str) -> Member:
    """Join the processes that the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) describes.

    Args:
        device: where their tensors are.
        command: what torchrun was to start, for the message.

    Raises:
        InputError: the variables are wrong, or the others did not come.
    """
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") and dist.is_nccl_available() else "gloo"
    heartbeat = None
    try:
        rank, count, port = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
        if not 0 < port < 2**16:
            raise ValueError(f"MASTER_PORT is {port}")
        keeps = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
        store = dist.TCPStore(os.environ["MASTER_ADDR"], port, count, keeps, JOIN)  # type: ignore[attr-defined]
        name = meet(store, rank, count)
        # Before the group, which waits as long for one that is lost on the way into it as for one at work.
        heartbeat = Heartbeat(rank, count, name)
        own = dist.PrefixStore(name, store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=own, rank=rank, world_size=count, timeout=IDLE)
        # NCCL meets over the store in the first sum, for which the first process may be late by more than a start.
        store.set_timeout(IDLE)
    except (KeyError, ValueError, RuntimeError) as error:
        if heartbeat:
            heartbeat.stop()
        reason = f"{error} is not set" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise InputError(
            f"the processes of this run did not come together within {JOIN.seconds} s ({reason}); start them with "
            f"torchrun --nproc-per-node P {command}, on several machines each with --nnodes N --rdzv-backend c10d and "
            "the same --rdzv-endpoint"
        ) from error
    return Member(rank, count, heartbeat)


def meet(store: Any, rank: int, count: int) -> str:
    """A name for what these processes keep in the store, which may hold what others left there before a restart.

    torchrun's own count of restarts does not serve: on several machines each counts for itself, and not alike.

    Raises:
        RuntimeError: the others did not come in time.
    """
    me, until = secrets.token_hex(8), time.monotonic() + JOIN.total_seconds()
    store.set(f"hello {rank}", me)
    while time.monotonic() < until:
        if rank == 0:
            # A greeting may be an old one: what counts is that all who are named say that they are with this host.
            greetings = [f"hello {other}" for other in range(1, count)]
            if not greetings or store.check(greetings):
                guests = [store.get(greeting).decode() for greeting in greetings]
                store.set("welcome", " ".join([me, *guests]))
                if not guests or store.check([f"{guest} with {me}" for guest in guests]):
                    store.set(f"all here {me}", "")
                    return me
        elif store.check(["welcome"]):
            host, *guests = store.get("welcome").decode().split()
            if len(guests) == count - 1 and guests[rank - 1] == me:
                store.set(f"{me} with {host}", "")
                if store.check([f"all here {host}"]):
                    return str(host)
        time.sleep(LOOK)
    raise RuntimeError("some are missing")


@contextmanager
def others() -> Iterator[None]:
    """Within it, the end of another process is a RankLostError."""
    try:
        yield
    except RuntimeError as error:
        # What went wrong here is nobody else's fault.
        own = isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in OWN)
        lost = isinstance(error, dist.DistError) or any(word in str(error) for word in OF_ANOTHER)
        if own or not lost:
            raise
        reason = str(error).splitlines()[0].split(". ")[0]
        raise RankLostError(
            f"another process of this run has ended ({reason}); run it again, or let torchrun do so: --max-restarts 1"
        ) from error
