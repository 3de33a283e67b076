"""Mask distributions: which patches are kept, with what probability."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskgraph.graphs.errors import InputError, check_type, is_real, is_whole, kind_of, unknown
from maskgraph.graphs.seeds import check_seed

MaskKind = Literal["uniform", "block", "grid"]


@dataclass(frozen=True)
class MaskDistribution:
    """Equiprobable masks that keep exactly `kept` patches.

    Attributes:
        kind: `uniform`: every subset of `kept` patches. `block`: what is dropped is one block, full rows but for
            a last one that may be shorter, in every width and place that fit. `grid`: the kept patches are spread
            evenly, the first of a dispersed (Bayer) order, in all cyclic shifts; at ρ = ¾ one patch in each 2×2 cell.
        grid: (rows, columns) of the patches.
        kept: n1, 1 <= n1 <= n − 1, a multiple of unit².
        unit: side, in patches, of the squares that are kept or dropped as one, in a grid of their own; it divides rows
            and columns. The masks of SimMIM (Xie et al. 2022) are uniform in units of 32 pixels, 2 patches.
    """

    kind: MaskKind
    grid: tuple[int, int]
    kept: int
    unit: int = 1

    @property
    def patches(self) -> int:
        """n, the number of patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def total(self) -> int:
        """How many masks the distribution holds."""
        if self.unit > 1:
            return self._of_units().total
        return math.comb(self.patches, self.kept) if self.kind == "uniform" else len(self._listed())

    def _of_units(self) -> MaskDistribution:
        """The same on the grid of units."""
        rows, columns = self.grid
        return MaskDistribution(self.kind, (rows // self.unit, columns // self.unit), self.kept // self.unit**2)

    def _patches_of(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """(S, n1) the patches, ascending, of masks (S, ·) of units."""
        columns, side = self.grid[1], np.arange(self.unit)
        row, column = np.divmod(units * self.unit, columns)
        first = row * self.unit * columns + column
        patches = first[:, :, None, None] + side[:, None] * columns + side
        return np.sort(patches.reshape(len(units), units.shape[1] * self.unit**2), axis=1)

    def _listed(self) -> NDArray[np.int64]:
        """As `enumerate`, of a kind that is listed; the same array for all who ask."""
        return _block_masks(self.grid, self.kept) if self.kind == "block" else _grid_masks(self.grid, self.kept)

    def enumerate(self) -> NDArray[np.int64]:
        """(total, n1) int64: the kept patches of every mask, ascending within a mask, masks in lexical order."""
        if self.unit > 1:
            return self._patches_of(self._of_units().enumerate())
        if self.kind == "uniform":
            return np.array(list(itertools.combinations(range(self.patches), self.kept)), dtype=np.int64)
        return self._listed().copy()

    def sample(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        """(size, n1) int64: the kept patches of independent draws, ascending within a mask."""
        if self.unit > 1:
            return self._patches_of(self._of_units().sample(rng, size))
        if self.kind == "uniform":
            drawn = rng.random((size, self.patches))
            shown = drawn <= np.partition(drawn, self.kept - 1, axis=1)[:, self.kept - 1 : self.kept]
            if np.count_nonzero(shown) > size * self.kept:
                # Two equal numbers, at odds of 1e-14 a mask: the first of them.
                return np.sort(np.argsort(drawn, axis=1, kind="stable")[:, : self.kept], axis=1)
            return _marked(shown, self.kept)
        listed = self._listed()
        return listed[rng.integers(len(listed), size=size)]


@dataclass(frozen=True)
class MaskSet:
    """The masks of a graph, equiprobable and distinct.

    Attributes:
        kept: (S, n1) int64, the patches of x1, ascending within a mask.
        dropped: (S, n2) int64, the patches of x2, ascending within a mask.
        total: how many masks the distribution holds.
    """

    kept: NDArray[np.int64]
    dropped: NDArray[np.int64] = field(repr=False)
    total: int

    @property
    def exhaustive(self) -> bool:
        """Whether every mask of the distribution is here."""
        return len(self.kept) == self.total


def kept_patches(patches: int, mask_ratio: float) -> int:
    """n1 = n(1 − ρ) rounded half up, at least 1 and at most n − 1.

    The ratio is read as the decimal that it prints as, so that 0.55 of 30 patches is 13.5 and not 13.499….

    Raises:
        InputError: a ratio outside (0, 1), or no number.
    """
    if not is_real(mask_ratio):
        raise InputError(
            f"mask ratio {mask_ratio!r}; expected a number, the share of patches that is masked, such as 0.75"
        )
    if not 0 < mask_ratio < 1:
        raise InputError(
            f"mask ratio {mask_ratio:g} is outside (0, 1); it is the share of patches that is masked, such as 0.75"
        )
    if not is_whole(patches) or patches < 2:
        raise InputError(f"{patches!r} patches; expected an integer of at least 2, one to show and one to hide")
    exact = patches * (1 - Fraction(repr(float(mask_ratio))))
    return min(max(math.floor(exact + Fraction(1, 2)), 1), patches - 1)


def mask_distribution(kind: MaskKind, grid: tuple[int, int], mask_ratio: float, unit: int = 1) -> MaskDistribution:
    """The distribution of a kind at a mask ratio.

    Args:
        kind: uniform, block or grid.
        grid: (rows, columns) of the patches.
        mask_ratio: ρ; of the units, n(1 − ρ) rounded half up are kept.
        unit: side, in patches, of the squares that are kept or dropped as one.

    Raises:
        InputError: an unknown kind, a ratio outside (0, 1), no grid, or a unit that does not divide it in at least two.
    """
    check_mask(kind, mask_ratio, unit)
    if not isinstance(grid, tuple | list):
        raise InputError(f"the grid is {kind_of(grid)}; expected (rows, columns) of the patches, such as images.grid")
    if len(grid) != 2 or not all(is_whole(side) and side >= 1 for side in grid):
        raise InputError(f"grid {grid}; expected (rows, columns) of the patches, such as images.grid")
    rows, columns = grid
    units = (rows // unit) * (columns // unit)
    if rows % unit or columns % unit or units < 2:
        raise InputError(
            f"mask unit {unit} on {rows} x {columns} patches; expected a divisor of both sides that leaves at least "
            "2 units, such as 1"
        )
    return MaskDistribution(kind, grid, unit**2 * kept_patches(units, mask_ratio), unit)


def check_mask(kind: str, mask_ratio: float, unit: int = 1) -> None:
    """Raise InputError for what makes no mask distribution on any grid."""
    if kind not in get_args(MaskKind):
        raise unknown("mask distribution", kind, get_args(MaskKind))
    if not is_whole(unit) or unit < 1:
        raise InputError(f"mask unit {unit!r}; expected the side of a square in patches, at least 1")
    kept_patches(2, mask_ratio)


def masks_text(kind: str, unit: int) -> str:
    """What masks are, in words; nothing of the usual ones, uniform and of single patches."""
    units = f" in squares of {unit} x {unit} patches" if unit > 1 else ""
    return f"{kind} masks{units}" if units or kind != "uniform" else ""


def check_max_masks(max_masks: int) -> None:
    """Raise InputError for a number of masks that no set can have."""
    if not is_whole(max_masks) or max_masks < 1:
        raise InputError(f"max_masks {max_masks}; expected an integer of at least 1 (see --max-masks)")


def check_ratios(kind: MaskKind, grid: tuple[int, int], mask_ratios: Sequence[float], unit: int = 1) -> None:
    """Refuse two ratios that keep the same number of patches: one graph under two names.

    Raises:
        InputError: naming them; or whatever makes no mask distribution of one of them.
    """
    found: dict[int, float] = {}
    for ratio in mask_ratios:
        masks = mask_distribution(kind, grid, ratio, unit)
        if masks.kept in found:
            raise InputError(
                f"mask ratios {found[masks.kept]:g} and {ratio:g} both keep {masks.kept} of {masks.patches} patches; "
                "drop one"
            )
        found[masks.kept] = ratio


def check_ratio_of(masks: MaskSet, grid: tuple[int, int], mask_ratio: float) -> None:
    """Raise InputError for a ratio at which masks of squares, where these are, keep another number of patches."""
    kept, dropped = masks.kept.shape[1], masks.dropped.shape[1]
    n = kept + dropped
    shown = np.zeros((len(masks.kept), n), dtype=bool)
    np.put_along_axis(shown, masks.kept, True, axis=1)
    planes = shown.reshape(len(shown), *grid)
    for side in range(1, min(grid) + 1):
        first = planes[:, ::side, ::side].repeat(side, axis=1).repeat(side, axis=2)
        fits = grid[0] % side == grid[1] % side == 0 and n > side**2 and (first == planes).all()
        if fits and kept == side**2 * kept_patches(n // side**2, mask_ratio):
            return
    raise InputError(
        f"mask ratio {mask_ratio:g} for masks that keep {kept} of {n} patches; expected the one that they were "
        f"made at, such as {dropped / n:g}"
    )


def mask_set(distribution: MaskDistribution, max_masks: int = 2000, seed: int = 0) -> MaskSet:
    """Every mask if there are at most `max_masks`, else that many distinct ones drawn from the seed.

    Raises:
        InputError: no distribution, `max_masks` below 1 or no integer, or a seed out of range.
    """
    check_type(distribution, MaskDistribution, "make one with mask_distribution(kind, images.grid, mask_ratio)")
    check_seed(seed)
    check_max_masks(max_masks)
    total = distribution.total
    if total <= max_masks:
        return make_mask_set(distribution.enumerate(), distribution.patches, total)
    rng = np.random.default_rng(seed)
    drawn = np.empty((0, distribution.kept), dtype=np.int64)
    while len(drawn) < max_masks:
        drawn = np.concatenate([drawn, distribution.sample(rng, 2 * max_masks)])
        _, first = np.unique(drawn, axis=0, return_index=True)
        drawn = drawn[np.sort(first)]
    return make_mask_set(drawn[:max_masks], distribution.patches, total)


def make_mask_set(kept: ArrayLike, patches: int, total: int | None = None) -> MaskSet:
    """A mask set from masks that are listed.

    Args:
        kept: (S, n1) integers, the kept patches of each mask, in any order; or (S, n) bool, true at the kept ones.
        patches: n.
        total: how many masks the distribution holds; None: S, the set is all there is.

    Raises:
        InputError: masks that are not distinct, do not keep as many patches each, name a patch twice or one that the
            images do not have, or show or hide nothing; another dtype or shape; a total below S.
    """
    masks = _listed_masks(kept, patches)
    if total is not None and (not is_whole(total) or total < len(masks)):
        raise InputError(
            f"total {total} for {len(masks)} masks; expected at least as many, or none where these are all"
        )
    return MaskSet(masks, dropped_patches(masks, patches), len(masks) if total is None else total)


def dropped_patches(kept: NDArray[np.int64], patches: int) -> NDArray[np.int64]:
    """(B, n2) int64: the patches that masks drop, ascending; of masks (B, n1) that may repeat, as in a batch."""
    is_dropped = np.ones((len(kept), patches), dtype=bool)
    is_dropped[np.arange(len(kept))[:, None], kept] = False
    return _marked(is_dropped, patches - kept.shape[1])


def _marked(flags: NDArray[np.bool_], times: int) -> NDArray[np.int64]:
    """(B, times) int64: where the rows of (B, n) are true, ascending, as often in each; B may be 0."""
    rows, columns = flags.shape
    return np.asarray(np.flatnonzero(flags).reshape(rows, times) - np.arange(rows)[:, None] * columns)


def _listed_masks(kept: ArrayLike, patches: int) -> NDArray[np.int64]:
    """(S, n1) int64, ascending within a mask, of what `make_mask_set` takes."""
    if not is_whole(patches) or patches < 2:
        raise InputError(
            f"masks over {patches} patches; expected an integer of at least 2, one to show and one to hide"
        )
    try:
        masks = np.asarray(kept)
    except ValueError as error:
        raise InputError(
            f"masks that keep different numbers of patches ({error}); expected as many in each: make a mask set for "
            "each number"
        ) from error
    if masks.ndim != 2 or len(masks) == 0:
        raise InputError(f"masks of shape {masks.shape}; expected (S, n1), a row of kept patches for each mask")
    flags = masks.dtype == bool
    if flags:
        masks = _of_flags(masks, patches)
    if masks.dtype.kind not in "iu":
        raise InputError(f"masks of dtype {masks.dtype}; expected integers, the kept patches, or bool, true at those")
    if masks.shape[1] >= patches or masks.shape[1] == 0:
        mend = "" if flags or masks.shape[1] != patches else ": rows of 0 and 1 are to be bool, .astype(bool)"
        raise InputError(
            f"masks that keep {masks.shape[1]} of {patches} patches; expected 1 to {patches - 1} kept{mend}"
        )
    if masks.min() < 0 or masks.max() >= patches:
        row, at = (int(i) for i in np.argwhere((masks < 0) | (masks >= patches))[0])
        raise InputError(
            f"mask {row} keeps patch {masks[row, at]}; expected patches from 0 to {patches - 1}, counted from the first"
        )
    masks = np.sort(masks.astype(np.int64), axis=1)
    twice = np.flatnonzero((np.diff(masks, axis=1) == 0).any(axis=1))
    if len(twice):
        raise InputError(f"mask {twice[0]} names a patch twice ({masks[twice[0]].tolist()}); name each kept patch once")
    distinct, first, inverse = np.unique(masks, axis=0, return_index=True, return_inverse=True)
    if len(distinct) < len(masks):
        again = np.flatnonzero(first[inverse.ravel()] != np.arange(len(masks)))[0]
        raise InputError(
            f"masks {first[inverse.ravel()[again]]} and {again} keep the same patches {masks[again].tolist()}; "
            "expected distinct masks, which are equiprobable: drop one"
        )
    return masks


def _of_flags(flags: NDArray[np.bool_], patches: int) -> NDArray[np.int64]:
    """(S, n1) the places of the true entries of (S, n) flags."""
    if flags.shape[1] != patches:
        raise InputError(f"masks of shape {flags.shape} and dtype bool; expected ({len(flags)}, {patches})")
    counts = flags.sum(axis=1)
    other = np.flatnonzero(counts != counts[0])
    if len(other):
        raise InputError(
            f"masks 0 and {other[0]} keep {counts[0]} and {counts[other[0]]} patches; expected as many in each: make a "
            "mask set for each number"
        )
    return np.nonzero(flags)[1].reshape(len(flags), -1)


# Every step of a training draws from the same list, which takes longer to make than the rest of what a step draws.
@lru_cache(maxsize=8)
def _block_masks(grid: tuple[int, int], kept: int) -> NDArray[np.int64]:
    rows, columns = grid
    dropped = rows * columns - kept
    masks = set()
    for width in range(1, columns + 1):
        height = -(-dropped // width)
        if height > rows or dropped < width:
            continue
        short = dropped - (height - 1) * width
        for top, left in itertools.product(range(rows - height + 1), range(columns - width + 1)):
            # The short row stands at the top or the bottom of the block, flush left or flush right.
            for short_row, flush_right in itertools.product((0, height - 1), (False, True)):
                plane = np.ones((rows, columns), dtype=bool)
                plane[top : top + height, left : left + width] = False
                shift = left + (width - short if flush_right else 0)
                plane[top + short_row, left : left + width] = True
                plane[top + short_row, shift : shift + short] = False
                masks.add(tuple(np.flatnonzero(plane)))
    return np.array(sorted(masks), dtype=np.int64)


@lru_cache(maxsize=8)
def _grid_masks(grid: tuple[int, int], kept: int) -> NDArray[np.int64]:
    rows, columns = grid
    row, column = np.divmod(np.arange(rows * columns), columns)
    # Bayer's order: the bits of (row ^ column, row), lowest first, are the highest digits of the rank.
    rank = np.zeros(rows * columns, dtype=np.int64)
    for bit in range(max(rows, columns).bit_length()):
        rank = 4 * rank + 2 * ((row ^ column) >> bit & 1) + (row >> bit & 1)
    first = np.argsort(rank, kind="stable")[:kept]
    masks = set()
    for down, right in itertools.product(range(rows), range(columns)):
        shifted = (row[first] + down) % rows * columns + (column[first] + right) % columns
        masks.add(tuple(np.sort(shifted)))
    return np.array(sorted(masks), dtype=np.int64)
