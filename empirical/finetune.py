"""Full fine-tuning: encoder and a linear classifier trained together, the lower a block the slower (layer decay).

After He et al. 2022, appendix A.1 (arXiv 2111.06377), and Bao et al. 2022 (arXiv 2106.08254), without mixup, cutmix,
random erasing, RandAugment and drop path, which belong to recipes for hundreds of epochs. The mean is of tokens after
the network's own last norm, where the published code has a new norm after the mean.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgraph.empirical.checkpoint import check_same, read_checkpoint, write_checkpoint
from maskgraph.empirical.model import MaskedModel
from maskgraph.empirical.network import autocast, resolve_precision
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.state import optimiser_tensors, restore_optimiser, schedule
from maskgraph.empirical.stream import Stream, image_set
from maskgraph.graphs.errors import InputError

APART = 200
"""Least steps between two checkpoints."""


@dataclass(frozen=True)
class FineTune:
    """How a network is fine-tuned.

    Attributes:
        feature: what the classifier reads: mean or cls.
        epochs: passes over the images.
        batch: images a step.
        lr: peak learning rate of the classifier and of the last norm.
        layer_decay: factor from one block's learning rate to that of the block below.
        weight_decay: on weight matrices only.
        warmup: share of the steps in which the learning rate rises.
        smoothing: of the labels.
        precision: auto, fp32 or bf16 (see `TrainConfig`).
        seed: of the classifier, the order and the crops.
    """

    feature: str = "mean"
    epochs: int = 20
    batch: int = 128
    lr: float = 1e-3
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    warmup: float = 0.1
    smoothing: float = 0.1
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        """See that it can be run."""
        if self.feature not in ("cls", "mean"):
            raise InputError(f"feature {self.feature!r} to fine-tune; expected cls or mean")
        if self.epochs < 1 or self.batch < 1:
            raise InputError(
                f"{self.epochs} epochs of fine-tuning in batches of {self.batch}; expected at least 1 of each"
            )
        if not 0 < self.lr < math.inf:
            raise InputError(f"learning rate {self.lr:g} of fine-tuning; expected a positive number, such as 0.001")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay {self.layer_decay:g}; expected a factor in (0, 1], such as 0.75")


class Classifier(nn.Module):
    """An encoder that sees whole images, and one linear layer on its feature."""

    def __init__(self, model: MaskedModel, classes: int, feature: str) -> None:
        super().__init__()
        self.model, self.feature = model, feature
        self.classify = nn.Linear(model.config.dim, classes)
        # Small enough that training starts from nearly equal odds.
        nn.init.trunc_normal_(self.classify.weight, std=2e-5)
        nn.init.zeros_(self.classify.bias)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, n, s) to (B, classes)."""
        at = torch.arange(patches.shape[1], device=patches.device).expand(len(patches), -1)
        tokens = self.model.encode(patches, at, at[:, :0])
        out: Tensor = self.classify(self.model.feature(tokens, "cls" if self.feature == "cls" else "mean"))
        return out


def fine_tune(
    model: MaskedModel, train: Pixels | Stream, classes: int, how: FineTune, path: Path | None = None
) -> Classifier:
    """Fine-tune a copy of a model, or go on where its checkpoint stopped.

    Args:
        model: where it starts; it stays as it is.
        train: labelled images, augmented as they say.
        classes: how many.
        how: the recipe.
        path: the checkpoint; None keeps none. It is written once an epoch, but not more often than every `APART` steps.

    Returns:
        the classifier, in evaluation mode.

    Raises:
        InputError: labels beyond the classes; a checkpoint of something else, or one that cannot be read or written.
    """
    if train.labels.max() >= classes:
        raise InputError(f"label {train.labels.max()} of {train.name}; expected 0 to {classes - 1}")
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(how.seed)
        classifier = Classifier(copy.deepcopy(model), classes, how.feature).to(device).train()
    data, labels = image_set(train, device), torch.as_tensor(train.labels, device=device)
    optimiser = torch.optim.AdamW(_groups(classifier, how), lr=how.lr, betas=(0.9, 0.999))
    batches = -(-len(data) // how.batch)
    every, begun, named = max(batches, APART), 0, dict(classifier.named_parameters())
    resolved = dataclasses.replace(how, precision=resolve_precision(how.precision, device))
    meta = {
        "fine_tune": dataclasses.asdict(resolved),
        "classes": classes,
        "data": data.digest(),
        "from": _digest(model),
    }
    if path is not None and path.exists():
        tensors, found = read_checkpoint(path)
        check_same(path, found, meta)
        classifier.load_state_dict({name: tensors[f"classifier.{name}"] for name in classifier.state_dict()})
        restore_optimiser(optimiser, named, tensors)
        begun = int(found["step"])
    for step in range(begun, steps := batches * how.epochs):
        epoch, index = divmod(step, batches)
        order = np.random.default_rng([how.seed, 6, epoch]).permutation(len(data))
        rows = order[index * how.batch : (index + 1) * how.batch]
        for group in optimiser.param_groups:
            group["lr"] = how.lr * group["scale"] * schedule(step, steps, how.warmup)
        draws = data.draw(np.random.default_rng([how.seed, 7, step]), len(rows))
        patches = data.augmented(rows, draws)
        wanted = labels[torch.as_tensor(rows, device=device)]
        with autocast(how.precision, device):
            logits = classifier(patches)
        loss = functional.cross_entropy(logits.float(), wanted, label_smoothing=how.smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if path is not None and ((step + 1) % every == 0 or step + 1 == steps):
            state = {f"classifier.{name}": value for name, value in classifier.state_dict().items()}
            write_checkpoint(path, {**state, **optimiser_tensors(optimiser, named)}, {**meta, "step": step + 1})
    return classifier.eval()


def predictions(
    classifier: Classifier, images: Pixels | Stream, batch: int = 512
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(N,) int64, the class that each whole image is given."""
    data = image_set(images, next(classifier.parameters()).device)
    found = []
    with torch.no_grad():
        for start in range(0, len(data), batch):
            rows = np.arange(start, min(start + batch, len(data)))
            found.append(classifier(data.whole(rows)).argmax(dim=1).cpu().numpy())
    return np.concatenate(found)


def layer_scales(classifier: Classifier, decay: float) -> dict[str, float]:
    """The share of the learning rate of every parameter that is trained: decay to the power of blocks above it.

    The patch embedding and the CLS token count as one block below the first; mask tokens and decoders are not trained.
    """
    depth, scales = classifier.model.config.depth, {}
    for name, _ in classifier.named_parameters():
        part = name.split(".")
        if part[0] == "classify" or part[1] == "norm":
            scales[name] = 1.0
        elif part[1] == "blocks":
            scales[name] = decay ** (depth - int(part[2]))
        elif part[1] in ("embed", "cls"):
            scales[name] = decay ** (depth + 1)
    return scales


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
