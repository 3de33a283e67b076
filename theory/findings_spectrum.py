"""Findings about the spectrum: masks in its head, its mirror image, what moves the bound, uniformity as a rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import bounds, labels, losses, risk
from maskgraph.theory.finding import EQUAL, RATIOS, Finding, Panel, digits, world_graph
from maskgraph.theory.spectrum import spectrum

Array = NDArray[np.float64]


def positional_views() -> Finding:
    """F1: with positions the leading eigenvectors tell masks apart, not classes."""
    ks = (1, 2, 4, 8, 15, 16, 20, 24, 32, 48, 64)
    worlds = {
        "mixture": (class_mixture(6, 0.2), 0.66, 2000),
        "digits, 2 codes": (digits(2), 0.75, 16),
    }
    rows: list[tuple[object, ...]] = []
    panels, shown, not_shown = [], [], []
    for name, (images, ratio, masks) in worlds.items():
        lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
        chance = float(np.bincount(images.labels, images.weights).max())
        # A readout that tells masks apart but no classes may still gain what the largest class gains mask by mask.
        slightly = 0.01 * chance
        for view in ("positional", "sequence"):
            A = augmentation_graph(
                world_graph(images, ratio, "positional" if view == "positional" else "sequence", masks)
            )
            used = [k for k in ks if k <= min(A.B.shape)]
            scores = readout_accuracy(A, used)
            lines[view] = used, scores
            count, components = len(A.graph.masks.kept), spectrum(A, 1).components
            rows += [(name, view, count, components, k, score) for k, score in zip(used, scores, strict=True)]
            at_chance = [k for k, score in zip(used, scores, strict=True) if score <= chance + slightly]
            most = max(at_chance, default=0)
            text = f"{name}, {view} views ({count} masks, {components} components): "
            text += f"readouts of the top k are within 1 % of chance ({chance:.3f}) up to k = {most}"
            first = next((score for k, score in zip(used, scores, strict=True) if k > count), None)
            shown.append(text + (f"; the first k past the number of masks reads {first:.3f}." if first else "."))
        panels.append(Panel(name, "k", "accuracy of the best linear readout", lines, ("chance", chance)))
    not_shown.append(
        "Eigenvalue 1 has one eigenvector a component, in an order that is arbitrary (here the heaviest component "
        "first). Where a mask's block falls apart, indicators of its pieces may tell classes, and chance is left "
        "earlier."
    )
    not_shown.append(
        "Nothing here is about trained networks: only about the eigenvectors that the bound's head counts."
    )
    return Finding(
        "positional-views",
        "With positions the top eigenvectors are masks",
        "Positional target-hop graphs are block-diagonal over masks, so that their leading eigenvectors are indicators "
        "of masks and a readout of them is at chance until k passes the number of masks.",
        "Class mixture of 6 patches, η = 0.2, all 15 masks of ρ = 0.66; digits with 2 codes, 16 masks of ρ = 0.75. The "
        "readout is least squares from the top k eigenvectors onto the majority class of a view, scored against the "
        "image.",
        ("world", "views", "masks", "components", "k", "accuracy"),
        rows,
        panels,
        shown,
        not_shown,
    )


def readout_accuracy(A: AugmentationGraph, ks: Sequence[int]) -> list[float]:
    """Accuracy over (image, view) of the best linear readout of the top k eigenvectors, for each k.

    Args:
        A: the augmentation graph.
        ks: dimensions, each at most N1.
    """
    graph = A.graph
    vectors = spectrum(A, max(ks)).vectors
    root = np.sqrt(graph.p1)[:, None]
    Y = root * np.eye(graph.class_mass1.shape[1])[np.argmax(graph.class_mass1, axis=1)]
    found = []
    for k in ks:
        U = vectors[:, :k]
        # Scores that differ by rounding alone are a tie, and a tie goes to the lowest class as everywhere.
        answer = np.argmax(np.round(np.asarray(U @ (U.T @ Y)) / root, 9), axis=1)
        found.append(float(graph.class_mass1[np.arange(len(answer)), answer].sum()))
    return found


def rho_symmetry() -> Finding:
    """F2: the spectra at ρ and 1 − ρ coincide."""
    worlds = {
        "mixture, 2 classes, positional": (class_mixture(8, 0.3), "positional"),
        "mixture, 3 classes, sequence": (class_mixture(6, 0.3, 3), "sequence"),
        "40 images of a mixture, bag": (class_mixture(8, 0.3, images=40), "bag"),
    }
    rows: list[tuple[object, ...]] = []
    panels, worst = [], 0.0
    for name, (images, view) in worlds.items():
        n = images.patches
        shown_view: View = "positional" if view == "positional" else "sequence" if view == "sequence" else "bag"
        pairs = [kept / n for kept in range(1, n // 2 + 1)]
        every = {ratio: world_graph(images, ratio, shown_view) for low in pairs for ratio in (low, 1 - low)}
        for low in pairs:
            one, other = (_spectrum_of(every[ratio]) for ratio in (low, 1 - low))
            size = min(len(one), len(other))
            gap = max(float(np.abs(one[:size] - other[:size]).max()), *one[size:], *other[size:], 0.0)
            worst = max(worst, gap)
            alphas, bayes = ([f(every[r]) for r in (low, 1 - low)] for f in (labels.alpha, risk.bayes_risk))
            rows.append((name, low, 1 - low, gap, *alphas, *bayes))
        ratios = sorted(every)
        panels.append(
            Panel(
                name,
                "mask ratio ρ",
                "",
                {
                    "λ₂ off the components": (ratios, [_second(every[r]) for r in ratios]),
                    "α": (ratios, [labels.alpha(every[r]) for r in ratios]),
                    "Bayes risk / E|x2|²": (
                        ratios,
                        [risk.bayes_risk(every[r]) / risk.target_energy(every[r]) for r in ratios],
                    ),
                },
            )
        )
    agree = "agree" if worst < EQUAL else "do not agree"
    return Finding(
        "rho-symmetry",
        "Spectra at ρ and 1 − ρ coincide",
        "Under all uniform masks the mask graph at 1 − ρ is the transpose of that at ρ, so that the non-zero "
        "spectra are the "
        "same and the spectral term alone cannot prefer 75 % to 25 %.",
        "All masks of each ratio, target hop, three worlds and the three view identities.",
        ("world", "ρ", "1 − ρ", "largest difference", "α(ρ)", "α(1 − ρ)", "Bayes risk(ρ)", "Bayes risk(1 − ρ)"),
        rows,
        panels,
        [
            f"The non-zero spectra {agree}: the largest difference is {worst:.1e}, rounding (proved, F2 in "
            f"docs/theory.md).",
            "What does tell ρ from 1 − ρ is beside the spectrum: α and the Bayes risk differ in every row with ρ ≠ ½."
            if all(row[4] != row[5] or row[1] == row[2] for row in rows)
            else "α and the Bayes risk differ between ρ and 1 − ρ in most rows, not in all.",
        ],
        [
            "The symmetry needs a mask distribution in which dropping is as likely as keeping: sampled masks, and "
            "block or "
            "grid masks, need not have it.",
            "L, ε and the features of a trained model may depend on ρ as they like.",
        ],
    )


def _spectrum_of(graph: MaskGraph) -> Array:
    B = augmentation_graph(graph).B
    gram = (B @ B.T if B.shape[0] <= B.shape[1] else B.T @ B).toarray()
    return np.asarray(np.linalg.eigvalsh(gram)[::-1])


def _second(graph: MaskGraph) -> float:
    """The largest eigenvalue beside those of the components."""
    values = _spectrum_of(graph)
    count = spectrum(augmentation_graph(graph), 1).components
    return float(values[count]) if count < len(values) else 0.0


def head_not_tail() -> Finding:
    """What moves in Thm 4.2 is the head."""
    worlds: dict[str, tuple[CodedImages, View, int, int]] = {
        "mixture, 3 classes, sequence, k = 2": (class_mixture(8, 0.3, 3), "sequence", 2, 2000),
        "digits, 4 codes, bag, k = 8": (digits(4), "bag", 8, 64),
        "digits, 2 codes, positional, k = 12": (digits(2), "positional", 12, 16),
    }
    rows: list[tuple[object, ...]] = []
    panels, shown = [], []
    for name, (images, view, k, masks) in worlds.items():
        ratios = RATIOS
        tails, consts, values = [], [], []
        for ratio in ratios:
            found = spectrum(augmentation_graph(world_graph(images, ratio, view, masks)), k)
            tail, const = found.tail_sq / 4, 0.5 - found.frobenius_sq / 4
            tails.append(tail)
            consts.append(const)
            values.append(bounds.thm_4_2(found.head_sq, 1.0, 0.0))
            rows.append((name, ratio, found.head_sq, tail, const, values[-1]))
        lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {
            "tail term": (ratios, tails),
            "const": (ratios, consts),
            "bound": (ratios, values),
        }
        panels.append(Panel(name, "mask ratio ρ", "Thm 4.2 at L = 1, ε = 0", lines))
        order = _rank_correlation(tails, values)
        text = "cannot be ranked: the bound is one and the same at every ρ" if np.isnan(order) else f"{order:+.2f}"
        shown.append(f"{name}: rank correlation over ρ of the printed tail with the bound: {text}.")
    shown.append("Tail and const sum to (2 − head)/(4L) − ε in every row (identity I5): only the head moves the bound.")
    return Finding(
        "head-not-tail",
        "The head moves the bound, not the printed tail",
        "Thm 4.2 is printed as a tail plus a const. Our explicit constant depends on ‖A‖_F² and so on ρ; together "
        "they are "
        "(2 − Σ_{i≤k} λ_i²)/(4L) − ε, and ranking mask ratios by the tail is not ranking them by the bound.",
        "L = 1, ε = 0; target hop; all masks or 64 or 16 of them.",
        ("world", "ρ", "head", "tail / 4L", "const", "bound"),
        rows,
        panels,
        shown,
        ["Which ratio trains best. Where k is at most the number of components the bound is the same at every ρ."],
    )


def _rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    from scipy.stats import rankdata  # slow to import, and wanted here alone

    x, y = (rankdata(np.round(v, 9)) for v in (a, b))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def uniformity_is_rank() -> Finding:
    """U: uniformity is an inverse participation ratio."""
    graph = world_graph(class_mixture(8, 0.3), 0.5, "positional")
    A, rng = augmentation_graph(graph), np.random.default_rng(0)
    rows: list[tuple[object, ...]] = []
    worst = 0.0
    ks = (1, 2, 4, 8, 16, 32)
    lines: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for name in ("random", "one-hot", "nearly constant", "spectral"):
        points = []
        for k in ks:
            f = _features(name, A, k, rng)
            unif = losses.unif_loss(graph, f)
            moments = np.linalg.svd(f * np.sqrt(graph.p1)[:, None], compute_uv=False) ** 2
            inverse = float((moments**2).sum() / moments.sum() ** 2)
            worst = max(worst, abs(unif - inverse) / inverse)
            points.append(unif)
            rows.append((name, k, unif, inverse, bounds.uniformity_floor(k)))
        lines[name] = ks, points
    lines["floor 1/k"] = ks, [1 / k for k in ks]
    batch = {size: _batch_mean(A, 32, size, rng) for size in (2, 4, 8, 16, 32, 64, 128)}
    floors = [max(1 / 32, 1 / size) for size in batch]
    panels = [
        Panel("L_unif over the whole graph", "k", "E(f·f⁻)²", lines),
        Panel(
            "Mean over a batch that includes i = j, k = 32",
            "batch",
            "mean of (f_i·f_j)²",
            {"one-hot features": (list(batch), list(batch.values())), "floor max(1/k, 1/N)": (list(batch), floors)},
        ),
    ]
    kept = all(value >= floor - EQUAL for value, floor in zip(batch.values(), floors, strict=True))
    return Finding(
        "uniformity-is-rank",
        "Uniformity is a rank",
        "For unit-norm features L_unif = E(f·f⁻)² is one over the participation ratio of E ffᵀ: to lower it is to "
        "raise the "
        "rank of the features, whatever raises it.",
        "Class mixture of 8 patches, ρ = 0.5, positional views; features of four kinds in k dimensions.",
        ("features", "k", "L_unif", "1 / participation ratio", "1/k"),
        rows,
        panels,
        [
            f"Both agree to {worst:.0e} of their size in every row: sums over pairs and singular values (proved, U in "
            "docs/theory.md).",
            f"A batch that includes i = j {'stays above' if kept else 'FALLS BELOW'} max(1/k, 1/N): its matrix has "
            f"rank N "
            "at most.",
        ],
        ["That a higher rank is a better feature: rank can be bought with the mask (F8)."],
    )


def _features(name: str, A: AugmentationGraph, k: int, rng: np.random.Generator) -> Array:
    views = len(A.p1)
    if name == "one-hot":
        return np.eye(k)[np.arange(views) % k]
    f = rng.standard_normal((views, k))
    if name == "nearly constant":
        f = 1 + 0.1 * f
    if name == "spectral":
        f = spectrum(A, k).vectors.toarray() / np.sqrt(A.p1)[:, None] + 1e-3 * f
    return np.asarray(losses.normalise(f))


def _batch_mean(A: AugmentationGraph, k: int, size: int, rng: np.random.Generator) -> float:
    f = _features("one-hot", A, k, rng)[rng.choice(len(A.p1), size=size, p=A.p1)]
    return float(((f @ f.T) ** 2).mean())
