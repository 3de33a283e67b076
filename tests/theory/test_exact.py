"""Identities and inequalities in exact rational arithmetic: no verdict of these hangs on rounding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction as Q

import numpy as np
import pytest

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.synthetic import joint_graph
from maskgraph.theory.ledger import ledger
from maskgraph.theory.outputs import Outputs
from maskgraph.theory.statements import STATEMENTS
from tests.theory.both_sides import Model, sides
from tests.theory.toys import Array

Rows = list[list[Q]]


@dataclass(frozen=True)
class RationalWorld:
    """A joint distribution, targets, classes and a model, all of whose numbers, eigenvalues too, are fractions."""

    M: Rows
    X2: Rows
    labels: list[list[int]]
    f: Rows
    h: Rows
    pseudo: Rows
    collapsed: Rows
    values: list[Q]
    readout_error: Q
    tight: frozenset[str]

    def graph(self) -> MaskGraph:
        """The package's form, in floats."""
        return joint_graph(floats(self.M), floats(self.X2), np.array(self.labels))


def floats(rows: Rows) -> Array:
    return np.array([[float(value) for value in row] for row in rows])


def q(*numbers: str) -> list[Q]:
    return [Q(number) for number in numbers]


IDENTITIES = {"I1", "I2", "I3", "I4", "I5"}

# Two equiprobable views that flip with probability 1/5: A has eigenvalues 1 and (1 − 2/5)² = 9/25.
FLIP = [q("2/5", "1/10"), q("1/10", "2/5")]
BOTH = [[0, 0], [1, 1]]

WORLDS = {
    # One constant feature: the readout of the first eigenvector alone errs by ½, and φ = 8/25 over 1 − 9/25 is ½ too.
    # The conditional means (±3/5, 1) have second moment diag(9/25, 1): rank 1 keeps the 1, and h = (0, 1) attains S3.
    "constant feature": RationalWorld(
        FLIP,
        [q("1", "1"), q("-1", "1")],
        BOTH,
        f=[q("1"), q("1")],
        h=[q("0", "1"), q("0", "1")],
        pseudo=[q("1", "1"), q("-1", "1")],
        collapsed=[q("0", "1"), q("0", "1")],
        values=q("1", "9/25"),
        readout_error=Q(1, 2),
        tight=frozenset(IDENTITIES | {"U", "S3", "Thm 3.6", "S4", "Embedding"}),
    ),
    # h = ±5/3 makes E[h|x2] = x2: the target gap is 0 and S1 an equality.
    "no target gap": RationalWorld(
        FLIP,
        [q("1"), q("-1")],
        BOTH,
        f=[q("1", "0"), q("3/5", "4/5")],
        h=[q("5/3"), q("-5/3")],
        pseudo=[q("1"), q("-1")],
        collapsed=[q("1/2"), q("1/2")],
        values=q("1", "9/25"),
        readout_error=Q(0),
        tight=frozenset(IDENTITIES | {"S1"}),
    ),
    # h = −h_g + 2 x2 is what the factor 2 asks for; with one target it can be had. Two vectors are all of two views.
    "one target": RationalWorld(
        [q("1/3"), q("2/3")],
        [q("2", "1")],
        [[0], [1]],
        f=[q("3/5", "4/5"), q("-3/5", "4/5")],
        h=[q("3", "0"), q("3", "0")],
        pseudo=[q("1", "2")],
        collapsed=[q("2", "1"), q("2", "1")],
        values=q("1", "0"),
        readout_error=Q(0),
        tight=frozenset(IDENTITIES | {"Thm 3.2"}),
    ),
    # Three views, one a bridge. Past the constant, the eigenfunction of ½ is √2 (1, 0, −1).
    "unequal masses": RationalWorld(
        [q("1/4", "0"), q("1/4", "1/4"), q("0", "1/4")],
        [q("1", "0"), q("0", "2")],
        [[0, 0], [0, 1], [0, 1]],
        f=[q("1", "0"), q("0", "1"), q("-4/5", "3/5")],
        h=[q("1", "1/2"), q("1/2", "1"), q("0", "2")],
        pseudo=[q("1", "0"), q("1/2", "2")],
        collapsed=[q("1/2", "1"), q("1/2", "1"), q("1/2", "1")],
        values=q("1", "1/2", "0"),
        readout_error=Q(1, 8),
        tight=frozenset(IDENTITIES | {"Thm 3.6", "S4"}),
    ),
}


def exact_sides(world: RationalWorld) -> dict[str, tuple[Q, Q]]:
    model = Model(world.f, world.h, world.pseudo, world.collapsed)
    return sides(world.graph(), model, world.values, world.readout_error, True, world.X2)


@pytest.mark.parametrize("name", WORLDS)
def test_every_statement_holds_exactly(name: str) -> None:
    found = exact_sides(WORLDS[name])
    checked = {statement.number: statement.sense for statement in STATEMENTS}
    assert set(found) <= set(checked)
    for number, (lhs, rhs) in found.items():
        assert isinstance(lhs, Q), number
        assert isinstance(rhs, Q), number
        if number == "Thm 3.4 unit" and any(sum(x * x for x in row) != 1 for row in WORLDS[name].h):
            continue
        good = {"=": lhs == rhs, ">=": lhs >= rhs, "<=": lhs <= rhs}[checked[number]]
        assert good, (number, lhs, rhs)


def test_every_statement_is_decided_exactly_somewhere() -> None:
    decided = {number for world in WORLDS.values() for number in exact_sides(world)}
    assert decided == {statement.number for statement in STATEMENTS}
    tight = {number for world in WORLDS.values() for number in world.tight}
    assert tight >= IDENTITIES | {"U", "S1", "S3", "S4", "Thm 3.2", "Thm 3.6", "Embedding"}


@pytest.mark.parametrize("name", WORLDS)
def test_the_ledger_says_what_fractions_say(name: str) -> None:
    world = WORLDS[name]
    outputs = Outputs(floats(world.f), floats(world.h), floats(world.pseudo), floats(world.collapsed))
    checks = {check.statement: check for check in ledger(world.graph(), outputs)}
    found = exact_sides(world)
    unmet = {number for number, check in checks.items() if check.verdict == "assumption not met"}
    assert set(checks) - set(found) <= unmet
    for number, (lhs, rhs) in found.items():
        check = checks[number]
        if check.steps:
            assert abs(Q(check.lhs) - lhs) <= check.tolerance, number
            assert abs(Q(check.rhs) - rhs) <= check.tolerance, number
    assert {number for number, check in checks.items() if check.verdict == "tight"} == world.tight
    # Equality in fractions is `tight` in floats, but where both sides are the trivial bound.
    equal = {number for number, (lhs, rhs) in found.items() if lhs == rhs}
    assert world.tight <= equal
    assert all(checks[number].verdict in ("vacuous", "assumption not met") for number in equal - world.tight)
