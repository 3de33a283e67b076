"""Full fine-tuning: encoder and a linear classifier trained together, the lower a block the slower (layer decay).

After He et al. 2022, appendix A.1 (arXiv 2111.06377), and Bao et al. 2022 (arXiv 2106.08254).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.augment import Draws, crop_shares
from maskgraph.empirical.checkpoint import (
    check_held,
    check_known,
    check_same,
    check_step,
    check_tensors,
    read_checkpoint,
    read_meta,
    write_checkpoint,
)
from maskgraph.empirical.data import Rows
from maskgraph.empirical.footprint import room
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedModel, check_patches
from maskgraph.empirical.network import autocast, check_precision, resolve_precision
from maskgraph.empirical.pixels import Pixels, patchified
from maskgraph.empirical.readout import read_images
from maskgraph.empirical.regularise import Chance, Regularise
from maskgraph.empirical.shares import Part, own_parts, synchronised
from maskgraph.empirical.state import expected_moments, optimiser_tensors, restore_optimiser, schedule
from maskgraph.empirical.stream import Stream, image_set
from maskgraph.empirical.streams import Use
from maskgraph.empirical.train import TrainingDivergedError, all_finite
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.seeds import check_seed

APART = 200
"""Least steps between two checkpoints."""


@dataclass(frozen=True)
class FineTune:
    """How a network is fine-tuned.

    Attributes:
        feature: what the classifier reads: mean or cls.
        norm: own: the feature is of tokens after the network's last norm; new: that is left out, and the mean of the
            tokens gets a norm of its own, as published.
        epochs: passes over the images.
        batch: images a step.
        accumulate: parts that each process runs its images of a step in, with the same gradient.
        lr: peak learning rate of the classifier and of the last norm.
        layer_decay: factor from one block's learning rate to that of the block below.
        weight_decay: on weight matrices only.
        warmup: share of the steps in which the learning rate rises.
        clip: norm that the gradient of a step is scaled down to where it exceeds that; 0: never.
        smoothing: of the labels.
        crop: least and largest share of an image's area that is cut out; empty: what training cuts out. Published:
            (0.08, 1) for MAE and for SimMIM, whose trainings have other shares.
        regularise: RandAugment, mixup, cutmix, random erasing and drop path.
        precision: auto, fp32 or bf16 (see `TrainConfig`).
        seed: of the classifier, the order and the crops.
    """

    feature: str = "mean"
    norm: str = "own"
    epochs: int = 20
    batch: int = 128
    accumulate: int = 1
    lr: float = 1e-3
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 0.0
    smoothing: float = 0.1
    crop: tuple[float, ...] = ()
    regularise: Regularise = field(default_factory=Regularise)
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        """See that it can be run."""
        if self.feature not in ("cls", "mean"):
            raise InputError(f"feature {self.feature!r} to fine-tune; expected cls or mean")
        if self.norm not in ("own", "new") or (self.norm, self.feature) == ("new", "cls"):
            raise InputError(f"norm {self.norm!r} of {self.feature} to fine-tune; expected own, or for mean new")
        if self.epochs < 1 or self.batch < 1:
            raise InputError(
                f"{self.epochs} epochs of fine-tuning in batches of {self.batch}; expected at least 1 of each"
            )
        if self.accumulate < 1:
            raise InputError(f"accumulate {self.accumulate}; expected at least 1 part")
        if not 0 < self.lr < math.inf:
            raise InputError(f"learning rate {self.lr:g} of fine-tuning; expected a positive number, such as 0.001")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup {self.warmup:g} of fine-tuning; expected a share of the steps in [0, 1)")
        if not 0 <= self.clip < math.inf:
            raise InputError(f"clip {self.clip:g} of fine-tuning; expected a norm, or 0 for none")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay {self.layer_decay:g}; expected a factor in (0, 1], such as 0.75")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay {self.weight_decay:g} of fine-tuning; expected a number of at least 0")
        if not 0 <= self.smoothing < 1:
            raise InputError(f"smoothing {self.smoothing:g} of labels; expected a share in [0, 1), such as 0.1")
        check_precision(self.precision)
        check_seed(self.seed)
        crop_shares(self.crop, "fine-tuning crop")


class Classifier(nn.Module):
    """An encoder that sees whole images, and one linear layer on its feature."""

    def __init__(self, model: MaskedModel, classes: int, feature: str, norm: str = "own") -> None:
        """Put it on a network, which is its own from then on."""
        super().__init__()
        self.model, self.feature = model, feature
        self.norm: nn.Module = nn.Identity()
        if norm == "new":
            self.model.norm, self.norm = nn.Identity(), nn.LayerNorm(model.config.dim, eps=1e-6)
        self.classify = nn.Linear(model.config.dim, classes)
        # Small enough that training starts from nearly equal odds.
        nn.init.trunc_normal_(self.classify.weight, std=2e-5)
        nn.init.zeros_(self.classify.bias)

    def forward(self, patches: Tensor, branches: Tensor | None = None) -> Tensor:
        """Scores of classes.

        Args:
            patches: (B, n, s).
            branches: (depth, 2, B), see `MaskedModel.encode`.

        Returns:
            (B, classes).
        """
        at = torch.arange(patches.shape[1], device=patches.device).expand(len(patches), -1)
        tokens = self.model.encode(patches, at, at[:, :0], branches)
        out: Tensor = self.classify(self.norm(self.model.feature(tokens, "cls" if self.feature == "cls" else "mean")))
        return out


def fine_tune(
    model: MaskedModel,
    train: Pixels | Stream,
    classes: int,
    how: FineTune,
    path: Path | None = None,
    group: Group | None = None,
    watch: Callable[[], None] | None = None,
) -> Classifier:
    """Fine-tune a copy of a model, or go on where its checkpoint stopped.

    Args:
        model: where it starts; it stays as it is.
        train: labelled images, augmented as they say but for what `how` puts in place of it.
        classes: how many.
        how: the recipe.
        path: the checkpoint; None keeps none. It is written once an epoch, but not more often than every `APART` steps.
            It may be gone on with by another number of processes, and in another number of parts.
        group: the processes that tune it together, each with its part of every batch; None: this one alone.
        watch: called by the first process after each checkpoint.

    Returns:
        the classifier, in evaluation mode; in every process.

    Raises:
        InputError: labels beyond the classes; images that are cut into other patches than the model's, or cannot be
            augmented so; a checkpoint of something else, or one that cannot be read or written.
        TrainingDivergedError: the loss or a parameter became NaN or infinite; the checkpoint before stays.
    """
    if train.labels.max() >= classes:
        raise InputError(f"label {train.labels.max()} of {train.name}; expected 0 to {classes - 1}")
    check_patches(model.config, train.name, train.grid, train.patch_dim)
    check_tunable(train, how)
    group, device = group or Group(), next(model.parameters()).device
    tuning = _Tuning(model, train, classes, how, device, group)
    meta = tuning.identity(_digest(model))
    if path is not None and path.exists():
        tensors, found = read_checkpoint(path)
        check_same(path, _completed(path, found), meta)
        step = check_step(path, found, tuning.steps)
        check_tensors(path, tensors, tuning.expected(step))
        tuning.load(tensors, step)
        tuning.check()
    # Nobody writes before all have read.
    group.wait()
    every = max(tuning.batches, APART)
    while tuning.step < tuning.steps:
        with room(how.batch, how.accumulate, device):
            tuning.advance()
        if tuning.step % every and tuning.step < tuning.steps:
            continue
        tuning.check()
        if path is not None:
            if group.rank == 0:
                write_checkpoint(path, tuning.tensors(), {**meta, "step": tuning.step, "steps": tuning.steps})
                if watch is not None:
                    watch()
            group.wait()
    return tuning.classifier.eval()


def check_tunable(train: Pixels | Stream, how: FineTune) -> None:
    """Raise InputError for images that cannot be augmented so."""
    if how.regularise.randaugment and train.channels not in (1, 3):
        raise InputError(f"randaugment on images of {train.channels} channels; expected 1 or 3, or randaugment 0")


def tuned_share(path: Path) -> float:
    """How much of a fine-tuning is done, by its checkpoint; 0 where there is none, or none any more."""
    try:
        meta = read_meta(path)
    except InputError:
        return 0.0
    return float(meta["step"] / meta["steps"]) if "steps" in meta else 0.0


class _Tuning:
    """A classifier on its way.

    Attributes:
        classifier: what is tuned.
        batches: steps of an epoch.
        steps: how many there will be.
        step: how many were made.
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
        self._how, self._group, self._device, self._classes = how, group, device, classes
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(how.seed)
            self.classifier = Classifier(copy.deepcopy(model), classes, how.feature, how.norm).to(device).train()
        crop = crop_shares(how.crop, "crop") or train.augmentation.crop
        augmentation = dataclasses.replace(train.augmentation, crop=crop, randaugment=how.regularise.randaugment)
        self._data = image_set(dataclasses.replace(train, augmentation=augmentation), device)
        self._labels = torch.as_tensor(train.labels, device=device)
        self._optimiser = torch.optim.AdamW(_groups(self.classifier, how), lr=how.lr, betas=(0.9, 0.999))
        # Which parameters are trained is known now.
        with group.working():
            self._network = group.parallel(self.classifier)
        self.batches, self.step = -(-len(self._data) // how.batch), 0
        self.steps = self.batches * how.epochs
        self._losses = torch.zeros(self.steps, device=device)
        self._order: tuple[int, Rows] = (-1, np.empty(0, dtype=np.int64))

    def identity(self, start: str) -> dict[str, Any]:
        """What a checkpoint belongs to.

        Args:
            start: a fingerprint of the weights that it starts from.
        """
        how = dataclasses.asdict(self._how)
        del how["accumulate"]
        how["precision"] = resolve_precision(self._how.precision, self._device)
        return {"fine_tune": how, "classes": self._classes, "data": self._data.images.digest(), "from": start}

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
        self._optimiser.step()
        self.step += 1

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
            branches = torch.as_tensor(chance.branches[:, :, at], device=self._device)
        with self._group.working(), autocast(self._how.precision, self._device):
            logits = self._network(patchified(images, self._data.images.patch), branches)
        wanted = self._labels[torch.as_tensor(rows[at], device=self._device)]
        if chance.share < 1:
            wanted = chance.mixed_classes(wanted, self._classes)
        smoothing = self._how.smoothing
        return functional.cross_entropy(logits.float(), wanted, label_smoothing=smoothing, reduction="sum")


def predictions(
    classifier: Classifier, images: Pixels | Stream, group: Group | None = None
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(N,) int64, the class that each whole image is given.

    Args:
        classifier: in evaluation mode.
        images: N of them.
        group: the processes that share them, the first of which has the answer; None: this one alone.

    Raises:
        InputError: images that are cut into other patches than the network's.
        TrainingDivergedError: scores that are not finite, which are of no class; in every process.
    """
    group = group or Group()
    check_patches(classifier.model.config, images.name, images.grid, images.patch_dim)

    def read(patches: Tensor, _: Tensor) -> list[Tensor]:
        scores = classifier(patches)
        return [scores.argmax(dim=1), torch.isfinite(scores).all(dim=1)]

    classes, known = read_images(images, next(classifier.parameters()).device, read, group)
    lost = int(group.sum(torch.tensor(float((~known).sum()))))
    if lost:
        raise TrainingDivergedError(
            f"the classifier's scores of {lost} images of {images.name} are not finite; try a lower learning rate of "
            "fine-tuning, a clip, or precision fp32"
        )
    return np.asarray(classes, dtype=np.int64)


def layer_scales(classifier: Classifier, decay: float) -> dict[str, float]:
    """The share of the learning rate of every parameter that is trained: decay to the power of blocks above it.

    The patch embedding and the CLS token count as one block below the first; relative positions, which every block
    reads, have the whole. Mask tokens and decoders are not trained.
    """
    depth, scales = classifier.model.config.depth, {}
    for name, _ in classifier.named_parameters():
        part = name.split(".")
        if part[0] in ("classify", "norm") or part[1] in ("norm", "relative"):
            scales[name] = 1.0
        elif part[1] == "blocks":
            scales[name] = decay ** (depth - int(part[2]))
        elif part[1] in ("embed", "cls"):
            scales[name] = decay ** (depth + 1)
    return scales


def _completed(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Metadata of a checkpoint, with the defaults of whatever choices came later.

    Raises:
        InputError: a key that this version does not know, or one that every version wrote and that is not there.
    """
    check_held(path, found, ("fine_tune", "classes", "data", "from"))
    check_known(path, found, ("fine_tune", "classes", "data", "from", "step", "steps"))
    plain = dataclasses.asdict(Regularise())
    # What those from before there was a choice had.
    before = {"regularise": plain, "norm": "own", "clip": 0.0, "crop": []}
    check_known(path, found["fine_tune"], [field.name for field in dataclasses.fields(FineTune)], "fine_tune.")
    how = {**before, **found["fine_tune"]}
    check_known(path, how["regularise"], plain, "fine_tune.regularise.")
    return {**found, "fine_tune": how}


def _digest(model: MaskedModel) -> str:
    """A fingerprint of the weights that fine-tuning starts from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _groups(classifier: Classifier, how: FineTune) -> list[dict[str, object]]:
    scales = layer_scales(classifier, how.layer_decay)
    groups = []
    for name, parameter in classifier.named_parameters():
        if name not in scales:
            parameter.requires_grad_(False)
            continue
        decay = how.weight_decay if parameter.ndim == 2 and name.endswith("weight") else 0.0
        groups.append({"params": [parameter], "weight_decay": decay, "scale": scales[name]})
    return groups
