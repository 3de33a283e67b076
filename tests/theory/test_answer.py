"""Bounds are printed at the ends of the intervals where they claim least, whatever the solver found between them."""

from __future__ import annotations

import tracemalloc
from typing import Any, get_args

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from maskgraph.graphs import memory
from maskgraph.graphs.augmentation import Hop
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.theory import answer as answer_module
from maskgraph.theory import bounds, labels, losses
from maskgraph.theory.answer import Constants, answer
from maskgraph.theory.spectrum import Spectrum
from tests.strategies import FIXED_WORLDS
from tests.theory.toys import two_states

VALUES = np.array([1.0, 0.3])
"""As found, all of them: the first is known, the second a solver may have found too small."""

HIGHEST = np.array([1.0, 0.5])
"""What they may be: each 0.2 more, and none above 1."""

UNSURE = Spectrum(
    values=VALUES,
    vectors=sp.csc_array((2, 2)),
    residuals=np.zeros(2),
    components=1,
    frobenius_sq=1.5,
    head_sq=1.09,
    tail_sq=0.41,
    head_sq_interval=(1.04, 1.25),
    tail_sq_interval=(0.25, 0.46),
    value_error=0.2,
)
"""A solve that settled little: every end of every interval is a number of its own."""


@pytest.mark.parametrize(("L", "epsilon"), [(1.0, 0.0), (2.5, 0.125)])
@pytest.mark.parametrize("lam", [None, 0.05, 3.0])
def test_bounds_are_those_of_the_largest_head_and_values(
    L: float, epsilon: float, lam: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsure(*_: Any) -> Spectrum:
        return UNSURE

    monkeypatch.setattr(answer_module, "spectrum", unsure)
    graph, _ = two_states(0.2)
    found = answer(graph, 0.5, 2, constants=Constants(L, lam, epsilon))
    assert (found["head_sq"], found["head_sq_interval"]) == (1.09, [1.04, 1.25])
    weight = 1 / (4 * L) if lam is None else lam
    assert found["bounds"] == {
        "thm_4_2": bounds.thm_4_2(1.25, L, epsilon) if lam is None else None,
        "thm_4_2_any_lambda": bounds.thm_4_2_any_lambda(1.25, L, weight, epsilon),
        "water_filling": bounds.water_filling(HIGHEST, L, weight),
    }
    # Two views that flip with probability 0.2: each of half the mass, of its own class.
    certain = 2 * found["alpha"] + 8 * found["phi"]
    assert found["thm_4_1_least"] == pytest.approx(certain + 8 * 0.5 * 0.25)


@pytest.mark.parametrize("hop", get_args(Hop))
def test_the_least_of_thm_4_1_is_attained_by_spectral_features_and_by_no_others(hop: Hop) -> None:
    """F of the top eigenpairs, at the scale of their values; any other f has a larger right side."""
    A, rng = FIXED_WORLDS["four classes"].augmented(2, "sequence", hop), np.random.default_rng(0)
    graph = A.graph
    found = answer(graph, 0.6, 3, hop)

    def right_side(f: NDArray[np.float64]) -> float:
        scl = losses.spectral_contrastive_loss(A, f)
        return bounds.thm_4_1(found["alpha"], found["phi"], labels.p_max(graph), scl, found["frobenius_sq"])

    values, vectors = np.linalg.eigh(A.matrix().toarray())
    best = vectors[:, ::-1][:, :3] * np.sqrt(values[::-1][:3]) / np.sqrt(graph.p1)[:, None]
    assert right_side(best) == pytest.approx(found["thm_4_1_least"], rel=1e-9)
    for size in (1e-3, 0.1, 1.0):
        assert right_side(best + size * rng.standard_normal(best.shape)) > found["thm_4_1_least"]


def test_the_solver_is_given_what_the_answer_was(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def noted(*arguments: Any) -> Spectrum:
        given.extend(arguments[1:])
        return UNSURE

    def told(*_: Any) -> None: ...

    monkeypatch.setattr(answer_module, "spectrum", noted)
    graph, _ = two_states(0.2)
    engine: Any = object()
    answer(graph, 0.5, 2, seed=7, tell=told, engine=engine)
    assert given == [2, 7, engine, told]


def test_an_answer_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate against what Python saw allocated where every view is its own: not less, and of its size."""
    rng = np.random.default_rng(0)
    images = make_coded_images("w", rng.integers(16, size=(5000, 16)), rng.integers(10, size=5000))
    graph = mask_graph(images, mask_set(mask_distribution("uniform", (4, 4), 0.5), 100), "positional")
    views = len(graph.p1) + len(graph.p2)
    assert graph.M.nnz == pytest.approx(views / 2, rel=0.01)
    need = answer_module.ENTRY * graph.M.nnz + answer_module.VIEW * views
    monkeypatch.setattr(memory, "available_bytes", lambda: need - 1)
    with pytest.raises(
        InputError, match=r"the analysis of .* views and .* pairs needs about .*use about .*--max-masks"
    ):
        answer(graph, 0.5, 4)
    monkeypatch.setattr(memory, "available_bytes", lambda: need)
    answer(graph, 0.5, 4)
    del graph.__dict__["class_mass1"], graph.__dict__["class_mass2"]
    tracemalloc.start()
    try:
        answer(graph, 0.5, 4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.7 * need < peak < need
