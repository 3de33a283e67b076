"""The options of training: what is not given is TrainConfig's default, and help tells it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from maskgraph import training_commands, training_options
from maskgraph.cli import main
from maskgraph.empirical import experiment, study
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.plan import FILLED_IN, GraphPlan, Plan
from maskgraph.options import Parser

COMMANDS = Parser().add_subparsers(parser_class=Parser)
training_options.train(COMMANDS)
training_options.study(COMMANDS)
training_options.recipe(COMMANDS)
PARSER = COMMANDS.choices["train"]
HELP = {action.dest: str(action.help) for action in PARSER._actions}
OWN = sorted({field.name for field in fields(TrainConfig)} - FILLED_IN - {"view"} | {"method"})
"""What a model is trained by; view is also that of the graph."""


def numbers(text: str) -> list[float]:
    """What the brackets of a text begin with, where that is a number."""
    found = []
    for inside in re.findall(r"\(([^ ,)]+)", text):
        with contextlib.suppress(ValueError):
            found.append(float(inside))
    return found


@pytest.mark.parametrize("name", [name for name in OWN if name in HELP])
def test_what_is_not_given_is_left_to_the_configuration_and_help_tells_it(name: str) -> None:
    assert PARSER.get_default(name) is None
    value = getattr(TrainConfig(), name)
    if isinstance(value, str):
        assert f"{value} (default" in HELP[name]
    elif value is not None and not isinstance(value, bool):
        assert numbers(HELP[name]) == [value]


def test_the_graph_of_one_method_is_that_of_a_study() -> None:
    plan = GraphPlan()
    assert PARSER.get_default("max_masks") == plan.max_masks
    assert (PARSER.get_default("view"),) == plan.views
    assert PARSER.get_default("view") == TrainConfig().view
    assert (PARSER.get_default("mask"), PARSER.get_default("mask_unit")) == (plan.mask, plan.mask_unit)
    assert PARSER.get_default("stack") is None
    assert numbers(HELP["stack"]) == [Plan.stack]


def told(command: str, option: str) -> str:
    """What the help of a command says of an option."""
    return next(str(one.help) for one in COMMANDS.choices[command]._actions if one.dest == option)


@pytest.mark.parametrize(
    ("command", "given", "names"),
    [
        ("train", ["mixture:n=4", "--method", "u-mae", "--mask-ratio", "0.5"], {"DATASET-METHOD": "mixture-u-mae"}),
        ("study", ["mine.toml"], {"STUDY": "mine"}),
        ("recipe", ["digits"], {"NAME": "digits"}),
    ],
)
def test_help_tells_where_a_run_is_written(
    command: str, given: list[str], names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('[data]\ndataset = "mixture:n=4"\n')
    where = []

    def asked(_plan: Any, directory: Path, *_others: Any) -> None:
        where.append(directory)
        raise KeyboardInterrupt

    for name in ("run_study", "run_recipe"):
        monkeypatch.setattr(training_commands, name, asked)
    main([command, *given])
    [out] = re.findall(r"\((.*)\)", told(command, "out"))
    for placeholder, name in names.items():
        out = out.replace(placeholder, name)
    assert where == [Path(out)]


def test_help_tells_what_a_run_may_have_more_of() -> None:
    one = {"seeds", "mask_ratios"}
    for command, grows in (
        ("train", one),
        ("study", {key for _, key in study.GROWS}),
        ("recipe", {key for _, key in experiment.GROWS}),
    ):
        more = told(command, "resume").partition(" add ")[2].partition(" to it")[0]
        assert {key.replace(" ", "_") for key in re.split(", | and ", more)} == grows
    assert one <= {key for _, key in study.GROWS}
