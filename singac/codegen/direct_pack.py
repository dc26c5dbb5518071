"""Weights of a direct convolution, packed so that a step of a tile reads neighbours.

forward          of each tile of filters, [taps][filters]
input_gradient   of each tile of channels, [taps of a channel][filters][channels]
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.direct_group import Group, tiles
from singac.codegen.elementwise import Frame
from singac.codegen.ir import FLOAT, FLOAT_BYTES, i64, loop, offset


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs `weight`, tile after tile of at most `most` rows, group after group."""

    frame: Frame
    group: Group
    weight: str
    most: int
    packed: ir.Value

    def forward(self) -> None:
        """Of each tile of filters [taps][filters], tile after tile, group after group."""
        builder, group = self.frame.builder, self.group
        with loop(builder, i64(0), i64(group.groups)) as number:
            base = builder.mul(number, i64(group.filters))
            for start, stop, rows in tiles(group.filters, self.most):
                with loop(builder, i64(start), i64(stop), rows) as first:
                    filters = builder.add(base, first)
                    to = offset(builder, self.packed, filters, group.taps * FLOAT_BYTES)
                    source = self.frame.place(self.weight, filters, i64(0))
                    with loop(builder, i64(0), i64(group.taps)) as tap:
                        here = offset(builder, source, tap, FLOAT_BYTES)
                        there = offset(builder, to, tap, rows * FLOAT_BYTES)
                        self._gather(here, self._weight_bytes, there, rows)

    def backward(self) -> None:
        """Of each tile of channels [taps][filters][channels]."""
        builder, group = self.frame.builder, self.group
        taps = group.windows.taps
        with loop(builder, i64(0), i64(group.groups)) as number:
            rows_before = builder.mul(number, i64(group.filters))
            channels_before = builder.mul(number, i64(group.channels))
            for start, stop, rows in tiles(group.channels, self.most):
                with loop(builder, i64(start), i64(stop), rows) as first:
                    channels = builder.add(channels_before, first)
                    to = offset(builder, self.packed, channels, taps * group.filters * FLOAT_BYTES)
                    with (
                        loop(builder, i64(0), i64(taps)) as tap,
                        loop(builder, i64(0), i64(group.filters)) as f,
                    ):
                        filters = builder.add(rows_before, f)
                        column = builder.add(builder.mul(first, i64(taps)), tap)
                        here = self.frame.place(self.weight, filters, column)
                        step = builder.add(builder.mul(tap, i64(group.filters)), f)
                        there = offset(builder, to, step, rows * FLOAT_BYTES)
                        self._gather(here, taps * FLOAT_BYTES, there, rows)

    @property
    def _weight_bytes(self) -> int:
        """From one filter of the weight to the next."""
        return self.frame.buffers[self.weight].stride * FLOAT_BYTES

    def _gather(self, source: ir.Value, apart: int, to: ir.Value, count: int) -> None:
        """`count` floats that lie `apart` bytes apart, to neighbours."""
        builder = self.frame.builder
        for k in range(count):
            place = offset(builder, source, k * apart)
            value = builder.load(place, align=FLOAT_BYTES, typ=FLOAT)
            builder.store(value, offset(builder, to, k * FLOAT_BYTES), align=FLOAT_BYTES)
