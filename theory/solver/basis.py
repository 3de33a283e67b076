"""The growing orthonormal basis of a block iteration, beside known vectors, and blocks that are orthonormal to it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from maskgraph.theory.rounding import EPS
from maskgraph.theory.solver.certificate import project_out, tall_product, turn
from maskgraph.theory.solver.engine import PANEL, Array, Engine, Floats

BLOCK = 16
"""Columns of a step: one cache line of float32."""

CHUNK = 128
"""Columns of the basis that stand side by side: products of blocks of 16 alone take half as long again."""

SHORT = 1e-2
"""Length of an image beside the basis from which on it is orthogonalised twice."""

LOST = 100
"""Roundings that a block may have in the basis: Ritz values lose no more than rounding up to a root of one (Simon,
Math. Comp. 42, 1984), and the vectors what this is."""

KEPT = 0.5
"""What a unit vector keeps when it is orthogonalised, if it was more than rounding (Parlett 1998, section 6.9)."""


class Basis:
    """A growing orthonormal basis of some of the complement of what is fixed.

    Attributes:
        engine: where it is.
        fixed: (m, l) in its dtype.
        size: rows of all processes.
        dtype: float32 or float64.
        count: columns so far.
    """

    def __init__(self, engine: Engine, fixed: Array, size: int, dtype: type) -> None:
        self.engine, self.fixed, self.size, self.dtype = engine, fixed, size, dtype
        self._rows = int(fixed.shape[0])
        self._chunks: list[Array] = []
        # A Gaussian mixture M of all columns, by which `overlap` sees what a block has of them.
        self._mixture = engine.array(np.zeros((self._rows, BLOCK)), dtype)
        self._mixing = np.random.default_rng(0)
        self.count = 0

    def append(self, block: Array) -> None:
        """Add `BLOCK` columns."""
        if self.count == CHUNK * len(self._chunks):
            self._chunks.append(self.engine.empty(self._rows, CHUNK, self.dtype))
        self.columns(self.count)[:] = block
        self.engine.subtract(self._mixture, block, self._mixing.standard_normal((BLOCK, BLOCK)) / math.sqrt(BLOCK))
        self.count += BLOCK

    def clear(self) -> None:
        """Begin again, in the same memory: new memory costs as much as what is done with it."""
        self._mixture[:] = 0
        self.count = 0

    def overlap(self, block: Array) -> float:
        """About ‖Vᵀx‖ for a block x, without a pass over the basis.

        E‖Mᵀx‖² = ‖Vᵀx‖², as M = VG with entries of G independent N(0, 1/`BLOCK`); a norm of less than a quarter of the
        true one has a chance below 1e-7, that of χ²/16 of 16 degrees of freedom if Vᵀx has rank 1, and less otherwise.
        """
        return float(np.linalg.norm(self.engine.ranks.agree(tall_product(self._mixture, block, self.engine))))

    def columns(self, at: int) -> Array:
        """Those of the block that begins at a column."""
        return self._chunks[at // CHUNK][:, at % CHUNK : at % CHUNK + BLOCK]

    def transposed_times(self, x: Array) -> Floats:
        """Vᵀx on the host."""
        total = np.zeros((self.count, x.shape[1]))
        for chunk, used, rows in self._filled():
            total[rows] = self.engine.inner(chunk[:, :used], x)
        return self.engine.ranks.sum(total)

    def subtract(self, x: Array, coefficients: Floats) -> None:
        """X −= V·coefficients."""
        for chunk, used, rows in self._filled():
            self.engine.subtract(x, chunk[:, :used], coefficients[rows])

    def times(self, coefficients: Floats, beside: Array | None = None) -> Array:
        """V·coefficients in float64, after the columns that are to stand beside it."""
        before = 0 if beside is None else int(beside.shape[1])
        result = self.engine.empty(self._rows, before + coefficients.shape[1], np.float64)
        if beside is not None:
            result[:, :before] = beside
        own = self.engine.array(coefficients, self.dtype)
        for low in range(0, self._rows, PANEL):
            part = result[low : low + PANEL, before:]
            part[:] = 0
            for chunk, used, rows in self._filled():
                part += chunk[low : low + PANEL, :used] @ own[rows]
        return result

    def _filled(self) -> Iterator[tuple[Array, int, slice]]:
        for low, chunk in zip(range(0, self.count, CHUNK), self._chunks, strict=False):
            rows = slice(low, min(low + CHUNK, self.count))
            yield chunk, rows.stop - rows.start, rows


def orthonormal(x: Array, basis: Basis, rng: np.random.Generator) -> tuple[Array, Floats]:
    """An orthonormal block, in the memory of x, for its columns, and the coefficients that give x from it.

    Where x has no more directions than rounding (the Krylov space is exhausted) random ones take their place.
    """
    engine = basis.engine
    coupling, shortest = _unit(x, np.eye(int(x.shape[1])), 0.0, basis, rng)
    if shortest < SHORT:
        # What was left of the image is so little that rounding, now scaled up with it, shows against the basis. A block
        # that begins a basis may be as near to fewer directions, and what it has of the fixed ones shows.
        _remove(x, basis)
        coupling, shortest = _unit(x, coupling, math.sqrt(_rounded(basis)), basis, rng)
        if shortest < KEPT:
            # And where that was most of it, so does what the removal itself left: what loses as much again is rounding.
            _remove(x, basis)
            coupling, _ = _unit(x, coupling, KEPT, basis, rng)
    back = inverse_root(tall_product(x, x, engine), engine)
    # x is now orthonormal but for rounding, which a symmetric correction takes away.
    return turn(x, back, engine), np.linalg.inv(back) @ coupling


def cleaned(x: Array, coupling: Floats, overlap: float, basis: Basis, rng: np.random.Generator) -> tuple[Array, Floats]:
    """An orthonormal block without what it has of the basis, of norm about `overlap`, and its coefficients anew."""
    _remove(x, basis)
    if overlap <= math.sqrt(float(np.finfo(basis.dtype).eps)) / 4:
        # Its lengths have changed by the square.
        return x, coupling
    x, back = orthonormal(x, basis, rng)
    return x, back @ coupling


def _unit(x: Array, coupling: Floats, least: float, basis: Basis, rng: np.random.Generator) -> tuple[Floats, float]:
    """Make x the unit vectors of its singular directions, random ones where these are shorter than `least`.

    So are those that were no longer than rounding at first. Squares of lengths are off by rounding of the largest one:
    what that could hide is scaled up by no more than is sure, and has a length when it is asked again.

    Args:
        x: (m, b) of length about 1, or an image.
        coupling: (b, b) coefficients that give what x was at first from what it is.
        least: a length.
        basis: that x is beside.
        rng: of random directions.

    Returns:
        The coefficients that give what x was at first, and the length of its shortest direction that stays, beside
        that of the longest where this is more than 1.
    """
    engine, rounded = basis.engine, _rounded(basis)
    values, vectors = (engine.ranks.agree(part) for part in np.linalg.eigh(tall_product(x, x, engine)))
    root = np.sqrt(np.maximum(values, rounded * max(float(values[-1]), 0.0)))
    coupling = engine.ranks.agree(root[:, None] * (vectors.T @ coupling))
    # The image of a unit block is off by rounding of the order of ‖A‖ = 1, however small it is itself.
    poor = (np.maximum(values, 0) < least**2) | (np.linalg.norm(coupling, axis=1) < rounded)
    poor = engine.ranks.agree(poor.astype(float)) > 0
    first = np.argsort(~poor, kind="stable")
    poor, root, coupling = poor[first], root[first], coupling[first]
    turn(x, vectors[:, first] / np.where(poor, 1, root), engine)
    if poor.any():
        lost = int(poor.sum())
        x[:, :lost] = _beside(x[:, lost:], lost, basis, rng)
        coupling[:lost] = 0
    # A block that begins a basis may be of any length.
    return coupling, float(root[~poor].min(initial=1)) / max(float(root.max()), 1.0)


def _rounded(basis: Basis) -> float:
    """What the image of a unit block, or a product of one with itself, may be off by."""
    return 16 * float(np.finfo(basis.dtype).eps)


def _remove(x: Array, basis: Basis) -> None:
    """Take from x what the basis and what is fixed have of it."""
    if basis.count:
        basis.subtract(x, basis.transposed_times(x))
    project_out(x, basis.fixed, basis.engine)


def _beside(good: Array, count: int, basis: Basis, rng: np.random.Generator) -> Array:
    """Random columns, orthonormal and orthogonal to good ones, to the basis and to what is fixed."""
    fresh = random_block(count, basis, rng)
    for _ in range(2):
        _remove(fresh, basis)
        if good.shape[1]:
            project_out(fresh, good, basis.engine)
        turn(fresh, inverse_root(tall_product(fresh, fresh, basis.engine), basis.engine), basis.engine)
    return fresh


def random_block(columns: int, basis: Basis, rng: np.random.Generator) -> Array:
    """A Gaussian block, the same whatever the number of processes."""
    draw = rng.standard_normal((basis.size, columns))
    return basis.engine.array(basis.engine.ranks.rows(draw), basis.dtype)


def inverse_root(G: Floats, engine: Engine) -> Floats:
    """G^-½ of a Gram matrix."""
    values, vectors = np.linalg.eigh(G)
    root = np.asarray((vectors / np.sqrt(np.maximum(values, EPS * values[-1]))) @ vectors.T)
    return engine.ranks.agree(root)
