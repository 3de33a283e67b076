"""The masked autoencoder and its losses in plain numpy, written from the formulas; float64 throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]

erf = np.vectorize(math.erf, otypes=[np.float64])


def layer_norm(x: Array, p: Parameters, name: str) -> Array:
    """(x − mean)/√(variance + 1e-6), scaled and shifted."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + 1e-6) * p[f"{name}.weight"] + p[f"{name}.bias"])


def linear(x: Array, p: Parameters, name: str) -> Array:
    """X Wᵀ + b."""
    return np.asarray(x @ p[f"{name}.weight"].T + p[f"{name}.bias"])


def offset(one: int | None, other: int | None, grid: tuple[int, int]) -> int:
    """The row of the table of relative positions for token `one` looking at the `other`; None is CLS."""
    rows, columns = grid
    known = (2 * rows - 1) * (2 * columns - 1)
    if one is None:
        return known + (1 if other is not None else 3)
    if other is None:
        return known + 2
    if rows * columns in (one, other):
        return known
    down, right = one // columns - other // columns, one % columns - other % columns
    return (down + rows - 1) * (2 * columns - 1) + right + columns - 1


def attention(x: Array, p: Parameters, name: str, heads: int, added: Array | None = None) -> Array:
    """One image (T, dim): each head on its own, softmax(q kᵀ/√width + added) v."""
    dim = x.shape[1]
    width = dim // heads
    q, k, v = np.split(linear(x, p, f"{name}.qkv"), 3, axis=1)
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        score = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width) + (0 if added is None else added[head]))
        mixed.append(score / score.sum(axis=1, keepdims=True) @ v[:, part])
    return linear(np.concatenate(mixed, axis=1), p, f"{name}.proj")


def block(x: Array, p: Parameters, name: str, heads: int, added: Array | None = None) -> Array:
    """Pre-norm: x + attention, then + MLP with the exact GELU t·Φ(t), each times its LayerScale where there is one."""
    one = p.get(f"{name}.scale1", np.ones(1))
    x = x + one * attention(layer_norm(x, p, f"{name}.norm1"), p, name, heads, added)
    t = linear(layer_norm(x, p, f"{name}.norm2"), p, f"{name}.fc1")
    return x + p.get(f"{name}.scale2", np.ones(1)) * linear(0.5 * t * (1 + erf(t / math.sqrt(2))), p, f"{name}.fc2")


def encode(
    p: Parameters,
    depth: int,
    heads: int,
    patches: Array,
    positions: NDArray[np.int64],
    masked: NDArray[np.int64] | None = None,
    grid: tuple[int, int] | None = None,
) -> Array:
    """Tokens (1 + T, dim) of one image's visible patches (T, s), and of SimMIM's mask tokens at `masked`.

    With a grid positions are relative: every head's score gets a number for the offset.
    """
    places, x = [*positions], linear(patches, p, "embed")
    if masked is not None:
        places += [*masked]
        x = np.concatenate([x, np.tile(p["mask_token"], (len(masked), 1))])
    added = None
    if grid is None:
        x = x + p["encoder_positions"][places]
    else:
        tokens = [None, *places]
        rows = [[offset(one, other, grid) for other in tokens] for one in tokens]
        added = p["relative.table"][rows].transpose(2, 0, 1)
    x = np.concatenate([p["cls"][None], x])
    for index in range(depth):
        x = block(x, p, f"blocks.{index}", heads, added)
    return layer_norm(x, p, "norm")


def decode(
    p: Parameters, depth: int, heads: int, tokens: Array, positions: NDArray[np.int64], targets: NDArray[np.int64]
) -> Array:
    """Patches (n2, s) at the target positions of one image."""
    x = linear(tokens, p, "decoder_embed")
    x[1:] += p["decoder_positions"][positions]
    return _answered(p, depth, heads, x, targets)


def decode_bottleneck(p: Parameters, depth: int, heads: int, f: Array, targets: NDArray[np.int64]) -> Array:
    """Patches (n2, s) at the target positions, from one feature f (dim,) through the unit vector W f/‖W f‖."""
    return _answered(p, depth, heads, linear(bottleneck(p, f)[None], p, "decoder_embed"), targets)


def bottleneck(p: Parameters, f: Array) -> Array:
    """W f + b over its norm."""
    z = linear(f, p, "bottleneck")
    return np.asarray(z / math.sqrt(sum(value**2 for value in z)))


def _answered(p: Parameters, depth: int, heads: int, context: Array, targets: NDArray[np.int64]) -> Array:
    x = np.concatenate([context, p["mask_token"] + p["decoder_positions"][targets]])
    for index in range(depth):
        x = block(x, p, f"decoder_blocks.{index}", heads)
    return linear(layer_norm(x[len(context) :], p, "decoder_norm"), p, "head")


def reconstruction(predicted: Array, target: Array, weights: Array, power: int = 2) -> float:
    """1/B Σ_i w_i 1/d Σ_j |h_ij − x_ij|^power, image by image and value by value."""
    total = 0.0
    for h, x, w in zip(predicted, target, weights, strict=True):
        total += w * sum(abs(a - b) ** power for a, b in zip(h.ravel(), x.ravel(), strict=True)) / h.size
    return total / len(predicted)


def uniformity(features: Array, weights: Array, queued: int = 0, diagonal: bool = True) -> float:
    """Mean over pairs (i, j) of w_i w_j (z_i·z_j)², z = f/‖f‖, i in the batch, j in it or among the last `queued`."""
    z = [f / math.sqrt(sum(value**2 for value in f)) for f in features]
    batch = len(z) - queued
    pairs = [(i, j) for i in range(batch) for j in range(len(z)) if diagonal or i != j]
    return sum(float(weights[i] * weights[j] * (z[i] @ z[j]) ** 2) for i, j in pairs) / len(pairs)


def normalised(patch: Array) -> Array:
    """(x − mean)/√(variance + 1e-6) of one patch, the variance over s − 1."""
    mean = sum(patch) / len(patch)
    variance = sum((value - mean) ** 2 for value in patch) / (len(patch) - 1)
    return np.asarray((patch - mean) / math.sqrt(variance + 1e-6))
