"""What a study runs and what it found, as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from maskgraph.empirical.intervals import seeds_interval
from maskgraph.empirical.records import PROBES, drawn_bounds, gaussian_nulls, probed_feature
from maskgraph.empirical.summary import PLAIN
from maskgraph.graphs.masks import masks_text
from maskgraph.notes import of_bounds, of_copies, of_labels, of_models, of_samples
from maskgraph.tables import spread_text, table
from maskgraph.theory.draws import mean_and_sd

if TYPE_CHECKING:
    import pandas as pd

    from maskgraph.empirical.plan import Plan
    from maskgraph.theory.answer import RatioAnswer


def plan_text(plan: Plan) -> tuple[str, str]:
    """How many models a study trains, and of what: all that a file may leave to its defaults, in one line."""
    count = len(plan.runs())
    ratios = ", ".join(f"{ratio:g}" for ratio in plan.graph.mask_ratios)
    masks = masks_text(plan.graph.mask, plan.graph.mask_unit)
    return _counted(count, "model"), "; ".join(
        (
            plan.source.name,
            f"mask ratio{'s' * (len(plan.graph.mask_ratios) > 1)} {ratios}" + (f", {masks}" if masks else ""),
            ", ".join(plan.methods),
            f"{_counted(plan.seeds, 'seed')} of {_counted(plan.train.epochs, 'epoch')} each",
            f"bounds of {', '.join(plan.graph.views)} views, {', '.join(plan.graph.hops)} hop",
        )
    )


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" + "s" * (count > 1)


def study_text(bounds: pd.DataFrame, records: pd.DataFrame, study: Mapping[str, Any]) -> str:
    """One row a mask ratio and method, baselines and noise beneath, what uniformity changes, and what to know of it.

    Args:
        bounds: one row a graph, as the study records them.
        records: one row a model or baseline.
        study: study.json, for what models are of.
    """
    feature, own = probed_feature(study), study["plan"]["train"]["view"]
    graphs = bounds[bounds["hop"] == "target"] if (bounds["hop"] == "target").any() else bounds
    # Models are measured on the target hop of their own view, which a study need not bound.
    shown = own if (graphs["view"] == own).any() else graphs["view"].iloc[0]
    first = graphs[graphs["view"] == shown].drop_duplicates("mask_ratio")
    hop, theory = first["hop"].iloc[0], first.set_index("mask_ratio")
    models = records[records["mask_ratio"].notna()]
    columns = (
        f"{feature}.linear",
        f"{feature}.knn",
        f"{feature}.few_shot",
        "L_MAE",
        f"{feature}.L_unif",
        f"{feature}.rankme",
    )
    rows: list[list[object]] = []
    for (ratio, method), runs in models.groupby(["mask_ratio", "method"]):
        found: Mapping[str, Any] = theory.loc[ratio]
        known = [found["bounds"]["thm_4_2"], found["bounds"]["water_filling"], found["alpha"]]
        # The floor of their own L_MAE, whichever graph is bounded.
        known.append(runs["bayes_risk"].iloc[0])
        rows.append([f"{ratio:g}", method, *known, *(_spread(runs[column]) for column in columns)])
    names = ("linear", "5-NN", "few-shot", "L_MAE", "L_unif", "RankMe")
    # In a recipe's table ± is half of an interval, which of three seeds is 2.5 times as long.
    seeds = models["seed"].nunique()
    graph = study["plan"]["graph"]
    # Runs from before there were others lack both.
    masks = masks_text(graph.get("mask", "uniform"), graph.get("mask_unit", 1))
    of = ", ".join(filter(None, (f"{shown} views", masks, f"{hop} hop")))
    told = f"probes of the {feature} feature" + (f", ± SD over {seeds} seeds" if seeds > 1 else "")
    lines = [
        f"{bounds['dataset'].iloc[0]}: theory of the graph with {of}, L = 1; {told}",
        table(("rho", "method", "thm_4_2", "S2", "alpha", "bayes", *names), rows),
    ]
    for method, runs in records[records["mask_ratio"].isna()].groupby("method"):
        if method == "majority-class":
            lines.append(f"baseline {method}: {runs['accuracy'].iloc[0]:.3f}, whatever the image")
        prefix = feature if method == "random-network" else "pixels"
        if f"{prefix}.knn" in runs and runs[f"{prefix}.knn"].notna().any():
            scores = (
                f"{name} {_spread(runs[f'{prefix}.{column}'])}"
                for name, column in (("linear", "linear"), ("5-NN", "knn"), ("few-shot", "few_shot"))
            )
            lines.append(f"baseline {method!s}: {', '.join(scores)}")
    if null := gaussian_nulls(bounds):
        said = (f"{name} {_means(null, key)}" for name, key in (("L_unif", "L_unif"), ("RankMe", "rankme")))
        at = ", ".join(f"{ratio:g}" for ratio in sorted(null))
        lines.append(f"Gaussian features on the same graphs, at rho {at}: {'; '.join(said)}")
    if shown == own:
        answers = [cast("RatioAnswer", row) for row in first.to_dict("records")]
        notes = [*of_bounds(answers, hop), *of_models(models, own), *of_labels(answers), *of_samples(shown, answers)]
        if hop == "image":
            notes.insert(
                0, "thm_4_2 and S2 bound that hop's alignment and not L_MAE: the target hop is not bounded here."
            )
    else:
        notes = [
            f"Models, their L_MAE and bayes are of {own} views, which this study does not bound: thm_4_2, S2 and alpha "
            "are of another graph.",
            *of_models(models, own),
        ]
    notes += of_copies(records)
    parts = ["\n".join(lines), _changes(models, feature), _other_draws(bounds), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part)


def _changes(models: pd.DataFrame, feature: str) -> str:
    """What uniformity changes, paired by seed: two models of a seed begin alike and see the same batches and masks."""
    columns = [f"{feature}.{name}" for name in PROBES]
    rows: list[list[object]] = []
    for ratio, (method, plain) in itertools.product(sorted(models["mask_ratio"].unique()), PLAIN.items()):
        at = models[models["mask_ratio"] == ratio].set_index("seed")
        change = (at.loc[at["method"] == method, columns] - at.loc[at["method"] == plain, columns]).dropna()
        if len(change) > 1:
            halves = [np.ptp(seeds_interval(change[column].to_list())) / 2 for column in columns]
            cells = (f"{change[column].mean():+.3f}±{half:.3f}" for column, half in zip(columns, halves, strict=True))
            rows.append([f"{ratio:g}", f"{method} - {plain}", *cells])
    if not rows:
        return ""
    title = "uniformity less none, paired by seed: mean ± half of the 95 % interval over seeds"
    return f"{title}\n{table(('rho', 'methods', 'linear', '5-NN', 'few-shot'), rows)}"


def _other_draws(bounds: pd.DataFrame) -> str:
    """What S2 is under other draws of the masks, on every graph where it is not the same."""
    rows, ratios, count = [], sorted(bounds["mask_ratio"].unique()), 0
    for (view, hop), graph in bounds.groupby(["view", "hop"], sort=False):
        drawn = drawn_bounds(graph)
        alone = {row["mask_ratio"]: row["bounds"]["water_filling"] for _, row in graph.iterrows()}
        if any(mean_and_sd(values)[1] for values in drawn.values()):
            count = max(len(values) for values in drawn.values())
            # Where all masks are there, none are drawn.
            rows.append(
                [view, hop, *(spread_text(drawn[at]) if at in drawn else alone.get(at, math.nan) for at in ratios)]
            )
    if not rows:
        return ""
    title = f"S2 over {count} draws of the masks, mean ± SD; all else is of the first draw"
    return f"{title}\n{table(('views', 'hop', *(f'rho {ratio:g}' for ratio in ratios)), rows)}"


def _means(null: Mapping[float, Mapping[str, Any]], name: str) -> str:
    return ", ".join(f"{null[ratio][name]['mean']:.3f}" for ratio in sorted(null))


def _spread(values: pd.Series[float]) -> str:
    return f"{values.mean():.3f}±{values.std(ddof=1):.3f}" if len(values) > 1 else f"{values.mean():.3f}"
