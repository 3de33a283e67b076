"""Fine-tuning: what moves, how fast, and that it learns labels that the frozen features do not hold."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from maskgraph.empirical import finetune, readout
from maskgraph.empirical.augment import Augmentation, Draws
from maskgraph.empirical.checkpoint import read_checkpoint, write_checkpoint
from maskgraph.empirical.classifier import Classifier, layer_scales, predictions
from maskgraph.empirical.data import Rows
from maskgraph.empirical.divergence import TrainingDivergedError
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.group import Group
from maskgraph.empirical.model import MaskedModel, build_model, model_config
from maskgraph.empirical.network import resolve_precision
from maskgraph.empirical.pixels import PixelSet
from maskgraph.empirical.readers import DatasetReader
from maskgraph.empirical.readout import whole_features
from maskgraph.empirical.stream import Stream
from maskgraph.empirical.streams import Use
from maskgraph.empirical.tuning import FineTune
from maskgraph.empirical.tuning_state import TuningState
from maskgraph.graphs.errors import InputError
from tests.empirical.toys import pixels

GRADIENT = 8 * 2.0**-24
"""Of a float32 gradient for each part that it is summed from, relative to the largest (see test_group)."""

CLIPPED = 16 * 2.0**-24
"""Of a float32 gradient over its norm, relative: sums of squares, tensor by tensor, good to some ten roundings."""

LINEAR = 16 * 10 * 2.0**-24
"""Of a float32 sum of 64 products, whose partial sums are some ten: √64 roundings of that, and a few of a norm."""


LOSS = 1e-5
"""Of a float32 loss through two blocks, relative: some hundred roundings."""


def network() -> MaskedModel:
    return build_model(model_config("micro", (2, 2), 48), 0).eval()


def test_it_is_as_published_where_nothing_else_is_asked_for() -> None:
    """He et al. 2022, appendix A.1, table 9."""
    how = FineTune()
    assert (how.weight_decay, how.layer_decay, how.smoothing) == (0.05, 0.75, 0.1)


def test_learning_rates_decay_from_the_head_down() -> None:
    scales = layer_scales(Classifier(network(), 3, "mean"), 0.5)
    assert scales["classify.weight"] == scales["model.norm.bias"] == 1
    assert scales["model.blocks.1.fc1.weight"] == 0.5
    assert scales["model.blocks.0.fc1.weight"] == 0.25
    assert scales["model.embed.weight"] == scales["model.cls"] == 0.125
    assert not [name for name in scales if "decoder" in name or "mask_token" in name or "head" in name]
    published = build_model(model_config("micro", (2, 2), 48, family="simmim", relative=True, layer_scale=0.1), 0)
    scales = layer_scales(Classifier(published, 3, "mean"), 0.5)
    assert scales["model.relative.table"] == 1
    assert scales["model.blocks.0.scale1"] == scales["model.blocks.0.fc1.weight"] == 0.25


def test_every_epoch_has_an_order_and_every_step_crops_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[list[int], Draws]] = []
    augmented = PixelSet.augmented

    def noted(data: PixelSet, rows: Rows, draws: Draws) -> Tensor:
        shown.append((rows.tolist(), draws))
        return augmented(data, rows, draws)

    monkeypatch.setattr(PixelSet, "augmented", noted)
    augmentation = Augmentation((0.5, 1.0), flip=True)
    images = dataclasses.replace(pixels(count=8), augmentation=augmentation)
    fine_tune(network(), images, 3, FineTune(epochs=3, batch=5, seed=2))
    assert len(shown) == 6
    for step, (rows, draws) in enumerate(shown):
        order = np.random.default_rng([2, Use.TUNING_ORDER, step // 2]).permutation(8)
        assert rows == order[step % 2 * 5 :][:5].tolist()
        crops = np.random.default_rng([2, Use.TUNING_AUGMENTATION, step])
        np.testing.assert_array_equal(draws, augmentation.draw(crops, len(rows)))


def test_a_long_gradient_is_scaled_down_to_the_clip() -> None:
    """Of all that is tuned together; what is not tuned has none."""

    def gradient(clip: float) -> Tensor:
        tuned = fine_tune(network(), pixels(), 3, FineTune(epochs=1, batch=12, clip=clip))
        return torch.cat([p.grad.flatten() for p in tuned.parameters() if p.grad is not None])

    free = gradient(0.0)
    assert torch.equal(gradient(1e3), free)
    # Less by the 1e-6 that torch adds to the norm before it divides by it.
    wanted = free.double() * (1e-3 / (free.double().norm() + 1e-6))
    torch.testing.assert_close(gradient(1e-3).double(), wanted, rtol=CLIPPED, atol=0)


def test_a_first_step_moves_each_part_by_its_own_rate() -> None:
    """Adam's first step moves a parameter by its learning rate, whatever the gradient."""
    # One class for all: gradients of images of several would cancel, down to Adam's eps.
    model, images = network(), dataclasses.replace(pixels(), labels=np.zeros(12, dtype=np.int64))
    how = FineTune(epochs=1, batch=12, lr=1e-3, layer_decay=0.5, weight_decay=0.0, warmup=0.0)
    tuned = fine_tune(model, images, 3, how)
    for name, scale in layer_scales(tuned, 0.5).items():
        if name.startswith("model."):
            moved = (tuned.get_parameter(name) - model.get_parameter(name[6:])).abs().max()
            # Less by Adam's eps of 1e-8 beside gradients of some 1e-6: the classifier starts near zero.
            assert float(moved.detach()) == pytest.approx(1e-3 * scale, rel=5e-2), name
    before = dict(model.named_parameters())
    for name in ("decoder_embed.weight", "mask_token", "head.weight"):
        assert torch.equal(tuned.model.get_parameter(name), before[name])


def test_a_classifier_starts_where_its_seed_says() -> None:
    first, same, other = (
        TuningState(
            network(), pixels(), 3, FineTune(seed=seed), torch.device("cpu"), Group()
        ).classifier.classify.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_loss_is_the_cross_entropy_of_smoothed_labels() -> None:
    """Away from the equal odds that training starts from, where smoothing costs nothing."""
    images, how = pixels(), FineTune(epochs=1, batch=12, smoothing=0.3)
    state = TuningState(network(), images, 3, how, torch.device("cpu"), Group())
    with torch.no_grad():
        state.classifier.classify.weight.normal_(generator=torch.Generator().manual_seed(0))
        scores = state.classifier(PixelSet(images, torch.device("cpu")).whole(np.arange(12)))
    state.advance()
    odds = np.exp(scores.double().numpy())
    shares = 0.7 * np.eye(3)[images.labels] + 0.3 / 3
    wanted = -(shares * np.log(odds / odds.sum(axis=1, keepdims=True))).sum(axis=1).mean()
    assert float(state._losses[0]) == pytest.approx(wanted, rel=LOSS)


def test_matrices_alone_decay_and_each_layer_is_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.optim.AdamW] = []
    adamw = torch.optim.AdamW

    def kept(*arguments: Any, **options: Any) -> torch.optim.AdamW:
        made.append(adamw(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(torch.optim, "AdamW", kept)
    # With relative positions, which are a matrix and no weight of a layer.
    start = build_model(model_config("micro", (2, 2), 48, family="simmim", relative=True, layer_scale=0.1), 0).eval()
    tuned = fine_tune(start, pixels(), 3, FineTune(epochs=1, batch=12, layer_decay=0.5, weight_decay=0.1))
    names = {id(parameter): name for name, parameter in tuned.named_parameters()}
    groups = made[0].param_groups
    found = {names[id(p)]: (group["scale"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found)
    assert found == {
        name: (scale, 0.1 if tuned.get_parameter(name).ndim == 2 and name.endswith("weight") else 0.0)
        for name, scale in layer_scales(tuned, 0.5).items()
    }
    assert found["model.relative.table"] == (1.0, 0.0)
    assert len({(group["scale"], group["weight_decay"]) for group in groups}) == len(groups)
    # Published are those of torch, and not the second of MAE's training.
    assert {group["betas"] for group in groups} == {(0.9, 0.999)}
    assert {group["eps"] for group in groups} == {1e-8}


def test_a_classifier_starts_from_nearly_equal_odds() -> None:
    """As published for MAE: a normal distribution of 2e-5 and no bias."""
    start = Classifier(network(), 100, "mean").classify
    # Of the deviation of 6,400 draws, five times its own.
    assert float(start.weight.detach().std()) == pytest.approx(2e-5, rel=5 / math.sqrt(2 * 6400))
    assert not start.bias.any()


@pytest.mark.parametrize("feature", ["cls", "mean"])
def test_it_learns_labels_by_heart_and_leaves_the_model_alone(feature: str) -> None:
    model = network()
    images = dataclasses.replace(pixels(count=40), labels=np.random.default_rng(1).integers(4, size=40))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    how = FineTune(feature=feature, epochs=40, batch=20, lr=2e-3, smoothing=0.0, seed=3)
    tuned = fine_tune(model, images, 4, how)
    assert (predictions(tuned, images) == images.labels).mean() == 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    again = fine_tune(model, images, 4, how)
    for one, other in zip(tuned.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_goes_on_from_its_checkpoint_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetune, "APART", 3)
    how, path = FineTune(epochs=4, batch=5), tmp_path / "tuned.safetensors"
    whole = fine_tune(network(), pixels(), 3, how)
    calls, step = [], torch.optim.AdamW.step

    def stopping(optimiser: torch.optim.AdamW) -> None:
        calls.append(0)
        if len(calls) == 8:
            raise KeyboardInterrupt
        step(optimiser)

    monkeypatch.setattr(torch.optim.AdamW, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(network(), pixels(), 3, how, path)
    again = fine_tune(network(), pixels(), 3, how, path)
    # Three steps an epoch: the sixth was stored, the eighth broken off, six were left.
    assert len(calls) == 8 + 6
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    # What auto stands for is what counts.
    fine_tune(network(), pixels(), 3, dataclasses.replace(how, precision="auto"), path)
    with pytest.raises(InputError, match=r"fine_tune.precision is 'fp32' there and 'bf16' here"):
        fine_tune(network(), pixels(), 3, dataclasses.replace(how, precision="bf16"), path)
    with pytest.raises(InputError, match=r"tuned.safetensors is a checkpoint of another model \(fine_tune.seed is 0"):
        fine_tune(network(), pixels(), 3, dataclasses.replace(how, seed=1), path)
    with pytest.raises(InputError, match=r"is a checkpoint of another model \(from "):
        fine_tune(build_model(model_config("micro", (2, 2), 48), 1).eval(), pixels(), 3, how, path)


def test_a_network_that_differs_in_any_number_is_another_one_to_start_from() -> None:
    model = network()
    digests = {finetune._digest(model)}
    for value in model.state_dict().values():
        # The last of its numbers, by one place.
        last = value.view(-1)[-1:]
        last.copy_(torch.nextafter(last, last + 1))
        digests.add(finetune._digest(model))
    assert len(digests) == len(model.state_dict()) + 1


def test_a_checkpoint_of_other_labels_is_refused(tmp_path: Path) -> None:
    """The same images under another task: what was tuned for the first one knows nothing of it."""
    path, how, images = tmp_path / "tuned.safetensors", FineTune(epochs=1, batch=6), pixels()
    stream = Stream("noise", DatasetReader(list(images.pixels)), images.labels, 8, 3, images.patch)
    for data in (images, stream):
        fine_tune(network(), data, 3, how, path)
        with pytest.raises(InputError, match=r"tuned.safetensors is a checkpoint of another model \(labels "):
            fine_tune(network(), dataclasses.replace(data, labels=(data.labels + 1) % 3), 3, how, path)
        # One from before labels were in it goes on.
        tensors, meta = read_checkpoint(path)
        del meta["labels"]
        write_checkpoint(path, tensors, meta)
        fine_tune(network(), data, 3, how, path)
        path.unlink()


@pytest.mark.parametrize(("where", "kept"), [("_chance", 3), ("_optimiser.step", 2)], ids=["between", "in an update"])
def test_an_interrupted_one_goes_on_from_its_last_whole_step(
    where: str, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the fourth step, with a checkpoint of its own after the second: half an update is no step."""
    model, images, how = network(), pixels(), FineTune(epochs=3, batch=6)
    path = tmp_path / "tuned.safetensors"
    monkeypatch.setattr(finetune, "APART", 0)
    whole = fine_tune(model, images, 3, how)

    def interrupting(self: TuningState) -> None:
        owner, name = (self._optimiser, "step") if "." in where else (self, where)
        real = getattr(owner, name)

        def struck(*given: Any) -> Any:
            found = real(*given)
            if self.step == 3:
                raise KeyboardInterrupt
            return found

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, struck)
            advance(self)

    advance = TuningState.advance
    with monkeypatch.context() as patch:
        patch.setattr(TuningState, "advance", interrupting)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(model, images, 3, how, path)
    assert read_checkpoint(path)[1]["step"] == kept
    again = fine_tune(model, images, 3, how, path)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_checkpoint_of_another_version_is_refused_by_the_key_that_differs(tmp_path: Path) -> None:
    path, how = tmp_path / "tuned.safetensors", FineTune(epochs=1, batch=4)
    fine_tune(network(), pixels(), 3, how, path)
    whole, other = path.read_bytes(), "it was written by another version of maskgraph: go on with that one, or delete"
    for where, message in (
        ("fine_tune", "holds fine_tune.new 1, which this version does not know"),
        ("regularise", "holds fine_tune.regularise.new 1, which this version does not know"),
        ("tensors", "lacks the tensor optimiser.exp_avg_sq.classify.bias"),
    ):
        path.write_bytes(whole)
        tensors, meta = read_checkpoint(path)
        if where == "tensors":
            del tensors["optimiser.exp_avg_sq.classify.bias"]
        else:
            (meta["fine_tune"] if where == "fine_tune" else meta["fine_tune"]["regularise"])["new"] = 1
        write_checkpoint(path, tensors, meta)
        with pytest.raises(InputError, match=f"tuned.safetensors {message}; {other}"):
            fine_tune(network(), pixels(), 3, how, path)


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("smoothing", 0, 1),
        ("warmup", 0, 1),
        ("layer_decay", 1, 0),
        ("weight_decay", 0, math.inf),
        ("clip", 0, math.inf),
    ],
)
def test_the_ends_of_a_range_are_in_it_or_not(name: str, allowed: float, refused: float) -> None:
    FineTune(**{name: allowed})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"{name} {refused:g}"):
        FineTune(**{name: refused})  # type: ignore[arg-type]


@pytest.mark.parametrize("accumulate", [2, 5, 20])
def test_parts_of_a_batch_tune_as_the_whole_does(accumulate: int, tmp_path: Path) -> None:
    """In one step of twelve images; and an epoch of eight and four goes on in other parts."""
    once = FineTune(epochs=1, batch=12)
    whole, parts = (
        fine_tune(network(), pixels(), 3, dataclasses.replace(once, accumulate=count)) for count in (1, accumulate)
    )
    gradients = {name: p.grad for name, p in whole.named_parameters() if p.grad is not None}
    scale = max(float(value.abs().max()) for value in gradients.values())
    for name, value in gradients.items():
        found = parts.get_parameter(name).grad
        assert found is not None
        torch.testing.assert_close(found, value, rtol=0, atol=min(accumulate, 12) * GRADIENT * scale, msg=name)
    path, often = tmp_path / "tuned.safetensors", FineTune(epochs=2, batch=8, accumulate=accumulate)
    fine_tune(network(), pixels(), 3, often, path)
    fine_tune(network(), pixels(), 3, dataclasses.replace(often, accumulate=1), path)


@pytest.mark.parametrize("dtype", ["<i4", "<u2", ">i8"])
def test_labels_are_integers_of_any_kind(dtype: str) -> None:
    how = FineTune(epochs=1, batch=12)
    plain, other = (
        fine_tune(network(), dataclasses.replace(pixels(), labels=labels), 3, how)
        for labels in (pixels().labels, pixels().labels.astype(dtype))
    )
    assert torch.equal(plain.classify.weight, other.classify.weight)


def test_bfloat16_tunes_too() -> None:
    """Its steps are others, and it learns the same by heart."""
    images = dataclasses.replace(pixels(count=40), labels=np.random.default_rng(1).integers(4, size=40))
    how = FineTune(epochs=40, batch=20, lr=2e-3, smoothing=0.0, seed=3)
    single, half = (fine_tune(network(), images, 4, dataclasses.replace(how, precision=p)) for p in ("fp32", "bf16"))
    assert not torch.equal(single.classify.weight, half.classify.weight)
    assert (predictions(half, images) == images.labels).mean() == 1


def test_predictions_are_those_of_the_linear_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout, "BATCH", 5)
    images, model = pixels(), network()
    classifier = Classifier(model, 3, "mean")
    features = whole_features(model, images, ["mean"])["mean"]
    probe = LogisticRegression().fit(features, images.labels)
    with torch.no_grad():
        classifier.classify.weight.copy_(torch.as_tensor(probe.coef_))
        classifier.classify.bias.copy_(torch.as_tensor(probe.intercept_))
    np.testing.assert_array_equal(predictions(classifier, images), probe.predict(features))


@pytest.mark.parametrize(("crop", "least", "below"), [((), 0.64, 0.72), ((0.08, 1.0), 0.06, 0.16)])
def test_fine_tuning_cuts_out_shares_of_its_own(
    crop: tuple[float, ...], least: float, below: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to all of an image; whole pixels of 64 move a share by some 3 %."""
    rng = np.random.default_rng(0)
    areas: list[float] = []
    trained_on = dataclasses.replace(
        pixels(Augmentation((0.67, 1.0), flip=True), count=3),
        pixels=rng.integers(256, size=(200, 64, 64, 3), dtype=np.uint8),
        labels=np.arange(200) % 3,
        patch=32,
    )
    boxes = Augmentation.boxes

    def noted(augmentation: Augmentation, draws: Draws, height: int, width: int) -> np.ndarray[Any, Any]:
        assert augmentation.flip
        found = boxes(augmentation, draws, height, width)
        areas.extend(found[:, 2] * found[:, 3] / (height * width))
        return found

    monkeypatch.setattr(Augmentation, "boxes", noted)
    model = build_model(model_config("micro", (2, 2), 3 * 32**2), 0)
    fine_tune(model, trained_on, 3, FineTune(epochs=1, batch=100, crop=crop))
    assert len(areas) == 200
    assert least < min(areas) < below
    assert 0.9 < max(areas) <= 1


def test_a_new_norm_stands_behind_the_mean_in_place_of_the_last() -> None:
    chance = torch.Generator().manual_seed(0)
    model, patches = network(), torch.randn(5, 4, 48, generator=chance)
    classifier = Classifier(copy.deepcopy(model), 3, "mean", "new")
    with torch.no_grad():
        weight = classifier.get_parameter("norm.weight").uniform_(0.5, 2, generator=chance)
        classifier.classify.weight.normal_(generator=chance)
        x = model._embedded(patches, torch.arange(4).expand(5, -1))
        for block in model.blocks:
            x = block(x)
        mean = x[:, 1:].mean(dim=1)
        centred = mean - mean.mean(dim=1, keepdim=True)
        unit = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        wanted = (unit * weight) @ classifier.classify.weight.T
        torch.testing.assert_close(classifier(patches), wanted, rtol=0, atol=LINEAR)
    scales = layer_scales(classifier, 0.5)
    assert scales["norm.weight"] == scales["norm.bias"] == 1
    assert "model.norm.weight" not in scales
    # The network itself keeps its own, also where the copy is tuned.
    tuned = fine_tune(model, pixels(), 3, FineTune(norm="new", epochs=2, batch=6))
    assert isinstance(model.norm, torch.nn.LayerNorm)
    assert not torch.equal(tuned.get_parameter("norm.weight"), torch.ones(model.config.dim))


@pytest.mark.parametrize("stored", [False, True])
def test_fine_tuning_that_diverges_says_where_and_is_no_score(stored: bool, tmp_path: Path) -> None:
    path = tmp_path / "tuned.safetensors" if stored else None
    message = r"of fine-tuning, seed 0, is not finite (at|after) step [0-5]; try a lower learning rate of it, a clip"
    for lr in (1e6, 1e30):
        with pytest.raises(TrainingDivergedError, match=message):
            fine_tune(network(), pixels(), 3, FineTune(epochs=2, batch=4, lr=lr, warmup=0.0), path)
        assert path is None or not path.exists()


def test_a_step_without_a_finite_loss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def breaking(*arguments: Any, **options: Any) -> Tensor:
        calls.append(0)
        return cross_entropy(*arguments, **options) * (math.nan if len(calls) == 6 else 1)

    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", breaking)
    with pytest.raises(TrainingDivergedError, match="the loss of fine-tuning, seed 0, is not finite at step 5; try"):
        fine_tune(network(), pixels(), 3, FineTune(epochs=3, batch=4))


def test_scores_that_are_not_finite_are_of_no_class() -> None:
    classifier = Classifier(network(), 3, "mean")
    with torch.no_grad():
        classifier.classify.bias[1] = math.nan
    with pytest.raises(TrainingDivergedError, match="the classifier's scores of 12 images of noise are not finite"):
        predictions(classifier, pixels())


def test_what_cannot_be_tuned_is_refused() -> None:
    with pytest.raises(InputError, match=r"norm 'new' of cls to fine-tune; expected own, or for mean new"):
        FineTune(feature="cls", norm="new")
    with pytest.raises(InputError, match=r"norm 'none' of mean to fine-tune"):
        FineTune(norm="none")
    with pytest.raises(InputError, match=r"label 2 of noise; expected 0 to 1"):
        fine_tune(network(), pixels(), 2, FineTune())
    with pytest.raises(InputError, match=r"a network in torch.float64; fine-tuning is of .*: give model.float\(\)"):
        fine_tune(network().double(), pixels(), 3, FineTune())
    with pytest.raises(InputError, match=r"feature 'max' to fine-tune; expected cls or mean"):
        FineTune(feature="max")
    with pytest.raises(
        InputError, match=r"unknown precision 'fp16'; did you mean bf16\? expected one of auto, fp32, bf16"
    ):
        FineTune(precision="fp16")
    with pytest.raises(InputError, match=r"smoothing 7 of labels; expected a share in \[0, 1\), such as 0.1"):
        FineTune(smoothing=7)
    with pytest.raises(InputError, match=r"weight_decay -1 of fine-tuning; expected a number of at least 0"):
        FineTune(weight_decay=-1)
    with pytest.raises(InputError, match=r"seed -3; expected an integer from 0 to"):
        FineTune(seed=-3)
    with pytest.raises(InputError, match=r"unknown precision 'half'; expected one of auto, fp32, bf16"):
        resolve_precision("half", torch.device("cpu"))
    with pytest.raises(InputError, match=r"warmup 1.5 of fine-tuning; expected a share of the steps in \[0, 1\)"):
        FineTune(warmup=1.5)
    with pytest.raises(InputError, match=r"layer_decay 0; expected a factor"):
        FineTune(layer_decay=0.0)
    with pytest.raises(InputError, match=r"0 epochs of fine-tuning in batches of 1; expected at least 1"):
        FineTune(epochs=0, batch=1)
    with pytest.raises(InputError, match=r"accumulate 0; expected at least 1 part"):
        FineTune(accumulate=0)
    with pytest.raises(InputError, match=r"fine-tuning crop \[0.5\]; expected the least and the largest share"):
        FineTune(crop=(0.5,))
