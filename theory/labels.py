"""Labels on the graph: how often the class cannot be read off a view, and what the edges mix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.arrays import as_array
from maskgraph.graphs.augmentation import AugmentationGraph, check_augmentation_graph, majority_class
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import InputError, check_type
from maskgraph.theory.losses import on_views
from maskgraph.theory.rounding import EPS


@dataclass(frozen=True)
class EdgeMass:
    """Probabilities over a positive pair and the two images behind it; intra + inter = 1.

    Attributes:
        intra: both images have the same class.
        inter: they have different classes.
    """

    intra: float
    inter: float


def alpha(graph: MaskGraph) -> float:
    """α = Pr[y(x1) ≠ y(x̄)], the Bayes error of reading the class off the visible view (Thm 4.1)."""
    check_mask_graph(graph)
    return _bayes_error(graph.class_mass1)


def prior_error(graph: MaskGraph) -> float:
    """1 − max_c Pr[y = c], the error of guessing the largest class: what α is where views tell nothing of the class.

    Raises:
        InputError: no mask graph.
    """
    check_mask_graph(graph)
    return float(1 - np.bincount(graph.images.labels, graph.images.weights).max())


def alpha_target(graph: MaskGraph) -> float:
    """α of the target side, Pr[y(x2) ≠ y(x̄)]; φ <= 2(α + α_target) on the target hop."""
    check_mask_graph(graph)
    return _bayes_error(graph.class_mass2)


def phi(graph: AugmentationGraph) -> float:
    """φ = Pr over positive pairs of the hop that y(x1) ≠ y(x1⁺), with y the majority class of a view (Thm 4.1)."""
    check_augmentation_graph(graph)
    label = majority_class(graph.graph.class_mass1)
    return _disagreement(sp.csr_array(graph.joint.T @ _onehot(label, graph.graph.class_mass1.shape[1])))


def p_max(graph: MaskGraph) -> float:
    """The largest class mass under the majority label y(x1) (the constant p_max of Thm 4.1)."""
    check_mask_graph(graph)
    return float(np.bincount(majority_class(graph.class_mass1), graph.p1).max())


def edge_mass(graph: AugmentationGraph) -> EdgeMass:
    """Intra- and inter-class mass of the hop's positive pairs, by the classes of the images they come from.

    Target hop: draw x2, then two independent (image, mask) given x2. Image hop: two masks of one image, which
    therefore are all its own pairs.
    """
    check_augmentation_graph(graph)
    if graph.hop == "image":
        return EdgeMass(1.0, 0.0)
    inter = _disagreement(graph.graph.class_mass2)
    return EdgeMass(1 - inter, inter)


def misread(class_mass: sp.csr_array, answer: NDArray[np.int64]) -> float:
    """Pr over image and view that the image's class is not the view's answer; exactly 0 where every answer is sure.

    Args:
        class_mass: (views, C) CSR, joint mass of view and class.
        answer: (views,) a class for each view.
    """
    check_type(class_mass, sp.csr_array, "give graph.class_mass1 or class_mass2")
    answer = _classes_of_views(answer, *class_mass.shape)
    wrong = class_mass.indices != np.repeat(answer, np.diff(class_mass.indptr))
    return float(class_mass.data[wrong].sum())


def mean_classifier(graph: MaskGraph, f: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N1,) int64, argmax_c (Wᵀf(x1))_c with W = E[f(x1) onehot(y(x1))ᵀ], the lowest class at a tie (Thm 4.1).

    Scores that rounding alone may tell apart are a tie, so that the order of the views decides nothing.

    Args:
        graph: the mask graph.
        f: (N1, k) features of the visible views.
    """
    check_mask_graph(graph)
    f = on_views("f", f, len(graph.p1), finite=True)
    onehot = _onehot(majority_class(graph.class_mass1), graph.class_mass1.shape[1])
    weighted = f * graph.p1[:, None]
    scores, sizes = f @ (weighted.T @ onehot), np.abs(f) @ (np.abs(weighted).T @ onehot)
    rounding = EPS * (64 + math.sqrt(len(f))) * sizes.max(axis=1, keepdims=True)
    return np.asarray(np.argmax(scores >= scores.max(axis=1, keepdims=True) - rounding, axis=1), dtype=np.int64)


def vote_error(graph: MaskGraph, answer: NDArray[np.int64]) -> float:
    """Pr[ȳ ≠ p_f(x̄)]: the error of the majority vote over the views of an image (Thm 4.1).

    A view votes with its mass under the image, the lowest class winning a tie.

    Args:
        graph: the mask graph.
        answer: (N1,) what each visible view votes for: in Thm 4.1 what `mean_classifier` says.
    """
    check_mask_graph(graph)
    answer = _classes_of_views(answer, *graph.class_mass1.shape)
    votes = sp.csr_array(graph.R1.T @ _onehot(answer, graph.class_mass1.shape[1]))
    votes.sort_indices()
    return float(graph.images.weights[majority_class(votes) != graph.images.labels].sum())


def _classes_of_views(answer: NDArray[np.int64], views: int, classes: int) -> NDArray[np.int64]:
    """The answers, (views,) of as many classes."""
    answer = as_array(answer, "answer")
    whole = answer.shape == (views,) and answer.dtype.kind in "iu"
    if not whole or answer.min() < 0 or answer.max() >= classes:
        raise InputError(
            f"answer has shape {answer.shape} and dtype {answer.dtype}; expected ({views},) integers, a class below "
            f"{classes} for each view"
        )
    return answer


def _onehot(classes: NDArray[np.int64], count: int) -> sp.csr_array:
    rows = len(classes)
    return sp.csr_array((np.ones(rows), classes, np.arange(rows + 1)), shape=(rows, count))


def _disagreement(class_mass: sp.csr_array) -> float:
    """Pr[classes differ] of two independent draws given a shared thing, from the (shared, C) joint masses.

    Σ m_c (m − m_c)/m term by term: exactly 0 where each shared thing has one class.
    """
    mass = np.repeat(np.asarray(class_mass.sum(axis=1)), np.diff(class_mass.indptr))
    return float((class_mass.data * (mass - class_mass.data) / mass).sum())


def _bayes_error(class_mass: sp.csr_array) -> float:
    # Of the very label that y(x) is, ties included, so that α is Pr[y(x) ≠ y(x̄)].
    return misread(class_mass, majority_class(class_mass))
