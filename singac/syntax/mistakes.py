"""A place where a text leaves the language -> what its writer is told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from singac.diagnostics import Diagnostic, Place, Source, Span, nearest
from singac.syntax import lexical
from singac.syntax.engine import Miss
from singac.syntax.lexical import Bracket
from singac.syntax.read import invisible
from singac.syntax.sentences import table

# fmt: off
_TERMINALS = {
    "NAME":        "a name",
    "INT":         "a whole number",
    "NUMBER":      "a number",
    "SHAPE":       "a shape",
    "STRING":      "a string",
    "DIMENSION":   "`batch`, `feature`, `input`, `auto`",
    "ROLE":        "`worker`, `server`",
    "_GROUP":      "`group`",
    "_ON":         "`on`",
    "_OF":         "`of`",
    "_AT":         "`at`",
    "_FROM":       "`from`",
    "_CHECKPOINT": "`checkpoint`",
    "_STATE":      "`state`",
    "_PARAM":      "`param`",
    "_UNROLL":     "`unroll`",
    "_REPEAT":     "`repeat`",
    "_TIME":       "`t`",
    "_TO":         "`->`",
    "_WITH":       "`<->`",
    "_RANGE":      "`..`",
    "_MINUS":      "`-`",
    "PLUS":        "`+`",
    "STAR":        "`*`",
    "SLASH":       "`/`",
    "EQUAL":       "`=`",
    "TILDE":       "`~`",
    "COMMA":       "`,`",
    "COLON":       "`:`",
    "DOT":         "`.`",
    "QUOTE":       "`'`",
    "LPAR":        "`(`",
    "RPAR":        "`)`",
    "LSQB":        "`[`",
    "RSQB":        "`]`",
    "LBRACE":      "`{`",
    "RBRACE":      "`}`",
}
# fmt: on

# Told as one: what starts a value, and what goes on with one.
_VALUE = ("NAME", "INT", "NUMBER", "SHAPE", "STRING", "_MINUS", "LPAR")
_OPERATORS = ("PLUS", "_MINUS", "STAR", "SLASH")
_GOES_ON = ("QUOTE", "DOT", "LPAR")

# Signs that stand in no parentheses and no square brackets.
_OUTSIDE = ("_TO", "_WITH", "LBRACE")
_TERMINAL_OF = {")": "RPAR", "]": "RSQB", "}": "RBRACE"}
_WORDS = {
    "DIMENSION": ("batch", "feature", "input", "auto"),
    "ROLE": ("worker", "server"),
    "_GROUP": ("group", "groups"),
    "_CHECKPOINT": ("checkpoint",),
    "_STATE": ("state",),
    "_PARAM": ("param",),
    "_UNROLL": ("unroll",),
    "_REPEAT": ("repeat",),
}

_REST_OF_LINE = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"\w+")
_NEXT_WORD = re.compile(r"\s*(\w+)")
_LAST_WORD = re.compile(r"([A-Za-z_]\w*)\s*$")

_ITEM_WORDS = (
    "use", "let", "data", "block", "layer", "updater", "net", "partition", "train", "cluster",
)  # fmt: skip
_RESERVED = (*_ITEM_WORDS, "param", "unroll", "repeat")


def explain(miss: Miss, source: Source, base: int) -> Diagnostic:
    """The diagnostic for a miss in the stretch of `source` that starts at `base`."""
    span = Span(source, base + miss.start, base + miss.stop)
    stack = lexical.open_brackets(source.text, base, span.start)
    return (
        _unreadable(span, miss)
        or _unclosed(span, miss, stack, base)
        or _unopened(span, stack)
        or _known(span, miss, stack)
        or _unknown_block(span, miss)
        or _reserved(span, miss)
        or _unexpected(span, miss, stack)
    )


# -- mistakes of characters ------------------------------------------------------------------------


def _unreadable(span: Span, miss: Miss) -> Diagnostic | None:
    """A character that cannot be seen, a string that does not end, or a word that is none."""
    text, start = span.source.text, span.start
    if miss.type[0] in "'\"" and unicodedata.category(text[start])[0] in "CZ":
        return invisible(span)
    if miss.type == repr('"'):
        line = _REST_OF_LINE.match(text, start)
        place = Place(Span(span.source, start, line.end() if line else span.stop))
        help = 'end it with `"` on the same line'
        return Diagnostic("SG0009", "this string is not closed", place, help=help)
    if miss.type[0] not in "'\"" or not (text[start].isalnum() or text[start] == "_"):
        return None
    while start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    word = _WORD.match(text, start)
    place = Place(Span(span.source, start, word.end() if word else span.stop))
    if text[start].isdigit():
        message = f"`{place.span.text}` is not a number"
        help = "numbers are decimal, `1000` or `1e-3`; shapes are `3x28x28`"
        return Diagnostic("SG0007", message, place, help=help)
    message = f"`{place.span.text}` is not a name"
    help = "names are made of the letters a to z and A to Z, digits and `_`"
    return Diagnostic("SG0001", message, place, help=help)


# -- mistakes of brackets --------------------------------------------------------------------------


def _unclosed(span: Span, miss: Miss, stack: list[Bracket], base: int) -> Diagnostic | None:
    """The text, the block or the statement ends while a bracket is open."""
    if not stack:
        return None
    text, innermost = span.source.text, stack[-1]
    closer = lexical.CLOSER[innermost.sign]
    ends = miss.type == "$END" or lexical.starts_block(text, span.start)
    if innermost.sign != "{":
        ends |= miss.type == "RBRACE" or (
            miss.type in _OUTSIDE and _could_close(span, miss, closer)
        )
    if not ends:
        return None
    what = _opened(span.source, innermost, base)
    return Diagnostic(
        "SG0002",
        f"`{what.text if innermost.sign == '{' else innermost.sign}` is not closed",
        Place(_end(span) if miss.type == "$END" else span, f"expected `{closer}`"),
        related=(Place(what, "opened here"),),
        help=f"write `{closer}` before this, or earlier where it belongs",
    )


def _could_close(span: Span, miss: Miss, closer: str) -> bool:
    """Whether a bracket with something in it could have been closed before the span."""
    before = span.source.text[max(0, span.start - 80) : span.start].rstrip()
    return _TERMINAL_OF[closer] in miss.expected and before[-1:] not in ("(", "[", ",")


def _opened(source: Source, bracket: Bracket, base: int) -> Span:
    """The bracket; for a brace what stands before it on its line too: `net mlp on fashion {`."""
    stop = bracket.offset + 1
    if bracket.sign != "{":
        return Span(source, bracket.offset, stop)
    start = max(base, *(source.text.rfind(sign, 0, bracket.offset) + 1 for sign in "\n{}"))
    return Span(source, stop - len(source.text[start:stop].lstrip()), stop)


def _end(span: Span) -> Span:
    """Where the text ends, or the first word of the block that follows."""
    text = span.source.text
    if word := _NEXT_WORD.match(text, span.start):
        return Span(span.source, word.start(1), word.end(1))
    end = len(text.rstrip())
    return Span(span.source, end, end)


def _unopened(span: Span, stack: list[Bracket]) -> Diagnostic | None:
    """A closing bracket closes nothing, or another bracket than the one that is open."""
    if span.text not in (")", "]", "}"):
        return None
    if not stack or (stack[-1].sign == "{" and span.text != "}"):
        message = f"nothing is open here that `{span.text}` closes"
        return Diagnostic("SG0002", message, Place(span), help="take it away")
    closer = lexical.CLOSER[stack[-1].sign]
    if closer == span.text:
        return None
    opened = Span(span.source, stack[-1].offset, stack[-1].offset + 1)
    message = f"`{stack[-1].sign}` is closed by `{span.text}`"
    help = f"write `{closer}` here"
    return Diagnostic("SG0002", message, Place(span), (Place(opened, "opened here"),), help)


# -- mistakes others have made ---------------------------------------------------------------------


def _known(span: Span, miss: Miss, stack: list[Bracket]) -> Diagnostic | None:
    before = _LAST_WORD.search(span.source.text, max(0, span.start - 80), span.start)
    mistake = table().find(miss, span.text, before.group(1) if before else "")
    if mistake is None:
        return None
    place = Place(_end(span) if miss.type == "$END" else span)
    message = mistake.message.replace("{word}", place.span.text)
    return Diagnostic(mistake.code, message, place, _inside(place.span, stack), mistake.help)


def _inside(span: Span, stack: list[Bracket]) -> tuple[Place, ...]:
    """The bracket around a mistake when it was opened on an earlier line."""
    if not stack or stack[-1].sign == "{":
        return ()
    opened = Span(span.source, stack[-1].offset, stack[-1].offset + 1)
    if "\n" not in span.source.text[opened.start : span.start]:
        return ()
    return (Place(opened, "opened here and not closed yet"),)


# -- all other mistakes ----------------------------------------------------------------------------


def _unknown_block(span: Span, miss: Miss) -> Diagnostic | None:
    """A word stands where a block starts and starts none."""
    if "_NET" not in miss.expected or not span.text[:1].isalpha():
        return None
    message = f"`{span.text}` starts no block"
    near = nearest(span.text, _ITEM_WORDS)
    help = f"did you mean `{near}`?" if near else f"a block starts with {_or(_ITEM_WORDS)}"
    return Diagnostic("SG0011", message, Place(span), help=help)


def _reserved(span: Span, miss: Miss) -> Diagnostic | None:
    if span.text not in _RESERVED or "NAME" not in miss.expected:
        return None
    message = f"`{span.text}` is a word of the language and no name here"
    help = f"call it `{span.text}1` or `my_{span.text}`"
    return Diagnostic("SG0010", message, Place(span), help=help)


def _unexpected(span: Span, miss: Miss, stack: list[Bracket]) -> Diagnostic:
    place = Place(_end(span) if miss.type == "$END" else span)
    met = f"`{place.span.text}`" if place.span.text else "the end of the text"
    expected = _or(_told(miss.expected))
    message = f"expected {expected}, not {met}"
    words = [w for t in miss.expected for w in _WORDS.get(t, ())]
    near = nearest(span.text, words) if span.text[:1].isalpha() else None
    help = f"did you mean `{near}`?" if near else None
    if miss.type[0] in "'\"":
        message, help = f"`{span.text}` is no sign of the language", f"expected {expected}"
    return Diagnostic("SG0001", message, place, _inside(place.span, stack), help)


def _told(expected: tuple[str, ...]) -> list[str]:
    """What is expected, in words: values as one, the operators that could go on left out."""
    left = [t for t in expected if t in _TERMINALS]
    if "_NET" in expected:
        return ["an operator", "a block"] if "PLUS" in expected else ["a block"]
    if all(t in left for t in _VALUE):
        others = [t for t in left if t not in _VALUE]
        return ["a value", *(_TERMINALS[t] for t in others)]
    ends = [t for t in left if t not in (*_OPERATORS, *_GOES_ON)]
    return [_TERMINALS[t] for t in ends or left]


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
