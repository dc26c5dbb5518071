"""Arguments as written -> values of a kind's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.values import (
    Called,
    Scope,
    Tied,
    Value,
    Word,
    describe,
    evaluate,
    show_number,
    unknown_name,
)
from singac.settings import Given, Setting, SettingValue, Sort, check_settings, check_value
from singac.syntax import tree

BOOLEANS = {"true": True, "false": False}


@dataclass(slots=True)
class Collected:
    """Arguments by the setting they give, types unchecked; `failed` settings have no value."""

    given: dict[str, Given] = field(default_factory=dict)
    many: list[Given] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Matched:
    """Values of settings, defaults filled in, and where those that were written stand.

    `variadic` has the values of a setting that takes many.
    """

    values: Mapping[str, SettingValue]
    spans: Mapping[str, Span]
    variadic: tuple[Given, ...] = ()


def match_settings(
    arguments: Sequence[tree.Argument],
    table: Sequence[Setting],
    scope: Scope,
    span: Span,
    report: Report,
    also_known: Sequence[str] = (),
) -> Matched | None:
    """The settings of `table` that the arguments give, or None after reporting what is wrong.

    `also_known` are names the caller takes care of; they are offered when a name is unknown.
    """
    before = len(report.found)
    found = collect(arguments, table, scope, report, also_known)
    table = [s for s in table if s.name not in found.failed]
    values = check_settings([s for s in table if not s.variadic], found.given, span, report)
    checked = tuple(_checked_many(table, found.many, report))
    for setting in table:
        if setting.variadic and not found.many:
            report.error("SG0202", f"setting `{setting.name}` is missing", span, help=setting.doc)
    if len(report.found) > before or values is None:
        return None
    return Matched(values, {n: g.span for n, g in found.given.items()}, checked)


def collect(
    arguments: Sequence[tree.Argument],
    table: Sequence[Setting],
    scope: Scope,
    report: Report,
    also_known: Sequence[str],
) -> Collected:
    """The setting each argument gives, in the order in which they are written."""
    found = Collected()
    for argument in arguments:
        setting = _setting_of(argument, table, found, report, also_known)
        if setting is None:
            continue
        assert not isinstance(argument, tree.Drawn), "a drawn argument names no setting"
        value = as_setting(argument.value, setting, scope, report)
        given = found.given.get(setting.name)
        if value is None:
            found.failed.append(setting.name)
        elif setting.variadic:
            found.many.append(Given(value, argument.value.span))
        elif given is not None:
            given_twice(setting.name, given.span, argument.span, report)
        else:
            found.given[setting.name] = Given(value, argument.value.span)
    return found


def given_twice(name: str, first: Span, second: Span, report: Report) -> None:
    """Reports what has two values."""
    related = (Place(first, "first given here"),)
    report.error("SG0111", f"`{name}` is given twice", second, related=related)


def _setting_of(
    argument: tree.Argument,
    table: Sequence[Setting],
    found: Collected,
    report: Report,
    also_known: Sequence[str],
) -> Setting | None:
    """The setting an argument gives, None after reporting that there is none."""
    if isinstance(argument, tree.Positional):
        open_ = [s for s in table if s.name not in found.given and s.name not in found.failed]
        for setting in table:
            if setting.positional and (setting.variadic or setting in open_):
                return setting
        names = [f"{s.name} = ..." for s in open_]
        help = f"what can be given here: {', '.join(names)}" if names else "nothing more is taken"
        message = "this value lacks the name of its setting"
        report.error("SG0112", message, argument.span, help=help)
        return None
    name = argument.path.text
    for setting in table:
        if setting.name == name:
            if not isinstance(argument, tree.Drawn):
                return setting
            report.error(
                "SG0113",
                f"`{name}` is a setting and is not drawn",
                argument.span,
                help=f"write {name} = ...; only params are drawn with ~",
            )
            return None
    known = [s.name for s in table] + list(also_known)
    help = did_you_mean(name, known) or "it takes no settings"
    report.error("SG0100", f"there is no setting `{name}` here", argument.path.span, help=help)
    return None


def as_setting(
    node: tree.Value, setting: Setting, scope: Scope, report: Report
) -> SettingValue | None:
    """A value as a setting may hold it; words only where the setting knows them."""
    value = evaluate(node, scope, report)
    match value:
        case None:
            return None
        case Fraction():
            return value.numerator if value.denominator == 1 else float(value)
        case Word(text) if text in BOOLEANS:
            return BOOLEANS[text]
        case Word(text) if text in setting.choices:
            return text
        case Word():
            unknown_word(value, setting, scope, report)
        case Called() | Tied():
            message = f"`{setting.name}` must be {setting.accepts}"
            report.error("SG0200", message, node.span, f"this is {describe(value)}")
        case tuple() | str():
            return value
    return None


def unknown_word(word: Word, setting: Setting, scope: Scope, report: Report) -> None:
    """Reports a word that is neither a name nor one of the setting's choices."""
    known = setting.choices or (tuple(BOOLEANS) if Sort.BOOLEAN in setting.sorts else ())
    quoted = all(s in (Sort.TEXT, Sort.PATH) for s in setting.sorts)
    if not known and not quoted:
        unknown_name(word, scope, report)
        return
    message = f"`{setting.name}` must be {setting.accepts}"
    help = f'"{word.text}"' if quoted else did_you_mean(word.text, [*known, *scope])
    report.error("SG0200", message, word.span, f"this is {describe(word)}", help=help)


def _checked_many(table: Sequence[Setting], many: list[Given], report: Report) -> list[Given]:
    setting = next((s for s in table if s.variadic), None)
    if setting is None:
        return []
    checked = ((check_value(setting, g, report), g.span) for g in many)
    return [Given(value, span) for value, span in checked if value is not None]


def as_number(value: Value, what: str, span: Span, report: Report, scope: Scope) -> Fraction | None:
    """The value if it is a number; reports otherwise."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, Word):
        unknown_name(value, scope, report)
        return None
    report.error("SG0200", f"{what} must be a number", span, f"this is {describe(value)}")
    return None


def as_whole(
    value: Value, what: str, span: Span, report: Report, scope: Scope, least: int, most: int
) -> int | None:
    """The value if it is a whole number from `least` to `most`; reports otherwise."""
    found = as_number(value, what, span, report, scope)
    if found is None:
        return None
    if found.denominator == 1 and least <= found <= most:
        return found.numerator
    bound = f"at most {most:,}" if found > most else f"of at least {least}"
    label = f"this is {show_number(found)}"
    report.error("SG0201", f"{what} must be a whole number {bound}", span, label)
    return None
