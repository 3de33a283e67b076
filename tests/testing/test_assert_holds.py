"""assert_holds passes and fails when it must, and says why."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskgraph.graphs.bipartite import MaskGraph
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View
from maskgraph.testing import assert_holds, models, outputs_of, worlds
from maskgraph.theory import bounds
from maskgraph.theory import outputs as outputs_module
from maskgraph.theory.outputs import Outputs, nearest_views
from maskgraph.theory.statements import STATEMENTS
from tests.strategies import FIXED_WORLDS, VIEWS, searched
from tests.theory.toys import Array, two_states

NUMBERS = [known.number for known in STATEMENTS]


def a_world(view: View = "positional") -> MaskGraph:
    """30 views of 5 patches of one value, so that d = 3 and every part has a shape of its own."""
    return FIXED_WORLDS["four classes"].graph(2, view)


def moments(patches: Array) -> Array:
    """An encoder: mean, size and a bias."""
    return np.stack([patches.mean((1, 2)), np.square(patches).sum((1, 2)), np.ones(len(patches))], axis=1)


def linear(f: Array) -> Array:
    """A decoder of three outputs from three numbers."""
    return np.asarray(f @ np.array([[0.5, 0.25, 0.0], [0.0, 0.1, 0.2], [0.3, 0.0, -0.1]]))


def a_holding_case() -> tuple[MaskGraph, Outputs]:
    graph, _ = two_states(0.2)
    return graph, Outputs(np.array([[1.0, 0.0], [0.5, 0.75**0.5]]), graph.X2 / 0.6, graph.X2, np.zeros((2, 1)))


@pytest.mark.parametrize("view", VIEWS)
def test_a_plain_encoder_and_decoder_pass(view: View) -> None:
    checks = assert_holds(a_world(view), moments, decoder=linear)
    assert [check.statement for check in checks] == NUMBERS
    unmet = {check.statement for check in checks if check.verdict == "assumption not met"}
    assert unmet <= {"Thm 3.4 unit", "Embedding"}, "everything else has what it needs"


def test_an_encoder_alone_leaves_out_what_is_about_the_loss() -> None:
    checks = assert_holds(a_world(), moments)
    held = {check.statement for check in checks if check.verdict != "assumption not met"}
    assert held >= {"I4", "U", "Thm 4.1", "Thm 4.1 mean square"}
    assert not held & {"I1", "S1", "Thm 4.2", "Thm 3.6"}


def test_statements_by_number_come_in_the_order_asked_for() -> None:
    graph, outputs = a_holding_case()
    assert [check.statement for check in assert_holds(graph, outputs, ("S2", "I1"))] == ["S2", "I1"]
    assert [check.statement for check in assert_holds(graph, outputs, "Thm 4.2")] == ["Thm 4.2"]
    assert assert_holds(graph, outputs, "S3")[0].verdict == "vacuous", "true and says nothing: that passes"


@searched(60)
@given(st.data())
def test_nothing_is_violated_on_any_world_by_any_model(data: st.DataObject) -> None:
    graph = data.draw(worlds())
    assert_holds(graph, data.draw(models(graph)))


# What an encoder is shown, and what is made of its answers.


@pytest.mark.parametrize("view", VIEWS)
def test_an_encoder_is_shown_the_values_and_positions_of_every_view(view: View) -> None:
    graph = a_world(view)
    codebook = graph.images.codebook
    assert codebook is not None
    seen: list[Any] = []

    def encoder(patches: Array, positions: np.ndarray) -> Array:
        seen.extend([patches.copy(), positions.copy()])
        patches += 1000  # Whatever a model does to what it is given is its own affair.
        positions += 1000
        return np.ones((len(patches), 1))

    for _ in range(2):
        outputs_of(graph, encoder, positions=True)
    patches, positions = seen[-2:]
    assert patches.dtype == np.float64
    assert positions.dtype == np.int64
    image, mask = graph.representatives1
    for row in range(len(graph.p1)):
        kept = graph.masks.kept[mask[row]]
        codes = [int(graph.images.codes[image[row], patch]) for patch in kept]
        codes = sorted(codes) if view == "bag" else codes
        assert patches[row].tolist() == [codebook[code].tolist() for code in codes]
        known = {"positional": kept.tolist(), "sequence": [0, 1], "bag": [5, 5]}[view]
        assert positions[row].tolist() == known


def test_outputs_are_the_decoder_on_the_vectors_and_on_their_mean() -> None:
    graph = a_world("bag")
    found = outputs_of(graph, moments, linear)
    assert found.f is not None
    assert found.h is not None
    assert found.collapsed is not None
    mean = sum(p * f for p, f in zip(graph.p1, found.f, strict=True))
    np.testing.assert_array_equal(found.h, linear(found.f))
    np.testing.assert_allclose(found.collapsed, np.tile(linear(np.atleast_2d(mean)), (len(graph.p1), 1)))
    np.testing.assert_array_equal(found.pseudo, found.h[nearest_views(graph, found.h)[0]])
    assert (found.epsilon, found.lipschitz, found.lam) == (None, None, None)
    assert outputs_of(graph, moments).h is None


@searched(40)
@given(worlds(), st.integers(0, 100), st.sampled_from([1, 7, 10**6]))
def test_nearest_views_against_brute_force(graph: MaskGraph, seed: int, edges: int) -> None:
    h = np.random.default_rng(seed).integers(-4, 5, graph.M.shape[:1] + graph.X2.shape[1:]).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs_module, "EDGES", edges)
        views, distances = nearest_views(graph, h)
    M = graph.M.toarray()
    for target in range(M.shape[1]):
        neighbours = [view for view in range(M.shape[0]) if M[view, target] > 0]
        apart = [sum((a - b) ** 2 for a, b in zip(h[view], graph.X2[target], strict=True)) for view in neighbours]
        assert distances[target] == min(apart)
        assert views[target] == neighbours[apart.index(min(apart))]


class Probe(torch.nn.Module):
    """Notes what it is given and in which state."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 3, dtype=dtype)
        self.frozen = torch.nn.Dropout(0.9)
        self.frozen.eval()
        self.seen: list[Any] = []

    def forward(self, patches: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        self.seen.append((patches, positions, self.training, torch.is_grad_enabled()))
        answer: torch.Tensor = self.frozen(self.inner(patches.flatten(1))) + 5
        return answer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_torch_module_gets_its_own_tensors_and_keeps_its_state(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    encoder, decoder = Probe(dtype), torch.nn.Linear(3, 3, dtype=dtype)
    decoder.eval()
    checks = assert_holds(a_world(), encoder, decoder=decoder, positions=True)
    assert {check.verdict for check in checks} <= {"holds", "tight", "vacuous", "assumption not met"}
    patches, positions, training, grad = encoder.seen[0]
    assert (patches.dtype, positions.dtype, training, grad) == (dtype, torch.int64, False, False)
    assert (encoder.training, encoder.inner.training, encoder.frozen.training, decoder.training) == (
        True,
        True,
        False,
        False,
    )
    assert torch.is_grad_enabled()
    assert outputs_of(a_world(), encoder, positions=True).f == pytest.approx(
        encoder.eval()(patches).detach().double().numpy()
    )


def test_a_torch_module_without_parameters_and_a_function_of_torch() -> None:
    graph = a_world()
    flat = torch.nn.Flatten()
    assert outputs_of(graph, flat).f is not None
    layer = torch.nn.Linear(2, 2, dtype=torch.float64)
    wrapped = outputs_of(graph, lambda patches: layer(torch.as_tensor(patches).flatten(1)))
    np.testing.assert_array_equal(wrapped.f, outputs_of(graph, torch.nn.Sequential(flat, layer)).f)


def test_a_module_that_fails_keeps_its_state() -> None:
    module = torch.nn.Linear(7, 7)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        assert_holds(a_world(), module)
    assert module.training


def test_testing_loads_no_torch_of_its_own() -> None:
    code = (
        "import sys, numpy as np, maskgraph.testing as t; from maskgraph.graphs.source import *;"
        "from maskgraph.graphs.masks import *; from maskgraph.graphs.bipartite import mask_graph;"
        "images = load_coded(Source('mixture:n=4'));"
        "graph = mask_graph(images, mask_set(mask_distribution('uniform', images.grid, 0.5)));"
        "t.assert_holds(graph, lambda x: 1 + x.reshape(len(x), -1)**2); print({'torch', 'pytest'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_missing_hypothesis_is_one_clear_error() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import maskgraph.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: maskgraph.testing needs hypothesis: pip install 'maskgraph[testing]'"
    )


# When it must fail.


def test_a_planted_violation_fails_and_shows_every_number(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, outputs = a_holding_case()
    original = bounds.thm_4_2
    monkeypatch.setattr(bounds, "thm_4_2", lambda *arguments: original(*arguments) + 10)
    with pytest.raises(AssertionError) as caught:
        assert_holds(graph, outputs)
    text = str(caught.value)
    assert text.startswith("1 of 21 statements violated\nThm 4.2: violated\n")
    assert "formula    lambda >= 1/(4L): L_MAE + lambda L_unif >= (2 - sum_{i<=k} lambda_i^2)/(4L) - epsilon" in text
    assert re.search(r"lhs +3\.\d+\n +rhs +12\.\d+\n +slack +-8\.\d+\n +tolerance +\d\.\d+e-1\d\n", text), text
    assert text.endswith("note       the step 'trace constraint' goes the wrong way")
    with pytest.raises(AssertionError, match=r"1 of 1 statement violated"):
        assert_holds(graph, outputs, "Thm 4.2")
    assert assert_holds(graph, outputs, "S2"), "only what is named is held"


def test_two_violations_are_both_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, outputs = a_holding_case()
    monkeypatch.setattr(bounds, "uniformity_floor", lambda k: 5.0)
    monkeypatch.setattr(bounds, "phi_from_alpha", lambda *alphas: -1.0)
    with pytest.raises(AssertionError, match=r"(?s)2 of 21 statements violated\nU: violated\n.*phi: violated\n"):
        assert_holds(graph, outputs)


def test_a_named_statement_must_have_its_assumptions_met() -> None:
    graph, outputs = a_holding_case()
    with pytest.raises(
        AssertionError, match=r"(?s)1 of 2 statements named and could not.*Thm 3.4 unit.*unit-norm h by"
    ):
        assert_holds(graph, outputs, ("Thm 3.4 unit", "S2"))
    with pytest.raises(AssertionError, match=r"note +this model gives no h"):
        assert_holds(graph, replace(outputs, h=None), ["Thm 4.2"])
    with pytest.raises(AssertionError, match="L on positive pairs by"):
        assert_holds(graph, replace(outputs, lipschitz=1e-3), "S2")
    assert assert_holds(graph, outputs), "where none is named they are passed over"


def test_something_about_the_model_must_be_held() -> None:
    graph, outputs = a_holding_case()
    for nothing in (Outputs(), Outputs(pseudo=outputs.pseudo)):
        with pytest.raises(
            AssertionError, match=r"no statement about this model could be held.*\nI1: this model gives"
        ):
            assert_holds(graph, nothing)
    assert assert_holds(graph, Outputs(f=outputs.f))
    assert assert_holds(graph, Outputs(collapsed=outputs.collapsed))
    assert assert_holds(graph, Outputs(), ("phi", "I5")), "named, they are what was asked for"


ENCODERS: list[tuple[str, Any, str]] = [
    (
        "flat",
        lambda x: np.ones(len(x)),
        r"given patches \(30, 2, 1\), must return one .*, \(30, k\): f has shape \(30,\);",
    ),
    ("short", lambda x: np.ones((3, 2)), r"f has shape \(3, 2\); expected a finite \(30, k\) array, one row a view"),
    ("empty", lambda x: np.ones((len(x), 0)), r"f has shape \(30, 0\)"),
    ("nan", lambda x: np.full((len(x), 2), np.nan), r"f has nan at view 0 \(30 of 30 .*look for a diverged run"),
    ("inf", lambda x: np.ones((len(x), 1)) / np.arange(len(x))[:, None], r"f has inf at view 0 \(1 of 30"),
    (
        "zero",
        lambda x: np.eye(len(x))[:, 1:],
        r"f has norm 0 at view 0 \(1 of 30 .*expected a finite norm above 0.*dead units",
    ),
    (
        "huge",
        lambda x: np.full((len(x), 2), 1e300),
        r"f has norm inf at view 0 .*expected a finite norm above 0.*: scale f down$",
    ),
    ("none", lambda x: None, r"the encoder returned None; return one array, one row a view"),
    ("tuple", lambda x: (x, x), r"the encoder returned a tuple; return one array"),
    ("ragged", lambda x: [[1.0], [1.0, 2.0]], r"the encoder returned a list that is no array \(setting .*; return one"),
    (
        "words",
        lambda x: ["a"] * len(x),
        r"the encoder returned a list of dtype <U1; return one array.* of real numbers",
    ),
    ("complex", lambda x: np.ones((len(x), 2)) * 1j, r"the encoder returned a ndarray of dtype complex128"),
    ("number", 3, r"the encoder is an int; expected a function or a torch module, or Outputs"),
]


def test_a_norm_that_overflows_is_refused_without_a_warning_beside_it() -> None:
    with pytest.raises(InputError, match="f has norm inf at view 0"):
        assert_holds(a_world(), lambda x: np.full((len(x), 2), 1e300))


@pytest.mark.parametrize(("encoder", "message"), [case[1:] for case in ENCODERS], ids=[case[0] for case in ENCODERS])
def test_answers_of_an_encoder_that_are_none(encoder: Any, message: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(InputError, match=message):
        assert_holds(a_world(), encoder, decoder=linear)


DECODERS: list[tuple[str, Any, str]] = [
    (
        "narrow",
        lambda f: f[:, :1],
        r"the decoder, given vectors \(30, 3\), must .*, \(30, 3\), d = n2 s: h has shape \(30, 1\)",
    ),
    ("nan", lambda f: f * np.nan, r"h has nan at view 0"),
    (
        "mean only",
        lambda f: f / (np.ptp(f[:, 0]) > 0),
        r"the mean of those vectors everywhere, .*collapsed has (nan|inf) at view 0",
    ),
    ("dict", lambda f: {"h": f}, r"the decoder returned a dict; return one array"),
    ("word", "linear", r"the decoder is a str; expected a function or a torch module$"),
]


@pytest.mark.parametrize(("decoder", "message"), [case[1:] for case in DECODERS], ids=[case[0] for case in DECODERS])
def test_answers_of_a_decoder_that_are_none(decoder: Any, message: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(InputError, match=message):
        assert_holds(a_world(), moments, decoder=decoder)


def test_outputs_that_cannot_be_used_are_refused_before_anything_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskgraph.testing.ledger", lambda *arguments: pytest.fail("checked"))
    graph, outputs = a_holding_case()
    zero = np.array([[1.0, 0.0], [0.0, 0.0]])
    for wrong, message in [
        (replace(outputs, h=np.ones((3, 1))), r"h has shape \(3, 1\)"),
        (replace(outputs, pseudo=np.array([[np.nan], [0.0]])), "pseudo has nan at view 0"),
        (replace(outputs, f=zero), r"^f has norm 0 at view 1 \(1 of 2"),
        (replace(outputs, lam=-1.0), "lam is -1; expected a number from 1e-60 to 1e\\+60"),
    ]:
        with pytest.raises(InputError, match=message):
            assert_holds(graph, wrong)
    with pytest.raises(InputError, match=r"unknown statement 'Thm 9'; .*expected one of I1, I2"):
        assert_holds(graph, outputs, "Thm 9")
    with pytest.raises(InputError, match="statements is empty, so that nothing would be tested"):
        assert_holds(graph, outputs, ())
    with pytest.raises(InputError, match="decoder was given with Outputs, which are answers already"):
        assert_holds(graph, outputs, decoder=linear)
    with pytest.raises(InputError, match="positions was given with Outputs"):
        assert_holds(graph, outputs, positions=True)
    codes = FIXED_WORLDS["one class"].graph(2, "bag")
    with pytest.raises(InputError, match=r"world has codes but no patch values to show an encoder; add a codebook"):
        assert_holds(codes, moments)


def test_what_is_no_graph_and_arguments_that_are_swapped() -> None:
    graph, outputs = a_holding_case()
    for wrong, kind in ((graph.images, "a CodedImages"), (graph.M, "a csr_array"), (None, "None")):
        with pytest.raises(InputError, match=rf"^{kind} is no MaskGraph; make one with mask_graph\(images, masks\)"):
            assert_holds(wrong, outputs)  # type: ignore[arg-type]
    for model in (outputs, moments):
        with pytest.raises(
            InputError, match=r"the graph was given second; expected assert_holds\(graph, model\): swap"
        ):
            assert_holds(model, graph)  # type: ignore[arg-type]


def test_what_an_encoder_itself_fails_at_is_its_own() -> None:
    """Of the same kind as being called with too few arguments, and no word of ours."""

    def broken(patches: Array) -> Array:
        raise TypeError("of its own")

    with pytest.raises(TypeError, match=r"^of its own$"):
        outputs_of(a_world(), broken)


class Table(torch.nn.Module):
    """An encoder with a place for so many positions."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.value, self.place = torch.nn.Linear(1, 4), torch.nn.Embedding(rows, 4)

    def forward(self, patches: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = (self.value(patches) + self.place(positions)).mean(dim=1)
        return answer


def in_numpy(patches: Array, positions: np.ndarray) -> Array:
    """The same without torch, a place for each of five patches."""
    return np.asarray(np.eye(5)[positions].sum(axis=1) + patches.sum(axis=1))


@pytest.mark.parametrize("encoder", [Table(5), in_numpy])
def test_a_table_of_n_positions_has_no_place_for_those_of_a_bag(encoder: Any) -> None:
    message = (
        r"^the encoder, given patches \(3, 2, 1\) and positions \(3, 2\), raised IndexError \(ind.*\): positions of a "
        r"bag view are n = 5; give the table n \+ 1 = 6 rows, or take worlds\(views=\(\"positional\", \"sequence\"\)\)"
    )
    with pytest.raises(InputError, match=message) as caught:
        assert_holds(a_world("bag"), encoder, positions=True)
    assert isinstance(caught.value.__cause__, IndexError)
    for view in ("positional", "sequence"):
        assert assert_holds(a_world(view), encoder, positions=True)
    assert assert_holds(a_world("bag"), Table(6), positions=True)


def test_an_encoder_of_another_size_is_told_what_it_was_given() -> None:
    """Which torch's own message leaves out."""
    with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
        assert_holds(a_world(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 8)))
    (note,) = caught.value.__notes__
    assert note.startswith(f"the encoder was given patches ({len(a_world().p1)}, 2, 1); ")


def test_a_decoder_in_the_place_of_statements_is_named() -> None:
    with pytest.raises(InputError, match="decoder="):
        assert_holds(a_world(), moments, linear)  # type: ignore[arg-type]


@pytest.mark.parametrize(("view", "positions"), [("bag", False), ("sequence", True)])
def test_an_index_that_is_no_position_of_a_bag_is_the_encoder_s_own(view: View, positions: bool) -> None:
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        outputs_of(a_world(view), lambda *arrays: arrays[0][:, 9], positions=positions)
