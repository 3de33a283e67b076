"""Floors of L_MAE that hold for every model, or every model of a kind, on this graph."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError


def target_energy(graph: MaskGraph) -> float:
    """E‖x2‖²."""
    return float(graph.p2 @ (graph.X2**2).sum(axis=1))


def target_variance(graph: MaskGraph) -> float:
    """Var(x2) = E‖x2 − E x2‖², the floor of a constant encoder whose decoder knows nothing else (Thm 3.6)."""
    return float(graph.p2 @ ((graph.X2 - graph.p2 @ graph.X2) ** 2).sum(axis=1))


def target_variance_given_mask(graph: MaskGraph) -> float:
    """E_m Var(x2 | m) <= Var(x2), the floor of a constant encoder whose decoder knows the mask (S4)."""
    masks = int(graph.ids2.shape[1])
    mask = np.broadcast_to(np.arange(masks), graph.ids2.shape).ravel()
    mass = np.repeat(graph.images.weights, masks)
    given = sp.csr_array((mass, (mask, graph.ids2.ravel())), shape=(masks, len(graph.p2)))
    means = np.asarray(given @ (graph.X2 - graph.p2 @ graph.X2))
    return max(target_variance(graph) - float((means**2).sum()) / masks, 0.0)


def conditional_mean(graph: MaskGraph) -> NDArray[np.float64]:
    """(N1, d) float64, E[x2 | x1]: the best output there is."""
    return np.asarray(graph.M @ graph.X2) / graph.p1[:, None]


def bayes_risk(graph: MaskGraph) -> float:
    """E‖x2‖² − E‖E[x2|x1]‖² (identity I2): no model of any size goes below it on this graph."""
    # About the mean, which both terms share: the plain energies cancel where patch values are far from 0.
    best = conditional_mean(graph) - graph.p2 @ graph.X2
    return max(target_variance(graph) - float(graph.p1 @ (best**2).sum(axis=1)), 0.0)


def rank_floor(graph: MaskGraph, k: int) -> float:
    """Min L_MAE over encoders of k dimensions with a linear decoder: E‖x2‖² − Σ_{i<=k} s_i², attained (S3).

    s are the singular values of diag(p1)^-½ M X2. The decoder has no bias; a bias counts as one more dimension.

    Raises:
        InputError: k below 1.
    """
    if k < 1:
        raise InputError(f"dimension {k}; expected at least 1 (see --dim)")
    Z = conditional_mean(graph) * np.sqrt(graph.p1)[:, None]
    s = np.linalg.svd(np.linalg.qr(Z, mode="r"), compute_uv=False)
    # E‖x2‖² − Σ s_i² over all i is the Bayes risk, which is known without cancellation.
    return bayes_risk(graph) + float((s[k:] ** 2).sum())
