"""The loops over tall matrices and blocks of one cache line a row, and the engines that have them, against numpy."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from maskgraph.theory.solver import tall
from maskgraph.theory.solver.engine import ROWS, Engine
from maskgraph.theory.solver.host import Host
from maskgraph.theory.solver.team import Team, team
from maskgraph.theory.solver.torch_engine import TorchEngine
from maskgraph.theory.solver.vectors import Array, aligned, lanes

COLUMNS = [1, 3, 4, 7, 15, 16, 17, 20, 33, 39]
"""With every mix of the sixteen, four and one columns that the loops take at a time."""

LENGTHS = [1, 63, 64, 65, 256, 300, 700]
"""Shorter than a panel, whole panels and the odd rest of one, one sum in the precision of the block and several."""

DTYPES = [np.float32, np.float64]


def given(rows: int, columns: int, dtype: type) -> tuple[Array, Array]:
    """Some columns of a wider matrix, and a block beside."""
    rng = np.random.default_rng(rows * 100 + columns)
    wide: Array = rng.standard_normal((rows, columns + 5)).astype(dtype)
    block = aligned(rows, dtype)
    block[:] = rng.standard_normal(block.shape)
    return wide[:, 3 : 3 + columns], block


def rounding(x: Array, y: Array, dtype: type, terms: int) -> Array:
    """Bounds on what rounding does to XᵀY: γ of the number of terms, times the same sums of absolute values."""
    sizes = np.abs(x.astype(float)).T @ np.abs(y.astype(float))
    return np.asarray(terms * float(np.finfo(dtype).eps) * sizes)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", LENGTHS)
def test_inner_products_are_numpys(rows: int, dtype: type, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tall, "SHARED", 0)
    for columns in COLUMNS:
        x, y = given(rows, columns, dtype)
        assert tall.fits(x, y)
        found = tall.inner(x, y, ROWS, Team(threads))
        assert found.dtype == np.float64
        exact = x.astype(float).T @ y.astype(float)
        # Sums of ROWS products in the precision of the block, and their sum in float64.
        assert (np.abs(found - exact) <= rounding(x, y, dtype, min(rows, ROWS) + 4)).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", LENGTHS)
def test_differences_are_numpys(rows: int, dtype: type, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tall, "SHARED", 0)
    for columns in COLUMNS:
        x, y = given(rows, columns, dtype)
        coefficients: Array = np.random.default_rng(columns).standard_normal((columns, y.shape[1])).astype(dtype)
        exact = y.astype(float) - x.astype(float) @ coefficients.astype(float)
        sizes = np.abs(y.astype(float)) + np.abs(x.astype(float)) @ np.abs(coefficients.astype(float))
        tall.subtract(x, y, coefficients, Team(threads))
        assert (np.abs(y - exact) <= (columns + 2) * float(np.finfo(dtype).eps) * sizes).all()


def test_only_what_the_loops_can_take_fits() -> None:
    x, y = np.ones((64, 5)), aligned(64, np.float64)
    assert tall.fits(x, y)
    held = y.copy()
    held.flags.writeable = False
    whole = np.ones((64, 8), np.int64)
    others: list[tuple[Array, Array]] = [
        (x[:63], y),
        (np.ones((65, 5)), y),
        (x.astype(np.float32), y),
        (x.T.copy().T, y),
        (x, y[:, :7]),
    ]
    for one, other in [*others, (x, y[::2]), (x, held), (whole, whole)]:
        assert not tall.fits(one, other)
    with pytest.raises(ValueError, match="reshape"):
        tall.subtract(x, y, np.ones((1, 8)), Team(1))


def test_sums_of_single_numbers_are_added_up_in_float64() -> None:
    rows = 2**16
    x, y = np.full((rows, 1), 1.0, np.float32), aligned(rows, np.float32)
    y[:] = np.float32(0.1)
    # In float32 throughout, the last digits of so long a sum are lost: each term is off by half an ulp of the whole.
    exact = rows * float(np.float32(0.1))
    assert abs(tall.inner(x, y, ROWS, Team(1))[0, 0] - exact) <= exact * ROWS * 2**-24
    assert abs(float(np.cumsum(y[:, 0], dtype=np.float32)[-1]) - exact) > exact * ROWS * 2**-24


@pytest.mark.parametrize("engine", [Host(1), Host(2), TorchEngine("cpu")], ids=["one thread", "two threads", "torch"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_engines_agree(engine: Engine, dtype: type) -> None:
    rng = np.random.default_rng(0)
    room = 2 * ROWS * float(np.finfo(dtype).eps)
    for rows, columns, wide in [(1, 1, 1), (700, 20, lanes(dtype)), (700, 20, 3), (512, 7, 33), (10, 4, lanes(dtype))]:
        x, y, z = (rng.standard_normal((rows, size)) / rows**0.5 for size in (columns, wide, wide))
        coefficients = rng.standard_normal((columns, wide))
        X, Y, Z = (engine.array(values, dtype) for values in (x, y, z))
        np.testing.assert_allclose(engine.inner(X, Y), x.T @ y, rtol=0, atol=room)
        engine.subtract(Y, X, coefficients)
        np.testing.assert_allclose(engine.host(Y), y - x @ coefficients, rtol=0, atol=room)
        image = engine.chebyshev_step(engine.array(z, dtype), Y, Z, 0.5)
        np.testing.assert_allclose(engine.host(image), 8 * z - 2 * (y - x @ coefficients) - z, rtol=0, atol=room)


def _in_order(low: int, high: int) -> None:
    assert low < high


def _share_in_child(queue: multiprocessing.Queue[str]) -> None:
    team(2).share(_in_order, [(0, 1), (1, 2)])
    queue.put("done")


def test_teams_survive_a_fork() -> None:
    team(2).share(_in_order, [(0, 1), (1, 2)])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_share_in_child, args=(queue,))
    child.start()
    # A pool without its threads would wait for ever.
    assert queue.get(timeout=60) == "done"
    child.join()


def test_an_error_in_a_thread_is_an_error() -> None:
    with pytest.raises(AssertionError):
        Team(2).share(_in_order, [(0, 1), (2, 1)])
