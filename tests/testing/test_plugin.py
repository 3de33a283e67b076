"""--maskgraph-ledger prints what a run checked, from one process or several; without it nothing is loaded or kept.

The runs are processes of their own with no plugin but those they name: whether this checkout's entry point is
installed makes no difference to them.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import numpy as np
import pytest
from maskgraph.testing import assert_holds, outputs_of, worlds
from maskgraph.theory import bounds
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.masks import make_mask_set

images = make_coded_images(
    "small", np.array([[0, 1, 1], [1, 0, 0], [0, 0, 1]]), np.array([0, 1, 1]), None, np.array([[0.0], [1.0]])
)
GRAPH = mask_graph(images, make_mask_set(np.array([[0], [1], [2]]), 3), "bag")

def encoder(patches):
    return np.concatenate([patches[:, 0], np.ones((len(patches), 1))], axis=1)

@pytest.fixture
def held_early_and_late():
    assert_holds(GRAPH, encoder, "U")
    yield
    assert_holds(GRAPH, encoder, "U")

def test_one():
    assert_holds(GRAPH, encoder, ("U", "Thm 4.1"))

def test_three(held_early_and_late):
    assert_holds(GRAPH, encoder, "U")

def test_none():
    pass

def test_unmet():
    with pytest.raises(AssertionError, match="gives no h"):
        assert_holds(GRAPH, encoder, "S2")
"""

VIOLATED = """
def test_violated(monkeypatch):
    monkeypatch.setattr(bounds, "uniformity_floor", lambda k: 5.0)
    assert_holds(GRAPH, encoder, "U")
"""


def pytest_run(folder: Path, suite: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest on a suite."""
    (folder / "test_mine.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "maskgraph.pytest_plugin", *options],
        cwd=folder,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "80",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def ledger_of(done: subprocess.CompletedProcess[str]) -> str:
    """What stands under the ledger's heading."""
    found = re.search(r"=+ maskgraph ledger =+\n(.*?)\n(?:=+ |$)", done.stdout, re.DOTALL)
    assert found, done.stdout + done.stderr
    return found[1]


@pytest.mark.parametrize("processes", [0, 2])
def test_the_ledger_of_a_run(processes: int, tmp_path: Path) -> None:
    xdist = ["-p", "xdist.plugin", "-n", str(processes)] if processes else []
    done = pytest_run(tmp_path, SUITE, "--maskgraph-ledger", *xdist)
    assert done.returncode == 0, done.stdout + done.stderr
    text = ledger_of(done)
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "statement"
    assert "median slack" in lines[0]
    rows = {line[: len("statement")].strip(): line.split() for line in lines[2:5]}
    # U: once in test_one, three times in test_three; the view's first patch and a bias are no two equal moments.
    assert rows["U"][1] == "4"
    assert rows["U"][-2:] == ["unequal", "moments"]
    assert set(rows) == {"U", "Thm 4.1", "S2"}
    assert "U: L_unif(f) = 1/PR(E ff') >= 1/k" in lines
    assert "S2, assumption not met: this model gives no h: " in text
    assert lines[-1] == "5 models, 6 checks, 0 violated"


def test_one_test_that_checks_once_is_listed_line_by_line(tmp_path: Path) -> None:
    text = ledger_of(pytest_run(tmp_path, SUITE, "--maskgraph-ledger", "-k", "test_one"))
    assert text.splitlines()[0] == "test_mine.py::test_one"
    assert text.endswith("1 model, 2 checks, 0 violated")


def test_a_violation_is_in_the_ledger_and_fails_the_test(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, SUITE + VIOLATED, "--maskgraph-ledger")
    assert done.returncode == 1
    assert "VIOLATED  test_mine.py::test_violated  U: the step 'unequal moments' goes the wrong way" in ledger_of(done)
    assert re.search(r"^E +AssertionError: 1 of 1 statement violated", done.stdout, re.MULTILINE)
    assert re.search(r"^test_mine.py:\d+: AssertionError", done.stdout, re.MULTILINE), "the user's line, not ours"


def test_a_run_that_checks_nothing_says_so(tmp_path: Path) -> None:
    done = pytest_run(tmp_path, SUITE, "--maskgraph-ledger", "-k", "test_none")
    assert ledger_of(done) == "no test called maskgraph.testing.assert_holds"


def test_reports_carry_json_only_when_the_option_is_given(tmp_path: Path) -> None:
    kept = {}
    for options in ((), ("--maskgraph-ledger",)):
        done = pytest_run(tmp_path, SUITE, "--junit-xml", "out.xml", *options)
        assert ("maskgraph ledger" in done.stdout) == bool(options)
        kept[options] = [found.attrib for found in ElementTree.parse(tmp_path / "out.xml").iter("property")]
    assert kept[()] == []
    assert {found["name"] for found in kept[("--maskgraph-ledger",)]} == {"maskgraph_ledger"}
    calls = json.loads(kept[("--maskgraph-ledger",)][0]["value"])
    assert [row["statement"] for call in calls for row in call] == ["U", "Thm 4.1"]


def test_the_plugin_loads_nothing_that_pytest_does_not(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    loaded = {name for name in sys.modules if name.split('.')[0] in ('numpy', 'scipy', 'maskgraph')}\n"
        "    print('LOADED', sorted(loaded))\n"
    )
    done = pytest_run(tmp_path, "def test_nothing(): pass\n", "-s")
    assert "LOADED ['maskgraph', 'maskgraph.pytest_plugin']" in done.stdout, done.stdout + done.stderr


def test_the_entry_point_names_the_plugin() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["pytest11"].split() == ["maskgraph", "=", "maskgraph.pytest_plugin"]
