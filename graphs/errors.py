"""The one exception for input that a user can mend, and what a name that is none may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


class InputError(ValueError):
    """Bad input: the message names the value found, the rule it breaks and how to mend it.

    The command line prints the message alone and exits with code 2; from Python it is a ``ValueError``.
    """


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
    close = get_close_matches(given.lower(), names, len(names) or 1)
    # Of several that are as like, none is meant more than another.
    likeness = [SequenceMatcher(None, one, given.lower()).ratio() for one in close]
    best = [f"{prefix}{names[one]}" for one, ratio in zip(close, likeness, strict=True) if ratio == likeness[0]]
    if not best:
        return ""
    return f"did you mean {' or '.join(filter(None, (', '.join(sorted(best)[:-1]), sorted(best)[-1])))}? "
