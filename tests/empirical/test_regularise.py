"""Mixup, cutmix, random erasing and drop path, pixel by pixel and in their distributions."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from maskgraph.empirical import finetune
from maskgraph.empirical.blocks import Block
from maskgraph.empirical.checkpoint import write_checkpoint
from maskgraph.empirical.classifier import Classifier
from maskgraph.empirical.finetune import fine_tune
from maskgraph.empirical.model import build_model, model_config
from maskgraph.empirical.pixels import patchified
from maskgraph.empirical.regularise import Chance, Regularise, neighbours
from maskgraph.empirical.tuning import FineTune
from maskgraph.graphs.errors import InputError
from tests.empirical.toys import pixels

CPU = torch.device("cpu")

ALL = Regularise(mixup=0.8, cutmix=1.0, erase=0.5, drop_path=0.2)

SIDE, DEPTH, DRAWS = 16, 3, 4000

LEVEL = 1e-4
"""Probability that a right distribution fails a test of it: seeds are fixed, so that it happens never or always."""

GRADIENT = 8 * 2.0**-24
"""Of a float32 gradient for each part that it is summed from, relative to the largest (see test_group)."""

ROUNDING = 1e-6
"""Of a handful of float32 operations on numbers of size one."""


def chance(count: int = 5, **changes: Any) -> Chance:
    plain = Chance(1.0, None, [None] * count, np.arange(count, dtype=np.uint64), None)
    return dataclasses.replace(plain, **changes)


def drawn(how: Regularise, size: int = 1, count: int = DRAWS) -> list[Chance]:
    return [how.draw(np.random.default_rng([0, step]), size, SIDE, DEPTH) for step in range(count)]


def test_neighbours_are_pairs_and_the_last_of_an_odd_number_is_alone() -> None:
    assert neighbours(4, CPU).tolist() == [1, 0, 3, 2]
    assert neighbours(5, CPU).tolist() == [1, 0, 3, 2, 4]
    assert neighbours(1, CPU).tolist() == [0]


def test_mixup_is_a_mean_of_two_images_and_of_their_classes() -> None:
    images = torch.randn(5, 2, 4, 4)
    one = chance(share=0.3)
    mixed, labels = one.mix(images.clone()), torch.tensor([0, 2, 1, 1, 2])
    classes = one.mixed_classes(labels, 3)
    for image, other in ((0, 1), (1, 0), (2, 3), (3, 2), (4, 4)):
        torch.testing.assert_close(mixed[image], 0.3 * images[image] + 0.7 * images[other], atol=ROUNDING, rtol=0)
        wanted = np.zeros(3)
        wanted[labels[image]] += 0.3
        wanted[labels[other]] += 0.7
        np.testing.assert_allclose(classes[image].numpy(), wanted, atol=ROUNDING)


def test_cutmix_puts_a_box_of_the_one_into_the_other() -> None:
    images = torch.randn(5, 2, 4, 6)[..., :4]
    mixed = chance(share=1 - 6 / 16, box=(1, 2, 3, 2)).mix(images)
    for image, other in enumerate(neighbours(5, CPU).tolist()):
        for row in range(4):
            for column in range(4):
                source = other if 1 <= row < 4 and 2 <= column < 4 else image
                assert torch.equal(mixed[image, :, row, column], images[source, :, row, column])


def test_the_loss_of_mixed_images_is_that_of_both_classes() -> None:
    """Smoothed, as published: (1 − s) of the class and s/K of every class, for either of the two."""
    logits, labels = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    classes = chance(4, share=0.25).mixed_classes(labels, 3).double()
    found = functional.cross_entropy(logits, classes, label_smoothing=0.1, reduction="sum")
    wanted = 0.0
    for image, other in enumerate(neighbours(4, CPU).tolist()):
        score = logits[image] - torch.logsumexp(logits[image], 0)
        for share, label in ((0.25, labels[image]), (0.75, labels[other])):
            smooth = torch.full((3,), 0.1 / 3, dtype=torch.float64)
            smooth[label] += 0.9
            wanted -= share * float(smooth @ score)
    assert float(found) == pytest.approx(wanted, rel=1e-6)


def test_shares_of_mixup_are_of_a_beta_distribution() -> None:
    found = drawn(Regularise(mixup=0.8))
    assert all(one.box is None for one in found)
    assert stats.kstest([one.share for one in found], stats.beta(0.8, 0.8).cdf).pvalue > LEVEL


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_boxes_of_cutmix_are_squares_around_a_point_anywhere_cut_by_the_border(alpha: float) -> None:
    found = drawn(Regularise(cutmix=alpha))
    seen = set()
    for one in found:
        assert one.box is not None
        top, left, height, width = one.box
        assert 0 <= top <= top + height <= SIDE
        assert 0 <= left <= left + width <= SIDE
        assert one.share == 1 - height * width / SIDE**2
        if top > 0 and top + height < SIDE and left > 0 and left + width < SIDE:
            assert height == width
        seen |= {(top + row, left + column) for row in range(height) for column in range(width)}
    assert len(seen) == SIDE**2
    # Sides are 2⌊⌊16√u⌋/2⌋ of a u of Beta(α, α) around a uniform pixel: what remains, counted over both.
    remains = 0.0
    for length in range(SIDE):
        likely = np.diff(stats.beta(alpha, alpha).cdf([(length / SIDE) ** 2, ((length + 1) / SIDE) ** 2]))[0]
        half = length // 2
        reach = sum(min(at + half, SIDE) - max(at - half, 0) for at in range(SIDE)) / SIDE
        remains += likely * (1 - (reach / SIDE) ** 2)
    shares = np.array([one.share for one in found])
    assert shares.mean() == pytest.approx(remains, abs=stats.norm.isf(LEVEL / 2) * shares.std() / math.sqrt(DRAWS))


def test_with_both_each_has_half_of_the_steps() -> None:
    cut = sum(one.box is not None for one in drawn(Regularise(mixup=0.8, cutmix=1.0)))
    assert stats.binomtest(cut, DRAWS, 0.5).pvalue > LEVEL


def test_erased_boxes_are_as_large_and_as_flat_as_published() -> None:
    found = [box for one in drawn(Regularise(erase=0.25)) for box in one.erased]
    boxes = [box for box in found if box is not None]
    # Of 10 tries one fits within the image but in a thousandth of the cases or less.
    assert stats.binomtest(len(boxes), DRAWS, 0.25).pvalue > LEVEL
    # To every border, and from none to the one across.
    assert {max(box[side] + box[side + 2] for box in boxes) for side in (0, 1)} == {SIDE}
    for top, left, height, width in boxes:
        assert 0 <= top <= top + height <= SIDE
        assert 0 <= left <= left + width <= SIDE
        assert max(height, width) < SIDE
        # The sides are rounded: each is off by half a pixel at most.
        assert (height - 0.5) * (width - 0.5) <= SIDE**2 / 3
        assert (height + 0.5) * (width + 0.5) >= 0.02 * SIDE**2
        assert (height - 0.5) / (width + 0.5) <= 1 / 0.3
        assert (height + 0.5) / (width - 0.5) >= 0.3
    assert {box[0] for box in boxes} >= set(range(10))
    assert {box[1] for box in boxes} >= set(range(10))


def test_a_box_that_does_not_fit_is_drawn_again() -> None:
    """Of 4 pixels a side of the flattest and smallest boxes is rounded to none, in some tenth of the tries."""
    erased = Regularise(erase=0.5).draw(np.random.default_rng(0), DRAWS, 4, 1).erased
    assert stats.binomtest(sum(box is not None for box in erased), DRAWS, 0.5).pvalue > LEVEL


def test_areas_of_erased_boxes_are_uniform_and_so_are_the_logarithms_of_their_ratios() -> None:
    """Of images so large that rounding is nothing, and of areas below a quarter: there the longest side fits, too."""
    side = 2**14
    boxes = Regularise(erase=0.9).draw(np.random.default_rng(0), 6000, side, 1).erased
    _, _, heights, widths = np.array([box for box in boxes if box is not None]).T
    areas, ratios = heights * widths / side**2, heights / widths
    small = areas < 0.25
    assert stats.kstest(areas[small], stats.uniform(0.02, 0.23).cdf).pvalue > LEVEL
    assert stats.kstest(np.log(ratios[small]), stats.uniform(math.log(0.3), -2 * math.log(0.3)).cdf).pvalue > LEVEL
    assert areas.max() == pytest.approx(1 / 3, rel=0.01)


def test_erasing_leaves_noise_in_the_box_and_all_else_as_it_was() -> None:
    boxes = [(1, 2, 30, 20), None, (0, 0, 10, 39)]
    one = chance(3, erased=boxes)
    images = torch.full((3, 2, 40, 40), 7.0)
    found = one.erase(images.clone(), slice(0, 3))
    inside = torch.zeros(3, 40, 40, dtype=torch.bool)
    inside[0, 1:31, 2:22] = inside[2, 0:10, 0:39] = True
    assert (found[~inside[:, None].expand_as(found)] == 7).all()
    noise = [found[image, :, inside[image]] for image in (0, 2)]
    for values in noise:
        assert stats.kstest(values.flatten().numpy(), stats.norm.cdf).pvalue > LEVEL
    assert not torch.equal(noise[0][:, :100], noise[1][:, :100])
    # Whoever has a part of the batch sees the same.
    parts = [one.erase(images[at].clone(), at) for at in (slice(0, 1), slice(1, 3))]
    assert torch.equal(torch.cat(parts), found)


def test_branches_are_dropped_the_oftener_the_higher_and_scaled_up() -> None:
    found = np.stack([one.branches for one in drawn(Regularise(drop_path=0.4), size=2) if one.branches is not None])
    assert found.shape == (DRAWS, DEPTH, 2, 2)
    for block, rate in enumerate((0.0, 0.2, 0.4)):
        own = found[:, block].ravel()
        assert set(np.unique(own)) <= {np.float32(0), np.float32(1 / (1 - rate))}
        assert stats.binomtest(int((own == 0).sum()), own.size, rate).pvalue > LEVEL
    assert Regularise(mixup=1.0).draw(np.random.default_rng(0), 3, SIDE, DEPTH).branches is None


def test_a_block_adds_its_branches_by_their_factors() -> None:
    torch.manual_seed(0)
    block, x = Block(8, 2).double(), torch.randn(3, 5, 8, dtype=torch.float64)
    first = Block(8, 2).double()
    first.load_state_dict(block.state_dict())
    torch.nn.init.zeros_(first.fc2.weight)
    torch.nn.init.zeros_(first.fc2.bias)
    attended = first(x) - x
    factors = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0]], dtype=torch.float64)
    found = block(x, factors)
    for image in range(3):
        at = x[image] + factors[0, image] * attended[image]
        added = block.fc2(functional.gelu(block.fc1(block.norm2(at))))
        torch.testing.assert_close(found[image], at + factors[1, image] * added)
    assert torch.equal(found[2], block(x)[2])


@pytest.mark.parametrize("family", ["mae", "simmim"])
def test_an_encoder_without_branches_is_its_embedding(family: str) -> None:
    model = build_model(model_config("micro", (2, 2), 48, family=family), 0)
    patches, at = torch.randn(3, 4, 48), torch.arange(4).expand(3, -1)
    nothing = torch.zeros(model.config.depth, 2, 3)
    bare = model.norm(torch.cat([model.cls.expand(3, 1, -1), model.embed(patches) + model.encoder_positions[at]], 1))
    torch.testing.assert_close(model.encode(patches, at, at[:, :0], nothing), bare)
    whole = model.encode(patches, at, at[:, :0])
    torch.testing.assert_close(model.encode(patches, at, at[:, :0], nothing + 1), whole)
    assert not torch.allclose(whole, bare)


@pytest.mark.parametrize("accumulate", [2, 3, 6, 20])
def test_parts_of_a_batch_see_the_chance_of_the_whole(accumulate: int) -> None:
    """Eleven images: pairs stay together, and the last stands alone."""
    how = FineTune(epochs=1, batch=11, regularise=ALL, seed=4)
    model, data = build_model(model_config("micro", (2, 2), 48), 0).eval(), pixels(count=11)
    whole, parts = (fine_tune(model, data, 3, dataclasses.replace(how, accumulate=count)) for count in (1, accumulate))
    gradients = {name: p.grad for name, p in whole.named_parameters() if p.grad is not None}
    scale = max(float(value.abs().max()) for value in gradients.values())
    for name, value in gradients.items():
        found = parts.get_parameter(name).grad
        assert found is not None
        torch.testing.assert_close(found, value, rtol=0, atol=min(accumulate, 11) * GRADIENT * scale, msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_a_step_is_what_chance_says_of_it(seed: int) -> None:
    """The gradient of the second step, written out: erased, then mixed, branches dropped, classes shared out."""
    model, data = build_model(model_config("micro", (2, 2), 48), 0).eval(), pixels(count=8)
    # So slow that the second step starts where the first did.
    tuned = fine_tune(model, data, 3, FineTune(epochs=1, batch=4, lr=1e-30, seed=seed, regularise=ALL))
    one = ALL.draw(np.random.default_rng([seed, 14, 1]), 4, 8, model.config.depth)
    rows = np.random.default_rng([seed, 6, 0]).permutation(8)[4:]
    images = torch.as_tensor((data.pixels[rows] / 255 - data.mean) / data.std).float().permute(0, 3, 1, 2).clone()
    for image, box, noise in zip(images, one.erased, one.noise.tolist(), strict=True):
        if box is not None:
            top, left, height, width = box
            fresh = torch.randn((3, height, width), generator=torch.Generator().manual_seed(noise >> 1))
            image[:, top : top + height, left : left + width] = fresh
    mixed, wanted = images.clone(), torch.zeros(4, 3)
    for image, other in enumerate((1, 0, 3, 2)):
        if one.box is None:
            mixed[image] = one.share * images[image] + (1 - one.share) * images[other]
        else:
            top, left, height, width = one.box
            area = slice(top, top + height), slice(left, left + width)
            mixed[image][:, *area] = images[other][:, *area]
        for share, label in ((one.share, data.labels[rows[image]]), (1 - one.share, data.labels[rows[other]])):
            wanted[image] += share * 0.1 / 3
            wanted[image, label] += share * 0.9
    assert one.branches is not None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = Classifier(copy.deepcopy(model), 3, "mean")
    scores = classifier(patchified(mixed, 4), torch.as_tensor(one.branches)).log_softmax(dim=1)
    (-(wanted * scores).sum() / 4).backward()
    gradients = {name: p.grad for name, p in tuned.named_parameters() if p.grad is not None}
    scale = max(float(value.abs().max()) for value in gradients.values())
    for name, value in gradients.items():
        found = classifier.get_parameter(name).grad
        assert found is not None
        torch.testing.assert_close(found, value, rtol=0, atol=4 * GRADIENT * scale, msg=name)


@pytest.mark.parametrize("one", ["mixup", "cutmix", "erase", "drop_path"])
def test_each_changes_what_is_tuned(one: str) -> None:
    model, data = build_model(model_config("micro", (2, 2), 48), 0).eval(), pixels()
    how = FineTune(epochs=2, batch=6)
    plain, other = (
        fine_tune(model, data, 3, dataclasses.replace(how, regularise=regularise))
        for regularise in (Regularise(), Regularise(**{one: 0.5}))
    )
    assert not torch.equal(plain.model.embed.weight, other.model.embed.weight)


def test_a_checkpoint_from_before_goes_on_without_and_not_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tuned.safetensors"

    def older(where: Path, tensors: Any, meta: dict[str, Any]) -> None:
        for choice in ("regularise", "norm", "clip", "crop"):
            del meta["fine_tune"][choice]
        write_checkpoint(where, tensors, meta)

    model = build_model(model_config("micro", (2, 2), 48), 0).eval()
    how = FineTune(epochs=1, batch=12)
    with monkeypatch.context() as patch:
        patch.setattr(finetune, "write_checkpoint", older)
        fine_tune(model, pixels(), 3, how, path)
    monkeypatch.setattr(finetune, "write_checkpoint", lambda *_: pytest.fail("tuned again"))
    fine_tune(model, pixels(), 3, how, path)
    with pytest.raises(InputError, match=r"fine_tune.regularise is {'mixup': 0.0"):
        fine_tune(model, pixels(), 3, dataclasses.replace(how, regularise=ALL), path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mixup", -0.5, r"mixup -0.5; expected 0, or the α of a Beta\(α, α\), such as 0.8"),
        ("cutmix", math.inf, r"cutmix inf; expected 0, or the α"),
        ("erase", 1.0, r"erase 1; expected a probability in \[0, 1\), such as 0.1"),
        ("drop_path", math.nan, r"drop_path nan; expected a probability"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Regularise(**{name: value})
