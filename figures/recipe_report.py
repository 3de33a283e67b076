"""The figures of a recipe and one page that shows them beside the numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from maskgraph.empirical.curve import read_points
from maskgraph.empirical.records import read_shaped, write_atomically
from maskgraph.empirical.summary import RECIPE, Difference, Record, Score, differences, read_judged, scores
from maskgraph.figures.recipe import blocks, learning, readouts, singular_values
from maskgraph.figures.report import flat, html_table, opening
from maskgraph.figures.style import METHOD_NAMES, save
from maskgraph.graphs.errors import InputError, as_path

CAPTIONS = {
    "readouts": "What frozen features (and fine-tuned networks) tell of the class of test images. Grey: what needs no "
    "training. Shuffled labels are a null of the probe: chance is all that it may reach.",
    "learning": "Losses per step and nearest neighbours on validation images while networks train, a line a network.",
    "blocks": "Ridge on the tokens after every block, mean over seeds.",
    "singular_values": "Singular values of unit-norm features of masked test images over the largest, mean over seeds. "
    "A steep fall is dimensional collapse.",
}


def write_recipe_report(run: str | Path) -> list[Path]:
    """Draw every figure of a recipe's directory and write its report.html.

    Args:
        run: the directory, of a finished or interrupted recipe.

    Returns:
        the paths written: the page, then its figures.

    Raises:
        InputError: a directory without records, or one that cannot be written; a record or a curve of something else.
    """
    run = as_path(run, "a run")
    records = read_judged(run)
    found, changes = scores(records), differences(run, records)
    figures = {"readouts": readouts(found)}
    if curves := {_network(path): read_points(path) for path in sorted((run / "curves").glob("*.json"))}:
        figures["learning"] = learning(curves)
    if any(record["layers"] for record in records):
        figures["blocks"] = blocks(records)
    if any(record["collapse"] for record in records):
        figures["singular_values"] = singular_values(records)
    paths = [save(figure, run / "figures" / f"{name}.png") for name, figure in figures.items()]
    page = run / "report.html"
    write_atomically(page, _page(run, records, found, changes, paths).encode())
    return [page, *paths]


def _network(curve: Path) -> str:
    """The network that a curve is of.

    Raises:
        InputError: a file that is named after none.
    """
    if curve.stem.rpartition("-s")[0] not in METHOD_NAMES:
        raise InputError(
            f"{curve} is named after no network; expected METHOD-sSEED.json with one of {', '.join(METHOD_NAMES)}: "
            "move it elsewhere"
        )
    return curve.stem


def _page(
    run: Path, records: Sequence[Record], found: Sequence[Score], changes: Sequence[Difference], figures: Sequence[Path]
) -> str:
    about = f"networks on {records[0]['dataset']}"
    made = html.escape(flat(read_shaped(run / "recipe.json", RECIPE)))
    return (
        f"{opening(about, figures, CAPTIONS)}"
        f"<h2>Scores</h2>{_scores(found)}"
        "<p class=note>Mean over seeds; 95 % intervals over seeds (Student) and over the draw of the test images "
        "(Wilson; for few-shot over draws of the labels).</p>"
        f"<h2>What uniformity changes</h2>{_changes(changes)}"
        "<p class=note>Paired by seed: one initialisation, order and masks on both sides. p: McNemar's exact test on "
        "the same test images, a seed each.</p>"
        f"<h2>Training</h2>{_training(records)}"
        "<p class=note>Reconstruction: each method's own loss, mean over the last epoch. λ: weight of uniformity "
        "beside it in the last step.</p>"
        f"<h2>Collapse</h2>{_collapse(records)}"
        "<p class=note>Of masked views of test images, at unit norm; beside each measure what the number of images and "
        "the dimension alone leave it. rankme and shares are of a sample of views: a study's are others "
        "(docs/recipes.md).</p>"
        f"<h2>How it was made</h2><pre>{made}</pre></html>\n"
    )


def _scores(found: Sequence[Score]) -> str:
    rows = [
        {
            "method": score.method,
            "readout": score.readout,
            "seeds": len(score.accuracies),
            "accuracy": score.mean,
            "over seeds": _interval(score.over_seeds),
            "over images": _interval(score.over_images),
        }
        for score in found
    ]
    return html_table(pd.DataFrame(rows))


def _changes(changes: Sequence[Difference]) -> str:
    rows = [
        {
            "method": change.method,
            "readout": change.readout,
            "difference": sum(change.differences) / len(change.differences),
            "over seeds": _interval(change.over_seeds),
            "p": ", ".join(f"{value:.2g}" for value in change.p_values) or "–",
        }
        for change in changes
    ]
    return html_table(pd.DataFrame(rows)) if rows else "<p>No method was trained with and without it.</p>"


def _training(records: Sequence[Record]) -> str:
    names = {"steps": "steps", "final_reconstruction": "reconstruction", "lam": "λ", "train_cpu_seconds": "CPU seconds"}
    rows = [
        {"method": record["method"], "seed": record["seed"]} | {told: record[name] for name, told in names.items()}
        for record in records
        if record["method"] in METHOD_NAMES
    ]
    return html_table(pd.DataFrame(rows)) if rows else "<p>No network is finished yet.</p>"


def _collapse(records: Sequence[Record]) -> str:
    rows = []
    for record in records:
        for kind, measured in record["collapse"].items():
            row = {"method": record["method"], "seed": record["seed"], "feature": kind}
            for name, value in measured.items():
                if isinstance(value, float | int) and name not in ("images", "dimension"):
                    low, high = measured["bounds"].get(name, (None, None))
                    row[name] = f"{value:.4g}" + (f" [{low:.3g}, {high:.3g}]" if low is not None else "")
            rows.append(row)
    return html_table(pd.DataFrame(rows)) if rows else "<p>None was measured.</p>"


def _interval(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else f"[{ends[0]:.3f}, {ends[1]:.3f}]"
