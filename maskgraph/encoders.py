"""A user's own encoder and decoder on a graph: what the theorems see of them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph, visible_views
from maskgraph.graphs.errors import InputError, kind_of
from maskgraph.theory.outputs import BY_HAND, Outputs, nearest_views, real_array

Array = NDArray[np.float64]

Model = Callable[..., Any]
"""A function of arrays, or a torch module."""


def outputs_of(graph: MaskGraph, encoder: Model, decoder: Model | None = None, positions: bool = False) -> Outputs:
    """Run an encoder, and a decoder after it, on every visible view of a graph.

    Everything is run once on all N1 views together; a model that cannot take so many splits them itself. A torch
    module gets tensors in the dtype and on the device of its own parameters and runs without gradient in eval mode;
    its training flags are as before afterwards.

    Args:
        graph: the mask graph, with patch values.
        encoder: called with the patch values of every view, (N1, n1, s) float64, and, with `positions`, with the
            positions (N1, n1) int64 that its view identity lets it know (`graphs.views.known_positions`); gives
            (N1, k) vectors f.
        decoder: from those vectors (N1, k) to outputs (N1, d), d = n2·s, as `graph.X2` lists them.
        positions: whether the encoder is given positions.

    Returns:
        f: the vectors. With a decoder also h, its outputs; collapsed, its output at the mean of f under p1,
        everywhere; and pseudo, at each target the h that comes nearest among those of the views it occurs with.

    Raises:
        InputError: no mask graph, one without patch values, a network of maskgraph, an encoder or a decoder of other
            arguments, one without a place for the positions of a bag, or an answer that is not a finite array of the
            right shape, or that has a vector of norm zero.
    """
    check_mask_graph(graph)
    _refuse_networks(encoder)
    patches, places, _ = visible_views(graph)
    views = len(patches)
    given: list[NDArray[Any]] = [patches, places] if positions else [patches]
    shown = f"patches {patches.shape}" + f" and positions {places.shape}" * positions
    try:
        f = _answer("encoder", encoder, given)
    except IndexError as error:
        # Its own errors are its own, but for what a table of n positions makes of those that a bag has not.
        if not positions or graph.view != "bag":
            raise
        n = graph.images.patches
        raise InputError(
            f"the encoder, given {shown}, raised IndexError ({error}): positions of a bag view are n = {n}; give the "
            f'table n + 1 = {n + 1} rows, or take worlds(views=("positional", "sequence")), whose views have positions'
        ) from error
    except RuntimeError as error:
        # As torch says it of two matrices, which names neither what the encoder was given nor how to give another.
        error.add_note(f"the encoder was given {shown}; one of a fixed size takes worlds(values=, patches=, kept=)")
        raise
    check_usable(graph, Outputs(f=f), f"the encoder, given {shown}, must return one vector a view, ({views}, k): ")
    if decoder is None:
        return Outputs(f=f)
    d = graph.X2.shape[1]
    must = f"must return one output a view, ({views}, {d}), d = n2 s: "
    h = _answer("decoder", decoder, [f.copy()])
    check_usable(graph, Outputs(h=h), f"the decoder, given vectors {f.shape}, {must}")
    collapsed = _answer("decoder", decoder, [np.tile(graph.p1 @ f, (views, 1))])
    check_usable(
        graph, Outputs(collapsed=collapsed), f"the decoder, given the mean of those vectors everywhere, {must}"
    )
    return Outputs(f=f, h=h, pseudo=h[nearest_views(graph, h)[0]], collapsed=collapsed)


def check_usable(graph: MaskGraph, outputs: Outputs, context: str = "") -> None:
    """Raise InputError where a part of a model cannot be used on a graph, or has a feature of norm zero.

    Args:
        graph: the graph.
        outputs: the model.
        context: what the message starts with.
    """
    for fault in outputs.faults(graph).values():
        raise InputError(context + fault)
    if outputs.f is not None:
        with np.errstate(over="ignore"):
            norm = np.linalg.norm(np.asarray(outputs.f, dtype=np.float64), axis=1)
        bad = np.flatnonzero(~(np.isfinite(norm) & (norm > 0)))
        if len(bad):
            mend = "look for dead units, or add a bias" if norm[bad[0]] == 0 else "scale f down"
            raise InputError(
                f"{context}f has norm {norm[bad[0]]:g} at view {bad[0]} ({len(bad)} of {len(norm)} views in all); "
                f"expected a finite norm above 0, as the theorems take f at unit norm: {mend}"
            )


def _refuse_networks(encoder: object) -> None:
    """Raise InputError for a network of maskgraph, whose decoder reads all of its tokens and where they are."""
    module = sys.modules.get("maskgraph.empirical.model")
    # What load_published and load_model return holds one.
    network = encoder if callable(encoder) else getattr(encoder, "model", None)
    if module is not None and isinstance(network, module.MaskedModel):
        raise InputError(
            f"the encoder is {kind_of(encoder)}, a network of maskgraph, whose decoder reads more than one vector; "
            "give on_graph(network, graph).outputs of maskgraph.empirical.on_graph"
        )


def _answer(name: str, model: Model, arrays: list[NDArray[Any]]) -> Array:
    torch = sys.modules.get("torch")
    # A torch module exists only where its caller has imported torch.
    if torch is not None and isinstance(model, torch.nn.Module):
        like = _floating(torch, model)
        with torch.no_grad(), _evaluating(model):
            tensors = [
                torch.as_tensor(array, dtype=like.dtype if array.dtype.kind == "f" else None, device=like.device)
                for array in arrays
            ]
            return _real(name, _called(name, model, tensors))
    if not callable(model):
        raise InputError(
            f"the {name} is {kind_of(model)}; expected a function or a torch module"
            + (", or Outputs" if name == "encoder" else "")
        )
    with nullcontext() if torch is None else torch.no_grad():
        return _real(name, _called(name, model, arrays))


def _called(name: str, model: Model, arrays: Sequence[Any]) -> Any:
    try:
        return model(*arrays)
    except TypeError as error:
        # Its own errors are its own.
        if (takes := _other_arguments(model, len(arrays))) is None:
            raise
        given = f"{len(arrays)} array" + "s" * (len(arrays) > 1)
        what = (
            "patches, and with positions=True of positions too"
            if name == "encoder"
            else f"the encoder's vectors; of one that reads more, as a masked autoencoder's, give {BY_HAND}"
        )
        raise InputError(f"the {name} takes {takes} and is given {given}; expected a function of {what}") from error


def _other_arguments(model: Model, count: int) -> inspect.Signature | None:
    """What a model takes, where that is not so many arrays."""
    try:
        # A torch module is called with whatever its forward takes.
        takes = inspect.signature(getattr(model, "forward", model))
    except ValueError:
        return None
    try:
        takes.bind(*range(count))
    except TypeError:
        return takes
    return None


def _floating(torch: Any, module: Any) -> Any:
    """A tensor whose dtype and device are those of the module."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor
    return torch.empty(0)


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    # Part by part: a user may hold some layers in eval mode while the rest trains.
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _real(name: str, answer: Any) -> Array:
    # A copy: a model may hand out what it keeps, or what it was given.
    return real_array(f"the {name} returned", answer, "return one array, one row a view").copy()
