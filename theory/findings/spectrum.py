"""Findings about the spectrum over the mask ratio: its mirror image, and what of it moves the bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import bounds, labels, risk
from maskgraph.theory.findings.finding import (
    DRAWS,
    EQUAL,
    EVERY,
    RATIOS,
    Finding,
    Line,
    Panel,
    digits,
    rank_correlation,
    span,
    world_graph,
)
from maskgraph.theory.solver.certificate import rounding
from maskgraph.theory.spectrum import spectrum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mirror:
    """A graph at ρ and the one at 1 − ρ; pairs are (at ρ, at 1 − ρ).

    Attributes:
        world: its name.
        ratio: ρ < ½.
        gap: the largest difference of an eigenvalue, zeros filled in.
        allowed: what rounding may do to it.
        alpha: the label error of the visible side.
        phi: Pr[y(x1) ≠ y(x1⁺)].
        bayes: the Bayes risk as a share of E‖x2‖².
        second: the largest eigenvalue off the components.
    """

    world: str
    ratio: float
    gap: float
    allowed: float
    alpha: tuple[float, float]
    phi: tuple[float, float]
    bayes: tuple[float, float]
    second: tuple[float, float]


def nonzero_spectrum(graph: MaskGraph) -> Array:
    """(min(N1, N2),) float64 descending: all eigenvalues of the target-hop A that may differ from 0."""
    B = augmentation_graph(graph).B
    gram = (B @ B.T if B.shape[0] <= B.shape[1] else B.T @ B).toarray()
    return np.asarray(np.linalg.eigvalsh(gram)[::-1])


def spectral_gap(one: Array, other: Array) -> float:
    """The largest difference of two descending spectra, zeros filled in."""
    size = max(len(one), len(other))
    padded = [np.pad(values, (0, size - len(values))) for values in (one, other)]
    return float(np.abs(padded[0] - padded[1]).max())


def mirrors(name: str, images: CodedImages, view: View, kept: Sequence[int]) -> list[Mirror]:
    """The graphs at ρ and 1 − ρ under all uniform masks, for each number of dropped patches n·ρ in `kept`."""
    found = []
    for few in kept:
        low = few / images.patches
        pair = [world_graph(images, ratio, view) for ratio in (low, 1 - low)]
        one, other = (nonzero_spectrum(graph) for graph in pair)
        count = spectrum(augmentation_graph(pair[0]), 1).components
        second = [float(values[count]) if count < len(values) else 0.0 for values in (one, other)]
        measured = [
            (labels.alpha(g), labels.phi(augmentation_graph(g)), risk.bayes_risk(g) / risk.target_energy(g))
            for g in pair
        ]
        alpha, phi, bayes = zip(*measured, strict=True)
        allowed = rounding(max(len(one), len(other)))
        gap = spectral_gap(one, other)
        found.append(Mirror(name, low, gap, allowed, alpha, phi, bayes, (second[0], second[1])))
    return found


def rho_symmetry() -> Finding:
    """F2 as a page: the spectra at ρ and 1 − ρ coincide."""
    found = [
        *mirrors("mixture, 2 classes, positional", class_mixture(8, 0.3), "positional", (1, 2, 3)),
        *mirrors("mixture, 3 classes, sequence", class_mixture(6, 0.3, 3), "sequence", (1, 2)),
        *mirrors("40 images of a mixture, bag", class_mixture(8, 0.3, images=40), "bag", (1, 2, 3)),
        *mirrors("150 digits, 2 codes, sequence", digits(2, 150), "sequence", (1, 2, 4)),
    ]
    within = all(m.gap <= m.allowed for m in found)
    off = sampled_gaps(digits(2, 150), DRAWS)
    return Finding(
        "rho-symmetry",
        "Spectra at ρ and 1 − ρ coincide",
        "Under all uniform masks the mask graph at 1 − ρ is the transpose of that at ρ, so that the non-zero "
        "target-hop spectra are the same and the spectral term alone cannot prefer 75 % to 25 %.",
        "All masks of each ratio, target hop, four worlds and the three view identities. Rounding: 8 N ulp for a dense "
        "solve of order N. Bayes: the Bayes risk as a share of E‖x2‖².",
        ("world", "ρ", "1 − ρ", "largest difference", "rounding", *_sides("α"), *_sides("φ"), *_sides("Bayes")),
        [(m.world, m.ratio, 1 - m.ratio, m.gap, m.allowed, *m.alpha, *m.phi, *m.bayes) for m in found],
        _mirror_panels(found),
        [
            f"The largest difference of the non-zero spectra is {max(m.gap for m in found):.1e}, "
            + ("within rounding in every row" if within else "BEYOND ROUNDING")
            + " (proved, F2 in docs/theory.md).",
            *(_differs(name, [getattr(m, key) for m in found]) for name, key in DIFFERS.items()),
        ],
        [
            "The symmetry under other masks: it needs dropping to be as likely as keeping. 64 sampled masks of 150 "
            f"digits at ρ = 0.25 and at 0.75 have eigenvalues that differ by {span(off, '.2g')} over {DRAWS} draws"
            + (", beyond rounding." if min(off) > EQUAL else ", no more than rounding in some."),
            "That nothing else depends on ρ: L, ε and the features of a trained model may as they like.",
            "Which of φ and of the Bayes risk is larger, at ρ or at 1 − ρ, in general: these are four worlds. That α "
            "cannot be smaller at 1 − ρ is proved (F4 in docs/theory.md).",
        ],
    )


def sampled_gaps(images: CodedImages, draws: int) -> list[float]:
    """By how much the spectra at ρ = ¼ and ¾ differ under 64 sampled masks each, sequence views, draw by draw."""
    pairs = ([world_graph(images, ratio, "sequence", 64, seed) for ratio in (0.25, 0.75)] for seed in range(draws))
    return [spectral_gap(*(nonzero_spectrum(graph) for graph in pair)) for pair in pairs]


DIFFERS = {"α": "alpha", "φ": "phi", "The relative Bayes risk": "bayes"}


def _sides(name: str) -> tuple[str, str]:
    return f"{name}(ρ)", f"{name}(1 − ρ)"


def _differs(name: str, pairs: Sequence[tuple[float, float]]) -> str:
    apart = [(low, high) for low, high in pairs if abs(low - high) > EQUAL]
    more = sum(high > low for low, high in apart)
    return f"{name} differs between ρ < ½ and 1 − ρ in {len(apart)} of {len(pairs)} rows, larger at 1 − ρ in {more}."


def _mirror_panels(found: Sequence[Mirror]) -> list[Panel]:
    keys = {"λ₂ off the components": "second", "α": "alpha", "φ": "phi", "Bayes risk / E|x2|²": "bayes"}
    panels = []
    for name in dict.fromkeys(m.world for m in found):
        own = [m for m in found if m.world == name]
        ratios = [m.ratio for m in own] + [1 - m.ratio for m in reversed(own)]
        lines: dict[str, Line] = {}
        for label, key in keys.items():
            pairs = [getattr(m, key) for m in own]
            lines[label] = ratios, [low for low, _ in pairs] + [high for _, high in reversed(pairs)]
        panels.append(Panel(name, "mask ratio ρ", "", lines))
    return panels


@dataclass(frozen=True)
class Parts:
    """The parts of Thm 4.2 at L = 1 and ε = 0 on one graph, tail + const = bound = (2 − head)/4."""

    components: int
    head: float
    tail: float
    const: float
    bound: float


@dataclass(frozen=True)
class Moves:
    """How they move over the mask ratio.

    Attributes:
        world: its name.
        k: how many eigenvalues the head has.
        ratios: ρ.
        draws: a row of parts, one a ratio, for each draw of the masks; one row where all masks are there.
    """

    world: str
    k: int
    ratios: Sequence[float]
    draws: list[list[Parts]]

    def means(self, part: str) -> list[float]:
        """Of a part at each ratio, over the draws."""
        return [float(np.mean([getattr(one, part) for one in at])) for at in zip(*self.draws, strict=True)]

    @property
    def label(self) -> str:
        """What a panel and a sentence call it."""
        return f"{self.world}, k = {self.k}"

    @property
    def spread(self) -> list[float]:
        """The standard deviation of the bound over the draws, at each ratio; 0 of a single one."""
        bound = np.array([[one.bound for one in row] for row in self.draws])
        return [float(sd) for sd in bound.std(axis=0, ddof=1)] if len(bound) > 1 else [0.0] * bound.shape[1]

    @property
    def orders(self) -> list[float]:
        """The rank correlation of tail and bound over the ratios, of each draw; NaN where one of both is constant."""
        return [rank_correlation([one.tail for one in row], [one.bound for one in row]) for row in self.draws]


def bound_parts(name: str, images: CodedImages, view: View, k: int, masks: int = EVERY, draws: int = 1) -> Moves:
    """The printed tail, our explicit constant and their sum over the mask ratio, target hop."""
    rows = [[_parts(world_graph(images, ratio, view, masks, seed), k) for ratio in RATIOS] for seed in range(draws)]
    return Moves(name, k, RATIOS, rows)


def _parts(graph: MaskGraph, k: int) -> Parts:
    s = spectrum(augmentation_graph(graph), k)
    bound = bounds.thm_4_2(s.head_sq, 1.0, 0.0)
    return Parts(s.components, s.head_sq, s.tail_sq / 4, 0.5 - s.frobenius_sq / 4, bound)


def head_not_tail() -> Finding:
    """What moves in Thm 4.2 is the head."""
    worlds = [
        bound_parts("mixture, 3 classes, sequence", class_mixture(8, 0.3, 3), "sequence", 2),
        bound_parts("digits, 4 codes, bag", digits(4), "bag", 8),
        bound_parts("digits, 8 codes, bag", digits(8), "bag", 8),
        bound_parts("digits, 2 codes, positional", digits(2), "positional", 12, 16, DRAWS),
        bound_parts("digits, 2 codes, positional", digits(2), "positional", 32, 16, DRAWS),
    ]
    return Finding(
        "head-not-tail",
        "The head moves the bound, not the printed tail",
        "Thm 4.2 is printed as a tail plus a const. Our explicit constant depends on ‖A‖_F² and so on ρ; together they "
        "are (2 − Σ_{i≤k} λ_i²)/(4L) − ε, and ranking mask ratios by the tail need not rank them by the bound. "
        "Rank correlation of the two over ρ: " + "; ".join(f"{w.label} {_order(w)}" for w in worlds) + ".",
        "L = 1, ε = 0; target hop; all masks of the mixture and of digits as bags. With positions all masks would be "
        f"thousands of blocks: means over {DRAWS} draws of 16 masks at each ρ, ± their standard deviation, and the "
        "fewest components.",
        ("world", "k", "ρ", "components", "head", "tail / 4L", "const", "bound", "its SD over draws"),
        [row for w in worlds for row in _rows(w)],
        # A bound that is the same at every ρ needs no picture.
        [_parts_panel(w) for w in worlds if not np.isnan(w.orders).any()],
        [
            *(f"{w.label}: {_verdict(w)}." for w in worlds),
            "Proved (identity I5 and Thm 4.2 in docs/theory.md): tail and const sum to (2 − head)/(4L) − ε, so that at "
            "one L and ε only the head moves the bound.",
        ],
        [
            "Which ratio trains best.",
            "A sign of the rank correlation in general: a larger ‖A‖_F² may go with a larger head or a smaller one.",
            "That the bound tells ρ from 1 − ρ where masks are drawn: under all masks it does not (F2), and one draw "
            "puts either first. Drawn masks are of one law at both, and means over more draws come together.",
        ],
    )


def _rows(w: Moves) -> list[tuple[object, ...]]:
    fewest = [min(one.components for one in at) for at in zip(*w.draws, strict=True)]
    means = (w.means(part) for part in ("head", "tail", "const", "bound"))
    return [(w.world, w.k, *row) for row in zip(w.ratios, fewest, *means, w.spread, strict=True)]


def _order(w: Moves) -> str:
    orders = w.orders
    if np.isnan(orders).any():
        return "none, the bound is the same at every ρ"
    return f"{orders[0]:+.2f}" if len(orders) == 1 else f"{np.mean(orders):+.2f} ± {np.std(orders, ddof=1):.2f}"


def _verdict(w: Moves) -> str:
    tails, values = w.means("tail"), w.means("bound")
    parts = [one for row in w.draws for one in row]
    if np.ptp([one.bound for one in parts]) < EQUAL:
        why = ", as k is at most the number of components" if all(w.k <= one.components for one in parts) else ""
        return f"the bound is {values[0]:.4g} at every ρ{why}, while the tail moves by {np.ptp(tails):.3g}"
    orders = np.array(w.orders)
    if np.isnan(orders).any():
        return "the tail is the same at every ρ and the bound is not"
    same = bool((orders > 1 - EQUAL).all())
    how = "orders the ratios as the bound does" if same else "orders the ratios otherwise than the bound"
    many = f" over {len(orders)} draws, {orders.min():+.2f} to {orders.max():+.2f}" if len(orders) > 1 else ""
    whose = "of the means at ρ and 1 − ρ together it is" if many else "it is"
    if many:
        # Masks drawn at ρ and those drawn at 1 − ρ are of one law (F2): what sets their means apart is chance.
        tails, values = (_mirrored(v) for v in (tails, values))
    best, wanted = (_largest_at(w.ratios, v) for v in (tails, values))
    return f"the tail {how} (rank correlation {_order(w)}{many}): {whose} largest at ρ = {best}, the bound at {wanted}"


def _mirrored(values: Sequence[float]) -> list[float]:
    """The mean of what stands at ρ and at 1 − ρ, where ratios lie symmetrically about ½."""
    return [(one + other) / 2 for one, other in zip(values, reversed(values), strict=True)]


def _largest_at(ratios: Sequence[float], values: Sequence[float]) -> str:
    """Where a number is largest, to nine digits: at ρ and 1 − ρ alike under all masks."""
    rounded = np.round(values, 9)
    return " and ".join(f"{ratio:g}" for ratio, value in zip(ratios, rounded, strict=True) if value == rounded.max())


def _parts_panel(w: Moves) -> Panel:
    lines: dict[str, Line] = {
        "tail term": (w.ratios, w.means("tail")),
        "const": (w.ratios, w.means("const")),
        "bound": (w.ratios, w.means("bound")),
    }
    errors: dict[str, Sequence[float]] = {"bound": w.spread} if len(w.draws) > 1 else {}
    return Panel(w.label, "mask ratio ρ", "Thm 4.2 at L = 1, ε = 0", lines, errors=errors)
