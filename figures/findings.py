"""The findings as pages: claim, setting, figure, table, what is shown and what is not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskgraph.empirical.records import write_atomically
from maskgraph.figures.style import CLASS_COLOURS, GREY, THEORY_STYLES, new_figure, tidy
from maskgraph.graphs.errors import InputError
from maskgraph.theory.findings.finding import Finding, Panel

MARKS = ("o", "s", "^", "D", "v", "P")

INDEX = (
    "# What graphs are found to be like",
    "",
    "A page each: what is seen on graphs of data and of small worlds, with numbers and a figure, what of it is proved,",
    "and what is not shown. `maskgraph findings` computes, draws and writes them; constants are our explicit ones, and",
    "[docs/theory.md](../theory.md) has the proofs.",
)

MADE_BY = "Made by `maskgraph findings "
"""How a page ends: what tells it from other files in the folder."""


def write_findings(found: Sequence[Finding], out: Path) -> list[Path]:
    """Write a page and a figure for each finding, and an index of those that are in the folder.

    Args:
        found: what was computed.
        out: folder of the pages.

    Returns:
        the paths of the pages.

    Raises:
        InputError: a folder that cannot be written, or whose README.md is not an index of findings.
    """
    check_folder(out)
    pages = []
    for finding in found:
        picture = io.BytesIO()
        draw(finding).savefig(picture, format="png")
        write_atomically(out / f"{finding.name}.png", picture.getvalue())
        pages.append(out / f"{finding.name}.md")
        write_atomically(pages[-1], page(finding).encode())
    titles = [_title(path) for path in sorted(out.glob("*.md")) if MADE_BY in path.read_text(errors="replace")]
    write_atomically(out / "README.md", ("\n".join([*INDEX, "", *titles]) + "\n").encode())
    return pages


def check_folder(out: Path) -> None:
    """See that the index to be written takes the place of no other README.md.

    Raises:
        InputError: the folder has a README.md that is not an index of findings.
    """
    index = out / "README.md"
    if index.is_file() and not index.read_text(errors="replace").startswith(INDEX[0]):
        raise InputError(f"{index} is no index of findings and would be lost; choose another directory with --out")


def _title(path: Path) -> str:
    return f"- [{path.read_text().partition(chr(10))[0].removeprefix('# ')}]({path.name})"


def draw(finding: Finding) -> Figure:
    """The panels of a finding, with one legend below where all show the same things.

    As wide whatever their number, so that the letters are as large on a page.
    """
    panels = finding.panels
    columns = 2 if len(panels) == 4 else len(panels)
    rows = -(-len(panels) // columns)
    figure = new_figure(9.2, 3.2 * rows + 0.4)
    for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=True):
        _draw(axes, panel)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if all(axes.get_legend_handles_labels()[1] == labels for axes in figure.axes):
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5), fontsize=9)
    else:
        for axes in figure.axes:
            axes.legend(fontsize=9)
    return figure


def page(finding: Finding) -> str:
    """The page in Markdown."""
    table = [
        "| " + " | ".join(finding.headers) + " |",
        "| " + " | ".join("---" for _ in finding.headers) + " |",
        *("| " + " | ".join(_cell(value) for value in row) + " |" for row in finding.rows),
    ]
    parts = [
        f"# {finding.title}",
        finding.claim,
        f"*{finding.setting}*",
        f"![{finding.title}]({finding.name}.png)",
        "## Shown",
        "\n".join(f"- {sentence}" for sentence in finding.shown),
        "## Not shown",
        "\n".join(f"- {sentence}" for sentence in finding.not_shown),
        "## Numbers",
        "\n".join(table),
        f"{MADE_BY}{finding.name} --out docs/findings`.",
    ]
    return "\n\n".join(parts) + "\n"


def _draw(axes: Axes, panel: Panel) -> None:
    tidy(axes)
    for i, (name, (x, y)) in enumerate(panel.lines.items()):
        colour, mark = CLASS_COLOURS[i % len(CLASS_COLOURS)], MARKS[i % len(MARKS)]
        axes.plot(x, y, color=colour, marker=mark, linestyle=THEORY_STYLES[i % 4], markersize=4, label=name)
        if name in panel.errors:
            axes.errorbar(x, y, panel.errors[name], color=colour, linestyle="none", linewidth=1, capsize=2)
    if panel.level is not None:
        name, value = panel.level
        axes.axhline(value, color=GREY, linewidth=1, linestyle=":", label=name)
    xs = [value for x, _ in panel.lines.values() for value in x]
    if panel.log:
        axes.set_yscale("log", nonpositive="clip")
        # Room for a legend beside falling lines.
        axes.margins(y=0.2)
    if panel.log or max(xs) >= 32:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y, fontsize=9)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
