"""What to know of bounds, graphs and models before reading anything into their numbers, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from maskgraph.graphs.errors import ROUNDED
from maskgraph.theory.answer import RatioAnswer
from maskgraph.theory.bounds import is_vacuous, trivial
from maskgraph.theory.unseen import OF_THE_SAMPLE, of_the_sample

if TYPE_CHECKING:
    import pandas as pd


FEW_COPIES = 0.01
"""Share of held-out images up to which copies of training images move an accuracy by less than it is read to."""


def of_bounds(answers: Sequence[RatioAnswer], hop: str) -> list[str]:
    """Where they say nothing, and where what is known without a spectrum says more."""
    lam, dims, notes = answers[0]["lambda"], sorted({found["dim"] for found in answers}), []

    def silent(bound: Literal["thm_4_2_any_lambda", "water_filling"]) -> list[RatioAnswer]:
        return [found for found in answers if is_vacuous(found["bounds"][bound], lam, found["dim"])]

    if silent("thm_4_2_any_lambda"):
        least = f"{trivial(lam, dims[-1]):.4g}" + (f" to {trivial(lam, dims[0]):.4g}" if len(dims) > 1 else "")
        notes.append(
            f"thm_4_2 <= lambda/dim = {least} is vacuous: lambda L_unif alone is never below it. "
            "S2 (water-filling) is the sharper bound."
        )
    if nothing := silent("water_filling"):
        notes.append(f"S2 is no more than that at rho {_ratios(nothing)}, and as vacuous.")
    # On the image hop bounds are not of L_MAE.
    if hop == "target" and (known := [found for found in answers if _bayes_says_more(found)]):
        notes.append(
            f"At rho {_ratios(known)} bayes + lambda/dim is above S2: a floor of the same loss, by I2 and U, "
            "that needs no spectrum."
        )
    # Runs from before it was measured lack it.
    if all("thm_4_1_least" in found for found in answers):
        least = ", ".join(f"{found['thm_4_1_least']:.4g}" for found in answers)
        notes.append(
            f"Thm 4.1 bounds a probe's error by no less than {least}, whatever the features; from 1 on it says nothing."
        )
    return notes


def _bayes_says_more(found: RatioAnswer) -> bool:
    bayes, least = found["bayes_risk"], trivial(found["lambda"], found["dim"])
    bounds = found["bounds"]
    return bayes is not None and bayes + least > max(bounds["water_filling"], bounds["thm_4_2_any_lambda"])


def of_labels(answers: Sequence[RatioAnswer]) -> list[str]:
    """Where no view has another majority class than the largest, so that α is small only as that is large."""
    # Runs from before it was measured lack it.
    blind = [found for found in answers if found["alpha"] >= found.get("alpha_most", math.inf) - ROUNDED]
    if not blind:
        return []
    least = ", ".join(f"{found['alpha']:.4g}" for found in blind)
    return [
        f"At rho {_ratios(blind)} alpha is {least}, what guessing the largest class gets wrong: no view makes "
        "another class more likely."
    ]


def of_samples(view: str, answers: Sequence[RatioAnswer]) -> list[str]:
    """Where a graph tells more of its images or masks than of the data."""

    def ratios(*keys: Literal["visible", "target", "visible_fresh_mask", "target_fresh_mask"]) -> str:
        return _ratios(found for found in answers if any(of_the_sample(found["unseen"][key]) for key in keys))

    share, warnings = f"more than {100 * OF_THE_SAMPLE:g} %", []
    if said := ratios("visible", "target"):
        warnings.append(
            f"WARNING, rho {said}: {share} of what a fresh image shows on one side is no vertex (unseen1, unseen2).\n"
            "The graph says more about the sample than about the data: take more --images, fewer --codes or --view bag."
        )
    # With positions a vertex fixes its mask: a fresh mask shows nothing that is known, by definition.
    if view != "positional" and (said := ratios("visible_fresh_mask", "target_fresh_mask")):
        warnings.append(
            f"WARNING, rho {said}: {share} of what a fresh mask shows on one side is no vertex.\n"
            "The graph says more about these masks than about all of them: raise --max-masks."
        )
    return warnings


def of_copies(records: pd.DataFrame) -> list[str]:
    """Where more than a few of the images that probes are scored on are among those that they are fitted on."""
    # Runs from before they were counted lack it, and images that are codes have none.
    counted = records.dropna(subset="copies") if "copies" in records else records.iloc[:0]
    return [
        f"WARNING: {record['copies']:.0f} of {record['scored_images']:.0f} held-out images are copies of training "
        "images, which a probe may know by heart: leave copies out."
        for _, record in counted.iterrows()
        if record["copies"] > FEW_COPIES * record["scored_images"]
    ]


def of_models(models: pd.DataFrame, view: str) -> list[str]:
    """Which have learned no more than a constant output knows.

    Args:
        models: one row a model, measured on the target hop.
        view: theirs; with positions a model knows its mask, and a constant is one for each.
    """
    column, name, constant = "target_variance", "Var(x2)", "a constant output"
    if view == "positional":
        column, name, constant = "target_variance_given_mask", "Var(x2 | mask)", "a constant output for each mask"
    means = models.groupby(["method", "mask_ratio"], as_index=False)[["L_MAE", column]].mean()
    worse = means[means["L_MAE"] > means[column]]
    if worse.empty:
        return []
    said = ", ".join(
        f"{method} at rho {ratio:g} ({loss:.4g} > {least:.4g})"
        for method, ratio, loss, least in worse.itertuples(index=False)
    )
    return [f"WARNING: mean L_MAE is above {name}, which {constant} reaches: {said}; train on."]


def _ratios(answers: Iterable[RatioAnswer]) -> str:
    return ", ".join(f"{found['mask_ratio']:g}" for found in answers)
