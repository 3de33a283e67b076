"""Intervals for head and tail from anybody's eigenvectors, right or wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, check_augmentation_graph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.seeds import check_seed
from maskgraph.theory.dimension import check_dim
from maskgraph.theory.outputs import real_array
from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.certificate import (
    FAILURE,
    bracket,
    degree_to_separate,
    norm_beside,
)
from maskgraph.theory.solver.degrees import column_lengths, row_lengths
from maskgraph.theory.solver.engine import Engine, Floats
from maskgraph.theory.solver.entries import entry_rounding, of_rounded_entries
from maskgraph.theory.solver.frobenius import Factor, row_squares
from maskgraph.theory.solver.host import HOST

DEGREE = 160
"""Highest degree that the test goes to."""


@dataclass(frozen=True)
class Certificate:
    """What eigenvectors show of the sums of squared eigenvalues, whatever they are.

    Attributes:
        head_sq_interval: [lo, hi] that holds Σ_{i<=k} λ_i², but for the failure probability.
        tail_sq_interval: [lo, hi] that holds Σ_{i>k} λ_i², likewise.
        nu: ν >= ‖(I − UUᵀ)A(I − UUᵀ)‖, of what the vectors leave out.
    """

    head_sq_interval: tuple[float, float]
    tail_sq_interval: tuple[float, float]
    nu: float


def certify(
    graph: AugmentationGraph,
    vectors: NDArray[np.float64],
    k: int,
    failure: float = FAILURE,
    seed: int = 0,
    engine: Engine = HOST,
) -> Certificate:
    """Hold approximate eigenvectors of A, from any solver, to what they show.

    The known eigenvector √p1 is put beside them. Nothing is assumed of them but that they do not depend on the seed: a
    solve that missed an eigenvalue gets an interval that is wide, not wrong (docs/theory.md, section 6).

    Args:
        graph: the augmentation graph.
        vectors: (N1, p) float64, any columns; dependent ones count once.
        k: 1 <= k <= N1.
        failure: δ, the probability allowed to the upper bounds to fail, between 0 and 1.
        seed: of the random test.
        engine: where to compute.

    Raises:
        InputError: no augmentation graph, k, δ or a seed out of range, or vectors that are no array of real numbers,
            of another length or not finite.
    """
    check_augmentation_graph(graph)
    check_seed(seed)
    # NaN is no probability either, and would make an interval of it.
    if not (isinstance(failure, Real) and 0 < failure < 1):
        raise InputError(f"failure {failure!r}; expected a probability above 0 and below 1, such as {FAILURE:g}")
    vectors = real_array("the vectors are", vectors, f"expected one array ({graph.B.shape[0]}, p)")
    vertices = graph.B.shape[0]
    if vectors.ndim != 2 or len(vectors) != vertices:
        raise InputError(f"vectors of shape {vectors.shape} for a graph of {vertices} views; expected ({vertices}, p)")
    if not np.isfinite(vectors).all():
        row, column = np.argwhere(~np.isfinite(vectors))[0]
        raise InputError(
            f"vectors contains {vectors[row, column]} at ({row}, {column}); expected finite numbers: look for a solve "
            "that failed"
        )
    check_dim(k, vertices)
    factor = Factor(graph.B)
    squares, error = row_squares(factor)
    frobenius = math.fsum(squares)
    gram = engine.gram(factor.pair, np.float64)
    U = _basis(np.sqrt(graph.p1), vectors)
    held = engine.array(U, np.float64)
    images = gram(held)
    theta = np.linalg.eigvalsh(U.T @ engine.host(images))[::-1]
    rng = np.random.default_rng(seed)
    # Where the vectors are right, what they leave out is below the last of them; else the test says how far above.
    degree = degree_to_separate(vertices, max(float(theta[-1]), EPS), float(theta[min(k, len(theta)) - 1]), failure)
    nu = norm_beside(gram, held, 1.0, max(float(theta[-1]), EPS), min(degree, DEGREE), failure, rng, engine)
    found = bracket(held, images, nu, gram, engine)
    low, high = np.zeros(k - 1), np.full(k - 1, found.nu)
    known = min(k - 1, len(found.lower))
    low[:known], high[:known] = found.lower[:known], found.upper[:known]
    made = entry_rounding(graph, int(row_lengths(graph.B).max() + column_lengths(graph.B).max()))
    low, high = of_rounded_entries(low, high, made)
    error += 2 * made * frobenius
    # The sums of squares are rounded to the nearest, the ends outwards.
    head = math.nextafter(math.fsum([1, *low**2]), 0), math.nextafter(math.fsum([1, *high**2]), math.inf)
    return Certificate(head, (max(frobenius - head[1] - error, 0.0), max(frobenius - head[0], 0.0) + error), found.nu)


def _basis(top: Floats, vectors: Floats) -> Floats:
    """An orthonormal basis of top (first, kept as it is) and the vectors."""
    # By their largest entries first: of very long and very short ones the squares are infinite or 0.
    largest = np.abs(vectors).max(axis=0)
    rest = vectors / np.where(largest > 0, largest, 1)
    rest = rest / np.maximum(np.linalg.norm(rest, axis=0), 1)
    for _ in range(2):
        rest = rest - np.outer(top, top @ rest)
    left, size, _ = np.linalg.svd(rest, full_matrices=False)
    rest = left[:, size > 1e-8]
    rest = rest - np.outer(top, top @ rest)
    return np.column_stack([top, rest])
