"""A trained model on the graph of the bound: every quantity over the whole support and weighted by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskgraph.empirical import collapse
from maskgraph.empirical.data import patch_values
from maskgraph.empirical.model import FeatureKind, MaskedModel, check_feature
from maskgraph.graphs.augmentation import AugmentationGraph, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph, visible_views
from maskgraph.graphs.errors import InputError, kind_of
from maskgraph.theory import losses
from maskgraph.theory.outputs import Outputs, nearest_views, real_array, with_unit_features
from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.degrees import column_lengths
from maskgraph.theory.terms import Terms

BATCH = 2048
"""Most views that a network is run on at once."""

VALUES = 2**25
"""Most numbers that one layer makes of them, so that a large network fits in memory too."""


@dataclass(frozen=True)
class GraphOutputs:
    """What a model answers at every visible view of a graph, float64.

    Attributes:
        h: (N1, d) reconstruction of the target.
        features: for each kind that was asked for, the (N1, D) unnormalised feature.
        collapsed: (N1, d) reconstruction when every encoder answer is replaced by their mean: a constant encoder.
    """

    h: NDArray[np.float64]
    features: dict[FeatureKind, NDArray[np.float64]]
    collapsed: NDArray[np.float64]


def evaluate(model: MaskedModel, graph: MaskGraph, kinds: Sequence[FeatureKind] = ("cls", "mean")) -> GraphOutputs:
    """Run the model on all N1 visible views of the graph.

    The views are made of the graph's patch values, with the positions that its view identity lets a model know.

    Raises:
        InputError: see `check_fits`.
    """
    check_fits(model, graph, kinds)
    views = len(graph.p1)
    parts: list[tuple[torch.Tensor, ...]] = []
    mean: torch.Tensor | float = 0.0
    with torch.no_grad():
        for rows in _batches(model, np.arange(views)):
            patches, positions, slots = _batch(model, graph, rows)
            tokens = model.encode(patches, positions, slots)
            mass = torch.as_tensor(graph.p1[rows], dtype=tokens.dtype, device=tokens.device)
            mean = mean + torch.einsum("b,btd->td", mass, tokens)
            h = model.decode(tokens, positions, slots)
            parts.append((h.flatten(1), *(model.feature(tokens, kind) for kind in kinds)))
        # With the tokens constant the output depends on the positions alone: once a mask is enough.
        mask = np.unique(graph.representatives1[1], return_inverse=True)[1]
        _, first = np.unique(mask, return_index=True)
        assert isinstance(mean, torch.Tensor)
        constant = []
        for rows in _batches(model, first):
            _, positions, slots = _batch(model, graph, rows)
            constant.append(_numpy(model.decode(mean.expand(len(rows), -1, -1), positions, slots).flatten(1)))
    arrays = [_numpy(torch.cat(part)) for part in zip(*parts, strict=True)]
    return GraphOutputs(arrays[0], dict(zip(kinds, arrays[1:], strict=True)), np.concatenate(constant)[mask])


def encoded(
    model: MaskedModel, graph: MaskGraph, kinds: Sequence[FeatureKind] = ("cls", "mean")
) -> dict[FeatureKind, NDArray[np.float64]]:
    """The features alone, (N1, D) each, of a model whose decoder is not to be asked; else see `evaluate`."""
    check_fits(model, graph, kinds)
    parts = []
    with torch.no_grad():
        for rows in _batches(model, np.arange(len(graph.p1))):
            tokens = model.encode(*_batch(model, graph, rows))
            parts.append([_numpy(model.feature(tokens, kind)) for kind in kinds])
    return dict(zip(kinds, (np.concatenate(part) for part in zip(*parts, strict=True)), strict=True))


def check_fits(model: MaskedModel, graph: MaskGraph, kinds: Sequence[FeatureKind] = ()) -> None:
    """Refuse a model that is of other patches, images or targets than a graph's, or lacks a feature.

    Raises:
        InputError: naming what differs; a graph without patch values.
    """
    images, config = graph.images, model.config
    values, asked = patch_values(images).shape[1], graph.target_values.shape[1]
    if values != config.patch_dim:
        raise InputError(
            f"{images.name} has patches of {values} values and the network takes {config.patch_dim}, side² times "
            "channels; load images of its channels in patches of its side (see --patch)"
        )
    # Codes without a plane are one row.
    if images.patches != config.grid[0] * config.grid[1] or images.grid not in (config.grid, (1, images.patches)):
        raise InputError(
            f"{images.name} has {images.grid[0]}x{images.grid[1]} patches an image and the network is of "
            f"{config.grid[0]}x{config.grid[1]}; load images at the size that it was trained on"
        )
    if asked != config.patch_dim:
        raise InputError(f"the targets are of {asked} values a patch and the network gives {config.patch_dim}")
    for kind in kinds:
        check_feature(kind)
        if kind not in (*model.features, "tokens"):
            raise InputError(f"the network has no {kind}; expected one of {', '.join((*model.features, 'tokens'))}")


@dataclass(frozen=True)
class Inversion:
    """A pseudo-inverse encoder that was found, and how hard it was looked for.

    Attributes:
        outputs: (N2, d) float64, h_g at each target.
        epsilon: E‖h_g(x2) − x2‖², the ε of Assumption 3.1 that it certifies: an upper bound of the least one.
        nearest: the ε of the start, the nearest output that the encoder gives.
        late_gain: what the second half of the steps took off ε: far from 0, more steps would take off more.
        refined_mass: share of the target mass that was refined at all.
    """

    outputs: NDArray[np.float64]
    epsilon: float
    nearest: float
    late_gain: float
    refined_mass: float


def invert_decoder(
    model: MaskedModel, graph: MaskGraph, h: NDArray[np.float64], steps: int = 10, refined: int = 4096
) -> Inversion:
    """Look for the pseudo-inverse encoder f_g of Assumption 3.1.

    f_g(x2) starts as the encoder's tokens at the view, among those that x2 occurs with, whose output comes
    nearest; for the `refined` targets of largest mass, `steps` steps of Adam on those tokens follow, and the best
    that was seen counts. More targets and more steps can only lower ε.

    Args:
        model: its decoder is g.
        graph: the graph with the targets x2.
        h: (N1, d) the model's outputs.
        steps: of Adam.
        refined: how many targets are refined.
    """
    view, distance = nearest_views(graph, h)
    best, nearest = h[view], float(graph.p2 @ distance)
    heaviest = np.argsort(-graph.p2, kind="stable")[:refined]
    late_gain = 0.0
    # Every block of the decoder keeps what its gradient needs.
    for targets in _batches(model, heaviest, model.config.decoder_depth):
        late_gain += _refine(model, graph, view[targets], targets, steps, best, distance)
    epsilon = float(graph.p2 @ ((best - graph.X2) ** 2).sum(axis=1))
    return Inversion(best, epsilon, nearest, late_gain, float(graph.p2[heaviest].sum()))


def _refine(
    model: MaskedModel,
    graph: MaskGraph,
    views: NDArray[np.int64],
    targets: NDArray[np.int64],
    steps: int,
    best: NDArray[np.float64],
    distance: NDArray[np.float64],
) -> float:
    """Take steps from the tokens at `views` and keep the best in `best` and `distance`; what the late steps gained."""
    device = next(model.parameters()).device
    patches, positions, slots = _batch(model, graph, views)
    goal = torch.as_tensor(graph.X2[targets], dtype=torch.float32, device=device)
    with torch.no_grad():
        tokens = model.encode(patches, positions, slots)
    tokens = tokens.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([tokens], lr=0.05)
    halfway = 0.0
    for step in range(steps + 1):
        outputs = model.decode(tokens, positions, slots).flatten(1)
        found = _numpy(outputs.detach())
        error = ((found - graph.X2[targets]) ** 2).sum(axis=1)
        better = error < distance[targets]
        best[targets[better]], distance[targets[better]] = found[better], error[better]
        if step == steps // 2:
            halfway = float(graph.p2[targets] @ distance[targets])
        if step == steps:
            break
        optimiser.zero_grad()
        (outputs - goal).square().sum().backward()
        optimiser.step()
    return halfway - float(graph.p2[targets] @ distance[targets])


def terms_of(
    graph: MaskGraph, outputs: GraphOutputs, pseudo: NDArray[np.float64] | None = None
) -> dict[FeatureKind, Terms]:
    """What the theorems speak of, by the feature that they are asked of.

    Args:
        graph: the mask graph.
        outputs: of the model at its views.
        pseudo: (N2, d) h_g at its targets (see `Outputs`).
    """
    seen = {kind: Outputs(f, outputs.h, pseudo, outputs.collapsed) for kind, f in outputs.features.items()}
    return {kind: Terms(graph, with_unit_features(one)) for kind, one in seen.items()}


def measure(
    graph: MaskGraph, outputs: GraphOutputs, terms: Mapping[FeatureKind, Terms] | None = None
) -> dict[str, float | list[float]]:
    """Losses, alignment, collapse and Lipschitz constants on the target hop of the graph.

    Args:
        graph: the mask graph.
        outputs: of the model at its views.
        terms: of these outputs, where statements are held to them, too: what both ask for is measured once. What is
            asked of h is kept by the first.

    Returns:
        Losses of h under plain names; quantities of a feature f, normalised to unit norm, under `cls.`, `mean.`
        and whatever else was evaluated.
        See docs/records.md for each name.
    """
    terms = terms_of(graph, outputs) if terms is None else terms
    h = outputs.h
    first = next(iter(terms.values()), None) or Terms(graph, Outputs(h=h, collapsed=outputs.collapsed))
    result: dict[str, float | list[float]] = {
        "L_MAE": first.mae,
        "L_MAE_collapsed": first.mae_collapsed,
        "L_align_h": first.align_h,
        "energy_h": first.energy_h,
        "variance_h": losses.variance(graph, h),
        "pair_distance_h": first.pair_h,
        "norm_h": [float(value) for value in np.quantile(np.linalg.norm(h, axis=1), (0, 0.5, 1))],
        "bayes_risk": first.floors.bayes_risk,
        "target_variance": first.floors.target_variance,
        "target_variance_given_mask": first.floors.target_variance_given_mask,
    }
    # A mean of so many outputs is off by that many ulp, and distances from it by their square.
    rounding = 2 * ((column_lengths(first.A.joint).max() + 2) * EPS) ** 2 * first.energy_h
    for kind, own in terms.items():
        f = outputs.features[kind]
        found = {
            **_feature_quantities(first.A, losses.normalise(f), collapse.told_apart(f)),
            "lipschitz": own.lipschitz,
            "lipschitz_two_sided": own.two_sided,
            "lipschitz_mean": 2 * own.half_pair_f / first.pair_h if first.pair_h > rounding else float("inf"),
        }
        result |= {f"{kind}.{name}": value for name, value in found.items()}
    return result


def measure_features(
    graph: MaskGraph, features: Mapping[str, Any] | Mapping[FeatureKind, Any]
) -> dict[str, float | list[float]]:
    """Of `measure`, what needs no reconstruction: alignment, uniformity and collapse of features of any encoder.

    Args:
        graph: the mask graph.
        features: (N1, D) real numbers, arrays, lists or tensors, by a name such as `cls`, which the quantities bear.

    Raises:
        InputError: no mask graph, features without names, or such as are no finite array of a row a view, or that
            have a norm of zero.
    """
    check_mask_graph(graph)
    if not isinstance(features, Mapping):
        raise InputError(f'the features are {kind_of(features)}; expected a dict of them by name, such as {{"cls": f}}')
    A = augmentation_graph(graph)
    found: dict[str, float | list[float]] = {}
    for kind, given in features.items():
        f = real_array(f"{kind} is", given, "give one array, one row a view")
        f = losses.on_views(str(kind), f, len(graph.p1))
        measured = _feature_quantities(A, losses.normalise(f), collapse.told_apart(f))
        found |= {f"{kind}.{name}": value for name, value in measured.items()}
    return found


def _feature_quantities(A: AugmentationGraph, f: NDArray[np.float64], same: float) -> dict[str, float | list[float]]:
    graph = A.graph
    F = f * np.sqrt(graph.p1)[:, None]
    singular, shares = losses.singular_values(F), collapse.variance_shares(f, graph.ids1, graph.images.weights, same)
    align, unif = losses.align_loss(A, f), losses.unif_loss(graph, f)
    return {
        "L_align": align,
        "L_unif": unif,
        "L_SCL": 2 * align + unif,
        "variance": losses.variance(graph, f),
        "rankme": collapse.rankme(singular),
        "participation_ratio": collapse.participation_ratio(singular),
        "singular_values": singular.tolist(),
        "share_image": shares.image,
        "share_mask": shares.mask,
        "share_interaction": shares.interaction,
    }


def _batches(model: MaskedModel, rows: NDArray[np.int64], layers: int = 1) -> Iterator[NDArray[np.int64]]:
    """Rows in batches, of fewer where the model is larger.

    Args:
        model: what they are for.
        rows: all of them.
        layers: whose values are kept at a time.
    """
    config = model.config
    size = config.grid[0] * config.grid[1] * max(config.dim, config.decoder_dim) * layers
    step = max(1, min(BATCH, VALUES // size))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _batch(
    model: MaskedModel, graph: MaskGraph, rows: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patch values, positions and target positions of the visible views `rows`."""
    parameter = next(model.parameters())
    patches, positions, slots = visible_views(graph, rows)
    return (
        torch.as_tensor(patches, dtype=parameter.dtype, device=parameter.device),
        torch.as_tensor(positions, device=parameter.device),
        torch.as_tensor(slots, device=parameter.device),
    )


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    # numpy has no bfloat16.
    return tensor.cpu().double().numpy()
