"""Intervals over images: what a graph's numbers would have been from other draws of as many images.

A resample has fewer distinct images than the sample (63 % of many), so that its graph is sparser and its eigenvalues
lie higher than those of the sample, as those of the sample lie higher than those of the data. The basic interval takes
the first shift for the second and turns it round; the percentile interval would add it once more. `findings.bootstrap`
counts how often either holds the truth on a world where that is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.augmentation import Hop, check_hop
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph, mask_graph
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError, check_function, check_type, is_whole
from maskgraph.graphs.seeds import check_seed
from maskgraph.theory.answer import Bootstrap, Constants, RatioAnswer, answer
from maskgraph.theory.dimension import check_dim

LEVEL = 0.95
"""Nominal probability that an interval holds the value of the data."""

FEWEST = 39
"""Resamples from which on the least of them stands at the quantile of an interval's end: (39 + 1)(1 − 0.95)/2 = 1."""

Array = NDArray[np.float64]


def statistics(found: RatioAnswer) -> dict[str, float]:
    """The numbers of an answer that are given an interval; those about patch values only where there are any.

    Raises:
        InputError: something else than an answer.
    """
    mend = "give what answer(graph, mask_ratio, dim) of maskgraph.theory.answer returns"
    check_type(found, dict, mend)
    if missing := sorted(RatioAnswer.__required_keys__ - set(found)):
        raise InputError(f"the answer lacks {missing[0]}; {mend}")
    named: dict[str, float | None] = {
        "head_sq": found["head_sq"],
        "tail_sq": found["tail_sq"],
        "thm_4_2_any_lambda": found["bounds"]["thm_4_2_any_lambda"],
        "water_filling": found["bounds"]["water_filling"],
        "alpha": found["alpha"],
        "alpha_target": found["alpha_target"],
        "phi": found["phi"],
        "inter": found["inter"],
        "bayes_risk": found["bayes_risk"],
        "target_variance": found["target_variance"],
        "rank_floor": found["rank_floor"],
    }
    return {name: value for name, value in named.items() if value is not None}


def check_resamples(resamples: int) -> None:
    """Raise InputError for fewer than `FEWEST` resamples."""
    if not is_whole(resamples) or resamples < FEWEST:
        raise InputError(
            f"bootstrap {resamples}; expected at least {FEWEST} resamples, such as 200: of fewer none is as far out as "
            f"the ends of a {100 * LEVEL:g} % interval"
        )


def check_drawn(images: CodedImages) -> None:
    """Raise InputError for images that are no draws, or a single one: there is nothing to resample."""
    if not images.drawn:
        raise InputError(
            f"{images.name} has weights and so is a distribution, not a sample: there is nothing to resample; leave "
            "out --bootstrap, draw images (--images of a mixture), or repeat rows in place of weights"
        )
    if len(images.labels) < 2:
        raise InputError("1 image: every resample is that image; give at least 2 images or leave out --bootstrap")


def resample(images: CodedImages, rng: np.random.Generator) -> CodedImages:
    """As many draws from the images, with replacement: the distinct rows drawn, weighted by how often."""
    count = len(images.labels)
    times = np.bincount(rng.integers(count, size=count), minlength=count)
    rows = np.flatnonzero(times)
    return replace(
        images, codes=images.codes[rows], labels=images.labels[rows], weights=times[rows] / count, drawn=False
    )


def resampled(
    graph: MaskGraph,
    dim: int,
    hop: Hop,
    constants: Constants,
    resamples: int,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Array]:
    """The numbers of `statistics` on each resample, by name, each (resamples,) float64; arguments as `bootstrap`."""
    check_resamples(resamples)
    check_mask_graph(graph)
    check_drawn(graph.images)
    check_dim(dim, graph.M.shape[0])
    check_hop(hop)
    check_type(constants, Constants, "give Constants(lipschitz, lam, epsilon)")
    check_seed(seed)
    check_function(tick, "tick", "nothing")
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(resamples):
        again = mask_graph(resample(graph.images, rng), graph.masks, graph.view)
        rows.append(statistics(_answer(again, dim, hop, constants, seed)))
        tick()
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def bootstrap(
    graph: MaskGraph,
    found: RatioAnswer,
    hop: Hop,
    constants: Constants,
    resamples: int,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> Bootstrap:
    """Basic bootstrap intervals over images of what `answer` says of a graph; masks and codebook stay as they are.

    Args:
        graph: of drawn images.
        found: the answer on it.
        hop: of the answer.
        constants: of the answer.
        resamples: how many.
        seed: of the resamples and of the iterative solver.
        tick: called after each resample.

    Raises:
        InputError: see `check_resamples` and `check_drawn`; no such answer.
    """
    estimate = statistics(found)
    drawn = resampled(graph, found["dim"], hop, constants, resamples, seed, tick)
    intervals = {name: list(basic_interval(estimate[name], values)) for name, values in drawn.items()}
    return {"resamples": resamples, "level": LEVEL, "intervals": intervals}


def basic_interval(estimate: float, values: Array) -> tuple[float, float]:
    """[2θ − q_hi, 2θ − q_lo] from the estimate θ on the sample and the quantiles q of the resamples (`LEVEL`)."""
    low, high = percentile_interval(values)
    return 2 * estimate - high, 2 * estimate - low


def percentile_interval(values: Array) -> tuple[float, float]:
    """[q_lo, q_hi], the quantiles of the resamples themselves: what `basic_interval` is held against."""
    # Of B draws the p-quantile is the (B + 1)p-th smallest: one more draw lies between both ends as often as `LEVEL`
    # says. numpy's own choice lies further in: of 39 draws it holds 90 %.
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="weibull")
    return float(low), float(high)


def _answer(graph: MaskGraph, dim: int, hop: Hop, constants: Constants, seed: int) -> RatioAnswer:
    ratio = graph.masks.dropped.shape[1] / graph.images.patches
    # A resample may have fewer visible views than K, which then no feature can span.
    return answer(graph, ratio, min(dim, graph.M.shape[0]), hop, constants, seed)
