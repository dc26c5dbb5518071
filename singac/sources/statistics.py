"""Mean and standard deviation of the values a net is trained on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place
from singac.sources.kind import COMPUTED, Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_ROWS = 4096  # summed at once, so that no copy of the whole data is made


def mean_and_std(request: Request, train: Array) -> tuple[float, float]:
    """`mean` and `std` of a request: one number each, over all scaled values of the training part.

    The standard deviation is that about the mean of the data, not about a `mean` that was given.
    Raises `Failed` (SG0217) where it is computed of values that are all the same.
    """
    scale = request.number("scale")
    mean = _mean(train)
    found = {"mean": mean * scale, "std": 0.0}
    if request.get("std") == COMPUTED:
        found["std"] = _deviation(train, mean) * abs(scale)
        if found["std"] == 0:
            span = request.span_of("std")
            message = f"std cannot be computed: every value is {mean * scale:g}"
            raise Failed([Diagnostic("SG0217", message, Place(span) if span else None)])
    mean, std = (
        found[n] if request.get(n) == COMPUTED else request.number(n) for n in ("mean", "std")
    )
    return mean, std


def _mean(values: Array) -> float:
    import numpy as np

    return float(np.sum(values, dtype=np.float64)) / values.size


def _deviation(values: Array, mean: float) -> float:
    import numpy as np

    squares = 0.0
    for start in range(0, len(values), _ROWS):
        rows = values[start : start + _ROWS].astype(np.float64) - mean
        squares += float(np.vdot(rows, rows))
    return math.sqrt(squares / values.size)
