"""Ranges of columns copied end to end, and single numbers spread over many columns.

    out row | a0 a1 a2 | b0 b1 | 0 0 0 ... pads |

A range starts and ends anywhere in a vector, so its whole vectors are moved unaligned and what is
left one by one.
"""

from __future__ import annotations

from llvmlite import ir

from singac.codegen.elementwise import Frame
from singac.codegen.image import over_run, store_some
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    LANES,
    ZERO,
    broadcast,
    f32,
    i64,
    load,
    loop,
    offset,
    store,
)
from singac.layers.operations import ColumnRange, Concat, Spread, Steps


def emit_concat(frame: Frame, operation: Concat) -> None:
    """Every range of every row, then zeros up to the end of the row's last vector."""
    out = frame.buffers[operation.out]
    used = sum(r.columns for r in operation.ranges)
    assert used == out.columns, f"the ranges of {operation.out} are its columns"
    pads = ColumnRange(None, 0, out.stride - used)
    with loop(frame.builder, i64(0), i64(out.rows)) as row:
        column = 0
        for part in (*operation.ranges, pads):
            _emit_range(frame, part, operation.out, row, column)
            column += part.columns


def _emit_range(frame: Frame, part: ColumnRange, out: str, row: ir.Value, column: int) -> None:
    builder = frame.builder
    whole = part.columns // LANES * LANES

    def at(name: str, first: int, index: ir.Value) -> ir.Value:
        return frame.place(name, row, builder.add(i64(first), index))

    if whole:
        with loop(builder, i64(0), i64(whole), LANES) as index:
            value: ir.Value = ZERO
            if part.source is not None:
                value = load(builder, at(part.source, part.start, index), FLOAT_BYTES)
            store(builder, value, at(out, column, index), FLOAT_BYTES)
    if whole < part.columns:
        with loop(builder, i64(whole), i64(part.columns)) as index:
            single: ir.Value = f32(0.0)
            if part.source is not None:
                place = at(part.source, part.start, index)
                single = builder.load(place, align=FLOAT_BYTES, typ=FLOAT)
            builder.store(single, at(out, column, index), align=FLOAT_BYTES)


def emit_steps(frame: Frame, operation: Steps) -> None:
    """out[t rows + r, c] = source[r, t columns + c], and zeros up to the end of each row."""
    builder, out = frame.builder, frame.buffers[operation.out]
    rows = out.rows // out.steps
    with (
        loop(builder, i64(0), i64(out.steps)) as t,
        loop(builder, i64(0), i64(rows)) as row,
    ):
        to = builder.add(builder.mul(t, i64(rows)), row)
        first = builder.mul(t, i64(out.columns))
        with loop(builder, i64(0), i64(out.columns)) as column:
            place = frame.place(operation.source, row, builder.add(first, column))
            value = builder.load(place, align=FLOAT_BYTES, typ=FLOAT)
            builder.store(value, frame.place(operation.out, to, column), align=FLOAT_BYTES)
        with loop(builder, i64(out.columns), i64(out.stride)) as pad:
            builder.store(f32(0.0), frame.place(operation.out, to, pad), align=FLOAT_BYTES)


def emit_spread(frame: Frame, operation: Spread) -> None:
    """Each number as often as it has pixels; the pads are zeros."""
    builder, out, pixels = frame.builder, frame.buffers[operation.out], operation.pixels
    last = frame.place(operation.out, i64(0), i64(out.stride - LANES))
    store(builder, ZERO, last)
    with loop(builder, i64(0), i64(frame.buffers[operation.source].columns)) as channel:
        value = broadcast(builder, frame.place(operation.source, i64(0), channel))
        first = frame.place(operation.out, i64(0), builder.mul(channel, i64(pixels)))

        def copy(start: ir.Value, present: int) -> None:
            store_some(builder, value, offset(builder, first, start, FLOAT_BYTES), present)

        over_run(builder, pixels, copy)
