"""A place where a text leaves the language -> what its writer is told."""

from __future__ import annotations

from singac.diagnostics import Diagnostic, Place, Source, Span
from singac.syntax.engine import Miss


def explain(miss: Miss, source: Source, base: int) -> Diagnostic:
    """The diagnostic for a miss in the stretch of `source` that starts at `base`."""
    span = Span(source, base + miss.start, base + miss.stop)
    return Diagnostic("SG0001", f"expected {', '.join(miss.expected)}", Place(span))
