"""The theory of a dataset as text."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.masks import masks_text
from maskgraph.notes import of_bounds, of_labels, of_samples
from maskgraph.tables import spread_text, table
from maskgraph.theory.answer import RatioAnswer
from maskgraph.theory.bounds import is_printed_lambda

DIM = 64
"""Dimension of a bound where the user names none; of a graph with fewer visible views their number."""


NUMBERS = {
    "head_sq": "head",
    "tail_sq": "tail",
    "thm_4_2_any_lambda": "thm_4_2",
    "water_filling": "S2",
    "alpha": "alpha",
    "alpha_target": "alpha2",
    "phi": "phi",
    "inter": "inter",
    "bayes_risk": "bayes",
    "target_variance": "Var(x2)",
    "rank_floor": "floor",
}
"""The columns of what has intervals and spreads, by its names in an answer."""


def print_bounds(images: CodedImages, options: argparse.Namespace, answers: Sequence[RatioAnswer]) -> None:
    """One row a mask ratio, what to know of them, and the intervals and spreads that were asked for."""
    first, dims = answers[0], sorted({found["dim"] for found in answers})
    dim = f"{dims[0]} to {dims[-1]}" if len(dims) > 1 else f"{dims[0]}"
    print(
        f"{data_text(images)}, {graph_text(options)}, "
        f"dim {dim}, L = {first['lipschitz']:g}, lambda = {first['lambda']:g}, epsilon = {first['epsilon']:g}\n"
    )
    rows = [_bound_row(found) for found in answers]
    columns = [name for name in rows[0] if name != "dim" or len(dims) > 1]
    print(table(columns, [[row[name] for name in columns] for row in rows]))
    notes = [
        *_notes(options, answers),
        *of_labels(answers),
        *of_samples(options.view, answers),
    ]
    if notes:
        print("\n" + "\n".join(notes))
    if options.bootstrap is not None:
        _print_intervals(images, answers)
    if options.seeds > 1:
        _print_draws(answers)


def data_text(images: CodedImages) -> str:
    """The dataset, how many images, and how they are cut and coded."""
    number = len(images.labels)
    return f"{images.name}: {number} image{'s' if number > 1 else ''} of {images.patches} patches{coding_text(images)}"


def coding_text(images: CodedImages) -> str:
    """How pixels became codes, after their patches are named; nothing of data that was codes."""
    if (coding := images.coding) is None:
        return ""
    codes = f"{coding.codes} code{'s' if coding.codes > 1 else ''}"
    return f" ({coding.patch} x {coding.patch} pixels, {coding.codebook}, {codes})"


def graph_text(options: argparse.Namespace) -> str:
    """What was chosen of views, masks and hop."""
    parts = (f"{options.view} views", masks_text(options.mask, options.mask_unit), f"{options.hop} hop")
    return ", ".join(filter(None, parts))


def _notes(options: argparse.Namespace, answers: Sequence[RatioAnswer]) -> list[str]:
    first, notes = answers[0], []
    lam, dims = first["lambda"], sorted({found["dim"] for found in answers})
    if options.dim is None and dims[0] < DIM:
        notes.append(f"dim is {DIM}, or N1 where that is less: name one for all by --dim.")
    notes += of_bounds(answers, options.hop)
    if any(found["dim"] <= found["components"] for found in answers):
        notes.append(
            "Where comps >= dim, the first dim eigenvalues are all 1: the head is dim, whatever the images show."
        )
    if not is_printed_lambda(lam, first["lipschitz"]):
        notes.append("lambda is not 1/(4L): the thm_4_2 column shows the form for any lambda.")
    if options.hop == "image":
        notes.append("On the image hop the bounds are of that hop's alignment, not of L_MAE.")
    if mirrored := _mirrored(options, answers):
        notes.append(
            f"Under all masks rho {mirrored} have one spectrum (F2 of docs/theory.md): "
            "what tells them apart in head, tail and bounds is the draw of the masks."
        )
    drawn = ", ".join(f"{found['mask_ratio']:g}" for found in answers if not found["exhaustive"])
    if drawn and options.seeds == 1:
        notes.append(f"The masks of rho {drawn} are drawn: --seeds 20 tells what others would say.")
    return notes


def _mirrored(options: argparse.Namespace, answers: Sequence[RatioAnswer]) -> str:
    """Pairs of mask ratios that keep as much as the other drops, of which only some masks are there."""
    if options.mask != "uniform" or options.hop != "target":
        return ""
    some = {found["kept"]: found for found in answers if not found["exhaustive"]}
    pairs = [(found, some.get(found["patches"] - kept)) for kept, found in some.items()]
    return "; ".join(
        f"{one['mask_ratio']:g} and {other['mask_ratio']:g}"
        for one, other in pairs
        if other is not None and one["kept"] > other["kept"] and one["dim"] == other["dim"]
    )


def _print_intervals(images: CodedImages, answers: Sequence[RatioAnswer]) -> None:
    first = answers[0]["bootstrap"]
    shown = [name for name in NUMBERS if name in first["intervals"]]
    print(f"\n{100 * first['level']:g} % basic bootstrap intervals over images, {first['resamples']} resamples:\n")
    rows = [
        [f"{found['mask_ratio']:g}", *(_interval(found["bootstrap"]["intervals"][name]) for name in shown)]
        for found in answers
    ]
    print(table(("rho", *(NUMBERS[name] for name in shown)), rows))
    print("\nWhere they hold the truth and where not: docs/findings/bootstrap-coverage.md.")
    some, learned = not all(found["exhaustive"] for found in answers), images.coding is not None
    if shared := [name for name, is_drawn in (("masks", some), ("codebook", learned)) if is_drawn]:
        print(f"All resamples have the same {' and '.join(shared)}: what others would say, --seeds tells.")
    print("Resamples are shifted; the interval takes it off. So it may leave out the value above, and an end may lie")
    print("where no value can, as a probability above 1: read it as the nearest one that can.")
    if any(low == high for found in answers for low, high in found["bootstrap"]["intervals"].values()):
        print("Where both ends are one, all resamples agree, which is no certainty.")


def _interval(ends: Sequence[float]) -> str:
    return "..".join(f"{end:.4g}" for end in ends)


def _print_draws(answers: Sequence[RatioAnswer]) -> None:
    first = answers[0]["draws"]
    seeds, shown = first["seeds"], [name for name in NUMBERS if name in first["numbers"]]
    drawn = " and ".join(", ".join(first["drawn"]).rsplit(", ", 1))
    which = f"seeds {seeds[0]} to {seeds[-1]}; what stands above is of seed {seeds[0]}"
    print(f"\nmean ± SD over {len(seeds)} draws of {drawn}, {which}:\n")
    rows = [
        [f"{found['mask_ratio']:g}", *(spread_text(found["draws"]["numbers"][name]) for name in shown)]
        for found in answers
    ]
    print(table(("rho", *(NUMBERS[name] for name in shown)), rows))


def _bound_row(found: RatioAnswer) -> dict[str, object]:
    visible, target = found["vertices"]
    return {
        "rho": f"{found['mask_ratio']:g}",
        "kept": found["kept"],
        "masks": f"{found['masks']}/{found['masks_total']}",
        "N1": visible,
        "N2": target,
        "comps": found["components"],
        "dim": found["dim"],
        "head": found["head_sq"],
        "tail": found["tail_sq"],
        "thm_4_2": found["bounds"]["thm_4_2_any_lambda"],
        "S2": found["bounds"]["water_filling"],
        "alpha": found["alpha"],
        "alpha2": found["alpha_target"],
        "phi": found["phi"],
        "inter": found["inter"],
        "unseen1": found["unseen"]["visible"],
        "unseen2": found["unseen"]["target"],
        "bayes": found["bayes_risk"],
        "Var(x2)": found["target_variance"],
        "floor": found["rank_floor"],
    }
