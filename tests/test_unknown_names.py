"""What is said of a name that is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from maskgraph.empirical.config import TrainConfig, check_config, resolve_device
from maskgraph.empirical.network import check_precision
from maskgraph.empirical.parts import DataPlan, check_data
from maskgraph.empirical.plan import plan_from
from maskgraph.empirical.recipe import recipe_from
from maskgraph.graphs.augmentation import check_hop
from maskgraph.graphs.errors import InputError, unknown
from maskgraph.graphs.masks import check_mask
from maskgraph.graphs.stored import load_stored
from maskgraph.graphs.synthetic import load_mixture
from maskgraph.graphs.views import check_view
from maskgraph.theory.findings.register import check_findings
from maskgraph.theory.statements import statement

RECIPE = {"data": {"dataset": "digits", "patch": 2}}

NAMES: dict[str, tuple[Callable[[], object], str]] = {
    "view": (lambda: check_view("bags"), "unknown view 'bags'; did you mean bag? expected one of positional"),
    "hop": (lambda: check_hop("images"), "unknown hop 'images'; did you mean image? expected one of target, image"),
    "mask": (lambda: check_mask("blok", 0.5), "unknown mask distribution 'blok'; did you mean block? expected one of"),
    "dataset": (lambda: load_stored("cifar-10"), "unknown dataset 'cifar-10'; did you mean cifar10? expected one of"),
    "mixture": (
        lambda: load_mixture("mixture:etta=1"),
        "unknown key 'etta' in 'mixture:etta=1'; did you mean eta? exp",
    ),
    "statement": (lambda: statement("s1"), "unknown statement 's1'; did you mean S1? expected one of I1, I2"),
    "finding": (lambda: check_findings(["rho"]), "unknown finding 'rho'; expected one of positional-views"),
    "method": (lambda: check_config(TrainConfig(method="umae")), "unknown method 'umae'; did you mean u-mae? expected"),  # type: ignore[arg-type]
    "size": (lambda: check_config(TrainConfig(size="Base")), "unknown size 'Base'; did you mean base? expected one of"),
    "feature": (
        lambda: check_config(TrainConfig(feature="token")),  # type: ignore[arg-type]
        "unknown feature 'token'; did you mean tokens? exp",
    ),
    "target": (lambda: check_config(TrainConfig(target="pixel")), "unknown target 'pixel'; did you mean pixels? expec"),  # type: ignore[arg-type]
    "precision": (lambda: check_precision("bf-16"), "unknown precision 'bf-16'; did you mean bf16? expected one of"),
    "device": (
        lambda: resolve_device("cud"),
        "unknown device 'cud'; did you mean cuda? expected one of auto, cpu, cuda",
    ),
    "part": (
        lambda: check_data(DataPlan("folders", 2)),
        "unknown dataset 'folders'; did you mean folder? expected one",
    ),
    "table": (lambda: plan_from({"trian": {}}), "unknown table 'trian' in the study; did you mean train? expected one"),
    "key": (
        lambda: plan_from({"data": {"dataset": "digits"}, "train": {"lamda": 1}}),
        "'lamda' in [train]; did you me",
    ),
    "probe": (lambda: recipe_from({**RECIPE, "judge": {"probes": ["nn"]}}), "unknown probe 'nn'; did you mean knn? ex"),
    "expect": (lambda: recipe_from({**RECIPE, "expect": {"umae": {}}}), "'umae' in [expect]; did you mean u-mae? expe"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_every_unknown_name_is_answered_in_the_same_words(kind: str) -> None:
    call, said = NAMES[kind]
    with pytest.raises(InputError, match=re.escape(said)):
        call()


def test_of_three_letters_no_one_is_another() -> None:
    with pytest.raises(InputError, match=r"^unknown device 'gpu'; expected one of auto, cpu, cuda$"):
        resolve_device("gpu")


def test_what_is_no_string_is_no_name() -> None:
    assert str(unknown("view", 3, ["bag"])) == "unknown view 3; expected one of bag"


def test_the_words_stand_in_one_place() -> None:
    root = Path(__file__).parents[1]
    rooms = ("graphs", "theory", "empirical", "figures", "maskgraph")
    files = {path.resolve() for room in rooms for path in (root / room).rglob("*.py")} - {root / "graphs/errors.py"}
    assert not [path for path in files if re.search(r"Error\(\s*f?\"unknown ", path.read_text())]
