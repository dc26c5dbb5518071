"""Arguments as written -> values of a kind's settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.values import Called, Scope, Tied, Value, Word, describe, evaluate, unknown_name
from singac.settings import Given, Setting, SettingValue, check_settings, check_value
from singac.syntax import tree

BOOLEANS = {"true": True, "false": False}


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
    given, many = collect(arguments, table, scope, report, also_known)
    single = [s for s in table if not s.variadic]
    values = check_settings(single, given, span, report)
    checked = tuple(_checked_many(table, many, report))
    for setting in table:
        if setting.variadic and not many:
            report.error("SG0202", f"setting `{setting.name}` is missing", span, help=setting.doc)
    if len(report.found) > before or values is None:
        return None
    return Matched(values, {n: g.span for n, g in given.items()}, checked)


def collect(
    arguments: Sequence[tree.Argument],
    table: Sequence[Setting],
    scope: Scope,
    report: Report,
    also_known: Sequence[str],
) -> tuple[dict[str, Given], list[Given]]:
    """Values by the name of their setting, and those of a variadic setting; types unchecked."""
    positional = [s for s in table if s.positional]
    given: dict[str, Given] = {}
    many: list[Given] = []
    for argument in arguments:
        setting = _setting_of(argument, table, positional, given, report, also_known)
        if setting is None:
            continue
        assert not isinstance(argument, tree.Drawn), "a drawn argument names no setting"
        value = as_setting(argument.value, setting, scope, report)
        if value is None:
            given.setdefault(setting.name, Given(0, argument.span))
            continue
        if setting.variadic:
            many.append(Given(value, argument.value.span))
        elif setting.name in given and not isinstance(argument, tree.Positional):
            first = (Place(given[setting.name].span, "first given here"),)
            report.error("SG0111", f"`{setting.name}` is given twice", argument.span, related=first)
        else:
            given[setting.name] = Given(value, argument.value.span)
    return given, many


def _setting_of(
    argument: tree.Argument,
    table: Sequence[Setting],
    positional: list[Setting],
    given: Mapping[str, Given],
    report: Report,
    also_known: Sequence[str],
) -> Setting | None:
    """The setting an argument gives, None after reporting that there is none."""
    if isinstance(argument, tree.Positional):
        free = [s for s in positional if s.variadic or s.name not in given]
        if free:
            return free[0]
        names = [f"{s.name} = ..." for s in table if s.name not in given]
        help = f"settings are named here: {', '.join(names)}" if names else "it takes no more"
        report.error("SG0112", "this value has no name and no place", argument.span, help=help)
        return None
    name = argument.path.text
    for setting in table:
        if setting.name == name:
            if not isinstance(argument, tree.Drawn):
                return setting
            report.error(
                "SG0113", f"`{name}` is a setting, not a param", argument.span, help="use ="
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
    if not setting.choices:
        unknown_name(word, scope, report)
        return
    message = f"`{setting.name}` must be {setting.accepts}"
    help = did_you_mean(word.text, [*setting.choices, *scope])
    report.error("SG0200", message, word.span, f"this is {describe(word)}", help=help)


def _checked_many(table: Sequence[Setting], many: list[Given], report: Report) -> list[Given]:
    setting = next((s for s in table if s.variadic), None)
    if setting is None:
        return []
    checked = ((check_value(setting, g, report), g.span) for g in many)
    return [Given(value, span) for value, span in checked if value is not None]


def as_number(value: Value, what: str, span: Span, report: Report) -> Fraction | None:
    """The value if it is a number; reports otherwise."""
    if isinstance(value, Fraction):
        return value
    report.error("SG0200", f"{what} must be a number", span, f"this is {describe(value)}")
    return None


def as_whole(value: Value, what: str, span: Span, report: Report, least: int = 0) -> int | None:
    """The value if it is a whole number not below `least`; reports otherwise."""
    found = as_number(value, what, span, report)
    if found is None:
        return None
    if found.denominator == 1 and found >= least:
        return found.numerator
    needed = f"a whole number, at least {least}"
    label = f"this is {float(found):g}"
    report.error("SG0201", f"{what} must be {needed}", span, label)
    return None
