"""How a loop is compiled: by numba, once a machine (the result is cached beside the source), without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """The function as machine code; its callers may run in threads."""
    return cast(Callable[P, R], numba.njit(cache=True, nogil=True)(function))


def compiled_fast(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`; sums may be reordered, which lets them be vectorised."""
    return cast(Callable[P, R], numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})(function))
