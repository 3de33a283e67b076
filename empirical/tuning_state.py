"""What changes from step to step while a classifier is fine-tuned, and the step."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.augment import Draws, crop_shares
from maskgraph.empirical.blocks import compile_blocks
from maskgraph.empirical.classifier import Classifier, layer_scales
from maskgraph.empirical.data import Rows
from maskgraph.empirical.divergence import TrainingDivergedError, all_finite
from maskgraph.empirical.fingerprint import fingerprint
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedModel
from maskgraph.empirical.network import autocast, resolve_precision
from maskgraph.empirical.pixels import Pixels, patchified
from maskgraph.empirical.placed import placed
from maskgraph.empirical.regularise import Chance
from maskgraph.empirical.shares import Part, own_parts, synchronised
from maskgraph.empirical.state import expected_moments, optimiser_tensors, restore_optimiser, schedule
from maskgraph.empirical.stream import Stream, image_set
from maskgraph.empirical.streams import Use
from maskgraph.empirical.tuning import FineTune


class TuningState:
    """A classifier on its way.

    Attributes:
        classifier: what is tuned.
        batches: steps of an epoch.
        steps: how many there will be.
        step: how many were made.
        whole: whether the last one was made to its end.
    """

    def __init__(
        self,
        model: MaskedModel,
        train: Pixels | Stream,
        classes: int,
        how: FineTune,
        device: torch.device,
        group: Group,
    ) -> None:
        """Put a classifier on a copy of a model; arguments as `fine_tune` has them."""
        self._how, self._group, self._device, self._classes = how, group, device, classes
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(how.seed)
            self.classifier = Classifier(copy.deepcopy(model), classes, how.feature, how.norm).to(device).train()
        compile_blocks(self.classifier, how.compile)
        crop = crop_shares(how.crop, "crop") or train.augmentation.crop
        augmentation = dataclasses.replace(train.augmentation, crop=crop, randaugment=how.regularise.randaugment)
        self._data = image_set(dataclasses.replace(train, augmentation=augmentation), device)
        self._labels = torch.as_tensor(train.labels.astype(np.int64), device=device)
        self._optimiser = torch.optim.AdamW(_groups(self.classifier, how), lr=how.lr, betas=(0.9, 0.999))
        # Which parameters are trained is known now.
        with group.working():
            self._network = group.parallel(self.classifier)
        self.batches, self.step, self.whole = -(-len(self._data) // how.batch), 0, True
        self.steps = self.batches * how.epochs
        self._losses = torch.zeros(self.steps, device=device)
        self._order: tuple[int, Rows] = (-1, np.empty(0, dtype=np.int64))

    def identity(self, start: str) -> dict[str, Any]:
        """What a checkpoint belongs to.

        Args:
            start: a fingerprint of the weights that it starts from.
        """
        how = dataclasses.asdict(self._how)
        del how["accumulate"], how["compile"]
        how["precision"] = resolve_precision(self._how.precision, self._device)
        images = self._data.images
        # What a network sees of images has no labels in it.
        seen, labels = images.digest(), fingerprint(images.labels)
        return {"fine_tune": how, "classes": self._classes, "data": seen, "labels": labels, "from": start}

    def advance(self) -> None:
        """One step."""
        rows, draws = self._drawn(self.step)
        if self.step + 1 < self.steps:
            later, more = self._drawn(self.step + 1)
            for part in self._mine(later):
                self._data.prepare(later[part.shown], more[part.shown])
        for options in self._optimiser.param_groups:
            options["lr"] = self._how.lr * options["scale"] * schedule(self.step, self.steps, self._how.warmup)
        self._optimiser.zero_grad(set_to_none=True)
        chance = self._chance(len(rows))
        for part in (mine := self._mine(rows)):
            with synchronised(self._network, part is mine[-1]):
                share = self._share(rows, draws, chance, part.shown) * (part.count > 0) / len(rows)
                # Processes average their gradients; shares add up.
                with self._group.working():
                    (self._group.count * share).backward()
            self._losses[self.step] += share.detach()
        if self._how.clip:
            nn.utils.clip_grad_norm_(self.classifier.parameters(), self._how.clip)
        self.whole = False
        self._optimiser.step()
        self.step += 1
        self.whole = True

    def check(self) -> None:
        """Raise TrainingDivergedError naming the first step since the start or the last checkpoint that is not finite.

        In every process of a group.
        """
        bad = torch.nonzero(~torch.isfinite(self._group.sum(self._losses)))
        what, step = ("the loss", int(bad[0])) if len(bad) else ("a parameter", self.step - 1)
        if len(bad) or not all_finite(self.classifier.parameters()):
            raise TrainingDivergedError(
                f"{what} of fine-tuning, seed {self._how.seed}, is not finite {'at' if len(bad) else 'after'} step "
                f"{step}; try a lower learning rate of it, a clip, or precision fp32"
            )

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint holds; the same on every process."""
        state = {f"classifier.{name}": value for name, value in self.classifier.state_dict().items()}
        return {**state, **optimiser_tensors(self._optimiser, dict(self.classifier.named_parameters()))}

    def expected(self, step: int) -> dict[str, Tensor]:
        """What a checkpoint made after `step` steps holds, by name: tensors of its shapes and dtypes."""
        state = {f"classifier.{name}": value for name, value in self.classifier.state_dict().items()}
        tuned = {name: p for name, p in self.classifier.named_parameters() if p.requires_grad}
        return {**state, **(expected_moments(tuned) if step else {})}

    def load(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Take up the tensors of a checkpoint made after `step` steps."""
        own = self.classifier.state_dict()
        self.classifier.load_state_dict({name: tensors[f"classifier.{name}"] for name in own})
        restore_optimiser(self._optimiser, dict(self.classifier.named_parameters()), tensors)
        self.step = step

    def _drawn(self, step: int) -> tuple[Rows, Draws]:
        """The images of a step, and what chance has to say about their augmentation."""
        epoch, index = divmod(step, self.batches)
        if self._order[0] != epoch:
            order = np.random.default_rng([self._how.seed, Use.TUNING_ORDER, epoch])
            self._order = (epoch, order.permutation(len(self._data)))
        rows = self._order[1][index * self._how.batch : (index + 1) * self._how.batch]
        return rows, self._data.draw(np.random.default_rng([self._how.seed, Use.TUNING_AUGMENTATION, step]), len(rows))

    def _chance(self, size: int) -> Chance:
        """What chance has to say of this step beside the augmentation."""
        side = self._data.grid[0] * self._data.images.patch
        rng = np.random.default_rng([self._how.seed, Use.TUNING_CHANCE, self.step])
        return self._how.regularise.draw(rng, size, side, self.classifier.model.config.depth)

    def _mine(self, rows: Rows) -> list[Part]:
        return own_parts(len(rows), self._group, self._how.accumulate, self._how.regularise.mixes)

    def _share(self, rows: Rows, draws: Draws, chance: Chance, at: slice) -> Tensor:
        """The sum of the losses of some images of a batch."""
        images = chance.mix(chance.erase(self._data.augmented(rows[at], draws[at]), at))
        branches = None
        if chance.branches is not None:
            branches = placed(chance.branches[:, :, at], self._device)
        with self._group.working(), autocast(self._how.precision, self._device):
            logits = self._network(patchified(images, self._data.images.patch), branches)
        wanted = self._labels[placed(rows[at], self._device)]
        if chance.share < 1:
            wanted = chance.mixed_classes(wanted, self._classes)
        smoothing = self._how.smoothing
        return functional.cross_entropy(logits.float(), wanted, label_smoothing=smoothing, reduction="sum")


def _groups(classifier: Classifier, how: FineTune) -> list[dict[str, Any]]:
    """Parameters by what a step does with them: a GPU takes a group of them in a few launches."""
    scales = layer_scales(classifier, how.layer_decay)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in classifier.named_parameters():
        if name not in scales:
            parameter.requires_grad_(False)
            continue
        decay = how.weight_decay if parameter.ndim == 2 and name.endswith("weight") else 0.0
        groups.setdefault((decay, scales[name]), []).append(parameter)
    return [{"params": own, "weight_decay": decay, "scale": scale} for (decay, scale), own in groups.items()]
