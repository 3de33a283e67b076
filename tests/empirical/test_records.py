"""Records: written whole or not at all, in JSON that any reader takes, and read into one table."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskgraph.empirical.records import (
    NULL,
    check_shape,
    check_writable,
    gaussian_nulls,
    probed_feature,
    read_bounds,
    read_json,
    read_records,
    read_study,
    to_json,
    write_atomically,
    write_json,
)
from maskgraph.empirical.summary import read_judged
from maskgraph.graphs.errors import InputError


def bare(run: Path, ratios: list[float], views: list[str], hops: list[str]) -> None:
    """A run of bounds alone, named so that the order of names is not that of the plan."""
    graph = {"mask_ratios": ratios, "views": views, "hops": hops}
    plan = {"graph": graph, "train": {"feature": "cls", "view": "positional"}}
    write_json(run / "study.json", {"plan": plan, "machine": {}})
    measured = dict.fromkeys(("dim", "kept", "masks", "components", "head_sq", "tail_sq", "lambda"), 1)
    unknown = dict.fromkeys(("alpha", "alpha_target", "phi", "inter", "bayes_risk", "rank_floor"))
    parts = {"bounds": {"thm_4_2": 0, "water_filling": 0}, "unseen": {"visible": None, "target": None}}
    whole = {"dataset": "x", "eigenvalues": [1.0], **measured, **unknown, **parts}
    for view in views:
        for hop in hops:
            for ratio in ratios:
                content = {**whole, "view": view, "hop": hop, "mask_ratio": ratio}
                write_json(run / "bounds" / f"{view}-{hop}-r{ratio}.json", content)


def test_what_is_not_finite_is_null_wherever_it_is() -> None:
    value = {"a": math.nan, "b": [math.inf, 1.5, {"c": (-math.inf, "NaN", True, 2)}], "d": None}
    assert json.loads(to_json(value)) == {"a": None, "b": [None, 1.5, {"c": [None, "NaN", True, 2]}], "d": None}


def test_numbers_are_read_back_to_the_last_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, float(np.float64(2) ** -52), 2**60]
    write_json(tmp_path / "x.json", values)
    assert read_json(tmp_path / "x.json") == values


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"x\.json cannot be written \(.*No space left.*choose another directory"):
        write_atomically(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
    assert path.read_bytes() == b"old"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, b"old")

    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
    assert path.read_bytes() == b"old"


def test_a_file_is_as_readable_as_the_user_makes_files(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    old = os.umask(0o027)
    try:
        plain.write_text("x")
        write_atomically(ours, b"x")
        left = os.umask(0o027)
    finally:
        os.umask(old)
    assert ours.stat().st_mode == plain.stat().st_mode
    assert left == 0o027, "the caller's umask stays"


def test_bounds_are_in_the_order_of_the_plan(tmp_path: Path) -> None:
    bare(tmp_path, [0.75, 0.05, 0.5], ["sequence", "bag"], ["target", "image"])
    table = read_bounds(tmp_path)
    wanted = [(v, h, r) for v in ("sequence", "bag") for h in ("target", "image") for r in (0.05, 0.5, 0.75)]
    assert list(zip(table["view"], table["hop"], table["mask_ratio"], strict=True)) == wanted


def test_lacking_bounds_are_named(tmp_path: Path) -> None:
    bare(tmp_path, [0.25, 0.5], ["bag"], ["target"])
    (tmp_path / "bounds" / "bag-target-r0.5.json").unlink()
    with pytest.raises(InputError, match=r"lacks the bounds of bag target 0\.5; finish it by repeating it with --res"):
        read_bounds(tmp_path)


def test_records_are_one_table_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, ratio in (("b", 0.5), ("a", None)):
        content: dict[str, object] = {"method": name, "mask_ratio": ratio, "seed": 0, "checks": []}
        write_json(tmp_path / "records" / f"{name}.json", content)
    table = read_records(tmp_path)
    assert list(table["method"]) == ["a", "b"]
    assert math.isnan(table["mask_ratio"][0])
    assert table["mask_ratio"][1] == 0.5


READERS: list[tuple[Any, str]] = [
    (read_bounds, "holds no bounds"),
    (read_records, "holds no records"),
    (read_study, r"study\.json cannot be read \(No such file or directory\)"),
]


@pytest.mark.parametrize(("reader", "message"), READERS)
def test_an_empty_directory_is_no_run(reader: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        reader(tmp_path)


@pytest.mark.parametrize("reader", [read_bounds, read_records])
def test_a_recipe_s_records_are_not_to_be_deleted(reader: Any, tmp_path: Path) -> None:
    """They lack what those of a study hold, and are whole."""
    write_json(tmp_path / "recipe.json", {"plan": {"train": {"methods": ["mae"]}}})
    judged = {"dataset": "digits", "method": "pixels", "seed": 0, "scores": {}, "layers": {}, "collapse": {}}
    write_json(tmp_path / "records" / "pixels-s0.json", judged)
    with pytest.raises(
        InputError, match=r"holds a recipe, .*; expected a run of .* read_judged of maskgraph.empirical"
    ):
        reader(str(tmp_path))
    assert read_judged(str(tmp_path)) == [judged]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"method": "mae"', r"mae\.json is not JSON \(.*delete it and run again with --resume"),
        ('{"method": "mae"}', r"mae\.json lacks mask_ratio; delete it and run again with --resume$"),
        ("[]", r"mae\.json holds \[\], which no run writes; delete it and run again with --resume$"),
        (
            '{"method": "mae", "mask_ratio": "0.5", "seed": 0, "checks": []}',
            r"mae\.json holds mask_ratio '0\.5', which no run",
        ),
        (
            '{"method": "mae", "mask_ratio": 0.5, "seed": 0, "checks": [3]}',
            r"mae\.json holds checks\[0\] 3, which no run writes",
        ),
        (
            '{"method": "mae", "mask_ratio": 0.5, "seed": 0, "checks": [{"statement": "S2"}]}',
            r"mae\.json lacks checks\[0\]\.formula; delete it",
        ),
        (
            '{"method": "mae", "mask_ratio": 0.5, "seed": 0, "checks": [], "cls.knn": "0.9"}',
            r"mae\.json holds cls\.knn '0\.9', which no run writes",
        ),
    ],
)
def test_a_damaged_record_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "mae.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({}, r"study\.json lacks plan\.graph; delete it and run again with --resume"),
        (
            {"graph": {"mask_ratios": [0.5], "views": ["bag"], "hops": ["target"]}, "train": {"feature": "cls"}},
            r"study\.json lacks plan\.train\.view; delete it",
        ),
        ({"graph": {"mask_ratios": 0.5}}, r"study\.json holds plan\.graph\.mask_ratios 0\.5, which no run writes"),
    ],
)
def test_a_damaged_plan_is_named(plan: dict[str, object], message: str, tmp_path: Path) -> None:
    bare(tmp_path, [0.5], ["bag"], ["target"])
    write_json(tmp_path / "study.json", {"plan": plan, "machine": {}})
    with pytest.raises(InputError, match=message):
        read_bounds(tmp_path)


def test_a_damaged_bound_is_named(tmp_path: Path) -> None:
    bare(tmp_path, [0.5], ["bag"], ["target"])
    path = tmp_path / "bounds" / "bag-target-r0.5.json"
    for part in ({"eigenvalues": [1, None]}, {"bounds": {"thm_4_2": 0, "water_filling": "0"}}):
        whole = read_json(path)
        write_json(path, {**whole, **part})
        with pytest.raises(
            InputError, match=r"r0\.5\.json holds (eigenvalues\[1\] None|bounds\.water_filling '0'), which"
        ):
            read_bounds(tmp_path)
        write_json(path, whole)


def test_a_null_is_whole_where_there_is_one(tmp_path: Path) -> None:
    """Runs of before there was one lack it."""
    bare(tmp_path, [0.25, 0.5], ["bag"], ["target"])
    assert gaussian_nulls(read_bounds(tmp_path)) == {}
    path = tmp_path / "bounds" / "bag-target-r0.5.json"
    spread = {"mean": 0.5, "sd": 0.1}
    null = {"draws": 3, "dim": 64, **dict.fromkeys(NULL, spread)}
    whole = read_json(path)
    write_json(path, {**whole, "gaussian": null})
    assert gaussian_nulls(read_bounds(tmp_path)) == {0.5: null}, "a run that grew has it at its new ratios"
    for part, message in (({"rankme": {"mean": 0.5}}, "lacks gaussian.rankme.sd"), ({"draws": None}, "gaussian.draws")):
        write_json(path, {**whole, "gaussian": {**null, **part}})
        with pytest.raises(InputError, match=message):
            read_bounds(tmp_path)


def test_bytes_that_are_no_text_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"x\.json is not JSON"):
        read_json(tmp_path / "x.json")


def test_a_run_is_named_by_a_string_as_well(tmp_path: Path) -> None:
    bare(tmp_path, [0.5], ["bag"], ["target"])
    write_json(tmp_path / "records" / "x.json", {"method": "mae", "mask_ratio": 0.5, "seed": 0, "checks": []})
    assert read_bounds(str(tmp_path)).equals(read_bounds(tmp_path))
    assert read_records(str(tmp_path)).equals(read_records(tmp_path))


@pytest.mark.parametrize("write", [check_writable, lambda path: write_atomically(path, b"x")])
def test_no_device_and_no_pipe_gives_way_to_a_file(write: Callable[[Path], None], tmp_path: Path) -> None:
    """Root has the right to replace /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is a device or a pipe; expected the path of a file to write"):
        write(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("trained", "probed"), [("tokens", "cls"), ("cls", "cls"), ("mean", "mean"), ("bottleneck", "bottleneck")]
)
def test_probes_are_of_the_trained_feature_and_of_cls_for_tokens(trained: str, probed: str) -> None:
    assert probed_feature({"plan": {"train": {"feature": trained}}}) == probed


@pytest.mark.parametrize("ends", [[1], [1, 2, 3]])
def test_a_pair_is_of_two(ends: list[int]) -> None:
    with pytest.raises(InputError, match=rf"x.json holds {len(ends)} in ends, where there have to be 2"):
        check_shape(Path("x.json"), {"ends": ends}, {"ends": (int, int)})
    check_shape(Path("x.json"), {"ends": [1, 2]}, {"ends": (int, int)})
