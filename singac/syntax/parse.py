"""`.singa` text -> syntax tree, or every syntax error of the text.

The text is cut where a block starts and each stretch is parsed alone (see `lexical.chunks`); after
a mistake the row it stands in is left out. So a run tells all the mistakes of a file.
"""

from __future__ import annotations

from collections.abc import Iterator

from lark import Token, Tree

from singac.diagnostics import Failed, Report, Source, Span
from singac.syntax import lexical, read
from singac.syntax.build import Builder
from singac.syntax.codes import CODES
from singac.syntax.engine import Miss, parse_text
from singac.syntax.mistakes import explain
from singac.syntax.tree import Item, Program

__all__ = ["CODES", "MAX_NESTING", "parse"]

MAX_NESTING = 200
_MAX_ERRORS = 100
_MAX_ROWS = 20
_MAX_READ_AGAIN = 100_000

# The rules whose nesting deepens the recursion of later passes.
_NESTING = frozenset(["add", "sub", "mul", "div", "negate", "apply", "unroll", "repeat"])


def parse(source: Source) -> Program:
    """The program of a text.

    Raises `Failed` with all its syntax errors. A tree that is returned nests at most `MAX_NESTING`
    values, blocks and repeats in each other, so passes over it may recurse.
    """
    report = Report()
    if len(source.text) > read.MAX_BYTES:
        raise Failed([read.too_large(source.path)])
    read.check_characters(source, report)
    report.stop_if_any()
    items: list[Item] = []
    for start, stop in lexical.chunks(source.text):
        items += _parse_chunk(source, start, stop, report)
        if len(report.found) >= _MAX_ERRORS:
            break
    report.stop_if_any()
    return Program(source, tuple(items), lexical.comments(source))


def _parse_chunk(source: Source, start: int, stop: int, report: Report) -> tuple[Item, ...]:
    deep = lexical.first_too_deep(source.text, start, stop, MAX_NESTING)
    if deep is not None:
        _too_deep(source, deep, report)
        return ()
    text = source.text[start:stop]
    found = parse_text(text)
    if isinstance(found, Miss):
        for miss in _misses(text, found):
            report.found.append(explain(miss, source, start))
        return ()
    deepest = _first_deep(found)
    if deepest is not None:
        _too_deep(source, start + deepest, report)
        return ()
    return Builder(source, start, report).build(found)


def _misses(text: str, first: Miss) -> Iterator[Miss]:
    """All misses of a stretch: after each, the row it stands in is left out and the rest read."""
    miss = first
    for _ in range(_MAX_ROWS):
        yield miss
        rest = lexical.without_row(text, miss.start) if len(text) <= _MAX_READ_AGAIN else None
        again = parse_text(rest) if rest is not None else None
        if rest is None or not isinstance(again, Miss) or again.start <= miss.start:
            return
        if rest[: again.start].rstrip().endswith("{"):
            return  # the body is empty because its rows were left out
        text, miss = rest, again


def _first_deep(tree: Tree[Token]) -> int | None:
    """Offset of the first node that stands inside too many others, or None."""
    for node, depth in _with_depth(tree):
        if depth > MAX_NESTING:
            return node.meta.start_pos
    return None


def _with_depth(tree: Tree[Token]) -> Iterator[tuple[Tree[Token], int]]:
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        inner = depth + (node.data in _NESTING)
        stack += [(c, inner) for c in reversed(node.children) if isinstance(c, Tree)]


def _too_deep(source: Source, offset: int, report: Report) -> None:
    report.error(
        "SG0008",
        f"this is nested more than {MAX_NESTING} deep",
        Span(source, offset, offset + 1),
        help="give inner parts names with `let` or `block`; a sum of n terms nests n deep",
    )
