"""The rounding of float64."""

from __future__ import annotations

import numpy as np

EPS = float(np.finfo(np.float64).eps)
"""2⁻⁵², the distance of 1 from the next number."""
