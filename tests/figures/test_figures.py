"""What is drawn is what was recorded: read back from the figures' own artists."""

from __future__ import annotations

import re
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from maskgraph.empirical.records import FEATURES, GEOMETRY, LOSSES, NULL, PROBES
from maskgraph.figures.bounds import bounds_over_ratios
from maskgraph.figures.curve import accuracy_against_bound, bound_versus_accuracy
from maskgraph.figures.report import (
    CAPTIONS,
    _about,
    _bounds_table,
    _checks_table,
    _glossary,
    _null_table,
    _of_nothing,
    _probed,
    _records_tables,
)
from maskgraph.figures.spectrum import spectra
from maskgraph.figures.style import LEAST_SPAN, METHOD_COLOURS, new_figure, share_axis
from maskgraph.figures.world import EXAMPLE, draw_worlds, small_worlds
from maskgraph.graphs.augmentation import Hop
from maskgraph.graphs.synthetic import class_mixture
from maskgraph.theory.answer import Bootstrap, Draws, RatioAnswer, answer
from maskgraph.theory.bootstrap import statistics
from maskgraph.theory.findings.finding import world_graph

RATIOS = (0.25, 0.75)


@pytest.fixture
def bounds() -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for view in ("positional", "bag"):
        for ratio in RATIOS:
            found = {"water_filling": ratio / 4, "thm_4_2": 0.5 - ratio, "thm_4_2_any_lambda": 0.5 - ratio}
            labels = {"alpha": ratio / 2, "alpha_target": (1 - ratio) / 2}
            spectrum = {"eigenvalues": [1.0, ratio], "head_sq": 1 + ratio**2, "components": 1}
            graph = {"dataset": "toy", "view": view, "hop": "target", "mask_ratio": ratio, "lambda": 0.25, "dim": 8}
            rows.append({**graph, "bounds": found, **labels, **spectrum})
    return pd.DataFrame(rows)


@pytest.fixture
def records() -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {"method": method, "mask_ratio": ratio, "seed": seed}
        | {f"cls.{readout}": ratio + seed / 10 + (method == "u-mae") / 100 for readout in ("linear", "knn", "few_shot")}
        for method in ("mae", "u-mae")
        for ratio in RATIOS
        for seed in (0, 1)
    ]
    baseline = {"method": "raw-pixels", "mask_ratio": np.nan, "seed": 0, "pixels.knn": 0.9}
    return pd.DataFrame([*rows, baseline])


def line(axes: Any, label: str) -> Any:
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


def points(axes: Any) -> list[Any]:
    """What is scattered there; not what stands in the legend alone."""
    scattered = [one for one in axes.collections if isinstance(one, PathCollection)]
    return [one for one in scattered if len(np.asarray(one.get_offsets()))]


def panels(figure: Any) -> list[Any]:
    """The axes, untyped: matplotlib types what an artist accepts, not what it hands back."""
    return list(figure.axes)


def test_main_figure_shows_bounds_accuracy_spread_and_label_error(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    theory, errors, accuracy = panels(bound_versus_accuracy(bounds, records, "cls"))
    drawn = line(theory, "S2: bag views, target hop")
    assert drawn.get_xdata().tolist() == list(RATIOS)
    assert drawn.get_ydata().tolist() == list(RATIOS)
    positive = np.asarray(line(theory, "Thm 4.2: bag views, target hop").get_ydata())
    assert positive[0] == 1.0
    assert np.isnan(positive[1]), "a vacuous bound is not drawn as if it said something"
    assert line(theory, "(Thm 4.2 is ≤ λ/K, vacuous, wherever no mark is)")
    (mae, umae) = accuracy.containers
    assert mae.lines[0].get_ydata() == pytest.approx([ratio + 0.05 for ratio in RATIOS])
    assert umae.lines[0].get_ydata() == pytest.approx([ratio + 0.06 for ratio in RATIOS])
    ends = np.array([segment[:, 1] for segment in mae.lines[2][0].get_segments()])
    assert (ends[:, 1] - ends[:, 0]) / 2 == pytest.approx([0.1 / np.sqrt(2)] * 2), "sample SD of two seeds 0.1 apart"
    assert line(accuracy, "raw pixels").get_ydata()[0] == 0.9
    assert line(accuracy, "raw pixels").get_color() not in METHOD_COLOURS.values(), "no baseline looks like a method"
    assert line(errors, "α, positional").get_ydata().tolist() == [ratio / 2 for ratio in RATIOS]
    assert line(errors, "α of x2, bag").get_ydata().tolist() == [(1 - ratio) / 2 for ratio in RATIOS]


@pytest.mark.parametrize(("dim", "marks"), [(8, 1), (2, 1), (1, 0)])
def test_a_bound_up_to_lambda_over_dim_is_not_marked(
    dim: int, marks: int, bounds: pd.DataFrame, records: pd.DataFrame
) -> None:
    """λ L_unif alone is never below λ/K: at K = 1 that is 1/4, which Thm 4.2 is at ρ = 0.25."""
    (theory, *_) = panels(bound_versus_accuracy(bounds.assign(dim=dim), records, "cls"))
    drawn = [one for one in theory.get_lines() if one.get_label().startswith("Thm 4.2")]
    assert [int(np.isfinite(np.asarray(one.get_ydata())).sum()) for one in drawn] == [1, 1][: 2 * marks]


def test_a_bound_of_the_image_hop_is_not_said_to_be_of_the_loss(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    def told(hops: list[str]) -> str:
        (theory, *_) = panels(bound_versus_accuracy(bounds.assign(hop=hops), records, "cls"))
        return "; ".join((theory.get_ylabel(), *theory.get_legend_handles_labels()[1]))

    assert "L_align" not in told(["target"] * 4)
    assert "on the image hop of (1 + L_align)/L" in told(["target", "target", "image", "image"])
    assert "U-MAE" not in told(["image"] * 4)


def test_a_page_and_its_main_figure_name_unusual_masks(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """Two studies that differ in nothing else are told apart by it."""
    usual: dict[str, Any] = {"plan": {"graph": {"mask": "uniform", "mask_unit": 1}}}
    block: dict[str, Any] = {"plan": {"graph": {"mask": "block", "mask_unit": 2}}}
    assert _about(bounds, usual) == _about(bounds, {"plan": {"graph": {}}}) == "toy"
    assert _about(bounds, block) == "toy, block masks in squares of 2 x 2 patches"
    (theory, *_) = panels(bound_versus_accuracy(bounds, records, "cls", _about(bounds, block)))
    assert "block masks" in theory.get_title("left")


def test_the_report_marks_what_the_figure_leaves_out(bounds: pd.DataFrame) -> None:
    unseen = pd.Series([{"visible": 0.0, "target": 0.0}] * len(bounds))
    sizes = {"kept": 2, "masks": 6, "tail_sq": 0.5, "bayes_risk": 0.1, "rank_floor": 0.2, "phi": 0.3, "inter": 0.4}
    table = _bounds_table(bounds.assign(**sizes, unseen=unseen))
    assert table.count("<td>0.25</td>") == 2 * 3, "ρ in both tables, and Thm 4.2 there"
    assert table.count("<td>-0.25 v</td>") == 2
    assert table.count(" v</td>") == 2, "S2 says something at both"


def test_the_report_has_gaussian_features_where_a_run_has_them(bounds: pd.DataFrame) -> None:
    assert _null_table(bounds) == ""
    names = ("L_align", "L_unif", "rankme", "share_image", "share_mask", "share_interaction")
    null = {"draws": 3, "dim": 64} | {name: {"mean": at + 0.12344, "sd": 0.0456} for at, name in enumerate(names)}
    known = (bounds["view"] == "positional") & (bounds["mask_ratio"] == 0.75)
    table = _null_table(bounds.assign(gaussian=pd.Series([null if one else None for one in known])))
    assert table.startswith("<p>Gaussian features on the same graphs")
    (row,) = re.findall(r"<tr>\s*<td>.*?</tr>", table, re.DOTALL)
    assert re.findall("<th>(.*?)</th>", table) == ["ρ", "dim", "draws", *names]
    shown = ["0.1234", "1.123", "2.123", "3.123", "4.123", "5.123"]
    assert re.findall("<td>(.*?)</td>", row) == ["0.75", "64", "3", *(f"{mean} ± 0.046" for mean in shown)]


@pytest.mark.parametrize(
    ("values", "from_zero", "shown"),
    [
        ([0.99, 1.002], False, (0.8, 1.0)),
        ([1.0, 1.0], False, (0.8, 1.0)),
        ([0.0, 0.01], False, (0.0, 0.2)),
        ([0.5, 0.52], False, (0.41, 0.61)),
        ([0.3, 0.9], False, (0.3, 0.9)),
        ([0.03, 0.05], True, (0.0, 0.2)),
        ([0.3, 0.9], True, (0.0, 0.9)),
    ],
)
def test_an_axis_of_shares_stays_in_0_to_1_and_does_not_zoom_into_noise(
    values: list[float], from_zero: bool, shown: tuple[float, float]
) -> None:
    axes = new_figure(3, 3).subplots()
    axes.plot([0, 1], values)
    share_axis(axes, from_zero)
    low, high = axes.get_ylim()
    room = 0.04 * (shown[1] - shown[0])
    assert [low, high] == pytest.approx([shown[0] - room, shown[1] + room])
    assert all(-1e-9 <= tick <= 1 + 1e-9 for tick in axes.get_yticks() if low <= tick <= high)


def test_accuracies_that_are_nearly_one_do_not_look_like_a_collapse(
    bounds: pd.DataFrame, records: pd.DataFrame
) -> None:
    for readout in ("linear", "knn", "few_shot"):
        records[f"cls.{readout}"] = 1 - 0.006 * records["seed"]
    for drawn in (
        panels(bound_versus_accuracy(bounds, records, "cls"))[2:],
        panels(accuracy_against_bound(bounds, records, "cls")),
    ):
        for axes in drawn:
            low, high = axes.get_ylim()
            assert high - low >= LEAST_SPAN
            assert all(tick < 1 + 1e-9 for tick in axes.get_yticks() if tick <= high)


def test_what_is_equal_shows_around_each_other(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """Later ones are smaller: MAE and U-MAE of equal accuracies, label errors that are all 0."""
    records[["cls.linear", "cls.knn", "cls.few_shot"]] = 0.9
    bounds[["alpha", "alpha_target"]] = 0.0
    _, errors, accuracy = panels(bound_versus_accuracy(bounds, records, "cls"))
    mae, umae = (one.lines[0] for one in accuracy.containers)
    assert (mae.get_xdata() < umae.get_xdata()).all()
    for first, second in (
        (mae, umae),
        *((line(errors, f"α, {view}"), line(errors, f"α of x2, {view}")) for view in ("positional", "bag")),
    ):
        assert first.get_markersize() > second.get_markersize() + 1.5
    assert errors.get_ylim()[0] < 0, "marks at 0 are whole"
    for axes in panels(accuracy_against_bound(bounds, records, "cls")):
        first, second = points(axes)
        assert first.get_sizes()[0] > 2 * second.get_sizes()[0]
        assert first.get_paths()[0].vertices.shape != second.get_paths()[0].vertices.shape


def test_a_study_of_one_mask_ratio_stands_side_by_side(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    bounds = bounds[bounds["mask_ratio"] == 0.25].reset_index(drop=True)
    records = records[(records["mask_ratio"] == 0.25) | records["mask_ratio"].isna()]
    theory, errors, accuracy = panels(bound_versus_accuracy(bounds, records, "cls"))
    bound = [line(theory, f"S2: {view} views, target hop").get_xdata()[0] for view in ("positional", "bag")]
    assert line(theory, "Thm 4.2: bag views, target hop").get_xdata()[0] == bound[1]
    methods = [one.lines[0].get_xdata()[0] for one in accuracy.containers]
    assert np.diff([*bound, *methods]) == pytest.approx([0.2] * 3)
    sides = [line(errors, name).get_xdata()[0] for name in ("α, positional", "α of x2, positional", "α, bag")]
    assert np.diff(sides) == pytest.approx([0.2] * 2)
    assert theory.get_xlim() == accuracy.get_xlim() == errors.get_xlim() == (-0.25, 0.75)
    assert [label.get_text() for label in errors.get_xticklabels()] == ["0.25"]


def test_tables_of_models_are_narrow_and_say_of_which_feature(records: pd.DataFrame) -> None:
    numbers = ("L_unif", "lipschitz", "lipschitz_mean", "rankme", "participation_ratio", "share_image", "share_mask")
    for name in ("L_MAE", "bayes_risk", "epsilon", "epsilon_nearest", "four_L_lambda"):
        records[name] = records["mask_ratio"]
    for feature in ("cls", "mean"):
        for name in ("linear", *numbers):
            records[f"{feature}.{name}"] = records["mask_ratio"]
    probes, losses, features = _records_tables(records).split("</table>")[:-1]
    for table, columns, rows in ((probes, 7, 2 * 4 + 1), (losses, 7, 4), (features, 9, 2 * 4)):
        assert table.count("<th>") == columns
        assert table.count("<tr>") + table.count("<tr style") == rows + 1
    assert "<td>raw-pixels</td>\n      <td>–</td>\n      <td>pixels</td>" in probes
    assert "raw-pixels" not in losses + features


def test_the_page_says_what_every_column_of_its_tables_is(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    sizes = {"kept": 2, "masks": 6, "tail_sq": 0.5, "bayes_risk": 0.1, "rank_floor": 0.2, "phi": 0.3, "inter": 0.4}
    unseen = pd.Series([{"visible": 0.0, "target": 0.0}] * len(bounds))
    check = {"statement": "S2", "lhs": 1.0, "sense": ">=", "rhs": 0.0, "slack": 1.0, "verdict": "holds"}
    names = (*LOSSES, *(f"{feature}.{name}" for feature in FEATURES for name in (*PROBES, *GEOMETRY)))
    checks = pd.Series([[check]] * len(records))
    records = records.assign(checks=checks, **dict.fromkeys(names, 1.0))
    null = {"draws": 3, "dim": 8, **{name: {"mean": 0.5, "sd": 0.25} for name in NULL}}
    drawn = pd.Series([{"numbers": {"water_filling": [0.125, 0.25]}}] * len(bounds))
    bounds = bounds.assign(**sizes, unseen=unseen, gaussian=pd.Series([null] * len(bounds)), draws=drawn)
    assert _bounds_table(bounds).count("<td>0.1875 ± 0.088</td>") == len(bounds)
    tables = f"{_bounds_table(bounds)}{_records_tables(records)}{_null_table(bounds)}{_checks_table(records)}"
    explained = {name for term in re.findall(r"<dt>(.*?)<dd>", _glossary()) for name in term.split(", ")}
    assert set(re.findall(r"<th>(.*?)</th>", tables)) == explained


def test_a_page_says_how_many_images_probes_are_scored_on(records: pd.DataFrame) -> None:
    counted = records.assign(fitted_images=1257, scored_images=540)
    assert _probed(counted) == "fitted on the 1,257 training images and scored on 540 images"
    # Records of a run that was begun before they were counted, and gone on with since.
    counted.loc[counted.index[1:], ["fitted_images", "scored_images"]] = np.nan
    assert _probed(counted) == "fitted on the 1,257 training images and scored on 540 images"
    assert _probed(records) == "fitted on the training images and scored on images"
    assert _of_nothing(records) == ""
    nothing = pd.DataFrame([{"method": "majority-class", "accuracy": 0.125}])
    assert _of_nothing(pd.concat([records, nothing])) == " Answering the largest class scores 0.125."


def test_a_mean_says_of_how_many_seeds_it_is(records: pd.DataFrame) -> None:
    """An L that is infinite is null in a record: the mean of the other seeds is not that of all."""
    records["cls.lipschitz"] = records["seed"].map({0: 2.5, 1: np.nan})
    assert _records_tables(records).count("<td>2.5 (1 of 2)</td>") == 4
    records["cls.L_unif"] = records["seed"].map({0: 2.5, 1: 3.5})
    assert _records_tables(records).count("<td>3 ± 0.71</td>") == 4


def test_ratios_of_which_seeds_differ_tenfold_have_a_median_and_a_range(records: pd.DataFrame) -> None:
    baseline = records[records["mask_ratio"].isna()]
    records = records.dropna(subset="mask_ratio")
    records = pd.concat([records, records[records["seed"] == 0].assign(seed=2), baseline], ignore_index=True)
    for name in ("cls.lipschitz", "four_L_lambda"):
        told = _records_tables(records.assign(**{name: records["seed"].map({0: 20.0, 1: 3200.0, 2: 8.0})}))
        assert told.count("<td>20 [8, 3200]</td>") == 4
        told = _records_tables(records.assign(**{name: records["seed"].map({0: 20.0, 1: np.nan, 2: 8.0})}))
        assert told.count("<td>14 [8, 20] (2 of 3)</td>") == 4
        told = _records_tables(records.assign(**{name: records["seed"].map({0: 20.0})}))
        assert told.count("<td>20 (1 of 3)</td>") == 4


def test_scatter_has_one_point_a_ratio_and_method(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    drawn = panels(accuracy_against_bound(bounds, records, "cls"))
    assert len(drawn) == 3 * 2
    for axes in drawn:
        mae, umae = (container.lines[0] for container in axes.containers)
        assert mae.get_xdata().tolist() == umae.get_xdata().tolist() == list(RATIOS)
        assert mae.get_ydata() == pytest.approx([ratio + 0.05 for ratio in RATIOS])
        # Each ratio in the shade that the legend gives it, whatever the method.
        named = {drawn.get_label(): drawn for drawn in axes.collections}
        wanted = np.concatenate([named[f"ρ = {ratio:g}"].get_facecolor() for ratio in RATIOS])
        assert len(np.unique(wanted, axis=0)) == len(RATIOS)
        shown = points(axes)
        assert len(shown) == 2
        for one in shown:
            np.testing.assert_array_equal(np.asarray(one.get_facecolor()), wanted)


def test_scatter_shows_the_spread_over_seeds_and_says_what_it_is(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    figure = accuracy_against_bound(bounds, records, "cls")
    for axes in panels(figure):
        for container in axes.containers:
            ends = np.array([segment[:, 1] for segment in container.lines[2][0].get_segments()])
            assert np.ptp(ends, axis=1) / 2 == pytest.approx([0.1 / np.sqrt(2)] * 2), "sample SD of two seeds 0.1 apart"
    told = {text.get_text() for text in figure.legends[0].get_texts()}
    assert told >= {"MAE (mean ± SD, 2 seeds)", "U-MAE (mean ± SD, 2 seeds)"}
    figure = accuracy_against_bound(bounds, records[records["seed"] == 0], "cls")
    assert not any(container.has_yerr for axes in panels(figure) for container in axes.containers)
    told = {text.get_text() for text in figure.legends[0].get_texts()}
    assert told >= {"MAE (one seed)", "U-MAE (one seed)"}


def test_other_draws_of_the_masks_are_bars_of_the_bound(bounds: pd.DataFrame, records: pd.DataFrame) -> None:
    """Mean ± SD of S2 in units of 1/(4L), of those graphs alone that lack some masks: here of one ratio of bags."""
    some = (bounds["view"] == "bag") & (bounds["mask_ratio"] == RATIOS[0])
    drawn = [{"numbers": {"water_filling": [0.125, 0.25]}} if one else np.nan for one in some]
    several = bounds.assign(draws=pd.Series(drawn, bounds.index, dtype=object))
    # The SD of two values is their distance over √2.
    low, high = 0.75 - 0.5 / 2**0.5, 0.75 + 0.5 / 2**0.5
    theory, _, _ = panels(bound_versus_accuracy(several, records, "cls"))
    (bars,) = theory.containers
    segments = bars.lines[2][0].get_segments()
    (upright,) = [one for one in segments if len(one) and np.isfinite(one).all()]
    at = line(theory, "S2: bag views, target hop").get_xdata()[0]
    assert upright[:, 1] == pytest.approx([low, high])
    assert upright[:, 0] == pytest.approx([at, at], abs=0.02), "beside its mark"
    assert line(theory, "(bars of S2: mean ± SD over 2 draws of the masks)")
    for axes in panels(accuracy_against_bound(several, records, "cls")):
        level = [one for one in axes.containers if one.has_xerr]
        if axes.get_subplotspec().colspan.start == list(bounds["view"].unique()).index("bag"):
            assert len(level) == 2
            for one, accuracy in zip(level, axes.containers[:2], strict=True):
                (segment,) = [s for s in one.lines[2][0].get_segments() if len(s) and np.isfinite(s).all()]
                height = accuracy.lines[0].get_ydata()[0]
                assert segment.tolist() == [pytest.approx([low, height]), pytest.approx([high, height])]
        else:
            assert not level
    (told,) = accuracy_against_bound(several, records, "cls").legends
    assert "S2 (mean ± SD, 2 draws of masks)" in [text.get_text() for text in told.get_texts()]
    theory, _, _ = panels(bound_versus_accuracy(bounds, records, "cls"))
    assert not theory.containers


def test_accuracies_are_of_the_feature_and_the_readout_that_stand_beside_them(
    bounds: pd.DataFrame, records: pd.DataFrame
) -> None:
    names = {"linear": "linear probe", "knn": "5-NN", "few_shot": "few-shot probe"}
    columns = [f"{feature}.{readout}" for feature in ("cls", "mean") for readout in names]
    level = {column: 0.1 * (1 + place) for place, column in enumerate(columns)}
    records = records.assign(**level)
    for feature in ("cls", "mean"):
        (*_, accuracy) = panels(bound_versus_accuracy(bounds, records, feature))
        assert accuracy.containers[0].lines[0].get_ydata() == pytest.approx([level[f"{feature}.knn"]] * 2)
        assert accuracy.get_ylabel() == f"5-NN accuracy on held-out images, {feature} feature"
        rows = np.reshape(np.array(panels(accuracy_against_bound(bounds, records, feature)), dtype=object), (3, 2))
        for row, (readout, name) in zip(rows, names.items(), strict=True):
            assert row[0].get_ylabel() == f"{name}, {feature}"
            for axes in row:
                assert axes.containers[0].lines[0].get_ydata() == pytest.approx([level[f"{feature}.{readout}"]] * 2)


def test_baselines_are_means_over_their_seeds_by_the_readout_of_the_axis(
    bounds: pd.DataFrame, records: pd.DataFrame
) -> None:
    networks = [
        {"method": "random-network", "seed": seed, "cls.knn": 0.2 + 0.2 * seed, "mean.knn": 0.6, "cls.linear": 0.9}
        for seed in (0, 1)
    ]
    coded = {"method": "coded-pixels", "seed": 0, "pixels.knn": 0.7, "pixels.linear": 0.5}
    records = pd.concat([records, pd.DataFrame([*networks, coded])], ignore_index=True)
    (*_, accuracy) = panels(bound_versus_accuracy(bounds, records, "cls"))
    for name, wanted in (("raw pixels", 0.9), ("coded pixels", 0.7), ("random network", 0.3)):
        assert line(accuracy, name).get_ydata() == pytest.approx([wanted] * 2)


def test_spectra_show_every_eigenvalue(bounds: pd.DataFrame) -> None:
    drawn = panels(spectra(bounds))
    assert len(drawn) == 2
    for axes in drawn:
        assert [line.get_ydata().tolist() for line in axes.get_lines()] == [[1.0, ratio] for ratio in RATIOS]
        assert [list(line.get_xdata()) for line in axes.get_lines()] == [[1, 2]] * 2
        labels = [line.get_label() for line in axes.get_lines()]
        assert labels == [f"ρ = {ratio:g}: 1 comp., head {1 + ratio**2:.1f}" for ratio in RATIOS]


def test_worlds_show_every_view_in_its_class_and_tell_the_components() -> None:
    worlds = small_worlds()
    figure = draw_worlds(worlds, EXAMPLE)
    assert figure.get_suptitle().startswith("An example, whatever the run was of: a built-in mixture")
    assert "Not of this run's data" in CAPTIONS["worlds"]
    for axes, (title, graph) in zip(panels(figure), worlds.items(), strict=True):
        _, nodes = axes.collections
        assert len(np.asarray(nodes.get_offsets())) == len(graph)
        colours = {tuple(colour) for colour in np.asarray(nodes.get_facecolor())}
        assert len(colours) == 3
        parts = nx.number_connected_components(graph)
        assert f"{parts} component{'s' * (parts > 1)}," in axes.get_title()
        assert title in axes.get_title()


def test_a_view_stands_where_the_walk_on_the_graph_has_it() -> None:
    """Coordinates x with Px = λx, P = D^-½ A D^½ the walk, and so of mean 0 under p1 but for the component's place."""
    for axes, graph in zip(panels(draw_worlds(small_worlds(), EXAMPLE)), small_worlds().values(), strict=True):
        lines, drawn = axes.collections
        assert isinstance(lines, LineCollection)
        nodes, mass = list(graph), np.array([graph.nodes[node]["mass"] for node in graph])
        places, areas = np.asarray(drawn.get_offsets()), np.asarray(drawn.get_sizes())
        np.testing.assert_allclose(np.polyval(np.polyfit(mass, areas, 1), mass), areas, rtol=1e-9)
        assert areas.argmax() == mass.argmax() or np.ptp(mass) < 1e-12
        entries = {(a, b): entry for a, b, entry in graph.edges(data="weight") if a != b}
        ends = [[places[nodes.index(end)] for end in edge] for edge in entries]
        np.testing.assert_array_equal(lines.get_segments(), ends)
        widths, wanted = np.array(lines.get_linewidth()), np.array(list(entries.values()))
        np.testing.assert_allclose(widths, widths.max() / wanted.max() * wanted, rtol=1e-9)
        for part in nx.connected_components(graph):
            at = [index for index, node in enumerate(nodes) if node in part]
            p1 = mass[at] / mass[at].sum()
            A = nx.to_numpy_array(graph, [nodes[index] for index in at], weight="weight")
            x = places[at] - p1 @ places[at]
            walked = A / np.sqrt(p1)[:, None] * np.sqrt(p1) @ x
            share = (p1 @ (x * walked)) / (p1 @ x**2)
            np.testing.assert_allclose(walked, share * x, rtol=0, atol=1e-9)


def test_views_that_say_the_same_of_their_class_coincide() -> None:
    """In the class mixture a view says no more than its bag: 27 sequences stand in at most 10 places."""
    figure = draw_worlds(small_worlds(), EXAMPLE)
    places = np.asarray(panels(figure)[1].collections[1].get_offsets())
    assert len(places) == 27
    assert len(np.unique(places.round(6), axis=0)) <= 10


def test_bounds_over_ratios_draws_each_answer() -> None:
    images = class_mixture(4, 0.3)
    ratios = (0.75, 0.25, 0.5)
    answers = [answer(world_graph(images, ratio, "sequence"), ratio, 2) for ratio in ratios]
    figure = bounds_over_ratios(answers, "a mixture")
    bounds, labels, spectrum = figure.axes
    order = [1, 2, 0]
    for axes, label, values in (
        (bounds, "S2, water-filling", [found["bounds"]["water_filling"] for found in answers]),
        (bounds, "Thm 4.2", [found["bounds"]["thm_4_2_any_lambda"] for found in answers]),
        (bounds, "λ/K, up to which a bound says nothing", [0.125] * 3),
        (labels, "α", [found["alpha"] for found in answers]),
        (labels, "α of x2", [found["alpha_target"] for found in answers]),
        (labels, "φ", [found["phi"] for found in answers]),
        (labels, "inter-class mass", [found["inter"] for found in answers]),
        (spectrum, "head, Σ λ² of the K largest,\nK = 2", [found["head_sq"] for found in answers]),
        (spectrum, "tail, Σ λ² of all others", [found["tail_sq"] for found in answers]),
        (spectrum, "components = eigenvalues 1", [1] * 3),
    ):
        drawn = line(axes, label)
        assert list(drawn.get_xdata()) == [0.25, 0.5, 0.75]
        assert list(drawn.get_ydata()) == [values[i] for i in order]
        assert axes.get_ylim()[1] > max(values)


def test_bounds_over_ratios_marks_no_vacuous_bound() -> None:
    # Four eigenvalues 1 and more: the head exceeds 2.
    found = answer(world_graph(class_mixture(4, 0.3), 0.5, "positional"), 0.5, 8)
    (bounds, *_) = bounds_over_ratios([found], "a mixture").axes
    assert "Thm 4.2" not in [drawn.get_label() for drawn in bounds.get_lines()]
    assert bounds.get_xlim() == (0, 1)


def test_bounds_over_ratios_says_of_how_many_eigenvalues_a_head_is() -> None:
    graph = world_graph(class_mixture(4, 0.3), 0.5, "sequence")
    answers = [answer(graph, 0.5, dim) for dim in (4, 2, 3)]
    assert line(bounds_over_ratios(answers, "").axes[2], "head, Σ λ² of the K largest,\nK = 2 to 4")


@pytest.mark.parametrize(("hop", "bounded"), [("target", "MAE"), ("image", "align")])
def test_bounds_over_ratios_says_what_the_bounds_are_of(hop: Hop, bounded: str) -> None:
    """L_MAE knows nothing of the pairs of the image hop."""
    found = answer(world_graph(class_mixture(4, 0.3), 0.5, "sequence"), 0.5, 2, hop)
    assert re.findall("MAE|align", bounds_over_ratios([found], "", hop).axes[0].get_ylabel()) == [bounded]


def test_a_long_title_is_not_cut_off() -> None:
    found = answer(world_graph(class_mixture(4, 0.3), 0.5, "sequence"), 0.5, 2)
    title = "images of mine.npz (4 x 4 pixels, threshold, 16 codes), positional views, block masks in squares of 2 x 2"
    figure = bounds_over_ratios([found], f"{title} patches, target hop")
    figure.draw_without_rendering()
    drawn = [text for axes in panels(figure) for text in axes.findobj(Text) if "images of mine" in text.get_text()]
    assert drawn
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in drawn)


def test_bounds_over_ratios_draws_intervals_as_bars_of_their_own() -> None:
    """Of each number that the panels show, in its colour, though it may leave out the number itself."""
    plain = [answer(world_graph(class_mixture(4, 0.3), ratio, "sequence"), ratio, 2) for ratio in (0.75, 0.5)]
    drawn = panels(bounds_over_ratios(plain, "a mixture"))
    assert not any(one.lines[2][0].get_segments() for axes in drawn for one in axes.containers)
    assert drawn[0].get_title(loc="left") == "a mixture"
    estimate = statistics(plain[0])
    intervals = {name: [value + 0.01 * i, value + 0.02 * i] for i, (name, value) in enumerate(estimate.items(), 1)}
    intervals["inter"] = [-0.2, 1.2]
    intervals["phi"] = [1.1, 1.2]
    made: Bootstrap = {"resamples": 50, "level": 0.95, "intervals": intervals}
    figure = bounds_over_ratios([{**plain[0], "bootstrap": made}, plain[1]], "a mixture")
    bounds, labels, spectrum = panels(figure)
    assert bounds.get_title(loc="left") == "a mixture\nbars: 95 % bootstrap over images, 50 resamples"
    for axes, names in (
        (bounds, {"S2, water-filling": "water_filling", "Thm 4.2": "thm_4_2_any_lambda"}),
        (labels, {"α": "alpha", "α of x2": "alpha_target", "φ": "phi", "inter-class mass": "inter"}),
        (spectrum, {"head, Σ λ² of the K largest,\nK = 2": "head_sq", "tail, Σ λ² of all others": "tail_sq"}),
    ):
        most = {bounds: 0.25, labels: 1.0}.get(axes, np.inf)
        places = set()
        for container, (label, name) in zip(axes.containers, names.items(), strict=True):
            (bars,) = container.lines[2]
            assert bars.get_colors()[0] == pytest.approx(to_rgba(line(axes, label).get_color()))
            (segment,) = bars.get_segments()
            assert segment[:, 0] == pytest.approx(0.75, abs=0.03)
            assert segment[0, 0] != 0.75, "beside the mark, which would cover it"
            places.add(round(segment[0, 0], 6))
            # No share is below 0 or above 1, no bound above λ.
            low, high = np.clip(intervals[name], 0 if axes is labels else -np.inf, most)
            assert sorted(segment[:, 1]) == pytest.approx([low, high])
            assert axes.get_ylim()[0] <= low
            assert high <= axes.get_ylim()[1]
        assert len(places) == len(names)


def test_bounds_over_ratios_draws_the_spread_over_seeds_where_there_is_no_interval() -> None:
    found = answer(world_graph(class_mixture(4, 0.3), 0.5, "sequence"), 0.5, 2)
    values = {name: [value - 0.001, value, value + 0.001] for name, value in statistics(found).items()}
    made: Draws = {"seeds": [0, 1, 2], "drawn": ["codebook", "masks"], "numbers": values}
    drawn = panels(bounds_over_ratios([{**found, "draws": made}], "a mixture"))
    assert drawn[0].get_title(loc="left") == "a mixture\nbars: mean ± SD over 3 draws of codebook, masks"
    for axes, names in zip(drawn, (("thm_4_2_any_lambda",), ("alpha", "phi"), ("head_sq",)), strict=True):
        ends = [sorted(one.lines[2][0].get_segments()[0][:, 1]) for one in axes.containers]
        for name in names:
            # Three values a thousandth apart have an SD of a thousandth.
            value = statistics(found)[name]
            assert any(end == pytest.approx([value - 0.001, value + 0.001]) for end in ends)
    intervals = {name: [0.0, 0.125] for name in values}
    both: RatioAnswer = {
        **found,
        "draws": made,
        "bootstrap": {"resamples": 50, "level": 0.95, "intervals": intervals},
    }
    bounds = panels(bounds_over_ratios([both], "a mixture"))[0]
    assert bounds.get_title(loc="left").endswith("50 resamples")
    (bars,) = bounds.containers[0].lines[2]
    assert sorted(bars.get_segments()[0][:, 1]) == pytest.approx([0, 0.125])


def test_bounds_over_ratios_draws_no_interval_of_a_bound_that_has_no_mark() -> None:
    found = answer(world_graph(class_mixture(4, 0.3), 0.5, "positional"), 0.5, 8)
    intervals = {name: [value, value] for name, value in statistics(found).items()}
    made: Bootstrap = {"resamples": 50, "level": 0.95, "intervals": intervals}
    axes = panels(bounds_over_ratios([{**found, "bootstrap": made}], "a mixture"))[0]
    assert [len(one.lines[2][0].get_segments()) for one in axes.containers] == [1, 0]
