"""Tables of TOML as the fields of a dataclass, checked one by one."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Collection
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskgraph.graphs.errors import InputError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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
        # With or without the mark that Windows begins a text with, and whatever the locale.
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a {what} in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return table


def check_tables(table: dict[str, Any], known: Collection[str], what: str) -> None:
    """Raise InputError for a table that does not exist, or a value where a table should be."""
    values = [name for name, part in table.items() if not isinstance(part, dict)]
    if values and values[0] not in known:
        tables = " or ".join(f"[{name}]" for name in known)
        raise InputError(f"the {what} sets {values[0]} outside of its tables; put it under {tables}")
    if values:
        raise InputError(f"the {what} sets {values[0]} to a value; expected the table [{values[0]}]")
    if other := sorted(set(table) - set(known)):
        raise unknown("table", other[0], known, f"the {what}")


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
            raise unknown("key", key, sorted((set(fields) - set(hidden)) | set(beside)), f"[{name}]")
        wanted, given = str(fields[key].type), value
        if isinstance(value, list):
            value = tuple(value)
        if wanted.startswith("float") and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not _fits(wanted, value):
            raise InputError(f"[{name}] sets {key} to {given!r}; expected {_words(wanted)}")
        result[key] = value
    return result


def check_numbers(values: DataclassInstance) -> None:
    """Raise InputError for a field that holds no number, or no truth value, where its type says one.

    From Python a dataclass is given whatever it is given; names are looked up where they are used.
    """
    for item in dataclasses.fields(values):
        wanted, value = str(item.type), getattr(values, item.name)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not wanted.startswith(("float", "int", "bool")) or (value is None and "None" in wanted):
            continue
        if not (number if wanted.startswith("float") and not isinstance(value, str) else _fits(wanted, value)):
            raise InputError(f"{item.name} {value!r}; expected {_words(wanted)}")


def _words(wanted: str) -> str:
    other = "a list of strings" if wanted.startswith("tuple") else "a string"
    return next((words for start, words in WANTED.items() if wanted.startswith(start)), other)


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
        return isinstance(value, Integral) and not isinstance(value, bool)
    return isinstance(value, str)
