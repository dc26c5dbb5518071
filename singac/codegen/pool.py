"""Pooling: the largest or the mean value of every window, 16 windows of a row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from llvmlite import ir

from singac.codegen import pool_apart
from singac.codegen.elementwise import Frame
from singac.codegen.image import (
    clear_pad,
    cut_pixels,
    fill,
    in_sheet,
    load_some,
    over_run,
    paste,
    sheet_floats,
    store_some,
    strided,
    woven,
)
from singac.codegen.ir import (
    FLOAT_BYTES,
    INTS,
    VECTOR,
    VECTOR_BYTES,
    ZERO,
    fold,
    i64,
    ints,
    lanes,
    load,
    longs,
    loop,
    offset,
    splat,
    store,
    vector,
)
from singac.layers.operations import Pool, PoolGradient, Pooling
from singac.layers.windows import Windows

LOWEST = vector(float("-inf"))  # no window has nothing else: a pad is smaller than a kernel

# `do(y, x, present)`: the windows of a channel from (y, x) on, of which so many are there.
Do = Callable[[ir.Value, ir.Value, int], None]
# `visit(tap, place, carried)`: what a tap of 16 windows, the first at `place`, does to the carried.
Visit = Callable[[ir.Value, ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]


def scratch_bytes(operation: Pool | PoolGradient) -> int:
    """A channel's sheet of the source; for its gradient, another of that."""
    if pool_apart.suits(operation.windows):
        return 0
    sheets = 2 if isinstance(operation, PoolGradient) else 1
    return sheets * sheet_floats(_one_channel(operation.windows)) * FLOAT_BYTES


def _one_channel(windows: Windows) -> Windows:
    """Channels are pooled one after the other: the sheet of one stays in the nearest cache."""
    return replace(windows, channels=1)


def emit_pool(frame: Frame, operation: Pool, scratch: ir.Value) -> None:
    builder, windows = frame.builder, _one_channel(operation.windows)
    if pool_apart.suits(operation.windows):
        pool_apart.emit_pool(frame, operation)
        return
    is_max = operation.pooling is Pooling.MAX
    fill(builder, scratch, sheet_floats(windows), LOWEST if is_max else ZERO)
    with _over_channels(frame, operation.windows, operation.source) as (example, channel):
        image = builder.mul(channel, i64(windows.pixels_in))
        paste(builder, windows, frame.place(operation.source, example, image), scratch)
        pixels = builder.mul(channel, i64(windows.pixels))
        result = frame.place(operation.out, example, pixels)

        def pooled(y: ir.Value, x: ir.Value, present: int) -> None:
            if is_max:
                value, _ = _largest(builder, windows, scratch, y, x)
            else:
                total = _total(builder, windows, scratch, y, x)
                value = builder.fmul(total, _share(builder, windows, y, x))
            store_some(builder, value, _pixel(builder, windows, result, y, x), present)

        _over_windows(builder, windows, pooled)


def emit_pool_gradient(frame: Frame, operation: PoolGradient, scratch: ir.Value) -> None:
    builder, windows = frame.builder, _one_channel(operation.windows)
    if pool_apart.suits(operation.windows):
        pool_apart.emit_pool_gradient(frame, operation)
        return
    floats = sheet_floats(windows)
    collected = offset(builder, scratch, floats * FLOAT_BYTES)
    fill(builder, scratch, floats, LOWEST)
    with loop(builder, i64(0), i64(frame.buffers[operation.out].rows)) as example:
        clear_pad(builder, operation.windows, frame.place(operation.out, example, i64(0)))
    with _over_channels(frame, operation.windows, operation.out) as (example, channel):
        image = builder.mul(channel, i64(windows.pixels_in))
        if operation.source is not None:
            paste(builder, windows, frame.place(operation.source, example, image), scratch)
        fill(builder, collected, floats)
        pixels = builder.mul(channel, i64(windows.pixels))
        gradient = frame.place(operation.gradient, example, pixels)

        def spread(y: ir.Value, x: ir.Value, present: int) -> None:
            place = _pixel(builder, windows, gradient, y, x)
            value, taken = load_some(builder, place, present), None
            if operation.pooling is Pooling.MAX:
                _, taken = _largest(builder, windows, scratch, y, x)
            else:
                value = builder.fmul(value, _share(builder, windows, y, x))
            _spread(builder, windows, collected, (y, x), (value, taken, present))

        _over_windows(builder, windows, spread)
        cut_pixels(builder, windows, collected, frame.place(operation.out, example, image))


@contextmanager
def _over_channels(
    frame: Frame, windows: Windows, name: str
) -> Iterator[tuple[ir.Value, ir.Value]]:
    """A loop over the examples of a tensor and their channels."""
    with (
        loop(frame.builder, i64(0), i64(frame.buffers[name].rows)) as example,
        loop(frame.builder, i64(0), i64(windows.channels)) as channel,
    ):
        yield example, channel


# Windows


def _over_windows(builder: ir.IRBuilder, windows: Windows, do: Do) -> None:
    height, width = windows.places
    with loop(builder, i64(0), i64(height)) as y:
        over_run(builder, width, lambda x, present: do(y, x, present))


def _pixel(
    builder: ir.IRBuilder, windows: Windows, result: ir.Value, y: ir.Value, x: ir.Value
) -> ir.Value:
    """Address of the result of window (y, x) in a channel of the result."""
    pixel = builder.add(builder.mul(y, i64(windows.places[1])), x)
    return offset(builder, result, pixel, FLOAT_BYTES)


def _over_lines(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    window: tuple[ir.Value, ir.Value],
    initial: Sequence[ir.Value],
    visit: Visit,
) -> Sequence[ir.Value]:
    """`visit(tap, place, carried)` for the first tap of each line of the windows from (y, x) on."""
    (y, x), (down, right) = window, windows.stride
    top, left = builder.mul(y, i64(down)), builder.mul(x, i64(right))

    def one(line: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        place = in_sheet(builder, windows, sheet, i64(0), builder.add(top, line), left)
        return visit(builder.mul(line, i64(windows.kernel[1])), place, carried)

    return fold(builder, i64(0), i64(windows.kernel[0]), 1, initial, one)


def _over_taps(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    window: tuple[ir.Value, ir.Value],
    initial: Sequence[ir.Value],
    visit: Visit,
) -> Sequence[ir.Value]:
    """`visit(tap, place, carried)` for every tap of the windows from (y, x) on."""

    def line(first: ir.Value, start: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        for column in range(windows.kernel[1]):
            tap = builder.add(first, i64(column))
            carried = visit(tap, offset(builder, start, column * FLOAT_BYTES), carried)
        return carried

    return _over_lines(builder, windows, sheet, window, initial, line)


def _largest(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
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

    return _over_taps(builder, windows, sheet, (y, x), [LOWEST, ints(0)], visit)


def _total(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    y: ir.Value,
    x: ir.Value,
) -> ir.Value:
    right = windows.stride[1]

    def visit(tap: ir.Value, place: ir.Value, carried: Sequence[ir.Value]) -> Sequence[ir.Value]:
        return [builder.fadd(carried[0], strided(builder, place, right))]

    (total,) = _over_taps(builder, windows, sheet, (y, x), [ZERO], visit)
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
    window: tuple[ir.Value, ir.Value],
    given: tuple[ir.Value, ir.Value | None, int],
) -> None:
    """Adds the gradients of 16 windows, of which so many are `present`, to all their taps, or to
    the one tap that was `taken` of each.
    """
    value, taken, present = given

    def line(first: ir.Value, start: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
        columns = [value] * windows.kernel[1]
        if taken is not None:
            columns = [_of_tap(builder, value, taken, first, k) for k in range(windows.kernel[1])]
        for k, part in enumerate(woven(builder, columns, windows.stride[1], present)):
            place = offset(builder, start, k * VECTOR_BYTES)
            sum_ = builder.fadd(load(builder, place, FLOAT_BYTES), part)
            store(builder, sum_, place, FLOAT_BYTES)
        return ()

    _over_lines(builder, windows, sheet, window, (), line)


def _of_tap(
    builder: ir.IRBuilder, value: ir.Value, taken: ir.Value, first: ir.Value, column: int
) -> ir.Value:
    """The gradients of windows that took the tap `column` behind `first`, zeros for the others."""
    number = splat(builder, builder.trunc(builder.add(first, i64(column)), INTS.element))
    return builder.select(builder.icmp_signed("==", taken, number), value, ZERO)
