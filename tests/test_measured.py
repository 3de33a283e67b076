"""Tables of pages are what the records under results/ say."""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr, ttest_1samp

from maskgraph.cli import main
from maskgraph.empirical.plan import read_plan
from maskgraph.empirical.recipe import read_recipe
from maskgraph.empirical.records import drawn_bounds, gaussian_nulls, read_bounds, read_records, read_study
from maskgraph.empirical.summary import differences, read_judged
from maskgraph.recipe_text import judged_text
from maskgraph.study_text import study_text
from maskgraph.theory.draws import mean_and_sd

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"

SPECTRUM = {
    "digits, positional, 2 codes (200)": "digits-positional",
    "digits, sequence, 4 codes (200)": "digits-sequence",
    "ten disjoint classes, 30,503 views (64)": "disjoint-classes",
    "sixteen copies of 1,024 views (64)": "copies-16",
    "65,536 views, 8.4 million edges (64)": "few-keys",
    "a million views, 9.6 million edges, hardly a gap (64)": "clustered",
    "1,024 views, 61,331 edges (64)": "one-copy",
}
"""Rows of the tables of solvers, and their graphs in the record."""

SOLVERS = ("maskgraph", "eigsh", "svds-propack", "primme-eigsh", "slepc-cross")
"""Their columns."""

STEPS = {
    "facebookresearch/mae, literally, fp32": "facebookresearch/mae, literally",
    "the same under bf16 autocast": "under bfloat16 autocast",
    "maskgraph mae, fp32": "maskgraph mae, fp32",
    "maskgraph mae, `--precision bf16`": "maskgraph mae, bf16",
    "maskgraph u-mae, `--precision bf16`": "maskgraph u-mae, bf16",
}
"""Rows of the table of steps, and their names in the record."""


def page(name: str) -> str:
    """A page's text."""
    return (ROOT / name).read_text()


def record(name: str) -> Any:
    """One record."""
    return json.loads((RESULTS / name).read_text())


def table(name: str, header: str) -> list[list[str]]:
    """The cells of the table of that first header, a list a row, without the headers."""
    lines = page(name).split(f"| {header} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]


def assert_shown(text: str, name: str, start: str) -> None:
    """What is printed from the line that starts so to the next empty one stands on the page."""
    printed, shown = (re.sub(r" +$", "", one, flags=re.MULTILINE) for one in (text, page(name)))
    found = re.search(rf"^{re.escape(start)}.*?(?=\n\n|\Z)", printed, re.MULTILINE | re.DOTALL)
    assert found, f"{start} is not printed"
    block = found[0].rstrip()
    assert block in shown, f"{name} does not show\n{block}"


def assert_is(shown: str, value: float) -> None:
    """A number as a page writes it, rounded half either way."""
    digits = len(shown.partition("e")[0].partition(".")[2])
    power = 0 if "e" not in shown else int(shown.partition("e")[2])
    assert abs(float(shown) - value) <= 0.5001 * 10.0 ** (power - digits), f"{shown} stands for {value}"


def test_the_study_of_the_readme_is_that_of_the_record() -> None:
    run = RESULTS / "digits"
    assert_shown(
        study_text(read_bounds(run), read_records(run), read_study(run)), "README.md", "digits: theory of the graph"
    )


def test_another_processor_moves_probes_by_what_the_readme_says() -> None:
    theory, probes = [], []
    for name in ("README.md", "results/digits-zen3.txt"):
        rows = [line.split() for line in page(name).splitlines() if re.match(r" *0\.\d+ +(u-)?mae +-?\d", line)]
        bare = re.findall(r"^baseline (\S+): linear (\S+), 5-NN (\S+), few-shot (\S+)$", page(name), re.MULTILINE)
        assert (len(rows), len(bare)) == (10, 3)
        theory.append([row[:6] for row in rows] + [list(row[:1]) for row in bare])
        means = [
            cell.partition("±")[0] for row in [row[6:9] for row in rows] + [row[1:] for row in bare] for cell in row
        ]
        probes.append([round(1000 * float(mean)) for mean in means])
    assert theory[0] == theory[1]
    moved = max(abs(here - there) for here, there in zip(*probes, strict=True))
    assert f"means of probes move by at most {moved / 1000:.3f}." in page("README.md")


def test_what_uniformity_does_to_shares_is_as_recorded() -> None:
    """F8 of docs/theory.md, means over seeds of the study and of the recipe; what it says of amounts, seed by seed."""
    records = read_records(RESULTS / "digits")
    models = records[records["mask_ratio"].notna()].set_index(["mask_ratio", "seed"])
    mae, u_mae = (models[models["method"] == method] for method in ("mae", "u-mae"))

    def means(name: str) -> list[tuple[float, float]]:
        both = (one[f"cls.{name}"].groupby("mask_ratio").mean() for one in (mae, u_mae))
        return list(zip(*both, strict=True))

    image, mask, interaction = (means(f"share_{name}") for name in ("image", "mask", "interaction"))
    simmim = []
    for method in ("simmim", "u-simmim"):
        run = [one for one in read_judged(RESULTS / "recipes/digits") if one["method"] == method]
        simmim.append(statistics.mean(one["collapse"]["cls"]["share_image"] for one in run))
    told = page("docs/theory.md").partition("**F8**")[2].partition("\n\n")[0]
    shown = re.findall(r"([\d.]+) → ([\d.]+)", told)
    for pair, values in zip(shown, [*image[:3], *interaction[:3], mask[3], tuple(simmim)], strict=True):
        for number, value in zip(pair, values, strict=True):
            assert_is(number, value)
    assert all(after < before / 10 for before, after in means("L_unif")[:3])
    assert all(abs(after - before) < 0.02 for before, after in (image[4], mask[4], interaction[4]))
    assert interaction[3][1] < interaction[3][0]
    whole = [one["cls.variance"] for one in (mae, u_mae)]
    assert all(after > 3.5 * before for before, after in means("variance"))
    parts = [one["cls.share_image"] * variance for one, variance in zip((mae, u_mae), whole, strict=True)]
    assert (parts[1] > parts[0]).all()


def test_the_ledger_of_the_readme_is_that_of_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(RESULTS / "digits")]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] in page("README.md")
    assert_shown(printed, "README.md", "          statement  holds")


@pytest.mark.parametrize("start", ["             readout          mae", "uniformity less none"])
def test_the_recipe_on_its_page_is_that_of_the_record(start: str) -> None:
    run = RESULTS / "recipes/digits"
    records = read_judged(run)
    assert_shown(judged_text(read_recipe("digits"), records, differences(run, records)), "docs/measured.md", start)


@pytest.mark.parametrize("name", ["README.md", "docs/measured.md"])
def test_solvers_are_as_right_and_as_fast_as_recorded(name: str) -> None:
    graphs = record("spectrum-benchmark.json")["graphs"]
    for label, *cells in table(name, "graph (k)"):
        graph = graphs[SPECTRUM[label]]
        for solver, cell in zip(SOLVERS, cells, strict=False):
            if cell == "–":
                assert solver not in graph["runs"]
                continue
            if cell == "no answer in 60 s":
                assert graph["no_answer"][solver] == cell
                continue
            run = graph["runs"][solver]
            if cell == "gave up":
                assert all("gave_up" in answer for answer in run["answers"])
                continue
            found = re.fullmatch(r"(?:\**([\d.e-]+)\**, )?([\d.]+) s(?:[:,] .*)?", cell)
            assert found, cell
            assert_is(found[2], statistics.median(run["cpu_seconds"]))
            if found[1]:
                right = graph["reference"]["head"]
                assert_is(found[1], max(abs(answer["head"] - right) / right for answer in run["answers"]))
            else:
                low, high = graph["runs"]["maskgraph"]["answers"][0]["head_interval"]
                assert all(low <= answer["head"] <= high for answer in run["answers"])


def test_steps_are_as_fast_as_recorded() -> None:
    steps = {step["way"]: step for step in record("training-benchmark.json")["steps"]}
    rows = table("docs/measured.md", "step")
    assert [label for label, *_ in rows] == list(STEPS)
    for label, rate, ratio, share in rows:
        step = steps[STEPS[label]]
        assert_is(rate, statistics.median(step["images_per_second"]))
        over = step["over_literal"]
        for shown, value in zip(
            re.findall(r"[\d.]+", ratio), (statistics.median(over), min(over), max(over)), strict=False
        ):
            assert_is(shown, value)
        assert_is(share.removesuffix(" %"), 100 * step["mfu"])


def test_compiled_steps_are_as_fast_as_recorded() -> None:
    steps = {step["way"]: step for step in record("training-benchmark-zen3.json")["steps"]}
    said = re.findall(
        r"gains nothing in fp32: ([\d.]+) of the literal step .*\n.*makes ([\d.]+)", page("docs/measured.md")
    )
    for shown, way in zip(*said, ("maskgraph mae, fp32, compiled", "maskgraph mae, fp32"), strict=True):
        assert_is(shown, statistics.median(steps[way]["over_literal"]))


def test_an_edge_costs_what_is_recorded() -> None:
    found = record("many-patches-benchmark.json")
    for cells, row in zip(table("docs/scale.md", "codes"), found["rows"], strict=True):
        codes, view, images, speed, vertices, components, size, once = cells
        assert (codes, view, images) == (str(row["codes"]), row["view"], f"{row['images']:,}")
        assert (vertices, components) == (f"{row['N1']:,}", f"{row['components']:,}")
        edges = 16 * row["images"]
        assert_is(speed, edges / statistics.median(row["cpu_seconds"]) / 1e6)
        assert_is(size, row["kept"] / edges)
        for shown, value in zip(once.split(", "), row["once"], strict=True):
            assert_is(shown, value)


def test_building_takes_what_is_recorded() -> None:
    places = {
        "65,536, Zen 5": ("graphs-benchmark-zen5.json", "few"),
        "6.8 million, Zen 5": ("graphs-benchmark-zen5.json", "many"),
        "65,536, Zen 3": ("graphs-benchmark.json", "few"),
        "6.8 million, Zen 3": ("graphs-benchmark.json", "many"),
    }
    rows = table("docs/measured.md", "views a side, machine")
    assert [label for label, *_ in rows] == list(places)
    for label, *cells in rows:
        name, regime = places[label]
        [found] = [one["competitors"] for one in record(name)["regimes"] if one["regime"] == regime]
        for way, cell in zip(("maskgraph", "pandas", "numpy-sort"), cells, strict=True):
            seconds, size = cell.split(" s, ")
            assert_is(seconds, statistics.median(found[way]["cpu_seconds"]))
            assert_is(size, statistics.median(found[way]["extra_bytes"]) / found[way]["edges"])


def test_the_sweep_on_fashion_mnist_has_as_many_steps_as_its_file_and_the_benchmark_say() -> None:
    plan = read_plan(ROOT / "studies/fashion-mnist.toml")
    # The dataset has a test part of its own, so that all of its training part is trained on.
    steps = len(plan.graph.mask_ratios) * plan.train.epochs * math.ceil(60_000 / plan.train.batch)
    assert len(plan.methods) * plan.seeds == plan.stack
    assert f" {steps:,} steps of six" in page("studies/fashion-mnist.toml")
    assert f"\nSWEEP = {steps:_}\n" in page("benchmarks/training_gpu.py")


def test_a_number_is_held_to_the_digits_that_it_shows() -> None:
    assert_is("1.9", 1.85)
    assert_is("5e-13", 4.6e-13)
    with pytest.raises(AssertionError, match=r"1\.9 stands for 1\.84"):
        assert_is("1.9", 1.84)


def test_what_sharper_bounds_say_beside_the_bayes_risk_is_as_recorded() -> None:
    """S1 is of L_MAE, and S2 of that and λ L_unif, whose least is λ/k more than the Bayes risk."""
    records = read_records(RESULTS / "digits")
    models = records[records["mask_ratio"].notna()]
    above = {"S1": 0, "S2": 0}
    for bayes, checks in zip(models["bayes_risk"], models["checks"], strict=True):
        for check in checks:
            if check["statement"] in above and check["verdict"] == "holds":
                above[check["statement"]] += check["rhs"] > bayes
    assert above == {"S1": 2, "S2": 0}
    assert "S1 says more on 2 of the 30 and S2 on none." in page("docs/measured.md")
    assert "S2 is nowhere above the Bayes risk" in page("README.md")
    assert "and S1 on two models only." in page("README.md")


def test_what_noise_has_of_uniformity_is_as_recorded() -> None:
    null = gaussian_nulls(read_bounds(RESULTS / "digits"))
    numbers = [null[ratio][name]["mean"] for ratio in (0.75, 0.9375) for name in ("L_unif", "rankme")]
    told = re.search(
        r"Gaussian features have L_unif ([\d.]+) and RankMe (\d+) there, and .*of noise \(([\d.]+)\), RankMe (\d+)\.",
        page("docs/measured.md"),
    )
    assert told
    for shown, value in zip(told.groups(), numbers, strict=True):
        assert_is(shown, value)


def test_other_draws_of_masks_say_what_the_theory_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    told = page("docs/theory.md").partition("**Other draws.**")[2].partition("\n\n")[0]
    command = re.search(r"`(bound digits [^`]*)`", told)
    assert command
    assert main([*command[1].split(), "--mask-ratio", "0.25", "0.5", "0.75", "--json"]) == 0
    ratios = json.loads(capsys.readouterr().out)["ratios"]
    quarter, half, three = (found["draws"]["numbers"]["thm_4_2_any_lambda"] for found in ratios)
    spreads = [mean_and_sd(values) for values in (quarter, three, half)]
    for shown, (mean, sd) in zip(re.findall(r"(0\.\d+) ± (0\.\d+)", told), spreads, strict=True):
        assert_is(shown[0], mean)
        assert_is(shown[1], sd)
    ends = re.search(r"from (0\.\d+) to (0\.\d+)\s", told)
    assert ends
    assert_is(ends[1], min(half))
    assert_is(ends[2], max(half))
    all_masks = command[1].replace("--max-masks 64 --seeds 20", "--max-masks 20000")
    assert main([*all_masks.split(), "--mask-ratio", "0.25", "0.5", "0.75", "--json"]) == 0
    whole = [found["bounds"]["thm_4_2_any_lambda"] for found in json.loads(capsys.readouterr().out)["ratios"]]
    assert whole[0] == pytest.approx(whole[2], abs=1e-9)
    assert f"{whole[0]:.4f} at\nρ = ¼ and ¾ and {whole[1]:.4f} at ½, above the means" in told
    errors = [(one - mean) / sd * 20**0.5 for one, (mean, sd) in zip(whole, (spreads[0], spreads[2]), strict=False)]
    assert all(2.5 < error < 3.6 for error in errors), errors
    # F2: the difference of the means has their standard errors, of which it is not two.
    assert abs(spreads[0][0] - spreads[1][0]) < 2 * math.hypot(spreads[0][1], spreads[1][1]) / math.sqrt(len(half))


def test_what_draws_of_the_masks_do_to_the_order_of_the_ratios_is_as_recorded() -> None:
    """Rank correlations of S2 with the accuracy of MAE, each draw of the masks by itself, by SciPy's Spearman."""
    bounds = read_bounds(RESULTS / "digits")
    orders = _orders("cls.knn")
    told = page("docs/measured.md")
    bags = orders.pop(("bag", "target"))
    others = [order for some in orders.values() for order in some]
    probed = [order for graph, some in _orders("cls.linear").items() if graph != ("bag", "target") for order in some]
    assert f"with its linear probe on CLS {min(probed):.2f} to {max(probed):.2f}: the readout sets the sign." in told
    assert f"is {_signed(min(others))} to {_signed(max(others))} on three of the four\n" in told
    first = f"{_signed(bags[0])} under the first draw and {_signed(min(bags))} to {_signed(max(bags))} over ten"
    assert first in told
    rows = bounds[(bounds["view"] == "bag") & (bounds["hop"] == "target")]
    for ratio in (0.25, 0.5, 0.75):
        mean, sd = mean_and_sd(drawn_bounds(rows)[ratio])
        assert f"{mean:.3f} ± {sd:.3f} at" in told


def _orders(readout: str) -> dict[Any, list[float]]:
    """By graph, the rank correlation over ρ of S2 under each draw of the masks with the accuracy of MAE."""
    bounds, records = read_bounds(RESULTS / "digits"), read_records(RESULTS / "digits")
    accuracy = records[records["method"] == "mae"].groupby("mask_ratio")[readout].mean()
    orders = {}
    for graph, rows in bounds.groupby(["view", "hop"]):
        drawn, alone = drawn_bounds(rows), rows.set_index("mask_ratio")["bounds"]
        several = [
            # 0.9375 keeps one of 16 patches: all of its masks are there.
            [drawn[at][draw] if at in drawn else alone[at]["water_filling"] for at in accuracy.index]
            for draw in range(10)
        ]
        orders[graph] = [float(spearmanr(np.round(values, 9), accuracy).statistic) for values in several]
    return orders


def test_differences_that_stand_the_correction_for_their_number_are_as_told() -> None:
    """Holm: the i-th smallest of n p-values counts n − i + 1 times, up to the first that is above 0.05."""
    run = RESULTS / "recipes/digits"
    found = differences(run, read_judged(run))
    p = sorted((float(ttest_1samp(one.differences, 0).pvalue), one.method, one.readout) for one in found)
    held = list(itertools.takewhile(lambda at: at[1][0] * (len(p) - at[0]) <= 0.05, enumerate(p)))
    [(_, (least, *names))] = held
    assert names == ["u-mae", "cls.sgd"]
    assert len(p) == 18
    assert f"alone remains (p = {18 * least:.3f} of eighteen)" in page("docs/measured.md")


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
