"""`train`, `study`, `verify` and `report`: one path from nothing to a page, and the obvious mistakes."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maskgraph import training_commands
from maskgraph.cli import main
from maskgraph.empirical.claim import held
from maskgraph.theory.statements import STATEMENTS
from tests.cli.refusal import assert_refused

STUDY = """
[data]
dataset = "mixture:n=4,eta=0.2"
images = 200
[graph]
mask_ratios = [0.25, 0.5]
views = ["positional", "bag"]
hops = ["target", "image"]
[train]
seeds = 2
epochs = 1
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small study."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(STUDY)
    assert main(["study", str(folder / "small.toml"), "--out", str(folder / "run"), "--workers", "2"]) == 0
    return folder / "run"


def test_a_study_leaves_records_bounds_models_figures_and_a_page(run: Path) -> None:
    models = {f"{m}-r{r}-s{s}" for m in ("mae", "u-mae") for r in ("0.25", "0.5") for s in (0, 1)}
    baselines = {"majority-class", "raw-pixels", "coded-pixels", "random-network-s0", "random-network-s1"}
    assert {path.stem for path in (run / "records").iterdir()} == models | baselines
    assert {path.stem for path in (run / "models").iterdir()} == models
    assert len(list((run / "bounds").iterdir())) == 2 * 2 * 2
    page = (run / "report.html").read_text()
    for name in ("bound_versus_accuracy", "accuracy_against_bound", "spectra", "worlds"):
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert base64.b64encode((run / "figures" / f"{name}.png").read_bytes()).decode() in page
    assert page.count("Gaussian features on the same graphs") == 1


def test_a_study_says_what_it_runs_before_its_first_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What its file leaves out as well."""
    (tmp_path / "short.toml").write_text(
        '[data]\ndataset = "mixture:n=4"\nimages = 60\n[train]\nseeds = 1\nepochs = 1\n'
    )
    assert main(["study", str(tmp_path / "short.toml"), "--out", str(tmp_path / "run"), "--workers", "1"]) == 0
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == (
        "short, 6 models: mixture:n=4; mask ratios 0.25, 0.5, 0.75; mae, u-mae; 1 seed of 1 epoch each; "
        "bounds of positional views, target hop"
    )
    assert not [line for line in rest if "models:" in line]
    (tmp_path / "short.toml").write_text('[data]\ndataset = "mixture:n=4"\npath = 2\n')
    assert_refused(capsys, "did you mean patch", "study", str(tmp_path / "short.toml"))


def test_verify_of_a_run_prints_what_was_recorded(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert len(checks) == 8 * len(STATEMENTS)
    assert [check["statement"] for check in checks[: len(STATEMENTS)]] == [known.number for known in STATEMENTS]
    for check in checks:
        if check["lhs"] is not None and check["rhs"] is not None:
            difference = check["lhs"] - check["rhs"]
            signed = {">=": difference, "<=": -difference, "=": -abs(difference)}[check["sense"]]
            assert check["slack"] == pytest.approx(signed)
        assert check["verdict"] != "violated"


@pytest.mark.parametrize(("option", "value"), [("--view", "positional"), ("--mask-ratio", "0.5"), ("--seed", "0")])
def test_options_about_graphs_are_refused_beside_a_run(
    option: str, value: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = f"{option} {value} for .*, which is no dataset but a run with its own; leave it out"
    assert_refused(capsys, message, "verify", str(run), option, value)


def test_verify_of_a_run_counts_verdicts_and_says_where_slack_goes(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"8 models, {8 * len(STATEMENTS)} checks, 0 violated" in out
    (row,) = [line for line in out.splitlines() if line.split()[:2] == ["Thm", "3.4"] and "unit" not in line][:1]
    assert re.search(r"(target gap|factor 2|epsilon) \d+%$", row)
    assert "Thm 3.4 unit, assumption not met: unit-norm h by" in out


def test_verify_refuses_records_of_another_version(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "records" / "mae-r0.5-s0.json").read_text())
    del record["checks"][0]["steps"]
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "mae-r0.5-s0.json").write_text(json.dumps(record))
    assert_refused(capsys, r"s0\.json lacks checks\[0\]\.steps; delete it and run", "verify", str(tmp_path))


def test_verify_of_an_empty_name_is_not_of_this_directory(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as that of a variable of a shell that is not set."""
    assert_refused(capsys, "'' is no path; expected that of a directory or of a file", "verify", "")


def test_verify_exits_1_where_a_theorem_is_violated(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "records" / "mae-r0.5-s0.json").read_text())
    record["checks"][0]["verdict"] = "violated"
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "mae-r0.5-s0.json").write_text(json.dumps(record))
    assert main(["verify", str(tmp_path)]) == 1


def test_verify_of_a_dataset_holds_the_theorems_to_an_untrained_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "mixture:n=4", "--mask-ratio", "0.5", "--view", "bag"]) == 0
    out = capsys.readouterr().out
    assert f"1 model, {len(STATEMENTS)} checks, 0 violated" in out
    about = "mixture:n=4,eta=0.3,classes=2: 32 images of 4 patches, bag views"
    assert out.startswith(f"{about}\nuntrained 0.5 seed 0\n")


def test_report_is_drawn_anew_from_records_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = run / "report.html"
    before = page.read_text()
    page.unlink()
    assert main(["report", str(run)]) == 0
    assert str(page) in capsys.readouterr().out
    assert page.read_text() == before


def test_train_is_a_study_of_one_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    data = ("mixture:n=4", "--images", "100", "--epochs", "1", "--out", str(out))
    options = ("--method", "u-mae", "--mask-ratio", "0.5", "--view", "bag", "--workers", "1", "--resume")
    assert main(["train", *data, *options]) == 0
    found = capsys.readouterr()
    assert "u-mae" in found.out
    # A script may ask for it every time; who misspelt --out is told.
    assert f"{out}: holds no run to resume; a new one begins" in found.err
    assert {path.stem for path in (out / "models").iterdir()} == {"u-mae-r0.5-s0"}
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert drawn == {"bound_versus_accuracy", "waterfall", "spectra", "worlds"}, "one ratio has no order"
    assert_refused(capsys, "holds a study already; add --resume", "train", *data, "--mask-ratio", "0.5")
    other = ("--resume", "--mask-ratio", "0.5", "--method", "u-mae", "--view", "bag", "--lambda", "0.5")
    assert_refused(capsys, r"holds another study \(train.lam is 0.01 there and 0.5 here\)", "train", *data, *other)


def test_a_train_on_all_tokens_is_told_by_the_probes_of_cls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the tokens there are as many as a mask leaves: nothing reads classes off them."""
    data = ("mixture:n=4", "--images", "100", "--epochs", "1", "--out", str(tmp_path / "run"))
    assert main(["train", *data, "--mask-ratio", "0.5", "--feature", "tokens", "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "probes of the cls feature\n" in out, "one seed has no spread"
    again = ("--resume", "--seeds", "2")
    assert main(["train", *data, "--mask-ratio", "0.5", "--feature", "tokens", "--workers", "1", *again]) == 0
    out = capsys.readouterr().out
    assert "probes of the cls feature, ± SD over 2 seeds\n" in out
    a, b = (json.loads(path.read_text())["L_MAE"] for path in (tmp_path / "run" / "records").glob("mae-*"))
    assert f" {(a + b) / 2:.3f}±{abs(a - b) / 2**0.5:.3f} " in out
    assert (tmp_path / "run" / "report.html").exists()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the tests run in the background of a script SIGINT is ignored, and would be by what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "reached"), [(signal.SIGINT, "all"), (signal.SIGTERM, "parent")])
@pytest.mark.usefixtures("interruptible")
def test_a_killed_train_goes_on_where_it_was(number: signal.Signals, reached: str, tmp_path: Path) -> None:
    """A signal after the first model, as Ctrl-C and as schedulers send it; then resume to the end."""
    out = tmp_path / "run"
    options = ["mixture:n=4", "--mask-ratio", "0.5", "--seeds", "3", "--images", "400", "--epochs", "10"]
    command = [sys.executable, "-m", "maskgraph", "train", *options, "--out", str(out), "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("records/mae-*.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if reached == "parent":
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        assert process.stderr is not None
        errors = process.stderr.read()
        assert process.wait(60) == 130, errors
    assert errors.endswith("repeat the command with --resume to go on.\n"), errors
    assert "Traceback" not in errors
    first = next(out.glob("records/mae-*.json"))
    kept = first.stat().st_mtime_ns
    assert len(list(out.glob("records/mae-*.json"))) < 3
    assert main(["train", *options, "--out", str(out), "--workers", "1", "--resume"]) == 0
    assert first.stat().st_mtime_ns == kept
    assert len(list(out.glob("records/mae-*.json"))) == 3


@pytest.mark.parametrize("killed", [signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_outlive_a_killed_parent(killed: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["mixture:n=4", "--mask-ratio", "0.5", "--seeds", "3", "--images", "400", "--epochs", "400"]
    command = [sys.executable, "-m", "maskgraph", "train", *options, "--out", str(out), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("models/*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(killed)
        process.wait(60)
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers were still there")


def test_a_checkpoint_of_another_model_stops_a_resume_before_any_work(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    models, record = copy / "models", copy / "records" / "mae-r0.25-s0.json"
    (models / "mae-r0.25-s0.safetensors").write_bytes((models / "mae-r0.5-s0.safetensors").read_bytes())
    record.unlink()
    message = r"checkpoint of another model \(train.mask_ratio is 0.5 there and 0.25 here\)"
    assert_refused(capsys, message, "study", str(run.parent / "small.toml"), "--out", str(copy), "--resume")
    assert not record.exists()


def test_a_diverged_training_says_where_and_what_to_try(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("mixture:n=4", "--images", "100", "--mask-ratio", "0.5", "--epochs", "2", "--lr", "1e30")
    assert main(["train", *options, "--out", str(tmp_path / "run"), "--workers", "1"]) == 3
    errors = capsys.readouterr().err
    assert re.search(r"not finite at step \d+; try a lower lr", errors)
    assert "Traceback" not in errors


BAD = [
    (("train", "digits", "--mask-ratio", "2"), "mask ratio 2 is outside"),
    (("train", "digits", "--mask-ratio", "0.5", "0.5"), r"\[0.5, 0.5\] names a value twice"),
    (("train", "digits", "--mask-ratio", "0.5", "--method", "simclr"), "unknown method 'simclr'; expected one of mae"),
    (("train", "digits", "--mask-ratio", "0.5", "--size", "huge"), "unknown size 'huge'; expected one of micro"),
    (("train", "digits", "--mask-ratio", "0.5", "--feature", "all"), "unknown feature 'all'"),
    (
        ("train", "digits", "--mask-ratio", "0.5", "--device", "tpu"),
        "unknown device 'tpu'; expected one of auto, cpu, cuda",
    ),
    (("train", "digits", "--mask-ratio", "0.5", "--epochs", "0"), "epochs 0; expected at least 1"),
    (("train", "digits", "--mask-ratio", "0.5", "--lr", "nan"), "lr nan; expected"),
    (("train", "digits", "--mask-ratio", "0.5", "--seeds", "0"), "seeds 0; expected at least 1"),
    (("train", "digits", "--mask-ratio", "0.5", "--workers", "0"), "workers 0; expected at least 1"),
    (("train", "digits", "--mask-ratio", "0.5", "--out", "/dev/null/x"), "cannot be written .*; choose another"),
    (("train", "digits", "--mask-ratio", "0.5", "--out", ""), "argument --out: '' is no path; expected"),
    (("study", ""), "'' is no path; expected that of a directory or of a file"),
    (("report", ""), "'' is no path; expected that of a directory or of a file"),
    (
        ("train", "digits", "--mask-ratio", "0.5", "--method", "u-simmim", "--decoder-dim", "8"),
        "decoder_dim 8 of u-simmim, whose decoder is one linear layer; leave it out, or use mae or u-mae",
    ),
    (
        ("train", "digits", "--mask-ratio", "0.5", "--lambda", "0.1"),
        "--lambda 0.1 of mae, which has no uniformity loss to read it; leave it out, or use --method u-mae",
    ),
    (("train", "digits", "--mask-ratio", "0.5", "--queue", "0"), "--queue 0 of mae, .* use --method u-mae"),
    (("train", "digits", "--mask-ratio", "0.5", "--no-diagonal"), "--no-diagonal of mae, .* use --method u-mae"),
    (("train", "digits", "--mask-ratio", "0.5", "--final-norm", "twice"), "--final-norm twice of mae, .* use --method"),
    (
        ("train", "digits", "--mask-ratio", "0.5", "--method", "simmim", "--lambda", "auto"),
        "--lambda auto of simmim, .* use --method u-simmim",
    ),
    (("--verison",), r"^maskgraph: error: unrecognized arguments: --verison; did you mean --version\? "),
    (
        ("trian", "digits"),
        r"unknown command 'trian'; did you mean train\? expected one of bound, verify, falsify, .*repo",
    ),
    (("study", "none.toml"), "none.toml cannot be read"),
    (("study", "--resum", "none.toml", "--worker", "1", "--outt", "x"), "--outt x; did you mean --out"),
    (("verify", "nothing"), "unknown run or dataset 'nothing'; expected one of .*, or the path of a run's dir"),
    (
        ("verify", "Digits"),
        "unknown run or dataset 'Digits'; did you mean digits\\? expected one of digits, fashion-mnist",
    ),
    (("report", "nothing"), "nothing is no directory; expected that of a run"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(capsys, message, *arguments)
    assert not list(tmp_path.iterdir()), "nothing is written before the input is known to be good"


def test_no_report_is_written_where_another_command_is_at_work(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, written = run / "report.html", (run / "report.html").stat().st_mtime_ns
    with held(run):
        assert_refused(capsys, "another command is at work in .*; wait for its end", "report", str(run))
    assert page.stat().st_mtime_ns == written


def test_images_of_one_class_are_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "one.npz", tmp_path / "run"
    np.savez(path, pixels=np.random.default_rng(0).random((9, 4, 4)), labels=np.zeros(9, dtype=int))
    command = ("train", str(path), "--patch", "2", "--mask-ratio", "0.5", "--out", str(out))
    assert_refused(capsys, "are of one class, which any probe knows; expected two or more", *command)
    assert not out.exists()


def test_a_directory_of_something_else_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(capsys, "holds no records", "verify", str(tmp_path))


def test_a_study_interrupted_while_it_draws_says_how_to_go_on(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_run: Path) -> list[Path]:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_commands, "_report", interrupted)
    assert main(["study", str(run.parent / "small.toml"), "--out", str(run), "--resume"]) == 130
    assert capsys.readouterr().err.endswith("repeat the command with --resume to go on.\n")


def test_what_is_not_met_is_counted_alike_above_and_beneath(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run)]) == 0
    out = capsys.readouterr().out
    notes = re.findall(r"^(.*), assumption not met: .*?(?: \(and (\d+) more like it\))?$", out, re.MULTILINE)
    lines = out.splitlines()
    names, unmet = lines[0].index("statement") + len("statement"), lines[0].index("unmet") + len("unmet")
    assert notes
    for statement, more in notes:
        row = next(line for line in lines if line[:names].strip() == statement)
        assert int(row[:unmet].split()[-1]) == 1 + int(more or 0)


def test_what_was_interrupted_before_it_began_is_not_said_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^$"), training_commands._resumable(tmp_path / "run"):
        raise KeyboardInterrupt
    with (
        pytest.raises(KeyboardInterrupt, match="repeat the command with --resume"),
        training_commands._resumable(tmp_path),
    ):
        raise KeyboardInterrupt
