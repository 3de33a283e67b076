"""The memory of a training step: the formula against what autograd saves, and refusals that name what would fit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from maskgraph.empirical import footprint
from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.classifier import Classifier, layer_scales
from maskgraph.empirical.config import Method, TrainConfig
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.footprint import (
    PIXELS,
    STATE,
    TRANSIENT,
    activation_bytes,
    check_footprint,
    check_tuning,
    flops,
    image_bytes,
    parameter_count,
    room,
)
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedAutoencoder, ModelConfig, SimMIM, build_model, model_config
from maskgraph.empirical.shares import own_parts
from maskgraph.empirical.stack import Stack
from maskgraph.empirical.state import State
from maskgraph.empirical.train import architecture, train, training_set
from maskgraph.empirical.train_stack import train_stack
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from tests.empirical.toys import SHORT, images, pixels, with_

SHAPES = {
    "tiny at 32 pixels": (model_config("tiny", (8, 8), 48), 16),
    "tiny at 28 pixels, half kept": (model_config("tiny", (7, 7), 16), 25),
    "base at 224 pixels": (model_config("base", (14, 14), 768), 49),
    "base with SimMIM": (model_config("base", (14, 14), 768, family="simmim"), 98),
    "base with SimMIM as published": (
        model_config("base", (14, 14), 768, family="simmim", relative=True, layer_scale=0.1),
        98,
    ),
    "base with a wide bottleneck": (model_config("base", (14, 14), 768, bottleneck=20_000), 49),
    "base with a bottleneck": (model_config("base", (14, 14), 768, bottleneck=64), 49),
}


PLENTY = 10**9
"""Images: more than a batch."""


def saved(shape: ModelConfig, kept: int, count: int) -> int:
    """Bytes that autograd keeps of so many images, on a device that computes nothing."""
    patches = shape.grid[0] * shape.grid[1]
    with torch.device("meta"):
        model = MaskedAutoencoder(shape) if shape.family == "mae" else SimMIM(shape)
        shown = torch.empty(count, kept, shape.patch_dim)
        at, slots = (torch.zeros(count, number, dtype=torch.int64) for number in (kept, patches - kept))
    return saved_by(model, lambda: model(shown, at, slots)[0])


def saved_by(model: nn.Module, forward: Callable[[], Tensor]) -> int:
    """Bytes that autograd keeps of a forward pass."""
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        assert forward().requires_grad
    return sum(seen.values())


@pytest.mark.parametrize("name", SHAPES)
def test_arithmetic_is_what_torch_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With attention written out: of the fused kernel torch counts the scores that its backward pass makes again."""
    shape, kept = SHAPES[name]

    def written_out(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None) -> Tensor:
        score = q @ k.transpose(-2, -1)
        return (score if attn_mask is None else score + attn_mask).softmax(dim=-1) @ v

    monkeypatch.setattr(functional, "scaled_dot_product_attention", written_out)
    patches = shape.grid[0] * shape.grid[1]
    with torch.device("meta"):
        model = MaskedAutoencoder(shape) if shape.family == "mae" else SimMIM(shape)
        shown = torch.empty(3, kept, shape.patch_dim)
        at, slots = (torch.zeros(3, number, dtype=torch.int64) for number in (kept, patches - kept))
    with FlopCounterMode(display=False) as counter:
        model(shown, at, slots)[0].sum().backward()
    assert counter.get_total_flops() == 3 * flops(shape, kept)


@pytest.mark.parametrize("name", SHAPES)
def test_activations_are_what_autograd_saves(name: str) -> None:
    shape, kept = SHAPES[name]
    counted = saved(shape, kept, 2) - saved(shape, kept, 1)
    estimate = activation_bytes(shape, kept, half=False)
    # Above, so that what fits by the formula fits; by less than half, so that little that fits is refused.
    assert counted <= TRANSIENT * estimate
    assert 0.95 * counted <= estimate <= 1.5 * counted


def test_tuning_keeps_what_an_encoder_of_all_patches_does(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, cpu = SHAPES["base at 224 pixels"][0], torch.device("cpu")
    with torch.device("meta"):
        classifier = Classifier(MaskedAutoencoder(shape), 10, "mean")
        one, two = torch.empty(1, 196, 768), torch.empty(2, 196, 768)
    counted = saved_by(classifier, lambda: classifier(two)) - saved_by(classifier, lambda: classifier(one))
    held = sum(p.numel() for p in classifier.parameters())
    tuned = sum(classifier.get_parameter(name).numel() for name in layer_scales(classifier, 1.0))
    # The step of what is tuned, and what is not: the decoder of the copy, and the network itself.
    fixed, free = STATE * tuned + 4 * (held - tuned) + 4 * held, 16 * 2**30
    monkeypatch.setattr(footprint, "available_bytes", lambda: free)
    with pytest.raises(InputError, match=r"^fine-tuning: 512 images at a time .*lower the fine_tune_batch, or") as told:
        check_tuning(shape, 1024, 1, "fp32", cpu, processes=2)
    found = re.search(r"; (\d+) would fit: .* --accumulate (\d+)$", str(told.value))
    assert found is not None
    fit, parts = map(int, found.groups())
    # See test_activations_are_what_autograd_saves.
    assert 0.95 * counted * TRANSIENT <= (free - fixed) / fit - 4 * PIXELS * 224**2 * 3 <= 1.6 * counted * TRANSIENT
    check_tuning(shape, 2 * fit, 1, "fp32", cpu, processes=2)
    check_tuning(shape, 1024, parts, "fp32", cpu, processes=2)
    with pytest.raises(InputError, match="would fit"):
        check_tuning(shape, 1024, parts - 1, "fp32", cpu, processes=2)
    # Half of what is free, and half of most numbers in bfloat16.
    with pytest.raises(InputError, match=r"for each of 2 trainings at once; \d+ would fit.*, or with fewer --workers"):
        check_tuning(shape, fit, 1, "fp32", cpu, beside=2)
    check_tuning(shape, fit + fit // 5, 1, "bf16", cpu)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("accumulate", [1, 3, 8, 16, 40])
def test_tuning_needs_room_for_the_largest_part(pairs: bool, accumulate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 images in two processes: pairs of mixed images stay together, however many parts are asked for."""
    shape, cpu = SHAPES["tiny at 32 pixels"][0], torch.device("cpu")
    groups = [Group(), Group()]
    for rank, group in enumerate(groups):
        vars(group).update(count=2, rank=rank)
    largest = max(part.count for group in groups for part in own_parts(32, group, accumulate, pairs))
    unit = 2 if pairs else 1

    def refused(free: int) -> bool:
        monkeypatch.setattr(footprint, "available_bytes", lambda: free)
        try:
            check_tuning(shape, 32, accumulate, "fp32", cpu, processes=2, pairs=pairs)
        except InputError:
            return True
        return False

    image = image_bytes(model_config("tiny", (8, 8), 48, family="simmim"), 64, half=False)
    encoder = parameter_count(model_config("tiny", (8, 8), 48, family="simmim"))
    fixed = STATE * encoder + 4 * (2 * parameter_count(shape) - encoder)
    assert not refused(int(fixed + largest * image) + 1)
    assert refused(int(fixed + (largest - unit / 2) * image))


def allocated(run: Callable[[], object]) -> int:
    """The most bytes that torch's allocator holds at once of what it gives out meanwhile."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    # All of its one cycle, of which torch 2.11 else warns that it is all.
    with torch.profiler.profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        run()
    assert profiler.profiler is not None
    results = profiler.profiler.kineto_results
    assert results is not None
    events = sorted((e for e in results.events() if e.name() == "[memory]"), key=lambda event: event.start_ns())
    return int(np.cumsum([event.nbytes() for event in events]).max())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("accumulate", [1, 6])
@pytest.mark.parametrize("method", ["mae", "u-mae", "simmim"])
def test_a_step_takes_what_it_is_said_to_take(
    method: Method, accumulate: int, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network beside which its images are large, so that pixels are most of it."""
    values = np.random.default_rng(0).integers(256, size=(12, 224, 224, channels), dtype=np.uint8)
    data = dataclasses.replace(pixels(Augmentation((0.2, 1.0), flip=True), channels), pixels=values, patch=16)
    config, cpu = TrainConfig(method=method, batch=12, accumulate=accumulate, device="cpu"), torch.device("cpu")
    state = State(training_set(data, config, cpu), config, cpu, Group())
    shape = architecture(data, config)
    held = allocated(state.advance) + 4 * parameter_count(shape)

    def refused(free: int) -> bool:
        monkeypatch.setattr(footprint, "available_bytes", lambda: free)
        try:
            check_footprint(shape, config, PLENTY, cpu)
        except InputError:
            return True
        return False

    assert refused(int(0.95 * held))
    assert not refused(int(1.8 * held))


def test_parts_that_are_promised_to_fit_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniformity holds the images of all parts, so that more parts of them may be needed, and none may help."""
    shape, cpu = model_config("micro", (14, 14), 768), torch.device("cpu")
    for method in ("mae", "u-mae"):
        config = TrainConfig(method=method, batch=256, device="cpu")
        monkeypatch.setattr(footprint, "available_bytes", lambda: 300 * 2**20)
        with pytest.raises(InputError, match=r"\d+ would fit: lower the batch, or keep it with --accumulate") as told:
            check_footprint(shape, config, PLENTY, cpu)
        fit, parts = map(int, re.findall(r"; (\d+) would fit: .* --accumulate (\d+)$", str(told.value))[0])
        check_footprint(shape, with_(config, batch=fit), PLENTY, cpu)
        check_footprint(shape, with_(config, accumulate=parts), PLENTY, cpu)
        with pytest.raises(InputError, match="would fit"):
            check_footprint(shape, with_(config, accumulate=parts - 1), PLENTY, cpu)
    monkeypatch.setattr(footprint, "available_bytes", lambda: 100 * 2**20)
    with pytest.raises(InputError, match=r"; \d+ would fit: lower the batch$"):
        check_footprint(shape, config, PLENTY, cpu)


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_counted_but_for_the_few(name: str) -> None:
    shape, _ = SHAPES[name]
    with torch.device("meta"):
        model = MaskedAutoencoder(shape) if shape.family == "mae" else SimMIM(shape)
    assert parameter_count(shape) == pytest.approx(sum(p.numel() for p in model.parameters()), rel=0.02)


def test_what_shares_the_machine_shares_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, cpu = model_config("base", (14, 14), 768), torch.device("cpu")
    monkeypatch.setattr(footprint, "available_bytes", lambda: 8 * 2**30)
    config = TrainConfig(size="base", batch=32, device="cpu")
    check_footprint(shape, config, PLENTY, cpu)
    with pytest.raises(InputError, match=r"and 2 GiB are free for each of 4 trainings at once; \d+ would fit"):
        check_footprint(shape, config, PLENTY, cpu, beside=4)
    with pytest.raises(InputError, match=r"not even one would fit: choose a smaller size, or fewer --workers"):
        check_footprint(shape, config, PLENTY, cpu, beside=10)
    with pytest.raises(InputError, match=r"not even one would fit: choose a smaller size or queue$"):
        check_footprint(shape, with_(config, method="u-mae", queue=10**12), PLENTY, cpu)
    # No more images than there are, and uniformity pairs each with all others and the queue.
    check_footprint(shape, with_(config, batch=10**9), 32, cpu)
    with pytest.raises(InputError, match="would fit"):
        check_footprint(shape, with_(config, method="u-mae", queue=10**8), PLENTY, cpu)


def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, cpu = model_config("base", (14, 14), 768), torch.device("cpu")
    monkeypatch.setattr(footprint, "available_bytes", lambda: 8 * 2**30)
    config = TrainConfig(size="base", batch=4096, device="cpu")
    with pytest.raises(
        InputError, match=r"4096 images at a time need about .* GiB of memory and 8 GiB are free;"
    ) as told:
        check_footprint(shape, config, PLENTY, cpu)
    found = re.search(r"; (\d+) would fit: lower the batch, or keep it with --accumulate (\d+)", str(told.value))
    assert found is not None
    fit, parts = map(int, found.groups())
    image = image_bytes(shape, 49, half=False)
    assert (
        STATE * parameter_count(shape) + fit * image <= 8 * 2**30 < STATE * parameter_count(shape) + (fit + 1) * image
    )
    check_footprint(shape, with_(config, batch=fit), PLENTY, cpu)
    check_footprint(shape, with_(config, accumulate=parts), PLENTY, cpu)
    check_footprint(shape, config, PLENTY, cpu, parts)
    with pytest.raises(InputError, match="would fit"):
        check_footprint(shape, with_(config, accumulate=parts - 1), PLENTY, cpu)


def test_a_stack_that_does_not_fit_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, cpu = model_config("base", (14, 14), 768), torch.device("cpu")
    monkeypatch.setattr(footprint, "available_bytes", lambda: 8 * 2**30)
    config = TrainConfig(size="base", batch=16, device="cpu")
    with pytest.raises(InputError, match=r"; \d+ of the 9 models at once would fit: lower --stack$") as told:
        check_footprint(shape, config, PLENTY, cpu, models=9)
    fit = int(str(told.value).split("; ")[1].split()[0])
    check_footprint(shape, config, PLENTY, cpu, models=fit)
    with pytest.raises(InputError, match=rf"; {fit} of the {fit + 1} models at once would fit"):
        check_footprint(shape, config, PLENTY, cpu, models=fit + 1)
    # Where one model alone is too much, its batch is.
    with pytest.raises(InputError, match=r"would fit: lower the batch"):
        check_footprint(shape, with_(config, batch=4096), PLENTY, cpu, models=2)


def test_a_model_that_does_not_fit_at_all_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_bytes", lambda: 2**20)
    monkeypatch.setattr(State, "advance", lambda _: pytest.fail("training was begun"))
    with pytest.raises(InputError, match=r"not even one would fit: choose a smaller size"):
        train(images(), SHORT)


def test_memory_that_runs_out_all_the_same_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: State) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 7 MiB "
            "is free. Including non-PyTorch memory, this process has 79.10 GiB memory in use."
        )

    monkeypatch.setattr(State, "advance", full)
    said = r"cpu ran out of memory on 4 images in 2 parts \(CUDA out of memory. Tried to allocate 20.00 MiB\); add "
    with pytest.raises(InputError, match=rf"^{said}--resume and --accumulate 4$"):
        train(images(), with_(SHORT, accumulate=2))


@pytest.mark.parametrize(
    "reason",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Cuda failure 2 'out of memory'",
    ],
)
def test_memory_that_runs_out_in_a_graph_is_seen_behind_the_end_of_its_capture(reason: str) -> None:
    def capture() -> None:
        try:
            raise RuntimeError(f"{reason}\nCompile with `TORCH_USE_CUDA_DSA`.")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    said = f"cpu ran out of memory on 4 images of each of 2 models ({reason}); lower --stack"
    with pytest.raises(InputError, match=f"^{re.escape(said)}"), room(4, 1, torch.device("cpu"), 2):
        capture()


def test_a_processor_out_of_memory_is_one_sentence_too_and_other_errors_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = ["[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory", "shapes differ"]

    def fails(_: object) -> None:
        raise RuntimeError(said[0])

    for kind in (State, Stack):
        monkeypatch.setattr(kind, "advance", fails)
    with pytest.raises(InputError, match=r"cpu ran out of memory on 4 images in 1 parts"):
        train(images(), SHORT)
    both, paths = [SHORT, with_(SHORT, seed=1)], [tmp_path / "0.safetensors", tmp_path / "1.safetensors"]
    with pytest.raises(InputError, match=r"on 4 images of each of 2 models .*; lower --stack, with another --out$"):
        train_stack(images(), both, paths, tmp_path / "stack.safetensors")
    monkeypatch.setattr(torch.optim.AdamW, "step", fails)
    model, how = build_model(model_config("micro", (2, 2), 48), 0), FineTune(batch=6, accumulate=3)
    with pytest.raises(InputError, match=r"cpu ran out of memory on 6 images in 3 parts .* --accumulate 6$"):
        fine_tune(model, pixels(), 3, how)
    said[0] = said[1]
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(images(), SHORT)


def test_bfloat16_takes_less() -> None:
    shape, kept = SHAPES["base at 224 pixels"]
    assert np.isclose(activation_bytes(shape, kept, half=True), 0.75 * activation_bytes(shape, kept, half=False))
