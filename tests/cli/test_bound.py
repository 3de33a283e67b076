"""`maskgraph bound`: the contract of its JSON, its table, and its answers to bad input."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from statistics import stdev as deviation
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from maskgraph import bound_command
from maskgraph.cli import main
from maskgraph.figures import style
from maskgraph.graphs.bipartite import mask_graph
from maskgraph.graphs.masks import mask_distribution, mask_set
from maskgraph.graphs.source import Source, load_coded
from maskgraph.graphs.stored import load_stored
from maskgraph.tables import spread_text
from maskgraph.theory.bootstrap import statistics
from tests.cli.refusal import assert_refused
from tests.strategies import VIEWS

ROOT = Path(__file__).parents[2]

KEYS = {
    *("mask_ratio", "dim", "patches", "kept", "masks", "masks_total", "exhaustive", "vertices", "edges", "components"),
    *("eigenvalues", "frobenius_sq", "head_sq", "head_sq_interval", "tail_sq", "tail_sq_interval"),
    *("alpha", "alpha_target", "alpha_most", "phi", "thm_4_1_least"),
    *("intra", "inter", "unseen", "lipschitz", "lambda", "epsilon", "bounds", "bayes_risk", "target_variance"),
    "rank_floor",
}


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["bound", *arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


def world(path: Path, **arrays: Any) -> str:
    file = path / "world.npz"
    np.savez(file, **arrays)
    return str(file)


@pytest.fixture
def coded(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    return world(
        tmp_path,
        codes=rng.integers(3, size=(12, 4)),
        labels=np.array([3, 7] * 6),
        weights=rng.random(12),
        codebook=rng.random((3, 2)),
    )


def test_json_holds_the_contract_and_nothing_else(coded: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, coded, "--mask-ratio", "0.25", "0.5", "--dim", "3", "--seed", "5", "--hop", "image")
    assert set(found) == {"dataset", "images", "coding", "view", "hop", "mask", "mask_unit", "seed", "ratios"}
    assert (found["images"], found["coding"]) == (12, None)
    assert (found["dataset"], found["view"], found["hop"]) == (coded, "positional", "image")
    assert found["seed"] == 5
    assert (found["mask"], found["mask_unit"]) == ("uniform", 1)
    assert [ratio["mask_ratio"] for ratio in found["ratios"]] == [0.25, 0.5]
    for ratio in found["ratios"]:
        assert set(ratio) == KEYS
        assert ratio["dim"] == 3
        assert set(ratio["bounds"]) == {"thm_4_2", "thm_4_2_any_lambda", "water_filling"}
        assert len(ratio["eigenvalues"]) == 3
        low, high = ratio["tail_sq_interval"]
        assert low <= ratio["tail_sq"] <= high


def test_a_ratio_says_the_same_whatever_others_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    # One code is kept at 0.9375: eight visible views at most, on which no feature spans 64 dimensions.
    options = ("digits", "--view", "bag", "--max-masks", "8", "--codes", "8", "--mask-ratio")
    alone = answer(capsys, *options, "0.75")["ratios"]
    both = answer(capsys, *options, "0.75", "0.9375")["ratios"]
    assert both[0] == alone[0]
    assert [found["dim"] for found in both] == [64, 8]
    assert main(["bound", *options, "0.75", "0.9375"]) == 0
    out = capsys.readouterr().out
    assert "dim 8 to 64" in out
    assert "thm_4_2 <= lambda/dim = 0.003906 to 0.03125 is vacuous" in out
    rows = [line.split() for line in out.splitlines()]
    place = rows[2].index("dim")
    assert [row[place] for row in rows[4:6]] == ["64", "8"]
    # The largest of these dimensions is not the default.
    for ratios, said in (("0.75",), False), (("0.75", "0.9375"), True), (("0.9375",), True):
        assert main(["bound", *options, *ratios]) == 0
        assert ("dim is 64, or N1 where that is less" in capsys.readouterr().out) is said


def test_a_figure_of_what_the_table_says(coded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new" / "bound.png"
    assert main(["bound", coded, "--mask-ratio", "0.25", "0.5", "--dim", "2", "--figure", str(file)]) == 0
    assert str(file) in capsys.readouterr().err
    with Image.open(file) as image:
        assert image.format == "PNG"


def test_thm_4_2_is_null_where_lambda_is_another(coded: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = (coded, "--mask-ratio", "0.5", "--dim", "2", "--lipschitz", "2")
    assert answer(capsys, *options)["ratios"][0]["bounds"]["thm_4_2"] is not None
    assert answer(capsys, *options, "--lambda", "0.125")["ratios"][0]["bounds"]["thm_4_2"] is not None
    assert answer(capsys, *options, "--lambda", "0.1")["ratios"][0]["bounds"]["thm_4_2"] is None


def test_without_patch_values_risks_are_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = world(tmp_path, codes=np.array([[0, 1, 0], [1, 1, 0]]), labels=np.array([0, 1]))
    ratio = answer(capsys, path, "--mask-ratio", "0.5", "--dim", "1")["ratios"][0]
    assert ratio["bayes_risk"] is ratio["target_variance"] is ratio["rank_floor"] is None


def test_pixels_are_patched_and_coded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Binary 2x2 images of 1-pixel patches with an exact codebook are the codes themselves."""
    pixels = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]], [[0, 1], [0, 1]]])
    labels = np.array([0, 1, 1])
    path = world(tmp_path, pixels=pixels, labels=labels)
    options = ("--patch", "1", "--codebook", "exact", "--mask-ratio", "0.5", "--dim", "2", "--view", "bag")
    from_pixels = answer(capsys, path, *options)["ratios"]
    path = world(tmp_path, codes=pixels.reshape(3, 4), labels=labels, codebook=np.array([[0.0], [1.0]]))
    assert from_pixels == answer(capsys, path, "--mask-ratio", "0.5", "--dim", "2", "--view", "bag")["ratios"]


def test_bytes_give_the_numbers_of_the_images_that_they_are_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Digits in a .npz, in bytes or from 0 to 1, say what digits say."""
    options = ("--mask-ratio", "0.75", "--view", "bag", "--images", "90", "--patch", "2", "--dim", "4")
    digits = answer(capsys, "digits", *options)["ratios"]
    raw = load_stored("digits")
    for pixels in (raw.pixels, raw.pixels.astype(np.float32), raw.pixels / 16):
        assert answer(capsys, world(tmp_path, pixels=pixels, labels=raw.labels), *options)["ratios"] == digits
    for pixels, found in ((raw.pixels / 4, "0 to 4"), (raw.pixels / 8 - 1, "-1 to 1")):
        path = world(tmp_path, pixels=pixels, labels=raw.labels)
        for command in ("bound", "train"):
            message = f"pixels of {path} go from {found}; expected bytes from 0 to 255, or numbers from 0 to 1"
            assert_refused(capsys, message, command, path, "--mask-ratio", "0.75", "--patch", "2")


@pytest.mark.parametrize("mask", ["block", "grid"])
def test_codes_say_what_the_pixels_say_under_masks_of_a_plane(
    mask: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--mask-ratio", "0.75", "--mask", mask, "--dim", "4")
    coded = load_coded(Source("digits", images=90))
    arrays = {"codes": coded.codes, "labels": coded.labels, "codebook": coded.codebook}
    path = world(tmp_path, **arrays, grid=np.array([4, 4]))
    (digits,) = answer(capsys, "digits", "--images", "90", *options)["ratios"]
    (found,) = answer(capsys, path, *options)["ratios"]
    for name in ("masks", "vertices", "edges", "components"):
        assert found[name] == digits[name]
    for name in ("frobenius_sq", "alpha", "inter", "bayes_risk"):
        # The weights of images that were drawn are rounded once more.
        assert found[name] == pytest.approx(digits[name], rel=1e-12)
    path = world(tmp_path, **arrays)
    message = rf"{mask} masks of {path}, whose codes lie on no known plane; add grid, two integers .* columns = 16"
    for command in ("bound", "verify", "train"):
        out = ("--out", str(tmp_path / "run")) if command == "train" else ()
        assert_refused(capsys, message, command, path, "--mask-ratio", "0.75", "--mask", mask, *out)
    assert not (tmp_path / "run").exists()


def test_how_pixels_became_codes_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It changes every number. A threshold codebook has the intervals that hold a patch, here two of five."""
    pixels = np.repeat(np.repeat([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]], 2, axis=1), 2, axis=2)
    file = world(tmp_path, pixels=pixels, labels=np.array([0, 1]))
    options = (file, "--patch", "2", "--mask-ratio", "0.5", "--codebook", "threshold", "--codes", "5")
    found = answer(capsys, *options)
    assert found["coding"] == {"patch": 2, "codebook": "threshold", "codes": 2}
    assert found["images"] == 2
    figure = tmp_path / "bound.png"
    assert main(["bound", *options, "--figure", str(figure)]) == 0
    said = "2 images of 4 patches (2 x 2 pixels, threshold, 2 codes), positional views, target hop"
    assert said in capsys.readouterr().out


def test_what_is_known_without_a_spectrum_is_told_where_it_says_more(capsys: pytest.CaptureFixture[str]) -> None:
    """I2 and U floor the same loss by the Bayes risk and lambda/dim."""
    options = ("mixture:n=4,eta=0.2", "--view", "sequence", "--mask-ratio", "0.25", "0.5", "--dim", "2")
    rows = answer(capsys, *options)["ratios"]
    assert all(row["bayes_risk"] + row["lambda"] / 2 > row["bounds"]["water_filling"] for row in rows)
    assert main(["bound", *options]) == 0
    out = capsys.readouterr().out
    assert "At rho 0.25, 0.5 bayes + lambda/dim is above S2" in out
    least = ", ".join(f"{row['thm_4_1_least']:.4g}" for row in rows)
    assert (
        f"Thm 4.1 bounds a probe's error by no less than {least}, whatever the features; from 1 on it says nothing."
        in out
    )
    # Of a small L both bounds are large, whatever the targets: more than λ is never needed.
    assert main(["bound", *options, "--lipschitz", "0.001"]) == 0
    assert "bayes + lambda/dim" not in capsys.readouterr().out
    assert main(["bound", *options, "--hop", "image"]) == 0
    assert "bayes + lambda/dim" not in capsys.readouterr().out, "there bounds are not of L_MAE"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), True),
        (("--max-masks", "70"), False),
        (("--hop", "image"), False),
        (("--mask", "block"), False),
        (("--mask-ratio", "0.25", "0.375"), False),
    ],
)
def test_ratios_that_the_draw_of_masks_alone_tells_apart(
    more: tuple[str, ...], told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--view", "sequence", "--max-masks", "9", "--dim", "2", "--mask-ratio", "0.5", "0.25", "0.75")
    assert main(["bound", "mixture:n=8,eta=0.3", *options, *more]) == 0
    assert ("Under all masks rho 0.25 and 0.75 have one spectrum (F2" in capsys.readouterr().out) == told


def test_table_for_people(coded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", coded, "--mask-ratio", "0.5", "--dim", "6"]) == 0
    out = capsys.readouterr().out
    assert "12 images of 4 patches" in out
    assert "thm_4_2 <= lambda/dim = 0.04167 is vacuous" in out
    assert "S2 is no more than that at rho 0.5, and as vacuous." in out
    assert "comps >= dim" in out
    assert "masks, " not in out
    assert "masks in" not in out


def test_masks_that_are_not_the_usual_ones_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bound", "digits", "--mask-ratio", "0.5", "--images", "20", "--dim", "2", "--mask-unit", "2")
    assert main(list(arguments)) == 0
    out = capsys.readouterr().out
    assert "positional views, uniform masks in squares of 2 x 2 patches, target hop" in out
    assert " 6/6 " in out


def test_a_figure_names_the_masks_that_the_table_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setattr(style, "save", lambda figure, _path: titles.append(figure.axes[0].get_title(loc="left")))
    arguments = ["bound", "digits", "--mask-ratio", "0.5", "--images", "20", "--dim", "2", "--mask", "block"]
    assert main([*arguments, "--figure", str(tmp_path / "bound.png")]) == 0
    assert titles == ["digits (2 x 2 pixels, kmeans, 4 codes), positional views, block masks, target hop"]


def test_one_image_is_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = world(tmp_path, codes=np.array([[0, 1, 2]]), labels=np.array([0]))
    assert main(["bound", file, "--mask-ratio", "0.5"]) == 0
    assert ": 1 image of 3 patches, " in capsys.readouterr().out


@pytest.fixture
def drawn(tmp_path: Path) -> str:
    """Twelve images without weights: draws."""
    rng = np.random.default_rng(0)
    codes, labels = rng.integers(2, size=(12, 4)), np.array([3, 7] * 6)
    return world(tmp_path, codes=codes, labels=labels, codebook=rng.random((2, 2)))


def test_unseen_masses_are_null_where_weights_state_a_distribution(
    coded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, coded, "--mask-ratio", "0.5", "--dim", "2", "--max-masks", "4")["ratios"][0]["unseen"]
    assert found == {"visible": None, "target": None, "visible_fresh_mask": 1.0, "target_fresh_mask": 1.0}


def test_unseen_masses_of_draws(drawn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One patch of two codes is seen from many images; three patches of an image in part from it alone."""
    options = (drawn, "--mask-ratio", "0.75", "--dim", "2", "--view", "sequence")
    found = answer(capsys, *options)["ratios"][0]["unseen"]
    with np.load(drawn) as arrays:
        codes = arrays["codes"].tolist()
    targets = [[tuple(row[:p] + row[p + 1 :]) for p in range(4)] for row in codes]
    alone = sum(
        not any(view in other for j, other in enumerate(targets) if j != i)
        for i, own in enumerate(targets)
        for view in own
    )
    assert found["target"] == pytest.approx(alone / 48)
    assert (found["visible"], found["visible_fresh_mask"], found["target_fresh_mask"]) == (0, None, None)


def test_intervals_come_with_the_flag_alone(drawn: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = (drawn, "--mask-ratio", "0.5", "0.75", "--dim", "2", "--view", "bag")
    plain = answer(capsys, *options)
    found = answer(capsys, *options, "--bootstrap", "40")
    for ratio, without in zip(found["ratios"], plain["ratios"], strict=True):
        interval = ratio.pop("bootstrap")
        assert ratio == without
        assert (interval["resamples"], interval["level"]) == (40, 0.95)
        assert set(interval["intervals"]) == {
            *("head_sq", "tail_sq", "thm_4_2_any_lambda", "water_filling", "alpha", "alpha_target", "phi", "inter"),
            *("bayes_risk", "target_variance", "rank_floor"),
        }
        assert all(low <= high for low, high in interval["intervals"].values())
    assert main(["bound", *options, "--bootstrap", "40"]) == 0
    out = capsys.readouterr().out
    assert "95 % basic bootstrap intervals over images, 40 resamples" in out
    assert ("have the same masks" in out) == (not all(ratio["exhaustive"] for ratio in found["ratios"]))
    assert "an end may lie\nwhere no value can" in out
    assert "..".join(f"{end:.4g}" for end in interval["intervals"]["phi"]) in out


@pytest.mark.parametrize(
    ("options", "drawn"),
    [
        (("digits", "--view", "bag", "--images", "150", "--max-masks", "5"), ["images", "codebook", "masks"]),
        (("digits", "--view", "bag", "--codebook", "threshold", "--max-masks", "20"), ["masks"]),
        (("digits", "--view", "bag", "--mask-unit", "2"), ["codebook"]),
        (("mixture:n=8,eta=0.3", "--view", "sequence", "--images", "40"), ["images"]),
    ],
    ids=lambda one: " ".join(one),
)
def test_a_seed_among_others_says_what_it_says_alone(
    options: tuple[str, ...], drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*options, "--mask-ratio", "0.25", "0.75", "--dim", "3")
    alone = [answer(capsys, *options, "--seed", str(seed))["ratios"] for seed in (4, 5, 6)]
    together = answer(capsys, *options, "--seed", "4", "--seeds", "3")
    assert together["seed"] == 4
    for place, found in enumerate(together["ratios"]):
        of_draws = found.pop("draws")
        assert found == alone[0][place]
        rows = [statistics(seed[place]) for seed in alone]
        assert of_draws == {
            "seeds": [4, 5, 6],
            "drawn": drawn,
            "numbers": {name: [row[name] for row in rows] for name in rows[0]},
        }
        # K-means of all digits ends in the same codes whatever it begins with.
        assert len({row["inter"] for row in rows}) == (1 if drawn == ["codebook"] else 3)


def test_means_over_seeds_are_told_to_the_second_digit_of_their_spread(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("digits", "--view", "bag", "--images", "300", "--max-masks", "8", "--mask-ratio", "0.5", "--dim", "2")
    numbers = answer(capsys, *options, "--seeds", "4")["ratios"][0]["draws"]["numbers"]
    assert main(["bound", *options, "--seeds", "4"]) == 0
    out = capsys.readouterr().out
    assert "over 4 draws of images, codebook and masks, seeds 0 to 3; what stands above is of seed 0:" in out
    header, _, row = (line.split() for line in out[out.index("mean ± SD") :].splitlines()[2:5])
    told = dict(zip(header, row, strict=True))
    assert told["rho"] == "0.5"
    for column, name in (
        ("head", "head_sq"),
        ("alpha", "alpha"),
        ("S2", "water_filling"),
        ("Var(x2)", "target_variance"),
    ):
        mean, sd = (float(part) for part in told[column].split("±"))
        unit = 10.0 ** (math.floor(math.log10(deviation(numbers[name]))) - 1)
        assert mean == pytest.approx(fmean(numbers[name]), abs=unit / 2 * (1 + 1e-9))
        assert sd == pytest.approx(deviation(numbers[name]), abs=unit / 2 * (1 + 1e-9))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([1000.0, 2000.0], "1500±707"),
        ([10.0, 30.0], "20±14"),
        ([1.0, 1.5], "1.25±0.35"),
        ([0.0, 3e-8], "1.5e-08±2.1e-08"),
        ([64.0, 64.0 * (1 + 1e-12)], "64±0"),
        # The mean keeps its digits where the SD is far below it.
        ([0.24731, 0.247311], "0.2473±7.1e-07"),
    ],
)
def test_how_a_spread_is_written(values: list[float], told: str) -> None:
    assert spread_text(values) == told


def test_a_draw_of_masks_is_told_where_nothing_tells_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*options: str) -> str:
        assert main(["bound", "digits", "--images", "40", "--mask-ratio", "0.5", "0.9375", *options]) == 0
        return capsys.readouterr().out

    # Of one kept patch there are 16.
    told = "The masks of rho 0.5 are drawn: --seeds 20 tells what others would say."
    assert told in said("--max-masks", "16")
    assert "are drawn" not in said("--max-masks", "16", "--seeds", "2")
    assert "are drawn" not in said("--mask-unit", "2", "--mask-ratio", "0.5", "0.75")


def test_a_draw_of_fewer_views_than_the_dimension(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Is bounded at their number: the others' eigenvalues would be 0."""
    codes = np.array([[0, 0, 0, 0]] * 40 + [[1, 2, 0, 1]])
    path = world(tmp_path, codes=codes, labels=np.arange(41) % 2)
    options = (path, "--mask-ratio", "0.75", "--view", "bag", "--images", "40")
    alone = [answer(capsys, *options, "--seed", f"{seed}")["ratios"][0] for seed in range(40)]
    views = [found["vertices"][0] for found in alone]
    most, least = views.index(3), views.index(1)
    assert most < least
    assert answer(capsys, *options, "--seed", f"{most}", "--dim", "3")["ratios"][0]["dim"] == 3
    numbers = answer(capsys, *options, "--seed", f"{most}", "--dim", "3", "--seeds", f"{least - most + 1}")
    heads = numbers["ratios"][0]["draws"]["numbers"]["head_sq"]
    assert heads[-1] == alone[least]["head_sq"] == pytest.approx(1, abs=1e-12)
    assert len(heads) == least - most + 1


def test_intervals_say_what_all_resamples_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*options: str) -> str:
        assert main(["bound", *options, "--mask-ratio", "0.5", "--view", "bag", "--dim", "2", "--bootstrap", "39"]) == 0
        return capsys.readouterr().out.partition("coverage.md.\n")[2].partition("Resamples")[0]

    pixels = ("digits", "--images", "60", "--mask-unit", "2")
    assert said(*pixels) == "All resamples have the same codebook: what others would say, --seeds tells.\n"
    coded = world(tmp_path, codes=np.arange(40).reshape(10, 4) % 3, labels=np.arange(10) % 2)
    assert said(coded) == ""
    assert "have the same masks: what others" in said(coded, "--max-masks", "2")
    assert "have the same masks and codebook: what" in said("digits", "--images", "60", "--max-masks", "2")


def test_views_that_tell_nothing_of_the_class_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of twenty images is of another class: an α of a twentieth is no merit of the views."""
    blind = world(tmp_path, codes=np.tile([[0, 0, 0, 0]], (20, 1)), labels=np.arange(20) // 19)
    options = (blind, "--mask-ratio", "0.5", "--dim", "1")
    found = answer(capsys, *options)["ratios"][0]
    assert found["alpha"] == pytest.approx(0.05)
    assert found["alpha_most"] == pytest.approx(0.05)
    assert main(["bound", *options]) == 0
    assert "At rho 0.5 alpha is 0.05, what guessing the largest class gets wrong: no view ma" in capsys.readouterr().out
    seeing = world(tmp_path, codes=np.repeat(np.arange(20)[:, None] // 19, 4, axis=1), labels=np.arange(20) // 19)
    assert main(["bound", seeing, *options[1:]]) == 0
    assert "guessing the largest class" not in capsys.readouterr().out


def test_a_warning_where_the_graph_tells_of_the_sample(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*options: str) -> str:
        assert main(["bound", *options, "--dim", "2"]) == 0
        return capsys.readouterr().out

    sparse = said("mixture:n=8,eta=0.3", "--images", "10", "--mask-ratio", "0.5", "0.75")
    assert "WARNING, rho 0.5, 0.75: more than 10 % of what a fresh image shows" in sparse
    assert "fresh mask" not in said("mixture:n=8,eta=0.3", "--images", "10", "--mask-ratio", "0.5", "--max-masks", "3")
    few = said("mixture:n=8,eta=0.3", "--images", "10", "--mask-ratio", "0.5", "--max-masks", "2", "--view", "sequence")
    assert "WARNING, rho 0.5: more than 10 % of what a fresh mask shows" in few
    assert "WARNING" not in said("mixture:n=8,eta=0.3", "--mask-ratio", "0.5")
    dense = said("mixture:n=8,eta=0.3", "--images", "400", "--mask-ratio", "0.5", "--view", "sequence")
    assert "WARNING" not in dense


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("patches", range(2, 8))
@pytest.mark.parametrize("images", [10, 70, 300])
def test_a_tenth_is_not_more_than_a_tenth(
    images: int, patches: int, view: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However its masses are rounded: a tenth of the images are like no other, and then one more is."""
    for unlike, warned in ((images // 10, False), (images // 10 + 1, True)):
        codes = np.repeat(np.maximum(np.arange(images) - images + unlike + 1, 0)[:, None], patches, axis=1)
        drawn = world(tmp_path, codes=codes, labels=np.zeros(images, dtype=int))
        assert main(["bound", drawn, "--mask-ratio", "0.5", "--dim", "1", "--view", view]) == 0
        assert ("WARNING" in capsys.readouterr().out) == warned


def test_nothing_is_built_where_there_is_nothing_to_resample(
    coded: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        raise AssertionError("a graph was built")

    monkeypatch.setattr("maskgraph.commands.mask_graph", build)
    assert_refused(
        capsys, "has weights and so is a distribution", "bound", coded, "--mask-ratio", "0.5", "--bootstrap", "99"
    )


BAD = [
    (("digits", "--mask-ratio", "1"), r"mask ratio 1 is outside \(0, 1\)"),
    (("digits", "--mask-ratio", "0"), r"mask ratio 0 is outside \(0, 1\)"),
    (("digits", "--mask-ratio", "nan"), r"mask ratio nan is outside \(0, 1\)"),
    (("digits", "--mask-ratio", "x"), r"'x' is no number; expected such as 0.75"),
    (("--mask-ratio", "0.5", "digits"), r"--mask-ratio: 'digits' is no number; .* and DATASET before all"),
    (("digits", "--mask-ratio", "0.25,0.5"), r"'0.25,0.5' is no number; .* several with spaces between them"),
    (("digits", "--maskratio", "0.5"), r"unrecognized arguments: --maskratio; did you mean --mask-ratio\? \(see"),
    (("digits",), r"required: --mask-ratio"),
    (("digits", "--mask-ratio", "0.5", "--patch", "3"), r"patch size 3 does not divide the 8x8 image; choose one of"),
    (("digits", "--mask-ratio", "0.5", "--max-masks", "2", "--dim", "99999"), r"dimension 99999 for a graph of"),
    (("digits", "--mask-ratio", "0.5", "--dim", "0"), r"dimension 0; expected at least 1"),
    (("digits", "--mask-ratio", "0.5", "0.5"), r"mask ratios 0.5 and 0.5 both keep 8 of 16 patches; drop one"),
    (("digits", "--mask-ratio", "0.5", "0.51"), r"mask ratios 0.5 and 0.51 both keep 8 of 16 patches; drop one"),
    (("digits", "--mask-ratio", "0.5", "--max-masks", "0"), r"max_masks 0; expected an integer of at least 1"),
    (("digits", "--mask-ratio", "0.5", "--view", "up"), r"unknown view 'up'; expected one of positional"),
    (("digits", "--mask-ratio", "0.5", "--hop", "up"), r"unknown hop 'up'; expected one of target, image"),
    (("digits", "--mask-ratio", "0.5", "--mask", "up"), r"unknown mask distribution 'up'"),
    (("digits", "--mask-ratio", "0.5", "--mask-unit", "3"), r"mask unit 3 on 4 x 4 patches; expected a divisor"),
    (("digits", "--mask-ratio", "0.5", "--codebook", "up"), r"unknown codebook 'up'"),
    (("digits", "--mask-ratio", "0.5", "--codes", "1"), r"1 codes; a codebook needs at least 2"),
    (("digits", "--mask-ratio", "0.5", "--images", "9999"), r"images 9999 exceeds the 1797 images"),
    (("digits", "--mask-ratio", "0.5", "--lipschitz", "0"), r"Lipschitz constant 0; expected a positive"),
    (("digits", "--mask-ratio", "0.5", "--lipschitz", "nan"), r"Lipschitz constant nan"),
    (("digits", "--mask-ratio", "0.5", "--lambda", "-1"), r"lambda -1; expected a positive"),
    (("digits", "--mask-ratio", "0.5", "--epsilon", "-1"), r"epsilon -1; expected a number of at least 0"),
    (("digits", "--mask-ratio", "0.5", "--seed", "-1"), r"seed -1; expected"),
    (
        ("digits", "--mask-ratio", "0.5", "--seed", str(2**32)),
        r"seed 4294967296; expected an integer from 0 to 4294967295",
    ),
    (("digits", "--mask-ratio", "0.5", "--seeds", "0"), r"seeds 0; expected at least 1"),
    (("digits", "--mask-ratio", "0.5", "--seeds", "10001"), r"seeds 10001; expected at most 10000"),
    (("digits", "--mask-ratio", "0.5", "--seeds", "2", "--seed", str(2**32 - 1)), r"seed 4294967296; expected"),
    (("mixture", "--mask-ratio", "0.5", "--seeds", "3"), r"seeds 3 of mixture.*nothing is drawn: .* leave out --seeds"),
    (("digits", "--codebook", "exact", "--mask-ratio", "0.0625", "--seeds", "3"), r"seeds 3 of digits.*nothing is"),
    (("digits", "--mask-ratio", "0.5", "--bootstrap", "0"), r"bootstrap 0; expected at least 39 resamples"),
    (("digits", "--mask-ratio", "0.5", "--bootstrap", "-3"), r"bootstrap -3; expected"),
    (("digits", "--mask-ratio", "0.5", "--bootstrap", "38"), r"bootstrap 38; .*none is as far out as the ends"),
    (("digits", "--mask-ratio", "0.5", "--figure", "bound.pdf"), r"--figure bound\.pdf; expected a file .* \.png"),
    (("digits", "--mask-ratio", "0.5", "--figure", "/dev/null/b.png"), r"/dev/null/b\.png cannot be written"),
    (("digits", "--mask-ratio", "0.5", "--bootstrap", "2.5"), r"'2.5' is no integer; expected such as 64"),
    (
        ("digits", "--mask-ratio", "0.5", "--bootstrap", "9" * 400),
        r"9 is beyond the 64-bit integers; expected at most 9",
    ),
    (("digits", "--images", "1", "--codes", "2", "--mask-ratio", "0.5", "--bootstrap", "99"), r"1 image: every"),
    (("mixture", "--mask-ratio", "0.5", "--bootstrap", "99"), r"is a distribution, not a sample: .*--images"),
    (("cifar", "--mask-ratio", "0.5"), r"unknown dataset 'cifar'; did you mean cifar10\? expected one of digits"),
    (("digit", "--mask-ratio", "0.5"), r"unknown dataset 'digit'; did you mean digits\? expected one of digits"),
    (("Mixture:n=4", "--mask-ratio", "0.5"), r"unknown dataset 'Mixture:n=4'; did you mean mixture\? expected"),
    (
        ("digits", "--mask-ratio", "0.5", "--veiw", "bag"),
        r"^maskgraph bound: error: .*: --veiw bag; did you mean --view\? \(see maskgraph bound --help\)$",
    ),
    (("digits", "--mask-ratio", "0.5", "--zzz"), r"unrecognized arguments: --zzz \(see maskgraph bound --help\)$"),
    (("none.npz", "--mask-ratio", "0.5"), r"none.npz does not exist in /.*; expected a .npz file"),
    (("mixture:m=3", "--mask-ratio", "0.5"), r"unknown key 'm' in 'mixture:m=3'; expected one of n, eta, classes"),
    (("mixture:n=x", "--mask-ratio", "0.5"), r"sets n to 'x'; expected an integer"),
    (("mixture:n=40", "--mask-ratio", "0.5"), r"more than the 200000 that are enumerated"),
    (("mixture", "--mask-ratio", "0.5", "--codes", "3"), r"made of codes already"),
    (("digits", "--mask-ratio", "0.5", "--data-dir", "no"), r"data_dir no of digits, which reads nothing there; leave"),
    (("mixture", "--mask-ratio", "0.5", "--data-dir", "no"), r"data_dir no of mixture, which reads nothing there"),
    ((".", "--mask-ratio", "0.5", "--image-size", "8", "--data-dir", "no"), r"data_dir no of \., which reads nothing"),
    (("fashion-mnist", "--mask-ratio", "0.5", "--data-dir", ""), r"argument --data-dir: '' is no path; expected"),
    (("digits", "--mask-ratio", "0.5", "--figure", ""), r"argument --figure: '' is no path; expected"),
    (("fashion-mnist", "--mask-ratio", "0.5", "--data-dir", "nowhere"), r"looked for in nowhere"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(capsys, message, "bound", *arguments)


def test_two_ratios_that_keep_as_many_patches_are_refused_before_images_are_coded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("maskgraph.graphs.source.encode")
    assert_refused(capsys, "both keep 8 of 16 patches; drop one", "bound", "digits", "--mask-ratio", "0.5", "0.51")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dim", "-1", "dimension -1; expected at least 1"),
        ("--masks", "0", "max_masks 0; expected an integer of at least 1"),
        ("--bootstrap", "3", "bootstrap 3; expected at least 39 resamples"),
    ],
)
def test_what_no_images_mend_stops_before_anything_is_loaded(
    option: str, value: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("images were loaded")

    monkeypatch.setattr("maskgraph.commands.load_coded", load)
    assert_refused(capsys, message, "bound", "digits", "--mask-ratio", "0.5", option, value)


def test_a_dimension_too_large_for_one_ratio_stops_before_any_solve(
    coded: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def solve(*_: object) -> None:
        raise AssertionError("a solve was started")

    monkeypatch.setattr("maskgraph.bound_command.answer", solve)
    assert main(["bound", coded, "--mask-ratio", "0.5", "0.75", "--dim", "13"]) == 2
    assert "dimension 13" in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("bound", "verify", "train", "study", "report"):
        with pytest.raises(SystemExit) as exit:
            main([command, "--help"])
        assert exit.value.code == 0
        assert f"maskgraph {command} " in capsys.readouterr().out


def test_what_the_variance_is_a_floor_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the decoder knows the mask it answers that mask's mean: E_m Var(x2|m), less than what is printed."""
    images = load_coded(Source("digits", images=30, codes=4))
    masks = mask_set(mask_distribution("uniform", images.grid, 0.5), 8)
    graph = mask_graph(images, masks, "positional")
    place = graph.target.place % len(masks.kept)
    within = sum(
        float(graph.p2[place == m] @ ((graph.X2[place == m] - mean) ** 2).sum(axis=1))
        for m in range(len(masks.kept))
        for mean in [graph.p2[place == m] @ graph.X2[place == m] / graph.p2[place == m].sum()]
    )
    arguments = ("digits", "--images", "30", "--codes", "4", "--mask-ratio", "0.5", "--max-masks", "8")
    found = answer(capsys, *arguments)["ratios"][0]
    assert found["vertices"] == list(graph.M.shape)
    assert within < found["target_variance"] - 0.1
    with pytest.raises(SystemExit):
        main(["bound", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "cannot go below, unless its decoder knows the mask, as with positional views" in said


def test_a_device_that_is_not_there_is_refused(coded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bound", coded, "--mask-ratio", "0.5", "--device", "cuda:99"]) == 2
    error = capsys.readouterr().err
    assert "device 'cuda:99' cannot be used" in error
    assert "Traceback" not in error
    for device in ("foo", "meta"):
        message = f"unknown device '{device}'; expected one of cpu, cuda$"
        assert_refused(capsys, message, "bound", coded, "--mask-ratio", "0.5", "--device", device)


def test_the_components_are_told_before_any_solve(coded: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, coded, "--mask-ratio", "0.5", "--dim", "1")["ratios"][0]
    count = found["components"]
    for dim, left in ((1, "none"), (count, "none"), (count + 2, "2 more")):
        assert main(["bound", coded, "--mask-ratio", "0.5", "--dim", str(dim)]) == 0
        told = capsys.readouterr().err
        up_to = (
            f"{count} components: the first {count} eigenvalues are 1, and for k up to {count} the tail is trivially"
        )
        assert f"{up_to} |A|_F^2 - k; {left} to solve for" in told
    assert main(["bound", coded, "--view", "bag", "--mask-ratio", "0.5", "--dim", "3"]) == 0
    told = capsys.readouterr().err
    assert "1 component: the first eigenvalue is 1, and for k = 1 the tail is trivially |A|_F^2 - 1; 2 more" in told


def of_numpy() -> None:
    np.empty(2**62 // 8)


def of_torch() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB")


@pytest.mark.parametrize(
    ("full", "reason"),
    [(of_numpy, "Unable to allocate 4.* EiB .*"), (of_torch, "CUDA out of memory. Tried to allocate 2.00 GiB")],
)
def test_what_does_not_fit_into_memory_after_all_is_one_sentence(
    full: Callable[[], None],
    reason: str,
    coded: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answered(*_: Any, **__: Any) -> None:
        full()

    monkeypatch.setattr(bound_command, "answer", answered)
    assert main(["bound", coded, "--mask-ratio", "0.5"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(f"maskgraph: error: out of memory: {reason}; free some, or .*--max-masks.*", error)


def test_another_failure_keeps_its_traceback(coded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(bound_command, "answer", broken)
    with pytest.raises(RuntimeError, match="a defect of ours"):
        main(["bound", coded, "--mask-ratio", "0.5"])


def redirected(how: str) -> subprocess.CompletedProcess[str]:
    """A small bound whose streams a shell redirects."""
    command = [sys.executable, "-m", "maskgraph", "bound", "mixture:n=4", "--mask-ratio", "0.5", "--dim", "2"]
    shell = ["sh", "-c", f'exec "$@" {how}', "sh", *command]
    return subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("how", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_hear_nothing_and_stop_nothing(how: str) -> None:
    done = redirected(how)
    assert done.returncode == 0, done.stderr
    assert ("alpha" in done.stdout) == (how == "2>&-")
    assert "Traceback" not in done.stderr


def test_what_cannot_be_written_is_one_sentence_and_exit_code_2() -> None:
    done = redirected("> /dev/full")
    assert done.returncode == 2, done.stderr
    assert "maskgraph: error: [Errno 28] No space left on device; free some space" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_letter_that_the_output_does_not_know_costs_that_letter_alone(tmp_path: Path) -> None:
    path = tmp_path / "grün.npz"
    np.savez(path, codes=[[0, 1], [1, 0]], labels=[0, 1])
    command = [sys.executable, "-m", "maskgraph", "bound", str(path), "--mask-ratio", "0.5", "--dim", "1"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert b"gr?n.npz: 2 images" in done.stdout


def test_a_name_that_is_too_long_is_not_for_want_of_space() -> None:
    command = [sys.executable, "-m", "maskgraph", "bound", "x" * 300, "--mask-ratio", "0.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert re.search(r"^maskgraph: error: .*File name too long: 'x*'; give a shorter one, then repeat$", done.stderr)


def test_a_log_that_cannot_be_written_has_the_same_exit_code() -> None:
    done = redirected("2> /dev/full")
    assert done.returncode == 2, done.stdout


def test_a_folder_of_images_is_data_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for label in ("ant", "cat"):
        (tmp_path / "train" / label).mkdir(parents=True)
        for index in range(6):
            image = Image.fromarray(rng.integers(256, size=(20, 24, 3), dtype=np.uint8))
            image.save(tmp_path / "train" / label / f"{index}.png")
    options = (str(tmp_path), "--image-size", "8", "--patch", "4", "--mask-ratio", "0.5")
    found = answer(capsys, *options, "--images", "10")
    assert found["dataset"] == str(tmp_path)
    assert found["ratios"][0]["patches"] == 4
    # 10 images under 6 masks at most.
    assert all(6 <= count <= 60 for count in found["ratios"][0]["vertices"])
    assert main(["verify", *options]) == 0
    assert "untrained" in capsys.readouterr().out
    assert_refused(
        capsys,
        "image size 0; expected at least 1 pixel",
        "bound",
        str(tmp_path),
        "--image-size",
        "0",
        "--mask-ratio",
        "0.5",
    )
    assert_refused(capsys, "say with --image-size", "bound", str(tmp_path), "--patch", "4", "--mask-ratio", "0.5")


def test_what_of_a_folder_is_not_read_is_told_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in ("ant", "cat"):
            (tmp_path / part / label).mkdir(parents=True)
            for index in range(6):
                image = Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
                image.save(tmp_path / part / label / f"{index}.png")
    options = (str(tmp_path), "--image-size", "8", "--patch", "4", "--mask-ratio", "0.5")
    commands = ("bound", "verify", "train")
    more = {"train": ("--epochs", "1", "--workers", "1", "--out", str(tmp_path / "run"))}
    (tmp_path / "train" / "ant" / "6.gif").touch()
    (tmp_path / "val" / "ant" / "6.gif").touch()
    (tmp_path / "test" / "ant").mkdir(parents=True)
    (tmp_path / "test" / "ant" / "0.png").touch()
    for command in commands:
        assert main([command, *options, *more.get(command, ())]) == 0
        error = capsys.readouterr().err
        count = "2 files passed over (2 .gif)" if command == "train" else "1 file passed over (1 .gif)"
        (line,) = [line for line in error.splitlines() if "passed over" in line]
        assert f"{tmp_path}: {count}: images end with .jpg, " in line
        assert line.endswith("; 1 image passed over in test/: train/ and val/ alone are read")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        '[data]\ndataset = "folder"\npatch = 4\nimage_size = 8\n'
        '[train]\nmethods = ["mae"]\nseeds = 1\nepochs = 1\n[judge]\nprobes = ["knn"]\nviews = 2\n'
    )
    at = ("--data-dir", str(tmp_path), "--out", str(tmp_path / "recipe"), "--workers", "1")
    assert main(["recipe", str(recipe), *at]) == 0
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if "passed over" in line]
    assert f"{tmp_path}: 2 files passed over (2 .gif): images end" in line


def test_bounds_that_say_something_are_not_called_vacuous(capsys: pytest.CaptureFixture[str]) -> None:
    """λ L_unif alone is λ/dim or more: at dim 1 both are that, at dim 2 of a connected graph both are more."""
    world = ("bound", "mixture:n=8,eta=0.3", "--mask-ratio", "0.5", "--view", "sequence", "--dim")
    assert main([*world, "2"]) == 0
    assert "vacuous" not in capsys.readouterr().out
    assert main([*world, "1"]) == 0
    out = capsys.readouterr().out
    assert "thm_4_2 <= lambda/dim = 0.25 is vacuous" in out
    assert "S2 is no more than that at rho 0.5" in out
