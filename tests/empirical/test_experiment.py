"""A recipe from end to end: what it leaves, how it resumes, and that processes together come to the same."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskgraph.empirical import experiment, finetune, footprint, judge
from maskgraph.empirical.checkpoint import read_checkpoint, write_checkpoint
from maskgraph.empirical.claim import claim
from maskgraph.empirical.divergence import TrainingDivergedError
from maskgraph.empirical.experiment import run_recipe
from maskgraph.empirical.group import Group
from maskgraph.empirical.parts import load_parts
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.probes import Labelled, knn_probe
from maskgraph.empirical.readout import whole_features
from maskgraph.empirical.recipe import Recipe, recipe_from, recipe_table
from maskgraph.empirical.stream import Stream
from maskgraph.empirical.summary import read_predictions
from maskgraph.empirical.train import load_model, untrained
from maskgraph.empirical.trial import null
from maskgraph.graphs.datasets import split_rows
from maskgraph.graphs.errors import InputError

CPU = torch.device("cpu")

TABLE: dict[str, Any] = {
    "data": {"dataset": "digits", "patch": 4, "images": 200, "validation": 0.2},
    "train": {"methods": ["mae", "u-mae"], "seeds": 1, "epochs": 3, "batch": 30},
    "judge": {"probes": ["ridge", "few-shot"], "every": 1, "views": 2, "images": 20},
}
"""200 images, 113 of them for training: 4 batches an epoch."""

NAMES = {"mae-s0", "u-mae-s0", "pixels-s0", "random-mae-s0", "gaussian-s0"}


def run(recipe: Recipe, directory: Path, resume: bool = False, data_dir: Path | None = None) -> list[str]:
    """Run it in one worker; the names of the pieces that were done."""
    done: list[str] = []

    def report(count: int, total: int, label: str, share: float) -> None:
        assert 0 <= count <= total
        assert 0 <= share <= 1 + 1e-9
        if label != "at work":
            done.append(label)

    run_recipe(recipe, directory, data_dir, resume, 1, report)
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recipe") / "run"
    assert set(run(recipe_from(TABLE), directory)) == NAMES
    return directory


def record(directory: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "records" / f"{name}.json").read_text())
    return found


def test_every_network_and_null_leaves_its_record_and_its_predictions(finished: Path) -> None:
    for folder in ("records", "predictions"):
        assert {path.stem for path in (finished / folder).iterdir()} == NAMES
    for folder in ("models", "curves"):
        assert {path.stem for path in (finished / folder).iterdir()} == {"mae-s0", "u-mae-s0"}
    found = record(finished, "u-mae-s0")
    assert (found["method"], found["seed"], found["steps"], found["lam"]) == ("u-mae", 0, 12, pytest.approx(0.01))
    points = json.loads((finished / "curves" / "u-mae-s0.json").read_text())
    assert [(point["step"], point["steps"], point["epoch"]) for point in points] == [
        (4, 12, 1),
        (8, 12, 2),
        (12, 12, 3),
    ]
    trained = load_model(finished / "models" / "u-mae-s0.safetensors")
    assert found["final_reconstruction"] == pytest.approx(trained.losses[8:, 0].mean())
    predicted = read_predictions(finished / "predictions" / "u-mae-s0.npz")
    for readout, score in found["scores"].items():
        assert score["accuracy"] == pytest.approx((predicted[readout] == predicted["labels"]).mean())


def test_the_curve_asks_validation_images_and_no_others(finished: Path) -> None:
    parts, trained = load_parts(recipe_from(TABLE).data, None), load_model(finished / "models" / "mae-s0.safetensors")
    x, y = whole_features(trained.model, parts.train, ["mean"])["mean"], parts.train.labels

    def accuracy(part: Pixels | Stream) -> float:
        asked = whole_features(trained.model, part, ["mean"])["mean"]
        return float((knn_probe(Labelled(x, y, np.full(len(y), 1 / len(y))), asked) == part.labels).mean())

    point = json.loads((finished / "curves" / "mae-s0.json").read_text())[-1]
    assert point["knn"] == pytest.approx(accuracy(parts.validation))
    assert point["knn"] not in (pytest.approx(accuracy(parts.test)), pytest.approx(accuracy(parts.train)))


def test_a_random_null_is_the_network_of_its_seed_before_its_first_step() -> None:
    """Under one seed for all the interval over seeds would be a point."""
    recipe = recipe_from(
        {**TABLE, "train": {**TABLE["train"], "seeds": 2}, "judge": {**TABLE["judge"], "layers": False}}
    )
    parts = load_parts(recipe.data, None)
    masks, scores = recipe.train.masks((2, 2)), []
    for seed, config in enumerate(config for config in recipe.runs() if config.method == "mae"):
        found = null(recipe, f"random-mae-s{seed}", parts, Group())
        model = untrained(parts.train, config).model
        wanted = judge.judge_network(model, parts, recipe.judge, masks, seed)
        assert found is not None
        assert wanted is not None
        assert (found.record["seed"], found.record["scores"]) == (seed, wanted.record["scores"])
        scores.append(wanted.record["scores"])
    assert scores[0] != scores[1]


def test_a_finished_recipe_is_not_done_again_and_a_missing_piece_is(finished: Path, tmp_path: Path) -> None:
    assert run(recipe_from(TABLE), finished, resume=True) == []
    again = tmp_path / "again"
    shutil.copytree(finished, again)
    (again / "records" / "mae-s0.json").unlink()
    (again / "predictions" / "gaussian-s0.npz").unlink()
    assert set(run(recipe_from(TABLE), again, resume=True)) == {"mae-s0", "gaussian-s0"}
    for name in ("mae-s0", "gaussian-s0"):
        before, after = record(finished, name), record(again, name)
        assert {**before, "train_cpu_seconds": 0} == {**after, "train_cpu_seconds": 0}


def test_a_group_does_one_piece_after_the_other_and_says_how_far_each_is(finished: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str, float]] = []
    run_recipe(recipe_from(TABLE), tmp_path, None, False, 1, lambda *news: told.append(news), Group())
    shares = [share for _, _, _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    # The beginning, three points of the curve, and the end of each network.
    assert [done for done, _, label, _ in told if label == "mae-s0"] == [0, 0, 0, 0, 1]
    assert {total for _, total, _, _ in told} == {len(NAMES)}
    for name in NAMES:
        before, after = record(finished, name), record(tmp_path, name)
        assert {**before, "train_cpu_seconds": 0} == {**after, "train_cpu_seconds": 0}


def test_a_directory_belongs_to_one_recipe_wherever_it_is_run(finished: Path) -> None:
    recipe = recipe_from(TABLE)
    with pytest.MonkeyPatch.context() as nothing_is_read:
        nothing_is_read.delattr(experiment, "_parts")
        with pytest.raises(InputError, match=r"holds a recipe already; add --resume to finish it"):
            run(recipe, finished)
    with pytest.raises(InputError, match=r"holds another recipe \(train.lr is 0.001 there and 0.01 here\)"):
        run(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, lr=0.01)), finished, resume=True)
    with pytest.raises(InputError, match=r"holds another recipe \(judge.views is 2 there and 3 here\)"):
        run(dataclasses.replace(recipe, judge=dataclasses.replace(recipe.judge, views=3)), finished, resume=True)
    parts = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, accumulate=2, device="cpu"))
    assert run(parts, finished, resume=True) == []


def test_a_recipe_may_grow_where_it_is(finished: Path, tmp_path: Path) -> None:
    grown, fresh = tmp_path / "grown", tmp_path / "fresh"
    shutil.copytree(finished, grown)
    more = recipe_from({**TABLE, "train": {**TABLE["train"], "seeds": 2, "methods": ["u-mae", "mae", "simmim"]}})
    new = {"mae-s1", "u-mae-s1", "simmim-s0", "simmim-s1", "random-mae-s1", "gaussian-s1"}
    new |= {"random-simmim-s0", "random-simmim-s1"}
    assert set(run(more, grown, resume=True)) == new
    assert set(run(more, fresh)) == NAMES | new
    for name in NAMES | new:
        one, other = record(grown, name), record(fresh, name)
        assert {**one, "train_cpu_seconds": 0} == {**other, "train_cpu_seconds": 0}
    plans = [json.loads((directory / "recipe.json").read_text())["plan"] for directory in (grown, fresh)]
    assert plans[0] == plans[1]
    with pytest.raises(
        InputError, match=r"train.methods is .*'simmim'\] there and \['mae', 'u-mae'\] here; train.seeds"
    ):
        run(recipe_from(TABLE), grown, resume=True)


def test_a_run_from_before_a_key_was_there_goes_on(finished: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    found = json.loads((old / "recipe.json").read_text())
    for table, key in (("train", "mask_unit"), ("judge", "layer_decay")):
        del found["plan"][table][key]
    del found["machine"]["precision"]
    (old / "recipe.json").write_text(json.dumps(found))
    (old / "records" / "mae-s0.json").unlink()
    assert run(recipe_from(TABLE), old, resume=True) == ["mae-s0"]
    with pytest.raises(InputError, match=r"holds another recipe \(judge.layer_decay is 0.75 there and 0.65 here\)"):
        run(recipe_from({**TABLE, "judge": {**TABLE["judge"], "layer_decay": 0.65}}), old, resume=True)


def test_fine_tuning_that_diverges_is_named_and_is_no_record(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "models", tmp_path / "models")
    judge = {**TABLE["judge"], "probes": ["fine-tune"], "fine_tune_lr": 1e30, "fine_tune_epochs": 1}
    with pytest.raises(TrainingDivergedError, match=r"^(u-)?mae-s0: the classifier's scores of 60 images"):
        run(recipe_from({**TABLE, "judge": judge}), tmp_path, resume=True)
    assert not [name for name in ("mae-s0", "u-mae-s0") if (tmp_path / "records" / f"{name}.json").exists()]


def test_a_run_goes_on_in_the_precision_that_it_began_with(finished: Path, tmp_path: Path) -> None:
    """Auto stands for another one where there is a GPU, and pairs of networks would differ in it."""
    half = tmp_path / "half"
    shutil.copytree(finished, half)
    single = recipe_from({**TABLE, "train": {**TABLE["train"], "precision": "fp32"}})
    assert run(single, half, resume=True) == []
    with pytest.raises(InputError, match=r"was begun in fp32 and would go on in bf16; set precision to fp32"):
        run(recipe_from({**TABLE, "train": {**TABLE["train"], "precision": "bf16"}}), half, resume=True)


def test_a_run_from_before_precisions_were_resolved_goes_on_in_its_own(finished: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    found = json.loads((old / "recipe.json").read_text())
    found["plan"]["train"]["precision"] = "bf16"
    del found["machine"]["precision"]
    (old / "recipe.json").write_text(json.dumps(found))
    more = {**TABLE, "train": {**TABLE["train"], "seeds": 2}}
    with pytest.raises(InputError, match=r"was begun in bf16 and would go on in fp32; set precision to bf16"):
        run(recipe_from(more), old, resume=True)


def two_classes(path: Path, changed: tuple[str, ...] = ()) -> dict[str, Any]:
    """A recipe on a .npz of 60 images, those of some of its three parts turned around."""
    pixels, labels = np.random.default_rng(0).integers(1, 16, size=(60, 8, 8, 1)), np.arange(60) % 2
    pixels[0, 0, 0] = 16
    rest, test = split_rows(labels, 0.3, 0)
    train, validation = split_rows(labels[rest], 0.2, 1)
    rows = {"train": rest[train], "validation": rest[validation], "test": test}
    for part in changed:
        pixels[rows[part]] = pixels[rows[part], ::-1]
    np.savez(path, pixels=pixels.astype(np.uint8), labels=labels)
    judged = {"probes": ["knn"], "layers": False, "every": 1, "views": 2}
    data = {"dataset": str(path), "patch": 4, "validation": 0.2, "held_out": 0.3}
    return {"data": data, "train": {"methods": ["mae"], "seeds": 1, "epochs": 1, "batch": 16}, "judge": judged}


def test_a_run_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    """Not where it was killed before the first network, either: what is there may be of the data before."""
    table = two_classes(tmp_path / "toy.npz")
    run(recipe_from(table), tmp_path / "run")
    more = {**table, "train": {**table["train"], "seeds": 2}}
    written = (tmp_path / "run" / "recipe.json").read_bytes()
    for changed, named in (
        (("test",), "its test part"),
        (("validation",), "its validation part"),
        (("train", "test"), "its train and its test part"),
    ):
        two_classes(tmp_path / "toy.npz", changed)
        shutil.rmtree(tmp_path / "run" / "models", ignore_errors=True)
        with pytest.raises(InputError, match=rf"was begun with other data \(images or labels of {named} are others\)"):
            run(recipe_from(more), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "recipe.json").read_bytes() == written
    two_classes(tmp_path / "toy.npz")
    assert set(run(recipe_from(more), tmp_path / "run", resume=True)) == {
        *("mae-s0", "mae-s1", "random-mae-s1", "gaussian-s1"),
    }


def test_a_run_goes_on_with_the_same_file_at_another_place_and_with_no_other(tmp_path: Path) -> None:
    table = two_classes(tmp_path / "toy.npz")
    run(recipe_from(table), tmp_path / "run")
    moved = tmp_path / "elsewhere.npz"
    two_classes(moved)
    (tmp_path / "toy.npz").unlink()
    more = {**table, "data": {**table["data"], "dataset": str(moved)}, "train": {**table["train"], "seeds": 2}}
    assert run(recipe_from(more), tmp_path / "run", resume=True)
    two_classes(moved, ("test",))
    with pytest.raises(InputError, match=r"was begun with other data \(images or labels of its test part are others\)"):
        run(recipe_from(more), tmp_path / "run", resume=True)
    two_classes(moved)
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    del stored["digests"]
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(stored))
    with pytest.raises(InputError, match=r"holds another recipe \(data.dataset is '.*toy.npz' there and '.*elsewhere"):
        run(recipe_from(more), tmp_path / "run", resume=True)


@pytest.mark.parametrize("what", ["key", "table", "machine", "digests"])
def test_a_directory_of_another_version_is_not_taken_for_the_users_mistake(what: str, tmp_path: Path) -> None:
    table = recipe_table(recipe_from(TABLE))
    written: dict[str, Any] = {"plan": table, "machine": {}}
    message = {"machine": r"holds machine \[\], no table", "digests": r"holds digests \[\], no table"}.get(what)
    if what == "key":
        table["train"]["ema"] = 0.9
        message = r"cannot be gone on with, as unknown key 'ema' in \[train\]"
    elif what == "table":
        table["export"] = {}
        message = r"cannot be gone on with, as unknown table 'export' in the recipe"
    else:
        written[what] = []
    (tmp_path / "recipe.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match=f"recipe.json {message}; it was written by another version of maskgraph: "):
        run(recipe_from(TABLE), tmp_path, resume=True)


def test_what_a_killed_command_was_writing_is_removed_by_the_next(finished: Path, tmp_path: Path) -> None:
    run_again = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {path for path in run_again.rglob("*") if path.is_file()}
    left = [".recipe.json.k3_x9a0b", "models/.mae-s0.safetensors.abcdefgh", "predictions/.mae-s0.npz.01234567"]
    # Of others: what a checkpoint of fine-tuning is called, and what somebody keeps there.
    kept = ["models/.fine-tune-mae-s0.safetensors", ".notes.txt.abcdefgh", "models/.backup.json"]
    for name in (*left, *kept):
        (run_again / name).write_bytes(b"")
    with pytest.raises(InputError, match="holds another recipe"):
        run(recipe_from({**TABLE, "judge": {**TABLE["judge"], "views": 3}}), run_again, resume=True)
    assert all((run_again / name).exists() for name in left)
    assert run(recipe_from(TABLE), run_again, resume=True) == []
    # The network is judged, so that its fine-tuning is over.
    wanted = before | {run_again / name for name in kept[1:]}
    assert {path for path in run_again.rglob("*") if path.is_file()} == wanted


def test_a_run_from_before_there_were_digests_goes_on_and_has_them_from_then_on(tmp_path: Path) -> None:
    table = two_classes(tmp_path / "toy.npz")
    run(recipe_from(table), tmp_path / "run")
    written = json.loads((tmp_path / "run" / "recipe.json").read_text())
    old = {name: part for name, part in written.items() if name != "digests"}
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(old))
    assert run(recipe_from(table), tmp_path / "run", resume=True) == []
    assert json.loads((tmp_path / "run" / "recipe.json").read_text()) == written


def test_a_finished_run_needs_no_memory(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_bytes", lambda: 1)
    assert run(recipe_from(TABLE), finished, resume=True) == []
    with pytest.raises(InputError, match="not even one would fit"):
        run(recipe_from({**TABLE, "train": {**TABLE["train"], "seeds": 2}}), finished, resume=True)


def test_fine_tuning_that_would_not_fit_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch is larger than that of training, and shows all patches."""
    judge = {**TABLE["judge"], "probes": ["fine-tune"], "fine_tune_batch": 1000}
    monkeypatch.setattr(footprint, "available_bytes", lambda: 6 * 2**20)
    with pytest.raises(InputError, match=r"^fine-tuning: \d+ images at a time need .*lower the fine_tune_batch"):
        run(recipe_from({**TABLE, "judge": judge}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_that_cannot_be_augmented_are_refused_before_training(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", pixels=np.random.default_rng(0).random((30, 8, 8, 2)), labels=np.arange(30) % 2)
    table = {
        "data": {"dataset": str(tmp_path / "two.npz"), "patch": 4},
        "judge": {"probes": ["fine-tune"], "fine_tune_randaugment": 9},
    }
    with pytest.raises(InputError, match=r"randaugment on images of 2 channels; expected 1 or 3, or randaugment 0"):
        run(recipe_from(table), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_refused_has_not_grown(finished: Path, tmp_path: Path) -> None:
    grown = tmp_path / "grown"
    shutil.copytree(finished, grown)
    shutil.copy(grown / "models" / "mae-s0.safetensors", grown / "models" / "mae-s1.safetensors")
    before = (grown / "recipe.json").read_bytes()
    with pytest.raises(
        InputError, match=r"mae-s1.safetensors is a checkpoint of another model \(train.seed is 0 there"
    ):
        run(recipe_from({**TABLE, "train": {**TABLE["train"], "seeds": 2}}), grown, resume=True)
    assert (grown / "recipe.json").read_bytes() == before


def test_fine_tuning_goes_on_where_it_was_and_leaves_its_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_from(
        {
            **TABLE,
            "train": {**TABLE["train"], "methods": ["mae"], "precision": "bf16"},
            "judge": {**TABLE["judge"], "probes": ["ridge", "fine-tune"], "fine_tune_epochs": 2},
        }
    )
    kept = tmp_path / "models" / ".fine-tune-mae-s0.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(judge, "predictions", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, tmp_path, None, False, 1, lambda *_: None, Group())
    _, meta = read_checkpoint(kept)
    assert (meta["step"], meta["fine_tune"]["precision"]) == (2, "bf16")
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "write_checkpoint", lambda *_: pytest.fail("tuned again"))
        run_recipe(recipe, tmp_path, None, True, 1, lambda *_: None, Group())
    assert not kept.exists()
    assert 0 <= record(tmp_path, "mae-s0")["scores"]["mean.fine-tune"]["accuracy"] <= 1
    # Of a run that was killed just before it would have gone.
    kept.write_bytes(b"")
    run_recipe(recipe, tmp_path, None, True, 1, lambda *_: None, Group())
    assert not kept.exists()


def test_fine_tuning_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's three epochs, three of tuning at 2.5 each, and 2 of judging are what it is reckoned to cost."""
    monkeypatch.setattr(finetune, "APART", 1)
    judge = {**TABLE["judge"], "probes": ["fine-tune"], "fine_tune_epochs": 3}
    recipe = recipe_from({**TABLE, "train": {**TABLE["train"], "methods": ["mae"]}, "judge": judge})
    told: list[tuple[str, float]] = []

    def report(done: int, total: int, label: str, share: float) -> None:
        told.append((label, share))

    run_recipe(recipe, tmp_path, None, False, 1, report, Group())
    costs = {label: 2.0 for label, _ in told} | {"mae-s0": 12.5}
    shares = [share * sum(costs.values()) for label, share in told if label == "mae-s0"]
    # The beginning, three points of the curve, three checkpoints of tuning, and the end.
    assert shares == pytest.approx([0, 1, 2, 3, 5.5, 8, 10.5, 12.5])
    # Before there is a checkpoint, and of one from before it knew how many steps there would be.
    assert finetune.tuned_share(tmp_path / "none.safetensors") == 0
    write_checkpoint(tmp_path / "old.safetensors", {"x": torch.zeros(1)}, {"step": 3})
    assert finetune.tuned_share(tmp_path / "old.safetensors") == 0


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_directory_holds_a_study_or_a_recipe(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds a study, not a recipe; choose another --out"):
        run(recipe_from(TABLE), tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    with (
        pytest.raises(InputError, match=r"holds a recipe, not a study; choose another --out"),
        claim(finished / "study.json", {"train": {"precision": "auto"}}, {}, dict, True, CPU, lambda: None),
    ):
        pass


def test_a_directory_is_one_command_s_at_a_time(finished: Path, tmp_path: Path) -> None:
    """In all processes of a group, of which only the first can know; the end of the other command lets go of it."""
    path = tmp_path / "run" / "study.json"
    plan = {"data": {"dataset": "digits"}, "train": {"precision": "auto"}}
    busy = r"another command is at work in .*run; wait for its end, or choose another directory"
    with claim(path, plan, {}, dict, False, CPU, lambda: None):
        written = path.read_bytes()
        with pytest.raises(InputError, match=busy), claim(path, plan, {}, dict, True, CPU, lambda: None):
            pass
        with (
            pytest.raises(InputError, match=r"^no: 64 images — too many$"),
            claim(path, plan, {}, dict, True, CPU, lambda: None, Second()),
        ):
            pass
    with claim(path, plan, {}, dict, True, CPU, lambda: None):
        assert path.read_bytes() == written
    with (
        claim(finished / "recipe.json", recipe_table(recipe_from(TABLE)), {}, dict, True, CPU, lambda: None),
        pytest.raises(InputError, match=r"another command is at work in"),
    ):
        run(recipe_from(TABLE), finished, resume=True)
    assert run(recipe_from(TABLE), finished, resume=True) == []


def test_an_output_that_cannot_be_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "run"):
        for group in (None, Group()):
            with pytest.raises(InputError, match=r"file.* cannot be written \(.*; choose another directory with --out"):
                run_recipe(recipe_from(TABLE), directory, None, False, 1, lambda *_: None, group)


class Second(Group):
    """The second of two processes, the first of which refuses in words of its own."""

    def __init__(self) -> None:
        self.rank, self.count = 1, 2

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        other = torch.zeros_like(values)
        said = torch.tensor([1.0] if len(values) == self.count else list("no: 64 images — too many".encode()))
        other[: len(said)] = said
        return values + other


def test_more_processes_than_images_of_a_batch_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    recipe = recipe_from({**TABLE, "train": {**TABLE["train"], "batch": 1}})
    with pytest.raises(InputError, match=r"2 processes for batches of 1 images; expected at most as many"):
        run_recipe(recipe, tmp_path / "run", None, False, 1, lambda *_: None, Second())
    assert not (tmp_path / "run").exists()


def test_images_of_a_folder_are_streamed_and_judged(tmp_path: Path) -> None:
    """Classes of two colours, which any probe tells apart."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 5)):
        for label, colour in (("blue", (20, 40, 200)), ("red", (210, 30, 40))):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                noise = np.clip(rng.normal(colour, 25, size=(20, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noise).save(folder / f"{index}.png")
    table = {
        "data": {
            "dataset": "folder",
            "patch": 8,
            "image_size": 16,
            "crop": [0.5, 1.0],
            "flip": True,
            "validation": 0.25,
        },
        "train": {"methods": ["u-simmim"], "seeds": 1, "epochs": 2, "batch": 6},
        "judge": {"probes": ["ridge", "knn"], "every": 2, "views": 2},
    }
    done = run(recipe_from(table), tmp_path / "run", data_dir=tmp_path / "images")
    assert set(done) == {"u-simmim-s0", "random-simmim-s0", "gaussian-s0"}
    found = record(tmp_path / "run", "u-simmim-s0")
    assert found["steps"] == 6
    assert found["collapse"]["cls"]["images"] == 10
    assert found["scores"]["mean.ridge"]["accuracy"] == 1
    with pytest.raises(InputError, match=r"the recipe is of a folder of images; say where it is with --data-dir"):
        run(recipe_from(table), tmp_path / "other")
    added = tmp_path / "images" / "val" / "red" / "new.png"
    shutil.copy(tmp_path / "images" / "train" / "red" / "0.png", added)
    with pytest.raises(InputError, match=r"was begun with other data \(images or labels of its test part are others"):
        run(recipe_from(table), tmp_path / "run", resume=True, data_dir=tmp_path / "images")
    added.unlink()
    assert run(recipe_from(table), tmp_path / "run", resume=True, data_dir=tmp_path / "images") == []
    # What only judging would read is looked at before anything is trained.
    damaged = tmp_path / "images" / "val" / "red" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"val/red/3.png cannot be read as an image \(.*; replace or remove it"):
        run(recipe_from(table), tmp_path / "other", data_dir=tmp_path / "images")
    assert not (tmp_path / "other").exists()
