"""What the compiled loops need and numba has no word for: cache lines as one vector register, and early fetches.

Numba's cache of the loops that use it sees no change here: delete `theory/__pycache__` after one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

LINE = 64
"""Bytes of a row of a block: one cache line, one AVX-512 register."""

FMA = ("contract",)
"""A product and a sum may be rounded once."""

Array = NDArray[Any]

variable: Any = cgutils.alloca_once_value
steps: Any = cgutils.for_range_slice


def lanes(dtype: Any) -> int:
    """Columns of a block of this dtype."""
    return LINE // int(np.dtype(dtype).itemsize)


def aligned(rows: int, dtype: Any) -> Array:
    """An uninitialised block of `rows` cache lines."""
    width = lanes(dtype)
    space = np.empty((rows + 1) * width, dtype)
    start = (-space.ctypes.data % LINE) // space.itemsize
    return space[start : start + rows * width].reshape(rows, width)


class Lines:
    """Emits LLVM for lines of float32 or float64 numbers."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.bytes = 4 if isinstance(element, ir.FloatType) else 8
        self.width = LINE // self.bytes
        self.word, self._lane = ir.IntType(64), ir.IntType(32)
        self._vector = ir.VectorType(element, self.width)
        self._undefined = ir.Constant(self._vector, ir.Undefined)
        self.zero = ir.Constant(self._vector, None)

    def number(self, value: int) -> Any:
        """A constant."""
        return ir.Constant(self.word, value)

    def _place(self, base: Any, at: Any) -> Any:
        first = self.builder.gep(base, [self.builder.mul(at, self.number(self.width))])
        return self.builder.bitcast(first, self._vector.as_pointer())

    def load(self, base: Any, at: Any) -> Any:
        """Line `at` of a block."""
        line = self.builder.load(self._place(base, at))
        line.align = self.bytes
        return line

    def store(self, line: Any, base: Any, at: Any) -> None:
        """Write line `at` of a block."""
        self.builder.store(line, self._place(base, at)).align = self.bytes

    def spread(self, value: Any) -> Any:
        """A line of one number."""
        first = self.builder.insert_element(self._undefined, value, ir.Constant(self._lane, 0))
        places = ir.Constant(ir.VectorType(self._lane, self.width), [0] * self.width)
        return self.builder.shuffle_vector(first, self._undefined, places)

    def multiply_add(self, one: Any, other: Any, total: Any) -> Any:
        """One times the other plus the total."""
        return self.builder.fadd(self.builder.fmul(one, other, flags=FMA), total, flags=FMA)


def fetch_early(builder: Any, pointer: Any, level: int) -> None:
    """Ask for a cache line that will be read, into the first (3) or the second (2) cache; any address will do."""
    flag, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], signature)
    read, data = 0, 1
    builder.call(ask, [builder.bitcast(pointer, byte), *(ir.Constant(flag, n) for n in (read, level, data))])


def _prefetch(_context: Any, values: Any, at: Any) -> Any:

    def codegen(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, arguments[0]).data
        fetch_early(builder, builder.gep(data, [arguments[1]]), 3)
        return context.get_dummy_value()

    return types.void(values, at), codegen


prefetch: Any = intrinsic(_prefetch)
"""prefetch(values, at) asks for the cache line of values[at], for the first cache."""
