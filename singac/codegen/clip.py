"""The norm of the whole gradient: each slice gives the sum of its squares, all set one factor.

    server 0   slice 0 | slice 1 |         squares  ->  | 0.3 | 1.2 | 0.5 |
    server 1                     | slice 2 |                    |
                                                  factor min(1, limit / sqrt(2.0))

Squares are added in double, those of slices in the order of slices: who serves what changes no bit
but where a slice is cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.host import Host
from singac.codegen.ir import (
    FLOAT_BYTES,
    I64,
    LANES,
    call_intrinsic,
    entry,
    f32,
    fold,
    i32,
    i64,
    loop,
    new_module,
    offset,
)
from singac.codegen.update import summed

SQUARES, SQUARES_ARGUMENTS = "squares", 5
FACTOR, FACTOR_ARGUMENTS = "factor", 6
DOUBLE = ir.DoubleType()
DOUBLE_BYTES = 8
WIDE = ir.VectorType(DOUBLE, LANES)


def build(host: Host) -> str:
    """IR of both functions; arguments are addresses or integers, strides in bytes.

    squares(gradient, stride, workers, floats, out)   out: a double
    factor(squares, slices, limit, out, stride, copies)   squares, limit: doubles; out: floats
    """
    module = new_module(host)
    _squares(module)
    _factor(module)
    return str(module)


def _squares(module: ir.Module) -> None:
    with entry(module, SQUARES, SQUARES_ARGUMENTS) as function:
        builder = function.builder
        gradient, stride, workers, floats, out = function.arguments
        stride, workers, floats = (builder.ptrtoint(a, I64) for a in (stride, workers, floats))

        def body(i: ir.Value, total: Sequence[ir.Value]) -> Sequence[ir.Value]:
            place = offset(builder, gradient, builder.mul(i, i64(FLOAT_BYTES)))
            wide = builder.fpext(summed(builder, place, stride, workers), WIDE)
            return [builder.fadd(total[0], builder.fmul(wide, wide))]

        zeros = ir.Constant(WIDE, [0.0] * LANES)
        (total,) = fold(builder, i64(0), floats, LANES, [zeros], body)
        lanes = [builder.extract_element(total, i32(k)) for k in range(LANES)]
        while len(lanes) > 1:
            pairs = zip(lanes[::2], lanes[1::2], strict=True)
            lanes = [builder.fadd(a, b) for a, b in pairs]
        builder.store(lanes[0], out)


def _factor(module: ir.Module) -> None:
    with entry(module, FACTOR, FACTOR_ARGUMENTS) as function:
        builder = function.builder
        squares, slices, limit, out, stride, copies = function.arguments
        slices, stride, copies = (builder.ptrtoint(a, I64) for a in (slices, stride, copies))

        def body(k: ir.Value, total: Sequence[ir.Value]) -> Sequence[ir.Value]:
            place = offset(builder, squares, builder.mul(k, i64(DOUBLE_BYTES)))
            return [builder.fadd(total[0], builder.load(place, typ=DOUBLE))]

        (total,) = fold(builder, i64(0), slices, 1, [ir.Constant(DOUBLE, 0.0)], body)
        norm = call_intrinsic(builder, "llvm.sqrt.f64", DOUBLE, [total])
        most = builder.load(limit, typ=DOUBLE)
        shrunk = builder.fptrunc(builder.fdiv(most, norm), ir.FloatType())
        factor = builder.select(builder.fcmp_ordered(">", norm, most), shrunk, f32(1.0))
        with loop(builder, i64(0), copies, 1) as k:
            builder.store(factor, offset(builder, out, builder.mul(k, stride)))
