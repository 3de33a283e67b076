"""The class mixture: its closed form against printed values, against itself, and against graphs."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import labels
from maskgraph.theory.closed_form import binary_alpha, binary_lambda_2, binary_overlap, mixture_eigenvalues
from maskgraph.theory.spectrum import spectrum

PRINTED = 5e-5
"""Half a unit of the fourth decimal, which is what the values below are printed to."""

ROUNDING = 1e-11
"""Binomial sums of at most 200 terms through exp(gammaln), each good to 200·ln 200·2⁻⁵³ ≈ 1e-13 relative, or graphs of
at most 10⁴ events."""


@pytest.mark.parametrize(
    ("flip", "ratio", "second", "alpha"),
    [
        (0.45, 0.25, 0.2343, 0.1117),
        (0.45, 0.5, 0.2981, 0.1611),
        (0.45, 0.75, 0.2343, 0.2403),
        (0.45, 0.9, 0.1247, 0.3290),
        (0.3, 0.75, 0.9948, 0.0017),
        (0.3, 0.95, 0.7317, 0.0988),
    ],
)
def test_printed_values(flip: float, ratio: float, second: float, alpha: float) -> None:
    visible = math.floor(196 * (1 - ratio) + 0.5)
    assert binary_lambda_2(visible, 196 - visible, flip) == pytest.approx(second, abs=PRINTED)
    assert binary_alpha(visible, flip) == pytest.approx(alpha, abs=PRINTED)


@pytest.mark.parametrize("flip", [0.1, 0.3, 0.45, 0.5, 0.8])
@pytest.mark.parametrize("patches", [1, 2, 5])
def test_by_enumeration_of_views(patches: int, flip: float) -> None:
    # Exact rationals, so that the only rounding is that of what is tested.
    eta = Fraction(flip)
    overlap, error = Fraction(0), Fraction(0)
    for view in itertools.product((0, 1), repeat=patches):
        ones = sum(view)
        one = eta ** (patches - ones) * (1 - eta) ** ones / 2
        other = eta**ones * (1 - eta) ** (patches - ones) / 2
        overlap += (one - other) ** 2 / (one + other)
        error += min(one, other)
    assert binary_overlap(patches, flip) == pytest.approx(float(overlap), abs=ROUNDING)
    assert binary_alpha(patches, flip) == pytest.approx(float(error), abs=ROUNDING)


@pytest.mark.parametrize("flip", [0.05, 0.3, 0.45])
@pytest.mark.parametrize("visible", [1, 3, 8])
@pytest.mark.parametrize("target", [1, 4, 9])
def test_binary_and_general_form_agree(visible: int, target: int, flip: float) -> None:
    likelihood = np.array([[1 - flip, flip], [flip, 1 - flip]])
    values = mixture_eigenvalues(np.array([0.5, 0.5]), likelihood, visible, target)
    assert values == pytest.approx([1, binary_lambda_2(visible, target, flip)], abs=ROUNDING)


@pytest.mark.parametrize("view", ["sequence", "bag"])
@pytest.mark.parametrize("flip", [0.05, 0.3, 0.45])
@pytest.mark.parametrize(("patches", "classes"), [(2, 2), (5, 2), (8, 2), (3, 3), (6, 3)])
def test_against_the_graph_without_positions(patches: int, classes: int, flip: float, view: View) -> None:
    images = class_mixture(patches, flip, classes)
    likelihood = np.full((classes, classes), flip / (classes - 1))
    np.fill_diagonal(likelihood, 1 - flip)
    for visible in {1, patches // 2, patches - 1}:
        masks = np.array(list(itertools.combinations(range(patches), visible))[:3])
        graph = mask_graph(images, make_mask_set(masks, patches), view)
        expected = mixture_eigenvalues(np.full(classes, 1 / classes), likelihood, visible, patches - visible)
        A = augmentation_graph(graph)
        k = min(classes, *graph.M.shape)
        found = spectrum(A, k)
        assert found.components == 1
        assert found.values == pytest.approx(expected[:k], abs=ROUNDING)
        assert found.tail_sq == pytest.approx(0, abs=ROUNDING)
        assert found.frobenius_sq == pytest.approx(float(expected @ expected), abs=ROUNDING)
        if classes == 2:
            assert labels.alpha(graph) == pytest.approx(binary_alpha(visible, flip), abs=ROUNDING)
            assert labels.alpha_target(graph) == pytest.approx(binary_alpha(patches - visible, flip), abs=ROUNDING)


@pytest.mark.parametrize("classes", [2, 3])
def test_against_the_graph_with_positions(classes: int) -> None:
    patches, visible, flip = 4, 2, 0.35
    graph = mask_graph(
        class_mixture(patches, flip, classes),
        make_mask_set(np.array(list(itertools.combinations(range(patches), visible))), patches),
        "positional",
    )
    likelihood = np.full((classes, classes), flip / (classes - 1))
    np.fill_diagonal(likelihood, 1 - flip)
    expected = mixture_eigenvalues(np.full(classes, 1 / classes), likelihood, visible, patches - visible)
    found = spectrum(augmentation_graph(graph), 6 * classes)
    assert found.components == 6
    assert found.values == pytest.approx(np.repeat(expected, 6), abs=ROUNDING)
    assert found.tail_sq == pytest.approx(0, abs=ROUNDING)


def test_unequal_classes_and_more_codes_than_classes() -> None:
    rng = np.random.default_rng(0)
    prior, likelihood = np.array([0.6, 0.3, 0.1]), rng.dirichlet(np.ones(4), size=3)
    joint = np.zeros((16, 4))
    for c, a, b, x2 in itertools.product(range(3), range(4), range(4), range(4)):
        joint[4 * a + b, x2] += prior[c] * likelihood[c, a] * likelihood[c, b] * likelihood[c, x2]
    B = joint / np.sqrt(np.outer(joint.sum(axis=1), joint.sum(axis=0)))
    expected = np.linalg.svd(B, compute_uv=False)[:3] ** 2
    assert mixture_eigenvalues(prior, likelihood, 2, 1) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("flip", [0.2, 0.45])
def test_symmetric_in_the_two_sides(flip: float) -> None:
    for visible in range(1, 12):
        assert binary_lambda_2(visible, 12 - visible, flip) == binary_lambda_2(12 - visible, visible, flip)
    prior, likelihood = np.array([0.5, 0.2, 0.3]), np.random.default_rng(1).dirichlet(np.ones(3), size=3)
    one, other = mixture_eigenvalues(prior, likelihood, 2, 4), mixture_eigenvalues(prior, likelihood, 4, 2)
    assert one == pytest.approx(other, abs=ROUNDING)


@pytest.mark.parametrize("flip", [0.3, 0.4, 0.45, 0.49])
@pytest.mark.parametrize("patches", [16, 64, 196])
def test_the_second_eigenvalue_peaks_at_one_half_while_alpha_grows(patches: int, flip: float) -> None:
    second = np.array([binary_lambda_2(n1, patches - n1, flip) for n1 in range(1, patches)])
    assert second.argmax() + 1 == patches // 2
    # The Bayes error of 2m patches is that of 2m − 1: the last one only ever makes a tie.
    error = np.array([binary_alpha(n1, flip) for n1 in range(1, patches)])
    assert (np.diff(error) <= ROUNDING).all()
    assert (error[2:] < error[:-2] + ROUNDING).all()
    assert error[0] == pytest.approx(flip, abs=ROUNDING)


@pytest.mark.parametrize("flip", ["0.01", "0.05", "0.1", "0.2", "0.3", "0.4", "0.45", "0.49"])
def test_the_peak_is_where_docs_say_it_was_checked(flip: str) -> None:
    """Section 7 of docs/theory.md: n = 2 to 39 in exact rationals, 64, 100 and 196 but for rounding."""
    eta = Fraction(flip)

    def overlap(patches: int) -> Fraction:
        pairs = [
            ((1 - eta) ** j * eta ** (patches - j), (1 - eta) ** (patches - j) * eta**j) for j in range(patches + 1)
        ]
        return sum(
            (math.comb(patches, j) * (a - b) ** 2 / (2 * (a + b)) for j, (a, b) in enumerate(pairs)), Fraction(0)
        )

    exact = [overlap(patches) for patches in range(1, 39)]
    for n in range(2, 40):
        second = [exact[n1 - 1] * exact[n - n1 - 1] for n1 in range(1, n)]
        assert max(second) == second[n // 2 - 1], n
    for n in (64, 100, 196):
        rounded = [binary_lambda_2(n1, n - n1, float(flip)) for n1 in range(1, n)]
        assert max(rounded) <= rounded[n // 2 - 1] + ROUNDING, n


def test_every_ratio_of_a_large_image_is_finite_and_fast() -> None:
    start = time.process_time()
    for flip in (1e-6, 0.05, 0.3, 0.45, 0.5, 0.999):
        for visible in range(1, 196):
            second, alpha = binary_lambda_2(visible, 196 - visible, flip), binary_alpha(visible, flip)
            assert 0 <= second <= 1 + ROUNDING
            assert 0 <= alpha <= 0.5 + ROUNDING
    # A thousand ratios at 0.1 ms each take 0.2 s; ten times that is still not an enumeration of anything.
    assert time.process_time() - start < 2


def test_extremes() -> None:
    assert binary_lambda_2(3, 5, 0.5) == pytest.approx(0, abs=ROUNDING)
    assert binary_alpha(7, 0.5) == pytest.approx(0.5, abs=ROUNDING)
    assert binary_overlap(1, 0.25) == pytest.approx(0.25, abs=ROUNDING)
    # A code that tells of the wrong class tells as much.
    assert binary_overlap(6, 0.2) == pytest.approx(binary_overlap(6, 0.8), abs=ROUNDING)


@pytest.mark.parametrize(("patches", "flip"), [(0, 0.3), (-1, 0.3), (3, 0.0), (3, 1.0), (3, -0.1), (3, math.nan)])
def test_out_of_range(patches: int, flip: float) -> None:
    with pytest.raises(InputError, match="expected at least 1 patch and 0 < flip < 1"):
        binary_overlap(patches, flip)
    with pytest.raises(InputError, match="expected at least 1 patch and 0 < flip < 1"):
        binary_alpha(patches, flip)


@pytest.mark.parametrize("seed", range(8))
def test_more_classes_than_codes_some_never_shown(seed: int) -> None:
    """One patch a side: B is the joint distribution of two codes, and all else of the C eigenvalues is 0, not NaN."""
    rng = np.random.default_rng(seed)
    prior, likelihood = rng.dirichlet(np.ones(5)), np.zeros((5, 4))
    likelihood[:, :3] = rng.dirichlet(np.ones(3), size=5)
    joint = np.einsum("c,ca,cb->ab", prior, likelihood[:, :3], likelihood[:, :3])
    B = joint / np.sqrt(np.outer(joint.sum(axis=1), joint.sum(axis=0)))
    wanted = [*np.linalg.svd(B, compute_uv=False) ** 2, 0, 0]
    assert mixture_eigenvalues(prior, likelihood, 1, 1) == pytest.approx(wanted, abs=ROUNDING)


def test_probabilities_that_were_rounded_are_taken_as_what_they_were() -> None:
    """To six digits thirds sum to 0.999999, and λ_1 of 12 such patches a side would miss 1 by 2e-5."""
    exact = mixture_eigenvalues(np.array([1, 2]) / 3, np.array([[1, 1, 1], [1, 1, 1]]) / 3, 12, 12)
    rounded = mixture_eigenvalues(np.array([0.333333, 0.666666]), np.full((2, 3), 0.333333), 12, 12)
    assert exact == pytest.approx([1, 0], abs=1e-12)
    assert rounded == pytest.approx([1, 0], abs=1e-12)
