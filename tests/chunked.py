"""Files of snippets that say where they must fail.

Snippets are divided by lines `---`. `### "regexp"` at the end of a line says that one diagnostic
of the snippet stands on that line and that its message matches the regexp; several follow each
other as `### "one" "two"`. A diagnostic that no line expects fails the test, and so does an
expectation that no diagnostic meets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from singac.diagnostics import Diagnostic, Source

Run = Callable[[Source], list[Diagnostic]]

_EXPECTATION = re.compile(r'\s*###((?:\s*"(?:[^"\\]|\\.)*")+)\s*$')
_REGEXP = re.compile(r'"((?:[^"\\]|\\.)*)"')


def check(path: Path, run: Run) -> None:
    """Run every snippet of a file and compare its diagnostics with those it announces."""
    complaints = [c for number, text in snippets(path) for c in _check(path, number, text, run)]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def snippets(path: Path) -> list[tuple[int, str]]:
    """The snippets of a file, each with the number of its first line."""
    found: list[tuple[int, list[str]]] = [(1, [])]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() == "---":
            found.append((number + 1, []))
        else:
            found[-1][1].append(line)
    return [(number, "".join(f"{line}\n" for line in lines)) for number, lines in found]


def _check(path: Path, first: int, text: str, run: Run) -> list[str]:
    """The complaints about one snippet, with line numbers of the file."""
    bare, expected = _expectations(text)
    complaints = []
    for diagnostic in run(Source(path.name, bare)):
        line, words = _line_of(diagnostic), _words(diagnostic)
        met = next((e for e in expected if e[0] == line and re.search(e[1], words)), None)
        if met:
            expected.remove(met)
        else:
            complaints.append(f"{path}:{first + line - 1}: unexpected: {words}")
    missing = [f"{path}:{first + line - 1}: missing: {regexp}" for line, regexp in expected]
    return complaints + missing


def _expectations(text: str) -> tuple[str, list[tuple[int, str]]]:
    """The snippet without its expectations, and these with their lines counted from 1."""
    lines, expected = [], []
    for number, line in enumerate(text.splitlines(), 1):
        match = _EXPECTATION.search(line)
        if match:
            expected += [(number, regexp) for regexp in _REGEXP.findall(match.group(1))]
            line = line[: match.start()]
        lines.append(line)
    return "".join(f"{line}\n" for line in lines), expected


def _line_of(diagnostic: Diagnostic) -> int:
    assert diagnostic.place is not None, f"no place: {diagnostic}"
    span = diagnostic.place.span
    return span.source.position(span.start)[0]


def _words(diagnostic: Diagnostic) -> str:
    """`SG0002: message | label | help`, so that an expectation may name any of them."""
    places = [diagnostic.place] if diagnostic.place else []
    labels = [place.label for place in (*places, *diagnostic.related) if place.label]
    parts = [f"{diagnostic.code}: {diagnostic.message}", *labels, diagnostic.help or ""]
    return " | ".join(part for part in parts if part)
