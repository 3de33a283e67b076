"""How far a score can be believed: intervals over test images, over seeds, and of differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError

Interval = tuple[float, float]


def accuracy_interval(correct: NDArray[np.bool_], level: float = 0.95) -> Interval:
    """Wilson's score interval of an accuracy over the draw of the test images.

    Args:
        correct: (N,) whether each image was classed right.
        level: probability that the interval holds the accuracy on the distribution that the images are drawn from.
    """
    from scipy.stats import norm  # slow to import, and wanted here only

    count, share = len(correct), float(correct.mean())
    z = float(norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    # Where all are right, or none, an end is the accuracy itself, which rounding would leave out.
    return within_unit((min(middle - half, share), max(middle + half, share)))


def within_unit(interval: Interval) -> Interval:
    """The part of an interval that accuracies can be in."""
    low, high = interval
    return min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)


def seeds_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's interval of the mean over seeds of a score.

    Raises:
        InputError: fewer than two seeds, which show no spread.
    """
    from scipy.stats import t

    if len(values) < 2:
        raise InputError(f"an interval over {len(values)} seed; expected at least 2")
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """The exact two-sided p-value of McNemar's test that two networks are right equally often on the same images.

    Only images that one of them gets right and the other wrong tell anything; either is then as likely.

    Args:
        first: (N,) whether each image was classed right by one.
        second: (N,) by the other.
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
