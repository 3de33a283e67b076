"""Each assumption is load-bearing: its stored counterexample breaks the statement, in plain arithmetic too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskgraph.graphs.errors import InputError
from maskgraph.theory.counterexamples import STORED, Counterexample, find, load, needed_assumptions, shrink, to_json
from maskgraph.theory.statements import STATEMENTS, statement
from tests.theory.both_sides import Model, Sides, events_of, simplex_minimum

EXAMPLES = {(example.number, example.dropped): example for example in load()}


def test_one_for_every_needed_assumption() -> None:
    assert set(EXAMPLES) == set(needed_assumptions())
    assert len(EXAMPLES) == len(load())


@pytest.mark.parametrize("pair", EXAMPLES, ids=": ".join)
def test_it_breaks_the_statement_for_want_of_that_assumption_alone(pair: tuple[str, str]) -> None:
    example = EXAMPLES[pair]
    check = example.check()
    assert example.breaks()
    assert check.verdict == "assumption not met"
    assert example.dropped in check.note
    assert [one.name for one in check.assumptions if one.needed and not one.met] == [example.dropped]
    assert check.slack < -0.05 * max(abs(check.lhs), abs(check.rhs))


@pytest.mark.parametrize("pair", EXAMPLES, ids=": ".join)
def test_it_is_of_few_numbers(pair: tuple[str, str]) -> None:
    example = EXAMPLES[pair]
    entries = [value for rows in (example.M, example.f, example.h) for row in rows for value in row]
    assert len(entries) <= 18
    assert all(value == round(value, 3) for value in entries), "shrunk to three digits at most"


@pytest.mark.parametrize("pair", EXAMPLES, ids=": ".join)
def test_plain_loops_agree_that_it_breaks(pair: tuple[str, str]) -> None:
    example = EXAMPLES[pair]
    graph, outputs = example.graph(), example.outputs()
    parts = (outputs.f, outputs.h, outputs.pseudo, outputs.collapsed)
    model = Model(*(p.tolist() for p in parts if p is not None))
    s = Sides(events_of(graph, False), graph.X2.tolist(), model, len(graph.images.classes))
    lhs, rhs = plain_sides(example, s)
    assert (lhs < rhs - 0.04) if statement(example.number).sense == ">=" else (lhs > rhs + 0.04)


def plain_sides(example: Counterexample, s: Sides) -> tuple[float, float]:
    """Both sides with the example's claims, by the loops of `both_sides`."""
    model, k = s.model, min(len(s.model.f[0]), len(s.p1))
    mae = s.loss(model.h)
    if example.number == "U":
        return s.unif(), 1 / k
    if example.number == "Thm 3.2":
        asym = -sum(
            m * sum(a * b for a, b in zip(model.h[i], model.pseudo[c], strict=True)) for (i, c), m in s.M.items()
        )
        norms = sum(m * sum(a * a for a in model.pseudo[c]) for c, m in s.p2.items())
        assert example.epsilon is not None
        return mae, asym + s.energy(model.h) / 2 + norms / 2 - example.epsilon
    if example.number == "Thm 3.4 unit":
        epsilon = sum(
            m * sum((a - b) ** 2 for a, b in zip(model.pseudo[c], s.X2[c], strict=True)) for c, m in s.p2.items()
        )
        return mae, -s.over_pairs(model.h) / 2 + 0.5 - epsilon
    if example.number in ("Thm 3.6", "S4"):
        return s.loss(model.collapsed), s.variance()
    A = np.array([[s.pairs.get((i, j), 0) / (s.p1[i] * s.p1[j]) ** 0.5 for j in sorted(s.p1)] for i in sorted(s.p1)])
    values = [float(value) for value in np.linalg.eigvalsh(A)[::-1]]
    if example.number == "S3":
        second = np.linalg.eigvalsh(np.array(s.second_moment()))[::-1]
        best = s.conditional_mean()
        bayes = sum(m * sum((a - b) ** 2 for a, b in zip(best[i], s.X2[c], strict=True)) for (i, c), m in s.M.items())
        return mae, bayes + float(second[k:].sum())
    if example.number == "Embedding":
        p = np.array([s.p1[i] for i in sorted(s.p1)])
        onehot = np.array([[float(s.label1[i] == c) for c in s.classes] for i in sorted(s.p1)])
        root = np.sqrt(p)[:, None]
        fitted = np.linalg.lstsq(np.array(model.f) * root, onehot * root, rcond=None)[0]
        error = float(((onehot * root - np.array(model.f) * root @ fitted) ** 2).sum())
        return error, s.phi() / (1 - (values[k] if k < len(values) else 0.0))
    measured = s.lipschitz()
    L = example.lipschitz if example.lipschitz is not None else measured
    lam = example.lam if example.lam is not None else 1 / (4 * L)
    u_mae, head = mae + lam * s.unif(), sum(value**2 for value in values[:k])
    epsilon = sum(m * sum((a - b) ** 2 for a, b in zip(model.pseudo[c], s.X2[c], strict=True)) for c, m in s.p2.items())
    if example.number == "Thm 4.1 loss":
        c4 = 8 * s.phi() + 8 * s.p_max() * (s.frobenius() - 2)
        return s.vote_error(), 32 * s.p_max() * L * (u_mae + epsilon) + 2 * s.alpha + c4
    if example.number == "S2":
        return u_mae, simplex_minimum(values[:k], L, lam)
    if example.number == "Thm 4.2":
        return u_mae, (2 - head) / (4 * L) - epsilon
    return u_mae, 1 / (2 * L) - epsilon - head / (16 * L**2 * lam)


def test_what_is_not_needed_has_none() -> None:
    unneeded = {(known.number, one.name) for known in STATEMENTS for one in known.assumptions if not one.needed}
    assert unneeded
    assert not unneeded & set(EXAMPLES)


def test_found_anew_shrunk_and_stored_in_the_same_words() -> None:
    pair = ("Thm 4.2", "unit-norm f")
    assert find(*pair) == EXAMPLES[pair]
    assert shrink(EXAMPLES[pair]) == EXAMPLES[pair], "already as small as shrinking makes it"
    assert to_json(load()) == STORED.read_text()


def test_what_is_no_counterexample_is_not_shrunk() -> None:
    example = EXAMPLES["Thm 4.2", "unit-norm f"]
    unit = tuple((1.0,) for _ in example.f)
    with pytest.raises(InputError, match=r"this is no counterexample to Thm 4\.2 without 'unit-norm f'"):
        shrink(replace(example, f=unit))
