"""A network of one's own on a graph: what the theorems see of it, and its numbers.

Trained here or read from a published checkpoint, it goes the same way:

    seen = as_trained(graph, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), target="normalised")
    found = on_graph(load_published("mae.safetensors"), seen)
    assert_holds(seen, found.outputs)
    found.numbers["L_MAE"]
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from maskgraph.empirical.data import patch_values
from maskgraph.empirical.measure import encoded, evaluate, invert_decoder, measure, measure_features, terms_of
from maskgraph.empirical.model import FeatureKind, MaskedModel
from maskgraph.empirical.objective import Target, normalise_patches
from maskgraph.empirical.published import Published
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import InputError, is_whole, kind_of, unknown
from maskgraph.theory.outputs import BY_HAND, Outputs, real_array, with_unit_features
from maskgraph.theory.terms import Terms


@dataclass(frozen=True)
class OnGraph:
    """A network on a graph.

    Attributes:
        outputs: what the theorems see, for `assert_holds` or `ledger`.
        numbers: losses, alignment, uniformity, collapse and ε by the names of docs/records.md; those of h are not there
            for an encoder that was published without its decoder.
        terms: what the theorems speak of, as far as it has been measured for the numbers.
    """

    outputs: Outputs
    numbers: dict[str, float | list[float]]
    terms: Terms


def as_trained(
    graph: MaskGraph,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    target: Target = "pixels",
) -> MaskGraph:
    """The graph with its patches and targets in the numbers that a network was trained on.

    Vertices, masses and classes stay: they are about codes. Losses are then in the unit that the network minimised.

    Args:
        graph: with patch values as `load_coded` has them, from 0 to 1 for images.
        mean: of the pixels, taken from them before the network sees them: one number, or one a channel.
        std: they are divided by it then, likewise.
        target: what the network was asked for: `pixels`, normalised as those that it sees; or `normalised`, each patch
            of those less its mean and over its standard deviation (`norm_pix_loss` of facebookresearch/mae).

    Raises:
        InputError: no mask graph, one without patch values, numbers that are not of its channels, a deviation that is
            not positive, an unknown target, or patches of one value that are to be normalised.
    """
    check_mask_graph(graph)
    codebook = patch_values(graph.images)
    if target not in get_args(Target):
        raise unknown("target", target, get_args(Target))
    if target == "normalised" and codebook.shape[1] < 2:
        raise InputError("patches of one value have no deviation to normalise by; expected target='pixels'")
    shift, scale = _by_value("mean", mean, codebook.shape[1]), _by_value("std", std, codebook.shape[1])
    if scale.min() <= 0:
        raise InputError(f"std {std}; expected positive numbers")
    values = (codebook - shift) / scale
    images = dataclasses.replace(graph.images, codebook=values)
    targets = normalise_patches(torch.as_tensor(values)).numpy() if target == "normalised" else None
    return dataclasses.replace(graph, images=images, targets=targets)


def on_graph(
    network: MaskedModel | Published,
    graph: MaskGraph,
    feature: FeatureKind = "cls",
    refined: int = 4096,
) -> OnGraph:
    """Run a network on every visible view of a graph, and measure it there.

    Args:
        network: a model of this project, such as `load_model(path).model`, or what `load_published` read.
        graph: of patches and targets as the network was trained on (see `as_trained`).
        feature: f of the theorems; `numbers` has cls and mean beside it.
        refined: for so many targets, those of largest mass, an inverse of the decoder is looked for by gradient steps,
            which take most of the time; the others keep the nearest output that the encoder gives.

    Raises:
        InputError: something else than a network, or one of other patches, images or targets than the graph's.
    """
    model = network.model if isinstance(network, Published) else network
    if not isinstance(model, MaskedModel):
        raise InputError(
            f"the network is {kind_of(model)}; expected a MaskedModel, such as load_model(path).model, or what "
            "load_published reads; an encoder of your own goes to assert_holds as it is, and of a masked autoencoder "
            f"{BY_HAND}"
        )
    check_mask_graph(graph)
    if not is_whole(refined) or refined < 0:
        raise InputError(f"refined {refined!r}; expected a number of targets, an integer from 0")
    kinds = [feature, *(kind for kind in model.features if kind != feature)]
    if isinstance(network, Published) and not network.decoder:
        features = encoded(model, graph, kinds)
        alone = Outputs(f=features[feature])
        return OnGraph(alone, measure_features(graph, features), Terms(graph, with_unit_features(alone)))
    answers = evaluate(model, graph, kinds)
    inverse = invert_decoder(model, graph, answers.h, refined=refined)
    terms = terms_of(graph, answers, inverse.outputs)
    numbers: dict[str, float | list[float]] = {
        "epsilon": inverse.epsilon,
        "epsilon_nearest": inverse.nearest,
        "epsilon_late_gain": inverse.late_gain,
        "epsilon_refined_mass": inverse.refined_mass,
        **measure(graph, answers, terms),
    }
    outputs = Outputs(answers.features[feature], answers.h, inverse.outputs, answers.collapsed)
    return OnGraph(outputs, numbers, terms[feature])


def _by_value(name: str, numbers: float | Sequence[float], values: int) -> NDArray[np.float64]:
    """(s,) what stands for each value of a patch, whose channels come last."""
    given = list(numbers) if isinstance(numbers, Sequence) else numbers
    channels = np.atleast_1d(real_array(f"{name} is", given, "give one number, or one a channel,"))
    # A patch is side² times channels: the three numbers of ImageNet divide 36 grey values, and are not of them.
    whole = channels.ndim == 1 and len(channels) > 0 and values % len(channels) == 0
    square = whole and (len(channels) == 1 or math.isqrt(values // len(channels)) ** 2 * len(channels) == values)
    if not square or not np.isfinite(channels).all():
        raise InputError(f"{name} {numbers} for patches of {values} values; expected one number, or one a channel")
    return np.tile(channels, values // len(channels))
