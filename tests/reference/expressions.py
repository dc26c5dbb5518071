"""Expressions in NumPy, in double: what a compiled expression is held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from singac.layers.expression import Call, Constant, Draw, Expression, Scalar, Variable

Array = NDArray[np.float64]
Draws = Callable[[int, int], Array]

# fmt: off
FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "add":     np.add,
    "sub":     np.subtract,
    "mul":     np.multiply,
    "div":     np.divide,
    "neg":     np.negative,
    "greater": lambda a, b: np.where(np.greater(a, b), 1.0, 0.0),
    "max":     np.maximum,
    "min":     np.minimum,
    "abs":     np.abs,
    "sign":    np.sign,
    "exp":     np.exp,
    "log":     np.log,
    "sqrt":    np.sqrt,
    "tanh":    np.tanh,
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-np.asarray(a, np.float64))),
    "erf":     np.vectorize(math.erf, otypes=[np.float64]),
    "pow":     np.power,
}
# fmt: on


def evaluate(
    expression: Expression,
    variables: Mapping[str, Array],
    scalars: Mapping[str, float] | None = None,
    draws: Draws | None = None,
) -> Array:
    """The value of an expression on arrays, broadcast as NumPy does; NaN where it has none.

    `draws(stream, steps)` gives the uniform numbers of a stream, one an element.
    """
    with np.errstate(all="ignore"):
        return _value(expression, variables, scalars or {}, draws)


def _value(
    expression: Expression,
    variables: Mapping[str, Array],
    scalars: Mapping[str, float],
    draws: Draws | None,
) -> Array:
    match expression:
        case Constant(value):
            return np.float64(value)  # type: ignore[return-value]
        case Variable(name):
            return np.asarray(variables[name], np.float64)
        case Scalar(name):
            return np.float64(scalars[name])  # type: ignore[return-value]
        case Draw(stream, steps):
            assert draws is not None, "the expression draws, and no draws are given"
            return draws(stream, steps)
        case Call(function, arguments):
            values = [_value(a, variables, scalars, draws) for a in arguments]
            return FUNCTIONS[function](*values)
