"""Tables of TOML as the fields of a dataclass, checked one by one."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from maskgraph.graphs.errors import InputError

WANTED = {
    "float | Lit": 'a number or "auto"',
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "str": "a string",
    "tuple[float": "a list of numbers",
}
"""What TOML calls the types of the fields; other tuples and literals are (lists of) strings."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Args:
        path: the file.
        what: what it should be, for the message.

    Raises:
        InputError: no such file, one that is not TOML, or one that sets a value outside of tables.
    """
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a {what} in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return table


def check_tables(table: dict[str, Any], known: Collection[str], what: str) -> None:
    """Raise InputError for a table that does not exist, or a value where a table should be."""
    if unknown := sorted(set(table) - set(known)):
        names = [f"[{name}]" for name in known]
        raise InputError(
            f"unknown table {unknown[0]!r} in the {what}; expected {', '.join(names[:-1])} and {names[-1]}"
        )
    if wrong := [name for name, part in table.items() if not isinstance(part, dict)]:
        raise InputError(f"the {what} sets {wrong[0]} to a value; expected the table [{wrong[0]}]")


def renamed(values: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Values with a key under its new name, where they are from before it had one."""
    if old not in values or new in values:
        return values
    return {new if key == old else key: value for key, value in values.items()}


def typed(
    kind: type, name: str, values: dict[str, Any], beside: Collection[str] = (), hidden: Collection[str] = ()
) -> dict[str, Any]:
    """Values with lists as tuples, and integers as floats where a number is wanted.

    Args:
        kind: the dataclass they are fields of.
        name: of their table.
        values: as TOML gives them.
        beside: keys of the table that belong elsewhere, for the message.
        hidden: fields that a file does not set, for the message.

    Raises:
        InputError: a key that does not exist or a value of another type.
    """
    fields = {item.name: item for item in dataclasses.fields(kind)}
    result = {}
    for key, value in values.items():
        if key not in fields:
            known = sorted((set(fields) - set(hidden)) | set(beside))
            close = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise InputError(f"[{name}] sets {key!r}, which does not exist; {meant}it may hold {', '.join(known)}")
        wanted, given = str(fields[key].type), value
        if isinstance(value, list):
            value = tuple(value)
        if wanted.startswith("float") and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not _fits(wanted, value):
            other = "a list of strings" if wanted.startswith("tuple") else "a string"
            said = next((words for start, words in WANTED.items() if wanted.startswith(start)), other)
            raise InputError(f"[{name}] sets {key} to {given!r}; expected {said}")
        result[key] = value
    return result


def _fits(wanted: str, value: object) -> bool:
    if wanted.startswith("tuple"):
        number = "float" in wanted
        return isinstance(value, tuple) and all(
            isinstance(item, int | float) and not isinstance(item, bool) if number else isinstance(item, str)
            for item in value
        )
    if wanted.startswith("float"):
        return isinstance(value, float) or ("Literal" in wanted and isinstance(value, str))
    if wanted == "bool":
        return isinstance(value, bool)
    if wanted.startswith("int"):
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)
