"""Graphs and models with known answers, for the tests of the theory."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from hypothesis import strategies as st
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, Hop, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.synthetic import joint_graph
from maskgraph.graphs.views import View
from tests.strategies import FIXED_WORLDS, World, hops, masked_worlds, views

Array = NDArray[np.float64]

VALUED_WORLDS = {name: world for name, world in FIXED_WORLDS.items() if world.codebook is not None}


@dataclass(frozen=True)
class Case:
    """One graph of a random world, with the seed of whatever else is random about the test."""

    world: World
    kept: int
    view: View
    hop: Hop
    seed: int

    @functools.cached_property
    def A(self) -> AugmentationGraph:
        """The augmentation graph."""
        return self.world.augmented(self.kept, self.view, self.hop)

    @property
    def graph(self) -> MaskGraph:
        """The mask graph."""
        return self.A.graph

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator."""
        return np.random.default_rng(self.seed)


@st.composite
def cases(draw: st.DrawFn, valued: bool = True, hop: Hop | None = None) -> Case:
    """A graph of a random world."""
    world, kept = draw(masked_worlds(valued=valued))
    return Case(world, kept, draw(views()), draw(hops()) if hop is None else hop, draw(st.integers(0, 2**16)))


def joint_augmentation(M: Array) -> AugmentationGraph:
    """The target-hop augmentation graph of `joint_graph`."""
    return augmentation_graph(joint_graph(M))


def together(*blocks: Array) -> Array:
    """One graph of all, each with the same mass."""
    return scipy.linalg.block_diag(*(block / block.sum() for block in blocks))


def disjoint(M: Array, copies: int) -> Array:
    """Copies of a graph side by side."""
    return np.asarray(np.kron(np.eye(copies), M), dtype=np.float64)


def hypercube(bits: int, flip: float) -> Array:
    """Noise on {0,1}^bits: connected, singular value (1 − 2 flip)^j with multiplicity C(bits, j)."""
    one = np.array([[1 - flip, flip], [flip, 1 - flip]])
    return np.asarray(functools.reduce(np.kron, [one] * bits), dtype=np.float64)


def random_joint(rng: np.random.Generator, rows: int, columns: int, density: float = 0.3) -> Array:
    """A random joint distribution without empty rows or columns."""
    M = rng.random((rows, columns)) * (rng.random((rows, columns)) < density)
    M[np.arange(rows), rng.integers(columns, size=rows)] += 0.1
    M[rng.integers(rows, size=columns), np.arange(columns)] += 0.1
    return M


def dense(graph: AugmentationGraph) -> Array:
    """A as a dense matrix, from P⁺."""
    scale = graph.p1**-0.5
    return np.asarray(scale[:, None] * graph.positive_pairs().toarray() * scale)


def unit(f: Array) -> Array:
    """Unit-norm rows."""
    return np.asarray(f / np.linalg.norm(f, axis=1, keepdims=True))


def weighted(graph: MaskGraph, f: Array) -> Array:
    """F = diag(p1)^½ f."""
    return np.asarray(np.sqrt(graph.p1)[:, None] * f)


def spectral_embedding(graph: AugmentationGraph, k: int) -> Array:
    """The minimiser of L_SCL in k dimensions: diag(p1)^-½ times the top eigenvectors scaled by √λ."""
    values, vectors = np.linalg.eigh(dense(graph))
    top = vectors[:, ::-1][:, :k] * np.sqrt(np.maximum(values[::-1][:k], 0))
    return np.asarray(top / np.sqrt(graph.p1)[:, None])


def features(graph: AugmentationGraph, k: int, rng: np.random.Generator) -> list[tuple[str, Array]]:
    """Features of every kind that a bound may meet: random, aligned, constant, and as bad as can be."""
    vertices = len(graph.p1)
    noise = rng.standard_normal((vertices, k))
    spread = np.eye(k)[np.arange(vertices) % k]
    constant = np.tile(noise[:1], (vertices, 1))
    # Tiny noise keeps the norm from vanishing where the embedding has a zero row.
    embedded = spectral_embedding(graph, min(k, vertices)) @ np.eye(min(k, vertices), k) + 1e-6 * noise
    return [
        ("random", noise),
        ("spectral", embedded),
        ("constant", constant),
        ("one-hot", spread),
        ("large", 30 * noise),
        ("nearly constant", constant + 1e-3 * noise),
    ]


def two_states(flip: float, x2: float = 1.0) -> tuple[MaskGraph, AugmentationGraph]:
    """Two equiprobable views, each with the target of its own sign but for `flip`: A has eigenvalues 1, (1 − 2 flip)².

    Nearly every bound is attained here, as both eigenvectors of A are also those of any features of unit norm.
    """
    graph = joint_graph(hypercube(1, flip), np.array([[x2], [-x2]]), np.array([[0, 0], [1, 1]]))
    return graph, augmentation_graph(graph)


def all_alike() -> MaskGraph:
    """One view, one target: whatever the model does is constant, and a perfect one has no loss at all."""
    return VALUED_WORLDS["all the same"].graph(1, "sequence")
