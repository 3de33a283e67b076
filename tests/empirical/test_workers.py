"""Processes that work side by side: an interruption reaches all of them, once, and is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Where the tests run in the background of a script SIGINT is ignored, and would be by what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("reached", ["all", "parent", "parent, then all", "all, then all"])
def test_an_interruption_reaches_every_job_once(reached: str, tmp_path: Path) -> None:
    """What is waiting is not begun, and what a job saves is not disturbed by a second signal."""
    code = "from tests.empirical.interrupted import main; main()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("begun-*"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for target in reached.split(", then "):
            if target == "parent":
                process.send_signal(signal.SIGINT)
            else:
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert not process.stderr.read()
    assert {path.name for path in tmp_path.iterdir()} == {"begun-a", "begun-b", "saved-a", "saved-b"}
