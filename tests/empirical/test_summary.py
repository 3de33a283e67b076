"""Summaries of a recipe's records: means, intervals and paired differences against scipy on the same numbers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from maskgraph.empirical.summary import differences, read_judged, read_predictions, scores, several_seeds
from maskgraph.graphs.errors import InputError

LABELS = np.random.default_rng(0).integers(3, size=40)


def answers(share: float, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Classes of which about this share is right."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(40) < share, LABELS, (LABELS + 1) % 3)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two methods and a null, three seeds."""
    (tmp_path / "records").mkdir()
    (tmp_path / "predictions").mkdir()
    (tmp_path / "recipe.json").write_text(json.dumps({"plan": {"train": {"methods": ["mae", "u-mae"]}}}))
    for place, (method, share) in enumerate((("gaussian", 0.3), ("u-mae", 0.8), ("mae", 0.6))):
        for seed in range(3):
            few = np.stack([answers(share, 50 * place + 7 * seed + draw) for draw in range(2)])
            ridge = answers(share, 10 * place + seed)
            predicted: dict[str, Any] = {"cls.ridge": ridge, "cls.few-shot": few, "cls.shuffled-labels": ridge}
            record = {
                name: {"accuracy": float((value == LABELS).mean()), "low": 0.1 + seed / 10, "high": 0.7 + seed / 10}
                for name, value in predicted.items()
            }
            name = f"{method}-s{seed}"
            np.savez(tmp_path / "predictions" / f"{name}.npz", labels=LABELS, **predicted)
            trained = {"steps": 1, "final_reconstruction": 0.5, "lam": 0.0, "train_cpu_seconds": 1.0}
            parts = {"scores": record, "layers": {}, "collapse": {}}
            whole = {"dataset": "x", "method": method, "seed": seed, **trained, **parts}
            (tmp_path / "records" / f"{name}.json").write_text(json.dumps(whole))
    return tmp_path


def test_records_come_in_the_order_of_the_recipe(run: Path) -> None:
    found = [(record["method"], record["seed"]) for record in read_judged(run)]
    assert found == [(method, seed) for method in ("mae", "u-mae", "gaussian") for seed in range(3)]


def test_scores_are_means_over_seeds(run: Path) -> None:
    found = {(score.method, score.readout): score for score in scores(read_judged(run))}
    assert len(found) == 9
    for method in ("mae", "u-mae", "gaussian"):
        score = found[method, "cls.ridge"]
        wanted = [
            float((read_predictions(run / "predictions" / f"{method}-s{seed}.npz")["cls.ridge"] == LABELS).mean())
            for seed in range(3)
        ]
        assert score.accuracies == pytest.approx(tuple(wanted))
        assert score.mean == pytest.approx(sum(wanted) / 3)
        assert score.mean != pytest.approx(sorted(wanted)[1]), "no median"
        low, high = stats.t.interval(0.95, 2, loc=np.mean(wanted), scale=stats.sem(wanted))
        assert score.over_seeds == pytest.approx((low, high))
        assert score.over_images == pytest.approx((0.2, 0.8))


def test_no_interval_of_a_mean_leaves_what_accuracies_can_be() -> None:
    accuracies = {"high": (0.9, 1.0), "low": (0.0, 0.1)}
    records = [
        {
            "method": "mae",
            "scores": {name: {"accuracy": each[seed], "low": 0.0, "high": 1.0} for name, each in accuracies.items()},
        }
        for seed in range(2)
    ]
    high, low = scores(records)
    half = stats.t.ppf(0.975, 1) * 0.05
    assert high.over_seeds == pytest.approx((0.95 - half, 1))
    assert low.over_seeds == pytest.approx((0, 0.05 + half))


def test_what_uniformity_changes_is_paired_by_seed(run: Path) -> None:
    found = {change.readout: change for change in differences(run, read_judged(run))}
    assert set(found) == {"cls.ridge", "cls.few-shot"}
    ridge, gains, tests = found["cls.ridge"], [], []
    for seed in range(3):
        correct = [
            read_predictions(run / "predictions" / f"{method}-s{seed}.npz")["cls.ridge"] == LABELS
            for method in ("u-mae", "mae")
        ]
        gains.append(float(correct[0].mean() - correct[1].mean()))
        won, lost = int((correct[0] & ~correct[1]).sum()), int((correct[1] & ~correct[0]).sum())
        # Exact two-sided sign test: twice the smaller tail.
        tests.append(min(1.0, 2 * stats.binom.cdf(min(won, lost), won + lost, 0.5)))
    assert ridge.differences == pytest.approx(tuple(gains))
    low, high = stats.t.interval(0.95, 2, loc=np.mean(gains), scale=stats.sem(gains))
    assert ridge.over_seeds == pytest.approx((low, high))
    assert ridge.p_values == pytest.approx(tuple(tests))
    assert found["cls.few-shot"].p_values == ()


@pytest.mark.parametrize(("method", "plain"), [("u-mae", "mae"), ("u-simmim", "simmim")])
def test_each_method_with_uniformity_is_set_against_its_own_without(method: str, plain: str, tmp_path: Path) -> None:
    scored = {name: {"cls.ridge": {"accuracy": accuracy}} for name, accuracy in ((method, 0.8), (plain, 0.5))}
    records = [{"method": name, "seed": seed, "scores": one} for name, one in scored.items() for seed in range(2)]
    (change,) = differences(tmp_path, records)
    assert (change.method, change.readout) == (method, "cls.ridge")
    assert change.differences == pytest.approx((0.3, 0.3))


def test_a_seed_that_one_side_lacks_is_left_out(run: Path) -> None:
    (run / "records" / "mae-s2.json").unlink()
    assert all(len(change.differences) == 2 for change in differences(run, read_judged(run)))
    for seed in range(2):
        (run / "records" / f"mae-s{seed}.json").unlink()
    assert differences(run, read_judged(run)) == []


def test_records_may_stand_without_their_predictions(run: Path) -> None:
    wanted = differences(run, read_judged(run))
    shutil.rmtree(run / "predictions")
    found = differences(run, read_judged(run))
    assert [replace(one, p_values=()) for one in wanted] == found


def test_intervals_are_over_seeds_where_there_are_several(run: Path) -> None:
    assert several_seeds(scores(read_judged(run)))
    for seed in (1, 2):
        for path in (run / "records").glob(f"*-s{seed}.json"):
            path.unlink()
    assert not several_seeds(scores(read_judged(run)))


def test_what_is_damaged_is_named(run: Path, tmp_path: Path) -> None:
    (run / "predictions" / "mae-s0.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(
        InputError, match=r"mae-s0.npz cannot be read .*; delete it and its record, and run again with --resume"
    ):
        differences(run, read_judged(run))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"labels": LABELS}, r"mae-s0.npz lacks cls.ridge; delete it and its record"),
        (
            {"labels": LABELS[1:], "cls.ridge": LABELS},
            r"mae-s0.npz holds cls.ridge of other images than labels; delete",
        ),
    ]
    for damaged, message in cases:
        np.savez(run / "predictions" / "mae-s0.npz", **damaged)
        with pytest.raises(InputError, match=message):
            differences(run, read_judged(run))
    record = json.loads((run / "records" / "mae-s0.json").read_text())
    record["scores"]["cls.ridge"]["low"] = None
    (run / "records" / "mae-s0.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"mae-s0.json holds scores.cls.ridge.low None, which no run writes"):
        read_judged(run)
    (run / "recipe.json").write_text('{"plan": {}}')
    with pytest.raises(InputError, match=r"recipe.json lacks plan.train; delete it and run again with --resume"):
        read_judged(run)
    with pytest.raises(
        InputError, match=r"holds no records; expected the directory of a finished or interrupted recipe"
    ):
        read_judged(tmp_path / "nowhere")
