"""U: uniformity is an inverse participation ratio, and so a rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory import bounds, losses
from maskgraph.theory.findings.finding import EQUAL, Finding, Line, Panel, world_graph
from maskgraph.theory.spectrum import spectrum

Array = NDArray[np.float64]

KINDS = ("random", "one-hot", "collapsed", "nearly constant", "spectral")
DIMENSIONS = (1, 2, 4, 8, 16, 32)
BATCHES = (2, 4, 8, 16, 32, 64, 128)
REPEATS = 200
"""Batches of each size: of 16 one-hot features hardly any two batches say the same."""


@dataclass(frozen=True)
class Uniformity:
    """L_unif of unit-norm features, had in two ways.

    Attributes:
        kind: of the features.
        k: their dimension.
        unif: E(f·f⁻)², a sum over pairs of views.
        inverse: 1/PR(E ffᵀ), from singular values.
    """

    kind: str
    k: int
    unif: float
    inverse: float


@dataclass(frozen=True)
class Batch:
    """The mean of (f_i·f_j)² over a batch of `size` one-hot features, with and without its pairs i = j."""

    size: int
    all_pairs: float
    distinct_pairs: float


def features(kind: str, A: AugmentationGraph, k: int, rng: np.random.Generator) -> Array:
    """(N1, k) float64 unit-norm features of one of `KINDS`."""
    views = len(A.p1)
    if kind == "one-hot":
        return np.eye(k)[np.arange(views) % k]
    f = rng.standard_normal((views, k))
    if kind == "collapsed":
        f = np.ones((views, k))
    if kind == "nearly constant":
        f = 1 + 0.1 * f
    if kind == "spectral":
        # Eigenvectors of one component are 0 on all others, and 0 has no direction.
        f = spectrum(A, k).vectors.toarray() / np.sqrt(A.p1)[:, None] + 1e-3 * f
    return np.asarray(losses.normalise(f))


def uniformities(A: AugmentationGraph) -> list[Uniformity]:
    """L_unif and one over the participation ratio, for each kind and dimension."""
    rng = np.random.default_rng(0)
    found = []
    for kind in KINDS:
        for k in DIMENSIONS:
            f = features(kind, A, k, rng)
            moments = np.linalg.svd(f * np.sqrt(A.p1)[:, None], compute_uv=False) ** 2
            inverse = float((moments**2).sum() / moments.sum() ** 2)
            found.append(Uniformity(kind, k, losses.unif_loss(A.graph, f), inverse))
    return found


def batches(A: AugmentationGraph, k: int, seed: int = 0) -> list[Batch]:
    """Means over batches of one-hot features in k dimensions, views drawn from p1."""
    rng = np.random.default_rng(seed)
    f = features("one-hot", A, k, rng)
    found = []
    for size in BATCHES:
        drawn = f[rng.choice(len(A.p1), size=size, p=A.p1)]
        squares = (drawn @ drawn.T) ** 2
        apart = float((squares.sum() - np.trace(squares)) / (size * (size - 1)))
        found.append(Batch(size, float(squares.mean()), apart))
    return found


def uniformity_is_rank() -> Finding:
    """U as a page."""
    A = augmentation_graph(world_graph(class_mixture(8, 0.3), 0.5, "positional"))
    found, drawn, k = uniformities(A), [batches(A, 32, seed) for seed in range(REPEATS)], 32
    floors = [max(1 / k, 1 / b.size) for b in drawn[0]]
    worst = max(abs(u.unif - u.inverse) / u.inverse for u in found)
    kept = all(b.all_pairs >= floor - EQUAL for row in drawn for b, floor in zip(row, floors, strict=True))
    below = {at[0].size: sum(b.distinct_pairs < 1 / k - EQUAL for b in at) / len(at) for at in zip(*drawn, strict=True)}
    over = all(u.unif >= bounds.uniformity_floor(u.k) - EQUAL for u in found)
    return Finding(
        "uniformity-is-rank",
        "Uniformity is a rank",
        "For unit-norm features L_unif = E(f·f⁻)² is one over the participation ratio of E ffᵀ: to lower it is to "
        "raise the rank of the features, whatever raises it.",
        "Class mixture of 8 patches, η = 0.3, all masks of ρ = 0.5, positional views; features of five kinds in k "
        "dimensions (spectral: with noise of 10⁻³, as eigenvectors vanish off their component); batches of views drawn "
        f"from p1, {REPEATS} of each size, one-hot features, k = {k}.",
        ("features", "k", "L_unif", "1 / participation ratio", "1/k"),
        [(u.kind, u.k, u.unif, u.inverse, bounds.uniformity_floor(u.k)) for u in found],
        _panels(found, drawn, floors),
        [
            f"Both ways agree to {worst:.0e} of their size in every row: sums over pairs against singular values "
            "(proved, U in section 5 of docs/theory.md).",
            f"L_unif {'stays at or above' if over else 'FALLS BELOW'} 1/k in every row; at k = {k} "
            + ", ".join(f"{u.kind} {u.unif:.4f}" for u in found if u.k == k)
            + ".",
            f"The mean over a batch that includes i = j {'stays at or above' if kept else 'FALLS BELOW'} "
            "max(1/k, 1/N), as its matrix has rank N at most (proved there). Without i = j it falls below 1/k in "
            + (f"{_shares(below)}: that is an estimate of L_unif, not a rank." if any(below.values()) else "none."),
        ],
        ["That a higher rank is a better feature: rank can be bought with the mask (F8)."],
    )


def _shares(below: dict[int, float]) -> str:
    return ", ".join(f"{100 * share:.0f} % of batches of {size}" for size, share in below.items() if share)


def _panels(found: list[Uniformity], drawn: list[list[Batch]], floors: list[float]) -> list[Panel]:
    lines: dict[str, Line] = {kind: (DIMENSIONS, [u.unif for u in found if u.kind == kind]) for kind in KINDS}
    lines["floor 1/k"] = DIMENSIONS, [bounds.uniformity_floor(k) for k in DIMENSIONS]
    sizes = list(zip(*drawn, strict=True))
    means: dict[str, Line] = {
        "with i = j": (BATCHES, [float(np.mean([b.all_pairs for b in at])) for at in sizes]),
        "without i = j": (BATCHES, [float(np.mean([b.distinct_pairs for b in at])) for at in sizes]),
        "floor max(1/k, 1/N)": (BATCHES, floors),
    }
    return [
        Panel("L_unif over the whole graph", "k", "E(f·f⁻)²", lines),
        Panel(f"mean over a batch, k = 32, of {REPEATS} batches", "N", "mean of (f_i·f_j)²", means),
    ]
