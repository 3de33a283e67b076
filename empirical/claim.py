"""A directory belongs to one plan: it is claimed before work starts, and resumed only by the same plan."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from maskgraph.empirical.config import WHERE
from maskgraph.empirical.group import Group
from maskgraph.empirical.records import read_object, write_json
from maskgraph.graphs.errors import InputError

PACKAGES = ("numpy", "scipy", "torch", "scikit-learn")

FREE = {("train", key) for key in WHERE}
"""What may differ between a plan and the one that it resumes."""


def claim(path: Path, plan: dict[str, Any], resume: bool, device: torch.device, group: Group | None = None) -> None:
    """Write the plan and the machine, or see that the file that is there is of the same plan.

    Args:
        path: study.json or recipe.json of a directory.
        plan: its table of tables.
        resume: whether the directory may hold a part of this very plan already.
        device: where models are trained.
        group: the processes that claim it together: all of them look, and then the first one writes.

    Raises:
        InputError: a directory of another plan, or one that exists while `resume` is false.
    """
    what, directory, claimed = path.stem, path.parent, path.exists()
    if claimed:
        if not resume:
            raise InputError(f"{directory} holds a {what} already; add --resume to finish it, or choose another --out")
        if differing := _differences(read_object(path, ("plan", "machine"))["plan"], plan):
            raise InputError(
                f"{directory} holds another {what} ({differing}); choose another --out, or delete that directory"
            )
    if group is not None:
        group.wait()
    if claimed or (group is not None and group.rank > 0):
        return
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    write_json(path, {"plan": plan, "machine": machine})


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    return "; ".join(
        f"{name}.{key} is {old.get(name, {}).get(key)!r} there and {new.get(name, {}).get(key)!r} here"
        for name in sorted(set(old) | set(new))
        for key in sorted(set(old.get(name, {})) | set(new.get(name, {})))
        if old.get(name, {}).get(key) != new.get(name, {}).get(key) and (name, key) not in FREE
    )
