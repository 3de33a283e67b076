"""The class mixture: closed forms against printed values, each other, and the graphs themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import kept_patches, mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import labels
from maskgraph.theory.closed_form import binary_alpha, binary_lambda_2, binary_overlap, mixture_eigenvalues
from maskgraph.theory.spectrum import spectrum

CLOSE = 1e-10
"""Dense eigenvalues of graphs of at most a thousand views of norm 1: a few hundred times 1000·2⁻⁵³."""

PRINTED = 5e-5
"""The check values are printed to four decimals."""


def likelihood(classes: int, flip: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    table = np.full((classes, classes), flip / (classes - 1))
    np.fill_diagonal(table, 1 - flip)
    return table


@pytest.mark.parametrize(
    ("flip", "ratio", "lambda_2", "alpha"),
    [
        (0.45, 0.25, 0.2343, 0.1117),
        (0.45, 0.5, 0.2981, 0.1611),
        (0.45, 0.75, 0.2343, 0.2403),
        (0.45, 0.9, 0.1247, 0.3290),
        (0.3, 0.75, 0.9948, 0.0017),
        (0.3, 0.95, 0.7317, 0.0988),
    ],
)
def test_check_values_at_196_patches(flip: float, ratio: float, lambda_2: float, alpha: float) -> None:
    kept = kept_patches(196, ratio)
    assert binary_lambda_2(kept, 196 - kept, flip) == pytest.approx(lambda_2, abs=PRINTED)
    assert binary_alpha(kept, flip) == pytest.approx(alpha, abs=PRINTED)


def test_lambda_2_is_largest_at_one_half_while_alpha_grows() -> None:
    """The spectral term alone cannot prefer ¾ to ¼."""
    values = [binary_lambda_2(kept, 196 - kept, 0.45) for kept in range(1, 196)]
    assert int(np.argmax(values)) + 1 == 98
    np.testing.assert_allclose(values, values[::-1], rtol=1e-12)
    alphas = [binary_alpha(kept, 0.45) for kept in range(195, 0, -1)]
    # A patch more never hurts, and two patches at an even count add nothing to one before: hence not strict.
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(alphas))
    assert alphas[-1] == pytest.approx(0.45)


@pytest.mark.parametrize("flip", [0.05, 0.3, 0.45])
@pytest.mark.parametrize("sides", [(1, 1), (2, 6), (5, 3), (12, 4)])
def test_binomial_and_multinomial_forms_agree(flip: float, sides: tuple[int, int]) -> None:
    found = mixture_eigenvalues(np.array([0.5, 0.5]), likelihood(2, flip), *sides)
    np.testing.assert_allclose(found, [1, binary_lambda_2(*sides, flip)], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("view", ["positional", "sequence", "bag"])
@pytest.mark.parametrize(
    ("patches", "flip", "classes", "ratio"),
    [(6, 0.3, 2, 0.5), (6, 0.3, 2, 0.34), (7, 0.1, 2, 0.75), (4, 0.25, 3, 0.5), (5, 0.4, 3, 0.4)],
)
def test_the_graph_of_the_world_has_the_spectrum_of_the_closed_form(
    patches: int, flip: float, classes: int, ratio: float, view: View
) -> None:
    """Order carries nothing here: sequence and bag have one mask's spectrum, positional has it once a mask."""
    images = class_mixture(patches, flip, classes)
    masks = mask_set(mask_distribution("uniform", images.grid, ratio))
    graph = mask_graph(images, masks, view)
    kept = masks.kept.shape[1]
    expected = mixture_eigenvalues(np.full(classes, 1 / classes), likelihood(classes, flip), kept, patches - kept)
    copies = len(masks.kept) if view == "positional" else 1
    expected = np.repeat(expected, copies)
    size = min(len(expected) + 3, *graph.M.shape)
    found = spectrum(augmentation_graph(graph), size)
    np.testing.assert_allclose(found.values, np.pad(expected, (0, max(size - len(expected), 0)))[:size], atol=CLOSE)
    assert found.components == copies
    assert found.frobenius_sq == pytest.approx(float((expected**2).sum()), abs=CLOSE)
    assert found.tail_sq == pytest.approx(0, abs=CLOSE)
    if classes == 2:
        assert labels.alpha(graph) == pytest.approx(binary_alpha(kept, flip), abs=CLOSE)
        assert labels.alpha_target(graph) == pytest.approx(binary_alpha(patches - kept, flip), abs=CLOSE)


def test_limits() -> None:
    assert binary_overlap(1, 0.5 - 1e-12) == pytest.approx(0, abs=1e-20)
    assert binary_overlap(50, 0.001) == pytest.approx(1, abs=1e-12)
    assert binary_alpha(1, 0.2) == pytest.approx(0.2)


@pytest.mark.parametrize(("patches", "flip"), [(0, 0.3), (3, 0.0), (3, 1.0)])
def test_bad_input(patches: int, flip: float) -> None:
    with pytest.raises(InputError, match=f"{patches} patches with flip"):
        binary_overlap(patches, flip)
