"""A directory belongs to one plan: it is claimed before work starts, and resumed by the same plan or by more of it."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from maskgraph import __version__
from maskgraph.empirical.config import WHERE
from maskgraph.empirical.group import Group
from maskgraph.empirical.network import resolve_precision
from maskgraph.empirical.records import read_shaped, remove_unfinished, write_json
from maskgraph.graphs.errors import InputError

PACKAGES = ("numpy", "scipy", "numba", "torch", "scikit-learn")
"""Whose versions a directory names beside our own."""

FREE = {("train", key) for key in (*WHERE, "precision")}
"""What may differ between a plan and the one that it resumes; what a precision stands for may not."""

OTHER_VERSION = "it was written by another version of maskgraph: go on with that one, or choose another --out"
"""What is to be said, and done, of a file whose keys are others than those of this version."""

LONGEST = 4000
"""Bytes of a refusal that other processes repeat."""

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
    digests: Mapping[str, str],
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
        digests: a fingerprint of each part of the data, by its name. The file of a run from before there were any gets
            them now.
        canonical: a stored table in the form of `plan`: what was written before a key was there has its default.
        resume: whether the directory may hold a part of this very plan already.
        device: where models are trained.
        check: looks at whatever else may be wrong, before anything is written.
        group: the processes that claim it together: all of them look, what one refuses all refuse, and then the first
            one writes.
        grows: what of the plan may be more than it was, a larger number or a list with further entries, because
            nothing that is done hangs on it.

    Raises:
        InputError: a directory of another plan or of other data, one that exists while `resume` is false, or one that
            another command is at work in; whatever `check` raises; in all processes what one of them does.
    """
    directory, precision = path.parent, resolve_precision(plan["train"]["precision"], device)
    first = group is None or group.rank == 0
    with ExitStack() as stack:
        has, alone, stored = False, False, None

        def look() -> None:
            nonlocal has, alone, stored
            if first and directory.is_dir():
                alone = stack.enter_context(held(directory))
                has = True
            stored = _stored(path, plan, digests, canonical, resume, precision, grows)
            check()

        def begin() -> None:
            if first and not has:
                stack.enter_context(held(directory))
                if path.exists():
                    raise InputError(f"another command has just begun in {directory}; choose another --out")
            if first:
                _write(path, plan, digests, stored, device, precision, grows)
                if alone and stored is not None:
                    remove_unfinished(directory)

        # Nothing is made before all have looked.
        _together(look, group)
        _together(begin, group)
        yield


def check_free(path: Path, resume: bool) -> None:
    """Raise InputError for a directory of another kind of run, of one that is not to be resumed, or of other files.

    Args:
        path: study.json or recipe.json of the directory.
        resume: whether it may be there already.
    """
    what, directory = path.stem, path.parent
    if (directory / f"{OTHER[what]}.json").exists():
        raise InputError(f"{directory} holds a {OTHER[what]}, not a {what}; choose another --out")
    if path.exists() and not resume:
        raise InputError(f"{directory} holds a {what} already; add --resume to finish it, or choose another --out")
    # A run whose own was deleted, as one that cannot be read has to be, goes on by --resume.
    if not resume and directory.is_dir() and (others := sorted(one.name for one in directory.glob("[!.]*"))):
        raise InputError(
            f"{directory} holds {others[0]} and no {what}, whose files would be mixed with others; choose another "
            "--out, or empty that directory"
        )


def _together(act: Callable[[], None], group: Group | None) -> None:
    """Do something in every process of a group: what one refuses all do, in the words of the first that did."""
    refused = None
    try:
        act()
    except InputError as error:
        refused = error
    told = None if group is None else _refusal(str(refused or ""), group)
    if (reason := refused or told) is not None:
        raise reason


def _refusal(said: str, group: Group) -> InputError | None:
    """What the first of the processes says that refuse, if any does; the others would be the only ones to speak."""
    speaking = torch.zeros(group.count)
    speaking[group.rank] = bool(said)
    speakers = torch.nonzero(group.sum(speaking)).flatten().tolist()
    if not speakers:
        return None
    text = torch.zeros(LONGEST, dtype=torch.int32)
    if group.rank == speakers[0]:
        letters = said.encode()[:LONGEST]
        text[: len(letters)] = torch.tensor(list(letters), dtype=torch.int32)
    return InputError(bytes(group.sum(text).tolist()).rstrip(b"\0").decode(errors="ignore"))


def _stored(
    path: Path,
    plan: Table,
    digests: Mapping[str, str],
    canonical: Callable[[Table], Table],
    resume: bool,
    precision: str,
    grows: Collection[Key],
) -> Table | None:
    """What the file holds that is there, if it is of this plan or of less of it."""
    what, directory = path.stem, path.parent
    check_free(path, resume)
    if not path.exists():
        return None
    stored: Table = read_shaped(path, {"plan": object, "machine": object})
    if wrong := [name for name in ("plan", "machine", "digests") if not isinstance(stored.get(name, {}), dict)]:
        raise InputError(f"{path} holds {wrong[0]} {stored[wrong[0]]!r}, no table; {OTHER_VERSION}")
    try:
        stored["plan"] = canonical(stored["plan"])
    except InputError as error:
        # What it may hold is not the user's to set right.
        said = str(error).partition(";")[0]
        raise InputError(f"{path} cannot be gone on with, as {said}; {OTHER_VERSION}") from error
    if differing := _differences(stored["plan"], plan, grows, FREE | _places(stored, plan)):
        raise InputError(
            f"{directory} holds another {what} ({differing}); choose another --out, or delete that directory"
        )
    # Runs from before there were digests have none to be held to.
    begun_with = stored.get("digests", digests)
    if others := [part for part, digest in digests.items() if begun_with.get(part) != digest]:
        raise InputError(
            f"{directory} was begun with other data (images or labels of its {' and its '.join(others)} part are "
            "others); bring back what it was begun with, or choose another --out"
        )
    # Runs from before it was written say it in their plan, unless that says auto.
    said = stored["plan"]["train"]["precision"]
    begun = stored["machine"].setdefault("precision", precision if said == "auto" else said)
    if precision != begun:
        raise InputError(f"{directory} was begun in {begun} and would go on in {precision}; set precision to {begun}")
    return stored


def _write(
    path: Path,
    plan: Table,
    digests: Mapping[str, str],
    stored: Table | None,
    device: torch.device,
    precision: str,
    grows: Collection[Key],
) -> None:
    """The file anew, or what of a stored plan has grown."""
    if stored is not None:
        grown = {name: dict(table) for name, table in stored["plan"].items()}
        for name, key in grows:
            grown[name][key] = plan[name][key]
        if grown != stored["plan"] or "digests" not in stored:
            write_json(path, {**stored, "plan": grown, "digests": dict(digests)})
        return
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
        "precision": precision,
        "versions": {"maskgraph": __version__} | {name: version(name) for name in PACKAGES},
    }
    write_json(path, {"plan": plan, "digests": dict(digests), "machine": machine})


@contextmanager
def held(directory: Path) -> Iterator[bool]:
    """Keep a directory, made where it is not there, for this command; the end of the process, however, lets go of it.

    Yields:
        whether it is known to be this command's alone: a file system without locks keeps nobody apart.

    Raises:
        InputError: another command has it, or it cannot be made or opened.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"{directory} cannot be written ({error.strerror}); choose another directory with --out"
        ) from error
    try:
        locked = False
        with suppress(OSError):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                raise InputError(
                    f"another command is at work in {directory}; wait for its end, or choose another directory"
                ) from None
        yield locked
    finally:
        os.close(handle)


def _places(stored: Table, plan: Table) -> set[Key]:
    """What says where data lies: it may differ where digests tell whether the data is the same."""
    if "digests" not in stored:
        return set()
    # The name of anything but a file says more: which parts there are, and how large a patch is.
    files = all(str(one["data"]["dataset"]).endswith(".npz") for one in (stored["plan"], plan))
    return {("data", "data_dir"), ("data", "dataset")} if files else {("data", "data_dir")}


def _differences(old: Table, new: Table, grows: Collection[Key], free: Collection[Key]) -> str:
    return "; ".join(
        f"{name}.{key} is {before!r} there and {after!r} here"
        for name in sorted(set(old) | set(new))
        for key in sorted(set(old.get(name, {})) | set(new.get(name, {})))
        if (before := old.get(name, {}).get(key)) != (after := new.get(name, {}).get(key))
        and (name, key) not in free
        and not ((name, key) in grows and _is_more(before, after))
    )


def _is_more(before: object, after: object) -> bool:
    """Whether one number exceeds the other, or one list has all that the other has."""
    if isinstance(before, list) and isinstance(after, list):
        return all(one in after for one in before)
    return isinstance(before, int) and isinstance(after, int) and after > before
