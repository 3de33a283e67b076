"""Counting on other machines: dask hands out blocks of edges, our own loops count them.

Each task counts one block of edges; the counts of a group of blocks are added up on the workers, and the groups on the
client. Counts add up in any order to the same graph, so that a task that is run again after its worker died changes
nothing. Dask moves what it is given as pickles between machines that trust each other; none is read from disk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from maskgraph.graphs.counting import count_block
from maskgraph.graphs.edges import Block, Edges
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.merging import Counts, merged

TIMEOUT = 10.0
"""Seconds that a scheduler has to answer, and to find a worker."""

ADDRESS = re.compile(r"((tcp|tls|ucx|wss?)://)?([^\s:/\[\]]+|\[[\da-fA-F:.]+\]):(?P<port>\d{1,5})")
"""Of a scheduler. Dask reads other things as addresses too, and is long in finding that nobody is there."""

BLOCK = 2**22
"""Edges of a task: a second of work or less, so that little is lost with a worker."""

ATTEMPTS = 5
"""Times that what was lost with a worker is counted again."""

LOST = "the scheduler at {!r} has lost all its workers; start some and run it again"


def check_address(address: str) -> None:
    """Raise InputError for what is no address of a scheduler."""
    read = ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if read is None or not 0 < int(read["port"]) < 2**16:
        raise InputError(f"scheduler {address!r}; expected its address, tcp://HOST:PORT (see --scheduler)")


class WorkersLostError(ArithmeticError):
    """No worker is left to finish the counting."""


def count_on(address: str, found: Edges, block: int = BLOCK, done: Callable[[int, int], None] | None = None) -> Counts:
    """Count the edges on the workers of a dask scheduler.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        found: the edges.
        block: edges a task, at most.
        done: told how many tasks of how many are finished.

    Raises:
        InputError: no address, dask is not installed, the scheduler does not answer, or its workers do not fit.
        WorkersLostError: the workers died and none came back.
    """
    check_address(address)
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--scheduler needs dask: pip install 'maskgraph[distributed]'") from error
    connect: Any = Client
    try:
        client = connect(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no dask scheduler answers at {address!r} ({type(error).__name__}); start one with `dask scheduler`, and "
            "give its address: --scheduler tcp://HOST:8786"
        ) from error
    with client:
        blocks = found.blocks(block)
        groups = np.array_split(np.arange(len(blocks)), min(2 * _check_workers(client, address), len(blocks)))
        work = [[blocks[i] for i in group] for group in groups]
        results: dict[int, Counts] = {}
        for _ in range(ATTEMPTS):
            # What a worker alone held is lost with it: what then did not finish is counted again.
            missing = {group: own for group, own in enumerate(work) if group not in results}
            results.update(_count_groups(client, address, found, missing, done))
            if len(results) == len(work):
                sizes = [sum(block.edges for block in own) for own in work]
                return merged((results.pop(group) for group in range(len(work))), sizes)
    raise WorkersLostError(
        f"workers of {address!r} died again and again; {len(results)} of {len(work)} groups of blocks were counted"
    )


def _count_groups(
    client: Any,
    address: str,
    found: Edges,
    missing: Mapping[int, Sequence[Block]],
    done: Callable[[int, int], None] | None,
) -> dict[int, Counts]:
    """The counts of those of the groups that could be finished."""
    from distributed import CancelledError

    try:
        held = client.scatter(found, broadcast=True, timeout=TIMEOUT)
    except TimeoutError as error:
        raise WorkersLostError(LOST.format(address)) from error
    tasks = [[client.submit(count_block, held, one, pure=False) for one in own] for own in missing.values()]
    sums = [
        client.submit(merged, counted, [block.edges for block in own], pure=False)
        for counted, own in zip(tasks, missing.values(), strict=True)
    ]
    _wait(client, address, [task for own in tasks for task in own], sums, done)
    results = {}
    for group, one in zip(missing, sums, strict=True):
        if one.status == "error":
            failure = one.exception()
            if isinstance(failure, InputError):
                # A graph beyond a worker's memory is refused there in the words that it would be here.
                raise failure
            raise WorkersLostError(f"counting on {address!r} failed: {type(failure).__name__}: {failure}")
        try:
            results[group] = one.result()
        except CancelledError:
            # Lost with its worker; the caller has it counted again.
            continue
    return results


def _check_workers(client: Any, address: str) -> int:
    """How many workers there are, all of this version."""
    here = _version()
    try:
        client.wait_for_workers(1, timeout=TIMEOUT)
    except TimeoutError as error:
        raise InputError(
            f"the scheduler at {address!r} has no worker; start some with `dask worker {address}` where maskgraph "
            f"{here} is installed"
        ) from error
    versions = client.run(_version)
    for worker, version in versions.items():
        if version != here:
            raise InputError(
                f"worker {worker} has {'no maskgraph' if version is None else f'maskgraph {version}'}; expected "
                f"{here}, which is installed here"
            )
    return len(versions)


def _version() -> str | None:
    try:
        return str(import_module("maskgraph").__version__)
    except ImportError:
        return None


def _wait(
    client: Any, address: str, tasks: list[Any], sums: list[Any], done: Callable[[int, int], None] | None
) -> None:
    """Until all sums are there; an error where no worker is."""
    seen = time.monotonic()
    told = -1
    while not all(one.done() for one in sums):
        # A task whose result was added up is forgotten by the scheduler, and stays finished here.
        finished = sum(task.done() for task in tasks)
        if done and finished != told:
            told = finished
            done(finished, len(tasks))
        if client.scheduler_info(n_workers=-1)["workers"]:
            seen = time.monotonic()
        elif time.monotonic() - seen > TIMEOUT:
            raise WorkersLostError(LOST.format(address))
        time.sleep(0.05)
