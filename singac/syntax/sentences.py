"""`grammar/mistakes.txt`: a sentence for each place where the parser stops at a known mistake.

The file holds wrong texts under the sentence for each. A text is read once, and where the parser
stops at it is the key of its sentence. A miss is looked up first by the word before it, then by

    the last two states, what could have stood there, the terminal met
    the last state,      what could have stood there, the terminal met
                         what could have stood there, the terminal met
                                                      the character met

where the later keys hold only if all texts with that key have one sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from singac.syntax.engine import Miss, parse_text

# So many terminals tell the surroundings; that a name is expected, say, tells nothing of them.
_TELLING = 4


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sentence, its remedy, and the wrong texts it is for.

    `words` and `after` restrict it to these words met, or met behind these.
    """

    code: str
    message: str
    help: str
    words: tuple[str, ...]
    after: tuple[str, ...]
    snippets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """Where a parser stopped; `word` is empty for a sentence for every word."""

    states: tuple[int, ...]
    expected: tuple[str, ...]
    type: str
    word: str


@dataclass(frozen=True, slots=True)
class Table:
    """The sentences by place; None where two sentences share a key."""

    by_place: dict[Key, Mistake | None]
    by_word_before: dict[tuple[str, str], Mistake]

    def find(self, miss: Miss, word: str, before: str) -> Mistake | None:
        """The sentence for a miss at `word` behind the word `before`, or None."""
        if (before, miss.type) in self.by_word_before:
            return self.by_word_before[before, miss.type]
        places = [Key(*place, w) for place in _places(miss) for w in (word, "")]
        return next((m for m in map(self.by_place.get, places) if m is not None), None)


@cache
def table() -> Table:
    """The table of `mistakes.txt`, made at the first mistake of a process."""
    by_place: dict[Key, Mistake | None] = {}
    by_word_before: dict[tuple[str, str], Mistake] = {}
    for mistake in mistakes():
        for miss in map(miss_of, mistake.snippets):
            for word in mistake.after:
                by_word_before[word, miss.type] = mistake
            if not mistake.after:
                for key in keys(mistake, miss):
                    same = by_place.setdefault(key, mistake) is mistake
                    by_place[key] = mistake if same else None
    return Table(by_place, by_word_before)


def keys(mistake: Mistake, miss: Miss) -> list[Key]:
    """The keys of a mistake that was missed so, the most particular first."""
    return [Key(*place, word) for place in _places(miss) for word in mistake.words or ("",)]


def miss_of(snippet: str) -> Miss:
    miss = parse_text(snippet)
    assert isinstance(miss, Miss), f"mistakes.txt: this is no mistake: {snippet}"
    return miss


def _places(miss: Miss) -> Iterator[tuple[tuple[int, ...], tuple[str, ...], str]]:
    yield miss.states, miss.expected, miss.type
    yield miss.states[-1:], miss.expected, miss.type
    if len(miss.expected) >= _TELLING:
        yield (), miss.expected, miss.type
    if miss.type[0] in "'\"":
        yield (), (), miss.type


@cache
def mistakes() -> tuple[Mistake, ...]:
    """The paragraphs of `mistakes.txt`."""
    text = files("grammar").joinpath("mistakes.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    paragraphs = "\n".join(lines).split("\n\n")
    return tuple(_mistake(p.strip("\n").split("\n")) for p in paragraphs if p.strip())


def _mistake(lines: list[str]) -> Mistake:
    code, message = lines[0].split(" ", 1)
    snippets = tuple(line.strip() for line in lines if line.startswith("    "))
    fields = dict(line.split(": ", 1) for line in lines[1:] if not line.startswith("    "))
    assert fields.keys() <= {"help", "word", "after"}, f"mistakes.txt: {fields}"
    words, after = fields.get("word", "").split(), fields.get("after", "").split()
    return Mistake(code, message, fields["help"], tuple(words), tuple(after), snippets)
