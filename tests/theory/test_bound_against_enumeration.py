"""Every number that `bound` prints, held against the literal enumeration of the same small world."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.augmentation import Hop, augmentation_graph
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskDistribution, MaskKind, mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory import spectrum
from maskgraph.theory.answer import Constants, answer
from maskgraph.theory.bounds import thm_4_2, water_filling
from maskgraph.theory.solver import search
from maskgraph.theory.unseen import singleton_mass
from tests import oracle
from tests.strategies import FIXED_WORLDS, HOPS, MAX_DIM, VIEWS, World, hops, mask_ratios, searched, views, worlds

CONTRACT = 1e-9
"""What the answer promises against an enumeration. Both sides sum at most a few thousand terms of size at most
10, off by 1e4 · 10 · 2⁻⁵³ ≈ 1e-11; constants L, λ within [¼, 4] and [0.01, 2] multiply that by at most 16."""

KEYS = {
    *("mask_ratio", "dim", "patches", "kept", "masks", "masks_total", "exhaustive", "vertices", "edges", "components"),
    *("eigenvalues", "frobenius_sq", "head_sq", "head_sq_interval", "tail_sq", "tail_sq_interval"),
    *("alpha", "alpha_target", "alpha_most", "phi", "thm_4_1_least"),
    *("intra", "inter", "unseen", "lipschitz", "lambda", "epsilon", "bounds"),
    *("bayes_risk", "target_variance", "rank_floor"),
}
EXACT = ("vertices", "edges", "components", "lipschitz", "lambda", "epsilon")
"""Counts, and what is handed through."""


def check_equal(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Hold every key of the enumeration in an answer that has been through JSON."""
    for key, value in expected.items():
        if key in EXACT:
            assert found[key] == value, key
        elif value is None or found[key] is None:
            assert found[key] is value, key
        elif key in ("bounds", "unseen"):
            assert set(found[key]) == set(value)
            check_equal(found[key], value)
        else:
            assert found[key] == pytest.approx(value, abs=CONTRACT, rel=0), key


def check_answer(
    world: World, ratio: float, dim: int, view: View, hop: Hop, constants: Constants, kind: MaskKind = "uniform"
) -> None:
    distribution = mask_distribution(kind, (1, world.patches), ratio)
    masks = mask_set(distribution)
    graph = mask_graph(world.images(), masks, view)
    dim = min(dim, graph.M.shape[0])
    found = json.loads(json.dumps(answer(graph, ratio, dim, hop, constants), allow_nan=False))
    kept = oracle.kept_patches(world.patches, ratio)
    listed = world.masks(kept) if kind == "uniform" else [tuple(mask) for mask in masks.kept.tolist()]
    expected = oracle.answer(
        world.codes,
        world.labels,
        world.weights,
        listed,
        view,
        hop,
        dim,
        world.codebook,
        constants.lipschitz,
        constants.lam,
        constants.epsilon,
    )
    assert set(found) == KEYS
    check_equal(found, expected)
    assert (found["mask_ratio"], found["patches"], found["kept"]) == (ratio, world.patches, kept)
    assert (found["masks"], found["masks_total"], found["exhaustive"]) == (len(listed), len(listed), True)
    low, high = found["tail_sq_interval"]
    assert low - CONTRACT <= expected["tail_sq"] <= high + CONTRACT
    assert low <= found["tail_sq"] <= high
    assert high - low < CONTRACT
    assert len(found["eigenvalues"]) == found["dim"] == dim
    assert all(0 <= value <= 1 for value in found["eigenvalues"])


@st.composite
def constants(draw: st.DrawFn) -> Constants:
    """L, λ and ε; λ is often the one of Thm 4.2, by default or by value."""
    L = draw(st.sampled_from([0.25, 0.3, 1.0, 1.7, 4.0]))
    lam = draw(st.sampled_from([None, 1 / (4 * L), 0.01, 0.1, 2.0]))
    return Constants(L, lam, draw(st.sampled_from([0.0, 0.125, 3.0])))


@searched(250)
@given(worlds(), mask_ratios(), st.integers(1, MAX_DIM), views(), hops(), constants())
def test_random_worlds(world: World, ratio: float, dim: int, view: View, hop: Hop, constants: Constants) -> None:
    check_answer(world, ratio, dim, view, hop, constants)


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", FIXED_WORLDS)
def test_fixed_worlds(name: str, view: View, hop: Hop) -> None:
    world = FIXED_WORLDS[name]
    for kept in range(1, world.patches):
        for dim in (1, 2, MAX_DIM):
            check_answer(world, 1 - kept / world.patches, dim, view, hop, Constants(0.5, None, 0.25))


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("classes", [2, 3])
def test_class_mixtures(classes: int, view: View, hop: Hop) -> None:
    source = class_mixture(4 if classes == 2 else 3, 0.35, classes)
    assert source.codebook is not None
    world = World(
        tuple(map(tuple, source.codes.tolist())),
        tuple(source.labels.tolist()),
        tuple(source.weights.tolist()),
        tuple(map(tuple, source.codebook.tolist())),
    )
    check_answer(world, 0.5, 3, view, hop, Constants(2.0, 0.01))


@pytest.mark.parametrize("kind", ["block", "grid"])
@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("view", VIEWS)
def test_masks_that_are_not_uniform(view: View, hop: Hop, kind: MaskKind) -> None:
    for ratio in (0.2, 0.4, 0.6, 0.8):
        check_answer(FIXED_WORLDS["four classes"], ratio, 4, view, hop, Constants(), kind)


@pytest.mark.parametrize("dense_side", [0, 12])
@pytest.mark.parametrize("hop", HOPS)
def test_iterative_solver_equals_the_enumeration(hop: Hop, dense_side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 3, size=(30, 6)).tolist()
    world = World(tuple(map(tuple, rows)), tuple(rng.integers(0, 3, size=30).tolist()), tuple(rng.uniform(size=30)))
    monkeypatch.setattr(search, "DENSE_SIDE", dense_side)
    cases: list[tuple[View, int]] = [("sequence", 2), ("sequence", 4), ("bag", 3)]
    for view, dim in cases:
        graph = world.graph(3, view)
        found = spectrum.spectrum(augmentation_graph(graph, hop), dim)
        A = oracle.augmentation(world.events(3, view), hop)
        everything = oracle.eigenvalues(A)
        assert found.values.tolist() == pytest.approx(everything[:dim], abs=CONTRACT)
        tail = math.fsum(value * value for value in everything[dim:])
        low, high = found.tail_sq_interval
        assert low - CONTRACT <= tail <= high + CONTRACT
        assert found.tail_sq == pytest.approx(tail, abs=CONTRACT)
        assert found.residuals.max() < CONTRACT


@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.parametrize("kind", ["uniform", "block", "grid"])
def test_masks_in_units_are_masks_of_larger_patches(kind: MaskKind, hop: Hop) -> None:
    """Squares of 2 × 2 patches, taken for one patch with a code of its own, give the same graph."""
    rng = np.random.default_rng(3)
    # Images of noise about two templates, so that squares repeat.
    codes = rng.integers(2, size=(2, 4, 6))[rng.integers(2, size=60)] ^ (rng.random((60, 4, 6)) < 0.05)
    labels = rng.integers(2, size=60)
    squares = codes.reshape(60, 2, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(60, 6, 4) @ (1, 2, 4, 8)
    fine = make_coded_images("fine", codes.reshape(60, 24), labels, grid=(4, 6))
    coarse = make_coded_images("coarse", squares, labels, grid=(2, 3))
    found, expected = (
        answer(
            mask_graph(images, mask_set(mask_distribution(kind, images.grid, ratio, unit)), "positional"), 0.5, 8, hop
        )
        for images, ratio, unit in ((fine, 0.5, 2), (coarse, 0.5, 1))
    )
    assert (found["kept"], expected["kept"]) == (12, 3)
    assert expected["components"] < expected["vertices"][0]
    check_equal(found, {**expected, "patches": 24, "kept": 12})


def test_samples_say_that_they_are_samples() -> None:
    images = FIXED_WORLDS["four classes"].images()
    masks = mask_set(MaskDistribution("uniform", (1, 5), 2), max_masks=4, seed=1)
    found = answer(mask_graph(images, masks, "sequence"), 0.6, 2)
    assert (found["masks"], found["masks_total"], found["exhaustive"]) == (4, 10, False)


def test_two_patches_by_hand() -> None:
    # M = [[0, ⅛], [⅛, ¾]] over one-patch views 0 and 1; p = (⅛, ⅞), so B = [[0, 1/√7], [1/√7, 6/7]] and
    # A has trace 1/7 + 1/7 + 36/49 = 50/49: eigenvalues 1 and 1/49.
    world = World(((0, 1), (1, 1)), (0, 1), (1.0, 3.0), ((0.0,), (1.0,)))
    found = answer(world.graph(1, "sequence"), 0.5, 2)
    assert found["eigenvalues"] == pytest.approx([1, 1 / 49], abs=CONTRACT)
    assert found["bounds"]["thm_4_2"] == pytest.approx((1 - 1 / 49**2) / 4, abs=CONTRACT)
    # View 0 is of class 0, view 1 of class 1, which errs where image 01 shows its 1: mass ⅛.
    assert found["alpha"] == found["alpha_target"] == pytest.approx(1 / 8, abs=CONTRACT)
    # Targets: 0 comes from view 1 alone; 1 from views 0 and 1 with ⅛ : ¾, a mixed pair with 2·⅛·¾/⅞.
    assert found["phi"] == pytest.approx(3 / 14, abs=CONTRACT)
    # Classes behind target 1 are ⅛ : ¾ as well; target 0 is image 01 only, and all that is from one image.
    assert found["inter"] == pytest.approx(3 / 14, abs=CONTRACT)
    assert singleton_mass(world.graph(1, "sequence"), "target") == pytest.approx(1 / 8, abs=CONTRACT)
    # The masses are stated, not counted: what a fresh image would show cannot be told from them.
    assert found["unseen"]["visible"] is found["unseen"]["target"] is None
    # Given view 0 the target is 1; given view 1 it is 1 with 6/7.
    assert found["bayes_risk"] == pytest.approx(7 / 8 * 6 / 49, abs=CONTRACT)
    assert found["target_variance"] == pytest.approx(7 / 64, abs=CONTRACT)
    assert found["rank_floor"] == pytest.approx(7 / 8 * 6 / 49, abs=CONTRACT)


@searched(200)
@given(
    st.lists(st.floats(0, 1), min_size=0, max_size=7),
    st.sampled_from([0.25, 1.0, 3.0]),
    st.floats(1e-4, 100),
)
def test_water_filling_is_the_minimum(below: list[float], L: float, lam: float) -> None:
    values = np.sort(np.array([1.0, *below]))[::-1]
    expected = oracle.simplex_minimum(values.tolist(), L, lam)
    assert water_filling(values, L, lam) == pytest.approx(expected, abs=CONTRACT)
    printed = thm_4_2(float(values @ values), L, 0.0)
    assert oracle.simplex_minimum(values.tolist(), L, 1 / (4 * L)) >= max(printed, 0) - CONTRACT


@pytest.mark.parametrize("lam", [1e-6, 1e-10, 1e-12, 1e-17, 1e-300])
@pytest.mark.parametrize("L", [0.7, 1.0, 3.0])
@pytest.mark.parametrize("values", [[1.0], [1.0, 0.5], [1.0, 1.0, 0.25]])
def test_water_filling_at_a_vanishing_weight(values: list[float], L: float, lam: float) -> None:
    # All of the trace goes to the ones, where alignment costs nothing: what is left is λ over their number.
    assert water_filling(np.array(values), L, lam) == pytest.approx(lam / values.count(1.0), abs=CONTRACT)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_risks_do_not_depend_on_where_zero_is(offset: float) -> None:
    def risks(shift: float) -> list[float | None]:
        world = World(((0, 1, 1), (1, 0, 1), (0, 0, 1)), (0, 1, 1), codebook=((shift,), (1 + shift,)))
        found = answer(world.graph(1, "sequence"), 0.6, 2)
        return [found["bayes_risk"], found["target_variance"]]

    assert risks(offset) == pytest.approx(risks(0.0), abs=CONTRACT)


@pytest.mark.parametrize("ratio", [0.25, 0.9])
def test_a_ratio_of_other_masks(ratio: float) -> None:
    graph = FIXED_WORLDS["four classes"].graph(2, "sequence")
    message = f"mask ratio {ratio} for masks that keep 2 of 5 patches; expected the one .* made at, such as 0.6"
    with pytest.raises(InputError, match=message):
        answer(graph, ratio, 1)
    with pytest.raises(InputError, match=r"mask ratio 2 is outside \(0, 1\)"):
        answer(graph, 2, 1)


def test_a_ratio_in_units_of_squares_is_that_of_masks_made_of_them() -> None:
    """One of four squares is kept from 0.63 to 0.99; of sixteen patches four are not."""
    images = make_coded_images("w", np.arange(32).reshape(2, 16) % 3, np.arange(2), grid=(4, 4))
    squares, patches = (mask_set(mask_distribution("uniform", (4, 4), 0.75, unit), 50) for unit in (2, 1))
    assert answer(mask_graph(images, squares, "positional"), 0.9, 1)["kept"] == 4
    with pytest.raises(InputError, match=r"mask ratio 0\.9 for masks that keep 4 of 16 patches"):
        answer(mask_graph(images, patches, "positional"), 0.9, 1)


@pytest.mark.parametrize("grid", [(2, 6), (6, 2)])
def test_a_ratio_in_units_as_large_as_the_shorter_side(grid: tuple[int, int]) -> None:
    """Two of three squares are kept at one half, 8 of 12 patches and not 6."""
    images = make_coded_images("w", np.arange(24).reshape(2, 12) % 5, np.arange(2), grid=grid)
    graph = mask_graph(images, mask_set(mask_distribution("uniform", grid, 0.5, 2)), "positional")
    assert answer(graph, 0.5, 1)["kept"] == 8


@pytest.mark.parametrize("dim", [0, -1, 4, 100])
def test_dimension_out_of_range(dim: int) -> None:
    graph = FIXED_WORLDS["equal values under two codes"].graph(1, "sequence")
    assert graph.M.shape[0] == 3
    with pytest.raises(InputError, match=f"dimension {dim} .*expected an integer from 1 to 3"):
        answer(graph, 0.6, dim)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.0, None, 0.0), "Lipschitz constant 0; expected a positive number"),
        ((-1.0, None, 0.0), "Lipschitz constant -1"),
        ((math.nan, None, 0.0), "Lipschitz constant nan"),
        ((1.0, 0.0, 0.0), "lambda 0; expected a positive number"),
        ((1.0, -0.5, 0.0), "lambda -0.5"),
        ((1.0, math.nan, 0.0), "lambda nan"),
        ((1.0, None, -0.1), "epsilon -0.1; expected a number of at least 0"),
        ((1.0, None, math.nan), "epsilon nan"),
    ],
)
def test_constants_out_of_range(values: tuple[float, float | None, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Constants(*values)
