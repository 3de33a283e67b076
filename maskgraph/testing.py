"""The theorems in a user's own tests: `assert_holds`, and hypothesis strategies for graphs and models to hold them on.

    from maskgraph.testing import assert_holds, worlds

    @given(worlds())
    def test_my_encoder(graph):
        assert_holds(graph, my_encoder)

Needs the extra `testing`. `pytest --maskgraph-ledger` prints what was checked; docs/tutorial.md walks through it all.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, get_args

try:
    from hypothesis import strategies as st
    from hypothesis.extra.numpy import arrays
except ImportError as missing:
    raise ImportError("maskgraph.testing needs hypothesis: pip install 'maskgraph[testing]'") from missing

import numpy as np
from numpy.typing import NDArray

from maskgraph.encoders import Model, check_usable, outputs_of
from maskgraph.graphs.augmentation import augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph, mask_graph
from maskgraph.graphs.datasets import make_coded_images
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskSet, make_mask_set
from maskgraph.graphs.views import View, check_view
from maskgraph.theory import risk
from maskgraph.theory.check import Check
from maskgraph.theory.ledger import ledger
from maskgraph.theory.outputs import Outputs, nearest_views
from maskgraph.theory.statements import STATEMENTS, statement

__all__ = ["assert_holds", "mask_sets", "models", "outputs_of", "worlds"]

Array = NDArray[np.float64]

OF_THE_GRAPH = frozenset({"I5", "phi", "Embedding"})
"""Statements that no model can violate: they are about the graph alone (Embedding takes of the model only its k)."""

FEW = 256
"""Up to so many numbers are drawn one by one; of more, most are one and the same, as hypothesis holds so many."""


def assert_holds(
    graph: MaskGraph,
    model: Outputs | Model,
    statements: str | Iterable[str] | None = None,
    *,
    decoder: Model | None = None,
    positions: bool = False,
) -> list[Check]:
    """Hold a model on a graph to the theorems, and fail where one is violated.

        >>> from maskgraph.graphs.synthetic import joint_graph
        >>> graph = joint_graph([[3, 1], [1, 3]], X2=[[1.0], [-1.0]])
        >>> checks = assert_holds(graph, lambda patches: patches[:, 0], decoder=lambda f: f, statements=("I1", "S1"))
        >>> [(check.statement, check.verdict) for check in checks]
        [('I1', 'tight'), ('S1', 'holds')]

    Args:
        graph: the mask graph; the statements are about its target hop.
        model: an encoder, function or torch module, from the patch values of all visible views, (N1, n1, s) float64
            (a module: in its own dtype, on its own device), to vectors (N1, k); see `outputs_of`. Or its `Outputs`.
        statements: numbers such as "Thm 4.2" or ("Thm 4.2", "S2"), each of whose assumptions must then be met; None:
            all of them, where some will ask for what the model does not give and are passed over.
        decoder: of an encoder: from its vectors (N1, k) to outputs (N1, n2·s). Without one the statements about
            the loss have nothing to speak of. One that reads more, as tokens and where they are, is run on
            `graphs.bipartite.visible_views`, and what it answers given as `Outputs`.
        positions: whether an encoder is also given positions, (N1, n1) int64.

    Returns:
        A check for each statement, in the order asked for. A verdict "vacuous" passes: the statement is true and
        says nothing.

    Raises:
        AssertionError: a statement is violated; one that was named has an assumption that is not met; or, where none
            was named, none that is about the model could be held.
        InputError: no mask graph, an unknown number, no number at all, a graph without patch values, or outputs that
            are not finite, of the wrong shape, or a feature of norm zero. Nothing is checked then.
    """
    __tracebackhide__ = True
    _check_order(graph, model)
    chosen = STATEMENTS if statements is None else _named(statements)
    if isinstance(model, Outputs):
        if decoder is not None or positions:
            given = "decoder" if decoder is not None else "positions"
            raise InputError(
                f"{given} was given with Outputs, which are answers already; give an encoder, or no {given}"
            )
        outputs = model
        check_usable(graph, outputs)
    else:
        outputs = outputs_of(graph, model, decoder, positions)
    checks = ledger(graph, outputs, chosen)
    _record(checks)
    if failed := [check for check in checks if check.verdict == "violated"]:
        raise AssertionError(_failures(failed, len(checks), "violated"))
    unmet = [check for check in checks if check.verdict == "assumption not met"]
    if statements is not None and unmet:
        raise AssertionError(_failures(unmet, len(checks), "named and could not be held"))
    held = {check.statement for check in checks if check.verdict != "assumption not met"}
    if statements is None and not held - OF_THE_GRAPH:
        notes = "\n".join(f"{check.statement}: {check.note}" for check in unmet)
        raise AssertionError(f"no statement about this model could be held, so that nothing was tested\n{notes}")
    return checks


def worlds(
    max_patches: int = 5,
    max_images: int = 8,
    max_codes: int = 3,
    max_classes: int = 3,
    views: Sequence[View] = get_args(View),
    *,
    values: int | None = None,
    patches: int | None = None,
    kept: int | None = None,
    zeros: bool = True,
) -> st.SearchStrategy[MaskGraph]:
    """Small mask graphs: weighted images of coded patches with values, under all masks of a drawn size.

    Codes, labels and weights are small integers, so that views repeat, classes tie, and a failing graph shrinks to one
    that can be read off `graph.images` and `graph.masks`. Of more than 256 masks of a size there are one to eight.

        >>> from hypothesis import given, settings
        >>> @given(worlds(values=3, patches=4, kept=2))
        ... @settings(max_examples=10, deadline=None)
        ... def test_my_encoder(graph):
        ...     assert_holds(graph, lambda patches: 1 + patches.reshape(len(patches), 6) ** 2)
        >>> test_my_encoder()

    An encoder of a fixed input size takes worlds of `values`, `patches` and `kept`. One that answers zero to zeros, as
    without biases, has no direction there, and the theorems nothing to say of it: `zeros` leaves such views out. Where
    it answers zero to others too, as behind a last ReLU, `assert_holds` says so: that is the encoder's to mend.

    Positions of a bag view are n: give an encoder's table of positions n + 1 rows, or take
    `worlds(views=("positional", "sequence"))`.

    Args:
        max_patches: n is 2 up to this.
        max_images: N is 1 up to this.
        max_codes: so many different patches at most.
        max_classes: so many classes at most.
        views: the view identities to draw from, the simplest first.
        values: s, the numbers that a patch is made of; None: 1 or 2 is drawn.
        patches: n, however large; None: it is drawn.
        kept: n1, the patches of a view, below n; None: it is drawn.
        zeros: whether a patch may be all zeros.

    Raises:
        InputError: a limit or a number below its least value, one that is no integer, more patches kept than there can
            be, or an unknown view identity.
    """
    limits = (("max_patches", max_patches, 2), ("max_images", max_images, 1))
    fixed = (("values", values, 1), ("patches", patches, 2), ("kept", kept, 1))
    for name, value, least in (*limits, ("max_codes", max_codes, 1), ("max_classes", max_classes, 1), *fixed):
        if value is None and name in ("values", "patches", "kept"):
            continue
        if not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}; expected an integer of at least {least}")
    if kept is not None and kept >= (patches or max_patches):
        limit = f"patches is {patches}" if patches else f"max_patches is {max_patches}"
        raise InputError(f"kept is {kept} while {limit}; expected fewer, as one is to be hidden")
    if not isinstance(views, Collection) or isinstance(views, str) or not views:
        raise InputError(f"views is {views!r}; expected a list of view identities such as ('positional', 'bag')")
    for view in views:
        check_view(view)
    least = 2 if kept is None else kept + 1
    count = st.integers(least, max_patches) if patches is None else st.just(patches)
    return _worlds(count, max_images, max_codes, max_classes, tuple(views), values, kept, zeros)


def mask_sets(patches: int) -> st.SearchStrategy[MaskSet]:
    """Sets of masks of one size, all that there are or only some.

    Args:
        patches: n, the number of patches of an image; at least 2.

    Raises:
        InputError: fewer patches than 2.
    """
    if not isinstance(patches, int | np.integer) or patches < 2:
        raise InputError(f"patches is {patches}; expected at least 2, one to show and one to hide")
    return _mask_sets(patches)


def models(graph: MaskGraph, k: int | None = None) -> st.SearchStrategy[Outputs]:
    """Models on a graph, of all kinds that a theorem may meet: constant, random, aligned, and as bad as can be.

    Every one has features of a norm above 0, outputs h, pseudo and collapsed ones, and makes no claim about ε, L or λ.

    Args:
        graph: with patch values.
        k: the dimension of f; 1 to 4 is drawn when None.

    Raises:
        InputError: k below 1, or a graph without patch values.
    """
    check_mask_graph(graph)
    if k is not None and (not isinstance(k, int | np.integer) or k < 1):
        raise InputError(f"k is {k}; expected at least 1 dimension")
    _ = graph.X2
    return _models(graph, k)


@st.composite
def _worlds(
    draw: st.DrawFn,
    patches: st.SearchStrategy[int],
    max_images: int,
    max_codes: int,
    max_classes: int,
    views: tuple[View, ...],
    values: int | None,
    kept: int | None,
    zeros: bool,
) -> MaskGraph:
    n = draw(patches)
    alphabet = draw(st.integers(1, max_codes))
    count = draw(st.integers(1, max_images))
    codes = draw(_integers((count, n), 0, alphabet - 1))
    labels = draw(st.lists(st.integers(0, max_classes - 1), min_size=count, max_size=count))
    weights = draw(st.none() | st.lists(st.integers(1, 4), min_size=count, max_size=count))
    s = draw(st.integers(1, 2)) if values is None else values
    codebook = draw(_integers((alphabet, s), -4, 4))
    if not zeros:
        codebook[(codebook == 0).all(axis=1), 0] = 1
    images = make_coded_images(
        "drawn",
        codes.astype(np.int64),
        np.array(labels),
        None if weights is None else np.array(weights, dtype=np.float64),
        codebook,
        grid=(1, n),
    )
    shown = draw(st.integers(1, n - 1)) if kept is None else kept
    masks = _all_masks(n, shown) if math.comb(n, shown) <= FEW else draw(_some_masks(n, shown))
    return mask_graph(images, masks, draw(st.sampled_from(views)))


@st.composite
def _mask_sets(draw: st.DrawFn, patches: int) -> MaskSet:
    kept = draw(st.integers(1, patches - 1))
    if math.comb(patches, kept) <= FEW and draw(st.booleans()):
        return _all_masks(patches, kept)
    return draw(_some_masks(patches, kept))


@st.composite
def _some_masks(draw: st.DrawFn, patches: int, kept: int) -> MaskSet:
    total = math.comb(patches, kept)
    mask = st.lists(st.integers(0, patches - 1), min_size=kept, max_size=kept, unique=True).map(sorted).map(tuple)
    masks = draw(st.lists(mask, min_size=1, max_size=min(8, total), unique=True))
    return make_mask_set(np.array(masks), patches, total)


@st.composite
def _models(draw: st.DrawFn, graph: MaskGraph, k: int | None) -> Outputs:
    k = draw(st.integers(1, 4)) if k is None else k
    (n1, d), targets = (len(graph.p1), graph.X2.shape[1]), graph.X2
    kind = draw(st.sampled_from(("constant", "random", "aligned", "bad")))
    constant = np.tile(draw(_integers((1, d))), (n1, 1))
    if kind == "constant":
        f, h = np.tile(draw(_integers((1, k))), (n1, 1)), constant
    elif kind == "random":
        f, h = draw(_integers((n1, k))), draw(_integers((n1, d)))
    elif kind == "aligned":
        f, h = _spectral_embedding(graph, k), risk.conditional_mean(graph)
    else:
        # Uniform and blind to what is shared, of any scale, with outputs far from every target.
        f = np.eye(k)[np.arange(n1) % k] * 10.0 ** draw(st.integers(-3, 3))
        h = 100 * draw(_integers((n1, d)))
    # A zero row has no direction: it is given one.
    f = np.where((f == 0).all(axis=1, keepdims=True), np.eye(1, k), f)
    if draw(st.booleans()) and kind != "constant":
        h = f @ draw(_integers((k, d)))  # A linear decoder, as S3 asks.
    pseudo = h[nearest_views(graph, h)[0]] if draw(st.booleans()) else targets + draw(_integers(targets.shape))
    return Outputs(f=f, h=h, pseudo=pseudo, collapsed=constant)


def _integers(shape: tuple[int, int], low: int = -3, high: int = 3) -> st.SearchStrategy[Array]:
    fill = st.nothing() if math.prod(shape) <= FEW else None
    drawn = arrays(np.int64, shape, elements=st.integers(low, high), fill=fill)
    return drawn.map(lambda array: array.astype(np.float64))


def _spectral_embedding(graph: MaskGraph, k: int) -> Array:
    """(N1, k) the minimiser of the spectral contrastive loss: the top eigenvectors of A, as features."""
    values, vectors = np.linalg.eigh(augmentation_graph(graph).matrix().toarray())
    rank = min(k, len(values))
    top = vectors[:, ::-1][:, :rank] * np.sqrt(np.maximum(values[::-1][:rank], 0))
    return np.asarray((top / np.sqrt(graph.p1)[:, None]) @ np.eye(rank, k))


def _all_masks(patches: int, kept: int) -> MaskSet:
    return make_mask_set(np.array(list(itertools.combinations(range(patches), kept))), patches)


def _check_order(graph: object, model: object) -> None:
    if isinstance(model, MaskGraph) and not isinstance(graph, MaskGraph):
        raise InputError("the graph was given second; expected assert_holds(graph, model): swap the two")
    check_mask_graph(graph)


def _named(statements: str | Iterable[str]) -> list[Any]:
    if callable(statements):
        raise InputError("the third argument names statements; give a decoder by its name, decoder=")
    numbers = [statements] if isinstance(statements, str) or not isinstance(statements, Iterable) else list(statements)
    if not numbers:
        raise InputError("statements is empty, so that nothing would be tested; name some, or leave it out for all")
    return [statement(number) for number in numbers]


def _failures(failed: Sequence[Check], held: int, what: str) -> str:
    lines = [f"{len(failed)} of {held} statement{'s' if held > 1 else ''} {what}"]
    for check in failed:
        lines += [
            f"{check.statement}: {check.verdict}",
            f"  formula    {check.formula}",
            f"  lhs        {check.lhs:.10g}",
            f"  rhs        {check.rhs:.10g}",
            f"  slack      {check.slack:.4g}",
            f"  tolerance  {check.tolerance:.4g}",
            f"  note       {check.note or 'each step is within the tolerance and their sum is not'}",
        ]
    return "\n".join(lines)


def _record(checks: Sequence[Check]) -> None:
    # Not imported: the plugin is there where pytest loaded it, and it needs pytest, which a caller may not use.
    plugin = sys.modules.get("maskgraph.pytest_plugin")
    if plugin is not None:
        plugin.record(checks)
