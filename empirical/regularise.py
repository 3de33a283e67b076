"""What fine-tuning does against overfitting where it is long: RandAugment, random erasing, mixup, cutmix and drop path.

After Zhong et al. 2020 (arXiv 1708.04896), Zhang et al. 2018 (arXiv 1710.09412), Yun et al. 2019 (arXiv 1905.04899) and
Huang et al. 2016 (arXiv 1603.09382), with the constants of the published recipes of MAE and SimMIM. All chance of a
step is drawn at once, so that it is the same however many processes and parts share the batch. Images are mixed in
pairs of neighbours in the shuffled order; a batch is cut between pairs alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskgraph.empirical.randaugment import LARGEST
from maskgraph.empirical.typed import settle
from maskgraph.graphs.errors import InputError

TRIES = 10
"""Boxes to erase that are tried before an image is left whole."""

AREA, ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""Least and largest share of the image that is erased, and ratio of the box's sides."""

SWITCH = 0.5
"""Probability of cutmix in a step where mixup is asked for too."""

Box = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


@dataclass(frozen=True)
class Chance:
    """What chance says of one step.

    Attributes:
        share: of itself that an image keeps; the rest is its neighbour's.
        box: what is the neighbour's; None: each pixel is of both.
        erased: for each image the box that is overwritten by noise, or None.
        noise: (B,) uint64, seeds of that noise.
        branches: (depth, 2, B) float32, factors of what attention and MLP of each block add; None: 1.
    """

    share: float
    box: Box | None
    erased: list[Box | None]
    noise: NDArray[np.uint64]
    branches: NDArray[np.float32] | None

    def erase(self, images: Tensor, at: slice) -> Tensor:
        """Overwrite boxes by Gaussian noise, in place.

        Args:
            images: (b, C, H, W), already of mean 0 and deviation 1.
            at: which of the batch they are.
        """
        for image, box, seed in zip(images, self.erased[at], self.noise[at].tolist(), strict=True):
            if box is not None:
                top, left, height, width = box
                generator = torch.Generator(images.device).manual_seed(seed >> 1)
                shape = (len(image), height, width)
                image[:, top : top + height, left : left + width] = torch.randn(
                    shape, generator=generator, device=images.device
                )
        return images

    def mix(self, images: Tensor) -> Tensor:
        """(b, C, H, W) each image with its neighbour's."""
        if self.share == 1:
            return images
        other = images[neighbours(len(images), images.device)]
        if self.box is None:
            return self.share * images + (1 - self.share) * other
        top, left, height, width = self.box
        mixed = images.clone()
        rows, columns = slice(top, top + height), slice(left, left + width)
        mixed[:, :, rows, columns] = other[:, :, rows, columns]
        return mixed

    def mixed_classes(self, labels: Tensor, classes: int) -> Tensor:
        """(b, classes) float32, the shares of the classes in mixed images of labels (b,)."""
        own = torch.nn.functional.one_hot(labels, classes).float()
        return self.share * own + (1 - self.share) * own[neighbours(len(own), own.device)]


@dataclass(frozen=True)
class Regularise:
    """How strongly; 0 is not at all.

    Attributes:
        mixup: α of the Beta(α, α) that shares of mixed images are drawn from; published: 0.8.
        cutmix: likewise of a box's area in an image that belongs to another; published: 1.
        erase: probability that a box of an image is overwritten by noise; published: 0.25.
        drop_path: probability that a branch of the last block is left out, from 0 in the first block; published: 0.1
            for ViT-Base, 0.2 for ViT-Large.
        randaugment: magnitude of the operations of `randaugment`, before all of these; published: 9.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    erase: float = 0.0
    drop_path: float = 0.0
    randaugment: float = 0.0

    def __post_init__(self) -> None:
        """See that they can be drawn."""
        settle(self)
        for name, value in (("mixup", self.mixup), ("cutmix", self.cutmix)):
            if not 0 <= value < math.inf:
                raise InputError(f"{name} {value:g}; expected 0, or the α of a Beta(α, α), such as 0.8")
        if not 0 <= self.randaugment <= LARGEST:
            raise InputError(f"randaugment {self.randaugment:g}; expected a magnitude from 0 to {LARGEST:g}, such as 9")
        for name, value in (("erase", self.erase), ("drop_path", self.drop_path)):
            if not 0 <= value < 1:
                raise InputError(f"{name} {value:g}; expected a probability in [0, 1), such as 0.1")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in pairs."""
        return self.mixup > 0 or self.cutmix > 0

    def draw(self, rng: np.random.Generator, size: int, side: int, depth: int) -> Chance:
        """Of a step on `size` images of `side` × `side` pixels, in a network of so many blocks."""
        share, box = self._mixture(rng, side)
        hit = rng.random(size) < self.erase
        boxes = [_erased(rng, side) if one else None for one in hit]
        noise = rng.integers(2**64, size=size, dtype=np.uint64)
        if not self.drop_path:
            return Chance(share, box, boxes, noise, None)
        return Chance(share, box, boxes, noise, branch_factors(rng, self.drop_path, depth, size))

    def _mixture(self, rng: np.random.Generator, side: int) -> tuple[float, Box | None]:
        if not self.mixes:
            return 1.0, None
        cut = self.cutmix > 0 and (self.mixup == 0 or rng.random() < SWITCH)
        if not cut:
            return float(rng.beta(self.mixup, self.mixup)), None
        length = int(side * math.sqrt(1 - rng.beta(self.cutmix, self.cutmix)))
        # Around a point anywhere: what would be outside of the image is not there.
        (top, bottom), (left, right) = (
            (max(middle - length // 2, 0), min(middle + length // 2, side)) for middle in rng.integers(side, size=2)
        )
        height, width = int(bottom - top), int(right - left)
        return 1 - height * width / side**2, (int(top), int(left), height, width)


def branch_factors(rng: np.random.Generator, drop_path: float, depth: int, size: int) -> NDArray[np.float32]:
    """(depth, 2, size) factors of the branches of every block for every image: 0, or 1 over the probability to stay.

    Args:
        rng: chance.
        drop_path: probability that a branch of the last block is left out, from 0 in the first, and so in the only one.
        depth: blocks.
        size: images.
    """
    stays = 1 - np.linspace(0, drop_path, depth)[:, None, None]
    return ((rng.random((depth, 2, size)) < stays) / stays).astype(np.float32)


def neighbours(count: int, device: torch.device) -> Tensor:
    """(count,) int64 on a device, the other of each pair; the last of an odd number is its own."""
    at: Tensor = torch.arange(count, device=device)
    return (at ^ 1).clamp(max=count - 1)


def _erased(rng: np.random.Generator, side: int) -> Box | None:
    for _ in range(TRIES):
        area = rng.uniform(*AREA) * side**2
        ratio = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < height < side and 0 < width < side:
            return int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1)), height, width
    return None
