"""Reading arrays from a .npz, none of them pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError


def read_npz(path: Path, mend: str) -> dict[str, NDArray[Any]]:
    """The arrays of a file, by name.

    Args:
        path: the file.
        mend: what to do about one that cannot be read.

    Raises:
        InputError: a file that is missing or damaged, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            # Of anything but an archive numpy says that it is pickled, and how to load it unsafely.
            if not is_zipfile(file):
                raise ValueError("no zip archive, or not all of one")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    # On damaged bytes numpy passes on whatever its parsers raise: zlib, zipfile, tokenize, struct errors and more.
    except Exception as error:
        raise InputError(f"{path} cannot be read as a .npz of plain arrays ({error}); {mend}") from error
