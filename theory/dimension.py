"""The dimension K of a feature, checked at every door by the same rule and in the same words."""

from __future__ import annotations

from maskgraph.graphs.errors import InputError, is_whole


def check_positive(dim: int) -> None:
    """Raise InputError for a K that no graph has: no integer, or below 1."""
    if not is_whole(dim) or dim < 1:
        raise InputError(f"dimension {dim}; expected at least 1, an integer (see --dim)")


def check_dim(dim: int, views: int) -> None:
    """Raise InputError unless K is an integer and 1 <= K <= N1: features of N1 views span no more."""
    if not is_whole(dim) or not 1 <= dim <= views:
        raise InputError(
            f"dimension {dim} for a graph of {views} visible views; expected an integer from 1 to {views}: "
            "lower --dim, or refine the views (--codes, --view)"
        )
