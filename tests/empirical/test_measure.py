"""A model on the graph: the same numbers as running it image by image and mask by mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maskgraph.empirical.measure import GraphOutputs, evaluate, invert_decoder, measure
from maskgraph.empirical.model import MaskedAutoencoder, build_model, feature, model_config
from maskgraph.empirical.study import judge
from maskgraph.empirical.train import TrainConfig, train, untrained
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.views import View, arrange, known_positions
from tests.strategies import VIEWS

CLOSE = 1e-9
"""Sums of at most a few hundred float64 terms of order 1 to 100."""

FORWARD = 2e-5
"""Two float32 forward passes of one input in batches of other sizes: a few hundred ulp at outputs of order 1."""


def images() -> CodedImages:
    """Six weighted images of six patches from three codes: views repeat, some images are alike."""
    codes = np.array(
        [[0, 1, 2, 0, 1, 1], [0, 1, 2, 0, 1, 2], [1, 1, 0, 0, 2, 2], [2, 1, 0, 0, 1, 1], [0, 1, 2, 0, 1, 1], [1] * 6]
    )
    codebook = np.array([[0.0, 0.5], [1.0, -0.5], [0.25, 0.75]])
    weights = np.array([1.0, 2.0, 1.0, 0.5, 1.5, 1.0])
    return make_coded_images("six", codes, np.array([0, 1, 1, 0, 0, 1]), weights, codebook, (2, 3))


def graph(view: View, ratio: float = 0.5) -> MaskGraph:
    data = images()
    return mask_graph(data, mask_set(mask_distribution("uniform", data.grid, ratio)), view)


def network(seed: int = 0) -> MaskedAutoencoder:
    return build_model(model_config("micro", (2, 3), 2), seed).eval()


def by_hand(
    model: MaskedAutoencoder,
    data: CodedImages,
    kept: NDArray[np.int64],
    dropped: NDArray[np.int64],
    view: View,
    row: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(h, cls feature, x2) of one image under one mask."""
    assert data.codebook is not None
    positions, slots = known_positions(view, kept[None], dropped[None])
    patches = torch.as_tensor(data.codebook[arrange(view, data.codes[row, kept])][None], dtype=torch.float32)
    with torch.no_grad():
        h, tokens = model(patches, torch.as_tensor(positions.copy()), torch.as_tensor(slots.copy()))
    target = data.codebook[arrange(view, data.codes[row, dropped])].ravel()
    return h.flatten().numpy().astype(float), feature(tokens, "cls")[0].numpy().astype(float), target


@pytest.mark.parametrize("view", VIEWS)
def test_outputs_at_a_vertex_are_those_of_every_image_that_shows_it(view: View) -> None:
    world, model = graph(view), network()
    outputs = evaluate(model, world)
    for row in range(len(world.images.codes)):
        for mask, (kept, dropped) in enumerate(zip(world.masks.kept, world.masks.dropped, strict=True)):
            h, f, target = by_hand(model, world.images, kept, dropped, view, row)
            vertex = world.ids1[row, mask]
            np.testing.assert_allclose(outputs.h[vertex], h, rtol=0, atol=FORWARD)
            np.testing.assert_allclose(outputs.features["cls"][vertex], f, rtol=0, atol=FORWARD)
            np.testing.assert_array_equal(world.X2[world.ids2[row, mask]], target)


@pytest.mark.parametrize("view", VIEWS)
def test_losses_are_means_over_images_and_masks(view: View) -> None:
    """L_MAE over the events; L_align over pairs of events that share x2; L_unif over independent events."""
    world = graph(view)
    outputs = evaluate(network(), world)
    found = measure(world, outputs)
    f = outputs.features["cls"] / np.linalg.norm(outputs.features["cls"], axis=1, keepdims=True)
    mass = np.repeat(world.images.weights / world.ids1.shape[1], world.ids1.shape[1])
    one, two = world.ids1.ravel(), world.ids2.ravel()
    mae = sum(m * ((outputs.h[i] - world.X2[j]) ** 2).sum() for m, i, j in zip(mass, one, two, strict=True))
    align = unif = 0.0
    for m, i, j in zip(mass, one, two, strict=True):
        for n, k, other in zip(mass, one, two, strict=True):
            unif += m * n * float(f[i] @ f[k]) ** 2
            if j == other:
                align -= m * n / mass[two == j].sum() * float(f[i] @ f[k])
    assert found["L_MAE"] == pytest.approx(mae, abs=CLOSE)
    assert found["cls.L_unif"] == pytest.approx(unif, abs=CLOSE)
    assert found["cls.L_align"] == pytest.approx(align, abs=CLOSE)
    assert found["cls.L_SCL"] == pytest.approx(2 * align + unif, abs=CLOSE)
    assert found["cls.participation_ratio"] == pytest.approx(1 / unif, rel=1e-9)


@pytest.mark.parametrize("view", VIEWS)
def test_a_constant_encoder_leaves_the_decoder_what_it_knows(view: View) -> None:
    """With positions that is the mask, without them nothing."""
    world = graph(view)
    collapsed = evaluate(network(), world).collapsed
    mask = world.representatives1[1]
    for group in (mask == m for m in np.unique(mask)) if view == "positional" else [np.ones(len(mask), dtype=bool)]:
        assert np.ptp(collapsed[group], axis=0).max() <= FORWARD
    if view == "positional":
        assert np.ptp(collapsed, axis=0).max() > 100 * FORWARD


@pytest.mark.parametrize("view", VIEWS)
def test_epsilon_is_certified_and_falls_with_effort(view: View) -> None:
    world, model = graph(view), network()
    outputs = evaluate(model, world)
    start = invert_decoder(model, world, outputs.h, steps=0, refined=0)
    nearest = sum(
        world.p2[j] * min(((outputs.h[i] - world.X2[j]) ** 2).sum() for i in world.M[:, [j]].tocoo().row)
        for j in range(len(world.p2))
    )
    assert start == pytest.approx(nearest, rel=1e-9)
    efforts = [invert_decoder(model, world, outputs.h, steps=steps) for steps in (0, 5, 40)]
    assert start + FORWARD >= efforts[0] >= efforts[1] >= efforts[2] >= 0
    assert efforts[2] < start / 2, "tokens that are free to move come nearer than the encoder's own"
    half = invert_decoder(model, world, outputs.h, steps=40, refined=len(world.p2) // 2)
    assert efforts[2] <= half <= start + FORWARD


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("seed", range(3))
def test_no_theorem_is_violated_by_a_random_network(view: View, seed: int) -> None:
    world = graph(view)
    config = TrainConfig(mask_ratio=0.5, view=view, seed=seed)
    checks = judge(untrained(world.images, config), world)["checks"]
    assert len(checks) == 4
    assert {check["verdict"] for check in checks} <= {"holds", "vacuous"}


@pytest.mark.parametrize("method", ["mae", "u-mae"])
def test_no_theorem_is_violated_by_a_trained_network(method: str) -> None:
    world = graph("positional")
    config = TrainConfig(method="u-mae" if method == "u-mae" else "mae", mask_ratio=0.5, epochs=60, device="cpu")
    found = judge(train(world.images, config), world)
    assert {check["verdict"] for check in found["checks"]} <= {"holds", "vacuous"}
    assert found["bayes_risk"] - CLOSE <= found["L_MAE"]


def test_a_model_that_knows_nothing_pays_the_variance() -> None:
    """The decoder's head zeroed but for its bias at E x2: equality in Thm 3.6 on a world of one-patch targets."""
    data = images()
    world = mask_graph(data, mask_set(mask_distribution("uniform", data.grid, 0.17)), "bag")
    model = network()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.as_tensor(world.p2 @ world.X2))
    outputs = evaluate(model, world)
    found = measure(world, GraphOutputs(outputs.h, outputs.features, outputs.collapsed))
    assert world.X2.shape[1] == 2
    assert found["L_MAE"] == pytest.approx(found["target_variance"], rel=1e-6)
    assert found["L_MAE_collapsed"] == pytest.approx(found["target_variance"], rel=1e-6)
