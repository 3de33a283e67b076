"""Processes of a group, as torchrun starts them, but forked from one that has imported torch: that takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from maskgraph.empirical.workers import OPTIMISERS

ROOT = Path(__file__).parents[1]


class Started:
    """One of them, with what `subprocess.Popen` has of it."""

    def __init__(self, module: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, OPTIMISERS, "maskgraph.theory.solver.products"])
        self._said = tempfile.TemporaryDirectory()
        self._paths = [str(Path(self._said.name) / name) for name in ("out", "err")]
        self._process: ForkServerProcess = context.Process(
            target=_run, args=(module, arguments, environment, self._paths)
        )
        self._process.start()

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it printed and what its errors were, once it has ended.

        Raises:
            TimeoutError: it did not end; it is killed.
        """
        self._process.join(timeout)
        with self._said:
            if self._process.exitcode is None:
                self._process.kill()
                raise TimeoutError(f"still there after {timeout} s; its errors: {Path(self._paths[1]).read_text()}")
            out, error = (Path(path).read_text() for path in self._paths)
        return out, error

    def stopped(self) -> bool:
        """Whether it was told to stop and go on later."""
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    @property
    def returncode(self) -> int | None:
        """Its exit status, of a signal the negative of its number."""
        return self._process.exitcode


def start(module: str, *arguments: str, count: int, port: int | None = None) -> list[Started]:
    """`python -m module arguments…` in so many processes that find each other, by a store at a port if one is named."""
    world = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1"}
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            world |= {"MASTER_PORT": free.getsockname()[1], "TORCHELASTIC_USE_AGENT_STORE": False}
    else:
        world |= {"MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    return [
        Started(module, arguments, {name: str(value) for name, value in {**world, "RANK": k, "LOCAL_RANK": k}.items()})
        for k in range(count)
    ]


def _run(module: str, arguments: tuple[str, ...], environment: dict[str, str], said: list[str]) -> None:
    for stream, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(ROOT)
    os.environ.update(environment)
    torch.set_num_threads(1)
    threadpool_limits(1)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
