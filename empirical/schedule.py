"""The pieces of a run: which are left, done side by side or one after the other, and how much of all is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maskgraph.empirical.group import Group
from maskgraph.empirical.workers import in_processes
from maskgraph.graphs.errors import InputError, check_function, is_whole

Report = Callable[[int, int, str, float], None]
"""Called with (pieces done, pieces in all, what was done last, share of the expected cost that is done)."""


def _nothing() -> float:
    return 0.0


@dataclass(frozen=True)
class Piece:
    """A piece of a run.

    Attributes:
        name: what it is reported as.
        outputs: the files that it leaves.
        cost: roughly what it costs beside the others.
        work: what does it, of a function of a module: called with nothing, or by `one_by_one` with the group and with
            what tells how far it is.
        begun: the share of it that is done before it ends.
        after: files that must be there before it begins, which other pieces leave.
        alone: whether no other such piece runs at the same time, as where each needs the whole of a GPU.
    """

    name: str
    outputs: tuple[Path, ...]
    cost: float
    work: partial[None]
    begun: Callable[[], float] = _nothing
    after: tuple[Path, ...] = ()
    alone: bool = False

    @property
    def done(self) -> bool:
        """Whether it has left all that it should."""
        return all(path.exists() for path in self.outputs)


def check_workers(workers: int) -> None:
    """Raise InputError for what is no number of processes."""
    if not is_whole(workers) or workers < 1:
        raise InputError(f"workers {workers!r}; expected at least 1, an integer")


def check_report(report: object) -> None:
    """Raise InputError for what cannot be told how far a run is (see `Report`)."""
    check_function(report, "report", "pieces done, pieces in all, what was done last, and the share that is done")


def undone(pieces: Iterable[Piece]) -> list[Piece]:
    """Those that are left."""
    return [piece for piece in pieces if not piece.done]


def side_by_side(pieces: Sequence[Piece], workers: int, report: Report, every: float | None = None) -> None:
    """Do pieces in processes of one thread each: whenever one is free, the first that can begin.

    Args:
        pieces: all files that one of them waits for are there, or another leaves them.
        workers: processes.
        report: told after each finished piece.
        every: seconds without one after which it is told how far the others are; None: never.

    Raises:
        Exception: whatever a piece raised (see `in_processes`); no other begins.
        KeyboardInterrupt: passed on once the pieces at work have saved what they have.
    """

    def may_begin(index: int, running: Collection[int]) -> bool:
        piece = pieces[index]
        if piece.alone and any(pieces[other].alone for other in running):
            return False
        return all(path.exists() for path in piece.after)

    done = set[Piece]()
    for index in in_processes([piece.work for piece in pieces], workers, may_begin, every):
        done |= set() if index is None else {pieces[index]}
        report(len(done), len(pieces), "at work" if index is None else pieces[index].name, _share(pieces, done))


def one_by_one(pieces: Sequence[Piece], report: Report, group: Group) -> None:
    """Do one piece after the other, each by all processes of a group.

    Args:
        pieces: the same in every process.
        report: told by the first of them of the beginning and the end of each piece, and of what is done in between.
        group: the processes.
    """
    for index, piece in enumerate(pieces):
        tell = partial(_tell, report, pieces, piece.name)
        if group.rank == 0:
            tell(index)
        piece.work(group, partial(tell, index))
        if group.rank == 0:
            tell(index + 1)
        group.wait()


def _tell(report: Report, pieces: Sequence[Piece], label: str, done: int) -> None:
    report(done, len(pieces), label, _share(pieces, pieces[:done]))


def _share(pieces: Sequence[Piece], done: Collection[Piece]) -> float:
    """How much is done, of those that have begun, too."""
    spent = sum(piece.cost * (1.0 if piece in done else piece.begun()) for piece in pieces)
    return spent / sum(piece.cost for piece in pieces)
