"""The LALR parser made of `grammar/singa.lark`, and where it stops at a text with a mistake."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedToken


@dataclass(frozen=True, slots=True)
class Miss:
    """Where a text leaves the language.

    `type` is the terminal met, a quoted character where no terminal fits, or `$END`; `states` are
    the parser's last states; `expected` the terminals that could have stood here, in the order of
    the grammar.
    """

    start: int
    stop: int
    type: str
    states: tuple[int, ...]
    expected: tuple[str, ...]


@cache
def parser() -> Lark:
    """The parser; it keeps nothing of the texts it reads."""
    return build_parser()


def build_parser(*, debug: bool = False) -> Lark:
    """A new parser; with `debug` lark logs every conflict of the grammar."""
    grammar = files("grammar").joinpath("singa.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        propagate_positions=True,
        maybe_placeholders=True,
        debug=debug,
    )


def parse_text(text: str) -> Tree[Token] | Miss:
    """Lark's tree of a text, with offsets into it, or its first mistake."""
    try:
        return parser().parse(text)
    except UnexpectedToken as error:
        if error.token.type == "$END":
            return _miss(error, len(text), len(text), "$END")
        start = error.token.start_pos or 0
        return _miss(error, start, start + len(error.token), error.token.type)
    except UnexpectedCharacters as error:
        start = error.pos_in_stream or 0
        return _miss(error, start, start + 1, repr(text[start]))


def _miss(error: UnexpectedToken | UnexpectedCharacters, start: int, stop: int, type: str) -> Miss:
    stopped = error.interactive_parser
    states = tuple(stopped.parser_state.state_stack[-2:])
    accepts: set[str] = stopped.accepts()  # type: ignore[no-untyped-call]
    expected = tuple(t.name for t in parser().terminals if t.name in accepts)
    return Miss(start, stop, type, states, expected)
