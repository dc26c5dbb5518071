"""Local response normalisation: each pixel by its neighbours in other channels.

Sixteen pixels of a channel at a time; the channels of a pixel lie as far apart as an image has
pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from singac.codegen import vectormath
from singac.codegen.elementwise import Frame
from singac.codegen.image import load_some, over_run, store_some
from singac.codegen.ir import (
    FLOAT_BYTES,
    VECTOR_BYTES,
    ZERO,
    fma,
    fold,
    i64,
    load,
    loop,
    offset,
    store,
    vector,
)
from singac.layers.operations import Lrn, LrnGradient, Response

# `value(channel)`: what is summed over the channels around.
Value = Callable[[ir.Value], ir.Value]


def scratch_bytes(operation: LrnGradient) -> int:
    """Two vectors a channel: n^-beta, and what the gradient sums over channels."""
    return 2 * operation.response.channels * VECTOR_BYTES


def emit_lrn(frame: Frame, operation: Lrn) -> None:
    builder, response = frame.builder, operation.response

    def do(example: ir.Value, pixel: ir.Value, present: int) -> None:
        image = _Image(frame, operation.source, response, example, pixel, present)
        result = _Image(frame, operation.out, response, example, pixel, present)
        with loop(builder, i64(0), i64(response.channels)) as channel:
            n = _response(builder, image, channel)
            power = _lowered(builder, n, response.beta)
            result.set(channel, builder.fmul(image.get(channel), power))

    _over_pixels(frame, operation.source, response, do)


def emit_lrn_gradient(frame: Frame, operation: LrnGradient, scratch: ir.Value) -> None:
    """First n^-beta and g x n^(-beta - 1) of every channel, then the gradient from their sums."""
    builder, response = frame.builder, operation.response
    terms = offset(builder, scratch, response.channels * VECTOR_BYTES)
    factor = vector(-2 * response.beta * response.slope)

    def do(example: ir.Value, pixel: ir.Value, present: int) -> None:
        at = (response, example, pixel, present)
        image = _Image(frame, operation.source, *at)
        gradient = _Image(frame, operation.gradient, *at)
        result = _Image(frame, operation.out, *at)
        with loop(builder, i64(0), i64(response.channels)) as channel:
            n = _response(builder, image, channel)
            power = _lowered(builder, n, response.beta)
            store(builder, power, offset(builder, scratch, channel, VECTOR_BYTES))
            both = builder.fmul(image.get(channel), gradient.get(channel))
            term = builder.fdiv(builder.fmul(both, power), n)
            store(builder, term, offset(builder, terms, channel, VECTOR_BYTES))
        with loop(builder, i64(0), i64(response.channels)) as channel:
            total = _around(
                builder,
                response,
                channel,
                lambda c: load(builder, offset(builder, terms, c, VECTOR_BYTES)),
            )
            power = load(builder, offset(builder, scratch, channel, VECTOR_BYTES))
            own = builder.fmul(gradient.get(channel), power)
            others = builder.fmul(builder.fmul(factor, image.get(channel)), total)
            result.set(channel, builder.fadd(own, others))

    _over_pixels(frame, operation.source, response, do)
    _clear_pads(frame, operation.out)


class _Image:
    """Sixteen pixels of an example's image, of which `present` exist, by channel."""

    def __init__(
        self,
        frame: Frame,
        name: str,
        response: Response,
        example: ir.Value,
        pixel: ir.Value,
        present: int,
    ) -> None:
        self._builder, self.response, self._present = frame.builder, response, present
        self._start = frame.place(name, example, pixel)
        self._pixels = frame.buffers[name].columns // response.channels

    def get(self, channel: ir.Value) -> ir.Value:
        return load_some(self._builder, self._place(channel), self._present)

    def set(self, channel: ir.Value, value: ir.Value) -> None:
        store_some(self._builder, value, self._place(channel), self._present)

    def _place(self, channel: ir.Value) -> ir.Value:
        return offset(self._builder, self._start, channel, self._pixels * FLOAT_BYTES)


def _over_pixels(
    frame: Frame,
    name: str,
    response: Response,
    do: Callable[[ir.Value, ir.Value, int], None],
) -> None:
    builder, buffer = frame.builder, frame.buffers[name]
    with loop(builder, i64(0), i64(buffer.rows)) as example:
        pixels = buffer.columns // response.channels
        over_run(builder, pixels, lambda pixel, present: do(example, pixel, present))


def _response(builder: ir.IRBuilder, image: _Image, channel: ir.Value) -> ir.Value:
    """knorm + slope * the sum of x^2 over the channels around."""

    def square(other: ir.Value) -> ir.Value:
        x = image.get(other)
        return builder.fmul(x, x)

    total = _around(builder, image.response, channel, square)
    return fma(builder, total, vector(image.response.slope), vector(image.response.knorm))


def _lowered(builder: ir.IRBuilder, n: ir.Value, beta: float) -> ir.Value:
    """n^-beta, of a positive n."""
    quarters = round(4 * beta)
    if quarters == 4 * beta and 0 < quarters < 8:
        return vectormath.quarter_power(builder, n, quarters)
    return vectormath.power(builder, n, vector(-beta))


def _around(builder: ir.IRBuilder, response: Response, channel: ir.Value, value: Value) -> ir.Value:
    """The sum of a value over the channels around one, those that exist."""
    half = response.size // 2
    below, above = builder.sub(channel, i64(half)), builder.add(channel, i64(half + 1))
    first = builder.select(builder.icmp_signed("<", below, i64(0)), i64(0), below)
    most = i64(response.channels)
    stop = builder.select(builder.icmp_signed("<", above, most), above, most)

    def add(other: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        return [builder.fadd(sums[0], value(other))]

    (total,) = fold(builder, first, stop, 1, [ZERO], add)
    return total


def _clear_pads(frame: Frame, name: str) -> None:
    """Zeros behind the last pixel of every example's gradient."""
    builder, buffer = frame.builder, frame.buffers[name]
    missing = buffer.stride - buffer.columns
    if missing:
        with loop(builder, i64(0), i64(buffer.rows)) as example:
            place = frame.place(name, example, i64(buffer.columns))
            store_some(builder, ZERO, place, missing)
