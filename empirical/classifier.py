"""An encoder and a linear layer on it: what it says of images, and the share of the learning rate of each parameter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from maskgraph.empirical.divergence import TrainingDivergedError
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedModel, check_patches
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.readout import read_images, suited
from maskgraph.empirical.stream import Stream


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


def predictions(
    classifier: Classifier, images: Pixels | Stream, group: Group | None = None
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(N,) int64, the class that each whole image is given.

    Args:
        classifier: in evaluation mode; run in the dtype of its parameters.
        images: N of them.
        group: the processes that share them, the first of which has the answer; None: this one alone.

    Raises:
        InputError: images that are cut into other patches than the network's.
        TrainingDivergedError: scores that are not finite, which are of no class; in every process.
    """
    group = group or Group()
    check_patches(classifier.model, images.name, images.grid, images.patch_dim)

    def read(patches: Tensor, _: Tensor) -> list[Tensor]:
        scores = classifier(suited(patches, classifier.model))
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
