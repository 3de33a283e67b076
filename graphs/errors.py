"""The one exception for input that a user can mend, and what is said of a name that is none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from numbers import Integral, Real
from pathlib import Path

SHORT = 3
"""Letters of a name of which no one may be another."""

LARGEST = 2**63 - 1
"""The largest integer that arrays have."""

ROUNDED = 1e-9
"""How far below 0 rounding may bring what is not: a probability that is one less the sum of others."""


class InputError(ValueError):
    """Bad input: the message names the value found, the rule it breaks and how to mend it.

    The command line prints the message alone and exits with code 2; from Python it is a ``ValueError``.
    """


def kind_of(value: object) -> str:
    """The type of a value with its article: a list, an int, None."""
    word = type(value).__name__
    return "None" if value is None else f"{'an' if word[0] in 'aeiouAEIOU' else 'a'} {word}"


def check_type(value: object, kind: type | tuple[type, ...], mend: str) -> None:
    """Raise InputError for a value of another type than a function takes.

        >>> check_type([1.0], int, "count them")
        Traceback (most recent call last):
        maskgraph.graphs.errors.InputError: a list is no int; count them

    Args:
        value: what was given.
        kind: what is taken.
        mend: where to get it.
    """
    if not isinstance(value, kind):
        kinds = [one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,))]
        raise InputError(f"{kind_of(value)} is no {' or '.join(kinds)}; {mend}")


def check_function(value: object, name: str, of: str) -> None:
    """Raise InputError for what cannot be called.

        >>> check_function(3, "watch", "nothing")
        Traceback (most recent call last):
        maskgraph.graphs.errors.InputError: watch is an int; expected a function of nothing

    Args:
        value: what was given.
        name: of the argument.
        of: what it is called with.
    """
    if not callable(value):
        raise InputError(f"{name} is {kind_of(value)}; expected a function of {of}")


def as_path(value: object, what: str) -> Path:
    """A path that was given as one or as its text.

    Args:
        value: what was given.
        what: what the path is of, for the message.

    Raises:
        InputError: it is neither, or empty.
    """
    if not isinstance(value, str | Path):
        raise InputError(f"{kind_of(value)} in the place of the path of {what}; expected a string or a Path")
    if value == "":
        # Which would be that of the directory where a user happens to be.
        raise InputError(
            f"an empty string in the place of the path of {what}; expected a path, or . for this directory"
        )
    return Path(value)


def is_huge(value: object) -> bool:
    """Whether a value is an integer beyond those of arrays."""
    return isinstance(value, Integral) and abs(int(value)) > LARGEST


def is_real(value: object) -> bool:
    """Whether a value is a real number, and no huge integer: some of those are beyond every double."""
    return isinstance(value, Real) and not is_huge(value)


def is_whole(value: object) -> bool:
    """Whether a value is an integer, of Python or numpy; true and false are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_reals(**values: object) -> None:
    """Raise InputError for what a formula cannot be computed of.

    What has entries, as an array or a tensor, is taken as it is, and NaN for what it is: it makes a formula NaN.

        >>> check_reals(alpha="a tenth")
        Traceback (most recent call last):
        maskgraph.graphs.errors.InputError: alpha is 'a tenth'; expected a real number

    Args:
        values: by the name that the message gives them.
    """
    for name, value in values.items():
        if not (is_real(value) or hasattr(value, "dtype")):
            raise InputError(f"{name} is {value!r}; expected a real number")


def check_non_negative(**values: object) -> None:
    """As `check_reals`, of probabilities, squares and whatever else is never below 0."""
    check_reals(**values)
    for name, value in values.items():
        if isinstance(value, Real) and value < -ROUNDED:
            raise InputError(f"{name} is {value}; expected a number of at least 0")


def check_above_zero(**values: object) -> None:
    """As `check_reals`, of what is divided by and of no use below 0."""
    check_reals(**values)
    for name, value in values.items():
        if isinstance(value, Real) and value <= 0:
            raise InputError(f"{name} is {value}; expected a positive number")


def unknown(what: str, given: object, known: Iterable[str], within: str = "", also: str = "") -> InputError:
    """What to raise for a name that is none of those that there are.

        >>> print(unknown("dataset", "Digit", ["digits", "cifar10"], also=", or the path of a .npz file"))
        unknown dataset 'Digit'; did you mean digits? expected one of digits, cifar10, or the path of a .npz file

    Args:
        what: kind of name.
        given: what is no name.
        known: the names.
        within: where it stands, such as [train].
        also: said after the names: what else may stand in their place.
    """
    names = list(known)
    # What follows a colon only says more of the name.
    meant = did_you_mean(given.partition(":")[0], names) if isinstance(given, str) else ""
    place = f" in {within}" if within else ""
    return InputError(f"unknown {what} {given!r}{place}; {meant}expected one of {', '.join(names)}{also}")


def did_you_mean(given: str, known: Iterable[str], prefix: str = "") -> str:
    """A question to stand within a message: the names most like the given one, in whatever case; empty if none is.

        >>> did_you_mean("Digit", ["digits", "cifar10"])
        'did you mean digits? '

    Args:
        given: what is no name.
        known: the names.
        prefix: what stands before each name, which is not compared.
    """
    names = {name.lower(): name for name in known}
    # Of three letters with another one in their place gpu would be cpu.
    close = get_close_matches(given.lower(), names, len(names) or 1, 0.6 if len(given) > SHORT else 0.7)
    # Of several that are as like, none is meant more than another.
    likeness = [SequenceMatcher(None, one, given.lower()).ratio() for one in close]
    best = [f"{prefix}{names[one]}" for one, ratio in zip(close, likeness, strict=True) if ratio == likeness[0]]
    if not best:
        return ""
    return f"did you mean {' or '.join(filter(None, (', '.join(sorted(best)[:-1]), sorted(best)[-1])))}? "
