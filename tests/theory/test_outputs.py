"""What a model's outputs may be given as, and what is refused of them and of the constants beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from maskgraph.graphs.errors import InputError
from maskgraph.theory.answer import Constants, answer
from maskgraph.theory.ledger import ledger
from maskgraph.theory.outputs import Outputs, with_unit_features
from tests.theory.toys import two_states

F = np.array([[1.0, 0.0], [0.6, 0.8]])


@pytest.mark.parametrize(
    "given",
    [
        F.tolist(),
        np.asfortranarray(F),
        torch.tensor(F, requires_grad=True),
        torch.nn.Parameter(torch.tensor(F)),
    ],
)
def test_what_holds_real_numbers_is_taken_as_it_is(given: Any) -> None:
    graph, _ = two_states(0.2)
    found = Outputs(f=given, h=given, pseudo=given, collapsed=given)
    for part in (found.f, found.h, found.pseudo, found.collapsed):
        assert isinstance(part, np.ndarray)
        assert part.dtype == np.float64
        np.testing.assert_array_equal(part, F)
    # To the last bit; as text, in which NaN is NaN.
    assert repr(ledger(graph, Outputs(f=given))) == repr(ledger(graph, Outputs(f=F)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64])
def test_narrower_numbers_are_widened_exactly(dtype: torch.dtype) -> None:
    given = torch.tensor(F).to(dtype)
    np.testing.assert_array_equal(Outputs(f=given).f, given.double().numpy())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (F * 1j, r"f is a ndarray of dtype complex128; give f as one array, one row a view of real numbers"),
        (torch.tensor(F * 1j), r"f is a Tensor of dtype complex128; give f as one array"),
        ([["a"], ["b"]], r"f is a list of dtype <U1; give f as one array, one row a view of real numbers"),
        (F.astype(object), r"f is a ndarray of dtype object; give f as one array"),
        ([[1.0], [1.0, 2.0]], r"f is a list that is no array \(setting .*\); give f as one array"),
        ((F, F), r"f is a tuple; give f as one array, one row a view$"),
        ({"f": F}, r"f is a dict; give f as one array, one row a view$"),
    ],
)
def test_what_does_not_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Outputs(f=given)


@pytest.mark.parametrize("name", ["epsilon", "lipschitz", "lam"])
@pytest.mark.parametrize("value", ["0.1", 1j, [0.1]])
def test_constants_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{name} is .*{value!r}".replace("[", r"\[") + "; expected a number"):
        Outputs(**{name: value})
    numbers: list[Any] = [1, np.float32(1), True]
    for number in numbers:
        found = getattr(Outputs(**{name: number}), name)
        assert found == 1
        assert type(found) is float, "sides in double precision"


def test_features_at_unit_norm_are_their_directions_and_no_direction_stays_as_it_is() -> None:
    f = np.array([[3.0, -4.0], [0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0], [1e-100, 0.0]])
    found = with_unit_features(Outputs(f=f)).f
    assert found is not None
    np.testing.assert_allclose(found, [[0.6, -0.8], *f[1:4].tolist(), [1.0, 0.0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lipschitz": "1"}, "Lipschitz constant '1'; expected a number"),
        ({"lipschitz": None}, "Lipschitz constant None; expected a number"),
        ({"lam": "1"}, "lambda '1'; expected a number"),
        ({"epsilon": "0.1"}, "epsilon '0.1'; expected a number"),
        ({"epsilon": 1.1e60}, r"epsilon 1.1e\+60; expected a number of at most 1e\+60"),
        ({"lipschitz": 1.1e60}, r"Lipschitz constant 1.1e\+60; expected a number from 1e-60 to 1e\+60"),
        ({"lam": 0.9e-60}, r"lambda 9e-61; expected a number from 1e-60 to 1e\+60"),
        ({"epsilon": float("nan")}, r"epsilon nan; expected a number of at least 0"),
    ],
)
def test_constants_of_a_bound_are_numbers(fields: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Constants(**fields)


def test_the_ratio_and_the_dimension_of_an_answer_are_numbers() -> None:
    graph, _ = two_states(0.2)
    with pytest.raises(InputError, match=r"mask ratio '0.5'; expected a number, the share of patches"):
        answer(graph, "0.5", 1)  # type: ignore[arg-type]
    for dim in ("1", 1.0):
        with pytest.raises(InputError, match=rf"dimension {dim} for a graph of 2 visible views; expected an integer"):
            answer(graph, 0.5, dim)  # type: ignore[arg-type]
