"""Floors of L_MAE that hold for every model, or every model of a kind, on this graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.theory.dimension import check_positive

CHUNK = 2**22
"""Numbers of target values that are laid out at a time, 32 MB."""

PART = 256
"""Masses that are added up in order at a time, at the least."""

EPS = float(np.finfo(np.float64).eps)

ROUNDED = 64 * EPS
"""The share of Var(x2), and EPS of it for each visible view, whose terms BLAS adds one after the other, up to which
what no view leaves open is not told from rounding, and is 0."""


class Floors:
    """What models cannot go below in L_MAE on a graph, each measured once, when first asked for.

    Two passes over the graph serve all of them, in memory that its size does not enter, but for
    `target_variance_given_mask`, which lays out X2.

    Args:
        graph: the mask graph; codes without patch values raise InputError where a number is asked for.
    """

    def __init__(self, graph: MaskGraph) -> None:
        check_mask_graph(graph)
        self.graph = graph

    @cached_property
    def target_energy(self) -> float:
        """E‖x2‖²."""
        mean, variance = self._mean_and_variance
        return variance + float(mean @ mean)

    @property
    def target_variance(self) -> float:
        """Var(x2) = E‖x2 − E x2‖², the floor of a constant encoder whose decoder knows nothing else (Thm 3.6)."""
        return self._mean_and_variance[1]

    @cached_property
    def target_variance_given_mask(self) -> float:
        """E_m Var(x2 | m) <= Var(x2), the floor of a constant encoder whose decoder knows the mask (S4)."""
        graph = self.graph
        masks = int(graph.ids2.shape[1])
        mask = np.broadcast_to(np.arange(masks), graph.ids2.shape).ravel()
        mass = np.repeat(graph.images.weights, masks)
        given = sp.csr_array((mass, (mask, graph.ids2.ravel())), shape=(masks, len(graph.p2)))
        away = graph.X2 - graph.p2 @ graph.X2
        # Twice, as in `_mean_and_variance`.
        away -= graph.p2 @ away / graph.p2.sum()
        means = np.asarray(given @ away)
        return max(self.target_variance - float((means**2).sum()) / masks, 0.0)

    @property
    def bayes_risk(self) -> float:
        """E‖x2‖² − E‖E[x2|x1]‖² (identity I2): no model of any size goes below it on this graph."""
        return self._bayes_and_squares[0]

    def rank_floor(self, k: int) -> float:
        """Min L_MAE over encoders of k dimensions with a linear decoder: E‖x2‖² − Σ_{i<=k} s_i², attained (S3).

        s are the singular values of diag(p1)^-½ M X2. The decoder has no bias; a bias counts as one more dimension.

        Raises:
            InputError: k below 1.
        """
        check_positive(k)
        bayes, squares = self._bayes_and_squares
        # E‖x2‖² − Σ s_i² over all i is the Bayes risk, which is known without cancellation.
        return bayes + float(squares[k:].sum())

    @cached_property
    def _bayes_and_squares(self) -> tuple[float, NDArray[np.float64]]:
        """The Bayes risk and all s_i², descending."""
        values = self.graph.target_values
        # About their mean: what follows is rounded as they differ, however far from 0 they are.
        often = self._slot_mass.sum(axis=0)
        centre = often @ values / often.sum()
        values = values - centre
        if len(values) < len(centre):
            # Norms and angles are all that enters: an isometric codebook of fewer values an entry will do.
            both = np.asarray(np.linalg.qr(np.column_stack([values.T, centre]), mode="r")).T
            values, centre = both[:-1], both[-1]
        mean, variance = _mean_and_variance(self._slot_mass, values)
        moment = np.zeros((len(mean), len(mean)))
        for mass, best in _conditional_means(self.graph, values, mean):
            weighted = best * np.sqrt(mass)[:, None]
            moment += weighted.T @ weighted
        bayes = variance - float(np.trace(moment))
        squares = _of_shifted(moment, (mean.reshape(-1, len(centre)) + centre).ravel())
        rounded = ROUNDED + EPS * self.graph.M.shape[0]
        return (bayes if bayes > rounded * variance else 0.0), squares

    @cached_property
    def _mean_and_variance(self) -> tuple[NDArray[np.float64], float]:
        return _mean_and_variance(self._slot_mass, self.graph.target_values)

    @cached_property
    def _slot_mass(self) -> NDArray[np.float64]:
        """(n2, V) float64, how often each code stands in each slot of a target."""
        graph = self.graph
        values, slots = len(graph.target_values), graph.masks.dropped.shape[1]
        mass = np.zeros((slots, values))
        step = max(CHUNK // slots, 1)
        for low in range(0, len(graph.p2), step):
            vertices = slice(low, low + step)
            codes = graph.target_codes(vertices)
            # Some hundred at a time: the error of one sum over all, in order, would be that of their number. More at a
            # time where there are so many codes that their sums would fill memory; each is then of few masses.
            size = max(PART, -(-len(codes) * values // CHUNK))
            parts = -(-len(codes) // size)
            part = np.arange(len(codes)) // size
            for slot in range(slots):
                sums = np.bincount(codes[:, slot] * parts + part, graph.p2[vertices], minlength=values * parts)
                mass[slot] += sums.reshape(values, parts).sum(axis=1)
        return mass


def target_energy(graph: MaskGraph) -> float:
    """`Floors.target_energy` of a graph that nothing else is asked of."""
    return Floors(graph).target_energy


def target_variance(graph: MaskGraph) -> float:
    """`Floors.target_variance`, likewise."""
    return Floors(graph).target_variance


def target_variance_given_mask(graph: MaskGraph) -> float:
    """`Floors.target_variance_given_mask`, likewise."""
    return Floors(graph).target_variance_given_mask


def bayes_risk(graph: MaskGraph) -> float:
    """`Floors.bayes_risk`, likewise."""
    return Floors(graph).bayes_risk


def rank_floor(graph: MaskGraph, k: int) -> float:
    """`Floors.rank_floor`, likewise.

    Raises:
        InputError: k below 1.
    """
    return Floors(graph).rank_floor(k)


def conditional_mean(graph: MaskGraph) -> NDArray[np.float64]:
    """(N1, d) float64, E[x2 | x1]: the best output there is.

    Raises:
        InputError: no mask graph, or one without patch values.
    """
    check_mask_graph(graph)
    return np.asarray(graph.M @ graph.X2) / graph.p1[:, None]


def _of_shifted(moment: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of a second moment about the mean, and that of the mean added, descending.

    The first is good to some ulp of itself, the others to some of the moment about the mean.
    """
    own, size = float(np.trace(moment)), float(np.linalg.norm(mean))
    if size > 0:
        # The mean along the first axis: solved from there on, the rest is not rounded as something of its size.
        axis = mean / size
        axis[0] += math.copysign(1.0, axis[0])
        axis *= math.sqrt(2) / np.linalg.norm(axis)
        moment = moment - np.outer(axis, axis @ moment)
        moment = moment - np.outer(moment @ axis, axis)
        moment[0, 0] += size**2
    squares = np.linalg.eigvalsh(moment)[::-1]
    # Those of 0 come out as rounding; all but the first are at most those about the mean.
    floor = len(squares) * EPS * np.where(np.arange(len(squares)) > 0, own, squares[0])
    return np.where(squares > floor, squares, 0.0)


def _mean_and_variance(mass: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """E x2 (n2·s,) and E‖x2 − E x2‖², slot by slot from how often each code stands in it."""
    # Twice: masses that are sums of many miss 1 by their rounding, and so does the mean its place by that much of its
    # size; about that mean the second one errs by as little of what the values differ by.
    mean = mass @ values
    total = mass.sum(axis=1)
    away = [values - centre for centre in mean]
    off = np.stack([own @ one / whole for own, one, whole in zip(mass, away, total, strict=True)])
    variance = sum(float(own @ ((one - rest) ** 2).sum(axis=1)) for own, one, rest in zip(mass, away, off, strict=True))
    return (mean + off).ravel(), variance


def _conditional_means(
    graph: MaskGraph, values: NDArray[np.float64], mean: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """p1 (r,) and E[x2 | x1] − E x2 (r, n2·s) of all visible views, some rows at a time."""
    M = graph.M
    edges = max(CHUNK // len(mean), 1)
    low = 0
    while low < M.shape[0]:
        high = max(int(np.searchsorted(M.indptr, M.indptr[low] + edges, side="right")) - 1, low + 1)
        part = slice(M.indptr[low], M.indptr[high])
        used, local = np.unique(M.indices[part], return_inverse=True)
        targets = values[graph.target_codes(used.astype(np.int64))].reshape(len(used), -1) - mean
        rows = sp.csr_array(
            (M.data[part], local, M.indptr[low : high + 1] - M.indptr[low]), shape=(high - low, len(used))
        )
        mass = graph.p1[low:high]
        yield mass, np.asarray(rows @ targets) / mass[:, None]
        low = high
