"""Patches against loops, and what each codebook promises."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from maskgraph.graphs import patches as patches_module
from maskgraph.graphs.datasets import Images, load, make_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.patches import (
    Codebook,
    CodebookKind,
    apply_codebook,
    assign_codes,
    encode,
    encode_split,
    fit_and_assign,
    fit_codebook,
    patchify,
)

ROUNDING = 1e-12
"""Means of at most 100 values of size 1: 100 · 2⁻⁵³ ≈ 1e-14."""


def noise(count: int = 6, side: int = 6, channels: int = 1, seed: int = 0) -> Images:
    """Images of distinct normal pixels, with uneven weights."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(size=(count, side, side, channels))
    return make_images("noise", pixels, np.arange(count) % 2, rng.uniform(0.1, 1, size=count))


def uniform(count: int) -> NDArray[np.float64]:
    """Equal masses."""
    return np.full(count, 1 / count)


@pytest.mark.parametrize(
    ("height", "width", "channels", "patch"), [(4, 4, 1, 2), (4, 6, 3, 2), (6, 3, 2, 3), (2, 3, 1, 1), (9, 6, 2, 3)]
)
def test_patchify_against_loops(height: int, width: int, channels: int, patch: int) -> None:
    pixels = np.random.default_rng(0).normal(size=(3, height, width, channels))
    expected = []
    for image in pixels:
        cut = []
        for top, left in itertools.product(range(0, height, patch), range(0, width, patch)):
            values = []
            for row, column, channel in itertools.product(range(patch), range(patch), range(channels)):
                values.append(image[top + row, left + column, channel])
            cut.append(values)
        expected.append(cut)
    assert patchify(pixels, patch).tolist() == expected


@pytest.mark.parametrize("patch", [0, -1, 3, 5, 16])
def test_patch_size_that_does_not_divide(patch: int) -> None:
    message = rf"patch size {patch} does not divide the 8x4 image; choose one of \[1, 2, 4\] as the patch size"
    with pytest.raises(InputError, match=message):
        patchify(np.zeros((1, 8, 4, 1)), patch)


@pytest.mark.parametrize(("height", "width"), [(6, 9), (9, 6)])
def test_patch_sizes_that_are_named_divide_both_sides(height: int, width: int) -> None:
    with pytest.raises(InputError, match=r"choose one of \[1, 3\] as the patch size"):
        patchify(np.zeros((1, height, width, 1)), 4)


def test_a_single_patch_cannot_be_masked() -> None:
    with pytest.raises(InputError, match=r"patch size 4 leaves one patch of the 4x4 image.*choose one of \[1, 2\]"):
        patchify(np.zeros((1, 4, 4, 1)), 4)


def test_encode_names_the_mend_too() -> None:
    with pytest.raises(InputError, match="patch size 5 does not divide"):
        encode(noise(), 5)


def test_exact_codes_are_equal_exactly_if_the_patches_are() -> None:
    rng = np.random.default_rng(1)
    patches = rng.integers(0, 3, size=(20, 4, 2)) / 3
    codebook = fit_codebook(patches, uniform(20), "exact")
    codes = assign_codes(patches, codebook)
    assert (codebook.values[codes] == patches).all()
    assert len(codebook.values) == len(np.unique(codes)) == 9
    for one, other in itertools.combinations(itertools.product(range(20), range(4)), 2):
        assert (codes[one] == codes[other]) == (patches[one] == patches[other]).all()


def test_exact_codes_of_some_of_the_patches() -> None:
    patches = np.arange(10.0).reshape(5, 2, 1)
    codebook = fit_codebook(patches, uniform(5), "exact")
    assert assign_codes(patches[3:], codebook).tolist() == assign_codes(patches, codebook)[3:].tolist()


def test_minus_zero_is_zero() -> None:
    patches = np.array([[[0.0, 1.0]], [[-0.0, 1.0]]])
    assert len(fit_codebook(patches, uniform(2), "exact").values) == 1


def test_exact_codebook_that_lacks_a_patch() -> None:
    codebook = fit_codebook(np.array([[[0.0], [1.0]]]), uniform(1), "exact")
    with pytest.raises(InputError, match="exact codebook lacks some of these patches; fit it on all the images"):
        assign_codes(np.array([[[0.0], [0.5]]]), codebook)


@pytest.mark.parametrize("codes", [2, 3, 5])
def test_threshold_cuts_the_range_of_means(codes: int) -> None:
    images = noise(count=8)
    patches = patchify(images.pixels, 2)
    codebook = fit_codebook(patches, images.weights, "threshold", codes)
    assigned = assign_codes(patches, codebook)
    means = patches.mean(axis=2)
    low, high = means.min(), means.max()
    intervals = [[min(codes - 1, math.floor(codes * (mean - low) / (high - low))) for mean in row] for row in means]
    used = sorted({interval for row in intervals for interval in row})
    assert assigned.tolist() == [[used.index(interval) for interval in row] for row in intervals]
    for code in range(len(used)):
        mass = (assigned == code) * images.weights[:, None]
        value = (mass[:, :, None] * patches).sum(axis=(0, 1)) / mass.sum()
        np.testing.assert_allclose(codebook.values[code], value, rtol=0, atol=ROUNDING)
    assert len(codebook.values) == len(used) == len(codebook.cuts) + 1


def test_threshold_leaves_out_empty_intervals() -> None:
    patches = np.array([[[0.0], [0.1], [1.0]]])
    codebook = fit_codebook(patches, uniform(1), "threshold", 4)
    assert assign_codes(patches, codebook).tolist() == [[0, 0, 1]]
    np.testing.assert_allclose(codebook.values, [[0.05], [1.0]], rtol=0, atol=ROUNDING)
    # What it was not fitted on and lies where nothing was is below the interval that follows.
    assert codebook.cuts.tolist() == [0.75]
    assert assign_codes(np.array([[[0.5], [0.74], [0.76]]]), codebook).tolist() == [[0, 0, 1]]
    assert set(assign_codes(np.array([[[-9.0], [0.5], [9.0]]]), codebook).ravel().tolist()) == {0, 1}


def test_a_patch_on_a_cut_is_in_the_interval_above_it() -> None:
    """Halves, quarters and their means are exact: what was fitted above a cut is coded there."""
    patches = np.array([[[0.0], [0.25], [0.5], [0.75], [1.0]]])
    codebook = fit_codebook(patches, uniform(1), "threshold", 2)
    assert codebook.cuts.tolist() == [0.5]
    assert codebook.values.tolist() == [[0.125], [0.75]]
    assert assign_codes(patches, codebook).tolist() == [[0, 0, 1, 1, 1]]


def test_threshold_of_constant_images() -> None:
    patches = np.full((2, 4, 3), 0.25)
    codebook = fit_codebook(patches, uniform(2), "threshold", 4)
    assert codebook.values.tolist() == [[0.25] * 3]
    assert assign_codes(patches, codebook).tolist() == [[0] * 4] * 2


def nearest(patches: NDArray[np.float64], values: NDArray[np.float64]) -> list[list[int]]:
    """The lowest code of least squared distance, by loops."""
    codes = []
    for image in patches:
        distances = [[math.fsum((patch - value) ** 2) for value in values] for patch in image]
        codes.append([row.index(min(row)) for row in distances])
    return codes


@pytest.mark.parametrize("together", [1, 7, 10**6])
def test_kmeans_assigns_the_nearest_value(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches_module, "TOGETHER", together)
    images = noise(count=12)
    patches = patchify(images.pixels, 2)
    codebook = fit_codebook(patches, images.weights, "kmeans", 5)
    assert assign_codes(patches, codebook).tolist() == nearest(patches, codebook.values)
    unseen = patchify(noise(seed=9).pixels, 2)
    assert assign_codes(unseen, codebook).tolist() == nearest(unseen, codebook.values)


@pytest.mark.parametrize("offset", [-1e6, 1e3, 1e6])
def test_nearest_wherever_zero_is(offset: float) -> None:
    values = offset + np.array([[0.0], [1.0], [2.0]])
    patches = offset + np.array([[[0.0], [0.75], [2.5], [1.25]]])
    assert assign_codes(patches, Codebook("kmeans", values, np.empty(0))).tolist() == [[0, 1, 2, 1]]


def test_nearest_is_the_lowest_code_at_a_tie() -> None:
    codebook = Codebook("kmeans", np.array([[0.0], [1.0], [2.0], [1.0]]), np.empty(0))
    assert assign_codes(np.array([[[0.5], [1.5], [1.0]]]), codebook).tolist() == [[0, 1, 1]]


def test_kmeans_values_are_the_weighted_means_of_their_patches() -> None:
    images = noise(count=12)
    patches = patchify(images.pixels, 3)
    codebook = fit_codebook(patches, images.weights, "kmeans", 4)
    codes = assign_codes(patches, codebook)
    for code, value in enumerate(codebook.values):
        mass = (codes == code) * images.weights[:, None]
        mean = (mass[:, :, None] * patches).sum(axis=(0, 1)) / mass.sum()
        # Lloyd's iteration has converged on 12 images, and a fixed point is exactly this.
        np.testing.assert_allclose(value, mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("codes", [4, 8])
def test_kmeans_goes_on_until_no_patch_moves(codes: int) -> None:
    """At rest every value is the mean of the patches nearest to it, to the rounding of a mean."""
    images = load("digits")
    assert isinstance(images, Images)
    patches = patchify(images.pixels, 2)
    codebook = fit_codebook(patches, uniform(len(patches)), "kmeans", codes)
    nearest = assign_codes(patches, codebook)
    for code, value in enumerate(codebook.values):
        np.testing.assert_allclose(value, patches[nearest == code].mean(axis=0), rtol=0, atol=ROUNDING)


def test_kmeans_finds_separated_clusters() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, size=(30, 4))
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    patches = centres[truth] + rng.normal(scale=0.01, size=(30, 4, 2))
    codes = assign_codes(patches, fit_codebook(patches, uniform(30), "kmeans", 3))
    assert len(set(zip(truth.ravel().tolist(), codes.ravel().tolist(), strict=True))) == 3


def test_kmeans_follows_its_seed_and_orders_its_codes() -> None:
    images = noise(count=12)
    patches = patchify(images.pixels, 2)
    first, again = (fit_codebook(patches, images.weights, "kmeans", 5, seed=3).values for _ in range(2))
    assert (first == again).all()
    assert first.tolist() == sorted(first.tolist())
    others = {fit_codebook(patches, images.weights, "kmeans", 5, seed).values.tobytes() for seed in range(6)}
    assert len(others) > 1, "a seed is a draw"


def test_kmeans_is_the_best_of_several_starts() -> None:
    images = noise(count=12)
    patches = patchify(images.pixels, 2)
    mass, better = np.repeat(images.weights, 9), 0
    for seed in range(6):
        values = fit_codebook(patches, images.weights, "kmeans", 5, seed).values
        apart = ((patches.reshape(-1, 1, 4) - values) ** 2).sum(axis=2).min(axis=1) @ mass
        one = KMeans(5, n_init=1, tol=0, max_iter=1000, random_state=seed).fit(
            patches.reshape(-1, 4), sample_weight=mass
        )
        assert apart <= one.inertia_ * (1 + ROUNDING)
        better += apart < one.inertia_ * (1 - ROUNDING)
    assert better > 0


def test_kmeans_with_a_code_for_every_patch() -> None:
    patches = np.array([[[0.0], [1.0], [2.0], [1.0]]])
    codebook = fit_codebook(patches, uniform(1), "kmeans", 3)
    np.testing.assert_allclose(codebook.values, [[0.0], [1.0], [2.0]], rtol=0, atol=ROUNDING)
    assert assign_codes(patches, codebook).tolist() == [[0, 1, 2, 1]]


@pytest.mark.parametrize("codes", [1, 0, -3])
@pytest.mark.parametrize("kind", ["threshold", "kmeans"])
def test_too_few_codes(kind: CodebookKind, codes: int) -> None:
    with pytest.raises(InputError, match=f"{codes} codes; a codebook needs at least 2"):
        fit_codebook(np.zeros((2, 4, 1)), uniform(2), kind, codes)


@pytest.mark.parametrize("kind", ["threshold", "kmeans"])
def test_a_number_of_codes_or_a_patch_that_is_no_integer(kind: CodebookKind) -> None:
    images = noise(count=2)
    with pytest.raises(InputError, match=r"codes 4.0; expected their number, an integer of at least 2 \(see --codes\)"):
        encode(images, 2, kind, 4.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"patch size 2.0; expected an integer, the side of a patch in pixels"):
        encode(images, 2.0, kind)  # type: ignore[arg-type]
    assert encode(images, np.int64(2), kind, np.int64(3)).patches > 1  # type: ignore[arg-type]


def test_more_codes_than_patches() -> None:
    with pytest.raises(InputError, match="4 k-means codes for 3 distinct patches; use --codes 3 or fewer"):
        fit_codebook(np.array([[[0.0], [1.0], [2.0], [1.0]]]), uniform(1), "kmeans", 4)


def test_patches_that_are_all_alike() -> None:
    with pytest.raises(InputError, match="4 k-means codes for 1 distinct patch; use --codebook exact"):
        fit_codebook(np.zeros((2, 4, 1)), uniform(2), "kmeans", 4)


def test_a_seed_that_k_means_does_not_take() -> None:
    with pytest.raises(InputError, match=f"seed {2**32}; expected an integer from 0 to {2**32 - 1}"):
        fit_codebook(np.array([[[0.0], [1.0]]]), uniform(1), "kmeans", 2, seed=2**32)


def test_unknown_codebook() -> None:
    with pytest.raises(InputError, match="unknown codebook 'vq'; expected one of exact, threshold, kmeans"):
        fit_codebook(np.zeros((1, 2, 1)), uniform(1), "vq")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["exact", "threshold", "kmeans"])
def test_encode_keeps_all_that_is_not_pixels(kind: CodebookKind) -> None:
    images = noise(side=6)
    coded = encode(images, 2, kind, codes=3)
    assert coded.grid == (3, 3)
    assert coded.codes.shape == (6, 9)
    assert coded.codes.dtype == np.int64
    assert coded.name == images.name
    assert coded.classes == images.classes
    assert (coded.labels == images.labels).all()
    assert (coded.weights == images.weights).all()
    assert coded.codebook is not None
    assert coded.codes.max() < len(coded.codebook)
    assert coded.codebook.shape[1] == 4


def test_apply_codebook_to_other_images() -> None:
    patches = patchify(noise().pixels, 2)
    codebook = fit_codebook(patches, uniform(6), "kmeans", 4)
    other = noise(seed=4, side=4)
    coded = apply_codebook(other, 2, codebook)
    assert coded.grid == (2, 2)
    assert coded.codes.tolist() == nearest(patchify(other.pixels, 2), codebook.values)


@pytest.mark.parametrize("kind", ["exact", "threshold", "kmeans"])
def test_coded_as_fitted_is_coded_after(kind: CodebookKind) -> None:
    """To the bit: on a grid of few values many patches are alike, and some lie on a cut or as near to two codes."""
    rng = np.random.default_rng(3)
    images = make_images("grid", rng.integers(3, size=(40, 6, 6)) / 2, np.arange(40) % 2, rng.uniform(0.1, 1, size=40))
    patches = patchify(images.pixels, 2)
    codebook, codes = fit_and_assign(patches, images.weights, kind, 4)
    again = fit_codebook(patches, images.weights, kind, 4)
    assert (codebook.kind, codebook.values.tobytes(), codebook.cuts.tobytes()) == (
        again.kind,
        again.values.tobytes(),
        again.cuts.tobytes(),
    )
    assert codes.dtype == np.int64
    assert codes.tolist() == assign_codes(patches, codebook).tolist()
    assert codes.tolist() == encode(images, 2, kind, 4).codes.tolist()


def test_kmeans_sees_distinct_patches_in_order_with_their_masses() -> None:
    """As numpy finds them: what it starts from and the last bits of its sums depend on both."""
    images = noise(count=40)
    pixels = np.rint(images.pixels)
    patches = patchify(pixels, 2)
    distinct, inverse = np.unique(patches.reshape(-1, 4), axis=0, return_inverse=True)
    mass = np.bincount(inverse.ravel(), np.repeat(images.weights, 9))
    fitted = KMeans(5, n_init=4, tol=0, max_iter=1000, random_state=1).fit(distinct, sample_weight=mass)
    values = fit_codebook(patches, images.weights, "kmeans", 5, seed=1).values
    assert values.tolist() == sorted(fitted.cluster_centers_.tolist())


@pytest.mark.parametrize("kind", ["threshold", "kmeans"])
def test_a_split_is_coded_by_its_training_images(kind: CodebookKind) -> None:
    train, test = noise(count=12), noise(count=5, seed=8)
    codebook = fit_codebook(patchify(train.pixels, 2), train.weights, kind, 4)
    for found, images in zip(encode_split(train, test, 2, kind, 4), (train, test), strict=True):
        expected = apply_codebook(images, 2, codebook)
        assert found.codes.tolist() == expected.codes.tolist()
        assert found.codebook is not None
        assert found.codebook.tolist() == codebook.values.tolist()
        assert (found.grid, found.coding) == (expected.grid, expected.coding)
        assert (found.labels == images.labels).all()
        assert (found.weights == images.weights).all()


def test_an_exact_split_is_coded_by_all_its_images() -> None:
    train, test = noise(count=12), noise(count=5, seed=8)
    found = encode_split(train, test, 2, "exact")
    for coded, images in zip(found, (train, test), strict=True):
        assert coded.codebook is not None
        assert len(coded.codebook) == (12 + 5) * 9
        assert (coded.codebook[coded.codes] == patchify(images.pixels, 2)).all()


def test_nan_is_no_patch_value() -> None:
    patches = np.array([[[0.0], [np.nan]]])
    with pytest.raises(InputError, match="patches contains nan; every value must be a number"):
        fit_codebook(patches, uniform(1), "exact")
    with pytest.raises(InputError, match="patches contains nan"):
        assign_codes(patches, Codebook("kmeans", np.array([[0.0], [1.0]]), np.empty(0)))


def test_grid_is_in_raster_order() -> None:
    pixels = np.zeros((1, 4, 6))
    pixels[0, 2:4, 0:2] = 1
    coded = encode(make_images("one", pixels, np.zeros(1, dtype=int)), 2, "exact")
    assert coded.grid == (2, 3)
    assert coded.codes.tolist() == [[0, 0, 0, 1, 0, 0]]
