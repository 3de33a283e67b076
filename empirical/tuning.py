"""How a network is fine-tuned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from maskgraph.empirical.augment import crop_shares
from maskgraph.empirical.config import MOST_EPOCHS
from maskgraph.empirical.network import check_precision
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.typed import settle
from maskgraph.graphs.errors import InputError, check_type
from maskgraph.graphs.seeds import check_seed


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
        compile: likewise.
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
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """See that it can be run."""
        settle(self)
        check_type(self.regularise, Regularise, "give Regularise(mixup=..., erase=...)")
        if self.feature not in ("cls", "mean"):
            raise InputError(f"feature {self.feature!r} to fine-tune; expected cls or mean")
        if self.norm not in ("own", "new") or (self.norm, self.feature) == ("new", "cls"):
            raise InputError(f"norm {self.norm!r} of {self.feature} to fine-tune; expected own, or for mean new")
        if self.epochs < 1 or self.batch < 1:
            raise InputError(
                f"{self.epochs} epochs of fine-tuning in batches of {self.batch}; expected at least 1 of each"
            )
        if self.epochs > MOST_EPOCHS:
            raise InputError(f"{self.epochs} epochs of fine-tuning; expected at most {MOST_EPOCHS}")
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
