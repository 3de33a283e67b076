"""Models that are trained at once are those that are trained alone."""

from __future__ import annotations

import gc
import math
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from maskgraph.empirical import steps
from maskgraph.empirical import train_stack as train_stack_module
from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.checkpoint import write_checkpoint
from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.data import Batch
from maskgraph.empirical.divergence import TrainingDivergedError
from maskgraph.empirical.group import Group
from maskgraph.empirical.stack import Stack, check_stack, stacks
from maskgraph.empirical.state import State
from maskgraph.empirical.train import (
    Images,
    TrainedModel,
    identity,
    load_model,
    shared_identity,
    store,
    train,
    training_set,
)
from maskgraph.empirical.train_stack import train_stack
from maskgraph.graphs.errors import InputError
from tests.empirical.test_group import DRIFT
from tests.empirical.toys import SHORT, assert_same_bits, images, pixels, with_

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]

MIXED = [with_(SHORT, method=method, seed=seed) for seed in (0, 1) for method in ("mae", "u-mae")]
"""Four models: two methods that share what they draw, twice."""

TOGETHER = 1e-6
"""Of float32 gradients and losses from products that are made together, relative: some ten roundings of 2⁻²⁴."""


def together(data: Images, configs: Sequence[TrainConfig], folder: Path) -> list[TrainedModel]:
    paths = [folder / f"{index}.safetensors" for index in range(len(configs))]
    train_stack(data, configs, paths, folder / "stack.safetensors", checkpoint_every=7)
    assert not (folder / "stack.safetensors").exists()
    return [load_model(path) for path in paths]


@pytest.mark.parametrize("family", ["mae", "simmim"])
@pytest.mark.parametrize("coded", [True, False])
def test_the_first_step_has_the_gradients_of_models_alone(family: str, coded: bool) -> None:
    data = images() if coded else pixels(Augmentation((0.5, 1.0), True))
    configs = [with_(config, method=config.method.replace("mae", family)) for config in MIXED]
    stack = Stack(training_set(data, configs[0], CPU), configs, CPU)
    stack.advance()
    for index, config in enumerate(configs):
        alone = State(training_set(data, config, CPU), config, CPU, Group())
        alone.advance()
        wanted = {name: p.grad for name, p in alone.model.named_parameters() if p.grad is not None}
        scale = max(float(value.abs().max()) for value in wanted.values())
        for name, value in wanted.items():
            found = stack.parameters[f"model.{name}"].grad
            assert found is not None
            torch.testing.assert_close(found[index], value, rtol=0, atol=TOGETHER * scale, msg=name)
        torch.testing.assert_close(stack.losses[index, 0], alone.losses[0], rtol=TOGETHER, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"diagonal": False, "final_norm": "twice", "target": "normalised"},
        {"feature": "mean", "distance": "absolute"},
    ],
)
def test_models_of_a_stack_end_where_they_end_alone(changes: dict[str, object], tmp_path: Path) -> None:
    configs = [with_(config, **changes) for config in MIXED]
    for found, config in zip(together(images(), configs, tmp_path), configs, strict=True):
        alone = train(images(), config)
        np.testing.assert_allclose(found.losses, alone.losses, rtol=DRIFT)
        assert found.config == config
        assert found.seconds > 0
        # A checkpoint like any other: it is finished, and so is returned as it is.
        path = tmp_path / f"{configs.index(config)}.safetensors"
        assert_same_bits(train(images(), config, path), found)


def test_an_optimiser_that_forgets_weight_decay_would_be_seen(tmp_path: Path) -> None:
    configs = [with_(config, weight_decay=5.0) for config in MIXED]
    plain = together(images(), MIXED, tmp_path)
    for index, found in enumerate(together(images(), configs, tmp_path / "decayed")):
        np.testing.assert_allclose(found.losses, train(images(), configs[index]).losses, rtol=DRIFT)
        assert np.abs(found.losses - plain[index].losses).max() > 100 * DRIFT


def test_bits_depend_on_the_stack_alone(tmp_path: Path) -> None:
    first, again = (together(images(), MIXED, tmp_path / name) for name in ("first", "again"))
    for one, other in zip(first, again, strict=True):
        assert_same_bits(one, other)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from maskgraph.empirical import stack
from tests.empirical.test_stack import MIXED, together
from tests.empirical.toys import images
torch.set_num_threads(1)
made, calls = stack.Stack._made, []
def dying(self, batch):
    calls.append(0)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return made(self, batch)
stack.Stack._made = dying
together(images(), MIXED, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("step", [5, 11, 18])
def test_a_stack_that_was_killed_ends_in_the_same_bits(step: int, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed), str(step)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=100,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert (killed / "stack.safetensors").exists() == (step > 7)
    for one, other in zip(
        together(images(), MIXED, killed), together(images(), MIXED, tmp_path / "whole"), strict=True
    ):
        assert_same_bits(one, other)


def test_a_checkpoint_is_due_by_time_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that is killed again and again before its 500th step gets on."""
    monkeypatch.setattr(steps, "OVERDUE", 0.0)
    monkeypatch.setattr(steps, "PRICE", 0.0)
    original = Stack._made

    def dying(stack: Stack, batch: Batch) -> torch.Tensor:
        if stack.step == 5:
            # No interruption, after which a checkpoint is written.
            raise SystemExit
        return original(stack, batch)

    paths = [tmp_path / f"{index}.safetensors" for index in range(len(MIXED))]
    with monkeypatch.context() as patch:
        patch.setattr(Stack, "_made", dying)
        with pytest.raises(SystemExit):
            train_stack(images(), MIXED, paths, tmp_path / "stack.safetensors")
    made = counted_steps(monkeypatch)
    train_stack(images(), MIXED, paths, tmp_path / "stack.safetensors")
    assert made == list(range(5, 18))
    for path, other in zip(paths, together(images(), MIXED, tmp_path / "whole"), strict=True):
        assert_same_bits(load_model(path), other)


def test_a_kill_between_the_files_of_a_finished_stack_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def dying(state: State, path: Path, meta: dict[str, object]) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        store(state, path, meta)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(train_stack_module, "store", dying)
        with pytest.raises(KeyboardInterrupt):
            together(images(), MIXED, tmp_path)
    for one, other in zip(together(images(), MIXED, tmp_path), together(images(), MIXED, tmp_path / "w"), strict=True):
        assert_same_bits(one, other)


def test_a_checkpoint_from_before_a_choice_was_there_goes_on(tmp_path: Path) -> None:
    data, paths = images(), [tmp_path / f"{index}.safetensors" for index in range(len(MIXED))]
    stack = Stack(training_set(data, MIXED[0], CPU), MIXED, CPU)
    stack.advance()
    whole = [shared_identity(identity(images(), config)) for config in MIXED]
    for one in whole:
        del one["precision"], one["train"]["beta2"], one["model"]["relative"]
    write_checkpoint(tmp_path / "stack.safetensors", stack.tensors(), {"stack": whole, "step": 1, "seconds": 0.0})
    train_stack(data, MIXED, paths, tmp_path / "stack.safetensors")
    for found, wanted in zip(paths, together(data, MIXED, tmp_path), strict=True):
        assert_same_bits(load_model(found), wanted)


def test_a_checkpoint_of_another_version_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    stack = Stack(training_set(images(), MIXED[0], CPU), MIXED, CPU)
    stack.advance()
    whole = [shared_identity(identity(images(), config)) for config in MIXED]
    lacking = {name: value for name, value in stack.tensors().items() if name != "optimiser.step.model.cls"}
    known = {"stack": whole, "step": 1, "seconds": 0.0}
    strange = [{**one, "train": {**one["train"], "ema": 0.9}} for one in whole]
    for tensors, meta, message in (
        (lacking, known, "lacks the tensor optimiser.step.model.cls"),
        (stack.tensors(), {**known, "stack": strange}, "holds train.ema 0.9, which this version does not know"),
        (stack.tensors(), {**known, "scaler": 2}, "holds scaler 2, which this version does not know"),
        (stack.tensors(), {"stack": whole, "step": 1}, "lacks seconds"),
    ):
        write_checkpoint(tmp_path / "stack.safetensors", tensors, meta)
        with pytest.raises(InputError, match=f"stack.safetensors {message}; it was written by another version of"):
            together(images(), MIXED, tmp_path)


def test_another_stack_does_not_go_on_with_its_checkpoint(tmp_path: Path) -> None:
    data = training_set(images(), MIXED[0], CPU)
    stack = Stack(data, MIXED, CPU)
    stack.advance()
    whole = [shared_identity(identity(images(), config)) for config in MIXED]
    write_checkpoint(tmp_path / "stack.safetensors", stack.tensors(), {"stack": whole, "step": 1, "seconds": 0.0})
    with pytest.raises(InputError, match=r"stack.safetensors is a checkpoint of 4 models and not of 3"):
        together(images(), MIXED[:3], tmp_path)


LOST = r"the loss of u-mae at mask ratio 0.5, seed 1 is not finite at step 0"


def test_a_model_that_diverges_is_named_and_costs_no_other_its_bits(tmp_path: Path) -> None:
    """A lam beyond float32 is infinite."""
    losing = [*MIXED[:3], with_(MIXED[3], lam=1e39)]
    whole = together(images(), MIXED, tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(TrainingDivergedError, match=LOST):
            together(images(), losing, tmp_path)
        assert not (tmp_path / "3.safetensors").exists()
        for index in range(3):
            assert_same_bits(load_model(tmp_path / f"{index}.safetensors"), whole[index])


def test_a_stack_of_lost_models_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted_steps(monkeypatch)
    with pytest.raises(TrainingDivergedError, match=r"the loss of u-mae at mask ratio 0.5, seed 0 is not finite"):
        together(images(), [with_(MIXED[index], lam=1e39) for index in (1, 3)], tmp_path)
    assert len(made) == 7


def test_a_model_of_a_stack_that_diverges_in_its_last_step_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses do not tell: those are of the steps before."""
    original = Stack._made

    def making(stack: Stack, batch: Batch) -> torch.Tensor:
        found = original(stack, batch)
        if stack.step == stack.steps - 1:
            with torch.no_grad():
                stack.parameters["model.cls"][2] = math.inf
        return found

    monkeypatch.setattr(Stack, "_made", making)
    message = r"a parameter or an output of mae at mask ratio 0.5, seed 1 is not finite after step"
    with pytest.raises(TrainingDivergedError, match=message):
        together(images(), MIXED, tmp_path)
    assert {path.name for path in tmp_path.glob("[0-9].safetensors")} == {f"{index}.safetensors" for index in (0, 1, 3)}


def counted_steps(monkeypatch: pytest.MonkeyPatch, stop: int | None = None) -> list[int]:
    """The steps that stacks make from now on; Ctrl-C is pressed as the update of step `stop` is about to begin."""
    made: list[int] = []
    original = Stack._made

    def making(stack: Stack, batch: Batch) -> torch.Tensor:
        if stack.step == stop:
            raise KeyboardInterrupt
        made.append(stack.step)
        return original(stack, batch)

    monkeypatch.setattr(Stack, "_made", making)
    return made


def test_ctrl_c_loses_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        made = counted_steps(patch, stop=11)
        with pytest.raises(KeyboardInterrupt):
            together(images(), MIXED, tmp_path)
        assert made == list(range(11))
    with monkeypatch.context() as patch:
        made = counted_steps(patch)
        found = together(images(), MIXED, tmp_path)
        assert made == list(range(11, 18))
    for one, other in zip(found, together(images(), MIXED, tmp_path / "whole"), strict=True):
        assert_same_bits(one, other)


def test_ctrl_c_in_the_middle_of_an_update_goes_back_to_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        original = torch.optim.AdamW.step

        def half(optimiser: torch.optim.AdamW) -> None:
            original(optimiser)
            updates.append(0)
            if len(updates) == 11:
                raise KeyboardInterrupt

        updates: list[int] = []
        patch.setattr(torch.optim.AdamW, "step", half)
        with pytest.raises(KeyboardInterrupt):
            together(images(), MIXED, tmp_path)
    made = counted_steps(monkeypatch)
    found = together(images(), MIXED, tmp_path)
    assert made == list(range(7, 18))
    for one, other in zip(found, together(images(), MIXED, tmp_path / "whole"), strict=True):
        assert_same_bits(one, other)


def test_a_stack_is_gone_with_its_last_name() -> None:
    """What a cycle holds waits for the collector, and the next stack of a study for the memory of its graphs."""
    configs = [SHORT, with_(SHORT, seed=1)]
    stack = Stack(training_set(images(), SHORT, CPU), configs, CPU)
    stack.advance()
    held = [weakref.ref(one) for one in (stack, *stack.parameters.values())]
    gc.disable()
    try:
        del stack
        assert [one() for one in held] == [None] * len(held)
    finally:
        gc.enable()


def test_runs_are_parted_into_stacks_in_their_order() -> None:
    runs = [
        with_(SHORT, method=method, seed=seed, mask_ratio=ratio)
        for seed in range(3)
        for method in ("mae", "simmim", "u-mae")
        for ratio in (0.25, 0.5)
    ]
    found = stacks(runs, 4)
    assert sorted(map(len, found)) == [2, 2, 3, 3, 4, 4]
    assert sorted(map(repr, runs)) == sorted(repr(config) for stack in found for config in stack)
    for stack in found:
        check_stack(stack)
        assert [runs.index(config) for config in stack] == sorted(runs.index(config) for config in stack)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "simmim"}, r"a stack of mae and simmim; expected one architecture: stack 1"),
        ({"lr": 0.1}, r"a stack of models that differ in lr; expected only method, seed, lam to"),
        ({"lam": "auto"}, r"lam auto in a stack; models whose L is measured are trained alone: stack 1"),
    ],
)
def test_what_makes_no_stack_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_stack([MIXED[0], with_(MIXED[1], **changes)])
    for name in ("queue", "accumulate", "clip", "drop_path", "layer_scale", "relative_positions"):
        value = True if name == "relative_positions" else 2
        with pytest.raises(
            InputError, match=rf"{name} {value}.* in a stack; models with it are trained alone: stack 1"
        ):
            check_stack([with_(config, **{name: value}) for config in MIXED])


def test_a_model_took_its_share_of_the_time_of_its_stack() -> None:
    stack = Stack(training_set(images(), MIXED[0], CPU), MIXED, CPU)
    stack.advance()
    assert stack.seconds > 0
    stack.seconds = 10.0
    assert [state.seconds for state in stack.unstack()] == [2.5] * 4


def test_shapes() -> None:
    stack = Stack(training_set(images(), MIXED[0], CPU), MIXED, CPU)
    assert stack.losses.shape == (4, 18, 3)
    weights: NDArray[np.float64] = stack.parameters["model.embed.weight"].detach().double().numpy()
    assert weights.shape == (4, 64, 3)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()
