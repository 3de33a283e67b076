"""The loops over pairs of views that share a target or an image: what binds Thm 4.2, what identity I4 sums.

Such a pair is an entry of a pattern times its transpose, found row by row as in a sparse product: the views that share
something with one view, each once. Loops that call each other are in one file: numba's cache sees no change in
another.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgraph.graphs.compiled import compiled, compiled_fast

Array = NDArray[Any]

FEW = 20_000
"""Pairs up to which numpy has done it before compiled loops are loaded, or compiled on a machine's first call."""

LEAD = 8
"""Coordinates that are compared first, a cache line a view: mostly they tell that a pair is not the one."""

LOOSE = 1e-6
"""How much of a squared distance is left to them for rounding, which is far less, lest small ones are lost in it."""

STRETCH = 16
"""Coordinates of outputs after which it is asked whether they tell by now."""

EPS = float(np.finfo(np.float64).eps)
TINIEST = 2.0**-1074


@compiled_fast
def apart(x: Array, y: Array) -> float:
    """‖x − y‖², from differences."""
    total = 0.0
    for c in range(len(x)):
        total += (x[c] - y[c]) * (x[c] - y[c])
    return total


@compiled_fast
def lead_apart(x: Array, y: Array) -> float:
    """The same of `LEAD` coordinates, a number that the compiler knows."""
    total = 0.0
    for c in range(LEAD):
        total += (x[c] - y[c]) * (x[c] - y[c])
    return total


@compiled_fast
def inner(x: Array, y: Array) -> float:
    """x·y."""
    total = 0.0
    for c in range(len(x)):
        total += x[c] * y[c]
    return total


@compiled
def binding(
    indptr: Array,
    indices: Array,
    t_indptr: Array,
    t_indices: Array,
    start: int,
    stop: int,
    f: Array,
    h: Array,
    f_lead: Array,
    f_rest: Array,
    h_lead: Array,
    h_blur: Array,
    floor: Array,
    largest: float,
    last: Array,
    found: Array,
) -> int:
    """Find the pairs (i, j), j > i, whose ‖f_i − f_j‖²/‖h_i − h_j‖² may be the largest of all, and above `largest`.

    It may, for whatever order others add its sums up in. With u = eps/2, a sum of n squared differences is off by a
    factor within (1 ± u)^(n + 2): the rounding of a difference counts twice, that of its square once, of sums each
    term meets n − 1. So a ratio of others and one from here are apart by at most 2(k + 2) + 2(d + 2) such factors, and
    some 8 for quotients, products and floors: (k + d + 8) eps. `slack` is twice that, for what is of second order.
    Squares that underflow are off by half of the least number each, `least` all together.

    Args:
        indptr: with `indices` the pattern (N1, ·) in CSR.
        indices: see there.
        t_indptr: with `t_indices` its transpose, whose columns ascend in every row.
        t_indices: see there.
        start: the first row i.
        stop: where they end.
        f: (N1, k) float64, rows in one piece.
        h: (N1, d) likewise.
        f_lead: (N1, LEAD) likewise; ‖f_i − f_j‖² <= (1 + LOOSE) ‖their difference‖² + (f_rest_i + f_rest_j)².
        f_rest: (N1,) see there.
        h_lead: (N1, LEAD) likewise; ‖their difference‖² <= (1 + LOOSE) ‖h_i − h_j‖² + (h_blur_i + h_blur_j)².
        h_blur: (N1,) see there.
        floor: (N1,) features count as equal up to a squared distance of floor_i + floor_j.
        largest: the largest ratio that is known, 0 at first.
        last: (N1,) int64, of each view the last i that it was met by: −1 at first, then as the call before left it.
        found: (·, 2) int64, room for the pairs of these rows; written.

    Returns:
        How many pairs were found. At equal outputs of features that differ it ends there: no ratio is larger.
    """
    k, d = f.shape[1], h.shape[1]
    slack, least = 2 * (k + d + 8) * EPS, 4 * (k + d) * TINIEST
    above, below, wide = 1 + slack, 1 - slack, 1 + 2 * LOOSE
    scale = above / largest if largest > 0 else math.inf
    count = 0
    for i in range(start, stop):
        own_f, own_h, own_f_lead, own_h_lead = f[i], h[i], f_lead[i], h_lead[i]
        low, high = indptr[i], indptr[i + 1]
        alone = high - low == 1
        for e in range(low, high):
            column = indices[e]
            begin = t_indptr[column]
            q = t_indptr[column + 1]
            while q > begin:
                q -= 1
                j = t_indices[q]
                if j <= i:
                    break
                if not alone:
                    # Only the first of the things that both share has the pair.
                    if last[j] == i:
                        continue
                    last[j] = i
                first, rest, blur = lead_apart(own_h_lead, h_lead[j]), f_rest[i] + f_rest[j], h_blur[i] + h_blur[j]
                most = (lead_apart(own_f_lead, f_lead[j]) + rest * rest) * wide + least
                if first > (most * scale + blur * blur) * wide + least:
                    continue
                feature = apart(own_f, f[j])
                equal = floor[i] + floor[j]
                if feature == 0 or feature * above + least <= equal * below:
                    continue
                limit = (feature + least) * scale + least
                if first > (limit + blur * blur) * wide:
                    continue
                output, at = 0.0, 0
                while at < d and output <= limit:
                    output += apart(own_h[at : at + STRETCH], h[j, at : at + STRETCH])
                    at += STRETCH
                if output > limit:
                    continue
                found[count, 0], found[count, 1] = i, j
                count += 1
                # What rounding may have made is for the caller to judge.
                if feature * below - least > equal * above:
                    if output == 0:
                        return count
                    known = (feature * below - least) / (output * above + least)
                    if known > largest:
                        largest, scale = known, above / known
    return count


@compiled
def excess(
    indptr: Array, indices: Array, data: Array, t_indptr: Array, t_indices: Array, t_data: Array, F: Array, rows: Array
) -> None:
    """Write Σ_j (A_ij − g_ij)² − A_ij² − g_ij² to rows[i], over j <= i with A_ij > 0, twice where j < i.

    A = B Bᵀ and g = F Fᵀ are both symmetric. Every sum of a row is compensated (Neumaier), off by 2 ulp or so of the
    sum of its absolute terms.

    Args:
        indptr: with `indices` and `data` the factor B (N1, ·) in CSR.
        indices: see there.
        data: see there.
        t_indptr: with `t_indices` and `t_data` Bᵀ, whose columns ascend in every row.
        t_indices: see there.
        t_data: see there.
        F: (N1, k) float64, rows in one piece.
        rows: (N1,) written.
    """
    size = len(rows)
    entries, met, last = np.zeros(size), np.empty(size, np.int64), np.full(size, -1)
    for i in range(size):
        count = 0
        for e in range(indptr[i], indptr[i + 1]):
            column, value = indices[e], data[e]
            for q in range(t_indptr[column], t_indptr[column + 1]):
                j = t_indices[q]
                if j > i:
                    break
                if last[j] != i:
                    last[j], entries[j] = i, 0.0
                    met[count] = j
                    count += 1
                entries[j] += value * t_data[q]
        own = F[i]
        total, lost = 0.0, 0.0
        for at in range(count):
            j = met[at]
            a, g = entries[j], inner(own, F[j])
            term = (a - g) * (a - g) - a * a - g * g
            if j < i:
                term *= 2
            before = total
            total += term
            if abs(before) >= abs(term):
                lost += (before - total) + term
            else:
                lost += (term - total) + before
        rows[i] = total + lost
