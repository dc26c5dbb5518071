"""Pointwise layers given by an equation: y as an expression of x, element by element."""

from __future__ import annotations

from singac.layers.expression import (
    Call,
    Constant,
    Expression,
    Variable,
    add,
    derivative,
    div,
    mul,
    neg,
    sub,
    substitute,
)
from singac.layers.kind import Use, Wanted
from singac.layers.operations import Assign, Operation, Pointwise

X = Variable("x")
Y = Variable("y")


def forward(use: Use, equation: Expression) -> tuple[Operation, ...]:
    """`y = equation(x)` on the tensors of a layer."""
    value = substitute(equation, {X: Variable(use.sources[0].name)})
    return (Pointwise(use.name, (Assign(use.name, value),)),)


def backward(use: Use, wanted: Wanted, equation: Expression) -> tuple[Operation, ...]:
    """`dx = dy * y'(x)`, written with y instead of x where it can be."""
    (gradient,) = wanted.sources
    if gradient is None or wanted.own is None:
        return ()
    names: dict[Expression, Expression] = {X: Variable(use.sources[0].name), Y: Variable(use.name)}
    slope = substitute(slope_by_result(equation), names)
    return (Pointwise(use.name, (Assign(gradient, mul(Variable(wanted.own), slope)),)),)


def slope_by_result(equation: Expression) -> Expression:
    """dy/dx with the part of the equation that y determines replaced by an expression of y.

    For stanh, y = a tanh(b x): the core tanh(b x) is y / a, so the slope needs y alone and the
    layer's source can be overwritten.
    """
    core, from_result = _invert(equation, Y)
    slope = derivative(equation, X)
    return slope if core == X else substitute(slope, {core: from_result})


def _invert(expression: Expression, result: Expression) -> tuple[Expression, Expression]:
    """Peels affine steps with constants: the core, and what the core is in terms of `result`."""
    match expression:
        case Call("mul", (Constant(c) as k, inner)) if c != 0:
            return _invert(inner, div(result, k))
        case Call("mul", (inner, Constant(c) as k)) if c != 0:
            return _invert(inner, div(result, k))
        case Call("div", (inner, Constant() as k)):
            return _invert(inner, mul(result, k))
        case Call("add", (Constant() as k, inner)) | Call("add", (inner, Constant() as k)):
            return _invert(inner, sub(result, k))
        case Call("sub", (inner, Constant() as k)):
            return _invert(inner, add(result, k))
        case Call("neg", (inner,)):
            return _invert(inner, neg(result))
    return expression, result
