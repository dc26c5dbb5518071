"""Operations that bring each row to one scale: softmax, normalise, and their gradients.

Sums over a row are taken in lane order, so a result depends on nothing but its row. What is written
has zeros in its pads; pads that are read may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from singac.codegen import vectormath
from singac.codegen.elementwise import Frame, without_pads
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    LANES,
    ZERO,
    call_intrinsic,
    f32,
    i64,
    load,
    loop,
    splat,
    store,
)
from singac.codegen.rows import over_columns, row_max, total_of
from singac.layers.operations import Normalise, NormaliseGradient, Softmax, SoftmaxGradient

Vector = Callable[[ir.Value], ir.Value]  # the 16 values from a column on


def emit_softmax(frame: Frame, operation: Softmax) -> None:
    """Per row: e = exp(x - max x), left in the result; then e / sum e."""
    builder, out = frame.builder, operation.out
    with loop(builder, i64(0), i64(frame.buffers[out].rows)) as row:
        peak = splat(builder, row_max(frame, operation.source, row))

        def term(column: ir.Value, row: ir.Value = row, peak: ir.Value = peak) -> ir.Value:
            value = load(builder, frame.place(operation.source, row, column))
            value = vectormath.exp(builder, builder.fsub(value, peak))
            value = without_pads(builder, value, column, frame.buffers[out].columns)
            store(builder, value, frame.place(out, row, column))
            return value

        total = _row_sum(frame, out, term)
        share = splat(builder, builder.fdiv(f32(1.0), total))
        _write(frame, out, row, lambda c: builder.fmul(_read(frame, out, row, c), share))


def emit_softmax_gradient(frame: Frame, operation: SoftmaxGradient) -> None:
    """Per row: dx = y (dy - sum y dy)."""
    builder, out = frame.builder, operation.out
    with loop(builder, i64(0), i64(frame.buffers[out].rows)) as row:

        def dy(column: ir.Value, row: ir.Value = row) -> ir.Value:
            return _read(frame, operation.gradient, row, column)

        def y(column: ir.Value, row: ir.Value = row) -> ir.Value:
            return _read(frame, operation.result, row, column)

        total = splat(builder, _row_sum(frame, out, lambda c: builder.fmul(y(c), dy(c))))
        _write(frame, out, row, lambda c: builder.fmul(y(c), builder.fsub(dy(c), total)))


def emit_normalise(frame: Frame, operation: Normalise) -> None:
    """Per row: the mean; the variance, of differences from it; then the result."""
    builder, out, source = frame.builder, operation.out, operation.source
    size = f32(float(frame.buffers[out].columns))
    with loop(builder, i64(0), i64(frame.buffers[out].rows)) as row:

        def x(column: ir.Value, row: ir.Value = row) -> ir.Value:
            return _read(frame, source, row, column)

        mean = splat(builder, builder.fdiv(_row_sum(frame, out, x), size))

        def square(column: ir.Value, mean: ir.Value = mean) -> ir.Value:
            difference = builder.fsub(x(column), mean)
            return builder.fmul(difference, difference)

        variance = builder.fdiv(_row_sum(frame, out, square), size)
        inverse = _inverse_root(builder, builder.fadd(variance, f32(operation.epsilon)))
        place = frame.place(operation.inverse, row, i64(0))
        builder.store(inverse, place, align=FLOAT_BYTES)
        factor = splat(builder, inverse)
        _write(frame, out, row, lambda c: builder.fmul(builder.fsub(x(c), mean), factor))


def emit_normalise_gradient(frame: Frame, operation: NormaliseGradient) -> None:
    """Per row: dx = inverse (dy - mean dy - y mean(y dy))."""
    builder, out = frame.builder, operation.out
    size = f32(float(frame.buffers[out].columns))
    with loop(builder, i64(0), i64(frame.buffers[out].rows)) as row:

        def dy(column: ir.Value, row: ir.Value = row) -> ir.Value:
            return _read(frame, operation.gradient, row, column)

        def y(column: ir.Value, row: ir.Value = row) -> ir.Value:
            return _read(frame, operation.result, row, column)

        def mean(value: Vector) -> ir.Value:
            return splat(builder, builder.fdiv(_row_sum(frame, out, value), size))

        plain, along = mean(dy), mean(lambda c: builder.fmul(y(c), dy(c)))
        place = frame.place(operation.inverse, row, i64(0))
        inverse = splat(builder, builder.load(place, align=FLOAT_BYTES, typ=FLOAT))

        def slope(column: ir.Value, plain: ir.Value = plain, along: ir.Value = along) -> ir.Value:
            rest = builder.fsub(dy(column), plain)
            return builder.fsub(rest, builder.fmul(y(column), along))

        _write(frame, out, row, lambda c: builder.fmul(slope(c), inverse))


# -- helpers ---------------------------------------------------------------------------------------


def _read(frame: Frame, name: str, row: ir.Value, column: ir.Value) -> ir.Value:
    return load(frame.builder, frame.place(name, row, column))


def _row_sum(frame: Frame, like: str, value: Vector) -> ir.Value:
    """The sum of `value` over the columns of one row of `like`."""
    buffer, builder = frame.buffers[like], frame.builder

    def body(column: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        term = without_pads(builder, value(column), column, buffer.columns)
        return [builder.fadd(sums[0], term)]

    (total,) = over_columns(frame, buffer, [ZERO], body)
    return total_of(builder, total)


def _write(frame: Frame, out: str, row: ir.Value, value: Vector) -> None:
    """`value` in every column of one row of `out`, and zeros behind them."""
    buffer, builder = frame.buffers[out], frame.builder
    with loop(builder, i64(0), i64(buffer.stride), LANES) as column:
        result = without_pads(builder, value(column), column, buffer.columns)
        store(builder, result, frame.place(out, row, column))


def _inverse_root(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return builder.fdiv(f32(1.0), call_intrinsic(builder, "llvm.sqrt.f32", FLOAT, [value]))
