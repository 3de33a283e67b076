"""The bootstrap against repeated rows and dense matrices; many samples at once against the graph of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from maskgraph.graphs.augmentation import Hop, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, mask_graph
from maskgraph.graphs.datasets import CodedImages, make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import make_mask_set, mask_distribution, mask_set
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.graphs.views import View
from maskgraph.theory.answer import Constants, answer
from maskgraph.theory.bootstrap import (
    FEWEST,
    basic_interval,
    bootstrap,
    percentile_interval,
    resample,
    resampled,
    statistics,
)
from maskgraph.theory.findings.bootstrap import cover, redraw
from maskgraph.theory.findings.finding import world_graph
from maskgraph.theory.findings.mixture_samples import MixtureWorld
from maskgraph.theory.findings.sample_errors import (
    Errors,
    Sampled,
    errors,
    fitted,
    numbers,
    over_masks,
    points,
    rate,
    sampled,
    truths,
)
from maskgraph.theory.risk import rank_floor
from maskgraph.theory.unseen import singleton_mass
from tests import oracle
from tests.strategies import VIEWS
from tests.theory.toys import dense

ROUNDING = 1e-9
"""Graphs of at most 10⁴ events, eigenvalues of size at most 1."""

SETTINGS: list[tuple[View, float]] = [
    ("sequence", 0.5),
    ("sequence", 1 / 3),
    ("positional", 0.5),
    ("positional", 1 / 3),
]


def graph_of(images: CodedImages, view: View) -> MaskGraph:
    return mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.5)), view)


def repeated(images: CodedImages, rows: np.ndarray) -> CodedImages:
    """The images at these rows, each as often as it is named, as plain draws."""
    return make_coded_images("again", images.codes[rows], images.labels[rows], codebook=images.codebook)


def test_a_resample_is_its_rows_repeated() -> None:
    images = class_mixture(5, 0.3, images=30, seed=2)
    rows = np.random.default_rng(7).integers(30, size=30)
    weighted = resample(images, np.random.default_rng(7))
    assert len(weighted.labels) == len(set(rows.tolist()))
    assert not weighted.drawn
    for view in VIEWS:
        ours = statistics(answer(graph_of(weighted, view), 0.5, 3))
        theirs = statistics(answer(graph_of(repeated(images, rows), view), 0.5, 3))
        assert ours == pytest.approx(theirs, abs=ROUNDING)


@pytest.mark.parametrize("hop", ["target", "image"])
def test_intervals_by_dense_matrices_of_repeated_rows(hop: str) -> None:
    images = class_mixture(4, 0.25, images=25, seed=1)
    graph = graph_of(images, "sequence")
    rng = np.random.default_rng(3)
    heads = []
    for _ in range(40):
        again = graph_of(repeated(images, rng.integers(25, size=25)), "sequence")
        joint = (again.M if hop == "target" else again.R1).toarray()
        B = joint / np.sqrt(np.outer(joint.sum(axis=1), joint.sum(axis=0)))
        heads.append(float((np.linalg.svd(B, compute_uv=False)[:2] ** 4).sum()))
    found = answer(graph, 0.5, 2, "target" if hop == "target" else "image")
    ours = bootstrap(graph, found, "target" if hop == "target" else "image", Constants(), 40, 3)
    # The 41·0.025-th of 40 from either end.
    heads.sort()
    low, high = heads[0] + 0.025 * (heads[1] - heads[0]), heads[-1] - 0.025 * (heads[-1] - heads[-2])
    ends = [2 * found["head_sq"] - high, 2 * found["head_sq"] - low]
    assert ours["intervals"]["head_sq"] == pytest.approx(ends, abs=ROUNDING)
    # Thm 4.2 is (2 − head)/4 at L = 1: its interval is that of the head, turned round.
    bound = [(2 - ends[1]) / 4, (2 - ends[0]) / 4]
    assert ours["intervals"]["thm_4_2_any_lambda"] == pytest.approx(bound, abs=ROUNDING)
    assert (ours["resamples"], ours["level"]) == (40, 0.95)


def test_each_number_has_the_interval_of_its_own_name() -> None:
    images = class_mixture(4, 0.3, 3, images=12, seed=3)
    graph = mask_graph(images, mask_set(mask_distribution("uniform", images.grid, 0.75)), "sequence")
    found = answer(graph, 0.75, 2, constants=Constants(lam=2.0, epsilon=0.125))
    numbers = {**found, **found["bounds"]}
    named = statistics(found)
    assert len(named) == len(set(named.values())) == 11
    assert named == {name: numbers[name] for name in named}


def test_resamples_under_masks_that_keep_less_than_half() -> None:
    images = class_mixture(4, 0.3, images=12)
    graph = mask_graph(images, make_mask_set([[0], [2]], 4), "sequence")
    rng = np.random.default_rng(5)
    again = [mask_graph(resample(images, rng), graph.masks, "sequence") for _ in range(FEWEST)]
    wanted = [statistics(answer(one, 0.75, 1))["alpha_target"] for one in again]
    assert resampled(graph, 1, "target", Constants(), FEWEST, 5)["alpha_target"].tolist() == wanted
    with pytest.raises(InputError, match="dimension 3 for a graph of 2 visible views"):
        resampled(graph, 3, "target", Constants(), FEWEST, 5)


def test_the_seed_names_the_resamples() -> None:
    graph = graph_of(class_mixture(4, 0.3, images=12), "bag")
    one, same, other = (resampled(graph, 2, "target", Constants(), 39, seed) for seed in (0, 0, 1))
    assert one["head_sq"].tolist() == same["head_sq"].tolist() != other["head_sq"].tolist()


def test_intervals_by_hand() -> None:
    # The fifth of 199 from either end, and the first of the fewest.
    values = np.arange(1.0, 200)
    assert percentile_interval(values) == pytest.approx((5, 195))
    assert basic_interval(150.0, values) == pytest.approx((105, 295))
    assert percentile_interval(np.arange(1.0, FEWEST + 1)) == pytest.approx((1, FEWEST))


@pytest.mark.parametrize("resamples", [FEWEST, 99, 200])
def test_one_more_resample_lies_in_the_interval_as_often_as_it_says(resamples: int) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((8000, resamples + 1))
    held = [low <= again[0] <= high for again in drawn for low, high in [percentile_interval(again[1:])]]
    # The standard error of 95 % of 8,000 is 0.24 %; four of them.
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("hop", ["target", "image"])
def test_a_resample_of_fewer_views_than_the_dimension(hop: Hop) -> None:
    """On the target hop its eigenvalues end in zeros, which the feature may use as directions of no alignment."""
    images = make_coded_images("w", np.array([[0, 1], [1, 2], [2, 0], [0, 0]]), np.zeros(4, dtype=int))
    graph = mask_graph(images, make_mask_set(np.array([[0]]), 2), "positional")
    constants = Constants(lam=2.0)
    ours = resampled(graph, 3, hop, constants, 39, 0)
    rng = np.random.default_rng(0)
    fewer = 0
    for at in range(39):
        again = mask_graph(resample(images, rng), graph.masks, "positional")
        values = np.linalg.eigvalsh(dense(augmentation_graph(again, hop)))[::-1]
        fewer += min(again.M.shape) < min(3, len(values))
        assert ours["head_sq"][at] == pytest.approx(float((values[:3] ** 2).sum()), abs=ROUNDING)
        expected = oracle.simplex_minimum(np.maximum(values[:3], 0).tolist(), 1.0, 2.0)
        assert ours["water_filling"][at] == pytest.approx(expected, abs=ROUNDING)
    assert fewer, "some resample has fewer targets than the dimension, and more views"


@pytest.mark.parametrize(
    ("images", "resamples", "message"),
    [
        (class_mixture(4, 0.3, images=5), 0, "bootstrap 0; expected at least 39 resamples"),
        (class_mixture(4, 0.3, images=5), -2, "bootstrap -2"),
        (class_mixture(4, 0.3), 100, "has weights and so is a distribution, not a sample"),
        (class_mixture(4, 0.3, images=1), 100, "1 image: every resample is that image"),
    ],
)
def test_nothing_to_resample(images: CodedImages, resamples: int, message: str) -> None:
    graph = mask_graph(images, make_mask_set([[0], [1]], 4))
    with pytest.raises(InputError, match=message):
        resampled(graph, 1, "target", Constants(), resamples, 0)


@pytest.mark.parametrize(("view", "ratio"), SETTINGS)
def test_many_samples_at_once_against_their_graphs(view: View, ratio: float) -> None:
    world = MixtureWorld(6, 0.3, ratio, view)
    support = world.graph.images
    times = world.draw(np.random.default_rng(0), 3, 12)
    found = world.measure(times)
    for i, row in enumerate(times):
        graph = world_graph(repeated(support, np.repeat(np.arange(len(row)), row)), ratio, view)
        theirs = answer(graph, ratio, 4)
        assert found.values[i, :4] == pytest.approx(theirs["eigenvalues"], abs=ROUNDING)
        ours = (
            *(values[i] for values in (found.head(4), found.tail(4), found.water_filling(4))),
            *(values[i] for values in (found.alpha, found.alpha_target, found.phi, found.inter, found.variance)),
            *(values[i] for values in (found.floor(9), found.floor(4))),
        )
        assert found.floor(2)[i] == pytest.approx(rank_floor(graph, 2), abs=ROUNDING)
        names = ["head_sq", "tail_sq", "water_filling", "alpha", "alpha_target", "phi", "inter", "target_variance"]
        names += ["bayes_risk", "rank_floor"]
        assert ours == pytest.approx([statistics(theirs)[name] for name in names], abs=ROUNDING)
        singles = [singleton_mass(graph, "visible"), singleton_mass(graph, "target")]
        assert found.single[i] == pytest.approx(singles, abs=ROUNDING)
        # What the sample lacks, vertex by vertex of the whole mixture.
        for side, ids in enumerate((world.graph.ids1, world.graph.ids2)):
            known = set(ids[row > 0].ravel().tolist())
            mass = (
                w * sum(int(v) not in known for v in views) / len(views)
                for w, views in zip(support.weights, ids, strict=True)
            )
            assert found.missing[i, side] == pytest.approx(sum(mass), abs=ROUNDING)


def test_some_masks_at_once_against_their_graph() -> None:
    world = MixtureWorld(6, 0.3, 0.5, "sequence")
    times = world.draw(np.random.default_rng(1), 1, 15)
    support = replace(world.graph.images, weights=times[0] / 15)
    rows = np.flatnonzero(times[0])
    used = np.array([3, 11, 12])
    images = replace(support, codes=support.codes[rows], labels=support.labels[rows], weights=support.weights[rows])
    graph = mask_graph(images, make_mask_set(world.graph.masks.kept[used], 6), "sequence")
    found = world.measure(times, used)
    assert found.values[0, :3] == pytest.approx(answer(graph, 0.5, 3)["eigenvalues"], abs=ROUNDING)


# Of 10 patches three quarters are 7.5, of which half a one is kept.
@pytest.mark.parametrize(("patches", "view", "ratio"), [*((6, *one) for one in SETTINGS), (10, "sequence", 0.75)])
def test_truths_are_those_of_the_whole_mixture(patches: int, view: View, ratio: float) -> None:
    """The closed form against the enumerated support."""
    world = MixtureWorld(patches, 0.3, ratio, view)
    k = 2 * world.shape[0] - 1
    found = numbers(world.measure(world.weights[None]), world, k)
    assert {key: values[0] for key, values in found.items()} == pytest.approx(truths(world, k), abs=ROUNDING)


def test_rate_of_a_power_and_its_error_against_scipy() -> None:
    images = [16, 64, 256, 1024]
    exact = rate(images, [-3 * n**-0.75 for n in images], [0.01] * 4)
    assert exact is not None
    assert exact.power == pytest.approx(-0.75, abs=1e-9)
    rng = np.random.default_rng(0)
    error = np.array([0.02, 0.004, 0.002, 0.0006])
    size = np.array([2.5 / n for n in images]) + error * rng.standard_normal(4)

    def model(n: np.ndarray, c: float, b: float) -> np.ndarray:
        return c * n**b

    theirs, covariance = curve_fit(model, np.array(images), size, (2.0, -1.0), error, absolute_sigma=True)
    ours = rate(images, size.tolist(), error.tolist())
    assert ours is not None
    assert ours.power == pytest.approx(theirs[1], rel=1e-4)
    assert ours.error == pytest.approx(float(covariance[1, 1] ** 0.5), rel=1e-3)
    # Where noise has turned the sign of a point it counts with the sign that it has.
    size = np.array([-1.0, -0.2, -0.1, 0.02])
    error = np.array([0.1, 0.1, 0.05, 0.02])
    theirs, _ = curve_fit(model, np.array(images), size, (-16.0, -1.0), error, absolute_sigma=True)
    turned = rate(images, size.tolist(), error.tolist())
    assert turned is not None
    assert turned.power == pytest.approx(theirs[1], rel=1e-4)


def test_errors_by_hand() -> None:
    # Errors of −1, 0, 1 and 4: of variance 14/3, and with squares of variance 59 about their mean of 4.5.
    found = errors(np.array([1.0, 2.0, 3.0, 6.0]), 2.0)
    assert (found.mean, found.standard_error) == pytest.approx((1, (14 / 3 / 4) ** 0.5))
    # A root goes up by what is below it over twice the root.
    assert (found.rms, found.rms_error) == pytest.approx((4.5**0.5, (59 / 4) ** 0.5 / (2 * 4.5**0.5)))
    assert errors(np.full(3, 2.0), 2.0) == Errors(0, 0, 0, 0)


def test_three_standard_errors_are_noise_and_no_more_are_not() -> None:
    assert [Errors(mean, 0.25, 1, 0).clear for mean in (0.75, -0.75, 0.76, -0.76)] == [False, False, True, True]


def sample_of(images: int, mean: float, single: tuple[float, float] = (0.0, 0.0), noise: float = 1e-4) -> Sampled:
    """A row whose number errs by `mean`, and by twice its root in root mean square."""
    one = Errors(mean, noise, 2 * abs(mean) ** 0.5, noise / 4)
    return Sampled("w", images, 1, {"λ₂": 0.1}, {"λ₂": one}, single, (0.0, 0.0), (0.0, 0.0))


def test_a_rate_is_fitted_where_a_sample_has_seen_the_data() -> None:
    """−3/N and 2·√(3/N), but for rows of few images and rows that lack a hundredth on either side."""
    fair = [sample_of(count, -3 / count, (0.0, 0.0099)) for count in (128, 256, 1024)]
    rows = [sample_of(64, -9.0), fair[0], sample_of(512, 9.0, (0.01, 0.0)), *fair[1:], sample_of(700, 1.0, (0.0, 0.01))]
    for kind, power in (("mean", -1.0), ("rms", -0.5)):
        found = fitted(rows, "λ₂", "mean" if kind == "mean" else "rms")
        assert found is not None
        assert found.power == pytest.approx(power, abs=1e-6)
    assert points(rows[:3], "λ₂", "mean") == ([9, 3 / 128, -9], [1e-4] * 3)
    assert points(rows[2:3], "λ₂", "mean") == ([9], [1e-4])
    assert points(rows[2:3], "λ₂", "rms") == ([6], [0.25e-4])
    # A first error of three standard errors is noise, whatever follows.
    noise = [sample_of(128, 0.75, noise=0.25), sample_of(256, 0.5, noise=0.01)]
    assert fitted(noise, "λ₂", "mean") is None
    assert fitted([sample_of(128, 0.76, noise=0.25), noise[1]], "λ₂", "mean") is not None


def test_masses_of_samples_by_hand() -> None:
    world = MixtureWorld(4, 0.3, 0.5, "sequence")
    found = world.measure(world.draw(np.random.default_rng(0), 2, 8))
    single, missing = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.1, 0.1], [0.1, 0.3]])
    one = sampled("w", world, 2, 8, 6, replace(found, single=single, missing=missing))
    assert one.single == pytest.approx((0.2, 0.3))
    assert one.missing == pytest.approx((0.1, 0.2))
    # Differences of 0 and 0.2 on the one side and of 0.1 twice on the other.
    assert one.miss == pytest.approx((0.02**0.5, 0.1))


def test_as_many_masks_as_there_are_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn without replacement."""
    monkeypatch.setattr("maskgraph.theory.findings.sample_errors.MASK_COUNTS", (6,))
    world = MixtureWorld(4, 0.3, 0.5, "sequence")
    (ours,) = over_masks("w", world, 2, 5, 8)
    rng = np.random.default_rng(1)
    second = []
    for _ in range(5):
        times = world.draw(rng, 1, 8)
        assert len(set(rng.permutation(6).tolist())) == 6
        second.append(float(world.measure(times).values[0, 1]))
    truth = truths(world, 2)["λ₂"]
    assert ours.errors["λ₂"].mean == pytest.approx(np.mean(second) - truth, abs=ROUNDING)
    assert (ours.images, ours.masks) == (8, 6)


def test_redraws_are_multinomial_in_the_rows() -> None:
    times = np.array([0, 3, 0, 1])
    drawn = redraw(np.random.default_rng(0), times, 4000)
    assert (drawn.sum(axis=1) == 4).all()
    assert drawn[:, [0, 2]].max() == 0
    # Standard error of a mean count: √(4·¾·¼/4000) ≈ 0.014.
    assert drawn.mean(axis=0) == pytest.approx([0, 3, 0, 1], abs=0.06)


def test_coverage_is_counted_as_plain_loops_count_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskgraph.theory.findings.bootstrap.RESAMPLES", FEWEST)
    world = MixtureWorld(4, 0.3, 0.5, "sequence")
    ours = {one.name: one for one in cover("w", world, 2, 10, 6)}
    rng = np.random.default_rng(10)
    drawn = world.draw(rng, 6, 10)
    truth = statistics(answer(world.graph, 0.5, 2))
    names = {"α": "alpha", "head and Thm 4.2": "head_sq", "S2": "water_filling", "bayes": "bayes_risk"}
    held = {name: np.zeros(2) for name in names}
    for times in drawn:
        picks = [np.repeat(np.arange(16 * 2), again) for again in rng.multinomial(10, times / 10, size=FEWEST)]
        plain, *again = (
            statistics(answer(graph_of(repeated(world.graph.images, rows), "sequence"), 0.5, 2))
            for rows in (np.repeat(np.arange(16 * 2), times), *picks)
        )
        for name, key in names.items():
            low, high = (end(one[key] for one in again) for end in (min, max))
            turned = 2 * plain[key] - high, 2 * plain[key] - low
            held[name] += [low - 1e-9 <= truth[key] <= high + 1e-9, turned[0] - 1e-9 <= truth[key] <= turned[1] + 1e-9]
    for name, key in names.items():
        assert [ours[name].percentile, ours[name].basic] == pytest.approx(list(held[name] / 6))
        assert ours[name].truth == pytest.approx(truth[key], abs=ROUNDING)
    assert ours["head and Thm 4.2"].percentile != ours["head and Thm 4.2"].basic, "the two are told apart"
