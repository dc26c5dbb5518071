"""Functions on vectors of 16 floats, as polynomials: no library is called.

Extremes are right: exp overflows to infinity and underflows to 0, log(0) is -infinity, NaN stays.
Denormal arguments and results count as zero, as everywhere in generated code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import (
    INTS,
    LONGS,
    VECTOR,
    ZERO,
    call_intrinsic,
    fma,
    ints,
    lanes,
    longs,
    splat,
    vector,
)

ONE, HALF = vector(1.0), vector(0.5)
INFINITY, NAN = vector(math.inf), vector(math.nan)
SIGN_BIT = ints(-(2**31))


def absolute(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    bits = builder.and_(builder.bitcast(x, INTS), ints(2**31 - 1))
    return builder.bitcast(bits, VECTOR)


def sqrt(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return call_intrinsic(builder, "llvm.sqrt.v16f32", VECTOR, [x])


# -- exp and its kin -------------------------------------------------------------------------------

# exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2. ln 2 in two parts, the first
# with few bits, so that n times it is exact (Cody and Waite, 1980). The polynomial is Cephes' expf.
EXP_HIGHEST, EXP_LOWEST = 89.0, -104.0
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
# fmt: off
EXP_POLYNOMIAL = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
                  4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
# fmt: on
# Adding 1.5 * 2^23 leaves the nearest whole number in the low bits of a float.
ROUNDER, ROUNDER_BITS = 12582912.0, 0x4B400000


def exp(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Relative error below 2e-7."""
    x = _clamp(builder, x, EXP_LOWEST, EXP_HIGHEST)
    shifted = fma(builder, x, vector(1 / math.log(2)), vector(ROUNDER))
    whole = builder.fsub(shifted, vector(ROUNDER))
    power = builder.sub(builder.bitcast(shifted, INTS), ints(ROUNDER_BITS))
    rest = fma(builder, whole, vector(-LN2_HIGH), x)
    rest = fma(builder, whole, vector(-LN2_LOW), rest)
    curve = polynomial(builder, rest, EXP_POLYNOMIAL)
    value = fma(builder, builder.fmul(rest, rest), curve, builder.fadd(rest, ONE))
    # 2^n in two factors, for n = 128 and n = -150 have no float of their own
    half = builder.ashr(power, ints(1))
    value = builder.fmul(value, _two_to(builder, half))
    return builder.fmul(value, _two_to(builder, builder.sub(power, half)))


def _two_to(builder: ir.IRBuilder, power: ir.Value) -> ir.Value:
    return builder.bitcast(builder.shl(builder.add(power, ints(127)), ints(23)), VECTOR)


def sigmoid(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """1 / (1 + exp(-x))"""
    return builder.fdiv(ONE, builder.fadd(ONE, exp(builder, builder.fneg(x))))


# tanh as a rational function of degrees 13 and 6 on |x| < 7.9, where it reaches 1; beyond the
# clamp nothing changes. Below 0.0004 it is x.
TANH_LIMIT = 7.90531110763549805
TANH_SMALL = 0.0004
# fmt: off
TANH_ABOVE = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
              5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
              4.89352455891786e-03)
TANH_BELOW = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
              4.89352518554385e-03)
# fmt: on


def tanh(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Absolute error below 3e-7, never beyond 1."""
    inner = _clamp(builder, x, -TANH_LIMIT, TANH_LIMIT)
    square = builder.fmul(inner, inner)
    above = builder.fmul(inner, polynomial(builder, square, TANH_ABOVE))
    value = builder.fdiv(above, polynomial(builder, square, TANH_BELOW))
    value = _clamp(builder, value, -1.0, 1.0)
    small = builder.fcmp_ordered("<", absolute(builder, x), vector(TANH_SMALL))
    return builder.select(small, x, value)


# -- log and powers --------------------------------------------------------------------------------

# log(m 2^e) = log(m) + e ln 2 with m between sqrt(1/2) and sqrt(2). The polynomial is Cephes' logf.
ROOT_HALF_BITS = 0x3F3504F3
SMALLEST_NORMAL = 1.17549435e-38
# fmt: off
LOG_POLYNOMIAL = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1,
                  1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1,
                  3.3333331174e-1)
# fmt: on


def log(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Relative error below 2e-7."""
    bits = builder.bitcast(x, INTS)
    exponent = builder.ashr(builder.sub(bits, ints(ROOT_HALF_BITS)), ints(23))
    mantissa = builder.bitcast(builder.sub(bits, builder.shl(exponent, ints(23))), VECTOR)
    e = builder.sitofp(exponent, VECTOR)
    r = builder.fsub(mantissa, ONE)
    square = builder.fmul(r, r)
    curve = builder.fmul(builder.fmul(r, square), polynomial(builder, r, LOG_POLYNOMIAL))
    curve = fma(builder, e, vector(LN2_LOW), curve)
    curve = fma(builder, square, vector(-0.5), curve)
    value = fma(builder, e, vector(LN2_HIGH), builder.fadd(r, curve))
    return _log_extremes(builder, x, value)


def _log_extremes(builder: ir.IRBuilder, x: ir.Value, value: ir.Value) -> ir.Value:
    tiny = builder.fcmp_ordered("<", x, vector(SMALLEST_NORMAL))
    value = builder.select(tiny, vector(-math.inf), value)
    value = builder.select(builder.fcmp_ordered("<", x, ZERO), NAN, value)
    normal = builder.fcmp_ordered("<", x, INFINITY)
    return builder.select(normal, value, x)


def power(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """x^y; of a negative x only whole powers, else NaN. Relative error about |y log x| 1e-7."""
    size = exp(builder, builder.fmul(y, log(builder, absolute(builder, x))))
    size = builder.select(builder.fcmp_ordered("==", y, ZERO), ONE, size)
    whole = call_intrinsic(builder, "llvm.floor.v16f32", VECTOR, [y])
    half = call_intrinsic(builder, "llvm.floor.v16f32", VECTOR, [builder.fmul(y, HALF)])
    odd = builder.fcmp_ordered("!=", builder.fmul(half, vector(2.0)), y)
    signed = builder.select(odd, builder.fneg(size), size)
    of_negative = builder.select(builder.fcmp_ordered("==", whole, y), signed, NAN)
    return builder.select(builder.fcmp_ordered("<", x, ZERO), of_negative, size)


# -- erf -------------------------------------------------------------------------------------------

# Near zero the Taylor series; elsewhere Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
ERF_SMALL = 0.5
ERF_SERIES = tuple(
    (-1) ** n / (math.factorial(n) * (2 * n + 1)) * 2 / math.sqrt(math.pi) for n in range(7, -1, -1)
)
ERF_TAIL = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0.0)


def erf(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """Absolute error below 3e-7."""
    size = absolute(builder, x)
    square = builder.fmul(x, x)
    near = builder.fmul(x, polynomial(builder, square, ERF_SERIES))
    t = builder.fdiv(ONE, fma(builder, size, vector(0.3275911), ONE))
    tail = builder.fmul(polynomial(builder, t, ERF_TAIL), exp(builder, builder.fneg(square)))
    far = _with_sign_of(builder, builder.fsub(ONE, tail), x)
    return builder.select(builder.fcmp_ordered("<", size, vector(ERF_SMALL)), near, far)


def _with_sign_of(builder: ir.IRBuilder, value: ir.Value, x: ir.Value) -> ir.Value:
    sign = builder.and_(builder.bitcast(x, INTS), SIGN_BIT)
    return builder.bitcast(builder.or_(builder.bitcast(value, INTS), sign), VECTOR)


# -- shared ----------------------------------------------------------------------------------------


def polynomial(builder: ir.IRBuilder, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    """Horner's rule, the highest power first."""
    value: ir.Value = vector(coefficients[0])
    for coefficient in coefficients[1:]:
        value = fma(builder, value, x, vector(coefficient))
    return value


def _clamp(builder: ir.IRBuilder, x: ir.Value, low: float, high: float) -> ir.Value:
    """x held between two numbers; NaN stays NaN."""
    x = builder.select(builder.fcmp_ordered("<", x, vector(low)), vector(low), x)
    return builder.select(builder.fcmp_ordered(">", x, vector(high)), vector(high), x)


# -- random numbers --------------------------------------------------------------------------------

# Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; SC 2011).
PHILOX_ROUNDS = 10
PHILOX_M = (0xD2511F53, 0xCD9E8D57)
PHILOX_W = (0x9E3779B9, 0xBB67AE85)


def uniform(
    builder: ir.IRBuilder, seed: ir.Value, stream: int, step: ir.Value, element: ir.Value
) -> ir.Value:
    """Uniform numbers in [0, 1) for 16 elements from `element` on, 24 bits each.

    Element e of a step takes word e mod 4 of the block with counter (e div 4, step), under the key
    (seed folded to 32 bits, stream). All of `seed`, `step`, `element` are 64-bit.
    """
    elements = lanes(builder, element)
    block = builder.lshr(elements, longs(2))
    steps = splat(builder, step)
    counter = [*_halves(builder, block), *_halves(builder, steps)]
    low, high = _halves(builder, splat(builder, seed))
    words = philox(builder, counter, [builder.xor(low, high), ints(_signed(stream))])
    which = builder.trunc(builder.and_(elements, longs(3)), INTS)
    word = words[0]
    for k in (1, 2, 3):
        word = builder.select(builder.icmp_signed("==", which, ints(k)), words[k], word)
    bits = builder.lshr(word, ints(8))
    return builder.fmul(builder.sitofp(bits, VECTOR), vector(2.0**-24))


def philox(
    builder: ir.IRBuilder, counter: Sequence[ir.Value], key: Sequence[ir.Value]
) -> list[ir.Value]:
    """The four words of one block in each lane."""
    c, k = list(counter), list(key)
    for _ in range(PHILOX_ROUNDS):
        low0, high0 = _wide_product(builder, c[0], PHILOX_M[0])
        low1, high1 = _wide_product(builder, c[2], PHILOX_M[1])
        first = builder.xor(builder.xor(high1, c[1]), k[0])
        third = builder.xor(builder.xor(high0, c[3]), k[1])
        c = [first, low1, third, low0]
        k = [builder.add(k[i], ints(_signed(PHILOX_W[i]))) for i in range(2)]
    return c


def _wide_product(builder: ir.IRBuilder, a: ir.Value, b: int) -> tuple[ir.Value, ir.Value]:
    """Low and high half of a 32 x 32 bit product."""
    wide = builder.mul(builder.zext(a, LONGS), longs(b))
    return _halves(builder, wide)


def _halves(builder: ir.IRBuilder, wide: ir.Value) -> tuple[ir.Value, ir.Value]:
    return builder.trunc(wide, INTS), builder.trunc(builder.lshr(wide, longs(32)), INTS)


def _signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word
