"""Independent pieces of work in processes of one thread each: two such processes outrun one on two threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from types import FrameType

import torch
from threadpoolctl import threadpool_limits

OPTIMISERS = "torch._dynamo"
"""What `torch.optim` imports with the first optimiser, which takes as long as torch itself."""


def in_processes(
    jobs: Sequence[partial[None]],
    workers: int,
    may_begin: Callable[[int, Collection[int]], bool],
    every: float | None = None,
) -> Iterator[int | None]:
    """Do the jobs and yield the index of each as it ends.

    Whenever a process is free it begins the first job that is left and may.

    Where this process is interrupted, or whoever asks for the jobs gives up, those that run are interrupted, too,
    whether the signal reached their processes or not, and waited for: they may have something to save.

    Args:
        jobs: of functions of modules.
        workers: most processes; as many as there are jobs are enough.
        may_begin: told the index of a job that is left and those of the jobs that run; when none runs, one may begin.
        every: seconds after which None is yielded where no job has ended; None: never.

    Raises:
        Exception: whatever a job raised; those that run are waited for.
        KeyboardInterrupt: this process or a job was interrupted.
    """
    # Workers are forked from a process that has imported what they need, which takes longer than many a job. But where
    # an import looks for GPUs, what is forked after it can use none.
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "forkserver")
    context.set_forkserver_preload([*{job.func.__module__ for job in jobs}, OPTIMISERS])
    # What they are forked from has the environment of the first call.
    own = dict(os.environ)
    heard, told = context.Pipe(duplex=False)
    processes = max(min(workers, len(jobs)), 1)
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker, initargs=(own, heard))
    left, pending = list(range(len(jobs))), dict[Future[None], int]()
    try:
        while left or pending:
            # To begin a job may be to begin a process.
            with _interrupted_later():
                while len(pending) < processes:
                    index = next((one for one in left if may_begin(one, pending.values())), None)
                    if index is None:
                        break
                    left.remove(index)
                    pending[pool.submit(_do, jobs[index])] = index
            assert pending, "of those that are left none may begin"
            done, _ = wait(pending, timeout=every, return_when=FIRST_COMPLETED)
            if not done:
                yield None
            for future in done:
                index = pending.pop(future)
                future.result()
                yield index
    except (KeyboardInterrupt, GeneratorExit):
        _interrupt(pool, told)
        raise
    finally:
        try:
            pool.shutdown(wait=True, cancel_futures=True)
        except KeyboardInterrupt:
            _interrupt(pool, told)
            raise
        finally:
            heard.close()
            told.close()


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Keep an interruption until all workers are begun: one that is begun half way is nobody's, and fails aloud.

    What they are forked from imports for seconds before it is deaf to the signal; it inherits that the signal waits.
    """
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread is ever interrupted, and only it may say how; a handler that is not Python's stays.
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield
        return
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if asked:
            signal.raise_signal(signal.SIGINT)


def _interrupt(pool: ProcessPoolExecutor, told: Connection) -> None:
    """Interrupt the jobs that run and wait for their end, whoever presses Ctrl-C again."""
    before = signal.getsignal(signal.SIGINT)
    # Only the main thread is ever interrupted, and only it may say how; a handler that is not Python's stays.
    deaf = threading.current_thread() is threading.main_thread() and before is not None
    if deaf:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # All workers hear the end of the pipe.
        told.close()
        pool.shutdown(wait=True, cancel_futures=True)
    finally:
        if deaf:
            signal.signal(signal.SIGINT, before)


class _Interruption:
    """What a worker knows of an interruption.

    The signal may come twice, to all processes of a terminal and from the parent, and between two jobs: a job that
    saves what it has is not disturbed again, and no other is begun.

    Attributes:
        asked: whether one was asked for.
        working: whether there is a job to interrupt.
    """

    asked = working = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if first and self.working:
            raise KeyboardInterrupt


_interruption = _Interruption()


def _do(job: Callable[[], None]) -> None:
    """Do a job in a worker that has not been interrupted."""
    _interruption.working = True
    try:
        if _interruption.asked:
            raise KeyboardInterrupt
        job()
    finally:
        _interruption.working = False


def _start_worker(environment: dict[str, str], heard: Connection) -> None:
    # Where the signal is ignored, as in the background of a script, it stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interruption)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    threadpool_limits(1)
    parent, main = multiprocessing.parent_process(), threading.main_thread().ident
    assert parent is not None
    assert main is not None

    def follow() -> None:
        wait_for([parent.sentinel, heard])
        # As a signal, which ends what the job waits for, too.
        signal.pthread_kill(main, signal.SIGINT)
        # A parent that is killed closes nothing else: its workers would wait for work for ever.
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
