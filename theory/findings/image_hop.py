"""F4: on the image hop the paper's story about connectivity holds, and under all uniform masks it must.

A view of n1 − 1 patches is one of n1 patches with one dropped at random, whatever tells views apart. So x̄ → x1 → x1' is
a Markov chain and B' = K·B with K = D1'^-½ P(x1', x1) D1^-½, a conditional expectation, of norm 1. No singular value
of K·B exceeds that of B one by one: no eigenvalue of the image hop rises with ρ, its number of components cannot grow,
and α, the Bayes error given x1, cannot fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory import labels
from maskgraph.theory.findings.finding import EQUAL, RATIOS, Finding, Line, Panel, digits, trend, trends, world_graph
from maskgraph.theory.solver.components import components
from maskgraph.theory.spectrum import spectrum

HEAD = 8
"""How many eigenvalues are followed over ρ."""


@dataclass(frozen=True)
class Connectivity:
    """The image-hop graph of a world over the mask ratio.

    Attributes:
        world: its name.
        ratios: ρ.
        components: of the image hop.
        heads: its leading eigenvalues, at most `HEAD`.
        alpha: Pr[y(x1) ≠ y(x̄)].
        target_components: of the target hop.
    """

    world: str
    ratios: Sequence[float]
    components: list[int]
    heads: list[list[float]]
    alpha: list[float]
    target_components: list[int]

    @property
    def second(self) -> list[float]:
        """λ₂ over ρ."""
        return [head[1] for head in self.heads]

    @property
    def rise(self) -> float:
        """The largest rise of a followed eigenvalue from one ρ to the next; below 0 where all fall."""
        width = min(len(head) for head in self.heads)
        return float(np.diff([head[1:width] for head in self.heads], axis=0).max())


def connectivity(name: str, images: CodedImages, ratios: Sequence[float] = RATIOS) -> Connectivity:
    """Components, leading eigenvalues and α over the mask ratio, positional views under all uniform masks."""
    graphs = [world_graph(images, ratio, "positional") for ratio in ratios]
    hops = [augmentation_graph(graph, "image") for graph in graphs]
    spectra = [spectrum(A, min(HEAD, *A.B.shape)) for A in hops]
    return Connectivity(
        name,
        ratios,
        [s.components for s in spectra],
        [[float(value) for value in s.values] for s in spectra],
        [labels.alpha(graph) for graph in graphs],
        [components(augmentation_graph(graph).B).count for graph in graphs],
    )


def image_hop() -> Finding:
    """F4 as a page."""
    apart = make_coded_images("apart", np.array([[0] * 4, [1] * 4]), np.array([0, 1]), codebook=np.eye(2))
    worlds = [
        connectivity("mixture", class_mixture(8, 0.3)),
        connectivity("digits, 2 codes", digits(2, 150)),
        connectivity("digits, 8 codes", digits(8, 150)),
        connectivity("images 0000 and 1111 alone", apart, ratios=(0.25, 0.5, 0.75)),
    ]
    second, alpha = {w.world: w.second for w in worlds}, {w.world: w.alpha for w in worlds}
    traded = [name for name in second if (trend(second[name]), trend(alpha[name])) == ("down", "up")]
    return Finding(
        "image-hop",
        "On the image hop more masking connects, and hides the class",
        "Pairs of two masks of one image (HaoChen et al. 2021) connect through shared views. More masking makes views "
        f"coarser: over ρ, λ₂ of the image hop goes {trends(second)}; α, what a view hides of the class, goes "
        f"{trends(alpha)}. The trade-off that the paper tells is seen on {len(traded)} of {len(worlds)} worlds.",
        "Positional views, all masks; the mixture (8 patches, η = 0.3), 150 digits, and two images.",
        ("world", "ρ", "components, image hop", "λ₂, image hop", "α", "components, target hop"),
        [
            (w.world, *row)
            for w in worlds
            for row in zip(w.ratios, w.components, w.second, w.alpha, w.target_components, strict=True)
        ],
        [_panel(w) for w in worlds],
        [_sentence(w) for w in worlds] + [PROVED],
        [
            "The same under some of the masks, for what is proved: those of one ratio are not those of the next with a "
            "patch dropped.",
            "That this graph bounds L_MAE: it knows only the target hop (docs/theory.md, section 1).",
            "That the trade-off has its best point at the ratio that trains best.",
        ],
    )


PROVED = (
    "Proved, under all uniform masks: a view of n1 − 1 patches is one of n1 patches with one dropped at random, so "
    "that B at the larger ρ is K·B with ‖K‖ ≤ 1. No eigenvalue of the image hop rises with ρ, its components cannot "
    "grow in number, and α cannot fall."
)


def _sentence(w: Connectivity) -> str:
    text = f"{w.world}: {_span(w.components)} on the image hop, {_span(w.target_components)} on the target hop; over ρ "
    text += f"λ₂ goes {trend(w.second)} ({w.second[0]:.3f} to {w.second[-1]:.3f}), α {trend(w.alpha)} "
    text += f"({w.alpha[0]:.3f} to {w.alpha[-1]:.3f})"
    if min(w.components) > 1:
        return text + ": images that chain up through no shared view never connect, at any ρ tried."
    risen = f"one of the leading eigenvalues rises by {w.rise:.1g}" if w.rise > EQUAL else "no leading eigenvalue rises"
    return text + f"; {risen} from one ρ to the next."


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low} component{'s' if low != 1 else ''}" if low == high else f"{low} to {high} components"


def _panel(w: Connectivity) -> Panel:
    lines: dict[str, Line] = {"λ₂, image hop": (w.ratios, w.second), "α": (w.ratios, w.alpha)}
    return Panel(w.world, "mask ratio ρ", "", lines)
