"""Try to break a statement: gradient search for the model on a small graph that leaves it the least slack.

The search only proposes; what it found is measured by the statement itself, in the numpy code that measures every other
model, and counts as a violation only if that says so. It needs gradients, and so torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskgraph.graphs.bipartite import MaskGraph, check_mask_graph
from maskgraph.graphs.errors import InputError, check_type
from maskgraph.graphs.seeds import check_seed
from maskgraph.theory import assumptions
from maskgraph.theory.check import Check
from maskgraph.theory.dimension import check_dim, check_positive
from maskgraph.theory.outputs import Outputs, check_sizes
from maskgraph.theory.small_worlds import MOST_VIEWS, SMALL_WORLDS
from maskgraph.theory.statement import Statement
from maskgraph.theory.terms import Terms
from maskgraph.theory.traced import SmallGraph, TracedTerms

Array = NDArray[np.float64]

LARGEST = 64
"""Most views on either side of a graph: the search is dense."""


@dataclass(frozen=True)
class Found:
    """The model of least slack that a search found.

    Attributes:
        check: the statement's own verdict on it; where assumptions were dropped, "assumption not met".
        outputs: the model.
        embedding: (N1, k) what stood in the place of the exact eigenvectors, where that assumption was dropped.
        tightness: the smaller side over the larger: 1 where the bound is attained, above 1 where it is broken,
            infinite where the larger one is then not even positive; NaN where it is not positive and nothing is broken.
    """

    check: Check
    outputs: Outputs
    embedding: Array | None
    tightness: float

    @property
    def broken(self) -> bool:
        """Whether the sides, or a step between them, stand the wrong way round, whatever the assumptions."""
        return self.check.slack < -self.check.tolerance or self.check.verdict == "violated"


def falsify(
    statement: Statement,
    graph: MaskGraph,
    dim: int = 2,
    *,
    dropped: Collection[str] = (),
    lipschitz: float | None = None,
    lam: float | None = None,
    starts: int = 12,
    steps: int = 500,
    seed: int = 0,
) -> Found:
    """Look for the model on a graph that leaves a statement the least slack, relative to its larger side.

    Assumptions hold by construction (unit norms by normalising, rank by a linear decoder, the least L by taking
    it), but those that are dropped. Starts are random, nearly constant, aligned with the graph and its targets.

    Args:
        statement: what to break.
        graph: small, with patch values.
        dim: k of the feature.
        dropped: names of needed assumptions that the model need not meet.
        lipschitz: search among models whose least L is this one alone, by scaling their outputs; None: among all.
        lam: the weight λ of uniformity; None: each λ > 0 where the statement is about any or λ >= 1/(4L) is dropped,
            else 1/(4L).
        starts: how many models are searched at once.
        steps: of Adam, its rate falling to zero.
        seed: of the random starts.

    Raises:
        InputError: no statement, no mask graph, one too large or without values, a dimension above its number of
            visible views, a name that is no needed assumption of the statement, or a seed out of range.
    """
    check_mask_graph(graph)
    check_type(statement, Statement, "find it by its number: statement(number) of maskgraph.theory.statements")
    check_seed(seed)
    needed = {one.name for one in statement.assumptions if one.needed}
    if unknown := set(dropped) - needed:
        raise InputError(f"{statement.number} does not need {sorted(unknown)}; it needs {sorted(needed) or 'nothing'}")
    if max(graph.M.shape) > LARGEST or graph.images.codebook is None:
        raise InputError(f"a graph of {graph.M.shape} views; expected at most {LARGEST} a side, with patch values")
    check_dim(dim, len(graph.p1))
    model = _Model(statement, graph, dim, frozenset(dropped), lipschitz, lam, starts, seed)
    best, kept = np.full(starts, np.inf), model.detached()
    optimiser = torch.optim.Adam(model.parameters, lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        slack = _relative_slack(statement, model.terms())
        better = slack.detach().numpy() < best
        best[better] = slack.detach().numpy()[better]
        for old, new in zip(kept, model.detached(), strict=True):
            old[better] = new[better]
        if not slack.requires_grad:
            break
        optimiser.zero_grad()
        torch.nan_to_num(slack, nan=0.0, posinf=0.0, neginf=0.0).sum().backward()
        for parameter in model.parameters:
            if parameter.grad is not None:
                torch.nan_to_num_(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0)
        optimiser.step()
        schedule.step()
    model.restore(kept)
    return _tightest(statement, graph, model)


def tightness(statement: Statement, dim: int, lipschitz: float, seed: int = 0) -> dict[str, Any]:
    """How near a search comes to breaking a statement on each of the small worlds, at λ = 1/(4L) where λ enters.

    What is said of any λ is searched at all others as well: there a model can only break it, as S2 is attained in the
    limit of a large λ, where it says no more than U.

    Args:
        statement: what to break.
        dim: k of the feature; on a world of fewer visible views their number.
        lipschitz: L of the models, where the statement knows an L: at L → 0 the weight 1/(4L) of uniformity would
            drown everything else.
        seed: of the search.

    Returns:
        {"statement", "worlds": {name: {"dim", "tightness", "lhs", "rhs", "verdict", "broken"}}}.

    Raises:
        InputError: a dimension that is not positive or above the views of every world, or an L that no bound takes.
    """
    check_positive(dim)
    if dim > MOST_VIEWS:
        raise InputError(
            f"dimension {dim}; expected at most {MOST_VIEWS}: the graphs that are searched have no more views, and "
            "features of so many span no more (see --dim)"
        )
    check_sizes(lipschitz)
    has_lipschitz = any(one.name == assumptions.LIPSCHITZ.name for one in statement.assumptions)
    worlds = {}
    for name, world in SMALL_WORLDS.items():
        graph = world.graph()
        k = min(dim, len(graph.p1))
        search = partial(falsify, statement, graph, k, lipschitz=lipschitz if has_lipschitz else None, seed=seed)
        found = search(lam=1 / (4 * lipschitz))
        if statement.any_lambda and (anywhere := search()).broken:
            found = anywhere
        check = found.check
        worlds[name] = {
            "dim": k,
            "tightness": found.tightness,
            "lhs": check.lhs,
            "rhs": check.rhs,
            "verdict": check.verdict,
            "broken": found.broken,
        }
    return {"statement": statement.number, "worlds": worlds}


def _relative_slack(statement: Statement, terms: TracedTerms) -> torch.Tensor:
    """(S,) slack over the larger side; far up where a side has no value."""
    lhs, rhs = (torch.as_tensor(side, dtype=torch.float64) for side in (statement.lhs(terms), statement.rhs(terms)))
    lhs, rhs = torch.broadcast_tensors(lhs, rhs)
    smallest = 1e-9 * (1 + terms.target_energy)
    if statement.sense == "=":
        slack = -(lhs - rhs).abs() / (lhs.abs() + rhs.abs() + smallest)
    elif statement.sense == ">=":
        slack = (lhs - rhs) / (lhs.abs() + smallest)
    else:
        slack = (rhs - lhs) / (rhs.abs() + smallest)
    return torch.as_tensor(slack).expand(terms.starts)


def _tightest(statement: Statement, graph: MaskGraph, model: _Model) -> Found:
    found = []
    for start in range(model.starts):
        outputs, embedding = model.outputs(start)
        check = statement.measure(Terms(graph, outputs, embedding=embedding))
        small, large = (check.rhs, check.lhs) if statement.sense == ">=" else (check.lhs, check.rhs)
        one = Found(check, outputs, embedding, small / large if large > 0 else math.nan)
        found.append(replace(one, tightness=math.inf) if one.broken and math.isnan(one.tightness) else one)
    broken = [one for one in found if one.broken]
    known = [one for one in broken or found if not math.isnan(one.tightness)]
    return max(known or found, key=lambda one: one.tightness)


class _Model:
    """`starts` models with parameters, and their terms with a gradient."""

    def __init__(
        self,
        statement: Statement,
        graph: MaskGraph,
        dim: int,
        dropped: frozenset[str],
        lipschitz: float | None,
        lam: float | None,
        starts: int,
        seed: int,
    ) -> None:
        self.small, self.starts, self.lipschitz, self.lam = SmallGraph(graph, dim), starts, lipschitz, lam
        asked = {one.name for one in statement.assumptions if one.needed} - dropped
        self.unit_f = assumptions.UNIT_F.name in asked
        self.unit_h = assumptions.UNIT_H.name in asked
        self.linear = assumptions.RANK.name in asked
        self.constant = not dropped & {assumptions.CONSTANT.name, assumptions.CONSTANT_GIVEN_MASK.name}
        self.claims_lipschitz = assumptions.LIPSCHITZ.name in dropped
        self.free_lambda = statement.any_lambda or assumptions.LARGE_LAMBDA.name in dropped
        self.claims_epsilon = assumptions.EPSILON.name in dropped
        self.embeds = assumptions.EIGENVECTORS.name in dropped
        views, targets, d = len(graph.p1), len(graph.p2), graph.X2.shape[1]
        rng = np.random.default_rng(seed)
        scale = np.sqrt(graph.p2 @ (graph.X2**2).sum(axis=1)) or 1.0
        best = np.asarray(graph.M @ graph.X2) / graph.p1[:, None]
        values, vectors = np.linalg.eigh(_dense(graph))
        rank = min(dim, views)
        spectral = vectors[:, ::-1][:, :rank] * np.sqrt(np.maximum(values[::-1][:rank], 0)) / np.sqrt(graph.p1)[:, None]
        noise = rng.standard_normal((starts, views, dim))
        f, h = noise.copy(), scale * rng.standard_normal((starts, views, d))
        f[1::4] = rng.standard_normal((dim,)) + 0.03 * noise[1::4]
        f[2::4] = np.pad(spectral, ((0, 0), (0, dim - rank))) + 0.01 * noise[2::4]
        h[::2] = best + 0.1 * h[::2]
        pseudo = graph.X2 + 0.3 * scale * rng.standard_normal((starts, targets, d))
        weights = rng.standard_normal((starts, dim, d))
        constant = graph.p2 @ graph.X2 + scale * rng.standard_normal((starts, 1, d))
        log_lambda = rng.standard_normal(starts)
        arrays = (f, h, pseudo, weights, constant, log_lambda)
        self.parameters = [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]

    def parts(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """f, h, h_g and the collapsed outputs, each (S, rows, columns)."""
        f, h, pseudo, weights, constant, _ = self.parameters
        if self.unit_f:
            f = f / f.norm(dim=2, keepdim=True)
        if self.linear:
            h = f @ weights
        if self.unit_h:
            h = h / h.norm(dim=2, keepdim=True)
        if self.lipschitz is not None:
            least = torch.as_tensor(TracedTerms(self.small, f, h, pseudo, h).L)
            h = h * (least / self.lipschitz).sqrt()[:, None, None]
        collapsed = constant.expand(-1, f.shape[1], -1) if self.constant else h
        return f, h, pseudo, collapsed

    def _claims(self) -> tuple[float | None, float | None, torch.Tensor | None]:
        weight = None if self.lam is None else torch.full((self.starts,), self.lam, dtype=torch.float64)
        if weight is None and self.free_lambda:
            weight = self.parameters[-1].exp()
        return 1.0 if self.claims_lipschitz else None, 0.0 if self.claims_epsilon else None, weight

    def terms(self) -> TracedTerms:
        """Everything, with a gradient."""
        lipschitz, epsilon, lam = self._claims()
        return TracedTerms(self.small, *self.parts(), lipschitz=lipschitz, epsilon=epsilon, lam=lam, embeds=self.embeds)

    def detached(self) -> list[torch.Tensor]:
        """A copy of the parameters."""
        return [parameter.detach().clone() for parameter in self.parameters]

    def restore(self, values: Sequence[torch.Tensor]) -> None:
        """Set the parameters."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)

    def outputs(self, start: int) -> tuple[Outputs, Array | None]:
        """One of the models, in numpy, and its embedding where the exact eigenvectors were dropped."""
        f, h, pseudo, collapsed = (part[start].detach().numpy().copy() for part in self.parts())
        lipschitz, epsilon, lam = self._claims()
        found = Outputs(
            f=f,
            h=h,
            pseudo=pseudo,
            collapsed=collapsed,
            epsilon=epsilon,
            lipschitz=lipschitz,
            lam=None if lam is None else float(lam.detach()[start]),
        )
        return found, f if self.embeds else None


def _dense(graph: MaskGraph) -> Array:
    B = graph.M.toarray() / np.sqrt(np.outer(graph.p1, graph.p2))
    return np.asarray(B @ B.T)
