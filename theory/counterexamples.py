"""Every assumption carries weight: for each, a graph and a model of a few numbers that break the statement without it.

They are found by `falsify`, shrunk to small numbers, and kept in counterexamples.json beside this file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError
from maskgraph.theory import assumptions
from maskgraph.theory.check import Check
from maskgraph.theory.outputs import Outputs
from maskgraph.theory.small_worlds import SMALL_WORLDS, Rows, SmallWorld
from maskgraph.theory.statements import STATEMENTS, statement
from maskgraph.theory.terms import Terms

MARGIN = 0.05
"""A counterexample breaks its statement by this at least, and by this share of the larger side: plainly."""

STORED = Path(__file__).with_name("counterexamples.json")


@dataclass(frozen=True)
class Counterexample:
    """A graph and a model on which a statement fails for want of one assumption; all others are met.

    Attributes:
        number: of the statement.
        dropped: the assumption's name.
        M: (N1, N2) joint masses, normalised when read.
        X2: (N2, d) targets.
        labels: (N1, N2) classes.
        f: (N1, k) features, normalised when read unless their unit norm is what is dropped; so is h for its own.
        h: (N1, d) outputs.
        pseudo: (N2, d) outputs h_g.
        collapsed: (N1, d) outputs of the constant encoder.
        embeds: whether f stands in the place of the exact eigenvectors.
        epsilon: claimed ε.
        lipschitz: claimed L.
        lam: λ.
    """

    number: str
    dropped: str
    M: Rows
    X2: Rows
    labels: Rows
    f: Rows
    h: Rows
    pseudo: Rows
    collapsed: Rows
    embeds: bool = False
    epsilon: float | None = None
    lipschitz: float | None = None
    lam: float | None = None

    def graph(self) -> MaskGraph:
        """The graph."""
        return SmallWorld(self.M, self.X2, self.labels).graph()

    def outputs(self) -> Outputs:
        """The model."""
        asked = {one.name for one in statement(self.number).assumptions} - {self.dropped}
        f, h = np.array(self.f), np.array(self.h)
        if assumptions.UNIT_F.name in asked:
            f = f / np.linalg.norm(f, axis=1, keepdims=True)
        if assumptions.UNIT_H.name in asked:
            h = h / np.linalg.norm(h, axis=1, keepdims=True)
        pseudo, collapsed = np.array(self.pseudo), np.array(self.collapsed)
        return Outputs(f, h, pseudo, collapsed, self.epsilon, self.lipschitz, self.lam)

    def check(self) -> Check:
        """The statement measured on it, its verdict "assumption not met"."""
        outputs = self.outputs()
        terms = Terms(self.graph(), outputs, embedding=outputs.f if self.embeds else None)
        return statement(self.number).measure(terms)

    def breaks(self) -> bool:
        """Whether the statement fails by `MARGIN`, and the dropped assumption alone is not met."""
        with np.errstate(all="ignore"):
            check = self.check()
        unmet = {one.name for one in check.assumptions if one.needed and not one.met}
        larger = max(abs(check.lhs), abs(check.rhs), 1.0)
        return unmet == {self.dropped} and check.slack < -MARGIN * larger


def load() -> list[Counterexample]:
    """The counterexamples that are kept, one a needed assumption of each statement."""
    return [Counterexample(**_tuples(item)) for item in json.loads(STORED.read_text())]


def needed_assumptions() -> list[tuple[str, str]]:
    """(statement, assumption) for every assumption that is needed."""
    return [(known.number, one.name) for known in STATEMENTS for one in known.assumptions if one.needed]


def find(number: str, dropped: str, seed: int = 0) -> Counterexample:
    """Search for a counterexample on the smallest of `SMALL_WORLDS` that has one, and shrink it.

    Raises:
        InputError: none was found.
    """
    from maskgraph.theory.falsify import falsify  # torch is slow to import, and only a search needs it

    for world, dim in itertools.product(SMALL_WORLDS.values(), (1, 2)):
        found = falsify(statement(number), world.graph(), dim, dropped=(dropped,), seed=seed)
        parts = found.outputs
        assert parts.f is not None
        assert parts.h is not None
        assert parts.pseudo is not None
        assert parts.collapsed is not None
        example = Counterexample(
            number=number,
            dropped=dropped,
            M=world.M,
            X2=world.X2,
            labels=world.labels,
            f=_rows(parts.f),
            h=_rows(parts.h),
            pseudo=_rows(parts.pseudo),
            collapsed=_rows(parts.collapsed),
            embeds=found.embedding is not None,
            epsilon=parts.epsilon,
            lipschitz=parts.lipschitz,
            lam=parts.lam,
        )
        if example.breaks():
            return shrink(example)
    raise InputError(f"no counterexample to {number} without {dropped!r} was found; the assumption may not be needed")


def shrink(example: Counterexample) -> Counterexample:
    """Make its numbers as small and round as they can be while it still breaks the statement."""
    if not example.breaks():
        raise InputError(f"this is no counterexample to {example.number} without {example.dropped!r}")
    while (smaller := _shrink_once(example)) != example:
        example = smaller
    return example


def _shrink_once(example: Counterexample) -> Counterexample:
    for name in ("f", "h", "pseudo", "collapsed"):
        rows: Rows = getattr(example, name)
        for i, j in itertools.product(range(len(rows)), range(len(rows[0]))):
            rows = getattr(example, name)
            for value in _rounder(rows[i][j]):
                changed = tuple(
                    tuple(value if (a, b) == (i, j) else old for b, old in enumerate(row)) for a, row in enumerate(rows)
                )
                parts: dict[str, Any] = {name: changed}
                trial = replace(example, **parts)
                if trial.breaks():
                    example = trial
                    break
    if example.lam is not None:
        for value in _rounder(example.lam):
            if value > 0 and replace(example, lam=value).breaks():
                return replace(example, lam=value)
    return example


def _rounder(value: float) -> Iterator[float]:
    """Simpler numbers than this one, simplest first."""
    for candidate in (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, *(round(value, digits) for digits in range(4))):
        if candidate == value:
            return
        yield float(candidate)


def to_json(examples: list[Counterexample]) -> str:
    """The examples as the text of counterexamples.json."""
    return "[\n" + ",\n".join(json.dumps(asdict(example)) for example in examples) + "\n]\n"


def _rows(array: NDArray[np.float64]) -> Rows:
    return tuple(tuple(float(value) for value in row) for row in array)


def _tuples(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(tuple(row) for row in value) if isinstance(value, list) else value for name, value in item.items()
    }
