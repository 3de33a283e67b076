"""Blocks that torch.compile makes the code of: the same steps, in training alone, and a refusal without a compiler."""

from __future__ import annotations

import pickle
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from maskgraph.empirical import blocks, config, finetune
from maskgraph.empirical.blocks import Block, compile_blocks
from maskgraph.empirical.config import TrainConfig, check_compiler, check_config
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.stack import Stack
from maskgraph.empirical.train import train, training_set
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from tests.empirical.test_checkpoint import stop_at
from tests.empirical.toys import GROUPED, SHORT, assert_same_bits, images, pixels, with_

CPU = torch.device("cpu")

# What is traced is asked for its gradient, which is none; outside of tests nobody hears of it.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """In place of a compiler what was traced, run as it is, in the same bits; the shapes of what it ran on."""
    seen: list[int] = []

    def traced(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            seen.append(max(len(one) for one in inputs if isinstance(one, Tensor) and one.ndim == 3))
            return graph.forward(*inputs)

        return run

    monkeypatch.setattr(blocks, "BACKEND", traced)
    for module in (config, finetune):
        monkeypatch.setattr(module, "check_compiler", lambda device: None)
    yield seen
    torch.compiler.reset()


SIMMIM = {"method": "u-simmim", "relative_positions": True, "layer_scale": 0.1, "drop_path": 0.3}


@pytest.mark.parametrize(
    ("how", "changes"), [(SHORT, {}), (GROUPED, {"accumulate": 3}), (SHORT, SIMMIM), (SHORT, {"precision": "bf16"})]
)
def test_a_compiled_training_is_the_training(how: TrainConfig, changes: dict[str, object], runs: list[int]) -> None:
    plain = with_(how, **changes)
    found, wanted = train(images(), with_(plain, compile=True)), train(images(), plain)
    assert_same_bits(found, wanted)
    decoded = found.model.config.decoder_depth if plain.family == "mae" else 0
    steps, parts = 18, plain.accumulate
    # A batch of two makes two parts of three.
    passes = steps * parts - (6 if parts == 3 else 0)
    assert len(runs) == passes * (found.model.config.depth + decoded)


def test_the_models_of_a_stack_are_compiled_as_one(runs: list[int]) -> None:
    how = [with_(SHORT, seed=seed) for seed in (0, 1)]
    data = training_set(images(), SHORT, CPU)
    stack, plain = (Stack(data, [with_(one, compile=compiled) for one in how], CPU) for compiled in (True, False))
    for _ in range(4):
        stack.advance()
        plain.advance()
    assert torch.equal(stack.losses, plain.losses)
    assert set(runs) == {8, 4}, "of both models, in batches of four and of two"


def test_a_compiled_fine_tuning_is_the_fine_tuning(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network whose own training was compiled, too: each is asked for itself."""
    data = pixels()
    start = train(data, TrainConfig(epochs=1, batch=6, device="cpu", compile=True)).model
    assert (len(runs), {id(block.compiled) for block in start.blocks}) == (2 * 3, {id(None)})
    del runs[:]
    how = FineTune(epochs=2, batch=8, accumulate=2, norm="new", regularise=Regularise(drop_path=0.3))
    plain, compiled = (fine_tune(start, data, 3, replace(how, compile=whether)) for whether in (False, True))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, compiled.state_dict()[name]), name
    assert len(runs) == 2 * 2 * 2 * start.config.depth
    assert pickle.dumps(compiled), "code that was compiled is in no module that could be found again"
    monkeypatch.setattr(finetune, "check_compiler", check_compiler)
    monkeypatch.setenv("CXX", "nowhere")
    with pytest.raises(InputError, match=r"compile finds no compiler \(nowhere\)"):
        fine_tune(start, data, 3, replace(how, compile=True))


def test_who_looks_on_sees_no_code_and_takes_none_away(runs: list[int]) -> None:
    """Every step after the first look at a network ran as it is written, and nobody knew."""
    sent: list[bytes] = []
    how = with_(SHORT, compile=True)
    found = train(images(), how, watch=lambda trained, _: sent.append(pickle.dumps(trained.model)), checkpoint_every=5)
    assert_same_bits(found, train(images(), SHORT))
    assert len(sent) == 4
    assert len(runs) == 18 * 3, "steps, blocks of the micro network"


def test_what_does_not_train_runs_as_it_is(runs: list[int]) -> None:
    model = build_model(model_config("micro", (2, 2), 3), 0)
    compile_blocks(model, True)
    at = torch.arange(4).expand(5, -1)
    view = torch.zeros(5, 2, 3), at[:, :2], at[:, 2:]
    model.eval()(*view)
    with torch.no_grad():
        model.train()(*view)
    assert not runs
    model(*view)
    assert runs == [5] * (model.config.depth + model.config.decoder_depth)


def test_a_network_has_its_own_code_and_eight_shapes_at_most(runs: list[int]) -> None:
    """A ninth would run as it is and nobody would know."""
    block = Block(8, 2)
    for _ in range(2):
        compile_blocks(block, True)
        for size in range(2, 10):
            block(torch.zeros(size, 3, 8))
    # The second is what PyTorch 2.6 says, by way of ours.
    with pytest.raises((torch._dynamo.exc.FailOnRecompileLimitHit, InputError)):
        block(torch.zeros(10, 3, 8))


@pytest.mark.usefixtures("runs")
def test_what_the_compiler_cannot_do_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Callable[..., Any]:
        raise RuntimeError("no space left on device\nand much more")

    monkeypatch.setattr(blocks, "BACKEND", broken)
    with pytest.raises(InputError, match=r"no code of the blocks \(.*no space left on device\); leave compile out"):
        train(images(), with_(SHORT, compile=True))


def test_a_run_may_go_on_compiled(runs: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    with monkeypatch.context() as patch:
        stop_at(patch, torch.optim.AdamW, "step", 8, after=True)
        with pytest.raises(KeyboardInterrupt):
            train(images(), SHORT, path, checkpoint_every=5)
    assert_same_bits(train(images(), with_(SHORT, compile=True), path), train(images(), SHORT))
    assert len(runs) == 13 * 3, "steps that were left, blocks of the micro network"
    with pytest.raises(InputError, match=r"another model \(train.lr is 0.001 there and 0.01 here\)"):
        train(images(), with_(SHORT, compile=True, lr=1e-2), path)


@pytest.mark.parametrize(("device", "variable", "usual"), [("cpu", "CXX", r"g\+\+"), ("cuda", "CC", "gcc or clang")])
def test_nothing_to_compile_with_is_refused(
    device: str, variable: str, usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "resolve_device", torch.device)
    monkeypatch.setattr(config, "find_spec", lambda name: name)
    how = with_(SHORT, compile=True, device=device)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(
        InputError, match=rf"compile finds no compiler \({usual}\); install one, name another in {variable}"
    ):
        check_config(how)
    monkeypatch.setenv(variable, "mine")
    with pytest.raises(InputError, match=r"compile finds no compiler \(mine\)"):
        check_config(how)
    (tmp_path / "mine").touch(0o755)
    check_config(how)
    with monkeypatch.context() as patch:
        patch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
        with pytest.raises(
            InputError, match=r"compile finds no .*/Python\.h, .* \(python3-dev\), or leave compile out"
        ):
            check_config(how)
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    if device == "cuda":
        with pytest.raises(InputError, match="compile on cuda needs Triton"):
            check_config(how)
