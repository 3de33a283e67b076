"""The spread of an answer over seeds."""

from __future__ import annotations

import statistics as plain

import pytest

from maskgraph.graphs.errors import InputError
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory.answer import answer
from maskgraph.theory.bootstrap import statistics
from maskgraph.theory.draws import draws, mean_and_sd
from maskgraph.theory.findings.finding import world_graph


def test_numbers_stand_in_the_order_of_their_seeds() -> None:
    found = [answer(world_graph(class_mixture(4, eta), 0.5, "sequence"), 0.5, 2) for eta in (0.1, 0.2, 0.3)]
    made = draws(found, range(7, 10), ["images"])
    assert (made["seeds"], made["drawn"]) == ([7, 8, 9], ["images"])
    assert made["numbers"].keys() == statistics(found[0]).keys()
    assert made["numbers"]["bayes_risk"] == [one["bayes_risk"] for one in found]
    assert made["numbers"]["water_filling"] == [one["bounds"]["water_filling"] for one in found]


@pytest.mark.parametrize(("answers", "seeds"), [(2, 3), (3, 2), (1, 1), (0, 0)])
def test_a_number_of_answers_that_is_not_that_of_seeds(answers: int, seeds: int) -> None:
    found = answer(world_graph(class_mixture(4, 0.3), 0.5, "sequence"), 0.5, 2)
    with pytest.raises(InputError, match=f"{answers} answers of {seeds} seeds; expected as many, of at least 2"):
        draws([found] * answers, range(seeds), ["images"])


def test_mean_and_sd_are_those_of_the_standard_library() -> None:
    values = [0.25, 0.5, 1.75, -1.0]
    assert mean_and_sd(values) == pytest.approx((plain.mean(values), plain.stdev(values)), rel=1e-15)


def test_values_that_agree_to_rounding_have_no_spread() -> None:
    assert mean_and_sd([64.0, 64.0 + 1e-12, 64.0])[1] == 0
    assert mean_and_sd([0.0, 0.0]) == (0, 0)
    assert mean_and_sd([-1.0, -1.0 - 1e-6])[1] == pytest.approx(1e-6 / 2**0.5)
