"""The mistakes of meaning in `tests/errors/*.singa`; syntax has a test of its own.

A snippet that starts with `# options: -np 3 --set train.steps=0` is compiled with these.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from singac.diagnostics import Diagnostic, Source
from singac.model.choices import Choices
from singac.model.program import Change
from tests.chunked import check
from tests.programs import HERE, diagnostics

FILES = sorted(p for p in HERE.glob("*.singa") if p.name != "syntax.singa")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_mistake_is_told_on_its_line(path: Path) -> None:
    check(path, _diagnostics)


def _diagnostics(source: Source) -> list[Diagnostic]:
    placed = Source(str(HERE / source.path), source.text)
    found = diagnostics(placed, choices_of(source.text))
    for diagnostic in found:
        _is_well_said(diagnostic)
    return found


def _is_well_said(diagnostic: Diagnostic) -> None:
    message = diagnostic.message
    assert message[0].islower() or not message[0].isalpha(), message
    assert not message.endswith("."), message
    label = diagnostic.place.label if diagnostic.place else ""
    if diagnostic.code < "SG0100" or "SG0210" <= diagnostic.code < "SG0300":
        return  # syntax and sources have tests of their own
    remedy = diagnostic.help or diagnostic.related or diagnostic.file or label
    assert remedy, f"no remedy and no other place: {message}"


def choices_of(text: str) -> Choices:
    """Choices from the comment a snippet starts with."""
    first = text.partition("\n")[0]
    mark = "# options: "
    words = first.removeprefix(mark).split() if first.startswith(mark) else []
    given = dict(zip(words[::2], words[1::2], strict=True))
    changes = tuple(
        Change(option[2:], *value.split("=", 1))
        for option, value in zip(words[::2], words[1::2], strict=True)
        if option in ("--let", "--set")
    )
    np = int(given["-np"]) if "-np" in given else None
    return Choices(
        np, given.get("--cluster"), given.get("--partition"), given.get("--train"), changes
    )
