"""A directory belongs to one plan: it is claimed before work starts, and resumed by the same plan or by more of it."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
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


@contextmanager
def claim(
    path: Path,
    plan: Table,
    canonical: Callable[[Table], Table],
    resume: bool,
    device: torch.device,
    check: Callable[[], None],
    group: Group | None = None,
    grows: Collection[Key] = (),
) -> Iterator[None]:
    """Write the plan and the machine, or see that the file that is there is of the same plan or of less of it.

    Within it no other command can claim the directory.

    Args:
        path: study.json or recipe.json of a directory.
        plan: its table of tables.
        canonical: a stored table in the form of `plan`: what was written before a key was there has its default.
        resume: whether the directory may hold a part of this very plan already.
        device: where models are trained.
        check: looks at whatever else may be wrong, before anything is written.
        group: the processes that claim it together: all of them look, what one refuses all refuse, and then the first
            one writes.
        grows: what of the plan may be more than it was, a larger number or a list with further entries, because
            nothing that is done hangs on it.

    Raises:
        InputError: a directory of another plan, one that exists while `resume` is false, or one that another command
            is at work in; whatever `check` raises.
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
    first, refused = group is None or group.rank == 0, None
    try:
        check()
    except InputError as error:
        refused = error
    with ExitStack() as stack:
        if refused is None and first and not stack.enter_context(_held(directory)):
            refused = InputError(
                f"another command is at work in {directory}; wait for its end, or choose another --out"
            )
        # All have looked before anyone writes, and what one refuses is refused by all.
        anyone = float(refused is not None)
        if group is not None:
            anyone = float(group.sum(torch.tensor(anyone)))
        if anyone:
            raise refused or InputError("another process of this run refuses it, and says why")
        if first:
            _write(path, plan, stored, device, precision, grows)
        yield


def _write(
    path: Path, plan: Table, stored: Table | None, device: torch.device, precision: str, grows: Collection[Key]
) -> None:
    """The file anew, or what of a stored plan has grown."""
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


@contextmanager
def _held(directory: Path) -> Iterator[bool]:
    """Keep a directory for this process, unless another has it; the end of a process, whatever it is, lets go of it."""
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


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
