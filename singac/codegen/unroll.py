"""The windows of an image as a matrix, and gradients of that matrix back onto the image.

A row is a tap (channel, line, column of the kernel), a column is a pixel of the result:

    unrolled[t, p] = the value that tap t of window p covers       panels [pixels / 16][taps][16]
    its gradient                                                   rows   [taps][pixels]

A kernel's line of taps is laid out together: first the pixels of each, copied in runs as long as
a row of the result, then vectors of 16 of them into the panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.image import (
    add_strided,
    in_sheet,
    larger,
    load_some,
    over_run,
    smaller,
    store_some,
    strided,
    within,
)
from singac.codegen.ir import (
    FLOAT_BYTES,
    LANES,
    VECTOR_BYTES,
    ZERO,
    fold,
    i64,
    load,
    loop,
    offset,
    store,
)
from singac.layers.windows import Windows
from singac.plan.plan import padded


def lines_floats(windows: Windows) -> int:
    """Floats of the pixels of a line of taps."""
    return windows.kernel[1] * _line(windows)


def _line(windows: Windows) -> int:
    """The pixels of one tap, and a vector to run over."""
    return padded(windows.pixels) + LANES


def matrix_floats(windows: Windows, channels: int) -> int:
    """Floats of the matrix; vectors of a row may end up to a kernel's width behind it."""
    taps = channels * windows.taps
    return padded(windows.pixels) * taps + padded(windows.kernel[1]) + LANES


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The matrix of one group's `channels`, in working memory.

    `sheet` has all channels of the image, or of its gradient; `lines` lies before `matrix`, which
    vectors may begin up to a kernel's width before.
    """

    builder: ir.IRBuilder
    windows: Windows
    channels: int
    sheet: ir.Value
    lines: ir.Value
    matrix: ir.Value

    def lay_out(self, group: ir.Value) -> None:
        """The windows of a group's channels into panels, a line of taps at a time."""
        builder, (height, width) = self.builder, self.windows.kernel
        with (
            loop(builder, i64(0), i64(self.channels)) as channel,
            loop(builder, i64(0), i64(height)) as line,
        ):
            self._see(self._channel(group, channel), line)
            first = builder.add(builder.mul(channel, i64(height)), line)
            self._to_panels(builder.mul(first, i64(width)))

    def _see(self, channel: ir.Value, line: ir.Value) -> None:
        """What each tap of a line of the kernel sees, pixel after pixel.

        A vector that runs over the end of a row is overwritten by the next row.
        """
        builder, windows = self.builder, self.windows
        (height, width), (down, right) = windows.places, windows.stride
        with (
            loop(builder, i64(0), i64(windows.kernel[1])) as column,
            loop(builder, i64(0), i64(height)) as y,
        ):
            seen = builder.add(builder.mul(y, i64(down)), line)
            source = in_sheet(builder, windows, self.sheet, channel, seen, column)
            to = offset(builder, self.lines, column, _line(self.windows) * FLOAT_BYTES)
            to = offset(builder, to, y, width * FLOAT_BYTES)
            with loop(builder, i64(0), i64(width), LANES) as x:
                vector = strided(builder, offset(builder, source, x, right * FLOAT_BYTES), right)
                store(builder, vector, offset(builder, to, x, FLOAT_BYTES), align=FLOAT_BYTES)

    def _to_panels(self, first: ir.Value) -> None:
        """A line of taps, from tap `first` on, to its rows of the panels."""
        builder, windows = self.builder, self.windows
        with (
            loop(builder, i64(0), i64(windows.kernel[1])) as column,
            loop(builder, i64(0), i64(padded(windows.pixels) // LANES)) as panel,
        ):
            line = offset(builder, self.lines, column, _line(windows) * FLOAT_BYTES)
            vector = load(builder, offset(builder, line, panel, VECTOR_BYTES))
            tap = builder.add(
                builder.mul(panel, i64(self.channels * windows.taps)), builder.add(first, column)
            )
            store(builder, vector, offset(builder, self.matrix, tap, VECTOR_BYTES))

    def scatter(self, group: ir.Value) -> None:
        """Adds the gradient of every tap where the tap was taken."""
        builder, windows = self.builder, self.windows
        with (
            loop(builder, i64(0), i64(self.channels)) as channel,
            loop(builder, i64(0), i64(windows.kernel[0])) as line,
            loop(builder, i64(0), i64(windows.kernel[1])) as column,
        ):
            row = builder.add(builder.mul(channel, i64(windows.kernel[0])), line)
            tap = builder.add(builder.mul(row, i64(windows.kernel[1])), column)
            taps = offset(builder, self.matrix, tap, padded(windows.pixels) * FLOAT_BYTES)
            self._scatter(taps, self._channel(group, channel), line, column)

    def _scatter(self, taps: ir.Value, channel: ir.Value, line: ir.Value, column: ir.Value) -> None:
        builder, windows = self.builder, self.windows
        (height, width), (down, right) = windows.places, windows.stride
        with loop(builder, i64(0), i64(height)) as y:
            seen = builder.add(builder.mul(y, i64(down)), line)
            there = in_sheet(builder, windows, self.sheet, channel, seen, column)
            row = offset(builder, taps, y, width * FLOAT_BYTES)

            def add(x: ir.Value, present: int) -> None:
                vector = load_some(builder, offset(builder, row, x, FLOAT_BYTES), present)
                place = offset(builder, there, x, right * FLOAT_BYTES)
                add_strided(builder, place, right, vector)

            over_run(builder, width, add)

    def gather(self, group: ir.Value, dx: ir.Value) -> None:
        """For each pixel of the image, the sum over the taps that saw it."""
        builder, windows = self.builder, self.windows
        height, width = windows.size
        with (
            loop(builder, i64(0), i64(self.channels)) as channel,
            loop(builder, i64(0), i64(height)) as y,
        ):
            row = builder.mul(self._channel(group, channel), i64(height))
            row = offset(builder, dx, builder.add(row, y), width * FLOAT_BYTES)
            line = builder.add(y, i64(windows.pad[0]))

            def one(x: ir.Value, present: int) -> None:
                total = self._sum_of_taps(channel, line, builder.add(x, i64(windows.pad[1])))
                store_some(builder, total, offset(builder, row, x, FLOAT_BYTES), present)

            over_run(builder, width, one)

    def _sum_of_taps(self, channel: ir.Value, line: ir.Value, column: ir.Value) -> ir.Value:
        """The sum over taps (i, j) of the gradients at windows (line - i, column - j), if any."""
        builder, windows = self.builder, self.windows
        (height, width), (down, right) = windows.places, windows.kernel
        tap_floats = padded(windows.pixels)

        def over_line(i: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            first = builder.mul(builder.add(builder.mul(channel, i64(down)), i), i64(right))
            row = offset(builder, self.matrix, first, tap_floats * FLOAT_BYTES)
            row = offset(builder, row, builder.sub(line, i), width * FLOAT_BYTES)

            def add(j: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
                start = builder.sub(column, j)
                place = offset(builder, row, j, tap_floats * FLOAT_BYTES)
                vector = load(builder, offset(builder, place, start, FLOAT_BYTES), FLOAT_BYTES)
                part = builder.select(within(builder, start, width), vector, ZERO)
                return [builder.fadd(sums[0], part)]

            return fold(builder, i64(0), i64(right), 1, sums, add)

        top = larger(builder, i64(0), builder.sub(line, i64(height - 1)))
        bottom = smaller(builder, i64(down), builder.add(line, i64(1)))
        (total,) = fold(builder, top, bottom, 1, [ZERO], over_line)
        return total

    def _channel(self, group: ir.Value, channel: ir.Value) -> ir.Value:
        """Number of a group's channel among all."""
        builder = self.builder
        return builder.add(builder.mul(group, i64(self.channels)), channel)
