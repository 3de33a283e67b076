"""When checkpoints are written on the way to the end of a training, by a clock that the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from maskgraph.empirical import steps
from maskgraph.empirical.steps import to_the_end


class Walk:
    """Ten steps of `each` seconds; checkpoints take `writing` seconds each.

    Attributes:
        kept: the steps that checkpoints were written after.
        shown: those that were shown.
    """

    steps = 10

    def __init__(self, each: float = 1.0, writing: float = 0.0, interrupted: int | None = None) -> None:
        self.step, self.whole, self.now = 0, True, 0.0
        self.kept: list[int] = []
        self.shown: list[int] = []
        self._each, self._writing, self._interrupted = each, writing, interrupted

    def advance(self) -> None:
        """One step, or half of one."""
        if self.step == self._interrupted:
            raise KeyboardInterrupt
        self.step += 1
        self.now += self._each

    def keep(self) -> None:
        """As if a checkpoint were written."""
        self.kept.append(self.step)
        self.now += self._writing

    def show(self) -> None:
        """As if somebody looked."""
        self.shown.append(self.step)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around each step."""
        yield

    def walk(self, monkeypatch: pytest.MonkeyPatch, every: int, alone: bool = True) -> None:
        """To the end."""
        monkeypatch.setattr(steps, "monotonic", lambda: self.now)
        to_the_end(self, every, self.running, self.keep, alone, self.show)


def test_every_so_many_steps_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk()
    walk.walk(monkeypatch, every=4)
    assert walk.kept == walk.shown == [4, 8, 10]


@pytest.mark.parametrize(
    ("each", "writing", "kept"),
    [
        # A minute has passed after three steps of 21 seconds …
        (21.0, 0.0, [3, 6, 9, 10]),
        # … and a checkpoint that took four seconds is followed by none for two minutes.
        (21.0, 4.0, [3, 9, 10]),
    ],
)
def test_after_a_minute_unless_that_is_dear(
    each: float, writing: float, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(each, writing)
    walk.walk(monkeypatch, every=100)
    assert walk.kept == kept
    assert walk.shown == [10]


def test_several_processes_go_by_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their clocks differ, and a checkpoint is the work of all."""
    walk = Walk(each=1000.0, interrupted=7)
    with pytest.raises(KeyboardInterrupt):
        walk.walk(monkeypatch, every=5, alone=False)
    assert walk.kept == [5]


def test_an_interruption_keeps_what_is_whole_and_new(monkeypatch: pytest.MonkeyPatch) -> None:
    for at, whole, kept in [(7, True, [5, 7]), (7, False, [5]), (5, True, [5]), (0, True, [])]:
        walk = Walk(interrupted=at)
        walk.whole = whole
        with pytest.raises(KeyboardInterrupt):
            walk.walk(monkeypatch, every=5)
        assert walk.kept == kept
        assert walk.shown == [5] * (at >= 5)


@pytest.mark.parametrize(
    ("where", "kept", "shown"),
    [
        # What was being written is written anew, as nobody knows how far it came …
        ("keep", [5, 5], []),
        # … and what is written stays: whoever goes on is shown it.
        ("show", [5], [5]),
    ],
)
def test_an_interruption_of_a_checkpoint(
    where: str, kept: list[int], shown: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk()
    own, calls = getattr(walk, where), []

    def once() -> None:
        """Be interrupted at the end, the first time."""
        calls.append(walk.step)
        own()
        if len(calls) == 1:
            raise KeyboardInterrupt

    setattr(walk, where, once)
    with pytest.raises(KeyboardInterrupt):
        walk.walk(monkeypatch, every=5)
    assert (walk.kept, walk.shown) == (kept, shown)
