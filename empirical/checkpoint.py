"""One atomic safetensors file a model: parameters, optimiser, losses so far, and what they belong to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from maskgraph.empirical.records import write_atomically
from maskgraph.graphs.errors import InputError

FORMAT = "maskgraph checkpoint 3"


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able metadata; at every moment the file is the old one or the whole new one.

    Raises:
        InputError: the place cannot be written.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, {"format": FORMAT, "meta": json.dumps(meta)}))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the metadata of a checkpoint. Nothing is unpickled.

    Raises:
        InputError: no such file, a truncated one, or one that is not a checkpoint of maskgraph.
    """
    with _opened(path) as (file, meta):
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, meta


def read_meta(path: Path) -> dict[str, Any]:
    """The metadata alone, without reading the tensors.

    Raises:
        InputError: see `read_checkpoint`.
    """
    with _opened(path) as (_, meta):
        return meta


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected a checkpoint written by maskgraph train")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(
                    f"{path} is not a checkpoint of maskgraph (format {header.get('format')!r}); move it away"
                )
            yield file, json.loads(header["meta"])
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors ({error}); delete it to start that model anew"
        ) from error


def check_same(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise InputError naming the first fields in which a checkpoint's metadata is of another model."""
    for part in expected:
        old, new = found.get(part), json.loads(json.dumps(expected[part]))
        if old == new:
            continue
        what = f"{part} {old!r} there, {new!r} here"
        if part == "data":
            what = "its images, or how they are cut and normalised, are others"
        if isinstance(old, dict) and isinstance(new, dict):
            if not (fields := [key for key in new if key not in old or old[key] != new[key]]):
                continue
            what = "; ".join(f"{part}.{key} is {old.get(key)!r} there and {new[key]!r} here" for key in fields)
        raise InputError(f"{path} is a checkpoint of another model ({what}); choose another --out, or delete it")
