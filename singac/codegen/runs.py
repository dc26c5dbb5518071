"""Where a direct convolution finds its pixels: runs of 8, two a vector, and sheets in phases.

A run is 8 neighbouring windows of a row of the result. What their taps see lies side by side too,
where the columns of a sheet are sorted by their phase, the rest of a division by the stride:

    result, 10 wide                 sheet of stride 2
    | run 0          | run 1        column 0 2 4 6 ..  | 1 3 5 7 ..
    | run 2          | run 3        phase  0           | 1
    last runs are short             tap x of window 0 stands at phase x % 2, place x // 2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.image import clear_pad, cut, paste, smaller
from singac.codegen.ir import (
    EIGHT,
    FLOAT,
    FLOAT_BYTES,
    HALF,
    I32,
    LANES,
    VOID,
    call_intrinsic,
    i32,
    i64,
    loop,
    offset,
    store,
)
from singac.layers.windows import Windows
from singac.plan.plan import padded

MASK = ir.VectorType(ir.IntType(1), HALF)


@dataclass(frozen=True, slots=True)
class Place:
    """A run: its first float in a sheet and in a channel of a result, its row and column."""

    in_sheet: ir.Value
    in_result: ir.Value
    row: ir.Value
    column: ir.Value


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one channel of a result, row after row."""

    windows: Windows

    @property
    def per_row(self) -> int:
        return -(-self.windows.places[1] // HALF)

    @property
    def count(self) -> int:
        return self.per_row * self.windows.places[0]

    @property
    def whole(self) -> bool:
        """Whether no run is short: a result is then its runs, one after the other."""
        return self.windows.places[1] % HALF == 0

    @property
    def paired(self) -> bool:
        """Whether two runs, from an even one on, are of one row, and a vector one load or store."""
        return self.per_row % 2 == 0

    def slots(self, multiple: int) -> int:
        return -(-self.count // multiple) * multiple

    def place(self, builder: ir.IRBuilder, run: ir.Value) -> Place:
        """Of a run, or of the last one for numbers beyond it."""
        run = smaller(builder, run, i64(self.count - 1))
        row, number = run, i64(0)
        if self.per_row > 1:
            row = builder.udiv(run, i64(self.per_row))
            number = builder.urem(run, i64(self.per_row))
        column = builder.mul(number, i64(HALF))
        down = self.windows.stride[0] * pitch(self.windows)
        seen = builder.add(builder.mul(row, i64(down)), column)
        made = builder.add(builder.mul(row, i64(self.windows.places[1])), column)
        return Place(seen, made, row, column)

    def pair(self, builder: ir.IRBuilder, run: ir.Value) -> list[Place]:
        """Of a vector's two runs, from an even one on; beyond the last of the last ones."""
        if self.paired:
            run = smaller(builder, run, i64(self.count - 2))
        return [self.place(builder, run), self.place(builder, builder.add(run, i64(1)))]

    def load(self, builder: ir.IRBuilder, at: ir.Value, column: ir.Value) -> ir.Value:
        """The 8 floats of a run of a result, zeros behind the end of its row."""
        if self.whole:
            return load_run(builder, at)
        arguments = [at, i32(FLOAT_BYTES), self._present(builder, column), NOTHING]
        return call_intrinsic(builder, "llvm.masked.load.v8f32.p0", EIGHT, arguments)

    def store(self, builder: ir.IRBuilder, value: ir.Value, at: ir.Value, column: ir.Value) -> None:
        """Stores the 8 floats of a run, nothing behind the end of its row."""
        if self.whole:
            store(builder, value, at, align=FLOAT_BYTES)
        else:
            arguments = [value, at, i32(FLOAT_BYTES), self._present(builder, column)]
            call_intrinsic(builder, "llvm.masked.store.v8f32.p0", VOID, arguments)

    def _present(self, builder: ir.IRBuilder, column: ir.Value) -> ir.Value:
        kind = ir.VectorType(I32, HALF)
        left = builder.trunc(builder.sub(i64(self.windows.places[1]), column), I32)
        first = builder.insert_element(ir.Constant(kind, ir.Undefined), left, i32(0))
        zeros = ir.Constant(kind, [0] * HALF)
        limits = builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)
        return builder.icmp_signed("<", ir.Constant(kind, list(range(HALF))), limits)


NOTHING = ir.Constant(EIGHT, [0.0] * HALF)


def load_run(builder: ir.IRBuilder, at: ir.Value, align: int = FLOAT_BYTES) -> ir.Value:
    return builder.load(at, align=align, typ=EIGHT)


# -- sheets in phases ------------------------------------------------------------------------------


def phase_width(windows: Windows) -> int:
    return -(-windows.reach[1] // windows.stride[1])


def pitch(windows: Windows) -> int:
    """Floats from one line of a sheet in phases to the next."""
    return phase_width(windows) * windows.stride[1]


def plane(windows: Windows) -> int:
    """Floats of a channel of a sheet in phases."""
    return pitch(windows) * windows.reach[0]


def tap_place(windows: Windows, column: int) -> int:
    """Where a column of the kernel stands in a line, for the first window of a row."""
    right = windows.stride[1]
    return column % right * phase_width(windows) + column // right


def is_image(windows: Windows) -> bool:
    """Whether an image is its own sheet, and no vector runs over its end."""
    plain = windows.pad == (0, 0) and windows.stride == (1, 1)
    return plain and windows.reach == windows.size and Runs(windows).whole


@dataclass(frozen=True, slots=True)
class Sheets:
    """Room for images or their gradients, padded and in phases, `examples` of them.

    Vectors may run over the end of a line, and so over that of a sheet.
    """

    windows: Windows
    examples: int = 1

    @property
    def each(self) -> int:
        """Floats of a sheet."""
        return padded(self.windows.channels * plane(self.windows) + LANES)

    @property
    def floats(self) -> int:
        return 0 if is_image(self.windows) else self.each * self.examples

    def paste(self, builder: ir.IRBuilder, image: ir.Value, sheet: ir.Value) -> None:
        """An image onto a sheet; what lies around it stays as it was."""
        if self.windows.stride[1] == 1:
            paste(builder, self.windows, image, sheet)
        else:
            self._each(builder, image, sheet, _copy)

    def cut(self, builder: ir.IRBuilder, sheet: ir.Value, image: ir.Value) -> None:
        """The image of a sheet into a row of a tensor, whose pad is set to zero."""
        if self.windows.stride[1] == 1:
            cut(builder, self.windows, sheet, image)
        else:
            clear_pad(builder, self.windows, image)
            self._each(builder, image, sheet, lambda b, here, there: _copy(b, there, here))

    def _each(
        self,
        builder: ir.IRBuilder,
        image: ir.Value,
        sheet: ir.Value,
        copy: Callable[[ir.IRBuilder, ir.Value, ir.Value], None],
    ) -> None:
        """`copy(in_image, in_sheet)` for every float of an image, phase after phase."""
        windows, right = self.windows, self.windows.stride[1]
        (height, width), (above, before) = windows.size, windows.pad
        with (
            loop(builder, i64(0), i64(windows.channels)) as channel,
            loop(builder, i64(0), i64(height)) as y,
        ):
            row = builder.add(builder.mul(channel, i64(height)), y)
            row = offset(builder, image, row, width * FLOAT_BYTES)
            line = builder.add(builder.mul(channel, i64(windows.reach[0])), y)
            line = builder.mul(builder.add(line, i64(above)), i64(pitch(windows)))
            line = offset(builder, sheet, line, FLOAT_BYTES)
            for phase in range(right):
                first = (phase - before) % right
                here = offset(builder, row, first * FLOAT_BYTES)
                there = offset(builder, line, tap_place(windows, first + before) * FLOAT_BYTES)
                with loop(builder, i64(0), i64(-(-(width - first) // right))) as number:
                    copy(
                        builder,
                        offset(builder, here, number, right * FLOAT_BYTES),
                        offset(builder, there, number, FLOAT_BYTES),
                    )


def _copy(builder: ir.IRBuilder, source: ir.Value, to: ir.Value) -> None:
    value = builder.load(source, align=FLOAT_BYTES, typ=FLOAT)
    builder.store(value, to, align=FLOAT_BYTES)
