"""α, φ, edge mass, p_max and the vote error against plain loops over events."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given

from maskgraph.graphs.augmentation import augmentation_graph, majority_class
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.synthetic import joint_graph
from maskgraph.graphs.views import View
from maskgraph.theory import labels
from maskgraph.theory.unseen import singleton_mass
from tests import oracle
from tests.strategies import VIEWS, World, searched
from tests.theory.toys import Case, cases, features

ROUNDING = 1e-12
"""Sums of at most 10³ probabilities: 10³ · 2⁻⁵³ ≈ 1e-13."""


@searched(80)
@given(cases(valued=False))
def test_edge_mass_by_pairs_of_events(case: Case) -> None:
    world = case.world.events(case.kept, case.view)
    pairs = oracle.event_pairs(world, case.hop)
    found = labels.edge_mass(case.A)
    intra = math.fsum(mass for mass, one, other in pairs if one.label == other.label)
    assert found.intra == pytest.approx(intra, abs=ROUNDING)
    assert found.intra + found.inter == pytest.approx(1, abs=ROUNDING)
    if case.hop == "image":
        assert (found.intra, found.inter) == (1, 0)


@searched(80)
@given(cases(valued=False))
def test_alpha_and_phi_are_the_oracles(case: Case) -> None:
    world = case.world.events(case.kept, case.view)
    sides = [oracle.majority(oracle.class_masses(world, side)) for side in (1, 2)]
    alpha = math.fsum(event.mass for event in world if sides[0][event.x1] != event.label)
    alpha_target = math.fsum(event.mass for event in world if sides[1][event.x2] != event.label)
    assert labels.alpha(case.graph) == pytest.approx(alpha, abs=ROUNDING)
    assert labels.alpha_target(case.graph) == pytest.approx(alpha_target, abs=ROUNDING)
    pairs = oracle.positive_pairs(world, case.hop)
    phi = math.fsum(mass for (one, other), mass in pairs.items() if sides[0][one] != sides[0][other])
    assert labels.phi(case.A) == pytest.approx(phi, abs=ROUNDING)
    factor = alpha + alpha_target if case.hop == "target" else alpha
    assert phi <= 2 * factor + ROUNDING


@searched(100)
@given(cases(valued=False))
def test_p_max(case: Case) -> None:
    world = case.world.events(case.kept, case.view)
    majority = oracle.majority(oracle.class_masses(world, 1))
    mass: dict[int, float] = defaultdict(float)
    for event in world:
        mass[majority[event.x1]] += event.mass
    assert labels.p_max(case.graph) == pytest.approx(max(mass.values()), abs=ROUNDING)


@searched(80)
@given(cases(valued=False))
def test_vote_error(case: Case) -> None:
    graph = case.graph
    world = case.world.events(case.kept, case.view)
    masks = case.world.masks(case.kept)
    row = {image: at for at, image in enumerate(case.world.rows)}
    place = {event.x1: int(graph.ids1[row[event.image], at % len(masks)]) for at, event in enumerate(world)}
    majority = oracle.majority(oracle.class_masses(world, 1))
    known = [int(name) for name in graph.images.classes]
    p1 = oracle.marginal(oracle.joint_M(world), 0)
    for _, f in features(case.A, 3, case.rng)[:2]:
        W = {c: sum(p1[x1] * f[at] for x1, at in place.items() if majority[x1] == c) + np.zeros(3) for c in known}
        votes: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        label = {event.image: event.label for event in world}
        mass: dict[int, float] = defaultdict(float)
        for event in world:
            score = [float(W[c] @ f[place[event.x1]]) for c in known]
            votes[event.image][known[score.index(max(score))]] += event.mass
            mass[event.image] += event.mass
        chosen = {
            image: min(c for c, value in vote.items() if value >= max(vote.values()) * (1 - oracle.TIE))
            for image, vote in votes.items()
        }
        wrong = math.fsum(mass[image] for image in chosen if chosen[image] != label[image])
        found = labels.vote_error(graph, labels.mean_classifier(graph, f))
        assert found == pytest.approx(wrong, abs=ROUNDING)


def test_what_codes_are_called_decides_no_vote() -> None:
    """Renamed codes put the views in another order, and with it the rounding of scores that are equal."""
    rng = np.random.default_rng(0)
    masks = mask_set(mask_distribution("uniform", (1, 4), 0.5))
    ties = 0
    for _ in range(100):
        count = int(rng.integers(3, 9))
        codes, classes = rng.integers(0, 3, (count, 4)), rng.integers(0, 2, count)
        found = set()
        for names in itertools.permutations(range(3)):
            graph = mask_graph(make_coded_images("w", np.array(names)[codes], classes), masks, "positional")
            f = np.where(graph.codes1[:, :1] == names[0], 1.0, -1.0)
            found.add(round(labels.vote_error(graph, labels.mean_classifier(graph, f)), 9))
            score = f @ (f.T @ (graph.p1[:, None] * np.eye(2)[majority_class(graph.class_mass1), :]))
            ties += bool((np.abs(score[:, 0] - score[:, 1]) < ROUNDING).any()) if len(set(classes)) == 2 else 0
        assert len(found) == 1
    assert ties > 30


@pytest.mark.parametrize(("more", "answer"), [(0.0, 0), (1e-15, 0), (1e-12, 1), (-1e-12, 0)])
def test_scores_that_more_than_rounding_tells_apart_are_no_tie(more: float, answer: int) -> None:
    """One feature for all: the scores are the masses of the classes, and the last bits of those decide nothing."""
    graph = joint_graph(np.diag([0.5 - more, 0.5 + more]), labels=[[0], [1]])
    assert labels.mean_classifier(graph, np.ones((2, 1))).tolist() == [answer] * 2


@pytest.mark.parametrize("answer", [[0, -1], [-2, 1], [0, 2]])
def test_an_answer_that_is_no_class_is_refused(answer: list[int]) -> None:
    graph = joint_graph(np.eye(2), labels=[[0], [1]])
    for error in (labels.vote_error, lambda graph, answer: labels.misread(graph.class_mass1, answer)):
        with pytest.raises(InputError, match=r"expected \(2,\) integers, a class below 2 for each view"):
            error(graph, np.array(answer))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("weights", [(0.1 + 0.2, 0.3), (0.3, 0.1 + 0.2)])
def test_a_tie_goes_to_the_lowest_class(view: View, weights: tuple[float, float]) -> None:
    # 0.1 + 0.2 and 0.3 differ in their last bit alone: the class must not hang on it.
    graph = World(((0, 1), (0, 1)), (0, 1), weights).graph(1, view)
    assert labels.p_max(graph) == pytest.approx(1)
    assert labels.phi(augmentation_graph(graph)) == pytest.approx(0, abs=ROUNDING)
    assert labels.alpha(graph) == pytest.approx(0.5)
    assert majority_class(graph.class_mass1).max() == 0


def test_one_graph_by_hand() -> None:
    # Images a, b, c of masses ½, ¼, ¼ and classes 0, 0, 1; a and b share a target, b and c a view.
    M = np.array([[0.5, 0.0], [0.25, 0.25]])
    graph = joint_graph(M, labels=np.array([[0, 9], [0, 1]]))
    A = augmentation_graph(graph)
    assert labels.alpha(graph) == pytest.approx(0.25)
    assert labels.alpha_target(graph) == 0
    edges = labels.edge_mass(A)
    assert edges.intra == pytest.approx(1)
    assert labels.phi(A) == 0
    assert labels.p_max(graph) == pytest.approx(1)
    assert singleton_mass(graph, "target") == pytest.approx(0.25)
