"""Settings that kinds of layer, source, schedule and updater declare, and checking their values.

Every table of the language declares its settings this way, so one check serves them all and
`singac list` can print them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

from singac.diagnostics import Report, Span, nearest

SettingValue = bool | int | float | str | tuple[int, ...]


class Sort(StrEnum):
    """What a value can be. A word is one of the setting's `choices`, a text any string."""

    NUMBER = "a number"
    INTEGER = "a whole number"
    FRACTION = "a fraction"
    SHAPE = "a shape"
    BOOLEAN = "true or false"
    WORD = "a word"
    TEXT = "a text in quotes"
    PATH = "a path in quotes"
    SCHEDULE = "a schedule"


_NUMERIC = (Sort.NUMBER, Sort.INTEGER, Sort.FRACTION, Sort.SHAPE)


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`; an open end is itself left out."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"{'above' if self.low_open else 'of at least'} {self.low:g}"
        high = f"{'below' if self.high_open else 'at most'} {self.high:g}"
        ends = [low] * (self.low > -math.inf) + [high] * (self.high < math.inf)
        return " and ".join(ends)


# fmt: off
ANY          = Interval()
POSITIVE     = Interval(low=0.0, low_open=True)
NOT_NEGATIVE = Interval(low=0.0)
AT_LEAST_ONE = Interval(low=1.0)
SHARE        = Interval(low=0.0, high=1.0, low_open=True)
BELOW_ONE    = Interval(low=0.0, high=1.0, high_open=True)
# fmt: on


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, what it may be and a sentence about it.

    Without a `default` it must be given, unless it is `optional`: then leaving it out means what
    `doc` says. A `variadic` setting takes every positional argument from its place on.
    `within` bounds numbers, whole numbers, fractions and each size of a shape.
    """

    name: str
    doc: str
    sorts: tuple[Sort, ...] = (Sort.NUMBER,)
    default: SettingValue | None = None
    optional: bool = False
    positional: bool = False
    variadic: bool = False
    choices: tuple[str, ...] = ()
    within: Interval = ANY

    @property
    def required(self) -> bool:
        return self.default is None and not self.optional

    @property
    def accepts(self) -> str:
        """What it may be, in words: `a number above 0`, `` `first`, `last` or a whole number ``."""
        words = [f"`{c}`" for c in self.choices]
        *most, last = words + [self._bounded(s) for s in self.sorts if s is not Sort.WORD]
        return f"{', '.join(most)} or {last}" if most else last

    def _bounded(self, sort: Sort) -> str:
        return f"{sort} {self.within}".rstrip() if sort in _NUMERIC else str(sort)


@dataclass(frozen=True, slots=True)
class Given:
    """An evaluated value and where it was written."""

    value: SettingValue
    span: Span


def check_value(setting: Setting, given: Given, report: Report) -> SettingValue | None:
    """The value in its setting's own type (a whole number as int, a size as a shape of one).

    Reports SG0200 for a value of another sort, SG0201 for one out of bounds, and gives None.
    """
    for sort in setting.sorts:
        value = _as_sort(sort, setting, given.value)
        if value is not None:
            return value if _inside(setting, value, given, report) else None
    report.error(
        "SG0200",
        f"`{setting.name}` must be {setting.accepts}",
        given.span,
        f"this is {describe(given.value)}",
        help=_word_help(setting, given.value),
    )
    return None


def check_settings(
    table: Sequence[Setting], given: Mapping[str, Given], span: Span, report: Report
) -> dict[str, SettingValue] | None:
    """Values of every setting in the order of the table, defaults filled in.

    Optional settings left out are absent. Reports SG0202 at `span` for a missing one; words that
    are not in the table are the caller's to report. None when anything was reported.
    """
    before = len(report.found)
    values: dict[str, SettingValue] = {}
    for setting in table:
        value = setting.default
        if setting.name in given:
            value = check_value(setting, given[setting.name], report)
        elif setting.required:
            report.error(
                "SG0202",
                f"setting `{setting.name}` is missing",
                span,
                help=f"`{setting.name}` is {setting.accepts}: {setting.doc}",
            )
        if value is not None:
            values[setting.name] = value
    return values if len(report.found) == before else None


def describe(value: SettingValue) -> str:
    """A value in words, for a message."""
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"the shape {shape_text(value)}"
    return f"{value:.10g}"


def shape_text(shape: Sequence[int]) -> str:
    """`3x227x227`"""
    return "x".join(map(str, shape))


def _as_sort(sort: Sort, setting: Setting, value: SettingValue) -> SettingValue | None:
    match sort:
        case Sort.BOOLEAN:
            return value if isinstance(value, bool) else None
        case Sort.WORD:
            return value if isinstance(value, str) and value in setting.choices else None
        case Sort.TEXT | Sort.PATH:
            return value if isinstance(value, str) and value else None
        case Sort.SHAPE:
            return _as_shape(value)
        case Sort.INTEGER:
            return _as_integer(value)
        case Sort.NUMBER | Sort.FRACTION:
            return float(value) if _is_number(value) else None
        case Sort.SCHEDULE:
            raise AssertionError(
                "a schedule is no plain value: the updater's rate is resolved apart"
            )


def _as_shape(value: SettingValue) -> tuple[int, ...] | None:
    if isinstance(value, tuple):
        return value
    size = _as_integer(value)
    return None if size is None else (size,)


def _as_integer(value: SettingValue) -> int | None:
    return int(value) if _is_number(value) and float(value).is_integer() else None


def _is_number(value: SettingValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _inside(setting: Setting, value: SettingValue, given: Given, report: Report) -> bool:
    if isinstance(value, bool | str):
        return True
    numbers = value if isinstance(value, tuple) else (value,)
    if all(n in setting.within for n in numbers):
        return True
    report.error(
        "SG0201",
        f"`{setting.name}` must be {setting.accepts}",
        given.span,
        f"this is {describe(value)}",
    )
    return False


def _word_help(setting: Setting, value: SettingValue) -> str | None:
    word = nearest(value, setting.choices) if isinstance(value, str) else None
    return f"did you mean `{word}`?" if word else None
