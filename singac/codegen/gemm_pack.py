"""Matrices on their way into panels of 16 columns, and 16 x 16 transposes.

row-major                               panels of the matrix      panels of its transpose
+----16----+----16----+--+..pad         [columns/16][rows][16]    [rows/16][columns][16]
| row 0    |          |  |              one vector is copied      16 x 16 floats are turned
| row 1    |          |  |              at a time                 at a time
"""

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    I32,
    I64,
    LANES,
    POINTER,
    VECTOR_BYTES,
    i64,
    internal,
    load,
    loop,
    offset,
    store,
)

HALF = 8
EIGHT = ir.VectorType(FLOAT, HALF)


def padded(count: int) -> int:
    """`count` rounded up to whole vectors."""
    return -(-count // LANES) * LANES


def copy_tile(
    builder: ir.IRBuilder,
    source: ir.Value,
    panel_bytes: int,
    row_bytes: int,
    rows: int,
    depth: ir.Value,
    to: ir.Value,
) -> None:
    """Rows of a matrix in panels -> a tile [depth / 16][rows][16], one stretch of memory."""
    with loop(builder, i64(0), builder.lshr(depth, i64(4))) as panel:
        here = offset(builder, source, panel, panel_bytes)
        there = offset(builder, to, panel, rows * VECTOR_BYTES)
        for row in range(rows):
            vector = load(builder, offset(builder, here, row * row_bytes))
            store(builder, vector, offset(builder, there, row * VECTOR_BYTES))


def copy_panel(
    builder: ir.IRBuilder, source: ir.Value, row_bytes: int, rows: ir.Value, to: ir.Value
) -> None:
    """16 columns of a row-major matrix -> rows [rows][16] of a panel."""
    with loop(builder, i64(0), rows) as row:
        vector = load(builder, offset(builder, source, row, row_bytes))
        store(builder, vector, offset(builder, to, row, VECTOR_BYTES))


def turn_panel(
    builder: ir.IRBuilder,
    source: ir.Value,
    row_bytes: int,
    number: ir.Value,
    rows: int,
    columns: ir.Value,
    to: ir.Value,
) -> None:
    """16 rows of a row-major matrix, from row 16 * `number` on -> rows [columns][16] of a panel.

    Columns are taken 16 at a time, pads and all. Where the matrix, of `rows` rows, ends, its last
    row is taken for the missing ones: nothing reads what is computed from them.
    """

    def turn(present: int) -> None:
        function = transposer(builder.module, present)
        with loop(builder, i64(0), columns, LANES) as column:
            here = offset(builder, source, column, FLOAT_BYTES)
            there = offset(builder, to, column, VECTOR_BYTES)
            builder.call(function, [here, i64(row_bytes), there])

    whole, rest = divmod(rows, LANES)
    if whole:
        with builder.if_then(builder.icmp_signed("<", number, i64(whole))):
            turn(LANES)
    if rest:
        with builder.if_then(builder.icmp_signed("==", number, i64(whole))):
            turn(rest)


def transposer(module: ir.Module, rows: int) -> ir.Function:
    """`turn(source, row_bytes, to)`: 16 x 16 floats, transposed into 16 consecutive vectors.

    Only `rows` rows of the source exist; the last one stands in for the others.
    """
    name = f"transpose_{rows}"
    function = module.globals.get(name)
    if function is None:
        function = internal(module, name, [POINTER, I64, POINTER])
        _emit_transpose(function, rows)
    return function


def _emit_transpose(function: ir.Function, rows: int) -> None:
    source, row_bytes, to = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    starts = [source]
    for _ in range(rows - 1):
        starts.append(offset(builder, starts[-1], row_bytes))
    starts += [starts[-1]] * (LANES - rows)
    for row in range(0, LANES, HALF):
        for column in range(0, LANES, HALF):
            block = [_load_half(builder, p, column) for p in starts[row : row + HALF]]
            for i, vector in enumerate(_transpose_8x8(builder, block)):
                place = offset(builder, to, (column + i) * VECTOR_BYTES + row * FLOAT_BYTES)
                builder.store(vector, place, align=HALF * FLOAT_BYTES)
    builder.ret_void()


def _load_half(builder: ir.IRBuilder, row: ir.Value, column: int) -> ir.Value:
    place = offset(builder, row, column * FLOAT_BYTES)
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
