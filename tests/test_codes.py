"""Codes of diagnostics: each explained, each used, each by one part of the compiler."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from singac.codes import CODES

ROOT = Path(__file__).parent.parent
CODE = re.compile(r"SG\d{4}")

# The part of the tree that may report the codes of a range.
# fmt: off
AREAS = (
    ("SG0001", "SG0099", ("singac/syntax/", "grammar/")),
    ("SG0100", "SG0199", ("singac/model/", "singac/partition/")),
    ("SG0200", "SG0209", ("singac/settings.py", "singac/schedules.py", "singac/initialisers.py",
                          "singac/model/")),
    ("SG0210", "SG0299", ("singac/sources/",)),
    ("SG0300", "SG0399", ("singac/partition/",)),
    ("SG0400", "SG0499", ("singac/model/",)),
    ("SG0600", "SG0699", ("singac/plan/", "singac/report/", "singac/verbs/",
                          "singac/arguments.py")),
    ("SG0900", "SG0902", ("runtime/",)),
    ("SG0903", "SG0909", ("singac/verbs/", "singac/warm.py", "runtime/process/answers.py")),
    ("SG0914", "SG0916", ("singac/verbs/",)),
    ("SG0910", "SG0999", ("runtime/",)),
)
# fmt: on


def uses() -> Iterator[tuple[str, str]]:
    """Every code that some file reports, with that file."""
    for top in ("singac", "runtime"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if path.name != "codes.py":
                name = str(path.relative_to(ROOT))
                yield from ((code, name) for code in _codes(ast.parse(path.read_text())))
    mistakes = "grammar/mistakes.txt"
    yield from ((code, mistakes) for code in CODE.findall((ROOT / mistakes).read_text()))


def _codes(tree: ast.AST) -> Iterator[str]:
    """Strings that are a code; the keys of a dict mention codes and report none."""
    mentioned = {id(k) for n in ast.walk(tree) if isinstance(n, ast.Dict) for k in n.keys}
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and CODE.fullmatch(value) and id(node) not in mentioned:
            yield value


USES = tuple(uses())


def test_every_code_that_is_used_is_explained() -> None:
    assert sorted({code for code, _ in USES} - set(CODES)) == []


def test_every_code_that_is_explained_is_used() -> None:
    assert sorted(set(CODES) - {code for code, _ in USES}) == []


def test_a_code_belongs_to_one_part_of_the_tree() -> None:
    for code, file in USES:
        where = next(places for low, high, places in AREAS if low <= code <= high)
        assert file.startswith(where), f"{file} reports {code}, which is of {where}"


def test_sentences_are_sentences() -> None:
    assert len(set(CODES.values())) == len(CODES), "two codes stand for one rule"
    for code, sentence in CODES.items():
        assert CODE.fullmatch(code)
        assert len(sentence.split()) > 2
        assert not sentence.endswith(".")
    assert list(CODES) == sorted(CODES), "codes are listed in order"


def test_the_command_line_explains(capsys: pytest.CaptureFixture[str]) -> None:
    from singac.cli import main

    assert main(["explain", "sg0144"]) == 0
    assert capsys.readouterr().out == f"SG0144: {CODES['SG0144']}\n"
    assert main(["explain", "SG9999"]) == 2
    assert "SG0905" in capsys.readouterr().err
