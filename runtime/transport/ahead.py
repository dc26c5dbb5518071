"""What processes load beside the code of their plan, compiled before they begin."""

from __future__ import annotations

from functools import partial

from runtime.transport import around, counters, sequence
from singac.codegen import native

TEXTS = (counters.ir, sequence.ir, around.ir)


def compile_all() -> None:
    """Leave it in the cache."""
    for ir in TEXTS:
        text = ir()
        native.provide(text, partial(native.Source, text))
