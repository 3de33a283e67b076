"""The IDX format of MNIST and its kin, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: `path` itself, or `path` with .gz.

    Returns:
        uint8 array of the shape that the header states.

    Raises:
        InputError: no such file, another element type, or a length that does not fit the header.
    """
    found = next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)
    if found is None:
        raise InputError(f"{path}[.gz] does not exist; expected the dataset's IDX file there (see --data-dir)")
    try:
        data = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{found} is truncated or not gzip ({error}); fetch it again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE or data[3] == 0:
        raise InputError(f"{found} starts with {data[:4]!r}; expected an IDX header of unsigned bytes: fetch it again")
    start = 4 + 4 * data[3]
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">u4")) if len(data) >= start else ()
    if len(data) != start + math.prod(shape) or len(shape) != data[3]:
        raise InputError(
            f"{found} holds {len(data)} bytes where its header, shape {shape}, "
            f"promises {start + math.prod(shape)}: it is truncated; fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
