"""Everything the theory says of one graph: the per-ratio object of `maskgraph bound --json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from maskgraph.graphs.augmentation import Hop, augmentation_graph
from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import check_type
from maskgraph.graphs.masks import check_ratio_of
from maskgraph.graphs.memory import check_share
from maskgraph.theory import bounds, labels, risk
from maskgraph.theory.dimension import check_dim
from maskgraph.theory.outputs import check_sizes
from maskgraph.theory.solver.engine import Engine
from maskgraph.theory.solver.host import HOST
from maskgraph.theory.spectrum import Told, spectrum
from maskgraph.theory.unseen import Unseen, unseen

ENTRY, VIEW = 40, 56
"""Bytes that an answer takes beside its graph, at most, for a pair of M and for a view of either side. Measured: 144 a
pair where all views differ, 39 where there are 100 pairs a view. A Krylov basis is looked at by its solver."""


@dataclass(frozen=True)
class Constants:
    """What enters the bounds beside the graph.

    Attributes:
        lipschitz: L > 0 on squared distances.
        lam: λ > 0; None means 1/(4L), the one of Thm 4.2.
        epsilon: ε >= 0 of Assumption 3.1.

    Raises:
        InputError: a constant out of its range, or so far from 1 (`LARGEST`) that a bound would be no double.
    """

    lipschitz: float = 1.0
    lam: float | None = None
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self.lipschitz, self.lam, self.epsilon)
        for name in ("lipschitz", "lam", "epsilon"):
            if (value := getattr(self, name)) is not None:
                # A number of numpy in single precision would have the bounds in single precision, and no JSON.
                object.__setattr__(self, name, float(value))


class Bounds(TypedDict):
    """The bounds on L_U-MAE; `thm_4_2` is None where λ is not its 1/(4L)."""

    thm_4_2: float | None
    thm_4_2_any_lambda: float
    water_filling: float


class Bootstrap(TypedDict):
    """Basic bootstrap intervals over images (`bootstrap`).

    `resamples`: how many. `level`: the nominal coverage. `intervals`: [low, high] by the name of the number here and in
    `bounds`.
    """

    resamples: int
    level: float
    intervals: dict[str, list[float]]


class Draws(TypedDict):
    """The same from other seeds (`draws`).

    `seeds`: which; the first is that of the answer. `drawn`: what differs between them. `numbers`: one a seed, by the
    name of the number here and in `bounds`; of K dimensions, or of N1 where a draw has fewer visible views.
    """

    seeds: list[int]
    drawn: list[str]
    numbers: dict[str, list[float]]


RatioAnswer = TypedDict(
    "RatioAnswer",
    {
        "mask_ratio": float,
        "dim": int,
        "patches": int,
        "kept": int,
        "masks": int,
        "masks_total": int,
        "exhaustive": bool,
        "vertices": list[int],
        "edges": int,
        "components": int,
        "eigenvalues": list[float],
        "frobenius_sq": float,
        "head_sq": float,
        "head_sq_interval": list[float],
        "tail_sq": float,
        "tail_sq_interval": list[float],
        "alpha": float,
        "alpha_target": float,
        "phi": float,
        "thm_4_1_least": float,
        "alpha_most": float,
        "intra": float,
        "inter": float,
        "unseen": Unseen,
        "lipschitz": float,
        "lambda": float,
        "epsilon": float,
        "bounds": Bounds,
        "bayes_risk": float | None,
        "target_variance": float | None,
        "rank_floor": float | None,
        "bootstrap": NotRequired[Bootstrap],
        "draws": NotRequired[Draws],
    },
)


def answer(
    graph: MaskGraph,
    mask_ratio: float,
    dim: int,
    hop: Hop = "target",
    constants: Constants | None = None,
    seed: int = 0,
    tell: Told | None = None,
    engine: Engine = HOST,
) -> RatioAnswer:
    """Spectrum, labels, bounds and risks of one mask graph.

        >>> from maskgraph.graphs.synthetic import joint_graph
        >>> found = answer(joint_graph([[3, 1], [1, 3]]), mask_ratio=0.5, dim=2)
        >>> round(found["bounds"]["thm_4_2"], 12), found["components"]
        (0.234375, 1)

    Args:
        graph: the mask graph at this ratio.
        mask_ratio: ρ that the graph's masks were made at, repeated in the answer.
        dim: K, the dimension of the encoder's feature.
        hop: which positive pairs A, φ, intra and inter are over. The bounds are evaluated on that A; only for
            `target` do they bound L_U-MAE, for `image` they bound the same expression in that hop's alignment.
        constants: L, λ and ε of the bounds.
        seed: of the iterative solver.
        tell: told of the components before any solve.
        engine: where large components are solved.

    Raises:
        InputError: no mask graph, no Constants, a ratio that keeps another number of patches than the graph's masks, K
            beyond N1, or more views and pairs than fit into memory.
    """
    check_mask_graph(graph)
    check_ratio_of(graph.masks, graph.images.grid, mask_ratio)
    constants = Constants() if constants is None else constants
    check_type(constants, Constants, "give Constants(lipschitz, lam, epsilon)")
    check_dim(dim, len(graph.p1))
    views, edges = len(graph.p1) + len(graph.p2), len(graph.images.codes) * len(graph.masks.kept)
    check_share(
        ENTRY * graph.M.nnz + VIEW * views,
        f"the analysis of {views:.2g} views and {graph.M.nnz:.2g} pairs",
        most=(ENTRY + 2 * VIEW) * edges,
    )
    A = augmentation_graph(graph, hop)
    found = spectrum(A, dim, seed, engine, tell)
    # A floor of the loss is stated at its safe end: it falls with every eigenvalue.
    most = found.head_sq_interval[1]
    mass, alpha, phi = labels.edge_mass(A), labels.alpha(graph), labels.phi(A)
    L, epsilon = constants.lipschitz, constants.epsilon
    lam = 1 / (4 * L) if constants.lam is None else constants.lam
    floors = risk.Floors(graph) if graph.images.codebook is not None else None
    return {
        "mask_ratio": float(mask_ratio),
        "dim": int(dim),
        "patches": graph.images.patches,
        "kept": int(graph.masks.kept.shape[1]),
        "masks": len(graph.masks.kept),
        "masks_total": graph.masks.total,
        "exhaustive": graph.masks.exhaustive,
        "vertices": [len(graph.p1), len(graph.p2)],
        "edges": int(graph.M.nnz),
        "components": found.components,
        "eigenvalues": [float(value) for value in found.values],
        "frobenius_sq": found.frobenius_sq,
        "head_sq": found.head_sq,
        "head_sq_interval": list(found.head_sq_interval),
        "tail_sq": found.tail_sq,
        "tail_sq_interval": list(found.tail_sq_interval),
        "alpha": alpha,
        "alpha_target": labels.alpha_target(graph),
        "phi": phi,
        "alpha_most": labels.prior_error(graph),
        # L_SCL(f) + ‖A‖_F² = ‖A − FFᵀ‖_F² is at least what A has beyond its K largest eigenvalues (Eckart and Young).
        "thm_4_1_least": bounds.thm_4_1(alpha, phi, labels.p_max(graph), found.tail_sq_interval[0], 0.0),
        "intra": mass.intra,
        "inter": mass.inter,
        "unseen": unseen(graph),
        "lipschitz": L,
        "lambda": lam,
        "epsilon": epsilon,
        "bounds": {
            "thm_4_2": bounds.thm_4_2(most, L, epsilon) if bounds.is_printed_lambda(lam, L) else None,
            "thm_4_2_any_lambda": bounds.thm_4_2_any_lambda(most, L, lam, epsilon),
            "water_filling": bounds.water_filling(np.minimum(found.values + found.value_error, 1), L, lam),
        },
        "bayes_risk": floors.bayes_risk if floors else None,
        "target_variance": floors.target_variance if floors else None,
        "rank_floor": floors.rank_floor(dim) if floors else None,
    }
