"""Training step by step to its end with checkpoints on the way: of one model, of a stack, and of a fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Protocol

OVERDUE = 60.0
"""Seconds after which a checkpoint is due, however few the steps: one of a large network may take minutes, …"""

PRICE = 30
"""… but not before so many times as long as the last checkpoint took to be written."""


class Steps(Protocol):
    """What is trained.

    Attributes:
        step: how many steps were made.
        steps: how many there will be.
        whole: whether the last one was made to its end.
    """

    step: int
    steps: int
    whole: bool

    def advance(self) -> None:
        """One step."""
        ...


def to_the_end(
    training: Steps,
    every: int,
    running: Callable[[], AbstractContextManager[None]],
    keep: Callable[[], None],
    alone: bool,
    shown: Callable[[], None] | None = None,
) -> None:
    """Make all steps that are left.

    Args:
        training: what makes them.
        every: steps between two checkpoints; there is one at the end as well.
        running: entered around each step.
        keep: writes a checkpoint, once all is found to be finite.
        alone: whether this process may write one when it will: where time has passed, and where it is interrupted.
        shown: called after each checkpoint but those.

    Raises:
        KeyboardInterrupt: passed on, after a checkpoint of the last step where one can be written.
    """
    saved, since, patience = training.step, monotonic(), OVERDUE
    try:
        while training.step < training.steps:
            with running():
                training.advance()
            due = training.step % every == 0 or training.step == training.steps
            before = monotonic()
            if not due and not (alone and before - since > patience):
                continue
            keep()
            saved, patience = training.step, max(OVERDUE, PRICE * (monotonic() - before))
            if due and shown:
                shown()
            since = monotonic()
    except KeyboardInterrupt:
        # Half an update is no step: then the last whole checkpoint stays the one to go on from.
        if alone and training.step > saved and training.whole:
            keep()
        raise
