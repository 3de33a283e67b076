"""The losses against a literal transcription, their slopes against differences, and shares that add up."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.empirical.objective import (
    Everyone,
    largest_ratio,
    normalise_patches,
    reconstruction_share,
    uniformity_share,
    unit,
)
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.masks import make_mask_set
from maskgraph.theory.losses import unif_loss
from tests.empirical import literal
from tests.strategies import searched

SEEDS = st.integers(0, 10**6)
SLOPE_STEP = 1e-5
SLOPE = 1e-8
"""A central difference of a smooth function of order 1: h² = 1e-10 of the third derivative, rounding 2⁻⁵²/h = 2e-11."""


def uniformity_of(
    f: torch.Tensor, weights: torch.Tensor, cuts: list[int], queued: int = 0, diagonal: bool = True
) -> torch.Tensor:
    """The sum of the shares of parts of a batch, the last `queued` rows being the queue."""
    z, batch = unit(f), len(f) - queued
    everyone = Everyone(z.detach(), weights, batch, diagonal)
    ends = [0, *cuts, batch]
    parts = [slice(low, high) for low, high in itertools.pairwise(ends)]
    shares = [uniformity_share(z[part], weights[part], part, everyone) for part in parts]
    return torch.stack(shares).sum()


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from(["squared", "absolute"]), SEEDS)
@searched(20)
def test_reconstruction_is_its_formula(count: int, values: int, distance: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, target = rng.normal(size=(2, count, values, 2))
    weights = rng.uniform(0.1, 3, count)
    x, y, w = torch.tensor(predicted), torch.tensor(target), torch.tensor(weights)
    found = reconstruction_share(x, y, w, count, "squared" if distance == "squared" else "absolute")
    power = 2 if distance == "squared" else 1
    assert float(found) == pytest.approx(literal.reconstruction(predicted, target, weights, power))


@given(st.integers(2, 6), st.integers(0, 3), st.booleans(), st.data(), SEEDS)
@searched(40)
def test_uniformity_is_its_formula_in_any_parts(
    count: int, queued: int, diagonal: bool, data: st.DataObject, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    f, weights = rng.normal(size=(count + queued, 3)), rng.uniform(0.1, 3, count + queued)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=3)))
    found = uniformity_of(torch.tensor(f), torch.tensor(weights), cuts, queued, diagonal)
    assert float(found) == pytest.approx(literal.uniformity(f, weights, queued, diagonal))


@pytest.mark.parametrize(("queued", "diagonal"), [(0, True), (0, False), (2, True), (2, False)])
@pytest.mark.parametrize("cuts", [[], [2], [1, 1, 4]])
def test_gradients_of_the_shares_add_up_to_the_slopes_of_the_whole(
    cuts: list[int], queued: int, diagonal: bool
) -> None:
    """Though every share takes the other images for constants. What is in the queue has no slope."""
    rng = np.random.default_rng(len(cuts))
    f, weights = rng.normal(size=(5 + queued, 4)), rng.uniform(0.2, 2, 5 + queued)
    leaf = torch.tensor(f, requires_grad=True)
    uniformity_of(leaf, torch.tensor(weights), cuts, queued, diagonal).backward()
    assert leaf.grad is not None
    for i, j in itertools.product(range(5), range(4)):
        ends = []
        for sign in (1, -1):
            moved = f.copy()
            moved[i, j] += sign * SLOPE_STEP
            ends.append(literal.uniformity(moved, weights, queued, diagonal))
        slope = (ends[0] - ends[1]) / (2 * SLOPE_STEP)
        assert float(leaf.grad[i, j]) == pytest.approx(slope, abs=SLOPE)
    assert not leaf.grad[5:].any()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), SEEDS)
@searched(20)
def test_a_weight_is_so_many_copies(copies: list[int], seed: int) -> None:
    """Weights 1 on average over the data, as training gives them, equal a data set that repeats its images."""
    rng = np.random.default_rng(seed)
    predicted, target = torch.tensor(rng.normal(size=(2, len(copies), 3, 2)))
    f = torch.tensor(rng.normal(size=(len(copies), 4)))
    rows = torch.tensor(np.repeat(np.arange(len(copies)), copies))
    weights = torch.tensor(np.array(copies) / np.mean(copies))
    ones = torch.ones(len(rows), dtype=torch.float64)
    assert float(uniformity_of(f, weights, [])) == pytest.approx(float(uniformity_of(f[rows], ones, [])))
    once = reconstruction_share(predicted, target, weights, len(copies))
    often = reconstruction_share(predicted[rows], target[rows], ones, len(rows))
    assert float(once) == pytest.approx(float(often))


def test_uniformity_runs_from_collapse_to_an_orthonormal_batch() -> None:
    for count in (1, 3, 8):
        ones = torch.ones(count, dtype=torch.float64)
        same = torch.full((count, 8), 2.5, dtype=torch.float64)
        orthogonal = 7 * torch.eye(8, dtype=torch.float64)[:count]
        assert float(uniformity_of(same, ones, [])) == pytest.approx(1)
        assert float(uniformity_of(orthogonal, ones, [])) == pytest.approx(1 / count)
        if count > 1:
            assert float(uniformity_of(orthogonal, ones, [], diagonal=False)) == 0


def test_without_the_diagonal_uniformity_is_unbiased() -> None:
    """Over all batches of two independent draws from four equiprobable features: L_unif of those."""
    z = np.random.default_rng(0).normal(size=(4, 3))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    ones = torch.ones(2, dtype=torch.float64)
    pairs = list(itertools.product(range(4), repeat=2))
    batches = [float(uniformity_of(torch.tensor(z[list(pair)]), ones, [], diagonal=False)) for pair in pairs]
    assert np.mean(batches) == pytest.approx(((z @ z.T) ** 2).mean())


def test_without_the_diagonal_uniformity_is_that_of_different_images() -> None:
    """As training draws them, no batch holds an image twice: L_unif of the graph has 1/N of its pairs beside those."""
    codes = np.array([[0, 1, 2], [0, 2, 2], [1, 1, 0]])
    images = make_coded_images("three", codes, np.zeros(3, dtype=np.int64))
    graph = mask_graph(images, make_mask_set([[0], [1], [2]], 3), "positional")
    f = np.random.default_rng(0).normal(size=(len(graph.p1), 3))
    z = f / np.linalg.norm(f, axis=1, keepdims=True)
    views, ones = graph.ids1, torch.ones(2, dtype=torch.float64)
    batches = [
        float(uniformity_of(torch.tensor(z[[a, b]]), ones, [], diagonal=False))
        for i, j in itertools.permutations(range(3), 2)
        for a, b in itertools.product(views[i], views[j])
    ]
    own = np.mean([(z[a] @ z[b]) ** 2 for of_image in views for a, b in itertools.product(of_image, repeat=2)])
    whole = unif_loss(graph, z)
    assert (2 * np.mean(batches) + own) / 3 == pytest.approx(whole)
    assert np.mean(batches) < whole - 0.01


def test_uniformity_of_a_zero_feature_is_finite_and_so_is_its_gradient() -> None:
    f = torch.zeros(3, 4, requires_grad=True)
    loss = uniformity_of(f, torch.ones(3), [])
    loss.backward()
    assert f.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(f.grad).all()


def test_one_image_without_the_diagonal_has_no_uniformity() -> None:
    f = torch.ones(1, 4, requires_grad=True)
    loss = uniformity_of(f, torch.ones(1), [], diagonal=False)
    loss.backward()
    assert float(loss.detach()) == 0
    assert f.grad is not None
    assert not f.grad.any()


@given(st.integers(2, 6), st.floats(0.01, 100), SEEDS)
@searched(20)
def test_normalised_patches_are_the_formula(values: int, scale: float, seed: int) -> None:
    patches: NDArray[np.float64] = scale * np.random.default_rng(seed).normal(1, 1, (2, 3, values))
    found = normalise_patches(torch.tensor(patches)).numpy()
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(found[index], literal.normalised(patches[index]), rtol=1e-9, atol=1e-12)


def test_a_flat_patch_is_normalised_to_zero() -> None:
    assert not normalise_patches(torch.full((1, 1, 4), 0.25)).any()


def test_the_largest_ratio_is_that_of_some_pair() -> None:
    f, h = np.random.default_rng(0).normal(size=(2, 6, 3))
    pairs = itertools.combinations(range(6), 2)
    wanted = max(((f[i] - f[j]) ** 2).sum() / ((h[i] - h[j]) ** 2).sum() for i, j in pairs)
    x = torch.arange(6.0, dtype=torch.float64)[:, None]
    assert float(largest_ratio(torch.tensor(f), torch.tensor(h), x)) == pytest.approx(wanted)


def test_views_that_show_the_same_say_nothing_of_l() -> None:
    f = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    h = torch.tensor([[0.0], [2.0], [2.0]])
    assert float(largest_ratio(f, h, torch.tensor([[0.0], [1.0], [1.0]]))) == pytest.approx(2 / 4)
    assert math.isinf(float(largest_ratio(f, torch.zeros(3, 1), torch.tensor([[0.0], [1.0], [1.0]]))))
    assert float(largest_ratio(f[:1], h[:1], torch.zeros(1, 1))) == 0
