"""Progress on stderr: a bar with an estimate of what is left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

WIDTH = 30
PLAIN_EVERY = 10.0
"""Seconds between two plain lines, so that a log stays short."""


TELLING = 0.1
"""Share of the work from which on the time that it took says something about the rest: the first step also loads."""


class Progress:
    """Counts steps of one long piece of work and says when it should end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = self._printed = time.monotonic()
        self._first: tuple[float, float] | None = None
        self._latest = (0.0, 0.0)
        self._bar = sys.stderr.isatty()

    def say(self, about: str, text: str) -> None:
        """A line of its own, before the work that it is about."""
        sys.stderr.write(("\r" + " " * 118 + "\r" if self._bar else "") + f"{self._title}, {about}: {text}\n")
        sys.stderr.flush()

    def __call__(self, done: int, total: int, label: str, share: float | None = None) -> None:
        """Tell that `done` of `total` pieces are done.

        Args:
            done: pieces done.
            total: all pieces.
            label: what the last one was.
            share: of the work done, where the pieces differ in cost; done / total when None.
        """
        share = done / total if share is None else share
        now = time.monotonic()
        elapsed = now - self._start
        last = done == total
        state = f"{self._title} {done}/{total}"
        if last:
            state += f", took {_duration(elapsed)}"
        elif left := self._left(elapsed, share, done):
            state += f", about {_duration(left)} left"
        if self._bar:
            filled = round(WIDTH * share)
            line = f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {state}  {label}"
            sys.stderr.write(f"{line[:118]:<118}" + ("\n" if last else ""))
        elif last or now - self._printed >= PLAIN_EVERY:
            self._printed = now
            sys.stderr.write(f"{state}  {label}".rstrip() + "\n")
        sys.stderr.flush()

    def _left(self, elapsed: float, share: float, done: int) -> float:
        """Seconds until the end at the pace of the work since the first news; 0 where nothing can be said."""
        if self._first is None:
            # What is done before a first piece has ended was done by whoever was interrupted.
            self._first = self._latest = (elapsed, share) if done == 0 else (0.0, 0.0)
        if share > self._latest[1]:
            self._latest = elapsed, share
        begun, before = self._first
        at, reached = self._latest
        if reached - before <= TELLING * (1 - before):
            return 0.0
        # From the last news on the clock runs down: no news of a long piece do not mean that it stands.
        return max((at - begun) * (1 - reached) / (reached - before) - (elapsed - at), 0.0)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
