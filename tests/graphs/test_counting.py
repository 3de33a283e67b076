"""The compiled counting against numpy's, which the literal enumeration holds in test_bipartite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs import bipartite, counting, memory
from maskgraph.graphs.bipartite import MaskGraph, from_counts, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.kernels import DIGIT_BITS
from maskgraph.graphs.masks import MaskSet, mask_distribution, mask_set
from maskgraph.graphs.views import View, distinct_ids
from tests.strategies import VIEWS, World, masked_worlds, searched, views

ROUNDING = 1e-13
"""Sums of at most 10³ masses below 1 in another order: 10³ · 2⁻⁵³."""


def same(one: MaskGraph, other: MaskGraph) -> None:
    """Every array equal, masses up to the order of their sums."""
    assert one.M.shape == other.M.shape
    for a, b in ((one.M, other.M), (one.class_mass1, other.class_mass1), (one.class_mass2, other.class_mass2)):
        np.testing.assert_array_equal(a.indptr, b.indptr)
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=ROUNDING)
    for x, y in ((one.visible, other.visible), (one.target, other.target)):
        np.testing.assert_array_equal(x.place, y.place)
        np.testing.assert_array_equal(x.alone, y.alone)
        np.testing.assert_array_equal(x.one_mask, y.one_mask)


def counted(images: CodedImages, masks: MaskSet, view: View, most: int = counting.BLOCK, threads: int = 1) -> MaskGraph:
    """The compiled path, in blocks of at most `most` edges."""
    found = counting.edges(images, masks, view)
    return from_counts(images, masks, view, counting.count(found, threads, found.blocks(most)), found.unit)


@searched(80)
@given(masked_worlds(), views(), st.integers(1, 60), st.integers(1, 2))
def test_any_blocks_and_threads_give_the_graph_of_numpy(
    drawn: tuple[World, int], view: View, most: int, threads: int
) -> None:
    world, kept = drawn
    graph = mask_graph(world.images(), world.mask_set(kept), view)
    same(counted(world.images(), world.mask_set(kept), view, most, threads), graph)


def clustered(count: int, patches: int, codes: int, weighted: bool) -> CodedImages:
    """Images many of which are equal, of one class or of two."""
    rng = np.random.default_rng(count + patches + codes)
    prototypes = rng.integers(codes, size=(max(count // 3, 1), patches))
    weights = rng.random(count) + 0.1 if weighted else None
    return make_coded_images(
        "clustered", prototypes[rng.integers(len(prototypes), size=count)], rng.integers(3, size=count), weights
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("count", "patches", "codes", "kept"),
    [(300, 8, 4, 2), (40, 12, 300, 10), (30, 60, 5, 31), (200, 10, 70_000, 5), (1, 2, 2, 1)],
    ids=["one digit", "wide codes", "long views", "codes beyond 16 bits", "one image"],
)
def test_keys_of_one_and_of_many_digits(
    count: int, patches: int, codes: int, kept: int, view: View, weighted: bool
) -> None:
    images = clustered(count, patches, codes, weighted)
    masks = mask_set(mask_distribution("uniform", (1, patches), 1 - kept / patches), 20)
    graph = mask_graph(images, masks, view)
    for most, threads in ((counting.BLOCK, 1), (97, 2)):
        same(counted(images, masks, view, most, threads), graph)


@pytest.mark.parametrize("view", VIEWS)
def test_parts_by_visible_view_add_up_and_share_no_visible_view(view: View) -> None:
    images = clustered(200, 9, 3, weighted=False)
    masks = mask_set(mask_distribution("uniform", (3, 3), 0.5), 30)
    found = counting.edges(images, masks, view)
    parts = [
        counting.merged([counting.count_block(found, block, (p, 3)) for block in found.blocks(1000)], 6)
        for p in range(3)
    ]
    rows = [{tuple(key) for key in part.sides[0].keys.T} for part in parts]
    assert all(rows)
    assert sum(len(row) for row in rows) == len(set.union(*rows))
    same(from_counts(images, masks, view, counting.merged(parts, 3), found.unit), mask_graph(images, masks, view))


def test_digits_never_collide_at_the_edge_of_a_word() -> None:
    # Views that differ in the last bit of one digit or in the first bit of the next only.
    patches = 2 * DIGIT_BITS
    rows = np.zeros((patches + 1, patches), dtype=np.int64)
    rows[np.arange(patches), np.arange(patches)] = 1
    images = make_coded_images("bits", rows, np.zeros(len(rows), dtype=np.int64))
    masks = MaskSet(np.arange(patches - 1)[None], np.array([[patches - 1]]), 1)
    found = counted(images, masks, "sequence")
    assert found.M.shape == (patches, 2)
    # The bit of the last patch is hidden: that image looks like the empty one.
    assert found.p1.max() == pytest.approx(2 / (patches + 1))


def test_duplicate_images_are_counted_not_enumerated() -> None:
    images = clustered(300, 8, 4, weighted=False)
    rows = {(tuple(codes), label) for codes, label in zip(images.codes.tolist(), images.labels.tolist(), strict=True)}
    found = counting.edges(images, mask_set(mask_distribution("uniform", (1, 8), 0.5)), "bag")
    assert found.codes.shape[1] == len(rows) < 300


def test_large_graphs_are_counted_by_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    images = clustered(300, 8, 4, weighted=True)
    masks = mask_set(mask_distribution("uniform", (1, 8), 0.5))
    graph = mask_graph(images, masks, "sequence")
    monkeypatch.setattr(bipartite, "SMALL", 100)
    monkeypatch.setattr(bipartite, "view_ids", None)
    same(mask_graph(images, masks, "sequence", threads=2), graph)


def test_a_graph_beyond_memory_is_refused_with_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    images = make_coded_images(
        "unique", np.random.default_rng(0).integers(16, size=(500, 20)), np.zeros(500, dtype=int)
    )
    masks = mask_set(mask_distribution("uniform", (4, 5), 0.5), 64)
    found = counting.edges(images, masks, "sequence")
    whole = counting.count(found)
    need = sum(a.nbytes for v in whole.sides for a in (v.keys, v.place, v.alone, v.indptr, v.classes, v.masses))
    need += whole.indptr.nbytes + whole.indices.nbytes + whole.masses.nbytes
    # Half of it can be merged only with twice its size at hand; the estimate is of the right size, not only large.
    for free, refused in ((need, True), (3 * need, False)):
        monkeypatch.setattr(counting, "available_bytes", lambda free=free: free)
        monkeypatch.setattr(memory, "available_bytes", lambda free=free: free)
        if refused:
            with pytest.raises(InputError, match=r"about 3\.2e\+04 edges.* of memory .*--max-masks.*--images.*--codes"):
                counting.count(found, blocks=found.blocks(4000))
        else:
            counting.count(found, blocks=found.blocks(4000))


def test_available_memory_is_the_least_of_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory.available_bytes()
    assert free > 0
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 600
    with pytest.raises(InputError, match=r"a graph needs about 1\.02e\+03 GiB of memory and .* GiB are free; use less"):
        memory.check_memory(2.0**40, "a graph", "use less")


def test_numpy_numbers_tuples_beyond_any_word() -> None:
    # The oracle itself: 200 columns of 16 values, compared as Python tuples.
    rows = np.random.default_rng(1).integers(2, size=(50, 200)) * 15
    ids = distinct_ids(list(rows.T), [16] * 200)
    assert [sorted(set(map(tuple, rows.tolist()))).index(tuple(row)) for row in rows.tolist()] == ids.tolist()
