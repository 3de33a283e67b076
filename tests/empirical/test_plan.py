"""A study's TOML: what it says is what is run, and what it cannot mean is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskgraph.empirical.plan import Plan, plan_from, plan_table, read_plan
from maskgraph.empirical.recipe import Recipe, read_recipe
from maskgraph.graphs.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

FULL: dict[str, dict[str, Any]] = {
    "data": {"dataset": "digits", "codes": 8, "held_out": 0.25, "seed": 3},
    "graph": {"mask_ratios": [0.25, 0.5], "views": ["bag"], "hops": ["image"], "mask": "grid", "max_masks": 7},
    "train": {"methods": ["u-mae"], "seeds": 2, "epochs": 3, "lam": 1, "view": "bag"},
}


def changed(table: str, **values: Any) -> dict[str, dict[str, Any]]:
    return {**FULL, table: {**FULL[table], **values}}


def test_every_value_reaches_the_models() -> None:
    plan = plan_from(FULL)
    assert (plan.source.dataset, plan.source.codes, plan.source.seed, plan.held_out) == ("digits", 8, 3, 0.25)
    assert (plan.graph.mask, plan.graph.max_masks, plan.graph.views, plan.graph.hops) == (
        "grid",
        7,
        ("bag",),
        ("image",),
    )
    runs = {(run.method, run.mask_ratio, run.seed) for run in plan.runs()}
    assert runs == {("u-mae", ratio, seed) for ratio in (0.25, 0.5) for seed in (0, 1)}
    for run in plan.runs():
        assert (run.mask_kind, run.view, run.epochs, run.lam) == ("grid", "bag", 3, 1.0)


def test_the_table_of_a_plan_is_that_plan() -> None:
    plan = plan_from(FULL)
    assert plan_from(plan_table(plan)) == plan


def test_the_studies_that_come_with_the_project_are_plans() -> None:
    files = sorted((ROOT / "studies").glob("*.toml"))
    assert files
    for file in files:
        assert read_plan(file).runs()


def test_the_size_of_a_folder_has_the_name_of_the_option_and_once_had_another() -> None:
    """Studies that were begun before are of the same plan."""
    now, then = (plan_from(changed("data", dataset=".", **{key: 8})) for key in ("image_size", "size"))
    assert now == then
    assert plan_table(then)["data"]["image_size"] == 8
    with pytest.raises(InputError, match=r"unknown key 'size' in \[data\]; .*expected one of .* image_size"):
        plan_from(changed("data", dataset=".", size=8, image_size=8))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"dataset": "digits"}, r"the study sets dataset outside of its tables; put it under \[data\] or \[graph\] or"),
    ({"data": {"datset": "digits"}}, r"unknown key 'datset' in \[data\]; did you mean dataset\?"),
    ({**FULL, "model": {}}, r"unknown table 'model' in the study; expected one of data, graph, train$"),
    ({"data": 3}, r"the study sets data to a value; expected the table \[data\]"),
    (changed("train", epoch=3), r"unknown key 'epoch' in \[train\]; did you mean epochs\? expected one of .*seeds"),
    (changed("train", methods="mae"), r"sets methods to 'mae'; expected a list of strings"),
    ({"graph": {}}, r"names no dataset; add dataset"),
    (
        changed("data", patches=2),
        r"unknown key 'patches' in \[data\]; did you mean patch\? expected one of .*held_out",
    ),
    (changed("data", codes="8"), r"\[data\] sets codes to '8'; expected an integer"),
    (changed("data", codes=True), r"\[data\] sets codes to True; expected an integer"),
    (changed("graph", mask_ratios=[1.5]), r"mask ratio 1.5 is outside"),
    (changed("graph", mask_ratios=["0.5"]), r"\[graph\] sets mask_ratios to \['0.5'\]; expected a list of numbers"),
    (changed("graph", mask_ratios=0.5), r"\[graph\] sets mask_ratios to 0.5; expected a list of numbers"),
    (changed("graph", mask_ratios=[]), r"at least one each of mask_ratios"),
    (changed("graph", mask_ratios=[0.5, 0.5]), r"names a value twice"),
    (changed("graph", views=["up"]), r"unknown view 'up'"),
    (changed("graph", hops=["up"]), r"unknown hop 'up'"),
    (changed("graph", mask="up"), r"unknown mask distribution 'up'"),
    (changed("graph", max_masks=0), r"max_masks 0"),
    (changed("graph", draws=0), r"draws 0; expected at least 1 draw of the masks"),
    (changed("data", seed=2**32 - 2), r"seed 4294967298; expected an integer from 0 to 4294967295"),
    (changed("train", method="mae"), r"\[train\] sets method, which a study fills in itself"),
    (changed("train", methods=["simclr"]), r"unknown method 'simclr'"),
    (changed("train", seeds=0), r"seeds 0; expected at least 1"),
    (changed("train", epochs=2.5), r"\[train\] sets epochs to 2.5; expected an integer"),
    (changed("train", size="huge"), r"unknown size 'huge'"),
    (changed("train", warmup=1), r"warmup 1; expected a share"),
]


@pytest.mark.parametrize(("table", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_run_is_refused_by_name(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_from(table)


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[data\n")
    with pytest.raises(InputError, match="is not TOML"):
        read_plan(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not TOML"):
        read_plan(broken)
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path)


@pytest.mark.parametrize("key", ["lam = 0.01", 'final_norm = "once"', "diagonal = true", "queue = 0"])
@pytest.mark.parametrize("read", [read_plan, lambda path, resume=False: read_recipe(str(path), resume)])
def test_what_no_method_reads_is_refused(key: str, read: Callable[..., Plan | Recipe], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"

    def written(methods: str) -> Path:
        path.write_text(f'[data]\ndataset = "digits"\npatch = 2\n[train]\nmethods = {methods}\n{key}\n')
        return path

    message = f"^{key.split()[0]} .* of mae, which has no uniformity loss to read it; leave it out, or use u-mae$"
    with pytest.raises(InputError, match=message):
        read(written('["mae"]'))
    with pytest.raises(InputError, match=r"of simmim and mae, which have no uniformity loss .* use u-simmim$"):
        read(written('["simmim", "mae"]'))
    # A run that was begun when it was taken goes on with it.
    assert read(written('["mae"]'), resume=True).methods == ("mae",)
    assert read(written('["mae", "u-mae"]')).methods == ("mae", "u-mae")


def test_a_file_of_another_command_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[data]\ndataset = "digits"\npatch = 2\n[judge]\nevery = 2\n')
    with pytest.raises(InputError, match=r"mine.toml is a recipe, as \[judge\] says; run it by maskgraph recipe /"):
        read_plan(path)
    path.write_text('[data]\ndataset = "digits"\npatch = 2\n[graph]\nmax_masks = 2\n')
    with pytest.raises(InputError, match=r"mine.toml is a study, as \[graph\] says; run it by maskgraph study /"):
        read_recipe(str(path))


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    """A byte order mark first, lines that end in CR LF."""
    path = tmp_path / "mine.toml"
    path.write_bytes(b'\xef\xbb\xbf[data]\r\ndataset = "digits"\r\ncodes = 8\r\n')
    assert read_plan(path).source.codes == 8
