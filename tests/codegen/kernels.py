"""What kernel tests share: one function compiled and loaded, aligned buffers, panels."""

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from singac.codegen import compiler, host, native
from singac.codegen.ir import LANES, entry, new_module

Floats = NDArray[np.float32]
Emit = Callable[[ir.IRBuilder, tuple[ir.Value, ...]], None]


def compiled(kernels: dict[str, tuple[int, Emit]]) -> dict[str, Callable[..., int]]:
    """Name -> (count of pointers, body), all in one module, as callable functions."""
    machine = host.current()
    code = compiler.compile_object(module_text(kernels, machine), machine)
    library = native.Library([code], list(kernels))
    return {name: library.function(name, count) for name, (count, _) in kernels.items()}


def module_text(kernels: dict[str, tuple[int, Emit]], machine: host.Host) -> str:
    module = new_module(machine)
    for name, (count, emit) in kernels.items():
        with entry(module, name, count) as function:
            emit(function.builder, function.arguments)
    return str(module)


def padded(count: int) -> int:
    return -(-count // LANES) * LANES


def aligned(*shape: int, fill: float = 0.0) -> Floats:
    """A 64-byte aligned buffer."""
    size = int(np.prod(shape))
    raw = np.empty(size + LANES, np.float32)
    skip = -raw.ctypes.data % 64 // 4
    buffer = raw[skip : skip + size].reshape(shape)
    buffer[...] = fill
    return buffer


def row_major(values: Floats, pad: float) -> Floats:
    """[rows][ld], with `pad` beyond the last column."""
    rows, columns = values.shape
    buffer = aligned(rows, padded(columns), fill=pad)
    buffer[:, :columns] = values
    return buffer


def in_panels(values: Floats) -> Floats:
    """[ceil(columns / 16)][rows][16], zero beyond the last column."""
    rows, columns = values.shape
    buffer = aligned(padded(columns) // LANES, rows, LANES)
    buffer[...] = row_major(values, 0.0).reshape(rows, -1, LANES).transpose(1, 0, 2)
    return buffer


def from_panels(buffer: Floats) -> Floats:
    """[rows][ld] of a matrix in panels, pads and all."""
    panels, rows, lanes = buffer.shape
    return buffer.transpose(1, 0, 2).reshape(rows, panels * lanes)
