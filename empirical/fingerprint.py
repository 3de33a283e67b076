"""Fingerprints of data, by which a directory or a checkpoint knows what it is of."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fingerprint(*parts: NDArray[Any] | bytes) -> str:
    """SHA-256 of bytes and of the values of arrays, one after the other; contiguous arrays are not copied."""
    digest = hashlib.sha256()
    for part in parts:
        # As bytes: what is hashed may have one axis only.
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
