"""One atomic safetensors file a model: parameters, optimiser, losses so far, and what they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from maskgraph.empirical.records import write_atomically
from maskgraph.graphs.errors import InputError

FORMAT = "maskgraph checkpoint 3"

OTHER_VERSION = "it was written by another version of maskgraph: go on with that one, or delete it"
"""What is to be said, and done, of a checkpoint whose keys are others than those of this version."""


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
    if path.is_dir():
        raise InputError(f"{path} is a directory; expected a checkpoint, such as RUN/models/NAME.safetensors")
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected a checkpoint written by maskgraph train")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(
                    f"{path} is not a checkpoint of maskgraph (format {header.get('format')!r}); move it away"
                )
            yield file, _meta(path, header)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors ({error}); delete it to start that model anew"
        ) from error


def _meta(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    try:
        meta = json.loads(header["meta"])
    except (KeyError, ValueError) as error:
        raise InputError(f"{path} says in no JSON what it belongs to; delete it to start that model anew") from error
    if not isinstance(meta, dict):
        raise InputError(f"{path} says in no JSON object what it belongs to; delete it to start that model anew")
    return meta


class Resumable(Protocol):
    """What can go on from a checkpoint.

    Attributes:
        steps: how many there will be.
    """

    steps: int

    def expected(self, step: int) -> Mapping[str, Tensor | None]:
        """What a checkpoint made after `step` steps holds (see `check_tensors`)."""

    def load(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take up the tensors of such a checkpoint."""


def take_up(path: Path, state: Resumable, check: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Go on from a checkpoint.

    Args:
        path: the checkpoint.
        state: what goes on; it stays as it is where the checkpoint is refused.
        check: raises InputError for metadata of another training.

    Returns:
        the metadata.

    Raises:
        InputError: one that cannot be read, does not hold what the state needs, or is refused by `check`.
    """
    tensors, found = read_checkpoint(path)
    check(found)
    step = _step(path, found, state.steps)
    check_tensors(path, tensors, state.expected(step))
    state.load(tensors, step)
    return found


def check_known(path: Path, found: Mapping[str, Any], known: Collection[str], where: str = "") -> None:
    """Raise InputError for a checkpoint's metadata with a key that this version would pass over.

    Args:
        path: the checkpoint.
        found: the metadata, or a part of it.
        known: every key that it may hold.
        where: what stands before the name of a key, such as "train.".
    """
    if not isinstance(found, dict):
        raise InputError(f"{path} holds {where.removesuffix('.')} {found!r}, no object; {OTHER_VERSION}")
    if unknown := sorted(set(found) - set(known)):
        raise InputError(
            f"{path} holds {where}{unknown[0]} {found[unknown[0]]!r}, which this version does not know; {OTHER_VERSION}"
        )


def check_held(path: Path, found: Mapping[str, Any], keys: Collection[str]) -> None:
    """Raise InputError for a checkpoint's metadata without a key."""
    if missing := [key for key in keys if key not in found]:
        raise InputError(f"{path} lacks {missing[0]}; {OTHER_VERSION}")


def _step(path: Path, found: Mapping[str, Any], steps: int) -> int:
    """The step that a checkpoint stands at.

    Raises:
        InputError: none, or one beyond the last.
    """
    check_held(path, found, ("step",))
    step = found["step"]
    if not isinstance(step, int) or not 0 <= step <= steps:
        raise InputError(f"{path} stands at step {step!r}; expected 0 to {steps}: {OTHER_VERSION}")
    return step


def check_tensors(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor | None]) -> None:
    """See that a checkpoint holds just what is taken up from it.

    Args:
        path: the checkpoint.
        tensors: what it holds.
        expected: tensors of the shapes and dtypes that it should hold; None for one of any.

    Raises:
        InputError: naming the first tensor that is missing, is of another shape or dtype or is not known.
    """
    for name, like in expected.items():
        if name not in tensors:
            raise InputError(f"{path} lacks the tensor {name}; {OTHER_VERSION}")
        own = tensors[name]
        if like is not None and (own.shape, own.dtype) != (like.shape, like.dtype):
            raise InputError(
                f"{path} holds the tensor {name} of shape {tuple(own.shape)} and {own.dtype}; expected "
                f"{tuple(like.shape)} and {like.dtype}: {OTHER_VERSION}"
            )
    if unknown := sorted(set(tensors) - set(expected)):
        raise InputError(f"{path} holds the tensor {unknown[0]}, which this version does not know; {OTHER_VERSION}")


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
