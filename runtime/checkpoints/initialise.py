"""A param of the plan -> its initial values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from singac import initialisers
from singac.plan.plan import Initialiser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from singac.plan.plan import Param


TOGETHER = 1 << 16  # values, so that drawing takes no memory to speak of


def initial_rows(param: Param, seed: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The initial values some rows at a time: the number of the first, and [rows][columns]."""
    how, (_, columns) = _initialiser(param), param.matrix
    height, first = max(TOGETHER // columns, 1), 0
    settings, together = dict(how.settings), height * columns
    for values in initialisers.drawn(how.kind, settings, param.name, param.shape, seed, together):
        rows = values.reshape(-1, columns)
        yield first, rows
        first += len(rows)


def initial(param: Param, seed: int) -> NDArray[np.float32]:
    """Initial values in the canonical shape; the same on every process that asks."""
    how = _initialiser(param)
    return initialisers.initial(how.kind, dict(how.settings), param.name, param.shape, seed)


def _initialiser(param: Param) -> Initialiser:
    assert isinstance(param.initialiser, Initialiser), f"{param.name} is not drawn"
    return param.initialiser
