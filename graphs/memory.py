"""How much memory there is, so that what cannot fit is refused before it is tried."""

from __future__ import annotations

import os
import resource
from decimal import ROUND_DOWN, Context, Decimal
from pathlib import Path

from maskgraph.graphs.errors import InputError

CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def available_bytes() -> int:
    """What this process can still allocate: the least of free memory, its control groups' limits and its own limit."""
    limits = [_free()]
    for group, limit, used, idle in _groups():
        if (most := _number(group / limit)) is not None:
            # Files that were read lie in it as well, and give way.
            limits.append(most - max((_number(group / used) or 0) - _files(group, idle), 0))
    own = resource.getrlimit(resource.RLIMIT_AS)[0]
    if own != resource.RLIM_INFINITY:
        limits.append(own - _address_space())
    return max(min(limits), 0)


def check_memory(need: float, what: str, mend: str) -> None:
    """Refuse what needs more memory than there is.

    Raises:
        InputError: naming the need, what there is, and how to mend it.
    """
    _refuse(need, available_bytes(), what, mend)


def check_share(
    need: float, what: str, held: float = 0, most: float | None = None, fixed: float = 0, least: float = 0
) -> None:
    """Refuse a graph that needs more memory than there is, `held` bytes of it its own already.

    Half of the edges may have all of its views, so that a share of the need that fits is no share of the edges that
    does. Hence `most`, the bytes that all edges take at the worst (None: the need), `fixed`, those that stay where
    there are fewer edges, and `least`, a share of them that is known to fit.

    Raises:
        InputError: naming the need, what there is, and what share of the edges would fit, if any.
    """
    there = available_bytes() + held
    share = max((there - fixed) / max((need if most is None else most) - fixed, 1), least)
    fewer = f"use about {_percent(share)}% of the masks (--max-masks) or of the images (--images)"
    # Where what stays already does not fit, no share does.
    mend = fewer if share > 0 else "end what else runs here, or use another machine"
    _refuse(need, there, what, f"{mend}, or coarser views (--codes, --view)")


def _percent(share: float) -> str:
    """A share in percent, rounded down to two digits: what is rounded up does not fit."""
    return f"{Decimal(100 * share).normalize(Context(prec=2, rounding=ROUND_DOWN)):f}"


def _refuse(need: float, there: float, what: str, mend: str) -> None:
    if need > there:
        raise InputError(f"{what} needs about {gib(need)} of memory and {gib(there)} are free; {mend}")


def gib(size: float) -> str:
    """A number of bytes as text."""
    return f"{size / 2**30:.3g} GiB"


def _free() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups() -> list[tuple[Path, str, str, str]]:
    """Control groups of this process, a job's or a container's, with those that they are part of.

    Each with the files of its limit and of what is used of it, and the name of what of that are files seldom read: of
    control groups as they are now, and of their first version.
    """
    now, first = ("memory.max", "memory.current", "inactive_file"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
    own = {CGROUP: "", CGROUP / "memory": ""}
    try:
        for line in OWN_CGROUP.read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                own[CGROUP] = path.strip("/")
            elif "memory" in controllers.split(","):
                own[CGROUP / "memory"] = path.strip("/")
    except (OSError, ValueError):
        pass
    found = []
    for root, path in own.items():
        names = now if root == CGROUP else (*first, "total_inactive_file")
        found += [(one, *names) for one in (root / path, *(root / path).parents) if one.is_relative_to(root)]
    return found


def _files(group: Path, name: str) -> int:
    try:
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
