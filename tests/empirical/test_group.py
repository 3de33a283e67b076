"""Parts of a batch, one after the other or in several processes, train as the whole does."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from maskgraph.empirical import finetune
from maskgraph.empirical.group import Group, TorchGroup
from maskgraph.empirical.shares import own_parts
from maskgraph.empirical.state import State
from maskgraph.empirical.train import load_model, train, training_set
from maskgraph.graphs.errors import InputError
from maskgraph.theory.solver.torch_group import RankLostError, others
from tests.empirical.judged_in_parts import found
from tests.empirical.toys import GROUPED, images, pixels, with_
from tests.together import start

CPU = torch.device("cpu")

PATIENCE = 100
"""Seconds that processes have on a busy machine."""

GRADIENT = 8 * 2.0**-24
"""Of a float32 gradient for each part that it is summed from, relative to the largest: parts may cancel each other, so
that each brings some roundings of its own size. Two parts stay below 1e-6."""

LOSS = 1e-6
"""Of a float32 loss summed in another order, relative: some ten roundings of 2⁻²⁴."""

FEATURE = 1e-5
"""Of features, which a last norm has brought to a size of one, in float32 through two blocks: a hundred roundings."""

DRIFT = 1e-4
"""Of losses after 18 steps, relative: Adam divides a gradient by its own size, so that the rounding of one that is zero
(the bias of an attention's keys) moves its parameter as far as any other, which a loss hardly sees."""


def gradients(accumulate: int, method: str, **changes: object) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Of the first step's loss, and the loss itself, in so many parts."""
    config = with_(GROUPED, method=method, accumulate=accumulate, batch=10, **changes)
    state = State(training_set(images(), config, CPU), config, CPU, Group())
    state.advance()
    # The step has moved the parameters and left the gradients.
    return {name: p.grad for name, p in state.model.named_parameters() if p.grad is not None}, state.losses[0]


AS_PUBLISHED = {"drop_path": 0.5, "layer_scale": 0.1, "relative_positions": True}


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_image_is_in_one_part_of_one_process(count: int, pairs: bool) -> None:
    groups = [Group() for _ in range(count)]
    for rank, group in enumerate(groups):
        group.rank, group.count = rank, count
    for size, accumulate in itertools.product(range(1, 20), (1, 2, 5)):
        dealt = [own_parts(size, group, accumulate, pairs) for group in groups]
        rows = [range(part.rows.start, part.rows.stop) for parts in dealt for part in parts]
        assert [row for own in rows for row in own] == list(range(size))
        assert [part.count for parts in dealt for part in parts] == list(map(len, rows))
        # A pair is one of what is dealt, an odd image at the end another.
        most = math.ceil(size / 2) if pairs else size
        assert {len(parts) for parts in dealt} == {max(min(accumulate, most // count), 1)}
        assert max(map(len, rows)) <= (1 + pairs) * math.ceil(math.ceil(most / count) / len(dealt[0]))
        for part in (part for parts in dealt for part in parts):
            # Something is run where nothing counts.
            assert part.shown == (part.rows if part.count else slice(0, 1))
            assert not pairs or part.rows.start % 2 == 0


@pytest.mark.parametrize(
    ("method", "changes"),
    [("mae", {}), ("u-mae", {}), ("simmim", {}), ("u-simmim", {}), ("u-simmim", AS_PUBLISHED)],
)
@pytest.mark.parametrize("accumulate", [2, 3, 10])
def test_parts_of_a_batch_give_its_gradient(method: str, changes: dict[str, object], accumulate: int) -> None:
    whole, loss = gradients(1, method, **changes)
    parts, other = gradients(accumulate, method, **changes)
    assert whole.keys() == parts.keys()
    scale = max(float(value.abs().max()) for value in whole.values())
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=accumulate * GRADIENT * scale, msg=name)
    torch.testing.assert_close(other, loss, rtol=LOSS, atol=0)


def test_more_parts_than_images_of_the_last_batch_train_as_the_whole_does() -> None:
    """Batches of 8 and 4 images in 5 parts; images whose pixels stand on the device, coded ones are cut otherwise."""
    config = with_(GROUPED, batch=8)
    whole, parts = (train(pixels(), with_(config, accumulate=accumulate)).losses for accumulate in (1, 5))
    np.testing.assert_allclose(parts, whole, rtol=DRIFT)


def test_uniformity_within_parts_alone_would_be_another_gradient() -> None:
    """The test above would see nothing if the gradient were all reconstruction."""
    with_uniformity, _ = gradients(3, "u-mae")
    without, _ = gradients(3, "mae")
    change = max(float((with_uniformity[name] - without[name]).abs().max()) for name in without)
    assert change > 1e3 * GRADIENT * max(float(value.abs().max()) for value in without.values())


def processes(*arguments: str, count: int = 2, status: int = 0, module: str = "in_parts") -> list[str]:
    """Run a group of processes and give what each printed."""
    started = start(f"tests.empirical.{module}", *arguments, count=count)
    ended = [process.communicate(timeout=PATIENCE) for process in started]
    codes = [process.returncode for process in started]
    assert codes[0] == status, ended[0][1]
    return [out + err for out, err in ended]


@pytest.mark.parametrize(("method", "count"), [("u-mae", 2), ("u-simmim", 3), ("u-simmim dropped", 2)])
def test_processes_have_the_loss_and_the_gradient_of_one(method: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert processes(method, "10", str(path), count=count) == [f"{rank} of {count}: 1 steps\n" for rank in range(count)]
    dropped = {"drop_path": 0.5} if method.endswith("dropped") else {}
    wanted, loss = gradients(1, method.partition(" ")[0], epochs=1, **dropped)
    found = load_file(path.with_suffix(".gradients"))
    scale = max(float(value.abs().max()) for value in wanted.values())
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=count * GRADIENT * scale, msg=name)
    np.testing.assert_allclose(load_model(path).losses[0], loss.numpy(), rtol=LOSS)


@pytest.mark.parametrize(
    ("method", "batch", "count", "steps"),
    [
        ("u-mae", "4", 2, 18),
        ("u-simmim", "4", 3, 18),
        ("u-mae", "4p", 3, 18),
        ("u-mae", "4a", 3, 18),
        ("u-mae", "8a", 3, 12),
    ],
)
def test_processes_train_as_one_does(method: str, batch: str, count: int, steps: int, tmp_path: Path) -> None:
    """Batches of 4, 4 and 2 images, or of 8 and 2: of three processes one has none of the last, in two parts or one."""
    data = pixels(count=10) if batch == "4p" else images()
    alone = train(data, with_(GROUPED, method=method, batch=int(batch[0])))
    path = tmp_path / "model.safetensors"
    said = processes(method, batch, str(path), count=count)
    assert said == [f"{rank} of {count}: {steps} steps\n" for rank in range(count)]
    np.testing.assert_allclose(load_model(path).losses, alone.losses, rtol=DRIFT)


def test_processes_judge_as_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features, classes and the first gradient of fine-tuning; what its checkpoint holds goes on alone."""
    paths = tmp_path / "found.safetensors", tmp_path / "tuned.safetensors"
    said = processes(*map(str, paths), count=3, module="judged_in_parts")
    assert said == ["0 of 3: 13 classes\n", "1 of 3: 0 classes\n", "2 of 3: 0 classes\n"]
    wanted, together = found(Group(), accumulate=1), load_file(paths[0])
    assert wanted.keys() == together.keys()
    scale = max(float(value.abs().max()) for name, value in wanted.items() if name.startswith("gradient"))
    for name, value in wanted.items():
        if name.startswith("gradient"):
            torch.testing.assert_close(together[name], value, rtol=0, atol=6 * GRADIENT * scale, msg=name)
        elif name != "logits":
            # Kernels may sum a batch of another size in another order.
            torch.testing.assert_close(together[name], value, rtol=0, atol=FEATURE, msg=name)
    torch.testing.assert_close(
        together["logits"], wanted["logits"], rtol=0, atol=DRIFT * float(wanted["logits"].abs().max())
    )
    monkeypatch.setattr(finetune, "write_checkpoint", lambda *_: pytest.fail("tuned again"))
    again = found(Group(), accumulate=1, path=paths[1])
    torch.testing.assert_close(again["logits"], together["logits"], rtol=0, atol=FEATURE)


def test_a_lost_process_is_named_and_what_was_stored_goes_on_with_another_number(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    said = processes("u-mae", "4", str(path), "8", status=1)
    assert "RankLostError: another process of this run has ended" in said[0]
    assert len(load_model(path).losses) == 5
    np.testing.assert_allclose(train(images(), GROUPED, path).losses, train(images(), GROUPED).losses, rtol=DRIFT)


def test_a_process_that_is_lost_before_a_forward_pass_is_named(tmp_path: Path) -> None:
    """The second forward pass settles with the others how gradients are put together."""
    said = processes("mae", "4", str(tmp_path / "model.safetensors"), "1", status=1)
    assert "RankLostError: another process of this run has ended" in said[0]


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        InputError, match=r"4 processes on a machine with 2 GPUs; expected one for each: torchrun --npr"
    ):
        TorchGroup(torch.device("cuda"))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[../gloo/transport/tcp/pair.cc:538] Connection closed by peer", RankLostError),
        ("could not create a primitive", RuntimeError),
        ("CUDA error: an illegal memory access was encountered", RuntimeError),
        ("NCCL error in: NCCLUtils.cpp:77\nLast error:\nCuda failure 2 'out of memory', allocate less", RuntimeError),
        ("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory", RuntimeError),
    ],
)
def test_errors_of_this_process_are_not_blamed_on_others(said: str, kind: type[Exception]) -> None:
    with pytest.raises(Exception, match=r"closed|illegal|allocate|primitive") as told, others():
        raise RuntimeError(said)
    assert told.type is kind


def test_more_processes_than_images_of_a_batch_are_refused() -> None:
    group = Group()
    group.count = 5
    with pytest.raises(InputError, match=r"5 processes for batches of 4 images; expected at most as many"):
        train(images(), GROUPED, group=group)
