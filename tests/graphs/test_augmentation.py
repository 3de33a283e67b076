"""The augmentation graph against the literal enumeration, and the structural facts about its spectrum."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import Hop, augmentation_graph, majority_class
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.patches import encode
from maskgraph.graphs.views import View
from tests import oracle
from tests.graphs.test_bipartite import vertex_ids
from tests.strategies import FIXED_WORLDS, HOPS, VIEWS, World, hops, masked_worlds, searched, views

ROUNDING = 1e-12
"""An entry of A is a sum of at most 160 products over a root: 160 · 2⁻⁵³ ≈ 2e-14 relative, entries ≤ 1."""

SPECTRAL = 1e-10
"""Backward error of a dense eigensolver or SVD: a small multiple of size · 2⁻⁵³ · σ_1 ≈ 160 · 1e-16 ≈ 2e-14.
The gap below an eigenvalue 1 is far wider: by Cheeger at least ½(1/10³)², the masses being multiples of ~1/10³."""


def singular_values(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """All singular values, largest first."""
    return np.asarray(np.linalg.svd(matrix, compute_uv=False))


def check_graph(world: World, kept: int, view: View, hop: Hop) -> None:
    built = world.augmented(kept, view, hop)
    events = world.events(kept, view)
    number, _ = vertex_ids(world, kept, view, built.graph)
    expected = np.zeros((len(number),) * 2)
    pairs = np.zeros_like(expected)
    for (a, b), value in oracle.augmentation(events, hop).items():
        expected[number[a], number[b]] = value
    for (a, b), value in oracle.positive_pairs(events, hop).items():
        pairs[number[a], number[b]] = value
    A = built.matrix()
    np.testing.assert_allclose(A.toarray(), expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(built.positive_pairs().toarray(), pairs, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(built.operator() @ np.eye(len(number)), expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(
        np.stack([built.operator() @ row for row in np.eye(len(number))]), expected, rtol=0, atol=ROUNDING
    )
    assert built.joint.sum() == pytest.approx(1, abs=ROUNDING)
    np.testing.assert_allclose(built.joint.sum(axis=1), built.p1, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(built.joint.sum(axis=0), built.shared_mass, rtol=0, atol=ROUNDING)

    drawn = built.to_networkx()
    assert set(drawn) == set(range(len(number)))
    assert drawn.number_of_edges() == np.count_nonzero(np.triu(expected))
    for weight, matrix in (("weight", expected), ("mass", pairs)):
        adjacency = nx.to_numpy_array(drawn, nodelist=range(len(number)), weight=weight)
        np.testing.assert_allclose(adjacency, matrix, rtol=0, atol=ROUNDING)
    class_number = {label: place for place, label in enumerate(sorted(set(world.labels)))}
    labels = oracle.majority(oracle.class_masses(events, 1))
    p1 = oracle.marginal(oracle.joint_M(events), 0)
    for vertex, node in number.items():
        assert drawn.nodes[node]["label"] == class_number[labels[vertex]]
        assert drawn.nodes[node]["mass"] == pytest.approx(p1[vertex], abs=ROUNDING)


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", FIXED_WORLDS)
def test_fixed_worlds_equal_the_enumeration(name: str, view: View, hop: Hop) -> None:
    world = FIXED_WORLDS[name]
    for kept in range(1, world.patches):
        check_graph(world, kept, view, hop)


@searched(100)
@given(masked_worlds(), views(), hops())
def test_random_worlds_equal_the_enumeration(drawn: tuple[World, int], view: View, hop: Hop) -> None:
    check_graph(*drawn, view, hop)


def test_two_patches_by_hand() -> None:
    # One image 01: its two views hide different targets, and come from one image.
    world = World(((0, 1),), (0,))
    expectations: list[tuple[Hop, NDArray[np.float64]]] = [
        ("target", np.eye(2)),
        ("image", np.full((2, 2), 0.5)),
    ]
    for hop, expected in expectations:
        A = world.augmented(1, "sequence", hop).matrix().toarray()
        np.testing.assert_allclose(A, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("hop", HOPS)
def test_every_vertex_is_its_own_neighbour(hop: Hop) -> None:
    built = FIXED_WORLDS["four classes"].augmented(2, "sequence", hop)
    assert built.matrix().diagonal().min() > 0
    drawn = built.to_networkx()
    assert nx.number_of_selfloops(drawn) == drawn.number_of_nodes()


@searched(100)
@given(masked_worlds(), views(), hops())
def test_spectrum_lies_in_the_unit_interval_and_its_ones_count_components(
    drawn: tuple[World, int], view: View, hop: Hop
) -> None:
    world, kept = drawn
    built = world.augmented(kept, view, hop)
    spectrum = np.linalg.eigvalsh(built.matrix().toarray())
    assert spectrum.min() >= -SPECTRAL
    assert spectrum.max() == pytest.approx(1, abs=SPECTRAL)
    ones = int((spectrum > 1 - SPECTRAL).sum())
    assert ones == oracle.components(world.events(kept, view), hop)
    assert ones == nx.number_connected_components(built.to_networkx())


@searched(50)
@given(masked_worlds(), views(), hops())
def test_largest_singular_value_is_one_and_squares_are_eigenvalues(
    drawn: tuple[World, int], view: View, hop: Hop
) -> None:
    world, kept = drawn
    built = world.augmented(kept, view, hop)
    sigma = singular_values(built.B.toarray())
    assert sigma[0] == pytest.approx(1, abs=SPECTRAL)
    padded = np.zeros(len(built.p1))
    padded[: len(sigma)] = sigma[: len(padded)] ** 2
    np.testing.assert_allclose(np.linalg.eigvalsh(built.matrix().toarray())[::-1], padded, rtol=0, atol=SPECTRAL)


@searched(50)
@given(masked_worlds())
def test_positional_views_have_a_one_for_every_mask(drawn: tuple[World, int]) -> None:
    world, kept = drawn
    spectrum = np.linalg.eigvalsh(world.augmented(kept, "positional", "target").matrix().toarray())
    assert int((spectrum > 1 - SPECTRAL).sum()) >= math.comb(world.patches, kept)


@searched(50)
@given(masked_worlds(), views())
def test_complementary_mask_ratios_have_one_spectrum(drawn: tuple[World, int], view: View) -> None:
    world, kept = drawn
    sigma, mirrored = (
        singular_values(world.augmented(count, view, "target").B.toarray()) for count in (kept, world.patches - kept)
    )
    np.testing.assert_allclose(sigma, mirrored, rtol=0, atol=SPECTRAL)


@pytest.mark.parametrize("kept", [1, 2, 3])
@pytest.mark.parametrize("view", VIEWS)
def test_distinct_continuous_images_share_no_target(view: View, kept: int) -> None:
    rng = np.random.default_rng(5)
    images = encode(make_images("noise", rng.normal(size=(7, 4, 4)), np.arange(7) % 3), patch=2, kind="exact")
    masks = make_mask_set(np.array(oracle.all_masks(4, kept)), 4)
    A = augmentation_graph(mask_graph(images, masks, view), "target").matrix().toarray()
    assert len(A) == 7 * math.comb(4, kept)
    np.testing.assert_allclose(A, np.eye(len(A)), rtol=0, atol=ROUNDING)


@searched(100)
@given(masked_worlds(), views(), hops())
def test_coarser_codes_raise_no_singular_value(drawn: tuple[World, int], view: View, hop: Hop) -> None:
    world, kept = drawn
    fine = singular_values(world.augmented(kept, view, hop).B.toarray())
    for merge in ({0: 0, 1: 0, 2: 1}, {0: 0, 1: 1, 2: 1}, {0: 1, 1: 0, 2: 1}, {0: 0, 1: 0, 2: 0}):
        merged = replace(world, codes=tuple(tuple(merge[code] for code in row) for row in world.codes))
        coarse = singular_values(merged.augmented(kept, view, hop).B.toarray())
        assert len(coarse) <= len(fine)
        assert (coarse <= fine[: len(coarse)] + SPECTRAL).all()


@searched(50)
@given(masked_worlds(), hops())
def test_coarser_views_raise_no_singular_value(drawn: tuple[World, int], hop: Hop) -> None:
    world, kept = drawn
    # Forgetting positions, then order, coarsens both sides without touching the codes.
    sigma = [singular_values(world.augmented(kept, view, hop).B.toarray()) for view in VIEWS]
    for fine, coarse in itertools.pairwise(sigma):
        assert (coarse <= fine[: len(coarse)] + SPECTRAL).all()


def test_operator_is_symmetric() -> None:
    operator = FIXED_WORLDS["four classes"].augmented(2, "sequence", "target").operator()
    x, y = np.random.default_rng(0).normal(size=(2, operator.shape[0]))
    assert y @ (operator @ x) == pytest.approx((operator.T @ y) @ x, abs=SPECTRAL)


def test_majority_is_the_lowest_class_at_a_tie_up_to_rounding() -> None:
    third = 0.1 + 0.2
    assert third > 0.3
    mass = np.array([[0.3, third, 0.0], [0.1, 0.3, 0.3], [0.0, 0.3, 0.3 * (1 + 1e-6)], [0.0, 0.0, 1e-12]])
    assert majority_class(sp.csr_array(mass)).tolist() == [0, 1, 2, 2]


def test_unknown_hop() -> None:
    graph = FIXED_WORLDS["two patches"].graph(1, "bag")
    with pytest.raises(InputError, match="unknown hop 'mask'; expected one of target, image"):
        augmentation_graph(graph, "mask")  # type: ignore[arg-type]
