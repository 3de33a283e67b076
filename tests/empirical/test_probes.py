"""Probes on data whose answer is known, and features of whole images."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from maskgraph.empirical import probes
from maskgraph.empirical.model import FeatureKind
from maskgraph.empirical.probes import (
    Labelled,
    ProbeScores,
    few_shot_probe,
    full_features,
    knn_probe,
    pixel_features,
    probe,
    standardised,
)
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.views import View
from tests.empirical.toys import PATCH_DIM, double_model, images
from tests.strategies import VIEWS

CLASSES = 4


def clouds(count: int, seed: int, distance: float = 8.0, dim: int = 6) -> Labelled:
    """Unit-variance clouds on the first axes, `distance` from the origin, with unequal weights."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    x = rng.normal(size=(count, dim))
    x[np.arange(count), y] += distance
    return Labelled(x, y, rng.dirichlet(np.full(count, 5.0)))


def scores(found: ProbeScores) -> dict[str, float]:
    """The three accuracies by name."""
    return {"linear": found.linear, "knn": found.knn, "few_shot": found.few_shot}


def even(x: NDArray[np.float64], y: NDArray[np.int64]) -> Labelled:
    """Equal masses."""
    return Labelled(x, y, np.full(len(x), 1 / len(x)))


def test_what_is_apart_is_told_apart() -> None:
    found = probe(clouds(200, 0), clouds(100, 1), 0)
    assert found.linear == pytest.approx(1)
    assert found.knn == pytest.approx(1)
    assert found.few_shot > 0.98


def test_shuffled_labels_leave_chance() -> None:
    """Features that know nothing: each accuracy is a mean of 2000 draws at 1/4, few-shot of dependent ones."""
    train, test = clouds(400, 0), clouds(2000, 1)
    rng = np.random.default_rng(2)
    train = even(train.x, rng.permutation(train.y))
    test = even(test.x, rng.permutation(test.y))
    error = math.sqrt(0.25 * 0.75 / 2000)
    for name, found in scores(probe(train, test, 0)).items():
        assert found == pytest.approx(0.25, abs=5 * error), name


def test_test_weights_are_so_many_copies() -> None:
    train, test = clouds(80, 0, distance=1.5), clouds(60, 1, distance=1.5)
    copies = np.random.default_rng(0).integers(1, 5, 60)
    once = probe(train, Labelled(test.x, test.y, copies / copies.sum()), 0)
    often = probe(train, even(np.repeat(test.x, copies, axis=0), np.repeat(test.y, copies)), 0)
    assert scores(once) == pytest.approx(scores(often))
    assert 0.3 < once.linear < 0.95, "a score where weights matter"
    assert scores(once) != pytest.approx(scores(probe(train, even(test.x, test.y), 0)))


def test_training_weights_move_the_linear_probe() -> None:
    """Two of three images at the same place are of class 0, but class 1 has the mass."""
    train = Labelled(np.ones((3, 1)), np.array([0, 0, 1]), np.array([0.1, 0.1, 0.8]))
    test = even(np.ones((1, 1)), np.array([1]))
    assert probe(train, test, 0).linear == 1
    assert probe(even(train.x, train.y), test, 0).linear == 0


def test_the_scale_of_features_does_not_matter() -> None:
    train, test = clouds(80, 0, distance=1.5), clouds(60, 1, distance=1.5)
    wanted = scores(probe(train, test, 0))
    assert scores(probe(replace(train, x=1e3 * train.x), replace(test, x=1e3 * test.x), 0)) == pytest.approx(wanted)


def test_standardisation_makes_the_linear_probe_blind_to_units() -> None:
    train, test = clouds(80, 0, distance=1.5), clouds(60, 1, distance=1.5)
    units, shift = 10.0 ** np.arange(-3, 3), np.arange(6) * 4.0
    moved, asked = (replace(side, x=side.x * units + shift) for side in (train, test))
    found, wanted = probe(moved, asked, 0), probe(train, test, 0)
    assert found.linear == pytest.approx(wanted.linear)
    assert found.few_shot == pytest.approx(wanted.few_shot)


def knn(train: Labelled, point: list[float], y: int) -> float:
    """Whether the kNN probe says class y of one point."""
    return probe(train, even(np.array([point]), np.array([y])), 0).knn


def test_neighbours_are_five_by_angle_with_votes_by_mass() -> None:
    angles = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    length = np.array([9, 1, 5, 1, 3, 1, 1.0])
    x = (length * np.stack([np.cos(angles), np.sin(angles)])).T
    y = np.array([0, 0, 0, 1, 1, 1, 1])
    assert knn(even(x, y), [2.0, 0.0], 0) == 1
    heavy = np.array([1, 1, 1, 2, 2, 9, 9.0])
    assert knn(Labelled(x, y, heavy / heavy.sum()), [2.0, 0.0], 1) == 1, "3 against 4; the 9s are too far"


@pytest.mark.parametrize("batch", [1, 7, 90])
def test_neighbours_are_those_of_scikit_learn(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal masses and continuous features: only votes can tie, and both then take the lowest class."""
    train, test = clouds(120, 0, distance=1.0, dim=4), clouds(90, 1, distance=1.0, dim=4)
    # Away from the origin lengths and angles order neighbours differently.
    train, test = even(train.x + 1, train.y), even(test.x + 1, test.y)
    reference = KNeighborsClassifier(5, metric="cosine").fit(train.x, train.y)
    right = reference.predict(test.x) == test.y
    assert probe(train, test, 0).knn == pytest.approx(right.mean())
    assert 0.3 < right.mean() < 0.9
    monkeypatch.setattr(probes, "COSINES", batch * len(train.x))
    np.testing.assert_array_equal(knn_probe(train, test.x, 5, math.inf), reference.predict(test.x))
    euclidean = KNeighborsClassifier(5).fit(train.x, train.y).predict(test.x) == test.y
    assert right.mean() != euclidean.mean(), "the metric matters here"


def test_training_weights_are_so_many_copies_to_the_linear_probe() -> None:
    """But for the strength of its prior, which counts images: hence few borderline images may turn."""
    train, test = clouds(200, 0, distance=1.5), clouds(400, 1, distance=1.5)
    copies = np.where(train.y == 0, 8, 1)
    once = probe(Labelled(train.x, train.y, copies / copies.sum()), even(test.x, test.y), 0)
    rows = np.repeat(np.arange(200), copies)
    often = probe(even(train.x[rows], train.y[rows]), even(test.x, test.y), 0)
    plain = probe(even(train.x, train.y), even(test.x, test.y), 0)
    assert once.linear == pytest.approx(often.linear, abs=0.01)
    assert abs(plain.linear - often.linear) > 0.03, "weights that matter"


def test_a_tied_vote_goes_to_the_lowest_class() -> None:
    x = np.array([[1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4]])
    assert knn(even(x, np.array([2, 1, 1, 2])), [1.0, 0.0], 1) == 1
    assert knn(even(x, np.array([1, 2, 2, 1])), [1.0, 0.0], 1) == 1


def test_few_shot_takes_five_of_each_class_or_all_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Labelled] = []
    logistic = probes._logistic

    def noted(train: Labelled, asked: NDArray[np.float64]) -> NDArray[np.int64]:
        taken.append(train)
        return logistic(train, asked)

    monkeypatch.setattr(probes, "_logistic", noted)
    rng = np.random.default_rng(0)
    y = np.array([0] * 20 + [1] * 3 + [2] * 9)
    probe(even(rng.normal(size=(32, 2)), y), even(rng.normal(size=(4, 2)), np.zeros(4, dtype=np.int64)), 0)
    few = [part for part in taken if len(part.y) < 32]
    assert [np.bincount(part.y).tolist() for part in few] == [[5, 3, 5]] * 4
    assert all(len(np.unique(part.x, axis=0)) == 13 for part in few)
    assert len({part.x[:5].tobytes() for part in few}) == 4, "four draws"


def test_labels_of_few_shot_are_worth_their_masses(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Labelled] = []

    def noted(train: Labelled, asked: NDArray[np.float64]) -> NDArray[np.int64]:
        taken.append(train)
        return np.zeros(len(asked), dtype=np.int64)

    monkeypatch.setattr(probes, "_logistic", noted)
    train = clouds(40, 0)
    few_shot_probe(train, train.x, 0)
    scaled, _ = standardised(train, train.x)
    for few in taken:
        rows = [int(np.flatnonzero((scaled.x == x).all(axis=1))[0]) for x in few.x]
        np.testing.assert_allclose(few.weights, train.weights[rows] / train.weights[rows].sum())


def test_the_few_shot_score_is_the_mean_of_its_draws() -> None:
    train, test = clouds(200, 0, distance=1.5), clouds(200, 1, distance=1.5)
    each = [test.weights[predicted == test.y].sum() for predicted in few_shot_probe(train, test.x, 0)]
    assert max(each) - min(each) > 0.01, "draws that differ"
    assert probe(train, test, 0).few_shot == pytest.approx(sum(each) / 4, rel=1e-12)


def test_a_seed_is_a_draw() -> None:
    train, test = clouds(200, 0, distance=1.5), clouds(200, 1, distance=1.5)
    one, same, other = (probe(train, test, seed) for seed in (0, 0, 1))
    assert one == same
    assert one.few_shot != other.few_shot
    assert (one.linear, one.knn) == (other.linear, other.knn)


def test_a_feature_is_scaled_by_itself_however_large_another_is() -> None:
    """A spread of 1e-15 of a neighbour's size is no rounding, which is a share of a feature's own."""
    train = clouds(80, 0, distance=1.5)
    large = replace(train, x=np.column_stack([train.x, np.full(80, 1e15)]))
    found, asked = standardised(large, large.x)
    wanted, _ = standardised(train, train.x)
    # A sum of 80 terms may be taken in another order.
    np.testing.assert_allclose(found.x[:, :-1], wanted.x, rtol=0, atol=80 * np.finfo(np.float64).eps * 8)
    np.testing.assert_array_equal(asked, found.x)


@pytest.mark.parametrize("value", [0.0, 0.3, 1e9 / 3])
def test_a_feature_that_is_constant_in_training_tells_nothing(value: float) -> None:
    """Even where it is another constant in the test part: rounding of its mean is not a spread to divide by."""
    train, test = clouds(80, 0, distance=1.5), clouds(60, 1, distance=1.5)
    constant = replace(train, x=np.column_stack([train.x, np.full(80, value)]))
    moved = replace(test, x=np.column_stack([test.x, np.full(60, value + 0.2)]))
    found, wanted = probe(constant, moved, 0), probe(train, test, 0)
    assert (found.linear, found.few_shot) == pytest.approx((wanted.linear, wanted.few_shot))


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_collapsed_features_score_some_class(value: float) -> None:
    train, test = clouds(40, 0), clouds(20, 1)
    blank, asked = (even(np.full_like(side.x, value), side.y) for side in (train, test))
    for name, found in scores(probe(blank, asked, 0)).items():
        assert found == pytest.approx(1 / CLASSES), name


def test_one_class_is_always_right() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2))
    assert probe(even(x, np.zeros(6, dtype=np.int64)), even(x, np.zeros(6, dtype=np.int64)), 0) == ProbeScores(1, 1, 1)


def test_a_probe_of_the_size_of_digits_takes_seconds_and_warns_of_nothing() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=1257)
    # Directions of very unequal size and hardly any signal: what makes a solver slow.
    x = (rng.normal(size=(1257, 64)) + 0.3 * np.eye(64)[y]) @ np.diag(10.0 ** -np.arange(0, 6.4, 0.1))
    start = time.process_time()
    probe(even(x, y), even(x[:540], y[:540]), 0)
    # 0.2 s was measured on one core; the limit catches a solver that never converges, not a busy machine.
    assert time.process_time() - start < 5


@pytest.mark.parametrize("kind", ["cls", "mean"])
@pytest.mark.parametrize("view", VIEWS)
def test_features_of_whole_images_see_all_patches(
    view: View, kind: FeatureKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = images(7), double_model()
    whole = full_features(model, data, view, [kind])[kind]
    assert whole.shape == (7, model.config.dim)
    assert whole.dtype == np.float64
    monkeypatch.setattr(probes, "BATCH", 3)
    np.testing.assert_allclose(full_features(model, data, view, [kind])[kind], whole, rtol=0, atol=1e-10)
    assert data.codebook is not None
    order = np.sort(data.codes, axis=1) if view == "bag" else data.codes
    at = np.full(6, 6) if view == "bag" else np.arange(6)
    for row in range(7):
        with torch.no_grad():
            patches = torch.tensor(data.codebook[order[row]])[None]
            tokens = model.encode(patches, torch.tensor(at)[None], torch.empty(1, 0, dtype=torch.int64))[0]
        wanted = tokens[0] if kind == "cls" else tokens[1:].mean(dim=0)
        np.testing.assert_allclose(whole[row], wanted.numpy(), rtol=0, atol=1e-10)


def test_a_bag_has_no_order_and_a_sequence_does() -> None:
    data, model = images(5), double_model()
    turned = replace(data, codes=data.codes[:, ::-1].copy())
    bags = [full_features(model, side, "bag", ["cls"])["cls"] for side in (data, turned)]
    np.testing.assert_array_equal(bags[0], bags[1])
    lists = [full_features(model, side, "sequence", ["cls"])["cls"] for side in (data, turned)]
    assert np.abs(lists[0] - lists[1]).max() > 1e-3


def test_pixel_features_are_the_patch_values_in_order() -> None:
    data = images(4)
    assert data.codebook is not None
    found = pixel_features(data)
    assert found.shape == (4, 6 * PATCH_DIM)
    for row in range(4):
        np.testing.assert_array_equal(found[row], np.concatenate([data.codebook[code] for code in data.codes[row]]))


def test_codes_without_values_have_no_features() -> None:
    bare = replace(images(4), codebook=None)
    with pytest.raises(InputError, match="has codes but no patch values to show a network; add a codebook"):
        full_features(double_model(), bare, "positional", ["cls"])
    with pytest.raises(InputError, match="has codes but no patch values to show a network; add a codebook"):
        pixel_features(bare)
