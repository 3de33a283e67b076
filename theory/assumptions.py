"""The assumptions of the statements, each measured: how far a graph and a model are from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maskgraph.theory.check import Met
from maskgraph.theory.rounding import EPS

NETWORK = 1e-6
"""What agrees to single precision, in which networks answer, counts as equal. The statements allow for it."""

UNIT = 64 * EPS
"""Rounding of a norm that was divided by itself."""


@dataclass(frozen=True)
class Assumption:
    """What a statement asks of the graph and the model.

    Attributes:
        name: short, for tables.
        text: what is asked and what to do where it is not met.
        measure: from the terms, how far from it they are; raises UnmetError where that cannot be said.
        limit: up to which it counts as met.
        needed: False where the statement is true without it; docs/theory.md proves it.
    """

    name: str
    text: str
    measure: Callable[[Any], float]
    limit: float
    needed: bool = True

    def met(self, terms: Any) -> Met:
        """The assumption, measured."""
        return Met(self.name, float(self.measure(terms)), self.limit, self.text, self.needed)


def _claimed_lipschitz(t: Any) -> float:
    return 0.0 if t.outputs.lipschitz is None else max(t.lipschitz / t.L - 1, 0.0)


def _claimed_epsilon(t: Any) -> float:
    if t.outputs.epsilon is None or t.outputs.pseudo is None:
        return 0.0
    return float(max(t.epsilon_found - t.epsilon, 0.0) / (t.epsilon_found or 1.0))


UNIT_F = Assumption("unit-norm f", "largest | |f(x1)| - 1 |; normalise the feature", lambda t: t.norm_error, UNIT)
UNIT_H = Assumption(
    "unit-norm h",
    "largest | |h(x1)| - 1 |; the const 1/2 is for outputs of unit norm: Thm 3.4 with E|h|^2 needs none",
    lambda t: t.norm_error_h,
    UNIT,
)
LIPSCHITZ = Assumption(
    "L on positive pairs",
    "least one-sided L over the claimed one, less 1; claim no L, and the least is taken",
    _claimed_lipschitz,
    UNIT,
)
LARGE_LAMBDA = Assumption(
    "lambda >= 1/(4L)",
    "1 - 4 L lambda; the form is printed for lambda = 1/(4L), a larger one only helps, and for a smaller one there are "
    "Thm 4.2 any lambda and S2",
    lambda t: max(1 - 4 * t.L * t.lam, 0.0),
    UNIT,
)
CONSTANT = Assumption(
    "constant output",
    "distance of the collapsed outputs from their mean over their size; the encoder must be constant, and its "
    "decoder must not know the mask (if it does, see S4)",
    lambda t: t.apart,
    NETWORK,
)
CONSTANT_GIVEN_MASK = Assumption(
    "constant output for each mask",
    "distance of the collapsed outputs from their mean under each mask over their size; make the encoder constant",
    lambda t: t.apart_given_mask,
    NETWORK,
)
RANK = Assumption(
    "outputs of rank k",
    "share of E|h|^2 (its root) beyond rank k; a linear decoder without bias meets it",
    lambda t: t.rank_excess / (t.energy_h**0.5 or 1.0),
    NETWORK,
)
EPSILON = Assumption(
    "Assumption 3.1",
    "share of E|h_g(x2) - x2|^2 that the claimed epsilon leaves out; claim none, and the one of h_g is taken",
    _claimed_epsilon,
    UNIT,
)
EPSILON_UNNEEDED = Assumption(
    "Assumption 3.1",
    "not needed: S1 gives more without it, so that any epsilon >= 0 serves",
    _claimed_epsilon,
    UNIT,
    False,
)
TWO_SIDED = Assumption(
    "bi-Lipschitz everywhere",
    "least two-sided L over all pairs, over L, less 1; not needed: the left half on positive pairs serves",
    lambda t: max(t.two_sided / t.L - 1, 0.0),
    UNIT,
    False,
)
EIGENVECTORS = Assumption(
    "exact eigenvectors",
    "1 where another embedding was put in the place of the top k eigenvectors",
    lambda t: float(t.embedding is not None),
    0.0,
)
