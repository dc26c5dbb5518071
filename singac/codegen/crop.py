"""A window of each image copied out, at a place of its own and maybe mirrored; and its gradient.

The sheet of an example has a vector of room before it and behind it, for a mirrored line is read
from its end:

    sheet    | room | .. a b c d e f .. | room |      window of 5 at b:   b c d e f
                                                      mirrored:           f e d c b
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen import philox
from singac.codegen.elementwise import Frame
from singac.codegen.image import (
    cut,
    fill,
    in_sheet,
    load_some,
    over_run,
    paste,
    sheet_floats,
    store_some,
)
from singac.codegen.ir import (
    FLOAT_BYTES,
    I64,
    LANES,
    VECTOR_BYTES,
    ZERO,
    f32,
    i32,
    i64,
    ints,
    load,
    loop,
    offset,
    store,
)
from singac.layers.operations import Crop, CropGradient
from singac.layers.windows import Windows
from singac.plan.plan import padded

REVERSED = ir.Constant(ints(0).type, list(range(LANES))[::-1])
Do = Callable[[ir.Value, ir.Value, int], None]


@dataclass(frozen=True, slots=True)
class _Window:
    """Where the window of an example begins on its sheet, and whether it is mirrored."""

    line: ir.Value
    column: ir.Value
    mirrored: ir.Value


def scratch_bytes(operation: Crop | CropGradient) -> int:
    return (sheet_floats(operation.windows) + 2 * LANES) * FLOAT_BYTES


def emit_crop(frame: Frame, operation: Crop, scratch: ir.Value) -> None:
    builder, windows = frame.builder, operation.windows
    fill(builder, scratch, sheet_floats(windows) + 2 * LANES)
    sheet = offset(builder, scratch, VECTOR_BYTES)
    floats = windows.channels * windows.taps
    with loop(builder, i64(0), i64(frame.buffers[operation.source].rows)) as example:
        window = _window(frame, operation, example)
        paste(builder, windows, frame.place(operation.source, example, i64(0)), sheet)
        result = frame.place(operation.out, example, i64(0))
        store(builder, ZERO, offset(builder, result, (padded(floats) - LANES) * FLOAT_BYTES))

        def copy(here: ir.Value, there: ir.Value, present: int, window: _Window = window) -> None:
            value = _turned(builder, load(builder, there, FLOAT_BYTES), window)
            store_some(builder, value, here, present)

        _over_lines(builder, windows, result, sheet, window, copy)


def emit_crop_gradient(frame: Frame, operation: CropGradient, scratch: ir.Value) -> None:
    """Every value is added to zero; lanes that are not there add zero to what they meet."""
    builder, windows = frame.builder, operation.windows
    sheet = offset(builder, scratch, VECTOR_BYTES)
    with loop(builder, i64(0), i64(frame.buffers[operation.gradient].rows)) as example:
        fill(builder, scratch, sheet_floats(windows) + 2 * LANES)
        window = _window(frame, operation, example)
        gradient = frame.place(operation.gradient, example, i64(0))

        def add(here: ir.Value, there: ir.Value, present: int, window: _Window = window) -> None:
            value = _turned(builder, load_some(builder, here, present), window)
            total = builder.fadd(load(builder, there, FLOAT_BYTES), value)
            store(builder, total, there, FLOAT_BYTES)

        _over_lines(builder, windows, gradient, sheet, window, add)
        cut(builder, windows, sheet, frame.place(operation.out, example, i64(0)))


def _window(frame: Frame, operation: Crop | CropGradient, example: ir.Value) -> _Window:
    """The drawn window of an example, or the middle one."""
    builder, places = frame.builder, operation.windows.places
    if operation.stream is None:
        line, column = (i64((count - 1) // 2) for count in places)
        return _Window(line, column, ir.Constant(ir.IntType(1), 0))
    place = frame.place_of_draw(example, frame.buffers[operation.out].steps)
    number = builder.mul(place, i64(4))
    of = (frame.seed, operation.stream, frame.step, number)
    drawn = philox.uniform(builder, *of, aligned=True)
    line, column = (_below(builder, drawn, k, count) for k, count in enumerate(places))
    coin = builder.extract_element(drawn, i32(2))
    heads = builder.fcmp_ordered("<", coin, f32(0.5 if operation.mirror else 0.0))
    return _Window(line, column, heads)


def _below(builder: ir.IRBuilder, drawn: ir.Value, lane: int, count: int) -> ir.Value:
    """A whole number below `count`: the product of a number below 1 and it, cut off."""
    share = builder.fpext(builder.extract_element(drawn, i32(lane)), ir.DoubleType())
    return builder.fptosi(builder.fmul(share, ir.Constant(ir.DoubleType(), float(count))), I64)


def _turned(builder: ir.IRBuilder, value: ir.Value, window: _Window) -> ir.Value:
    turned = builder.shuffle_vector(value, value, REVERSED)
    return builder.select(window.mirrored, turned, value)


def _over_lines(
    builder: ir.IRBuilder,
    windows: Windows,
    part: ir.Value,
    sheet: ir.Value,
    window: _Window,
    do: Do,
) -> None:
    """`do(here, there, present)` for vectors of the part and where they lie on the sheet.

    Of a mirrored line the first vector of the part lies at the end, backwards.
    """
    height, width = windows.kernel
    with (
        loop(builder, i64(0), i64(windows.channels)) as channel,
        loop(builder, i64(0), i64(height)) as y,
    ):
        line = builder.add(builder.mul(channel, i64(height)), y)
        own = offset(builder, part, line, width * FLOAT_BYTES)
        seen = builder.add(window.line, y)

        def one(start: ir.Value, present: int) -> None:
            backwards = builder.sub(i64(width - LANES), start)
            first = builder.select(window.mirrored, backwards, start)
            column = builder.add(window.column, first)
            there = in_sheet(builder, windows, sheet, channel, seen, column)
            do(offset(builder, own, start, FLOAT_BYTES), there, present)

        over_run(builder, width, one)
