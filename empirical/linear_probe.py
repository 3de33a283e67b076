"""Linear probes of frozen features: ridge in closed form, and batch-norm with LARS as published for MAE."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.placed import placed
from maskgraph.empirical.probes import Labelled, standardised
from maskgraph.empirical.state import schedule
from maskgraph.empirical.streams import Use
from maskgraph.empirical.typed import settle
from maskgraph.graphs.errors import InputError, check_type
from maskgraph.graphs.seeds import check_seed

REGULARISERS = tuple(float(10.0**power) for power in np.arange(-6, 2.5, 0.5))
"""Ridge regularisers that are tried, relative to the mean variance of a feature; the objective is the mean error."""

NORM_EPS = 1e-6
"""Of batch-norm in the published probe."""


@dataclass(frozen=True)
class Ridge:
    """A ridge regression onto one-hot classes, and how its regulariser was chosen.

    Attributes:
        predicted: (N,) int64, the class of each test image.
        regulariser: the chosen one of `REGULARISERS`.
        validation: accuracy on the validation images with it, before the refit.
    """

    predicted: NDArray[np.int64]
    regulariser: float
    validation: float


@dataclass(frozen=True)
class SgdProbe:
    """The linear probe of He et al. 2022, appendix A.1, but for its crops: features are frozen and computed once.

    Published for 1.28 million images in batches of 16,384 at 0.1 · 16,384/256 = 6.4, which are 78 steps an epoch. LARS
    moves a weight by a share of its own size, so that a set of fewer images needs as many steps of that size, not
    as large a batch: it is cut into 78 batches. Means and variances of a few features are noise, which the probe would
    learn: a set too small for that is cut into fewer batches, and passed over more often for as many steps.

    Attributes:
        epochs: passes over the features.
        batch: most features a step, `least` or more, which goes before it where both cannot be.
        steps: least steps an epoch.
        least: least features a step, 2 or more; all of them where there are fewer than twice as many.
        lr: peak learning rate.
        warmup: epochs in which it rises.
        momentum: of LARS.
        trust: LARS's trust coefficient.
        seed: of the initialisation and of the order.
    """

    epochs: int = 90
    batch: int = 16384
    steps: int = 78
    least: int = 16
    lr: float = 6.4
    warmup: int = 10
    momentum: float = 0.9
    trust: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        """See that it can be run."""
        settle(self)
        # Batch-norm makes 0 of one feature.
        for name, least in (("epochs", 1), ("batch", 2), ("steps", 1), ("least", 2), ("warmup", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} {getattr(self, name)} of a probe; expected at least {least}")
        if self.batch < self.least:
            raise InputError(
                f"batch {self.batch} of a probe whose batches are of {self.least} or more; expected a larger batch, or "
                "a smaller least"
            )
        for name in ("lr", "momentum", "trust"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} {getattr(self, name):g} of a probe; expected a number of at least 0")
        check_seed(self.seed)


def ridge_probe(train: Labelled, validation: Labelled, test: NDArray[np.float64]) -> Ridge:
    """Fit on training features, choose the regulariser on validation ones, refit on both, answer for test ones.

    Features are centred and scaled by what is fitted on. Ties between regularisers go to the larger.

    Args:
        train: features, classes and masses.
        validation: others.
        test: (N, D) features of images in neither.
    """
    classes = int(max(train.y.max(), validation.y.max())) + 1
    answers = _ridge(train, validation.x, classes)
    scores = [float(validation.weights[answer == validation.y].sum() / validation.weights.sum()) for answer in answers]
    best = max(range(len(scores)), key=lambda index: (scores[index], index))
    weights = np.concatenate([train.weights * len(train.x), validation.weights * len(validation.x)])
    both = Labelled(
        np.concatenate([train.x, validation.x]), np.concatenate([train.y, validation.y]), weights / weights.sum()
    )
    predicted = _ridge(both, test, classes, (REGULARISERS[best],))[0]
    return Ridge(predicted, REGULARISERS[best], scores[best])


def _ridge(
    fitted: Labelled, asked: NDArray[np.float64], classes: int, regularisers: Iterable[float] = REGULARISERS
) -> list[NDArray[np.int64]]:
    """The classes that ridge regressions give, one array a regulariser, all from one decomposition."""
    centred, asked = standardised(fitted, asked)
    root = np.sqrt(fitted.weights)[:, None]
    onehot = np.eye(classes)[fitted.y]
    prior = fitted.weights @ onehot
    # (XᵀPX + rI)⁻¹XᵀPY = V (s² + r)⁻¹ s Uᵀ P^½ Y for P^½X = U s Vᵀ, whichever of N and D is the smaller.
    U, s, Vt = np.linalg.svd(root * centred.x, full_matrices=False)
    right, left = U.T @ (root * (onehot - prior)), asked @ Vt.T
    return [
        np.asarray((left @ (right * (s / (s**2 + r))[:, None]) + prior).argmax(axis=1), dtype=np.int64)
        for r in regularisers
    ]


def sgd_probe(
    train: Labelled, test: NDArray[np.float64], how: SgdProbe, device: torch.device | None = None
) -> NDArray[np.int64]:
    """Batch-norm without affine and one linear layer, trained by LARS; the classes of the test features.

    Args:
        train: features and classes, each of one weight.
        test: (N, D).
        how: the recipe.
        device: where; the CPU when None.

    Raises:
        InputError: one feature in all, which batch-norm makes 0.
    """
    check_type(how, SgdProbe, "give SgdProbe(epochs=..., batch=...)")
    count = len(train.x)
    if count < 2:
        raise InputError(f"{count} feature under batch-norm, which makes 0 of it; expected at least 2")
    steps = max(-(-count // how.batch), how.steps)
    batches = min(steps, max(count // how.least, 1))
    x = torch.as_tensor(train.x, dtype=torch.float32, device=device)
    y = torch.as_tensor(train.y.astype(np.int64), device=device)
    linear = _linear(x.shape[1], int(train.y.max()) + 1, how.seed).to(x.device)
    optimiser = Lars(linear.parameters(), how.momentum, how.trust)
    steps, rising = steps * how.epochs, how.warmup / how.epochs if how.epochs > how.warmup else 0.0
    order = np.empty(0, dtype=np.int64)
    for step in range(steps):
        turn, index = divmod(step, batches)
        if index == 0:
            order = np.random.default_rng([how.seed, Use.PROBE_ORDER, turn]).permutation(count)
        rows = placed(order[count * index // batches : count * (index + 1) // batches], x.device)
        linear.zero_grad(set_to_none=True)
        normal = functional.batch_norm(x[rows], None, None, training=True, eps=NORM_EPS)
        functional.cross_entropy(linear(normal), y[rows]).backward()
        optimiser.step(how.lr * schedule(step, steps, rising))
    with torch.no_grad():
        asked = torch.as_tensor(test, dtype=torch.float32, device=x.device)
        # The statistics of all features, which running means over batches as large as published come near to.
        normal = functional.batch_norm(asked, x.mean(dim=0), x.var(dim=0), eps=NORM_EPS)
        return np.asarray(linear(normal).argmax(dim=1).cpu().numpy(), dtype=np.int64)


class Lars:
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, arXiv 1708.03888), without weight decay.

    The step of a matrix is scaled by trust·‖w‖/‖∇‖; that of a vector (a bias) is not, as in the probe of MAE.
    """

    def __init__(self, parameters: Iterable[Tensor], momentum: float, trust: float) -> None:
        self._parameters, self._momentum, self._trust = list(parameters), momentum, trust
        self._velocity = [torch.zeros_like(parameter) for parameter in self._parameters]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One step at a learning rate; v ← momentum·v + scaled gradient, w ← w − lr·v."""
        for parameter, velocity in zip(self._parameters, self._velocity, strict=True):
            gradient = parameter.grad
            assert gradient is not None
            if parameter.ndim > 1:
                size, slope = parameter.norm(), gradient.norm()
                gradient = gradient * torch.where((size > 0) & (slope > 0), self._trust * size / slope, 1.0)
            velocity.mul_(self._momentum).add_(gradient)
            parameter.sub_(lr * velocity)


def _linear(dim: int, classes: int, seed: int) -> nn.Linear:
    linear = nn.Linear(dim, classes)
    nn.init.normal_(linear.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(linear.bias)
    return linear
