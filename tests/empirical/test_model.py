"""The model and its losses against a literal transcription, and the promises of its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.empirical.model import (
    SIZES,
    FeatureKind,
    MaskedAutoencoder,
    build_model,
    check_feature,
    feature,
    model_config,
    reconstruction_loss,
    sincos_positions,
    uniformity_loss,
)
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View, arrange, known_positions
from tests.empirical import literal
from tests.empirical.toys import GRID, PATCH_DIM, double_model, images
from tests.strategies import VIEWS, searched

KEPT = np.array([[0, 2, 5], [1, 2, 3], [0, 1, 4]])
DROPPED = np.array([[1, 3, 4], [0, 4, 5], [2, 3, 5]])
WEIGHTS = np.array([0.5, 2.0, 0.5])
LAM = 0.3
KINDS: tuple[FeatureKind, ...] = ("cls", "mean")

FORWARD = 1e-10
"""Three blocks of sums of at most 256 products of size below 10: some 10⁴ roundings of 10·2⁻⁵³ is 1e-11."""


def parameters_of(model: MaskedAutoencoder) -> dict[str, NDArray[np.float64]]:
    """Every parameter and the position tables, as copies."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach().numpy().copy() for name, value in named}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Kept and dropped patch values of three images, (3, 3, s) each."""
    data = images(3)
    assert data.codebook is not None
    values = data.codebook[data.codes]
    rows = np.arange(3)[:, None]
    return torch.tensor(values[rows, KEPT]), torch.tensor(values[rows, DROPPED])


def literal_run(
    p: dict[str, NDArray[np.float64]], visible: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(reconstruction, tokens) of the literal model for the batch."""
    _, depth, heads, _, decoder_depth, decoder_heads = SIZES["micro"]
    tokens = [literal.encode(p, depth, heads, x, at) for x, at in zip(visible, KEPT, strict=True)]
    pieces = zip(tokens, KEPT, DROPPED, strict=True)
    return np.stack([literal.decode(p, decoder_depth, decoder_heads, *piece) for piece in pieces]), np.stack(tokens)


def literal_total(p: dict[str, NDArray[np.float64]], kind: FeatureKind) -> float:
    """MAE + LAM·uniformity of the literal model for the batch."""
    visible, hidden = (side.numpy() for side in batch())
    predicted, tokens = literal_run(p, visible)
    f = tokens[:, 0] if kind == "cls" else np.stack([sum(token[1:]) / (len(token) - 1) for token in tokens])
    return literal.reconstruction(predicted, hidden, WEIGHTS) + LAM * literal.uniformity(f, WEIGHTS)


def total(model: MaskedAutoencoder, kind: FeatureKind) -> torch.Tensor:
    """MAE + LAM·uniformity of the model for the batch."""
    visible, hidden = batch()
    predicted, tokens = model(visible, torch.tensor(KEPT), torch.tensor(DROPPED))
    weights = torch.tensor(WEIGHTS)
    return reconstruction_loss(predicted, hidden, weights) + LAM * uniformity_loss(feature(tokens, kind), weights)


def test_the_forward_pass_is_the_literal_one() -> None:
    model = double_model()
    visible, _ = batch()
    with torch.no_grad():
        predicted, tokens = model(visible, torch.tensor(KEPT), torch.tensor(DROPPED))
    wanted, wanted_tokens = literal_run(parameters_of(model), visible.numpy())
    np.testing.assert_allclose(tokens.numpy(), wanted_tokens, rtol=0, atol=FORWARD)
    np.testing.assert_allclose(predicted.numpy(), wanted, rtol=0, atol=FORWARD)


@pytest.mark.parametrize("kind", KINDS)
def test_the_total_loss_is_the_literal_one(kind: FeatureKind) -> None:
    model = double_model()
    assert float(total(model, kind).detach()) == pytest.approx(literal_total(parameters_of(model), kind), abs=FORWARD)


@pytest.mark.parametrize(
    "name",
    ["embed.weight", "cls", "blocks.0.qkv.weight", "blocks.1.fc1.bias", "norm.weight", "mask_token", "head.weight"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_slopes_of_the_literal_loss(name: str, kind: FeatureKind) -> None:
    model = double_model()
    total(model, kind).backward()
    gradient = model.get_parameter(name).grad
    assert gradient is not None
    index = int(gradient.abs().argmax())
    p = parameters_of(model)
    flat, h = p[name].ravel(), 1e-4
    middle = flat[index]

    def slope(step: float) -> float:
        ends = []
        for sign in (1, -1):
            flat[index] = middle + sign * step
            ends.append(literal_total(p, kind))
        return (ends[0] - ends[1]) / (2 * step)

    near, far = slope(h), slope(2 * h)
    # A central difference errs by c·h² + O(h⁴), so far − near is 3·c·h²; each end is rounded within FORWARD.
    tolerance = abs(far - near) + FORWARD / h
    found = float(gradient.ravel()[index])
    assert abs(found) > 10 * tolerance, "the slope must stand out of the tolerance"
    assert found == pytest.approx(near, abs=tolerance)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**6))
@searched(20)
def test_losses_are_their_formulas(count: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, target = rng.normal(size=(2, count, values, 2))
    f, weights = rng.normal(size=(count, values)), rng.uniform(0.1, 3, count)
    w = torch.tensor(weights)
    found = reconstruction_loss(torch.tensor(predicted), torch.tensor(target), w)
    assert float(found) == pytest.approx(literal.reconstruction(predicted, target, weights))
    assert float(uniformity_loss(torch.tensor(f), w)) == pytest.approx(literal.uniformity(f, weights))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 10**6))
@searched(20)
def test_a_weight_is_so_many_copies(copies: list[int], seed: int) -> None:
    """Weights 1 on average over the data, as training gives them, equal a data set that repeats its images."""
    rng = np.random.default_rng(seed)
    predicted, target = torch.tensor(rng.normal(size=(2, len(copies), 3, 2)))
    f = torch.tensor(rng.normal(size=(len(copies), 4)))
    rows = torch.tensor(np.repeat(np.arange(len(copies)), copies))
    weights = torch.tensor(np.array(copies) / np.mean(copies))
    ones = torch.ones(len(rows), dtype=torch.float64)
    once, often = uniformity_loss(f, weights), uniformity_loss(f[rows], ones)
    assert float(once) == pytest.approx(float(often))
    once = reconstruction_loss(predicted, target, weights)
    assert float(once) == pytest.approx(float(reconstruction_loss(predicted[rows], target[rows], ones)))


def test_uniformity_runs_from_collapse_to_an_orthonormal_batch() -> None:
    for count in (1, 3, 8):
        ones = torch.ones(count, dtype=torch.float64)
        same = torch.full((count, 8), 2.5, dtype=torch.float64)
        orthogonal = 7 * torch.eye(8, dtype=torch.float64)[:count]
        assert float(uniformity_loss(same, ones)) == pytest.approx(1)
        assert float(uniformity_loss(orthogonal, ones)) == pytest.approx(1 / count)


def test_uniformity_of_a_zero_feature_is_finite_and_so_is_its_gradient() -> None:
    f = torch.zeros(3, 4, requires_grad=True)
    loss = uniformity_loss(f, torch.ones(3))
    loss.backward()
    assert f.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(f.grad).all()


@pytest.mark.parametrize("view", VIEWS)
def test_views_with_the_same_kept_patches_get_the_same_answer(view: View) -> None:
    """What was dropped reaches neither tokens nor reconstruction."""
    data, model = images(2), double_model()
    assert data.codebook is not None
    kept, dropped = KEPT[:1], DROPPED[:1]
    twin = data.codes[:1].copy()
    twin[0, dropped[0]] = data.codes[1, dropped[0]]
    positions, targets = (torch.tensor(side.copy()) for side in known_positions(view, kept, dropped))
    answers = []
    for codes in (data.codes[:1], twin):
        patches = torch.tensor(data.codebook[arrange(view, codes[:, kept[0]])])
        with torch.no_grad():
            answers.append(model(patches, positions, targets))
    for mine, other in zip(*answers, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("view", ["sequence", "bag"])
def test_without_positions_a_model_is_a_function_of_the_vertex(view: View) -> None:
    """Two masks that leave the same vertex of two images get the same answer, position tables and all."""
    codes, codebook = np.array([[4, 1, 1, 0, 2, 3], [0, 4, 1, 3, 3, 1]]), np.random.default_rng(0).normal(size=(5, 3))
    masks = [(0, 1, 4), (1, 2, 4)]
    if view == "sequence":
        codes[1, list(masks[1])] = codes[0, list(masks[0])]
    else:
        codes[1, list(masks[1])] = codes[0, list(masks[0])][[2, 0, 1]]
    model, answers = double_model(), []
    for row, mask in zip(codes, masks, strict=True):
        kept, dropped = np.array([mask]), np.array([[i for i in range(6) if i not in mask]])
        positions, targets = (torch.tensor(side.copy()) for side in known_positions(view, kept, dropped))
        with torch.no_grad():
            answers.append(model(torch.tensor(codebook[arrange(view, row[kept])]), positions, targets))
    for mine, other in zip(*answers, strict=True):
        assert torch.equal(mine, other)


def permuted(change: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Largest change of the reconstruction when the kept patches trade places."""
    model = double_model()
    visible, _ = batch()
    order = [2, 0, 1]
    positions, targets = torch.tensor(KEPT), torch.tensor(DROPPED)
    with torch.no_grad():
        before, _ = model(visible, change(positions), targets)
        after, _ = model(visible[:, order], change(positions), targets)
    return float((before - after).abs().max())


def test_no_position_means_no_order() -> None:
    nowhere = GRID[0] * GRID[1]
    assert permuted(lambda positions: torch.full_like(positions, nowhere)) < FORWARD
    assert permuted(lambda positions: positions) > 1e-3


def test_position_tables_are_sines_and_cosines_with_a_row_of_zeros() -> None:
    table = sincos_positions((2, 3), 8)
    assert table.shape == (7, 8)
    for index in range(6):
        row, column = divmod(index, 3)
        wanted = [fn(at * rate) for at in (row, column) for fn in (math.sin, math.cos) for rate in (1, 0.01)]
        np.testing.assert_allclose(table[index].numpy(), wanted, rtol=0, atol=2**-24)
    assert not table[6].any()


@pytest.mark.parametrize("size", ["micro", "tiny"])
def test_shapes_and_one_gradient_for_every_parameter(size: str) -> None:
    model = build_model(model_config(size, GRID, PATCH_DIM), 0)
    visible, hidden = (side.float() for side in batch())
    predicted, tokens = model(visible, torch.tensor(KEPT), torch.tensor(DROPPED))
    assert predicted.shape == hidden.shape
    assert tokens.shape == (3, 1 + 3, model.config.dim)
    reconstruction_loss(predicted, hidden, torch.ones(3)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("size", SIZES)
def test_sizes_can_be_split_over_their_heads(size: str) -> None:
    config = model_config(size, GRID, PATCH_DIM)
    assert config.dim % config.heads == 0
    assert config.decoder_dim % config.decoder_heads == 0


@pytest.mark.parametrize(("grid", "patch_dim"), [((1, 2), 1), ((3, 5), 12), ((2, 2), 27)])
@pytest.mark.parametrize("size", ["micro", "tiny"])
def test_any_grid_and_patch_has_a_model(size: str, grid: tuple[int, int], patch_dim: int) -> None:
    """Strips, planes, and patches of one channel or three."""
    patches = grid[0] * grid[1]
    model = build_model(model_config(size, grid, patch_dim), 0)
    kept, dropped = torch.arange(patches)[None, :1], torch.arange(patches)[None, 1:]
    with torch.no_grad():
        predicted, tokens = model(torch.rand(1, 1, patch_dim), kept, dropped)
    assert predicted.shape == (1, patches - 1, patch_dim)
    assert tokens.shape == (1, 2, model.config.dim)
    assert torch.isfinite(predicted).all()


@pytest.mark.parametrize("size", SIZES)
def test_sizes_have_the_parameters_of_their_blocks(size: str) -> None:
    """Counted by hand at the shape of ViT-MAE: 224² pixels in patches of 16² in three channels."""
    with torch.device("meta"):
        model = MaskedAutoencoder(model_config(size, (14, 14), 768))
    dim, depth, _, decoder_dim, decoder_depth, _ = SIZES[size]

    def blocks(width: int, count: int) -> int:
        return count * (12 * width**2 + 13 * width)

    encoder = 768 * dim + dim + dim + blocks(dim, depth) + 2 * dim
    join = dim * decoder_dim + decoder_dim + decoder_dim
    decoder = blocks(decoder_dim, decoder_depth) + 2 * decoder_dim + decoder_dim * 768 + 768
    assert sum(parameter.numel() for parameter in model.parameters()) == encoder + join + decoder
    if size == "base":
        # What the reference code of MAE counts for mae_vit_base_patch16, less its two fixed position tables.
        assert encoder + join + decoder == 111_907_840 - 197 * (768 + 512)


def test_a_seed_is_a_model_and_the_callers_randomness_stays() -> None:
    config = model_config("micro", GRID, PATCH_DIM)
    before = torch.random.get_rng_state()
    a, b, c = (build_model(config, seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(a.embed.weight, b.embed.weight)
    assert not torch.equal(a.embed.weight, c.embed.weight)


def test_initialisation_is_that_of_mae() -> None:
    model = build_model(model_config("micro", GRID, PATCH_DIM), 0)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            reach = math.sqrt(6 / sum(module.weight.shape))
            assert 0.9 * reach < float(module.weight.detach().abs().max()) <= reach, name
            assert not module.bias.any(), name
    tokens = torch.cat([model.cls.detach().ravel(), model.mask_token.detach().ravel()])
    # The standard deviation of a standard error of 96 normal draws is 0.02/√192; five of them.
    assert float(tokens.std()) == pytest.approx(0.02, abs=5 * 0.02 / math.sqrt(192))


def test_building_a_model_seeds_no_cuda_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    build_model(model_config("micro", GRID, PATCH_DIM), 0)
    assert not seeded


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown size 'huge'; expected one of micro, tiny, base, large"):
        model_config("huge", GRID, PATCH_DIM)
    with pytest.raises(InputError, match=r"unknown feature 'max'; expected one of cls, mean"):
        check_feature("max")
