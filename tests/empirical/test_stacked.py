"""A stacked model answers for each of its models as the model does alone, gradients included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from maskgraph.empirical.model import MaskedModel, build_model, model_config
from maskgraph.empirical.stacked import TOKENS, own_tokens, stack_models
from tests.empirical.toys import GRID, PATCH_DIM, double_model

MODELS, BATCH, SHOWN = 3, 4, 2
PATCHES = GRID[0] * GRID[1]

DOUBLE = 1e-14
"""Of float64 products made by another kernel, relative to the largest: some hundred roundings of 2⁻⁵³ where they add up
and never do."""

BFLOAT = 2**-9
"""Of bfloat16 ones likewise: one rounding. What is not rounded at all is farther off, which the test sees."""

ARCHITECTURES: list[dict[str, object]] = [
    {},
    {"bottleneck": 5},
    {"bottleneck": 5, "reads": "mean"},
    {"family": "simmim"},
]


def some_models(changes: Mapping[str, object]) -> list[MaskedModel]:
    return [double_model(changes, seed) for seed in range(MODELS)]


def some_views(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Patches, positions and slots of MODELS batches, one after the other, under a mask for each image."""
    generator = torch.Generator().manual_seed(7)
    order = torch.stack([torch.randperm(PATCHES, generator=generator) for _ in range(MODELS * BATCH)])
    patches = torch.randn(MODELS * BATCH, SHOWN, PATCH_DIM, generator=generator, dtype=torch.float64)
    return patches.to(dtype), order[:, :SHOWN], order[:, SHOWN:]


def together(stacked: MaskedModel, views: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = functional_call(stacked, own_tokens(stacked, BATCH), tuple(views))
    return found


def loss(reconstruction: Tensor, features: Tensor) -> Tensor:
    """Something whose gradient reaches every parameter."""
    return reconstruction.square().sum() + features.sin().sum()


@pytest.mark.parametrize("changes", ARCHITECTURES, ids=str)
def test_outputs_and_gradients_are_those_of_each_model_alone(changes: dict[str, object]) -> None:
    models, views = some_models(changes), some_views()
    stacked, kind = stack_models(models), models[0].features[-1]
    reconstruction, tokens = together(stacked, views)
    features = stacked.feature(tokens, kind)
    loss(reconstruction, features).backward()
    for index, model in enumerate(models):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        h, alone = model(*(side[rows] for side in views))
        wanted = model.feature(alone, kind)
        loss(h, wanted).backward()
        for found, value in ((reconstruction, h), (tokens, alone), (features, wanted)):
            torch.testing.assert_close(found[rows], value, rtol=0, atol=DOUBLE * float(value.detach().abs().max()))
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        scale = max(float(value.abs().max()) for value in gradients.values())
        own = dict(stacked.named_parameters())
        assert own.keys() == gradients.keys()
        for name, value in gradients.items():
            gradient = own[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], value, rtol=0, atol=DOUBLE * scale, msg=name)


@pytest.mark.parametrize("changes", ARCHITECTURES, ids=str)
def test_every_parameter_is_a_copy_with_a_leading_axis(changes: dict[str, object]) -> None:
    models = some_models(changes)
    stacked = dict(stack_models(models).named_parameters())
    assert set(TOKENS) < stacked.keys()
    for index, model in enumerate(models):
        alone = dict(model.named_parameters())
        assert alone.keys() == stacked.keys()
        for name, value in alone.items():
            assert torch.equal(stacked[name][index], value)
    before = {name: value.detach().clone() for name, value in models[0].named_parameters()}
    with torch.no_grad():
        for value in stacked.values():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in models[0].named_parameters())


def test_a_model_that_is_lost_leaves_the_others_their_bits() -> None:
    """A sum over models is what is differentiated, and one of them may be NaN."""
    outcomes = []
    for lost in (False, True):
        stacked, views = stack_models(some_models({})), some_views()
        if lost:
            with torch.no_grad():
                for value in stacked.parameters():
                    value[1].fill_(torch.nan)
        reconstruction, tokens = together(stacked, views)
        per_model = [(h, z) for h, z in zip(reconstruction.chunk(MODELS), tokens.chunk(MODELS), strict=True)]
        torch.stack([loss(h, z) for h, z in per_model]).sum().backward()
        outcomes.append([value.grad for value in stacked.parameters()])
        assert bool(reconstruction.chunk(MODELS)[1].isnan().all()) == lost
    for whole, beside in zip(*outcomes, strict=True):
        assert whole is not None
        assert beside is not None
        for other in (0, 2):
            assert torch.equal(whole[other], beside[other])


@pytest.mark.parametrize("family", ["mae", "simmim"])
def test_in_bfloat16_it_rounds_as_the_models_do(family: str) -> None:
    config = model_config("micro", GRID, PATCH_DIM, family=family)
    models, views = [build_model(config, seed) for seed in range(MODELS)], some_views(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = together(stack_models(models), views)
        alone = [model(*(side.chunk(MODELS)[index] for side in views)) for index, model in enumerate(models)]
    unrounded = together(stack_models(models), views)
    for output, parts, other in zip(found, zip(*alone, strict=True), unrounded, strict=True):
        wanted = torch.cat(parts).detach()
        assert output.dtype == wanted.dtype
        torch.testing.assert_close(output.detach(), wanted, rtol=0, atol=BFLOAT * float(wanted.abs().max()))
        assert (other - wanted).abs().max() > BFLOAT * wanted.abs().max()
