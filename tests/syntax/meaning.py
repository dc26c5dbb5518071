"""Whether two trees say the same."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from singac.diagnostics import Span
from singac.syntax.tree import Program


def same_meaning(one: Program, other: Program) -> bool:
    """Whether two programs are equal but for where their parts stand."""
    return stripped(one.items) == stripped(other.items)


def stripped(node: object) -> object:
    """A tree as nested tuples without its spans."""
    if isinstance(node, tuple):
        return tuple(stripped(part) for part in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    parts = [getattr(node, f.name) for f in fields(node)]
    return (type(node).__name__, *(stripped(p) for p in parts if not isinstance(p, Span)))
