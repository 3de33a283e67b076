"""The pieces of a run: what is left of them, in which order they are done, and how much is said to be done."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

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


def test_a_round_begins_when_the_one_before_has_ended(tmp_path: Path) -> None:
    """What is done is a share of the cost, of both rounds from the beginning."""
    first = [piece("a", 1, tmp_path / "a"), piece("b", 2, tmp_path / "b")]
    last = [piece("c", 5, tmp_path / "c", needs=(tmp_path / "a", tmp_path / "b"))]
    news: News = []
    side_by_side([first, last], 2, lambda *one: news.append(one))
    assert [(done, total) for done, total, _, _ in news] == [(1, 3), (2, 3), (3, 3)]
    assert {label for _, _, label, _ in news[:2]} == {"a", "b"}
    assert news[0][3] == pytest.approx({"a": 1 / 8, "b": 2 / 8}[news[0][2]])
    assert [share for _, _, _, share in news[1:]] == pytest.approx([3 / 8, 1])
    assert undone([*first, *last]) == []


def test_what_fails_ends_the_run_before_the_next_round(tmp_path: Path) -> None:
    later = piece("later", 1, tmp_path / "later")
    with pytest.raises(ValueError, match="broken"):
        side_by_side([[Piece("broken", (), 1, partial(broken))], [later]], 1, lambda *_: None)
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
