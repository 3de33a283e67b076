"""The options of training: what is not given is TrainConfig's default, and help tells it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import fields

import pytest

from maskgraph import training_options
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.plan import FILLED_IN, GraphPlan, Plan
from maskgraph.options import Parser

COMMANDS = Parser().add_subparsers(parser_class=Parser)
training_options.train(COMMANDS)
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
