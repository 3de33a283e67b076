"""The Good–Turing masses: leaving one image or one mask out by hand, and expectations over every sample there is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import load, make_coded_images, make_images, take
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.patches import encode
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory.unseen import Side, of_the_sample, single_mask_mass, singleton_mass, unseen
from tests import oracle
from tests.strategies import VIEWS, searched, views

ROUNDING = 1e-12
"""Sums of at most 10³ probabilities."""

SIDES: tuple[Side, Side] = ("visible", "target")

Codes = tuple[int, ...]


def shown(image: Codes, mask: oracle.Kept, view: str, side: Side) -> Hashable:
    """The vertex of one side, literally."""
    kept = mask if side == "visible" else tuple(p for p in range(len(image)) if p not in mask)
    return oracle.vertex(image, kept, view)


def lacking(fresh: Codes, images: Sequence[Codes], masks: Sequence[oracle.Kept], view: str, side: Side) -> float:
    """The share of a fresh image's masks whose view none of the images shows under any mask."""
    known = {shown(image, mask, view, side) for image in images for mask in masks}
    return sum(shown(fresh, mask, view, side) not in known for mask in masks) / len(masks)


@st.composite
def samples(draw: st.DrawFn) -> tuple[list[Codes], list[oracle.Kept]]:
    """A few images, some of them alike, and some of the masks of one size."""
    n = draw(st.integers(2, 5))
    images = draw(st.lists(st.tuples(*[st.integers(0, 2)] * n), min_size=1, max_size=6))
    images += draw(st.lists(st.sampled_from(images), max_size=2))
    every = oracle.all_masks(n, draw(st.integers(1, n - 1)))
    masks = draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    return images, masks


@searched(150)
@given(samples(), views())
def test_leaving_each_image_out(sample: tuple[list[Codes], list[oracle.Kept]], view: View) -> None:
    images, masks = sample
    coded = make_coded_images("w", np.array(images), np.zeros(len(images), dtype=int))
    graph = mask_graph(coded, make_mask_set(np.array(masks), len(images[0])), view)
    for side in SIDES:
        left = [lacking(image, images[:i] + images[i + 1 :], masks, view, side) for i, image in enumerate(images)]
        assert singleton_mass(graph, side) == pytest.approx(math.fsum(left) / len(images), abs=ROUNDING)
        assert unseen(graph)[side] == singleton_mass(graph, side)


@searched(150)
@given(samples(), views(), st.booleans(), st.integers(0, 99))
def test_leaving_each_mask_out(
    sample: tuple[list[Codes], list[oracle.Kept]], view: View, weighted: bool, seed: int
) -> None:
    """Whatever the images weigh."""
    images, masks = sample
    weights = np.random.default_rng(seed).uniform(0.1, 1, len(images)) if weighted else None
    coded = make_coded_images("w", np.array(images), np.zeros(len(images), dtype=int), weights)
    graph = mask_graph(coded, make_mask_set(np.array(masks), len(images[0]), len(masks) + 1), view)
    for side in SIDES:
        left = 0.0
        for out in masks:
            known = {shown(image, mask, view, side) for image in images for mask in masks if mask != out}
            left += sum(
                float(weight)
                for image, weight in zip(images, coded.weights, strict=True)
                if shown(image, out, view, side) not in known
            )
        found = single_mask_mass(graph, side)
        assert found == pytest.approx(left / len(masks), abs=ROUNDING)
        assert view != "positional" or found == pytest.approx(1, abs=ROUNDING)
    assert unseen(graph)["visible_fresh_mask"] == single_mask_mass(graph, "visible")
    assert unseen(graph)["target_fresh_mask"] == single_mask_mass(graph, "target")
    assert (unseen(graph)["visible"] is None) == (unseen(graph)["target"] is None) == weighted


POPULATION: list[tuple[Codes, float]] = [((0, 1, 1), 0.5), ((1, 1, 0), 0.3), ((0, 0, 0), 0.15), ((1, 0, 2), 0.05)]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_expectations_over_every_sample(view: View, count: int) -> None:
    """What docs/theory.md proves of the estimate: its mean, its excess over the unseen mass, its mean square error."""
    masks = oracle.all_masks(3, 2)
    mask_set = make_mask_set(np.array(masks), 3)
    for side in SIDES:
        mean = fewer = same = square = 0.0
        for drawn in itertools.product(POPULATION, repeat=count):
            chance = math.prod(mass for _, mass in drawn)
            images = [image for image, _ in drawn]
            coded = make_coded_images("w", np.array(images), np.zeros(count, dtype=int))
            estimate = singleton_mass(mask_graph(coded, mask_set, view), side)
            missing = [
                math.fsum(mass * lacking(fresh, known, masks, view, side) for fresh, mass in POPULATION)
                for known in (images[:-1], images)
            ]
            mean += chance * estimate
            fewer += chance * missing[0]
            same += chance * missing[1]
            square += chance * (estimate - missing[0]) ** 2
        assert mean == pytest.approx(fewer, abs=ROUNDING)
        assert -ROUNDING <= mean - same <= 1 / count + ROUNDING
        assert square <= 3 / count + ROUNDING


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_expectations_over_every_set_of_masks(view: View, count: int) -> None:
    every = oracle.all_masks(4, 2)
    images, weights = [(*image, 0) for image, _ in POPULATION], [mass for _, mass in POPULATION]
    coded = make_coded_images("w", np.array(images), np.zeros(4, dtype=int), np.array(weights))
    for side in SIDES:
        sets = list(itertools.combinations(every, count))
        graphs = (mask_graph(coded, make_mask_set(np.array(masks), 4, len(every)), view) for masks in sets)
        mean = math.fsum(single_mask_mass(graph, side) for graph in graphs) / len(sets)
        fresh = []
        for masks in itertools.combinations(every, count - 1):
            known = {shown(image, mask, view, side) for image in images for mask in masks}
            for mask in set(every) - set(masks):
                rows = zip(images, weights, strict=True)
                fresh.append(math.fsum(w for image, w in rows if shown(image, mask, view, side) not in known))
        assert mean == pytest.approx(math.fsum(fresh) / len(fresh), abs=ROUNDING)


def test_more_than_a_tenth_is_more_than_what_rounding_makes_of_a_tenth() -> None:
    """Of ten million images one more than a tenth is more."""
    found = [of_the_sample(share) for share in (None, 0.0, 0.1, 0.1 + 1e-13, 1_000_001 / 10_000_000, 1.0)]
    assert found == [False, False, False, False, True, True]


def test_all_masks_leave_no_fresh_one() -> None:
    images = class_mixture(4, 0.3, images=20)
    whole = unseen(mask_graph(images, make_mask_set(np.array(oracle.all_masks(4, 2)), 4), "bag"))
    assert whole["visible_fresh_mask"] is whole["target_fresh_mask"] is None


def test_who_gives_weights_states_a_distribution(tmp_path: Path) -> None:
    codes, labels = np.array([[0, 1], [1, 1], [0, 0]]), np.array([0, 1, 1])
    sample, stated = make_coded_images("w", codes, labels), make_coded_images("w", codes, labels, np.ones(3))
    assert sample.drawn
    # Equal weights are weights: the support of a mixture whose patches are fair coins is no sample of it.
    assert not stated.drawn
    assert not class_mixture(4, 0.5).drawn
    assert class_mixture(4, 0.5, images=5).drawn
    rows = np.array([0, 2])
    assert (take(sample, rows).drawn, take(stated, rows).drawn) == (True, False)
    pixels = np.arange(12.0).reshape(3, 2, 2)
    assert encode(make_images("p", pixels, labels), 1, "exact").drawn
    assert not encode(make_images("p", pixels, labels, np.ones(3)), 1, "exact").drawn
    np.savez(tmp_path / "w.npz", codes=codes, labels=labels)
    assert load(str(tmp_path / "w.npz")).drawn
    np.savez(tmp_path / "w.npz", codes=codes, labels=labels, weights=np.ones(3))
    assert not load(str(tmp_path / "w.npz")).drawn
