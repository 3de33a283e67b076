"""A page and its figure show what a finding holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskgraph.figures.findings import draw, page, write_findings
from maskgraph.graphs.errors import InputError
from maskgraph.theory.findings.finding import Finding, Panel


@pytest.fixture
def finding() -> Finding:
    panels = [
        Panel("left", "ρ", "y", {"α": ((0.25, 0.75), (0.1, 0.2)), "φ": ((0.25, 0.75), (0.3, 0.4))}, ("chance", 0.15)),
        Panel("right", "k", "y", {"unif": ((1, 64), (1.0, 0.5))}),
    ]
    rows: list[tuple[object, ...]] = [("world", 0.123456, 3)]
    return Finding(
        "a-name", "A title", "A claim.", "A setting.", ("world", "α", "k"), rows, panels, ["This."], ["Not that."]
    )


def test_lines_are_the_numbers(finding: Finding) -> None:
    left, right = list(draw(finding).axes)
    lines = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in left.get_lines()}
    assert lines["α"] == [0.1, 0.2]
    assert lines["φ"] == [0.3, 0.4]
    assert lines["chance"] == [0.15, 0.15]
    assert (left.get_title(), right.get_title()) == ("left", "right")
    assert right.get_xscale() == "log"


def test_logarithmic_panels_have_error_bars(finding: Finding) -> None:
    panel = Panel("log", "N", "y", {"error": ((16, 64), (0.5, 0.125))}, log=True, errors={"error": (0.1, 0.05)})
    (axes,) = draw(replace(finding, panels=[panel])).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    (bars,) = axes.containers
    segments = bars[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in segments] == [
        pytest.approx([0.4, 0.6]),
        pytest.approx([0.075, 0.175]),
    ]


def test_a_page_says_all_of_it(finding: Finding) -> None:
    text = page(finding)
    for part in (
        "# A title",
        "A claim.",
        "*A setting.*",
        "a-name.png",
        "- This.",
        "- Not that.",
        "maskgraph findings a-name",
    ):
        assert part in text
    assert "| world | 0.1235 | 3 |" in text
    assert text.index("## Shown") < text.index("- This.") < text.index("## Not shown") < text.index("- Not that.")


def test_pages_and_an_index_are_written(finding: Finding, tmp_path: Path) -> None:
    assert write_findings([finding], tmp_path / "out") == [tmp_path / "out" / "a-name.md"]
    assert (tmp_path / "out" / "a-name.png").read_bytes().startswith(b"\x89PNG")
    assert "- [A title](a-name.md)" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_that_cannot_be_written(finding: Finding, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_findings([finding], tmp_path / "file" / "out")


def test_another_readme_is_not_overwritten(finding: Finding, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Mine\n")
    with pytest.raises(InputError, match=r"README\.md is no index of findings"):
        write_findings([finding], tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("README.md", "# Mine\n")]


def test_the_index_lists_findings_alone_and_is_written_again(finding: Finding, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Notes\n")
    write_findings([finding], tmp_path)
    before = (tmp_path / "README.md").read_text()
    write_findings([finding], tmp_path)
    assert (tmp_path / "README.md").read_text() == before
    assert "notes.md" not in before


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_panels_that_show_the_same_share_a_legend_and_all_pages_are_as_wide(finding: Finding, count: int) -> None:
    figure = draw(replace(finding, panels=finding.panels[:1] * count))
    assert len(figure.axes) == count
    assert [[text.get_text() for text in legend.get_texts()] for legend in figure.legends] == [["α", "φ", "chance"]]
    assert all(axes.get_legend() is None for axes in figure.axes)
    assert figure.get_figwidth() == draw(finding).get_figwidth()
    assert all(axes.get_legend() is not None for axes in draw(finding).axes), "panels that differ have their own"
