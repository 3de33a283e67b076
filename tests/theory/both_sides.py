"""Both sides of every statement from the definitions alone, in plain loops, over floats or over exact fractions.

Nothing here comes from the package but the statements' numbers: the input is the list of (image, mask) events, and
every number is a sum over it. Only eigenvalues that are no sums are given (or, for floats, numpy's).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from maskgraph.graphs.bipartite import MaskGraph

Number = Any
"""float or Fraction; all of one call are of one kind."""

Vector = Sequence[Number]

TIE = 1e-9


@dataclass(frozen=True)
class Event:
    """One image under one mask: its mass, its two views, its class."""

    mass: Number
    x1: int
    x2: int
    image: int
    mask: int
    label: int


@dataclass(frozen=True)
class Model:
    """f, h and the collapsed outputs at each view x1, h_g at each target x2, all as lists of vectors."""

    f: Sequence[Vector]
    h: Sequence[Vector]
    pseudo: Sequence[Vector]
    collapsed: Sequence[Vector]


def events_of(graph: MaskGraph, exact: bool) -> list[Event]:
    """The events of a graph; exact masses are those of equal or small-fraction weights."""
    count, masks = graph.ids1.shape
    found = []
    for image, mask in itertools.product(range(count), range(masks)):
        weight = float(graph.images.weights[image])
        mass: Number = Fraction(weight).limit_denominator(10_000) / masks if exact else weight / masks
        ids = int(graph.ids1[image, mask]), int(graph.ids2[image, mask])
        found.append(Event(mass, *ids, image, mask, int(graph.images.labels[image])))
    assert abs(sum(event.mass for event in found) - 1) < 1e-12
    return found


def dot(a: Vector, b: Vector) -> Number:
    return sum((x * y for x, y in zip(a, b, strict=True)), start=0 * a[0])


def apart(a: Vector, b: Vector) -> Number:
    return dot([x - y for x, y in zip(a, b, strict=True)], [x - y for x, y in zip(a, b, strict=True)])


def mean(parts: Sequence[tuple[Number, Vector]]) -> list[Number]:
    total = sum(mass for mass, _ in parts)
    return [sum(mass * v[i] for mass, v in parts) / total for i in range(len(parts[0][1]))]


class Sides:
    """The quantities, as methods and attributes; `sides` puts them together."""

    def __init__(self, events: Sequence[Event], X2: Sequence[Vector], model: Model, classes: int) -> None:
        self.events, self.X2, self.model = events, X2, model
        self.M: dict[tuple[int, int], Number] = defaultdict(int)
        self.p1: dict[int, Number] = defaultdict(int)
        self.p2: dict[int, Number] = defaultdict(int)
        for e in events:
            self.M[e.x1, e.x2] += e.mass
            self.p1[e.x1] += e.mass
            self.p2[e.x2] += e.mass
        self.pairs: dict[tuple[int, int], Number] = defaultdict(int)
        for (i, c), a in self.M.items():
            for (j, other), b in self.M.items():
                if c == other:
                    self.pairs[i, j] += a * b / self.p2[c]
        self.label1, self.alpha = self._majority([e.x1 for e in events])
        _, self.alpha_target = self._majority([e.x2 for e in events])
        # Also those that no image is left of: a classifier may still answer them.
        self.classes = range(classes)

    def _majority(self, views: Sequence[int]) -> tuple[dict[int, int], Number]:
        mass: dict[int, dict[int, Number]] = defaultdict(lambda: defaultdict(int))
        for e, view in zip(self.events, views, strict=True):
            mass[view][e.label] += e.mass
        label = {}
        for view, of in mass.items():
            largest = max(of.values())
            label[view] = min(c for c, m in of.items() if m >= largest - TIE * abs(float(largest)) * 1)
        return label, sum(sum(of.values()) - of[label[view]] for view, of in mass.items())

    def loss(self, h: Sequence[Vector]) -> Number:
        return sum(m * apart(h[i], self.X2[c]) for (i, c), m in self.M.items())

    def over_pairs(self, left: Sequence[Vector]) -> Number:
        return sum(m * dot(left[i], left[j]) for (i, j), m in self.pairs.items())

    def pair_distance(self, left: Sequence[Vector]) -> Number:
        return sum(m * apart(left[i], left[j]) for (i, j), m in self.pairs.items())

    def energy(self, left: Sequence[Vector]) -> Number:
        return sum(m * dot(left[i], left[i]) for i, m in self.p1.items())

    def unif(self) -> Number:
        f = self.model.f
        return sum(self.p1[i] * self.p1[j] * dot(f[i], f[j]) ** 2 for i in self.p1 for j in self.p1)

    def frobenius(self) -> Number:
        return sum(m * m / (self.p1[i] * self.p1[j]) for (i, j), m in self.pairs.items())

    def scl_spectral(self) -> Number:
        """‖A − FFᵀ‖_F² − ‖A‖_F², with A_ij = P_ij/√(p_i p_j) and the roots multiplied out."""
        f, total = self.model.f, -self.frobenius()
        for i, j in itertools.product(self.p1, self.p1):
            weight = self.p1[i] * self.p1[j]
            total += weight * (self.pairs.get((i, j), 0) / weight - dot(f[i], f[j])) ** 2
        return total

    def conditional_mean(self) -> dict[int, list[Number]]:
        return {i: mean([(m, self.X2[c]) for (k, c), m in self.M.items() if k == i]) for i in self.p1}

    def variance(self) -> Number:
        centre = mean([(m, self.X2[c]) for c, m in self.p2.items()])
        return sum(m * apart(self.X2[c], centre) for c, m in self.p2.items())

    def variance_given_mask(self) -> Number:
        total: Number = 0
        for mask in {e.mask for e in self.events}:
            own = [e for e in self.events if e.mask == mask]
            centre = mean([(e.mass, self.X2[e.x2]) for e in own])
            total += sum(e.mass * apart(self.X2[e.x2], centre) for e in own)
        return total

    def phi(self) -> Number:
        return sum((m for (i, j), m in self.pairs.items() if self.label1[i] != self.label1[j]), start=0 * self.alpha)

    def p_max(self) -> Number:
        return max(sum(m for i, m in self.p1.items() if self.label1[i] == c) for c in self.classes)

    def scores(self) -> dict[int, list[Number]]:
        """(Wᵀf(x1))_c for each class in order."""
        f = self.model.f
        W = {
            c: [sum(m * f[i][j] for i, m in self.p1.items() if self.label1[i] == c) for j in range(len(f[0]))]
            for c in self.classes
        }
        return {i: [dot(W[c], f[i]) for c in self.classes] for i in self.p1}

    def mean_square(self, scale_sq: Number) -> Number:
        """Of the mean classifier on f times the root of `scale_sq`."""
        total: Number = 0
        for i, score in self.scores().items():
            for c, s in zip(self.classes, score, strict=True):
                total += self.p1[i] * (scale_sq * s - (1 if self.label1[i] == c else 0)) ** 2
        return total

    def vote_error(self) -> Number:
        answer = {i: self.classes[score.index(max(score))] for i, score in self.scores().items()}
        votes: dict[int, dict[int, Number]] = defaultdict(lambda: defaultdict(int))
        weight: dict[int, Number] = defaultdict(int)
        truth = {}
        for e in self.events:
            votes[e.image][answer[e.x1]] += e.mass
            weight[e.image] += e.mass
            truth[e.image] = e.label
        wrong: Number = 0 * self.alpha
        for image, of in votes.items():
            largest = max(of.values())
            chosen = min(c for c, m in of.items() if m >= largest - TIE * abs(float(largest)))
            wrong += weight[image] if chosen != truth[image] else 0
        return wrong

    def lipschitz(self) -> Number:
        """The least one-sided L; None where there is none."""
        ratios = []
        for i, j in self.pairs:
            feature, output = apart(self.model.f[i], self.model.f[j]), apart(self.model.h[i], self.model.h[j])
            if feature > 0:
                if output == 0:
                    return None
                ratios.append(feature / output)
        return max(ratios) if ratios else None

    def second_moment(self) -> list[list[Number]]:
        """E m mᵀ of the conditional means m = E[x2|x1], whose eigenvalues are the s_i² of S3."""
        m = self.conditional_mean()
        d = len(self.X2[0])
        return [[sum(self.p1[i] * m[i][a] * m[i][b] for i in m) for b in range(d)] for a in range(d)]


def eigenvalues(matrix: Sequence[Sequence[Number]]) -> list[Number]:
    """Descending; exact ones must stand on the diagonal."""
    if isinstance(matrix[0][0], Fraction):
        assert all(matrix[a][b] == 0 for a in range(len(matrix)) for b in range(len(matrix)) if a != b)
        return sorted((matrix[a][a] for a in range(len(matrix))), reverse=True)
    return [float(value) for value in np.linalg.eigvalsh(np.array(matrix, dtype=float))[::-1]]


def simplex_minimum(values: Vector, L: Number, lam: Number) -> Number:
    """Minimise (1/L)(1 − Σ λ_i g_i) + λ Σ g_i² over the simplex: the best of all supports' stationary points."""
    found = []
    for size in range(1, len(values) + 1):
        for support in itertools.combinations(values, size):
            mu = (2 * lam - sum(value / L for value in support)) / size
            g = [(value / L + mu) / (2 * lam) for value in support]
            if min(g) >= 0:
                found.append((1 - dot(support, g)) / L + lam * dot(g, g))
    return min(found)


def sides(
    graph: MaskGraph,
    model: Model,
    values: Vector,
    readout_error: Number,
    exact: bool,
    X2: Sequence[Vector],
) -> dict[str, tuple[Number, Number]]:
    """Left and right side of every statement that has them; λ = 1/(4L), ε as h_g certifies it.

    Args:
        graph: the graph.
        model: in the kind of number that is wanted.
        values: all N1 eigenvalues of A, descending.
        readout_error: the best linear readout's square error from the top k eigenvectors.
        exact: fractions.
        X2: the targets, in that kind of number.
    """
    s = Sides(events_of(graph, exact), X2, model, len(graph.images.classes))
    k = min(len(model.f[0]), len(s.p1))
    mae, energy, half_pair = s.loss(model.h), s.energy(model.h), s.pair_distance(model.h) / 2
    align = -s.over_pairs(model.h)
    by_target = {c: mean([(m, model.h[i]) for (i, b), m in s.M.items() if b == c]) for c in s.p2}
    gap = sum(m * apart(by_target[c], s.X2[c]) for c, m in s.p2.items())
    best = s.conditional_mean()
    bayes = sum(m * apart(best[i], s.X2[c]) for (i, c), m in s.M.items())
    excess = sum(m * apart(model.h[i], best[i]) for i, m in s.p1.items())
    epsilon = sum(m * apart(model.pseudo[c], s.X2[c]) for c, m in s.p2.items())
    asym = -sum(m * dot(model.h[i], model.pseudo[c]) for (i, c), m in s.M.items())
    energy_pseudo = sum(m * dot(model.pseudo[c], model.pseudo[c]) for c, m in s.p2.items())
    unif, frobenius, phi, p_max = s.unif(), s.frobenius(), s.phi(), s.p_max()
    scl = -2 * s.over_pairs(model.f) + unif
    head = sum(value**2 for value in values[:k])
    beyond = eigenvalues(s.second_moment())[k:] if k < len(s.X2[0]) else []
    floor = bayes + sum(beyond, start=0 * bayes)
    # Over multiples c·f, L_SCL = −2c² a + c⁴ u with a = E f·f⁺ and u = L_unif is least at c² = a/u.
    aligned = s.over_pairs(model.f)
    fitted = -(aligned**2) / unif
    thm_4_1 = 2 * s.alpha + 8 * phi + 8 * p_max * (fitted + frobenius)
    found = {
        "I1": (mae, energy + align + gap),
        "I2": (mae, bayes + excess),
        "I3": (half_pair, energy + align),
        "I4": (scl, s.scl_spectral()),
        "I5": (frobenius, sum(value**2 for value in values)),
        "U": (unif, 1 / (k + 0 * unif)),
        "Thm 3.2": (mae, asym + energy / 2 + energy_pseudo / 2 - epsilon),
        "Thm 3.4": (mae, align / 2 + energy / 2 - epsilon),
        "Thm 3.4 unit": (mae, align / 2 + (1 + 0 * mae) / 2 - epsilon),
        "S1": (mae, half_pair),
        "Thm 3.6": (s.loss(model.collapsed), s.variance()),
        "S4": (s.loss(model.collapsed), s.variance_given_mask()),
        "S3": (mae, floor),
        "phi": (phi, 2 * (s.alpha + s.alpha_target)),
        "Thm 4.1 mean square": (s.mean_square(aligned / unif), 2 * phi + 2 * p_max * (fitted + frobenius)),
        "Thm 4.1": (s.vote_error(), thm_4_1),
    }
    after = values[k] if k < len(values) else 0 * mae
    if float(after) < 1 - 1e-9:
        found["Embedding"] = (readout_error, phi / (1 - after))
    L = s.lipschitz()
    if L is not None:
        lam = 1 / (4 * L)
        u_mae = mae + lam * unif
        c4 = 8 * phi + 8 * p_max * (frobenius - 2)
        found["Thm 4.1 loss"] = (s.vote_error(), 32 * p_max * L * (u_mae + epsilon) + 2 * s.alpha + c4)
        found["Thm 4.2"] = (u_mae, (2 - head) / (4 * L) - epsilon)
        found["Thm 4.2 any lambda"] = (u_mae, 1 / (2 * L) - epsilon - head / (16 * L**2 * lam))
        found["S2"] = (u_mae, simplex_minimum(values[:k], L, lam))
    return found
