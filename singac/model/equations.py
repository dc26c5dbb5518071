"""`layer` and `updater` definitions -> expressions.

Formals and the run-time numbers of an updater become `Scalar`s, tensors `Variable`s. A definition
is checked where it stands, before anything uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Report, Span, did_you_mean
from singac.layers.expression import (
    FUNCTIONS,
    OPERATORS,
    Call,
    Constant,
    Expression,
    Scalar,
    Variable,
    call,
    depth,
    number,
    scalars,
    size,
    substitute,
    variables,
)
from singac.model.arguments import as_number
from singac.model.values import Scope, evaluate
from singac.settings import Setting
from singac.syntax import tree

LARGEST = 1_000  # calls in one expression; beyond it compile times are no longer pleasant
DEEPEST = 60  # calls inside each other; a derivative has several times as many
X, Y, W, G = (Variable(n) for n in "xywg")
STEP = Scalar("step")
RATE, DECAY = "rate", "weight_decay"
UNTOLD = "stands in the equations"  # what is said of a formal, whose definition says the rest
MOVING = (RATE, DECAY, "step")  # scalars whose value is known in a step only


@dataclass(frozen=True, slots=True)
class Formal:
    """`beta1 = 0.9`; without a default it must be given."""

    name: str
    default: float | None


@dataclass(frozen=True, slots=True)
class PointwiseLayer:
    """`layer NAME(formals) { ... }`: y over the variable `x` and the formals as scalars."""

    name: str
    formals: tuple[Formal, ...]
    y: Expression
    definition: tree.LayerDef


@dataclass(frozen=True, slots=True)
class Updater:
    """`updater NAME(formals) { ... }`: assigns done in order over `w`, `g` and the states.

    Targets that are neither `w` nor a state are values of the moment. Scalars are the formals and
    `step`.
    """

    name: str
    formals: tuple[Formal, ...]
    states: tuple[tuple[str, Expression], ...]
    assigns: tuple[tuple[str, Expression], ...]
    definition: tree.UpdaterDef


def settings_of(formals: tuple[Formal, ...], positional: bool) -> tuple[Setting, ...]:
    """Formals as the settings a layer or updater declares."""
    return tuple(Setting(f.name, UNTOLD, default=f.default, positional=positional) for f in formals)


def layer(definition: tree.LayerDef, scope: Scope, report: Report) -> PointwiseLayer | None:
    """The meaning of a layer's equations, or None after reporting what is wrong."""
    before = len(report.found)
    formals = _formals(definition.formals, ("x", "y"), scope, report)
    known = {**_lets(scope), "x": X, **{f.name: Scalar(f.name) for f in formals}}
    fixed = ("x", *(f.name for f in formals))
    y: Expression | None = None
    for equation in definition.equations:
        _check_target(equation, fixed, report)
        value = _expression(equation.value, known, report)
        if value is not None:
            known[equation.target.text] = value
        if equation.target.text == "y":
            y = value
    if len(report.found) > before:
        return None
    return _whole_layer(definition, formals, y, report)


def _whole_layer(
    definition: tree.LayerDef, formals: tuple[Formal, ...], y: Expression | None, report: Report
) -> PointwiseLayer | None:
    name = definition.name
    if y is None:
        message = f"the layer `{name.text}` gives no `y`"
        report.error("SG0121", message, name.span, help="end it in y = ...")
        return None
    if "x" not in variables(y):
        message = f"the layer `{name.text}` makes nothing of its source `x`"
        report.error("SG0130", message, name.span, help="y = ... x ...")
        return None
    return PointwiseLayer(name.text, formals, y, definition)


def updater(definition: tree.UpdaterDef, scope: Scope, report: Report) -> Updater | None:
    """The meaning of an updater's equations, or None after reporting what is wrong."""
    before = len(report.found)
    formals = _formals(definition.formals, ("w", "g", "step"), scope, report)
    given: dict[str, Expression] = {"w": W, "g": G, "step": STEP}
    given |= {f.name: Scalar(f.name) for f in formals}
    known = {**_lets(scope), **given}
    fixed = tuple(n for n in given if n != "w")
    states: dict[str, Expression] = {}
    assigns: list[tuple[str, Expression]] = []
    for part in definition.body:
        if isinstance(part, tree.State):
            _state(part, known, (*given, *states, *(n for n, _ in assigns)), states, report)
            continue
        _check_target(part, fixed, report)
        value = _expression(part.value, known, report)
        if value is not None:
            assigns.append((part.target.text, value))
        known[part.target.text] = Variable(part.target.text)
    if len(report.found) == before:
        _check_updater(definition, formals, dict(assigns), report)
    if len(report.found) > before:
        return None
    name = definition.name.text
    return Updater(name, formals, tuple(states.items()), tuple(assigns), definition)


def _check_updater(
    definition: tree.UpdaterDef,
    formals: tuple[Formal, ...],
    assigns: Mapping[str, Expression],
    report: Report,
) -> None:
    name = definition.name
    if "w" not in assigns:
        message = f"the updater `{name.text}` never changes `w`"
        report.error("SG0122", message, name.span, help="w = w - rate * g")
    if RATE not in [f.name for f in formals]:
        help = f"updater {name.text}(rate, ...)"
        message = f"the updater `{name.text}` has no setting `rate`"
        report.error("SG0131", message, name.span, "schedules and lr_scale act on it", help=help)


def _state(
    part: tree.State,
    known: dict[str, Expression],
    taken: tuple[str, ...],
    states: dict[str, Expression],
    report: Report,
) -> None:
    name = part.name.text
    if name in taken:
        _taken(name, part.name.span, report)
    value = _expression(part.value, known, report)
    known[name] = Variable(name)
    if value is None:
        return
    moving = [*variables(value), *(n for n in scalars(value) if n in MOVING)]
    if moving:
        message = f"a state starts before the first step, and `{moving[0]}` is not known then"
        report.error("SG0132", message, part.value.span, help=f"state {name} = 0")
    elif isinstance(value, Call) and not scalars(value):
        label = f"`{name}` starts with it"
        report.error("SG0133", f"`{part.value.span.text}` has no value", part.value.span, label)
    else:
        states[name] = value


def _formals(
    formals: tuple[tree.Formal, ...], taken: tuple[str, ...], scope: Scope, report: Report
) -> tuple[Formal, ...]:
    """Formals with the values of their defaults, which are arithmetic on `let` names."""
    found: dict[str, Formal] = {}
    for formal in formals:
        name = formal.name.text
        if name in taken or name in found:
            _taken(name, formal.name.span, report)
        default = None
        if formal.default is not None:
            value = evaluate(formal.default, scope, report)
            span = formal.default.span
            what = f"the default of `{name}`"
            number = None if value is None else as_number(value, what, span, report, scope)
            default = None if number is None else float(number)
        found[name] = Formal(name, default)
    return tuple(found.values())


def _taken(name: str, span: Span, report: Report) -> None:
    message = f"`{name}` already means something here"
    report.error("SG0123", message, span, help="choose another name")


def _lets(scope: Scope) -> dict[str, Expression]:
    """The `let` names that are numbers."""
    values = ((n, b.value) for n, b in scope.items())
    return {n: number(float(v)) for n, v in values if isinstance(v, Fraction)}


def broken_layer(definition: tree.LayerDef) -> PointwiseLayer:
    """A stand-in for a definition that was reported, so that its uses are checked as others."""
    formals = tuple(Formal(f.name.text, 0.0) for f in definition.formals)
    return PointwiseLayer(definition.name.text, formals, X, definition)


def broken_updater(definition: tree.UpdaterDef) -> Updater:
    """A stand-in for a definition that was reported."""
    formals = tuple(Formal(f.name.text, 0.0) for f in definition.formals)
    return Updater(definition.name.text, formals, (), (("w", W),), definition)


def _check_target(equation: tree.Equation, fixed: tuple[str, ...], report: Report) -> None:
    if equation.target.text in fixed:
        message = f"`{equation.target.text}` is given and cannot be assigned"
        help = "give the new value a name of its own"
        report.error("SG0124", message, equation.target.span, help=help)


def _expression(
    node: tree.Value, known: Mapping[str, Expression], report: Report
) -> Expression | None:
    value = _convert(node, known, report)
    if value is not None and depth(value) > DEEPEST:
        message = f"this comes to more than {DEEPEST} operations inside each other"
        report.error("SG0125", message, node.span, help="split it over several layers")
        return None
    if value is not None and size(value) > LARGEST:
        message = f"this comes to more than {LARGEST:,} operations"
        label = f"{size(value):,} with what its names stand for"
        report.error("SG0125", message, node.span, label)
        return None
    return value


def _convert(
    node: tree.Value, known: Mapping[str, Expression], report: Report
) -> Expression | None:
    match node:
        case tree.Number():
            value = evaluate(node, {}, report)
            return number(float(value)) if isinstance(value, Fraction) else None
        case tree.Reference(path, span):
            if path.text not in known:
                message = f"nothing is named `{path.text}` in these equations"
                report.error("SG0120", message, span, help=did_you_mean(path.text, known))
                return None
            return known[path.text]
        case tree.Negate(operand):
            inner = _convert(operand, known, report)
            return None if inner is None else call("neg", inner)
        case tree.Binary(operator, left, right):
            a, b = _convert(left, known, report), _convert(right, known, report)
            return None if a is None or b is None else call(OPERATORS[operator], a, b)
        case tree.Apply():
            return _apply(node, known, report)
    message = "an equation is made of numbers, names and functions"
    report.error("SG0126", message, node.span, f"this is `{node.span.text}`")
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
        label = f"{len(node.arguments)} here"
        if any(not isinstance(a, tree.Positional) for a in node.arguments):
            label = "values of functions have no names"
        report.error("SG0128", f"`{name}` takes {values}", node.span, label)
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
