"""Findings about labels: the target side's error, and what mixes classes on either hop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import bounds, labels
from maskgraph.theory.findings.finding import (
    DRAWS,
    EQUAL,
    RATIOS,
    Finding,
    Line,
    Panel,
    digits,
    listed,
    rank_correlation,
    trend,
    trends,
    world_graph,
)
from maskgraph.theory.unseen import singleton_mass


@dataclass(frozen=True)
class Errors:
    """The label errors of both sides and φ of the target hop, over `RATIOS`."""

    world: str
    alpha: list[float]
    alpha2: list[float]
    phi: list[float]

    @property
    def broken(self) -> list[int]:
        """Places of the ratios at which φ > 2α."""
        return [i for i, phi in enumerate(self.phi) if phi > 2 * self.alpha[i] + EQUAL]


def label_errors(name: str, images: CodedImages, view: View) -> Errors:
    """α, α₂ and φ of the target hop over the mask ratio, under all uniform masks."""
    graphs = [world_graph(images, ratio, view) for ratio in RATIOS]
    return Errors(
        name,
        [labels.alpha(graph) for graph in graphs],
        [labels.alpha_target(graph) for graph in graphs],
        [labels.phi(augmentation_graph(graph)) for graph in graphs],
    )


def target_side() -> Finding:
    """α of the target side enters φ."""
    worlds = [
        label_errors("mixture, sequence", class_mixture(8, 0.3), "sequence"),
        label_errors("digits, 4 codes, positional", digits(4, 600), "positional"),
        label_errors("digits, 4 codes, bag", digits(4), "bag"),
    ]
    exhibits = [
        max(((w.phi[i] - 2 * w.alpha[i], w, i) for i in w.broken), key=lambda e: e[0]) for w in worlds if w.broken
    ]
    shown = [f"{w.world}, ρ = {RATIOS[i]:g}: φ = {w.phi[i]:.3f}, 2α = {2 * w.alpha[i]:.3f}" for _, w, i in exhibits]
    return Finding(
        "target-side-label-error",
        "The label error of the target side counts too",
        "φ, the chance that the majority classes of a positive pair differ, is at most 2(α + α₂): a pair is made "
        "through a target, and what the target hides of its class (α₂) enters the bound as much as what the view hides "
        "(α). "
        + (f"φ ≤ 2α alone is false there: {'; '.join(shown)}." if shown else "φ > 2α is seen on no world here."),
        "Target hop, all masks; the mixture (8 patches, η = 0.3), 600 digits with positions, all 1,797 as bags.",
        ("world", "ρ", "α", "α₂", "φ", "2α", "2(α + α₂)"),
        [
            (w.world, ratio, a, a2, phi, 2 * a, bounds.phi_from_alpha(a, a2))
            for w in worlds
            for ratio, a, a2, phi in zip(RATIOS, w.alpha, w.alpha2, w.phi, strict=True)
        ],
        [_errors_panel(w) for w in worlds],
        [sentence for w in worlds for sentence in _errors_told(w)] + [TARGET_PROVED],
        [
            "φ > 2α in general: " + _where_not(worlds),
            "How much of φ a trained model pays: Thm 4.1 multiplies it by 8, and is above 1 on most graphs.",
        ],
    )


TARGET_PROVED = (
    "Proved (Thm 4.1 in docs/theory.md): φ ≤ 2(α + α₂) on the target hop, φ ≤ 2α on the image hop. Under all uniform "
    "masks α cannot fall and α₂ cannot rise with ρ: fewer patches are more patches with some dropped at random, and no "
    "answer gets better by dropping."
)


def _where_not(worlds: Sequence[Errors]) -> str:
    never = [w.world for w in worlds if not w.broken]
    return f"it is seen at no ρ on {listed(never)}." if never else "each world here has a ρ, others may have none."


def _errors_told(w: Errors) -> list[str]:
    sums = [a + b for a, b in zip(w.alpha, w.alpha2, strict=True)]
    kept = all(phi <= 2 * s + EQUAL for phi, s in zip(w.phi, sums, strict=True))
    above = ", ".join(f"{RATIOS[i]:g}" for i in w.broken)
    ranks = [f"{rank_correlation(w.phi, other):+.2f}" for other in (w.alpha, w.alpha2, sums)]
    return [
        f"{w.world}: φ ≤ 2(α + α₂) {'holds at every ρ' if kept else 'FAILS'}; φ > 2α at "
        + (f"ρ = {above}: α alone does not bound it." if above else "no ρ."),
        f"{w.world}: over ρ, α goes {trend(w.alpha)}, α₂ {trend(w.alpha2)}, φ {trend(w.phi)}; rank correlation of φ "
        f"with α {ranks[0]}, with α₂ {ranks[1]}, with their sum {ranks[2]}.",
    ]


def _errors_panel(w: Errors) -> Panel:
    lines: dict[str, Line] = {
        "φ": (RATIOS, w.phi),
        "2α (or 1, where above)": (RATIOS, [min(2 * a, 1.0) for a in w.alpha]),
        "α": (RATIOS, w.alpha),
        "α₂": (RATIOS, w.alpha2),
    }
    return Panel(w.world, "mask ratio ρ", "probability", lines)


@dataclass(frozen=True)
class Mixing:
    """What mixes classes, over `RATIOS`.

    Attributes:
        world: its name.
        inter: Pr[the images behind a target-hop pair have different classes].
        phi: Pr[the majority classes of a target-hop pair differ].
        phi_image: the same on the image hop.
        once: the share of target mass seen from one image only.
    """

    world: str
    inter: list[float]
    phi: list[float]
    phi_image: list[float]
    once: list[float]


def mixing(name: str, images: CodedImages) -> Mixing:
    """Inter-class mass and φ of both hops over the mask ratio, positional views under all uniform masks."""
    graphs = [world_graph(images, ratio, "positional") for ratio in RATIOS]
    targets = [augmentation_graph(graph) for graph in graphs]
    return Mixing(
        name,
        [labels.edge_mass(A).inter for A in targets],
        [labels.phi(A) for A in targets],
        [labels.phi(augmentation_graph(graph, "image")) for graph in graphs],
        [singleton_mass(graph, "target") for graph in graphs],
    )


def inter_class_mass() -> Finding:
    """F3: what more masking does to inter-class mass depends on the hop and on the measure."""
    worlds = [
        mixing("mixture, full support", class_mixture(8, 0.3)),
        mixing("30 images of it", class_mixture(8, 0.3, images=30)),
        mixing("digits, 4 codes", digits(4, 300)),
    ]
    samples = [mixing(str(seed), class_mixture(8, 0.3, images=30, seed=seed)) for seed in range(DRAWS)]
    told = [
        ("the inter-class mass of the target hop, by the classes of the images,", {w.world: w.inter for w in worlds}),
        ("φ of the target hop, by the majority classes of the views,", {w.world: w.phi for w in worlds}),
        ("φ of the image hop", {w.world: w.phi_image for w in worlds}),
    ]
    ways = [f"{what} goes {trends(values)}" for what, values in told]
    return Finding(
        "inter-class-mass",
        "What more masking does to inter-class mass depends on the hop",
        f"Over ρ {ways[0]}; {ways[1]}; {ways[2]}.",
        "Positional views, all masks; the mixture (8 patches, η = 0.3) and 300 digits. inter: the two images "
        "behind a pair have different classes. It is 0 by definition on the image hop, whose pairs are of one image, "
        "so that φ (majority classes of the views) is shown there. seen once: the share of target mass seen from one "
        "image only.",
        ("world", "ρ", "inter, target", "φ, target", "φ, image", "seen once"),
        [(w.world, *row) for w in worlds for row in zip(RATIOS, w.inter, w.phi, w.phi_image, w.once, strict=True)],
        [_mixing_panel(w) for w in worlds],
        [sentence for w in worlds for sentence in _mixing_told(w)] + [_samples_told(samples), INTER_PROVED],
        [
            "That any direction of φ on the target hop is general: three worlds are three worlds.",
            "The same under some of the masks, for what is proved: those of one ratio are not those of the next with a "
            "patch dropped.",
            "A smooth shape of φ: majority classes of views of an even number of patches can tie, and φ ripples with "
            "that.",
        ],
    )


INTER_PROVED = (
    "Proved, under all uniform masks and whatever the images: the inter-class mass of the target hop cannot rise with "
    "ρ. It is E[1 − Σ_c P(c|x2)²], and a target of n2 patches is one of n2 + 1 with a patch dropped at random, so that "
    "P(c|x2) of the smaller is a mean of those of the larger, and the mean of squares grows with what is known."
)


def _samples_told(samples: Sequence[Mixing]) -> str:
    """How much of the second world is the draw of its images."""
    ways = Counter(trend(sample.phi) for sample in samples)
    counted = ", ".join(f"{way} in {count}" for way, count in ways.most_common())
    return (
        f"Of {len(samples)} samples of 30 images, of which the first is the one above, φ of the target hop goes "
        f"{counted}."
    )


def _mixing_told(w: Mixing) -> list[str]:
    least = int(np.argmin(np.round(w.phi, 9)))
    shape = "a valley" if w.phi[least] < min(w.phi[0], w.phi[-1]) - EQUAL else "no valley"
    return [
        f"{w.world}: inter-class mass of the target hop {trend(w.inter)} ({w.inter[0]:.3f} to {w.inter[-1]:.3f}), φ of "
        f"the image hop {trend(w.phi_image)} ({w.phi_image[0]:.4g} to {w.phi_image[-1]:.4g}), seen "
        f"once {w.once[0]:.3f} to {w.once[-1]:.3f}.",
        f"{w.world}: φ of the target hop is {w.phi[0]:.3f} and {w.phi[-1]:.3f} at the ends and {w.phi[least]:.3f} at "
        f"its least, ρ = {RATIOS[least]:g}: {shape}.",
    ]


def _mixing_panel(w: Mixing) -> Panel:
    lines: dict[str, Line] = {
        "inter, target hop": (RATIOS, w.inter),
        "φ, target hop": (RATIOS, w.phi),
        "φ, image hop": (RATIOS, w.phi_image),
    }
    return Panel(w.world, "mask ratio ρ", "probability", lines)
