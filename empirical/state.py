"""Everything of a training that changes from step to step, and the step.

Randomness is a function of (seed, epoch) and (seed, step) alone, and a batch is the same however many processes and
parts share it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.data import Batch, TrainingSet
from maskgraph.empirical.draws import Draw, Draws
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import build_model
from maskgraph.empirical.network import Network, error_share
from maskgraph.empirical.objective import Everyone, largest_ratio, uniformity_share
from maskgraph.empirical.placed import placed
from maskgraph.empirical.regularise import branch_factors
from maskgraph.empirical.shares import Part, cuts, own_parts, synchronised
from maskgraph.empirical.streams import Use

BETA1 = 0.9

LIPSCHITZ_EVERY, LIPSCHITZ_IMAGES = 25, 256
"""With lam auto: steps between two measurements of L, and the most images whose pairs it is measured on."""

LOOKED_AT = 32
"""Most images by whose outputs it is seen whether a model is still one."""

RECONSTRUCTION, UNIFORMITY, LAM = range(3)
"""Columns of the losses."""


class State:
    """A model, its optimiser, its losses so far, its memory queue and its λ.

    Attributes:
        model: what is trained.
        steps: how many there will be.
        step: how many were made.
        whole: whether the last step was made to its end.
        seconds: CPU seconds of this process that the steps took.
        losses: (steps, 3) float32: this process's share of reconstruction per target value and of uniformity, and lam.
    """

    def __init__(self, data: TrainingSet, config: TrainConfig, device: torch.device, group: Group) -> None:
        self.data, self.config, self.device, self.group = data, config, device, group
        self.model = build_model(config.model(data.grid, data.patch_dim), config.seed).to(device).train()
        self.alone = Network(self.model, config, device)
        self.network = group.parallel(self.alone)
        self.draws = Draws(data, config)
        self.optimiser = optimiser(dict(self.model.named_parameters()), matrices(self.model), config)
        self.steps, self.step = self.draws.steps, 0
        self.whole, self.seconds = True, 0.0
        self.losses = torch.zeros(self.steps, 3, device=device)
        self.lipschitz = torch.zeros((), device=device)
        fixed = config.lam if config.uniform and config.lam != "auto" else 0.0
        self._fixed = torch.tensor(fixed, device=device)
        self.queue, self.queue_weights = torch.empty(0, 0, device=device), torch.empty(0, device=device)
        self._next: tuple[int, Draw | None] = -1, None

    def advance(self) -> None:
        """One step."""
        start = time.process_time()
        config, draw = self.config, self._take()
        for group in self.optimiser.param_groups:
            group["lr"] = config.lr * schedule(self.step, self.steps, config.warmup, config.lr_drop)
        lam = self._lam(draw)
        self.optimiser.zero_grad(set_to_none=True)
        shares, everyone = self._backward(draw, lam)
        if config.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.whole = False
        self.optimiser.step()
        self.losses[self.step, :LAM] = shares
        if self.group.rank == 0:
            self.losses[self.step, LAM] = lam
        if config.queue:
            self.queue, self.queue_weights = everyone.z[: config.queue], everyone.weights[: config.queue]
        self.step += 1
        self.seconds += time.process_time() - start
        self.whole = True

    def said(self) -> tuple[Tensor, Tensor]:
        """What the model says of the first images of its last step by now (see `Network`)."""
        rows, kept, dropped, draws = self.draws.at(self.step - 1)
        # No more of them than a step runs at a time, and in every process the same.
        first = slice(min(LOOKED_AT, -(-len(rows) // (self.group.count * self.config.accumulate))))
        with torch.no_grad():
            found: tuple[Tensor, Tensor] = self.alone(
                self.data.batch(rows[first], kept[first], dropped[first], draws[first])
            )
        return found

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds, under the names that `load` looks for; the same on every process."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser, dict(self.model.named_parameters()))
        memory = {"queue": self.queue, "queue_weights": self.queue_weights} if self.config.queue else {}
        return {**tensors, **memory, "losses": self.total(), "lipschitz": self.lipschitz}

    def expected(self, step: int) -> dict[str, Tensor | None]:
        """What a checkpoint made after `step` steps holds, by name: tensors of its shapes and dtypes, None for any."""
        named = dict(self.model.named_parameters())
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        memory = dict.fromkeys(("queue", "queue_weights") if self.config.queue else ())
        own = {"losses": self.losses, "lipschitz": self.lipschitz}
        return {**tensors, **(expected_moments(named) if step else {}), **memory, **own}

    def load(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take up the tensors of a checkpoint made after `step` steps."""
        self.step = step
        # One process holds what all did so far: the shares add up to it.
        if self.group.rank == 0:
            self.losses.copy_(tensors["losses"])
        self.lipschitz = tensors["lipschitz"].to(self.device)
        if self.config.queue:
            self.queue, self.queue_weights = (tensors[name].to(self.device) for name in ("queue", "queue_weights"))
        self.model.load_state_dict(model_tensors(tensors))
        restore_optimiser(self.optimiser, dict(self.model.named_parameters()), tensors)

    def total(self) -> Tensor:
        """(steps, 3) losses of whole batches."""
        return self.group.sum(self.losses)

    def _take(self) -> Draw:
        """What this step draws, once what the next one needs is on its way."""
        known, draw = self._next
        if draw is None or known != self.step:
            draw = self.draws.at(self.step)
        if self.step + 1 < self.steps:
            following = self.draws.at(self.step + 1)
            self._next = self.step + 1, following
            for part in self._mine(len(following[0])):
                self.data.prepare(following[0][part.shown], following[3][part.shown])
        return draw

    def _mine(self, size: int) -> list[Part]:
        """The parts of a batch that this process runs."""
        return own_parts(size, self.group, self.config.accumulate)

    def _backward(self, draw: Draw, lam: Tensor) -> tuple[Tensor, Everyone]:
        """Gradients of the batch's loss; this process's shares of its two parts, and everyone's features."""
        config, size = self.config, len(draw[0])
        ends, mine = cuts(size, self.group.count), self._mine(size)
        branches = self._branches(size, mine)
        # One part's images at a time, but where all are run twice: to read and augment them again would cost more.
        batches: Iterable[Batch] = (self._batch(draw, part) for part in mine)
        everyone, found, shares = None, [], torch.zeros(2, device=self.device)
        weights: list[Tensor] = []
        if config.uniform and len(mine) > 1:
            batches = list(batches)
            # Features first, without gradient: a part's gradient hangs on the features of the others.
            with torch.no_grad():
                seen = [self.alone(batch, left)[1] for batch, left in zip(batches, branches, strict=True)]
                everyone = self._everyone(seen, [batch.weights for batch in batches], ends)
        for part, batch, left in zip(mine, batches, branches, strict=True):
            with synchronised(self.network, part is mine[-1]):
                with self.group.working():
                    reconstruction, z = self.network(batch, left)
                first = error_share(config, reconstruction, batch, size)
                loss, second = first, torch.zeros_like(first)
                if config.uniform:
                    everyone = everyone or self._everyone([z], [batch.weights], ends)
                    second = uniformity_share(z, batch.weights, part.shown, everyone)
                    loss = first + lam * second
                # Processes average their gradients; shares add up.
                with self.group.working():
                    (self.group.count * loss).backward()
            found.append(z.detach())
            weights.append(batch.weights)
            shares += torch.stack([first.detach(), second.detach()])
        if everyone is None:
            everyone = self._everyone(found, weights, ends)
            for z, weight, part in zip(found, weights, mine, strict=True):
                shares[UNIFORMITY] += uniformity_share(z, weight, part.shown, everyone)
        return shares, everyone

    def _batch(self, draw: Draw, part: Part) -> Batch:
        """A part of what a step draws."""
        rows, kept, dropped, draws = draw
        at = part.shown
        batch = self.data.batch(rows[at], kept[at], dropped[at], draws[at])
        return batch if part.count else replace(batch, weights=torch.zeros_like(batch.weights))

    def _branches(self, size: int, mine: list[Part]) -> list[Tensor | None]:
        """Which branches the images of each part go through in this step, drawn for the whole batch."""
        if not self.config.drop_path:
            return [None] * len(mine)
        rng = np.random.default_rng([self.config.seed, Use.BRANCHES, self.step])
        factors = branch_factors(rng, self.config.drop_path, self.model.config.depth, size)
        return [placed(factors[:, :, part.shown], self.device) for part in mine]

    def _everyone(self, found: list[Tensor], weighed: list[Tensor], ends: list[int]) -> Everyone:
        lengths = np.diff(ends).tolist()
        own = lengths[self.group.rank]
        z = self.group.gather(torch.cat(found)[:own], lengths)
        weights = self.group.gather(torch.cat(weighed)[:own], lengths)
        queued = len(self.queue) > 0
        return Everyone(
            torch.cat([z, self.queue]) if queued else z,
            torch.cat([weights, self.queue_weights]) if queued else weights,
            len(z),
            self.config.diagonal,
        )

    def _lam(self, draw: Draw) -> Tensor:
        """Weight of uniformity beside the loss per target value: λ of the theory over d."""
        if not self.config.uniform or self.config.lam != "auto":
            return self._fixed
        rows, kept, dropped, draws = draw
        if self.step % LIPSCHITZ_EVERY == 0:
            # One mask for all: the assumption is about outputs that answer at the same places.
            first = slice(min(len(rows), LIPSCHITZ_IMAGES))
            kept, dropped = (side[:1].repeat(first.stop, 0) for side in (kept, dropped))
            batch = self.data.batch(rows[first], kept, dropped, draws[first])
            with torch.no_grad():
                h, z = self.alone(batch)
            found = largest_ratio(z, h.flatten(1), batch.visible.flatten(1))
            # 0: no two views of the batch tell anything, as in one of a single image; what was known stays.
            self.lipschitz = torch.where(found > 0, found, self.lipschitz)
        d = dropped.shape[1] * self.data.patch_dim
        usable = (self.lipschitz > 0) & torch.isfinite(self.lipschitz)
        return torch.where(usable, 1 / (4 * d * self.lipschitz), 0.0)


def model_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's own of a checkpoint's tensors."""
    return {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}


def schedule(step: int, steps: int, warmup: float, drop: float = 0.0) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine to zero, or a tenth after a share `drop`."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    if drop:
        return 1.0 if step < drop * steps else 0.1
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def matrices(model: nn.Module) -> set[str]:
    """Names of the weights of linear layers: what weight decay is for."""
    return {name for name, p in model.named_parameters() if p.ndim == 2 and name.endswith("weight")}


def optimiser(
    named: Mapping[str, Tensor], decayed: Collection[str], config: TrainConfig, capturable: bool = False
) -> torch.optim.AdamW:
    """AdamW over parameters by name, with weight decay on some of them.

    Args:
        named: the parameters.
        decayed: names of those that decay.
        config: learning rate, decay and the second beta.
        capturable: whether its steps will be part of a CUDA graph.
    """
    groups = [
        {"params": [p for name, p in named.items() if name in decayed], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named.items() if name not in decayed], "weight_decay": 0.0},
    ]
    # A graph reads its learning rate where it lies.
    lr = torch.tensor(config.lr, device=next(iter(named.values())).device) if capturable else config.lr
    return torch.optim.AdamW(groups, lr=lr, betas=(BETA1, config.beta2), fused=True, capturable=capturable)


def optimiser_tensors(adamw: torch.optim.AdamW, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What an AdamW knows of parameters, under the names that `restore_optimiser` looks for."""
    return {
        f"optimiser.{key}.{name}": torch.as_tensor(value)
        for name, parameter in named.items()
        for key, value in adamw.state.get(parameter, {}).items()
    }


def expected_moments(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under the names and of the shapes of what `optimiser_tensors` gives once a step was made."""
    moments = {f"optimiser.{key}.{name}": p for name, p in named.items() for key in ("exp_avg", "exp_avg_sq")}
    return {**moments, **{f"optimiser.step.{name}": torch.zeros(()) for name in named}}


def restore_optimiser(adamw: torch.optim.AdamW, named: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Take up what `optimiser_tensors` gave."""
    for name, parameter in named.items():
        for key in ("step", "exp_avg", "exp_avg_sq"):
            if (stored := tensors.get(f"optimiser.{key}.{name}")) is not None:
                # The fused AdamW keeps the step count where the parameter is, the other one on the host.
                there = key != "step" or adamw.defaults["fused"]
                adamw.state[parameter][key] = stored.to(parameter.device) if there else stored
