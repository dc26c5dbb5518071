"""`layer` and `updater` definitions -> expressions.

Formals and the run-time numbers of an updater become `Scalar`s, tensors `Variable`s. A definition
is checked where it stands, before anything uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.diagnostics import Report, did_you_mean
from singac.layers.expression import (
    FUNCTIONS,
    OPERATORS,
    Constant,
    Expression,
    Scalar,
    Variable,
    call,
    number,
    size,
    substitute,
)
from singac.syntax import tree

LARGEST = 10_000  # calls in one expression; beyond it compile times are no longer pleasant
X, Y, W, G = (Variable(n) for n in "xywg")
STEP = Scalar("step")


@dataclass(frozen=True, slots=True)
class PointwiseLayer:
    """`layer NAME(formals) { ... }`: y over the variable `x` and the formals as scalars."""

    name: str
    formals: tuple[tree.Formal, ...]
    y: Expression
    definition: tree.LayerDef


@dataclass(frozen=True, slots=True)
class Updater:
    """`updater NAME(formals) { ... }`: assigns done in order over `w`, `g` and the states.

    Targets that are neither `w` nor a state are values of the moment. Scalars are the formals and
    `step`.
    """

    name: str
    formals: tuple[tree.Formal, ...]
    states: tuple[tuple[str, Expression], ...]
    assigns: tuple[tuple[str, Expression], ...]
    definition: tree.UpdaterDef


def layer(definition: tree.LayerDef, report: Report) -> PointwiseLayer | None:
    """The meaning of a layer's equations, or None after reporting what is wrong."""
    known: dict[str, Expression] = {"x": X, **_formals(definition.formals, ("x", "y"), report)}
    fixed = tuple(known)
    for equation in definition.equations:
        _check_target(equation, fixed, report)
        value = _expression(equation.value, known, report)
        if value is None:
            return None
        known[equation.target.text] = value
    if "y" not in known:
        name = definition.name
        report.error("SG0121", f"the layer `{name.text}` gives no `y`", name.span, help="y = ...")
        return None
    return PointwiseLayer(definition.name.text, definition.formals, known["y"], definition)


def updater(definition: tree.UpdaterDef, report: Report) -> Updater | None:
    """The meaning of an updater's equations, or None after reporting what is wrong."""
    before = len(report.found)
    formals = _formals(definition.formals, ("w", "g", "step"), report)
    known: dict[str, Expression] = {"w": W, "g": G, "step": STEP, **formals}
    fixed = tuple(n for n in known if n != "w")
    states: list[tuple[str, Expression]] = []
    assigns: list[tuple[str, Expression]] = []
    for part in definition.body:
        if isinstance(part, tree.State):
            _state(part, known, formals, states, report)
            continue
        _check_target(part, fixed, report)
        value = _expression(part.value, known, report)
        if value is not None:
            assigns.append((part.target.text, value))
        known[part.target.text] = Variable(part.target.text)
    if "w" not in dict(assigns) and len(report.found) == before:
        name = definition.name
        report.error("SG0122", f"the updater `{name.text}` never changes `w`", name.span)
    if len(report.found) > before:
        return None
    name_text = definition.name.text
    return Updater(name_text, definition.formals, tuple(states), tuple(assigns), definition)


def _state(
    part: tree.State,
    known: dict[str, Expression],
    formals: Mapping[str, Expression],
    states: list[tuple[str, Expression]],
    report: Report,
) -> None:
    name = part.name.text
    if name in known:
        report.error("SG0123", f"`{name}` already means something here", part.name.span)
    value = _expression(part.value, formals, report)
    known[name] = Variable(name)
    if value is not None:
        states.append((name, value))


def _formals(
    formals: tuple[tree.Formal, ...], taken: tuple[str, ...], report: Report
) -> dict[str, Expression]:
    known: dict[str, Expression] = {}
    for formal in formals:
        name = formal.name.text
        if name in taken or name in known:
            report.error("SG0123", f"`{name}` already means something here", formal.name.span)
        known[name] = Scalar(name)
    return known


def _check_target(equation: tree.Equation, fixed: tuple[str, ...], report: Report) -> None:
    if equation.target.text in fixed:
        message = f"`{equation.target.text}` is given and cannot be assigned"
        report.error("SG0124", message, equation.target.span)


def _expression(
    node: tree.Value, known: Mapping[str, Expression], report: Report
) -> Expression | None:
    value = _convert(node, known, report)
    if value is not None and size(value) > LARGEST:
        report.error("SG0125", f"this comes to more than {LARGEST} operations", node.span)
        return None
    return value


def _convert(
    node: tree.Value, known: Mapping[str, Expression], report: Report
) -> Expression | None:
    match node:
        case tree.Number(text) if float(text) != float("inf"):
            return number(float(text))
        case tree.Reference(path, span):
            if path.text not in known:
                message = f"nothing is named `{path.text}` in these equations"
                report.error("SG0120", message, span, help=did_you_mean(path.text, known))
                return None
            return known[path.text]
        case tree.Negate(operand):
            value = _convert(operand, known, report)
            return None if value is None else call("neg", value)
        case tree.Binary(operator, left, right):
            a, b = _convert(left, known, report), _convert(right, known, report)
            return None if a is None or b is None else call(OPERATORS[operator], a, b)
        case tree.Apply():
            return _apply(node, known, report)
    report.error("SG0126", "an equation is made of numbers, names and functions", node.span)
    return None


def _apply(node: tree.Apply, known: Mapping[str, Expression], report: Report) -> Expression | None:
    name = node.path.text
    functions = [f for f in FUNCTIONS if f not in OPERATORS.values() and f != "neg"]
    if name not in functions:
        help = did_you_mean(name, functions)
        report.error("SG0127", f"`{name}` is not a function", node.path.span, help=help)
        return None
    arity = FUNCTIONS[name].arity
    if len(node.arguments) != arity or any(
        not isinstance(a, tree.Positional) for a in node.arguments
    ):
        values = "one value" if arity == 1 else f"{arity} values"
        report.error("SG0128", f"`{name}` takes {values}", node.span, f"{len(node.arguments)} here")
        return None
    converted = [
        _convert(a.value, known, report) for a in node.arguments if isinstance(a, tree.Positional)
    ]
    values_given = [v for v in converted if v is not None]
    return call(name, *values_given) if len(values_given) == arity else None


def with_settings(expression: Expression, settings: Mapping[str, float]) -> Expression:
    """The expression with formals replaced by their values."""
    constants: dict[Expression, Expression] = {
        Scalar(name): Constant(value) for name, value in settings.items()
    }
    return substitute(expression, constants)
