"""Quantities of a model's outputs h, h_g and collapsed outputs on a graph, each measured once, when asked for."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.theory import losses, risk
from maskgraph.theory.terms_graph import Array, GraphTerms


class OutputTerms(GraphTerms):
    """The outputs of a model."""

    @cached_property
    def h(self) -> Array:
        """(N1, d) outputs."""
        self._require_targets()
        return self._part("h", "statements about a loss need the decoder's outputs; the others are held")

    @cached_property
    def mae(self) -> float:
        """L_MAE(h), edge by edge."""
        return losses.mae_loss(self.graph, self.h)

    @cached_property
    def energy_h(self) -> float:
        """E‖h‖²."""
        return losses.energy(self.graph, self.h)

    @cached_property
    def align_h(self) -> float:
        """L_align(h)."""
        return losses.align_loss(self.A, self.h)

    @cached_property
    def pair_h(self) -> float:
        """E‖h − h⁺‖², about the mean of each target."""
        return losses.pair_distance(self.A, self.h)

    @property
    def half_pair_h(self) -> float:
        """½E‖h − h⁺‖²."""
        return self.pair_h / 2

    @cached_property
    def trace_h(self) -> float:
        """Tr Hᵀ(I − A)H."""
        H = self.h * np.sqrt(self.graph.p1)[:, None]
        return float((H * (H - self.A.B @ (self.A.B.T @ H))).sum())

    @cached_property
    def target_gap(self) -> float:
        """E‖E[h|x2] − x2‖²."""
        return losses.target_gap(self.graph, self.h)

    @cached_property
    def excess(self) -> float:
        """E‖h(x1) − E[x2|x1]‖², the loss above the Bayes risk."""
        return losses.energy(self.graph, self.h - risk.conditional_mean(self.graph))

    @cached_property
    def pseudo(self) -> Array:
        """(N2, d) outputs h_g at the targets."""
        self._require_targets()
        return self._part("pseudo", "give the decoder's outputs h_g(x2) of some pseudo-inverse encoder")

    @cached_property
    def epsilon_found(self) -> float:
        """E‖h_g(x2) − x2‖², the ε that h_g certifies."""
        return losses.mean(self.graph.p2, ((self.pseudo - self.X2) ** 2).sum(axis=1))

    @cached_property
    def epsilon(self) -> float:
        """ε as claimed, else as certified, else 0."""
        claimed = self._number("epsilon")
        if claimed is not None:
            return claimed
        return 0.0 if self.outputs.pseudo is None else self.epsilon_found

    @cached_property
    def energy_pseudo(self) -> float:
        """E‖h_g(x2)‖²."""
        return losses.mean(self.graph.p2, (self.pseudo**2).sum(axis=1))

    @cached_property
    def asym(self) -> float:
        """L_asym = −E h(x1)·h_g(x2)."""
        return -float((self.h * (self.graph.M @ self.pseudo)).sum())

    @cached_property
    def half_cross(self) -> float:
        """½E‖h(x1) − h_g(x2)‖², edge by edge."""
        return losses.cross_distance(self.graph, self.h, self.pseudo) / 2

    @cached_property
    def norm_error_h(self) -> float:
        """The largest |‖h(x1)‖ − 1|."""
        return float(np.abs(np.linalg.norm(self.h, axis=1) - 1).max())

    @cached_property
    def collapsed(self) -> Array:
        """(N1, d) outputs of a constant encoder."""
        self._require_targets()
        if self.outputs.collapsed is None:
            return self.h
        return self._part("collapsed", "")

    @cached_property
    def mae_collapsed(self) -> float:
        """L_MAE of the constant encoder."""
        return losses.mae_loss(self.graph, self.collapsed)

    @cached_property
    def energy_collapsed(self) -> float:
        """E‖h‖² of the constant encoder."""
        return losses.energy(self.graph, self.collapsed)

    @cached_property
    def apart(self) -> float:
        """(E‖h − E h‖²/E‖h‖²)^½ of the collapsed outputs."""
        return _apart(self.graph, self.collapsed, np.zeros(len(self.collapsed), dtype=np.int64))

    @cached_property
    def apart_given_mask(self) -> float:
        """(E‖h − E[h|m]‖²/E‖h‖²)^½ where the view determines the mask; elsewhere no decoder can tell masks apart."""
        if self.graph.view != "positional":
            return self.apart
        return _apart(self.graph, self.collapsed, self.graph.representatives1[1])


def _apart(graph: MaskGraph, h: Array, group: NDArray[np.int64]) -> float:
    mass = np.bincount(group, graph.p1)
    mean = sp.csr_array((graph.p1, (group, np.arange(len(h)))), shape=(len(mass), len(h))) @ h
    away = losses.energy(graph, h - (mean / np.where(mass > 0, mass, 1)[:, None])[group])
    return math.sqrt(away / (losses.energy(graph, h) or 1.0))
