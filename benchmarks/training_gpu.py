"""What a GPU trains in a second: large networks, small ones and stacks of them, beside the literal step of MAE's code.

    python benchmarks/training_gpu.py                                           # some five minutes on one GPU
    python benchmarks/training_gpu.py --device cpu --networks micro --batch 64  # whether it runs

Forward, backward and AdamW under bfloat16 autocast, draws of images and masks included, interleaved in one process, by
the clock between two synchronisations. MFU is the share of the bfloat16 rate that the maker of an H100 states; the rate
of one large product here is printed beside it.

Before anything is timed ours and the literal step must give one loss on one batch, and a stack, whose steps are CUDA
graphs, the losses that its models have alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from literal_mae import LiteralStep
from measuring import machine, spread, table
from training import as_floats, check_same

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.footprint import flops
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedAutoencoder
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.published import published_tensors
from maskgraph.empirical.stack import Stack
from maskgraph.empirical.state import State
from maskgraph.empirical.train import training_set

STATED = 989e12
"""Dense bfloat16 operations a second of an H100 SXM, as its maker states them."""

MATRIX = 8192
"""Side of the matrices whose product is the rate that is measured."""

STACKED = 6
"""Models of a stack: two methods and three seeds, as in studies/fashion-mnist.toml."""

SWEEP = 148_500
"""Steps of such stacks in that study."""

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
    pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
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


def seconds(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """Of one step, on the clock."""
    _finish(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _finish(device)
    return (time.perf_counter() - start) / steps


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a product of large bfloat16 matrices."""
    side = MATRIX if device.type == "cuda" else MATRIX // 8
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b, 5, device) for _ in range(3))


def measure(name: str, setting: Setting, device: torch.device, rounds: int, steps: int) -> list[dict[str, Any]]:
    """Images a second of every way to train a network."""
    images = noise(setting)
    single = state(images, config(setting, device, method="mae", precision="fp32"), device)
    assert isinstance(single.model, MaskedAutoencoder)
    weights = {key: value.cpu() for key, value in published_tensors(single.model, setting.patch).items()}
    literal = LiteralStep(weights, as_floats(images).to(device), setting.batch, setting.kept, fused=True, half=True)
    check_same(single, literal)
    work = flops(single.model.config, setting.kept)
    del single
    ways: dict[str, tuple[Callable[[], object], int]] = {f"{name}: facebookresearch/mae, bf16": (literal, 1)}
    for method in ("mae", "u-mae"):
        ways[f"{name}: maskgraph {method}"] = state(images, config(setting, device, method=method), device).advance, 1
    if setting.size == "micro":
        check_stack(images, setting, device)
        ways[f"{name}: {STACKED} at once"] = stack(images, members(setting, device), device).advance, STACKED
    for step, _ in ways.values():
        # Kernels are chosen and graphs captured in the first steps.
        seconds(step, 5, device)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (step, _) in ways.items():
            taken[way].append(seconds(step, steps, device))
    return [
        {
            "way": way,
            "batch": setting.batch,
            "models": ways[way][1],
            "seconds_per_step": times,
            "images_per_second": [ways[way][1] * setting.batch / one for one in times],
            "gflop_per_image": work / 1e9,
            "mfu": ways[way][1] * setting.batch * work / statistics.median(times) / STATED,
        }
        for way, times in taken.items()
    ]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure, print a table, and with --json the figures with the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda; cpu: to see that it runs")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), help="some of them")
    parser.add_argument("--batch", type=int, help="images a step, instead of each network's own")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--steps", type=int, default=20, help="steps of each way in a round (20)")
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no CUDA device here; --device cpu runs the same, to see that it does")
    # float32 products are to be float32, so that losses can be compared.
    torch.set_float32_matmul_precision("highest")
    about = {**machine(), "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu"}
    rate, found = matrix_rate(device), []
    for name in options.networks:
        own = NETWORKS[name]
        setting = own if options.batch is None else Setting(**{**vars(own), "batch": options.batch})
        found += measure(name, setting, device, options.rounds, options.steps)
    rows = [(one["way"], str(one["batch"]), spread(one["images_per_second"], 0), f"{one['mfu']:.1%}") for one in found]
    print(table(("step", "batch", "images/s", "of stated"), rows), file=sys.stderr)
    print(f"one product of large matrices: {rate / STATED:.1%} of the stated rate", file=sys.stderr)
    for one in found:
        if one["models"] > 1:
            minutes = statistics.median(one["seconds_per_step"]) * SWEEP / 60
            print(
                f"{SWEEP:,} steps of {one['models']} models, studies/fashion-mnist.toml: {minutes:.1f} minutes",
                file=sys.stderr,
            )
    if options.json:
        print(json.dumps({"machine": about, "matrix_tflops": rate / 1e12, "steps": found}, indent=1))


if __name__ == "__main__":
    main()
