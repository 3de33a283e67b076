"""Streams of random numbers: each a function of a seed, of what it is for and, where there are steps, of the step."""

from __future__ import annotations

from enum import IntEnum


class Use(IntEnum):
    """What a stream is for: the number that stands beside the seed in `np.random.default_rng([seed, use, ...])`.

    Every number that was ever recorded hangs on these; a new use gets a number that none had.
    """

    ORDER = 1
    """Of the images in an epoch of training."""

    MASKS = 2
    """Of the images of a step."""

    FEW_SHOT = 3
    """The labels that a few-shot probe knows."""

    AUGMENTATION = 4
    """Of the images of a step."""

    VIEWS = 5
    """The masks of the views that collapse is measured on."""

    TUNING_ORDER = 6
    """Of the images in an epoch of fine-tuning."""

    TUNING_AUGMENTATION = 7
    """Of the images of a step of fine-tuning."""

    NULL_VIEWS = 8
    """Views of nothing, from a normal distribution."""

    PROBE_ORDER = 9
    """Of the features in an epoch of the linear probe by SGD."""

    SHUFFLED = 10
    """How labels are dealt out anew for the null of ridge."""

    MEASURED = 11
    """The test images that collapse is measured on."""

    NULL_FEATURES = 12
    """Features of nothing, from a normal distribution."""

    TUNING_CHANCE = 14
    """What is mixed, erased and left out in a step of fine-tuning."""

    BRANCHES = 15
    """The branches that are left out in a step of training."""

    NULL_ON_GRAPH = 16
    """Features of nothing, from a normal distribution, at the visible views of a graph."""
