"""Training a masked autoencoder: warm-up, cosine, exact resume, on one process or several.

A run that was killed and resumed takes the same images under the same masks as one that was not, and on one process of
a CPU ends in the same bits on the same machine; attention on a GPU sums gradients in no fixed order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskgraph.empirical.blocks import as_written, compile_blocks
from maskgraph.empirical.checkpoint import (
    OTHER_VERSION,
    check_held,
    check_known,
    check_same,
    check_tensors,
    read_checkpoint,
    read_meta,
    take_up,
    write_checkpoint,
)
from maskgraph.empirical.config import WHERE, TrainConfig, check_config, resolve_device
from maskgraph.empirical.data import CodedSet, TrainingSet, coded_digest, patch_values
from maskgraph.empirical.divergence import check_finite, check_state
from maskgraph.empirical.footprint import check_footprint, room
from maskgraph.empirical.group import Group, check_group
from maskgraph.empirical.model import MaskedModel, ModelConfig, build_model
from maskgraph.empirical.network import resolve_precision
from maskgraph.empirical.pixels import Pixels
from maskgraph.empirical.state import State, model_tensors
from maskgraph.empirical.steps import to_the_end
from maskgraph.empirical.stream import Stream, image_set
from maskgraph.graphs.datasets import CodedImages
from maskgraph.graphs.errors import InputError, as_path, check_function, check_type, is_whole

Images = CodedImages | Pixels | Stream
"""What a model can be trained on."""


OWN: Mapping[str, type | UnionType] = {"step": int, "seconds": int | float}
"""What the metadata of a checkpoint holds beside what it belongs to, and of which type."""


@dataclass(frozen=True)
class TrainedModel:
    """A model and how it came to be.

    Attributes:
        model: in evaluation mode.
        config: of its training.
        losses: (steps, 3) float32, reconstruction per target value, uniformity and its weight in each step.
        seconds: CPU seconds that its steps took; of a model in a stack its share of them.
    """

    model: MaskedModel
    config: TrainConfig
    losses: NDArray[np.float32]
    seconds: float = 0.0


Watch = Callable[[TrainedModel, int], None]
"""Called with a model as far as it is trained, in evaluation mode, and the number of steps that there will be."""


def train(
    images: Images,
    config: TrainConfig,
    path: str | Path | None = None,
    watch: Watch | None = None,
    checkpoint_every: int = 500,
    group: Group | None = None,
) -> TrainedModel:
    """Train one model, or go on where its checkpoint stopped.

    Args:
        images: coded, with a codebook, and the model sees the patch values that the graph sees; or pixels as they are.
        config: how.
        path: its checkpoint; None keeps none. One that is finished is returned as it is. A checkpoint may be gone on
            with by another number of processes.
        watch: shown the model every `checkpoint_every` steps and at the end, after the checkpoint was written, and
            again when one of these is gone on with; in every process of a group.
        checkpoint_every: steps between two checkpoints; one process writes one every minute or few as well.
        group: the processes that train it together, each with its part of every batch; None: this one alone.

    Raises:
        InputError: a configuration that cannot be trained, no images, codes without values, a checkpoint of another
            model, or one that cannot be read or written; a batch that does not fit into memory.
        TrainingDivergedError: the loss, a parameter or an output became NaN or infinite; the checkpoint before stays.
        KeyboardInterrupt: passed on after a checkpoint of the last step was written; where it struck in the middle of
            an update, or several processes train, the checkpoint before stays.
    """
    check_config(config)
    check_images(images)
    check_every(checkpoint_every)
    if watch is not None:
        check_function(watch, "watch", "a TrainedModel and the number of steps")
    check_group(group)
    path, group = None if path is None else as_path(path, "a checkpoint"), group or Group()
    count = len(images.labels)
    device = resolve_device(config.device)
    meta = identity(images, config)
    check_footprint(architecture(images, config), config, count, device, group.count)
    data = training_set(images, config, device)
    state = State(data, config, device, group)
    if path is not None:
        _restore(state, path, meta)
        check_finite(state.total()[: state.step], state.model.parameters(), config)
        if state.step < state.steps:
            store(state, path, meta)

    def keep() -> None:
        check_state(state)
        if path is not None:
            store(state, path, meta)

    def show() -> None:
        if watch is not None:
            with as_written(state.model):
                watch(_trained(state), state.steps)
            state.model.train()

    if state.step and (state.step % checkpoint_every == 0 or state.step == state.steps):
        # Whoever was killed after this checkpoint may have seen nothing of it.
        show()
    running = partial(room, config.batch, config.accumulate, device)
    to_the_end(state, checkpoint_every, running, keep, alone=path is not None and group.count == 1, shown=show)
    compile_blocks(state.model, False)
    return _trained(state)


def check_images(images: Images) -> None:
    """Raise InputError for what is no images, or none."""
    kinds = (CodedImages, Pixels, Stream)
    check_type(images, kinds, "load_coded(Source(name)) of maskgraph.graphs.source gives CodedImages")
    if not len(images.labels):
        raise InputError(f"{images.name} holds no images to train on; expected at least 1")


def check_every(steps: int) -> None:
    """Raise InputError for what is no number of steps between two checkpoints."""
    if not is_whole(steps) or steps < 1:
        raise InputError(f"checkpoint_every {steps!r}; expected at least 1 step, an integer")


def training_set(images: Images, config: TrainConfig, device: torch.device) -> TrainingSet:
    """What a configuration trains on.

    Raises:
        InputError: codes without values, or pixels under a view without positions.
    """
    if isinstance(images, CodedImages):
        return CodedSet(images, config.view, device)
    _check_view(images, config)
    return image_set(images, device)


def _check_view(images: Pixels | Stream, config: TrainConfig) -> None:
    if config.view != "positional":
        raise InputError(f"view {config.view} of {images.name}'s pixels; expected positional: others are of codes")


def architecture(images: Images, config: TrainConfig) -> ModelConfig:
    """That of the model that a configuration trains.

    Raises:
        InputError: images that cannot be cut into patches for it, codes without values, or pixels under a view
            without positions.
    """
    if isinstance(images, CodedImages):
        return config.model(images.grid, patch_values(images).shape[1])
    _check_view(images, config)
    return config.model(images.grid, images.patch_dim)


def check_fits(images: Images, config: TrainConfig, device: torch.device, processes: int, beside: int) -> None:
    """Refuse, before anything is trained, what cannot be.

    Args:
        images: what is trained on.
        config: how.
        device: where.
        processes: that share every batch.
        beside: trainings that will go on at a time on this machine.

    Raises:
        InputError: images that cannot be cut into patches for this model, or a batch beyond memory.
    """
    shape, count = architecture(images, config), len(images.labels)
    check_footprint(shape, config, count, device, processes, beside=beside)


def check_checkpoint(path: Path, images: Images, config: TrainConfig) -> None:
    """Raise InputError if `path` is there and is not a checkpoint of this very training."""
    if path.exists():
        meta = identity(images, config)
        check_same(path, completed(path, read_meta(path), meta), shared_identity(meta))


def load_model(path: str | Path) -> TrainedModel:
    """The model of a finished or unfinished checkpoint, on the CPU.

    Raises:
        InputError: see `read_checkpoint`; one that another version has written.
    """
    path = as_path(path, "a checkpoint")
    tensors, meta = read_checkpoint(path)
    _check_keys(path, meta)
    shape = meta["model"]
    needed = [f.name for f in dataclasses.fields(ModelConfig) if f.default is dataclasses.MISSING]
    check_held(path, shape, needed)
    try:
        model = build_model(ModelConfig(**{**shape, "grid": tuple(shape["grid"])}), seed=0)
        config = TrainConfig(**meta["train"])
    # A size that is none is found by whatever is made of it first.
    except Exception as error:
        said = str(error).partition("\n")[0]
        raise InputError(f"{path} describes a network that cannot be made ({said}); {OTHER_VERSION}") from error
    own = {name: value for name, value in tensors.items() if name.startswith("model.")}
    check_tensors(path, own, {f"model.{name}": value for name, value in model.state_dict().items()})
    check_held(path, tensors, ("losses",))
    losses = tensors["losses"]
    check_tensors(path, {"losses": losses}, {"losses": losses.new_empty((losses.numel() // 3, 3))})
    model.load_state_dict(model_tensors(tensors))
    return TrainedModel(model.eval(), config, losses[: meta["step"]].numpy(), meta["seconds"])


def untrained(images: Images, config: TrainConfig) -> TrainedModel:
    """The model of a configuration before its first step: the random network among the baselines.

    Raises:
        InputError: images without values.
    """
    model = build_model(architecture(images, config), config.seed)
    return TrainedModel(model.eval(), config, np.empty((0, 3), dtype=np.float32))


def _trained(state: State) -> TrainedModel:
    losses = state.total()[: state.step].cpu().numpy()
    return TrainedModel(state.model.eval(), state.config, losses, state.seconds)


def identity(images: Images, config: TrainConfig) -> dict[str, Any]:
    """What a checkpoint belongs to.

    Raises:
        InputError: see `architecture`.
    """
    shape = dataclasses.asdict(architecture(images, config))
    data = coded_digest(images) if isinstance(images, CodedImages) else images.digest()
    # What auto stands for depends on the device, and a training may go on on another.
    precision = resolve_precision(config.precision, resolve_device(config.device))
    return {"model": shape, "train": dataclasses.asdict(config), "precision": precision, "data": data}


def shared_identity(meta: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint must share to be gone on with."""
    free = (*WHERE, "precision")
    return {**meta, "train": {key: value for key, value in meta["train"].items() if key not in free}}


def completed(
    path: Path, found: dict[str, Any], meta: dict[str, Any], own: Mapping[str, type | UnionType] = OWN
) -> dict[str, Any]:
    """Metadata that was found, with the defaults of whatever choices came later.

    Args:
        path: of the checkpoint, for the message.
        found: what it holds.
        meta: what it should be of.
        own: what else it has to hold, and of which type.

    Raises:
        InputError: a key that this version does not know, or one that every version wrote and that is not there.
    """
    _check_keys(path, found, own)
    train = {**dataclasses.asdict(TrainConfig()), **found["train"]}
    later = {f.name: f.default for f in dataclasses.fields(ModelConfig) if f.default is not dataclasses.MISSING}
    said = train["precision"]
    shared = {"precision": meta["precision"] if said == "auto" else said}
    return {**shared, **found, "train": train, "model": {**later, **found["model"]}}


def _check_keys(path: Path, found: dict[str, Any], own: Mapping[str, type | UnionType] = OWN) -> None:
    """Raise InputError for metadata of a checkpoint that another version has written."""
    check_held(path, found, ("model", "train", "data", *own))
    check_known(path, found, ("model", "train", "data", "precision", *own))
    if wrong := [key for key, kind in own.items() if not isinstance(found[key], kind)]:
        raise InputError(f"{path} holds {wrong[0]} {found[wrong[0]]!r}, no number; {OTHER_VERSION}")
    for part, kind in (("train", TrainConfig), ("model", ModelConfig)):
        check_known(path, found[part], [field.name for field in dataclasses.fields(kind)], f"{part}.")


def store(state: State, path: Path, meta: dict[str, Any]) -> None:
    """Write a checkpoint; in every process of a group."""
    tensors = state.tensors()
    if state.group.rank == 0:
        write_checkpoint(path, tensors, {**meta, "step": state.step, "seconds": state.seconds})
    state.group.wait()


def _restore(state: State, path: Path, meta: dict[str, Any]) -> None:
    """Take up the checkpoint at `path`, if there is one."""
    if path.exists():
        found = take_up(
            path, state, lambda found: check_same(path, completed(path, found, meta), shared_identity(meta))
        )
        state.seconds = float(found["seconds"])
    # Nobody writes before all have read.
    state.group.wait()
