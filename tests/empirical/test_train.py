"""Training: what each step sees, that it learns, and what it refuses."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.cli import main
from maskgraph.empirical import network as network_module
from maskgraph.empirical import state as state_module
from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.checkpoint import read_checkpoint, write_checkpoint
from maskgraph.empirical.config import TrainConfig, check_config, resolve_device
from maskgraph.empirical.divergence import TrainingDivergedError, check_state
from maskgraph.empirical.draws import Draws
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedAutoencoder, MaskedModel, build_model, model_config
from maskgraph.empirical.objective import Distance, Everyone, largest_ratio, reconstruction_share, uniformity_share
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.state import State, schedule
from maskgraph.empirical.streams import Use
from maskgraph.empirical.train import TrainedModel, train, training_set, untrained
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View
from tests.empirical import literal
from tests.empirical.toys import GRID, PATCH_DIM, SHORT, assert_same_bits, double_model, images, pixels, with_
from tests.strategies import VIEWS

PATCHES = GRID[0] * GRID[1]
BATCHES = [4, 4, 2]
"""Of the ten images in each epoch of SHORT."""

ROUNDING = 2.0**-24
"""Of a float32 number, relative."""

NORMALISED = 3 * 4 * 11.4 * ROUNDING
"""Of a float32 patch less its mean over its spread: the mean and the difference are good to four roundings of the
largest value, which is up to 11.4 times the spread, and what is off so counts twice more in the spread."""

UNIT = 8 * ROUNDING
"""Of a float32 feature of unit norm, entries and norm: sums of 64 squares, a root, a division, and a norm before it."""

LEAST = 32 * ROUNDING
"""Of a float32 L, relative: two sums of up to 64 squares of differences are good to √64 roundings and two more each,
and both are rooted, divided and squared."""

CROPPED = 16 * ROUNDING
"""Of a float32 value of a crop of size 1 to 2: a few roundings for its place, its weights, their sum and its scale."""

CLIPPED = 16 * ROUNDING
"""Of a float32 gradient over its norm, relative: sums of squares, tensor by tensor, good to some ten roundings."""

DECAYED = (2 * 18 + 1) * ROUNDING
"""Of a float32 parameter after 18 steps of decay, relative: a rounding for the factor and one for the product."""

MOVED = 1.2 * 18 * 1e-12
"""By 18 steps of Adam at a rate of 1e-12: Σ wᵢgᵢ over (Σ uᵢgᵢ²)^½ is at most (Σ wᵢ²/uᵢ)^½, 1.2 at β = 0.9 and 0.95."""


class Spy:
    """What the model was shown, asked and judged by, step by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []
        self.judged: list[tuple[Tensor, Tensor]] = []
        forward = MaskedAutoencoder.forward

        def seen(model: MaskedAutoencoder, *arguments: Tensor) -> tuple[Tensor, Tensor]:
            # Without gradients is who looks at the model before it is stored.
            if torch.is_grad_enabled():
                self.shown.append((arguments[0], arguments[1], arguments[2]))
            return forward(model, *arguments)

        def judged(h: Tensor, target: Tensor, weights: Tensor, batch: int, distance: Distance) -> Tensor:
            self.judged.append((target, weights))
            return reconstruction_share(h, target, weights, batch, distance)

        monkeypatch.setattr(MaskedAutoencoder, "forward", seen)
        monkeypatch.setattr(network_module, "reconstruction_share", judged)


def codes_of(values: Tensor, data: CodedImages) -> list[list[int]]:
    """The codes that patch values (B, T, s) stand for; the toy codebook holds no value twice."""
    assert data.codebook is not None
    code = {tuple(value): index for index, value in enumerate(data.codebook.astype(np.float32).tolist())}
    return [[code[tuple(patch)] for patch in row] for row in values.tolist()]


@pytest.mark.parametrize("view", VIEWS)
def test_each_step_shows_the_kept_patches_and_asks_for_the_others(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    data, spy = images(), Spy(monkeypatch)
    train(data, with_(SHORT, view=view))
    owner = {code: row for row, codes in enumerate(data.codes.tolist()) for code in codes}
    place = {code: index for codes in data.codes.tolist() for index, code in enumerate(codes)}
    for (patches, positions, asked), (target, _) in zip(spy.shown, spy.judged, strict=True):
        for visible, hidden, at, slots in zip(
            codes_of(patches, data), codes_of(target, data), positions.tolist(), asked.tolist(), strict=True
        ):
            row = owner[visible[0]]
            assert sorted(visible + hidden) == sorted(data.codes[row].tolist())
            kept, dropped = [place[code] for code in visible], [place[code] for code in hidden]
            if view == "bag":
                assert (visible, hidden) == (sorted(visible), sorted(hidden))
                assert at == [PATCHES] * len(kept)
            else:
                assert (kept, dropped) == (sorted(kept), sorted(dropped))
                assert at == (kept if view == "positional" else list(range(len(kept))))
            assert slots == (dropped if view == "positional" else list(range(len(kept), PATCHES)))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("every_warning")
def test_a_batch_of_one_image_is_trained_on_without_a_warning(view: View) -> None:
    """Ten images in batches of nine leave one, whose positions are the only ones that numpy need not copy."""
    found = train(images(), with_(SHORT, view=view, batch=9, epochs=1))
    assert len(found.losses) == 2
    assert np.isfinite(found.losses).all()


def test_an_epoch_shows_every_image_once_with_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    data, spy = images(), Spy(monkeypatch)
    train(data, SHORT)
    assert [len(weights) for _, weights in spy.judged] == BATCHES * SHORT.epochs
    owner = {code: row for row, codes in enumerate(data.codes.tolist()) for code in codes}
    orders = []
    for start in range(0, len(spy.judged), len(BATCHES)):
        epoch = slice(start, start + len(BATCHES))
        rows = [owner[codes[0]] for patches, _, _ in spy.shown[epoch] for codes in codes_of(patches, data)]
        assert sorted(rows) == list(range(len(data.codes)))
        weights = torch.cat([weights for _, weights in spy.judged[epoch]]).numpy()
        np.testing.assert_allclose(weights, data.weights[rows] * len(data.codes), rtol=ROUNDING)
        orders.append(tuple(rows))
    assert len(set(orders)) > 1, "the order changes from epoch to epoch"


def test_every_image_of_every_step_gets_a_fresh_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch)
    train(images(), with_(SHORT, epochs=40))
    masks = Counter(tuple(row) for _, positions, _ in spy.shown for row in positions.tolist())
    # 400 draws from the 20 subsets of 3 in 6: 20 expected of each, standard deviation 4.4; five of them.
    assert len(masks) == math.comb(6, 3)
    assert max(abs(count - 20) for count in masks.values()) < 5 * 4.4
    full = [tuple(map(tuple, positions.tolist())) for _, positions, _ in spy.shown if len(positions) == 4]
    # 80 batches of 20⁴ that could be: a pair of them agrees in one seed of fifty, and two pairs in none.
    assert len(set(full)) >= len(full) - 1 == 79


def test_ten_images_are_learnt_by_heart() -> None:
    """The loss falls below a twentieth of what answering the mean patch of every position costs."""
    data = make_coded_images("ten", images().codes, np.arange(10), None, images().codebook, GRID)
    assert data.codebook is not None
    values = data.codebook[data.codes]
    mean_predictor = float(values.var(axis=0).mean())
    found = train(data, TrainConfig(mask_ratio=0.5, batch=10, epochs=1000, lr=3e-3, device="cpu")).losses
    assert found.shape == (1000, 3)
    assert found[:5, 0].mean() > mean_predictor
    assert found[-20:, 0].mean() < mean_predictor / 20


@pytest.mark.parametrize("change", [{"method": "simmim"}, {"bottleneck": 16}, {"target": "normalised"}])
def test_every_kind_of_model_learns(change: dict[str, object]) -> None:
    """The mean error of the last steps is below four fifths of the first ones'."""
    found = train(images(), with_(SHORT, lr=3e-3, batch=10, epochs=150, **{"method": "mae", **change})).losses
    assert found[-20:, 0].mean() < 0.8 * found[:5, 0].mean()


def test_normalised_targets_are_asked_for_and_pixels_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    spies = []
    for target in ("normalised", "pixels"):
        with monkeypatch.context() as patch:
            spies.append(Spy(patch))
            train(images(), with_(SHORT, target=target))
    for (patches, *_), (other, *_) in zip(spies[0].shown, spies[1].shown, strict=True):
        assert torch.equal(patches, other)
    for (found, _), (plain, _) in zip(spies[0].judged, spies[1].judged, strict=True):
        wanted = np.array([[literal.normalised(patch) for patch in row] for row in plain.double().numpy()])
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=NORMALISED)


@pytest.mark.parametrize(
    ("method", "distance", "error"),
    [
        ("u-mae", "auto", "squared"),
        ("u-simmim", "auto", "absolute"),
        ("mae", "absolute", "absolute"),
        ("simmim", "squared", "squared"),
    ],
)
def test_methods_keep_the_distance_that_they_were_published_with(method: str, distance: str, error: str) -> None:
    assert with_(SHORT, method=method, distance=distance).error == error


@pytest.mark.parametrize("accumulate", [1, 2])
def test_losses_are_means_over_the_images_that_a_batch_has(accumulate: int) -> None:
    """The last batch of an epoch has two in place of four; with a learning rate of 0 the model stays."""
    config = with_(SHORT, lr=0.0, epochs=1, accumulate=accumulate)
    trained = train(images(), config)
    data = training_set(images(), config, torch.device("cpu"))
    draws = Draws(data, config)
    for step, count in enumerate((4, 4, 2)):
        batch = data.batch(*draws.at(step))
        with torch.no_grad():
            h, tokens = trained.model(batch.visible, batch.positions, batch.slots)
        w, z = batch.weights.double(), torch.nn.functional.normalize(tokens[:, 0].double(), dim=1)
        errors = (h.double() - batch.target.double()).square().mean(dim=(1, 2))
        reconstruction = sum(float(w[i] * errors[i]) for i in range(count)) / count
        pairs = itertools.product(range(count), repeat=2)
        uniformity = sum(float(w[i] * w[j] * (z[i] @ z[j]) ** 2) for i, j in pairs) / count**2
        # Of float32 sums of some ten terms each.
        np.testing.assert_allclose(trained.losses[step, :2], (reconstruction, uniformity), rtol=32 * ROUNDING)


class Everyones:
    """What the uniformity of each step was told of the whole batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Everyone] = []

        def noted(z: Tensor, weights: Tensor, rows: slice, everyone: Everyone) -> Tensor:
            self.seen.append(everyone)
            return uniformity_share(z, weights, rows, everyone)

        monkeypatch.setattr(state_module, "uniformity_share", noted)


def test_the_queue_holds_the_latest_features(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Everyones(monkeypatch)
    train(images(), with_(SHORT, queue=7))
    assert [(one.batch, len(one.z)) for one in noted.seen[:5]] == [(4, 4), (4, 8), (2, 9), (4, 11), (4, 11)]
    for before, after in itertools.pairwise(noted.seen):
        for name in ("z", "weights"):
            assert torch.equal(getattr(after, name)[after.batch :], getattr(before, name)[:7])
    assert not any(one.z.requires_grad for one in noted.seen)


def test_features_are_normalised_twice_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Everyones(monkeypatch)
    runs = [train(images(), with_(SHORT, final_norm=norm, epochs=1, lr=0.0)) for norm in ("once", "twice")]
    once, twice = noted.seen[0].z, noted.seen[3].z
    # A layer normalised at initialisation has no scale of its own: once more only divides by √(variance + 1e-6), which
    # unit norm takes back.
    torch.testing.assert_close(once, twice, rtol=0, atol=UNIT)
    moved = [train(images(), with_(SHORT, final_norm=norm)) for norm in ("once", "twice")]
    assert not torch.equal(moved[0].model.head.weight, moved[1].model.head.weight)
    assert len(runs) == 2


@pytest.mark.parametrize("times", ["once", "twice"])
def test_what_is_made_uniform_went_through_the_last_norm_as_often_as_asked(times: str) -> None:
    """The norm here has a scale and a shift, which a second time counts."""
    config, model, cpu = with_(SHORT, final_norm=times), double_model(), torch.device("cpu")
    data = training_set(images(), config, cpu)
    batch = data.batch(*Draws(data, config).at(0))
    batch = replace(batch, visible=batch.visible.double())
    _, z = network_module.Network(model, config, cpu)(batch)
    cls = model.encode(batch.visible, batch.positions, batch.slots)[:, 0]
    if times == "twice":
        standard = (cls - cls.mean(dim=1, keepdim=True)) / (cls.var(dim=1, keepdim=True, correction=0) + 1e-6).sqrt()
        own = dict(model.norm.named_parameters())
        cls = standard * own["weight"] + own["bias"]
    torch.testing.assert_close(z, cls / cls.norm(dim=1, keepdim=True), rtol=0, atol=1e-12)


def test_lam_auto_is_one_over_four_l_of_the_latest_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def noted(f: Tensor, h: Tensor, x: Tensor) -> Tensor:
        asked.append((f, h, x))
        return largest_ratio(f, h, x)

    monkeypatch.setattr(state_module, "largest_ratio", noted)
    found = train(images(), with_(SHORT, lam="auto", epochs=20)).losses[:, 2]
    # Step 50 is the last of an epoch of ten images.
    assert [len(f) for f, _, _ in asked] == [4, 4, 2]
    for index, (f, h, x) in enumerate(asked):
        pairs = itertools.combinations(range(len(f)), 2)
        f, h = f.double(), h.double()
        least = max(float((f[i] - f[j]).square().sum() / (h[i] - h[j]).square().sum()) for i, j in pairs)
        assert x.shape == (len(f), 3 * PATCH_DIM)
        assert h.shape == (len(f), 3 * PATCH_DIM)
        np.testing.assert_allclose(f.norm(dim=1).numpy(), 1, rtol=UNIT)
        np.testing.assert_allclose(found[25 * index : 25 * (index + 1)], 1 / (4 * least * 9), rtol=LEAST)


def test_what_auto_is_said_to_be_is_in_the_unit_of_lam(capsys: pytest.CaptureFixture[str]) -> None:
    """A weight beside the error per target value, d = 9 times less than the λ of the theory (the test above)."""
    with pytest.raises(InputError, match=re.escape("expected a number or auto, which is 1/(4Ld)")):
        train(images(), with_(SHORT, lam="off"))
    for command in ("train", "recipe"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "auto: 1/(4L)" not in " ".join(capsys.readouterr().out.split())


def test_lam_auto_measures_l_on_the_first_256_images_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Tensor] = []

    def noted(f: Tensor, h: Tensor, x: Tensor) -> Tensor:
        asked.append(x)
        return largest_ratio(f, h, x)

    monkeypatch.setattr(state_module, "largest_ratio", noted)
    many, config = images(260), with_(SHORT, lam="auto", batch=260, epochs=1)
    train(many, config)
    (shown,) = asked
    rows, kept, *_ = Draws(training_set(many, config, torch.device("cpu")), config).at(0)
    assert many.codebook is not None
    wanted = many.codebook[many.codes[rows[:256]][:, kept[0]]].reshape(256, -1)
    np.testing.assert_allclose(shown.numpy(), wanted, rtol=1e-6)


def test_lam_auto_keeps_its_l_where_a_batch_has_no_pair_to_measure_it_on() -> None:
    """101 images in batches of 4: every 26th step has one image, step 25 among them."""
    lam = train(images(101), with_(SHORT, lam="auto", epochs=3)).losses[:, 2]
    assert lam[0] > 0
    np.testing.assert_array_equal(lam[:50], lam[0])
    assert lam[50] not in (0, lam[0])
    with pytest.raises(InputError, match=r"lam auto in batches of one image, which have no pairs to measure L on; "):
        train(images(), with_(SHORT, lam="auto", batch=1))


def test_lam_auto_is_no_weight_where_no_two_views_differ() -> None:
    """Ten copies of one image: no pair ever tells of L, and 1/(4Ld) of an L of 0 would be infinite."""
    data = images()
    alike = make_coded_images("alike", np.repeat(data.codes[:1], 10, axis=0), np.arange(10), None, data.codebook, GRID)
    losses = train(alike, with_(SHORT, lam="auto", epochs=1)).losses
    assert np.isfinite(losses).all()
    np.testing.assert_array_equal(losses[:, 2], 0)


def test_lam_auto_measures_l_on_the_crops_of_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image augmented as it is trained on, under the mask of the first."""
    asked: list[Tensor] = []

    def noted(f: Tensor, h: Tensor, x: Tensor) -> Tensor:
        asked.append(x)
        return largest_ratio(f, h, x)

    monkeypatch.setattr(state_module, "largest_ratio", noted)
    data, config = pixels(Augmentation((0.2, 0.9), flip=True)), with_(SHORT, lam="auto", epochs=1)
    train(data, config)
    (shown,) = asked
    whole = training_set(data, config, torch.device("cpu"))
    rows, kept, dropped, crops = Draws(whole, config).at(0)
    for index, row in enumerate(rows):
        alone = whole.batch(rows[index : index + 1], kept[:1], dropped[:1], crops[index : index + 1]).visible
        torch.testing.assert_close(shown[index], alone.flatten(), rtol=0, atol=CROPPED, msg=str(row))


def test_u_mae_spreads_the_features_that_mae_leaves_alike() -> None:
    data = images()
    mae, u_mae = (train(data, with_(SHORT, method=m, lam=1.0, epochs=40)).losses for m in ("mae", "u-mae"))
    np.testing.assert_array_equal(mae[0, :2], u_mae[0, :2])
    assert (mae[:, 2].max(), u_mae[:, 2].min()) == (0, 1)
    assert u_mae[-20:, 1].mean() < 0.5 < mae[-20:, 1].mean()


def test_without_weight_u_mae_is_mae() -> None:
    mae, u_mae = (train(images(), with_(SHORT, method=m, lam=0.0)) for m in ("mae", "u-mae"))
    assert_same_bits(mae, u_mae)


def test_mae_does_not_depend_on_the_weight_of_uniformity() -> None:
    assert_same_bits(*(train(images(), with_(SHORT, method="mae", lam=lam)) for lam in (0.0, 0.7)))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"feature": "mean"},
        {"lam": 0.2},
        {"mask_kind": "block"},
        {"queue": 5},
        {"beta2": 0.5},
        {"clip": 1e-3},
        {"diagonal": False},
        {"feature": "tokens"},
        {"bottleneck": 8},
        {"bottleneck": 8, "feature": "bottleneck"},
        {"distance": "absolute"},
        {"relative_positions": True},
        {"layer_scale": 0.1},
        {"drop_path": 0.5},
        {"lr_drop": 0.5},
    ],
)
def test_what_the_configuration_says_changes_the_model(change: dict[str, object]) -> None:
    one, other = train(images(), SHORT), train(images(), with_(SHORT, **change))
    assert not torch.equal(one.model.head.weight, other.model.head.weight)


def test_masks_are_drawn_in_their_units() -> None:
    pixels = Pixels("grey", np.zeros((5, 8, 8, 1), np.uint8), 255, np.zeros(5, np.int64), 2, np.zeros(1), np.ones(1))
    config = with_(SHORT, mask_unit=2, mask_ratio=0.5)
    draws = Draws(training_set(pixels, config, torch.device("cpu")), config)
    squares = {(0, 1, 4, 5), (2, 3, 6, 7), (8, 9, 12, 13), (10, 11, 14, 15)}
    wanted = {tuple(sorted(one + other)) for one in squares for other in squares - {one}}
    assert {tuple(row) for step in range(draws.steps) for row in draws.at(step)[1].tolist()} <= wanted
    with pytest.raises(InputError, match=r"mask unit 3 on 4 x 4 patches"):
        train(pixels, with_(SHORT, mask_unit=3))


def test_order_masks_and_crops_are_of_three_streams() -> None:
    """Of one stream the mask of an image would tell how it was cropped."""
    augmentation = Augmentation((0.2, 1.0), flip=True)
    pixels = Pixels(
        "grey", np.zeros((5, 8, 8, 1), np.uint8), 255, np.zeros(5, np.int64), 2, np.zeros(1), np.ones(1), augmentation
    )
    config = with_(SHORT, seed=3, batch=2)
    draws = Draws(training_set(pixels, config, torch.device("cpu")), config)
    for step in range(draws.steps):
        order, masks, crops = (
            np.random.default_rng([3, use, at])
            for use, at in ((Use.ORDER, step // 3), (Use.MASKS, step), (Use.AUGMENTATION, step))
        )
        rows, kept, _, chance = draws.at(step)
        np.testing.assert_array_equal(rows, order.permutation(5)[step % 3 * 2 :][:2])
        np.testing.assert_array_equal(kept, config.masks((4, 4)).sample(masks, len(rows)))
        np.testing.assert_array_equal(chance, augmentation.draw(crops, len(rows)))


def test_what_a_killed_watch_did_not_see_is_shown_when_training_goes_on(tmp_path: Path) -> None:
    path, seen = tmp_path / "model.safetensors", []

    def killed(trained: TrainedModel, _: int) -> None:
        seen.append(len(trained.losses))
        if len(seen) == 2:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(images(), SHORT, path, killed, checkpoint_every=8)
    found = train(images(), SHORT, path, killed, checkpoint_every=8)
    assert seen == [8, 16, 16, 18]
    assert_same_bits(found, train(images(), SHORT))
    train(images(), SHORT, path, killed, checkpoint_every=8)
    assert seen == [8, 16, 16, 18, 18]


def state_of(config: TrainConfig, data: CodedImages | Pixels | None = None, rank: int = 0, count: int = 1) -> State:
    """The state of a training before its first step, in a process that is alone or believes not to be."""
    group = Group()
    group.rank, group.count = rank, count
    return State(training_set(data or images(), config, torch.device("cpu")), config, torch.device("cpu"), group)


def test_a_training_takes_the_seconds_of_its_steps_and_of_nothing_between(monkeypatch: pytest.MonkeyPatch) -> None:
    state, clock = state_of(SHORT), iter((5.0, 6.5, 20.0, 22.0, 50.0, 50.25))
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    spent = []
    for _ in range(3):
        state.advance()
        spent.append(state.seconds)
    assert spent == [1.5, 3.5, 3.75]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_the_next_step_shows_is_prepared_and_nothing_else(
    accumulate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part, in the order in which the parts are asked for, from the second step to the last."""
    data, config = pixels(Augmentation((0.2, 1.0)), count=10), with_(SHORT, accumulate=accumulate, epochs=2)
    state, prepared, shown = state_of(config, data), list[list[object]](), list[list[object]]()
    batch = state.data.batch

    def seen(rows: NDArray[np.int64], *given: NDArray[np.float64]) -> object:
        shown.append([rows.tolist(), given[-1].tolist()])
        return batch(rows, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(state.data, "prepare", lambda *given: prepared.append([part.tolist() for part in given]))
    monkeypatch.setattr(state.data, "batch", seen)
    for step in range(1, state.steps + 1):
        state.advance()
        ahead = len(prepared) - (len(shown) - accumulate)
        assert ahead == (0 if step == state.steps else accumulate), "a step ahead, and no more"
    assert len(shown) == state.steps * accumulate
    assert shown[accumulate:] == prepared


@pytest.mark.parametrize(
    ("batch", "accumulate", "count", "looked"),
    [(4, 1, 1, 4), (4, 2, 1, 2), (4, 3, 1, 2), (4, 1, 2, 2), (4, 2, 2, 1), (40, 1, 1, 32), (40, 2, 1, 20)],
)
def test_a_look_at_the_model_takes_no_more_images_than_a_step_runs_at_a_time(
    batch: int, accumulate: int, count: int, looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones of the last step's batch, of which there is room in memory; 32 say as much as more."""
    state = state_of(with_(SHORT, batch=batch, accumulate=accumulate), images(45), count=count)
    state.step = 1
    rows, kept, dropped, chance = Draws(state.data, state.config).at(0)
    shown = state.data.batch(rows[:looked], kept[:looked], dropped[:looked], chance[:looked])
    h, z = state.said()
    with torch.no_grad():
        wanted = state.model(shown.visible, shown.positions, shown.slots)[0]
    assert (len(h), len(z)) == (looked, looked)
    assert torch.equal(h, wanted)
    assert not h.requires_grad


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_takes_up_the_losses_of_all(rank: int) -> None:
    """They are summed over processes in the end."""
    before = state_of(SHORT)
    before.advance()
    after = state_of(SHORT, rank=rank, count=2)
    after.load(before.tensors(), 1)
    assert before.losses[0, 0] > 0
    assert torch.equal(after.losses, before.losses if rank == 0 else torch.zeros(18, 3))


def test_a_state_that_goes_back_makes_the_same_step_again() -> None:
    """It has drawn ahead for another step by then."""
    state = state_of(SHORT)
    state.advance()
    held = {name: value.detach().clone() for name, value in state.tensors().items()}
    state.advance()
    state.advance()
    once = state.losses[1].clone()
    state.load(held, 1)
    state.advance()
    assert torch.equal(state.losses[1], once)


def test_a_long_gradient_is_scaled_down_to_the_clip() -> None:
    def gradient(clip: float) -> Tensor:
        config = with_(SHORT, clip=clip)
        state = State(training_set(images(), config, torch.device("cpu")), config, torch.device("cpu"), Group())
        state.advance()
        return torch.cat([p.grad.flatten() for p in state.model.parameters() if p.grad is not None])

    free = gradient(0.0)
    assert torch.equal(gradient(1e3), free)
    # Less by the 1e-6 that torch adds to the norm before it divides by it.
    wanted = free.double() * (1e-3 / (free.double().norm() + 1e-6))
    torch.testing.assert_close(gradient(1e-3).double(), wanted, rtol=CLIPPED, atol=0)


def test_a_seed_is_a_run_and_the_callers_randomness_stays() -> None:
    before = torch.random.get_rng_state()
    # The one place where numpy's global state is looked at: to see that nobody touched it.
    numpys = repr(np.random.get_state())  # noqa: NPY002
    one, other = train(images(), SHORT), train(images(), SHORT)
    assert_same_bits(one, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert numpys == repr(np.random.get_state())  # noqa: NPY002


def rates_of(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of each step of a training."""
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noted(optimiser: torch.optim.AdamW) -> None:
        rates.append(optimiser.param_groups[0]["lr"])
        step(optimiser)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    train(images(), config)
    return rates


def test_the_learning_rate_rises_then_falls_along_a_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = rates_of(with_(SHORT, epochs=20, warmup=0.1), monkeypatch)
    rising, steps = 6, 60
    wanted = [SHORT.lr * (step + 1) / (rising + 1) for step in range(rising)]
    wanted += [SHORT.lr * (1 + math.cos(math.pi * t / (steps - rising))) / 2 for t in range(steps - rising)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-12)


def test_the_learning_rate_drops_to_a_tenth_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """After seven eighths of 40 steps; up to there the peak, and no cosine."""
    rates = rates_of(with_(SHORT, epochs=20, batch=5, warmup=0.05, lr_drop=0.875), monkeypatch)
    wanted = [SHORT.lr / 3, SHORT.lr * 2 / 3, *[SHORT.lr] * 33, *[SHORT.lr / 10] * 5]
    np.testing.assert_allclose(rates, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("steps", "warmup", "drop", "wanted"),
    [
        # Where the rise ends between two steps, at 1.5 of 6, the cosine has begun by the next one.
        (6, 0.25, 0.0, [2 / 5, 4 / 5, *[(1 + math.cos(math.pi * t / 9)) / 2 for t in (1, 3, 5, 7)]]),
        (6, 0.25, 0.5, [2 / 5, 4 / 5, 1, 0.1, 0.1, 0.1]),
        # What drops where the rise ends is never at its peak.
        (4, 0.5, 0.5, [1 / 3, 2 / 3, 0.1, 0.1]),
        (1, 0.5, 0.0, [2 / 3]),
        (1, 0.0, 0.0, [1]),
        (2, 0.0, 0.0, [1, 0.5]),
    ],
)
def test_a_rise_may_end_between_two_steps(steps: int, warmup: float, drop: float, wanted: list[float]) -> None:
    np.testing.assert_allclose([schedule(step, steps, warmup, drop) for step in range(steps)], wanted, rtol=1e-12)


def test_branches_that_chance_leaves_out_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the step's own stream of random numbers, an image each, in training; whoever measures sees all."""
    config = with_(SHORT, drop_path=0.5, epochs=1)
    seen: list[Tensor | None] = []
    encode = MaskedModel.encode

    def noted(self: MaskedModel, *given: Tensor) -> Tensor:
        # Without gradients is who looks at the model before it is stored.
        if torch.is_grad_enabled():
            seen.append(given[3] if len(given) > 3 else None)
        return encode(self, *given)

    monkeypatch.setattr(MaskedModel, "encode", noted)
    train(images(), config)
    assert len(seen) == 3
    for step, (found, size) in enumerate(zip(seen, (4, 4, 2), strict=True)):
        # Nothing is left out of the first of the two blocks; what stays of the second counts double.
        stays = np.random.default_rng([config.seed, 15, step]).random((2, 2, size)) < [[[1.0]], [[0.5]]]
        assert found is not None
        np.testing.assert_array_equal(found.numpy(), stays * np.array([[[1.0]], [[2.0]]]))


def test_only_weight_matrices_decay() -> None:
    """Without a gradient that matters, a decayed parameter shrinks by Π(1 − lr·wd) and others stay."""
    # A rate of 1e-12 moves nothing by its gradient, and decay 1e10 makes lr·wd = 0.01 at the peak.
    config = with_(SHORT, method="mae", lr=1e-12, weight_decay=1e10, warmup=0.0)
    start, end = untrained(images(), config).model, train(images(), config).model
    steps = 18
    shrink = math.prod(1 - 0.01 * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps))
    decayed = set()
    for (name, before), after in zip(start.named_parameters(), end.parameters(), strict=True):
        if torch.allclose(after, before * shrink, rtol=DECAYED, atol=MOVED) and before.any():
            decayed.add(name)
        else:
            torch.testing.assert_close(after, before, rtol=0, atol=MOVED)
    matrices = {name for name, p in start.named_parameters() if name.endswith("weight") and p.ndim == 2}
    assert decayed == matrices
    relative = build_model(model_config("micro", GRID, PATCH_DIM, family="simmim", relative=True), 0)
    assert "relative.table" not in state_module.matrices(relative)


def test_adamw_is_that_of_mae() -> None:
    device = torch.device("cpu")
    state = State(training_set(images(), SHORT, device), SHORT, device, Group())
    assert {(group["betas"], group["eps"]) for group in state.optimiser.param_groups} == {((0.9, 0.95), 1e-8)}


def test_bf16_trains_close_to_fp32() -> None:
    """8 bits of mantissa: losses of the same run agree within some per cent at first, and stay finite."""
    full, half = (train(images(), with_(SHORT, precision=p)).losses for p in ("fp32", "bf16"))
    assert not np.array_equal(full, half)
    assert half[0, 0] == pytest.approx(full[0, 0], rel=0.05)
    assert np.isfinite(half).all()


def test_progress_is_told_at_intervals_and_at_the_end() -> None:
    told: list[tuple[NDArray[np.float32], int, bool]] = []

    def watch(trained: TrainedModel, steps: int) -> None:
        told.append((trained.losses, steps, trained.model.training))

    found = train(images(), SHORT, watch=watch, checkpoint_every=8)
    assert [(len(losses), steps) for losses, steps, _ in told] == [(8, 18), (16, 18), (18, 18)]
    assert not any(training for _, _, training in told)
    for losses, _, _ in told:
        np.testing.assert_array_equal(losses, found.losses[: len(losses)])
    assert_same_bits(found, train(images(), SHORT))


def test_divergence_has_a_name_and_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def breaking(h: Tensor, target: Tensor, weights: Tensor, batch: int, distance: Distance) -> Tensor:
        calls.append(0)
        return reconstruction_share(h, target, weights, batch, distance) * (math.nan if len(calls) == 6 else 1)

    monkeypatch.setattr(network_module, "reconstruction_share", breaking)
    with pytest.raises(TrainingDivergedError, match=r"u-mae at mask ratio 0.5, seed 0 is not finite at step 5; try"):
        train(images(), SHORT)


def test_patch_values_that_are_not_finite_diverge_at_once() -> None:
    data = images()
    assert data.codebook is not None
    broken = replace(data, codebook=np.full_like(data.codebook, math.nan))
    with pytest.raises(TrainingDivergedError, match="is not finite at step 0; try a lower lr"):
        train(broken, SHORT)


def test_a_model_that_diverged_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(TrainingDivergedError):
        train(images(), with_(SHORT, lr=1e30), path)
    tensors, meta = read_checkpoint(path)
    assert meta["step"] == 0
    assert all(torch.isfinite(value).all() for value in tensors.values())


@pytest.mark.parametrize("lr", [1e10, 1e30, 1e38])
def test_a_divergence_of_the_last_step_is_seen_before_anything_is_stored_or_shown(lr: float, tmp_path: Path) -> None:
    """No later loss tells of it: parameters are infinite, or so large that what the network says is."""
    path, seen = tmp_path / "model.safetensors", []
    message = r"a parameter or an output of u-mae at mask ratio 0.5, seed 0 is not finite after step 0; try a lower lr"
    for config in (with_(SHORT, lr=lr, epochs=1, batch=10), with_(SHORT, lr=lr)):
        with pytest.raises(TrainingDivergedError, match=message):
            train(images(), config, path, lambda *news: seen.append(news), checkpoint_every=1)
        assert read_checkpoint(path)[1]["step"] == 0
        path.unlink()
    assert not seen


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["parameter", "reconstruction", "feature", "loss", "loss of another process"])
def test_one_number_that_is_not_finite_is_seen_wherever_it_is(
    where: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a parameter that the images looked at do not reach, as one of an offset that no mask of theirs shows."""
    state = state_of(SHORT)
    state.advance()
    h, z = state.said()
    monkeypatch.setattr(state, "said", lambda: (h, z))
    check_state(state)
    if where == "loss of another process":
        monkeypatch.setattr(state.group, "sum", lambda losses: losses + value)
    else:
        held = {"parameter": state.model.head.weight, "reconstruction": h, "feature": z, "loss": state.losses}[where]
        held.detach().view(-1)[1] = value
    said = "the loss of .* at step 0" if "loss" in where else "a parameter or an output of .* after step 0"
    with pytest.raises(TrainingDivergedError, match=said):
        check_state(state)


def test_a_checkpoint_of_a_model_that_diverged_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), SHORT, path)
    tensors, meta = read_checkpoint(path)
    tensors["model.cls"][0] = math.nan
    write_checkpoint(path, tensors, meta)
    with pytest.raises(TrainingDivergedError, match=r"is not finite after step 17; try a lower lr"):
        train(images(), SHORT, path)


def test_a_trained_model_is_in_evaluation_mode() -> None:
    assert not train(images(), SHORT).model.training
    assert not untrained(images(), SHORT).model.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "simclr"}, r"unknown method 'simclr'; expected one of mae, u-mae, simmim, u-simmim"),
        ({"mask_ratio": 1.0}, r"mask ratio 1 is outside \(0, 1\)"),
        ({"mask_ratio": math.nan}, r"mask ratio nan is outside"),
        ({"mask_kind": "stripes"}, r"unknown mask distribution 'stripes'; expected one of uniform, block, grid"),
        ({"mask_unit": 0}, r"mask unit 0; expected the side of a square in patches"),
        ({"view": "set"}, r"unknown view 'set'; expected one of"),
        ({"size": "huge"}, r"unknown size 'huge'; expected one of micro"),
        ({"feature": "max"}, r"unknown feature 'max'; expected one of cls, mean"),
        ({"precision": "fp16"}, r"unknown precision 'fp16'; did you mean bf16\? expected one of auto, fp32, bf16"),
        ({"device": "tpu"}, r"unknown device 'tpu'; expected one of auto, cpu, cuda"),
        ({"epochs": 0}, r"epochs 0; expected at least 1"),
        ({"batch": 0}, r"batch 0; expected at least 1"),
        ({"accumulate": 0}, r"accumulate 0; expected at least 1"),
        ({"accumulate": 5}, r"accumulate 5 parts of 4 images; expected at most batch"),
        ({"beta2": 1.0}, r"beta2 1; expected a number in \[0, 1\)"),
        ({"clip": -1.0}, r"clip -1; expected a number of at least 0"),
        ({"queue": -1}, r"queue -1; expected at least 0"),
        ({"target": "edges"}, r"unknown target 'edges'; expected one of pixels, normalised"),
        ({"distance": "huber"}, r"unknown distance 'huber'; expected one of auto, squared, absolute"),
        ({"final_norm": "never"}, r"unknown final_norm 'never'; expected one of once, twice"),
        ({"feature": "bottleneck"}, r"feature bottleneck of a model without one; set bottleneck to its dimension"),
        (
            {"feature": "tokens", "final_norm": "twice"},
            r"final_norm twice of tokens, which the decoder reads normalised",
        ),
        (
            {"feature": "bottleneck", "bottleneck": 8, "final_norm": "twice"},
            r"final_norm twice of bottleneck, which the decoder reads normalised once; use once, or feature cls",
        ),
        ({"bottleneck": 0}, r"bottleneck 0; expected a dimension of at least 1"),
        ({"method": "simmim", "bottleneck": 8}, r"a bottleneck needs a decoder behind it"),
        ({"decoder_dim": 33}, r"decoder width 33 over 2 heads"),
        ({"diagonal": False, "batch": 1}, r"batches of one image have no pairs without the diagonal"),
        ({"lam": "often"}, r"lam 'often'; expected a number or auto"),
        ({"seed": -1}, r"seed -1; expected an integer from 0 to 4294967295"),
        ({"lam": -0.5}, r"lam -0.5; expected a number of at least 0"),
        ({"lr": math.inf}, r"lr inf; expected"),
        ({"weight_decay": math.nan}, r"weight_decay nan; expected"),
        ({"warmup": 1.0}, r"warmup 1; expected a share of the steps in \[0, 1\)"),
        ({"lr_drop": 1.0}, r"lr_drop 1; expected 0, or a share of the steps from warmup up, below 1"),
        ({"lr_drop": 0.05, "warmup": 0.1}, r"lr_drop 0.05; expected 0, or a share of the steps from warmup up"),
        ({"drop_path": 1.0}, r"drop_path 1; expected a probability in \[0, 1\)"),
        ({"relative_positions": 2}, r"relative_positions 2; expected true or false"),
        ({"layer_scale": -0.1}, r"layer_scale -0.1; expected 0, or a small positive number, such as 0.1"),
    ],
)
def test_a_bad_configuration_is_refused_at_the_door(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_config(with_(SHORT, **change))
    with pytest.raises(InputError, match=message):
        train(images(), with_(SHORT, **change))


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"device cuda, but PyTorch sees no CUDA device here; use --device auto"):
        resolve_device("cuda")
    assert resolve_device("auto") == torch.device("cpu")


def test_normalised_targets_of_one_value_are_refused() -> None:
    data = make_coded_images("thin", np.arange(6)[None] % 2, np.array([0]), codebook=np.array([[0.0], [1.0]]))
    with pytest.raises(InputError, match=r"normalised targets of patches of one value are all 0; use target pixels"):
        train(data, with_(SHORT, target="normalised"))


def test_codes_without_values_are_refused() -> None:
    data = make_coded_images("bare", images().codes, np.arange(10), grid=GRID)
    for start in (train, untrained):
        with pytest.raises(InputError, match=r"bare has codes but no patch values to show a network; add a codebook"):
            start(data, SHORT)
