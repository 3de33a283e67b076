"""A network of one's own on a graph: the numbers of running it on the images themselves, as it was trained on them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maskgraph.empirical import measure as measure_module
from maskgraph.empirical.explain import judge
from maskgraph.empirical.model import MaskedAutoencoder, build_model, model_config
from maskgraph.empirical.objective import Target
from maskgraph.empirical.on_graph import OnGraph, as_trained, on_graph
from maskgraph.empirical.published import Published, load_published, published_tensors, save_published
from maskgraph.graphs.bipartite import MaskGraph, mask_graph, visible_views
from maskgraph.graphs.datasets import make_coded_images, make_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.patches import encode
from maskgraph.graphs.views import View
from maskgraph.testing import assert_holds
from maskgraph.theory import losses, terms
from maskgraph.theory.ledger import ledger
from maskgraph.theory.outputs import Outputs, nearest_views
from maskgraph.theory.statements import STATEMENTS
from tests.empirical.toys import double_model, images
from tests.strategies import VIEWS

FORWARD = 2e-5
"""Two float32 forward passes of one input in batches of other sizes, outputs of order 1."""

EXACT = 1e-12
"""And two in float64: a few hundred ulp."""

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def photographs() -> NDArray[np.float64]:
    """(6, 8, 8, 3) pixels from 0 to 1."""
    return np.random.default_rng(0).random((6, 8, 8, 3))


def graph(channels: int = 3, patch: int = 4) -> MaskGraph:
    """Of those as they are: an exact codebook."""
    coded = encode(make_images("photographs", photographs()[..., :channels], np.arange(6) % 2), patch, "exact")
    return mask_graph(coded, mask_set(mask_distribution("uniform", coded.grid, 0.5)))


def nine() -> MaskGraph:
    """Of grey patches of 3x3 pixels."""
    coded = make_coded_images("grey", [[0, 1], [1, 0]], [0, 1], codebook=np.eye(2, 9))
    return mask_graph(coded, mask_set(mask_distribution("uniform", coded.grid, 0.5)))


def network(grid: tuple[int, int] = (2, 2), values: int = 48) -> MaskedAutoencoder:
    model = build_model(model_config("micro", grid, values), 0)
    assert isinstance(model, MaskedAutoencoder)
    return model.eval()


def cut(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6, 4, 48) patches, row by row, channels last."""
    places = [(top, left) for top in (0, 4) for left in (0, 4)]
    return np.array([[image[t : t + 4, at : at + 4].ravel() for t, at in places] for image in pixels])


@pytest.mark.parametrize("target", ["pixels", "normalised"])
def test_the_numbers_are_those_of_the_network_on_its_own_pixels(target: Target) -> None:
    model, world = network(), graph()
    seen = as_trained(world, MEAN, STD, target)
    found = on_graph(model, seen)
    patches = cut((photographs() - MEAN) / STD)
    wanted = patches
    if target == "normalised":
        deviation = np.sqrt(patches.var(axis=2, ddof=1, keepdims=True) + 1e-6)
        wanted = (patches - patches.mean(axis=2, keepdims=True)) / deviation
    losses = []
    assert found.outputs.f is not None
    for mask, (kept, dropped) in enumerate(zip(seen.masks.kept, seen.masks.dropped, strict=True)):
        positions = [torch.as_tensor(np.tile(side, (6, 1))) for side in (kept, dropped)]
        with torch.no_grad():
            h, tokens = model(torch.as_tensor(patches[:, kept], dtype=torch.float32), *positions)
        f = found.outputs.f[seen.ids1[:, mask]]
        np.testing.assert_allclose(f, tokens[:, 0].numpy(), rtol=0, atol=FORWARD)
        losses += ((h.double().numpy() - wanted[:, dropped]) ** 2).sum(axis=(1, 2)).tolist()
    assert found.numbers["L_MAE"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert {"cls.L_unif", "mean.L_align", "epsilon", "bayes_risk", "cls.lipschitz"} <= found.numbers.keys()
    checks = {check.statement: check for check in assert_holds(seen, found.outputs)}
    assert checks["I1"].lhs == pytest.approx(found.numbers["L_MAE"])
    assert checks["U"].lhs == pytest.approx(found.numbers["cls.L_unif"])
    for name in ("M", "p1", "p2"):
        assert abs(getattr(seen, name) - getattr(world, name)).max() == 0


def test_one_number_is_for_every_channel_and_none_changes_nothing() -> None:
    world = graph()
    assert world.images.codebook is not None
    np.testing.assert_array_equal(as_trained(world).X2, world.X2)
    np.testing.assert_array_equal(as_trained(world, 0.5, 0.25).X2, (world.X2 - 0.5) / 0.25)
    np.testing.assert_array_equal(as_trained(world, (0.5,) * 3, [0.25] * 3).X2, (world.X2 - 0.5) / 0.25)


def test_a_published_checkpoint_with_and_without_its_decoder(tmp_path: Any) -> None:
    seen, path = as_trained(graph(), MEAN, STD, "normalised"), tmp_path / "mae.safetensors"
    save_published(network(), path, 4)
    whole = on_graph(load_published(path), seen, feature="mean")
    again = on_graph(network(), seen, feature="mean")
    np.testing.assert_array_equal(whole.outputs.f, again.outputs.f)
    assert whole.numbers == again.numbers
    found = on_graph(Published(network(), decoder=False), seen, feature="mean")
    assert found.outputs.f is not None
    assert whole.outputs.f is not None
    np.testing.assert_allclose(found.outputs.f, whole.outputs.f, rtol=0, atol=FORWARD)
    assert found.outputs.h is found.outputs.pseudo is found.outputs.collapsed is None
    of_f = {name for name in whole.numbers if name.startswith(("cls.", "mean.")) and "lipschitz" not in name}
    assert found.numbers.keys() == of_f
    assert found.numbers["mean.L_unif"] == pytest.approx(whole.numbers["mean.L_unif"], rel=1e-4)
    assert_holds(seen, found.outputs, ("U", "I4"))


def number(found: OnGraph, name: str) -> float:
    value = found.numbers[name]
    assert isinstance(value, float)
    return value


def test_epsilon_is_of_the_inverse_that_the_theorems_see() -> None:
    seen = as_trained(graph(), MEAN, STD)
    none, some, whole = (
        on_graph(network(), seen, refined=0),
        on_graph(network(), seen, refined=3),
        on_graph(network(), seen),
    )
    for found, targets in ((none, 0), (some, 3), (whole, len(seen.p2))):
        assert found.outputs.h is not None
        assert found.outputs.pseudo is not None
        apart = ((found.outputs.pseudo - seen.X2) ** 2).sum(axis=1)
        assert found.numbers["epsilon"] == pytest.approx(seen.p2 @ apart, rel=EXACT)
        assert found.numbers["epsilon_nearest"] == pytest.approx(
            seen.p2 @ nearest_views(seen, found.outputs.h)[1], rel=EXACT
        )
        # All targets have the same mass.
        assert found.numbers["epsilon_refined_mass"] == pytest.approx(targets / len(seen.p2), rel=EXACT)
    gain = [number(one, "epsilon_late_gain") for one in (none, some, whole)]
    assert gain[0] == 0
    assert 0 < gain[1] < gain[2]
    assert number(whole, "epsilon") < number(some, "epsilon") < number(some, "epsilon_nearest")
    assert none.numbers["epsilon"] == none.numbers["epsilon_nearest"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_masked_autoencoder_run_by_hand_is_what_on_graph_makes_of_it(view: View) -> None:
    """As a network of someone else's is run, on what is public of a graph."""
    model, seen = double_model(), mask_graph(images(), mask_set(mask_distribution("uniform", (2, 3), 0.5)), view)
    found = on_graph(model, seen, feature="mean", refined=0)
    patches, positions, slots = (torch.as_tensor(array) for array in visible_views(seen))
    with torch.no_grad():
        tokens = model.encode(patches, positions, slots)
        answer = model.decode(tokens, positions, slots).flatten(1)
        mean = torch.einsum("v,vtk->tk", torch.as_tensor(seen.p1), tokens)
        constant = model.decode(mean.expand_as(tokens), positions, slots).flatten(1)
    f, h, collapsed = (tensor.numpy() for tensor in (model.feature(tokens, "mean"), answer, constant))
    own = Outputs(f=f, h=h, pseudo=h[nearest_views(seen, h)[0]], collapsed=collapsed)
    for name in ("f", "h", "pseudo", "collapsed"):
        np.testing.assert_allclose(getattr(own, name), getattr(found.outputs, name), rtol=0, atol=EXACT)
    checks = zip(assert_holds(seen, own), assert_holds(seen, found.outputs), strict=True)
    assert all(one.verdict == other.verdict for one, other in checks)


def test_what_numbers_and_statements_ask_for_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the feature that the theorems are held to; and is what a ledger of its own measures."""
    calls = Counter[str]()

    def counted(module: Any, name: str) -> None:
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: (calls.update([name]), original(*given))[1])

    rng = np.random.default_rng(0)
    codes, codebook = rng.integers(2, size=(8, 4)), rng.normal(size=(2, 9))
    coded = make_coded_images("few codes", codes, np.arange(8) % 2, codebook=codebook, grid=(2, 2))
    world, model = mask_graph(coded, mask_set(mask_distribution("uniform", coded.grid, 0.5))), network(values=9)
    for module, name in (
        (terms, "one_sided_lipschitz"),
        (terms, "two_sided_lipschitz"),
        (losses, "mae_loss"),
        (losses, "pair_distance"),
    ):
        counted(module, name)
    found = on_graph(model, world, "mean")
    checks = {one.number: one.measure(found.terms) for one in STATEMENTS}
    # Of cls and mean; of h and its collapsed self; of both features and h.
    assert calls == {"one_sided_lipschitz": 2, "two_sided_lipschitz": 2, "mae_loss": 2, "pair_distance": 3}
    assert checks["Thm 4.2"].terms["L"] == number(found, "mean.lipschitz")
    assert [check.as_dict() for check in checks.values()] == [one.as_dict() for one in ledger(world, found.outputs)]


def test_a_large_network_is_run_on_few_views_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = as_trained(graph(), MEAN, STD)
    whole = on_graph(network(), seen)
    sizes: list[int] = []
    encode_views = MaskedAutoencoder.encode

    def spied(self: MaskedAutoencoder, patches: torch.Tensor, *rest: Any) -> torch.Tensor:
        sizes.append(len(patches))
        return encode_views(self, patches, *rest)

    monkeypatch.setattr(MaskedAutoencoder, "encode", spied)
    monkeypatch.setattr(measure_module, "VALUES", 3 * 4 * 64)
    parts = on_graph(network(), seen)
    assert max(sizes) == 3
    for name in ("f", "h", "pseudo", "collapsed"):
        one, other = getattr(parts.outputs, name), getattr(whole.outputs, name)
        np.testing.assert_allclose(one, other, rtol=0, atol=10 * FORWARD)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision(dtype: torch.dtype) -> None:
    found = on_graph(network().to(dtype), as_trained(graph(), MEAN, STD), refined=0)
    assert found.outputs.f is not None
    assert found.outputs.f.dtype == np.float64
    assert found.numbers["epsilon"] == found.numbers["epsilon_nearest"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            lambda: on_graph(network(values=12), graph()),
            r"photographs has patches of 48 values and the network takes 12",
        ),
        (
            lambda: on_graph(Published(network(values=12), decoder=False), graph()),
            r"photographs has patches of 48 values and the network takes 12",
        ),
        (lambda: on_graph(network(values=16), graph()), r"takes 16, side² times channels; load images of its channels"),
        (
            lambda: on_graph(network(), graph(channels=1)),
            r"photographs has patches of 16 values and the network takes 48",
        ),
        (
            lambda: on_graph(network((4, 4), 12), graph(patch=4)),
            r"photographs has patches of 48 values and the network takes 12",
        ),
        (
            lambda: on_graph(network((4, 4), 48), graph()),
            r"photographs has 2x2 patches an image and the network is of 4x4; load images at the size",
        ),
        (
            lambda: on_graph(double_model(), regridded(6, (3, 2))),
            r"toy has 3x2 patches an image and the network is of 2x3; load images",
        ),
        (
            lambda: on_graph(double_model(), regridded(5, (1, 5))),
            r"toy has 1x5 patches an image and the network is of 2x3; load images",
        ),
        (
            lambda: on_graph(network(), dataclasses.replace(graph(), targets=np.zeros((24, 5)))),
            r"the targets are of 5 values a patch and the network gives 48",
        ),
        (
            lambda: on_graph(network(), graph(), "bottleneck"),
            r"the network has no bottleneck; expected one of cls, mean",
        ),
        # Here and below: what the types forbid, a program without them may still hand in.
        (lambda: on_graph(network(), graph(), "pooled"), r"unknown feature 'pooled'; expected one of cls"),  # type: ignore[arg-type]
        (
            lambda: on_graph(torch.nn.Linear(2, 2), graph()),  # type: ignore[arg-type]
            r"the network is a Linear; expected a MaskedModel, such as load_model\(path\).model.*; an encoder of your "
            r"own goes to assert_holds as it is, and of a masked autoencoder Outputs\(f=..., h=...\), as docs/tutorial."
            r"md does under Your own masked autoencoder$",
        ),
        (
            lambda: judge(Published(network(), True), graph()),  # type: ignore[arg-type]
            r"a Published is no TrainedModel; .*; any other network goes to on_graph\(network, graph\)",
        ),
        (lambda: on_graph(network(), graph().images), r"a CodedImages is no MaskGraph"),  # type: ignore[arg-type]
        (lambda: as_trained(graph(), (0.5, 0.5, 0.5), (1, 0, 1)), r"std \(1, 0, 1\); expected positive numbers"),
        (
            lambda: as_trained(graph(), (0.5,) * 5),
            r"mean \(0.5, .*\) for patches of 48 values; expected one number, or",
        ),
        # Of three channels, whose number divides nine grey values of a patch as well.
        (lambda: as_trained(nine(), MEAN, STD), r"mean \(0.5, 0.4, 0.3\) for patches of 9 values; expected one number"),
        (lambda: as_trained(graph(), "0.5"), r"mean is a list of dtype <U1; give one number"),  # type: ignore[arg-type]
        (lambda: as_trained(graph(), float("nan")), r"mean nan for patches of 48 values"),
        (lambda: as_trained(graph(), target="norm"), r"unknown target 'norm'; expected one of pixels, normalised"),  # type: ignore[arg-type]
        (lambda: as_trained(graph().images), r"a CodedImages is no MaskGraph"),  # type: ignore[arg-type]
        (
            lambda: as_trained(graph(1, 1), target="normalised"),
            r"patches of one value have no deviation to normalise by",
        ),
        (lambda: as_trained(coded()), r"codes has codes but no patch values to show a network; add a codebook"),
    ],
)
def test_what_does_not_fit_is_one_sentence(found: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        found()


def coded() -> MaskGraph:
    plain = make_coded_images("codes", np.array([[0, 1, 2, 3]]), np.array([0]))
    return mask_graph(plain, mask_set(mask_distribution("uniform", plain.grid, 0.5)))


def regridded(patches: int, grid: tuple[int, int]) -> MaskGraph:
    """The first patches of the toy images in other rows than theirs."""
    turned = dataclasses.replace(images(), codes=images().codes[:, :patches], grid=grid)
    return mask_graph(turned, mask_set(mask_distribution("uniform", turned.grid, 0.5)))


def test_codes_without_a_plane_are_one_row_of_patches() -> None:
    plane = images()
    row = dataclasses.replace(plane, grid=(1, 6))
    masks = mask_set(mask_distribution("uniform", (1, 6), 0.5))
    model = double_model()
    one, other = (on_graph(model, mask_graph(some, masks), refined=0) for some in (plane, row))
    np.testing.assert_array_equal(one.outputs.f, other.outputs.f)


def test_networks_are_told_the_way() -> None:
    """As they are they take more than views, and give more than vectors."""
    model = network()
    published = Published(model, decoder=True)
    for given, name in ((model, "MaskedAutoencoder"), (published, "Published")):
        with pytest.raises(InputError, match=rf"the encoder is a {name}, a network of maskgraph, .*; give on_graph\("):
            assert_holds(graph(), given, positions=True)  # type: ignore[arg-type]
    assert published_tensors(model, 4)
