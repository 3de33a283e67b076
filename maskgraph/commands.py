"""What options name, and what verify and findings do once theirs are parsed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskgraph.bound_text import data_text
from maskgraph.graphs.bipartite import Counted, MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, check_plane
from maskgraph.graphs.errors import InputError, unknown
from maskgraph.graphs.masks import check_mask, check_max_masks, check_ratios, mask_distribution, mask_set, masks_text
from maskgraph.graphs.source import Source, load_coded, what_is_passed_over
from maskgraph.graphs.stored import STORED
from maskgraph.graphs.views import check_view
from maskgraph.ledger_text import ledger_text
from maskgraph.progress import Progress

OK, VIOLATED = 0, 1


def verify(options: argparse.Namespace) -> int:
    """`maskgraph verify`: the theorems held to the models of a run, or to an untrained network on a dataset."""
    target = Path(options.target)
    # A folder of images is no run.
    is_run = target.is_dir() and not (target / "train").is_dir()
    if is_run:
        _check_of_a_run(options)
    about, rows = ("", _recorded_checks(target)) if is_run else _untrained_checks(options)
    if options.json:
        print_json({"target": options.target, "checks": rows})
    else:
        print(about + ledger_text(rows))
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


def coded(options: argparse.Namespace, ratios: Sequence[float], progress: Progress) -> CodedImages:
    """The images that options name, coded, once every option about graphs is known to be good."""
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


def graph_of(
    images: CodedImages,
    options: argparse.Namespace,
    ratio: float,
    scheduler: str | None = None,
    counted: Counted | None = None,
) -> MaskGraph:
    """The mask graph that options name, at a mask ratio."""
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


def _untrained_checks(options: argparse.Namespace) -> tuple[str, list[dict[str, Any]]]:
    """What they are of, in a line, and the checks."""
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
    images = coded(options, [options.mask_ratio], Progress("verify"))
    graph = graph_of(images, options, options.mask_ratio)
    config = TrainConfig(
        mask_ratio=options.mask_ratio,
        mask_kind=options.mask,
        mask_unit=options.mask_unit,
        view=options.view,
        seed=options.seed,
    )
    checks = judge(untrained(images, config), graph)["checks"]
    of = (data_text(images), f"{options.view} views", masks_text(options.mask, options.mask_unit))
    rows = [{"model": f"untrained {options.mask_ratio:g} seed {options.seed}", **check} for check in checks]
    return ", ".join(filter(None, of)) + "\n", rows


def print_json(value: object) -> None:
    """A value as JSON on stdout."""
    from maskgraph.empirical.records import to_json

    print(to_json(value))
