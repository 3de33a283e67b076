"""`maskgraph falsify`: how near a statement is to being broken, and what breaks when an assumption is dropped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from maskgraph.cli import main
from maskgraph.theory import falsify, statements
from maskgraph.theory.counterexamples import Counterexample, load
from maskgraph.theory.small_worlds import SMALL_WORLDS
from maskgraph.theory.statement import Link
from tests.cli.refusal import assert_refused


def test_tightness_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["falsify", "Thm 3.4", "S1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dim"], found["lipschitz"], found["seed"]) == (2, 1.0, 0)
    paper, sharper = (row["worlds"]["two views"] for row in found["statements"])
    assert paper["tightness"] == pytest.approx(0.5, abs=1e-6)
    assert sharper["tightness"] == pytest.approx(1, abs=1e-6)
    assert not any(world["broken"] for row in found["statements"] for world in row["worlds"].values())
    assert main(["falsify", "S1"]) == 0
    assert "1: attained. v: the bound is vacuous there." in capsys.readouterr().out


def test_a_dimension_above_the_views_of_some_worlds_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(falsify, "SMALL_WORLDS", {name: SMALL_WORLDS[name] for name in ("two views", "three views")})
    assert main(["falsify", "I5", "--dim", "3", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["statements"]
    assert {name: world["dim"] for name, world in row["worlds"].items()} == {"two views": 2, "three views": 3}
    assert main(["falsify", "I5", "--dim", "3"]) == 0
    assert "dim 3, or a graph's number of views, L = 1" in capsys.readouterr().out
    assert main(["falsify", "I5"]) == 0
    assert "dim 2, L = 1" in capsys.readouterr().out


def test_a_broken_statement_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = statements.statement("S1")
    false = replace(known, chain=(*known.chain[:-1], Link("planted", lambda t: 1.1 * t.half_pair_h)))
    monkeypatch.setattr(statements, "STATEMENTS", (false,))
    assert main(["falsify", "S1"]) == 1
    assert "BROKEN 1.1" in capsys.readouterr().out


def test_counterexamples_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    assert main(["falsify", "U", "--counterexamples", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    (found,) = json.loads(out.read_text())
    stored = next(example for example in load() if example.number == "U")
    assert isinstance(stored, Counterexample)
    assert (found["number"], found["dropped"]) == ("U", stored.dropped)


def test_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert_refused(capsys, "unknown statement 'Q'; expected one of I1", "falsify", "Q")
    assert_refused(capsys, r"unknown statement 's2'; did you mean S2\? expected one of I1", "falsify", "s2")
    assert_refused(capsys, "unknown statement 'Thm'; .* with a space stands in quotes", "falsify", "Thm", "4.2")
    assert_refused(capsys, "dimension 0; expected at least 1", "falsify", "S1", "--dim", "0")
    assert_refused(
        capsys,
        r"dimension 1000; expected at most 3: the graphs that are searched have no more views, .* \(see --dim\)",
        *("falsify", "S1", "--dim", "1000"),
    )
    assert_refused(capsys, "Lipschitz constant -1; expected a positive number", "falsify", "S2", "--lipschitz", "-1")
    assert_refused(capsys, "seed -1; expected an integer from 0 to 4294967295", "falsify", "S2", "--seed", "-1")
    out = tmp_path / "x.json"
    for option, *value in (("--dim", "3"), ("--lipschitz", "1"), ("--json",)):
        given = (*("falsify", "U", "--counterexamples", str(out)), option, *value)
        assert_refused(capsys, f"{option}.* beside --counterexamples, which .*; leave it out", *given)
    assert not out.exists()
    # Before the search and not after it: nothing else is said.
    assert_refused(
        capsys,
        "is a directory; expected the path of a file to write$",
        *("falsify", "U", "--counterexamples", str(tmp_path)),
    )
    (tmp_path / "file").write_text("")
    assert_refused(
        capsys,
        r"cannot be written \(.*\); choose another directory$",
        "falsify",
        "U",
        "--counterexamples",
        str(tmp_path / "file" / "x.json"),
    )
