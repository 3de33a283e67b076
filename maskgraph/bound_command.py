"""What `maskgraph bound` does once its options are parsed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from maskgraph.bound_text import DIM, coding_text, graph_text, print_bounds
from maskgraph.commands import OK, coded, graph_of, print_json, source_of
from maskgraph.graphs.augmentation import check_hop
from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.machine import cores
from maskgraph.graphs.masks import mask_distribution
from maskgraph.graphs.memory import available_bytes
from maskgraph.graphs.seeds import check_seed, check_seeds
from maskgraph.graphs.source import load_coded
from maskgraph.progress import Progress
from maskgraph.theory.answer import Constants, RatioAnswer, answer
from maskgraph.theory.bootstrap import bootstrap, check_drawn, check_resamples
from maskgraph.theory.dimension import check_dim, check_positive
from maskgraph.theory.draws import draws
from maskgraph.theory.solver.engine import Engine
from maskgraph.theory.solver.host import Host
from maskgraph.theory.solver.ranks import ALONE, Ranks, local_processes, local_rank, processes


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
    figure = None if options.figure is None else Path(options.figure)
    _check(options, figure)
    images = coded(options, options.mask_ratio, progress)
    if options.bootstrap is not None:
        check_drawn(images)
    drawn = _what_is_drawn(images, options)
    if options.seeds > 1 and not drawn:
        raise InputError(
            f"seeds {options.seeds} of {images.name}, of which nothing is drawn: all seeds say the same; leave out "
            "--seeds, or draw --images, or masks by a lower --max-masks"
        )
    answers = _answers(images, options, constants, engine, progress, drawn)
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


def _check(options: argparse.Namespace, figure: Path | None) -> None:
    """Raise InputError for what no images mend."""
    check_hop(options.hop)
    check_seed(options.seed)
    check_seeds(options.seeds)
    check_seed(options.seed + options.seeds - 1)
    if options.bootstrap is not None:
        check_resamples(options.bootstrap)
    if options.dim is not None:
        check_positive(options.dim)
    if figure is not None:
        from maskgraph.empirical.records import check_writable

        if figure.suffix != ".png" or figure.is_dir():
            raise InputError(f"--figure {figure}; expected a file that ends in .png")
        check_writable(figure)
    if options.scheduler is not None:
        from maskgraph.graphs.distributed import check_address

        check_address(options.scheduler)


def _what_is_drawn(images: CodedImages, options: argparse.Namespace) -> list[str]:
    """What another seed would make another."""
    masks = (mask_distribution(options.mask, images.grid, ratio, options.mask_unit) for ratio in options.mask_ratio)
    found = {
        "images": options.images is not None,
        "codebook": images.coding is not None and images.coding.codebook == "kmeans",
        "masks": any(distribution.total > options.max_masks for distribution in masks),
    }
    return [name for name, is_drawn in found.items() if is_drawn]


class _Clock:
    """What is done of all graphs and solves, told as they go on."""

    BUILT = 0.25
    """What a graph costs beside a solve: a small part of the work, but the first sign of life."""

    def __init__(self, ratios: int, solves: int, progress: Progress) -> None:
        self._steps, self._total = ratios + solves, self.BUILT * ratios + solves
        self._progress, self._built, self._solved = progress, 0, 0

    def counted(self, ratio: float, blocks: int, of: int) -> None:
        """So many blocks of the next graph."""
        label, share = f"{blocks}/{of} blocks of the graph at mask ratio {ratio:g}", self._built + blocks / of
        self._progress(self._built, self._steps, label, self.BUILT * share / self._total)

    def built(self, ratio: float) -> None:
        """A graph."""
        self._built += 1
        self._tell(f"graph at mask ratio {ratio:g}")

    def solved(self, label: str) -> None:
        """A spectrum and all that hangs on it."""
        self._solved += 1
        self._tell(label)

    def _tell(self, label: str) -> None:
        done = self._built + self._solved
        self._progress(done, self._steps, label, (self.BUILT * self._built + self._solved) / self._total)


def _answers(
    images: CodedImages,
    options: argparse.Namespace,
    constants: Constants,
    engine: Engine,
    progress: Progress,
    drawn: Sequence[str],
) -> list[RatioAnswer]:
    """One a mask ratio, with all that was asked for."""
    ratios, resamples = options.mask_ratio, options.bootstrap or 0
    clock = _Clock(len(ratios), (resamples + options.seeds) * len(ratios), progress)
    dims: dict[float, int] = {}
    kept: dict[float, MaskGraph] = {}
    room = available_bytes() // 8
    for ratio in ratios:
        # Every graph is built ahead, so that a dimension that is too large for one stops before any solve.
        graph = graph_of(images, options, ratio, options.scheduler, partial(clock.counted, ratio))
        views = len(graph.p1)
        dims[ratio] = min(DIM, views) if options.dim is None else options.dim
        check_dim(dims[ratio], views)
        room -= graph.nbytes
        if room > 0:
            kept[ratio] = graph
        clock.built(ratio)
    answers: list[RatioAnswer] = []
    for ratio in ratios:
        graph = kept.pop(ratio) if ratio in kept else graph_of(images, options, ratio, options.scheduler)
        told = partial(progress.say, f"mask ratio {ratio:g}")
        found = answer(graph, ratio, dims[ratio], options.hop, constants, options.seed, told, engine)
        clock.solved(f"bounds at mask ratio {ratio:g}")
        if resamples:
            again = partial(clock.solved, f"resamples at mask ratio {ratio:g}")
            found["bootstrap"] = bootstrap(graph, found, options.hop, constants, resamples, options.seed, again)
        answers.append(found)
    seeds = range(options.seed, options.seed + options.seeds)
    others = [_of_seed(seed, answers, options, constants, engine, clock) for seed in seeds[1:]]
    if others:
        for found, *again_at in zip(answers, *others, strict=True):
            found["draws"] = draws([found, *again_at], seeds, drawn)
    return answers


def _of_seed(
    seed: int,
    answers: Sequence[RatioAnswer],
    options: argparse.Namespace,
    constants: Constants,
    engine: Engine,
    clock: _Clock,
) -> list[RatioAnswer]:
    """The same as some answers with everything drawn from another seed."""
    options = argparse.Namespace(**{**vars(options), "seed": seed})
    images, again = load_coded(source_of(options)), []
    for found in answers:
        ratio = found["mask_ratio"]
        graph = graph_of(images, options, ratio, options.scheduler)
        # Another draw may have fewer visible views than K, which then no feature can span.
        dim = min(found["dim"], len(graph.p1))
        again.append(answer(graph, ratio, dim, options.hop, constants, seed, None, engine))
        clock.solved(f"bounds at mask ratio {ratio:g}, seed {seed}")
    return again


def _engine(device: str, ranks: Ranks = ALONE) -> Engine:
    if device == "cpu":
        return Host(max(cores() // local_processes(), 1), ranks)
    from maskgraph.theory.solver.torch_engine import TorchEngine

    return TorchEngine(f"cuda:{local_rank()}" if device == "cuda" and ranks.count > 1 else device, ranks)
