"""The waterfall draws the recorded chain of each proof."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from maskgraph.figures.waterfall import SHOWN, chain, waterfall


def check(statement: str, values: tuple[float | None, ...], exact: int | None = None) -> dict[str, Any]:
    steps = [{"cause": f"step {i}", "value": value, "exact": i == exact} for i, value in enumerate(values)]
    return {"statement": statement, "steps": steps}


def records(unmet: str = "") -> pd.DataFrame:
    rows = [
        {"method": method, "mask_ratio": ratio, "seed": seed}
        | {"checks": [check(s, () if s == unmet else (3.0 + seed, 2.0, ratio)) for s in SHOWN]}
        for method in ("mae", "u-mae")
        for ratio in (0.25, 0.7, 0.95)
        for seed in (0, 1)
    ]
    return pd.DataFrame([*rows, {"method": "raw-pixels", "mask_ratio": None, "seed": 0, "checks": []}])


def test_a_chain_is_the_mean_over_models_without_its_equalities() -> None:
    both = [check("S", (4.0, 4.0, 2.0), exact=1), check("S", (6.0, 6.0, 3.0), exact=1)]
    assert chain(both) == [("step 0", 5.0), ("step 2", 2.5)]


def test_a_chain_without_values_is_empty() -> None:
    assert chain([]) == []
    assert chain([check("S", (1.0, 0.0)), check("S", ())]) == []
    assert chain([check("S", (1.0, None))]) == []


def test_bars_are_what_each_step_gives_away_at_the_ratio_nearest_three_quarters() -> None:
    panels: list[Any] = list(waterfall(records()).axes)
    assert len(panels) == len(SHOWN) * 2
    for axes in panels:
        bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
        assert bars == [(3.5, pytest.approx(-1.5)), (2.0, pytest.approx(-1.3))]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["step 0", "step 1", "step 2"]


def test_the_title_says_of_how_many_seeds_the_means_are() -> None:
    both = records()
    assert "mask ratio 0.7, means over 2 seeds: each bar" in waterfall(both).get_suptitle()
    assert "mask ratio 0.7, one seed: each bar" in waterfall(both[both["seed"] == 0]).get_suptitle()
    short = both[(both["method"] == "mae") | (both["seed"] == 0)]
    assert "mask ratio 0.7, means over 1 to 2 seeds: each bar" in waterfall(short).get_suptitle()


def test_a_statement_that_is_not_met_says_so() -> None:
    panels: list[Any] = list(waterfall(records(unmet="Thm 4.2")).axes)
    said = [axes.get_title(loc="left") for axes in panels if any("not met" in text.get_text() for text in axes.texts)]
    assert said == ["Thm 4.2, MAE", "Thm 4.2, U-MAE"]


@pytest.mark.parametrize(
    "values", [(0.9, 7.0, 1.5e9), (-4e5, 1.0, 2e6), (5e-5, 8.5, 8e-3), (0.0, 0.0, 0.0), (3e30, 2.0, -8.0)]
)
def test_numbers_stay_within_their_panel_and_ticks_apart(values: tuple[float, ...]) -> None:
    row = {"method": "mae", "mask_ratio": 0.75, "seed": 0, "checks": [check(s, values) for s in SHOWN]}
    figure = waterfall(pd.DataFrame([row]))
    figure.set_canvas(FigureCanvasAgg(figure))
    figure.draw_without_rendering()
    panels: list[Any] = list(figure.axes)
    for axes in panels:
        frame = axes.get_window_extent()
        for text in axes.texts:
            assert text.get_window_extent().x1 <= frame.x1
        low, high = axes.get_xlim()
        labels = [
            label.get_window_extent()
            for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
            if low <= tick <= high
        ]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(labels))
        assert len(labels) >= 2
