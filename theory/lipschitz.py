"""The Lipschitz constants of Thm 4.2: one-sided on the pairs that its proof uses, two-sided as it is printed."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from maskgraph.graphs.arrays import as_array
from maskgraph.graphs.augmentation import AugmentationGraph, check_augmentation_graph
from maskgraph.graphs.errors import InputError
from maskgraph.theory import pairs
from maskgraph.theory.losses import on_views
from maskgraph.theory.pairs import EPS, LEAD, LOOSE, binding

PAIRS = 250_000
"""About how many pairs are compared at a time: their differences take PAIRS·(k + d) doubles."""

SAME = 8 * float(np.finfo(np.float64).eps)
"""Features that differ by so little of their norm are equal: division by the norm tells parallel ones apart by it."""

SAMPLE = 4096
"""About how many views say in which directions they vary most."""

STRIP = 2000
"""Views whose distances from those directions are taken at a time."""

HEAVIEST = 2048
"""How many views are compared each with each: HEAVIEST²·(k + d) differences, about a second."""

TOGETHER = 256
"""How many of them are compared with all at a time: TOGETHER·HEAVIEST doubles, 4 MB."""


def one_sided_lipschitz(graph: AugmentationGraph, f: NDArray[np.float64], h: NDArray[np.float64]) -> float:
    """The least L with (1/L)‖f − f⁺‖² <= ‖h − h⁺‖² on every positive pair (Thm 4.2, left half, squared norms).

    The proof needs the inequality at those pairs alone, and of h only its values there, so it holds with this L
    for any feature f of a model, also where the decoder reads more than f.

    Args:
        graph: the augmentation graph whose positive pairs count.
        f: (N1, k) features.
        h: (N1, d) outputs.

    Returns:
        L >= 0; inf where some pair has equal outputs and different features, 0 where features never differ.
    """
    check_augmentation_graph(graph)
    f, h = (on_views(name, values, len(graph.p1), finite=True) for name, values in (("f", f), ("h", h)))
    f, h = (np.ascontiguousarray(values, dtype=np.float64) for values in (f, h))
    pattern = sp.csr_array((np.ones(graph.joint.nnz, dtype=bool), graph.joint.indices, graph.joint.indptr))
    other = sp.csr_array(pattern.T)
    cost = np.add.reduceat(np.diff(other.indptr)[pattern.indices], pattern.indptr[:-1])
    if cost.sum() <= pairs.FEW:
        i, j = (pattern @ other).nonzero()
        return _largest_ratio(f[i], f[j], h[i] - h[j])
    edges = np.searchsorted(np.cumsum(cost), np.arange(PAIRS, cost.sum(), PAIRS))
    edges = np.unique(np.concatenate([[0], edges, [len(cost)]]))
    arrays = (pattern.indptr, pattern.indices, other.indptr, other.indices)
    floor = SAME**2 * np.einsum("ij,ij->i", f, f)
    (f_lead, f_blur, f_rest), (h_lead, h_blur, _) = _leading(f), _leading(h)
    of_views = (f, h, f_lead, f_rest + f_blur, h_lead, h_blur, floor)
    last = np.full(len(f), -1)
    # A row meets no view twice.
    most = np.add.reduceat(np.minimum(cost, len(f)), edges[:-1]).max()
    found = np.empty((most, 2), dtype=np.int64)
    largest = 0.0
    for start, stop in itertools.pairwise(edges.tolist()):
        count = binding(*arrays, start, stop, *of_views, largest, last, found)
        for at in range(0, count, PAIRS):
            i, j = found[at : min(at + PAIRS, count)].T
            largest = max(largest, _largest_ratio(f[i], f[j], h[i] - h[j]))
        if largest == np.inf:
            break
    return largest


def two_sided_lipschitz(f: NDArray[np.float64], h: NDArray[np.float64], mass: NDArray[np.float64]) -> float:
    """The least L with (1/L)‖f − f'‖² <= ‖h − h'‖² <= L‖f − f'‖² over all pairs of views: Thm 4.2 as it is printed.

    Over the `HEAVIEST` views of largest mass, and so a lower bound where there are more.

    Args:
        f: (N1, k) features.
        h: (N1, d) outputs.
        mass: (N1,) of the views.

    Returns:
        L >= 1 where any pair differs, inf where only one of f and h does; 0 where nothing differs.
    """
    mass = as_array(mass, "mass")
    if mass.ndim != 1 or mass.dtype.kind not in "fiu":
        raise InputError(f"mass has shape {mass.shape} and dtype {mass.dtype}; expected that of each view, graph.p1")
    f, h = (on_views(name, values, len(mass), finite=True) for name, values in (("f", f), ("h", h)))
    views = np.argsort(-mass, kind="stable")[:HEAVIEST]
    f, h = f[views], h[views]
    size, output_size = np.einsum("ij,ij->i", f, f), np.einsum("ij,ij->i", h, h)
    largest = 0.0
    for start in range(0, len(views), TOGETHER):
        part = slice(start, start + TOGETHER)
        feature = _apart(cdist(f[part], f, "sqeuclidean"), size[part, None] + size)
        output = cdist(h[part], h, "sqeuclidean")
        # Equal features have outputs that are equal but for rounding as well: there nothing differs.
        differs = (feature > 0) | (_apart(output, output_size[part, None] + output_size) > 0)
        if differs.any():
            with np.errstate(divide="ignore"):
                ratio = feature[differs] / output[differs]
                largest = max(largest, float(ratio.max()), float((1 / ratio).max()))
    return largest


def _apart(square: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances, 0 where rounding may have made them; `size` is the sum of both squared norms."""
    return np.where(square > SAME**2 * size, square, 0.0)


def _leading(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of views along the `LEAD` directions V in which they vary most, and what distances they leave open.

    With g = x − c and y = Vᵀg as they are computed, off by √LEAD·n·u‖g‖ at most, and r = g − Vy, which would be
    orthogonal to V but for that and for VᵀV − I (measured): both are within ε‖g‖, and

        ‖yᵢ − yⱼ‖ <= ‖xᵢ − xⱼ‖ + ε(‖gᵢ‖ + ‖gⱼ‖),
        ‖xᵢ − xⱼ‖² <= ‖yᵢ − yⱼ‖² + 2ε‖yᵢ − yⱼ‖(‖gᵢ‖ + ‖gⱼ‖) + (‖rᵢ‖ + ‖rⱼ‖)²

    but for factors of 1 + ε. As 2ab <= LOOSE·a² + b²/LOOSE, a blur of (1 + LOOSE^-½) ε‖g‖ a view stands for ε in both,
    and LOOSE for the factors.

    Args:
        x: (N1, n) of any directions, whatever they have in common.

    Returns:
        y (N1, LEAD), zeros where n is less; the blur (N1,); ‖r‖ (N1,).
    """
    n, centre = x.shape[1], x.mean(axis=0)
    sample = x[:: 1 + len(x) // SAMPLE] - centre
    # Of squares none overflows, and not all of them underflow.
    sample /= np.abs(sample).max(initial=np.finfo(np.float64).tiny)
    V = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :LEAD]
    used = V.shape[1]
    off = 8 * (n + LEAD) * EPS + float(np.linalg.norm(V.T @ V - np.eye(used)))
    lead, length, rest = np.zeros((len(x), LEAD)), np.empty(len(x)), np.empty(len(x))
    for start in range(0, len(x), STRIP):
        part = slice(start, start + STRIP)
        g = x[part] - centre
        lead[part, :used] = g @ V
        length[part], rest[part] = (np.sqrt(np.einsum("ij,ij->i", v, v)) for v in (g, g - lead[part, :used] @ V.T))
    return lead, (1 + LOOSE**-0.5) * off * length, rest


def _largest_ratio(f: NDArray[np.float64], other: NDArray[np.float64], dh: NDArray[np.float64]) -> float:
    size = np.einsum("ij,ij->i", f, f) + np.einsum("ij,ij->i", other, other)
    df = f - other
    feature, output = _apart(np.einsum("ij,ij->i", df, df), size), np.einsum("ij,ij->i", dh, dh)
    differs = feature > 0
    if not differs.any():
        return 0.0
    with np.errstate(divide="ignore"):
        return float((feature[differs] / output[differs]).max())
