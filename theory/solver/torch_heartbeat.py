"""Noticing that a process has fallen silent: a machine without power and a cut network close no connection.

What waits for such a process waits in C, for as long as the longest common work may take, and cannot be interrupted:
so this process is ended.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from datetime import timedelta

import torch.distributed as dist

BEAT = 10.0
"""Seconds from one beat to the next."""

SILENCE = 30
"""Beats of its own that a process waits for one of another: five minutes, in which something may hold Python's lock."""

LEFT = 2**40
"""What is added to the beats of a process that has left, after which its silence means nothing."""

LOST = 3
"""Exit code, that of any other failure in the middle of common work."""


class Heartbeat:
    """This process's beats in the store of the group, and an ear for those of others.

    The first process listens to all and the others to the first: where it ends, so do they, as its connections close.
    The store is torchrun's; where the first process keeps it, that has to stay as long as the others.
    """

    def __init__(self, rank: int, count: int, name: str) -> None:
        """Begin; the environment says where the store is (MASTER_ADDR, MASTER_PORT), `name` whose is what."""
        self._rank, self._name = rank, name
        # Beats of this process since the last one heard.
        self._missed = dict.fromkeys(range(1, count) if rank == 0 else range(1), 0)
        self._heard = dict(self._missed)
        self._left = threading.Event()
        # Two, as a store beyond a cut network does not answer either.
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()
        threading.Thread(target=self._listen, daemon=True).start()

    def stop(self) -> None:
        """End, and let others know, if the store still answers."""
        self._left.set()
        self._beating.join(1)

    def _beat(self) -> None:
        while not self._left.is_set():
            # A store that does not answer, or whose machine starts anew, is silent: the other thread counts.
            with suppress(RuntimeError):
                self._exchange()
            self._left.wait(BEAT)

    def _exchange(self) -> None:
        """Beat, and hear others, until this process leaves."""
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        # A connection of its own: on the group's a wait for a key would keep beats back.
        patience = timedelta(seconds=BEAT * SILENCE)
        store = dist.TCPStore(*address, is_master=False, timeout=patience)  # type: ignore[attr-defined]
        beats = dist.PrefixStore(f"beats {self._name}", store)  # type: ignore[attr-defined]
        while not self._left.wait(BEAT):
            beats.add(str(self._rank), 1)
            for rank, before in self._heard.items():
                now = self._heard[rank] = beats.add(str(rank), 0)
                if now != before or now >= LEFT:
                    self._missed[rank] = 0
        beats.add(str(self._rank), LEFT)

    def _listen(self) -> None:
        while not self._left.wait(BEAT):
            for rank in self._missed:
                # Counted and not clocked, so that all may be stopped and go on.
                self._missed[rank] += 1
                if self._missed[rank] > SILENCE:
                    try:
                        print(
                            f"maskgraph: process {rank} of this run was not heard of for {BEAT * SILENCE:.0f} s: its "
                            "machine or the network between has failed; run it again, or let torchrun do so: "
                            "--max-restarts 1",
                            file=sys.stderr,
                            flush=True,
                        )
                    finally:
                        os._exit(LOST)
