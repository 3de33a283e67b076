"""Many small models trained at once, on one more leading axis of every parameter.

A step of a small model is bound by launches and by Python, not by arithmetic; a stack of M makes them once for all.
Each model draws what it draws alone and ends where it ends alone, but for the rounding of products made together.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from maskgraph.empirical.config import TrainConfig
from maskgraph.empirical.data import Batch, TrainingSet
from maskgraph.empirical.group import Group
from maskgraph.empirical.network import Network, error_share
from maskgraph.empirical.objective import Everyone, uniformity_share
from maskgraph.empirical.stacked import own_tokens, stack_models
from maskgraph.empirical.state import (
    LAM,
    State,
    expected_moments,
    matrices,
    optimiser,
    optimiser_tensors,
    restore_optimiser,
    schedule,
)
from maskgraph.graphs.errors import InputError

OWN = ("method", "seed", "lam")
"""Fields of a TrainConfig that may differ within a stack."""

SHARED = tuple(field.name for field in dataclasses.fields(TrainConfig) if field.name not in OWN)

WARM = 3
"""Steps that run on a side stream before the CUDA graph of a size of batches is captured: libraries allocate their
workspaces there."""

FIELDS = tuple(field.name for field in dataclasses.fields(Batch))


def check_stack(configs: Sequence[TrainConfig]) -> None:
    """Raise InputError naming what keeps configurations from being trained as one stack."""
    if not configs:
        raise InputError("a stack of no models; expected the TrainConfig of at least one")
    first = configs[0]
    for config in configs:
        if config.family != first.family:
            raise InputError(f"a stack of {first.method} and {config.method}; expected one architecture: stack 1")
        differing = [name for name in SHARED if getattr(config, name) != getattr(first, name)]
        if differing:
            raise InputError(f"a stack of models that differ in {differing[0]}; expected only {', '.join(OWN)} to")
    alone = (("queue", 0), ("accumulate", 1), ("clip", 0), ("drop_path", 0), ("layer_scale", 0))
    for name, usual in (*alone, ("relative_positions", False)):
        if getattr(first, name) != usual:
            raise InputError(f"{name} {getattr(first, name)} in a stack; models with it are trained alone: stack 1")
    if any(config.lam == "auto" for config in configs):
        raise InputError("lam auto in a stack; models whose L is measured are trained alone: stack 1")


def stacks(configs: Sequence[TrainConfig], most: int) -> list[list[TrainConfig]]:
    """Models in their order, those that can be trained together in stacks of at most so many.

    Args:
        configs: of all models.
        most: M.
    """
    groups: dict[str, list[TrainConfig]] = {}
    for config in configs:
        alike = dataclasses.replace(config, method=config.family, seed=0, lam=0.0)
        groups.setdefault(repr(alike), []).append(config)
    return [group[start : start + most] for group in groups.values() for start in range(0, len(group), most)]


class Stack:
    """M models, their optimiser and their losses so far.

    Attributes:
        states: M, each what `train` makes of a configuration alone; `unstack` brings them up to date.
        steps: how many steps there will be.
        step: how many were made.
        whole: whether the last step was made to its end.
        seconds: CPU seconds that they took.
        losses: (M, steps, 3) float32, as `State.losses`.
    """

    def __init__(self, data: TrainingSet, configs: Sequence[TrainConfig], device: torch.device) -> None:
        """Initialise every model as it is alone.

        Raises:
            InputError: see `check_stack`.
        """
        check_stack(configs)
        self.states = [State(data, config, device, Group()) for config in configs]
        self._data, self._config, self._device = data, configs[0], device
        # A seed draws once.
        own = {state.config.seed: state.draws for state in self.states}
        self._draws = list(own.values())
        self._whose = torch.tensor([list(own).index(state.config.seed) for state in self.states], device=device)
        stacked = stack_models([state.model for state in self.states])
        self._network = Network(stacked, configs[0], device)
        self.parameters = dict(self._network.named_parameters())
        decayed = {f"model.{name}" for name in matrices(self.states[0].model)}
        self._optimiser = optimiser(self.parameters, decayed, configs[0], capturable=device.type == "cuda")
        self.steps, self.step, self.seconds = self.states[0].steps, 0, 0.0
        self.whole = True
        self._warm: dict[int, int] = {}
        self.losses = torch.zeros(len(configs), self.steps, 3, device=device)
        lam = [float(config.lam) if config.uniform else 0.0 for config in configs]
        self._lam = torch.tensor(lam, device=device)
        self._graphs: dict[int, tuple[Any, Batch, Tensor]] = {}
        self._side: Any = None

    def advance(self) -> None:
        """One step of every model."""
        start = time.process_time()
        rate = self._config.lr * schedule(self.step, self.steps, self._config.warmup, self._config.lr_drop)
        for group in self._optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        batch = self._drawn()
        self.losses[:, self.step, :LAM] = self._captured(batch) if self._device.type == "cuda" else self._made(batch)
        self.losses[:, self.step, LAM] = self._lam
        self.step += 1
        self.whole = True
        self.seconds += time.process_time() - start

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint of the whole stack holds, under the names that `load` looks for."""
        found = {f"parameters.{name}": value for name, value in self.parameters.items()}
        return {**found, **optimiser_tensors(self._optimiser, self.parameters), "losses": self.losses}

    def expected(self, step: int) -> dict[str, Tensor]:
        """What a checkpoint made after `step` steps holds, by name: tensors of its shapes and dtypes."""
        tensors = {f"parameters.{name}": value for name, value in self.parameters.items()}
        return {**tensors, **(expected_moments(self.parameters) if step else {}), "losses": self.losses}

    def load(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take up the tensors of a checkpoint made after `step` steps."""
        self.step = step
        self.losses.copy_(tensors["losses"])
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(tensors[f"parameters.{name}"])
        restore_optimiser(self._optimiser, self.parameters, tensors)

    def unstack(self) -> list[State]:
        """The states, each with its own parameters, optimiser and losses."""
        for index, state in enumerate(self.states):
            own = {}
            for name, value in self.parameters.items():
                own[name] = value[index].detach().clone()
                for key, kept in self._optimiser.state.get(value, {}).items():
                    # One count of steps for all; moments have the leading axis.
                    part = kept if key == "step" else kept[index]
                    own[f"optimiser.{key}.{name.removeprefix('model.')}"] = part.clone()
            state.load({**own, "losses": self.losses[index], "lipschitz": torch.zeros(())}, self.step)
            state.seconds = self.seconds / len(self.states)
        return self.states

    def _drawn(self) -> Batch:
        """The batches of all models, one after the other; those with one seed share theirs."""
        drawn = zip(*(draws.at(self.step) for draws in self._draws), strict=True)
        batch = self._data.batch(*(np.concatenate(part) for part in drawn))
        if len(self._draws) == len(self.states):
            return batch
        parts = (getattr(batch, name).unflatten(0, (len(self._draws), -1)) for name in FIELDS)
        return Batch(*(part[self._whose].flatten(0, 1) for part in parts))

    def _loss(self, lam: Tensor, reconstruction: Tensor, z: Tensor, *fields: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of one model, and its two parts."""
        batch = Batch(*fields)
        size = len(batch.weights)
        first = error_share(self._config, reconstruction, batch, size)
        everyone = Everyone(z.detach(), batch.weights, size, self._config.diagonal)
        second = uniformity_share(z, batch.weights, slice(0, size), everyone)
        return first + lam * second, torch.stack([first.detach(), second.detach()])

    def _made(self, batch: Batch) -> Tensor:
        """Make a step; (M, 2) reconstruction and uniformity before it."""
        self._optimiser.zero_grad(set_to_none=True)
        size = len(batch.weights) // len(self.states)
        tokens = {f"model.{name}": value for name, value in own_tokens(self._network.model, size).items()}
        outputs = functional_call(self._network, tokens, (batch,))
        fields = (getattr(batch, name) for name in FIELDS)
        total, parts = vmap(self._loss)(self._lam, *(part.unflatten(0, (-1, size)) for part in (*outputs, *fields)))
        total.sum().backward()
        self.whole = False
        self._optimiser.step()
        return parts

    def _captured(self, batch: Batch) -> Tensor:
        """The same as one launch of a CUDA graph, captured for each size of a batch."""
        size = len(batch.weights)
        # Another size may take other kernels, which are loaded, and chosen among, when they first run.
        if (warm := self._warm.get(size, 0)) < WARM:
            self._warm[size] = warm + 1
            return self._aside(batch)
        if size not in self._graphs:
            still, graph = Batch(*(getattr(batch, name).clone() for name in FIELDS)), torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                parts = self._made(still)
            self._graphs[size] = graph, still, parts
        graph, still, parts = self._graphs[size]
        for name in FIELDS:
            getattr(still, name).copy_(getattr(batch, name))
        self.whole = False
        graph.replay()
        return parts

    def _aside(self, batch: Batch) -> Tensor:
        """The same on a stream beside the current one, as a graph is captured."""
        # One for all steps: what is freed on a stream, and what libraries have for it, is of no use to another.
        self._side = self._side or torch.cuda.Stream()
        current, side = torch.cuda.current_stream(), self._side
        side.wait_stream(current)
        with torch.cuda.stream(side):
            parts = self._made(batch)
        current.wait_stream(side)
        return parts
