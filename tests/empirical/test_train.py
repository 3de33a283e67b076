"""Training: what each step sees, that it learns, and what it refuses."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from maskgraph.empirical import train as train_module
from maskgraph.empirical.checkpoint import read_checkpoint
from maskgraph.empirical.model import MaskedAutoencoder, reconstruction_loss
from maskgraph.empirical.train import (
    TrainConfig,
    TrainingDivergedError,
    check_config,
    resolve_device,
    train,
    untrained,
)
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View
from tests.empirical.toys import GRID, SHORT, assert_same_bits, images, with_
from tests.strategies import VIEWS

PATCHES = GRID[0] * GRID[1]
BATCHES = [4, 4, 2]
"""Of the ten images in each epoch of SHORT."""


class Spy:
    """What the model was shown, asked and judged by, step by step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[tuple[Tensor, Tensor, Tensor]] = []
        self.judged: list[tuple[Tensor, Tensor]] = []
        forward = MaskedAutoencoder.forward

        def seen(model: MaskedAutoencoder, *arguments: Tensor) -> tuple[Tensor, Tensor]:
            self.shown.append((arguments[0], arguments[1], arguments[2]))
            return forward(model, *arguments)

        def judged(reconstruction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
            self.judged.append((target, weights))
            return reconstruction_loss(reconstruction, target, weights)

        monkeypatch.setattr(MaskedAutoencoder, "forward", seen)
        monkeypatch.setattr(train_module, "reconstruction_loss", judged)


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
        np.testing.assert_allclose(weights, data.weights[rows] * len(data.codes), rtol=1e-6)
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
    assert found.shape == (1000, 2)
    assert found[:5, 0].mean() > mean_predictor
    assert found[-20:, 0].mean() < mean_predictor / 20


def test_u_mae_spreads_the_features_that_mae_leaves_alike() -> None:
    data = images()
    mae, u_mae = (train(data, with_(SHORT, method=m, lam=1.0, epochs=40)).losses for m in ("mae", "u-mae"))
    np.testing.assert_array_equal(mae[0], u_mae[0])
    assert u_mae[-20:, 1].mean() < 0.5 < mae[-20:, 1].mean()


def test_without_weight_u_mae_is_mae() -> None:
    mae, u_mae = (train(images(), with_(SHORT, method=m, lam=0.0)) for m in ("mae", "u-mae"))
    assert_same_bits(mae, u_mae)


def test_mae_does_not_depend_on_the_weight_of_uniformity() -> None:
    assert_same_bits(*(train(images(), with_(SHORT, method="mae", lam=lam)) for lam in (0.0, 0.7)))


@pytest.mark.parametrize("change", [{"seed": 1}, {"feature": "mean"}, {"lam": 0.2}, {"mask_kind": "block"}])
def test_what_the_configuration_says_changes_the_model(change: dict[str, object]) -> None:
    one, other = train(images(), SHORT), train(images(), with_(SHORT, **change))
    assert not torch.equal(one.model.head.weight, other.model.head.weight)


def test_a_seed_is_a_run_and_the_callers_randomness_stays() -> None:
    before = torch.random.get_rng_state()
    # The one place where numpy's global state is looked at: to see that nobody touched it.
    numpys = repr(np.random.get_state())  # noqa: NPY002
    one, other = train(images(), SHORT), train(images(), SHORT)
    assert_same_bits(one, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert numpys == repr(np.random.get_state())  # noqa: NPY002


def test_the_learning_rate_rises_then_falls_along_a_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noted(optimiser: torch.optim.AdamW) -> None:
        rates.append(optimiser.param_groups[0]["lr"])
        step(optimiser)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    train(images(), with_(SHORT, epochs=20, warmup=0.1))
    rising, steps = 6, 60
    wanted = [SHORT.lr * (step + 1) / (rising + 1) for step in range(rising)]
    wanted += [SHORT.lr * (1 + math.cos(math.pi * t / (steps - rising))) / 2 for t in range(steps - rising)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-12)


def test_only_weight_matrices_decay() -> None:
    """Without a gradient that matters, a decayed parameter shrinks by Π(1 − lr·wd) and others stay."""
    # A rate of 1e-12 moves nothing by its gradient, and decay 1e10 makes lr·wd = 0.01 at the peak.
    config = with_(SHORT, method="mae", lr=1e-12, weight_decay=1e10, warmup=0.0)
    start, end = untrained(images(), config).model, train(images(), config).model
    steps = 18
    shrink = math.prod(1 - 0.01 * (1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps))
    decayed = set()
    for (name, before), after in zip(start.named_parameters(), end.parameters(), strict=True):
        if torch.allclose(after, before * shrink, rtol=1e-5, atol=1e-7) and before.any():
            decayed.add(name)
        else:
            torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-7)
    matrices = {name for name, p in start.named_parameters() if name.endswith("weight") and p.ndim == 2}
    assert decayed == matrices


def test_bf16_trains_close_to_fp32() -> None:
    """8 bits of mantissa: losses of the same run agree within some per cent at first, and stay finite."""
    full, half = (train(images(), with_(SHORT, precision=p)).losses for p in ("fp32", "bf16"))
    assert not np.array_equal(full, half)
    assert half[0, 0] == pytest.approx(full[0, 0], rel=0.05)
    assert np.isfinite(half).all()


def test_progress_is_told_at_intervals_and_at_the_end() -> None:
    told: list[tuple[int, int, float]] = []
    found = train(images(), SHORT, progress=lambda *news: told.append(news), checkpoint_every=8)
    assert [(step, steps) for step, steps, _ in told] == [(8, 18), (16, 18), (18, 18)]
    assert [loss for _, _, loss in told] == [float(found.losses[step - 1, 0]) for step, _, _ in told]


def test_divergence_has_a_name_and_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def breaking(*arguments: Tensor) -> Tensor:
        calls.append(0)
        return reconstruction_loss(*arguments) * (math.nan if len(calls) == 6 else 1)

    monkeypatch.setattr(train_module, "reconstruction_loss", breaking)
    with pytest.raises(TrainingDivergedError, match=r"u-mae at mask ratio 0.5, seed 0 is not finite at step 5; try"):
        train(images(), SHORT)


def test_patch_values_that_are_not_finite_diverge_at_once() -> None:
    data = images()
    assert data.codebook is not None
    broken = replace(data, codebook=np.full_like(data.codebook, math.nan))
    with pytest.raises(TrainingDivergedError, match="is not finite at step 0; try a lower --lr"):
        train(broken, SHORT)


def test_a_model_that_diverged_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(TrainingDivergedError):
        train(images(), with_(SHORT, lr=1e30), path)
    tensors, meta = read_checkpoint(path)
    assert meta["step"] == 0
    assert all(torch.isfinite(value).all() for value in tensors.values())


def test_a_trained_model_is_in_evaluation_mode() -> None:
    assert not train(images(), SHORT).model.training
    assert not untrained(images(), SHORT).model.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "simclr"}, r"unknown method 'simclr'; expected one of mae, u-mae"),
        ({"mask_ratio": 1.0}, r"mask ratio 1 is outside \(0, 1\)"),
        ({"mask_ratio": math.nan}, r"mask ratio nan is outside"),
        ({"mask_kind": "stripes"}, r"unknown mask distribution 'stripes'; expected one of uniform, block, grid"),
        ({"view": "set"}, r"unknown view 'set'; expected one of"),
        ({"size": "huge"}, r"unknown size 'huge'; expected one of micro"),
        ({"feature": "max"}, r"unknown feature 'max'; expected one of cls, mean"),
        ({"precision": "fp16"}, r"unknown precision 'fp16'; expected auto, fp32 or bf16"),
        ({"device": "tpu"}, r"unknown device 'tpu'; expected auto, cpu or cuda"),
        ({"epochs": 0}, r"epochs 0; expected at least 1"),
        ({"batch": 0}, r"batch 0; expected at least 1"),
        ({"seed": -1}, r"seed -1; expected at least 0"),
        ({"lam": -0.5}, r"lam -0.5; expected a number of at least 0"),
        ({"lr": math.inf}, r"lr inf; expected"),
        ({"weight_decay": math.nan}, r"weight_decay nan; expected"),
        ({"warmup": 1.0}, r"warmup 1; expected a share of the steps in \[0, 1\)"),
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


def test_codes_without_values_are_refused() -> None:
    data = make_coded_images("bare", images().codes, np.arange(10), grid=GRID)
    for start in (train, untrained):
        with pytest.raises(InputError, match=r"bare has codes but no patch values to train on; add a codebook"):
            start(data, SHORT)
