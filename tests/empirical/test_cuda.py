"""What only a GPU runs: everywhere on an emulated one (see `emulated`), and on a real one where it is asked for.

    MASKGRAPH_GPU=1 python -m pytest tests -k cuda

The one is held to what it would refuse or wait for, the other to what it computes, too.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel

from maskgraph.empirical import train as training
from maskgraph.empirical import train_stack as stacking
from maskgraph.empirical.augment import Augmentation
from maskgraph.empirical.config import TrainConfig, resolve_device
from maskgraph.empirical.group import Group, TorchGroup
from maskgraph.empirical.judge import judge_network
from maskgraph.empirical.linear_probe import SgdProbe, sgd_probe
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.on_graph import on_graph
from maskgraph.empirical.parts import Parts
from maskgraph.empirical.placed import placed
from maskgraph.empirical.probes import Labelled
from maskgraph.empirical.readers import DatasetReader
from maskgraph.empirical.recipe import JudgePlan
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.stack import Stack
from maskgraph.empirical.state import LAM, State
from maskgraph.empirical.stream import Stream
from maskgraph.empirical.train import Images, load_model, train, training_set
from maskgraph.empirical.train_stack import train_stack
from maskgraph.empirical.tuning import FineTune
from maskgraph.empirical.tuning_state import TuningState
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.masks import mask_distribution, mask_set
from tests.empirical.emulated import GPU, emulated
from tests.empirical.toys import GRID, PATCH_DIM, SHORT, images, pixels, with_

pytestmark = [
    # What torch says of a GPU itself: that it does not see every wait, and that a thread of its own was new to the GPU.
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS, but there was no current CUDA context"),
    # Of what a compiler traces it asks for a gradient, and in float32 it recommends TF32, once.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores"),
]

CPU = torch.device("cpu")

NEAR = 1e-3
"""Relative, of float32 losses of some steps by sums in another order; from step to step they change by more."""

HALF = 0.03
"""Relative, of losses of some steps in bfloat16 and in float32: on a CPU they are up to 0.009 apart."""

Quiet = Callable[[], AbstractContextManager[None]]
"""Within what it gives it is an error to wait for the GPU."""


@pytest.fixture(
    params=[
        "emulated cuda",
        # The emulation runs everywhere; only the card itself cannot be had where there is none.
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ]
)
def quiet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quiet]:
    if request.param == "cuda":

        @contextmanager
        def watched() -> Iterator[None]:
            torch.cuda.set_sync_debug_mode("error")
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")

        yield watched
        return
    for module in (training, stacking):
        # Without a driver nothing knows which one "cuda" would be.
        monkeypatch.setattr(module, "resolve_device", lambda name: GPU if resolve_device(name) != CPU else CPU)
    with emulated() as emulation:

        @contextmanager
        def noted() -> Iterator[None]:
            before = len(emulation.waits)
            yield
            assert emulation.waits[before:] == []

        yield noted


def alone(data: Images, config: TrainConfig, device: torch.device, steps: int, quiet: Quiet) -> NDArray[np.float32]:
    """(steps, 3) losses; steps after the first are to wait for nothing."""
    config = dataclasses.replace(config, device=device.type)
    state = State(training_set(data, config, device), config, device, Group())
    state.advance()
    for _ in range(1, steps):
        with quiet():
            state.advance()
    found: NDArray[np.float32] = state.losses[:steps].cpu().numpy()
    return found


EVERYTHING = {
    "final_norm": "twice",
    "diagonal": False,
    "queue": 3,
    "accumulate": 2,
    "clip": 1.0,
    "drop_path": 0.2,
    "layer_scale": 0.1,
    "target": "normalised",
}


every_method = pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("mae", {}),
        ("u-mae", EVERYTHING),
        ("u-mae", {"bottleneck": 4, "feature": "bottleneck", "lam": "auto"}),
        ("simmim", {"relative_positions": True}),
        ("u-simmim", {"feature": "tokens"}),
    ],
)


@every_method
@pytest.mark.parametrize("kind", ["codes", "pixels"])
def test_a_step_is_on_one_device_and_waits_for_nothing(
    method: str, changes: dict[str, object], kind: str, quiet: Quiet
) -> None:
    config = with_(SHORT, method=method, precision="fp32", **changes)
    data: Images = images() if kind == "codes" else pixels(Augmentation((0.3, 1.0), True))
    with sdpa_kernel(SDPBackend.MATH):
        there, here = (alone(data, config, device, 3, quiet) for device in (GPU, CPU))
    np.testing.assert_allclose(there, here, rtol=NEAR)


@every_method
def test_a_step_in_bfloat16_is_near_one_in_float32(method: str, changes: dict[str, object], quiet: Quiet) -> None:
    """By the kernels that a GPU chooses itself; the emulated one has neither these nor bfloat16."""
    data = pixels(Augmentation((0.3, 1.0), True))
    there, here = (
        alone(data, with_(SHORT, method=method, precision=precision, **changes), device, 3, quiet)
        for precision, device in (("bf16", GPU), ("fp32", CPU))
    )
    # λ that is measured is of the pair that differs most.
    np.testing.assert_allclose(there[:, :LAM], here[:, :LAM], rtol=HALF)


def test_images_that_are_read_arrive_without_waiting(quiet: Quiet) -> None:
    shown = pixels()
    stream = Stream("noise", DatasetReader(list(shown.pixels)), shown.labels, 8, 3, 4)
    there, here = (alone(stream, with_(SHORT, precision="fp32"), device, 2, quiet) for device in (GPU, CPU))
    np.testing.assert_allclose(there, here, rtol=NEAR)


@pytest.mark.parametrize(("precision", "error"), [("fp32", NEAR), ("bf16", HALF)])
def test_a_graph_of_every_size_of_batch_is_the_step_of_a_stack(precision: str, error: float, quiet: Quiet) -> None:
    found = []
    with sdpa_kernel(SDPBackend.MATH) if precision == "fp32" else nullcontext():
        for device, own in ((GPU, precision), (CPU, "fp32")):
            first = with_(SHORT, precision=own, epochs=5)
            configs = [first, with_(first, method="mae", seed=1)]
            stack = Stack(training_set(images(), configs[0], device), configs, device)
            while stack.step < stack.steps:
                # Of two sizes one comes once an epoch: its graph is captured in the fourth.
                with quiet() if stack.step >= 12 else nullcontext():
                    stack.advance()
            found.append(stack.losses.cpu().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=error)


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(CPU, id="cpu"),
        pytest.param(GPU, id="cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
)
def test_a_group_of_one_process_trains_as_none_does(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that processes do in common, by NCCL on a GPU: several would need one each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for name, value in {**own, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    config = with_(SHORT, precision="fp32", device=device.type, **EVERYTHING)
    group = TorchGroup(device)
    try:
        together = State(training_set(images(), config, device), config, device, group)
        for _ in range(3):
            together.advance()
        found = together.total()[:3].cpu().numpy()
        rows = torch.arange(3, device=device)
        assert group.gather(rows > 0, [3]).tolist() == [False, True, True]
        # Of what is on the host, too, and a wait.
        assert float(group.sum(torch.tensor(2.0))) == 2
        group.wait()
    finally:
        group.leave()
    np.testing.assert_allclose(found, alone(images(), config, device, 3, nullcontext), rtol=NEAR)


@pytest.mark.usefixtures("quiet")
def test_a_checkpoint_of_a_cpu_is_gone_on_with_on_cuda(tmp_path: Path) -> None:
    config, path = with_(SHORT, precision="fp32", epochs=3), tmp_path / "model.safetensors"
    whole = train(images(), config)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(images(), config, path, stop, 4)
    found = train(images(), with_(config, device="cuda"), path)
    assert next(found.model.parameters()).device.type == "cuda"
    np.testing.assert_allclose(found.losses, whole.losses, rtol=NEAR)
    assert np.array_equal(load_model(path).losses, found.losses)


@pytest.mark.usefixtures("quiet")
def test_a_stack_of_cuda_leaves_what_a_cpu_reads(tmp_path: Path) -> None:
    configs = [with_(SHORT, device="cuda", precision="fp32", epochs=2, seed=seed) for seed in (0, 1)]
    paths = [tmp_path / f"{index}.safetensors" for index in range(2)]
    train_stack(images(), configs, paths, tmp_path / "stack.safetensors", 4)
    for config, path in zip(configs, paths, strict=True):
        whole = train(images(), with_(config, device="cpu"))
        np.testing.assert_allclose(load_model(path).losses, whole.losses, rtol=NEAR)


def test_a_step_of_fine_tuning_waits_for_nothing(quiet: Quiet) -> None:
    how = FineTune(epochs=1, batch=3, clip=1.0, regularise=Regularise(mixup=0.8, cutmix=1.0, drop_path=0.1))
    model = build_model(model_config("micro", (2, 2), 48), 0).to(GPU)
    tuning = TuningState(model, pixels(Augmentation((0.3, 1.0), True)), 3, how, GPU, Group())
    tuning.advance()
    while tuning.step < tuning.steps:
        with quiet():
            tuning.advance()
    tuning.check()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "how",
    [
        FineTune(epochs=1, batch=8, accumulate=2, clip=1.0),
        FineTune(epochs=1, batch=5, norm="new", regularise=Regularise(0.8, 1.0, 0.5, 0.1, 9)),
    ],
    ids=["plain", "regularised"],
)
def test_a_network_on_cuda_is_tuned_and_judged(how: FineTune, tmp_path: Path) -> None:
    parts = Parts(pixels(Augmentation((0.3, 1.0), True)), pixels(), pixels())
    model = build_model(model_config("micro", (2, 2), 48), 0).to(GPU).eval()
    masks, plan = mask_distribution("uniform", (2, 2), 0.5), JudgePlan(probes=("ridge", "knn"), views=2)
    judged = judge_network(model, parts, plan, masks, 0, how, tmp_path / "tuned.safetensors")
    assert judged is not None
    assert judged.predicted["mean.fine-tune"].shape == (12,)
    assert np.isfinite(judged.record["collapse"]["cls"]["singular_values"]).all()


@pytest.mark.usefixtures("quiet")
def test_a_linear_probe_on_cuda_says_what_it_says_on_a_cpu() -> None:
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    # Classes that lie apart: rounding moves no feature from one to another.
    x = np.eye(3)[y] @ rng.normal(size=(3, 8)) * 10 + rng.normal(size=(60, 8))
    known, how = Labelled(x[:40], y[:40], np.full(40, 1 / 40)), SgdProbe(epochs=4, batch=16, steps=6, lr=0.5, trust=0.5)
    there, here = (sgd_probe(known, x[40:], how, device) for device in (GPU, CPU))
    assert there.tolist() == here.tolist() == y[40:].tolist()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("family", ["mae", "simmim"])
def test_a_network_on_cuda_has_the_numbers_that_it_has_on_a_cpu(family: str) -> None:
    shown = images()
    graph = mask_graph(shown, mask_set(mask_distribution("uniform", shown.grid, 0.5), 4, 0), "positional")
    model = build_model(model_config("micro", GRID, PATCH_DIM, family=family), 0).eval()
    here, there = (on_graph(model.to(device), graph).numbers for device in (CPU, GPU))
    # Adam, which looks for ε, makes a step of its own size of any gradient.
    for name, error in (("L_MAE", NEAR), ("cls.L_unif", NEAR), ("mean.lipschitz", NEAR), ("epsilon", 0.05)):
        assert there[name] == pytest.approx(here[name], rel=error), name


@pytest.mark.usefixtures("quiet")
def test_what_is_placed_may_be_changed_at_once() -> None:
    array = np.arange(3)
    there = placed(array, GPU)
    array[:] = 7
    assert there.cpu().tolist() == [0, 1, 2]


# A compiler has nothing to compile for where the GPU is emulated.
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@on_a_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", [{"method": "u-mae"}, {"method": "u-simmim", "relative_positions": True}])
def test_compiled_blocks_train_as_they_are(method: dict[str, object], precision: str) -> None:
    how = with_(SHORT, device="cuda", precision=precision, epochs=2, **method)
    plain, compiled = (train(images(), with_(how, compile=whether)).losses for whether in (False, True))
    np.testing.assert_allclose(compiled, plain, rtol=NEAR if precision == "fp32" else HALF)


@on_a_gpu
def test_a_graph_of_compiled_blocks_is_the_step_of_a_stack() -> None:
    how = [with_(SHORT, device="cuda", precision="fp32", seed=seed) for seed in (0, 1)]
    data = training_set(images(), how[0], GPU)
    plain, compiled = (Stack(data, [with_(one, compile=whether) for one in how], GPU) for whether in (False, True))
    for _step in range(18):
        plain.advance()
        compiled.advance()
    torch.testing.assert_close(compiled.losses, plain.losses, rtol=NEAR, atol=0)
