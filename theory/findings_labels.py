"""Findings about labels: the target side's error, what mixes classes, and the image hop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import bounds, labels
from maskgraph.theory.finding import EQUAL, RATIOS, Finding, Panel, digits, trend, world_graph
from maskgraph.theory.spectrum import spectrum


def target_side() -> Finding:
    """α of the target side enters φ."""
    worlds: dict[str, tuple[CodedImages, View, int]] = {
        "mixture, sequence": (class_mixture(8, 0.3), "sequence", 2000),
        "digits, 4 codes, bag": (digits(4), "bag", 64),
    }
    rows: list[tuple[object, ...]] = []
    panels, shown = [], []
    for name, (images, view, masks) in worlds.items():
        found = []
        for ratio in RATIOS:
            graph = world_graph(images, ratio, view, masks)
            alpha, alpha2 = labels.alpha(graph), labels.alpha_target(graph)
            phi = labels.phi(augmentation_graph(graph))
            found.append((alpha, alpha2, phi))
            rows.append((name, ratio, alpha, alpha2, phi, 2 * alpha, bounds.phi_from_alpha(alpha, alpha2)))
        alphas, alphas2, phis = (list(column) for column in zip(*found, strict=True))
        above = [r for r, (a, _, p) in zip(RATIOS, found, strict=True) if p > 2 * a]
        kept = all(p <= 2 * (a + b) + EQUAL for a, b, p in found)
        shown.append(
            f"{name}: φ ≤ 2(α + α₂) {'holds at every ρ' if kept else 'FAILS'}; φ > 2α at "
            + (f"ρ = {', '.join(f'{r:g}' for r in above)}: α alone does not bound it." if above else "no ρ.")
        )
        shown.append(f"{name}: α goes {trend(alphas)} with ρ, α₂ {trend(alphas2)}, φ {trend(phis)}.")
        panels.append(
            Panel(name, "mask ratio ρ", "", {"α": (RATIOS, alphas), "α₂": (RATIOS, alphas2), "φ": (RATIOS, phis)})
        )
    return Finding(
        "target-side-label-error",
        "The label error of the target side counts too",
        "φ, the chance that the majority classes of a positive pair differ, is at most 2(α + α₂): a pair is made "
        "through a "
        "target, and what the target hides of its class (α₂) enters as much as what the view hides (α).",
        "Target hop; all masks of the mixture, 64 of digits.",
        ("world", "ρ", "α", "α₂", "φ", "2α", "2(α + α₂)"),
        rows,
        panels,
        shown,
        ["How much of φ a trained model pays: Thm 4.1 multiplies it by 8, and is above 1 on most graphs."],
    )


def inter_class_mass() -> Finding:
    """F3: inter-class mass rises or falls with ρ depending on the hop and on the support."""
    worlds: dict[str, tuple[CodedImages, int]] = {
        "mixture, full support": (class_mixture(8, 0.3), 2000),
        "30 images of it": (class_mixture(8, 0.3, images=30), 2000),
        "digits, 4 codes": (digits(4, 600), 64),
    }
    rows: list[tuple[object, ...]] = []
    panels, shown = [], []
    for name, (images, masks) in worlds.items():
        inter, phi_target, phi_image = [], [], []
        for ratio in RATIOS:
            graph = world_graph(images, ratio, "positional", masks)
            target, image = (augmentation_graph(graph, hop) for hop in ("target", "image"))
            inter.append(labels.edge_mass(target).inter)
            phi_target.append(labels.phi(target))
            phi_image.append(labels.phi(image))
            rows.append((name, ratio, inter[-1], phi_target[-1], phi_image[-1], labels.coverage(graph)))
        shown.append(
            f"{name}: over ρ the inter-class mass of the target hop goes {trend(inter)} "
            f"({inter[0]:.3f} to {inter[-1]:.3f}), its φ {trend(phi_target)}, the image hop's φ {trend(phi_image)}."
        )
        panels.append(
            Panel(
                name,
                "mask ratio ρ",
                "",
                {
                    "inter, target hop": (RATIOS, inter),
                    "φ, target hop": (RATIOS, phi_target),
                    "φ, image hop": (RATIOS, phi_image),
                },
            )
        )
    for panel in panels:
        phi = panel.lines["φ, target hop"][1]
        shape = "a valley" if min(phi) < min(phi[0], phi[-1]) else "no valley"
        shown.append(
            f"{panel.title}: φ of the target hop is {phi[0]:.3f} and {phi[-1]:.3f} at the ends and {min(phi):.3f} at "
            f"its least: {shape}."
        )
    return Finding(
        "inter-class-mass",
        "Inter-class mass rises or falls with ρ, depending on the hop",
        "Whether more masking mixes classes more depends on what a positive pair shares, and on whether the images "
        "have full "
        "support or are a sample in which shared targets get rare.",
        "Positional views. inter: the two images behind a pair have different classes; 0 by definition on the image "
        "hop, "
        "whose pairs are of one image, so that φ (majority classes of the views) is shown there.",
        ("world", "ρ", "inter, target", "φ, target", "φ, image", "coverage"),
        rows,
        panels,
        shown,
        [
            "That either direction is general: three worlds are three worlds.",
            "A smooth shape of φ: majority classes of views of an even number of patches can tie, and φ ripples "
            "with that.",
        ],
    )


def image_hop() -> Finding:
    """F4: on the image hop the paper's story about connectivity holds."""
    never = make_coded_images("(0,0) and (1,1)", np.array([[0, 0], [1, 1]]), np.array([0, 1]), codebook=np.eye(2))
    worlds: dict[str, tuple[CodedImages, int, Sequence[float]]] = {
        "mixture": (class_mixture(8, 0.3), 2000, RATIOS),
        "digits, 2 codes": (digits(2, 600), 64, RATIOS),
        "images (0,0) and (1,1) alone": (never, 2000, (0.5,)),
    }
    rows: list[tuple[object, ...]] = []
    panels, shown = [], []
    for name, (images, masks, ratios) in worlds.items():
        found = []
        for ratio in ratios:
            graph = world_graph(images, ratio, "positional", masks)
            both = [spectrum(augmentation_graph(graph, hop), 2) for hop in ("image", "target")]
            found.append((both[0].components, float(both[0].values[1]), labels.alpha(graph), both[1].components))
            rows.append((name, ratio, *found[-1]))
        counts, second, alphas, others = (list(column) for column in zip(*found, strict=True))
        if len(ratios) > 1:
            shown.append(
                f"{name}: the image-hop graph has {_span(counts)} (target hop: {_span(others)}); "
                f"over ρ its λ₂ goes {trend(second)} and α {trend(alphas)}."
            )
            panels.append(Panel(name, "mask ratio ρ", "", {"λ₂, image hop": (ratios, second), "α": (ratios, alphas)}))
        else:
            shown.append(f"{name}: {_span(counts)}, and λ₂ = {second[0]:g}: images that share no view never connect.")
    return Finding(
        "image-hop",
        "On the image hop the story about connectivity holds",
        "Pairs of two masks of one image (HaoChen et al. 2021) connect through shared views; more masking makes views "
        "coarser, connects more (λ₂ falls) and hides more of the class (α grows): the trade-off that the paper tells.",
        "Positional views; all masks of the mixture, 64 of 600 digits.",
        ("world", "ρ", "components, image hop", "λ₂, image hop", "α", "components, target hop"),
        rows,
        panels,
        shown,
        [
            "That this graph bounds L_MAE: it knows only the target hop (docs/theory.md, section 1).",
            "That the trade-off has its best point at the ratio that trains best.",
        ],
    )


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low} component{'s' if low != 1 else ''}" if low == high else f"{low} to {high} components"
