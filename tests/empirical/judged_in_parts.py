"""What the processes of a group run in the test that they judge as one (see `tests.empirical.in_parts`).

Arguments: the file that the first process writes what it found to, and the checkpoint of fine-tuning.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from maskgraph.empirical import readout
from maskgraph.empirical.classifier import predictions
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.group import Group, TorchGroup
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.readout import layer_features, whole_features
from maskgraph.empirical.regularise import Regularise
from maskgraph.empirical.tuning import FineTune
from tests.empirical.toys import pixels

COUNT, BATCH = 13, 2
"""Thirteen images are read in sixes and one: of three processes two have no image of the last."""

ALL = Regularise(mixup=0.8, cutmix=1.0, erase=0.5, drop_path=0.2)

ONCE = FineTune(epochs=1, batch=COUNT, lr=2e-3, regularise=ALL)
"""One step, of which the gradients are left."""

OFTEN = FineTune(epochs=6, batch=6, lr=2e-3, regularise=ALL)
"""Eighteen, every third of one image."""


def found(group: Group, accumulate: int, path: Path | None = None) -> dict[str, Tensor]:
    """Features, classes and gradients of everything that is judged together."""
    images, model = pixels(count=COUNT), build_model(model_config("micro", (2, 2), 48), 0).eval()
    whole = whole_features(model, images, ["cls", "mean"], group)
    layers = layer_features(model, images, group)
    once, often = (
        fine_tune(model, images, 3, replace(how, accumulate=accumulate), path if how == OFTEN else None, group)
        for how in (ONCE, OFTEN)
    )
    gradients = {f"gradient.{name}": p.grad for name, p in once.named_parameters() if p.grad is not None}
    with torch.no_grad():
        logits = often(torch.linspace(-1, 1, 3 * 4 * 48).reshape(3, 4, 48))
    arrays = {
        **{f"whole.{kind}": values for kind, values in whole.items()},
        **{f"layer.{kind}.{k}": values for kind, each in layers.items() for k, values in enumerate(each)},
        "classes": predictions(often, images, group),
    }
    return {**gradients, "logits": logits, **{name: torch.as_tensor(values) for name, values in arrays.items()}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    readout.BATCH = BATCH
    group = TorchGroup(torch.device("cpu"))
    try:
        told = found(group, accumulate=2, path=Path(sys.argv[2]))
    finally:
        group.leave()
    if group.rank == 0:
        save_file(told, sys.argv[1])
    print(f"{group.rank} of {group.count}: {len(told['classes'])} classes")
