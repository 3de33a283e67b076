"""`python -m maskgraph`, in which the second process is killed, once, in the middle of a solve.

python -m tests.theory.solver.doomed FLAG ARGUMENTS…: FLAG is a file that says that it has happened.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from maskgraph.cli import main
from maskgraph.theory.solver.torch_ranks import TorchRanks

SUMS = 40
"""Sums that the second process takes part in: a few steps of the iteration."""


def doom(flag: Path) -> None:
    """Let this process kill itself at a sum, unless the flag is there."""
    real, left = TorchRanks.sum, [SUMS]

    def counted(self: TorchRanks, values: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, values)

    TorchRanks.sum = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ["RANK"] == "1" and not Path(sys.argv[1]).exists():
        doom(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
