"""What a recipe's records say together: scores over seeds, and what uniformity changes, each with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from maskgraph.empirical.config import Method
from maskgraph.empirical.intervals import Interval, mcnemar, seeds_interval, within_unit
from maskgraph.empirical.judge import ANY, SHUFFLED
from maskgraph.empirical.model import Family
from maskgraph.empirical.readout import POOLED
from maskgraph.empirical.records import KNOWN, NUMBER, Shape, check_shape, read_shaped
from maskgraph.graphs.errors import InputError, as_path
from maskgraph.graphs.npz import read_npz

Record = dict[str, Any]

LABELS = "labels"
"""The name under which predictions hold the true classes."""

ANEW = "delete it and its record, and run again with --resume"
"""What is to be done about predictions that are damaged."""

COLLAPSE = (
    *("rankme", "participation_ratio", "stable_rank", "nesum", "alpha_req", "lidar", "uniformity", "alignment"),
    *("share_image", "share_mask", "share_interaction"),
)
"""The measures of collapse that are shown."""

RECIPE: Shape = {"plan": {"train": {"methods": [str]}}}
"""What is read again of recipe.json."""

BARE = ("pixels", "gaussian")
"""The nulls that are no network."""

METHODS = frozenset((*get_args(Method), *BARE, *(f"random-{family}" for family in get_args(Family))))
"""What a record of a recipe may be of."""

JUDGED: Shape = {
    "dataset": str,
    "method": METHODS,
    "seed": int,
    "scores": {str: {"accuracy": NUMBER, "low": NUMBER, "high": NUMBER}},
    "layers": {str: [{"accuracy": NUMBER}]},
    "collapse": {
        str: {"singular_values": [NUMBER], "bounds": {str: (NUMBER, NUMBER)}, **dict.fromkeys(COLLAPSE, KNOWN)}
    },
}
"""What a record of a recipe holds."""

TRAINED: Shape = dict.fromkeys(("steps", "final_reconstruction", "lam", "train_cpu_seconds"), KNOWN)
"""What one of a trained network holds besides."""

PLAIN = {"u-mae": "mae", "u-simmim": "simmim"}
"""Each method with uniformity, and the same without."""


@dataclass(frozen=True)
class Score:
    """The accuracies of one method by one readout.

    Attributes:
        method: a method, or a null.
        readout: such as cls.ridge.
        accuracies: one a seed.
        over_seeds: 95 % interval of their mean over seeds; None for one seed.
        over_images: over the draw of the test images: the mean over seeds of both ends.
    """

    method: str
    readout: str
    accuracies: tuple[float, ...]
    over_seeds: Interval | None
    over_images: Interval

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.accuracies))


def several_seeds(scores: Sequence[Score]) -> bool:
    """Whether anything is known of other seeds; where not, intervals are over the draw of the test images."""
    return any(score.over_seeds is not None for score in scores)


@dataclass(frozen=True)
class Difference:
    """What uniformity changes in one readout; seed s has the same initialisation, order and masks on both sides.

    Attributes:
        method: the one with uniformity.
        readout: such as cls.ridge.
        differences: accuracy less that of the plain method, one a seed.
        over_seeds: 95 % interval of their mean; None for one seed.
        p_values: of McNemar's exact test on the same test images, one a seed; empty where a readout has several draws,
            or records stand without their predictions.
    """

    method: str
    readout: str
    differences: tuple[float, ...]
    over_seeds: Interval | None
    p_values: tuple[float, ...]


def read_judged(run: str | Path) -> list[Record]:
    """The records of a recipe's networks, in the order of its methods, and then of its nulls.

    Raises:
        InputError: a directory without records, a record of something else, or one that lacks what others of its method
            hold.
    """
    run = as_path(run, "a run")
    files = sorted((run / "records").glob("*.json"))
    if not files:
        raise InputError(f"{run} holds no records; expected the directory of a finished or interrupted recipe")
    methods = read_shaped(run / "recipe.json", RECIPE)["plan"]["train"]["methods"]
    records: list[Record] = [read_shaped(file, JUDGED) for file in files]
    for file, record in zip(files, records, strict=True):
        check_shape(file, record, _common(records, record["method"]))
    order = {method: place for place, method in enumerate(methods)}
    return sorted(records, key=lambda record: order.get(record["method"], len(order)))


def _common(records: Sequence[Record], method: str) -> Shape:
    """What each record of a method has to hold: means are taken over all seeds, and differences from the plain one."""
    alike = [one for one in records if _plain(one["method"]) == _plain(method)]
    bare = method in BARE
    shown = {kind for one in records for kind in one["collapse"]} - {ANY}
    kinds = [ANY] if bare and any(one["collapse"] for one in alike) else [] if bare else sorted(shown)
    return {
        **(TRAINED if method in get_args(Method) else {}),
        "scores": {readout: dict for one in alike for readout in one["scores"]},
        "layers": {kind: _longest(alike, "layers", kind) for kind in POOLED if any(one["layers"] for one in alike)},
        "collapse": {kind: {"singular_values": _longest(alike, "collapse", kind, "singular_values")} for kind in kinds},
    }


def _longest(records: Sequence[Record], *keys: str) -> Shape:
    """The shape of a list, by the keys to it, as long as the longest of the records; no figure is of an empty one."""
    found = [reduce(lambda part, key: part.get(key, {}), keys, one) for one in records]
    return (object,) * max(1, *map(len, found))


def _plain(method: str) -> str:
    return PLAIN.get(method, method)


def scores(records: list[Record]) -> list[Score]:
    """One a method and readout, in the order in which the records name them."""
    found = []
    for method in dict.fromkeys(record["method"] for record in records):
        seeds = [record["scores"] for record in records if record["method"] == method]
        for readout in seeds[0]:
            each = [one[readout] for one in seeds]
            accuracies = tuple(float(one["accuracy"]) for one in each)
            ends = (float(np.mean([one["low"] for one in each])), float(np.mean([one["high"] for one in each])))
            over_seeds = _over_seeds(accuracies)
            found.append(Score(method, readout, accuracies, over_seeds and within_unit(over_seeds), ends))
    return found


def differences(run: Path, records: list[Record]) -> list[Difference]:
    """What uniformity changes, one a method with uniformity and readout, over the seeds that have both.

    Args:
        run: directory of the recipe, for the predictions.
        records: its records.

    Raises:
        InputError: predictions that are damaged.
    """
    by_name = {(record["method"], record["seed"]): record["scores"] for record in records}
    found = []
    for method, plain in PLAIN.items():
        seeds = sorted(seed for name, seed in by_name if name == method and (plain, seed) in by_name)
        for readout in by_name[method, seeds[0]] if seeds else ():
            if readout.endswith(SHUFFLED):
                continue
            changed = tuple(
                by_name[method, seed][readout]["accuracy"] - by_name[plain, seed][readout]["accuracy"] for seed in seeds
            )
            tests = (_mcnemar(run, f"{method}-s{seed}", f"{plain}-s{seed}", readout) for seed in seeds)
            p_values = tuple(value for value in tests if value is not None)
            found.append(Difference(method, readout, changed, _over_seeds(changed), p_values))
    return found


def _over_seeds(values: tuple[float, ...]) -> Interval | None:
    return seeds_interval(values) if len(values) > 1 else None


def _mcnemar(run: Path, first: str, second: str, readout: str) -> float | None:
    paths = [run / "predictions" / f"{name}.npz" for name in (first, second)]
    if not all(path.exists() for path in paths):
        return None
    both = [read_predictions(path) for path in paths]
    for path, predicted in zip(paths, both, strict=True):
        if missing := {readout, LABELS} - set(predicted):
            raise InputError(f"{path} lacks {min(missing)}; {ANEW}")
        if predicted[readout].shape[-1:] != predicted[LABELS].shape:
            raise InputError(f"{path} holds {readout} of other images than {LABELS}; {ANEW}")
    one, other = (predicted[readout] == predicted[LABELS] for predicted in both)
    return mcnemar(one, other) if one.ndim == 1 else None


def read_predictions(path: Path) -> dict[str, NDArray[np.int64]]:
    """The classes of the test images by readout, and the true ones under `labels`.

    Raises:
        InputError: a file that is missing or damaged.
    """
    return read_npz(path, ANEW)
