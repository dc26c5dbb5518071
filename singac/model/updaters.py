"""`updater = SGD(rate = step(0.1, ...), momentum = 0.9)` -> the update as a plan has it.

The equations are those of the prelude or the program. Gradient clipping comes first, then weight
decay, then the updater, unless the updater names `weight_decay` itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from singac.diagnostics import Report, did_you_mean
from singac.layers.expression import (
    Call,
    Constant,
    Expression,
    Scalar,
    Variable,
    add,
    call,
    mul,
    variables,
)
from singac.model.arguments import Matched, match_settings
from singac.model.equations import G, Updater, W, with_settings
from singac.model.types import Schedule, Update
from singac.model.values import Called, Scope, Word, describe, evaluate
from singac.schedules import SCHEDULES, check_alternation
from singac.settings import NOT_NEGATIVE, POSITIVE, Given, Setting
from singac.syntax import tree

RATE = "rate"
DECAY = "weight_decay"
Assigns = tuple[tuple[str, Expression], ...]
# fmt: off
COMMON = (
    Setting(DECAY,  "this times the param is added to its gradient",
            default=0.0, within=NOT_NEGATIVE),
    Setting("clip", "gradients are held between -clip and clip",
            optional=True, within=POSITIVE),
)
# fmt: on


def resolve_update(
    node: tree.Value, updaters: Mapping[str, Updater], scope: Scope, report: Report
) -> Update | None:
    """The update a train block asks for, or None after reporting what is wrong."""
    value = evaluate(node, scope, report)
    if value is None:
        return None
    word = value.text if isinstance(value, Word) else ""
    name = value.name if isinstance(value, Called) else word
    if name not in updaters:
        help = did_you_mean(name, updaters)
        label = f"this is {describe(value)}"
        report.error("SG0160", "there is no such updater", node.span, label, help=help)
        return None
    arguments = value.arguments if isinstance(value, Called) else ()
    inner = value.scope if isinstance(value, Called) else scope
    return _update(updaters[name], arguments, inner, node, report)


def _update(
    updater: Updater,
    arguments: Sequence[tree.Argument],
    scope: Scope,
    node: tree.Value,
    report: Report,
) -> Update | None:
    before = len(report.found)
    rate_argument, others = _split_rate(updater, arguments)
    rate = _rate(updater, rate_argument, scope, node, report)
    table = settings_of(updater)
    if any(isinstance(a, tree.Named) and a.path.text == "clip_norm" for a in others):
        message = "clip_norm is parsed but cannot be compiled yet"
        report.error("SG0190", message, node.span, help="use clip = ...")
        return None
    matched = match_settings(others, table, scope, node.span, report, (RATE, "clip_norm"))
    if matched is None or rate is None or len(report.found) > before:
        return None
    return build_update(updater, rate, matched)


def settings_of(updater: Updater) -> tuple[Setting, ...]:
    """The settings an updater takes besides its rate."""
    own = tuple(_setting(f) for f in updater.formals if f.name.text != RATE)
    taken = [s.name for s in own]
    return own + tuple(s for s in COMMON if s.name not in taken)


def _setting(formal: tree.Formal) -> Setting:
    default = formal.default
    value = float(default.text) if isinstance(default, tree.Number) else None
    return Setting(formal.name.text, "a number of the equations", default=value)


def _split_rate(
    updater: Updater, arguments: Sequence[tree.Argument]
) -> tuple[tree.Argument | None, list[tree.Argument]]:
    """The argument that gives the rate, named or first, and the others."""
    for argument in arguments:
        named = isinstance(argument, tree.Named) and argument.path.text == RATE
        if named or isinstance(argument, tree.Positional):
            return argument, [a for a in arguments if a is not argument]
    return None, list(arguments)


def _rate(
    updater: Updater,
    argument: tree.Argument | None,
    scope: Scope,
    node: tree.Value,
    report: Report,
) -> Schedule | None:
    if argument is None:
        for formal in updater.formals:
            if formal.name.text == RATE and isinstance(formal.default, tree.Number):
                return _fixed(float(formal.default.text))
        example = f"{updater.name}(rate = 0.1)"
        report.error("SG0202", "setting `rate` is missing", node.span, help=example)
        return None
    assert not isinstance(argument, tree.Drawn), "a rate is given, not drawn"
    value = evaluate(argument.value, scope, report)
    match value:
        case None:
            return None
        case Fraction() if value >= 0:
            return _fixed(float(value))
        case Called(name) if name in SCHEDULES:
            return _schedule(value, report)
    word = value.name if isinstance(value, Called) else ""
    help = did_you_mean(word, SCHEDULES)
    label = f"this is {describe(value)}"
    message = "a rate is a number, at least 0, or a schedule"
    report.error("SG0161", message, argument.value.span, label, help=help)
    return None


def _fixed(rate: float) -> Schedule:
    return Schedule("fixed", ((RATE, (rate,)),))


def _schedule(called: Called, report: Report) -> Schedule | None:
    kind = SCHEDULES[called.name]
    matched = match_settings(called.arguments, kind.settings, called.scope, called.span, report)
    if matched is None:
        return None
    many = matched.variadic
    if called.name == "fixed_step" and not check_alternation(many, called.span, report):
        return None
    settings = [(n, (_number(v),)) for n, v in matched.values.items()]
    variadic = [(s.name, tuple(map(_of, many))) for s in kind.settings if s.variadic]
    return Schedule(kind.name, (*settings, *variadic))


def _of(given: Given) -> float:
    return _number(given.value)


def _number(value: object) -> float:
    assert isinstance(value, int | float), "values were checked to be numbers"
    return float(value)


# -- equations -> update ---------------------------------------------------------------------------


def build_update(updater: Updater, rate: Schedule, matched: Matched) -> Update:
    """The update with every setting in place but `rate` and `weight_decay`, which vary."""
    numbers = {n: _number(v) for n, v in matched.values.items()}
    decay = numbers.pop(DECAY)
    assigns = _prologue(updater, numbers.pop("clip", None), decay)
    assigns += tuple((n, with_settings(e, numbers)) for n, e in updater.assigns)
    states = tuple((n, with_settings(e, numbers)) for n, e in updater.states)
    kept = tuple((n, _constant(e)) for n, e in states if _is_read_first(n, assigns))
    hoisted, scalars_read = hoist(assigns)
    return Update(updater.name, kept, hoisted, scalars_read, rate, decay)


def _prologue(updater: Updater, clip: float | None, decay: float) -> Assigns:
    own_decay = any(f.name.text == DECAY for f in updater.formals)
    g: Expression = G
    if clip is not None:
        g = call("min", call("max", g, Constant(-clip)), Constant(clip))
    if decay and not own_decay:
        g = add(g, mul(Scalar(DECAY), W))
    return () if g == G else (("g", g),)


def _constant(expression: Expression) -> float:
    assert isinstance(expression, Constant), "a state starts as an expression of settings"
    return expression.value


def _is_read_first(state: str, assigns: Assigns) -> bool:
    """Whether a state's old value matters; without momentum SGD keeps no velocity."""
    for target, expression in assigns:
        if state in variables(expression):
            return True
        if target == state:
            return False
    return False


def hoist(assigns: Assigns) -> tuple[Assigns, Assigns]:
    """The assigns with every part that reads no tensor made a scalar, and those scalars."""
    names: dict[Expression, str] = {}
    hoisted = tuple((n, _hoisted(e, names)) for n, e in assigns)
    return hoisted, tuple((n, e) for e, n in names.items())


def _hoisted(expression: Expression, names: dict[Expression, str]) -> Expression:
    if isinstance(expression, Constant | Variable):
        return expression
    if not variables(expression):
        name = expression.name if isinstance(expression, Scalar) else f"s{len(names)}"
        return Scalar(names.setdefault(expression, name))
    assert isinstance(expression, Call), "an updater draws nothing"
    return Call(expression.function, tuple(_hoisted(a, names) for a in expression.arguments))
