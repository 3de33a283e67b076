"""All figures of a run, and one page that shows them beside the numbers."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from maskgraph.empirical.records import (
    FEATURES,
    GEOMETRY,
    LOSSES,
    NULL,
    PROBES,
    drawn_bounds,
    gaussian_nulls,
    probed_feature,
    read_bounds,
    read_records,
    read_study,
    write_atomically,
)
from maskgraph.figures.curve import accuracy_against_bound, bound_versus_accuracy
from maskgraph.figures.spectrum import spectra
from maskgraph.figures.style import save
from maskgraph.figures.waterfall import waterfall
from maskgraph.figures.world import EXAMPLE, draw_worlds, small_worlds
from maskgraph.graphs.errors import as_path
from maskgraph.graphs.masks import masks_text
from maskgraph.theory.bounds import is_vacuous
from maskgraph.theory.draws import mean_and_sd

CAPTIONS = {
    "bound_versus_accuracy": "Theory on the left axis, probe accuracy on the right, label error beneath. The "
    "bound is S2 at λ = 1/(4L), in units of its ceiling 1/(4L): 1 says the most that it can, 1/K nothing. Thin bars "
    "are what other draws of the masks make of it.",
    "accuracy_against_bound": "Does the bound order the models? One point a mask ratio; if the bound explained "
    "accuracy, the points would lie on a falling or rising line. Level bars are what other draws of the masks make of "
    "S2.",
    "waterfall": "The chain of each proof from its left side (dot) to its right (diamond), measured; a bar is what one "
    "step gives away. Wide ranges are on a symmetric logarithmic axis.",
    "spectra": "Eigenvalues of the augmentation graphs. A plateau at 1 counts connected components: with positional "
    "views at least one a mask.",
    "worlds": "Not of this run's data: an example that comes with maskgraph and is the same in every report. The "
    "augmentation graph of a small class mixture (four patches, three classes, η = 0.2) under all masks that keep "
    "three: positions cut it into one piece a mask.",
}

GLOSSARY = {
    "view": "what a model may know of where the patches that it sees lie: all (positional), their order alone "
    "(sequence), nothing (bag)",
    "hop": "which two views are a positive pair: those of one target (target) or of one image (image)",
    "mask_ratio, ρ": "share of an image's patches that is masked",
    "dim": "K, the dimension of the bounds: the trained feature's, or the graph's number of visible views if less",
    "kept, masks": "patches that a visible view x1 has; masks of the graph",
    "components": "parts of the augmentation graph A that no pair joins: so many eigenvalues are 1",
    "head_sq, tail_sq": "sum of the squares of the dim largest eigenvalues of A, and of all others",
    "thm_4_2, S2": "lower bounds of U-MAE's loss L_MAE + λ L_unif: Thm 4.2 as printed, and the sharper water-filling. "
    "On the image hop they are of (1 + L_align)/L in place of L_MAE, with that hop's positive pairs",
    "S2 over draws": "mean ± standard deviation of S2 over draws of the masks, where a graph has some of them: all "
    "else is of the first draw",
    "alpha, alpha_target": "label error of visible views x1, of targets x2: what guessing a view's majority class gets "
    "wrong",
    "phi": "how often the majority classes of a positive pair differ",
    "inter": "share of positive pairs whose images are of two classes",
    "unseen1, unseen2": "share of what a fresh image shows under the same masks that is no visible view, or no target, "
    "of the graph (Good–Turing estimate): if large, the graph tells of the sample more than of the data",
    "bayes_risk": "what no model's L_MAE goes below on this graph",
    "rank_floor": "the least L_MAE of an encoder of dim dimensions with a linear decoder (S3)",
    "method, feature, seeds": "how a network was trained, or a baseline; which of its vectors f is measured (cls, mean "
    "of the patch tokens, all tokens, bottleneck; pixels of images); how many seeds",
    "linear, knn, few_shot": "accuracy on held-out images of logistic regression, of 5 nearest neighbours, and of "
    "logistic regression on 5 labels a class",
    "L_MAE": "E‖h − x2‖², h the network's output, summed over the values of a target",
    "epsilon": "an ε of Assumption 3.1, how well the decoder can be made to give the targets: found by inverting it, "
    "an upper bound of the least",
    "four_L_lambda": "4Lλ, the factor by which the training's λ exceeds the 1/(4L) that Thm 4.2 is printed for, with "
    "the L of the trained feature: 1 is that λ itself; 0 without uniformity",
    "L_unif": "E(f·f⁻)² over independent views, f at unit norm: 1 where all are one line, 1/dimension at least",
    "lipschitz": "L, the least with ‖f − f⁺‖² ≤ L‖h − h⁺‖² on every positive pair",
    "rankme": "effective rank of the features: exp of the entropy of their singular values",
    "share_image, share_mask, share_interaction": "shares of the variance of f that the image alone and the mask alone "
    "account for, and that both together do, which is what is left",
    "L_align": "−E f·f⁺ over positive pairs, f at unit norm: −1 where the two agree",
    "draws": "how many Gaussian features were measured, of as many dimensions (dim) as the models' feature has",
    "statement, verdict, models": "number of a theorem in docs/theory.md; what measuring both sides says; of how many "
    "networks",
    "seed": "of the network",
    "lhs, sense, rhs, slack": "both sides of a statement, how they are to compare, and how far they are from equality",
}
"""What columns mean, in a few words: docs/records.md has them in full."""

TENFOLD = ("lipschitz", "four_L_lambda")
"""Ratios of which seeds may differ tenfold: the largest makes the mean, and the deviation exceeds it."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0; display: block; overflow-x: auto; }
td, th { padding: 3px 9px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { border-bottom: 2px solid #888; } img { max-width: 100%; } figure { margin: 1.5em 0; }
figcaption, .note { color: #555; font-size: 13px; } .violated { background: #fdd; font-weight: bold; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; font-size: 13px; } dd { margin: 0; }
"""


def write_report(run: str | Path) -> list[Path]:
    """Draw every figure of a run and write its report.html.

    Args:
        run: directory of a train or study, finished or not.

    Returns:
        the paths written: the page, then its figures.

    Raises:
        InputError: a directory without bounds or records, or one that cannot be written.
    """
    run = as_path(run, "a run")
    bounds, records = read_bounds(run), read_records(run)
    study = read_study(run)
    feature, about = probed_feature(study), _about(bounds, study)
    figures = {"spectra": spectra(bounds), "worlds": draw_worlds(small_worlds(), EXAMPLE)}
    several = bounds["mask_ratio"].nunique() > 1
    if records["mask_ratio"].notna().any():
        figures = {
            "bound_versus_accuracy": bound_versus_accuracy(bounds, records, feature, about),
            # One mask ratio has no order that a bound could tell.
            **({"accuracy_against_bound": accuracy_against_bound(bounds, records, feature)} if several else {}),
            "waterfall": waterfall(records),
            **figures,
        }
    paths = [save(figure, run / "figures" / f"{name}.png") for name, figure in figures.items()]
    page = run / "report.html"
    write_atomically(page, _page(run, bounds, records, paths).encode())
    return [page, *paths]


def _page(run: Path, bounds: pd.DataFrame, records: pd.DataFrame, figures: Sequence[Path]) -> str:
    study = read_study(run)
    return (
        f"{opening(_about(bounds, study), figures, CAPTIONS)}"
        f"<h2>Graphs</h2>{_bounds_table(bounds)}"
        "<p class=note>v: vacuous, at most λ/dim, which λ L_unif alone is never below. All bounds at L = 1, λ = 1/4, "
        "ε = 0.</p>"
        f"<h2>Models and baselines</h2>{_records_tables(records)}{_null_table(bounds)}"
        f"<p class=note>Mean ± standard deviation over seeds, of {' and '.join(TENFOLD)}, of which seeds may differ "
        "tenfold, median [least, largest]; (n of N): over those n where it is finite. Probes are "
        f"{_probed(records)} held out from everything.{_of_nothing(records)} What else was measured is in "
        "records/ (docs/records.md). rankme and shares are of all views of a graph and knn of 5 neighbours: a recipe's "
        "are others (docs/recipes.md).</p>"
        f"<h2>Theorems</h2>{_checks_table(records)}"
        f"<h2>What the columns are</h2>{_glossary()}"
        f"<h2>How it was made</h2><pre>{html.escape(flat(study))}</pre></html>\n"
    )


def _about(bounds: pd.DataFrame, study: Mapping[str, Any]) -> str:
    """The dataset, and the masks where they are not the usual ones: pages of two studies are held side by side."""
    name, graph = str(bounds["dataset"].iloc[0]), study["plan"]["graph"]
    # Runs from before there were others lack both.
    return ", ".join(filter(None, (name, masks_text(graph.get("mask", "uniform"), graph.get("mask_unit", 1)))))


def opening(about: str, figures: Sequence[Path], captions: Mapping[str, str]) -> str:
    """The first part of a page: its title and its figures, each with its caption.

    Args:
        about: what the page is about.
        figures: PNG files, which the page then holds: it can be sent alone.
        captions: of each, by the name of its file.
    """
    title = html.escape(f"maskgraph: {about}")
    pictures = "".join(
        f'<figure><img src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" alt="{path.stem}">'
        f"<figcaption>{captions[path.stem]}</figcaption></figure>"
        for path in figures
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{pictures}"
    )


def _bounds_table(bounds: pd.DataFrame) -> str:
    spectrum = bounds[["view", "hop", "mask_ratio", "dim", "kept", "masks", "components", "head_sq", "tail_sq"]].copy()
    for column, name in (("thm_4_2", "thm_4_2"), ("S2", "water_filling")):
        spectrum[column] = [_marked(row, name) for _, row in bounds.iterrows()]
    drawn = {(view, hop): drawn_bounds(graph) for (view, hop), graph in bounds.groupby(["view", "hop"], sort=False)}
    if any(drawn.values()):
        spectrum["S2 over draws"] = [
            _of_draws(drawn[row["view"], row["hop"]].get(row["mask_ratio"])) for _, row in bounds.iterrows()
        ]
    images = bounds[["view", "hop", "mask_ratio", "alpha", "alpha_target", "phi", "inter"]].copy()
    for column, side in (("unseen1", "visible"), ("unseen2", "target")):
        images[column] = [found[side] for found in bounds["unseen"]]
    for column in ("bayes_risk", "rank_floor"):
        images[column] = bounds[column]
    return f"{html_table(spectrum)}{html_table(images)}"


def _of_draws(values: Sequence[float] | None) -> str:
    """Of all masks there is one draw."""
    return "–" if values is None else "{:.4g} ± {:.2g}".format(*mean_and_sd(values))


def _marked(row: pd.Series[Any], name: str) -> str:
    value = row["bounds"][name]
    return f"{value:.4g}" + (" v" if is_vacuous(value, row["lambda"], row["dim"]) else "")


def _records_tables(records: pd.DataFrame) -> str:
    """Probes of every feature; of models their losses, and what their features are like."""
    models = records[records["mask_ratio"].notna()]
    tables = [_features_table(records, PROBES)]
    if len(models):
        tables += [_table(models, LOSSES), _features_table(models, GEOMETRY)]
    return "".join(html_table(table) for table in tables)


def _null_table(bounds: pd.DataFrame) -> str:
    """What the geometry of models is on features that know nothing; nothing where a run does not say."""
    rows = [
        {"ρ": ratio, **{name: found[name] for name in ("dim", "draws")}}
        | {name: f"{found[name]['mean']:.4g} ± {found[name]['sd']:.2g}" for name in NULL}
        for ratio, found in gaussian_nulls(bounds).items()
    ]
    title = "<p>Gaussian features on the same graphs, mean ± standard deviation over draws:</p>"
    return f"{title}{html_table(pd.DataFrame(rows))}" if rows else ""


def _features_table(records: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    rows = [
        row
        for feature in FEATURES
        for row in _rows(records, {name: f"{feature}.{name}" for name in names}, feature=feature)
    ]
    table = pd.DataFrame(rows, columns=["method", "ρ", "feature", "seeds", *names])
    return table.sort_values(["method", "ρ"], kind="stable")


def _table(records: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(_rows(records, {name: name for name in names}), columns=["method", "ρ", "seeds", *names])


def _rows(records: pd.DataFrame, columns: Mapping[str, str], **own: str) -> list[dict[str, Any]]:
    """A row a method and mask ratio that has any of the numbers, each a mean over seeds and its spread."""
    known = {name: column for name, column in columns.items() if column in records}
    return [
        {"method": method, "ρ": ratio, **own, "seeds": len(runs)}
        | {name: _spread(runs[column], name in TENFOLD) for name, column in known.items()}
        for (method, ratio), runs in records.groupby(["method", "mask_ratio"], dropna=False)
        if runs[list(known.values())].notna().any(axis=None)
    ]


def _probed(records: pd.DataFrame) -> str:
    """How many images probes are fitted and scored on, where a run says so."""
    counts = (records[name].max() if name in records else None for name in ("fitted_images", "scored_images"))
    fitted, scored = ("" if count is None else f"{int(count):,} " for count in counts)
    return f"fitted on the {fitted}training images and scored on {scored}images"


def _of_nothing(records: pd.DataFrame) -> str:
    """What features that tell nothing of the class score, where a run says so."""
    known = records["accuracy"].dropna().tolist() if "accuracy" in records else []
    return f" Answering the largest class scores {known[0]:.3f}." if known else ""


def _glossary() -> str:
    return f"<dl>{''.join(f'<dt>{names}<dd>{html.escape(told)}' for names, told in GLOSSARY.items())}</dl>"


def _checks_table(records: pd.DataFrame) -> str:
    rows = [
        {"method": record["method"], "ρ": record["mask_ratio"], "seed": record["seed"]}
        | {name: check[name] for name in ("statement", "lhs", "sense", "rhs", "slack", "verdict")}
        for _, record in records.iterrows()
        for check in record["checks"]
    ]
    if not rows:
        return "<p>No model has been trained yet.</p>"
    checks = pd.DataFrame(rows)
    counts = checks.groupby(["statement", "verdict"], sort=False).size().rename("models").reset_index()
    return f"{html_table(counts)}<details><summary>every check</summary>{html_table(checks)}</details>"


def _spread(values: pd.Series[float], tenfold: bool) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    if tenfold:
        text = f"{known.median():.4g}" + (f" [{known.min():.4g}, {known.max():.4g}]" if len(known) > 1 else "")
    else:
        text = f"{known.mean():.4g}" + (f" ± {known.std(ddof=1):.2g}" if len(known) > 1 else "")
    # What is null is as a rule infinite, such as the L of a network: no mean of the others speaks for that seed.
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"


def html_table(frame: pd.DataFrame) -> str:
    """A table of a page, numbers in four significant digits."""
    return frame.to_html(index=False, border=0, na_rep="–", float_format=lambda value: f"{value:.4g}")


def flat(value: Mapping[str, object], prefix: str = "") -> str:
    """Nested values, a line each."""
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines.append(flat(item, f"{prefix}{key}."))
        else:
            lines.append(f"{prefix}{key} = {item}")
    return "\n".join(lines)
