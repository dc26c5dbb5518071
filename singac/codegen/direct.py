"""Convolutions straight from the image: no matrix of windows is ever laid out.

A register tile has the filters (or channels) of a group as rows and runs of pixels as columns
(runs.py). All three products read their image, or its gradient, where it lies:

    forward          y[f, p]        = sum over channels, taps   W[f, c, t] x[c, p + t]
    input_gradient   dx[c, p + t]  += sum over filters          W[f, c, t] dy[f, p]
    weight_gradient  dW[f, c, t]   += sum over examples, runs   dy[f, p] x[c, p + t]

Weights are packed first, one tile's after the other, so that a step reads neighbours. The gradient
of a weight is summed lane by lane over a block of examples, and across the lanes at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.direct_group import GRADIENT_TILES, MOST_ROWS, Group, tiles
from singac.codegen.direct_pack import Packer
from singac.codegen.direct_tiles import Tiles
from singac.codegen.elementwise import Frame
from singac.codegen.host import Host
from singac.codegen.image import fill, smaller
from singac.codegen.ir import (
    FLOAT_BYTES,
    HALF,
    i64,
    loop,
    offset,
    shared,
    store,
)
from singac.codegen.runs import Runs, is_image, plane
from singac.layers.operations import Convolution, Role
from singac.plan.plan import padded


def emit(frame: Frame, operation: Convolution, group: Group, host: Host, scratch: ir.Value) -> None:
    builder, floats = frame.builder, group.floats
    starts = [sum(floats[:k]) for k in range(len(floats))]
    places = [offset(builder, scratch, start * FLOAT_BYTES) for start in starts]
    kernel = _Kernel(frame, operation, group, host, *places)
    match operation.role:
        case Role.FORWARD:
            kernel.forward()
        case Role.INPUT_GRADIENT:
            kernel.input_gradient()
        case Role.WEIGHT_GRADIENT:
            kernel.weight_gradient()


@dataclass(frozen=True, slots=True)
class _Kernel:
    """The loops over examples, groups and tiles of one operation, and its working memory."""

    frame: Frame
    operation: Convolution
    group: Group
    host: Host
    sheet: ir.Value
    gradients: ir.Value
    packed: ir.Value

    # -- the three products ------------------------------------------------------------------------

    def forward(self) -> None:
        operation, builder, group = self.operation, self.frame.builder, self.group
        self._packer.forward()
        fill(builder, self.sheet, group.sheets.floats)
        with self._examples(operation.left) as example:
            image = self._sheet_of(operation.left, example, self.sheet)
            with self._groups() as number:
                x = self._channels(image, number)
                y = self._filters_of(operation.out, example, number)
                for tile in tiles(group.filters, self._most_rows):
                    self._forward_tiles(tile, number, x, y)

    def _forward_tiles(
        self, tile: tuple[int, int, int], number: ir.Value, x: ir.Value, y: ir.Value
    ) -> None:
        builder, group, (start, stop, rows) = self.frame.builder, self.group, tile
        bias = self.operation.bias
        with loop(builder, i64(start), i64(stop), rows) as first:
            filters = builder.add(builder.mul(number, i64(group.filters)), first)
            weight = offset(builder, self.packed, filters, group.taps * FLOAT_BYTES)
            to = offset(builder, y, first, group.windows.pixels * FLOAT_BYTES)
            arguments = [weight, x, to]
            if bias is not None:
                arguments.append(self.frame.place(bias, i64(0), filters))
            self._call(f"forward_{rows}", arguments, lambda f: self._tiles.forward(f, rows))

    def input_gradient(self) -> None:
        operation, builder, group = self.operation, self.frame.builder, self.group
        windows = group.windows
        self._packer.backward()
        fill(builder, self.gradients, group.floats[1])
        with self._examples(operation.left) as example:
            dx = self.frame.place(operation.out, example, i64(0))
            sheet = dx if is_image(windows) else self.sheet
            floats = padded(windows.channels * windows.pixels_in)
            fill(builder, sheet, floats if is_image(windows) else group.sheets.floats)
            with self._groups() as number:
                dy = self._in_runs(operation.left, example, number, self.gradients)
                for tile in tiles(group.channels, self._most_rows):
                    self._backward_tiles(tile, number, dy, self._channels(sheet, number))
            if not is_image(windows):
                group.sheets.cut(builder, sheet, dx)

    def _backward_tiles(
        self, tile: tuple[int, int, int], number: ir.Value, dy: ir.Value, dx: ir.Value
    ) -> None:
        builder, group, (start, stop, rows) = self.frame.builder, self.group, tile
        floats = group.filters * group.windows.taps
        with loop(builder, i64(start), i64(stop), rows) as first:
            channels = builder.add(builder.mul(number, i64(group.channels)), first)
            weight = offset(builder, self.packed, channels, floats * FLOAT_BYTES)
            to = offset(builder, dx, first, plane(group.windows) * FLOAT_BYTES)
            arguments = [weight, dy, to]
            self._call(f"backward_{rows}", arguments, lambda f: self._tiles.backward(f, rows))

    def weight_gradient(self) -> None:
        operation, builder, group = self.operation, self.frame.builder, self.group
        gradient = self.frame.buffers[operation.out]
        if not operation.accumulate:
            fill(builder, self.frame.start(operation.out), gradient.floats)
        fill(builder, self.sheet, group.sheets.floats)
        fill(builder, self.gradients, group.floats[1])
        count = self.frame.buffers[operation.left].rows
        with loop(builder, i64(0), i64(count), group.block) as first:
            block = smaller(builder, i64(group.block), builder.sub(i64(count), first))
            image = self._image_block(first, block)
            with self._groups() as number:
                dy = self._gradient_block(first, block, number)
                x = self._channels(image, number)
                self._weight_tiles(number, block, x, dy)

    def _weight_tiles(self, number: ir.Value, block: ir.Value, x: ir.Value, dy: ir.Value) -> None:
        builder, group = self.frame.builder, self.group
        most_filters, most_taps, _ = GRADIENT_TILES[self.host.vector_bits]
        for filters in tiles(group.filters, most_filters):
            with loop(builder, i64(filters[0]), i64(filters[1]), filters[2]) as first:
                row = builder.add(builder.mul(number, i64(group.filters)), first)
                dy_tile = offset(builder, dy, first, self.group.filter_bytes)
                for taps in tiles(group.taps, most_taps):
                    with loop(builder, i64(taps[0]), i64(taps[1]), taps[2]) as tap:
                        out = self.frame.place(self.operation.out, row, tap)
                        self._weight_tile(filters[2], taps[2], [x, dy_tile, out, tap, block])

    def _weight_tile(self, rows: int, taps: int, arguments: list[ir.Value]) -> None:
        name = f"weight_{rows}x{taps}"
        self._call(name, arguments, lambda f: self._tiles.weight(f, rows, taps))

    def _call(
        self, name: str, arguments: list[ir.Value], emit: Callable[[ir.Function], None]
    ) -> None:
        """Calls a function that all convolutions alike share, made where it is first called."""
        types = [a.type for a in arguments]
        name = f"{name}_of_{len(types)}:{self._tiles.name}"
        kernel = shared(self.frame.builder.module, name, types, emit)
        self.frame.builder.call(kernel, arguments)

    @property
    def _tiles(self) -> Tiles:
        out = self.frame.buffers[self.operation.out]
        sizes = (self._image_bytes, self._gradient_bytes, out.stride * FLOAT_BYTES)
        return Tiles(self.group, self.host, *sizes)

    @property
    def _packer(self) -> Packer:
        weight = self.operation.right
        return Packer(self.frame, self.group, weight, self._most_rows, self.packed)

    # -- places ------------------------------------------------------------------------------------

    def _examples(self, name: str) -> AbstractContextManager[ir.Value]:
        return loop(self.frame.builder, i64(0), i64(self.frame.buffers[name].rows))

    def _groups(self) -> AbstractContextManager[ir.Value]:
        return loop(self.frame.builder, i64(0), i64(self.group.groups))

    def _channels(self, sheet: ir.Value, number: ir.Value) -> ir.Value:
        """The first channel of a group."""
        floats = self.group.channels * plane(self.group.windows)
        return offset(self.frame.builder, sheet, number, floats * FLOAT_BYTES)

    def _filters_of(self, name: str, example: ir.Value, number: ir.Value) -> ir.Value:
        """The pixels of a group's first filter."""
        floats = self.group.filters * self.group.windows.pixels
        builder = self.frame.builder
        return self.frame.place(name, example, builder.mul(number, i64(floats)))

    @property
    def _most_rows(self) -> int:
        return min(self.host.tile.rows, MOST_ROWS)

    @property
    def _gradient_bytes(self) -> int:
        """From one example's gradients in runs to the next's."""
        if self.group.lies_in_runs:
            return self.frame.buffers[self.operation.right].stride * FLOAT_BYTES
        return self.group.gradient_floats * FLOAT_BYTES

    @property
    def _image_bytes(self) -> int:
        """From one example's sheet to the next's."""
        if is_image(self.group.windows):
            return self.frame.buffers[self.operation.left].stride * FLOAT_BYTES
        return self.group.sheets.each * FLOAT_BYTES

    def _sheet_of(self, name: str, example: ir.Value, room: ir.Value) -> ir.Value:
        """The sheet of an image: itself, or laid out in `room`."""
        image = self.frame.place(name, example, i64(0))
        if is_image(self.group.windows):
            return image
        self.group.sheets.paste(self.frame.builder, image, room)
        return room

    def _image_block(self, first: ir.Value, block: ir.Value) -> ir.Value:
        """The sheets of a block of examples."""
        builder, name = self.frame.builder, self.operation.left
        if is_image(self.group.windows):
            return self.frame.place(name, first, i64(0))
        with loop(builder, i64(0), block) as k:
            room = offset(builder, self.sheet, k, self._image_bytes)
            self._sheet_of(name, builder.add(first, k), room)
        return self.sheet

    def _in_runs(self, name: str, example: ir.Value, number: ir.Value, room: ir.Value) -> ir.Value:
        """A group's gradients in runs: where they lie, or laid out in `room`."""
        builder, runs = self.frame.builder, Runs(self.group.windows)
        dy = self._filters_of(name, example, number)
        if self.group.lies_in_runs:
            return dy
        with (
            loop(builder, i64(0), i64(self.group.filters)) as row,
            loop(builder, i64(0), i64(runs.count)) as run,
        ):
            place = runs.place(builder, run)
            source = offset(builder, dy, row, self.group.windows.pixels * FLOAT_BYTES)
            source = offset(builder, source, place.in_result, FLOAT_BYTES)
            to = offset(builder, room, row, self.group.filter_bytes)
            to = offset(builder, to, run, HALF * FLOAT_BYTES)
            store(builder, runs.load(builder, source, place.column), to, align=FLOAT_BYTES)
        return room

    def _gradient_block(self, first: ir.Value, block: ir.Value, number: ir.Value) -> ir.Value:
        """A group's gradients of a block of examples, in runs."""
        builder, name = self.frame.builder, self.operation.right
        if self.group.lies_in_runs:
            return self._filters_of(name, first, number)
        with loop(builder, i64(0), block) as k:
            room = offset(builder, self.gradients, k, self._gradient_bytes)
            self._in_runs(name, builder.add(first, k), number, room)
        return self.gradients
