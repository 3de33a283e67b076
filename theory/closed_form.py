"""The class mixture in closed form: the spectrum of one mask and α at any number of patches.

y ~ π and the patches are independent given y, so that for one mask (and for the `sequence` and `bag` views under
any masks of one size) B has rank at most C.
"""

from __future__ import annotations

import itertools
import math
from numbers import Real

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from maskgraph.graphs.arrays import finite_values
from maskgraph.graphs.errors import InputError, is_whole


def binary_overlap(patches: int, flip: float) -> float:
    """r(q) = E[(2P(y=1|v) − 1)²] over views v of q binary patches that show one of two equiprobable classes.

    A patch agrees with the class with probability 1 − flip; λ_2 = r(n1)·r(n2).

    Raises:
        InputError: patches < 1 or flip outside (0, 1).
    """
    agree, one, other = _binary_counts(patches, flip)
    posterior_gap = np.tanh((2 * agree - patches) * math.log((1 - flip) / flip) / 2)
    return float((one + other) / 2 @ posterior_gap**2)


def binary_lambda_2(visible: int, target: int, flip: float) -> float:
    """λ_2 of A for one mask of n1 = visible and n2 = target patches: r(n1)·r(n2)."""
    return binary_overlap(visible, flip) * binary_overlap(target, flip)


def binary_alpha(visible: int, flip: float) -> float:
    """α: the Bayes error of the class given n1 = visible patches."""
    _, one, other = _binary_counts(visible, flip)
    return float(np.minimum(one, other).sum()) / 2


def mixture_eigenvalues(
    prior: NDArray[np.float64], likelihood: NDArray[np.float64], visible: int, target: int
) -> NDArray[np.float64]:
    """The C non-trivial eigenvalues of A for one mask: those of G1·G2.

    G_v[c, c'] = E_v[P(c|v) P(c'|v)] / √(π_c π_c') over the views v of one side, summed over the multisets of patch
    codes (the order of independent patches carries nothing).

    Args:
        prior: (C,) π, positive, sums to 1 up to 1e-5, as which it is taken.
        likelihood: (C, V) probability of each code given the class, likewise.
        visible: n1.
        target: n2.

    Returns:
        (C,) float64 descending; the first is 1.

    Raises:
        InputError: no prior and likelihood of as many classes, or counts that are no integers of at least 1.
    """
    prior, likelihood = (finite_values(x, name) for x, name in ((prior, "prior"), (likelihood, "likelihood")))
    if prior.ndim != 1 or likelihood.ndim != 2 or len(prior) != len(likelihood):
        raise InputError(
            f"prior of shape {prior.shape} and likelihood of shape {likelihood.shape}; expected (C,) and (C, V)"
        )
    for name, one in (("prior", prior), ("likelihood", likelihood)):
        if not np.allclose(one.sum(axis=-1), 1) or (one < 0).any() or (one is prior and not (one > 0).all()):
            raise InputError(f"{name} {one.tolist()}; expected probabilities that sum to 1, the prior's above 0")
    for name, count in (("visible", visible), ("target", target)):
        if not is_whole(count) or count < 1:
            raise InputError(f"{name} is {count!r}; expected a number of patches, an integer of at least 1")
    # Decimals that sum to 1 but for their last digit pass as probabilities, and would have an eigenvalue above 1.
    prior, likelihood = prior / prior.sum(), likelihood / likelihood.sum(axis=1, keepdims=True)
    G1, G2 = (_overlap(prior, likelihood, count) for count in (visible, target))
    # G1·G2 has the eigenvalues of the symmetric √G1·G2·√G1.
    values, vectors = np.linalg.eigh(G1)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return np.linalg.eigvalsh(root @ G2 @ root)[::-1]


def _binary_counts(patches: int, flip: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    if not (is_whole(patches) and isinstance(flip, Real)) or patches < 1 or not 0 < flip < 1:
        raise InputError(f"{patches!r} patches with flip {flip!r}; expected at least 1 patch and 0 < flip < 1")
    agree = np.arange(patches + 1.0)
    ways = gammaln(patches + 1) - gammaln(agree + 1) - gammaln(patches - agree + 1)
    one = np.exp(ways + agree * math.log(1 - flip) + (patches - agree) * math.log(flip))
    return agree, one, one[::-1]


def _overlap(prior: NDArray[np.float64], likelihood: NDArray[np.float64], patches: int) -> NDArray[np.float64]:
    G = np.zeros((len(prior), len(prior)))
    for bag in itertools.combinations_with_replacement(range(likelihood.shape[1]), patches):
        counts = np.bincount(bag, minlength=likelihood.shape[1])
        # In logarithms: the multinomial coefficient alone overflows from about a thousand patches on.
        ways = gammaln(patches + 1) - gammaln(counts + 1).sum()
        joint = prior * np.exp(ways + xlogy(counts, likelihood).sum(axis=1))
        if joint.sum() > 0:
            G += np.outer(joint, joint) / joint.sum()
    return np.asarray(G / np.sqrt(np.outer(prior, prior)))
