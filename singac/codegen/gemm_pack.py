"""Matrices on their way into panels of 16 columns, and 16 x 16 transposes.

A row-major matrix, its rows padded to whole vectors, becomes

    panels of the matrix       [columns / 16][rows][16]    a vector copied at a time
    panels of its transpose    [rows / 16][columns][16]    16 x 16 floats turned at a time
    tiles of A                 [k / 16][tile rows][16]     from panels, a vector at a time

by functions of their own, which all products of a module share.
"""

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import (
    EIGHT,
    FLOAT_BYTES,
    HALF,
    I32,
    I64,
    LANES,
    POINTER,
    VECTOR_BYTES,
    i64,
    load,
    loop,
    offset,
    shared,
    store,
)


def padded(count: int) -> int:
    """`count` rounded up to whole vectors."""
    return -(-count // LANES) * LANES


def tile_copier(module: ir.Module, rows: int) -> ir.Function:
    """`copy(source, panel_bytes, row_bytes, panels, to)`: rows of panels into a tile of A."""

    def emit(function: ir.Function) -> None:
        source, panel_bytes, row_bytes, panels, to = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        with loop(builder, i64(0), panels) as panel:
            here = offset(builder, source, builder.mul(panel, panel_bytes))
            there = offset(builder, to, panel, rows * VECTOR_BYTES)
            for row in range(rows):
                store(builder, load(builder, here), offset(builder, there, row * VECTOR_BYTES))
                here = offset(builder, here, row_bytes)
        builder.ret_void()

    return shared(module, f"copy_tile_{rows}", [POINTER, I64, I64, I64, POINTER], emit)


def panel_copier(module: ir.Module, panels: int) -> ir.Function:
    """`copy(source, row_bytes, rows, to, to_panel)`: columns of a row-major matrix into panels."""

    def emit(function: ir.Function) -> None:
        source, row_bytes, rows, to, to_panel = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        with loop(builder, i64(0), rows) as row:
            here = offset(builder, source, builder.mul(row, row_bytes))
            there = offset(builder, to, row, VECTOR_BYTES)
            for panel in range(panels):
                store(builder, load(builder, offset(builder, here, panel * VECTOR_BYTES)), there)
                there = offset(builder, there, to_panel)
        builder.ret_void()

    types = [POINTER, I64, I64, POINTER, I64]
    return shared(module, f"copy_{panels}_panels", types, emit)


def panel_turner(module: ir.Module) -> ir.Function:
    """`turn(source, row_bytes, present, columns, to)`: 16 rows into a panel of the transpose.

    Columns are taken 16 at a time, pads and all. Of the 16 rows `present` exist; the last of them
    is taken for the missing ones: nothing reads what is computed from those.
    """

    def emit(function: ir.Function) -> None:
        source, row_bytes, present, columns, to = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        last = builder.sub(present, i64(1))
        padded_columns = builder.and_(builder.add(columns, i64(LANES - 1)), i64(-LANES))
        with (
            loop(builder, i64(0), padded_columns, HALF) as column,
            loop(builder, i64(0), i64(LANES), HALF) as row,
        ):
            here = offset(builder, source, column, FLOAT_BYTES)
            there = offset(builder, to, column, VECTOR_BYTES)
            there = offset(builder, there, row, FLOAT_BYTES)
            square = [_half_row(builder, here, row_bytes, row, i, last) for i in range(HALF)]
            for i, vector in enumerate(_transpose_8x8(builder, square)):
                place = offset(builder, there, i * VECTOR_BYTES)
                builder.store(vector, place, align=HALF * FLOAT_BYTES)
        builder.ret_void()

    return shared(module, "turn_panel", [POINTER, I64, I64, I64, POINTER], emit)


def _half_row(
    builder: ir.IRBuilder,
    start: ir.Value,
    row_bytes: ir.Value,
    row: ir.Value,
    i: int,
    last: ir.Value,
) -> ir.Value:
    number = builder.add(row, i64(i))
    number = builder.select(builder.icmp_signed("<", number, last), number, last)
    place = offset(builder, start, builder.mul(number, row_bytes))
    return builder.load(place, align=HALF * FLOAT_BYTES, typ=EIGHT)


def _transpose_8x8(builder: ir.IRBuilder, rows: Sequence[ir.Value]) -> list[ir.Value]:
    """Three rounds: interleave floats, then pairs, then halves."""

    def round_of(values: Sequence[ir.Value], apart: int, low: list[int]) -> list[ir.Value]:
        result = list(values)
        for i in range(HALF):
            if not i & apart:
                a, b = values[i], values[i + apart]
                high = [lane + apart if apart < 4 else lane + 4 for lane in low]
                result[i] = _shuffle(builder, a, b, low)
                result[i + apart] = _shuffle(builder, a, b, high)
        return result

    rows = round_of(rows, 1, [0, 8, 2, 10, 4, 12, 6, 14])
    rows = round_of(rows, 2, [0, 1, 8, 9, 4, 5, 12, 13])
    return round_of(rows, 4, [0, 1, 2, 3, 8, 9, 10, 11])


def _shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: list[int]) -> ir.Value:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, HALF), lanes))
