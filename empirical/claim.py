"""A directory belongs to one plan: it is claimed before work starts, and resumed by the same plan or by more of it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from maskgraph.empirical.config import WHERE
from maskgraph.empirical.group import Group
from maskgraph.empirical.network import resolve_precision
from maskgraph.empirical.records import read_object, write_json
from maskgraph.graphs.errors import InputError

PACKAGES = ("numpy", "scipy", "torch", "scikit-learn")

FREE = {("train", key) for key in (*WHERE, "precision")}
"""What may differ between a plan and the one that it resumes; what a precision stands for may not."""

OTHER = {"study": "recipe", "recipe": "study"}
"""What else a directory may hold, and then not this."""


Table = dict[str, Any]
"""A plan as TOML and JSON have it: keys by table."""

Key = tuple[str, str]
"""A table of a plan and a key in it."""


def claim(
    path: Path,
    plan: Table,
    canonical: Callable[[Table], Table],
    resume: bool,
    device: torch.device,
    check: Callable[[], None],
    group: Group | None = None,
    grows: Collection[Key] = (),
) -> None:
    """Write the plan and the machine, or see that the file that is there is of the same plan or of less of it.

    Args:
        path: study.json or recipe.json of a directory.
        plan: its table of tables.
        canonical: a stored table in the form of `plan`: what was written before a key was there has its default.
        resume: whether the directory may hold a part of this very plan already.
        device: where models are trained.
        check: looks at whatever else may be wrong, before anything is written.
        group: the processes that claim it together: all of them look, and then the first one writes.
        grows: what of the plan may be more than it was, a larger number or a list with further entries, because
            nothing that is done hangs on it.

    Raises:
        InputError: a directory of another plan, or one that exists while `resume` is false; whatever `check` raises.
    """
    what, directory, stored = path.stem, path.parent, None
    if (directory / f"{OTHER[what]}.json").exists():
        raise InputError(f"{directory} holds a {OTHER[what]}, not a {what}; choose another --out")
    precision = resolve_precision(plan["train"]["precision"], device)
    if path.exists():
        if not resume:
            raise InputError(f"{directory} holds a {what} already; add --resume to finish it, or choose another --out")
        stored = read_object(path, ("plan", "machine"))
        stored["plan"] = canonical(stored["plan"])
        if differing := _differences(stored["plan"], plan, grows):
            raise InputError(
                f"{directory} holds another {what} ({differing}); choose another --out, or delete that directory"
            )
        # Runs from before it was written say it in their plan, unless that says auto.
        said = stored["plan"]["train"]["precision"]
        begun = stored["machine"].setdefault("precision", precision if said == "auto" else said)
        if precision != begun:
            raise InputError(
                f"{directory} was begun in {begun} and would go on in {precision}; set precision to {begun}"
            )
    check()
    if group is not None:
        group.wait()
    if group is not None and group.rank > 0:
        return
    if stored is not None:
        grown = {name: dict(table) for name, table in stored["plan"].items()}
        for name, key in grows:
            grown[name][key] = plan[name][key]
        if grown != stored["plan"]:
            write_json(path, {**stored, "plan": grown})
        return
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "precision": precision,
        "versions": {name: version(name) for name in PACKAGES},
    }
    write_json(path, {"plan": plan, "machine": machine})


def _differences(old: dict[str, Any], new: dict[str, Any], grows: Collection[Key]) -> str:
    return "; ".join(
        f"{name}.{key} is {before!r} there and {after!r} here"
        for name in sorted(set(old) | set(new))
        for key in sorted(set(old.get(name, {})) | set(new.get(name, {})))
        if (before := old.get(name, {}).get(key)) != (after := new.get(name, {}).get(key))
        and (name, key) not in FREE
        and not ((name, key) in grows and _is_more(before, after))
    )


def _is_more(before: object, after: object) -> bool:
    """Whether one number exceeds the other, or one list has all that the other has."""
    if isinstance(before, list) and isinstance(after, list):
        return all(one in after for one in before)
    return isinstance(before, int) and isinstance(after, int) and after > before
