"""`recipe`: from nothing to a page, under torchrun too, and the obvious mistakes."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from maskgraph.cli import main
from maskgraph.empirical.recipe import read_recipe, recipe_names
from maskgraph.recipe_text import judged_text
from tests.cli.refusal import assert_refused
from tests.together import start

ROOT = Path(__file__).parents[2]

RECIPE = """
[data]
dataset = "digits"
patch = 4
images = 150
[train]
methods = ["mae", "u-mae"]
seeds = 2
epochs = 1
[judge]
probes = ["ridge", "few-shot"]
views = 2
images = 20
[expect]
about = "small"
source = "nowhere"
[expect.mae]
"cls.ridge" = 0.5
"""

TRAINED = [(method, seed) for method in ("mae", "u-mae") for seed in (0, 1)]

PATIENCE = 120
"""Seconds that processes have on a busy machine."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(("accuracies", "half"), [((0.98, 0.99), 0.064), ((0.0, 0.02), 0.127), ((0.4, 0.41), 0.064)])
def test_what_stands_beside_a_score_is_no_shorter_where_accuracies_end(
    accuracies: tuple[float, ...], half: float
) -> None:
    """Two seeds: 12.706 standard errors of half of what they differ by, which at 0.99 is beyond 1."""
    records = [
        {
            "method": "mae",
            "seed": seed,
            "layers": {},
            "collapse": {},
            "scores": {"cls.ridge": {"accuracy": accuracy, "low": 0.0, "high": 1.0}},
        }
        for seed, accuracy in enumerate(accuracies)
    ]
    shown = judged_text(read_recipe("digits"), records, [])
    assert f" {sum(accuracies) / 2:.3f}±{half:.3f}\n" in shown


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe"]) == 0
    first = [line.split()[:1] for line in capsys.readouterr().out.splitlines()]
    assert all([name] in first for name in recipe_names())


def test_a_recipe_prints_scores_and_leaves_a_page(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = small.parent / "run"
    assert main(["recipe", str(small), "--out", str(run), "--workers", "2"]) == 0
    out = capsys.readouterr().out
    header = next(line for line in out.splitlines() if line.split()[:1] == ["readout"])
    assert header.split() == ["readout", "mae", "u-mae", "gaussian", "pixels", "random-mae"]
    assert "u-mae - mae" in out
    expected = next(line for line in out.splitlines() if line.rstrip().endswith("nowhere")).split()
    scores = [json.loads((run / "records" / f"mae-s{seed}.json").read_text())["scores"] for seed in range(2)]
    mean = sum(score["cls.ridge"]["accuracy"] for score in scores) / 2
    assert expected == ["mae", "cls.ridge", "0.5", f"{mean:.4g}", "nowhere"]
    page = (run / "report.html").read_text()
    for name in ("readouts", "learning", "blocks", "singular_values"):
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert base64.b64encode((run / "figures" / f"{name}.png").read_bytes()).decode() in page
    losses = [json.loads((run / "records" / f"{m}-s{s}.json").read_text())["final_reconstruction"] for m, s in TRAINED]
    assert all(f"<td>{loss:.4g}</td>" in page for loss in losses)
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text() == page
    capsys.readouterr()
    assert_refused(
        capsys, r"holds a recipe, whose networks see pixels .*; expected a run of maskgraph", "verify", str(run)
    )
    capsys.readouterr()
    assert main(["recipe", str(small), "--out", str(run), "--resume", "--json"]) == 0
    resumed = capsys.readouterr()
    assert "no run to resume" not in resumed.err
    found = json.loads(resumed.out)
    assert [record["method"] for record in found["records"][:4]] == ["mae", "mae", "u-mae", "u-mae"]


EDITS: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    (
        "mae-s0",
        lambda one: one.update(method="mea"),
        r"holds method 'mea', which is none of gaussian, mae, pixels, ran",
    ),
    ("mae-s0", lambda one: one.update(method=["mae"]), r"holds method \['mae'\], which no run writes"),
    ("mae-s0", lambda one: one["scores"].pop("cls.knn"), r"mae-s0.json lacks scores.cls.knn"),
    ("u-mae-s1", lambda one: one["scores"].pop("cls.knn"), r"u-mae-s1.json lacks scores.cls.knn"),
    *(
        ("mae-s1", lambda one, name=name: one.pop(name), rf"mae-s1.json lacks {name}")
        for name in ("steps", "lam", "final_reconstruction", "train_cpu_seconds")
    ),
    (
        "mae-s0",
        lambda one: one["collapse"]["cls"]["bounds"]["nesum"].pop(),
        r"holds 1 in collapse.cls.bounds.nesum, wh",
    ),
    ("mae-s0", lambda one: one["collapse"]["cls"]["bounds"].update(nesum=["0", 1]), r"nesum\[0\] '0', which no run"),
    ("mae-s0", lambda one: one["collapse"]["cls"].pop("rankme"), r"lacks collapse.cls.rankme"),
    ("mae-s0", lambda one: one.update(collapse={}), r"mae-s0.json lacks collapse.cls"),
    ("gaussian-s0", lambda one: one.update(collapse={}), r"gaussian-s0.json lacks collapse.features"),
    (
        "mae-s0",
        lambda one: one["collapse"]["cls"]["singular_values"].pop(),
        r"holds 63 in collapse.cls.singular_values",
    ),
    ("mae-s0", lambda one: one["layers"].pop("mean"), r"mae-s0.json lacks layers.mean"),
    ("mae-s0", lambda one: one["layers"]["cls"].pop(), r"holds 1 in layers.cls, where there have to be 2"),
]
"""What a hand may have done to a record, and what is said of it."""


@pytest.mark.parametrize(("name", "edit", "message"), EDITS)
def test_a_record_that_was_edited_by_hand_is_refused(
    name: str,
    edit: Callable[[dict[str, Any]], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ROOT / "results" / "recipes" / "digits", run)
    path = run / "records" / f"{name}.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    assert_refused(capsys, rf"{message}.*; delete it and run again with --resume", "report", str(run))


def test_a_curve_of_no_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(ROOT / "results" / "recipes" / "digits", run)
    (run / "curves").mkdir(exist_ok=True)
    (run / "curves" / "mea-s0.json").write_text("[]")
    assert_refused(capsys, r"mea-s0.json is named after no network; expected METHOD-sSEED.json", "report", str(run))


def test_recipes_and_what_they_found_are_one_json_object_each(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["recipes"]
    assert [one["recipe"] for one in listed] == recipe_names()
    assert all(one["operations"] > 0 for one in listed)
    run = small.parent / "one"
    assert main(["recipe", str(small), "--methods", "u-mae", "--seeds", "1", "--out", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {record["method"] for record in found["records"]} == {"u-mae", "pixels", "random-mae", "gaussian"}
    assert found["differences"] == found["expected"] == []
    assert main(["recipe", str(small), "--seeds", "1", "--out", str(run), "--json", "--resume"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {change["readout"] for change in found["differences"]} >= {"cls.ridge", "mean.ridge"}
    assert found["expected"] == [{"method": "mae", "readout": "cls.ridge", "accuracy": 0.5, "source": "nowhere"}]
    # With one seed what is known is the draw of the images.
    assert main(["recipe", str(small), "--seeds", "1", "--out", str(run), "--resume"]) == 0
    out = capsys.readouterr().out
    assert "± the longer side of its 95 % interval over the draw of the images: one seed says nothing of others" in out
    score = json.loads((run / "records" / "mae-s0.json").read_text())["scores"]["cls.ridge"]
    sides = score["high"] - score["accuracy"], score["accuracy"] - score["low"]
    wanted = f"{score['accuracy']:.3f}±{max(sides):.3f}"
    assert next(line for line in out.splitlines() if line.split()[:1] == ["cls.ridge"]).split()[1] == wanted


def test_two_processes_train_and_judge_the_networks_of_one(small: Path) -> None:
    """To the drift that tests/empirical/test_group.py derives; random networks are the same in both."""
    alone, together = small.parent / "alone", small.parent / "together"
    recipe = ["recipe", str(small), "--seeds", "1"]
    assert main([*recipe, "--out", str(alone)]) == 0
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "maskgraph"]
    command = [sys.executable, *launch, *recipe, "--out", str(together)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    # The first process speaks for all.
    assert done.stdout.count("written:") == 1
    for name in ("mae-s0", "u-mae-s0"):
        losses = [
            json.loads((run / "curves" / f"{name}.json").read_text())[-1]["reconstruction"] for run in (alone, together)
        ]
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    known, shared = (json.loads((run / "records" / "random-mae-s0.json").read_text()) for run in (alone, together))
    assert shared["scores"].keys() == known["scores"].keys()
    for name, score in known["scores"].items():
        # Of 45 images two, whose class hangs on the last bits of features that were read in other batches.
        assert shared["scores"][name]["accuracy"] == pytest.approx(score["accuracy"], abs=2.1 / 45), name
    assert (together / "report.html").exists()
    again = said_by_two(*recipe, "--out", str(together))
    assert again.count("holds a recipe already; add --resume to finish it") == 1
    assert "another process of this run has ended" not in again


def test_bad_input_is_said_once_by_all_processes(small: Path) -> None:
    said = said_by_two("recipe", str(small), "--accumulate", "33")
    assert said.count("maskgraph: error: accumulate 33 parts of 32 images") == 1


def said_by_two(*arguments: str) -> str:
    """The errors of two processes that refuse a command."""
    started = start("maskgraph", *arguments, count=2)
    said = [one.communicate(PATIENCE) for one in started]
    assert [one.returncode for one in started] == [2, 2]
    assert [out for out, _ in said] == ["", ""]
    return "".join(errors for _, errors in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "3"], r"--seeds without a recipe; name one, such as digits, or list them"),
        (["--json", "--data-dir", "images"], r"--data-dir without a recipe; name one"),
        (["--resume"], r"--resume without a recipe; name one"),
        (["--workers", "2"], r"--workers without a recipe; name one"),
        (["cifar"], r"unknown recipe 'cifar'; expected .*digits.*, or the path of a .toml file"),
        (["nowhere.toml"], r"nowhere.toml cannot be read .*; expected a recipe in TOML"),
        (["digits", "--seeds", "0"], r"seeds 0; expected at least 1"),
        (
            ["digits", "--methods", "mae", "moco"],
            r"unknown method 'moco'; expected one of mae, u-mae, simmim, u-simmim",
        ),
        (["digits", "--methods", "mae", "mae"], r"methods \['mae', 'mae'\]; name at least one, and each once"),
        (["digits", "--device", "cuda"], r"device cuda, but PyTorch sees no CUDA device here"),
        (["digits", "--workers", "0"], r"workers 0; expected at least 1"),
        (["digits", "--precision", "fp8"], r"unknown precision 'fp8'; expected one of auto, fp32, bf16"),
        (["cifar10-tiny", "--data-dir", "/nowhere"], r"/nowhere"),
        (["digits", "--data-dir", "/nowhere"], r"data_dir /nowhere of digits, which reads nothing there"),
        (["imagenet100-base"], r"say where it is with --data-dir"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    # Beside a GPU one of these would be no mistake, and train.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_refused(capsys, message, "recipe", *arguments)
    assert list(tmp_path.iterdir()) == []
