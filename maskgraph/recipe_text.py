"""Recipes and what came of them, as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from maskgraph.empirical.judge import ANY
from maskgraph.empirical.recipe import Recipe, arithmetic
from maskgraph.empirical.summary import COLLAPSE, PLAIN, Difference, Score, scores, several_seeds
from maskgraph.tables import table

H100, SHARE = 989e12, 0.4
"""Dense bfloat16 operations a second of an H100 as its maker states them, and the share that is aimed at."""

SPREAD = {
    True: "mean of the seeds ± half of its 95 % interval over seeds",
    False: "± the longer side of its 95 % interval over the draw of the images: one seed says nothing of others",
}
"""What stands beside an accuracy, by whether there are several seeds."""


def recipe_row(name: str, recipe: Recipe) -> dict[str, Any]:
    """A recipe in short: its networks, their training, and what that costs (None where it cannot be said)."""
    total = arithmetic(recipe)
    return {
        "recipe": name,
        "size": recipe.train.size,
        "methods": list(recipe.methods),
        "seeds": recipe.seeds,
        "epochs": recipe.train.epochs,
        "batch": recipe.train.batch,
        "operations": total,
        "h100_hours": total / (H100 * SHARE) / 3600 if total and recipe.train.size in ("base", "large") else None,
        "about": recipe.about,
    }


def recipes_text(recipes: Sequence[dict[str, Any]]) -> str:
    """The recipes that come along, one a row (see `recipe_row`)."""
    rows = [
        (
            *(one["recipe"], one["size"], f"{len(one['methods'])} x {one['seeds']}", one["epochs"], one["batch"]),
            *(one["operations"] and one["operations"] / 1e18, one["h100_hours"], one["about"]),
        )
        for one in recipes
    ]
    headers = ("recipe", "network", "methods x seeds", "epochs", "batch", "EFLOP", "H100 h", "what it is")
    return (
        f"{table(headers, rows)}\n\n"
        f"EFLOP: training alone, 10^18 operations. H100 h: on one H100 at {SHARE:.0%} of {H100 / 1e12:.0f} TFLOP/s, an "
        "aim that is\nnot yet measured; small networks reach less. maskgraph recipe --help: how to run and write one."
    )


def judged_text(recipe: Recipe, records: Sequence[dict[str, Any]], changes: Sequence[Difference]) -> str:
    """Scores, collapse and what uniformity changes; then what was expected."""
    found = scores(list(records))
    parts = [
        f"{recipe.data.dataset}: accuracy on test images; {SPREAD[several_seeds(found)]}",
        _scores(found),
        "",
        "collapse: mean of the seeds",
        _collapse(records),
    ]
    if changes:
        parts += [
            "",
            "uniformity less none, paired by seed: mean ± half of the 95 % interval; McNemar's p of each seed",
            _changes(changes),
        ]
    return "\n".join([*parts, *_expected(recipe, found)])


def _scores(found: Sequence[Score]) -> str:
    methods = list(dict.fromkeys(score.method for score in found))
    readouts = [readout for readout in dict.fromkeys(score.readout for score in found) if _kind(readout) != ANY]
    seeds = several_seeds(found)
    cells = {
        (score.readout, score.method): _mean(score.mean, score.over_seeds if seeds else score.over_images)
        for score in found
    }
    rows = [
        (readout, *(cells.get((readout, method), cells.get((_any(readout), method))) for method in methods))
        for readout in readouts
    ]
    return table(("readout", *methods), rows)


def _collapse(records: Sequence[dict[str, Any]]) -> str:
    methods = list(dict.fromkeys(record["method"] for record in records if record["collapse"]))
    kinds = [kind for kind in dict.fromkeys(kind for record in records for kind in record["collapse"]) if kind != ANY]
    rows: list[list[object]] = []
    for kind, name in itertools.product(kinds, COLLAPSE):
        row: list[object] = [f"{kind}.{name}"]
        for method in methods:
            measured = (record["collapse"] for record in records if record["method"] == method)
            values = [one.get(kind, one.get(ANY))[name] for one in measured]
            row.append(float(np.mean([math.nan if value is None else value for value in values])))
        rows.append(row)
    return table(("measure", *methods), rows)


def _kind(readout: str) -> str:
    return readout.partition(".")[0]


def _any(readout: str) -> str:
    return f"{ANY}.{readout.partition('.')[2]}"


def _changes(changes: Sequence[Difference]) -> str:
    rows = [
        (
            change.readout,
            f"{change.method} - {PLAIN[change.method]}",
            _mean(float(np.mean(change.differences)), change.over_seeds, signed=True),
            " ".join(f"{value:.2g}" for value in change.p_values) or "-",
        )
        for change in changes
    ]
    return table(("readout", "networks", "difference", "p"), rows)


def _expected(recipe: Recipe, found: Sequence[Score]) -> list[str]:
    means = {(score.method, score.readout): score.mean for score in found}
    rows = [
        (one.method, one.readout, one.accuracy, means.get((one.method, one.readout)), one.source)
        for one in recipe.expected
    ]
    return ["", table(("method", "readout", "expected", "found", "source"), rows)] if rows else []


def _mean(mean: float, interval: tuple[float, float] | None, signed: bool = False) -> str:
    text = f"{mean:+.3f}" if signed else f"{mean:.3f}"
    if interval is None or math.isnan(interval[0]):
        return text
    # Of an interval that ends at 0 or 1, where accuracies do, half is less than what the mean may be off by.
    return f"{text}±{max(mean - interval[0], interval[1] - mean):.3f}"
