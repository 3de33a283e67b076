"""What training minimises: reconstruction of the dropped patches, uniformity of the features, and λ between them.

Losses are given as shares: the part of the whole batch's loss that some of its images bring. Shares of micro-batches
and of processes add up to the loss, and their gradients to its gradient, because a share reaches the images that it
does not own through what `everyone` says of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Target = Literal["pixels", "normalised"]
Distance = Literal["squared", "absolute"]

PATCH_EPS = 1e-6
"""Added to the variance of a patch before its root is divided by, as in the reference code of MAE."""


@dataclass(frozen=True)
class Everyone:
    """The features of a whole batch, and of the memory queue after it, as constants.

    Attributes:
        z: (B + Q, D) of unit norm, without gradient.
        weights: (B + Q,) data weights relative to uniform.
        batch: B.
        diagonal: whether an image of the batch is paired with itself.
    """

    z: Tensor
    weights: Tensor
    batch: int
    diagonal: bool = True

    @property
    def pairs(self) -> int:
        """How many pairs the mean is over."""
        # One image alone has no pair without itself: then there is nothing to sum either.
        return max(self.batch * (len(self.z) - (0 if self.diagonal else 1)), 1)


def normalise_patches(patches: Tensor) -> Tensor:
    """Each patch less its mean and over its standard deviation (unbiased), the targets of MAE's `norm_pix_loss`.

    Args:
        patches: (..., s), s >= 2.
    """
    mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + PATCH_EPS).sqrt()


def reconstruction_share(
    reconstruction: Tensor, target: Tensor, weights: Tensor, batch: int, distance: Distance = "squared"
) -> Tensor:
    """What some images bring to the mean over images and target values of the error: to L_MAE/d, d = n2·s.

    Args:
        reconstruction: (b, n2, s).
        target: (b, n2, s).
        weights: (b,) data weights relative to uniform, 1 on average over the data.
        batch: B, images of the whole batch.
        distance: squared (MAE) or absolute (SimMIM, L1).
    """
    error = reconstruction - target
    value = error.square() if distance == "squared" else error.abs()
    return (weights * value.mean(dim=(1, 2))).sum() / batch


def uniformity_share(z: Tensor, weights: Tensor, rows: slice, everyone: Everyone) -> Tensor:
    """What some images bring to Σ_ij w_i w_j (z_i·z_j)² over pairs (i, j), divided by the number of pairs.

    i runs over the batch, j over the batch and the queue. With the diagonal, as in the reference code of U-MAE, it
    does not go below max(1/D, 1/B) for uniform weights; without it, it is an unbiased estimate of L_unif over pairs of
    different images. On a graph of N images 1/N of the pairs are of one image under two masks, which no batch holds.
    Because the reconstruction loss is a mean over d target values, MAE + lam·uniformity is (L_MAE + d·lam·L_unif)/d:
    the λ of the theory is d·lam.

    A pair of the batch has a share at both its images. Each counts the slope of its own image twice instead, the
    other's being a constant here: the sum of all shares' gradients is the gradient of the whole.

    Args:
        z: (b, D) of unit norm, with gradient.
        weights: (b,).
        rows: where those images stand in the batch.
        everyone: all of it.
    """
    squares = (z @ everyone.z.T).square() * everyone.weights
    if not everyone.diagonal:
        own = torch.arange(rows.start, rows.stop, device=z.device)
        # Not in place: the squares are what the gradient is made of.
        squares = squares.scatter(1, own[:, None], 0.0)
    within = (weights @ squares[:, : everyone.batch]).sum() / everyone.pairs
    queued = (weights @ squares[:, everyone.batch :]).sum() / everyone.pairs
    slope = 2 * within + queued
    return (within + queued).detach() + slope - slope.detach()


def unit(features: Tensor) -> Tensor:
    """(B, D) float32 or better, of unit norm; a zero feature stays zero."""
    return functional.normalize(features if features.dtype == torch.float64 else features.float(), dim=1)


def largest_ratio(f: Tensor, h: Tensor, x: Tensor) -> Tensor:
    """The largest ‖f − f'‖²/‖h − h'‖² over pairs of views: the least L, on squared distances, that they allow.

    Args:
        f: (B, D) features of unit norm.
        h: (B, d) outputs under one and the same mask.
        x: (B, T·s) what the views show; pairs that show the same say nothing.

    Returns:
        a scalar; infinite where outputs agree and features do not, 0 where no two views differ.
    """
    apart, output, shown = (torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist") for a in (f, h, x))
    return torch.where(shown > 0, (apart / output).square().nan_to_num(nan=0.0, posinf=torch.inf), 0.0).max()
