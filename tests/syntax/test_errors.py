"""The syntax errors of `tests/errors/syntax.singa`."""

from __future__ import annotations

from pathlib import Path

from singac.diagnostics import Diagnostic, Failed, Source
from singac.syntax.parse import parse
from tests.chunked import check

ERRORS = Path(__file__).parent.parent / "errors" / "syntax.singa"


def diagnostics(source: Source) -> list[Diagnostic]:
    try:
        parse(source)
    except Failed as failed:
        return list(failed.diagnostics)
    return []


def test_every_mistake_is_told_on_its_line() -> None:
    check(ERRORS, diagnostics)
