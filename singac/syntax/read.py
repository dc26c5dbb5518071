"""A path -> the text of a program, or what keeps it from being read."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from singac.diagnostics import Diagnostic, Failed, Place, Report, Source, Span

MAX_BYTES = 8 * 1024 * 1024
_MAX_BAD_CHARACTERS = 20

# Control characters but tab and line ends, a return without its line feed, lone surrogates, and
# the characters that change the direction of text: what is shown would not be what is read.
_BAD_CHARACTER = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    "|\r(?!\n)|(?<!^)\ufeff"
)


def read(path: str | Path) -> Source:
    """The program at `path`.

    Raises `Failed` for a path that is missing, a folder, not permitted, too large or not UTF-8.
    """
    shown = str(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Failed([_unreadable(shown, error)]) from None
    if len(data) > MAX_BYTES:
        raise Failed([too_large(shown)])
    try:
        return Source(shown, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Failed([_not_utf8(shown, data, error.start)]) from None


def too_large(path: str) -> Diagnostic:
    return Diagnostic(
        "SG0006",
        f"the file is over {MAX_BYTES // 2**20} MB",
        file=path,
        help="a program is a page or two of text; is this a data file?",
    )


def check_characters(source: Source, report: Report) -> None:
    """Report the characters a program must not hold, the first twenty of them."""
    for count, match in enumerate(_BAD_CHARACTER.finditer(source.text)):
        if count == _MAX_BAD_CHARACTERS:
            return
        report.found.append(invisible(Span(source, match.start(), match.end())))


def invisible(span: Span) -> Diagnostic:
    """What is told of a character that most editors do not show."""
    message = f"{_character_name(span.text)} in the text"
    help = "delete it; most editors do not show it"
    return Diagnostic("SG0005", message, Place(span), help=help)


def _unreadable(path: str, error: OSError | ValueError) -> Diagnostic:
    why, remedy = _why_unreadable(path, error)
    return Diagnostic("SG0003", why, help=remedy, file=path)


def _why_unreadable(path: str, error: OSError | ValueError) -> tuple[str, str | None]:
    match error:
        case FileNotFoundError():
            return "there is no such file", "check the path; it starts at the folder you are in"
        case IsADirectoryError():
            return "this is a folder, not a program", "name a `.singa` file in it"
        case PermissionError():
            return "the file may not be read", "change its permissions"
        case OSError():
            return f"the file cannot be read: {error.strerror}", None
        case _:
            return "this is not a path", None


def _not_utf8(path: str, data: bytes, offset: int) -> Diagnostic:
    # The text around the bad byte is shown with U+FFFD for what cannot be read; the prefix is good.
    prefix = data[:offset].decode("utf-8-sig")
    rest = data[offset:].decode("utf-8", errors="replace")
    span = Span(Source(path, prefix + rest), len(prefix), len(prefix) + 1)
    return Diagnostic(
        "SG0004",
        "the file is not UTF-8 text",
        Place(span, f"byte 0x{data[offset]:02x}"),
        help="save it as UTF-8",
    )


def _character_name(character: str) -> str:
    if character == "\r":
        return "a carriage return without a line feed"
    name = unicodedata.name(character, "")
    known = {"\x00": "a NUL character", "\ufeff": "a byte order mark"}
    if character in known:
        return known[character]
    return f"the character U+{ord(character):04X}{f' ({name.lower()})' if name else ''}"
