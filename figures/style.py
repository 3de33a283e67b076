"""What all figures share: one colour a thing, readable at the size they are shown."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from maskgraph.empirical.records import write_atomically

METHOD_COLOURS = {"mae": "#0072b2", "u-mae": "#d55e00", "simmim": "#009e73", "u-simmim": "#cc79a7"}
METHOD_NAMES = {"mae": "MAE", "u-mae": "U-MAE", "simmim": "SimMIM", "u-simmim": "U-SimMIM"}
METHOD_MARKS = {"mae": "o", "u-mae": "D", "simmim": "^", "u-simmim": "v"}
METHOD_SIZES = {"mae": 7.5, "u-mae": 4.5, "simmim": 7.5, "u-simmim": 4.5}
METHOD_STYLES = {"mae": "-", "u-mae": "--", "simmim": "-", "u-simmim": "--"}
"""Methods with uniformity are small and dashed, and drawn last: where all is the same the others show beneath them."""
LABEL_ERRORS = {
    "alpha": ("α", "#cc79a7", "o", 8.0, 2.8),
    "alpha_target": ("α of x2", "#56b4e9", "v", 6.0, 2.0),
    "phi": ("φ", "#0072b2", "s", 4.2, 1.3),
    "inter": ("inter-class mass", "#d55e00", "^", 2.4, 0.7),
}
"""Label, colour, mark, its size and the line's width, in the order of drawing: equal ones show around each other."""
CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#999999")
THEORY_STYLES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 4)))
THEORY_MARKS = ("x", "+", "1", "2", "3", "4")
GREY = "#666666"
DPI = 120


LEAST_SPAN = 0.2
"""The least of [0, 1] that an axis of shares shows: what is nearly the same is to look so."""

ROOM = 0.04
"""Left at both ends of such an axis, as a part of it."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of this size in inches that belongs to no global state."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def sequence(count: int) -> list[str]:
    """Colours for things in an order, from light to dark, in hexadecimal."""
    return [to_hex(colormaps["Greys"](0.1 + 0.85 * index / max(count - 1, 1))) for index in range(count)]


def wrapped(title: str, width: int) -> str:
    """A title in lines of at most so many characters: what is longer than a figure is wide is cut off at its edge."""
    return textwrap.fill(title, width, break_on_hyphens=False)


def tidy(axes: Axes) -> None:
    """Light grid, no box on top."""
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["top"].set_visible(False)


def share_axis(axes: Axes, from_zero: bool = False) -> None:
    """Let the y-axis show shares (accuracies, errors): what was drawn, at least `LEAST_SPAN` of [0, 1], none beyond it.

    Args:
        axes: after all is drawn.
        from_zero: whether the axis begins at 0.
    """
    low, high = (min(max(float(end), 0.0), 1.0) for end in axes.dataLim.intervaly)
    low = 0.0 if from_zero else low
    lacking = max(LEAST_SPAN - (high - low), 0.0)
    # Half on each side, unless one of them ends before.
    below = min(max(lacking / 2, high + lacking - 1), low)
    low, high = low - below, high + lacking - below
    room = ROOM * (high - low)
    axes.set_ylim(low - room, high + room)


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, atomically, and return its path."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
    return path
