"""The model and its losses against a literal transcription, and the promises of its arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskgraph.empirical.blocks import Block, RelativePositions, attention, sincos_positions
from maskgraph.empirical.model import (
    SIZES,
    FeatureKind,
    MaskedAutoencoder,
    MaskedModel,
    build_model,
    check_feature,
    model_config,
)
from maskgraph.empirical.objective import reconstruction_share
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View, arrange, known_positions
from tests.empirical import literal
from tests.empirical.toys import GRID, PATCH_DIM, double_model, images
from tests.strategies import VIEWS

KEPT = np.array([[0, 2, 5], [1, 2, 3], [0, 1, 4]])
DROPPED = np.array([[1, 3, 4], [0, 4, 5], [2, 3, 5]])

VARIANTS: dict[str, dict[str, object]] = {
    "mae": {},
    "simmim": {"family": "simmim"},
    "simmim as published": {"family": "simmim", "relative": True, "layer_scale": 0.1},
    "relative": {"relative": True},
    "bottleneck of cls": {"bottleneck": 5},
    "bottleneck of mean": {"bottleneck": 5, "reads": "mean"},
    "another decoder": {"decoder_dim": 24, "decoder_depth": 2, "decoder_heads": 3},
}

FORWARD = 1e-10
"""Three blocks of sums of at most 256 products of size below 10: some 10⁴ roundings of 10·2⁻⁵³ is 1e-11."""


@pytest.mark.parametrize("start", [0.1, 1e-5])
def test_the_factors_of_layer_scale_start_where_they_are_said_to(start: float) -> None:
    """0.1 in SimMIM's ViT, less in deeper networks (Touvron et al. 2021)."""
    model = build_model(model_config("micro", GRID, PATCH_DIM, layer_scale=start), 0)
    factors = [value for name, value in model.named_parameters() if "scale" in name]
    assert len(factors) == 2 * model.config.depth
    for factor in factors:
        assert torch.equal(factor, torch.full_like(factor, start))


def parameters_of(model: MaskedModel) -> dict[str, NDArray[np.float64]]:
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


def literal_feature(
    p: dict[str, NDArray[np.float64]], tokens: NDArray[np.float64], kind: FeatureKind, reads: str
) -> NDArray[np.float64]:
    """The feature of one image's tokens."""
    if kind == "bottleneck":
        return literal.bottleneck(p, literal_feature(p, tokens, "cls" if reads == "cls" else "mean", reads))
    if kind == "tokens":
        return np.concatenate(list(tokens))
    return tokens[0] if kind == "cls" else np.asarray(sum(tokens[1:]) / (len(tokens) - 1))


def literal_run(
    p: dict[str, NDArray[np.float64]], visible: NDArray[np.float64], variant: str
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """(reconstruction, tokens) of the literal model for the batch."""
    changes = VARIANTS[variant]
    _, depth, heads, _, decoder_depth, decoder_heads = SIZES["micro"]
    decoder = (
        int(str(changes.get("decoder_depth", decoder_depth))),
        int(str(changes.get("decoder_heads", decoder_heads))),
    )
    answers, found = [], []
    for x, at, asked in zip(visible, KEPT, DROPPED, strict=True):
        masked = asked if "family" in changes else None
        tokens = literal.encode(p, depth, heads, x, at, masked, GRID if "relative" in changes else None)
        if masked is not None:
            answers.append(literal.linear(tokens[-len(asked) :], p, "head"))
        elif "bottleneck" in changes:
            f = literal_feature(p, tokens, "mean" if changes.get("reads") == "mean" else "cls", "")
            answers.append(literal.decode_bottleneck(p, *decoder, f, asked))
        else:
            answers.append(literal.decode(p, *decoder, tokens, at, asked))
        found.append(tokens)
    return np.stack(answers), found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_forward_pass_is_the_literal_one(variant: str) -> None:
    model = double_model(VARIANTS[variant])
    visible, _ = batch()
    with torch.no_grad():
        predicted, tokens = model(visible, torch.tensor(KEPT), torch.tensor(DROPPED))
    p = parameters_of(model)
    wanted, wanted_tokens = literal_run(p, visible.numpy(), variant)
    np.testing.assert_allclose(tokens.numpy(), wanted_tokens, rtol=0, atol=FORWARD)
    np.testing.assert_allclose(predicted.numpy(), wanted, rtol=0, atol=FORWARD)
    kinds: list[FeatureKind] = [*model.features, "tokens"]
    for kind in kinds:
        found = model.feature(tokens, kind).detach().numpy()
        hand = [literal_feature(p, one, kind, str(VARIANTS[variant].get("reads", "cls"))) for one in wanted_tokens]
        np.testing.assert_allclose(found, hand, rtol=0, atol=FORWARD)


def test_a_bottleneck_is_all_that_its_decoder_sees() -> None:
    """Tokens that differ by what the unit vector does not show leave the reconstruction as it is."""
    model = double_model({"bottleneck": 5})
    visible, _ = batch()
    at, asked = torch.tensor(KEPT), torch.tensor(DROPPED)
    with torch.no_grad():
        tokens = model.encode(visible, at, asked)
        other = tokens.clone()
        other[:, 1:] += torch.randn(other[:, 1:].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        assert torch.equal(model.decode(tokens, at, asked), model.decode(other, at.flip(1), asked))
        other[:, 0] += 1
        assert not torch.allclose(model.decode(tokens, at, asked), model.decode(other, at, asked))
        z = model.feature(tokens, "bottleneck")
    assert z.shape == (3, 5)
    np.testing.assert_allclose(z.norm(dim=1).numpy(), 1, rtol=1e-14)


def test_attention_written_out_is_the_fused_one() -> None:
    """In bfloat16 on a CPU: both within a few roundings of 2⁻⁸ of the float64 answer."""
    q, k, v = (torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    exact = torch.softmax((q.double() @ k.double().mT) / math.sqrt(8), dim=-1) @ v.double()
    torch.testing.assert_close(attention(q, k, v).double(), exact, rtol=0, atol=1e-5)
    half = attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert half.dtype == torch.bfloat16
    # Scores up to 5 rounded to 8 bits move a weight by 5·2⁻⁸ relative; values up to 3; and the sum is rounded.
    torch.testing.assert_close(half.double(), exact, rtol=0, atol=3 * 6 * 2**-8)


def test_attention_adds_its_bias_to_the_scores() -> None:
    """Fused and written out, for every image its own or one for all."""
    q, k, v = (torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    for images_of_it in (1, 2):
        bias = torch.randn(images_of_it, 3, 7, 7, generator=torch.Generator().manual_seed(3))
        exact = torch.softmax((q.double() @ k.double().mT) / math.sqrt(8) + bias, dim=-1) @ v.double()
        torch.testing.assert_close(attention(q, k, v, bias).double(), exact, rtol=0, atol=1e-5)
        half = attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), bias)
        # As above, with a bias up to 3 rounded likewise.
        torch.testing.assert_close(half.double(), exact, rtol=0, atol=3 * 9 * 2**-8)


def test_what_is_added_to_scores_is_kept_from_kernels_without_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """And from those that the caller has ruled out, who is left with what was allowed before."""
    seen, fused = [], functional.scaled_dot_product_attention

    def noted(*args: Any, **named: Any) -> torch.Tensor:
        seen.append(allowed())
        return fused(*args, **named)

    def allowed() -> set[str]:
        kernels = ("flash", "mem_efficient", "math", "cudnn")
        return {kernel for kernel in kernels if getattr(torch.backends.cuda, f"{kernel}_sdp_enabled")()}

    monkeypatch.setattr(functional, "scaled_dot_product_attention", noted)
    block, x, bias = Block(4, 1), torch.ones(1, 2, 4), torch.zeros(1, 1, 2, 2)
    ours = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    cases = [([*ours, SDPBackend.CUDNN_ATTENTION], {"flash", "mem_efficient", "math"})]
    cases += [(ours, {"flash", "mem_efficient", "math"}), ([SDPBackend.MATH], {"math"})]
    for left, wanted in cases:
        with sdpa_kernel(left):
            before = allowed()
            for added in (None, bias):
                block(x, bias=added)
            assert allowed() == before
        assert seen[-2:] == [before, wanted]


def test_relative_positions_are_offsets() -> None:
    """Patches that are moved together attend as they did; those of which no position is known are all alike."""
    positions = RelativePositions((3, 4), 2)
    with torch.no_grad():
        positions.table.copy_(torch.arange(positions.table.numel()).view(-1, 2))
    found = positions(torch.tensor([[0, 1, 6], [5, 6, 11], [12, 12, 12]]))
    assert found.shape == (3, 2, 4, 4)
    assert torch.equal(found[0], found[1])
    assert len(found[0, 0].unique()) == 1 + 6 + 3
    assert len(found[2, 0, 1:, 1:].unique()) == 1
    # One row for all images is one table for all of them.
    row = torch.tensor([0, 1, 6])
    assert torch.equal(positions(row.expand(5, -1)), found[:1])
    assert positions(row.repeat(5, 1)).shape == (5, 2, 4, 4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_last_layer_is_what_is_encoded(variant: str) -> None:
    model = double_model(VARIANTS[variant])
    visible, _ = batch()
    at = torch.tensor(KEPT)
    with torch.no_grad():
        layers = model.layers(visible, at)
        tokens = model.encode(visible, at, at[:, :0])
    assert len(layers) == model.config.depth
    assert torch.equal(layers[-1], tokens)


def test_patches_know_where_they_are_by_relative_positions_alone() -> None:
    """Neither a place of its own nor the order of tokens: shuffled with their positions they give the same features."""
    model = double_model({"relative": True, "family": "simmim"})
    visible, _ = batch()
    at, asked = torch.tensor(KEPT), torch.tensor(DROPPED)
    order = [2, 0, 1]
    with torch.no_grad():
        tokens = model.encode(visible, at, asked)
        shuffled = model.encode(visible[:, order], at[:, order], asked)
        other = model.encode(visible, at[:, order], asked)
    assert not model.encoder_positions.any()
    torch.testing.assert_close(shuffled[:, 1:4], tokens[:, 1:4][:, order], rtol=0, atol=FORWARD)
    torch.testing.assert_close(shuffled[:, 0], tokens[:, 0], rtol=0, atol=FORWARD)
    assert float((other[:, 0] - tokens[:, 0]).abs().max()) > 1e-3


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("variant", ["mae", "simmim", "simmim as published", "bottleneck of mean"])
def test_views_with_the_same_kept_patches_get_the_same_answer(view: View, variant: str) -> None:
    """What was dropped reaches neither tokens nor reconstruction."""
    data, model = images(2), double_model(VARIANTS[variant])
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
@pytest.mark.parametrize("variant", ["mae", "simmim", "simmim as published"])
def test_without_positions_a_model_is_a_function_of_the_vertex(view: View, variant: str) -> None:
    """Two masks that leave the same vertex of two images get the same answer, position tables and all."""
    codes, codebook = np.array([[4, 1, 1, 0, 2, 3], [0, 4, 1, 3, 3, 1]]), np.random.default_rng(0).normal(size=(5, 3))
    masks = [(0, 1, 4), (1, 2, 4)]
    if view == "sequence":
        codes[1, list(masks[1])] = codes[0, list(masks[0])]
    else:
        codes[1, list(masks[1])] = codes[0, list(masks[0])][[2, 0, 1]]
    model, answers = double_model(VARIANTS[variant]), []
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
        wanted = [fn(at * rate) for at in (column, row) for fn in (math.sin, math.cos) for rate in (1, 0.01)]
        np.testing.assert_allclose(table[index].numpy(), wanted, rtol=0, atol=2**-24)
    assert not table[6].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_shapes_and_one_gradient_for_every_parameter(variant: str) -> None:
    model = build_model(model_config("micro", GRID, PATCH_DIM, **VARIANTS[variant]), 0)
    visible, hidden = (side.float() for side in batch())
    predicted, tokens = model(visible, torch.tensor(KEPT), torch.tensor(DROPPED))
    assert predicted.shape == hidden.shape
    assert tokens.shape == (3, 1 + (6 if variant.startswith("simmim") else 3), model.config.dim)
    reconstruction_share(predicted, hidden, torch.ones(3), 3).backward()
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


def test_named_sizes_are_those_that_were_published() -> None:
    """Parameters do not tell heads: encoders of Dosovitskiy et al. and Touvron et al. 2021, MAE's decoder."""
    names = ("dim", "depth", "heads", "decoder_dim", "decoder_depth", "decoder_heads")
    for size, encoder in (("tiny", (192, 12, 3)), ("base", (768, 12, 12)), ("large", (1024, 24, 16))):
        config = model_config(size, (14, 14), 768)
        # Tiny has a decoder of our own: heads as wide as its encoder's.
        decoder = (192, 4, 3) if size == "tiny" else (512, 8, 16)
        assert tuple(getattr(config, name) for name in names) == (*encoder, *decoder)


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "simmim", "bottleneck": 4}, r"a bottleneck needs a decoder behind it, and SimMIM's is one linear"),
        ({"bottleneck": 0}, r"bottleneck 0; expected a dimension of at least 1"),
        ({"decoder_dim": 25}, r"decoder width 25 over 2 heads; expected a multiple"),
        ({"dim": 66}, r"encoder width 66 over 4 heads; expected a multiple"),
        ({"decoder_depth": 0}, r"depths 2 and 0; expected at least 1 block each"),
    ],
)
def test_sizes_that_make_no_model_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_config("micro", GRID, PATCH_DIM, **changes)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown size 'huge'; expected one of micro, tiny, base, large"):
        model_config("huge", GRID, PATCH_DIM)
    with pytest.raises(InputError, match=r"unknown feature 'max'; expected one of cls, mean, tokens, bottleneck"):
        check_feature("max")
