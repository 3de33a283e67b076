"""Progress: what is left is told from the pace so far, and runs down between two pieces of news."""

from __future__ import annotations

import re

import pytest

from maskgraph.progress import Progress


class Clock:
    """A clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.now, self._capsys = 0.0, capsys
        monkeypatch.setattr("maskgraph.progress.time.monotonic", lambda: self.now)

    def told(self, told: Progress, now: float, done: int, share: float | None = None) -> str:
        """The line of the news at a time."""
        self.now = now
        told(done, 4, "piece", share)
        return self._capsys.readouterr().err.strip()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Clock:
    return Clock(monkeypatch, capsys)


def test_pieces_of_one_size_take_as_long_as_those_before(clock: Clock) -> None:
    bar = Progress("work")
    assert clock.told(bar, 100, 1) == "work 1/4, about 5 min 00 s left  piece"
    assert clock.told(bar, 120, 2) == "work 2/4, about 2 min 00 s left  piece"
    assert clock.told(bar, 200, 4) == "work 4/4, took 3 min 20 s  piece"


def test_what_is_left_runs_down_between_two_news(clock: Clock) -> None:
    bar = Progress("work")
    assert clock.told(bar, 1, 0, 0.0) == ""
    assert clock.told(bar, 101, 0, 0.5) == "work 0/4, about 1 min 40 s left  piece"
    assert clock.told(bar, 161, 0, 0.5) == "work 0/4, about 40 s left  piece"
    assert clock.told(bar, 301, 0, 0.5) == "work 0/4  piece"
    # Half as fast as thought.
    assert clock.told(bar, 401, 1, 0.75) == "work 1/4, about 2 min 13 s left  piece"


def test_what_was_done_before_says_nothing_of_the_pace(clock: Clock) -> None:
    bar = Progress("work")
    clock.told(bar, 10, 0, 0.8)
    assert re.fullmatch(r"work 0/4 +piece", clock.told(bar, 40, 0, 0.81))
    assert clock.told(bar, 60, 0, 0.9) == "work 0/4, about 50 s left  piece"
