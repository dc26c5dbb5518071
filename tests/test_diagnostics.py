"""Diagnostics as they are shown."""

from __future__ import annotations

import pytest

from singac.diagnostics import (
    Diagnostic,
    Failed,
    Place,
    Report,
    Source,
    Span,
    as_json,
    did_you_mean,
    nearest,
    show,
)


def at(text: str, word: str, label: str = "") -> Place:
    start = text.index(word)
    return Place(Span(Source("a.singa", text), start, start + len(word)), label)


@pytest.mark.parametrize(
    ("offset", "position"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (3, 1)), (6, (3, 2))]
)
def test_positions_count_from_one(offset: int, position: tuple[int, int]) -> None:
    assert Source("a.singa", "ab\nc\nd").position(offset) == position


def test_lines_come_without_their_ends() -> None:
    source = Source("a.singa", "one\r\ntwo\n\nfour")
    assert [source.line(n) for n in (1, 2, 3, 4)] == ["one", "two", "", "four"]


def test_both_places_are_shown() -> None:
    text = "let a = 1\n\tlet b = 2\n"
    diagnostic = Diagnostic(
        "SG0301", "one is not two", at(text, "2", "here"), (at(text, "a", "and here"),), "count"
    )
    assert show([diagnostic]).splitlines() == [
        "error[SG0301]: one is not two",
        "  --> a.singa:2:10",
        "  |",
        "2 |  let b = 2",
        "  |          ^ here",
        "  --> a.singa:1:5",
        "  |",
        "1 | let a = 1",
        "  |     ^ and here",
        "  help: count",
    ]


def test_carets_stand_under_wide_characters() -> None:
    excerpt = show([Diagnostic("SG0001", "no", at('let 中 = "文"', '"文"'))]).splitlines()
    assert excerpt[-1] == "  | " + " " * len("let xx = ") + "^^^^"


def test_of_a_long_line_the_place_is_shown() -> None:
    text = "# " + "x" * 5_000 + "BAD" + "y" * 5_000
    lines = show([Diagnostic("SG0001", "no", at(text, "BAD"))]).splitlines()
    assert max(map(len, lines)) < 200
    assert lines[1].endswith(":1:5003")
    assert lines[-2].index("BAD") == lines[-1].index("^^^")


def test_no_control_character_reaches_a_screen() -> None:
    diagnostic = Diagnostic("SG0001", "\x1b[31m\u202e", at("let \x1b = 1", "="))
    assert "\x1b" not in show([diagnostic])
    assert "\u202e" not in show([diagnostic])


def test_json_has_the_places_as_numbers() -> None:
    json = as_json(Diagnostic("SG0001", "no", at("let\nb = 1", "b = 1", "here")))
    assert json["place"] == {
        "file": "a.singa",
        "line": 2,
        "column": 1,
        "end_line": 2,
        "end_column": 6,
        "label": "here",
    }


def test_a_failure_tells_each_mistake_once() -> None:
    report = Report()
    place = at("let a = 1", "a")
    report.error("SG0001", "no", place.span)
    report.error("SG0001", "no", place.span)
    assert len(Failed(report.found).diagnostics) == 1


def test_the_nearest_word_is_offered() -> None:
    assert nearest("Relu", ["sigmoid", "relu"]) == "relu"
    assert nearest("denze", ["sigmoid", "dense"]) == "dense"
    assert nearest("zzz", ["sigmoid", "dense"]) is None
    assert did_you_mean("denze", ["dense"]) == "did you mean `dense`?"
    assert did_you_mean("zzz", ["a", "b"]) == "known here: a, b"
