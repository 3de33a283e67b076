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


def interrupted(folder: Path, wanted: str, count: int, reached: str) -> set[str]:
    """Interrupt the command once `count` files of a name are there; the files that it leaves, in silence."""
    code = "from tests.empirical.interrupted import main; main()"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list(folder.glob(wanted))) < count:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for target in reached.split(", then "):
            if target == "parent":
                process.send_signal(signal.SIGINT)
            else:
                os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert not process.stderr.read()
    return {path.name for path in folder.iterdir()} - {"starting"}


@pytest.mark.parametrize("reached", ["all", "parent", "parent, then all", "all, then all"])
def test_an_interruption_reaches_every_job_once(reached: str, tmp_path: Path) -> None:
    """What is waiting is not begun, and what a job saves is not disturbed by a second signal."""
    found = interrupted(tmp_path, "begun-*", 2, reached)
    assert found == {"begun-a", "begun-b", "saved-a", "saved-b"}


@pytest.mark.parametrize("reached", ["all", "parent"])
def test_an_interruption_before_any_job_is_begun(reached: str, tmp_path: Path) -> None:
    """While processes are started, which takes seconds, none is left half begun, and what begins after all saves."""
    found = interrupted(tmp_path, "starting", 1, reached)
    assert {name.replace("begun", "saved") for name in found} <= found
