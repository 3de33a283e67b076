"""The terms of `terms.Terms` with a gradient, for many models on one small graph at once.

Only what the sides of statements are made of; a test holds each to `terms.Terms`.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import torch

from maskgraph.graphs.augmentation import TIE, majority_class
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.theory import bounds
from maskgraph.theory.lipschitz import SAME
from maskgraph.theory.outputs import Outputs
from maskgraph.theory.rounding import EPS
from maskgraph.theory.terms import ZERO, Terms

Tensor = torch.Tensor

GRAPH_ALONE = (
    *("alpha", "alpha_target", "phi", "p_max", "frobenius_sq", "frobenius_sq_edges", "bayes", "variance"),
    *("variance_given_mask", "target_energy", "rank_floor", "values", "head_sq", "next_value", "k"),
)


class SmallGraph:
    """A small graph as dense tensors, with its own quantities, measured by the code that measures every graph.

    Args:
        graph: the mask graph.
        dim: k' of the features to come.
    """

    def __init__(self, graph: MaskGraph, dim: int) -> None:
        self.M = torch.tensor(graph.M.toarray())
        self.p1, self.p2 = torch.tensor(graph.p1), torch.tensor(graph.p2)
        self.X2 = torch.tensor(graph.X2)
        self.pairs = (self.M / self.p2) @ self.M.T
        root = self.p1.sqrt()
        self.A = self.pairs / torch.outer(root, root)
        label = majority_class(graph.class_mass1)
        self.onehot = torch.eye(graph.class_mass1.shape[1], dtype=torch.float64)[torch.tensor(label)]
        self.R1 = torch.tensor(graph.R1.toarray())
        self.labels, self.weights = torch.tensor(graph.images.labels), torch.tensor(graph.images.weights)
        self.terms = Terms(graph, Outputs(f=np.ones((len(graph.p1), dim))))
        self.graph_alone = {name: getattr(self.terms, name) for name in GRAPH_ALONE}


class TracedTerms:
    """Terms of S models: attributes are (S,) tensors, or numbers where they are the graph's alone.

    Args:
        small: the graph.
        f: (S, N1, k) features.
        h: (S, N1, d) outputs.
        pseudo: (S, N2, d) outputs h_g.
        collapsed: (S, N1, d) outputs of a constant encoder.
        lipschitz: claimed L; None: the least.
        epsilon: claimed ε; None: that of h_g.
        lam: (S,) λ; None: 1/(4L).
        embeds: whether f stands in the place of the exact eigenvectors.
    """

    def __init__(
        self,
        small: SmallGraph,
        f: Tensor,
        h: Tensor,
        pseudo: Tensor,
        collapsed: Tensor,
        lipschitz: float | None = None,
        epsilon: float | None = None,
        lam: Tensor | None = None,
        embeds: bool = False,
    ) -> None:
        self.small, self.f, self.h, self.pseudo, self.collapsed = small, f, h, pseudo, collapsed
        self._lipschitz, self._epsilon, self._lam, self._embeds = lipschitz, epsilon, lam, embeds
        self.starts = len(f)

    def __getattr__(self, name: str) -> Any:
        """A quantity of the graph alone."""
        if name in GRAPH_ALONE:
            return self.small.graph_alone[name]
        raise AttributeError(f"no term {name!r} with a gradient")

    def _energy(self, h: Tensor) -> Tensor:
        return torch.einsum("i,sid->s", self.small.p1, h**2)

    def _align(self, h: Tensor) -> Tensor:
        return -torch.einsum("ij,sid,sjd->s", self.small.pairs, h, h)

    def _apart(self, h: Tensor) -> Tensor:
        return (h[:, :, None] - h[:, None]).square().sum(3)

    @cached_property
    def mae(self) -> Tensor:
        return torch.einsum("ij,sij->s", self.small.M, (self.h[:, :, None] - self.small.X2).square().sum(3))

    @cached_property
    def mae_collapsed(self) -> Tensor:
        return torch.einsum("ij,sij->s", self.small.M, (self.collapsed[:, :, None] - self.small.X2).square().sum(3))

    @cached_property
    def energy_h(self) -> Tensor:
        return self._energy(self.h)

    @cached_property
    def align_h(self) -> Tensor:
        return self._align(self.h)

    @cached_property
    def pair_h(self) -> Tensor:
        return torch.einsum("ij,sij->s", self.small.pairs, self._apart(self.h))

    @property
    def half_pair_h(self) -> Tensor:
        return self.pair_h / 2

    @cached_property
    def trace_h(self) -> Tensor:
        return self.energy_h + self.align_h

    @cached_property
    def target_gap(self) -> Tensor:
        mean = torch.einsum("ij,sid->sjd", self.small.M / self.small.p2, self.h)
        return torch.einsum("j,sjd->s", self.small.p2, (mean - self.small.X2) ** 2)

    @cached_property
    def excess(self) -> Tensor:
        return self._energy(self.h - (self.small.M @ self.small.X2) / self.small.p1[:, None])

    @cached_property
    def epsilon(self) -> Tensor | float:
        if self._epsilon is not None:
            return self._epsilon
        return torch.einsum("j,sjd->s", self.small.p2, (self.pseudo - self.small.X2) ** 2)

    @cached_property
    def energy_pseudo(self) -> Tensor:
        return torch.einsum("j,sjd->s", self.small.p2, self.pseudo**2)

    @cached_property
    def asym(self) -> Tensor:
        return -torch.einsum("ij,sid,sjd->s", self.small.M, self.h, self.pseudo)

    @cached_property
    def _moment(self) -> Tensor:
        return torch.einsum("i,sia,sib->sab", self.small.p1, self.f, self.f)

    @cached_property
    def unif(self) -> Tensor:
        return self._moment.square().sum((1, 2))

    @cached_property
    def scl(self) -> Tensor:
        return 2 * self._align(self.f) + self.unif

    @cached_property
    def scale_sq(self) -> Tensor:
        return -self._align(self.f) / self.unif

    @cached_property
    def scl_fitted(self) -> Tensor:
        return self.scale_sq * self._align(self.f)

    @cached_property
    def scl_spectral(self) -> Tensor:
        root, A = self.small.p1.sqrt(), self.small.A
        G = torch.einsum("i,sia,sja,j->sij", root, self.f, self.f, root)
        return (A - G).square().sum((1, 2)) - A.square().sum()

    @cached_property
    def L(self) -> Tensor | float:
        if self._lipschitz is not None:
            return self._lipschitz
        feature, output = self._apart(self.f), self._apart(self.h)
        size = self.f.detach().square().sum(2)
        pair = (self.small.pairs > 0) & (feature > SAME**2 * (size[:, :, None] + size[:, None, :]))
        return torch.where(pair, feature / output.clamp_min(1e-300), 0.0).amax((1, 2))

    @cached_property
    def lam(self) -> Tensor | float:
        return 1 / (4 * self.L) if self._lam is None else self._lam

    @cached_property
    def water_filling(self) -> Tensor:
        L, lam = (torch.as_tensor(x, dtype=torch.float64).expand(self.starts) for x in (self.L, self.lam))
        # By the envelope theorem the minimiser may be held fixed in the gradient.
        slope, curve = np.empty(self.starts), np.empty(self.starts)
        for s, (one, weight) in enumerate(zip(L.tolist(), lam.tolist(), strict=True)):
            if not (0 < one < np.inf and 0 < weight < np.inf):
                slope[s] = curve[s] = np.nan
                continue
            g = bounds.water_filling_moments(self.values, one, weight)
            slope[s], curve[s] = (1 - self.values[: len(g)]) @ g, g @ g
        return torch.as_tensor(slope) / L + lam * torch.as_tensor(curve)

    @cached_property
    def _scores(self) -> Tensor:
        W = torch.einsum("i,sia,ic->sac", self.small.p1, self.f, self.small.onehot)
        return self.f @ W

    @cached_property
    def mean_square(self) -> Tensor:
        return self._energy(self.small.onehot - self.scale_sq[:, None, None] * self._scores)

    @cached_property
    def vote_error(self) -> Tensor:
        """Piecewise constant: no gradient."""
        # The first of equal classes wins, as it does in `labels.vote_error`, which measures what a search finds.
        scores, f = self._scores.detach(), self.f.detach().abs()
        sizes = f @ torch.einsum("i,sia,ic->sac", self.small.p1, f, self.small.onehot)
        rounding = EPS * (64 + math.sqrt(f.shape[1])) * sizes.amax(2, keepdim=True)
        first = (scores >= scores.amax(2, keepdim=True) - rounding).double().argmax(2)
        answers = torch.nn.functional.one_hot(first, scores.shape[2]).double()
        votes = torch.einsum("im,sic->smc", self.small.R1, answers)
        tied = votes >= votes.amax(2, keepdim=True) * (1 - TIE)
        return (tied.double().argmax(2) != self.small.labels).double() @ self.small.weights

    @cached_property
    def readout_error(self) -> Tensor:
        if not self._embeds:
            return torch.full((self.starts,), self.small.terms.readout_error, dtype=torch.float64)
        root = self.small.p1.sqrt()[:, None]
        Q, R = torch.linalg.qr(self.f * root)
        used = R.diagonal(dim1=1, dim2=2).abs() > ZERO
        Y = self.small.onehot * root
        left = Y - torch.einsum("sia,sa,sja,jc->sic", Q, used.double(), Q, Y)
        return left.square().sum((1, 2))
