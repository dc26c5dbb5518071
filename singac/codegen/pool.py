"""Pooling: the largest or the mean value of every window, 16 windows of a row at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from singac.codegen import pool_apart
from singac.codegen.elementwise import Frame
from singac.codegen.image import (
    add_strided,
    cut,
    fill,
    in_sheet,
    load_some,
    over_run,
    paste,
    sheet_floats,
    store_some,
    strided,
)
from singac.codegen.ir import (
    FLOAT_BYTES,
    INTS,
    VECTOR,
    ZERO,
    fold,
    i64,
    ints,
    lanes,
    longs,
    loop,
    offset,
    splat,
    vector,
)
from singac.layers.operations import Pool, PoolGradient, Pooling
from singac.layers.windows import Windows

LOWEST = vector(float("-inf"))  # no window has nothing else: a pad is smaller than a kernel

# `do(channel, y, x, present)`: the windows from (y, x) on, of which so many are there.
Do = Callable[[ir.Value, ir.Value, ir.Value, int], None]
# `visit(tap, place, carried)`: what a tap of 16 windows, the first at `place`, does to the carried.
Visit = Callable[[ir.Value, ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]


def scratch_bytes(operation: Pool | PoolGradient) -> int:
    """A sheet of the source; for its gradient, another of that."""
    if pool_apart.suits(operation.windows):
        return 0
    sheets = 2 if isinstance(operation, PoolGradient) else 1
    return sheets * sheet_floats(operation.windows) * FLOAT_BYTES


def emit_pool(frame: Frame, operation: Pool, scratch: ir.Value) -> None:
    builder, windows = frame.builder, operation.windows
    if pool_apart.suits(windows):
        pool_apart.emit_pool(frame, operation)
        return
    is_max = operation.pooling is Pooling.MAX
    fill(builder, scratch, sheet_floats(windows), LOWEST if is_max else ZERO)
    with loop(builder, i64(0), i64(frame.buffers[operation.source].rows)) as example:
        paste(builder, windows, frame.place(operation.source, example, i64(0)), scratch)
        result = frame.place(operation.out, example, i64(0))

        def pooled(channel: ir.Value, y: ir.Value, x: ir.Value, present: int) -> None:
            if is_max:
                value, _ = _largest(builder, windows, scratch, channel, y, x)
            else:
                total = _total(builder, windows, scratch, channel, y, x)
                value = builder.fmul(total, _share(builder, windows, y, x))
            store_some(builder, value, _pixel(builder, windows, result, channel, y, x), present)

        _over_windows(builder, windows, pooled)


def emit_pool_gradient(frame: Frame, operation: PoolGradient, scratch: ir.Value) -> None:
    builder, windows = frame.builder, operation.windows
    if pool_apart.suits(windows):
        pool_apart.emit_pool_gradient(frame, operation)
        return
    floats = sheet_floats(windows)
    collected = offset(builder, scratch, floats * FLOAT_BYTES)
    fill(builder, scratch, floats, LOWEST)
    with loop(builder, i64(0), i64(frame.buffers[operation.gradient].rows)) as example:
        if operation.source is not None:
            paste(builder, windows, frame.place(operation.source, example, i64(0)), scratch)
        fill(builder, collected, floats)
        gradient = frame.place(operation.gradient, example, i64(0))

        def spread(channel: ir.Value, y: ir.Value, x: ir.Value, present: int) -> None:
            place = _pixel(builder, windows, gradient, channel, y, x)
            value, taken = load_some(builder, place, present), None
            if operation.pooling is Pooling.MAX:
                _, taken = _largest(builder, windows, scratch, channel, y, x)
            else:
                value = builder.fmul(value, _share(builder, windows, y, x))
            _spread(builder, windows, collected, (channel, y, x), value, taken)

        _over_windows(builder, windows, spread)
        cut(builder, windows, collected, frame.place(operation.out, example, i64(0)))


# Windows


def _over_windows(builder: ir.IRBuilder, windows: Windows, do: Do) -> None:
    height, width = windows.places
    with (
        loop(builder, i64(0), i64(windows.channels)) as channel,
        loop(builder, i64(0), i64(height)) as y,
    ):
        over_run(builder, width, lambda x, present: do(channel, y, x, present))


def _pixel(
    builder: ir.IRBuilder,
    windows: Windows,
    row: ir.Value,
    channel: ir.Value,
    y: ir.Value,
    x: ir.Value,
) -> ir.Value:
    """Address of the result of window (y, x) in a row of the result."""
    height, width = windows.places
    line = builder.add(builder.mul(channel, i64(height)), y)
    return offset(builder, row, builder.add(builder.mul(line, i64(width)), x), FLOAT_BYTES)


def _over_taps(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    window: tuple[ir.Value, ir.Value, ir.Value],
    initial: Sequence[ir.Value],
    visit: Visit,
) -> Sequence[ir.Value]:
    """`visit(tap, place, carried)` for every tap of the windows from (channel, y, x) on."""
    channel, y, x = window
    (height, width), (down, right) = windows.kernel, windows.stride
    top, left = builder.mul(y, i64(down)), builder.mul(x, i64(right))

    def over_line(line: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        seen = builder.add(top, line)
        start = in_sheet(builder, windows, sheet, channel, seen, left)
        first = builder.mul(line, i64(width))

        def one(column: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
            place = offset(builder, start, column, FLOAT_BYTES)
            return visit(builder.add(first, column), place, carried)

        return fold(builder, i64(0), i64(width), 1, carried, one)

    return fold(builder, i64(0), i64(height), 1, initial, over_line)


def _largest(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    channel: ir.Value,
    y: ir.Value,
    x: ir.Value,
) -> Sequence[ir.Value]:
    """The largest value of each of 16 windows, and the first tap that has it."""
    right = windows.stride[1]

    def visit(tap: ir.Value, place: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        largest, taken = carried
        value = strided(builder, place, right)
        larger = builder.fcmp_ordered(">", value, largest)
        number = splat(builder, builder.trunc(tap, INTS.element))
        return (
            builder.select(larger, value, largest),
            builder.select(larger, number, taken),
        )

    return _over_taps(builder, windows, sheet, (channel, y, x), [LOWEST, ints(0)], visit)


def _total(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    channel: ir.Value,
    y: ir.Value,
    x: ir.Value,
) -> ir.Value:
    right = windows.stride[1]

    def visit(tap: ir.Value, place: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        return [builder.fadd(carried[0], strided(builder, place, right))]

    (total,) = _over_taps(builder, windows, sheet, (channel, y, x), [ZERO], visit)
    return total


def _share(builder: ir.IRBuilder, windows: Windows, y: ir.Value, x: ir.Value) -> ir.Value:
    """One over the area of each window that lies in the padded image."""
    if windows.reach == windows.padded:
        return vector(1 / windows.taps)
    (height, width), (down, right) = windows.padded, windows.stride
    below = builder.sub(longs(height), splat(builder, builder.mul(y, i64(down))))
    beside = builder.sub(longs(width), builder.mul(lanes(builder, x), longs(right)))
    area = builder.mul(
        _one_to(builder, below, windows.kernel[0]), _one_to(builder, beside, windows.kernel[1])
    )
    narrow = builder.trunc(area, INTS)
    return builder.fdiv(vector(1.0), builder.sitofp(narrow, VECTOR))


def _one_to(builder: ir.IRBuilder, values: ir.Value, limit: int) -> ir.Value:
    """Values from 1 to a limit; only windows that are not there would have less."""
    most = builder.select(builder.icmp_signed("<", values, longs(limit)), values, longs(limit))
    return builder.select(builder.icmp_signed(">", most, longs(1)), most, longs(1))


def _spread(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    window: tuple[ir.Value, ir.Value, ir.Value],
    value: ir.Value,
    taken: ir.Value | None,
) -> None:
    """Adds a gradient to every tap of 16 windows, or to the one tap that was taken of each."""
    right = windows.stride[1]

    def visit(tap: ir.Value, place: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        part = value
        if taken is not None:
            number = splat(builder, builder.trunc(tap, INTS.element))
            part = builder.select(builder.icmp_signed("==", taken, number), value, ZERO)
        add_strided(builder, place, right, part)
        return ()

    _over_taps(builder, windows, sheet, window, (), visit)
