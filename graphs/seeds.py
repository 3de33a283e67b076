"""Seeds that everything that draws can take."""

from __future__ import annotations

from numbers import Integral

from maskgraph.graphs.errors import InputError

LARGEST_SEED = 2**32 - 1
"""That of scikit-learn's k-means; numpy and torch take larger ones."""

MOST_SEEDS = 10_000
"""How many models of a kind differ by their seed at most: their plans are listed before the first is trained."""


def check_seeds(seeds: int) -> None:
    """Raise InputError for a number of seeds that nobody has time for, or that trains nothing."""
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"seeds {seeds}; expected {'at least 1' if seeds < 1 else f'at most {MOST_SEEDS}'}")


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that not everything that draws can take."""
    if not isinstance(seed, Integral) or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed {seed}; expected an integer from 0 to {LARGEST_SEED} (see --seed)")
