"""Neighbouring rows -> rows in columns.

algorithm = BP              fc6   .. fc8   on feature      image -> vis: rbm_visible(784)
batch     = 64              conv1 .. pool5 on batch        vis  <-> hid: rbm_hidden(1000)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from singac.syntax import tree
from singac.syntax.flow import (
    WIDTH,
    Row,
    Text,
    Writer,
    is_broken,
    last_start_of,
    one_line,
    start_of,
)
from singac.syntax.rows import (
    Line,
    arrow_end,
    chain_row,
    group_cells,
    let_row,
    line_row,
    rule_cells,
    setting_row,
)


def aligned(run: Sequence[Line], writer: Writer, indent: int) -> list[Row]:
    """The rows of neighbours of one kind."""
    lets = [n for n in run if isinstance(n, tree.Let)]
    settings = [n for n in run if isinstance(n, tree.Named)]
    rules = [n for n in run if isinstance(n, tree.Rule)]
    groups = [n for n in run if isinstance(n, tree.Group)]
    chains = [n for n in run if isinstance(n, tree.Chain)]
    if lets:
        width = max(len(n.name.text) for n in lets)
        return [let_row(n, width) for n in lets]
    if settings:
        width = max(len(n.path.text) for n in settings)
        return [setting_row(n, width) for n in settings]
    if rules:
        return _columns(rules, [rule_cells(n) for n in rules])
    if groups:
        return _columns(groups, [group_cells(n) for n in groups])
    if chains:
        return _chains(chains, writer, indent)
    return [line_row(n) for n in run]


def _columns(
    nodes: Sequence[tree.Rule | tree.Group], cells: list[tuple[str, str, str]]
) -> list[Row]:
    """Rows of three cells, each cell as wide as the widest above and below it."""
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    rows: list[Row] = []
    for node, row in zip(nodes, cells, strict=True):
        padded = [f"{c:{w}}" for c, w in zip(row, widths, strict=True) if w]
        rows.append([Text(" ".join(padded).rstrip(), node.span.start, node.span.stop)])
    return rows


def _chains(chains: Sequence[tree.Chain], writer: Writer, indent: int) -> list[Row]:
    """Chains on one line have their first arrows under each other, broken ones stand alone."""
    rows: list[Row] = []
    run: list[tree.Chain] = []
    for chain in chains:
        if _stays_on_line(chain_row(chain), writer, indent):
            run.append(chain)
        else:
            rows += [*_arrows_aligned(run, indent), chain_row(chain)]
            run = []
    return rows + _arrows_aligned(run, indent)


def _arrows_aligned(chains: Sequence[tree.Chain], indent: int) -> list[Row]:
    column = max((arrow_end(c) for c in chains), default=0)
    rows = [chain_row(c, column - arrow_end(c)) for c in chains]
    if any(indent + len(one_line(row)) > WIDTH for row in rows):
        return [chain_row(c) for c in chains]
    return rows


def _stays_on_line(row: Row, writer: Writer, indent: int) -> bool:
    if is_broken(row, writer.source) or indent + len(one_line(row)) > WIDTH:
        return False
    # A comment inside the last text will stand behind it and breaks nothing.
    first, last = start_of(row), last_start_of(row)
    inside = takewhile(lambda comment: comment.span.start < last, writer.comments)
    return not any(first < comment.span.start for comment in inside)
