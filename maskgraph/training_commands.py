"""What the commands of training do once their options are parsed: train, study, recipe, report."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

from maskgraph.commands import OK, print_json, source_of
from maskgraph.empirical.claim import held
from maskgraph.empirical.config import TrainConfig, check_given, resolve_device
from maskgraph.empirical.experiment import run_recipe
from maskgraph.empirical.group import Group, TorchGroup
from maskgraph.empirical.parts import FOLDER
from maskgraph.empirical.plan import FILLED_IN, Plan, plan_from, read_plan
from maskgraph.empirical.recipe import Recipe, check_recipe, read_recipe, recipe_names
from maskgraph.empirical.records import read_bounds, read_records, read_study
from maskgraph.empirical.schedule import Report, check_workers
from maskgraph.empirical.study import run_study
from maskgraph.empirical.summary import differences, read_judged
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.folder import Part, passed_over
from maskgraph.graphs.machine import cores
from maskgraph.graphs.source import what_is_passed_over
from maskgraph.progress import Progress
from maskgraph.recipe_text import judged_text, recipe_row, recipes_text
from maskgraph.study_text import plan_text, study_text
from maskgraph.theory.solver.ranks import processes

BOTH: tuple[Part, ...] = ("train", "val")
"""The parts of a folder of images, both of which training needs."""


def train(options: argparse.Namespace) -> int:
    """`maskgraph train`: one method at some mask ratios."""
    data = {key: value for key, value in vars(source_of(options)).items() if value is not None}
    graph = {"mask_ratios": options.mask_ratio, "views": [options.view], "max_masks": options.max_masks}
    method = TrainConfig.method if options.method is None else options.method
    chosen = {"stack", *(field.name for field in fields(TrainConfig))} - FILLED_IN
    settings = {name: value for name, value in vars(options).items() if name in chosen and value is not None}
    plan = plan_from(
        {
            "data": data,
            "graph": {**graph, "mask": options.mask, "mask_unit": options.mask_unit},
            "train": {**settings, "seeds": options.seeds, "methods": [method]},
        }
    )
    if not options.resume:
        check_given(settings, plan.methods, options=True)
    return _run(plan, options, f"{Path(options.dataset.partition(':')[0]).stem}-{method}")


def study(options: argparse.Namespace) -> int:
    """`maskgraph study`: a whole sweep from a TOML file."""
    return _run(read_plan(Path(options.study), options.resume), options, Path(options.study).stem)


def recipe(options: argparse.Namespace) -> int:
    """`maskgraph recipe`: real networks on pixels, by all the processes that torchrun started."""
    if options.recipe is None:
        _check_bare(options)
        rows = [recipe_row(name, read_recipe(name)) for name in recipe_names()]
        if options.json:
            print_json({"recipes": rows})
        else:
            print(recipes_text(rows))
        return OK
    chosen = {name: getattr(options, name) for name in ("device", "precision", "accumulate", "compile")}
    asked = read_recipe(options.recipe, options.resume)
    train = replace(asked.train, **{name: value for name, value in chosen.items() if value is not None})
    methods = asked.methods if options.methods is None else tuple(options.methods)
    seeds = asked.seeds if options.seeds is None else options.seeds
    expected = tuple(one for one in asked.expected if one.method in methods)
    planned = check_recipe(replace(asked, train=train, methods=methods, seeds=seeds, expected=expected))
    if processes() == 1:
        return _recipe(planned, options, None)
    group = TorchGroup(resolve_device(planned.train.device))
    try:
        return _recipe(planned, options, group)
    finally:
        group.leave()


def _check_bare(options: argparse.Namespace) -> None:
    """Raise InputError for an option about a recipe where none is named."""
    names = ("data_dir", "methods", "seeds", "device", "precision", "accumulate", "compile", "out", "resume", "workers")
    for name in names:
        if getattr(options, name) not in (None, False):
            raise InputError(
                f"--{name.replace('_', '-')} without a recipe; name one, such as digits, or list them by "
                "maskgraph recipe alone"
            )


def report(options: argparse.Namespace) -> int:
    """`maskgraph report`: figures and page of a run."""
    run = Path(options.run)
    if not run.is_dir():
        raise InputError(f"{run} is no directory; expected that of a run of maskgraph train, study or recipe")
    for path in _report(run):
        print(path)
    return OK


def _report(run: Path) -> list[Path]:
    """The figures and the page of a study or of a recipe.

    Raises:
        InputError: another command is at work in the directory, or it holds nothing to draw.
    """
    # Slow to import, and wanted here only: what is refused, or trained by others, draws nothing.
    from maskgraph.figures.recipe_report import write_recipe_report
    from maskgraph.figures.report import write_report

    with held(run):
        return write_recipe_report(run) if (run / "recipe.json").exists() else write_report(run)


def _recipe(planned: Recipe, options: argparse.Namespace, group: Group | None) -> int:
    name = f"recipe-{Path(options.recipe).stem}"
    directory = _directory(options, name)
    data_dir = None if options.data_dir is None else Path(options.data_dir)
    first = group is None or group.rank == 0
    progress = Progress(name)
    if first:
        _say_what_is_new(directory, options, progress)
    if first and planned.data.dataset == FOLDER and data_dir is not None and (left := passed_over(data_dir, BOTH)):
        progress.say(str(data_dir), left)
    with _resumable(directory):
        tell = progress if first else _silent
        run_recipe(planned, directory, data_dir, options.resume, _workers(options), tell, group)
        if not first:
            return OK
        records = read_judged(directory)
        changes = differences(directory, records)
        written = [directory / "records", *_report(directory)]
    if options.json:
        expected = [asdict(one) for one in planned.expected]
        changed = [asdict(change) for change in changes]
        print_json({"directory": str(directory), "records": records, "differences": changed, "expected": expected})
    else:
        print(judged_text(planned, records, changes))
        _print_written(written)
    return OK


def _silent(done: int, total: int, label: str, share: float) -> None:
    """Progress of all processes but the first."""


def _workers(options: argparse.Namespace) -> int:
    return cores() if options.workers is None else int(options.workers)


def _directory(options: argparse.Namespace, name: str) -> Path:
    check_workers(_workers(options))
    return Path("runs") / name if options.out is None else Path(options.out)


def _say_what_is_new(directory: Path, options: argparse.Namespace, progress: Progress) -> None:
    """Where nothing is resumed: a script that asks for it every time is right, and a misspelt --out is not."""
    if options.resume and not directory.is_dir():
        progress.say(str(directory), "holds no run to resume; a new one begins")


@contextmanager
def _resumable(directory: Path) -> Iterator[None]:
    """Work that saves what it has when it is interrupted, by Ctrl-C or by a scheduler that ends the job."""
    try:
        with _terminable():
            yield
    except KeyboardInterrupt:
        if not directory.is_dir():
            raise
        raise KeyboardInterrupt(
            f"What was finished is in {directory}; repeat the command with --resume to go on."
        ) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM interrupt as Ctrl-C does, where either would end this process."""
    ours = threading.current_thread() is threading.main_thread() and processes() == 1
    if (
        not ours
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        # One of several processes may wait for others, in which no signal is heard; and where SIGINT is ignored, as
        # in the background of a script, SIGTERM has to end it.
        yield
        return
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _print_written(paths: Sequence[Path]) -> None:
    print("\nwritten:")
    for path in paths:
        print(f"  {path}")


def _telling(progress: Progress, plan: Plan) -> Report:
    """Progress that says what is run before its first news: what is refused says nothing else."""
    told = False

    def tell(done: int, total: int, label: str, share: float) -> None:
        nonlocal told
        if not told:
            progress.say(*plan_text(plan))
            told = True
        progress(done, total, label, share)

    return tell


def _run(plan: Plan, options: argparse.Namespace, name: str) -> int:
    directory = _directory(options, name)
    progress = Progress(name)
    _say_what_is_new(directory, options, progress)
    if left := what_is_passed_over(plan.source, *BOTH):
        progress.say(plan.source.name, left)
    with _resumable(directory):
        run_study(plan, directory, options.resume, _workers(options), _telling(progress, plan))
        print(study_text(read_bounds(directory), read_records(directory), read_study(directory)))
        _print_written([directory / "records", *_report(directory)])
    return OK
