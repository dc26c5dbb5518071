"""Expressions over the elements of tensors: what pointwise layers and updaters are made of.

An expression is a tree of calls of the functions in `FUNCTIONS`; that table says of each function
how many arguments it takes and what its derivative is. Derivatives are written with the function's
own result where they can be (tanh' = 1 - y^2), so that backward needs the output, not the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constant:
    """The same number for every element."""

    value: float


@dataclass(frozen=True, slots=True)
class Variable:
    """The element of tensor `name` at this place; a tensor of one row serves every row."""

    name: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number given at run time, the same for every element: `rate`, `step`."""

    name: str


@dataclass(frozen=True, slots=True)
class Draw:
    """A uniform random number in [0, 1), fixed by seed, step, `stream` and the element's place.

    A tensor of a layer unrolled in `steps` has a place for each of them. With `whole`, the tensor
    has all rows of a batch, and of so many columns those from `column` on; the place is that in the
    whole layer.
    """

    stream: int
    steps: int = 1
    column: int = 0
    whole: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A function of `FUNCTIONS` applied to its arguments."""

    function: str
    arguments: tuple[Expression, ...]


Expression = Constant | Variable | Scalar | Draw | Call

ZERO = Constant(0.0)
ONE = Constant(1.0)


def call(function: str, *arguments: Expression) -> Expression:
    """The call, simplified: constants folded, `0 * x`, `1 * x`, `x + 0` and the like removed."""
    if all(isinstance(a, Constant) for a in arguments):
        folded = _fold(function, [a.value for a in arguments if isinstance(a, Constant)])
        if folded is not None:
            return Constant(folded)
    return _simplify(function, arguments) or Call(function, arguments)


def add(a: Expression, b: Expression) -> Expression:
    return call("add", a, b)


def sub(a: Expression, b: Expression) -> Expression:
    return call("sub", a, b)


def mul(a: Expression, b: Expression) -> Expression:
    return call("mul", a, b)


def div(a: Expression, b: Expression) -> Expression:
    return call("div", a, b)


def neg(a: Expression) -> Expression:
    return call("neg", a)


def number(value: float) -> Constant:
    return Constant(float(value))


def _simplify(function: str, arguments: tuple[Expression, ...]) -> Expression | None:
    match function, arguments:
        case ("add", (x, Constant(0.0))) | ("add", (Constant(0.0), x)):
            return x
        case (
            ("sub", (x, Constant(0.0))) | ("div", (x, Constant(1.0))) | ("pow", (x, Constant(1.0)))
        ):
            return x
        case ("sub", (Constant(0.0), x)):
            return neg(x)
        case ("mul", (_, Constant(0.0))) | ("mul", (Constant(0.0), _)):
            return ZERO
        case ("mul", (x, Constant(1.0))) | ("mul", (Constant(1.0), x)):
            return x
        case ("div", (Constant(0.0), _)):
            return ZERO
        case ("neg", (Call("neg", (x,)),)):
            return x
        case ("add", (x, Call("neg", (y,)))):
            return sub(x, y)
        case ("sub", (x, Call("neg", (y,)))):
            return add(x, y)
        case ("div", (x, Constant(c))) if c != 0 and _exact_inverse(c):
            return mul(x, Constant(1.0 / c))
    return None


def _exact_inverse(value: float) -> bool:
    return math.frexp(value)[0] in (0.5, -0.5) and math.isfinite(1.0 / value)


def _fold(function: str, values: list[float]) -> float | None:
    try:
        result = FUNCTIONS[function].of(*values)
    except (ArithmeticError, ValueError):
        return None
    return result if math.isfinite(result) else None


# -- the functions ---------------------------------------------------------------------------------

Arguments = tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """What the compiler knows of a function: its value on numbers and its partial derivatives.

    `partials(arguments, result)` gives one expression an argument.
    """

    arity: int
    of: Callable[..., float]
    partials: Callable[[Arguments, Expression], Arguments]


def _greater(a: float, b: float) -> float:
    return 1.0 if a > b else 0.0


def _sign(a: float) -> float:
    return float((a > 0) - (a < 0))


def _sigmoid(a: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * a)


# Where both arguments are equal, max has the slope of its second argument and min of its first: at
# its corner an equation of max(x, 0) and min(x, 0) has the slope it has below.
def _max_partials(arguments: Arguments, result: Expression) -> Arguments:
    a, b = arguments
    first = call("greater", result if b == ZERO else a, b)
    return (first, sub(ONE, first))


def _min_partials(arguments: Arguments, _: Expression) -> Arguments:
    a, b = arguments
    second = call("greater", a, b)
    return (sub(ONE, second), second)


def _pow_partials(arguments: Arguments, result: Expression) -> Arguments:
    a, b = arguments
    by_base = mul(b, call("pow", a, sub(b, ONE)))
    return (by_base, ZERO if isinstance(b, Constant | Scalar) else mul(result, call("log", a)))


def _erf_partials(arguments: Arguments, _: Expression) -> Arguments:
    (x,) = arguments
    return (mul(number(2 / math.sqrt(math.pi)), call("exp", neg(mul(x, x)))),)


# fmt: off
FUNCTIONS: Mapping[str, Function] = {
    #                  arity  value               partial derivatives; s: arguments, y: result
    "add":     Function(2, lambda a, b: a + b,    lambda s, y: (ONE, ONE)),
    "sub":     Function(2, lambda a, b: a - b,    lambda s, y: (ONE, number(-1))),
    "mul":     Function(2, lambda a, b: a * b,    lambda s, y: (s[1], s[0])),
    "div":     Function(2, lambda a, b: a / b,    lambda s, y: (div(ONE, s[1]), neg(div(y, s[1])))),
    "neg":     Function(1, lambda a: -a,          lambda s, y: (number(-1),)),
    "greater": Function(2, _greater,              lambda s, y: (ZERO, ZERO)),
    "max":     Function(2, max,                   _max_partials),
    "min":     Function(2, min,                   _min_partials),
    "abs":     Function(1, abs,                   lambda s, y: (call("sign", s[0]),)),
    "sign":    Function(1, _sign,                 lambda s, y: (ZERO,)),
    "exp":     Function(1, math.exp,              lambda s, y: (y,)),
    "log":     Function(1, math.log,              lambda s, y: (div(ONE, s[0]),)),
    "sqrt":    Function(1, math.sqrt,             lambda s, y: (div(number(0.5), y),)),
    "tanh":    Function(1, math.tanh,             lambda s, y: (sub(ONE, mul(y, y)),)),
    "sigmoid": Function(1, _sigmoid,              lambda s, y: (mul(y, sub(ONE, y)),)),
    "erf":     Function(1, math.erf,              _erf_partials),
    "pow":     Function(2, math.pow,              _pow_partials),
}
OPERATORS = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
# fmt: on


# -- what passes ask -------------------------------------------------------------------------------


def derivative(y: Expression, x: Expression) -> Expression:
    """dy/dx by the chain rule, simplified."""
    if y == x:
        return ONE
    if not isinstance(y, Call):
        return ZERO
    total: Expression = ZERO
    partials = FUNCTIONS[y.function].partials(y.arguments, y)
    for argument, partial in zip(y.arguments, partials, strict=True):
        total = add(total, mul(partial, derivative(argument, x)))
    return total


def substitute(expression: Expression, by: Mapping[Expression, Expression]) -> Expression:
    """The expression with every occurrence of a key replaced by its value, simplified."""
    if expression in by:
        return by[expression]
    if isinstance(expression, Call):
        return call(expression.function, *(substitute(a, by) for a in expression.arguments))
    return expression


def variables(expression: Expression) -> tuple[str, ...]:
    """Names of the tensors read, each once, in the order met."""
    return _leaves(expression, Variable)


def scalars(expression: Expression) -> tuple[str, ...]:
    """Names of the run-time numbers read, each once, in the order met."""
    return _leaves(expression, Scalar)


def _leaves(expression: Expression, kind: type[Variable] | type[Scalar]) -> tuple[str, ...]:
    if isinstance(expression, kind):
        return (expression.name,)
    if isinstance(expression, Call):
        found = (n for a in expression.arguments for n in _leaves(a, kind))
        return tuple(dict.fromkeys(found))
    return ()


def evaluate(expression: Expression, numbers: Mapping[str, float]) -> float:
    """The value of an expression without tensors, in double; NaN where it has none."""
    match expression:
        case Constant(value):
            return value
        case Scalar(name):
            return numbers[name]
        case Call(function, arguments):
            values = [evaluate(a, numbers) for a in arguments]
            try:
                return float(FUNCTIONS[function].of(*values))
            except (ArithmeticError, ValueError):
                return math.nan
    raise AssertionError(f"{show(expression)} is not the same for every element")


def size(expression: Expression) -> int:
    """Number of calls, counting a shared part each time it stands."""
    if isinstance(expression, Call):
        return 1 + sum(size(a) for a in expression.arguments)
    return 0


def depth(expression: Expression) -> int:
    """Calls inside each other."""
    if isinstance(expression, Call):
        return 1 + max(map(depth, expression.arguments))
    return 0


def show(expression: Expression) -> str:
    """The expression as a writer would write it."""
    match expression:
        case Constant(value):
            return f"{value:.8g}"
        case Variable(name) | Scalar(name):
            return name
        case Draw(stream):
            return f"draw({stream})"
        case Call("add" | "sub" | "mul" | "div" as operator, (a, b)):
            sign = next(s for s, name in OPERATORS.items() if name == operator)
            return f"({show(a)} {sign} {show(b)})"
        case Call("neg", (a,)):
            return f"-{show(a)}"
        case Call(function, arguments):
            return f"{function}({', '.join(show(a) for a in arguments)})"
