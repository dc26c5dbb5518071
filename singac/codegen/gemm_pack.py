"""Matrices on their way into panels of 16 columns, and 16 x 16 transposes.

row-major, `ld` floats a row            panels of the matrix        panels of its transpose
+----16----+----16----+--+..pad         [columns / 16][rows][16]    [rows / 16][columns][16]
| r0       |          |                  one vector copied           16 x 16 floats turned
| r1       |          |                  at a time                   at a time
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


def pack(builder: ir.IRBuilder, source: ir.Value, rows: int, columns: int, to: ir.Value) -> None:
    """Row-major [rows][ld] -> panels [ceil(columns / 16)][rows][16]; pads come along."""
    row_bytes = padded(columns) * FLOAT_BYTES
    with loop(builder, i64(0), i64(padded(columns) // LANES)) as panel:
        column = offset(builder, source, panel, VECTOR_BYTES)
        target = offset(builder, to, panel, rows * VECTOR_BYTES)
        with loop(builder, i64(0), i64(rows)) as row:
            vector = load(builder, offset(builder, column, row, row_bytes))
            store(builder, vector, offset(builder, target, row, VECTOR_BYTES))


def pack_transposed(
    builder: ir.IRBuilder, source: ir.Value, rows: int, columns: int, to: ir.Value
) -> None:
    """Row-major [rows][ld] -> panels of the transpose, [ceil(rows / 16)][ld][16].

    Lanes beyond the last row repeat it: nothing reads what is computed from them.
    """
    ld = padded(columns)
    whole, rest = divmod(rows, LANES)

    def group(number: ir.Value, present: int) -> None:
        turn = transposer(builder.module, present)
        start = offset(builder, source, number, LANES * ld * FLOAT_BYTES)
        target = offset(builder, to, number, ld * VECTOR_BYTES)
        with loop(builder, i64(0), i64(ld), LANES) as column:
            here = offset(builder, start, column, FLOAT_BYTES)
            there = offset(builder, target, column, VECTOR_BYTES)
            builder.call(turn, [here, i64(ld * FLOAT_BYTES), there])

    with loop(builder, i64(0), i64(whole)) as number:
        group(number, LANES)
    if rest:
        group(i64(whole), rest)


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
