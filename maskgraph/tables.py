"""Plain text tables for people; machines get --json."""

from __future__ import annotations

import math
from collections.abc import Sequence

from maskgraph.theory.draws import mean_and_sd

DECIMALS = 6
"""Most of a mean that is written out."""


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Right-aligned columns under their headers; floats in four significant digits, nothing as a dash."""
    cells = [list(headers), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def spread_text(values: Sequence[float]) -> str:
    """A mean to the second digit of its SD."""
    mean, sd = mean_and_sd(values)
    if sd == 0:
        return f"{mean:.4g}±0"
    places = max(1 - math.floor(math.log10(sd)), 0)
    # A mean far above so small an SD is shown to four digits, as everywhere, and not to the two of the SD.
    return f"{mean:.{places}f}±{sd:.{places}f}" if places <= DECIMALS else f"{mean:.4g}±{sd:.2g}"
