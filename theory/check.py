"""A statement held to its two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["holds", "violated", "vacuous", "assumption not met"]


@dataclass(frozen=True)
class Check:
    """One inequality lhs >= rhs (`sense` ">=") or lhs <= rhs ("<="), measured.

    Attributes:
        statement: the number under which the paper or our docs know it.
        formula: the inequality in words and symbols.
        sense: which way it goes.
        lhs: measured left side.
        rhs: measured right side.
        tolerance: rounding allowed before it counts as violated.
        verdict: holds; violated; vacuous (holds, and says no more than the trivial bound); assumption not met.
        terms: the measured quantities that the two sides are made of.
        note: the assumption that is not met, or which reading of the statement was held; empty otherwise.
    """

    statement: str
    formula: str
    sense: Literal[">=", "<="]
    lhs: float
    rhs: float
    tolerance: float
    verdict: Verdict
    terms: Mapping[str, float]
    note: str = ""

    @property
    def slack(self) -> float:
        """How far the statement is from equality; negative where it is violated."""
        return self.lhs - self.rhs if self.sense == ">=" else self.rhs - self.lhs

    def as_dict(self) -> dict[str, object]:
        """All fields and the slack, for JSON."""
        return {**asdict(self), "terms": dict(self.terms), "slack": self.slack}


def at_least(
    statement: str,
    formula: str,
    lhs: float,
    rhs: float,
    *,
    trivial: float,
    tolerance: float,
    terms: Mapping[str, float],
    note: str = "",
) -> Check:
    """Lhs >= rhs, vacuous where rhs does not exceed the bound `trivial` that needs no theorem."""
    verdict: Verdict = "violated" if not lhs >= rhs - tolerance else "vacuous" if rhs <= trivial else "holds"
    return Check(statement, formula, ">=", lhs, rhs, tolerance, verdict, terms, note)


def at_most(
    statement: str,
    formula: str,
    lhs: float,
    rhs: float,
    *,
    trivial: float,
    tolerance: float,
    terms: Mapping[str, float],
    note: str = "",
) -> Check:
    """Lhs <= rhs, vacuous where rhs is not below the bound `trivial` that needs no theorem."""
    verdict: Verdict = "violated" if not lhs <= rhs + tolerance else "vacuous" if rhs >= trivial else "holds"
    return Check(statement, formula, "<=", lhs, rhs, tolerance, verdict, terms, note)
