"""A statement held to its two sides, and to every step of its proof between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal

Sense = Literal[">=", "<=", "="]
Verdict = Literal["holds", "tight", "vacuous", "assumption not met", "violated"]


@dataclass(frozen=True)
class Step:
    """One value in the chain from the left side to the right.

    Attributes:
        cause: what is given up between the value before and this one; the name of the left side in the first.
        value: measured.
        exact: whether the proof claims equality with the value before.
    """

    cause: str
    value: float
    exact: bool = False


@dataclass(frozen=True)
class Met:
    """One assumption, measured.

    Attributes:
        name: of the assumption.
        value: how far the graph and the model are from it; 0 is exactly met.
        limit: up to which it counts as met.
        text: what is asked, and what to do where it is not met.
        needed: False where the statement is true without it.
    """

    name: str
    value: float
    limit: float
    text: str
    needed: bool = True

    @property
    def met(self) -> bool:
        """Whether the assumption holds; NaN does not."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Check:
    """One statement, measured: lhs >= rhs (`sense` ">="), lhs <= rhs ("<=") or lhs = rhs ("=").

    Attributes:
        statement: the number under which the paper or our docs know it.
        formula: the statement in symbols.
        sense: which way it goes.
        lhs: measured left side; NaN where an assumption is missing without which it has no value.
        rhs: measured right side, likewise.
        tolerance: rounding allowed before it counts as violated.
        trivial: the bound that needs no theorem: a right side that does not improve on it says nothing.
        verdict: violated; assumption not met; vacuous (no better than `trivial`); tight (slack within the
            tolerance); holds.
        steps: the chain of the proof from lhs to rhs, each measured; slacks add up to the whole.
        assumptions: each one, measured.
        terms: the measured quantities that the two sides are made of.
        note: which assumption is not met, by how much and how to mend it; which step is violated; empty otherwise.
    """

    statement: str
    formula: str
    sense: Sense
    lhs: float
    rhs: float
    tolerance: float
    trivial: float
    verdict: Verdict
    steps: tuple[Step, ...]
    assumptions: tuple[Met, ...]
    terms: Mapping[str, float]
    note: str = ""

    @property
    def slack(self) -> float:
        """How far the statement is from equality; negative where it is violated."""
        return _slack(self.sense, self.lhs, self.rhs)

    def as_dict(self) -> dict[str, object]:
        """All fields and the slack, for JSON."""
        return {**asdict(self), "terms": dict(self.terms), "slack": self.slack}


def broken_step(sense: Sense, steps: tuple[Step, ...], tolerance: float) -> str:
    """The cause of the first step that goes the wrong way by more than the tolerance; empty where none does.

    A step that is not finite goes the wrong way: NaN must never pass for a proof.
    """
    for before, after in pairwise(steps):
        kind: Sense = "=" if after.exact else sense
        if not _slack(kind, before.value, after.value) >= -tolerance:
            return after.cause
    return ""


def verdict_of(sense: Sense, lhs: float, rhs: float, tolerance: float, trivial: float) -> Verdict:
    """The verdict of two sides whose assumptions are met."""
    slack = _slack(sense, lhs, rhs)
    if not slack >= -tolerance:
        return "violated"
    if sense == "=":
        return "tight"
    # Within rounding of the trivial bound is no better than it.
    if (rhs <= trivial + tolerance) if sense == ">=" else (rhs >= trivial - tolerance):
        return "vacuous"
    return "tight" if slack <= tolerance else "holds"


def _slack(sense: Sense, lhs: float, rhs: float) -> float:
    if sense == "=":
        return -abs(lhs - rhs)
    return lhs - rhs if sense == ">=" else rhs - lhs
