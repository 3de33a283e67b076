"""Figures of a recipe show its records: read back from their own artists."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from maskgraph.empirical.judge import ANY
from maskgraph.empirical.summary import Difference, Score
from maskgraph.figures.recipe import blocks, learning, readouts, singular_values
from maskgraph.figures.recipe_report import _changes, _collapse, _scores, _training
from maskgraph.figures.style import METHOD_COLOURS

VALUES = {"mae": [4.0, 1.0, 0.5], "gaussian": [2.0, 1.9, 1.8], "random-mae": [3.0, 0.3, 0.0]}


def record(method: str, seed: int) -> dict[str, Any]:
    kinds = [ANY] if method == "gaussian" else ["cls", "mean"]
    accuracies = {"cls": [0.2 + 0.1 * seed, 0.6], "mean": [0.3, 0.7]} if method == "mae" else {}
    layers = {kind: [{"accuracy": value} for value in one] for kind, one in accuracies.items()}
    collapse = {kind: {"singular_values": VALUES[method]} for kind in kinds}
    return {"method": method, "seed": seed, "layers": layers, "collapse": collapse}


RECORDS = [record(method, seed) for method in VALUES for seed in (0, 1)]


def lines(axes: Axes, colour: str) -> NDArray[np.float64]:
    """(lines, 2, points): x and y of every line of a colour."""
    return np.array([(line.get_xdata(), line.get_ydata()) for line in axes.get_lines() if line.get_color() == colour])


def assert_drawn(found: NDArray[np.float64], wanted: Any) -> None:
    np.testing.assert_allclose(found, np.array(wanted, dtype=np.float64))


def test_learning_draws_every_point_of_every_network() -> None:
    curves = {
        f"{method}-s{seed}": [
            {"epoch": epoch, "reconstruction": 1 / epoch + seed, "uniformity": 0.5 / epoch, "knn": 0.1 * epoch}
            for epoch in (2, 4)
        ]
        for method in ("mae", "u-mae")
        for seed in (0, 1)
    }
    panels = learning(curves).axes
    assert len(panels) == 3
    for method in ("mae", "u-mae"):
        drawn = lines(panels[0], METHOD_COLOURS[method])
        assert_drawn(drawn, [[[2, 4], [0.5 + seed, 0.25 + seed]] for seed in (0, 1)])
        assert_drawn(lines(panels[1], METHOD_COLOURS[method])[0], [[2, 4], [0.25, 0.125]])
        assert_drawn(lines(panels[2], METHOD_COLOURS[method])[0], [[2, 4], [0.2, 0.4]])


def test_readouts_stand_beside_what_needs_no_training() -> None:
    found = [
        Score("mae", "cls.ridge", (0.7, 0.8), (0.6, 0.9), (0.5, 0.95)),
        Score("mae", "mean.ridge", (0.6,), None, (0.5, 0.7)),
        Score("gaussian", f"{ANY}.ridge", (0.1, 0.12), (0.0, 0.2), (0.05, 0.2)),
    ]
    (axes,) = readouts(found).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cls.ridge", "mean.ridge"]
    assert_drawn(lines(axes, METHOD_COLOURS["mae"])[:, 0], [[0.75], [0.6]])
    # The null is one feature for both kinds.
    assert_drawn(lines(axes, "#666666")[:, 0], [[0.11], [0.11]])
    (bar,) = [path for group in axes.collections for path in group.get_paths()]
    assert_drawn(np.array(bar.vertices)[:, 0], [0.6, 0.9])


def test_one_seed_stands_beside_the_draw_of_the_images() -> None:
    (axes,) = readouts([Score("mae", "cls.ridge", (0.7,), None, (0.5, 0.95))]).axes
    (bar,) = [path for group in axes.collections for path in group.get_paths()]
    assert_drawn(np.array(bar.vertices)[:, 0], [0.5, 0.95])
    assert "over the draw of the images; one seed" in axes.get_xlabel()


def test_a_curve_of_one_point_is_seen() -> None:
    point = {"epoch": 1.0, "reconstruction": 0.5, "uniformity": 0.5, "knn": 0.1}
    for axes in learning({"mae-s0": [point]}).axes:
        (line,) = axes.get_lines()
        assert line.get_marker() == "o"


def test_blocks_are_means_over_seeds() -> None:
    (axes,) = blocks(RECORDS).axes
    drawn = lines(axes, METHOD_COLOURS["mae"])
    assert_drawn(drawn, [[[1, 2], [0.25, 0.6]], [[1, 2], [0.3, 0.7]]])


def test_singular_values_are_shown_over_the_largest() -> None:
    panels = singular_values(RECORDS).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["cls feature", "mean feature"]
    for axes in panels:
        assert_drawn(lines(axes, METHOD_COLOURS["mae"]), [[[1, 2, 3], [1, 0.25, 0.125]]])
        assert_drawn(lines(axes, "#666666")[0, 1], [1, 0.95, 0.9])


def test_singular_values_are_means_over_seeds_of_each_feature() -> None:
    """Each seed's over its own largest: 1/4 and 3/4 of CLS, 1/2 and 1/4 of the mean of tokens."""
    found = [{"cls": [4.0, 1.0], "mean": [2.0, 1.0]}, {"cls": [1.0, 0.75], "mean": [8.0, 2.0]}]
    collapse = [{kind: {"singular_values": values} for kind, values in one.items()} for one in found]
    panels = singular_values([{"method": "mae", "seed": seed, "collapse": one} for seed, one in enumerate(collapse)])
    for axes, wanted in zip(panels.axes, (0.5, 0.375), strict=True):
        assert_drawn(lines(axes, METHOD_COLOURS["mae"]), [[[1, 2], [1, wanted]]])


def test_within_a_decade_losses_stand_as_they_are_written() -> None:
    points = [
        {"epoch": epoch, "reconstruction": 1.5 / epoch, "uniformity": 0.8 + epoch / 20, "knn": 0} for epoch in (1, 2)
    ]
    figure = learning({"mae-s0": points})
    figure.draw_without_rendering()
    losses, uniformity, _ = figure.axes
    for axes in (losses, uniformity):
        labels = [tick.get_text() for tick in axes.get_yticklabels(which="both") if tick.get_text()]
        assert labels
        assert all(float(label) > 0 for label in labels)
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_tables_of_the_page_hold_each_number_under_its_name() -> None:
    score = Score("mae", "cls.ridge", (0.7, 0.8), (0.61, 0.89), (0.52, 0.95))
    change = Difference("u-mae", "cls.ridge", (0.1, 0.3), (-0.1, 0.5), (0.04, 0.5))
    trained = {"steps": 18, "final_reconstruction": 0.25, "lam": 0.01, "train_cpu_seconds": 2.5}
    measured = {"rankme": 2.5, "uniformity": 0.5, "bounds": {"rankme": [1.0, 4.0]}, "images": 9, "dimension": 4}
    record = {"method": "mae", "seed": 3, **trained, "collapse": {"cls": measured}}
    for table, wanted in (
        (
            _scores([score]),
            {
                "method": "mae",
                "readout": "cls.ridge",
                "seeds": "2",
                "accuracy": "0.75",
                "over seeds": "[0.610, 0.890]",
                "over images": "[0.520, 0.950]",
            },
        ),
        (
            _changes([change]),
            {
                "method": "u-mae",
                "readout": "cls.ridge",
                "difference": "0.2",
                "over seeds": "[-0.100, 0.500]",
                "p": "0.04, 0.5",
            },
        ),
        (
            _training([record]),
            {
                "method": "mae",
                "seed": "3",
                "steps": "18",
                "reconstruction": "0.25",
                "λ": "0.01",
                "CPU seconds": "2.5",
            },
        ),
        (
            _collapse([record]),
            {"method": "mae", "seed": "3", "feature": "cls", "rankme": "2.5 [1, 4]", "uniformity": "0.5"},
        ),
    ):
        names, cells = (re.findall(rf"<{tag}>(.*?)</{tag}>", table) for tag in ("th", "td"))
        assert dict(zip(names, cells, strict=True)) == wanted
