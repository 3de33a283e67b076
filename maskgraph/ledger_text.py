"""The theorem ledger as text: for the command line and for the end of a test run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from maskgraph.tables import table

VERDICTS = ("holds", "tight", "vacuous", "assumption not met", "violated")

SMALL = 1e-9
"""A tightness below this is rounding of 0."""

Row = Mapping[str, Any]
"""A check as `Check.as_dict` gives it, with the name of its `model`; numbers that are not finite may be None."""


def ledger_text(rows: Sequence[Row]) -> str:
    """The ledger of one model line by line, of several counted; then each formula, and what was not met."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    by_statement = {
        statement: [row for row in rows if row["statement"] == statement]
        for statement in dict.fromkeys(row["statement"] for row in rows)
    }
    body = _one_model(rows) if len(models) == 1 else _counted(by_statement)
    formulas = [f"{statement}: {found[0]['formula']}" for statement, found in by_statement.items()]
    violated = [row for row in rows if row["verdict"] == "violated"]
    worst = [f"VIOLATED  {row['model']}  {row['statement']}: {row['note'] or row['formula']}" for row in violated]
    count = f"{len(models)} model{'s' if len(models) > 1 else ''}"
    summary = f"{count}, {len(rows)} checks, {len(violated)} violated"
    return "\n".join([body, "", *formulas, *_unmet(by_statement), "", *worst, summary])


def tightness_text(rows: Sequence[Mapping[str, Any]], dim: int, lipschitz: float) -> str:
    """How near the falsifier came to breaking each statement, one column a small graph."""
    worlds = list(rows[0]["worlds"])
    # What every world has goes without saying.
    less = ", or a graph's number of views" if any(one["dim"] < dim for one in rows[0]["worlds"].values()) else ""
    cells = [[row["statement"], *(_tightness(row["worlds"][world]) for world in worlds)] for row in rows]
    return (
        f"bound over the least left side found (upper bounds: the other way round), dim {dim}{less}, "
        f"L = {lipschitz:g}, lambda = 1/(4L)\n"
        f"{table(('statement', *worlds), cells)}\n\n"
        "1: attained. v: the bound is vacuous there. –: no model has an L there, or both sides are 0.\n"
        "BROKEN: a model that violates the statement."
    )


def _tightness(found: Mapping[str, Any]) -> str:
    if found["broken"]:
        return f"BROKEN {_number(found['tightness'])}"
    if found["verdict"] == "assumption not met":
        return "–"
    if abs(found["tightness"] or 0.0) < SMALL:
        return "0 v" if found["verdict"] == "vacuous" else "0"
    mark = " v" if found["verdict"] == "vacuous" else ""
    return f"{_number(found['tightness'])}{mark}"


def lost(row: Row) -> list[tuple[str, float]]:
    """What each step of the chain gives up, in the chain's order; the sum is the slack."""
    sign = -1 if row["sense"] == "<=" else 1
    return [
        (after["cause"], sign * (before["value"] - after["value"]))
        for before, after in pairwise(row["steps"])
        if not (after["exact"] or before["value"] is None or after["value"] is None)
    ]


def _one_model(rows: Sequence[Row]) -> str:
    headers = ("statement", "lhs", "", "rhs", "slack", "verdict", "most slack lost to")
    cells = [
        [
            row["statement"],
            *(_number(row["lhs"]), row["sense"], _number(row["rhs"])),
            *(_number(row["slack"]), row["verdict"], _largest([row])),
        ]
        for row in rows
    ]
    return f"{rows[0]['model']}\n{table(headers, cells)}"


def _counted(by_statement: Mapping[str, Sequence[Row]]) -> str:
    headers = ("statement", *("unmet" if v == "assumption not met" else v for v in VERDICTS))
    cells = []
    for statement, found in by_statement.items():
        counts = [sum(row["verdict"] == verdict for row in found) or "" for verdict in VERDICTS]
        cells.append(
            [
                *(statement, *counts, _median(found, "lhs"), found[0]["sense"], _median(found, "rhs")),
                *(_median(found, "slack"), _largest(found)),
            ]
        )
    return table((*headers, "median lhs", "", "median rhs", "median slack", "most slack lost to"), cells)


def _largest(rows: Sequence[Row]) -> str:
    """The step that loses the largest share of the slack, over all rows together."""
    total: dict[str, float] = {}
    for row in rows:
        if row["verdict"] in ("holds", "vacuous"):
            for cause, value in lost(row):
                total[cause] = total.get(cause, 0.0) + value
    whole = sum(total.values())
    if not total or whole <= 0:
        return ""
    cause = max(total, key=lambda name: total[name])
    return f"{cause} {total[cause] / whole:.0%}" if len(total) > 1 else cause


def _unmet(by_statement: Mapping[str, Sequence[Row]]) -> list[str]:
    lines = []
    for statement, found in by_statement.items():
        notes = [row["note"] for row in found if row["verdict"] == "assumption not met"]
        if notes:
            # As many in all as the column counts, whether or not their numbers are the same.
            more = f" (and {len(notes) - 1} more like it)" if len(notes) > 1 else ""
            lines.append(f"{statement}, assumption not met: {notes[0]}{more}")
    return ["", *lines] if lines else []


def _median(rows: Sequence[Row], side: str) -> str:
    values = [row[side] for row in rows if row[side] is not None and math.isfinite(row[side])]
    return _number(median(values)) if values else "–"


def _number(value: float | None) -> str:
    # Plus 0, as the slack of two equal sides is −0.
    return "–" if value is None or not math.isfinite(value) else f"{value + 0.0:.4g}"
