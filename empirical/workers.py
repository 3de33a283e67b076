"""Independent pieces of work in processes of one thread each: two such processes outrun one on two threads."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Job = TypeVar("Job")

Report = Callable[[int, int, str, float], None]
"""Called with (pieces done, pieces in all, what was done last, share of the expected cost that is done)."""

OPTIMISERS = "torch._dynamo"
"""What `torch.optim` imports with the first optimiser, which takes as long as torch itself."""


def in_processes(
    do: Callable[[Job], None], jobs: Sequence[Job], workers: int, every: float | None = None
) -> Iterator[Job | None]:
    """Do the jobs and yield each as it ends.

    Args:
        do: a function of a module, or a partial of one.
        jobs: what it is called with.
        workers: processes.
        every: seconds after which None is yielded where no job has ended; None: never.

    Raises:
        Exception: whatever a job raised; those that run are waited for.
    """
    # Workers are forked from a process that has imported what they need, which takes longer than many a job. But where
    # an import looks for GPUs, what is forked after it can use none.
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
    context.set_forkserver_preload([(do.func if isinstance(do, partial) else do).__module__, OPTIMISERS])
    # What they are forked from has the environment of the first call.
    own = dict(os.environ)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(own,))
    try:
        pending: dict[Future[None], Job] = {pool.submit(do, job): job for job in jobs}
        while pending:
            done, _ = wait(pending, timeout=every, return_when=FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                job = pending.pop(future)
                future.result()
                yield job
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    threadpool_limits(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        # A parent that is killed closes nothing: its workers would wait for work for ever.
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
