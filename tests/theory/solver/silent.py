"""What two processes run in the tests of a heartbeat: `python -m tests.theory.solver.silent stopped|busy|gone RANK`.

At a sum the process of that rank is stopped for good, or busy for longer than a silence may last, or has left.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import torch
import torch.distributed as dist

from maskgraph.theory.solver import torch_heartbeat
from maskgraph.theory.solver.torch_group import join_group

BEAT, SILENCE = 0.05, 20

LONGER = 2 * BEAT * SILENCE

if __name__ == "__main__":
    # As torchrun may have counted on two machines.
    os.environ["TORCHELASTIC_RESTART_COUNT"] = os.environ["RANK"]
    vars(torch_heartbeat).update(BEAT=BEAT, SILENCE=SILENCE)
    member = join_group("cpu", "-m tests.theory.solver.silent")
    total = torch.ones(1)
    dist.all_reduce(total)
    what, rank = sys.argv[1], int(sys.argv[2])
    if what == "gone":
        if member.rank != rank:
            time.sleep(LONGER)
    else:
        if member.rank == rank and what == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        if member.rank == rank and what == "busy":
            time.sleep(LONGER)
        dist.all_reduce(total)
    member.leave()
    print(total.item())
