"""The same numbers from other seeds: how much of them is the draw of masks, of images or of the codebook's starts.

A bootstrap (`theory.bootstrap`) asks what other images of the data would have said under the same masks and codes. But
where a graph has some of the masks only, which ones is chance too, and so are the codes of k-means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from maskgraph.graphs.errors import InputError
from maskgraph.theory.answer import Draws, RatioAnswer
from maskgraph.theory.bootstrap import statistics

AGREE = 1e-9
"""Relative spread up to which draws agree: solvers of other graphs of one spectrum round otherwise."""


def draws(answers: Sequence[RatioAnswer], seeds: Sequence[int], drawn: Sequence[str]) -> Draws:
    """What answers on graphs of several seeds say, number by number.

    Args:
        answers: one a seed, at one mask ratio.
        seeds: theirs, in that order.
        drawn: what differs between them.

    Raises:
        InputError: not as many answers as seeds, or fewer than two; no such answer.
    """
    if len(answers) != len(seeds) or len(seeds) < 2:
        raise InputError(f"{len(answers)} answers of {len(seeds)} seeds; expected as many, of at least 2 seeds")
    rows = [statistics(found) for found in answers]
    return {
        "seeds": [int(seed) for seed in seeds],
        "drawn": list(drawn),
        "numbers": {name: [row[name] for row in rows] for name in rows[0]},
    }


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (n − 1) of at least two; 0 where they agree to rounding (`AGREE`)."""
    mean, sd = math.fsum(values) / len(values), float(np.std(values, ddof=1))
    return mean, 0.0 if sd <= AGREE * abs(mean) else sd
