"""The digits recipe reaches what a seeded run of it recorded, and the recipe states what that run found."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from maskgraph.empirical.parts import load_parts
from maskgraph.empirical.probes import Labelled, knn_probe
from maskgraph.empirical.readout import whole_features
from maskgraph.empirical.recipe import read_recipe, recipe_from, recipe_table
from maskgraph.empirical.train import train

RECORDED = Path(__file__).parents[2] / "results" / "recipes" / "digits"

SEEDS = 5
"""Networks of each method in the record."""

LEVEL = 0.99
"""Of the interval that a further seed lies in: with five, 4.6·√(1 + 1/5) standard deviations to either side."""


def recorded(method: str) -> list[dict[str, Any]]:
    return [json.loads((RECORDED / "records" / f"{method}-s{seed}.json").read_text()) for seed in range(SEEDS)]


def test_a_further_seed_lies_within_the_spread_of_those_that_were_recorded() -> None:
    recipe = read_recipe("digits")
    config = dataclasses.replace(recipe.runs()[0], seed=SEEDS)
    assert config.method == "mae"
    parts = load_parts(recipe.data, None)
    trained = train(parts.train, config)
    three = (parts.train, parts.validation, parts.test)
    x, more, asked = (whole_features(trained.model, part, ["mean"])["mean"] for part in three)
    known = np.concatenate([x, more])
    labels = np.concatenate([parts.train.labels, parts.validation.labels])
    answers = knn_probe(Labelled(known, labels, np.full(len(known), 1 / len(known))), asked)
    batches = math.ceil(len(x) / config.batch)
    found = {
        "knn": float((answers == parts.test.labels).mean()),
        "loss": float(trained.losses[-batches:, 0].mean()),
    }
    records = recorded("mae")
    known_values = {
        "knn": [record["scores"]["mean.knn"]["accuracy"] for record in records],
        "loss": [record["final_reconstruction"] for record in records],
    }
    for name, values in known_values.items():
        # Student's interval of one further draw beside them: the spread of the draw and of their mean.
        half = stats.t.ppf((1 + LEVEL) / 2, SEEDS - 1) * np.std(values, ddof=1) * math.sqrt(1 + 1 / SEEDS)
        assert abs(found[name] - np.mean(values)) < half, name
    # However wide that is: a random network is far below, and a mean over all pixels far above the loss.
    assert found["knn"] > 0.75 > max(one["scores"]["mean.knn"]["accuracy"] for one in recorded("random-mae"))
    assert found["loss"] < 0.45 < trained.losses[:batches, 0].mean()


@pytest.mark.parametrize("method", ["mae", "u-mae", "simmim", "u-simmim"])
def test_the_recipe_states_what_was_recorded(method: str) -> None:
    stated = [one for one in read_recipe("digits").expected if one.method == method]
    assert len(stated) == 4
    for one in stated:
        mean = np.mean([record["scores"][one.readout]["accuracy"] for record in recorded(method)])
        assert one.accuracy == pytest.approx(mean, abs=0.0005)


def test_the_record_is_of_the_recipe() -> None:
    plan = json.loads((RECORDED / "recipe.json").read_text())["plan"]
    assert recipe_table(recipe_from(plan)) == recipe_table(read_recipe("digits"))
