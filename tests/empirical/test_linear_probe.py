"""Linear probes against scikit-learn and literal loops; train, validation and test never mixed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Ridge as SklearnRidge

from maskgraph.empirical import linear_probe
from maskgraph.empirical.linear_probe import NORM_EPS, REGULARISERS, Lars, SgdProbe, ridge_probe, sgd_probe
from maskgraph.empirical.probes import Labelled
from maskgraph.empirical.state import schedule
from maskgraph.empirical.streams import Use
from maskgraph.graphs.errors import InputError
from tests.strategies import searched

SEEDS = st.integers(0, 10**6)

DRIFT = 1e-4
"""Of float32 weights after 234 steps beside float64 ones, relative to the largest; 1e-5 were found."""


def labelled(count: int, dim: int, classes: int, seed: int, weighted: bool = True) -> Labelled:
    """Classes whose means differ by about their spread, each present."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(classes, size=count - classes)])
    means = np.random.default_rng(99).normal(size=(classes, dim))
    x = means[y] + rng.normal(size=(count, dim)) * rng.uniform(0.5, 2, dim) + 3
    weights = rng.uniform(0.2, 1, count) if weighted else np.ones(count)
    return Labelled(x, y, weights / weights.sum())


def by_sklearn(fitted: Labelled, asked: NDArray[np.float64], classes: int, r: float) -> NDArray[np.int64]:
    """Ridge onto one-hot classes with an intercept, features standardised by what is fitted on."""
    mean = np.average(fitted.x, axis=0, weights=fitted.weights)
    spread = np.sqrt(np.average((fitted.x - mean) ** 2, axis=0, weights=fitted.weights))
    model = SklearnRidge(alpha=r, solver="cholesky")
    model.fit((fitted.x - mean) / spread, np.eye(classes)[fitted.y], sample_weight=fitted.weights)
    return np.asarray(model.predict((asked - mean) / spread).argmax(axis=1), dtype=np.int64)


@given(st.integers(30, 60), st.integers(2, 8), st.integers(2, 4), SEEDS)
@searched(15)
def test_ridge_is_scikit_learns(count: int, dim: int, classes: int, seed: int) -> None:
    train, validation = labelled(count, dim, classes, seed), labelled(count, dim, classes, seed + 1)
    test = labelled(40, dim, classes, seed + 2)
    found = ridge_probe(train, validation, test.x)
    accuracy = []
    for r in REGULARISERS:
        right = by_sklearn(train, validation.x, classes, r) == validation.y
        accuracy.append(validation.weights[right].sum())
    # The largest of those that are best: rounding may swap two answers that tie.
    best = max(r for r, score in zip(REGULARISERS, accuracy, strict=True) if score > max(accuracy) - 1e-12)
    assert found.validation == pytest.approx(max(accuracy))
    assert found.regulariser == best
    weights = np.concatenate([train.weights, validation.weights])
    both = Labelled(
        np.concatenate([train.x, validation.x]), np.concatenate([train.y, validation.y]), weights / weights.sum()
    )
    np.testing.assert_array_equal(found.predicted, by_sklearn(both, test.x, classes, best))


def test_ridge_of_more_features_than_images_is_scikit_learns_too() -> None:
    train, validation, test = (labelled(20, 50, 3, seed) for seed in range(3))
    found = ridge_probe(train, validation, test.x)
    both = Labelled(
        np.concatenate([train.x, validation.x]),
        np.concatenate([train.y, validation.y]),
        np.concatenate([train.weights, validation.weights]) / 2,
    )
    np.testing.assert_array_equal(found.predicted, by_sklearn(both, test.x, 3, found.regulariser))


def test_ridge_is_fitted_again_on_images_that_count_alike_whatever_part_they_were_in() -> None:
    """Validation is the smaller part, and a part's masses sum to 1 by itself: one image of it is worth no more."""
    train, validation, test = (labelled(count, 4, 3, seed, weighted=False) for seed, count in enumerate((60, 12, 400)))
    found = ridge_probe(train, validation, test.x)
    x, y = np.concatenate([train.x, validation.x]), np.concatenate([train.y, validation.y])
    answers = [
        by_sklearn(Labelled(x, y, weights / weights.sum()), test.x, 3, found.regulariser)
        for weights in (np.ones(72), np.concatenate([train.weights, validation.weights]))
    ]
    np.testing.assert_array_equal(found.predicted, answers[0])
    assert (answers[0] != answers[1]).sum() > 5, "a set where it matters"


def test_regularisers_reach_from_least_squares_to_class_means() -> None:
    """Of few images in a large dimension, least squares fits noise and class means do not; of many it is the other way.

    Spread along the direction that tells classes apart least: there least squares finds what means do not.
    """
    rng = np.random.default_rng(0)

    def parts(count: int, dim: int, shift: float, common: float) -> list[Labelled]:
        found = []
        for _ in range(2):
            y = np.arange(count) % 2
            x = rng.normal(size=(count, dim))
            x[:, 0] += shift * (2 * y - 1)
            # The same large number on the first two features hides the classes from each of them alone.
            x[:, :2] += common * rng.normal(size=(count, 1))
            found.append(Labelled(x, y, np.full(count, 1 / count)))
        return found

    noisy, validation = parts(200, 400, 1.5, 0.0)
    assert ridge_probe(noisy, validation, validation.x).regulariser > 1
    hidden, validation = parts(2000, 2, 3.0, 1000.0)
    found = ridge_probe(hidden, validation, validation.x)
    assert found.regulariser < 1e-4
    assert found.validation > 0.95
    assert len(REGULARISERS) == 17
    np.testing.assert_allclose(REGULARISERS, [10 ** (power / 2) for power in range(-12, 5)], rtol=1e-12)


def test_test_images_choose_nothing_and_validation_chooses_the_regulariser() -> None:
    train, validation, test = (labelled(60, 40, 3, seed) for seed in range(3))
    found = ridge_probe(train, validation, test.x)
    one_by_one = [ridge_probe(train, validation, test.x[row : row + 1]).predicted[0] for row in range(10)]
    np.testing.assert_array_equal(one_by_one, found.predicted[:10])
    assert ridge_probe(train, validation, 1000 * test.x).regulariser == found.regulariser
    noise = replace(validation, y=np.random.default_rng(0).permutation(validation.y))
    chosen = {ridge_probe(train, replace(noise, y=np.roll(noise.y, shift)), test.x).regulariser for shift in range(9)}
    assert len(chosen) > 1


@pytest.mark.parametrize("value", [0.0, 1e9])
def test_a_constant_feature_tells_ridge_nothing(value: float) -> None:
    train, validation, test = (labelled(40, 3, 3, seed) for seed in range(3))

    def more(x: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
        return np.concatenate([x, np.full((len(x), 1), constant)], axis=1)

    wanted = ridge_probe(train, validation, test.x)
    wider = [replace(part, x=more(part.x, value)) for part in (train, validation)]
    found = ridge_probe(wider[0], wider[1], more(test.x, value))
    np.testing.assert_array_equal(found.predicted, wanted.predicted)


def test_lars_is_its_formula_step_by_step() -> None:
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=(3, 2)), rng.normal(size=3)
    leaf, bias = torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True)
    optimiser = Lars([leaf, bias], momentum=0.9, trust=0.01)
    velocity_w, velocity_b = np.zeros((3, 2)), np.zeros(3)
    for step in range(5):
        slope_w, slope_b = rng.normal(size=(3, 2)), rng.normal(size=3)
        leaf.grad, bias.grad = torch.tensor(slope_w), torch.tensor(slope_b)
        optimiser.step(lr=0.5 + step)
        rate = 0.01 * math.sqrt((w**2).sum()) / math.sqrt((slope_w**2).sum())
        velocity_w = 0.9 * velocity_w + rate * slope_w
        velocity_b = 0.9 * velocity_b + slope_b
        w, b = w - (0.5 + step) * velocity_w, b - (0.5 + step) * velocity_b
        np.testing.assert_allclose(leaf.detach().numpy(), w, rtol=1e-12)
        np.testing.assert_allclose(bias.detach().numpy(), b, rtol=1e-12)


def test_lars_moves_a_zero_matrix_by_its_gradient() -> None:
    leaf = torch.zeros(2, 2, requires_grad=True)
    leaf.grad = torch.ones(2, 2)
    Lars([leaf], 0.0, 0.01).step(0.5)
    assert torch.equal(leaf.detach(), torch.full((2, 2), -0.5))


def test_the_published_probe_learns_and_does_not_look_at_scales() -> None:
    train, test = labelled(200, 6, 3, 0, weighted=False), labelled(200, 6, 3, 1, weighted=False)
    how = SgdProbe(epochs=5, warmup=1)
    found = sgd_probe(train, test.x, how)
    chance = np.bincount(test.y).max() / 200
    best = by_sklearn(train, test.x, 3, 1e-3)
    assert (found == test.y).mean() > (best == test.y).mean() - 0.05 > chance + 0.2
    np.testing.assert_array_equal(sgd_probe(train, test.x, how), found)
    # Powers of two are exact, and batch-norm's eps is rounded away beside the variance of the nearest two features.
    enlarge, scales = 2.0**30, 2.0 ** np.arange(6)
    nearest = np.diff(np.sort(enlarge * train.x, axis=0), axis=0).min()
    assert np.finfo(np.float32).eps / 4 * (nearest / 2) ** 2 > NORM_EPS
    one, other = (sgd_probe(replace(train, x=enlarge * train.x * by), enlarge * test.x * by, how) for by in (1, scales))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("count", "batches"), [(2, 1), (31, 1), (32, 2), (155, 9), (1258, 78), (1700, 85), (1691, 85)])
def test_every_turn_shows_every_feature_in_batches_that_are_not_too_small(
    count: int, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[float]] = []
    rates: list[float] = []
    normalise, step = torch.nn.functional.batch_norm, Lars.step

    def noted(x: torch.Tensor, mean: Any, variance: Any, **how: Any) -> torch.Tensor:
        if how.get("training"):
            seen.append(x[:, 0].tolist())
        return normalise(x, mean, variance, **how)

    def timed(optimiser: Lars, lr: float) -> None:
        rates.append(lr)
        step(optimiser, lr)

    monkeypatch.setattr(torch.nn.functional, "batch_norm", noted)
    monkeypatch.setattr(linear_probe.Lars, "step", timed)
    x = np.arange(2.0 * count).reshape(count, 2)
    sgd_probe(Labelled(x, np.arange(count) % 2, np.full(count, 1 / count)), x, SgdProbe(epochs=2, batch=20, warmup=1))
    # As many steps as of a large set, whatever the batches.
    steps = 2 * max(78, batches)
    assert len(seen) == steps
    assert min(map(len, seen)) >= min(16, count)
    assert max(map(len, seen)) <= 31
    turns = [seen[start : start + batches] for start in range(0, steps - batches + 1, batches)]
    for turn in turns:
        assert sorted(value for batch in turn for value in batch) == x[:, 0].tolist()
    assert count == 2 or turns[0] != turns[1]
    np.testing.assert_allclose(rates, [6.4 * schedule(index, steps, 0.5) for index in range(steps)])


@pytest.mark.parametrize("warmup", [2, 10])
def test_a_probe_that_is_no_longer_than_its_warm_up_does_not_rise(warmup: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would never reach its learning rate."""
    rates: list[float] = []
    monkeypatch.setattr(linear_probe.Lars, "step", lambda _, lr: rates.append(lr))
    train = labelled(40, 4, 3, 0, weighted=False)
    sgd_probe(train, train.x, SgdProbe(epochs=2, warmup=warmup))
    np.testing.assert_allclose(rates, [6.4 * (1 + math.cos(math.pi * step / 156)) / 2 for step in range(156)])


def test_the_published_probe_of_few_features_is_as_good_as_ridge() -> None:
    """After twenty epochs batches of two, whose statistics are noise, would put it some 10 % below."""
    rng = np.random.default_rng(0)
    plane, x = rng.normal(size=(20, 3)), rng.normal(size=(2100, 20))
    y = (x @ plane).argmax(axis=1)
    train = Labelled(x[:100], y[:100], np.full(100, 0.01))
    found, wanted = sgd_probe(train, x[100:], SgdProbe(epochs=20, warmup=2)), by_sklearn(train, x[100:], 3, 1e-3)
    assert (found == y[100:]).mean() > (wanted == y[100:]).mean() - 0.02


def test_the_published_probe_takes_classes_of_any_integers() -> None:
    train, how = labelled(40, 4, 3, 0, weighted=False), SgdProbe(epochs=1)
    found = sgd_probe(replace(train, y=train.y.astype(np.int32)), train.x, how)
    np.testing.assert_array_equal(found, sgd_probe(train, train.x, how))


def test_the_published_probe_is_a_literal_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch-norm by its formula, softmax, LARS, warm-up and cosine; answers from statistics of all features."""
    train, asked = labelled(40, 4, 3, 0, weighted=False), labelled(20_000, 4, 3, 1, weighted=False).x
    # Beside the variance of the last feature batch-norm's eps is no trifle.
    scale = np.array([1, 1, 1, 1e-3])
    middle, x = train.x.mean(axis=0), (train.x - train.x.mean(axis=0)) * scale
    asked = (asked - middle) * scale
    made: list[torch.nn.Linear] = []
    fresh = linear_probe._linear

    def kept(dim: int, classes: int, seed: int) -> torch.nn.Linear:
        made.append(fresh(dim, classes, seed))
        return made[-1]

    monkeypatch.setattr(linear_probe, "_linear", kept)
    found = sgd_probe(replace(train, x=x), asked, SgdProbe(epochs=3, warmup=1, seed=5))
    w, b = fresh(4, 3, 5).weight.detach().double().numpy(), np.zeros(3)
    velocity_w, velocity_b = np.zeros((3, 4)), np.zeros(3)
    for step in range(3 * 78):
        # Forty features are two batches of 20.
        turn, half = divmod(step, 2)
        rows = np.random.default_rng([5, Use.PROBE_ORDER, turn]).permutation(40)[20 * half : 20 * half + 20]
        z = (x[rows] - x[rows].mean(axis=0)) / np.sqrt(x[rows].var(axis=0) + 1e-6)
        odds = np.exp(z @ w.T + b)
        slope = (odds / odds.sum(axis=1, keepdims=True) - np.eye(3)[train.y[rows]]) / 20
        slope_w, slope_b = slope.T @ z, slope.sum(axis=0)
        share = (step + 1) / 79 if step < 78 else (1 + math.cos(math.pi * (step - 78) / 156)) / 2
        velocity_w = 0.9 * velocity_w + 0.001 * np.sqrt((w**2).sum() / (slope_w**2).sum()) * slope_w
        velocity_b = 0.9 * velocity_b + slope_b
        w, b = w - 6.4 * share * velocity_w, b - 6.4 * share * velocity_b
    for value, wanted in ((made[0].weight, w), (made[0].bias, b)):
        np.testing.assert_allclose(value.detach().numpy(), wanted, rtol=0, atol=DRIFT * np.abs(wanted).max())
    # Running variances, which the published probe answers by, are unbiased.
    scores = (asked - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1) + 1e-6) @ w.T + b
    _, second, most = np.sort(scores, axis=1).T
    clear = most - second > 10 * DRIFT * np.abs(scores).max()
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], scores.argmax(axis=1)[clear])


def test_the_published_probe_starts_near_zero() -> None:
    start = linear_probe._linear(500, 20, 0)
    # Of the deviation of 10,000 draws, five times its own.
    assert float(start.weight.detach().std()) == pytest.approx(0.01, rel=5 / math.sqrt(2 * 10_000))
    assert not start.bias.any()
    same, other = (linear_probe._linear(500, 20, seed).weight for seed in (0, 1))
    assert torch.equal(start.weight, same)
    assert not torch.equal(start.weight, other), "a seed is a draw"


def test_the_probe_is_as_published() -> None:
    """He et al. 2022, appendix A.1: 90 epochs of 1,281,167 images, ten of them of warm-up, at 0.1 for every 256."""
    how = SgdProbe()
    assert (how.epochs, how.warmup, how.batch, how.momentum, how.trust) == (90, 10, 16384, 0.9, 0.001)
    assert how.steps == 1_281_167 // how.batch
    assert how.lr == pytest.approx(0.1 * how.batch / 256, rel=1e-15)


def test_one_feature_under_batch_norm_is_refused() -> None:
    one = Labelled(np.ones((1, 3)), np.zeros(1, dtype=np.int64), np.ones(1))
    with pytest.raises(InputError, match=r"1 feature under batch-norm, which makes 0 of it; expected at least 2"):
        sgd_probe(one, one.x, SgdProbe())


def test_batches_of_one_feature_are_refused() -> None:
    with pytest.raises(InputError, match=r"least 1 of a probe; expected at least 2"):
        SgdProbe(least=1)
    x = np.random.default_rng(0).normal(size=(5, 3))
    five = Labelled(x, np.arange(5) % 2, np.full(5, 0.2))
    assert sgd_probe(five, x, SgdProbe(epochs=1, batch=2, least=2)).shape == (5,)
