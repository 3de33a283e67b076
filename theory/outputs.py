"""What the theorems see of a model: its answers at every view of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import InputError, is_real, kind_of
from maskgraph.theory.bounds import check_constants
from maskgraph.theory.losses import EDGES, on_views

Array = NDArray[np.float64]

BY_HAND = "Outputs(f=..., h=...), as docs/tutorial.md does under Your own masked autoencoder"
"""What to give of a model whose decoder reads more than the encoder's vectors."""

LARGEST = 1e60
"""L, λ and their products up to L²λ stay far inside the range of a double."""


@dataclass(frozen=True)
class Outputs:
    """A model on a graph. Every part may be missing; the statements that need it then say so.

    Arrays may be given as whatever holds real numbers, lists and torch tensors included, and are kept as float64.

    Attributes:
        f: (N1, k) float64, its feature at each visible view.
        h: (N1, d) float64, its reconstruction of the target there.
        pseudo: (N2, d) float64, h_g at each target: the decoder's output for a pseudo-inverse encoder of targets
            (Assumption 3.1). Any will do; a better one gives a smaller ε.
        collapsed: (N1, d) float64, its output when the encoder's answer is one and the same everywhere; None:
            h itself is held to be that.
        epsilon: an ε that is claimed; None: the one that `pseudo` certifies, 0 where there is none either.
        lipschitz: an L that is claimed; None: the least that serves, measured on positive pairs.
        lam: λ of the loss; None: 1/(4L), the one that Thm 4.2 is printed for.

    Raises:
        InputError: a part that is no array of real numbers, or a constant that is no number.
    """

    f: Array | None = None
    h: Array | None = None
    pseudo: Array | None = None
    collapsed: Array | None = None
    epsilon: float | None = None
    lipschitz: float | None = None
    lam: float | None = None

    def __post_init__(self) -> None:
        """See that parts are numbers; what is wrong with them on a graph is for `faults` to say."""
        for name in ("f", "h", "pseudo", "collapsed"):
            if (value := getattr(self, name)) is not None:
                mend = f"give {name} as one array, one row a view"
                object.__setattr__(self, name, real_array(f"{name} is", value, mend))
        for name in ("epsilon", "lipschitz", "lam"):
            value = getattr(self, name)
            if value is not None:
                if not is_real(value):
                    raise InputError(f"{name} is {value!r}; expected a number")
                # A number of numpy in single precision would have sides in single precision.
                object.__setattr__(self, name, float(value))

    def faults(self, graph: MaskGraph) -> dict[str, str]:
        """What makes a part unusable on this graph, by the part's name; a missing part is no fault."""
        width = graph.X2.shape[1] if graph.images.codebook is not None else None
        wanted = {
            "f": (len(graph.p1), None),
            "h": (len(graph.p1), width),
            "pseudo": (len(graph.p2), width),
            "collapsed": (len(graph.p1), width),
        }
        found = {}
        for name, (rows, columns) in wanted.items():
            array = getattr(self, name)
            if array is not None and (fault := _array_fault(name, np.asarray(array), rows, columns)):
                found[name] = fault
        if self.epsilon is not None and not 0 <= self.epsilon < math.inf:
            found["epsilon"] = f"epsilon is {self.epsilon:g}; expected a finite number of at least 0"
        for name in ("lipschitz", "lam"):
            value = getattr(self, name)
            if value is not None and not 1 / LARGEST <= value <= LARGEST:
                found[name] = f"{name} is {value:g}; expected a number from {1 / LARGEST:g} to {LARGEST:g}"
        return found


def check_sizes(lipschitz: float, lam: float | None = None, epsilon: float = 0.0) -> None:
    """Raise InputError for constants that no bound has, or that are so far from 1 that a bound would be no double."""
    check_constants(lipschitz, lam, epsilon)
    for name, value in (("Lipschitz constant", lipschitz), ("lambda", lam)):
        if value is not None and not 1 / LARGEST <= float(value) <= LARGEST:
            raise InputError(f"{name} {value:g}; expected a number from {1 / LARGEST:g} to {LARGEST:g}")
    if float(epsilon) > LARGEST:
        raise InputError(f"epsilon {epsilon:g}; expected a number of at most {LARGEST:g}")


def real_array(what: str, value: Any, mend: str) -> Array:
    """An array, tensor or list of real numbers as float64, exactly; a tensor without its gradient.

    Args:
        what: the beginning of the message: who gave it.
        value: what was given.
        mend: the end of the message.

    Raises:
        InputError: anything else, complex numbers among it.
    """
    given = kind_of(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # numpy has no bfloat16.
        value = (value if value.is_complex() else value.double()).numpy()
    if value is None or isinstance(value, dict | tuple):
        raise InputError(f"{what} {given}; {mend}")
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{what} {given} of dtype {array.dtype}; {mend} of real numbers")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} {given} that is no array ({error}); {mend}") from error


def with_unit_features(outputs: Outputs) -> Outputs:
    """The same model with its feature normalised, as the theorems take it.

    A view whose feature is zero or not finite keeps it: the statements that assume unit norm then name that view.
    """
    if outputs.f is None or outputs.f.ndim != 2:
        return outputs
    # In double precision and row by row in memory, where the sum of squares is good to a few ulp.
    f = np.ascontiguousarray(outputs.f, dtype=np.float64)
    norm = np.linalg.norm(f, axis=1, keepdims=True)
    usable = np.isfinite(norm) & (norm > 0)
    return replace(outputs, f=np.where(usable, f / np.where(usable, norm, 1), f))


def nearest_views(graph: MaskGraph, h: Array) -> tuple[NDArray[np.int64], Array]:
    """For each target the view, among those it occurs with, whose output comes nearest.

    `h[views]` is the answer of a pseudo-inverse encoder of targets, so that the distances certify an ε: their mean
    under p2 is at least the least ε of Assumption 3.1.

    Args:
        graph: the mask graph, with patch values.
        h: (N1, d) the outputs.

    Returns:
        views: (N2,) int64, the first of them where several are as near.
        distances: (N2,) float64, ‖h(view) − x2‖².
    """
    check_mask_graph(graph)
    h = on_views("h", h, len(graph.p1), finite=True)
    M = graph.M
    row = np.repeat(np.arange(M.shape[0]), np.diff(M.indptr))
    apart = np.empty(M.nnz)
    # In parts: all edges at once would hold nnz(M) targets of d values.
    for start in range(0, M.nnz, EDGES):
        part = slice(start, start + EDGES)
        apart[part] = ((h[row[part]] - graph.X2[M.indices[part]]) ** 2).sum(axis=1)
    order = np.lexsort((apart, M.indices))
    _, first = np.unique(M.indices[order], return_index=True)
    best = order[first]
    return row[best], apart[best]


def _array_fault(name: str, array: Array, rows: int, columns: int | None) -> str:
    expected = f"expected a finite ({rows}, {'k' if columns is None else columns}) array"
    if array.ndim != 2 or len(array) != rows or columns not in (None, array.shape[1]) or array.shape[1] == 0:
        return f"{name} has shape {array.shape}; {expected}, one row a view of the graph"
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        return (
            f"{name} has {array[bad[0]][~np.isfinite(array[bad[0]])][0]} at view {bad[0]} ({len(bad)} of {rows} views "
            f"in all); {expected}: look for a diverged run or an overflow"
        )
    return ""
