"""View identity: when are two views the same vertex.

The paper leaves the choice open and it changes every number, so it is a parameter of everything:

    positional   patches with their positions, what a ViT with position embeddings sees. x1 and x2 each fix the
                 mask, so the graph falls into at least one component a mask.
    sequence     the patches in order, without their positions. Masks mix.
    bag          the multiset of patches; as a vector it lists them in the order of their codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import unknown
from maskgraph.graphs.masks import MaskSet

View = Literal["positional", "sequence", "bag"]
Ids = NDArray[np.int64]

KEY_LIMIT = 2**62
"""Packed keys stay below this; beyond it they are first replaced by their ranks."""


def check_view(view: str) -> None:
    """Raise InputError for a view identity that does not exist."""
    if view not in get_args(View):
        raise unknown("view", view, get_args(View))


def arrange(view: View, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes of views as their vertex lists them: sorted along the last axis for `bag`, else unchanged."""
    return np.sort(codes, axis=-1) if view == "bag" else codes


def known_positions(
    view: View, kept: NDArray[np.int64], dropped: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions that a model may attach to the patches of x1 and x2 and still be a function of the vertex.

    positional: the true ones. sequence: ranks, x1 first, x2 after it. bag: none for x1, written as n, and ranks
    for the target's slots.

    Args:
        view: the view identity.
        kept: (..., n1) patches of x1.
        dropped: (..., n2) patches of x2.

    Returns:
        two int64 arrays of the shapes of `kept` and `dropped`, values in 0..n.
    """
    if view == "positional":
        return kept, dropped
    n1, n2 = kept.shape[-1], dropped.shape[-1]
    slots = np.broadcast_to(np.arange(n1, n1 + n2), dropped.shape)
    if view == "sequence":
        return np.broadcast_to(np.arange(n1), kept.shape), slots
    return np.full(kept.shape, n1 + n2), slots


def view_ids(codes: NDArray[np.int64], masks: MaskSet, view: View) -> tuple[Ids, Ids]:
    """Number the views: equal ids exactly where two views are the same vertex.

    Args:
        codes: (N, n) patch codes.
        masks: S masks.
        view: the view identity.

    Returns:
        ids of x1 and of x2, each (N, S) int64 in 0..(number of distinct views)-1.
    """
    return _side_ids(codes, masks.kept, view), _side_ids(codes, masks.dropped, view)


def distinct_ids(columns: Iterable[NDArray[np.int64]], sizes: Iterable[int]) -> Ids:
    """Number distinct tuples, exactly: no hash and no overflow, for tuples of any length.

    The tuple is packed digit by digit; before the key would pass `KEY_LIMIT` it is replaced by its rank among the
    keys seen, which is at most the number of tuples.

    Args:
        columns: arrays of one common shape, the entries of the tuples; non-negative.
        sizes: for each column a bound above its values.

    Returns:
        int64 of the columns' shape, in 0..(number of distinct tuples)-1, in lexical order of the tuples.
    """
    key: Ids | None = None
    limit = 1
    for column, size in zip(columns, sizes, strict=True):
        if key is None:
            key, limit = column.astype(np.int64), size
            continue
        column = column.astype(np.int64, copy=False)
        if limit > KEY_LIMIT // size:
            key, limit = _ranks(key)
        if limit > KEY_LIMIT // size:
            column, size = _ranks(column)
        key = key * size + column
        limit *= size
    if key is None:
        raise ValueError("no columns: a view has at least one patch")
    return _ranks(key)[0]


def _side_ids(codes: NDArray[np.int64], patches: NDArray[np.int64], view: View) -> Ids:
    alphabet = int(codes.max()) + 1
    count = patches.shape[1]
    shape = (len(codes), len(patches))
    # Those of all edges: in as few bytes as they have, and one patch after the other but where they are sorted.
    codes = codes.astype(np.min_scalar_type(alphabet - 1))
    if view == "bag":
        ordered = codes[:, patches]
        ordered.sort(axis=2)
        columns = (ordered[:, :, slot] for slot in range(count))
    else:
        columns = (codes[:, patches[:, slot]] for slot in range(count))
    if view == "positional":
        mask = np.broadcast_to(np.arange(len(patches)), shape)
        return distinct_ids(itertools.chain([mask], columns), [len(patches), *[alphabet] * count])
    return distinct_ids(columns, [alphabet] * count)


def _ranks(key: NDArray[np.int64]) -> tuple[Ids, int]:
    distinct, inverse = np.unique(key, return_inverse=True)
    return inverse.reshape(key.shape).astype(np.int64), len(distinct)
