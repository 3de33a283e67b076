"""The README and pages of docs/ are run from their first block to their last, and print what they say."""

from __future__ import annotations

import contextlib
import dataclasses
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from maskgraph.cli import main
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.parts import DataPlan
from maskgraph.empirical.plan import FILLED_IN as FILLED_IN_BY_STUDIES
from maskgraph.empirical.plan import GraphPlan, Plan, plan_from
from maskgraph.empirical.recipe import FILLED_IN, JudgePlan, Recipe, recipe_from
from maskgraph.graphs.source import Source
from tests.strategies import searched

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": {"python": 2, "text": 1, "console": 3},
    "docs/tutorial.md": {"python": 3, "text": 3, "console": 3},
    "docs/recipes.md": {"python": 2, "text": 2, "toml": 1},
}
"""Each page, and how many blocks it has at least in each of its languages."""


class Block(NamedTuple):
    """A fenced block."""

    line: int
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks that have a language."""
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(page.count("\n", 0, one.start()) + 1, one[1], one[2]) for one in found]


def assert_printed(expected: str, printed: str, at: str) -> None:
    """`...` stands for what differs from run to run."""
    # Nor does a page keep the spaces at the end of a table's lines.
    bare = re.sub(r" +$", "", printed, flags=re.MULTILINE)
    assert doctest.OutputChecker().check_output(expected, bare, doctest.ELLIPSIS), (
        f"{at} expects\n{expected}\nand this is printed\n{printed}"
    )


def commands(console: str) -> list[tuple[str, str]]:
    """Each command with what it is to print."""
    parts = re.split(r"^\$ (.*)\n", console, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A folder of one's own, and a shell in which `pytest` and `maskgraph` are those of this checkout."""
    tools = tmp_path / "tools"
    tools.mkdir()
    # The plugin is named, so that it does not matter whether this checkout's entry point is installed.
    for name, module in (
        ("maskgraph", "maskgraph"),
        ("pytest", "pytest -p no:cacheprovider -p maskgraph.pytest_plugin"),
    ):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        tool.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "COLUMNS": "80",
    }


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(page: str, environment: dict[str, str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None
    kinds = []
    for line, language, text in blocks((ROOT / page).read_text()):
        kinds.append(language)
        at = f"{page}:{line}"
        if language == "text":
            assert printed is not None, f"{at} stands after nothing that prints"
            assert_printed(text, printed, at)
            printed = None
            continue
        assert not printed, f"before {at} this is printed and not shown\n{printed}"
        if language == "python":
            if file := re.match(r"# (\w+\.py)\n", text):
                Path(file[1]).write_text(text)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                if not file or file[1] == "test_encoder.py":
                    exec(compile(text, at, "exec"), names)
            printed = out.getvalue()
        elif language == "toml":
            assert recipe_from(tomllib.loads(text)).expected
        else:
            assert language == "console"
            for command, expected in commands(text):
                done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
                assert_printed(expected, done.stdout, at)
    assert set(kinds) == set(PAGES[page])
    assert all(kinds.count(kind) >= least for kind, least in PAGES[page].items())


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "results/README.md"],
    ids=lambda page: page.stem,
)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", page.read_text()):
        there = (page.parent / target) if target else page
        assert there.exists(), f"{page.name} leads to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}, anchor


def test_the_encoder_of_the_readme_is_held() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    [text] = [one.text for one in blocks((ROOT / "README.md").read_text()) if "my_encoder" in one.text]
    exec(compile(text, "README.md", "exec"), names)
    searched(10)(names["test_my_encoder"])()


def test_output_that_differs_is_seen() -> None:
    with pytest.raises(AssertionError, match=r"tutorial.md:7 expects\s+1.25\s+and this is printed\s+1.26"):
        assert_printed("1.25\n", "1.26\n", "tutorial.md:7")
    assert_printed("1 passed in ...s\n", "1 passed in 0.31s\n", "tutorial.md:8")
    assert blocks("a\n```python\nx = 1\n```\n\n```\nnot run\n```\n") == [Block(2, "python", "x = 1\n")]
    assert commands("$ one\n$ two --option\nprinted\n") == [("one", ""), ("two --option", "printed\n")]


def written(value: object) -> str:
    """A default as the tables have it, which is as TOML has it; what is not there is none."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return json.dumps(value) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def keys_on(page: str, table: str) -> dict[str, str]:
    """The keys of a table, and their defaults, as a page has them."""
    text = (ROOT / "docs" / page).read_text().split(f"| `[{table}]` | default |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`[\w`, ]+`) \| (.*?) \| .* \|$", text, re.MULTILINE)
    return {key: default for keys, default in rows for key in re.findall(r"`(\w+)`", keys)}


def defaults(part: Any) -> dict[str, str]:
    """The fields of a dataclass and their defaults, as pages have them."""
    return {
        one.name: written(None if one.default is dataclasses.MISSING else one.default)
        for one in dataclasses.fields(part)
    }


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("data", {**defaults(Source), "held_out": defaults(Plan)["held_out"]}),
        ("graph", defaults(GraphPlan)),
        (
            "train",
            {key: default for key, default in defaults(TrainConfig).items() if key not in FILLED_IN_BY_STUDIES}
            | {key: defaults(Plan)[key] for key in ("methods", "seeds", "stack")},
        ),
    ],
)
def test_every_key_of_a_study_is_on_its_page_and_in_its_help(
    table: str, wanted: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys_on("studies.md", table) == wanted
    with pytest.raises(SystemExit):
        main(["study", "--help"])
    told = capsys.readouterr().out.split(f"[{table}] ")[1].partition("\n  [")[0].partition("\n\n")[0]
    assert set(re.findall(r"\w+", told)) == set(wanted)


def test_the_study_on_its_page_is_a_plan_of_the_defaults_that_it_names() -> None:
    [text] = [one.text for one in blocks((ROOT / "docs" / "studies.md").read_text()) if one.language == "toml"]
    assert len(plan_from(tomllib.loads(text)).runs()) == 3 * 2 * 3


@pytest.mark.parametrize(("table", "part"), [("data", DataPlan), ("train", TrainConfig), ("judge", JudgePlan)])
def test_every_key_of_a_recipe_is_on_its_page_with_its_default(table: str, part: Any) -> None:
    found = keys_on("recipes.md", table)
    wanted = {
        key: default for key, default in defaults(part).items() if part is not TrainConfig or key not in FILLED_IN
    }
    if part is TrainConfig:
        wanted |= {key: defaults(Recipe)[key] for key in ("methods", "seeds")}
    assert found == wanted
