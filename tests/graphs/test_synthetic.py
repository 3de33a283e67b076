"""Worlds made to order: exact weights when enumerated, the right frequencies when drawn, any joint distribution."""

from __future__ import annotations

import itertools
import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.synthetic import class_mixture, joint_graph, load_mixture
from maskgraph.theory.answer import answer

ROUNDING = 1e-13
"""A weight is a product of at most 7 factors over a sum of at most 1,000 weights: ~1,000 · 2⁻⁵³ relative."""

Z = 5.0
"""Standard errors that a frequency may be off: 6e-7 for a fair one, and the seed is fixed."""


@pytest.mark.parametrize(
    ("patches", "flip", "classes"), [(2, 0.3, 2), (6, 0.45, 2), (4, 0.2, 3), (3, 0.5, 4), (2, 0.75, 4), (2, 0.9, 3)]
)
def test_weights_are_the_literal_product(patches: int, flip: float, classes: int) -> None:
    world = class_mixture(patches, flip, classes)
    found = {
        (label, tuple(codes)): weight
        for label, codes, weight in zip(
            world.labels.tolist(), world.codes.tolist(), world.weights.tolist(), strict=True
        )
    }
    assert len(found) == len(world.codes) == classes ** (patches + 1)
    for label in range(classes):
        for codes in itertools.product(range(classes), repeat=patches):
            expected = 1 / classes
            for code in codes:
                expected *= 1 - flip if code == label else flip / (classes - 1)
            assert found[label, codes] == pytest.approx(expected, rel=ROUNDING)
    assert world.patches == patches
    assert world.classes == tuple(map(str, range(classes)))


def test_values_of_the_codes() -> None:
    for classes, expected in ((2, [[0.0], [1.0]]), (3, np.eye(3).tolist())):
        codebook = class_mixture(2, 0.3, classes).codebook
        assert codebook is not None
        assert codebook.tolist() == expected


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_images_without_mass_are_left_out(flip: float) -> None:
    world = class_mixture(3, flip)
    assert world.weights.tolist() == [0.5, 0.5]
    shown = world.labels if flip == 0 else 1 - world.labels
    assert (world.codes == shown[:, None]).all()


@pytest.mark.parametrize(("flip", "classes"), [(0.3, 2), (0.45, 3), (0.8, 4)])
def test_drawn_images_have_the_stated_frequencies(flip: float, classes: int) -> None:
    count, patches = 20_000, 4
    world = class_mixture(patches, flip, classes, images=count, seed=11)
    assert world.codes.shape == (count, patches)
    np.testing.assert_allclose(world.weights, 1 / count, rtol=ROUNDING)

    def check(hits: np.ndarray, share: float) -> None:
        error = math.sqrt(share * (1 - share) / len(hits))
        assert abs(hits.mean() - share) < Z * error

    agrees = world.codes == world.labels[:, None]
    for label in range(classes):
        check(world.labels == label, 1 / classes)
        of_class = world.codes[world.labels == label]
        for patch in range(patches):
            for code in range(classes):
                check(of_class[:, patch] == code, 1 - flip if code == label else flip / (classes - 1))
    for one, other in itertools.combinations(range(patches), 2):
        check(agrees[:, one] & agrees[:, other], (1 - flip) ** 2)


def test_draws_follow_the_seed() -> None:
    first, again, other = (class_mixture(5, 0.4, images=50, seed=seed).codes for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("patches", "flip", "classes"), [(1, 0.3, 2), (4, -0.1, 2), (4, 1.1, 2), (4, math.nan, 2), (4, 0.3, 1)]
)
def test_parameters_out_of_range(patches: int, flip: float, classes: int) -> None:
    with pytest.raises(InputError, match=rf"n={patches}, classes={classes}, eta={flip}; expected n >= 2"):
        class_mixture(patches, flip, classes)


def test_too_large_to_enumerate() -> None:
    with pytest.raises(InputError, match=r"2\^18 \(class, image\) pairs, more than the 200000.*--images"):
        class_mixture(17, 0.3)
    assert len(class_mixture(17, 0.3, images=3).codes) == 3


@pytest.mark.parametrize(
    ("patches", "classes", "images", "message"),
    [
        (2, 10**6, None, r"has 1000000\^3 \(class, image\) pairs, more than the 200000"),
        (10**5, 2, None, r"has 2\^100001 \(class, image\) pairs, more than the 200000"),
        (2, 10**6, 10, r"10 images of mixture:n=2,.* needs about .*; lower --images, n or classes"),
        (10**9, 2, 40, r"40 images of mixture:n=1000000000,.* needs about .*; lower --images, n or classes"),
    ],
)
def test_what_memory_cannot_hold_is_refused(patches: int, classes: int, images: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        class_mixture(patches, 0.3, classes, images)


def test_at_least_one_image() -> None:
    with pytest.raises(InputError, match="images=0; expected at least 1"):
        class_mixture(4, 0.3, images=0)


def test_names() -> None:
    assert load_mixture("mixture").name == "mixture:n=8,eta=0.3,classes=2"
    world = load_mixture("mixture:eta=0.25,classes=3,n=4")
    assert world.name == "mixture:n=4,eta=0.25,classes=3"
    assert (world.weights == class_mixture(4, 0.25, 3).weights).all()
    drawn = load_mixture("mixture:n=4", images=7, seed=2)
    assert (drawn.codes == class_mixture(4, 0.3, images=7, seed=2).codes).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mixture:m=8", "unknown key 'm' in 'mixture:m=8'; expected one of n, eta, classes, as in mixture:n=8,eta=0.3"),
        ("mixture:n=many", "sets n to 'many'; expected an integer"),
        ("mixture:n=2.5", "sets n to '2.5'; expected an integer"),
        ("mixture:eta=", "sets eta to ''; expected a number"),
        ("mixture:eta=x", "sets eta to 'x'; expected a number"),
        ("mixture:n", "sets n to ''; expected an integer"),
        ("mixture:n=8,n=9", "sets n twice; set it once"),
        ("mixture:eta=nan", "expected n >= 2"),
    ],
)
def test_malformed_names(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_mixture(spec)


MASSES = np.array([[3.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
VALUES = np.array([[1.0], [0.5], [-2.0]])


@pytest.mark.parametrize("form", ["csr_array", "csc_array", "coo_array", "csr_matrix", "lil_array", "dok_array"])
def test_a_sparse_joint_distribution_is_the_dense_one(form: str) -> None:
    wanted = joint_graph(MASSES, VALUES, np.array([[0, 0, 1], [1, 1, 0]]))
    sparse = getattr(sp, form)(MASSES)
    for found in (
        joint_graph(sparse, VALUES, np.array([[0, 0, 1], [1, 1, 0]])),
        joint_graph(MASSES.tolist(), VALUES.tolist(), [[0, 0, 1], [1, 1, 0]]),
    ):
        np.testing.assert_array_equal(found.M.toarray(), wanted.M.toarray())
        np.testing.assert_array_equal(found.M.toarray(), MASSES / 6)
        np.testing.assert_array_equal(found.X2, wanted.X2)
        np.testing.assert_array_equal(found.images.labels, wanted.images.labels)
    assert np.array_equal(sparse.toarray(), MASSES)


def test_entries_of_one_place_add_up_and_zeros_are_none() -> None:
    entries = sp.coo_array(([1.0, 2.0, 0.0, 2.0, 1.0], ([0, 0, 0, 1, 0], [0, 0, 1, 1, 2])), shape=(2, 3))
    np.testing.assert_array_equal(joint_graph(entries).M.toarray(), MASSES / 6)
    # As they stand in a CSR matrix too, where no conversion adds them up, and one of them may be negative.
    rows = sp.csr_array(([4.0, -1.0, 1.0, 2.0], [0, 0, 2, 1], [0, 3, 4]), shape=(2, 3))
    graph = joint_graph(rows)
    np.testing.assert_array_equal(graph.M.toarray(), MASSES / 6)
    assert len(graph.images.codes) == 3
    assert rows.nnz == 4, "the caller's own"


def test_a_class_of_each_visible_or_target_view() -> None:
    assert joint_graph(MASSES, labels=[[5], [7]]).images.labels.tolist() == [0, 0, 1]
    assert joint_graph(MASSES, labels=[[5, 7, 9]]).images.labels.tolist() == [0, 2, 1]


def test_a_networkx_graph_through_its_biadjacency() -> None:
    graph = nx.Graph()
    graph.add_weighted_edges_from([("a", "x", 3.0), ("a", "z", 1.0), ("b", "y", 2.0)])
    with pytest.raises(InputError, match=r"a Graph is no joint distribution; .*networkx.bipartite.biadjacency_matrix"):
        joint_graph(graph)
    M = nx.bipartite.biadjacency_matrix(graph, ["a", "b"], ["x", "y", "z"])
    np.testing.assert_array_equal(joint_graph(M).M.toarray(), MASSES / 6)


@pytest.mark.parametrize(
    ("M", "X2", "labels", "message"),
    [
        (sp.csr_array(MASSES) * -1, None, None, r"of shape \(2, 3\); expected finite masses, some in each row and"),
        (sp.csr_array([[1.0, 0.0], [1.0, 0.0]]), None, None, "expected finite masses, some in each row and column"),
        (sp.csr_array((2, 2)), None, None, "expected finite masses, some in each row and column"),
        (sp.csr_array(([1.0, 0.0], [0, 0], [0, 1, 2])), None, None, "expected finite masses, some in each row and"),
        ([[np.inf, 1.0]], None, None, r"of shape \(1, 2\); expected finite masses"),
        (MASSES * np.nan, None, None, "expected finite masses"),
        (MASSES * 1j, None, None, r"of shape \(2, 3\) and dtype complex128; expected \(N1, N2\) real numbers"),
        (MASSES[0], None, None, r"of shape \(3,\) and dtype float64; expected \(N1, N2\) real numbers"),
        ([["a"]], None, None, r"dtype <U1; expected \(N1, N2\) real numbers"),
        (MASSES, VALUES[:2], None, r"targets of shape \(2, 1\) and labels of shape None for .*\(3, s\) and \(2, 3\)"),
        (MASSES, VALUES[:, 0], None, r"targets of shape \(3,\) and labels of shape None"),
        (MASSES, None, [[1, 2]], r"targets of shape None and labels of shape \(1, 2\) for a joint distribution of"),
        (MASSES, None, [[1], [2], [3]], r"targets of shape None and labels of shape \(3, 1\) for a joint"),
        (MASSES, None, [1, 2], r"labels of shape \(2,\)"),
    ],
)
def test_what_is_no_joint_distribution(M: Any, X2: Any, labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        joint_graph(M, X2, labels)


def test_what_is_no_mask_graph_is_one_sentence() -> None:
    """At each door that takes a graph, or what one is made of."""
    images, masks = class_mixture(4, 0.3), make_mask_set([[0, 1]], 4)
    sparse: Any = sp.csr_array(MASSES)
    for door in (lambda: augmentation_graph(sparse), lambda: answer(sparse, 0.5, 2)):
        with pytest.raises(
            InputError, match=r"^a csr_array is no MaskGraph; make one with mask_graph\(images, masks\)"
        ):
            door()
    with pytest.raises(InputError, match=r"^a csr_array is no CodedImages"):
        mask_graph(sparse, masks)
    with pytest.raises(InputError, match=r"^a CodedImages is no MaskSet; draw masks with mask_set"):
        mask_graph(images, images)  # type: ignore[arg-type]
