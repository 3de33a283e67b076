"""The class-mixture world: exact weights when enumerated, the right frequencies when drawn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from maskgraph.graphs.errors import InputError
from maskgraph.graphs.synthetic import class_mixture, load_mixture

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
        ("mixture:m=8", "sets 'm'; a mixture has the keys n, eta, classes"),
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
