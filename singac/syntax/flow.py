"""Rows of pieces and the comments between them -> lines of text.

A row is what a formatter must keep together: a setting, a chain, a block's head. Its pieces are
texts with the place they came from, so a comment finds the piece it followed, and with it whether
the writer broke the line before a piece. `Open` starts a bracket: until its `Close`, lines continue
under the column after it.

    image -> conv1: convolve(96, 11x11,      pieces: `image`  Open  `-> conv1: convolve(`  Open
             |               4, 0)                   `96,` `11x11,` `4,` `0`  Close  `)`
             |               ^ second Open
          -> relu  # words                           `-> relu`  Close
          ^ first Open
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import accumulate

from singac.diagnostics import Source
from singac.syntax.tree import Comment

WIDTH = 100
NOWHERE = -1

# A bracket opened farther right leaves too little room below it.
_LAST_COLUMN = 60


@dataclass(frozen=True, slots=True)
class Text:
    """What is printed for `source.text[start:stop]`, with `space` before it on a line.

    Where `may_break`, a line break is kept, or made when what follows does not fit. A text from
    `NOWHERE` follows the one before it closely: no comment comes between.
    """

    text: str
    start: int
    stop: int
    space: str = ""
    may_break: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """Lines continue `offset` columns after the end of the line so far, until the `Close`."""

    offset: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """The end of an `Open`."""


Piece = Text | Open | Close
Row = list[Piece]


def with_suffix(row: Row, suffix: str) -> Row:
    """The row with a sign after its last text."""
    at = max(i for i, piece in enumerate(row) if isinstance(piece, Text))
    last = row[at]
    assert isinstance(last, Text), "the last text is a text"
    return [*row[:at], replace(last, text=last.text + suffix), *row[at + 1 :]]


def with_space(row: Row, space: str, *, may_break: bool = False) -> Row:
    """The row with a space, or a possible line break, before its first text."""
    at = next(i for i, piece in enumerate(row) if isinstance(piece, Text))
    first = row[at]
    assert isinstance(first, Text), "the first text is a text"
    return [*row[:at], replace(first, space=space, may_break=may_break), *row[at + 1 :]]


def one_line(row: Row) -> str:
    """The row without any line break."""
    return "".join(p.space + p.text for p in row if isinstance(p, Text)).lstrip()


def start_of(row: Row) -> int:
    return next(p.start for p in row if isinstance(p, Text))


def last_start_of(row: Row) -> int:
    return max(p.start for p in row if isinstance(p, Text))


def is_broken(row: Row, source: Source) -> bool:
    """Whether the writer broke the line inside the row at a place where breaks are kept."""
    texts = [p for p in row if isinstance(p, Text)]
    stops = accumulate((t.stop for t in texts), max)
    return any(
        text.may_break and "\n" in source.text[stop : text.start]
        for text, stop in zip(texts[1:], stops, strict=False)
    )


@dataclass(slots=True)
class Writer:
    """Writes rows in the order of the source and puts each comment where it stood."""

    source: Source
    comments: deque[Comment]
    lines: list[str] = field(default_factory=list)
    line: str = ""
    stop: int = 0
    columns: list[int] = field(default_factory=list)
    first_in_block: bool = True  # no blank line goes before

    def row(self, row: Row, indent: int) -> None:
        """Write a row on lines of its own; the row before it ends here."""
        self.columns = [indent]
        self._comments_before(start_of(row))
        self._end_line()
        self._blank_line(start_of(row))
        self.line = " " * indent
        self.columns = [indent + 4]
        depths = _depths(row)
        for at, piece in enumerate(row):
            match piece:
                case Open(offset):
                    column = len(self.line) + offset
                    self.columns.append(column if column <= _LAST_COLUMN else self.columns[-1])
                case Close():
                    self.columns.pop()
                case Text():
                    self._text(piece, _run_length(row, depths, at, self.source))
        self.first_in_block = False

    def head(self, row: Row, indent: int) -> None:
        """Write the row that opens a block."""
        self.row(row, indent)
        self.first_in_block = True

    def end(self) -> str:
        """The whole text, after the comments that are left."""
        self.columns = [0]
        self._comments_before(len(self.source.text) + 1)
        self._end_line()
        return "".join(f"{line}\n" for line in self.lines)

    def close(self, offset: int, indent: int) -> None:
        """Write the `}` that stands at the offset, after the comments at the end of its block."""
        self.columns = [indent + 4]
        self._comments_before(offset)
        self._end_line()
        self.first_in_block = True
        self.row([Text("}", offset, offset + 1)], indent)

    def _text(self, piece: Text, run: int) -> None:
        at_start = not self.line.strip()
        if self.comments and self.comments[0].span.start < piece.start and not at_start:
            self._comments_before(piece.start, inside_row=True)
            self._continue_line()
        elif piece.may_break and not at_start and self._breaks(piece, run):
            self._continue_line()
        elif not at_start:
            self.line += piece.space
        self.line += piece.text
        self.stop = max(self.stop, piece.stop)

    def _breaks(self, piece: Text, run: int) -> bool:
        written = "\n" in self.source.text[self.stop : piece.start]
        return written or len(self.line) + len(piece.space) + run > WIDTH

    def _continue_line(self) -> None:
        self._end_line()
        self.line = " " * self.columns[-1]

    def _end_line(self) -> None:
        if self.line.strip():
            self.lines.append(self.line.rstrip())
        self.line = ""

    def _blank_line(self, start: int) -> None:
        """Keep a blank line of the writer's, but none after `{` or before `}`."""
        if not self.first_in_block and has_blank_line(self.source, self.stop, start):
            self.lines.append("")

    def _comments_before(self, offset: int, *, inside_row: bool = False) -> None:
        while self.comments and self.comments[0].span.start < offset:
            comment = self.comments.popleft()
            if self.line.strip() and self._is_trailing(comment):
                self.line += " " * self._gap(comment) + comment.text
            else:
                self._end_line()
                if not inside_row:
                    self._blank_line(comment.span.start)
                self.line = " " * self.columns[-1] + comment.text
                self.first_in_block = False
            self._end_line()
            self.stop = max(self.stop, comment.span.stop)

    def _is_trailing(self, comment: Comment) -> bool:
        return "\n" not in self.source.text[self.stop : comment.span.start]

    def _gap(self, comment: Comment) -> int:
        """Spaces before a trailing comment: as written where the line before it is."""
        text = self.source.text
        written = text[text.rfind("\n", 0, comment.span.start) + 1 : comment.span.start]
        gap = len(written) - len(written.rstrip())
        stands = written.strip(" \ufeff") == self.line.strip()
        fits = len(self.line) + gap + len(comment.text) <= WIDTH
        return max(2, gap) if stands and fits else 2


def has_blank_line(source: Source, start: int, stop: int) -> bool:
    lines = source.text[start:stop].split("\n")
    return any(not line.strip() for line in lines[1:-1])


def _depths(row: Row) -> list[int]:
    depths, depth = [], 0
    for piece in row:
        depth += isinstance(piece, Open) - isinstance(piece, Close)
        depths.append(depth)
    return depths


def _run_length(row: Row, depths: list[int], at: int, source: Source) -> int:
    """Columns from a text to the next possible break outside of the brackets it opens.

    A break the writer made on the way ends the run, for it will be kept.
    """
    first = row[at]
    if not isinstance(first, Text) or not first.may_break:
        return 0
    length, stop = 0, first.start
    for i in range(at, len(row)):
        piece = row[i]
        if not isinstance(piece, Text):
            continue
        if i > at and piece.may_break:
            written = "\n" in source.text[stop : piece.start]
            if depths[i] <= depths[at] or written:
                break
        length += len(piece.text) + (len(piece.space) if i > at else 0)
        stop = max(stop, piece.stop)
    return length
