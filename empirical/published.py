"""Checkpoints in the layout of facebookresearch/mae: its parameter names and shapes, in safetensors.

Those of U-MAE's code, which is made of it, are read too.

He et al. 2022 (arXiv 2111.06377) published pickled files, which may run code when they are read. This says how to turn
one into safetensors, and reads only that.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from maskgraph.empirical.blocks import sincos_positions
from maskgraph.empirical.model import SIZES, MaskedAutoencoder, ModelConfig, build_model
from maskgraph.empirical.records import write_atomically
from maskgraph.graphs.errors import InputError, as_path, check_type, is_whole

POSITION = 4 * 2.0**-23
"""Of a sine per column or row: published angles, at most as large, are float32 powers times float32 places."""

NAMES = (
    (r"embed\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"cls", "cls_token"),
    (r"mask_token", "mask_token"),
    (r"((?:decoder_)?blocks\.\d+)\.(qkv|proj)\.(weight|bias)", r"\1.attn.\2.\3"),
    (r"((?:decoder_)?blocks\.\d+)\.(fc1|fc2)\.(weight|bias)", r"\1.mlp.\2.\3"),
    (r"head\.(weight|bias)", r"decoder_pred.\1"),
)
"""What a parameter is called here and there, where the two differ."""

MONITOR = ("fc_norm.weight", "fc_norm.bias", "fc.weight", "fc.bias")
"""What the code of U-MAE (zhangq327/U-MAE) keeps beside encoder and decoder: a linear layer that reads the classes off
CLS while it trains and hands no gradient back, and the norm of a mean token that its training does not take."""

PARALLEL = "module."
"""What DistributedDataParallel puts before every name, where its own state_dict was saved and not the model's."""

ARCHIVE, PICKLE = b"PK\x03\x04", re.compile(rb"\x80[\x02-\x05]")
"""How the files begin that `torch.save` writes, now and long ago."""

HEADER = 8
"""Where the header of a safetensors file begins, with a brace: its length comes first, and may begin like a pickle."""


@dataclass(frozen=True)
class Published:
    """A network that was read.

    Attributes:
        model: in evaluation mode.
        decoder: whether the file held a decoder; encoders are published without, and then it is at its initialisation.
    """

    model: MaskedAutoencoder
    decoder: bool


def published_tensors(model: MaskedAutoencoder, patch: int) -> dict[str, Tensor]:
    """The parameters and position tables of a model under their published names and in their published shapes.

    Args:
        model: a masked autoencoder.
        patch: side of its patches in pixels, which their number of values alone does not tell.

    Raises:
        InputError: a bottleneck, relative positions, LayerScale, a grid that is not square, or patches of another side.
    """
    check_type(model, MaskedAutoencoder, "give a network of this project, such as load_model(path).model")
    if not is_whole(patch):
        raise InputError(f"patch {patch!r}; expected an integer, the side of a patch in pixels")
    config = model.config
    if config.bottleneck is not None:
        raise InputError("a bottleneck has no place in the published layout; save a model without one")
    if config.relative or config.layer_scale:
        what = "relative_positions" if config.relative else "layer_scale"
        raise InputError(f"{what} have no place in the published layout of MAE; save a model without")
    if config.grid[0] != config.grid[1]:
        raise InputError(f"a grid of {config.grid[0]}x{config.grid[1]} patches; the published layout has square ones")
    channels, rest = divmod(config.patch_dim, patch**2) if patch > 0 else (0, 1)
    if rest or not channels:
        raise InputError(
            f"patches of {config.patch_dim} values of a model; no number of channels has a side of {patch}"
        )
    tensors = {_published(name): value.detach().clone() for name, value in model.named_parameters()}
    weight = tensors["patch_embed.proj.weight"].view(config.dim, patch, patch, channels)
    tensors["patch_embed.proj.weight"] = weight.permute(0, 3, 1, 2).contiguous()
    for name in ("cls_token", "mask_token"):
        tensors[name] = tensors[name][None, None]
    tensors["pos_embed"] = _table(config.grid, config.dim)
    tensors["decoder_pos_embed"] = _table(config.grid, config.decoder_dim)
    return tensors


def from_published(tensors: Mapping[str, Any], heads: int | None = None, decoder_heads: int | None = None) -> Published:
    """The model that published tensors are of.

    Args:
        tensors: by their published names; other dtypes than float32 are converted. Or what holds them: the dictionary
            that facebookresearch/mae saves, under "model", and names that all begin with the "module." of
            DistributedDataParallel.
        heads: of the encoder, which shapes do not tell; those of the named size with its width and depth when None.
        decoder_heads: likewise of the decoder.

    Raises:
        InputError: a name that is missing or unknown, a shape that does not fit, a number of heads that nobody knows,
            a value that is not finite, or positions that are not the fixed table.
    """
    check_type(tensors, Mapping, "give tensors by their names, such as a state_dict in that layout, or load_published")
    tensors = _unwrapped(tensors)
    for name, value in tensors.items():
        check_type(value, Tensor, f"{name} of a checkpoint is a torch tensor, such as torch.as_tensor(array)")
    for name, number in (("heads", heads), ("decoder_heads", decoder_heads)):
        if number is not None and (not is_whole(number) or number < 1):
            raise InputError(f"{name} {number!r}; expected an integer from 1, or None for those of the named size")
    decoder = "decoder_embed.weight" in tensors
    config = _config(tensors, heads, decoder_heads)
    model = build_model(config, seed=0)
    assert isinstance(model, MaskedAutoencoder)
    wanted = published_tensors(model, tensors["patch_embed.proj.weight"].shape[2])
    if not decoder:
        wanted = {name: value for name, value in wanted.items() if not _of_decoder(name)}
    # The mask token is of no use without the rest of the decoder.
    unread = MONITOR if decoder else ("mask_token",)
    tensors = {name: value for name, value in tensors.items() if name not in unread}
    _check(tensors, wanted)
    state = model.state_dict()
    for name, value in state.items():
        if (there := _published(name)) in wanted:
            found = tensors[there].float()
            if there == "patch_embed.proj.weight":
                found = found.permute(0, 2, 3, 1)
            state[name] = found.reshape(value.shape)
    model.load_state_dict(state)
    return Published(model.eval(), decoder)


def _unwrapped(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a checkpoint, whatever its training put around them."""
    if isinstance(tensors.get("model"), Mapping):
        tensors = tensors["model"]
    if all(isinstance(name, str) and name.startswith(PARALLEL) for name in tensors):
        return {name.removeprefix(PARALLEL): value for name, value in tensors.items()}
    return tensors


def save_published(model: MaskedAutoencoder, path: str | Path, patch: int) -> None:
    """Write a model in the published layout, atomically (see `published_tensors`).

    Raises:
        InputError: see `published_tensors`; a place that cannot be written.
    """
    write_atomically(as_path(path, "a checkpoint"), save(published_tensors(model, patch)))


def load_published(path: str | Path, heads: int | None = None, decoder_heads: int | None = None) -> Published:
    """Read a safetensors file in the published layout (see `from_published`).

    Raises:
        InputError: no such file, a pickled one, a truncated one, or tensors of something else.
    """
    path = as_path(path, "a checkpoint")
    try:
        with path.open("rb") as file:
            first = file.read(HEADER + 1)
        if first.startswith(ARCHIVE) or (PICKLE.match(first) and first[HEADER:] != b"{"):
            raise InputError(
                f"{path} is pickled and could run code; where you trust it, convert it once, to {_converted(path)}: "
                f"python -c {shlex.quote(_conversion(path))}"
            )
        tensors = load_file(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a checkpoint in safetensors") from error
    except SafetensorError as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}); fetch or convert it again") from error
    return from_published(tensors, heads, decoder_heads)


def _converted(path: Path) -> Path:
    # Whatever the pickled file is called, this is not it.
    return path.with_name(f"{path.name}.safetensors")


def _conversion(path: Path) -> str:
    """Python that turns a pickled checkpoint into safetensors and unpickles nothing but tensors and plain values.

    The files of a training hold its model beside optimiser, epoch and the arguments of its command, a Namespace;
    others are the parameters alone. Parameters may share memory, which safetensors refuse.
    """
    old, new = (json.dumps(str(one), ensure_ascii=False) for one in (path, _converted(path)))
    return (
        "import argparse, torch, safetensors.torch as s; "
        "torch.serialization.add_safe_globals([argparse.Namespace]); "
        f'state = torch.load({old}, map_location="cpu", weights_only=True); '
        'state = state.get("model", state); '
        f"s.save_file({{name: value.contiguous().clone() for name, value in state.items()}}, {new})"
    )


def _published(name: str) -> str:
    for here, there in NAMES:
        if re.fullmatch(here, name):
            return re.sub(here, there, name)
    return name


def _of_decoder(name: str) -> bool:
    return name.startswith("decoder_") or name == "mask_token"


def _table(grid: tuple[int, int], dim: int) -> Tensor:
    """(1, n + 1, dim): no position for the CLS token, which comes first."""
    table = sincos_positions(grid, dim)
    return torch.cat([table[-1:], table[:-1]])[None]


def _config(tensors: Mapping[str, Tensor], heads: int | None, decoder_heads: int | None) -> ModelConfig:
    dim, channels, side = (_shape(tensors, "patch_embed.proj.weight", 4)[axis] for axis in (0, 1, 2))
    patches = _shape(tensors, "pos_embed", 3)[1] - 1
    rows = math.isqrt(patches)
    if rows * rows != patches:
        raise InputError(f"pos_embed is of {patches} patches; expected a square number of them")
    depth = _depth(tensors, "blocks")
    known = next((size for size in SIZES.values() if size[:2] == (dim, depth)), None)
    if "decoder_embed.weight" in tensors:
        decoder = (_shape(tensors, "decoder_embed.weight", 2)[0], _depth(tensors, "decoder_blocks"))
        decoder_heads = decoder_heads or next((size[5] for size in SIZES.values() if size[3:5] == decoder), None)
    else:
        decoder = known[3:5] if known else SIZES["base"][3:5]
        decoder_heads = decoder_heads or (known or SIZES["base"])[5]
    heads = heads or (known[2] if known else None)
    for name, value, sizes in (("heads", heads, (dim, depth)), ("decoder_heads", decoder_heads, decoder)):
        if value is None:
            raise InputError(f"no named size has width {sizes[0]} and {sizes[1]} blocks; give {name}, a number")
    assert heads is not None
    assert decoder_heads is not None
    return ModelConfig((rows, rows), side * side * channels, dim, depth, heads, *decoder, decoder_heads)


def _shape(tensors: Mapping[str, Tensor], name: str, dimensions: int) -> torch.Size:
    if name not in tensors:
        raise InputError(f"{name} is missing; expected a checkpoint in the layout of facebookresearch/mae")
    shape = tensors[name].shape
    if len(shape) != dimensions:
        raise InputError(f"{name} has shape {tuple(shape)}; expected {dimensions} dimensions")
    return shape


def _depth(tensors: Mapping[str, Tensor], part: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{part}.")})


def _check(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    if "fc_norm.weight" in tensors:
        raise InputError(
            "fc_norm.weight is of a fine-tuned classifier, which norms the mean token; expected a pre-trained network"
        )
    if missing := sorted(set(wanted) - set(tensors)):
        raise InputError(f"{missing[0]} is missing; expected a checkpoint in the layout of facebookresearch/mae")
    if unknown := sorted(set(tensors) - set(wanted)):
        raise InputError(f"{unknown[0]} is no part of MAE in the layout of facebookresearch/mae; remove it")
    for name, value in wanted.items():
        if tensors[name].shape != value.shape:
            raise InputError(f"{name} has shape {tuple(tensors[name].shape)}; expected {tuple(value.shape)}")
        # As they are converted: what float64 holds may be beyond float32.
        if lost := int((~torch.isfinite(tensors[name].float())).sum()):
            raise InputError(
                f"{name} holds NaN or infinity as float32 in {lost} of its {value.numel()} values; expected finite "
                "numbers: fetch or convert the checkpoint again, or take one from before its training diverged"
            )
    for name in sorted({"pos_embed", "decoder_pos_embed"} & set(wanted)):
        # Some files are in half precision, their tables too; an entry is at most 1.
        dtype = tensors[name].dtype
        rounded = torch.finfo(dtype).eps / 2 if dtype in (torch.float16, torch.bfloat16) else 0.0
        allowed = POSITION * math.isqrt(wanted[name].shape[1]) + rounded
        if not torch.allclose(tensors[name].float(), wanted[name], rtol=0, atol=allowed):
            raise InputError(f"{name} is not the fixed table of sines and cosines; learned positions cannot be loaded")
