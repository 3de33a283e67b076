"""What the benchmarks share: workers with pinned threads, medians with their range, the machine."""

from __future__ import annotations

import json
import math
import mmap
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "networkx", "torch", "numba")
"""Packages whose versions are always recorded; what is optional is named by the benchmark."""

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""What libraries read when they are first imported; `threadpool_limits` reaches only those that have a pool by then."""

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""What glibc reads when a process starts: memory that is freed stays with it."""


class WorkerError(RuntimeError):
    """A worker that ended without an answer; the message says how."""


def worker(
    arguments: Sequence[str], threads: int = 1, limit: float | None = None, keep_memory: bool = False
) -> dict[str, Any]:
    """Run the calling program again, in a process of its own, and return the JSON that it prints last.

    Args:
        arguments: its command line.
        threads: what every library is told.
        limit: CPU seconds that it allows itself by `limit_cpu`; None for no limit.
        keep_memory: whether what it frees stays with it, as `touch_memory` wants.

    Raises:
        WorkerError: it ran past its limit or failed.
    """
    environment = {**os.environ, **dict.fromkeys(THREAD_LIMITS, str(threads))}
    if keep_memory:
        environment |= KEEP_MEMORY
    command = [sys.executable, str(Path(sys.argv[0]).resolve()), *arguments]
    # One that hangs, or starves beside other work, uses no CPU: it is ended by the clock.
    clock = None if limit is None else 3 * limit + 120
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=clock, check=False)
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"no answer in {clock:.0f} s on the clock") from error
    if done.returncode == -signal.SIGXCPU:
        raise WorkerError(f"no answer in {limit:.0f} s")
    if done.returncode == -signal.SIGKILL:
        raise WorkerError("killed, most likely for want of memory")
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise WorkerError(said[-1] if said else f"ended by signal {-done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def touch_memory(size: int) -> None:
    """Have so many bytes from the machine, and free them: a worker keeps them for what it allocates next."""
    np.empty(size, np.uint8)[:: mmap.PAGESIZE] = 1


def limit_cpu(seconds: float) -> None:
    """Let this process use so many CPU seconds from now on; the operating system then ends it."""
    until = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, until + 5))


def missing(packages: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed."""
    return [package for package in packages if find_spec(package) is None]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range, `1.2 [1.1–1.4]`; the value alone where there is one."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) < 2 else f"{middle} [{min(values):.{digits}f}–{max(values):.{digits}f}]"


def machine(optional: Iterable[str] = ()) -> dict[str, str]:
    """Python, platform and the versions of what is installed."""
    versions = {}
    for package in (*PACKAGES, *optional):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": str(cores),
        "load": f"{os.getloadavg()[0]:.1f}",
        **versions,
    }


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
