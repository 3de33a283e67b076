"""What a study runs and what it found, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from maskgraph.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from maskgraph.empirical.plan import Plan


def plan_text(plan: Plan) -> tuple[str, str]:
    """How many models a study trains, and of what: all that a file may leave to its defaults, in one line."""
    count = len(plan.runs())
    ratios = ", ".join(f"{ratio:g}" for ratio in plan.graph.mask_ratios)
    return _counted(count, "model"), "; ".join(
        (
            plan.source.name,
            f"mask ratio{'s' * (len(plan.graph.mask_ratios) > 1)} {ratios}",
            ", ".join(plan.methods),
            f"{_counted(plan.seeds, 'seed')} of {_counted(plan.train.epochs, 'epoch')} each",
            f"bounds of {', '.join(plan.graph.views)} views, {', '.join(plan.graph.hops)} hop",
        )
    )


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" + "s" * (count > 1)


def study_text(bounds: pd.DataFrame, records: pd.DataFrame, feature: str) -> str:
    """One row a mask ratio and method, then the baselines."""
    first = bounds[(bounds["view"] == bounds["view"].iloc[0]) & (bounds["hop"] == bounds["hop"].iloc[0])]
    theory = first.set_index("mask_ratio")
    columns = (
        f"{feature}.linear",
        f"{feature}.knn",
        f"{feature}.few_shot",
        "L_MAE",
        f"{feature}.L_unif",
        f"{feature}.rankme",
    )
    rows: list[list[object]] = []
    for (ratio, method), runs in records[records["mask_ratio"].notna()].groupby(["mask_ratio", "method"]):
        found: Mapping[str, Any] = theory.loc[ratio]
        known = [
            found["bounds"]["thm_4_2"],
            found["bounds"]["water_filling"],
            found["alpha"],
            found["bayes_risk"],
        ]
        rows.append([f"{ratio:g}", method, *known, *(_spread(runs[column]) for column in columns)])
    graph = f"{first['view'].iloc[0]} views, {first['hop'].iloc[0]} hop"
    names = ("linear", "5-NN", "few-shot", "L_MAE", "L_unif", "RankMe")
    # In a recipe's table ± is half of an interval, which of three seeds is 2.5 times as long.
    told = f"probes of the {feature} feature" + (", ± SD over seeds" if records["seed"].nunique() > 1 else "")
    lines = [
        f"{bounds['dataset'].iloc[0]}: theory of the graph with {graph}, L = 1; {told}",
        table(("rho", "method", "thm_4_2", "S2", "alpha", "bayes", *names), rows),
    ]
    for method, runs in records[records["mask_ratio"].isna()].groupby("method"):
        prefix = feature if method == "random-network" else "pixels"
        if f"{prefix}.knn" in runs and runs[f"{prefix}.knn"].notna().any():
            scores = (
                f"{name} {_spread(runs[f'{prefix}.{column}'])}"
                for name, column in (("linear", "linear"), ("5-NN", "knn"), ("few-shot", "few_shot"))
            )
            lines.append(f"baseline {method!s}: {', '.join(scores)}")
    return "\n".join(lines)


def _spread(values: pd.Series[float]) -> str:
    return f"{values.mean():.3f}±{values.std(ddof=1):.3f}" if len(values) > 1 else f"{values.mean():.3f}"
