"""The published layout: names, shapes, and the published forward pass recomputed from them alone."""

from __future__ import annotations

import argparse
import math
import pickle
import shlex
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.model import MaskedAutoencoder, build_model, model_config
from maskgraph.empirical.objective import normalise_patches, reconstruction_share
from maskgraph.empirical.published import from_published, load_published, published_tensors, save_published
from maskgraph.empirical.readout import whole_features
from maskgraph.empirical.train import load_model, train
from maskgraph.graphs.errors import InputError
from tests.empirical.literal import Array, erf
from tests.empirical.toys import pixels
from tests.strategies import searched

FORWARD = 1e-5
"""A float32 forward pass against float64: outputs of order 1 after three blocks of sums of at most 256 products, some
10² roundings of 2⁻²⁴; the issue of trust is a wrong name or order, which moves outputs by their own size."""

CASES = {
    "grey": ((4, 4), 4, {}),
    "coloured": ((2, 2), 48, {"decoder_dim": 48, "decoder_heads": 3, "decoder_depth": 2}),
    "large patches": ((3, 3), 192, {"dim": 32, "heads": 2}),
}


def network(case: str = "coloured", seed: int = 0) -> MaskedAutoencoder:
    """Every parameter off its initialisation, where biases are zero and norms one."""
    grid, values, changes = CASES[case]
    model = build_model(model_config("micro", grid, values, **changes), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    assert isinstance(model, MaskedAutoencoder)
    return model.eval()


def norm(x: Array, p: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    return np.asarray(scaled * p[f"{name}.weight"] + p[f"{name}.bias"])


def dense(x: Array, p: dict[str, Array], name: str) -> Array:
    return np.asarray(x @ p[f"{name}.weight"].T + p[f"{name}.bias"])


def vit_block(x: Array, p: dict[str, Array], name: str, heads: int) -> Array:
    """Timm's block: one image (T, dim)."""
    length, dim = x.shape
    qkv = dense(norm(x, p, f"{name}.norm1"), p, f"{name}.attn.qkv").reshape(length, 3, heads, dim // heads)
    mixed = np.empty((length, heads, dim // heads))
    for head in range(heads):
        q, k, v = (qkv[:, part, head] for part in range(3))
        score = np.exp(q @ k.T / math.sqrt(dim // heads))
        mixed[:, head] = score / score.sum(axis=1, keepdims=True) @ v
    x = x + dense(mixed.reshape(length, dim), p, f"{name}.attn.proj")
    t = dense(norm(x, p, f"{name}.norm2"), p, f"{name}.mlp.fc1")
    return x + dense(0.5 * t * (1 + erf(t / math.sqrt(2))), p, f"{name}.mlp.fc2")


def published_pass(
    p: dict[str, Array], image: Array, noise: Array, kept: int, heads: tuple[int, int], normalised: bool
) -> tuple[Array, float]:
    """The prediction (n, p²C) of all patches of one image (C, H, W), and its loss on the removed ones.

    As the published code has it: patches by a convolution, kept ones first in the order of their noise, decoder input
    put back in place, every patch predicted, the loss taken of those that were removed.
    """
    weight = p["patch_embed.proj.weight"]
    side, n = weight.shape[2], p["pos_embed"].shape[1] - 1
    rows = math.isqrt(n)
    tokens, patches = [], []
    for index in range(n):
        top, left = side * (index // rows), side * (index % rows)
        window = image[:, top : top + side, left : left + side]
        tokens.append((weight * window).sum(axis=(1, 2, 3)) + p["patch_embed.proj.bias"])
        patches.append(window.transpose(1, 2, 0).ravel())
    x = np.stack(tokens) + p["pos_embed"][0, 1:]
    shuffle = np.argsort(noise)
    x = np.concatenate([p["cls_token"][0] + p["pos_embed"][0, :1], x[shuffle[:kept]]])
    for index in range(len({name.split(".")[1] for name in p if name.startswith("blocks.")})):
        x = vit_block(x, p, f"blocks.{index}", heads[0])
    x = dense(norm(x, p, "norm"), p, "decoder_embed")
    filled = np.concatenate([x[1:], np.repeat(p["mask_token"][0], n - kept, axis=0)])[np.argsort(shuffle)]
    x = np.concatenate([x[:1], filled]) + p["decoder_pos_embed"][0]
    for index in range(len({name.split(".")[1] for name in p if name.startswith("decoder_blocks.")})):
        x = vit_block(x, p, f"decoder_blocks.{index}", heads[1])
    predicted = dense(norm(x, p, "decoder_norm"), p, "decoder_pred")[1:]
    target = np.stack(patches)
    if normalised:
        deviation = np.sqrt(target.var(axis=1, ddof=1, keepdims=True) + 1e-6)
        target = (target - target.mean(axis=1, keepdims=True)) / deviation
    removed = shuffle[kept:]
    return predicted, float(((predicted - target)[removed] ** 2).mean())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("normalised", [False, True])
def test_the_published_forward_pass_is_ours(case: str, normalised: bool) -> None:
    model, (grid, values, _) = network(case), CASES[case]
    channels = 1 if case == "grey" else 3
    side, n = math.isqrt(values // channels), grid[0] * grid[1]
    rng = np.random.default_rng(1)
    images, noise, kept = rng.normal(size=(3, channels, grid[0] * side, grid[1] * side)), rng.random((3, n)), n // 2
    p = {name: value.double().numpy() for name, value in published_tensors(model, side).items()}
    heads = (model.config.heads, model.config.decoder_heads)
    cut = images.reshape(3, channels, grid[0], side, grid[1], side).transpose(0, 2, 4, 3, 5, 1).reshape(3, n, values)
    order = np.argsort(noise, axis=1)
    shown, hidden = (torch.as_tensor(np.sort(part, axis=1)) for part in (order[:, :kept], order[:, kept:]))
    patches = torch.as_tensor(cut, dtype=torch.float32)
    visible, target = (patches.gather(1, at[:, :, None].expand(-1, -1, values)) for at in (shown, hidden))
    with torch.no_grad():
        predicted, _ = model(visible, shown, hidden)
    losses = []
    for row in range(3):
        wanted, loss = published_pass(p, images[row], noise[row], kept, heads, normalised)
        np.testing.assert_allclose(predicted[row].numpy(), wanted[hidden[row]], rtol=0, atol=FORWARD)
        losses.append(loss)
    target = normalise_patches(target) if normalised else target
    assert reconstruction_share(predicted, target, torch.ones(3), 3).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_names_and_shapes_are_the_published_ones() -> None:
    model = build_model(model_config("tiny", (8, 8), 48), 0)
    assert isinstance(model, MaskedAutoencoder)
    found = {name: tuple(value.shape) for name, value in published_tensors(model, 4).items()}
    block = {
        "norm1.weight": ("d",),
        "norm1.bias": ("d",),
        "attn.qkv.weight": ("3d", "d"),
        "attn.qkv.bias": ("3d",),
        "attn.proj.weight": ("d", "d"),
        "attn.proj.bias": ("d",),
        "norm2.weight": ("d",),
        "norm2.bias": ("d",),
        "mlp.fc1.weight": ("4d", "d"),
        "mlp.fc1.bias": ("4d",),
        "mlp.fc2.weight": ("d", "4d"),
        "mlp.fc2.bias": ("d",),
    }
    size = {"d": 192, "3d": 576, "4d": 768}
    wanted: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 192),
        "pos_embed": (1, 65, 192),
        "patch_embed.proj.weight": (192, 3, 4, 4),
        "patch_embed.proj.bias": (192,),
        "norm.weight": (192,),
        "norm.bias": (192,),
        "decoder_embed.weight": (192, 192),
        "decoder_embed.bias": (192,),
        "mask_token": (1, 1, 192),
        "decoder_pos_embed": (1, 65, 192),
        "decoder_norm.weight": (192,),
        "decoder_norm.bias": (192,),
        "decoder_pred.weight": (48, 192),
        "decoder_pred.bias": (48,),
    }
    for part, depth in (("blocks", 12), ("decoder_blocks", 4)):
        for index in range(depth):
            for name, shape in block.items():
                wanted[f"{part}.{index}.{name}"] = tuple(size[one] for one in shape)
    assert found == wanted


def assert_same_parameters(a: MaskedAutoencoder, b: MaskedAutoencoder) -> None:
    assert a.config == b.config
    other = b.state_dict()
    for name, value in a.state_dict().items():
        assert torch.equal(value, other[name]), name


@given(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 2), st.integers(0, 99))
@searched(15)
def test_what_is_saved_is_read_again(rows: int, side: int, channels: int, depth: int, seed: int) -> None:
    shape = model_config("micro", (rows, rows), side**2 * channels, depth=depth, decoder_depth=1, dim=32, heads=4)
    model = build_model(shape, seed)
    assert isinstance(model, MaskedAutoencoder)
    again = from_published(published_tensors(model, side), heads=4, decoder_heads=2)
    assert again.decoder
    assert_same_parameters(again.model, model)


def test_a_file_is_read_again_and_its_features_are_the_same(tmp_path: Path) -> None:
    trained = train(pixels(), TrainConfig(mask_ratio=0.5, epochs=2, batch=6, device="cpu")).model
    assert isinstance(trained, MaskedAutoencoder)
    save_published(trained, tmp_path / "mae.safetensors", 4)
    again = load_published(tmp_path / "mae.safetensors").model
    assert_same_parameters(again, trained)
    found, wanted = (whole_features(model, pixels(), ["cls"])["cls"] for model in (again, trained))
    np.testing.assert_array_equal(found, wanted)


def test_an_encoder_alone_is_read_and_said_to_be_one() -> None:
    model = network("grey")
    encoder = {
        name: value
        for name, value in published_tensors(model, 2).items()
        if not name.startswith("decoder") and name != "mask_token"
    }
    with_its_mask_token = {**encoder, "mask_token": torch.zeros(1, 1, 64)}
    assert_same_parameters(from_published(with_its_mask_token).model, from_published(encoder).model)
    found = from_published(encoder)
    assert not found.decoder
    assert found.model.config == model.config
    start, own = build_model(model.config, 0).state_dict(), model.state_dict()
    for name, value in found.model.state_dict().items():
        of_decoder = name.startswith(("decoder", "head", "mask_token"))
        assert torch.equal(value, start[name] if of_decoder else own[name]), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read(dtype: torch.dtype) -> None:
    model = network("grey")
    stored = {name: value.to(dtype) for name, value in published_tensors(model, 2).items()}
    again = from_published(stored).model.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(again[name], value if name.endswith("positions") else value.to(dtype).float()), name


@pytest.mark.parametrize("channels", [2, 4, 9])
def test_images_of_any_number_of_channels_keep_their_patches(channels: int) -> None:
    model = build_model(model_config("micro", (2, 2), 4 * channels), 0)
    assert isinstance(model, MaskedAutoencoder)
    tensors = published_tensors(model, 2)
    assert tensors["patch_embed.proj.weight"].shape == (64, channels, 2, 2)
    assert_same_parameters(from_published(tensors).model, model)


def test_a_file_whose_header_has_the_length_of_a_pickles_mark_is_read(tmp_path: Path) -> None:
    # The length of the header comes first, lowest byte first: 0x10280 begins like protocol 2.
    path, tensors = tmp_path / "mae.safetensors", published_tensors(network("grey"), 2)
    save_file(tensors, path, {"about": ""})
    save_file(tensors, path, {"about": "x" * (0x10280 - int.from_bytes(path.read_bytes()[:8], "little"))})
    assert path.read_bytes()[:3] == b"\x80\x02\x01"
    assert_same_parameters(load_published(path).model, network("grey"))


def test_a_pickle_of_old_is_refused(tmp_path: Path) -> None:
    torch.save({"model": published_tensors(network("grey"), 2)}, tmp_path / "old", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="is pickled and could run code"):
        load_published(tmp_path / "old")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_any_protocol_is_refused(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "mae").write_bytes(pickle.dumps({"model": None}, protocol))
    with pytest.raises(InputError, match="is pickled and could run code"):
        load_published(tmp_path / "mae")


def test_what_u_mae_reads_classes_by_while_it_trains_is_passed_over() -> None:
    """Its code saves four tensors more than that of MAE, of which no loss of the network hangs."""
    model = network("grey")
    monitor = {"fc_norm.weight": torch.ones(64), "fc_norm.bias": torch.zeros(64)}
    monitor |= {"fc.weight": torch.ones(100, 64), "fc.bias": torch.zeros(100)}
    found = from_published({**published_tensors(model, 2), **monitor})
    assert found.decoder
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    """The published tensors of a network, some of them replaced or left out; `__` stands for a dot."""
    tensors = published_tensors(network("grey"), 2)
    for name, value in changes.items():
        if value is None:
            del tensors[name.replace("__", ".")]
        else:
            tensors[name.replace("__", ".")] = value
    return tensors


CLASSIFIER = {
    name: value
    for name, value in changed(fc_norm__weight=torch.ones(64), norm__bias=None).items()
    if not name.startswith("decoder_")
}


LEARNED = torch.linspace(0, 1, 17 * 64).view(1, 17, 64)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            changed(norm__bias=None),
            r"norm.bias is missing; expected a checkpoint in the layout of facebookres",
        ),
        (changed(pos_embed=None), r"pos_embed is missing"),
        (changed(other__bias=torch.zeros(64)), r"other.bias is no part of MAE in the layout .*; remove it"),
        (CLASSIFIER, r"fc_norm.weight is of a fine-tuned classifier"),
        (changed(norm__bias=torch.zeros(65)), r"norm.bias has shape \(65,\); expected \(64,\)"),
        (
            changed(pos_embed=LEARNED),
            r"pos_embed is not the fixed table of sines and cosines; learned posit",
        ),
        (changed(pos_embed=torch.zeros(1, 13, 64)), r"pos_embed is of 12 patches; expected a square number of them"),
        (changed(patch_embed__proj__weight=torch.zeros(64, 4)), r"has shape \(64, 4\); expected 4 dimensions"),
    ],
)
def test_tensors_of_something_else_are_refused(tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_published(tensors)


def test_what_a_training_puts_around_its_parameters_is_taken_off(tmp_path: Path) -> None:
    """As `torch.load` gives what facebookresearch/mae writes, and as DistributedDataParallel names its own."""
    model = network("grey")
    saved = pickled(model, "training")
    tensors = saved["model"]
    module = {f"module.{name}": value for name, value in tensors.items()}
    for wrapped in (saved, {"model": tensors}, module, {"model": module, "epoch": 799}):
        found = from_published(wrapped)
        assert found.decoder
        assert_same_parameters(found.model, model)
    save_file(module, tmp_path / "mae.safetensors")
    assert_same_parameters(load_published(tmp_path / "mae.safetensors").model, model)
    with pytest.raises(InputError, match=r"norm.bias is missing; expected a checkpoint in the layout of facebookres"):
        from_published({name: value for name, value in module.items() if name != "module.norm.bias"})
    with pytest.raises(InputError, match=r"a float is no Tensor; norm.bias of a checkpoint is a torch tensor"):
        from_published({"model": {**tensors, "norm.bias": 0.5}})


@pytest.mark.parametrize("value", [math.nan, -math.inf, 1e39])
@pytest.mark.parametrize("name", ["norm.bias", "decoder_blocks.0.mlp.fc1.weight", "pos_embed"])
def test_weights_that_are_not_finite_are_refused_by_their_name(name: str, value: float, tmp_path: Path) -> None:
    tensors = published_tensors(network("grey"), 2)
    tensors[name] = tensors[name].double()
    tensors[name].view(-1)[1] = value
    said = rf"^{name} holds NaN or infinity as float32 in 1 of its \d+ values; expected finite numbers"
    with pytest.raises(InputError, match=said):
        from_published(tensors)
    save_file(tensors, tmp_path / "mae.safetensors")
    with pytest.raises(InputError, match=said):
        load_published(tmp_path / "mae.safetensors")


@pytest.mark.parametrize("size", ["tiny", "base", "large"])
def test_positions_that_were_computed_in_float32_are_the_table(size: str) -> None:
    """As the published code computes them: every factor of an angle in float32, columns first."""
    model = build_model(model_config(size, (14, 14), 768, depth=1, decoder_depth=1), 0)
    assert isinstance(model, MaskedAutoencoder)
    tensors = published_tensors(model, 16)
    for name in ("pos_embed", "decoder_pos_embed"):
        quarter = tensors[name].shape[2] // 4
        rate = np.float32(1) / np.float32(10_000) ** (np.arange(quarter, dtype=np.float32) / np.float32(quarter))
        places = (np.tile(np.arange(14, dtype=np.float32), 14), np.repeat(np.arange(14, dtype=np.float32), 14))
        table = np.concatenate([fn(np.outer(at, rate)) for at in places for fn in (np.sin, np.cos)], axis=1)
        assert table.dtype == np.float32
        tensors[name] = torch.as_tensor(np.concatenate([np.zeros((1, 4 * quarter), np.float32), table]))[None]
    heads = (model.config.heads, model.config.decoder_heads)
    assert_same_parameters(from_published(tensors, *heads).model, model)


@pytest.mark.parametrize(
    ("dtype", "off"), [(torch.float32, 4e-6), (torch.float64, 4e-6), (torch.float16, 2**-9), (torch.bfloat16, 2**-6)]
)
@pytest.mark.parametrize("name", ["pos_embed", "decoder_pos_embed"])
def test_positions_that_were_learned_a_little_are_not_the_table(name: str, dtype: torch.dtype, off: float) -> None:
    """One entry, of size 1, off by twice what rounding brings: 4 ulp for each of four columns, or half of one."""
    tensors = published_tensors(network("grey"), 2)
    at = int(tensors[name].argmax())
    assert tensors[name].view(-1)[at] == 1
    tensors[name].view(-1)[at] -= off
    with pytest.raises(InputError, match=rf"{name} is not the fixed table of sines and cosines; learned positions"):
        from_published({key: value.to(dtype) for key, value in tensors.items()})


def encoder_of(model: MaskedAutoencoder, patch: int) -> dict[str, Tensor]:
    tensors = published_tensors(model, patch)
    return {name: value for name, value in tensors.items() if not name.startswith("decoder") and name != "mask_token"}


def test_an_encoder_alone_gets_the_decoder_of_its_size_or_of_base() -> None:
    shape = model_config("tiny", (2, 2), 4, decoder_dim=32, decoder_depth=1, decoder_heads=2)
    tiny = build_model(shape, 0)
    assert isinstance(tiny, MaskedAutoencoder)
    for tensors, heads, wanted in (
        (encoder_of(tiny, 2), {}, (3, 192, 4, 3)),
        (encoder_of(tiny, 2), {"heads": 6, "decoder_heads": 2}, (6, 192, 4, 2)),
        (encoder_of(network("large patches"), 8), {"heads": 2}, (2, 512, 8, 16)),
    ):
        found = from_published(tensors, **heads).model
        config = found.config
        assert (config.heads, config.decoder_dim, config.decoder_depth, config.decoder_heads) == wanted
        assert not found.training


def test_heads_that_are_given_are_taken_before_those_of_a_size(tmp_path: Path) -> None:
    """Of a size as named, whose shapes fit others too."""
    path, tensors = tmp_path / "mae.safetensors", published_tensors(network("grey"), 2)
    save_file(tensors, path)
    for said, wanted in (((8, 16), (8, 16)), ((None, 16), (4, 16)), ((8, None), (8, 2)), ((None, None), (4, 2))):
        for found in (from_published(tensors, *said), load_published(path, *said)):
            assert (found.model.config.heads, found.model.config.decoder_heads) == wanted
    with pytest.raises(InputError, match=r"no named size has width 64 and 1 blocks; give heads, a number"):
        from_published({name: value for name, value in tensors.items() if not name.startswith("blocks.1")})
    for name, number in (("heads", 0), ("heads", 2.0), ("decoder_heads", 0), ("decoder_heads", -1)):
        with pytest.raises(
            InputError, match=rf"^{name} {number}; expected an integer from 1, or None for those of the"
        ):
            from_published(tensors, **{name: number})  # type: ignore[arg-type]


@pytest.mark.parametrize("patch", [0, -2, 2.0, 4])
def test_a_side_that_is_none_is_refused(patch: Any) -> None:
    with pytest.raises(InputError, match=rf"patch {patch}; expected an integer|no number of channels has a side of"):
        published_tensors(network("grey"), patch)


def test_published_tensors_are_copies() -> None:
    model = network("grey")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for value in published_tensors(model, 2).values():
        value.zero_()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": torch.zeros(1)}, r"^model is no part of MAE in the layout"),
        ({"module.norm.bias": torch.zeros(64)}, r"^module.norm.bias is no part of MAE in the layout"),
    ],
)
def test_names_like_those_of_a_wrapping_wrap_nothing(more: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_published({**published_tensors(network("grey"), 2), **more})


def test_tensors_without_names_are_no_checkpoint() -> None:
    with pytest.raises(InputError, match=r"patch_embed.proj.weight is missing; expected a checkpoint in the layout of"):
        from_published({0: torch.zeros(1)})  # type: ignore[dict-item]


def test_heads_that_no_size_tells_must_be_given() -> None:
    tensors = published_tensors(network("large patches"), 8)
    with pytest.raises(InputError, match=r"no named size has width 32 and 2 blocks; give heads, a number"):
        from_published(tensors)
    assert from_published(tensors, heads=2).model.config == network("large patches").config
    with pytest.raises(InputError, match=r"no named size has width 48 and 2 blocks; give decoder_heads, a number"):
        from_published(published_tensors(network("coloured"), 4))
    with pytest.raises(InputError, match=r"encoder width 32 over 5 heads; expected a multiple"):
        from_published(tensors, heads=5)


def test_files_that_cannot_be_trusted_or_read_are_refused(tmp_path: Path) -> None:
    torch.save({"model": published_tensors(network(), 4)}, tmp_path / "mae.pth")
    with pytest.raises(InputError, match=r"mae.pth is pickled and could run code; where you trust it, convert it once"):
        load_published(tmp_path / "mae.pth")
    with pytest.raises(InputError, match=r"none.safetensors cannot be read \(No such file"):
        load_published(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"patch_embed.proj.weight is missing"):
        load_published(tmp_path / "x.safetensors")
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:20])
    with pytest.raises(InputError, match=r"half.safetensors cannot be read as safetensors"):
        load_published(tmp_path / "half.safetensors")


def pickled(model: MaskedAutoencoder, kind: str) -> Any:
    """A checkpoint as people have it: what `torch.save` was given."""
    tensors = published_tensors(model, 2)
    if kind == "state_dict":
        # Parameters may be views of one storage, or of one that is laid out otherwise.
        tensors["norm.weight"], tensors["norm.bias"] = torch.cat([tensors["norm.weight"], tensors["norm.bias"]]).chunk(
            2
        )
        tensors["decoder_embed.weight"] = tensors["decoder_embed.weight"].T.contiguous().T
        return OrderedDict(tensors)
    if kind == "published":
        return {"model": tensors}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    sum(parameter.sum() for parameter in model.parameters()).backward()  # type: ignore[union-attr]
    optimiser.step()
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 3}
    args = argparse.Namespace(batch_size=64, norm_pix_loss=True, output_dir="./out", resume="", world_size=1, gpu=None)
    return {
        "model": published_tensors(model, 2),
        "optimizer": optimiser.state_dict(),
        "epoch": 799,
        "scaler": scaler,
        "args": args,
    }


@pytest.mark.parametrize(
    ("kind", "name"), [("state_dict", "mae.pth"), ("published", "mae.pth"), ("training", 'it\'s my "$1" mae.pth')]
)
def test_the_line_that_converts_a_pickled_file_does(kind: str, name: str, tmp_path: Path) -> None:
    """The very line that is printed, in a shell, on what facebookresearch/mae and others write."""
    model = network("grey")
    saved = pickled(model, kind)
    torch.save(saved, tmp_path / name)
    with pytest.raises(InputError, match=r"convert it once, to .*safetensors: python -c ") as caught:
        load_published(tmp_path / name)
    line = str(caught.value).split(".safetensors: ", 1)[1]
    line = line.replace("python", shlex.quote(sys.executable), 1)
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same_parameters(load_published(tmp_path / f"{name}.safetensors").model, model)


def test_the_line_runs_no_code_of_the_file(tmp_path: Path) -> None:
    torch.save({"model": Trap()}, tmp_path / "mae.pth")
    with pytest.raises(InputError, match="could run code") as caught:
        load_published(tmp_path / "mae.pth")
    line = str(caught.value).split(".safetensors: ", 1)[1].replace("python", shlex.quote(sys.executable), 1)
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Unsupported global" in done.stderr
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def test_paths_may_be_strings(tmp_path: Path) -> None:
    model, path = network("grey"), str(tmp_path / "mae.safetensors")
    save_published(model, path, 2)
    assert_same_parameters(load_published(path).model, model)
    with pytest.raises(InputError, match=r"none.safetensors cannot be read"):
        load_published("none.safetensors")
    with pytest.raises(
        InputError, match=r"none.safetensors does not exist; expected a checkpoint written by maskgraph"
    ):
        load_model("none.safetensors")


def test_models_that_the_layout_has_no_place_for_are_refused() -> None:
    for shape, message in (
        (model_config("micro", (2, 2), 4, bottleneck=3), r"a bottleneck has no place in the published layout"),
        (model_config("micro", (2, 2), 4, relative=True), r"relative_positions have no place in the published layout"),
        (model_config("micro", (2, 2), 4, layer_scale=0.1), r"layer_scale have no place in the published layout"),
        (model_config("micro", (2, 3), 4), r"a grid of 2x3 patches; the published layout has square ones"),
        (model_config("micro", (2, 2), 5), r"patches of 5 values of a model; no number of channels has a side of 2"),
    ):
        model = build_model(shape, 0)
        assert isinstance(model, MaskedAutoencoder)
        with pytest.raises(InputError, match=message):
            published_tensors(model, 2)
