"""Running text: each example some characters or words in a row, and those that come next.

    length = 4     the text      s i n g a   d o e s ...
    example 0      char          s i n g                     next   i n g a
    example 1      char          a   d o                     next     d o e

Both fields hold numbers of the vocabulary, which has the characters or words of the training text
in the order of their code points, or those of a file given as `vocab`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place
from singac.settings import AT_LEAST_ONE, Setting, Sort
from singac.sources.arrays import compact
from singac.sources.damage import damaged, placed
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey
from singac.sources.stream import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

END_OF_LINE = "</s>"
UNKNOWN = "<unk>"
_CHUNK = 1 << 22
_SHOWN = 40  # characters of a word shown at most


def words_of(text: str) -> list[str]:
    """What stands between white space; the end of a line that is not blank is a word too."""
    lines = (line.split() for line in text.split("\n"))
    return [word for line in lines if line for word in (*line, END_OF_LINE)]


# fmt: off
_TOKENS: Mapping[str, Callable[[str], Sequence[str]]] = {"chars": str, "words": words_of}
_FIELDS                                               = {"chars": "char", "words": "word"}
_WHAT                                                 = {"chars": "characters", "words": "words"}
# fmt: on


def locate(request: Request) -> tuple[Part, ...]:
    """The text of each part, and with the first that of the vocabulary."""
    vocab = request.get("vocab")
    also = (vocab,) if isinstance(vocab, str) else ()
    parts = [Part("train", "path", (request.text("path"), *also))]
    for name in ("test", "validate"):
        given = request.get(name)
        if isinstance(given, str):
            parts.append(Part(name, name, (given,)))
    return tuple(parts)


def vocabulary(request: Request) -> list[str]:
    """The characters or words in the order of their numbers; raises `Failed`."""
    setting = "path" if request.get("vocab") is None else "vocab"
    with placed(request.span_of(setting)):
        text = _read(request.text(setting))
    return sorted(set(_TOKENS[request.kind](text)))


def survey(request: Request, part: Part) -> Survey:
    """The whole text is read; the largest label is the largest number in it."""
    path, length = part.files[0], int(request.number("length"))
    text = _read(path)
    tokens = _TOKENS[request.kind](text)
    examples = _examples(request, len(tokens), path)
    numbers = _numbers(request)
    present = dict.fromkeys(tokens)
    _check_known(request, present, numbers, text, path)
    unknown = numbers.get(UNKNOWN, -1)
    last = max(present, key=lambda token: numbers.get(token, unknown))
    place = f"line {_line(request, last, text)}"
    fields = (_FIELDS[request.kind], "next")
    label = LabelFacts(numbers.get(last, unknown), path, place, fields)
    shapes = tuple((name, (length,)) for name in fields)
    return Survey(examples, shapes, label, _digest(numbers))


def load(request: Request, part: Part) -> dict[str, Array]:
    """Numbers of what is read and of what comes next, `length` a row."""
    import numpy as np

    path, length = part.files[0], int(request.number("length"))
    text = _read(path)
    tokens = _TOKENS[request.kind](text)
    examples = _examples(request, len(tokens), path)
    numbers = _numbers(request)
    _check_known(request, dict.fromkeys(tokens), numbers, text, path)
    unknown = numbers.get(UNKNOWN, -1)
    used = examples * length
    found = np.fromiter((numbers.get(t, unknown) for t in tokens[: used + 1]), np.int64, used + 1)
    codes = compact(found)
    return {
        _FIELDS[request.kind]: codes[:used].reshape(examples, length),
        "next": codes[1:].reshape(examples, length),
    }


def _numbers(request: Request) -> dict[str, int]:
    return {token: number for number, token in enumerate(vocabulary(request))}


def _digest(numbers: Mapping[str, int]) -> str:
    """The same where every token has the same number."""
    return hashlib.sha256(json.dumps(list(numbers)).encode()).hexdigest()[:16]


def _examples(request: Request, tokens: int, path: str) -> int:
    length = int(request.number("length"))
    if tokens > length:
        return (tokens - 1) // length
    span = request.span_of("length")
    text = f"a text of {tokens} {_WHAT[request.kind]}"
    message = f"{text} has no example of {length} and the one that comes next"
    raise Failed([Diagnostic("SG0246", message, Place(span) if span else None, file=path)])


def _check_known(
    request: Request, present: Mapping[str, None], numbers: Mapping[str, int], text: str, path: str
) -> None:
    """Every token has a number; words that have none are `<unk>` if the vocabulary has that."""
    if request.kind == "words" and UNKNOWN in numbers:
        return
    for token in present:
        if token not in numbers:
            place = f"line {_line(request, token, text)}"
            help = f"the vocabulary has {len(numbers)} {_WHAT[request.kind]}"
            if request.kind == "words":
                help += f"; with a vocab that has {UNKNOWN}, words it lacks are that"
            message = f"{place}: {token[:_SHOWN]!r} is not in the vocabulary"
            raise damaged("SG0247", message, path, help)


def _line(request: Request, token: str, text: str) -> int:
    lines = enumerate(text.split("\n"), 1)
    tokens = _TOKENS[request.kind]
    return next(number for number, line in lines if token in tokens(line + "\n"))


def _read(path: str) -> str:
    with Stream(path) as stream:
        data = b"".join(iter(lambda: stream.read(_CHUNK), b""))
    if not data:
        raise damaged("SG0224", "the file is empty", path)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = error.start - data.rfind(b"\n", 0, error.start)
        message = f"line {line}, byte {byte}: {data[error.start]:02x} is not UTF-8"
        raise damaged("SG0231", message, path, "convert the file to UTF-8") from None


def _settings(kind: str) -> tuple[Setting, ...]:
    what = _WHAT[kind]
    path = Setting("path", "the text, .gz or not, in UTF-8", sorts=(Sort.PATH,), positional=True)
    length = Setting("length", f"{what} an example", sorts=(Sort.INTEGER,), within=AT_LEAST_ONE)
    vocab = Setting(
        "vocab",
        f"a file whose {what} are the vocabulary, that of the training text when left out",
        sorts=(Sort.PATH,),
        optional=True,
    )
    return (path, length, vocab, *COMMON_SETTINGS)


CHARS = SourceKind(
    name="chars",
    doc="the characters of a text as numbers, some in a row an example",
    settings=_settings("chars"),
    gives="char, next",
    locate=locate,
    survey=survey,
    load=load,
    is_text=True,
)

WORDS = SourceKind(
    name="words",
    doc=f"the words of a text as numbers, the end of a line being the word {END_OF_LINE}",
    settings=_settings("words"),
    gives="word, next",
    locate=locate,
    survey=survey,
    load=load,
    is_text=True,
)
