"""The strategies draw what they promise, all of it, and shrink to what can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskSet
from maskgraph.testing import assert_holds, mask_sets, models, worlds
from maskgraph.theory.lipschitz import one_sided_lipschitz
from maskgraph.theory.outputs import Outputs
from tests.strategies import FIXED_WORLDS, VIEWS, searched
from tests.theory.toys import Array, two_states


@searched(80)
@given(worlds())
def test_drawn_worlds_are_valid(graph: MaskGraph) -> None:
    images = graph.images
    assert graph.p1.sum() == pytest.approx(1)
    assert graph.p2.sum() == pytest.approx(1)
    assert images.weights.sum() == pytest.approx(1)
    assert (graph.p1 > 0).all()
    assert (graph.p2 > 0).all()
    assert 2 <= images.patches <= 5
    assert 1 <= len(images.codes) <= 8
    assert images.codes.max() < 3
    assert len(images.classes) <= 3
    assert graph.masks.exhaustive
    assert graph.masks.kept.shape[1] + graph.masks.dropped.shape[1] == images.patches
    assert images.codebook is not None
    assert graph.X2.shape == (len(graph.p2), graph.masks.dropped.shape[1] * images.codebook.shape[1])
    assert graph.view in VIEWS


def test_worlds_reach_every_view_and_every_limit_and_no_further() -> None:
    for view in VIEWS:
        assert seen(worlds(views=(view,)), lambda graph: len(graph.p1) > 4).view == view
    wide = worlds(max_patches=7, max_images=9, max_codes=4, max_classes=5)
    assert seen(wide, lambda graph: graph.images.patches == 7 and graph.images.codes.max() == 3)
    assert seen(wide, lambda graph: len(graph.images.codes) == 9 and len(graph.images.classes) == 5)
    assert seen(worlds(), lambda graph: len(set(graph.images.weights)) > 1)

    @searched(30)
    @given(worlds(max_patches=2, max_images=1, max_codes=1, max_classes=1))
    def smallest(graph: MaskGraph) -> None:
        assert graph.M.shape <= (2, 2)

    smallest()


@searched(40)
@given(st.data())
def test_worlds_are_of_the_size_that_is_asked_for(data: st.DataObject) -> None:
    """Whatever of it is fixed; the rest is drawn as ever."""
    values = data.draw(st.none() | st.integers(1, 5))
    patches = data.draw(st.none() | st.integers(2, 9))
    kept = data.draw(st.none() | st.integers(1, (patches or 5) - 1))
    graph = data.draw(worlds(values=values, patches=patches, kept=kept, zeros=False))
    codebook, n1 = graph.images.codebook, graph.codes1.shape[1]
    assert codebook is not None
    assert codebook.shape[1] in ((1, 2) if values is None else (values,))
    assert graph.images.patches in (range(2, 6) if patches is None else (patches,))
    assert n1 in (range(1, graph.images.patches) if kept is None else (kept,))
    assert graph.masks.exhaustive
    assert (codebook != 0).any(axis=1).all()


@searched(15)
@given(worlds(values=48, patches=64, kept=16))
def test_worlds_of_a_real_size_have_some_of_its_masks(graph: MaskGraph) -> None:
    assert graph.codes1.shape[1:] == (16,)
    assert 1 <= len(graph.masks.kept) <= 8
    assert not graph.masks.exhaustive


def test_a_module_of_a_fixed_input_size_fits() -> None:
    """With biases; and one without, behind a ReLU, where no view is all zeros."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(4 * 12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 5)
    )

    @searched(15)
    @given(worlds(values=12, patches=9, kept=4))
    def biased(graph: MaskGraph) -> None:
        assert_holds(graph, module)

    def bare(patches: Array) -> Array:
        flat = patches.reshape(len(patches), -1)
        return np.asarray(np.maximum(np.concatenate([flat, -flat], axis=1), 0))

    @searched(30)
    @given(worlds(values=3, patches=3, kept=2, zeros=False))
    def without(graph: MaskGraph) -> None:
        assert_holds(graph, bare)

    biased()
    without()
    with pytest.raises(InputError, match=r"f has norm 0 at view 0 .*or add a bias"):
        assert_holds(simplest(worlds(values=3, patches=3, kept=2), lambda graph: True), bare)


def test_worlds_shrink_to_what_can_be_read() -> None:
    graph = simplest(worlds(), lambda graph: graph.images.codes.max() > 0)
    assert graph.images.codes.tolist() == [[0, 1]]
    assert graph.images.weights.tolist() == [1.0]
    assert graph.images.codebook is not None
    assert graph.images.codebook.tolist() == [[0.0], [0.0]]
    assert graph.view == "positional"


def test_a_world_prints_as_what_it_was_made_of() -> None:
    """As a failing test shows it: images and masks, and nothing that follows from them."""

    @settings(database=None)
    @given(st.just(FIXED_WORLDS["four classes"].graph(2, "bag")))
    def fails(graph: MaskGraph) -> None:
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fails()
    told = "\n".join(caught.value.__notes__)
    assert all(word in told for word in ("codes=", "labels=", "kept=", "view='bag'"))
    assert not any(word in told for word in ("dropped=", "M=", "Views", "targets=array"))


@searched(60)
@given(st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), mask_sets(n))))
def test_drawn_masks_are_valid(drawn: tuple[int, MaskSet]) -> None:
    n, masks = drawn
    both = np.concatenate([masks.kept, masks.dropped], axis=1)
    assert np.array_equal(np.sort(both, axis=1), np.tile(np.arange(n), (len(both), 1)))
    assert len(np.unique(masks.kept, axis=0)) == len(masks.kept) <= masks.total
    assert (np.diff(masks.kept, axis=1) > 0).all()


def test_masks_are_all_or_some() -> None:
    assert len(seen(mask_sets(5), lambda masks: masks.exhaustive and masks.kept.shape[1] == 2).kept) == 10
    assert not seen(mask_sets(5), lambda masks: not masks.exhaustive and len(masks.kept) > 2).exhaustive
    assert seen(mask_sets(40), lambda masks: masks.kept.shape[1] == 20).total > 10**11


@searched(80)
@given(st.data())
def test_drawn_models_meet_shapes(data: st.DataObject) -> None:
    graph = data.draw(worlds())
    k = data.draw(st.none() | st.integers(1, 6))
    outputs = data.draw(models(graph, k))
    assert outputs.faults(graph) == {}
    assert outputs.f is not None
    assert outputs.f.shape[1] in (range(1, 5) if k is None else [k])
    assert np.linalg.norm(outputs.f, axis=1).min() > 0
    for part in (outputs.f, outputs.h, outputs.pseudo, outputs.collapsed):
        assert part is not None
        assert part.dtype == np.float64


def test_models_are_of_every_kind() -> None:
    graph, A = two_states(0.2)

    def constant(outputs: Outputs) -> bool:
        return bool(np.ptp(outputs.f, axis=0).max() == 0) if outputs.f is not None else False

    def lipschitz(outputs: Outputs) -> float:
        assert outputs.f is not None
        assert outputs.h is not None
        return one_sided_lipschitz(A, outputs.f, outputs.h)

    assert constant(seen(models(graph), constant))
    assert seen(models(graph, 2), lambda outputs: 0 < lipschitz(outputs) < np.inf)
    assert seen(models(graph, 2), lambda outputs: bool(np.abs(outputs.h).max() > 50))
    assert seen(models(graph, 3), lambda outputs: bool(np.abs(outputs.f).max() > 100))
    shrunk = simplest(models(graph, 2), lambda outputs: not constant(outputs))
    assert shrunk.f is not None
    assert np.abs(shrunk.f).max() <= 1


MISTAKES: list[tuple[Any, str]] = [
    (lambda: worlds(max_patches=1), "max_patches is 1; expected an integer of at least 2"),
    (lambda: worlds(max_images=0), "max_images is 0; expected an integer of at least 1"),
    (lambda: worlds(max_codes=0), "max_codes is 0; expected an integer of at least 1"),
    (lambda: worlds(max_classes=0), "max_classes is 0; expected an integer of at least 1"),
    (lambda: worlds(max_images=None), "max_images is None; expected an integer"),  # type: ignore[arg-type]
    (lambda: worlds(values=0), "values is 0; expected an integer of at least 1"),
    (lambda: worlds(patches=1), "patches is 1; expected an integer of at least 2"),
    (lambda: worlds(kept=0), "kept is 0; expected an integer of at least 1"),
    (lambda: worlds(values="3"), "values is '3'; expected an integer of at least 1"),  # type: ignore[arg-type]
    (lambda: worlds(patches=4, kept=4), "kept is 4 while patches is 4; expected fewer, as one is to be hidden"),
    (lambda: worlds(kept=5), "kept is 5 while max_patches is 5; expected fewer"),
    (lambda: worlds(views=()), r"views is \(\); expected a list of view identities"),
    (lambda: worlds(views="bag"), "views is 'bag'; expected a list"),  # type: ignore[arg-type]
    (lambda: worlds(views=("set",)), "unknown view 'set'; expected one of positional"),  # type: ignore[arg-type]
    (lambda: mask_sets(1), "patches is 1; expected at least 2, one to show and one to hide"),
    (lambda: models(two_states(0.2)[0], k=0), "k is 0; expected at least 1 dimension"),
    (lambda: models(FIXED_WORLDS["one class"].graph(2, "bag")), "has codes but no patch values"),
]


@pytest.mark.parametrize(("call", "message"), MISTAKES)
def test_mistakes_are_named_when_they_are_made(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def seen(strategy: st.SearchStrategy[Any], wanted: Any) -> Any:
    """An example that is wanted, not shrunk."""
    return find(strategy, wanted, settings=settings(searched(3000), phases=[Phase.generate]))


def simplest(strategy: st.SearchStrategy[Any], wanted: Any) -> Any:
    """What such an example shrinks to."""
    return find(strategy, wanted, settings=searched(3000))
