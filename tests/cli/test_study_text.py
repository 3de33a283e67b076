"""What a study prints in the end, of records that are known."""

from __future__ import annotations

import copy
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from maskgraph.empirical.plan import plan_from
from maskgraph.empirical.records import drawn_bounds, read_bounds, read_records, read_study
from maskgraph.study_text import plan_text, study_text

RUN = Path(__file__).parents[2] / "results/digits"
"""Thirty models of positional views, on which, as on bags, graphs are bounded."""


RATIOS = (0.25, 0.5, 0.75, 0.875, 0.9375)


@pytest.fixture
def bounds() -> pd.DataFrame:
    return read_bounds(RUN)


@pytest.fixture
def records() -> pd.DataFrame:
    return read_records(RUN)


def study(view: str = "positional") -> dict[str, Any]:
    found = copy.deepcopy(read_study(RUN))
    found["plan"]["train"]["view"] = view
    return found


def rows(text: str) -> list[list[str]]:
    """Of the first table."""
    return [line.split() for line in text.partition("\n\n")[0].splitlines() if line.strip().startswith("0.")]


@pytest.mark.parametrize("order", [["positional", "bag"], ["bag", "positional"]])
@pytest.mark.parametrize("own", ["positional", "bag"])
def test_the_theory_beside_a_model_is_that_of_its_own_graph(
    own: str, order: list[str], bounds: pd.DataFrame, records: pd.DataFrame
) -> None:
    """In whichever order a study names its views, and never that of the image hop."""
    several = pd.concat([bounds[bounds["view"] == view] for view in order]).iloc[::-1]
    text = study_text(several, records, study(own))
    assert text.startswith(f"digits: theory of the graph with {own} views, target hop, L = 1; ")
    one = bounds[(bounds["view"] == own) & (bounds["hop"] == "target")].set_index("mask_ratio")
    for ratio, _, *numbers in rows(text):
        wanted = one.loc[float(ratio)]
        for shown, value in zip(
            numbers, [wanted["bounds"]["thm_4_2"], wanted["bounds"]["water_filling"]], strict=False
        ):
            assert float(shown) == pytest.approx(value, rel=1e-3)
    assert "which this study does not bound" not in text


def test_a_study_of_another_graph_s_bounds_says_so(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """The least that L_MAE can be is of the models' graph whichever is bounded: no L_MAE is below it."""
    text = study_text(bounds[bounds["view"] == "bag"], records, study())
    assert "theory of the graph with bag views, target hop" in text
    said = "Models, their L_MAE and bayes are of positional views, which this study does not bound"
    assert said in text
    assert "WARNING, rho" not in text
    assert "vacuous" not in text
    for _, _, _, _, _, bayes, *_, mae, _, _ in rows(text):
        assert float(bayes) < float(mae.partition("±")[0])


def test_a_study_of_the_image_hop_alone_says_what_it_bounds(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """α is of the views and so of their models' graph on either hop; and what warns of the graph warns of it here."""
    text = study_text(bounds[bounds["hop"] == "image"], records, study())
    assert "theory of the graph with positional views, image hop" in text
    assert "thm_4_2 and S2 bound that hop's alignment and not L_MAE: the target hop is not bounded here." in text
    assert "another graph" not in text
    assert "WARNING, rho 0.25, 0.5, 0.75, 0.875, 0.9375: more than 10 % of what a fresh image shows" in text
    assert "is vacuous" in text
    assert "bayes + lambda/dim" not in text


def test_masks_that_are_not_the_usual_ones_are_named(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    found = study()
    found["plan"]["graph"] |= {"mask": "block", "mask_unit": 2}
    named = "theory of the graph with positional views, block masks in squares of 2 x 2 patches, target hop, L = 1"
    assert named in study_text(bounds, records, found)
    for key in ("mask", "mask_unit"):
        del found["plan"]["graph"][key]
    assert "theory of the graph with positional views, target hop, L = 1" in study_text(bounds, records, found)
    table = {"data": {"dataset": "digits"}, "graph": {"mask": "grid"}}
    assert "; mask ratios 0.25, 0.5, 0.75, grid masks; " in plan_text(plan_from(table))[1]


def test_other_draws_of_the_masks_stand_beside_the_first(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """Of each graph that they move, in the order of the study; of all masks there is one draw."""
    text = study_text(bounds, records, study())
    title, header, _, *lines = next(part for part in text.split("\n\n") if part.startswith("S2 over")).splitlines()
    assert title == "S2 over 10 draws of the masks, mean ± SD; all else is of the first draw"
    assert header.split() == ["views", "hop", *(f"rho {ratio}".split()[i] for ratio in RATIOS for i in (0, 1))]
    told = {tuple(line.split()[:2]): line.split()[2:] for line in lines}
    # With positions on the target hop every one has as many components as the bound has dimensions.
    assert set(told) == {("positional", "image"), ("bag", "target"), ("bag", "image")}
    for (view, hop), cells in told.items():
        rows = bounds[(bounds["view"] == view) & (bounds["hop"] == hop)].sort_values("mask_ratio")
        for ratio, cell in zip(RATIOS[:-1], cells, strict=False):
            values = drawn_bounds(rows)[ratio]
            mean, sd = (float(part) for part in cell.split("±"))
            # Two digits of the SD: off by a twentieth where it is 1.0, and the mean by as much as the SD.
            assert sd == pytest.approx(statistics.stdev(values), rel=0.051, abs=1e-9)
            assert mean == pytest.approx(statistics.fmean(values), abs=max(0.051 * sd, 1e-6))
        assert float(cells[-1]) == pytest.approx(rows["bounds"].iloc[-1]["water_filling"], rel=1e-3)
    alone = bounds[(bounds["view"] == "positional") & (bounds["hop"] == "target")]
    assert "draws" not in study_text(alone, records, study())
    assert "draws" not in study_text(bounds.drop(columns="draws"), records, study())


def test_what_tells_nothing_of_the_class_is_scored(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    assert "baseline majority-class: 0.102, whatever the image" in study_text(bounds, records, study())
    # Runs from before there was such a record.
    before = records[records["method"] != "majority-class"].drop(columns="accuracy")
    assert "majority" not in study_text(bounds, before, study())


def test_copies_of_training_images_are_told(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """More than one in a hundred of those that probes are scored on."""
    pixels = records["method"] == "raw-pixels"
    for copies, scored, told in ((6, 500, True), (5, 500, False), (0, 500, False)):
        counted = records.assign(copies=np.where(pixels, copies, np.nan), scored_images=float(scored))
        text = study_text(bounds, counted, study())
        assert (f"WARNING: {copies} of {scored} held-out images are copies of training" in text) == told
        assert ("copies" in text) == told


def test_an_alpha_that_tells_of_the_largest_class_alone_is_told(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    assert "guessing the largest class" not in study_text(bounds, records, study())
    blind = bounds.assign(alpha=bounds["alpha"].where(bounds["mask_ratio"] != 0.5, bounds["alpha_most"]))
    text = study_text(blind, records, study())
    assert "At rho 0.5 alpha is 0.8983, what guessing the largest class gets wrong: no view makes another" in text
    assert "guessing" not in study_text(blind.drop(columns="alpha_most"), records, study())


def test_what_bound_warns_of_a_study_does_too(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    text = study_text(bounds, records, study())
    assert "thm_4_2 <= lambda/dim = 0.003906 is vacuous" in text
    assert "S2 is no more than that at rho 0.25, 0.5, 0.75, 0.875, and as vacuous." in text
    assert "At rho 0.25, 0.5, 0.75, 0.875, 0.9375 bayes + lambda/dim is above S2" in text
    assert "WARNING, rho 0.25, 0.5, 0.75, 0.875, 0.9375: more than 10 % of what a fresh image shows" in text
    assert "± SD over 3 seeds\n" in text


@pytest.mark.parametrize(
    ("view", "column", "said"),
    [
        ("positional", "target_variance_given_mask", "Var(x2 | mask), which a constant output for each mask reaches"),
        ("bag", "target_variance", "Var(x2), which a constant output reaches"),
    ],
)
def test_models_that_are_worse_than_a_constant_are_named(
    view: str, column: str, said: str, bounds: pd.DataFrame, records: pd.DataFrame
) -> None:
    """The mean of the seeds has to be above it, not one of them. Without positions no model knows its mask."""
    assert "constant" not in study_text(bounds, records, study(view))
    at = (records["method"] == "mae") & (records["mask_ratio"] == 0.25)
    constant = float(records.loc[at, column].iloc[0])
    records.loc[at, "L_MAE"] = [3 * constant, 0.2 * constant, 0.2 * constant]
    text = study_text(bounds, records, study(view))
    assert f"above {said}: mae at rho 0.25 ({3.4 / 3 * constant:.4g} > {constant:.4g}); train on." in text
    records.loc[at, "L_MAE"] = [2 * constant, 0.4 * constant, 0.4 * constant]
    assert "constant" not in study_text(bounds, records, study(view))


def test_a_study_without_models_has_baselines_and_bounds(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    text = study_text(bounds, records[records["mask_ratio"].isna()], study())
    assert "baseline raw-pixels: linear 0.965" in text
    assert not rows(text)


def test_what_uniformity_changes_is_paired_by_seed(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """Of seeds that both methods have, two at least, with an interval by Student's t."""
    at = records["mask_ratio"] == 0.5
    for method, scores in (("mae", [0.5, 0.6, 0.9]), ("u-mae", [0.6, 0.6, 0.7])):
        records.loc[at & (records["method"] == method), "cls.linear"] = scores
    # In whichever order they stand.
    shuffled = records.sample(frac=1, random_state=0)
    text = study_text(bounds, shuffled, study())
    # Differences of 0.1, 0 and -0.2: a mean of -0.0333, of standard deviation 0.1528, and t of two degrees of freedom.
    half = 4.302653 * 0.1527525 / 3**0.5
    assert f"u-mae - mae  -0.033±{half:.3f}" in text
    assert text.count("u-mae - mae") == 5
    lone = records[~(at & (records["method"] == "mae") & (records["seed"] > 0))]
    assert study_text(bounds, lone, study()).count("u-mae - mae") == 4, "one pair shows no spread"
    two = records[~(at & (records["method"] == "mae") & (records["seed"] == 2))]
    assert f"+0.050±{12.7062 * 0.0707107 / 2**0.5:.3f}" in study_text(bounds, two, study())
    assert "paired" not in study_text(bounds, records[records["method"] != "mae"], study())


def test_what_noise_has_of_uniformity_and_rank_is_told(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """In the order of the mask ratios, of the models' graphs alone."""
    known = bounds.drop(columns="gaussian", errors="ignore")
    assert "Gaussian" not in study_text(known, records, study())
    own = (known["view"] == "positional") & (known["hop"] == "target")
    rows = known[own].sort_values("mask_ratio", ascending=False)
    nulls = [
        {"draws": 3, "dim": 64, "L_unif": {"mean": ratio, "sd": 0.0}, "rankme": {"mean": 64 * ratio, "sd": 0.0}}
        for ratio in rows["mask_ratio"]
    ]
    text = study_text(rows.assign(gaussian=pd.Series(nulls, index=rows.index)), records, study())
    assert (
        "Gaussian features on the same graphs, at rho 0.25, 0.5, 0.75, 0.875, 0.9375: "
        "L_unif 0.250, 0.500, 0.750, 0.875, 0.938; RankMe 16.000, 32.000, 48.000, 56.000, 60.000"
    ) in text
