"""The pieces of a run: what is left of them, in which order they are done, and how much is said to be done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from maskgraph.empirical import schedule
from maskgraph.empirical.group import Group
from maskgraph.empirical.schedule import Piece, one_by_one, side_by_side, undone

News = list[tuple[int, int, str, float]]


def leave(paths: tuple[Path, ...], needs: tuple[Path, ...] = (), *_: object) -> None:
    """Write files, where others are there already."""
    assert all(path.exists() for path in needs)
    for path in paths:
        path.touch()


def halfway(path: Path, group: Group, tell: partial[None]) -> None:
    """Tell of what is done before it has ended."""
    tell()
    path.touch()


def noted(log: Path, name: str) -> None:
    """Say when it begins and when, a second later, it ends."""
    for word in ("begun", "ended"):
        with log.open("a") as file:
            file.write(f"{word} {name}\n")
        time.sleep(1 if word == "begun" else 0)


def half() -> float:
    """The share of a piece that has begun."""
    return 0.5


def broken() -> None:
    """Do nothing but fail."""
    raise ValueError("broken")


def piece(name: str, cost: float, *paths: Path, needs: tuple[Path, ...] = ()) -> Piece:
    """One that leaves files, once others are there."""
    return Piece(name, paths, cost, partial(leave, paths, needs))


def test_a_piece_is_left_until_all_its_files_are_there(tmp_path: Path) -> None:
    one, two = piece("one", 1, tmp_path / "a", tmp_path / "b"), piece("two", 1, tmp_path / "a")
    assert undone([one, two]) == [one, two]
    (tmp_path / "a").touch()
    assert undone([one, two]) == [one]
    (tmp_path / "b").touch()
    assert undone([one, two]) == []


def test_a_piece_waits_for_files_that_others_leave(tmp_path: Path) -> None:
    """And is begun before what stands behind it; what is done is a share of the cost of all from the beginning."""
    a, b = piece("a", 1, tmp_path / "a"), piece("b", 2, tmp_path / "b")
    last = replace(piece("c", 5, tmp_path / "c", needs=a.outputs + b.outputs), after=a.outputs + b.outputs)
    behind = piece("d", 2, tmp_path / "d")
    news: News = []
    side_by_side([last, a, b, behind], 1, lambda *one: news.append(one))
    assert [(done, total, label) for done, total, label, _ in news] == [
        (1, 4, "a"),
        (2, 4, "b"),
        (3, 4, "c"),
        (4, 4, "d"),
    ]
    assert [share for *_, share in news] == pytest.approx([1 / 10, 3 / 10, 8 / 10, 1])
    assert undone([last, a, b, behind]) == []


def test_of_pieces_that_need_a_gpu_alone_one_runs_at_a_time(tmp_path: Path) -> None:
    """While others run beside it."""
    log = tmp_path / "log"
    pieces = [Piece(name, (), 1, partial(noted, log, name), alone=name < "c") for name in "abcd"]
    side_by_side(pieces, 3, lambda *_: None)
    at = [line.split() for line in log.read_text().splitlines()]
    begun, ended = ({name: i for i, (word, name) in enumerate(at) if word == which} for which in ("begun", "ended"))
    first, second = sorted("ab", key=begun.__getitem__)
    assert ended[first] < begun[second]
    assert max(begun[name] for name in (first, "c", "d")) < min(ended.values())


def test_between_two_ends_it_is_told_how_far_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so many seconds, of as many processes as asked for; what has begun counts, but as no piece that ended."""
    asked: list[tuple[int, int, float | None]] = []

    def ended(jobs: Sequence[partial[None]], workers: int, may: object, every: float | None) -> Iterator[int | None]:
        asked.append((len(jobs), workers, every))
        yield from (None, 1, None, 0)

    monkeypatch.setattr(schedule, "in_processes", ended)
    pieces = [Piece("a", (), 3, partial(broken)), Piece("b", (), 5, partial(broken), half)]
    news: News = []
    side_by_side(pieces, 3, lambda *one: news.append(one), 0.25)
    side_by_side(pieces, 1, lambda *_: None)
    assert asked == [(2, 3, 0.25), (2, 1, None)], "not told of at all where nobody asks"
    assert news == [(0, 2, "at work", 2.5 / 8), (1, 2, "b", 5 / 8), (1, 2, "at work", 5 / 8), (2, 2, "a", 1.0)]


def test_what_fails_ends_the_run_before_another_begins(tmp_path: Path) -> None:
    later = piece("later", 1, tmp_path / "later")
    with pytest.raises(ValueError, match="broken"):
        side_by_side([Piece("broken", (), 1, partial(broken)), later], 1, lambda *_: None)
    assert not later.done


def test_what_has_begun_counts_by_its_share(tmp_path: Path) -> None:
    """One after the other: told before each, when the piece says so, and after it."""
    pieces = [
        piece("first", 2, tmp_path / "first"),
        Piece("second", (tmp_path / "second",), 4, partial(halfway, tmp_path / "second"), half),
    ]
    news: News = []
    one_by_one(pieces, lambda *one: news.append(one), Group())
    assert [(done, label) for done, _, label, _ in news] == [
        (0, "first"),
        (1, "first"),
        (1, "second"),
        (1, "second"),
        (2, "second"),
    ]
    # The second is half done from the beginning, as one that is gone on with.
    assert [share for _, _, _, share in news] == pytest.approx([2 / 6, 4 / 6, 4 / 6, 4 / 6, 1])


def test_only_the_first_process_of_a_group_reports(tmp_path: Path) -> None:
    group = Group()
    group.rank, group.count = 1, 2
    one = piece("one", 1, tmp_path / "one")
    one_by_one([one], lambda *_: pytest.fail("told"), group)
    assert one.done


@pytest.mark.parametrize("rank", [0, 1])
def test_a_group_begins_a_piece_when_all_have_ended_the_one_before(rank: int) -> None:
    """The first process, which reports, and the others alike: whoever goes on alone may read what is not there yet."""
    noted: list[str] = []

    class Noting(Group):
        def wait(self) -> None:
            noted.append("all")

    group = Noting()
    group.rank, group.count = rank, 2
    pieces = [Piece(name, (), 1, partial(lambda name, *_: noted.append(name), name)) for name in ("first", "second")]
    one_by_one(pieces, lambda *_: None, group)
    assert noted == ["first", "all", "second", "all"]
