"""Jobs that save what they have when they are interrupted, and a command that does them; run by `test_workers`."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from maskgraph.empirical.workers import in_processes


def work(folder: Path, name: str) -> None:
    """Go on until there is an interruption, and then save for a second."""
    try:
        # In here: an interruption may come while the file is made.
        (folder / f"begun-{name}").touch()
        time.sleep(100)
    except KeyboardInterrupt:
        time.sleep(1)
        (folder / f"saved-{name}").touch()
        raise


def main() -> None:
    """Three jobs in two processes; every half a second whoever asks for them hears that none has ended."""
    folder = Path(sys.argv[1])
    (folder / "starting").touch()
    try:
        for _ in in_processes([partial(work, folder, name) for name in "abc"], 2, lambda *_: True, every=0.5):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
