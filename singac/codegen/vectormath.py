"""Elementary functions of 16 floats, from polynomials alone: no library call, no table.

Every function takes NaN to NaN (`power` but for x ** 0 and 1 ** y, which are 1). Denormals count
as zero, as everywhere in generated code. Bounds are against exact values, over all normal floats.
"""

import functools
from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.ir import INTS, LANES, VECTOR, call_intrinsic, fma, ints, vector

DOUBLES = ir.VectorType(ir.DoubleType(), LANES)

INFINITY = float("inf")
NAN = float("nan")

# ln 2 in two parts. The first has 9 bits, so that its product with an exponent is exact.
LN2_HIGH = 0.693359375
LN2_LOW = -2.12194440e-4
LOG2_E = 1.44269504088896341
LN2 = 0.693147180559945309

# Adding 1.5 * 2 ** 23 to a small float leaves its nearest integer in the lowest bits.
ROUNDER = 12582912.0
MANTISSA_BITS = 23
EXPONENT_BIAS = 127

# The mantissas of `log` run from sqrt(1/2) to sqrt(2): these are the bits of sqrt(1/2).
SQRT_HALF_BITS = 0x3F3504F3
ONE_BITS = 0x3F800000
SMALLEST_NORMAL = 2.0**-126

# Highest power first. exp and log: Cephes, expf and logf (S. L. Moshier), minimax for
# (exp(r) - 1 - r) / r^2 and (log(1 + f) - f + f^2 / 2) / f^3.
# tanh and erf: odd rational approximations, minimax on the clamped range, as in Eigen.
# fmt: off
EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
       4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
       -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
TANH_OVER  = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11,
              5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04,
              4.89352455891786e-03)
TANH_UNDER = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03,
              4.89352518554385e-03)
ERF_OVER   = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06,
              -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03,
              -1.60960333262415e-02)
ERF_UNDER  = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03,
              -7.37332916720468e-03, -1.42647390514189e-02)
# fmt: on

# Where the rational functions stop, and from where on the result is 1 to within their error.
TANH_CLAMP, TANH_ONE = 7.90531110763549805, 8.1
ERF_CLAMP, ERF_ONE = 3.9, 3.9


def absolute(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return call_intrinsic(builder, "llvm.fabs.v16f32", VECTOR, [x])


def sqrt(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    return call_intrinsic(builder, "llvm.sqrt.v16f32", VECTOR, [x])


def exp(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """e ** x to 1e-7 relative; 0 below -87.4, infinity above 88.8."""
    x = _clamp(builder, x, -105.0, 90.0)
    shifted = fma(builder, x, vector(LOG2_E), vector(ROUNDER))
    n = builder.fsub(shifted, vector(ROUNDER))
    r = fma(builder, n, vector(-LN2_HIGH), x)
    r = fma(builder, n, vector(-LN2_LOW), r)
    return _times_two_to(builder, _exp_reduced(builder, r), _lowest_bits(builder, shifted))


def log(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The natural logarithm to 1e-7 relative; -infinity of 0, NaN of less."""
    exponent, f = _split(builder, x)
    e = builder.sitofp(exponent, VECTOR)
    square = builder.fmul(f, f)
    tail = builder.fmul(builder.fmul(_polynomial(builder, LOG, f), f), square)
    tail = fma(builder, e, vector(LN2_LOW), tail)
    tail = fma(builder, square, vector(-0.5), tail)
    result = fma(builder, e, vector(LN2_HIGH), builder.fadd(f, tail))
    return _log_specials(builder, x, result)


def tanh(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """To 3e-7 relative; never beyond 1, and 1 from 8.1 on."""
    return _odd_rational(builder, x, TANH_OVER, TANH_UNDER, TANH_CLAMP, TANH_ONE)


def erf(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """The error function to 4e-7 relative; never beyond 1, and 1 from 3.9 on."""
    return _odd_rational(builder, x, ERF_OVER, ERF_UNDER, ERF_CLAMP, ERF_ONE)


def sigmoid(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """1 / (1 + exp(-x)) to 3e-7 relative, so that its logarithm is good as well."""
    return builder.fdiv(vector(1.0), builder.fadd(vector(1.0), exp(builder, builder.fneg(x))))


def power(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """x ** y to 2e-7 relative; NaN of a negative x if y is no integer.

    y log x is taken in double precision: exp multiplies its absolute error with the result.
    """
    size = absolute(builder, x)
    y_log_x = builder.fmul(builder.fpext(y, DOUBLES), _log_double(builder, size))
    result = _with_sign(builder, x, y, _exp_double(builder, y_log_x))
    result = _where(builder, "==", y, 0.0, vector(1.0), result)
    return _where(builder, "==", x, 1.0, vector(1.0), result)


def quarter_power(builder: ir.IRBuilder, x: ir.Value, quarters: int) -> ir.Value:
    """x ** -(quarters / 4) of a positive x, `quarters` from 1 to 7, by square roots."""
    assert 0 < quarters < 8, "other powers go through log and exp"
    root = sqrt(builder, x)
    parts = [(4, x), (2, root), (1, sqrt(builder, root))]
    factors = [value for share, value in parts if quarters & share]
    return builder.fdiv(vector(1.0), functools.reduce(builder.fmul, factors))


# exp


def _exp_reduced(builder: ir.IRBuilder, r: ir.Value) -> ir.Value:
    """exp(r) for |r| <= ln(2) / 2."""
    square = builder.fmul(r, r)
    tail = fma(builder, _polynomial(builder, EXP, r), square, r)
    return builder.fadd(tail, vector(1.0))


def _exp_double(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """exp of doubles, in floats."""
    low, high = ir.Constant(DOUBLES, [-105.0] * LANES), ir.Constant(DOUBLES, [90.0] * LANES)
    x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
    x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
    shifted = fma(builder, builder.fptrunc(x, VECTOR), vector(LOG2_E), vector(ROUNDER))
    n = builder.fpext(builder.fsub(shifted, vector(ROUNDER)), DOUBLES)
    r = builder.fsub(x, builder.fmul(n, ir.Constant(DOUBLES, [LN2] * LANES)))
    reduced = _exp_reduced(builder, builder.fptrunc(r, VECTOR))
    return _times_two_to(builder, reduced, _lowest_bits(builder, shifted))


def _lowest_bits(builder: ir.IRBuilder, shifted: ir.Value) -> ir.Value:
    """The integer that a float shifted by ROUNDER holds."""
    return builder.sub(builder.bitcast(shifted, INTS), builder.bitcast(vector(ROUNDER), INTS))


def _times_two_to(builder: ir.IRBuilder, x: ir.Value, n: ir.Value) -> ir.Value:
    """x * 2 ** n in two factors, each a normal float, so that the product may leave the range."""
    half = builder.ashr(n, ints(1))
    for part in (half, builder.sub(n, half)):
        biased = builder.add(part, ints(EXPONENT_BIAS))
        factor = builder.bitcast(builder.shl(biased, ints(MANTISSA_BITS)), VECTOR)
        x = builder.fmul(x, factor)
    return x


# log


def _split(builder: ir.IRBuilder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """x = 2 ** exponent * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); f is exact."""
    bits = builder.bitcast(x, INTS)
    exponent = builder.ashr(builder.sub(bits, ints(SQRT_HALF_BITS)), ints(MANTISSA_BITS))
    mantissa = builder.sub(bits, builder.shl(exponent, ints(MANTISSA_BITS)))
    return exponent, builder.fsub(builder.bitcast(mantissa, VECTOR), vector(1.0))


def _log_double(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """log of non-negative floats, in doubles: the terms from f ** 3 on alone are floats."""
    exponent, f = _split(builder, x)
    cube = builder.fmul(builder.fmul(f, f), f)
    tail = builder.fpext(builder.fmul(_polynomial(builder, LOG, f), cube), DOUBLES)
    wide = builder.fpext(f, DOUBLES)
    half_square = builder.fmul(builder.fmul(wide, wide), ir.Constant(DOUBLES, [0.5] * LANES))
    whole = builder.fmul(builder.sitofp(exponent, DOUBLES), ir.Constant(DOUBLES, [LN2] * LANES))
    result = builder.fadd(builder.fadd(whole, wide), builder.fsub(tail, half_square))
    zero = builder.fcmp_ordered("<", x, vector(SMALLEST_NORMAL))
    result = builder.select(zero, ir.Constant(DOUBLES, [-INFINITY] * LANES), result)
    beyond = builder.fcmp_unordered("==", x, vector(INFINITY))
    return builder.select(beyond, builder.fpext(x, DOUBLES), result)


def _log_specials(builder: ir.IRBuilder, x: ir.Value, result: ir.Value) -> ir.Value:
    result = _where(builder, "<", x, SMALLEST_NORMAL, vector(-INFINITY), result)
    result = _where(builder, "<", x, 0.0, vector(NAN), result)
    beyond = builder.fcmp_unordered("==", x, vector(INFINITY))
    return builder.select(beyond, x, result)


# power


def _with_sign(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, size: ir.Value) -> ir.Value:
    """|x| ** y with the sign of x ** y, or NaN where that is not real."""
    even = 2.0**24  # as every float from here on is
    integer = builder.fptosi(_clamp(builder, y, -even, even), INTS)
    whole = builder.fcmp_ordered(
        "==", builder.sitofp(integer, VECTOR), _clamp(builder, y, -even, even)
    )
    odd = builder.shl(integer, ints(31))
    negated = builder.bitcast(builder.xor(builder.bitcast(size, INTS), odd), VECTOR)
    result = builder.select(whole, negated, vector(NAN))
    return _where(builder, "<", x, 0.0, result, size)


# Shared


def _odd_rational(
    builder: ir.IRBuilder,
    x: ir.Value,
    over: Sequence[float],
    under: Sequence[float],
    clamp: float,
    one: float,
) -> ir.Value:
    """x P(x^2) / Q(x^2) within the clamp, kept within 1; the sign of x from `one` on."""
    inside = _clamp(builder, x, -clamp, clamp)
    square = builder.fmul(inside, inside)
    numerator = builder.fmul(inside, _polynomial(builder, over, square))
    result = builder.fdiv(numerator, _polynomial(builder, under, square))
    result = _clamp(builder, result, -1.0, 1.0)
    sign = call_intrinsic(builder, "llvm.copysign.v16f32", VECTOR, [vector(1.0), x])
    return _where(builder, ">=", absolute(builder, x), one, sign, result)


def _polynomial(builder: ir.IRBuilder, coefficients: Sequence[float], x: ir.Value) -> ir.Value:
    """Horner's scheme, highest power first."""
    result: ir.Value = vector(coefficients[0])
    for coefficient in coefficients[1:]:
        result = fma(builder, result, x, vector(coefficient))
    return result


def _clamp(builder: ir.IRBuilder, x: ir.Value, low: float, high: float) -> ir.Value:
    """x within [low, high]; NaN stays."""
    x = _where(builder, "<", x, low, vector(low), x)
    return _where(builder, ">", x, high, vector(high), x)


def _where(
    builder: ir.IRBuilder,
    comparison: str,
    x: ir.Value,
    bound: float,
    then: ir.Value,
    otherwise: ir.Value,
) -> ir.Value:
    """`then` in the lanes where x compares so with the bound; NaN never does."""
    return builder.select(builder.fcmp_ordered(comparison, x, vector(bound)), then, otherwise)
