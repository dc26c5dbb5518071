"""Values of settings: the sorts they can be of, bounds, defaults, and how they are described."""

from __future__ import annotations

import math

import pytest

from singac.diagnostics import Report, Source, Span
from singac.settings import (
    AT_LEAST_ONE,
    BELOW_ONE,
    POSITIVE,
    Given,
    Setting,
    SettingValue,
    Sort,
    check_settings,
    check_value,
)

SPAN = Span(Source("net.singa", "dense(256)"), 0, 10)

# fmt: off
SIZE   = Setting("size",   "the size",     sorts=(Sort.INTEGER,), within=AT_LEAST_ONE)
RATE   = Setting("rate",   "the rate",     default=0.1, within=POSITIVE)
RATIO  = Setting("ratio",  "the ratio",    default=0.5, within=BELOW_ONE)
KERNEL = Setting("kernel", "the kernel",   sorts=(Sort.SHAPE,), optional=True, within=AT_LEAST_ONE)
PART   = Setting("part",   "a part",       sorts=(Sort.FRACTION, Sort.PATH), within=BELOW_ONE)
LABEL  = Setting("label",  "the column",   sorts=(Sort.WORD, Sort.INTEGER),
                 choices=("first", "last"))
FLAG   = Setting("flag",   "on or off",    sorts=(Sort.BOOLEAN,), default=False)

TAKEN: list[tuple[Setting, SettingValue, SettingValue]] = [
    (SIZE,   3.0,      3),
    (RATE,   2,        2.0),
    (RATIO,  0.0,      0.0),
    (KERNEL, (3, 3),   (3, 3)),
    (KERNEL, 5.0,      (5,)),
    (PART,   0.2,      0.2),
    (PART,   "a.csv",  "a.csv"),
    (LABEL,  "last",   "last"),
    (LABEL,  4.0,      4),
    (FLAG,   True,     True),
]
REFUSED: list[tuple[Setting, SettingValue, str]] = [
    (SIZE,   2.5,      "SG0200"),
    (SIZE,   True,     "SG0200"),
    (SIZE,   0.0,      "SG0201"),
    (SIZE,   (3, 3),   "SG0200"),
    (RATE,   0.0,      "SG0201"),
    (RATE,   math.inf, "SG0200"),
    (RATE,   math.nan, "SG0200"),
    (RATIO,  1.0,      "SG0201"),
    (KERNEL, (3, 0),   "SG0201"),
    (PART,   "",       "SG0200"),
    (PART,   1.5,      "SG0201"),
    (LABEL,  "fist",   "SG0200"),
    (FLAG,   1.0,      "SG0200"),
]
# fmt: on


@pytest.mark.parametrize(("setting", "value", "wanted"), TAKEN)
def test_values_taken(setting: Setting, value: SettingValue, wanted: SettingValue) -> None:
    report = Report()
    taken = check_value(setting, Given(value, SPAN), report)
    assert (taken, type(taken), report.found) == (wanted, type(wanted), [])


@pytest.mark.parametrize(("setting", "value", "code"), REFUSED)
def test_values_refused(setting: Setting, value: SettingValue, code: str) -> None:
    report = Report()
    assert check_value(setting, Given(value, SPAN), report) is None
    assert [d.code for d in report.found] == [code]


def test_what_a_writer_is_told() -> None:
    report = Report()
    check_value(LABEL, Given("fist", SPAN), report)
    (found,) = report.found
    assert found.message == "`label` must be `first`, `last` or a whole number"
    assert found.place is not None
    assert found.place.label == 'this is "fist"'
    assert found.help == "did you mean `first`?"


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (RATE, "a number above 0"),
        (SIZE, "a whole number of at least 1"),
        (PART, "a fraction of at least 0 and below 1 or a path in quotes"),
        (FLAG, "true or false"),
    ],
)
def test_what_a_setting_accepts(setting: Setting, text: str) -> None:
    assert setting.accepts == text


def test_a_table_of_settings() -> None:
    report = Report()
    given = {"rate": Given(0.5, SPAN), "size": Given(3.0, SPAN)}
    values = check_settings((SIZE, RATE, RATIO, KERNEL), given, SPAN, report)
    assert values == {"size": 3, "rate": 0.5, "ratio": 0.5}
    assert list(values) == ["size", "rate", "ratio"]


def test_a_table_with_every_mistake_reported() -> None:
    report = Report()
    given = {"rate": Given(-1.0, SPAN)}
    assert check_settings((SIZE, RATE), given, SPAN, report) is None
    assert [d.code for d in report.found] == ["SG0202", "SG0201"]
    assert report.found[0].help == "`size` is a whole number of at least 1: the size"
