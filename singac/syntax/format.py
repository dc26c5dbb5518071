"""Syntax tree -> canonical text, with the writer's comments at their places.

Kept of the writer's layout are line breaks between links and settings, single blank lines, the
columns of trailing comments and short blocks on one line; all else follows from the tree.
Formatting twice changes nothing, and the text means what it meant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from singac.syntax import tree
from singac.syntax.align import aligned
from singac.syntax.flow import WIDTH, Text, Writer, has_blank_line, one_line
from singac.syntax.rows import Body, Node, body_nodes, head_row, line_row


def format_program(program: tree.Program) -> str:
    """The canonical text of a program."""
    writer = Writer(program.source, deque(program.comments))
    _write(writer, program.items, 0)
    return writer.end()


def _write(writer: Writer, nodes: Sequence[Node], indent: int) -> None:
    for run in _runs(nodes):
        first = run[0]
        if isinstance(first, Body):
            _write_block(writer, first, indent)
        else:
            for row in aligned([n for n in run if not isinstance(n, Body)], writer, indent):
                writer.row(row, indent)


def _runs(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """Neighbours of one kind with no blank line between; a block is a run of its own."""
    run: list[Node] = []
    for node in nodes:
        if run and not _goes_on(run[-1], node):
            yield run
            run = []
        run.append(node)
    if run:
        yield run


def _goes_on(last: Node, node: Node) -> bool:
    if isinstance(node, Body) or type(node) is not type(last):
        return False
    return not has_blank_line(node.span.source, last.span.stop, node.span.start)


def _write_block(writer: Writer, node: Body, indent: int) -> None:
    compact = _compact(node)
    if compact is not None and indent + len(compact) <= WIDTH:
        writer.row([Text(compact, node.span.start, node.span.stop)], indent)
        return
    writer.head(head_row(node), indent)
    _write(writer, body_nodes(node), indent + 4)
    writer.close(node.span.stop - 1, indent)


def _compact(node: Node) -> str | None:
    """A row, or a block with one row or none that was written on one line."""
    if not isinstance(node, Body):
        return one_line(line_row(node))
    nodes = body_nodes(node)
    if len(nodes) > 1 or "\n" in node.span.text:
        return None
    inner = [_compact(n) for n in nodes]
    if None in inner:
        return None
    return " ".join([one_line(head_row(node)), *(t for t in inner if t is not None), "}"])
