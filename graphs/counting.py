"""Counting views and pairs: exactly, in hardly more memory than the graph takes.

One 64-bit word an edge holds a digit of a view's key and the edge's position. Words are dealt to parts by ranges of the
key, and each part is sorted where it lies, so that the parts one after the other are the views in their order. Target
views come first and leave every edge the number of its vertex; then visible ones, whose words become pairs, and at
last the masses of M, in place. What is kept of a view is allocated when it is known how many there are.

Edges beyond `edges.BLOCK`, and those that other machines count, come in blocks whose counts add up (`graphs.merging`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs import kernels, sorting, summaries
from maskgraph.graphs.classes import Classes, canonical
from maskgraph.graphs.edges import Block, Edges
from maskgraph.graphs.keys import Layout
from maskgraph.graphs.memory import check_share
from maskgraph.graphs.merging import MERGING, Counts, Vertices, merged

PART = 2**18
"""Edges of a part, about: their words stay in a core's own cache while they are sorted and counted."""

SAMPLE = 2**15
"""Keys that say where parts begin, about."""

ENTRY = 12
"""Bytes of an entry of a sparse matrix; a pair of M takes them, and a class of a view that has several."""

TABLE_BITS = 12
"""Leading bits of a key that nearly tell its part."""


def count(found: Edges, threads: int = 1, blocks: Sequence[Block] | None = None) -> Counts:
    """Count the edges in the blocks (all of them when None), in as many threads as given.

    Raises:
        InputError: the counts would not fit into memory.
    """
    blocks = found.blocks() if blocks is None else blocks
    several, edges = len(blocks) > 1, [one.edges for one in blocks]
    shares = (done / sum(edges) for done in accumulate(edges, initial=0))
    return merged(
        (count_block(found, block, threads, several, share) for block, share in zip(blocks, shares, strict=False)),
        edges,
    )


def count_block(found: Edges, block: Block, threads: int = 1, keyed: bool = True, least: float = 0) -> Counts:
    """Count one block.

    Args:
        found: the edges.
        block: which of them.
        threads: that count; the counts do not depend on them.
        keyed: whether the counts are to be added to others.
        least: the share of all edges that is counted already, and so fits; what is free is what they leave.

    Raises:
        InputError: the counts would not fit into memory.
    """
    what, most = f"counting {block.edges:.2g} edges", _most(found, keyed)
    check_share(ENTRY * block.edges, what, most=most, least=least)
    # Memory that is touched for the first time is what costs most: these become the masses of M, `ids` its indices.
    words = np.empty(block.edges, np.uint64)
    with ThreadPoolExecutor(threads) as pool:
        work = _Work(found, block, pool, threads, keyed)
        target = work.rank(found.layouts[1], words)
        need = ENTRY * block.edges + _kept(found, 1, keyed, *target.kept)
        check_share(need, f"{what} and their target views", words.nbytes, most, least=least)
        second = work.describe(target, words)
        ids = np.empty(block.edges, np.uint32)
        work.number(target, words, ids)
        visible = work.rank(found.layouts[0], words)
        need = ENTRY * block.edges + _kept(found, 0, keyed, *visible.kept) + second.nbytes
        held = words.nbytes + ids.nbytes + second.nbytes
        check_share(need, f"{what} and their views", held, most, least=least)
        first = work.describe(visible, words)
        indptr, pairs = work.pairs(visible, words, ids, len(second.place))
    # Shrunk where they lie; nobody else looks at them any more.
    words.resize(pairs, refcheck=False)
    ids.resize(pairs, refcheck=False)
    return Counts((first, second), indptr, ids.view(np.int32), words.view(np.float64), found.masks)


def _kept(found: Edges, side: int, keyed: bool, views: int, several: int = 0, entries: int = 0) -> int:
    """Bytes that are kept of so many views of a side, of which `several` have several classes, `entries` together."""
    one = found.place.itemsize + 2 + found.labels.itemsize + (8 * found.layouts[side].digits if keyed else 0)
    if side == 0:
        # Where its pairs end; in counts that are added up in 64 bits.
        one += 8 if keyed else 4
    return views * one + several * 4 + entries * ENTRY


def _most(found: Edges, keyed: bool) -> float:
    """Bytes that all the edges may take, whatever their views: each its own, or two of different classes a view."""
    bytes_ = float(ENTRY)
    for side in (0, 1):
        alone, in_two = _kept(found, side, keyed, 1), _kept(found, side, keyed, 1, 1, 2) / 2
        bytes_ += max(alone, in_two) if found.classes > 1 else alone
    return bytes_ * int(found.codes.shape[1]) * found.masks * (MERGING if keyed else 1)


@dataclass(frozen=True)
class _Ranked:
    """Words of one side, sorted, in parts; how many of what there are in all parts before each, and in all.

    Attributes:
        side: the layout of their keys.
        recipe: of the same, for the block's masks.
        words: words.
        vertices: distinct keys.
        several: of these, seen with several classes.
        entries: their classes.
    """

    side: Layout
    recipe: kernels.Recipe
    words: NDArray[np.int64]
    vertices: NDArray[np.int64]
    several: NDArray[np.int64]
    entries: NDArray[np.int64]

    @property
    def kept(self) -> tuple[int, int, int]:
        """Distinct keys, those of several classes, and their classes."""
        return int(self.vertices[-1]), int(self.several[-1]), int(self.entries[-1])


class _Work:
    """The steps of counting one block, each done part by part."""

    def __init__(self, found: Edges, block: Block, pool: Executor, threads: int, keyed: bool) -> None:
        self.found, self.block, self.pool, self.threads, self.keyed = found, block, pool, threads, keyed
        self.codes = np.ascontiguousarray(found.codes[:, block.images])
        # Digits that are packed one by one, if any, read all of an image.
        one_by_one = keyed or any(side.digits > 1 for side in found.layouts)
        self.rows = np.ascontiguousarray(self.codes.T[: None if one_by_one else 0])
        self.images, self.masks = self.codes.shape[1], block.masks.stop - block.masks.start
        self.shift = (self.masks - 1).bit_length()
        self.bits = self.shift + (self.images - 1).bit_length()
        self.labels = found.labels[block.images]
        used, level = np.unique(found.level[block.images], return_inverse=True)
        self.levels, self.level = found.levels[used], level.astype(np.min_scalar_type(len(used)))
        self.level_bits = (len(used) - 1).bit_length()

    def rank(self, side: Layout, words: NDArray[np.uint64]) -> _Ranked:
        """Fill the words with the edges by the keys of one side."""
        recipe = side.recipe(self.block.masks)
        bounds = self._deal(side, recipe, words)

        def one(low: int, high: int) -> tuple[int, int, int]:
            part = words[low:high]
            sorting.sort(part)
            distinct = kernels.rank(part, self.bits)
            for level in range(1, side.digits):
                if distinct == len(part):
                    break
                distinct = kernels.refine(part, self.bits, self.shift, recipe, self.rows, level)
            return distinct, *summaries.count_several(part, self.bits, self.shift, self.labels)

        sizes = np.array(list(self.pool.map(one, bounds[:-1], bounds[1:])))
        return _Ranked(side, recipe, bounds, *np.concatenate([np.zeros((1, 3), np.int64), sizes.cumsum(axis=0)]).T)

    def _deal(self, side: Layout, recipe: kernels.Recipe, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Write the words, part by part; where each part begins, and the end."""
        splitters = self._splitters(side, recipe)
        down = max(side.first_bits - TABLE_BITS, 0)
        buckets = np.arange((1 << (side.first_bits - down)) + 1, dtype=np.uint64) << np.uint64(down)
        table = np.searchsorted(splitters, buckets, side="right").astype(np.uint64)
        ends = np.linspace(0, self.images, self.threads + 1).astype(np.int64)
        fixed = splitters, table, down

        def tally(low: int, high: int) -> NDArray[np.int64]:
            sizes = np.zeros(len(splitters) + 1, np.int64)
            kernels.tally(recipe, self.codes, low, high, *fixed, sizes)
            return sizes

        def deal(low: int, high: int, at: NDArray[np.uint64]) -> None:
            kernels.deal(recipe, self.codes, low, high, *fixed, self.shift, self.bits, at, words)

        sizes = np.array(list(self.pool.map(tally, ends[:-1], ends[1:])))
        # Part by part, and within a part one thread after the other.
        stops = sizes.T.ravel().cumsum().reshape(sizes.shape[::-1]).T
        list(self.pool.map(deal, ends[:-1], ends[1:], (stops - sizes).astype(np.uint64)))
        return np.concatenate([[0], stops[-1]])

    def _splitters(self, side: Layout, recipe: kernels.Recipe) -> NDArray[np.uint64]:
        """The first keys of all parts but the first; quantiles of a sample, so that parts are about alike."""
        masks = np.unique(np.linspace(0, self.masks - 1, 256, dtype=np.int64))
        images = np.unique(np.linspace(0, self.images - 1, max(SAMPLE // len(masks), 1), dtype=np.int64))
        sample = np.empty((len(masks), len(images)), np.uint64)
        codes = np.ascontiguousarray(self.codes[:, images])
        for own, mask in zip(sample, masks, strict=True):
            kernels.pack(recipe, codes, mask, own)
        parts = -(-self.block.edges // PART)
        ordered = np.sort(sample, axis=None)
        quantiles = ordered[np.arange(1, parts) * len(ordered) // parts]
        # Above a position a word holds these bits of a digit: the others are the same all through a part.
        room = 64 - self.bits
        cuts = np.arange(1, 1 << max(side.first_bits - room, 0), dtype=np.uint64) << np.uint64(min(room, 63))
        return np.unique(np.concatenate([quantiles, cuts]))

    def describe(self, ranked: _Ranked, words: NDArray[np.uint64]) -> Vertices:
        """What is kept of the views of one side."""
        found, block = self.found, self.block
        vertices, several, entries = ranked.kept
        place, label = np.empty(vertices, found.place.dtype), np.empty(vertices, found.labels.dtype)
        alone, one_mask = np.empty(vertices, np.bool_), np.empty(vertices, np.bool_)
        indptr, indices, masses = np.zeros(several + 1, np.int32), np.empty(entries, np.int32), np.empty(entries)
        keys = np.empty((ranked.side.digits if self.keyed else 0, vertices), np.uint64)
        of_image = (
            self.labels,
            found.single[block.images],
            found.place[block.images] + place.dtype.type(block.masks.start),
        )

        def one(part: int) -> None:
            own = words[ranked.words[part] : ranked.words[part + 1]]
            views = slice(ranked.vertices[part], ranked.vertices[part + 1])
            mixed = indptr[1:][ranked.several[part] : ranked.several[part + 1]]
            of_view = place[views], alone[views], one_mask[views], label[views]
            inputs = self.bits, self.shift, *of_image, self.level, self.levels, found.classes
            summaries.describe(own, *inputs, *of_view, ranked.entries[part], mixed, indices, masses)
            if self.keyed:
                kernels.write_keys(own, self.bits, self.shift, ranked.recipe, self.rows, keys[:, views])

        list(self.pool.map(one, range(len(ranked.words) - 1)))
        return Vertices(
            place, alone, one_mask, Classes(label, canonical(masses, indices, indptr, (several, found.classes))), keys
        )

    def number(self, ranked: _Ranked, words: NDArray[np.uint64], ids: NDArray[np.uint32]) -> None:
        """Write the vertex of every edge."""

        def one(low: int, high: int, base: int) -> None:
            summaries.number(words[low:high], self.bits, self.shift, self.masks, base, ids)

        list(self.pool.map(one, ranked.words[:-1], ranked.words[1:], ranked.vertices[:-1]))

    def pairs(
        self, ranked: _Ranked, words: NDArray[np.uint64], ids: NDArray[np.uint32], others: int
    ) -> tuple[NDArray[np.int32], int]:
        """Turn words and vertices of the other side into the masses and indices of M, in front; indptr and how many."""
        id_bits = (others - 1).bit_length()

        def pair(low: int, high: int) -> int:
            part = words[low:high]
            summaries.pair(part, self.bits, self.shift, self.masks, ids, self.level, id_bits, self.level_bits)
            sorting.sort(part)
            return summaries.count_distinct(part, self.level_bits)

        sizes = np.array(list(self.pool.map(pair, ranked.words[:-1], ranked.words[1:])))
        pairs = np.concatenate([[0], sizes.cumsum()])
        indptr, indices = np.zeros(ranked.vertices[-1] + 1, np.int32), ids.view(np.int32)

        def add(part: int) -> None:
            own = words[ranked.words[part] : ranked.words[part + 1]]
            ends = indptr[1:][ranked.vertices[part] : ranked.vertices[part + 1]]
            columns = indices[pairs[part] : pairs[part + 1]]
            summaries.add_pairs(own, id_bits, self.level_bits, self.levels, pairs[part], ends, columns)

        list(self.pool.map(add, range(len(sizes))))
        for part, size in enumerate(sizes):
            words[pairs[part] : pairs[part + 1]] = words[ranked.words[part] : ranked.words[part] + size]
        return indptr, int(pairs[-1])
