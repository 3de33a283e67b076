"""Every constant of every bound is pinned: changed by one per cent or by one, it is seen.

The values are worked out by hand from the formulas of docs/theory.md at numbers that are easy to calculate with, and
each constant shows in at least one of them.
"""

from __future__ import annotations

import ast
import inspect
import math
import types
from fractions import Fraction as Q
from typing import Any

import numpy as np
import pytest

from maskgraph.graphs.errors import InputError
from maskgraph.theory import bounds, statements

BY_HAND: dict[str, tuple[tuple[Any, ...], Q]] = {
    # asym + energy/2 + energy_pseudo/2 − ε
    "thm_3_2": ((-1, 3, 5, Q(1, 4)), -1 + Q(3, 2) + Q(5, 2) - Q(1, 4)),
    # align/2 + energy/2 − ε
    "thm_3_4": ((-1, 4, Q(1, 4)), Q(-1, 2) + 2 - Q(1, 4)),
    "thm_3_6": ((Q(7, 3),), Q(7, 3)),
    # 2α + 8φ + 8 p (scl + norm)
    "thm_4_1": ((Q(1, 10), Q(1, 5), Q(1, 2), -2, 3), Q(1, 5) + Q(8, 5) + 4),
    # 2φ + 2p (scl + norm)
    "thm_4_1_mean_square": ((Q(1, 5), Q(1, 2), -2, 3), Q(2, 5) + 1),
    # 32 p L (u + ε) + 2α + 8φ + 8p (norm − 2)
    "thm_4_1_from_loss": (
        (Q(1, 10), Q(1, 5), Q(1, 2), 3, Q(1, 2), Q(1, 4), Q(1, 4)),
        32 * Q(1, 2) * Q(1, 4) * Q(3, 4) + Q(1, 5) + Q(8, 5) + 4,
    ),
    "phi_from_alpha": ((Q(1, 10), Q(1, 5)), Q(3, 5)),
    # (2 − head)/(4L) − ε
    "thm_4_2": ((Q(5, 4), Q(1, 2), Q(1, 8)), Q(3, 4) / 2 - Q(1, 8)),
    # 1/(2L) − head/(16 L² λ) − ε
    "thm_4_2_any_lambda": ((Q(5, 4), Q(1, 2), 2, Q(1, 8)), 1 - Q(5, 4) / 8 - Q(1, 8)),
    "s1": ((3,), Q(3, 2)),
    "uniformity_floor": ((4,), Q(1, 4)),
    # λ/k
    "trivial": ((Q(1, 2), 4), Q(1, 8)),
    "spectral_embedding_error": ((Q(1, 5), Q(1, 2)), Q(2, 5)),
    # λ = (1, ½), L = 1, weight ½: g = (¾, ¼) by (g1 − g2)·2·½ = ½; (1 − 7/8) + ½ (9/16 + 1/16)
    "water_filling": ((np.array([1.0, 0.5]), 1, 0.5), Q(1, 8) + Q(5, 16)),
    # λ = (1, 0, 0), L = 1, weight 1/4: the lead of 1 keeps g = (1, 0, 0)
    "water_filling, one active": ((np.array([1.0, 0.0, 0.0]), 1, 0.25), Q(1, 4)),
    # λ = (1, ¾, ¾), L = 1, weight ½: g = (½, ¼, ¼) by (g1 − g2)·2·½ = ¼; (1 − 7/8) + ½ (1/4 + 2/16)
    "water_filling, two alike": ((np.array([1.0, 0.75, 0.75]), 1, 0.5), Q(1, 8) + Q(3, 16)),
}
"""By the bound's name, which may go on after a comma: arguments, value."""

NAMES = {name.partition(",")[0] for name in BY_HAND}


def values(module: Any) -> dict[str, float]:
    """Each bound at its numbers; NaN where a change has made it fail."""
    found = {}
    for name, (arguments, _) in BY_HAND.items():
        try:
            found[name] = float(getattr(module, name.partition(",")[0])(*arguments))
        except (ArithmeticError, ValueError, TypeError, IndexError):
            found[name] = float("nan")
    return found


def test_by_hand() -> None:
    for name, value in values(bounds).items():
        assert value == pytest.approx(float(BY_HAND[name][1]), rel=1e-12), name


ARGUMENTS = [
    (name, place, parameter)
    for name in sorted(NAMES)
    for place, parameter in enumerate(inspect.signature(getattr(bounds, name)).parameters)
    if parameter != "values"
]
"""Every number that a bound is given: the bound's name, and where it stands and what it is called there."""

EITHER_SIGN = ("align_h", "asym", "next_value", "scl")
"""What may be below 0: alignments, losses made of them, and a rounded eigenvalue."""


@pytest.mark.parametrize("value", [None, "1", 1j, -1])
@pytest.mark.parametrize(("name", "place", "parameter"), ARGUMENTS)
def test_every_number_is_asked_to_be_one(name: str, place: int, parameter: str, value: object) -> None:
    arguments = [float(one) if isinstance(one, Q) else one for one in BY_HAND[name][0]]
    arguments[place] = value
    if value == -1 and parameter in EITHER_SIGN:
        assert np.isfinite(getattr(bounds, name)(*arguments))
        return
    with pytest.raises(InputError):
        getattr(bounds, name)(*arguments)


@pytest.mark.parametrize("name", ["lipschitz", "lam"])
@pytest.mark.parametrize("value", [0, math.inf, math.nan])
def test_water_is_filled_by_positive_constants_alone(name: str, value: float) -> None:
    with pytest.raises(InputError, match="expected a positive number"):
        bounds.water_filling(np.ones(2), **{"lipschitz": 1.0, "lam": 0.25} | {name: value})


@pytest.mark.parametrize("values", [[math.nan], [math.inf, 1.0], [1.0, math.nan], [1j], ["1"], [0.5, 1.0]])
def test_water_is_filled_over_finite_eigenvalues_alone(values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"values .* expected (finite )?eigenvalues"):
        bounds.water_filling(np.array(values), 1.0, 0.25)


@pytest.mark.parametrize("L", [1e-60, 0.3, 0.7, 1.0, 3.0, 49.0, 1e60])
def test_the_printed_lambda_is_told_from_its_neighbours(L: float) -> None:
    lam = 1 / (4 * L)
    for same in (lam, np.nextafter(lam, 0), np.nextafter(lam, 1e300)):
        assert bounds.is_printed_lambda(same, L)
    for other in (lam * (1 - 1e-9), lam * (1 + 1e-9)):
        assert not bounds.is_printed_lambda(other, L)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_no_epsilon_without_an_end(value: float) -> None:
    with pytest.raises(InputError, match=r"epsilon .* expected a number of at least 0"):
        bounds.check_constants(1.0, 0.25, value)


def test_every_bound_is_pinned() -> None:
    tree = ast.parse(inspect.getsource(bounds))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert names - {"check_constants", "is_printed_lambda", "is_vacuous", "water_filling_moments"} == NAMES


def constants_of(tree: ast.Module) -> list[tuple[str, ast.Constant]]:
    """The numbers in the bounds' own code: not in docstrings, messages or the choice of an index."""
    found = []
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name in {*NAMES, "water_filling_moments"}:
            left_out = {
                id(leaf)
                for node in ast.walk(function)
                if isinstance(node, ast.Subscript | ast.If)
                for leaf in ast.walk(node)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and type(node.value) in (int, float) and id(node) not in left_out:
                    found.append((function.name, node))
    return found


COUNT = len(constants_of(ast.parse(inspect.getsource(bounds))))


@pytest.mark.parametrize("change", ["one per cent", "one more"])
@pytest.mark.parametrize("index", range(COUNT))
def test_a_changed_constant_is_seen(index: int, change: str) -> None:
    tree = ast.parse(inspect.getsource(bounds))
    _, node = constants_of(tree)[index]
    assert isinstance(node.value, int | float)
    node.value = node.value * 1.01 if change == "one per cent" and node.value else node.value + 1
    mutant = types.ModuleType("mutant")
    exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), mutant.__dict__)
    with np.errstate(all="ignore"):
        changed = values(mutant)
    assert any(not np.isclose(changed[name], value, rtol=1e-9) for name, value in values(bounds).items())


def test_there_are_constants_to_change() -> None:
    assert COUNT >= 20


CHAIN_SOURCE = inspect.getsource(statements)


def test_statements_take_their_right_sides_from_the_bounds() -> None:
    """Else a constant could hide in a chain: each last link calls a function of `bounds`, or names one term."""
    for known in statements.STATEMENTS:
        if known.sense == "=":
            continue
        names = known.chain[-1].value.__code__.co_names
        assert "bounds" in names or len(names) == 1, (known.number, names)
