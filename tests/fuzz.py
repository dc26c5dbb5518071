"""Mutated programs -> no crash, no hang, and a place inside the file for every complaint.

    python -m tests.fuzz --count 100000

A mutant follows from its number and the seed programs, so `--start N --count 1` repeats a finding.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from singac.compile import check, compile_source
from singac.diagnostics import Diagnostic, Failed, Source, as_json, show
from singac.model.choices import Choices
from singac.syntax import lexical
from singac.syntax.format import format_program
from singac.syntax.parse import parse
from singac.syntax.tree import Program
from tests.syntax.meaning import same_meaning

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "valid"  # programs that compile, and where the paths of mutants start
CACHE = tempfile.mkdtemp(prefix="singac-fuzz-")
SECONDS_PER_PROGRAM = 5.0

Check = Callable[[str], Sequence[Diagnostic]]
Mutation = Callable[[random.Random, str, Sequence[str]], str]

_TOKEN = re.compile(r'"[^"\n]*"|#[^\n]*|->|<->|\.\.|[A-Za-z_]\w*|[0-9][\w.]*|\s+|.', re.DOTALL)
_SIGNS = [*"()[]{}.,:;=~'\"#-+*/<>|&%$@!?^\\`_ \t\n\r\0", "->", "<->", "..", "==", "//"]
_LETTERS = ["é", "中", "\u202e", "\u00a0", "\ufeff", "\u2028", "\U0001f600", "\ud800", "\x1b", "٣"]
_WORDS = [
    *("net", "let", "train", "updater", "layer", "state", "repeat", "unroll", "param", "on", "t"),
    *("np", "w'", "h[t-1]", "((((", "{{{"),
]
_NUMBERS = [
    *("0", "-1", "007", "0x3", "3x0", "3x", "1e9", "1e999", "1e-999", "0.1", ".5", "1.", "1/0"),
    *("nan", "np", "3x3x3x3"),
]
_NOISE: list[str] = [*_SIGNS, *_LETTERS, *_WORDS, *_NUMBERS, "9" * 30]


def check_text(text: str) -> Sequence[Diagnostic]:
    """What a text is refused with, by any stage of the compiler up to a verified plan."""
    source = Source(str(DATA / "fuzz.singa"), text)
    try:
        check_format(parse(source))
        found = check(source, Choices(np=2), CACHE)
        if not errors_of(found):
            compile_source(source, Choices(np=2), CACHE)
    except Failed as failed:
        return failed.diagnostics
    return found


def errors_of(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """What refuses a program; a warning does not."""
    return [d for d in found if d.severity == "error"]


def check_format(program: Program) -> None:
    """A program formats to a text of the same meaning, and that text to itself."""
    formatted = format_program(program)
    again = parse(Source("formatted.singa", formatted))
    assert same_meaning(program, again), "formatting changes the meaning"
    assert format_program(again) == formatted, "formatting twice changes the text"
    assert len(again.comments) == len(program.comments), "formatting loses a comment"


def seeds() -> list[str]:
    """What is mutated: the tour of the language, models, the prelude, and each block of these."""
    folders = [ROOT / "tests" / "syntax" / "tour", ROOT / "models", ROOT / "grammar"]
    paths = [path for folder in folders for path in sorted(folder.glob("**/*.singa"))]
    programs = [path.read_text(encoding="utf-8") for path in paths]
    for path in sorted((ROOT / "tests" / "errors").glob("*.singa")):
        programs += path.read_text(encoding="utf-8").split("\n---\n")
    valid = [p.read_text(encoding="utf-8") for p in sorted(DATA.glob("*.singa"))]
    programs += valid * (len(programs) // len(valid))
    return programs + [p[start:stop] for p in programs for start, stop in lexical.chunks(p)]


def mutant(number: int, programs: Sequence[str]) -> str:
    """The mutant of that number."""
    rng = random.Random(number)
    text = rng.choice(programs)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        text = rng.choice(_MUTATIONS)(rng, text, programs)
    return text


def run(numbers: Iterator[int] | range, check: Check, programs: Sequence[str]) -> int:
    """Check the mutants; how many of them were refused. Raises `Finding` at the first defect."""
    refused = 0
    for number in numbers:
        text = mutant(number, programs)
        try:
            with _time_limit(SECONDS_PER_PROGRAM):
                found = check(text)
            verify_places(found)
        except Exception as error:
            raise Finding(number, text) from error
        refused += bool(errors_of(found))
    return refused


class Finding(Exception):
    """A mutant that is not handled as it should be; its cause says what is wrong."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"mutant {number}:\n{text}")


def verify_places(found: Sequence[Diagnostic]) -> None:
    """Every diagnostic has a code, words, and a place inside its text, and can be shown."""
    for diagnostic in found:
        assert re.fullmatch(r"SG\d{4}", diagnostic.code), diagnostic
        assert diagnostic.message, diagnostic
        assert not diagnostic.message.endswith("."), diagnostic
        assert diagnostic.place is not None, diagnostic
        for place in (diagnostic.place, *diagnostic.related):
            length = len(place.span.source.text)
            assert 0 <= place.span.start <= place.span.stop <= length, diagnostic
        as_json(diagnostic)
    show(found).encode()


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Processor time, which a busy machine does not shorten."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


# -- mutations -------------------------------------------------------------------------------------


def _delete_token(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    tokens = _TOKEN.findall(text)
    at = rng.randrange(len(tokens) + 1)
    return "".join(tokens[:at] + tokens[at + rng.choice([1, 1, 2, 5]) :])


def _double_token(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    tokens = _TOKEN.findall(text)
    at = rng.randrange(len(tokens) + 1)
    doubled = tokens[at : at + 1] * rng.choice([2, 2, 3, 300])
    return "".join([*tokens[:at], *doubled, *tokens[at + 1 :]])


def _swap_tokens(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    tokens = _TOKEN.findall(text) or [""]
    a, b = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    tokens[a], tokens[b] = tokens[b], tokens[a]
    return "".join(tokens)


def _noise(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_NOISE) + text[at + rng.randrange(2) :]


def _comment(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    """A comment between two tokens, where it breaks no word."""
    tokens = _TOKEN.findall(text)
    at = rng.randrange(len(tokens) + 1)
    words = rng.choice(["# words\n", "\n# words\n", " # words\n\n", "\n\n    # words\n"])
    return "".join([*tokens[:at], words, *tokens[at:]])


def _white_space(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    tokens = _TOKEN.findall(text)
    at = rng.randrange(len(tokens) + 1)
    return "".join([*tokens[:at], rng.choice([" ", "\n", "\n\n\n", "\t", "\r\n"]), *tokens[at:]])


def _splice(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    other = rng.choice(programs)
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


def _truncate(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _brackets(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    at, deep = rng.randrange(len(text) + 1), rng.choice([1, 3, 150, 500])
    opener, closer = rng.choice(["()", "[]", "{}", ("-", ""), ("1+(", ")"), ("f(", ")")])
    end = rng.randrange(at, len(text) + 1)
    return text[:at] + opener * deep + text[at:end] + closer * deep + text[end:]


def _number(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    numbers = list(re.finditer(r"[0-9][\w.]*", text))
    if not numbers:
        return text
    match = rng.choice(numbers)
    new = rng.choice(
        ["0", "-1", "1e9", "1e999", "0.1", "9" * 30, "1/0", "3x0x3", "nan", "1e-30", "np"]
    )
    return text[: match.start()] + new + text[match.end() :]


def _rename(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    names = list(re.finditer(r"[A-Za-z_]\w*", text))
    if not names:
        return text
    a, b = rng.choice(names), rng.choice(names)
    return f"{text[: a.start()]}{b.group()}{text[a.end() :]}"


def _join_lines(rng: random.Random, text: str, programs: Sequence[str]) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    return "\n".join([*lines[:at], " ".join(lines[at : at + 3]), *lines[at + 3 :]])


_MUTATIONS: tuple[Mutation, ...] = (
    _delete_token, _double_token, _swap_tokens, _noise, _comment, _white_space, _splice, _truncate,
    _brackets, _number, _rename, _join_lines,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant [0]")
    parser.add_argument("--count", type=int, default=10_000, help="how many mutants [10000]")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        refused = run(range(options.start, options.start + options.count), check_text, seeds())
    except Finding as finding:
        cause = finding.__cause__
        print(f"{finding}\n{type(cause).__name__}: {cause}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - began
    print(f"{options.count} mutants, {refused} refused, no defect, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
