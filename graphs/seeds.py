"""Seeds that everything that draws can take."""

from __future__ import annotations

from numbers import Integral

from maskgraph.graphs.errors import InputError

LARGEST_SEED = 2**32 - 1
"""That of scikit-learn's k-means; numpy and torch take larger ones."""


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that not everything that draws can take."""
    if not isinstance(seed, Integral) or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed {seed}; expected an integer from 0 to {LARGEST_SEED} (see --seed)")
