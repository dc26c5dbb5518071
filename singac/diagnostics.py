"""What a writer of `.singa` text is told: sources, spans, diagnostics and how they are shown.

A diagnostic states one fact about the text, points at it, points at the other place when two
places disagree, and says what to do. Passes collect diagnostics and go on; `Failed` carries them
out of a stage that cannot give its result.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

_EXCERPT = 160


class Exit(IntEnum):
    """Exit codes of the command line."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    ENVIRONMENT = 3
    DAMAGED = 4
    STALLED = 124
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Source:
    """One text and the name it is shown under.

    `shown`, of the same length, is what excerpts are taken from where it is not what is parsed.
    """

    path: str
    text: str
    shown: str | None = None

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        start_of_line = self.text.rfind("\n", 0, offset) + 1
        return self.text.count("\n", 0, offset) + 1, offset - start_of_line + 1

    def line(self, number: int) -> str:
        """Text of a line counted from 1, without its end."""
        return (self.shown or self.text).split("\n", number)[number - 1].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch `source.text[start:stop]`."""

    source: Source = field(repr=False)
    start: int
    stop: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.stop]

    def to(self, other: Span) -> Span:
        """The stretch from the start of this one to the stop of the other."""
        return Span(self.source, self.start, other.stop)


@dataclass(frozen=True, slots=True)
class Place:
    """A span and what is to be said about it."""

    span: Span
    label: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: a code, a fact, where it is, the other place, and the remedy.

    `message` is lower case without a full stop; `help` has the numbers worked out. `file` names a
    data file, checkpoint or folder when the mistake is not in a `.singa` text.
    """

    code: str
    message: str
    place: Place | None = None
    related: tuple[Place, ...] = ()
    help: str | None = None
    file: str | None = None
    exit: Exit = Exit.FAILED
    severity: str = "error"


class Failed(Exception):
    """A stage cannot give its result; `diagnostics` say why."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(dict.fromkeys(diagnostics))
        assert self.diagnostics, "a failure needs at least one diagnostic"
        super().__init__("; ".join(d.message for d in self.diagnostics))

    @property
    def exit(self) -> Exit:
        """The most particular exit code among the diagnostics."""
        return max(d.exit for d in self.diagnostics if d.severity == "error")


class Ended(Exception):
    """A run has ended before its time and told why itself; `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Report:
    """Collects the diagnostics of a run of passes, in the order in which they were found.

    What is wrong inside a block is found again each time the block is used: passes see from the
    growing list that they failed, and whoever shows it drops repetitions. Warnings are no failure.
    """

    found: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        label: str = "",
        *,
        related: Sequence[Place] = (),
        help: str | None = None,
        exit: Exit = Exit.FAILED,
    ) -> None:
        place = Place(span, label) if span else None
        diagnostic = Diagnostic(code, message, place, tuple(related), help, exit=exit)
        self.found.append(diagnostic)

    def stop_if_any(self) -> None:
        """Raise `Failed` when an error was reported."""
        if self.found:
            raise Failed(self.found)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near."""
    candidates = list(dict.fromkeys(known))
    folded = {c.lower(): c for c in reversed(candidates)}
    if word.lower() in folded:
        return folded[word.lower()]
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Help for an unknown word: the nearest known one, or the list of what is known."""
    candidates = list(dict.fromkeys(known))
    best = nearest(word, candidates)
    if best is not None:
        return f"did you mean `{best}`?"
    return f"known here: {', '.join(candidates)}" if candidates else None


def show(diagnostics: Iterable[Diagnostic]) -> str:
    """Diagnostics as plain text, an excerpt with a caret line for each place."""
    return "\n\n".join(_show_one(d) for d in diagnostics)


def _show_one(diagnostic: Diagnostic) -> str:
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {printable(diagnostic.message)}"]
    if diagnostic.file is not None:
        lines.append(f"  --> {printable(diagnostic.file)}")
    places = ([diagnostic.place] if diagnostic.place else []) + list(diagnostic.related)
    for place in places:
        lines += _excerpt(place)
    if diagnostic.help:
        lines.append(f"  help: {printable(diagnostic.help)}")
    return "\n".join(lines)


def _excerpt(place: Place) -> list[str]:
    source = place.span.source
    line, column = source.position(place.span.start)
    gutter = " " * len(str(line))
    # Of a very long line only what stands around the place is shown.
    raw = source.line(line).replace("\t", " ")
    left = max(0, column - 1 - _EXCERPT // 2) if len(raw) > _EXCERPT else 0
    text = printable(raw[left : left + _EXCERPT])
    before = width(printable(raw[left : column - 1]))
    inside = place.span.text[:_EXCERPT].split("\n", 1)[0].rstrip("\r").replace("\t", " ")
    carets = "^" * max(1, min(width(printable(inside)), width(text) - before))
    label = f" {printable(place.label)}" if place.label else ""
    return [
        f"  --> {printable(source.path)}:{line}:{column}",
        f"{gutter} |",
        f"{line} | {text}",
        f"{gutter} | {' ' * before}{carets}{label}",
    ]


def width(text: str) -> int:
    """Cells a text takes on a terminal: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def printable(text: str) -> str:
    """The text with control and bidirectional characters shown as `?`, so none reaches a screen."""
    return "".join(c if unicodedata.category(c)[0] != "C" or c == "\n" else "?" for c in text)


def as_json(diagnostic: Diagnostic) -> dict[str, object]:
    """A diagnostic as the JSON object of `check --format json`."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": _file(diagnostic),
        "place": _place_json(diagnostic.place) if diagnostic.place else None,
        "related": [_place_json(p) for p in diagnostic.related],
        "help": diagnostic.help,
    }


def _file(diagnostic: Diagnostic) -> str | None:
    return diagnostic.place.span.source.path if diagnostic.place else diagnostic.file


def _place_json(place: Place) -> dict[str, object]:
    line, column = place.span.source.position(place.span.start)
    end_line, end_column = place.span.source.position(place.span.stop)
    return {
        "file": place.span.source.path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "label": place.label,
    }
