"""What each command does once its options are parsed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from maskgraph.graphs.augmentation import check_hop
from maskgraph.graphs.bipartite import MaskGraph, cores, mask_graph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.memory import available_bytes
from maskgraph.graphs.source import Source, load_coded
from maskgraph.graphs.views import check_view
from maskgraph.ledger_text import ledger_text, tightness_text
from maskgraph.progress import Progress
from maskgraph.tables import table
from maskgraph.theory.answer import Constants, RatioAnswer, answer, check_dim
from maskgraph.theory.bootstrap import bootstrap, check_bootstrap
from maskgraph.theory.bounds import is_printed_lambda
from maskgraph.theory.engine import Engine, Host
from maskgraph.theory.ranks import ALONE, Ranks, local_processes, local_rank, processes
from maskgraph.theory.unseen import OF_THE_SAMPLE

if TYPE_CHECKING:
    import pandas as pd

    from maskgraph.empirical.plan import Plan

OK, VIOLATED = 0, 1

DIM = 64
"""Dimension of a bound where the user names none, unless the graph's smaller side is less."""


def bound(options: argparse.Namespace) -> int:
    """`maskgraph bound`: the theory of a dataset at each mask ratio, by all the processes that torchrun started."""
    if processes() == 1:
        return _bound(options, _engine(options.device))
    from maskgraph.theory.torch_ranks import TorchRanks

    ranks = TorchRanks(options.device)
    engine = _engine(options.device, ranks)
    try:
        if ranks.first:
            return _bound(options, engine)
        ranks.serve(engine)
        return OK
    finally:
        ranks.leave()


def _bound(options: argparse.Namespace, engine: Engine) -> int:
    progress = Progress("bound")
    constants = Constants(options.lipschitz, options.lam, options.epsilon)
    check_hop(options.hop)
    images = _coded(options, options.mask_ratio)
    if options.bootstrap is not None:
        check_bootstrap(images, options.bootstrap)
    resamples = options.bootstrap or 0
    steps = (2 + resamples) * len(options.mask_ratio)
    # Building is a small part of the work, but the first sign of life.
    total = (1.25 + resamples) * len(options.mask_ratio)
    sides = []
    kept: dict[float, MaskGraph] = {}
    room = available_bytes() // 8
    for done, ratio in enumerate(options.mask_ratio, start=1):
        # Every graph is built ahead, so that a dimension that is too large for one stops before any solve.
        graph = _graph(images, options, ratio, options.scheduler)
        if options.dim is not None:
            check_dim(graph, options.dim)
        sides.append(min(graph.M.shape))
        room -= graph.nbytes
        if room > 0:
            kept[ratio] = graph
        progress(done, steps, f"graph at mask ratio {ratio:g}", 0.25 * done / total)
    if options.dim is None:
        options.dim = min(DIM, *sides)
    finished = count(1)

    def tick(label: str) -> None:
        done = next(finished)
        progress(len(sides) + done, steps, label, (0.25 * len(sides) + done) / total)

    answers: list[RatioAnswer] = []
    for ratio in options.mask_ratio:
        graph = kept.pop(ratio) if ratio in kept else _graph(images, options, ratio, options.scheduler)
        told = partial(progress.say, f"mask ratio {ratio:g}")
        found = answer(graph, ratio, options.dim, options.hop, constants, options.seed, told, engine)
        tick(f"bounds at mask ratio {ratio:g}")
        if resamples:
            again = partial(tick, f"resamples at mask ratio {ratio:g}")
            found["bootstrap"] = bootstrap(
                graph, found, options.dim, options.hop, constants, resamples, options.seed, again
            )
        answers.append(found)
    if options.json:
        head = {"dataset": images.name, "view": options.view, "hop": options.hop, "dim": options.dim}
        _print_json({**head, "seed": options.seed, "ratios": answers})
    else:
        _print_bounds(images, options, answers)
    return OK


def verify(options: argparse.Namespace) -> int:
    """`maskgraph verify`: the theorems held to the models of a run, or to an untrained network on a dataset."""
    rows = _recorded_checks(Path(options.target)) if Path(options.target).is_dir() else _untrained_checks(options)
    if options.json:
        _print_json({"target": options.target, "checks": rows})
    else:
        print(ledger_text(rows))
    return VIOLATED if any(row["verdict"] == "violated" for row in rows) else OK


def train(options: argparse.Namespace) -> int:
    """`maskgraph train`: one method at some mask ratios."""
    from maskgraph.empirical.config import TrainConfig
    from maskgraph.empirical.plan import FILLED_IN, plan_from

    data = {key: value for key, value in vars(_source(options)).items() if value is not None}
    graph = {"mask_ratios": options.mask_ratio, "views": [options.view], "max_masks": options.max_masks}
    chosen = {field.name for field in fields(TrainConfig)} - FILLED_IN
    settings = {name: value for name, value in vars(options).items() if name in chosen and value is not None}
    plan = plan_from(
        {
            "data": data,
            "graph": {**graph, "mask": options.mask},
            "train": {**settings, "seeds": options.seeds, "methods": [options.method]},
        }
    )
    return _run(plan, options, f"{Path(options.dataset.partition(':')[0]).stem}-{options.method}")


def study(options: argparse.Namespace) -> int:
    """`maskgraph study`: a whole sweep from a TOML file."""
    from maskgraph.empirical.plan import read_plan

    return _run(read_plan(Path(options.study)), options, Path(options.study).stem)


def report(options: argparse.Namespace) -> int:
    """`maskgraph report`: figures and page of a run."""
    from maskgraph.figures.report import write_report

    for path in write_report(Path(options.run)):
        print(path)
    return OK


def falsify(options: argparse.Namespace) -> int:
    """`maskgraph falsify`: search small graphs for models that break a statement."""
    from maskgraph.theory.falsify import tightness
    from maskgraph.theory.statements import STATEMENTS, statement

    numbers = options.statement or [known.number for known in STATEMENTS if known.sense != "="]
    chosen = [statement(number) for number in numbers]
    progress = Progress("falsify")
    if options.counterexamples:
        return _counterexamples(numbers, Path(options.counterexamples), options.seed, progress)
    rows = []
    for done, known in enumerate(chosen, start=1):
        rows.append(tightness(known, options.dim, options.lipschitz, options.seed))
        progress(done, len(chosen), known.number, done / len(chosen))
    if options.json:
        _print_json({"dim": options.dim, "lipschitz": options.lipschitz, "seed": options.seed, "statements": rows})
    else:
        print(tightness_text(rows, options.dim, options.lipschitz))
    return VIOLATED if any(one["broken"] for row in rows for one in row["worlds"].values()) else OK


def findings(options: argparse.Namespace) -> int:
    """`maskgraph findings`: what graphs are found to be like, a page each."""
    from maskgraph.empirical.records import check_writable
    from maskgraph.figures.findings import check_folder, write_findings
    from maskgraph.theory.findings import FINDINGS, check_findings, compute

    check_findings(options.name)
    names = options.name or list(FINDINGS)
    out = Path(options.out)
    check_folder(out)
    check_writable(out / "README.md")
    progress, found = Progress("findings"), []
    for done, name in enumerate(names, start=1):
        found.append(compute(name))
        progress(done, len(names), name, done / len(names))
    for path in write_findings(found, out):
        print(path)
    return OK


def _counterexamples(numbers: Sequence[str], path: Path, seed: int, progress: Progress) -> int:
    from maskgraph.empirical.records import check_writable, write_atomically
    from maskgraph.theory.counterexamples import find, needed_assumptions, to_json

    check_writable(path)
    wanted = [pair for pair in needed_assumptions() if pair[0] in numbers]
    found = []
    for done, (number, dropped) in enumerate(wanted, start=1):
        found.append(find(number, dropped, seed))
        progress(done, len(wanted), f"{number} without {dropped}", done / len(wanted))
    write_atomically(path, to_json(found).encode())
    print(path)
    return OK


def _run(plan: Plan, options: argparse.Namespace, name: str) -> int:
    from maskgraph.empirical.records import read_bounds, read_records
    from maskgraph.empirical.study import run_study
    from maskgraph.figures.report import write_report

    if options.workers < 1:
        raise InputError(f"workers {options.workers}; expected at least 1")
    directory = Path(options.out) if options.out else Path("runs") / name
    try:
        run_study(plan, directory, options.resume, options.workers, Progress(name))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"What was finished is in {directory}; repeat the command with --resume to go on."
        ) from None
    _print_summary(read_bounds(directory), read_records(directory), plan.train.feature)
    print("\nwritten:")
    for path in (directory / "records", *write_report(directory)):
        print(f"  {path}")
    return OK


def _engine(device: str, ranks: Ranks = ALONE) -> Engine:
    if device == "cpu":
        return Host(max(cores() // local_processes(), 1), ranks)
    from maskgraph.theory.torch_engine import TorchEngine

    return TorchEngine(f"cuda:{local_rank()}" if device == "cuda" and ranks.count > 1 else device, ranks)


def _source(options: argparse.Namespace) -> Source:
    return Source(
        dataset=options.dataset,
        patch=options.patch,
        codebook=options.codebook,
        codes=options.codes,
        images=options.images,
        data_dir=options.data_dir,
        seed=options.seed,
    )


def _coded(options: argparse.Namespace, ratios: Sequence[float]) -> CodedImages:
    """Coded images, once every option about graphs is known to be good."""
    check_view(options.view)
    for ratio in ratios:
        mask_distribution(options.mask, (1, 2), ratio)
    return load_coded(_source(options))


def _graph(images: CodedImages, options: argparse.Namespace, ratio: float, scheduler: str | None = None) -> MaskGraph:
    masks = mask_set(mask_distribution(options.mask, images.grid, ratio), options.max_masks, options.seed)
    return mask_graph(images, masks, options.view, scheduler=scheduler)


def _recorded_checks(run: Path) -> list[dict[str, Any]]:
    from maskgraph.empirical.records import read_records

    records = read_records(run)
    rows = [
        {"model": f"{record['method']} {record['mask_ratio']:g} seed {record['seed']}", **check}
        for _, record in records.iterrows()
        for check in record["checks"]
    ]
    if not rows:
        raise InputError(f"{run} holds no trained model yet; finish it with --resume")
    if any("steps" not in row for row in rows):
        raise InputError(f"{run} holds checks without steps, from another version of maskgraph; run it again")
    return rows


def _untrained_checks(options: argparse.Namespace) -> list[dict[str, Any]]:
    from maskgraph.empirical.config import TrainConfig
    from maskgraph.empirical.study import judge
    from maskgraph.empirical.train import untrained

    if not Path(options.target).exists() and "/" in options.target and not options.target.endswith(".npz"):
        raise InputError(f"{options.target} does not exist; expected the directory of a run, or a dataset")
    options.dataset = options.target
    images = _coded(options, [options.mask_ratio])
    graph = _graph(images, options, options.mask_ratio)
    config = TrainConfig(mask_ratio=options.mask_ratio, mask_kind=options.mask, view=options.view, seed=options.seed)
    checks = judge(untrained(images, config), graph)["checks"]
    return [{"model": f"untrained {options.mask_ratio:g} seed {options.seed}", **check} for check in checks]


def _print_json(value: object) -> None:
    from maskgraph.empirical.records import to_json

    print(to_json(value))


def _print_bounds(images: CodedImages, options: argparse.Namespace, answers: Sequence[RatioAnswer]) -> None:
    first = answers[0]
    print(
        f"{images.name}: {len(images.labels)} images of {images.patches} patches, {options.view} views, "
        f"{options.hop} hop, dim {options.dim}, L = {first['lipschitz']:g}, lambda = {first['lambda']:g}, "
        f"epsilon = {first['epsilon']:g}\n"
    )
    headers = ("rho", "kept", "masks", "N1", "N2", "comps", "head", "tail", "thm_4_2", "S2")
    labels = ("alpha", "alpha2", "phi", "inter", "unseen1", "unseen2", "bayes", "Var(x2)", "floor")
    print(table((*headers, *labels), [_bound_row(found) for found in answers]))
    notes = [
        *_notes(options, answers),
        *_warnings(options.view, answers),
    ]
    if notes:
        print("\n" + "\n".join(notes))
    if options.bootstrap is not None:
        _print_intervals(answers)


def _notes(options: argparse.Namespace, answers: Sequence[RatioAnswer]) -> list[str]:
    first, notes = answers[0], []
    if any(found["bounds"]["thm_4_2_any_lambda"] <= 0 for found in answers):
        notes.append("thm_4_2 <= 0 is vacuous: a loss is never negative. S2 (water-filling) is the sharper bound.")
    if any(options.dim <= found["components"] for found in answers):
        notes.append(
            "Where comps >= dim, the first dim eigenvalues are all 1: the head is dim, whatever the images show."
        )
    if not is_printed_lambda(first["lambda"], first["lipschitz"]):
        notes.append("lambda is not 1/(4L): the thm_4_2 column shows the form for any lambda.")
    if options.hop == "image":
        notes.append("On the image hop the bounds are of that hop's alignment, not of L_MAE.")
    return notes


def _warnings(view: str, answers: Sequence[RatioAnswer]) -> list[str]:
    """What to say where the graph tells more of the sample than of the data."""

    def ratios(*keys: Literal["visible", "target", "visible_fresh_mask", "target_fresh_mask"]) -> str:
        above = (found for found in answers if any((found["unseen"][key] or 0) > OF_THE_SAMPLE for key in keys))
        return ", ".join(f"{found['mask_ratio']:g}" for found in above)

    share, warnings = f"more than {100 * OF_THE_SAMPLE:g} %", []
    if said := ratios("visible", "target"):
        warnings.append(
            f"WARNING, rho {said}: {share} of what a fresh image shows on one side is no vertex (unseen1, unseen2).\n"
            "The graph says more about the sample than about the data: take more --images, fewer --codes or --view bag."
        )
    # With positions a vertex fixes its mask: a fresh mask shows nothing that is known, by definition.
    if view != "positional" and (said := ratios("visible_fresh_mask", "target_fresh_mask")):
        warnings.append(
            f"WARNING, rho {said}: {share} of what a fresh mask shows on one side is no vertex.\n"
            "The graph says more about these masks than about all of them: raise --max-masks."
        )
    return warnings


def _print_intervals(answers: Sequence[RatioAnswer]) -> None:
    names = {
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
    first = answers[0]["bootstrap"]
    shown = [name for name in names if name in first["intervals"]]
    print(f"\n{100 * first['level']:g} % basic bootstrap intervals over images, {first['resamples']} resamples:\n")
    rows = [
        [f"{found['mask_ratio']:g}", *(_interval(found["bootstrap"]["intervals"][name]) for name in shown)]
        for found in answers
    ]
    print(table(("rho", *(names[name] for name in shown)), rows))
    print("\nWhere they hold the truth and where not: docs/findings/bootstrap-coverage.md.")
    if any(low == high for found in answers for low, high in found["bootstrap"]["intervals"].values()):
        print("Where both ends are one, all resamples agree, which is no certainty.")


def _interval(ends: Sequence[float]) -> str:
    return "..".join(f"{end:.4g}" for end in ends)


def _bound_row(found: RatioAnswer) -> list[object]:
    masks = f"{found['masks']}/{found['masks_total']}"
    return [
        f"{found['mask_ratio']:g}",
        found["kept"],
        masks,
        *found["vertices"],
        found["components"],
        found["head_sq"],
        found["tail_sq"],
        found["bounds"]["thm_4_2_any_lambda"],
        found["bounds"]["water_filling"],
        found["alpha"],
        found["alpha_target"],
        found["phi"],
        found["inter"],
        found["unseen"]["visible"],
        found["unseen"]["target"],
        found["bayes_risk"],
        found["target_variance"],
        found["rank_floor"],
    ]


def _print_summary(bounds: pd.DataFrame, records: pd.DataFrame, feature: str) -> None:
    """One row a mask ratio and method, then the baselines."""
    first = bounds[(bounds["view"] == bounds["view"].iloc[0]) & (bounds["hop"] == bounds["hop"].iloc[0])]
    theory = first.set_index("mask_ratio")
    columns = (
        f"{feature}.linear",
        f"{feature}.knn",
        f"{feature}.few_shot",
        "L_MAE",
        f"{feature}.L_unif",
        f"{feature}.rankme",
    )
    rows: list[list[object]] = []
    for (ratio, method), runs in records[records["mask_ratio"].notna()].groupby(["mask_ratio", "method"]):
        found: Mapping[str, Any] = theory.loc[ratio]
        known = [
            found["bounds"]["thm_4_2_any_lambda"],
            found["bounds"]["water_filling"],
            found["alpha"],
            found["bayes_risk"],
        ]
        rows.append([f"{ratio:g}", method, *known, *(_spread(runs[column]) for column in columns)])
    graph = f"{first['view'].iloc[0]} views, {first['hop'].iloc[0]} hop"
    print(f"{bounds['dataset'].iloc[0]}: theory of the graph with {graph}, L = 1; probes of the {feature} feature")
    names = ("linear", "5-NN", "few-shot", "L_MAE", "L_unif", "RankMe")
    print(table(("rho", "method", "thm_4_2", "S2", "alpha", "bayes", *names), rows))
    for method, runs in records[records["mask_ratio"].isna()].groupby("method"):
        prefix = feature if method == "random-network" else "pixels"
        if f"{prefix}.knn" in runs and runs[f"{prefix}.knn"].notna().any():
            scores = (
                f"{name} {_spread(runs[f'{prefix}.{column}'])}"
                for name, column in (("linear", "linear"), ("5-NN", "knn"), ("few-shot", "few_shot"))
            )
            print(f"baseline {method!s}: {', '.join(scores)}")


def _spread(values: pd.Series[float]) -> str:
    return f"{values.mean():.3f}±{values.std(ddof=1):.3f}" if len(values) > 1 else f"{values.mean():.3f}"
