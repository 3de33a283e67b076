"""The compiled counting against numpy's, which the literal enumeration holds in test_bipartite."""

from __future__ import annotations

import math
import tracemalloc
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs import bipartite, counting, keys, memory, merging, sorting
from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, from_counts, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.edges import BLOCK, LEVEL_BITS, Edges, edges
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.keys import FIRST_BITS, LATER_BITS
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


def bits(one: MaskGraph) -> list[bytes]:
    """All that was counted, bit for bit."""
    parts = [one.M.indptr, one.M.indices, one.M.data]
    for side in (one.visible, one.target):
        several = side.classes.several
        parts += [side.place, side.alone, side.one_mask, side.classes.label]
        parts += [several.indptr, several.indices, several.data]
    return [np.ascontiguousarray(part).tobytes() for part in parts]


def counted(images: CodedImages, masks: MaskSet, view: View, most: int = BLOCK, threads: int = 1) -> MaskGraph:
    """The compiled path, in blocks of at most `most` edges."""
    found = edges(images, masks, view)
    return from_counts(images, masks, view, counting.count(found, threads, found.blocks(most)), found.unit)


@searched(80)
@given(masked_worlds(), views(), st.integers(1, 60), st.integers(1, 3), st.integers(1, 30), st.integers(1, 60))
def test_any_blocks_parts_and_threads_give_the_graph_of_numpy(
    drawn: tuple[World, int], view: View, most: int, threads: int, part: int, sample: int
) -> None:
    world, kept = drawn
    graph = mask_graph(world.images(), world.mask_set(kept), view)
    with pytest.MonkeyPatch.context() as patch:
        # As many parts as edges, or more than the sample has keys: some are empty, some hold a single key.
        patch.setattr(counting, "PART", part)
        patch.setattr(counting, "SAMPLE", sample)
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
    count: int, patches: int, codes: int, kept: int, view: View, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = clustered(count, patches, codes, weighted)
    masks = mask_set(mask_distribution("uniform", (1, patches), 1 - kept / patches), 20)
    graph = mask_graph(images, masks, view)
    for most, threads, part in ((BLOCK, 1, counting.PART), (BLOCK, 3, 50), (97, 2, counting.PART)):
        monkeypatch.setattr(counting, "PART", part)
        same(counted(images, masks, view, most, threads), graph)


@pytest.mark.parametrize("view", VIEWS)
def test_neither_threads_nor_parts_nor_blocks_change_a_bit(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    images = clustered(200, 9, 3, weighted=False)
    masks = mask_set(mask_distribution("uniform", (3, 3), 0.5), 30)
    expected = bits(counted(images, masks, view))
    for most, threads, part in ((BLOCK, 4, 100), (BLOCK, 1, 1), (1000, 2, 64), (700, 1, 2**20)):
        monkeypatch.setattr(counting, "PART", part)
        assert bits(counted(images, masks, view, most, threads)) == expected
    # Words that are sorted by digits are sorted as well.
    monkeypatch.setattr(sorting, "FEW", 0)
    monkeypatch.setattr(sorting, "digits_pay", lambda: True)
    assert bits(counted(images, masks, view)) == expected


@pytest.mark.parametrize("view", VIEWS)
def test_one_view_in_most_places_is_one_part(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    # Background: every quantile of the keys is the same one.
    images = make_coded_images(
        "background", np.eye(12, 16, dtype=np.int64).repeat(4, axis=0)[:, ::-1], np.arange(48) % 3, np.arange(48) + 1.0
    )
    masks = mask_set(mask_distribution("uniform", (4, 4), 0.5), 25)
    monkeypatch.setattr(counting, "PART", 16)
    same(counted(images, masks, view, threads=2), mask_graph(images, masks, view))


def test_a_part_spans_no_more_keys_than_fit_beside_a_position(monkeypatch: pytest.MonkeyPatch) -> None:
    # 15 codes of 4 bits, beside positions of 11: a word keeps 53 bits of a key of 60.
    monkeypatch.setattr(keys, "FIRST_BITS", 60)
    codes = np.random.default_rng(0).integers(16, size=(60, 30))
    # Keys at the very edge of what a word keeps.
    codes[:16] = np.eye(1, 30, dtype=np.int64) * np.arange(16)[:, None]
    images = make_coded_images("wide", codes, np.zeros(60, dtype=np.int64))
    masks = mask_set(mask_distribution("uniform", (5, 6), 0.5), 20)
    assert [side.first_bits for side in edges(images, masks, "sequence").layouts] == [60, 60]
    same(counted(images, masks, "sequence"), mask_graph(images, masks, "sequence"))


def test_digits_never_collide_at_the_edge_of_a_word() -> None:
    # Views that differ in the last bit of one digit or in the first bit of the next only.
    patches = FIRST_BITS + LATER_BITS
    rows = np.zeros((patches + 1, patches), dtype=np.int64)
    rows[np.arange(patches), np.arange(patches)] = 1
    images = make_coded_images("bits", rows, np.zeros(len(rows), dtype=np.int64))
    masks = MaskSet(np.arange(patches - 1)[None], np.array([[patches - 1]]), 1)
    found = counted(images, masks, "sequence")
    assert found.M.shape == (patches, 2)
    # The bit of the last patch is hidden: that image looks like the empty one.
    assert found.p1.max() == pytest.approx(2 / (patches + 1))


def test_many_masses_make_smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = clustered(2000, 8, 4, weighted=True)
    masks = mask_set(mask_distribution("uniform", (1, 8), 0.5), 8)
    found = edges(images, masks, "sequence")
    assert len(found.levels) > 2**LEVEL_BITS
    monkeypatch.setattr("maskgraph.graphs.edges.MANY_LEVELS", (3000, 900))
    sizes = [(block.edges, block.images.stop - block.images.start) for block in found.blocks()]
    assert all(size <= 3000 and count <= 900 for size, count in sizes)
    assert sum(size for size, _ in sizes) == found.codes.shape[1] * 8
    same(counted(images, masks, "sequence"), mask_graph(images, masks, "sequence"))


def test_duplicate_images_are_counted_not_enumerated() -> None:
    images = clustered(300, 8, 4, weighted=False)
    rows = {(tuple(codes), label) for codes, label in zip(images.codes.tolist(), images.labels.tolist(), strict=True)}
    found = edges(images, mask_set(mask_distribution("uniform", (1, 8), 0.5)), "bag")
    assert found.codes.shape[1] == len(rows) < 300


@pytest.mark.parametrize(("limit", "most"), [("SMALL", 100), ("SHORT", 8 * 300 * 70 - 1)])
def test_large_graphs_are_counted_by_the_loops(limit: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many edges, or of few with many codes."""
    images = clustered(300, 8, 4, weighted=True)
    masks = mask_set(mask_distribution("uniform", (1, 8), 0.5))
    graph = mask_graph(images, masks, "sequence")
    monkeypatch.setattr(bipartite, limit, most)
    monkeypatch.setattr(bipartite, "view_ids", None)
    same(mask_graph(images, masks, "sequence", threads=2), graph)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_mass_of_very_many_edges_is_good_to_a_few_ulp(weighted: bool) -> None:
    """Two hundred thousand edges of nine pairs; added up one after the other they would be off by hundreds of ulp."""
    rng = np.random.default_rng(0)
    weights = 1 + 1e-3 * rng.random(20_000) if weighted else None
    images = make_coded_images("few", rng.integers(2, size=(20_000, 5)), rng.integers(2, size=20_000), weights)
    masks = mask_set(mask_distribution("uniform", (1, 5), 0.4))
    graph = mask_graph(images, masks, "bag")
    assert graph.images.codes.shape[0] * len(masks.kept) <= bipartite.SMALL
    mass = np.repeat(images.weights / 10, 10)
    pairs = graph.ids1.ravel() * graph.M.shape[1] + graph.ids2.ravel()
    exact = [math.fsum(mass[pairs == pair]) for pair in np.unique(pairs)]
    classes = graph.ids1.ravel() * 2 + np.repeat(images.labels, 10)
    of_class = [math.fsum(mass[classes == one]) for one in np.unique(classes)]
    for one in (graph, counted(images, masks, "bag"), counted(images, masks, "bag", 30_000)):
        np.testing.assert_allclose(one.M.data, exact, rtol=8 * np.finfo(np.float64).eps)
        np.testing.assert_allclose(one.class_mass1.data, of_class, rtol=8 * np.finfo(np.float64).eps)
    with_image = [math.fsum(mass[pairs // graph.M.shape[1] == view]) for view in range(graph.M.shape[0])]
    np.testing.assert_allclose(graph.R1.sum(axis=1), with_image, rtol=1e-13)
    if not weighted:
        assert bits(counted(images, masks, "bag"))[2] == bits(graph)[2]


def test_class_masses_of_very_many_edges_are_good_to_a_few_ulp() -> None:
    """Half a million edges of images that all differ, so that the loops add up every one of them."""
    rng = np.random.default_rng(0)
    codes = (np.arange(20_000)[:, None] >> np.arange(15)) % 2
    weights = np.where(np.arange(20_000) % 3, 1.0, 1.1)
    images = make_coded_images("all", codes, rng.integers(2, size=20_000), weights)
    masks = mask_set(mask_distribution("uniform", (1, 15), 0.8), 25)
    graph = mask_graph(images, masks, "bag")
    mass, label = np.repeat(images.weights / 25, 25), np.repeat(images.labels, 25)
    exact = [math.fsum(mass[(graph.ids1.ravel() == x) & (label == c)]) for x in range(len(graph.p1)) for c in range(2)]
    for one in (graph, counted(images, masks, "bag")):
        np.testing.assert_allclose(one.class_mass1.data, exact, rtol=16 * np.finfo(np.float64).eps)


def test_a_mass_of_images_of_as_many_weights_is_good_to_a_few_ulp() -> None:
    """Thousands of weights fall to one pair, none of which can be counted with another."""
    codes = (np.arange(4000)[:, None] >> np.arange(12)) % 2
    weights = 1 + 1e-3 * np.random.default_rng(0).random(4000)
    images = make_coded_images("all", codes, np.zeros(4000, dtype=int), weights)
    masks = mask_set(mask_distribution("uniform", (1, 12), 0.8), 25)
    graph = mask_graph(images, masks, "bag")
    mass, pairs = np.repeat(images.weights / 25, 25), graph.ids1.ravel() * graph.M.shape[1] + graph.ids2.ravel()
    exact = [math.fsum(mass[pairs == pair]) for pair in np.unique(pairs)]
    # Added up one after the other they are off by 8.
    np.testing.assert_allclose(counted(images, masks, "bag").M.data, exact, rtol=4 * np.finfo(np.float64).eps)


def unique_views() -> Edges:
    """32,000 edges, hardly two of them alike."""
    codes = np.random.default_rng(0).integers(16, size=(500, 20))
    images = make_coded_images("unique", codes, np.zeros(500, dtype=int))
    return edges(images, mask_set(mask_distribution("uniform", (4, 5), 0.5), 64), "sequence")


MEND = r" of memory .*use about [\d.]+% of the masks \(--max-masks\).*--images.*--codes"


def test_a_graph_beyond_memory_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    found = unique_views()
    need = counting.count(found).nbytes
    target = counting.count(found).sides[1].nbytes
    words, work = 8 * 32_000, 12 * 32_000
    # What is looked at one after the other, in bytes, and what of it is in memory by then.
    steps = [
        ("", work, 0),
        (" and their target views", work + target, words),
        (" and their views", need, work + target),
    ]
    for refused, (message, size, held) in enumerate(steps):
        enough = iter([1.001 * bytes_ - inside for _, bytes_, inside in steps[:refused]])
        monkeypatch.setattr(memory, "available_bytes", lambda it=enough, x=0.999 * size - held: next(it, x))
        with pytest.raises(InputError, match=f"counting 3.2e.04 edges{message} needs about .*{MEND}"):
            counting.count(found)
    enough = iter([1.001 * size - held for _, size, held in steps])
    monkeypatch.setattr(memory, "available_bytes", lambda: next(enough))
    counting.count(found)


@pytest.mark.parametrize(
    ("views", "free", "most"),
    [
        *product(("repeat", "differ", "two classes"), (0.2, 0.4), (BLOCK, 130_000, 30_000)),
        *product(("differ", "two classes"), (0.8,), (BLOCK, 30_000)),
    ],
)
def test_the_share_that_a_refusal_names_fits(
    views: str, free: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.random.default_rng(0).integers(16, size=(4000, 20))
    if views == "repeat":
        rows[:, 12:] = 0
        rows[:, :12] = (np.arange(4000)[:, None] >> np.arange(12)) % 2
    labels = np.arange(4000) % 2 * (views == "two classes")
    rows = rows[np.arange(4000) - labels]

    def counted_within(room: float, images: int, masks: int) -> int:
        made = make_coded_images("some", rows[:images], labels[:images])
        found = edges(made, mask_set(mask_distribution("uniform", (4, 5), 0.5), masks), "sequence")
        before = tracemalloc.get_traced_memory()[0]
        monkeypatch.setattr(memory, "available_bytes", lambda: before + room - tracemalloc.get_traced_memory()[0])
        tracemalloc.reset_peak()
        counting.count(found, blocks=found.blocks(most))
        return tracemalloc.get_traced_memory()[1] - before

    counted_within(math.inf, 4000, 64)  # compiles
    tracemalloc.start()
    try:
        room = free * counted_within(math.inf, 4000, 64)
        with pytest.raises(InputError, match=MEND) as refused:
            counted_within(room, 4000, 64)
        share = float(str(refused.value).partition("use about ")[2].partition("%")[0]) / 100
        assert 0 < share < 1
        # Tables of some ten kilobytes are not in the estimate: of a graph this small, up to 2 % of the memory.
        share *= 0.98
        counted_within(room, 4000, max(int(64 * share), 1))
        counted_within(room, max(int(4000 * share), 1), 64)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("room", "fits"), [(0.6, False), (1.05, True)])
def test_two_blocks_are_refused_before_they_are_added_up_and_not_after(
    room: float, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = edges(
        make_coded_images("some", np.random.default_rng(0).integers(16, size=(4000, 20)), np.zeros(4000, dtype=int)),
        mask_set(mask_distribution("uniform", (4, 5), 0.5), 64),
        "sequence",
    )
    blocks = found.blocks(130_000)
    assert len(blocks) == 2

    def peak(within: float) -> int:
        before = tracemalloc.get_traced_memory()[0]
        monkeypatch.setattr(memory, "available_bytes", lambda: before + within - tracemalloc.get_traced_memory()[0])
        tracemalloc.reset_peak()
        if fits or within == math.inf:
            counting.count(found, blocks=blocks)
        else:
            with pytest.raises(InputError, match=r"adding up the counts of 2\.6e\+05 edges needs about .*" + MEND):
                counting.count(found, blocks=blocks)
        return tracemalloc.get_traced_memory()[1] - before

    peak(math.inf)  # compiles
    tracemalloc.start()
    try:
        needed = peak(math.inf)
        assert peak(room * needed) <= room * needed
    finally:
        tracemalloc.stop()


def test_what_is_counted_already_is_known_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more memory no smaller share is named, though the blocks that are in it leave less of it free."""
    found = unique_views()
    blocks = found.blocks(8000)
    assert [block.edges for block in blocks] == [8000] * 4
    there, shares = counting.count(found).nbytes, []
    for block in range(4):
        for step in range(3):
            room = iter([math.inf] * 3 * block + [math.inf] * step)
            monkeypatch.setattr(counting, "merged", lambda counts, _: list(counts))
            monkeypatch.setattr(memory, "available_bytes", lambda it=room: next(it, there / 100))
            with pytest.raises(InputError, match="counting 8e.03 edges.*" + MEND) as refused:
                counting.count(found, blocks=blocks)
            shares.append(float(str(refused.value).partition("use about ")[2].partition("%")[0]))
    assert shares[:3] < [25] * 3
    assert shares[3:] == [25] * 3 + [50] * 3 + [75] * 3


def test_a_share_is_rounded_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of what takes a thousand times the memory does not fit."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 1.999)
    for need, share in ((2.0, "99"), (16.0, "12"), (1600.0, "0.12"), (1e6, "0.00019")):
        with pytest.raises(InputError, match=f"use about {share}% of the masks"):
            memory.check_share(need, "a graph")
    # Of what takes three bytes whatever the edges are, no share of them does.
    with pytest.raises(
        InputError, match=r"are free; end what else runs here, or use another machine, or coarser views"
    ):
        memory.check_share(4.0, "a graph", fixed=3)


def test_numbers_of_edges_beyond_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the image hop is made of, which no counting has looked at."""
    images = clustered(300, 8, 4, weighted=False)
    graph = mask_graph(images, mask_set(mask_distribution("uniform", (1, 8), 0.5), 20), "bag")
    monkeypatch.setattr(memory, "available_bytes", lambda: 88 * 6000 - 1)
    with pytest.raises(InputError, match=r"numbering the views of 6e\+03 edges needs about .*" + MEND):
        augmentation_graph(graph, "image")
    monkeypatch.setattr(memory, "available_bytes", lambda: 88 * 6000)
    augmentation_graph(graph, "image")


def test_a_sum_beyond_memory_is_refused_with_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = unique_views()
    blocks = found.blocks(4000)
    need = counting.count(found, blocks=blocks).nbytes
    # Half of it can be merged only with twice its size at hand.
    monkeypatch.setattr(memory, "available_bytes", lambda: need)
    with pytest.raises(InputError, match=r"a graph of about 3\.2e\+04 edges, going by 25% of it," + ".*" + MEND):
        counting.count(found, blocks=blocks)
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * need)
    counting.count(found, blocks=blocks)


def test_available_memory_is_the_least_of_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory.available_bytes()
    assert free > 0
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 600
    # What a scheduler allows a job is written in the group of the job, or of what that is part of.
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/elsewhere\n0::/job/step\n")
    monkeypatch.setattr(memory, "OWN_CGROUP", own)
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "job" / "step" / "memory.max").write_text("900\n")
    assert memory.available_bytes() == 900
    (tmp_path / "job" / "memory.max").write_text("1000\n")
    (tmp_path / "job" / "memory.current").write_text("700\n")
    assert memory.available_bytes() == 300
    # Files that were read once are given up for what is allocated.
    (tmp_path / "job" / "memory.stat").write_text("anon 300\ninactive_file 400\nactive_file 0\n")
    assert memory.available_bytes() == 700
    # The same where control groups are of the first version.
    own.write_text("4:cpu,memory:/task\n1:name=systemd:/elsewhere\n")
    (tmp_path / "memory" / "task").mkdir(parents=True)
    (tmp_path / "memory" / "task" / "memory.limit_in_bytes").write_text("800\n")
    (tmp_path / "memory" / "task" / "memory.usage_in_bytes").write_text("500\n")
    (tmp_path / "memory" / "task" / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 200\n")
    assert memory.available_bytes() == 500
    own.write_text("what no kernel writes")
    assert memory.available_bytes() > 1000
    with pytest.raises(InputError, match=r"a graph needs about 1\.02e\+03 GiB of memory and .* GiB are free; use less"):
        memory.check_memory(2.0**40, "a graph", "use less")


def test_numpy_numbers_tuples_beyond_any_word() -> None:
    # The oracle itself: 200 columns of 16 values, compared as Python tuples.
    rows = np.random.default_rng(1).integers(2, size=(50, 200)) * 15
    ids = distinct_ids(list(rows.T), [16] * 200)
    assert [sorted(set(map(tuple, rows.tolist()))).index(tuple(row)) for row in rows.tolist()] == ids.tolist()


def test_columns_beyond_32_bits_stay_themselves() -> None:
    """The vertices of many blocks together, of which no test has as many: only their numbers are."""
    far = 2**31 + 5
    row = np.array([0, 2], dtype=np.int32), np.array([0, 1], dtype=np.int32), np.array([1.0, 2.0])
    to_first, to_both = np.array([0], dtype=np.uint32), np.array([7, far], dtype=np.uint32)
    indptr, indices, masses = merging._merge_rows(row, row, (to_first, to_first), (to_both, to_both), 1)
    assert (indptr.tolist(), indices.tolist(), masses.tolist()) == ([0, 2], [7, far], [2.0, 4.0])
