"""How one model is trained: every choice that the reference codes leave ambiguous is a named field here."""

from __future__ import annotations

import math
import os
import shutil
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch

from maskgraph.empirical.model import Family, FeatureKind, ModelConfig, check_feature, model_config
from maskgraph.empirical.objective import Distance, Target
from maskgraph.empirical.typed import settle
from maskgraph.graphs.errors import InputError, check_type, unknown
from maskgraph.graphs.masks import MaskDistribution, MaskKind, check_mask, mask_distribution
from maskgraph.graphs.seeds import check_seed
from maskgraph.graphs.views import View, check_view

Method = Literal["mae", "u-mae", "simmim", "u-simmim"]

DEVICES = ("auto", "cpu", "cuda")
"""Where training may run; auto is cuda where there is one."""

PRECISIONS = ("auto", "fp32", "bf16")
"""What training and fine-tuning may run in; auto is bf16 on CUDA and fp32 on a CPU."""

MOST_EPOCHS = 1_000_000
"""Of a training or a fine-tuning, which keep the loss of every step in memory."""

UNIFORMITY = {"lam": "--lambda", "final_norm": "--final-norm", "diagonal": "--no-diagonal", "queue": "--queue"}
"""Fields of a TrainConfig that the uniformity loss alone reads, and their options."""

WHERE = ("device", "accumulate", "compile")
"""Fields of a TrainConfig that say where, in how many parts and by which code it is run: it may go on with others."""


@dataclass(frozen=True)
class TrainConfig:
    """How one model is trained; every default is the recipe that converges on digits.

    Attributes:
        method: mae or simmim; u-mae or u-simmim: the same + lam·uniformity.
        mask_ratio: share of patches masked.
        mask_kind: distribution of the masks; each image of each step gets a fresh one.
        mask_unit: side, in patches, of the squares that are kept or dropped as one.
        view: what the model may know of positions.
        size: micro, tiny, base or large.
        decoder_dim: width of MAE's decoder; None for the size's own.
        decoder_depth: its blocks; None for the size's own.
        relative_positions: whether the encoder learns positions, as offsets between patches (see `RelativePositions`);
            SimMIM's ViT was published with it. Else they are the fixed table that MAE has.
        layer_scale: start of factors of what the encoder's branches add; 0: none; 0.1 in SimMIM's ViT.
        bottleneck: k where MAE's decoder sees one unit vector of dimension k and no token; None for the standard one.
        target: pixels, or normalised: each patch less its mean, over its standard deviation.
        distance: squared or absolute error; auto is what each method was published with, squared for MAE, absolute
            for SimMIM.
        feature: the feature that is made uniform, and that the theorems are held to: cls (the reference code's), mean,
            tokens (all that the decoder reads, so that h = g∘f holds for it) or bottleneck.
        final_norm: once; or twice, as the reference code of U-MAE does when it normalises its features again. Of cls
            and mean alone: with tokens and a bottleneck it is what the decoder reads that is made uniform.
        diagonal: whether an image is paired with itself in the uniformity loss. The reference code does; without it
            the loss is an unbiased estimate of L_unif over different images, all but 1/N of the pairs of N.
        queue: features of earlier batches that serve as further negatives, without gradient.
        lam: weight of uniformity beside the reconstruction loss per target value (the paper's 0.01); auto: 1/(4Ld)
            of d target values, which is the λ = 1/(4L) that Thm 4.2 is printed for beside their sum, with the L
            measured as training goes on.
        epochs: passes over the images.
        batch: images a step.
        accumulate: parts that a step's images are run in, one after the other, with the same gradient.
        lr: peak learning rate.
        weight_decay: on weight matrices only.
        warmup: share of the steps in which the learning rate rises.
        lr_drop: share of the steps after which the learning rate is a tenth of its peak, in place of the cosine; 0: the
            cosine; 0.875 for SimMIM's ViT.
        drop_path: probability that a branch of the encoder's last block is left out for an image, from 0 in the first
            block; 0.1 for SimMIM's ViT.
        beta2: of AdamW: the published 0.95 of MAE; SimMIM's is 0.999.
        clip: norm that the gradient of a step is scaled down to where it exceeds that; 0: never.
        seed: of initialisation, order and masks.
        device: auto, cpu or cuda.
        precision: auto (bf16 on CUDA, fp32 on CPU), fp32 or bf16.
        compile: whether torch.compile makes the blocks' code for training, which then passes over memory less often: a
            minute or so before the first step, and other roundings.
    """

    method: Method = "mae"
    mask_ratio: float = 0.75
    mask_kind: MaskKind = "uniform"
    mask_unit: int = 1
    view: View = "positional"
    size: str = "micro"
    decoder_dim: int | None = None
    decoder_depth: int | None = None
    relative_positions: bool = False
    layer_scale: float = 0.0
    bottleneck: int | None = None
    target: Target = "pixels"
    distance: Distance | Literal["auto"] = "auto"
    feature: FeatureKind = "cls"
    final_norm: Literal["once", "twice"] = "once"
    diagonal: bool = True
    queue: int = 0
    lam: float | Literal["auto"] = 0.01
    epochs: int = 50
    batch: int = 32
    accumulate: int = 1
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    lr_drop: float = 0.0
    drop_path: float = 0.0
    beta2: float = 0.95
    clip: float = 0.0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        """See that it holds what its types say."""
        settle(self)

    @property
    def family(self) -> Family:
        """The architecture of the method."""
        return "simmim" if self.method.endswith("simmim") else "mae"

    @property
    def uniform(self) -> bool:
        """Whether the method adds the uniformity loss."""
        return self.method.startswith("u-")

    @property
    def error(self) -> Distance:
        """The distance that is trained on."""
        if self.distance == "auto":
            return "absolute" if self.family == "simmim" else "squared"
        return self.distance

    def masks(self, grid: tuple[int, int]) -> MaskDistribution:
        """The masks of images of such patches.

        Raises:
            InputError: a mask unit that does not divide the grid.
        """
        return mask_distribution(self.mask_kind, grid, self.mask_ratio, self.mask_unit)

    def model(self, grid: tuple[int, int], patch_dim: int) -> ModelConfig:
        """The architecture for images of such patches.

        Raises:
            InputError: sizes that make no model, or normalised targets of patches of one value.
        """
        if self.target == "normalised" and patch_dim < 2:
            raise InputError(
                "normalised targets of patches of one value are all 0; use target pixels or larger patches"
            )
        return model_config(
            self.size,
            grid,
            patch_dim,
            family=self.family,
            decoder_dim=self.decoder_dim,
            decoder_depth=self.decoder_depth,
            bottleneck=self.bottleneck,
            reads=self.feature if self.feature in ("cls", "mean") else None,
            relative=self.relative_positions,
            layer_scale=self.layer_scale,
        )


def check_compiler(device: torch.device) -> None:
    """Raise InputError where torch.compile would find nothing to compile with: on a GPU it needs Triton, too."""
    if device.type == "cuda" and find_spec("triton") is None:
        raise InputError("compile on cuda needs Triton, which PyTorch's builds for CUDA bring along; leave compile out")
    variable, usual = ("CC", ("gcc", "clang")) if device.type == "cuda" else ("CXX", ("g++",))
    named = os.environ.get(variable)
    if not any(map(shutil.which, (named,) if named else usual)):
        raise InputError(
            f"compile finds no compiler ({named or ' or '.join(usual)}); install one, name another in {variable}, or "
            "leave compile out"
        )
    # What is compiled is called from Python, and includes its header, which distributions keep in a package of its own.
    if not (header := Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise InputError(
            f"compile finds no {header}, which the code includes; install Python's headers (python3-dev), or leave "
            "compile out"
        )


def check_config(config: TrainConfig) -> None:
    """Raise InputError naming the first value of a configuration that cannot be trained."""
    check_type(config, TrainConfig, "give TrainConfig(method=..., epochs=...) of maskgraph.empirical.config")
    _check_named(config)
    check_view(config.view)
    check_feature(config.feature)
    if config.feature == "bottleneck" and config.bottleneck is None:
        raise InputError("feature bottleneck of a model without one; set bottleneck to its dimension, such as 64")
    if config.final_norm == "twice" and config.feature in ("tokens", "bottleneck"):
        raise InputError(
            f"final_norm twice of {config.feature}, which the decoder reads normalised once; use once, or feature cls"
        )
    config.model((1, 2), 2)
    check_mask(config.mask_kind, config.mask_ratio, config.mask_unit)
    device = resolve_device(config.device)
    if config.compile:
        check_compiler(device)
    for name, least in (("epochs", 1), ("batch", 1), ("accumulate", 1), ("queue", 0)):
        if getattr(config, name) < least:
            raise InputError(f"{name} {getattr(config, name)}; expected at least {least}")
    if config.epochs > MOST_EPOCHS:
        raise InputError(f"epochs {config.epochs}; expected at most {MOST_EPOCHS}")
    check_seed(config.seed)
    if config.accumulate > config.batch:
        raise InputError(f"accumulate {config.accumulate} parts of {config.batch} images; expected at most batch")
    for name in ("lam", "lr", "weight_decay", "clip"):
        value = getattr(config, name)
        if value != "auto" and not 0 <= value < math.inf:
            raise InputError(f"{name} {value:g}; expected a number of at least 0")
    if not 0 <= config.beta2 < 1:
        raise InputError(f"beta2 {config.beta2:g}; expected a number in [0, 1), such as 0.95")
    if not 0 <= config.warmup < 1:
        raise InputError(f"warmup {config.warmup:g}; expected a share of the steps in [0, 1), such as 0.05")
    if config.lr_drop and not config.warmup <= config.lr_drop < 1:
        raise InputError(f"lr_drop {config.lr_drop:g}; expected 0, or a share of the steps from warmup up, below 1")
    if not 0 <= config.drop_path < 1:
        raise InputError(f"drop_path {config.drop_path:g}; expected a probability in [0, 1), such as 0.1")
    if config.uniform and config.lam == "auto" and config.batch < 2:
        raise InputError(
            "lam auto in batches of one image, which have no pairs to measure L on; raise batch or set lam"
        )
    if not config.diagonal and config.batch + config.queue < 2:
        raise InputError("batches of one image have no pairs without the diagonal; raise batch or queue")


def check_decoders(configs: Sequence[TrainConfig]) -> None:
    """Raise InputError for the size of a decoder that none of some trainings has: SimMIM's has none."""
    if any(config.family == "mae" for config in configs):
        return
    for config in configs:
        for name in ("decoder_dim", "decoder_depth"):
            if (value := getattr(config, name)) is not None:
                raise InputError(
                    f"{name} {value} of {config.method}, whose decoder is one linear layer; leave it out, or use mae "
                    "or u-mae"
                )


def check_given(given: Mapping[str, object], methods: Sequence[str], options: bool = False) -> None:
    """Raise InputError for what the uniformity loss alone reads where none of some methods has one.

    Args:
        given: fields of a TrainConfig that a user set, defaults left out.
        methods: what is trained.
        options: whether they were set on the command line, by their options.
    """
    if any(method.startswith("u-") for method in methods):
        return
    for name, option in UNIFORMITY.items():
        if name in given:
            said = "--no-diagonal" if options and name == "diagonal" else f"{option if options else name} {given[name]}"
            raise InputError(
                f"{said} of {' and '.join(methods)}, which {'has' if len(methods) == 1 else 'have'} no uniformity loss "
                f"to read it; leave it out, or use {'--method ' if options else ''}u-{methods[0]}"
            )


def _check_named(config: TrainConfig) -> None:
    if config.method not in get_args(Method):
        raise unknown("method", config.method, get_args(Method))
    choices = {
        "precision": PRECISIONS,
        "target": get_args(Target),
        "distance": ("auto", *get_args(Distance)),
        "final_norm": ("once", "twice"),
    }
    for name, known in choices.items():
        if (value := getattr(config, name)) not in known:
            raise unknown(name, value, known)
    if isinstance(config.lam, str) and config.lam != "auto":
        raise InputError(f"lam {config.lam!r}; expected a number or auto, which is 1/(4Ld)")


def resolve_device(name: str) -> torch.device:
    """The device that auto, cpu or cuda stands for on this machine.

    Raises:
        InputError: another name, or cuda where there is none.
    """
    if name not in DEVICES:
        raise unknown("device", name, DEVICES)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device cuda, but PyTorch sees no CUDA device here; use --device auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
