"""What all figures share: one colour a thing, readable at the size they are shown."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from maskgraph.empirical.records import write_atomically

METHOD_COLOURS = {"mae": "#0072b2", "u-mae": "#d55e00", "simmim": "#009e73", "u-simmim": "#cc79a7"}
METHOD_NAMES = {"mae": "MAE", "u-mae": "U-MAE", "simmim": "SimMIM", "u-simmim": "U-SimMIM"}
CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#999999")
THEORY_STYLES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 4)))
THEORY_MARKS = ("x", "+", "1", "2", "3", "4")
GREY = "#666666"
DPI = 120


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that belongs to no global state."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def sequence(count: int) -> list[str]:
    """Colours for things in an order, from light to dark, in hexadecimal."""
    return [to_hex(colormaps["Greys"](0.1 + 0.85 * index / max(count - 1, 1))) for index in range(count)]


def tidy(axes: Axes) -> None:
    """Light grid, no box on top."""
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, atomically, and return its path."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
    return path
