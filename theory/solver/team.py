"""Threads that share the rows of one compiled loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache


class Team:
    """Some threads, this one among them.

    They are kept: where other work waits for the cores a thread may be started later than the loop is done.

    Attributes:
        threads: how many.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(max(threads - 1, 1))

    def share(self, work: Callable[[int, int], None], parts: Iterable[tuple[int, int]]) -> None:
        """Run work(low, high) for every part, the first in this thread."""
        first, *others = parts
        waiting = [self._pool.submit(work, *part) for part in others]
        try:
            work(*first)
        finally:
            # What they write must not change under whoever goes on.
            wait(waiting)
        for one in waiting:
            one.result()


@cache
def team(threads: int) -> Team:
    """The team of this many threads of this process."""
    return Team(threads)


# A forked process has the pools of its parent without their threads.
os.register_at_fork(after_in_child=team.cache_clear)
