"""Every number of a mask graph by brute-force enumeration, in plain loops and from the definitions alone.

Nothing here comes from the package: views are literal tuples, distributions are dicts, sums run over the
(image, mask) events one by one. Only eigenvalues and singular values of small dense matrices are numpy's.
It is slow on purpose, and meant for worlds of up to a few hundred events.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TIE = 1e-9
"""Two class masses are a tie within this relative distance: the masses of a small world are multiples of a
common unit no smaller than 1e-5, so that real differences are far larger and rounding is far smaller."""

MAX_SUPPORT = 12
"""The minimiser over the simplex tries every support: 2¹² of them is the most that stays instant."""

Codes = Sequence[int]
Kept = tuple[int, ...]
Vertex = Hashable
Pair = tuple[Vertex, Vertex]


@dataclass(frozen=True)
class Event:
    """One image under one mask."""

    image: int
    mass: float
    label: int
    x1: Vertex
    x2: Vertex


def kept_patches(patches: int, mask_ratio: float) -> int:
    """n(1 − ρ) rounded half up and kept within 1..n−1, for a ratio that is a decimal of 6 digits at most."""
    millionths = round(mask_ratio * 1_000_000)
    twice = 2 * patches * (1_000_000 - millionths)
    return max(1, min(patches - 1, (twice + 1_000_000) // 2_000_000))


def all_masks(patches: int, kept: int) -> list[Kept]:
    """Every subset of `kept` patches."""
    return list(itertools.combinations(range(patches), kept))


def vertex(codes: Codes, positions: Iterable[int], view: str) -> Vertex:
    """What a view is, literally: position-code pairs, codes in order, or codes sorted."""
    if view == "positional":
        return tuple((position, codes[position]) for position in positions)
    if view == "sequence":
        return tuple(codes[position] for position in positions)
    if view == "bag":
        return tuple(sorted(codes[position] for position in positions))
    raise ValueError(view)


def events(
    codes: Sequence[Codes],
    labels: Sequence[int],
    weights: Sequence[float] | None,
    masks: Sequence[Kept],
    view: str,
) -> list[Event]:
    """The (image, mask) events of positive mass; `image` is the row of the input."""
    masses = [1.0] * len(codes) if weights is None else [float(weight) for weight in weights]
    total = math.fsum(masses)
    found = []
    for image, (row, label, mass) in enumerate(zip(codes, labels, masses, strict=True)):
        if mass == 0:
            continue
        for kept in masks:
            dropped = [position for position in range(len(row)) if position not in kept]
            x1, x2 = vertex(row, sorted(kept), view), vertex(row, dropped, view)
            found.append(Event(image, mass / total / len(masks), label, x1, x2))
    return found


def shared(event: Event, hop: str) -> Hashable:
    """The thing that two views of a positive pair have in common."""
    return event.x2 if hop == "target" else ("image", event.image)


def joint_M(world: Sequence[Event]) -> dict[Pair, float]:
    """M(x1, x2)."""
    M: dict[Pair, float] = defaultdict(float)
    for event in world:
        M[event.x1, event.x2] += event.mass
    return dict(M)


def marginal(joint: Mapping[Pair, float], side: int) -> dict[Vertex, float]:
    """The marginal of one side of a joint distribution."""
    mass: dict[Vertex, float] = defaultdict(float)
    for pair, value in joint.items():
        mass[pair[side]] += value
    return dict(mass)


def event_pairs(world: Sequence[Event], hop: str) -> list[tuple[float, Event, Event]]:
    """Draw the shared thing, then two independent events given it: (probability, event, event)."""
    groups: dict[Hashable, list[Event]] = defaultdict(list)
    for event in world:
        groups[shared(event, hop)].append(event)
    pairs = []
    for group in groups.values():
        mass = math.fsum(event.mass for event in group)
        for one, other in itertools.product(group, group):
            pairs.append((one.mass * other.mass / mass, one, other))
    return pairs


def positive_pairs(world: Sequence[Event], hop: str) -> dict[Pair, float]:
    """P⁺(x1, x1⁺)."""
    P: dict[Pair, float] = defaultdict(float)
    for mass, one, other in event_pairs(world, hop):
        P[one.x1, other.x1] += mass
    return dict(P)


def augmentation(world: Sequence[Event], hop: str) -> dict[Pair, float]:
    """A(x1, x1⁺) = P⁺(x1, x1⁺) / √(p1(x1) p1(x1⁺))."""
    p1 = marginal(joint_M(world), 0)
    return {(a, b): mass / math.sqrt(p1[a] * p1[b]) for (a, b), mass in positive_pairs(world, hop).items()}


def class_masses(world: Sequence[Event], side: int) -> dict[Vertex, dict[int, float]]:
    """The joint mass of a view of one side and its image's class."""
    masses: dict[Vertex, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for event in world:
        masses[event.x1 if side == 1 else event.x2][event.label] += event.mass
    return {view: dict(mass) for view, mass in masses.items()}


def majority(masses: Mapping[Vertex, Mapping[int, float]]) -> dict[Vertex, int]:
    """The class of largest mass of each view, the lowest one at a tie."""
    return {
        view: min(label for label, value in mass.items() if value >= max(mass.values()) * (1 - TIE))
        for view, mass in masses.items()
    }


def components(world: Sequence[Event], hop: str) -> int:
    """How many pieces the views and the things they share fall into."""
    parent: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for event in world:
        parent[root((1, event.x1))] = root((2, shared(event, hop)))
    return len({root(node) for node in list(parent)})


def eigenvalues(A: Mapping[Pair, float]) -> list[float]:
    """All eigenvalues of a symmetric matrix given by its entries, largest first."""
    order: dict[Vertex, int] = {}
    for pair in A:
        for view in pair:
            order.setdefault(view, len(order))
    dense = np.zeros((len(order), len(order)))
    for (a, b), value in A.items():
        dense[order[a], order[b]] = value
    return [float(value) for value in np.linalg.eigvalsh(dense)[::-1]]


def target_vector(x2: Vertex, view: str, codebook: Sequence[Sequence[float]]) -> list[float]:
    """The patch values of a target, in the order in which its vertex lists them."""
    assert isinstance(x2, tuple)
    codes = [entry[1] if view == "positional" else entry for entry in x2]
    return [float(value) for code in codes for value in codebook[code]]


def simplex_minimum(eigenvalue: Sequence[float], L: float, lam: float) -> float:
    """Minimise (1/L)(1 − Σ λ_i g_i) + λ Σ g_i² over g ≥ 0, Σ g_i = 1, by trying every support.

    On a given support the only candidate is the stationary point under Σ g_i = 1. The minimiser is that of its
    own support, and every candidate that is ≥ 0 is feasible, so the least of them is the minimum.
    """
    if len(eigenvalue) > MAX_SUPPORT:
        raise ValueError(f"{len(eigenvalue)} eigenvalues have too many supports to try")
    best = math.inf
    for size in range(1, len(eigenvalue) + 1):
        for support in itertools.combinations(eigenvalue, size):
            mean = math.fsum(support) / size
            g = [1 / size + (value - mean) / (2 * lam * L) for value in support]
            if min(g) >= 0:
                head = math.fsum(value * part for value, part in zip(support, g, strict=True))
                best = min(best, (1 - head) / L + lam * math.fsum(part * part for part in g))
    return best


def target_side(
    world: Sequence[Event], view: str, dim: int, codebook: Sequence[Sequence[float]] | None
) -> dict[str, float | None]:
    """Bayes risk, Var(x2) and the rank-K floor; None without patch values."""
    if codebook is None:
        return {"bayes_risk": None, "target_variance": None, "rank_floor": None}
    M = joint_M(world)
    p1, p2 = marginal(M, 0), marginal(M, 1)
    value = {x2: target_vector(x2, view, codebook) for x2 in p2}
    d = len(next(iter(value.values())))
    mean = [math.fsum(p2[x2] * value[x2][j] for x2 in p2) for j in range(d)]
    variance = math.fsum(p2[x2] * (value[x2][j] - mean[j]) ** 2 for x2 in p2 for j in range(d))
    second_moment = math.fsum(p2[x2] * value[x2][j] ** 2 for x2 in p2 for j in range(d))
    conditional = {x1: [0.0] * d for x1 in p1}
    for (x1, x2), mass in M.items():
        for j in range(d):
            conditional[x1][j] += mass / p1[x1] * value[x2][j]
    risk = math.fsum(mass * (value[x2][j] - conditional[x1][j]) ** 2 for (x1, x2), mass in M.items() for j in range(d))
    scaled = [[math.sqrt(p1[x1]) * entry for entry in conditional[x1]] for x1 in p1]
    singular = [float(s) for s in np.linalg.svd(np.array(scaled), compute_uv=False)]
    floor = second_moment - math.fsum(s * s for s in singular[:dim])
    return {"bayes_risk": risk, "target_variance": variance, "rank_floor": floor}


def seen_once(world: Sequence[Event], side: int) -> float:
    """The mass of the views of a side that one image only shows."""
    images: dict[Vertex, set[int]] = defaultdict(set)
    for event in world:
        images[event.x1 if side == 1 else event.x2].add(event.image)
    return math.fsum(event.mass for event in world if len(images[event.x1 if side == 1 else event.x2]) == 1)


def unseen(world: Sequence[Event], drawn: bool) -> dict[str, float | None]:
    """The Good–Turing masses of a graph under all masks: over images where they are draws, over masks none."""
    return {
        "visible": seen_once(world, 1) if drawn else None,
        "target": seen_once(world, 2) if drawn else None,
        "visible_fresh_mask": None,
        "target_fresh_mask": None,
    }


def answer(
    codes: Sequence[Codes],
    labels: Sequence[int],
    weights: Sequence[float] | None,
    masks: Sequence[Kept],
    view: str,
    hop: str,
    dim: int,
    codebook: Sequence[Sequence[float]] | None = None,
    L: float = 1.0,
    lam: float | None = None,
    epsilon: float = 0.0,
) -> dict[str, Any]:
    """What `bound` says of one mask ratio, less what only names the request.

    `lam` None means 1/(4L).
    """
    world = events(codes, labels, weights, masks, view)
    lam = 1 / (4 * L) if lam is None else lam
    M = joint_M(world)
    spectrum = eigenvalues(augmentation(world, hop))
    top = spectrum[:dim]
    head, tail = math.fsum(v * v for v in top), math.fsum(v * v for v in spectrum[dim:])
    class1, class2 = majority(class_masses(world, 1)), majority(class_masses(world, 2))
    pairs = event_pairs(world, hop)
    alpha = math.fsum(event.mass for event in world if class1[event.x1] != event.label)
    phi = math.fsum(mass for mass, one, other in pairs if class1[one.x1] != class1[other.x1])
    p_max = max(math.fsum(event.mass for event in world if class1[event.x1] == c) for c in set(class1.values()))
    return {
        "vertices": [len(marginal(M, 0)), len(marginal(M, 1))],
        "edges": len(M),
        "components": components(world, hop),
        "eigenvalues": top,
        "frobenius_sq": math.fsum(v * v for v in augmentation(world, hop).values()),
        "head_sq": head,
        "tail_sq": tail,
        "alpha": alpha,
        "alpha_target": math.fsum(event.mass for event in world if class2[event.x2] != event.label),
        "phi": phi,
        "alpha_most": 1
        - max(math.fsum(event.mass for event in world if event.label == c) for c in {event.label for event in world}),
        "thm_4_1_least": 2 * alpha + 8 * phi + 8 * p_max * tail,
        "intra": math.fsum(mass for mass, one, other in pairs if one.label == other.label),
        "inter": math.fsum(mass for mass, one, other in pairs if one.label != other.label),
        "unseen": unseen(world, weights is None),
        "lipschitz": L,
        "lambda": lam,
        "epsilon": epsilon,
        "bounds": {
            "thm_4_2": (2 - head) / (4 * L) - epsilon if lam == 1 / (4 * L) else None,
            "thm_4_2_any_lambda": 1 / (2 * L) - epsilon - head / (16 * L * L * lam),
            "water_filling": simplex_minimum(top, L, lam),
        },
        **target_side(world, view, dim, codebook),
    }
