"""Tables of TOML as the fields of a dataclass, checked one by one."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Collection
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskgraph.graphs.errors import LARGEST, InputError, check_type, is_huge, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WANTED = {
    "float | Lit": 'a number or "auto"',
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "str": "a string",
    "tuple[float": "a list of numbers",
    "tuple[Exp": "a list of Expected",
}
"""What TOML calls the types of the fields; other tuples and literals are (lists of) strings."""

SETTLED = ("float", "int", "bool", "str", "tuple")
"""How types begin whose values are looked at when a dataclass is made."""


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
    check_type(table, dict, f"give the tables of a {what}, by name")
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
        wanted = str(fields[key].type)
        plain = _settled(wanted, value)
        if plain is None:
            raise InputError(f"[{name}] sets {key} to {value!r}; expected {_words(wanted, value)}")
        result[key] = plain
    return result


def settle(values: DataclassInstance) -> None:
    """See that the fields of a frozen dataclass hold what their types say, and make them what JSON has words for.

    For its `__post_init__`, as from Python it is given whatever it is given: numbers of numpy become Python's, lists
    tuples. Names are looked up where they are used.

    Raises:
        InputError: naming the first field that holds something else.
    """
    for item in dataclasses.fields(values):
        wanted, value = str(item.type), getattr(values, item.name)
        if not wanted.startswith(SETTLED) or (value is None and "None" in wanted):
            continue
        plain = _settled(wanted, value)
        if plain is None:
            raise InputError(f"{item.name} {value!r}; expected {_words(wanted, value)}")
        object.__setattr__(values, item.name, plain)


def _settled(wanted: str, value: object) -> object | None:
    """A value in the type that is wanted; None where it is of another."""
    if isinstance(value, np.generic):
        value = value.item()
    if is_huge(value):
        return None
    if isinstance(value, bool) or wanted == "bool":
        return value if isinstance(value, bool) and wanted == "bool" else None
    if wanted.startswith("float") and isinstance(value, Real):
        return float(value)
    if wanted.startswith("tuple") and isinstance(value, list | tuple):
        items = tuple(item.item() if isinstance(item, np.generic) else item for item in value)
        if "Expected" in wanted:
            # What is expected of methods is made, and looked at, in its own place.
            return items
        if not _fits(wanted, items):
            return None
        return tuple(float(item) for item in items) if "float" in wanted else items
    return value if _fits(wanted, value) else None


def _words(wanted: str, value: object) -> str:
    if is_huge(value):
        return f"a number of at most {LARGEST}"
    other = "a list of strings" if wanted.startswith("tuple") else "a string"
    return next((words for start, words in WANTED.items() if wanted.startswith(start)), other)


def _is_number(item: object) -> bool:
    return isinstance(item, int | float) and not isinstance(item, bool) and not is_huge(item)


def _fits(wanted: str, value: object) -> bool:
    if wanted.startswith("tuple"):
        number = "float" in wanted
        return isinstance(value, tuple) and all(_is_number(item) if number else isinstance(item, str) for item in value)
    if wanted.startswith("float"):
        return isinstance(value, float) or ("Literal" in wanted and isinstance(value, str))
    if wanted == "bool":
        return isinstance(value, bool)
    if wanted.startswith("int"):
        return isinstance(value, Integral) and not isinstance(value, bool)
    return isinstance(value, str)
