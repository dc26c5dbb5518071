"""Pooling over windows that lie side by side in an image without pads: no value is seen twice.

A row of windows is cut in chunks of 16, 8, 4, 2 and 1 windows. A line of a chunk's windows is one
load, and its gradient one store:

    window 0 | window 1 | ...        line 0   a b | c d | ..     columns a c .. and b d ..
                                     line 1   e f | g h | ..
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.elementwise import Frame
from singac.codegen.image import clear_pad, fill
from singac.codegen.ir import FLOAT, FLOAT_BYTES, I32, LANES, i64, loop, offset
from singac.layers.operations import Pool, PoolGradient, Pooling
from singac.layers.windows import Windows
from singac.plan.plan import padded


def suits(windows: Windows) -> bool:
    inside = all(
        places * kernel <= size
        for places, kernel, size in zip(windows.places, windows.kernel, windows.size, strict=True)
    )
    return inside and windows.pad == (0, 0) and windows.stride == windows.kernel


def emit_pool(frame: Frame, operation: Pool) -> None:
    builder, windows = frame.builder, operation.windows

    def pooled(chunk: _Chunk) -> None:
        taps = [tap for line in chunk.lines() for tap in line]
        if operation.pooling is Pooling.MAX:
            value = _largest(builder, taps)[0]
        else:
            value = builder.fmul(_total(builder, taps), chunk.all(1 / windows.taps))
        builder.store(value, chunk.result, align=FLOAT_BYTES)

    _over_chunks(frame, windows, operation.source, operation.out, pooled)


def emit_pool_gradient(frame: Frame, operation: PoolGradient) -> None:
    builder, windows = frame.builder, operation.windows
    _clear(frame, operation.out, windows)

    def spread(chunk: _Chunk) -> None:
        gradient = builder.load(chunk.result, align=FLOAT_BYTES, typ=chunk.kind)
        if operation.pooling is Pooling.AVERAGE:
            part = builder.fmul(gradient, chunk.all(1 / windows.taps))
            chunk.store([[part] * windows.kernel[1]] * windows.kernel[0])
            return
        lines = chunk.lines()
        taken = _largest(builder, [tap for line in lines for tap in line])[1]
        parts = [builder.select(mine, gradient, chunk.all(0.0)) for mine in taken]
        width = windows.kernel[1]
        chunk.store([parts[k : k + width] for k in range(0, len(parts), width)])

    source = operation.source if operation.source is not None else operation.out
    _over_chunks(frame, windows, source, operation.gradient, spread, operation.out)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """`count` neighbouring windows of a channel: where their parts of the images and of the
    results begin.
    """

    builder: ir.IRBuilder
    windows: Windows
    count: int
    image: ir.Value
    made: ir.Value
    result: ir.Value

    @property
    def kind(self) -> ir.VectorType:
        return ir.VectorType(FLOAT, self.count)

    def all(self, value: float) -> ir.Constant:
        return ir.Constant(self.kind, [value] * self.count)

    def lines(self) -> list[list[ir.Value]]:
        """Line after line, the columns of the windows."""
        height, width = self.windows.kernel
        kind = ir.VectorType(FLOAT, self.count * width)
        lines = []
        for i in range(height):
            line = self.builder.load(self._line(self.image, i), align=FLOAT_BYTES, typ=kind)
            picks = [range(j, self.count * width, width) for j in range(width)]
            lines.append([_shuffle(self.builder, line, line, [*pick]) for pick in picks])
        return lines

    def store(self, lines: Sequence[Sequence[ir.Value]]) -> None:
        """Stores the columns of every line of the windows."""
        for i, columns in enumerate(lines):
            joined = _concatenated(self.builder, columns)
            order = [j * self.count + k for k in range(self.count) for j in range(len(columns))]
            line = _shuffle(self.builder, joined, joined, order)
            self.builder.store(line, self._line(self.made, i), align=FLOAT_BYTES)

    def _line(self, image: ir.Value, number: int) -> ir.Value:
        return offset(self.builder, image, number * self.windows.size[1] * FLOAT_BYTES)


def _over_chunks(
    frame: Frame,
    windows: Windows,
    source: str,
    result: str,
    do: Callable[[_Chunk], None],
    made: str | None = None,
) -> None:
    """`do` for every chunk of every channel of every example."""
    builder, (places_down, places_across) = frame.builder, windows.places
    down = windows.kernel[0] * windows.size[1]
    with (
        loop(builder, i64(0), i64(frame.buffers[result].rows)) as example,
        loop(builder, i64(0), i64(windows.channels)) as channel,
        loop(builder, i64(0), i64(places_down)) as y,
    ):
        pixel = builder.add(builder.mul(channel, i64(windows.pixels_in)), builder.mul(y, i64(down)))
        row = builder.add(builder.mul(channel, i64(places_down)), y)
        images = [frame.place(name, example, pixel) for name in (source, made or source)]
        results = frame.place(result, example, builder.mul(row, i64(places_across)))

        def chunk(x: ir.Value, count: int) -> None:
            image, new = (
                offset(builder, place, x, windows.kernel[1] * FLOAT_BYTES) for place in images
            )
            do(
                _Chunk(
                    builder, windows, count, image, new, offset(builder, results, x, FLOAT_BYTES)
                )
            )

        whole = places_across - places_across % LANES
        if whole:
            with loop(builder, i64(0), i64(whole), LANES) as x:
                chunk(x, LANES)
        for start, count in _rest(whole, places_across):
            chunk(i64(start), count)


def _rest(start: int, stop: int) -> list[tuple[int, int]]:
    """What is left of a row in chunks of 8, 4, 2 and 1."""
    chunks = []
    for count in (8, 4, 2, 1):
        if stop - start >= count:
            chunks.append((start, count))
            start += count
    return chunks


def _clear(frame: Frame, name: str, windows: Windows) -> None:
    """Zeros in what no window covers, and in the pad of every row."""
    builder, buffer = frame.builder, frame.buffers[name]
    covers = all(
        places * kernel == size
        for places, kernel, size in zip(windows.places, windows.kernel, windows.size, strict=True)
    )
    with loop(builder, i64(0), i64(buffer.rows)) as example:
        row = frame.place(name, example, i64(0))
        if covers:
            clear_pad(builder, windows, row)
        else:
            fill(builder, row, padded(buffer.columns))


def _largest(builder: ir.IRBuilder, taps: Sequence[ir.Value]) -> tuple[ir.Value, list[ir.Value]]:
    """The largest tap of each window, and for each tap where it is the first of that value."""
    largest = taps[0]
    beats: list[ir.Value] = []
    for tap in taps[1:]:
        larger = builder.fcmp_ordered(">", tap, largest)
        largest = builder.select(larger, tap, largest)
        beats.append(larger)
    # From the last tap back: it is taken if it beat those before it and none behind it did.
    taken: list[ir.Value] = []
    flags = ir.VectorType(ir.IntType(1), taps[0].type.count)
    free: ir.Value = ir.Constant(flags, [True] * flags.count)
    for beat in reversed(beats):
        taken.append(builder.and_(beat, free))
        free = builder.and_(free, builder.not_(beat))
    return largest, [free, *reversed(taken)]


def _total(builder: ir.IRBuilder, taps: Sequence[ir.Value]) -> ir.Value:
    total = taps[0]
    for tap in taps[1:]:
        total = builder.fadd(total, tap)
    return total


def _concatenated(builder: ir.IRBuilder, vectors: Sequence[ir.Value]) -> ir.Value:
    """Vectors of one size as one, with undefined ones behind where it takes a power of two."""
    parts = list(vectors)
    while len(parts) > 1:
        if len(parts) % 2:
            parts.append(ir.Constant(parts[0].type, ir.Undefined))
        both = [*range(2 * parts[0].type.count)]
        parts = [
            _shuffle(builder, a, b, both) for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def _shuffle(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, lanes: Sequence[int]) -> ir.Value:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))
