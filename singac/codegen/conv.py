"""Convolutions as products of matrices, one example and one group after the other.

The windows of an example are `unrolled` into a matrix [taps, pixels] (unroll.py), in panels of 16
pixels, or its gradient comes out row by row:

    role             product                              as `gemm` names it
    forward          y  [filters, pixels] = W unrolled    forward,         X = W,   W = unrolled
    weight_gradient  dW [filters, taps] += dy unrolled'   input_gradient,  dY = dy, W = unrolled
    input_gradient   d(unrolled) = W' dy                  weight_gradient, X = W,   dY = dy

All three are products of the same sizes: a weight of taps x pixels, and filters for examples.
Where the rows of a result are long enough for vectors, nothing is unrolled (direct.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen import direct, direct_group, gemm
from singac.codegen.elementwise import Frame
from singac.codegen.host import Host
from singac.codegen.image import (
    clear_pad,
    cut,
    fill,
    load_some,
    over_run,
    paste,
    sheet_floats,
    store_some,
)
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    LANES,
    ZERO,
    broadcast,
    call_intrinsic,
    f32,
    fold,
    i64,
    loop,
    offset,
    store,
)
from singac.codegen.unroll import Unrolled, lines_floats, matrix_floats
from singac.layers.operations import ChannelSum, Convolution, Role
from singac.layers.windows import Windows
from singac.plan.plan import Buffer, padded

# fmt: off
PRODUCTS: dict[Role, gemm.Role] = {
    Role.FORWARD:         "forward",
    Role.WEIGHT_GRADIENT: "input_gradient",
    Role.INPUT_GRADIENT:  "weight_gradient",
}
# fmt: on


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Of one group: filters, channels, taps and pixels; and where working memory is cut.

    sheet     the image padded, or the gradient that is collected
    lines     the pixels of a line of taps, before they go to panels
    unrolled  the windows in panels, or the gradient of the taps row by row
    filters   the gradient of the result with each filter's pixels padded to whole vectors
    """

    windows: Windows
    role: Role
    groups: int
    filters: int
    channels: int

    @property
    def taps(self) -> int:
        return self.channels * self.windows.taps

    @property
    def group(self) -> direct_group.Group:
        return direct_group.Group(self.windows, self.role, self.groups, self.filters, self.channels)

    @property
    def floats(self) -> tuple[int, ...]:
        pixels = padded(self.windows.pixels)
        forward = self.role is Role.FORWARD
        return (
            sheet_floats(self.windows),
            lines_floats(self.windows),
            matrix_floats(self.windows, self.channels),
            0 if forward else pixels * self.filters,
        )

    @property
    def product(self) -> gemm.Product:
        name, pixels = PRODUCTS[self.role], self.windows.pixels
        accumulate = self.role is Role.WEIGHT_GRADIENT
        return gemm.Product(name, self.filters, self.taps, pixels, accumulate)

    def places(self, builder: ir.IRBuilder, scratch: ir.Value) -> tuple[ir.Value, ...]:
        """Addresses of sheet, lines, unrolled, filters, and the product's own memory."""
        starts = [sum(self.floats[:k]) for k in range(len(self.floats) + 1)]
        return tuple(offset(builder, scratch, start * FLOAT_BYTES) for start in starts)


def _sizes(operation: Convolution, weight: Buffer) -> _Sizes:
    windows, groups = operation.windows, operation.groups
    channels = windows.channels // groups
    assert weight.columns == channels * windows.taps, "a weight has a row of taps for each filter"
    return _Sizes(windows, operation.role, groups, weight.rows // groups, channels)


def weight_of(operation: Convolution) -> str:
    return operation.out if operation.role is Role.WEIGHT_GRADIENT else operation.right


def scratch_bytes(operation: Convolution, weight: Buffer) -> int:
    sizes = _sizes(operation, weight)
    if direct_group.suits(operation.windows):
        return direct_group.scratch_bytes(sizes.group)
    return sum(sizes.floats) * FLOAT_BYTES + gemm.scratch_bytes(sizes.product)


def emit_convolution(frame: Frame, operation: Convolution, host: Host, scratch: ir.Value) -> None:
    sizes = _sizes(operation, frame.buffers[weight_of(operation)])
    if direct_group.suits(operation.windows):
        direct.emit(frame, operation, sizes.group, host, scratch)
        return
    sheet, lines, matrix, filters, rest = sizes.places(frame.builder, scratch)
    unrolled = Unrolled(frame.builder, sizes.windows, sizes.channels, sheet, lines, matrix)
    kernel = _Kernel(frame, operation, host, sizes, sheet, unrolled, filters, rest)
    match operation.role:
        case Role.FORWARD:
            kernel.forward()
        case Role.WEIGHT_GRADIENT:
            kernel.weight_gradient()
        case Role.INPUT_GRADIENT:
            kernel.input_gradient()


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The loops over examples and groups of one operation, and its working memory."""

    frame: Frame
    operation: Convolution
    host: Host
    sizes: _Sizes
    sheet: ir.Value
    unrolled: Unrolled
    filters: ir.Value
    scratch: ir.Value

    def forward(self) -> None:
        operation, builder = self.operation, self.frame.builder
        fill(builder, self.sheet, self.sizes.floats[0])
        with loop(builder, i64(0), self._examples(operation.left)) as example:
            paste(builder, self.sizes.windows, self._row(operation.left, example), self.sheet)
            with self._each_group() as group:
                self.unrolled.lay_out(group)
                weight = self._weight(operation.right, group)
                y = self._pixels_of(operation.out, example, group)
                self._product(weight, self.unrolled.matrix, self.scratch, self._leave(y, group))

    def weight_gradient(self) -> None:
        operation, builder = self.operation, self.frame.builder
        weight = self.frame.buffers[operation.out]
        if not operation.accumulate:
            fill(builder, self.frame.start(operation.out), weight.floats)
        fill(builder, self.sheet, self.sizes.floats[0])
        with loop(builder, i64(0), self._examples(operation.left)) as example:
            paste(builder, self.sizes.windows, self._row(operation.left, example), self.sheet)
            with self._each_group() as group:
                self.unrolled.lay_out(group)
                self._pad_filters(self._pixels_of(operation.right, example, group))
                gradient = self._weight(operation.out, group)
                self._product(self.filters, self.unrolled.matrix, gradient, None)

    def input_gradient(self) -> None:
        """The gradient of every tap, then their sums: gathered by pixels of the image where windows
        lie a pixel apart; with strides most taps miss a pixel, and are scattered instead.
        """
        operation, builder, windows = self.operation, self.frame.builder, self.sizes.windows
        dense = windows.stride == (1, 1)
        with loop(builder, i64(0), self._examples(operation.left)) as example:
            dx = self._row(operation.out, example)
            if dense:
                clear_pad(builder, windows, dx)
            else:
                fill(builder, self.sheet, self.sizes.floats[0])
            with self._each_group() as group:
                self._pad_filters(self._pixels_of(operation.left, example, group))
                weight = self._weight(operation.right, group)
                self._product(weight, self.filters, self.scratch, self._keep_taps)
                if dense:
                    self.unrolled.gather(group, dx)
                else:
                    self.unrolled.scatter(group)
            if not dense:
                cut(builder, windows, self.sheet, dx)

    # -- places ------------------------------------------------------------------------------------

    def _examples(self, name: str) -> ir.Value:
        return i64(self.frame.buffers[name].rows)

    def _each_group(self) -> AbstractContextManager[ir.Value]:
        return loop(self.frame.builder, i64(0), i64(self.sizes.groups))

    def _row(self, name: str, example: ir.Value) -> ir.Value:
        return self.frame.place(name, example, i64(0))

    def _weight(self, name: str, group: ir.Value) -> ir.Value:
        """The rows of a group's filters."""
        rows = self.frame.builder.mul(group, i64(self.sizes.filters))
        return self.frame.place(name, rows, i64(0))

    def _pixels_of(self, name: str, example: ir.Value, group: ir.Value) -> ir.Value:
        """The pixels of a group's first filter."""
        floats = self.sizes.filters * self.sizes.windows.pixels
        return self.frame.place(name, example, self.frame.builder.mul(group, i64(floats)))

    # -- products ----------------------------------------------------------------------------------

    def _product(
        self, left: ir.Value, right: ir.Value, out: ir.Value, leave: gemm.Epilogue | None
    ) -> None:
        builder, tile, product = self.frame.builder, self.host.tile, self.sizes.product
        gemm.emit(builder, tile, product, left, right, out, self.scratch, leave)

    def _leave(self, y: ir.Value, group: ir.Value) -> gemm.Epilogue:
        """Pixels of a filter with its bias; the next filter's begin right behind the last."""
        pixels, bias = self.sizes.windows.pixels, self.operation.bias

        def leave(builder: ir.IRBuilder, vector: ir.Value, row: ir.Value, column: ir.Value) -> None:
            if bias is not None:
                filters = builder.add(builder.mul(group, i64(self.sizes.filters)), row)
                vector = builder.fadd(vector, broadcast(builder, self._row_of_bias(bias, filters)))
            place = builder.add(builder.mul(row, i64(pixels)), column)
            place = offset(builder, y, place, FLOAT_BYTES)
            if pixels % LANES == 0:
                store(builder, vector, place, align=FLOAT_BYTES)
                return
            whole = builder.icmp_signed("<", column, i64(pixels - pixels % LANES))
            with builder.if_else(whole) as (then, otherwise):
                with then:
                    store(builder, vector, place, align=FLOAT_BYTES)
                with otherwise:
                    store_some(builder, vector, place, pixels % LANES)

        return leave

    def _row_of_bias(self, bias: str, filters: ir.Value) -> ir.Value:
        return self.frame.place(bias, i64(0), filters)

    def _keep_taps(
        self, builder: ir.IRBuilder, vector: ir.Value, row: ir.Value, column: ir.Value
    ) -> None:
        """Row by row; padded rows, so that the pads may hold anything."""
        start = offset(
            builder, self.unrolled.matrix, row, padded(self.sizes.windows.pixels) * FLOAT_BYTES
        )
        store(builder, vector, offset(builder, start, column, FLOAT_BYTES))

    # -- layouts -----------------------------------------------------------------------------------

    def _pad_filters(self, pixels: ir.Value) -> None:
        """The pixels of every filter of a group into rows of whole vectors."""
        builder, count = self.frame.builder, self.sizes.windows.pixels
        with loop(builder, i64(0), i64(self.sizes.filters)) as row:
            source = offset(builder, pixels, row, count * FLOAT_BYTES)
            to = offset(builder, self.filters, row, padded(count) * FLOAT_BYTES)

            def copy(x: ir.Value, present: int) -> None:
                vector = load_some(builder, offset(builder, source, x, FLOAT_BYTES), present)
                store(builder, vector, offset(builder, to, x, FLOAT_BYTES))

            over_run(builder, count, copy)


# The gradient of a bias


def emit_channel_sum(frame: Frame, operation: ChannelSum) -> None:
    """Lane by lane: the pixels of an example, these of all examples, and the lanes at the end."""
    builder, source = frame.builder, frame.buffers[operation.source]
    pixels = source.columns // operation.channels
    with loop(builder, i64(0), i64(operation.channels)) as channel:
        first = builder.mul(channel, i64(pixels))

        def add(example: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            row = frame.place(operation.source, example, first)
            return [builder.fadd(sums[0], _sum_of_run(builder, row, pixels, ZERO))]

        (total,) = fold(builder, i64(0), i64(source.rows), 1, [ZERO], add)
        sum_ = call_intrinsic(builder, "llvm.vector.reduce.fadd.v16f32", FLOAT, [f32(0.0), total])
        place = frame.place(operation.out, i64(0), channel)
        if operation.accumulate:
            sum_ = builder.fadd(builder.load(place, align=FLOAT_BYTES, typ=FLOAT), sum_)
        builder.store(sum_, place, align=FLOAT_BYTES)


def _sum_of_run(builder: ir.IRBuilder, row: ir.Value, count: int, before: ir.Value) -> ir.Value:
    """`before` and every vector of a run of floats, lane by lane."""
    whole = count - count % LANES

    def add(x: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        return [
            builder.fadd(sums[0], load_some(builder, offset(builder, row, x, FLOAT_BYTES), LANES))
        ]

    (total,) = fold(builder, i64(0), i64(whole), LANES, [before], add)
    if count % LANES:
        rest = load_some(builder, offset(builder, row, whole, FLOAT_BYTES), count % LANES)
        total = builder.fadd(total, rest)
    return total
