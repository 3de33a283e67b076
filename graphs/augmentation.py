"""The augmentation graph: which visible views are positive pairs of each other, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.classes import canonical
from maskgraph.graphs.errors import check_type, unknown

if TYPE_CHECKING:
    import networkx as nx

Hop = Literal["target", "image"]


@dataclass(frozen=True)
class AugmentationGraph:
    """A = B Bᵀ = diag(p1)^-½ P⁺ diag(p1)^-½, with the joint distribution P⁺ of positive pairs (x1, x1⁺).

    A is kept as its factor B: A itself can be dense where B is sparse. It is built from the joint distribution,
    not by a graph Laplacian routine, because most of its mass lies on self-loops, which those drop or double.

    Attributes:
        graph: the mask graph it comes from.
        hop: `target`: the pair shares a target view x2 (How Mask Matters, section 3.2); `image`: two masks of one
            image (HaoChen et al. 2021).
        joint: (N1, Nc) float64 CSR, joint distribution of x1 and the shared thing c: M, or R1 with c an image.
        B: (N1, Nc) float64 CSR, diag(p1)^-½ joint diag(pc)^-½; singular values in [0, 1].
    """

    graph: MaskGraph
    hop: Hop
    joint: sp.csr_array
    B: sp.csr_array

    @property
    def p1(self) -> NDArray[np.float64]:
        """(N1,) mass of each vertex."""
        return self.graph.p1

    @property
    def shared_mass(self) -> NDArray[np.float64]:
        """(Nc,) mass of each shared thing."""
        return np.asarray(self.joint.sum(axis=0), dtype=np.float64).ravel()

    def operator(self) -> LinearOperator:
        """A as an (N1, N1) linear operator, without forming it."""
        B = self.B

        def apply(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(B @ (B.T @ x))

        return LinearOperator(shape=(B.shape[0],) * 2, dtype=np.float64, matvec=apply, matmat=apply, rmatvec=apply)

    def matrix(self) -> sp.csr_array:
        """A as an (N1, N1) sparse matrix, self-loops included. Its size can be N1²: look at B first."""
        return sp.csr_array(self.B @ self.B.T)

    def positive_pairs(self) -> sp.csr_array:
        """P⁺ as an (N1, N1) sparse matrix that sums to 1, self-loops included."""
        return sp.csr_array(self.joint @ sp.diags_array(1 / self.shared_mass) @ self.joint.T)

    def to_networkx(self) -> nx.Graph:
        """A as a networkx graph, self-loops kept.

        Nodes are 0..N1-1 with `mass` = p1 and `label` = the majority class; an edge has `weight` = the entry of A
        and `mass` = the entry of P⁺ (its probability as an ordered pair).
        """
        import networkx as nx

        A, pairs = sp.triu(self.matrix()).tocoo(), sp.csr_array(self.positive_pairs())
        mass = np.asarray(pairs[A.row, A.col]).ravel()
        result = nx.Graph()
        label = majority_class(self.graph.class_mass1)
        result.add_nodes_from((i, {"mass": float(p), "label": int(label[i])}) for i, p in enumerate(self.p1))
        result.add_edges_from(
            (int(i), int(j), {"weight": float(w), "mass": float(m)})
            for i, j, w, m in zip(A.row, A.col, A.data, mass, strict=True)
        )
        return result


def check_hop(hop: str) -> None:
    """Raise InputError for a hop that does not exist."""
    if hop not in get_args(Hop):
        raise unknown("hop", hop, get_args(Hop))


def check_augmentation_graph(graph: object) -> None:
    """Raise InputError for anything that is no augmentation graph."""
    check_type(graph, AugmentationGraph, "make one with augmentation_graph(graph) of a MaskGraph")


def augmentation_graph(graph: MaskGraph, hop: Hop = "target") -> AugmentationGraph:
    """The augmentation graph of a mask graph.

        >>> from maskgraph.graphs.synthetic import joint_graph
        >>> augmentation_graph(joint_graph([[3, 1], [1, 3]])).matrix().toarray().round(3).tolist()
        [[0.625, 0.375], [0.375, 0.625]]

    Raises:
        InputError: no mask graph, or an unknown hop.
    """
    check_mask_graph(graph)
    check_hop(hop)
    joint = graph.M if hop == "target" else graph.R1
    columns = np.asarray(joint.sum(axis=0)).ravel()
    entries = np.repeat(graph.p1**-0.5, np.diff(joint.indptr))
    entries *= joint.data
    entries *= (columns**-0.5)[joint.indices]
    # Where entries stand is the same array in both, not a copy.
    return AugmentationGraph(graph, hop, joint, canonical(entries, joint.indices, joint.indptr, joint.shape))


TIE = 1e-9
"""Class masses within this relative distance are a tie: far above the rounding of a sum of up to 1e6 equal
masses (1e6·2⁻⁵³ ≈ 1e-10), far below any difference between counts that such a sum can tell apart (1e-6)."""


def majority_class(class_mass: sp.csr_array) -> NDArray[np.int64]:
    """y(x) = argmax_c Pr(c | x) of each view, the lowest class at a tie.

    Args:
        class_mass: (views, C) CSR, joint mass of view and class, no view without mass.

    Returns:
        (views,) int64.
    """
    check_type(class_mass, sp.csr_array, "give graph.class_mass1 or class_mass2")
    starts = class_mass.indptr[:-1]
    largest = np.maximum.reduceat(class_mass.data, starts)
    tied = class_mass.data >= np.repeat(largest, np.diff(class_mass.indptr)) * (1 - TIE)
    # Classes ascend within a view: the first of those at the top is the lowest.
    return np.minimum.reduceat(np.where(tied, class_mass.indices, class_mass.shape[1]), starts).astype(np.int64)
