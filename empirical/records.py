"""Records on disk: JSON, written atomically, read into one pandas table."""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskgraph.graphs.errors import InputError, as_path

if TYPE_CHECKING:
    import pandas as pd


UNFINISHED = re.compile(r"\..+\.(json|safetensors|npz|png|html)\.[a-z0-9_]{8}")
"""Names of files of a run that are being written: a dot, their own, and what `mkstemp` adds."""

LOSSES = ("L_MAE", "bayes_risk", "epsilon", "four_L_lambda")
PROBES = ("linear", "knn", "few_shot")
GEOMETRY = ("L_unif", "lipschitz", "rankme", "share_image", "share_mask")
"""What the tables of models show; records hold more (docs/records.md)."""

NULL = ("L_align", "L_unif", "rankme", "share_image", "share_mask", "share_interaction")
"""What Gaussian features on a graph are told of by: measured without a reconstruction, and read beside models'."""

FEATURES = ("cls", "mean", "tokens", "bottleneck", "pixels")

Shape = Any
"""What a part of a file holds: a type, or several; in a frozenset, one of some strings; in a list, the shape of every
item of a list; in a tuple, those of the items of a list of so many; in a dictionary, that of each key of an object.
Keys in a tuple may be missing, and `str` stands for all that there are."""

NUMBER = int | float
KNOWN = int | float | None
"""A number, null where it is not finite or does not apply."""

STUDY: Shape = {
    "plan": {"graph": {"mask_ratios": [NUMBER], "views": [str], "hops": [str]}, "train": {"feature": str, "view": str}},
    "machine": dict,
}

GRAPH: Shape = {
    **dict.fromkeys(("dataset", "view", "hop"), str),
    **dict.fromkeys(("mask_ratio", "dim", "kept", "masks", "components", "head_sq", "tail_sq", "lambda"), NUMBER),
    **dict.fromkeys(("alpha", "alpha_target", "phi", "inter", "bayes_risk", "rank_floor"), KNOWN),
    "eigenvalues": [NUMBER],
    "bounds": {"thm_4_2": NUMBER, "water_filling": NUMBER},
    "unseen": {"visible": KNOWN, "target": KNOWN},
    ("thm_4_1_least", "alpha_most"): NUMBER,
    ("draws",): {"seeds": [int], "drawn": [str], "numbers": {"water_filling": [NUMBER]}},
    # Of the graphs that models are measured on, in runs since there is such a null.
    ("gaussian",): {**dict.fromkeys(("draws", "dim"), int), **{name: {"mean": NUMBER, "sd": NUMBER} for name in NULL}},
}

CHECK: Shape = {
    **dict.fromkeys(("statement", "formula", "sense", "verdict", "note"), str),
    **dict.fromkeys(("lhs", "rhs", "slack"), KNOWN),
    "steps": [{"cause": str, "value": KNOWN, "exact": bool}],
}

RECORD: Shape = {
    "method": str,
    "mask_ratio": KNOWN,
    "seed": int,
    "checks": [CHECK],
    ("accuracy", "copies", "scored_images"): NUMBER,
    (*LOSSES, *(f"{feature}.{name}" for feature in FEATURES for name in (*PROBES, *GEOMETRY))): KNOWN,
}


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at every moment it is either absent, the old one or the whole new one.

    Raises:
        InputError: the directory cannot be made or written, or what is there is no file.
    """
    _check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A temporary file is the owner's alone; a result is as readable as any file that the user makes.
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def remove_unfinished(directory: Path) -> None:
    """Remove what `write_atomically` leaves where the process is killed while it writes, there and one folder down.

    Nobody else may write there.
    """
    for pattern in (".*", "*/.*"):
        for path in directory.glob(pattern):
            if UNFINISHED.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """See before long work that its result can be written.

    Raises:
        InputError: the directory cannot be made or written, or what is there is no file.
    """
    _check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _check_place(path: Path) -> None:
    """Raise InputError for what a file is not put in the place of: to whoever may, a device gives way like any file."""
    if path.is_dir():
        raise InputError(f"{path} is a directory; expected the path of a file to write")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a device or a pipe; expected the path of a file to write")


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be written ({error.strerror}); choose another directory")


def to_json(value: object) -> str:
    """JSON with null for what is not finite: JSON has no NaN and no infinity."""
    return json.dumps(_finite(value), indent=1, allow_nan=False)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, atomically."""
    write_atomically(path, (to_json(value) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: no such file, or one that is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); expected a directory written by maskgraph"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); delete it and run again with --resume") from error


def read_study(run: Path) -> dict[str, Any]:
    """The study.json of a run: `plan` and `machine`.

    Raises:
        InputError: no such file, or one of something else.
    """
    study: dict[str, Any] = read_shaped(run / "study.json", STUDY)
    return study


def probed_feature(study: Mapping[str, Any]) -> str:
    """Which feature's probes speak for a study: the trained one, or cls for tokens, as many as a mask leaves."""
    feature: str = study["plan"]["train"]["feature"]
    return "cls" if feature == "tokens" else feature


def read_bounds(run: str | Path) -> pd.DataFrame:
    """The theory of a run's graphs, one row a graph, by view and hop in the plan's order, then by mask ratio.

    Raises:
        InputError: a directory without bounds, or a recipe's.
    """
    import pandas as pd  # slow to import, and not wanted where a bound is printed

    run = _no_recipe(run)
    files = sorted((run / "bounds").glob("*.json"))
    if not files:
        raise InputError(f"{run} holds no bounds; expected the directory of a finished or interrupted study or train")
    graph = read_study(run)["plan"]["graph"]
    table = pd.DataFrame([read_shaped(file, GRAPH) for file in files])
    missing = [
        f"{view} {hop} {ratio}"
        for view in graph["views"]
        for hop in graph["hops"]
        for ratio in graph["mask_ratios"]
        if table[(table["view"] == view) & (table["hop"] == hop) & (table["mask_ratio"] == ratio)].empty
    ]
    if missing:
        raise InputError(f"{run} lacks the bounds of {', '.join(missing)}; finish it by repeating it with --resume")
    for column, order in (("view", graph["views"]), ("hop", graph["hops"])):
        table[column] = pd.Categorical(table[column], order, ordered=True)
    table = table.sort_values(["view", "hop", "mask_ratio"], ignore_index=True)
    return table.astype({"view": str, "hop": str})


def drawn_bounds(graph: pd.DataFrame) -> dict[float, list[float]]:
    """S2 under several draws of the masks, by the mask ratio; of those ratios alone where some masks were drawn.

    Args:
        graph: rows of `read_bounds`, of one view and hop.
    """
    return {
        row["mask_ratio"]: row["draws"]["numbers"]["water_filling"]
        for _, row in graph.iterrows()
        if isinstance(row.get("draws"), dict)
    }


def gaussian_nulls(bounds: pd.DataFrame) -> dict[float, dict[str, Any]]:
    """What Gaussian features are measured as on the graphs of a run's models (docs/records.md), by mask ratio.

    Args:
        bounds: of `read_bounds`; where a run is of before there was such a null, ratios are missing.
    """
    # A run's models have one view, so that a mask ratio has one such graph.
    known = bounds[bounds["gaussian"].notna()] if "gaussian" in bounds else bounds[:0]
    return {row["mask_ratio"]: row["gaussian"] for _, row in known.iterrows()}


def read_records(run: str | Path) -> pd.DataFrame:
    """The records of a run, one row a model or baseline, in the order of their names.

    Raises:
        InputError: a directory without records, or a recipe's.
    """
    import pandas as pd  # slow to import, and not wanted where a bound is printed

    run = _no_recipe(run)
    files = sorted((run / "records").glob("*.json"))
    if not files:
        raise InputError(f"{run} holds no records; expected the directory of a finished or interrupted study or train")
    return pd.DataFrame([read_shaped(file, RECORD) for file in files])


def _no_recipe(run: str | Path) -> Path:
    run = as_path(run, "a run")
    if (run / "recipe.json").exists():
        raise InputError(
            f"{run} holds a recipe, whose networks see pixels that no graph is of; expected a run of maskgraph train "
            "or maskgraph study (what a recipe found: maskgraph report, or read_judged of maskgraph.empirical.summary)"
        )
    return run


def read_shaped(path: Path, shape: Shape) -> Any:
    """Read JSON of a certain shape.

    Args:
        path: the file.
        shape: of what it holds.

    Raises:
        InputError: no such file, or one of something else, whose first part that is none is named.
    """
    value = read_json(path)
    check_shape(path, value, shape)
    return value


def check_shape(path: Path, value: object, shape: Shape) -> None:
    """See that what a file holds is of a certain shape.

    Args:
        path: the file.
        value: what it holds.
        shape: of that.

    Raises:
        InputError: naming the first part that is of another.
    """
    for fault in _faults(value, shape, ""):
        raise InputError(f"{path} {fault}; delete it and run again with --resume")


def _faults(value: object, shape: Shape, where: str) -> Iterator[str]:
    """What is to be said of each part of a value that is of another shape."""
    if isinstance(shape, dict) and isinstance(value, dict):
        for key, inner in shape.items():
            for name in value if key is str else key if isinstance(key, tuple) else (key,):
                place = f"{where}.{name}" if where else name
                if name in value:
                    yield from _faults(value[name], inner, place)
                elif not isinstance(key, tuple):
                    yield f"lacks {place}"
    elif isinstance(shape, list) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, shape[0], f"{where}[{index}]")
    elif isinstance(shape, tuple) and isinstance(value, list) and len(value) != len(shape):
        yield f"holds {len(value)} in {where}, where there have to be {len(shape)}"
    elif isinstance(shape, tuple) and isinstance(value, list):
        for index, (item, inner) in enumerate(zip(value, shape, strict=True)):
            yield from _faults(item, inner, f"{where}[{index}]")
    elif isinstance(shape, frozenset) and isinstance(value, str) and value not in shape:
        yield f"holds {where} {reprlib.repr(value)}, which is none of {', '.join(sorted(shape))}"
    elif isinstance(shape, dict | list | tuple) or not isinstance(
        value, str if isinstance(shape, frozenset) else shape
    ):
        yield f"holds {f'{where} ' if where else ''}{reprlib.repr(value)}, which no run writes"


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
