"""What the commands of the theory do once their options are parsed: bound, verify, findings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from maskgraph.bound_text import DIM, coding_text, graph_text, print_bounds
from maskgraph.graphs.augmentation import check_hop
from maskgraph.graphs.bipartite import Counted, MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, check_plane
from maskgraph.graphs.errors import InputError, unknown
from maskgraph.graphs.machine import cores
from maskgraph.graphs.masks import check_mask, check_max_masks, check_ratios, mask_distribution, mask_set
from maskgraph.graphs.memory import available_bytes
from maskgraph.graphs.source import Source, load_coded, what_is_passed_over
from maskgraph.graphs.stored import STORED
from maskgraph.graphs.views import check_view
from maskgraph.ledger_text import ledger_text
from maskgraph.progress import Progress
from maskgraph.theory.answer import Constants, RatioAnswer, answer
from maskgraph.theory.bootstrap import bootstrap, check_drawn, check_resamples
from maskgraph.theory.dimension import check_dim, check_positive
from maskgraph.theory.solver.engine import Engine
from maskgraph.theory.solver.host import Host
from maskgraph.theory.solver.ranks import ALONE, Ranks, local_processes, local_rank, processes

OK, VIOLATED = 0, 1


def bound(options: argparse.Namespace) -> int:
    """`maskgraph bound`: the theory of a dataset at each mask ratio, by all the processes that torchrun started."""
    if processes() == 1:
        return _bound(options, _engine(options.device))
    from maskgraph.theory.solver.torch_ranks import TorchRanks

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
    if options.bootstrap is not None:
        check_resamples(options.bootstrap)
    if options.dim is not None:
        check_positive(options.dim)
    figure = None if options.figure is None else Path(options.figure)
    if figure is not None:
        _check_figure(figure)
    if options.scheduler is not None:
        from maskgraph.graphs.distributed import check_address

        check_address(options.scheduler)
    images = _coded(options, options.mask_ratio, progress)
    if options.bootstrap is not None:
        check_drawn(images)
    resamples = options.bootstrap or 0
    steps = (2 + resamples) * len(options.mask_ratio)
    # Building is a small part of the work, but the first sign of life.
    total = (1.25 + resamples) * len(options.mask_ratio)
    dims: dict[float, int] = {}
    kept: dict[float, MaskGraph] = {}
    room = available_bytes() // 8

    def counted(before: int, ratio: float, blocks: int, of: int) -> None:
        label = f"{blocks}/{of} blocks of the graph at mask ratio {ratio:g}"
        progress(before, steps, label, 0.25 * (before + blocks / of) / total)

    for done, ratio in enumerate(options.mask_ratio, start=1):
        # Every graph is built ahead, so that a dimension that is too large for one stops before any solve.
        graph = _graph(images, options, ratio, options.scheduler, partial(counted, done - 1, ratio))
        views = len(graph.p1)
        dims[ratio] = min(DIM, views) if options.dim is None else options.dim
        check_dim(dims[ratio], views)
        room -= graph.nbytes
        if room > 0:
            kept[ratio] = graph
        progress(done, steps, f"graph at mask ratio {ratio:g}", 0.25 * done / total)
    finished = count(1)

    def tick(label: str) -> None:
        done = next(finished)
        progress(len(dims) + done, steps, label, (0.25 * len(dims) + done) / total)

    answers: list[RatioAnswer] = []
    for ratio in options.mask_ratio:
        graph = kept.pop(ratio) if ratio in kept else _graph(images, options, ratio, options.scheduler)
        told = partial(progress.say, f"mask ratio {ratio:g}")
        found = answer(graph, ratio, dims[ratio], options.hop, constants, options.seed, told, engine)
        tick(f"bounds at mask ratio {ratio:g}")
        if resamples:
            again = partial(tick, f"resamples at mask ratio {ratio:g}")
            found["bootstrap"] = bootstrap(graph, found, options.hop, constants, resamples, options.seed, again)
        answers.append(found)
    if options.json:
        coding = None if images.coding is None else asdict(images.coding)
        data = {"dataset": images.name, "images": len(images.labels), "coding": coding}
        head = {**data, "view": options.view, "hop": options.hop}
        masks = {"mask": options.mask, "mask_unit": options.mask_unit}
        print_json({**head, **masks, "seed": options.seed, "ratios": answers})
    else:
        print_bounds(images, options, answers)
    if figure is not None:
        from maskgraph.figures.bounds import bounds_over_ratios
        from maskgraph.figures.style import save

        title = f"{images.name}{coding_text(images)}, {graph_text(options)}"
        save(bounds_over_ratios(answers, title, options.hop), figure)
        progress.say("figure", str(figure))
    return OK


def _check_figure(path: Path) -> None:
    """Raise InputError for a file that no figure can be written to."""
    from maskgraph.empirical.records import check_writable

    if path.suffix != ".png" or path.is_dir():
        raise InputError(f"--figure {path}; expected a file that ends in .png")
    check_writable(path)


def verify(options: argparse.Namespace) -> int:
    """`maskgraph verify`: the theorems held to the models of a run, or to an untrained network on a dataset."""
    target = Path(options.target)
    # A folder of images is no run.
    is_run = target.is_dir() and not (target / "train").is_dir()
    if is_run:
        _check_of_a_run(options)
    rows = _recorded_checks(target) if is_run else _untrained_checks(options)
    if options.json:
        print_json({"target": options.target, "checks": rows})
    else:
        print(ledger_text(rows))
    return VIOLATED if any(row["verdict"] == "violated" for row in rows) else OK


def findings(options: argparse.Namespace) -> int:
    """`maskgraph findings`: what graphs are found to be like, a page each."""
    from maskgraph.empirical.records import check_writable
    from maskgraph.figures.findings import check_folder, write_findings
    from maskgraph.theory.findings.register import FINDINGS, check_findings, compute

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


def _engine(device: str, ranks: Ranks = ALONE) -> Engine:
    if device == "cpu":
        return Host(max(cores() // local_processes(), 1), ranks)
    from maskgraph.theory.solver.torch_engine import TorchEngine

    return TorchEngine(f"cuda:{local_rank()}" if device == "cuda" and ranks.count > 1 else device, ranks)


def source_of(options: argparse.Namespace) -> Source:
    """What the options about data say."""
    return Source(
        dataset=options.dataset,
        patch=options.patch,
        codebook=options.codebook,
        codes=options.codes,
        images=options.images,
        image_size=options.image_size,
        data_dir=options.data_dir,
        seed=options.seed,
    )


def _coded(options: argparse.Namespace, ratios: Sequence[float], progress: Progress) -> CodedImages:
    """Coded images, once every option about graphs is known to be good."""
    check_view(options.view)
    check_max_masks(options.max_masks)
    for ratio in ratios:
        check_mask(options.mask, ratio, options.mask_unit)
    source = source_of(options)
    if left := what_is_passed_over(source, "train"):
        progress.say(source.name, left)
    images = load_coded(source, lambda grid: check_ratios(options.mask, grid, ratios, options.mask_unit))
    check_plane(images, options.mask)
    return images


def _graph(
    images: CodedImages,
    options: argparse.Namespace,
    ratio: float,
    scheduler: str | None = None,
    counted: Counted | None = None,
) -> MaskGraph:
    distribution = mask_distribution(options.mask, images.grid, ratio, options.mask_unit)
    masks = mask_set(distribution, options.max_masks, options.seed)
    return mask_graph(images, masks, options.view, scheduler=scheduler, counted=counted)


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
    return rows


def _check_of_a_run(options: argparse.Namespace) -> None:
    """Raise InputError for an option about graphs beside a run."""
    for name in options.of_a_dataset:
        if (value := getattr(options, name)) is not None:
            raise InputError(
                f"--{name.replace('_', '-')} {value} for {options.target}, which is no dataset but a run with its own; "
                "leave it out"
            )


def _untrained_checks(options: argparse.Namespace) -> list[dict[str, Any]]:
    from maskgraph.empirical.config import TrainConfig
    from maskgraph.empirical.explain import judge
    from maskgraph.empirical.train import untrained

    name = options.target.partition(":")[0]
    if not Path(options.target).exists() and not options.target.endswith(".npz") and name not in (*STORED, "mixture"):
        if "/" in options.target:
            raise InputError(f"{options.target} does not exist; expected the directory of a run, or a dataset")
        also = ", or the path of a run's directory, of a .npz file or of a folder of images"
        raise unknown("run or dataset", options.target, (*STORED, "mixture"), also=also)
    given = {name: value for name, value in vars(options).items() if value is not None}
    options = argparse.Namespace(**{**options.of_a_dataset, **given, "dataset": options.target})
    images = _coded(options, [options.mask_ratio], Progress("verify"))
    graph = _graph(images, options, options.mask_ratio)
    config = TrainConfig(
        mask_ratio=options.mask_ratio,
        mask_kind=options.mask,
        mask_unit=options.mask_unit,
        view=options.view,
        seed=options.seed,
    )
    checks = judge(untrained(images, config), graph)["checks"]
    return [{"model": f"untrained {options.mask_ratio:g} seed {options.seed}", **check} for check in checks]


def print_json(value: object) -> None:
    """A value as JSON on stdout."""
    from maskgraph.empirical.records import to_json

    print(to_json(value))
