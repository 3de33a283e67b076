"""Every quantity that a statement speaks of, measured once, when first asked for, on the whole graph.

The names are those in which `statements` writes its formulas; docs/theory.md defines each.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import majority_class
from maskgraph.theory import bounds, labels, losses
from maskgraph.theory.lipschitz import one_sided_lipschitz, two_sided_lipschitz
from maskgraph.theory.solver.certificate import rounding
from maskgraph.theory.spectrum import Spectrum, spectrum
from maskgraph.theory.terms_graph import Array, UnmetError
from maskgraph.theory.terms_outputs import OutputTerms

ZERO = 1e-12
"""An eigenvalue below this is 0: far above the rounding of a dense or Ritz value (N·2⁻⁵² for N up to 4,096)."""


class Terms(OutputTerms):
    """All of it: of the graph, the outputs, the feature, the spectrum at its dimension, and the classifiers on it."""

    @cached_property
    def _spectrum(self) -> Spectrum:
        return spectrum(self.A, min(self.k + 1, len(self.graph.p1)))

    @cached_property
    def values(self) -> Array:
        """(k,) the k largest eigenvalues of A."""
        return self._spectrum.values[: self.k]

    @cached_property
    def next_value(self) -> float:
        """λ_{k+1}, 0 where k is all there is."""
        return float(self._spectrum.values[self.k]) if len(self._spectrum.values) > self.k else 0.0

    @cached_property
    def head_sq(self) -> float:
        """Σ_{i<=k} λ_i²."""
        return math.fsum(self.values**2)

    @cached_property
    def head_error(self) -> float:
        """How much larger the head may be than `head_sq` (rounding, and what an iterative solver may have missed)."""
        return self._spectrum.tail_sq - self._spectrum.tail_sq_interval[0]

    @cached_property
    def value_error(self) -> float:
        """How much larger any one of the k eigenvalues may be than it was found."""
        return self._spectrum.value_error

    @cached_property
    def rank_excess(self) -> float:
        """(Σ_{i>k} σ_i²)^½ of diag(p1)^½ h: how far the outputs are from rank k."""
        s = losses.singular_values(self.h * np.sqrt(self.graph.p1)[:, None])
        return float(np.sqrt((s[self.k :] ** 2).sum()))

    @cached_property
    def rank_floor(self) -> float:
        """The rank-k floor of S3."""
        self._require_targets()
        return self.floors.rank_floor(self.k)

    @cached_property
    def f(self) -> Array:
        """(N1, k') features."""
        self._require_views()
        return self._part("f", "give its feature at every visible view")

    @cached_property
    def k(self) -> int:
        """The dimension of f, or the number of views where that is less: no feature has a higher rank."""
        return int(min(self.f.shape[1], len(self.graph.p1)))

    @cached_property
    def F(self) -> Array:
        """(N1, k') diag(p1)^½ f."""
        return self.f * np.sqrt(self.graph.p1)[:, None]

    @cached_property
    def norm_error(self) -> float:
        """The largest |‖f(x1)‖ − 1|."""
        return float(np.abs(np.linalg.norm(self.f, axis=1) - 1).max())

    @cached_property
    def unif(self) -> float:
        """L_unif(f) = ‖FᵀF‖_F²."""
        return losses.unif_loss(self.graph, self.f)

    @cached_property
    def moments(self) -> Array:
        """(k,) eigenvalues of FᵀF = E ffᵀ, descending, from the singular values of F."""
        s = losses.singular_values(self.F)[: self.k]
        return np.concatenate([s**2, np.zeros(self.k - len(s))])

    @cached_property
    def inverse_rank(self) -> float:
        """1/PR(E ffᵀ) = Σ g_i²/(Σ g_i)²."""
        total = float(self.moments.sum())
        if total == 0:
            raise UnmetError("every feature is 0 and has no participation ratio: look for dead units")
        return float((self.moments**2).sum()) / total**2

    @cached_property
    def align_f(self) -> float:
        """L_align(f)."""
        return losses.align_loss(self.A, self.f)

    @cached_property
    def energy_f(self) -> float:
        """E‖f‖²."""
        return losses.energy(self.graph, self.f)

    @cached_property
    def half_pair_f(self) -> float:
        """½E‖f − f⁺‖²."""
        return losses.pair_distance(self.A, self.f) / 2

    @cached_property
    def scl(self) -> float:
        """L_SCL(f) = 2 L_align(f) + L_unif(f)."""
        return 2 * self.align_f + self.unif

    @cached_property
    def scale_sq(self) -> float:
        """c² of the c·f that Thm 4.1 is held to: of all multiples of f, whose votes agree, the one of least L_SCL."""
        if self.unif == 0:
            raise UnmetError("every feature is 0 and no multiple of f has a direction: look for dead units")
        return -self.align_f / self.unif

    @cached_property
    def scl_fitted(self) -> float:
        """L_SCL(c·f) at that scale: −L_align²/L_unif."""
        return self.scale_sq * self.align_f

    @cached_property
    def scl_spectral(self) -> float:
        """‖A − FFᵀ‖_F² − ‖A‖_F², pair by pair."""
        return losses.approximation_excess(self.A, self.F)

    @cached_property
    def L(self) -> float:
        """L as claimed, else the least that serves on positive pairs."""
        claimed = self._number("lipschitz")
        if claimed is not None:
            return claimed
        if not 0 < self.lipschitz < math.inf:
            cause = (
                "a positive pair has equal outputs and different features, so that no L serves: "
                "the decoder ignores a part of f; hold another feature, or use S1, which needs no L"
                if self.lipschitz
                else "no positive pair has different features, so that every L > 0 serves and none is named: name one"
            )
            raise UnmetError(f"Lipschitz: L = {self.lipschitz:g}: {cause}")
        return self.lipschitz

    @cached_property
    def lipschitz(self) -> float:
        """The least one-sided L on positive pairs; 0 or inf where there is none."""
        return one_sided_lipschitz(self.A, self.f, self.h)

    @cached_property
    def two_sided(self) -> float:
        """The least two-sided L over all pairs, those of the heaviest views on large graphs."""
        return two_sided_lipschitz(self.f, self.h, self.graph.p1)

    @cached_property
    def lam(self) -> float:
        """λ as given, else 1/(4L)."""
        given = self._number("lam")
        return 1 / (4 * self.L) if given is None else given

    @cached_property
    def aligned(self) -> float:
        """Σ λ_i g_i >= tr AG, the most that features of these moments could align (von Neumann)."""
        return float(self.values @ self.moments)

    @cached_property
    def water_filling(self) -> float:
        """S2's minimum at L and λ."""
        return bounds.water_filling(self.values, self.L, self.lam)

    @cached_property
    def water_filling_half(self) -> float:
        """The same with only half of the alignment counted, as Thm 4.2 does."""
        return bounds.water_filling(self.values, 2 * self.L, self.lam)

    @cached_property
    def _Y(self) -> Array:
        label = majority_class(self.graph.class_mass1)
        return np.asarray(np.eye(self.graph.class_mass1.shape[1])[label] * np.sqrt(self.graph.p1)[:, None])

    @cached_property
    def _AY(self) -> Array:
        return np.asarray(self.A.B @ (self.A.B.T @ self._Y))

    @cached_property
    def _FFY(self) -> Array:
        return np.asarray(self.scale_sq * (self.F @ (self.F.T @ self._Y)))

    @cached_property
    def _answer(self) -> NDArray[np.int64]:
        return labels.mean_classifier(self.graph, self.f)

    @cached_property
    def vote_error(self) -> float:
        """Pr[ȳ ≠ p_f(x̄)]."""
        return labels.vote_error(self.graph, self._answer)

    @cached_property
    def joint_error(self) -> float:
        """Pr over image and view that the mean classifier's answer is not the image's class."""
        return labels.misread(self.graph.class_mass1, self._answer)

    @cached_property
    def view_error(self) -> float:
        """Pr over views that the mean classifier's answer is not the view's majority class."""
        return float(self.graph.p1[self._answer != majority_class(self.graph.class_mass1)].sum())

    @cached_property
    def mean_square(self) -> float:
        """E‖onehot(y(x1)) − Wᵀf(x1)‖² of the mean classifier on c·f."""
        return float(((self._Y - self._FFY) ** 2).sum())

    @cached_property
    def smoothing(self) -> float:
        """‖(I − A)Y‖_F²."""
        return float(((self._Y - self._AY) ** 2).sum())

    @cached_property
    def embedding_gap(self) -> float:
        """‖(A − c²FFᵀ)Y‖_F²."""
        return float(((self._AY - self._FFY) ** 2).sum())

    @cached_property
    def _residual(self) -> Array:
        if self.embedding is None:
            if self.k >= len(self._Y):
                return np.zeros_like(self._Y)
            # Eigenvectors of eigenvalue 0 are arbitrary, unless all are wanted, and none is used.
            U = self._spectrum.vectors[:, : self.k][:, self.values > ZERO]
            return np.asarray(self._Y - U @ (U.T @ self._Y))
        Q, s, _ = np.linalg.svd(self.embedding * np.sqrt(self.graph.p1)[:, None], full_matrices=False)
        Q = Q[:, s > s.max() * len(Q) * np.finfo(np.float64).eps]
        return np.asarray(self._Y - Q @ (Q.T @ self._Y))

    @cached_property
    def _AR(self) -> Array:
        return np.asarray(self.A.B @ (self.A.B.T @ self._residual))

    @cached_property
    def readout_error(self) -> float:
        """E‖onehot(y(x1)) − best linear readout of the top k eigenvectors‖²."""
        return float((self._residual**2).sum())

    @cached_property
    def readout_energy(self) -> float:
        """Tr RᵀR − tr RᵀAR of the readout's residual R."""
        R = self._residual
        return float((R * (R - self._AR)).sum())

    @cached_property
    def mixed_energy(self) -> float:
        """2|tr (ΠY)ᵀAR|: 0 where Π projects on exact eigenvectors, else by what R's energy may exceed φ."""
        if self.embedding is not None:
            return 0.0
        R = self._residual
        return 2 * abs(float((R * (self._AY - self._AR)).sum()))

    @cached_property
    def dropped_energy(self) -> float:
        """The largest eigenvalue whose eigenvector the readout may lack."""
        return max(ZERO, rounding(max(self.graph.M.shape)))

    @cached_property
    def gap(self) -> float:
        """1 − λ_{k+1}."""
        # Eigenvalue 1 comes with a component each, and as nothing else: counted, not compared.
        if self._spectrum.components > self.k:
            raise UnmetError(
                f"lambda_(k+1) = 1: the graph has {self._spectrum.components} components and k = {self.k}, so that "
                "1 - lambda_(k+1) = 0 divides; take k at least the number of components"
            )
        if self.next_value >= 1:
            raise UnmetError("lambda_(k+1) is 1 to rounding, so that 1 - lambda_(k+1) = 0 divides; take a larger k")
        return 1 - self.next_value
