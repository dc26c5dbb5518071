"""`updater = SGD(rate = step(0.1, ...), momentum = 0.9)` -> the update as a plan has it.

The equations are those of the prelude or the program. Gradient clipping comes first, then weight
decay, then the updater, unless the updater names `weight_decay` itself. The norm of `clip_norm` is
that of the whole gradient, all params together, and acts before `clip`.
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
from singac.model.arguments import Matched, given_twice, match_settings
from singac.model.equations import DECAY, RATE, G, Updater, W, with_settings
from singac.model.equations import settings_of as settings_of_formals
from singac.model.types import CLIP_SCALE, Schedule, Update
from singac.model.values import Called, Scope, Word, describe, evaluate, unknown_name
from singac.schedules import SCHEDULES, check_alternation
from singac.settings import NOT_NEGATIVE, POSITIVE, Given, Setting
from singac.syntax import tree

CLIP, CLIP_NORM = "clip", "clip_norm"
Assigns = tuple[tuple[str, Expression], ...]
# fmt: off
COMMON = (
    Setting(DECAY,  "this times the param is added to its gradient",
            default=0.0, within=NOT_NEGATIVE),
    Setting(CLIP, "gradients are held between -clip and clip",
            optional=True, within=POSITIVE),
    Setting(CLIP_NORM, "all gradients shrink by one factor until their common norm is clip_norm",
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
        message = f"there is no updater `{name}`" if name else "an updater is needed here"
        label = "" if name else f"this is {describe(value)}"
        report.error("SG0160", message, node.span, label, help=help)
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
    rate_argument, others = _split(arguments, RATE, True, report)
    rate = _rate(updater, rate_argument, scope, node, report)
    table = settings_of(updater)
    matched = match_settings(others, table, scope, node.span, report, (RATE,))
    if matched is None or rate is None or len(report.found) > before:
        return None
    return build_update(updater, rate, matched, report)


def settings_of(updater: Updater) -> tuple[Setting, ...]:
    """The settings an updater takes besides its rate."""
    own = [s for s in settings_of_formals(updater.formals, positional=False) if s.name != RATE]
    taken = [s.name for s in own]
    return (*own, *(s for s in COMMON if s.name not in taken))


def rate_of(updater: Updater) -> Setting:
    """The learning rate as a setting: of every updater the first."""
    default = next(f.default for f in updater.formals if f.name == RATE)
    doc = "the learning rate; or a schedule"
    return Setting(RATE, doc, default=default, positional=True, within=NOT_NEGATIVE)


def _split(
    arguments: Sequence[tree.Argument], name: str, positional: bool, report: Report
) -> tuple[tree.Argument | None, list[tree.Argument]]:
    """The argument that gives a rate, named or first if it may be, and the others."""
    named = [a for a in arguments if isinstance(a, tree.Named) and a.path.text == name]
    first = [a for a in arguments[:1] if isinstance(a, tree.Positional) and positional]
    rates = first + named
    if len(rates) > 1:
        given_twice(name, rates[0].span, rates[1].span, report)
    others = [a for a in arguments if a not in rates]
    return (rates[0] if rates else None), others


def _rate(
    updater: Updater,
    argument: tree.Argument | None,
    scope: Scope,
    node: tree.Value,
    report: Report,
) -> Schedule | None:
    if argument is None:
        default = rate_of(updater).default
        if isinstance(default, float):
            return _fixed(default)
        example = f"{updater.name}(rate = 0.1)"
        report.error("SG0202", "setting `rate` is missing", node.span, help=f"write {example}")
        return None
    return _schedule(argument, scope, report)


def _schedule(argument: tree.Argument, scope: Scope, report: Report) -> Schedule | None:
    """A rate as it is written: a number, or a schedule that may have another one inside."""
    assert not isinstance(argument, tree.Drawn), "a rate is given, not drawn"
    value = evaluate(argument.value, scope, report)
    match value:
        case None:
            return None
        case Fraction() if value >= 0:
            return _fixed(float(value))
        case Called(name) if name in SCHEDULES:
            return _called(value, report)
        case Word(text) if text not in SCHEDULES:
            unknown_name(value, scope, report)
            return None
    word = value.name if isinstance(value, Called) else ""
    help = did_you_mean(word, SCHEDULES)
    label = f"this is {describe(value)}"
    message = "a rate is a number, at least 0, or a schedule"
    report.error("SG0161", message, argument.value.span, label, help=help)
    return None


def _fixed(rate: float) -> Schedule:
    return Schedule("fixed", ((RATE, (rate,)),))


def _called(called: Called, report: Report) -> Schedule | None:
    kind = SCHEDULES[called.name]
    plain = [s for s in kind.settings if s != kind.then]
    argument, others = None, list(called.arguments)
    known: tuple[str, ...] = ()
    if kind.then is not None:
        argument, others = _split(called.arguments, kind.then.name, False, report)
        known = (kind.then.name,)
    matched = match_settings(others, plain, called.scope, called.span, report, known)
    then = None if kind.then is None else _inner(kind.then, argument, called, report)
    if matched is None or (kind.then is not None and then is None):
        return None
    many = matched.variadic
    if called.name == "fixed_step" and not check_alternation(many, called.span, report):
        return None
    settings = [(n, (_number(v),)) for n, v in matched.values.items()]
    variadic = [(s.name, tuple(map(_of, many))) for s in kind.settings if s.variadic]
    return Schedule(kind.name, (*settings, *variadic), then)


def _inner(
    setting: Setting, argument: tree.Argument | None, called: Called, report: Report
) -> Schedule | None:
    """The schedule inside another one."""
    if argument is not None:
        return _schedule(argument, called.scope, report)
    message = f"setting `{setting.name}` is missing"
    help = f"`{setting.name}` is {setting.accepts}: {setting.doc}"
    report.error("SG0202", message, called.span, help=help)
    return None


def _of(given: Given) -> float:
    return _number(given.value)


def _number(value: object) -> float:
    assert isinstance(value, int | float), "values were checked to be numbers"
    return float(value)


# -- equations -> update ---------------------------------------------------------------------------


def build_update(
    updater: Updater, rate: Schedule, matched: Matched, report: Report
) -> Update | None:
    """The update with every setting in place but `rate` and `weight_decay`, which vary."""
    numbers = {n: _number(v) for n, v in matched.values.items()}
    own = [f.name for f in updater.formals]
    decay = numbers.pop(DECAY)
    clip = None if CLIP in own else numbers.pop(CLIP, None)
    clip_norm = 0.0 if CLIP_NORM in own else numbers.pop(CLIP_NORM, 0.0)
    assigns = _prologue(clip_norm, clip, 0.0 if DECAY in own else decay)
    assigns += tuple((n, with_settings(e, numbers)) for n, e in updater.assigns)
    states: list[tuple[str, float]] = []
    for name, expression in updater.states:
        start = with_settings(expression, numbers)
        if not isinstance(start, Constant):
            _no_start(updater, name, report)
        elif _is_read_first(name, assigns):
            states.append((name, start.value))
    if len(states) < sum(_is_read_first(n, assigns) for n, _ in updater.states):
        return None
    hoisted, scalars_read = hoist(assigns)
    return Update(updater.name, tuple(states), hoisted, scalars_read, rate, decay, clip_norm)


def _no_start(updater: Updater, state: str, report: Report) -> None:
    parts = [p for p in updater.definition.body if isinstance(p, tree.State)]
    value = next(p.value for p in parts if p.name.text == state)
    message = f"`{value.span.text}` has no value with these settings"
    report.error("SG0133", message, value.span, f"`{state}` starts with it")


def _prologue(clip_norm: float, clip: float | None, decay: float) -> Assigns:
    """What happens to the gradient first: the norm is that of all gradients, before all else."""
    g: Expression = G
    if clip_norm:
        g = mul(g, Scalar(CLIP_SCALE))
    if clip is not None:
        g = call("min", call("max", g, Constant(-clip)), Constant(clip))
    if decay:
        g = add(g, mul(Scalar(DECAY), W))
    return () if g == G else (("g", g),)


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
