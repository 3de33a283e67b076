"""One training step against facebookresearch/mae's, written down literally: same network, weights, images and work.

    python benchmarks/training.py

Forward, backward and AdamW of ViT-Tiny (192/12/3, decoder 192/4/3) on 32x32x3 images in 64 patches, three quarters
masked, on one thread, interleaved, by CPU time. Ours is the step that training makes, draws of images and masks
included. Before anything is timed all ways must give one loss on one batch.

MFU is the share of the matrix rate of that precision, which is measured between the rounds in the same process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from literal_mae import LiteralStep
from measuring import machine, spread, table
from torch import Tensor

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.footprint import flops
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedAutoencoder
from maskgraph.empirical.objective import reconstruction_share
from maskgraph.empirical.pixels import Pixels, channel_statistics
from maskgraph.empirical.published import published_tensors
from maskgraph.empirical.state import State
from maskgraph.empirical.train import training_set

BATCH, KEPT, SIDE, PATCH = 64, 16, 32, 4
CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
MATRIX = 1024
"""Side of the matrices whose product is the rate that MFU is a share of."""

SAME = 1e-4
"""Of float32 losses of order 1 by sums in another order; bfloat16 ones are not compared."""


def noise(count: int = 2000) -> Pixels:
    """Images whose content does not matter."""
    pixels = np.random.default_rng(0).integers(256, size=(count, SIDE, SIDE, 3), dtype=np.uint8)
    mean, std = channel_statistics(pixels, 255)
    return Pixels("noise", pixels, 255, np.zeros(count, dtype=np.int64), PATCH, mean, std)


def ours(images: Pixels, method: str, precision: str, compiled: bool = False) -> State:
    """The state that training steps."""
    config = TrainConfig(
        method=method,
        size="tiny",
        batch=BATCH,
        epochs=10_000,
        precision=precision,
        device="cpu",
        compile=compiled,
    )
    return State(training_set(images, config, CPU), config, CPU, Group())


def as_floats(images: Pixels) -> Tensor:
    """(N, C, H, W) float32, centred and scaled."""
    values = (images.pixels / images.full - images.mean) / images.std
    return torch.as_tensor(values.transpose(0, 3, 1, 2).copy(), dtype=torch.float32)


def check_same(state: State, literal: LiteralStep) -> None:
    """Raise ArithmeticError unless both models give one loss on one batch under one mask."""
    order = np.argsort(np.random.default_rng(1).random((8, literal.model.pos_embed.shape[1] - 1)), axis=1)
    kept, dropped = (np.sort(part, axis=1) for part in (order[:, : literal.kept], order[:, literal.kept :]))
    batch = state.data.batch(np.arange(8), kept, dropped, np.empty((8, 0)))
    with torch.no_grad():
        reconstruction, _ = state.model(batch.visible, batch.positions, batch.slots)
        own = float(reconstruction_share(reconstruction, batch.target, batch.weights, 8))
        noise = torch.as_tensor(np.argsort(order, axis=1), device=literal.images.device)
        other = float(literal.model(literal.images[:8], noise, literal.kept)[0])
    if abs(own - other) > SAME * other:
        raise ArithmeticError(f"a loss of {own} in ours and {other} in the literal transcription")


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations a CPU second of a product of large matrices."""
    a, b = (torch.randn(MATRIX, MATRIX).to(dtype) for _ in range(2))
    start = time.process_time()
    for _ in range(3):
        a @ b
    return 3 * 2 * MATRIX**3 / (time.process_time() - start)


def measure(rounds: int, steps: int, precisions: Sequence[str]) -> dict[str, Any]:
    """CPU seconds a step of every way in these precisions, and their matrix rates, by name."""
    images = noise()
    state = ours(images, "mae", "fp32")
    assert isinstance(state.model, MaskedAutoencoder)
    weights, floats = published_tensors(state.model, PATCH), as_floats(images)
    literal = LiteralStep(weights, floats, BATCH, KEPT)
    check_same(state, literal)
    ways: dict[str, tuple[Callable[[], object], State, str]] = {
        "facebookresearch/mae, literally": (literal, state, "fp32"),
        "  with fused attention": (LiteralStep(weights, floats, BATCH, KEPT, fused=True), state, "fp32"),
        "  under bfloat16 autocast": (LiteralStep(weights, floats, BATCH, KEPT, half=True), state, "bf16"),
        "  with U-MAE's uniformity": (LiteralStep(weights, floats, BATCH, KEPT, lam=0.01), state, "fp32"),
    }
    for method in ("mae", "u-mae", "simmim", "u-simmim"):
        for precision in precisions:
            own = ours(images, method, precision)
            ways[f"maskgraph {method}, {precision}"] = own.advance, own, precision
    for precision in precisions:
        own = ours(images, "mae", precision, compiled=True)
        ways[f"maskgraph mae, {precision}, compiled"] = own.advance, own, precision
    # What all are a share of is the literal step in fp32.
    ways = {name: way for name, way in ways.items() if way[2] in ("fp32", *precisions)}
    dtypes = {name: DTYPES[name] for name in dict.fromkeys(("fp32", *precisions))}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    rates: dict[str, list[float]] = {name: [] for name in dtypes}
    for step, _, _ in ways.values():
        step()
    for _ in range(rounds):
        for name, dtype in dtypes.items():
            rates[name].append(matrix_rate(dtype))
        for name, (step, _, _) in ways.items():
            start = time.process_time()
            for _ in range(steps):
                step()
            seconds[name].append((time.process_time() - start) / steps)
    own = {name: (flops(of.model.config, KEPT), precision) for name, (_, of, precision) in ways.items()}
    return {"seconds": seconds, "rates": rates, "work": own}


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each way: images a second, that over the literal transcription's in the same round, and MFU."""
    baseline = next(iter(found["seconds"].values()))
    listed = []
    for name, seconds in found["seconds"].items():
        work, precision = found["work"][name]
        rate = statistics.median(found["rates"][precision])
        second = statistics.median(seconds)
        listed.append(
            {
                "way": name.strip(),
                "images_per_second": [BATCH / one for one in seconds],
                "over_literal": [first / one for first, one in zip(baseline, seconds, strict=True)],
                "gflop_per_image": work / 1e9,
                "mfu": BATCH * work / second / rate,
            }
        )
    return listed


def main() -> None:
    """Measure, print a table, and with --json the figures with the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (7)")
    parser.add_argument("--steps", type=int, default=3, help="steps of each way in a round (3)")
    parser.add_argument(
        "--precisions", nargs="+", default=list(DTYPES), choices=list(DTYPES), help="bf16 takes a minute a step on some"
    )
    parser.add_argument("--json", action="store_true", help="print JSON with machine and versions")
    options = parser.parse_args()
    # One thread: two would measure the scheduler.
    torch.set_num_threads(1)
    about = machine()
    found = measure(options.rounds, options.steps, options.precisions)
    listed = rows(found)
    text = table(
        ("step", "images/s", "over literal", "GFLOP/image", "MFU"),
        [
            (
                name,
                spread(row["images_per_second"], 1),
                spread(row["over_literal"]),
                f"{row['gflop_per_image']:.3f}",
                f"{row['mfu']:.0%}",
            )
            for name, row in zip(found["seconds"], listed, strict=True)
        ],
    )
    print(text, file=sys.stderr)
    rates = {name: statistics.median(values) / 1e9 for name, values in found["rates"].items()}
    said = ", ".join(f"{rate:.0f} GFLOP/s in {name}" for name, rate in rates.items())
    print(f"matrix rate: {said}", file=sys.stderr)
    if options.json:
        print(json.dumps({"machine": about, "batch": BATCH, "matrix_gflops": rates, "steps": listed}, indent=1))


if __name__ == "__main__":
    main()
