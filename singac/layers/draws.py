"""Random values by their place: units that are on with a probability, and normal deviates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from singac.layers.expression import Draw, Expression, add, call, mul, neg, number, sub

# M. Giles, Approximating the erfinv function (GPU Computing Gems 2, 2011), in single precision:
# erfinv(x) = x p(w), w = -log(1 - x^2), with one polynomial for w - 2.5 below w = 5 and another for
# sqrt(w) - 3 above.
CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
TAILS = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def bernoulli(chance: Expression, stream: int) -> Expression:
    """1 with probability `chance`, else 0."""
    return call("greater", chance, Draw(stream))


def normal(stream: int) -> Expression:
    """A draw of mean 0 and variance 1, within 5.4: the quantile of a uniform one.

    A uniform draw u is a multiple of 2^-24; 2 u - 1 + 2^-24 is exact in float32 and never -1 or 1.
    """
    x = add(mul(number(2), Draw(stream)), number(2.0**-24 - 1))
    w = neg(call("log", mul(sub(number(1), x), add(number(1), x))))
    centre = _polynomial(CENTRE, sub(w, number(2.5)))
    tails = _polynomial(TAILS, sub(call("sqrt", w), number(3)))
    is_tail = call("greater", w, number(5))
    either = add(centre, mul(is_tail, sub(tails, centre)))
    return mul(number(math.sqrt(2)), mul(x, either))


def _polynomial(coefficients: Sequence[float], x: Expression) -> Expression:
    """Horner's scheme, the highest power first."""
    total: Expression = number(coefficients[0])
    for coefficient in coefficients[1:]:
        total = add(mul(total, x), number(coefficient))
    return total
