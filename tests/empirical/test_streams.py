"""Streams of random numbers: distinct, as they were when results were recorded, and none without a name."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import maskgraph.empirical
from maskgraph.empirical.streams import Use

RECORDED = {
    "ORDER": 1,
    "MASKS": 2,
    "FEW_SHOT": 3,
    "AUGMENTATION": 4,
    "VIEWS": 5,
    "TUNING_ORDER": 6,
    "TUNING_AUGMENTATION": 7,
    "NULL_VIEWS": 8,
    "PROBE_ORDER": 9,
    "SHUFFLED": 10,
    "MEASURED": 11,
    "NULL_FEATURES": 12,
    "TUNING_CHANCE": 14,
    "BRANCHES": 15,
    "NULL_ON_GRAPH": 16,
}
"""Those that results were drawn from."""


def test_every_use_has_its_own_number_and_keeps_it() -> None:
    # Two names of one number would be one member, and the other its alias.
    assert len(Use.__members__) == len(list(Use))
    assert RECORDED.items() <= {name: int(use) for name, use in Use.__members__.items()}.items()


@pytest.mark.parametrize("use", list(Use))
def test_a_use_draws_what_its_number_does(use: Use) -> None:
    named, plain = (np.random.default_rng([3, number, 7]).integers(2**63, size=4) for number in (use, int(use)))
    np.testing.assert_array_equal(named, plain)


def test_no_stream_has_a_bare_number() -> None:
    """What stands beside the seed in a list that seeds a generator is a `Use`, or one of several by that name."""
    folder, found = Path(str(maskgraph.empirical.__file__)).parent, 0
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng") and node.args:
                seed = node.args[0]
                if isinstance(seed, ast.List):
                    found += 1
                    named = ast.unparse(seed.elts[1])
                    assert named == "use" or named.startswith("Use."), f"{path.name}:{node.lineno} {ast.unparse(seed)}"
    assert found >= len(RECORDED) - 1
