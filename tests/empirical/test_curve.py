"""The curve of a training: means since the point before, and no point twice after a resumed run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from maskgraph.empirical.curve import Curve, last_step
from maskgraph.empirical.train import TrainedModel, train
from maskgraph.graphs.errors import InputError
from tests.empirical.toys import SHORT, images


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return train(images(), SHORT)


def at(trained: TrainedModel, step: int) -> TrainedModel:
    return TrainedModel(trained.model, trained.config, trained.losses[:step])


def test_points_are_means_since_the_one_before(trained: TrainedModel, tmp_path: Path) -> None:
    curve = Curve(tmp_path / "curve.json", tmp_path / "events")
    curve.add(at(trained, 6), 2.0, 18, {"knn": 0.5})
    curve.add(at(trained, 12), 4.0, 18, {"knn": 0.75})
    found = json.loads((tmp_path / "curve.json").read_text())
    assert found == curve.points
    for point, part in zip(found, (slice(0, 6), slice(6, 12)), strict=True):
        means = trained.losses[part].mean(axis=0)
        assert [point[name] for name in ("reconstruction", "uniformity", "lam")] == pytest.approx(means.tolist())
    assert last_step(tmp_path / "curve.json") == (12, 18)
    assert last_step(tmp_path / "none.json") == (0, 0)
    assert 12 in curve
    assert 6 not in curve
    assert 0 not in Curve(tmp_path / "none.json", tmp_path)
    assert [(point["step"], point["epoch"], point["knn"]) for point in found] == [(6, 2, 0.5), (12, 4, 0.75)]


def test_a_run_that_goes_on_from_before_replaces_what_came_after(trained: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    for step in (6, 12):
        Curve(path, tmp_path).add(at(trained, step), step / 3, 18, {"knn": 0.5})
    again = Curve(path, tmp_path)
    again.add(at(trained, 9), 3.0, 18, {"knn": 0.5})
    assert [point["step"] for point in again.points] == [6, 9]
    # Of the same step once more, too.
    again.add(at(trained, 9), 3.0, 18, {"knn": 0.75})
    assert [(point["step"], point["knn"]) for point in again.points] == [(6, 0.5), (9, 0.75)]
    assert again.points[1]["reconstruction"] == pytest.approx(float(trained.losses[6:9, 0].mean()))


def test_tensorboard_is_told_where_it_is_installed(
    trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Any, ...]] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int) -> None:
            told.append(("open", folder, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def flush(self) -> None:
            pass

        def close(self) -> None:
            told.append(("close",))

    fake = ModuleType("torch.utils.tensorboard")
    vars(fake)["SummaryWriter"] = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    curve = Curve(tmp_path / "curve.json", tmp_path / "events")
    curve.add(at(trained, 6), 2.0, 18, {"knn": 0.5})
    curve.add(at(trained, 12), 4.0, 18, {"knn": 0.75})
    curve.close()
    assert told[0] == ("open", str(tmp_path / "events"), 6)
    assert told[-1] == ("close",)
    assert [one for one in told if one[0] == "knn"] == [("knn", 0.5, 6), ("knn", 0.75, 12)]
    assert len([one for one in told if one[0] == "open"]) == 1
    losses = [value for name, value, _ in told[1:-1] if name == "reconstruction"]
    np.testing.assert_allclose(losses, [trained.losses[:6, 0].mean(), trained.losses[6:12, 0].mean()], rtol=1e-6)


def test_without_tensorboard_there_is_the_file(
    trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    curve = Curve(tmp_path / "curve.json", tmp_path / "events")
    curve.add(at(trained, 6), 2.0, 18, {"knn": 0.5})
    curve.close()
    assert (tmp_path / "curve.json").exists()
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("text", ['{"step": 6}', '[{"step": 6}]', "[6]"])
def test_a_damaged_curve_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mae-s0.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"mae-s0.json (lacks \[0\].steps|holds .*, which no run writes); delete it"):
        last_step(path)
