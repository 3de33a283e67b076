"""Checkpoints: a run that was cut off ends in the bits of one that was not, and nothing foreign is taken up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from maskgraph.empirical.checkpoint import FORMAT, read_checkpoint, write_checkpoint
from maskgraph.empirical.model import MaskedAutoencoder
from maskgraph.empirical.train import TrainedModel, load_model, train
from maskgraph.graphs.errors import InputError
from tests.empirical.toys import SHORT, assert_same_bits, images, with_

ROOT = Path(__file__).resolve().parents[2]
EVERY = 5
STEPS = 18

VICTIM = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from maskgraph.empirical.train import train
from tests.empirical.toys import SHORT, images

calls, victim = [], ({victim})

def dying(*arguments, **options):
    calls.append(0)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

owner, name = victim
original = getattr(owner, name)
setattr(owner, name, dying)
train(images(), SHORT, Path(sys.argv[1]), checkpoint_every={every})
"""


@pytest.fixture(scope="module")
def uninterrupted() -> TrainedModel:
    """The run that nothing disturbs."""
    return train(images(), SHORT)


def stop_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int, after: bool) -> None:
    """Make the `call`-th call of a function raise KeyboardInterrupt, before or after its work."""
    original: Callable[..., object] = getattr(owner, name)
    calls: list[int] = []

    def stopping(*arguments: object) -> object:
        calls.append(0)
        if len(calls) != call:
            return original(*arguments)
        if after:
            original(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, stopping)


def step_of(path: Path) -> int:
    """The step that a checkpoint stands at."""
    return int(read_checkpoint(path)[1]["step"])


@pytest.mark.parametrize(
    ("victim", "call", "step"),
    [
        ("MaskedAutoencoder, 'forward'", 8, 5),
        ("torch.optim.AdamW, 'step'", 14, 10),
        # The first write is that before any step, so the third is that of step 10: it never gets its name.
        ("os, 'fsync'", 3, 5),
    ],
    ids=["in a forward pass", "before an update", "in a write"],
)
def test_a_killed_run_resumes_to_the_same_bits(
    victim: str, call: int, step: int, uninterrupted: TrainedModel, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    code = VICTIM.format(victim=victim, call=call, every=EVERY)
    code = code.replace("import torch\n", "import torch\nfrom maskgraph.empirical.model import MaskedAutoencoder\n", 1)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == -9, done.stderr
    assert step_of(path) == step
    assert_same_bits(train(images(), SHORT, path, checkpoint_every=EVERY), uninterrupted)


@pytest.mark.parametrize("steps", [1, 6, 17])
def test_ctrl_c_saves_the_last_step_and_resumes_to_the_same_bits(
    steps: int, uninterrupted: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    with monkeypatch.context() as patch:
        stop_at(patch, MaskedAutoencoder, "forward", steps + 1, after=False)
        with pytest.raises(KeyboardInterrupt):
            train(images(), SHORT, path)
    assert step_of(path) == steps
    np.testing.assert_array_equal(load_model(path).losses, uninterrupted.losses[:steps])
    assert_same_bits(train(images(), SHORT, path), uninterrupted)


@pytest.mark.parametrize("change", [{"queue": 6}, {"lam": "auto"}, {"method": "u-simmim"}, {"bottleneck": 8}])
def test_all_that_a_step_leaves_behind_is_taken_up_again(
    change: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, config = tmp_path / "model.safetensors", with_(SHORT, **change)
    with monkeypatch.context() as patch:
        stop_at(patch, torch.optim.AdamW, "step", 8, after=True)
        with pytest.raises(KeyboardInterrupt):
            train(images(), config, path, checkpoint_every=EVERY)
    assert step_of(path) == EVERY
    assert_same_bits(train(images(), config, path), train(images(), config))


def test_ctrl_c_inside_an_update_keeps_the_checkpoint_before(
    uninterrupted: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters of one step under the number of another would resume to other bits."""
    path = tmp_path / "model.safetensors"
    with monkeypatch.context() as patch:
        stop_at(patch, torch.optim.AdamW, "step", 8, after=True)
        with pytest.raises(KeyboardInterrupt):
            train(images(), SHORT, path, checkpoint_every=EVERY)
    assert step_of(path) == EVERY
    assert_same_bits(train(images(), SHORT, path), uninterrupted)


def test_checkpoints_on_the_way_change_nothing(uninterrupted: TrainedModel, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "model.safetensors"
    assert_same_bits(train(images(), SHORT, path, checkpoint_every=1), uninterrupted)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_finished_checkpoint_is_returned_without_a_step(
    uninterrupted: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), SHORT, path)
    before = path.stat()
    stop_at(monkeypatch, MaskedAutoencoder, "forward", 1, after=False)
    assert_same_bits(train(images(), SHORT, path), uninterrupted)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_loaded_model_is_the_trained_one_and_the_callers_randomness_stays(
    uninterrupted: TrainedModel, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), SHORT, path)
    before = torch.random.get_rng_state()
    loaded = load_model(path)
    assert torch.equal(before, torch.random.get_rng_state())
    assert_same_bits(loaded, uninterrupted)
    assert loaded.config == SHORT
    assert loaded.model.config == uninterrupted.model.config
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_ratio": 0.75}, r"train\.mask_ratio is 0\.5 there and 0\.75 here"),
        ({"lam": 0.2, "seed": 3}, r"train\.lam is 0\.1 there and 0\.2 here; train\.seed is 0 there and 3 here"),
        ({"size": "tiny"}, r"model\.dim is 64 there and 192 here"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), SHORT, path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"is a checkpoint of another model \(.*{message}.*choose another --out"):
        train(images(), with_(SHORT, **change), path)
    assert path.read_bytes() == before


def test_a_checkpoint_from_before_a_choice_was_there_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), SHORT, path)
    tensors, meta = read_checkpoint(path)
    for name in ("mask_unit", "beta2", "clip"):
        del meta["train"][name]
    write_checkpoint(path, tensors, meta)
    assert_same_bits(train(images(), SHORT, path), load_model(path))
    with pytest.raises(InputError, match=r"train.beta2 is 0.95 there and 0.9 here"):
        train(images(), with_(SHORT, beta2=0.9), path)


QUEUED = with_(SHORT, queue=6)

Change = Callable[[dict[str, Any], dict[str, Any]], object]

CHANGES: dict[str, tuple[Change, str]] = {
    "train": (lambda _, meta: meta["train"].update(ema=0.9), "holds train.ema 0.9, which this version does not know"),
    "model": (lambda _, meta: meta["model"].update(rope=True), "holds model.rope True, which this version does not"),
    "beside": (lambda _, meta: meta.update(scaler=2), "holds scaler 2, which this version does not know"),
    "no object": (lambda _, meta: meta.update(train=[]), r"holds train \[\], no object"),
    "seconds": (lambda _, meta: meta.pop("seconds"), "lacks seconds"),
    "step": (lambda _, meta: meta.update(step=99), "stands at step 99; expected 0 to 18"),
    "lipschitz": (lambda tensors, _: tensors.pop("lipschitz"), "lacks the tensor lipschitz"),
    "queue": (lambda tensors, _: tensors.pop("queue"), "lacks the tensor queue"),
    "losses": (
        lambda tensors, _: tensors.update(losses=tensors["losses"][:7]),
        r"holds the tensor losses of shape \(7, 3\) and torch.float32; expected \(18, 3\) and torch.float32",
    ),
    "half": (
        lambda tensors, _: tensors.update({"model.cls": tensors["model.cls"].half()}),
        r"holds .* model.cls .*float16",
    ),
    "moment": (lambda tensors, _: tensors.pop("optimiser.exp_avg.cls"), "lacks the tensor optimiser.exp_avg.cls"),
    "more": (lambda tensors, _: tensors.update({"model.x": torch.zeros(1)}), "holds the tensor model.x, which this"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_of_another_version_is_refused_by_the_key_that_differs(change: str, tmp_path: Path) -> None:
    path, (alter, message) = tmp_path / "model.safetensors", CHANGES[change]
    train(images(), QUEUED, path)
    tensors, meta = read_checkpoint(path)
    alter(tensors, meta)
    write_checkpoint(path, tensors, meta)
    message = rf"model.safetensors {message}.* it was written by another version of maskgraph: go on with that one, or"
    with pytest.raises(InputError, match=message):
        train(images(), QUEUED, path)
    if change in ("train", "model", "beside", "no object", "seconds", "half", "more"):
        with pytest.raises(InputError, match=message):
            load_model(path)


@pytest.mark.parametrize("header", [{}, {"meta": "{"}, {"meta": "[]"}])
def test_a_checkpoint_that_does_not_say_what_it_is_of_is_refused(header: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(2)}, path, {"format": FORMAT, **header})
    with pytest.raises(InputError, match=r"says in no JSON.* what it belongs to; delete it to start that model anew"):
        train(images(), SHORT, path)


@pytest.mark.parametrize("said", ["bf16", "auto"])
def test_a_checkpoint_from_before_precisions_were_resolved_goes_on_in_its_own(said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), with_(SHORT, precision="fp32" if said == "auto" else said), path)
    tensors, meta = read_checkpoint(path)
    del meta["precision"]
    meta["train"]["precision"] = said
    write_checkpoint(path, tensors, meta)
    train(images(), with_(SHORT, precision="auto" if said == "auto" else said), path)
    if said == "bf16":
        with pytest.raises(
            InputError, match=r"is a checkpoint of another model \(precision 'bf16' there, 'fp32' here\)"
        ):
            train(images(), SHORT, path)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    data = images()
    train(data, SHORT, path)
    assert data.codebook is not None
    swapped = data.codes.copy()
    swapped[0, :2] = data.codes[0, 1::-1]
    for other in (
        replace(data, codes=swapped),
        replace(data, weights=np.full(10, 0.1)),
        replace(data, codebook=data.codebook + 1e-9),
    ):
        with pytest.raises(InputError, match=r"is a checkpoint of another model \(its images, or how they are cut"):
            train(other, SHORT, path)
    train(replace(data, labels=1 - data.labels, name="renamed"), SHORT, path)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_truncated_checkpoint_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    train(images(), SHORT, path)
    path.write_bytes(path.read_bytes()[:length])
    message = r"cannot be read as safetensors \(.*delete it to start that model anew"
    with pytest.raises(InputError, match=message):
        train(images(), SHORT, path)
    with pytest.raises(InputError, match=message):
        load_model(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("not a checkpoint, though long enough to be one")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        train(images(), SHORT, path)
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"is not a checkpoint of maskgraph \(format None\); move it away"):
        train(images(), SHORT, path)
    assert path.exists()


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        (
            "model",
            "grid",
            3,
            r"describes a network that cannot be made \('int' object is not iterable\); it was written",
        ),
        ("model", "patch_dim", "4", r"describes a network that cannot be made \("),
        ("model", "dim", None, r"describes a network that cannot be made \("),
        ("train", "epochs", "1", r"describes a network that cannot be made \(epochs '1'; expected an integer\)"),
        (None, "step", "x", r"holds step 'x', no number; it was written by another version"),
        (None, "seconds", None, r"holds seconds None, no number; it was written by another version"),
        (
            None,
            "losses",
            torch.tensor(1.0),
            r"holds the tensor losses of shape \(\) and torch.float32; expected \(0, 3\)",
        ),
    ],
)
def test_a_damaged_checkpoint_is_named(part: str | None, key: str, value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    train(images(), SHORT, path)
    tensors, meta = read_checkpoint(path)
    if isinstance(value, torch.Tensor):
        tensors[key] = value
    else:
        (meta if part is None else meta[part])[key] = value
    write_checkpoint(path, tensors, meta)
    with pytest.raises(InputError, match=rf"m\.safetensors {message}"):
        load_model(path)
    with pytest.raises(InputError, match=r"m\.safetensors "):
        train(images(), SHORT, path)


def test_a_missing_checkpoint_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors does not exist; expected a checkpoint written by"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r" is a directory; expected a checkpoint, such as RUN/models/NAME"):
        load_model(tmp_path)


def test_a_place_that_cannot_be_written_is_refused_before_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    stop_at(monkeypatch, MaskedAutoencoder, "forward", 1, after=False)
    with pytest.raises(InputError, match=r"cannot be written \(.*choose another directory$"):
        train(images(), SHORT, tmp_path / "file" / "model.safetensors")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    # Neither contiguous nor free of a graph, and no file holds either property.
    odd = (torch.arange(6.0, requires_grad=True) * 2).reshape(2, 3).T
    write_checkpoint(path, {"odd": odd, "count": torch.tensor(3)}, {"step": 3, "grid": (2, 3), "name": "π"})
    tensors, meta = read_checkpoint(path)
    assert torch.equal(tensors["odd"], odd.detach())
    assert int(tensors["count"]) == 3
    assert meta == {"step": 3, "grid": [2, 3], "name": "π"}
    assert FORMAT.encode() in path.read_bytes()
