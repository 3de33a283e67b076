"""Labels on the graph: how often the class cannot be read off a view, and what the edges mix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, majority_class
from maskgraph.graphs.bipartite import MaskGraph


@dataclass(frozen=True)
class EdgeMass:
    """Probabilities over a positive pair and the two images behind it; intra + inter = 1.

    Attributes:
        intra: both images have the same class.
        inter: they have different classes.
        own: they are the same image (one row of the dataset). Such pairs are always intra-class, so without the
            image's own pairs the intra-class mass is `intra_others` and the inter-class mass still `inter`.
    """

    intra: float
    inter: float
    own: float

    @property
    def intra_others(self) -> float:
        """Mass of the pairs of two different images of one class."""
        return self.intra - self.own


def alpha(graph: MaskGraph) -> float:
    """α = Pr[y(x1) ≠ y(x̄)], the Bayes error of reading the class off the visible view (Thm 4.1)."""
    return _bayes_error(graph.class_mass1)


def alpha_target(graph: MaskGraph) -> float:
    """α of the target side, Pr[y(x2) ≠ y(x̄)]; φ <= 2(α + α_target) on the target hop."""
    return _bayes_error(graph.class_mass2)


def phi(graph: AugmentationGraph) -> float:
    """φ = Pr over positive pairs of the hop that y(x1) ≠ y(x1⁺), with y the majority class of a view (Thm 4.1)."""
    label = majority_class(graph.graph.class_mass1)
    onehot = np.eye(graph.graph.class_mass1.shape[1])[label]
    return _disagreement(np.asarray(graph.joint.T @ onehot))


def p_max(graph: MaskGraph) -> float:
    """The largest class mass under the majority label y(x1) (the constant p_max of Thm 4.1)."""
    return float(np.bincount(majority_class(graph.class_mass1), graph.p1).max())


def edge_mass(graph: AugmentationGraph) -> EdgeMass:
    """Intra- and inter-class mass of the hop's positive pairs, by the classes of the images they come from.

    Target hop: draw x2, then two independent (image, mask) given x2. Image hop: two masks of one image, which
    therefore are all its own pairs.
    """
    if graph.hop == "image":
        return EdgeMass(1.0, 0.0, 1.0)
    R2, p2 = graph.graph.R2, graph.graph.p2
    inter = _disagreement(graph.graph.class_mass2)
    own = float((R2.data**2 / np.repeat(p2, np.diff(R2.indptr))).sum())
    return EdgeMass(1 - inter, inter, own)


def coverage(graph: MaskGraph) -> float:
    """The share of target mass that is seen from one image only: near 1, the graph tells of the sample."""
    return float(graph.p2[np.diff(graph.R2.indptr) == 1].sum())


def mean_classifier(graph: MaskGraph, f: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N1,) int64, argmax_c (Wᵀf(x1))_c with W = E[f(x1) onehot(y(x1))ᵀ], the lowest class at a tie (Thm 4.1).

    Args:
        graph: the mask graph.
        f: (N1, k) features of the visible views.
    """
    onehot = np.eye(graph.class_mass1.shape[1])
    W = (f * graph.p1[:, None]).T @ onehot[majority_class(graph.class_mass1)]
    return np.asarray(np.argmax(f @ W, axis=1), dtype=np.int64)


def vote_error(graph: MaskGraph, f: NDArray[np.float64]) -> float:
    """Pr[ȳ ≠ p_f(x̄)]: the error of the mean classifier's majority vote over the views of an image (Thm 4.1).

    A view votes with its mass under the image, the lowest class winning a tie.

    Args:
        graph: the mask graph.
        f: (N1, k) features of the visible views.
    """
    votes = sp.csr_array(graph.R1.T) @ np.eye(graph.class_mass1.shape[1])[mean_classifier(graph, f)]
    return float(graph.images.weights[majority_class(np.asarray(votes)) != graph.images.labels].sum())


def _disagreement(class_mass: NDArray[np.float64]) -> float:
    """Pr[classes differ] of two independent draws given a shared thing, from the (shared, C) joint masses.

    Σ m_c (m − m_c)/m term by term: exactly 0 where each shared thing has one class.
    """
    mass = class_mass.sum(axis=1, keepdims=True)
    return float((class_mass * (mass - class_mass) / mass).sum())


def _bayes_error(class_mass: NDArray[np.float64]) -> float:
    # Of the very label that y(x) is, ties included, so that α is Pr[y(x) ≠ y(x̄)]; exactly 0 where every view is pure.
    own = class_mass[np.arange(len(class_mass)), majority_class(class_mass)]
    return float((class_mass.sum(axis=1) - own).sum())
