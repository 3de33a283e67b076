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


def attention(x: Array, p: Parameters, name: str, heads: int) -> Array:
    """One image (T, dim): each head on its own, softmax(q kᵀ/√width) v."""
    dim = x.shape[1]
    width = dim // heads
    q, k, v = np.split(linear(x, p, f"{name}.qkv"), 3, axis=1)
    mixed = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        score = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width))
        mixed.append(score / score.sum(axis=1, keepdims=True) @ v[:, part])
    return linear(np.concatenate(mixed, axis=1), p, f"{name}.proj")


def block(x: Array, p: Parameters, name: str, heads: int) -> Array:
    """Pre-norm: x + attention, then + MLP with the exact GELU t·Φ(t)."""
    x = x + attention(layer_norm(x, p, f"{name}.norm1"), p, name, heads)
    t = linear(layer_norm(x, p, f"{name}.norm2"), p, f"{name}.fc1")
    return x + linear(0.5 * t * (1 + erf(t / math.sqrt(2))), p, f"{name}.fc2")


def encode(
    p: Parameters,
    depth: int,
    heads: int,
    patches: Array,
    positions: NDArray[np.int64],
    masked: NDArray[np.int64] | None = None,
) -> Array:
    """Tokens (1 + T, dim) of one image's visible patches (T, s), and of SimMIM's mask tokens at `masked`."""
    x = linear(patches, p, "embed") + p["encoder_positions"][positions]
    x = np.concatenate([p["cls"][None], x])
    if masked is not None:
        x = np.concatenate([x, p["mask_token"] + p["encoder_positions"][masked]])
    for index in range(depth):
        x = block(x, p, f"blocks.{index}", heads)
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
