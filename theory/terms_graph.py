"""Quantities of the graph alone, each measured once, when a statement first asks for it."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError
from maskgraph.theory import labels
from maskgraph.theory.outputs import Outputs
from maskgraph.theory.risk import Floors
from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.degrees import column_lengths, row_lengths
from maskgraph.theory.solver.frobenius import frobenius_norm_sq, frobenius_through_edges

Array = NDArray[np.float64]


class UnmetError(InputError):
    """A quantity has no value: the message says which assumption is missing and how to mend it."""


class GraphTerms:
    """The graph, and the parts of a model that may be missing or broken.

    Args:
        graph: the mask graph; statements are about its target hop.
        outputs: the model, its feature as it is (see `outputs.with_unit_features`).
        embedding: (N1, k) features whose best linear readout is taken for the exact eigenvectors; None: those.
    """

    def __init__(self, graph: MaskGraph, outputs: Outputs, embedding: Array | None = None) -> None:
        self.graph = graph
        self.outputs = outputs
        self.embedding = embedding
        self.floors = Floors(graph)

    @cached_property
    def _faults(self) -> dict[str, str]:
        return self.outputs.faults(self.graph)

    def _part(self, name: str, mend: str) -> Array:
        if name in self._faults:
            raise UnmetError(self._faults[name])
        value: Array | None = getattr(self.outputs, name)
        if value is None:
            raise UnmetError(f"this model gives no {name}: {mend}")
        return np.asarray(value, dtype=np.float64)

    def _number(self, name: str) -> float | None:
        if name in self._faults:
            raise UnmetError(self._faults[name])
        value: float | None = getattr(self.outputs, name)
        return value

    def _require_views(self) -> None:
        """Raise UnmetError for a graph without views, on which nothing has a value."""
        rows, columns = self.graph.M.shape
        if min(rows, columns) == 0:
            raise UnmetError(f"the graph has {rows} visible and {columns} target views; give it images and masks")

    def _require_targets(self) -> None:
        """Raise UnmetError where targets have no values."""
        if self.graph.images.codebook is None:
            raise UnmetError("these codes have no patch values, so there are no targets x2: add a codebook (V, s)")
        self._require_views()

    @cached_property
    def longest(self) -> int:
        """Entries of the longest row of M and of its longest column, together."""
        return int(row_lengths(self.graph.M).max() + column_lengths(self.graph.M).max())

    @property
    def rounding(self) -> float:
        """Of sums over at most nnz(M) products, relative to their size: errors add up at random.

        Not along a row or column, which a sparse product sums in order: there equal terms are rounded the same way. Nor
        in a mass that many places of images and masks add up to: what all masses together miss 1 by is measured.
        """
        return EPS * (64 + math.sqrt(self.graph.M.nnz) + self.longest) + abs(math.fsum(self.graph.p1) - 1)

    @cached_property
    def A(self) -> AugmentationGraph:
        """The augmentation graph of the target hop."""
        self._require_views()
        return augmentation_graph(self.graph)

    @cached_property
    def X2(self) -> Array:
        """(N2, d) targets."""
        self._require_targets()
        return self.graph.X2

    @cached_property
    def frobenius_sq(self) -> float:
        """‖A‖_F², entry by entry."""
        return frobenius_norm_sq(self.A.B)[0]

    @cached_property
    def frobenius_sq_edges(self) -> float:
        """‖A‖_F² = tr Bᵀ A B as a sum over the edges of the mask graph."""
        return frobenius_through_edges(self.A.B)

    @cached_property
    def alpha(self) -> float:
        """α, the label error of the visible side."""
        self._require_views()
        return labels.alpha(self.graph)

    @cached_property
    def alpha_target(self) -> float:
        """α of the target side."""
        self._require_views()
        return labels.alpha_target(self.graph)

    @cached_property
    def phi(self) -> float:
        """φ, how often the majority classes of a positive pair differ."""
        return labels.phi(self.A)

    @cached_property
    def p_max(self) -> float:
        """The largest class mass under the majority label."""
        self._require_views()
        return labels.p_max(self.graph)

    @cached_property
    def bayes(self) -> float:
        """The Bayes risk."""
        self._require_targets()
        return self.floors.bayes_risk

    @cached_property
    def target_energy(self) -> float:
        """E‖x2‖²."""
        self._require_targets()
        return self.floors.target_energy

    @cached_property
    def variance(self) -> float:
        """Var(x2)."""
        self._require_targets()
        return self.floors.target_variance

    @cached_property
    def variance_given_mask(self) -> float:
        """E_m Var(x2 | m)."""
        self._require_targets()
        return self.floors.target_variance_given_mask
