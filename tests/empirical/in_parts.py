"""What the processes of a group run in the tests that they train as one: `python -m tests.empirical.in_parts ...`.

Arguments: METHOD ("METHOD dropped": with drop path), images a batch (4p: of pixels instead of codes; 4a: each process
in two parts), the checkpoint, and optionally the step at which the last process kills itself. The gradients of the last
step go to a file beside the checkpoint.
"""

from __future__ import annotations

import os
import signal
import sys
import weakref
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from maskgraph.empirical.group import TorchGroup
from maskgraph.empirical.train import train
from tests.empirical.toys import GROUPED, images, pixels, with_

if __name__ == "__main__":
    torch.set_num_threads(1)
    path = Path(sys.argv[3])
    batch, kind = int(sys.argv[2].rstrip("pa")), sys.argv[2][-1]
    data = pixels(count=10) if kind == "p" else images()
    epochs, accumulate = 1 if batch == 10 else 6, 2 if kind == "a" else 1
    method, _, dropped = sys.argv[1].partition(" ")
    config = with_(GROUPED, method=method, batch=batch, epochs=epochs, accumulate=accumulate)
    config = with_(config, drop_path=0.5) if dropped else config
    group = TorchGroup(torch.device("cpu"))
    if len(sys.argv) > 4 and group.rank == group.count - 1:
        calls: list[int] = []
        step = torch.optim.AdamW.step

        def dying(optimiser: torch.optim.AdamW) -> None:
            """Die instead of making the step that was asked for."""
            calls.append(0)
            if len(calls) == int(sys.argv[4]):
                os.kill(os.getpid(), signal.SIGKILL)
            step(optimiser)

        vars(torch.optim)["AdamW"].step = dying
    joined = weakref.ref(dist.group.WORLD)
    try:
        found = train(data, config, path, checkpoint_every=5, group=group)
    finally:
        group.leave()
    if group.rank == 0:
        last = {name: p.grad for name, p in found.model.named_parameters() if p.grad is not None}
        save_file(last, path.with_suffix(".gradients"))
    print(f"{group.rank} of {group.count}: {len(found.losses)} steps{' and not left' if joined() else ''}")
