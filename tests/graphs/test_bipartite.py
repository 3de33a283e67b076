"""The mask graph against the literal enumeration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given

from maskgraph.graphs.bipartite import MaskGraph, mask_graph, visible_views
from maskgraph.graphs.classes import classes_of
from maskgraph.graphs.datasets import make_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.views import View
from tests import oracle
from tests.strategies import FIXED_WORLDS, VIEWS, World, masked_worlds, searched, views

ROUNDING = 1e-12
"""Sums of at most 8·20 masses below 1: 160 · 2⁻⁵³ ≈ 2e-14, and room for a division or two."""


def vertex_ids(world: World, kept: int, view: View, graph: MaskGraph) -> list[dict[oracle.Vertex, int]]:
    """The package's number of each of the oracle's vertices, checked to be a bijection, one dict a side."""
    sides = []
    for side, ids in (("x1", graph.ids1), ("x2", graph.ids2)):
        found = [getattr(event, side) for event in world.events(kept, view)]
        number = dict(zip(found, ids.ravel().tolist(), strict=True))
        assert [number[vertex] for vertex in found] == ids.ravel().tolist()
        assert sorted(number.values()) == list(range(len(number)))
        sides.append(number)
    return sides


def check_graph(world: World, kept: int, view: View) -> None:
    graph = world.graph(kept, view)
    events = world.events(kept, view)
    first, second = vertex_ids(world, kept, view, graph)
    M = oracle.joint_M(events)
    assert graph.M.shape == (len(first), len(second))
    assert graph.M.nnz == len(M)
    dense = graph.M.toarray()
    for (x1, x2), mass in M.items():
        assert dense[first[x1], second[x2]] == pytest.approx(mass, abs=ROUNDING)
    for number, marginal, side in ((first, graph.p1, 0), (second, graph.p2, 1)):
        for vertex, value in oracle.marginal(M, side).items():
            assert marginal[number[vertex]] == pytest.approx(value, abs=ROUNDING)

    # The rows of weight zero are gone, so images are numbered among the others, and classes from 0 among all.
    row = {image: place for place, image in enumerate(world.rows)}
    class_number = {label: place for place, label in enumerate(sorted(set(world.labels)))}
    sides = ((1, first, graph.class_mass1, graph.R1), (2, second, graph.class_mass2, graph.R2))
    for side, number, class_mass, joint in sides:
        expected = np.zeros((len(number), len(class_number)))
        for vertex, masses in oracle.class_masses(events, side).items():
            for label, value in masses.items():
                expected[number[vertex], class_number[label]] = value
        np.testing.assert_allclose(class_mass.toarray(), expected, rtol=0, atol=ROUNDING)
        with_image = np.zeros((len(number), len(row)))
        for event in events:
            with_image[number[event.x1 if side == 1 else event.x2], row[event.image]] += event.mass
        np.testing.assert_allclose(joint.toarray(), with_image, rtol=0, atol=ROUNDING)
        assert joint.nnz == np.count_nonzero(with_image)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", FIXED_WORLDS)
def test_fixed_worlds_equal_the_enumeration(name: str, view: View) -> None:
    world = FIXED_WORLDS[name]
    for kept in range(1, world.patches):
        check_graph(world, kept, view)


@searched(100)
@given(masked_worlds(), views())
def test_random_worlds_equal_the_enumeration(drawn: tuple[World, int], view: View) -> None:
    check_graph(*drawn, view)


@searched(50)
@given(masked_worlds(), views())
def test_marginals_are_positive_and_sum_to_one(drawn: tuple[World, int], view: View) -> None:
    world, kept = drawn
    graph = world.graph(kept, view)
    for mass in (graph.p1, graph.p2):
        assert mass.min() > 0
        assert math.fsum(mass) == pytest.approx(1, abs=ROUNDING)


@searched(50)
@given(masked_worlds(valued=True), views())
def test_codes_and_targets_are_those_of_the_vertices(drawn: tuple[World, int], view: View) -> None:
    world, kept = drawn
    graph = world.graph(kept, view)
    first, second = vertex_ids(world, kept, view, graph)
    assert world.codebook is not None
    for number, codes in ((first, graph.codes1), (second, graph.codes2)):
        for vertex, place in number.items():
            assert isinstance(vertex, tuple)
            listed = [entry[1] for entry in vertex] if view == "positional" else list(vertex)
            assert codes[place].tolist() == listed
    for vertex, place in second.items():
        assert graph.X2[place].tolist() == oracle.target_vector(vertex, view, world.codebook)


@pytest.mark.parametrize("view", VIEWS)
def test_representatives_are_places_where_the_view_occurs(view: View) -> None:
    graph = FIXED_WORLDS["rows of weight zero"].graph(2, view)
    image, mask = graph.representatives1
    assert graph.ids1[image, mask].tolist() == list(range(len(graph.p1)))


@pytest.mark.parametrize("seed", range(5))
def test_classes_of_some_views_are_rows_of_all(seed: int) -> None:
    """Of views that are seen with one class and of views that are seen with several."""
    rng = np.random.default_rng(seed)
    dense = rng.random((20, 4)) * (rng.random((20, 4)) < 0.3)
    dense[np.arange(20), rng.integers(0, 4, 20)] += 0.5
    assert len(set(np.count_nonzero(dense, axis=1))) > 1
    joint = sp.csr_array(dense)
    found, mass = classes_of(joint), dense.sum(axis=1)
    np.testing.assert_allclose(found.joint(mass).toarray(), dense, rtol=0, atol=ROUNDING)
    which = rng.random(20) < 0.5
    chosen = found.some(which).joint(mass[which])
    np.testing.assert_allclose(chosen.toarray(), dense[which], rtol=0, atol=ROUNDING)


def test_two_patches_by_hand() -> None:
    # Images 01 and 11 with masses ¼ and ¾; each mask keeps one patch and hides the other.
    world = World(((0, 1), (1, 1)), (0, 1), (1.0, 3.0))
    graph = world.graph(1, "sequence")
    assert graph.codes1.ravel().tolist() == graph.codes2.ravel().tolist() == [0, 1]
    assert graph.M.toarray().tolist() == [[0, 0.125], [0.125, 0.75]]


def test_repeating_an_image_is_weighting_it() -> None:
    codes = ((0, 1, 1, 0), (1, 1, 0, 0), (0, 0, 1, 1))
    weighted = World(codes, (0, 1, 1), (2.0, 1.0, 1.0)).graph(2, "sequence")
    repeated = World((codes[0], *codes), (0, 0, 1, 1)).graph(2, "sequence")
    np.testing.assert_allclose(weighted.M.toarray(), repeated.M.toarray(), rtol=0, atol=ROUNDING)


def test_masks_over_another_number_of_patches() -> None:
    images = FIXED_WORLDS["four classes"].images()
    with pytest.raises(InputError, match="masks are over 4 patches and the images have 5"):
        mask_graph(images, make_mask_set(np.array([[0, 1]]), 4))


def test_unknown_view() -> None:
    world = FIXED_WORLDS["two patches"]
    with pytest.raises(InputError, match="unknown view 'set'; expected one of positional, sequence, bag"):
        mask_graph(world.images(), world.mask_set(1), "set")  # type: ignore[arg-type]


def test_codes_without_values_have_no_target_vectors() -> None:
    world = replace(FIXED_WORLDS["two patches"], codebook=None)
    with pytest.raises(InputError, match=r"codes but no patch values.*add a codebook"):
        _ = world.graph(1, "bag").X2


@pytest.mark.parametrize("view", VIEWS)
def test_visible_views_are_shown_as_their_vertex_lists_them(view: View) -> None:
    """Five patches of which two are kept, and positions that a caller may write to."""
    graph = FIXED_WORLDS["four classes"].graph(2, view)
    codebook = graph.images.codebook
    assert codebook is not None
    patches, positions, slots = visible_views(graph)
    known = {"positional": None, "sequence": ([0, 1], [2, 3, 4]), "bag": ([5, 5], [2, 3, 4])}[view]
    for row, (image, mask) in enumerate(zip(*graph.representatives1, strict=True)):
        kept, dropped = graph.masks.kept[mask].tolist(), graph.masks.dropped[mask].tolist()
        codes = [int(graph.images.codes[image, patch]) for patch in kept]
        shown = sorted(codes) if view == "bag" else codes
        assert patches[row].tolist() == [codebook[code].tolist() for code in shown]
        assert (positions[row].tolist(), slots[row].tolist()) == (known or (kept, dropped))
    assert [array.dtype for array in (patches, positions, slots)] == [np.float64, np.int64, np.int64]
    for rows in (np.array([2, 0]), slice(1, 3)):
        for some, every in zip(visible_views(graph, rows), (patches, positions, slots), strict=True):
            np.testing.assert_array_equal(some, every[rows])
    positions += 1
    slots += 1


def test_images_without_codes_are_refused() -> None:
    images = make_images("noise", np.random.default_rng(0).random((3, 2, 2)), [0, 1, 0])
    with pytest.raises(
        InputError, match=r"an Images is no CodedImages; encode\(images, patch\) of maskgraph.graphs.patches"
    ):
        mask_graph(images, make_mask_set(np.array([[0]]), 4))  # type: ignore[arg-type]
