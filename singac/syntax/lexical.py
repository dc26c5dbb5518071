"""What a text shows before it is parsed: its comments, its brackets and where its blocks start."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from singac.diagnostics import Source, Span
from singac.syntax.tree import Comment

# A string comes first so that `#` and brackets inside it are no comment and no bracket.
_MARK = re.compile(r'"[^"\r\n]*"|#[^\r\n]*|[()\[\]{}]')

_HEAD = re.compile(
    r"""(?:use|let|data|block|layer|net|partition|train|cluster)(?:[ \t]+\w|[ \t]*[{"])
      | updater\s+[A-Za-z_]\w*\s*(?:\([^{}]{0,20000}\)\s*)?\{""",
    re.VERBOSE,
)
_HEAD_OF_LINE = re.compile(rf"^[ \t]*(?={_HEAD.pattern})", re.VERBOSE | re.MULTILINE)

CLOSER = {"(": ")", "[": "]", "{": "}"}

# A line that starts with anything but what goes on with the line before.
_LINE = re.compile(r"\n[ \t\r]*(?=[^\s#\-<,)\]=~+*/.':{])")
_MARK_OR_LINE = re.compile(f"{_MARK.pattern}|{_LINE.pattern}")
_ONE_WORD = re.compile(r"\s*[\w.\[\]-]*\s*")


@dataclass(frozen=True, slots=True)
class Bracket:
    """An opening bracket and its offset."""

    sign: str
    offset: int


def comments(source: Source) -> tuple[Comment, ...]:
    """The comments of a text in order."""
    return tuple(
        Comment(m.group().rstrip(), Span(source, m.start(), m.start() + len(m.group().rstrip())))
        for m in _MARK.finditer(source.text)
        if m.group()[0] == "#"
    )


def chunks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of a text that start at a line with the first word of a block.

    In a text without mistakes no stretch ends inside a block, because the words that start one
    are not names; so each stretch is parsed alone, and a mistake in one hides none in another.
    """
    first = 1 if text.startswith("\ufeff") else 0
    start = first
    for match in _HEAD_OF_LINE.finditer(text, first):
        if match.start() > start:
            yield start, match.start()
            start = match.start()
    yield start, len(text)


def starts_block(text: str, offset: int) -> bool:
    """Whether a block's first words stand at the offset."""
    return _HEAD.match(text, offset) is not None


def open_brackets(text: str, start: int, stop: int) -> list[Bracket]:
    """The brackets opened and not closed in `text[start:stop]`, outermost first."""
    stack: list[Bracket] = []
    for match in _MARK.finditer(text, start, stop):
        sign = match.group()
        if sign in CLOSER:
            stack.append(Bracket(sign, match.start()))
        elif stack and sign == CLOSER[stack[-1].sign]:
            stack.pop()
    return stack


def first_too_deep(text: str, start: int, stop: int, limit: int) -> int | None:
    """Offset of the first bracket inside more than `limit` others, or None."""
    depth = 0
    for match in _MARK.finditer(text, start, stop):
        if match.group() in CLOSER:
            depth += 1
            if depth > limit:
                return match.start()
        elif match.group() in ")]}":
            depth = max(0, depth - 1)
    return None


def without_row(text: str, offset: int) -> str | None:
    """A stretch without the row around a mistake, or None for a mistake in no block's body.

    Where a row has but one word before the mistake, the row before may be the one that is wrong:

        batch =
        steps = 3
              ^ the mistake is met here
    """
    starts = list(_row_starts(text))
    row = bisect_right(starts, offset) - 1
    if row < 0 or row + 1 == len(starts):
        return None
    stop = starts[row + 1]
    if row > 0 and _ONE_WORD.fullmatch(text, starts[row], offset):
        row -= 1
    return text[: starts[row]] + re.sub(r"[^\n]", " ", text[starts[row] : stop]) + text[stop:]


def _row_starts(text: str) -> Iterator[int]:
    """Where the rows of the first block's body start, and last where its `}` stands."""
    stack: list[str] = []
    for match in _MARK_OR_LINE.finditer(text):
        sign = match.group()
        if sign in CLOSER:
            stack.append(sign)
            if stack == ["{"]:
                yield match.end()
        elif sign[0] == "\n" and stack == ["{"]:
            yield match.end()
        elif stack and sign == CLOSER[stack[-1]]:
            if stack == ["{"]:
                yield match.start()
                return
            stack.pop()
        elif sign in CLOSER.values():
            return  # with a bracket too many, rows cannot be told apart
