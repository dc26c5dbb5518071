"""Derivatives and simplifications against finite differences in double."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.layers import expression as e
from singac.layers.expression import Call, Constant, Expression, Scalar, Variable
from tests.reference.expressions import evaluate

X = Variable("x")
STEP = 1e-6

# Where each function is smooth: points away from corners and poles, one row an argument.
# fmt: off
POINTS: dict[str, tuple[tuple[float, ...], ...]] = {
    "add":     ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "sub":     ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "mul":     ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "div":     ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "neg":     ((-1.5, 0.3, 2.0),),
    "greater": ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "max":     ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "min":     ((-1.5, 0.3, 2.0), (0.7, -2.0, 1.0)),
    "abs":     ((-1.5, 0.3, 2.0),),
    "sign":    ((-1.5, 0.3, 2.0),),
    "exp":     ((-1.5, 0.3, 2.0),),
    "log":     ((0.01, 0.3, 20.0),),
    "sqrt":    ((0.01, 0.3, 20.0),),
    "tanh":    ((-1.5, 0.3, 2.0),),
    "sigmoid": ((-1.5, 0.3, 2.0),),
    "erf":     ((-1.5, 0.3, 2.0),),
    "pow":     ((0.5, 1.3, 2.0), (0.7, -2.0, 1.0)),
}
# fmt: on


def slope(y: Expression, x: np.ndarray) -> np.ndarray:
    """dy/dx by central differences."""
    high, low = evaluate(y, {"x": x + STEP}), evaluate(y, {"x": x - STEP})
    return np.broadcast_to((high - low) / (2 * STEP), x.shape)


def test_every_function_has_points() -> None:
    assert list(POINTS) == list(e.FUNCTIONS)


@pytest.mark.parametrize("name", e.FUNCTIONS)
def test_partial_derivatives(name: str) -> None:
    for slot in range(e.FUNCTIONS[name].arity):
        for at in zip(*POINTS[name], strict=True):
            arguments = [X if k == slot else Constant(v) for k, v in enumerate(at)]
            y = Call(name, tuple(arguments))
            x = np.array([at[slot]])
            exact = evaluate(e.derivative(y, X), {"x": x})
            np.testing.assert_allclose(exact, slope(y, x)[0], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", e.FUNCTIONS)
def test_values_are_those_of_numpy(name: str) -> None:
    for at in zip(*POINTS[name], strict=True):
        y = Call(name, tuple(map(Constant, at)))
        np.testing.assert_allclose(e.FUNCTIONS[name].of(*at), evaluate(y, {}), rtol=1e-15)


@pytest.mark.parametrize(("name", "expected"), [("max", 0.0), ("min", 1.0)])
def test_a_corner_at_zero_has_the_slope_below_it(name: str, expected: float) -> None:
    y = Call(name, (X, e.ZERO))
    assert evaluate(e.derivative(y, X), {"x": np.zeros(1)}) == expected


# -- random expressions ----------------------------------------------------------------------------

# Smooth everywhere and bounded in slope, so that differences are exact enough.
_unary = st.sampled_from(["neg", "tanh", "sigmoid", "erf", "square", "softplus"])
_constants = st.floats(-2.0, 2.0, allow_subnormal=False).map(lambda v: Constant(round(v, 3)))


def _apply(name: str, a: Expression) -> Expression:
    if name == "square":
        return e.mul(e.call("tanh", a), e.call("tanh", a))
    if name == "softplus":
        return e.call("log", e.add(e.ONE, e.call("exp", e.call("tanh", a))))
    return e.call(name, a)


def _quotient(a: Expression, b: Expression) -> Expression:
    return e.div(a, e.add(Constant(3.0), e.call("tanh", b)))


def _larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    binary = st.sampled_from([e.add, e.sub, e.mul, _quotient])
    return st.one_of(
        st.builds(_apply, _unary, inner),
        st.builds(lambda f, a, b: f(a, b), binary, inner, inner),
    )


expressions = st.recursive(st.one_of(st.just(X), _constants), _larger, max_leaves=12)


@settings(max_examples=200, deadline=None)
@given(expressions, st.floats(-1.5, 1.5))
def test_derivatives_of_random_expressions(y: Expression, at: float) -> None:
    x = np.array([at])
    exact = evaluate(e.derivative(y, X), {"x": x})
    scale = 1.0 + float(np.max(np.abs(evaluate(y, {"x": x}))))
    np.testing.assert_allclose(exact, slope(y, x)[0], rtol=1e-5, atol=1e-7 * scale)


@settings(max_examples=200, deadline=None)
@given(expressions, expressions, st.floats(-1.5, 1.5))
def test_substitution_is_composition(y: Expression, inner: Expression, at: float) -> None:
    composed = e.substitute(y, {X: inner})
    between = evaluate(inner, {"x": np.array([at])})
    direct = evaluate(y, {"x": between})
    np.testing.assert_allclose(evaluate(composed, {"x": np.array([at])}), direct, rtol=1e-9)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(list(e.FUNCTIONS)),
    st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 4.0]), min_size=2, max_size=2),
)
def test_simplifying_changes_no_value(name: str, numbers: list[float]) -> None:
    """`call` with a constant on either side gives what the plain call gives, where it is a number.

    0 * x and 0 / x are 0 even where x is not finite: a layer's factor 0 takes its term away.
    """
    arity = e.FUNCTIONS[name].arity
    for free in range(arity):
        plain = Call(name, tuple(X if k == free else Constant(numbers[k]) for k in range(arity)))
        simple = e.call(name, *plain.arguments)
        x = np.array([-3.0, -0.5, 0.25, 2.0])
        before, after = evaluate(plain, {"x": x}), evaluate(simple, {"x": x})
        np.testing.assert_allclose(np.broadcast_to(after, x.shape)[np.isfinite(before)],
                                   before[np.isfinite(before)], rtol=1e-15)  # fmt: skip


def test_what_passes_ask() -> None:
    y = e.add(e.mul(Scalar("rate"), X), e.call("max", X, Variable("g")))
    assert e.variables(y) == ("x", "g")
    assert e.scalars(y) == ("rate",)
    assert e.size(y) == 3
    assert e.depth(y) == 2
    assert e.depth(X) == 0
    assert e.show(y) == "((rate * x) + max(x, g))"
    assert e.evaluate(e.add(Scalar("step"), Constant(1.0)), {"step": 2.0}) == 3.0
    assert math.isnan(e.evaluate(e.div(Constant(1.0), Scalar("step")), {"step": 0.0}))
