"""Examples held out of the training part, the same ones for every seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place
from singac.sources.kind import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HELD_OUT = ("test", "validate")


def held_out_counts(request: Request, examples: int) -> dict[str, int]:
    """Examples of each part that is a fraction of the training part; raises `Failed` (SG0213)."""
    counts = {}
    for name in _HELD_OUT:
        fraction = request.get(name)
        if not isinstance(fraction, float) or fraction == 0:
            continue
        counts[name] = round(fraction * examples)
        if counts[name] == 0:
            least = f"{name} = {math.ceil(100 / examples) / 100:g} holds out one"
            message = f"{fraction:g} of {examples} examples is no example"
            raise _unfit(request, name, message, least if examples > 1 else None)
    if sum(counts.values()) >= examples:
        taken = " + ".join(str(c) for c in counts.values())
        message = f"{taken} of {examples} examples leave none"
        raise _unfit(request, next(iter(counts)), message, "hold out less: some are to train on")
    return counts


def held_out_rows(
    counts: dict[str, int], examples: int, is_text: bool = False
) -> dict[str, NDArray[np.intp]]:
    """Rows of every part, in the order of the file; those of a text are the last.

    a fixed permutation of the rows   | 7 2 9 | 4 0 | 1 3 5 6 8 |
                                        test   validate  train
    """
    import numpy as np

    order = np.arange(examples)[::-1] if is_text else fixed_permutation(examples)
    rows, start = {}, 0
    for name, count in counts.items():
        rows[name] = np.sort(order[start : start + count])
        start += count
    return {"train": np.sort(order[start:])} | rows


def fixed_permutation(examples: int) -> NDArray[np.intp]:
    """An order of the rows that follows from their number alone.

    Sorting Philox's raw numbers keeps it the same in every version of numpy.
    """
    import numpy as np

    return np.argsort(np.random.Philox(key=0).random_raw(examples), kind="stable")


def _unfit(request: Request, name: str, message: str, help: str | None) -> Failed:
    span = request.span_of(name)
    return Failed([Diagnostic("SG0213", message, Place(span) if span else None, help=help)])
