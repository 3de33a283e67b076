"""Reading arrays from a .npz, none of them pickled."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.errors import InputError, unknown
from maskgraph.graphs.memory import check_memory


def read_npz(path: Path, mend: str, known: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a file, by name.

    Args:
        path: the file.
        mend: what to do about one that cannot be read.
        known: names of the arrays that it may hold; None: of any.

    Raises:
        InputError: a file that is missing or damaged, holds Python objects, other arrays or more than memory does.
    """
    try:
        with path.open("rb") as file:
            # Of anything but an archive numpy says that it is pickled, and how to load it unsafely.
            if not is_zipfile(file):
                raise ValueError("no zip archive, or not all of one")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                if known is not None and (other := sorted(set(archive.files) - set(known))):
                    raise unknown("array", other[0], sorted(known), str(path))
                # A small file may stand for zeros without end.
                size = sum(member.file_size for member in archive.zip.infolist())
                check_memory(size, f"all that {path} holds", "give one of fewer images")
                return {name: archive[name] for name in archive.files}
    except InputError:
        raise
    # On damaged bytes numpy passes on whatever its parsers raise: zlib, zipfile, tokenize, struct errors and more.
    except Exception as error:
        if "allow_pickle" in str(error):
            mend = "save numbers, not Python objects, with numpy.savez"
        raise InputError(f"{path} cannot be read as a .npz of plain arrays ({error}); {mend}") from error
