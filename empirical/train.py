"""The training loop of MAE and U-MAE: warm-up, cosine, exact resume, in one file.

Randomness is a function of (seed, epoch) and (seed, step) alone, so a run that was killed and resumed takes the
same images under the same masks as one that was not, and ends in the same bits on the same machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.checkpoint import check_same, read_checkpoint, write_checkpoint
from maskgraph.empirical.model import (
    FeatureKind,
    MaskedAutoencoder,
    ModelConfig,
    build_model,
    check_feature,
    feature,
    model_config,
    reconstruction_loss,
    uniformity_loss,
)
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError
from maskgraph.graphs.masks import MaskDistribution, MaskKind, mask_distribution
from maskgraph.graphs.views import View, arrange, check_view, known_positions

Method = Literal["mae", "u-mae"]
BETAS = (0.9, 0.95)
Progress = Callable[[int, int, float], None]
"""Called with (step, steps, loss per target value)."""


class TrainingDivergedError(ArithmeticError):
    """The loss is not a finite number any more."""


@dataclass(frozen=True)
class TrainConfig:
    """How one model is trained; every default is the recipe that converges on digits.

    Attributes:
        method: mae, or u-mae: MAE + lam·uniformity.
        mask_ratio: share of patches masked.
        mask_kind: distribution of the masks; each image of each step gets a fresh one.
        view: what the model may know of positions.
        size: micro, tiny, base or large.
        feature: the feature that u-mae makes uniform, and that the theorems are held to: cls or mean.
        lam: weight of uniformity beside the reconstruction loss per target value (the paper's 0.01).
        epochs: passes over the images.
        batch: images a step.
        lr: peak learning rate.
        weight_decay: on weight matrices only.
        warmup: share of the steps in which the learning rate rises.
        seed: of initialisation, order and masks.
        device: auto, cpu or cuda.
        precision: auto (bf16 on CUDA, fp32 on CPU), fp32 or bf16.
    """

    method: Method = "mae"
    mask_ratio: float = 0.75
    mask_kind: MaskKind = "uniform"
    view: View = "positional"
    size: str = "micro"
    feature: FeatureKind = "cls"
    lam: float = 0.01
    epochs: int = 50
    batch: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class TrainedModel:
    """A model and how it came to be.

    Attributes:
        model: in evaluation mode.
        config: of its training.
        losses: (steps, 2) float32, reconstruction per target value and uniformity of each step.
    """

    model: MaskedAutoencoder
    config: TrainConfig
    losses: NDArray[np.float32]


def check_config(config: TrainConfig) -> None:
    """Raise InputError naming the first value of a configuration that cannot be trained."""
    if config.method not in get_args(Method):
        raise InputError(f"unknown method {config.method!r}; expected one of {', '.join(get_args(Method))}")
    if config.precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"unknown precision {config.precision!r}; expected auto, fp32 or bf16")
    check_view(config.view)
    check_feature(config.feature)
    model_config(config.size, (1, 2), 1)
    mask_distribution(config.mask_kind, (1, 2), config.mask_ratio)
    resolve_device(config.device)
    for name, least in (("epochs", 1), ("batch", 1), ("seed", 0)):
        if getattr(config, name) < least:
            raise InputError(f"{name} {getattr(config, name)}; expected at least {least}")
    for name in ("lam", "lr", "weight_decay"):
        if not 0 <= getattr(config, name) < math.inf:
            raise InputError(f"{name} {getattr(config, name):g}; expected a number of at least 0")
    if not 0 <= config.warmup < 1:
        raise InputError(f"warmup {config.warmup:g}; expected a share of the steps in [0, 1), such as 0.05")


def resolve_device(name: str) -> torch.device:
    """The device that auto, cpu or cuda stands for on this machine.

    Raises:
        InputError: another name, or cuda where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device cuda, but PyTorch sees no CUDA device here; use --device auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def train(
    images: CodedImages,
    config: TrainConfig,
    path: Path | None = None,
    progress: Progress | None = None,
    checkpoint_every: int = 500,
) -> TrainedModel:
    """Train one model, or go on where its checkpoint stopped.

    Args:
        images: with a codebook; the model sees the patch values that the graph sees.
        config: how.
        path: its checkpoint; None keeps none. One that is finished is returned as it is.
        progress: told every `checkpoint_every` steps and at the end.
        checkpoint_every: steps between two checkpoints.

    Raises:
        InputError: a configuration that cannot be trained, images without values, a checkpoint of another model,
            or one that cannot be read or written.
        TrainingDivergedError: the loss became NaN or infinite.
        KeyboardInterrupt: passed on after a checkpoint of the last step was written; where it struck in the middle of
            an update, the checkpoint before stays.
    """
    check_config(config)
    state = _State(images, config)
    if path is not None:
        state.restore(path)
        if state.step < state.steps:
            state.store(path)
    saved = state.step
    try:
        for step in range(state.step, state.steps):
            state.advance()
            if (step + 1) % checkpoint_every == 0 or step + 1 == state.steps:
                state.check_finite()
                if path is not None:
                    state.store(path)
                saved = state.step
                if progress is not None:
                    progress(state.step, state.steps, float(state.losses[step, 0]))
    except KeyboardInterrupt:
        # Half an update is no step: then the last whole checkpoint stays the one to go on from.
        if path is not None and state.step > saved and state.whole:
            state.check_finite()
            state.store(path)
        raise
    return TrainedModel(state.model.eval(), config, state.losses.cpu().numpy())


def check_checkpoint(path: Path, images: CodedImages, config: TrainConfig) -> None:
    """Raise InputError if `path` is there and is not a checkpoint of this very training."""
    if path.exists():
        check_same(path, read_checkpoint(path)[1], _meta(images, config))


def load_model(path: Path) -> TrainedModel:
    """The model of a finished or unfinished checkpoint, on the CPU.

    Raises:
        InputError: see `read_checkpoint`.
    """
    tensors, meta = read_checkpoint(path)
    shape = meta["model"]
    model = build_model(ModelConfig(**{**shape, "grid": tuple(shape["grid"])}), seed=0)
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    return TrainedModel(model.eval(), TrainConfig(**meta["train"]), tensors["losses"][: meta["step"]].numpy())


def untrained(images: CodedImages, config: TrainConfig) -> TrainedModel:
    """The model of a configuration before its first step: the random network among the baselines.

    Raises:
        InputError: images without values.
    """
    model = build_model(_shape(images, config), config.seed)
    return TrainedModel(model.eval(), config, np.empty((0, 2), dtype=np.float32))


def _shape(images: CodedImages, config: TrainConfig) -> ModelConfig:
    if images.codebook is None:
        raise InputError(f"{images.name} has codes but no patch values to train on; add a codebook (V, s) to the .npz")
    return model_config(config.size, images.grid, images.codebook.shape[1])


def _meta(images: CodedImages, config: TrainConfig) -> dict[str, Any]:
    """What a checkpoint belongs to."""
    shape = dataclasses.asdict(_shape(images, config))
    return {"model": shape, "train": dataclasses.asdict(config), "data": _digest(images)}


class _State:
    """Everything that changes from step to step, and the data it is fed with."""

    def __init__(self, images: CodedImages, config: TrainConfig) -> None:
        self.config, self.images = config, images
        self.device = resolve_device(config.device)
        shape = _shape(images, config)
        assert images.codebook is not None
        self.meta = _meta(images, config)
        self.model = build_model(shape, config.seed).to(self.device).train()
        self.masks = mask_distribution(config.mask_kind, images.grid, config.mask_ratio)
        self.codebook = torch.as_tensor(images.codebook, dtype=torch.float32, device=self.device)
        self.weights = torch.as_tensor(images.weights * len(images.weights), dtype=torch.float32, device=self.device)
        self.batches = math.ceil(len(images.codes) / config.batch)
        self.steps, self.step = self.batches * config.epochs, 0
        self.whole = True
        self.losses = torch.zeros(self.steps, 2, device=self.device)
        self.optimiser = _optimiser(self.model, config)
        self.order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, dtype=np.int64))

    def advance(self) -> None:
        """One step."""
        config = self.config
        rows, patches, targets, positions, asked = self._batch()
        for group in self.optimiser.param_groups:
            group["lr"] = config.lr * _schedule(self.step, self.steps, config.warmup)
        with self._autocast():
            reconstruction, tokens = self.model(patches, positions, asked)
        weights = self.weights[rows]
        first = reconstruction_loss(reconstruction.float(), targets, weights)
        second = uniformity_loss(feature(tokens.float(), config.feature), weights)
        loss = first + config.lam * second if config.method == "u-mae" else first
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.whole = False
        self.optimiser.step()
        self.losses[self.step] = torch.stack([first.detach(), second.detach()])
        self.step += 1
        self.whole = True

    def check_finite(self) -> None:
        """Raise TrainingDivergedError naming the first step whose loss is not finite."""
        bad = torch.nonzero(~torch.isfinite(self.losses[: self.step]).all(dim=1))
        if len(bad):
            raise TrainingDivergedError(
                f"the loss of {self.config.method} at mask ratio {self.config.mask_ratio:g}, seed {self.config.seed} "
                f"is not finite at step {int(bad[0])}; try a lower --lr or --precision fp32"
            )

    def store(self, path: Path) -> None:
        """Write the checkpoint."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{key}.{name}"] = torch.as_tensor(value)
        write_checkpoint(path, {**tensors, "losses": self.losses}, {**self.meta, "step": self.step})

    def restore(self, path: Path) -> None:
        """Take up the checkpoint at `path`, if there is one."""
        if not path.exists():
            return
        tensors, meta = read_checkpoint(path)
        check_same(path, meta, self.meta)
        self.step = int(meta["step"])
        self.losses.copy_(tensors["losses"])
        self.model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
        for name, parameter in self.model.named_parameters():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (stored := tensors.get(f"optimiser.{key}.{name}")) is not None:
                    # The fused AdamW keeps all of its state, the step count too, where the parameter is.
                    self.optimiser.state[parameter][key] = stored.to(self.device)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        epoch, index = divmod(self.step, self.batches)
        if self.order[0] != epoch:
            shuffle = np.random.default_rng([self.config.seed, 1, epoch])
            self.order = (epoch, shuffle.permutation(len(self.images.codes)))
        rows = self.order[1][index * self.config.batch : (index + 1) * self.config.batch]
        drawn = _drawn(self.masks, np.random.default_rng([self.config.seed, 2, self.step]), len(rows))
        view = self.config.view
        visible, target = (arrange(view, np.take_along_axis(self.images.codes[rows], side, axis=1)) for side in drawn)
        positions, asked = known_positions(view, *drawn)
        arrays = (rows, visible, target, positions, asked)
        # Copies: positions that all views share are a read-only broadcast, which a tensor cannot stand on.
        index_of, seen, hidden, at, slots = (torch.as_tensor(a.copy()).to(self.device) for a in arrays)
        return index_of, self.codebook[seen], self.codebook[hidden], at, slots

    def _autocast(self) -> AbstractContextManager[Any]:
        wanted = self.config.precision
        if wanted == "bf16" or (wanted == "auto" and self.device.type == "cuda"):
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def _drawn(masks: MaskDistribution, rng: np.random.Generator, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    kept = masks.sample(rng, size)
    is_dropped = np.ones((size, masks.patches), dtype=bool)
    np.put_along_axis(is_dropped, kept, False, axis=1)
    return kept, np.nonzero(is_dropped)[1].reshape(size, -1)


def _optimiser(model: MaskedAutoencoder, config: TrainConfig) -> torch.optim.AdamW:
    def matching(matrix: bool) -> Iterator[Tensor]:
        return (p for name, p in model.named_parameters() if (p.ndim == 2 and name.endswith("weight")) == matrix)

    groups = [
        {"params": list(matching(True)), "weight_decay": config.weight_decay},
        {"params": list(matching(False)), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=BETAS, fused=True)


def _schedule(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then a cosine to zero."""
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(steps - rising, 1)))


def _digest(images: CodedImages) -> str:
    digest = hashlib.sha256()
    for array in (images.codes, images.weights, images.codebook, np.array(images.grid)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
