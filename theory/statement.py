"""What a statement is: its formula, its assumptions, and the chain of its proof, held to a model on a graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maskgraph.theory.assumptions import Assumption
from maskgraph.theory.check import Check, Sense, Step, broken_step, verdict_of
from maskgraph.theory.terms import Terms
from maskgraph.theory.terms_graph import UnmetError

Value = Callable[[Any], Any]
"""From terms to a number. The terms are `Terms`, or the falsifier's, which have the same names and a gradient."""


@dataclass(frozen=True)
class Link:
    """One value in a chain; see `check.Step`."""

    cause: str
    value: Value
    exact: bool = False


@dataclass(frozen=True)
class Statement:
    """One statement about a graph and a model.

    Attributes:
        number: by which it is known.
        title: what it says, in a line.
        formula: in symbols.
        sense: ">=", "<=" or "=" between its sides.
        chain: from the left side, first, to the right, last.
        size: of the numbers that its sums are made of, in whose ulps its tolerance is.
        assumptions: what it asks.
        trivial: the bound that needs no theorem.
        leeway: what the limits of its assumptions may cost beyond rounding.
        reported: names of the terms that explain a check.
        any_lambda: whether it is about λ and says something at every λ > 0.
    """

    number: str
    title: str
    formula: str
    sense: Sense
    chain: tuple[Link, ...]
    size: Value
    assumptions: tuple[Assumption, ...] = ()
    trivial: Value = lambda t: 0.0
    leeway: Value = lambda t: 0.0
    reported: tuple[str, ...] = ()
    any_lambda: bool = False

    def lhs(self, terms: Any) -> Any:
        """The left side."""
        return self.chain[0].value(terms)

    def rhs(self, terms: Any) -> Any:
        """The right side."""
        return self.chain[-1].value(terms)

    def measure(self, terms: Terms) -> Check:
        """Hold the statement to a model on a graph, whose terms several statements share.

        What the model lacks or gets wrong makes the verdict "assumption not met".
        """
        try:
            assumptions = tuple(assumption.met(terms) for assumption in self.assumptions)
            steps = tuple(Step(link.cause, float(link.value(terms)), link.exact) for link in self.chain)
            tolerance = self.rounding(terms) + float(self.leeway(terms))
            trivial = float(self.trivial(terms))
            reported = {name: float(getattr(terms, name)) for name in self.reported}
        except UnmetError as unmet:
            return self._without_sides(str(unmet))
        except ArithmeticError as overflow:
            return self._without_sides(f"{overflow}: bring the values of the model nearer to 1")
        sides = {**{step.cause: step.value for step in steps}, "tolerance": tolerance, "trivial bound": trivial}
        if overflown := [name for name, value in sides.items() if not math.isfinite(value)]:
            return self._without_sides(f"'{overflown[0]}' overflows: bring the values of the model nearer to 1")
        lhs, rhs = steps[0].value, steps[-1].value
        verdict, note = verdict_of(self.sense, lhs, rhs, tolerance, trivial), ""
        unmet_ones = [one for one in assumptions if one.needed and not one.met]
        if unmet_ones:
            verdict = "assumption not met"
            note = "; ".join(f"{one.name} by {one.value:.3g} ({one.text})" for one in unmet_ones)
        elif broken := broken_step(self.sense, steps, tolerance):
            verdict, note = "violated", f"the step '{broken}' goes the wrong way"
        return Check(
            self.number,
            self.formula,
            self.sense,
            lhs,
            rhs,
            tolerance,
            trivial,
            verdict,
            steps,
            assumptions,
            reported,
            note,
        )

    def _without_sides(self, note: str) -> Check:
        nothing = (math.nan,) * 4
        return Check(self.number, self.formula, self.sense, *nothing, "assumption not met", (), (), {}, note)

    def rounding(self, terms: Terms) -> float:
        """What sums of numbers of the statement's size may be off by."""
        return terms.rounding * float(self.size(terms))
