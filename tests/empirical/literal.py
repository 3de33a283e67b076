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


def encode(p: Parameters, depth: int, heads: int, patches: Array, positions: NDArray[np.int64]) -> Array:
    """Tokens (1 + T, dim) of one image's visible patches (T, s)."""
    x = linear(patches, p, "embed") + p["encoder_positions"][positions]
    x = np.concatenate([p["cls"][0], x])
    for index in range(depth):
        x = block(x, p, f"blocks.{index}", heads)
    return layer_norm(x, p, "norm")


def decode(
    p: Parameters, depth: int, heads: int, tokens: Array, positions: NDArray[np.int64], targets: NDArray[np.int64]
) -> Array:
    """Patches (n2, s) at the target positions of one image."""
    x = linear(tokens, p, "decoder_embed")
    x[1:] += p["decoder_positions"][positions]
    x = np.concatenate([x, p["mask_token"][0] + p["decoder_positions"][targets]])
    for index in range(depth):
        x = block(x, p, f"decoder_blocks.{index}", heads)
    return linear(layer_norm(x[len(tokens) :], p, "decoder_norm"), p, "head")


def reconstruction(predicted: Array, target: Array, weights: Array) -> float:
    """1/B Σ_i w_i 1/d Σ_j (h_ij − x_ij)², image by image and value by value."""
    total = 0.0
    for h, x, w in zip(predicted, target, weights, strict=True):
        total += w * sum((a - b) ** 2 for a, b in zip(h.ravel(), x.ravel(), strict=True)) / h.size
    return total / len(predicted)


def uniformity(features: Array, weights: Array) -> float:
    """1/B² Σ_ij w_i w_j (z_i·z_j)² with z = f/‖f‖."""
    z = [f / math.sqrt(sum(value**2 for value in f)) for f in features]
    pairs = [(i, j) for i in range(len(z)) for j in range(len(z))]
    return sum(float(weights[i] * weights[j] * (z[i] @ z[j]) ** 2) for i, j in pairs) / len(z) ** 2
