"""How far features have collapsed, and onto what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError
from maskgraph.theory.lipschitz import SAME


@dataclass(frozen=True)
class VarianceShares:
    """A two-way split of the variance of features over (image, mask); sums to 1, or all 0 where nothing varies.

    Of all images and masks that there are; `spectra.shares` estimates it from some of them.

    Attributes:
        image: variance of the means over masks: what tells images apart.
        mask: variance of the means over images: what tells masks apart.
        interaction: the rest, which tells neither; uniformity can be bought with it.
    """

    image: float
    mask: float
    interaction: float


def told_apart(features: NDArray[np.floating[Any]]) -> float:
    """How far apart rounding may bring equal features, as a share of their norm: `SAME` in the precision of their own.

    Eight ulp: an entry that is rounded a few times, in the last layer or in a division by the norm, is off by half of
    one each time, and so is the whole relative to its norm. Values that are all numbers of float32 are a network's,
    whatever they are kept as.

    Args:
        features: of any shape, as they were computed: division by their norm makes float64 of any.
    """
    with np.errstate(over="ignore"):
        of_float32 = bool((features == features.astype(np.float32)).all())
    return SAME * float(np.finfo(np.float32).eps / np.finfo(np.float64).eps) if of_float32 else SAME


def rankme(s: NDArray[np.floating[Any]], eps: float = 0.0) -> float:
    """Exp of the entropy of σ_k/Σσ + eps (RankMe, Garrido et al. 2023, arXiv 2210.02885, eq. 1).

    A recipe adds the published 1e-7 to each share. A study adds nothing, 0·log 0 taken as 0: it is then between 1 and
    the rank, and 0 where all σ are.

    Args:
        s: (K,) singular values.
        eps: added to each share.

    Raises:
        InputError: features in the place of their singular values.
    """
    _check_singular("rankme", s)
    share = (s / s.sum() if s.sum() > 0 else s) + eps
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


def participation_ratio(s: NDArray[np.floating[Any]]) -> float:
    """(Σ g)²/Σ g² of the eigenvalues g of FᵀF, the uncentred second moment; 1/L_unif for unit-norm f. 0 for F = 0.

    Args:
        s: (K,) singular values of F.

    Raises:
        InputError: features in the place of their singular values.
    """
    _check_singular("participation_ratio", s)
    g = s**2
    return float(g.sum() ** 2 / (g**2).sum()) if g.sum() > 0 else 0.0


def _check_singular(what: str, s: NDArray[np.floating[Any]]) -> None:
    if np.ndim(s) != 1 or np.min(s, initial=0) < 0:
        raise InputError(
            f"{what} of an array of shape {np.shape(s)}; expected singular values (K,), none below 0, such as "
            "singular_values(F) of maskgraph.theory.losses"
        )


def variance_shares(
    f: NDArray[np.float64],
    ids: NDArray[np.int64],
    image_weights: NDArray[np.float64],
    same: float | None = None,
) -> VarianceShares:
    """Split the variance of z(i, m) = f[ids[i, m]] over images i and equiprobable masks m.

    Args:
        f: (N1, k) features of the visible views.
        ids: (N, S) the view of each image under each mask.
        image_weights: (N,) masses of the images, sum 1.
        same: how far apart rounding brings equal features, where f is what was made of others (see `told_apart`).
    """
    same = told_apart(f) if same is None else same
    images, masks = ids.shape
    by_image = np.zeros((images, f.shape[1]))
    mask_means = np.empty((masks, f.shape[1]))
    energy = 0.0
    largest = float((f**2).sum(axis=1).max())
    # About a feature's own place first: the split is invariant, and the energies then do not cancel.
    f = f - f[ids[0, 0]]
    for m in range(masks):
        z = f[ids[:, m]]
        by_image += z / masks
        mask_means[m] = image_weights @ z
        energy += float(image_weights @ (z**2).sum(axis=1)) / masks
    mean = mask_means.mean(axis=0)
    total = energy - float(mean @ mean)
    image = float(image_weights @ ((by_image - mean) ** 2).sum(axis=1))
    mask = float(((mask_means - mean) ** 2).sum()) / masks
    # What rounding leaves of features that do not vary is no variance: neither that of these sums nor that of the
    # features, by which parallel ones differ after division by their norm.
    if total <= max(energy * np.finfo(np.float64).eps * images * masks, largest * same**2):
        return VarianceShares(0.0, 0.0, 0.0)
    return VarianceShares(image / total, mask / total, max(1 - (image + mask) / total, 0.0))
