"""Nearest neighbours: the published votes of recipes, the plain ones of studies, by one function."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.empirical import probes
from maskgraph.empirical.probes import Labelled, knn_probe
from tests.empirical.test_linear_probe import SEEDS, labelled
from tests.strategies import searched


@given(st.integers(5, 30), st.integers(1, 25), st.floats(0.05, 1), SEEDS)
@searched(25)
def test_weighted_votes_are_their_formula(count: int, neighbours: int, temperature: float, seed: int) -> None:
    train, test = labelled(count, 4, 3, seed), labelled(12, 4, 3, seed + 1)
    # In pieces of one image to all of them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "COSINES", count * (1 + seed % 13))
        found = knn_probe(train, test.x, neighbours, temperature)
    assert len(found) == 12
    for row, x in enumerate(test.x):
        cosine = train.x @ x / np.linalg.norm(train.x, axis=1) / np.linalg.norm(x)
        votes = np.zeros(3)
        for index in np.argsort(-cosine)[:neighbours]:
            votes[train.y[index]] += train.weights[index] * math.exp(cosine[index] / temperature)
        assert votes[found[row]] == pytest.approx(votes.max(), rel=1e-9)


@pytest.mark.parametrize("neighbours", [1, 20, 200])
def test_the_nearest_are_found_among_thousands(neighbours: int) -> None:
    """Few numbers are sorted whole wherever they are to be parted; of thousands only what was asked for is in place."""
    rng = np.random.default_rng(0)
    x, asked, weights = rng.normal(size=(20_000, 4)), rng.normal(size=(100, 4)), rng.uniform(0.2, 1, 20_000)
    # Features that know nothing of the class: any one neighbour in the place of another may turn the vote.
    train = Labelled(x, rng.integers(10, size=20_000), weights / weights.sum())
    cosines = (asked / np.linalg.norm(asked, axis=1)[:, None]) @ (x / np.linalg.norm(x, axis=1)[:, None]).T
    votes = np.zeros((100, 10))
    for row, nearest in enumerate(np.argsort(-cosines, axis=1)[:, :neighbours]):
        np.add.at(votes[row], train.y[nearest], train.weights[nearest])
    *_, second, most = np.sort(votes, axis=1).T
    assert (most - second > 1e-9 * most).all(), "no tie that rounding decides"
    np.testing.assert_array_equal(knn_probe(train, asked, neighbours, math.inf), votes.argmax(axis=1))


def at_cosines(cosines: NDArray[np.float64], y: list[int]) -> Labelled:
    """Features of many lengths in a plane, at these cosines to its first axis."""
    length = np.arange(1.0, len(y) + 1)[:, None]
    x = length * np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)
    return Labelled(x, np.array(y), np.full(len(y), 1 / len(y)))


@pytest.mark.parametrize(("temperature", "wins"), [(0.0705, 0), (0.0695, 1)])
def test_votes_are_of_the_published_temperature(temperature: float, wins: int) -> None:
    """Wu et al. 2018 at T = 0.07: one vote of 1 against three, which together are worth 1 at the temperature given."""
    cosine = 1 - temperature * math.log(3)
    train = at_cosines(np.array([1.0, cosine, cosine, cosine]), [0, 1, 1, 1])
    assert knn_probe(train, np.array([[2.0, 0.0]])).tolist() == [wins]
    for other in (0.069, 0.071):
        assert knn_probe(train, np.array([[2.0, 0.0]]), temperature=other).tolist() == [int(other > temperature)]


def test_twenty_neighbours_vote() -> None:
    """Votes are worth their masses but for a millionth; the twentieth outweighs all before it and not one more."""
    train = at_cosines(np.linspace(1, 1 - 3e-8, 30), [0] * 19 + [1] + [0] * 10)
    train = replace(train, weights=np.array([1.0] * 19 + [19.5] + [1.0] * 10) / 48.5)
    asked = np.array([[3.0, 0.0]])
    assert [knn_probe(train, asked, neighbours=count).tolist() for count in (19, 20, 21)] == [[0], [1], [0]]
    assert knn_probe(train, asked).tolist() == [1]


def test_at_an_infinite_temperature_a_vote_is_worth_its_mass() -> None:
    """Two far neighbours outvote the nearest one, whose cosine counts for nothing; at the published T it wins."""
    train, asked = at_cosines(np.array([1.0, 0.2, 0.1]), [0, 1, 1]), np.array([[1.0, 0.0]])
    assert knn_probe(train, asked, 3, math.inf).tolist() == [1]
    assert knn_probe(train, asked, 3).tolist() == [0]


def test_images_are_asked_about_in_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond the last whole tile of a product are rounded differently, which turns ties among coded images."""
    train, asked, pieces = labelled(40, 3, 2, 0), labelled(30, 3, 2, 1).x, []

    def noted(*arguments: Any, **named: Any) -> Any:
        pieces.append(len(arguments[0]))
        return partition(*arguments, **named)

    partition = np.argpartition
    monkeypatch.setattr(np, "argpartition", noted)
    monkeypatch.setattr(probes, "COSINES", 40 * 15)
    knn_probe(train, asked)
    assert pieces == [8, 8, 8, 6]
