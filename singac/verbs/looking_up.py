"""Verbs that tell of the language and of its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.verbs.common import (
    Arguments,
)

if TYPE_CHECKING:
    pass


def list_words(arguments: Arguments) -> int:
    """The words of one table of the language."""
    from singac import words

    print(words.as_json(arguments.what) if arguments.json else words.as_text(arguments.what))
    return 0


def explain(arguments: Arguments) -> int:
    """What a code means."""
    from singac.codes import CODES
    from singac.diagnostics import did_you_mean

    code = arguments.code.upper()
    if code not in CODES:
        help = did_you_mean(code, CODES)
        message = f"there is no code {arguments.code}"
        raise Failed([Diagnostic("SG0905", message, help=help, exit=Exit.USAGE)])
    print(f"{code}: {CODES[code]}")
    return 0
