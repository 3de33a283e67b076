"""What a GPU trains in a second: large networks, small ones and stacks of them, beside the literal step of MAE's code.

    python benchmarks/training_gpu.py --out gpu.json                   # meant for some five minutes on one GPU
    python benchmarks/training_gpu.py --out gpu.json --networks base   # one part; the file keeps the others
    python benchmarks/training_gpu.py --device cpu --networks micro --batch 64  # whether it runs

Forward, backward and AdamW under bfloat16 autocast, draws of images and masks included, interleaved in one process, by
the clock between two synchronisations. MFU is the share of the bfloat16 rate that the maker of the GPU states; the rate
of one large product here is printed beside it. "host ms" is what the host takes to ask for a step: where it is all that
the step takes, the GPU waits for the host.

Before anything is timed ours and the literal step must give one loss on one batch, and a stack, whose steps are CUDA
graphs, the losses that its models have alone; a step in bfloat16, and a compiled one, the loss and the gradient of one
in float32. All losses have to be finite when the last step is timed.

Each network is written when it is done. What the file holds is not measured again, and of another machine or in other
steps it is refused.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpus import asked, described, stated
from literal_mae import LiteralStep
from measuring import machine, spread, table
from training import as_floats, check_same

from maskgraph.empirical.config import TrainConfig, check_compiler
from maskgraph.empirical.footprint import flops
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedAutoencoder
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.published import published_tensors
from maskgraph.empirical.records import check_writable, read_json, write_json
from maskgraph.empirical.stack import Stack
from maskgraph.empirical.state import State
from maskgraph.empirical.train import training_set
from maskgraph.graphs.errors import InputError

SEED = 0

MATRIX = 8192
"""Side of the matrices whose product is the rate that is measured."""

STACKED = 6
"""Models of a stack: two methods and three seeds, as in studies/fashion-mnist.toml."""

SWEEP = 211_500
"""Steps of such stacks in that study."""

FEW, HALF = 64, 0.02
"""Most images that a step in float32 and in bfloat16 is compared on, and what may be between them: five roundings of
2⁻⁸, which add up at random over blocks."""

TOGETHER = 1e-4
"""Relative, of float32 losses after ten steps in a stack and alone: Adam divides a gradient by its own size."""


@dataclass(frozen=True)
class Setting:
    """A network and the images that it is trained on.

    Attributes:
        size: of the network.
        side: of an image in pixels.
        patch: of a patch.
        channels: of an image.
        batch: images a step.
        images: how many there are.
    """

    size: str
    side: int
    patch: int
    channels: int
    batch: int
    images: int

    @property
    def kept(self) -> int:
        """Patches shown, a quarter."""
        return round((self.side // self.patch) ** 2 / 4)


NETWORKS = {
    "base": Setting("base", 224, 16, 3, 256, 1024),
    "tiny": Setting("tiny", 28, 4, 1, 4096, 8192),
    "micro": Setting("micro", 28, 4, 1, 256, 8192),
}


def noise(setting: Setting) -> Pixels:
    """Images whose content does not matter."""
    shape = (setting.images, setting.side, setting.side, setting.channels)
    pixels = np.random.default_rng(SEED).integers(256, size=shape, dtype=np.uint8)
    mean, std = channel_statistics(pixels, 255)
    return Pixels("noise", pixels, 255, np.zeros(setting.images, dtype=np.int64), setting.patch, mean, std)


def config(setting: Setting, device: torch.device, **changes: Any) -> TrainConfig:
    """How its networks are trained."""
    fields: dict[str, Any] = {"size": setting.size, "batch": setting.batch, "epochs": 1000, "precision": "bf16"}
    return TrainConfig(**{**fields, "device": device.type, **changes})


def state(images: Pixels, how: TrainConfig, device: torch.device) -> State:
    """The state that training steps."""
    return State(training_set(images, how, device), how, device, Group())


def stack(images: Pixels, how: list[TrainConfig], device: torch.device) -> Stack:
    """The stack that training steps."""
    return Stack(training_set(images, how[0], device), how, device)


def members(setting: Setting, device: torch.device, **changes: Any) -> list[TrainConfig]:
    """MAE and U-MAE with each seed."""
    return [
        config(setting, device, method="u-mae" if index % 2 else "mae", seed=index // 2, **changes)
        for index in range(STACKED)
    ]


def check_stack(images: Pixels, setting: Setting, device: torch.device) -> None:
    """Raise ArithmeticError unless ten steps of a stack in float32 give the losses of its models alone."""
    how = members(setting, device, precision="fp32")
    together, alone = stack(images, how, device), [state(images, one, device) for one in how]
    for _ in range(10):
        together.advance()
        for one in alone:
            one.advance()
    for index, one in enumerate(alone):
        found, wanted = together.losses[index, :10], one.losses[:10]
        if not torch.allclose(found, wanted, rtol=TOGETHER):
            raise ArithmeticError(f"losses {found.tolist()} in a stack and {wanted.tolist()} alone")


def check_ways(images: Pixels, setting: Setting, device: torch.device, compiled: bool) -> None:
    """Raise ArithmeticError unless a step in bfloat16, for which attention has other kernels, is one in float32.

    And one of compiled blocks, where these are to be timed.
    """
    how = {"method": "u-mae", "batch": min(setting.batch, FEW)}
    losses, gradients = [], []
    for changes in ({"precision": "fp32"}, {}, *([{"compile": True}] if compiled else [])):
        one = state(images, config(setting, device, **changes, **how), device)
        one.advance()
        losses.append(one.losses[0, :2])
        # The step has moved the parameters and left the gradients.
        gradients.append(torch.cat([p.grad.flatten() for p in one.model.parameters() if p.grad is not None]))
    for loss, gradient in zip(losses[1:], gradients[1:], strict=True):
        cosine = float(torch.nn.functional.cosine_similarity(gradients[0], gradient, dim=0))
        if not torch.allclose(losses[0], loss, rtol=HALF) or not cosine > 1 - HALF:
            raise ArithmeticError(
                f"losses {losses[0].tolist()} in float32, {loss.tolist()} otherwise; cosine {cosine} of their gradients"
            )


def seconds(step: Callable[[], object], steps: int, device: torch.device) -> tuple[float, float]:
    """Of one step, on the clock; and of it what the host took to ask for it."""
    _finish(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    asked = time.perf_counter() - start
    _finish(device)
    return (time.perf_counter() - start) / steps, asked / steps


@dataclass(frozen=True)
class Way:
    """One way to train a network.

    Attributes:
        step: makes a step.
        models: that it trains at once.
        losses: those so far; the last one of a step that says no others.
    """

    step: Callable[[], object]
    models: int
    losses: Callable[[], Any]


def trained(one: State | Stack, models: int = 1) -> Way:
    """The way of this project."""
    return Way(one.advance, models, lambda: one.losses[..., : one.step, :].cpu())


def literally(step: LiteralStep) -> Way:
    """That of the literal step, which reads every loss."""
    said = [0.0]

    def make() -> None:
        said[0] = step()

    return Way(make, 1, lambda: torch.tensor(said))


def compiles(device: torch.device) -> bool:
    """Whether torch.compile has what it needs here; says what is missing."""
    try:
        check_compiler(device)
    except InputError as error:
        print(f"nothing is timed compiled: {error}", file=sys.stderr)
        return False
    return True


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a product of large bfloat16 matrices."""
    side = MATRIX if device.type == "cuda" else MATRIX // 8
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b, 5, device)[0] for _ in range(3))


def measure(
    name: str, setting: Setting, device: torch.device, rounds: int, steps: int, compiled: bool
) -> dict[str, Any]:
    """Images a second of every way to train a network.

    Raises:
        ArithmeticError: losses that differ where they should not, or are not finite.
    """
    images = noise(setting)
    single = state(images, config(setting, device, method="mae", precision="fp32"), device)
    assert isinstance(single.model, MaskedAutoencoder)
    weights = {key: value.cpu() for key, value in published_tensors(single.model, setting.patch).items()}
    literal = LiteralStep(weights, as_floats(images).to(device), setting.batch, setting.kept, fused=True, half=True)
    check_same(single, literal)
    check_ways(images, setting, device, compiled)
    work = flops(single.model.config, setting.kept)
    del single
    ways = {f"{name}: facebookresearch/mae, bf16": literally(literal)}
    hows: dict[str, dict[str, Any]] = {"": {}, **({", compiled": {"compile": True}} if compiled else {})}
    for method in ("mae", "u-mae"):
        for how, changes in hows.items():
            single = state(images, config(setting, device, method=method, **changes), device)
            ways[f"{name}: maskgraph {method}{how}"] = trained(single)
    if setting.size == "micro":
        check_stack(images, setting, device)
        for how, changes in hows.items():
            together = stack(images, members(setting, device, **changes), device)
            ways[f"{name}: {STACKED} at once{how}"] = trained(together, STACKED)
    peak = {}
    for label, way in ways.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        # Kernels are chosen and graphs captured in the first steps.
        seconds(way.step, 5, device)
        peak[label] = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    taken: dict[str, list[tuple[float, float]]] = {label: [] for label in ways}
    for _ in range(rounds):
        for label, way in ways.items():
            taken[label].append(seconds(way.step, steps, device))
    gpu = asked(device)
    for label, way in ways.items():
        if not torch.isfinite(way.losses()).all():
            raise ArithmeticError(f"{label}: losses that are not finite")
    return {
        "batch": setting.batch,
        "gflop_per_image": work / 1e9,
        "gpu_after": gpu,
        "ways": [
            {
                "way": label,
                "models": ways[label].models,
                "seconds_per_step": [whole for whole, _ in times],
                "host_seconds_per_step": [host for _, host in times],
                "images_per_second": [ways[label].models * setting.batch / whole for whole, _ in times],
                "peak_bytes": peak[label],
            }
            for label, times in taken.items()
        ],
    }


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def report(found: dict[str, Any]) -> str:
    """The table, and what the sweep of the stacked study would take."""
    top, rows, lines = stated(found["machine"]["device"]), [], []
    for one in found["networks"].values():
        for way in one["ways"]:
            rate = statistics.median(way["images_per_second"])
            share = "-" if top is None else f"{rate * 1e9 * one['gflop_per_image'] / top:.1%}"
            host = 1e3 * statistics.median(way["host_seconds_per_step"])
            rows.append((way["way"], str(one["batch"]), spread(way["images_per_second"], 0), share, f"{host:.2f}"))
            if way["models"] > 1:
                minutes = statistics.median(way["seconds_per_step"]) * SWEEP / 60
                lines.append(
                    f"{SWEEP:,} steps of {way['way']}, as in studies/fashion-mnist.toml: {minutes:.1f} minutes"
                )
    product = f"one product of large matrices: {found['matrix_tflops']:.3g} TFLOP/s"
    share = "" if top is None else f", {found['matrix_tflops'] * 1e12 / top:.1%} of the stated rate"
    return "\n".join([table(("step", "batch", "images/s", "MFU", "host ms"), rows), product + share, *lines])


def begun(path: Path | None, base: dict[str, Any]) -> dict[str, Any]:
    """What a file holds of the same measurement, or `base`.

    Raises:
        InputError: a file that cannot be read or written.
        ValueError: one of another machine, or with other options.
    """
    if path is None:
        return base
    check_writable(path)
    if not path.exists():
        return base
    found: dict[str, Any] = read_json(path)
    for key in ("seed", "options", "machine"):
        if found.get(key) != base[key]:
            raise ValueError(f"{path} has {key} {found.get(key)}, and this is {base[key]}; choose another --out")
    return found


def main() -> None:
    """Measure what the file does not hold, write it network by network, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda; cpu: to see that it runs")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), help="some of them")
    parser.add_argument("--batch", type=int, help="images a step, instead of each network's own")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--steps", type=int, default=20, help="steps of each way in a round (20)")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="time nothing compiled")
    parser.add_argument("--out", type=Path, help="JSON with machine, versions and every time; begun or gone on with")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; --device cpu runs the same, to see that it does")
    # float32 is to be float32, so that losses can be compared: of convolutions, too, which are TF32 else.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    about = {key: value for key, value in machine().items() if key != "load"}
    base = {
        "command": f"python benchmarks/training_gpu.py --out {options.out}",
        "seed": SEED,
        "options": {key: getattr(options, key) for key in ("batch", "rounds", "steps", "compile")},
        "machine": {**about, **described(device)},
        "networks": {},
    }
    try:
        found = begun(options.out, base)
    except ValueError as error:
        parser.error(str(error))
    compiled = options.compile and compiles(device)
    for name in options.networks:
        if name in found["networks"]:
            continue
        found.setdefault("matrix_tflops", matrix_rate(device) / 1e12)
        own = NETWORKS[name]
        batch = options.batch or own.batch
        # Whole batches: the last of an epoch would have a graph of its own, captured while it is timed.
        setting = replace(own, batch=batch, images=max(own.images // batch, 1) * batch)
        found["networks"][name] = measure(name, setting, device, options.rounds, options.steps, compiled)
        if options.out is not None:
            write_json(options.out, found)
    print(report(found))


if __name__ == "__main__":
    main()
