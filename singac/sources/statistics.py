"""Mean and deviation of the first field: numbers, computed of what is trained on, or from files.

A number is applied while a batch is read. With a file of a value for each value of an example, the
prepared data holds `(raw * scale - mean) / std` already.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place
from singac.settings import shape_text
from singac.sources.archive import opened_file
from singac.sources.damage import damaged, placed
from singac.sources.kind import COMPUTED, Request
from singac.sources.npy import read_header, read_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Floats = NDArray[np.float32]

_NAMES = ("mean", "std")
_ROWS = 4096  # worked on at once, so that no copy of the whole data is made in double


def files_of(request: Request) -> dict[str, str]:
    """The files that `mean` and `std` are read from."""
    given = {name: request.get(name) for name in _NAMES}
    return {n: v for n, v in given.items() if isinstance(v, str) and v != COMPUTED}


def numbers_of(request: Request, train: Callable[[], Array]) -> dict[str, float]:
    """`mean` and `std` where they are numbers, given or computed of the scaled training values.

    The standard deviation is that about the mean of the data, not about a `mean` that was given.
    Raises `Failed` (SG0217) where it is computed of values that are all the same.
    """
    given = {name: request.get(name) for name in _NAMES}
    numbers = {n: float(v) for n, v in given.items() if isinstance(v, int | float)}
    if COMPUTED not in given.values():
        return numbers
    values, scale = train(), request.number("scale")
    mean = _mean(values)
    if given["mean"] == COMPUTED:
        numbers["mean"] = mean * scale
    if given["std"] == COMPUTED:
        numbers["std"] = _deviation(values, mean) * abs(scale)
        if numbers["std"] == 0:
            message = f"std cannot be computed: every value is {mean * scale:g}"
            raise Failed([Diagnostic("SG0217", message, _place(request, "std"))])
    return numbers


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


# -- files -----------------------------------------------------------------------------------------


def check_files(request: Request, shape: tuple[int, ...]) -> None:
    """A file has a value for each value of an example; raises `Failed` (SG0212)."""
    for name in files_of(request):
        found = _value_each(request, name).size
        if found != math.prod(shape):
            message = f"`{name}` of {found} values does not fit the data"
            help = f"an example has {shape_text(shape)}, {math.prod(shape)} values"
            place = _place(request, name)
            raise Failed([Diagnostic("SG0212", message, place, help=help, file=request.text(name))])


def standardise(request: Request, arrays: dict[str, dict[str, Array]]) -> None:
    """Put `(raw * scale - mean) / std` in the place of the first field of every part."""
    import numpy as np

    first = next(iter(arrays["train"]))
    numbers = numbers_of(request, lambda: arrays["train"][first])
    mean, std = (
        _value_each(request, name) if name in files_of(request) else np.float32(numbers[name])
        for name in _NAMES
    )
    scale = np.float32(request.number("scale"))
    for fields in arrays.values():
        values = fields[first]
        result = np.empty(values.shape, np.float32)
        for start in range(0, len(values), _ROWS):
            rows = slice(start, start + _ROWS)
            result[rows] = (values[rows].astype(np.float32) * scale - mean) / std
        fields[first] = result


def _value_each(request: Request, name: str) -> Floats:
    """The values of the file that a setting names; those of `std` are above 0."""
    import numpy as np

    path = request.text(name)
    with placed(request.span_of(name)):
        with opened_file(path) as source:
            read = read_values(source, read_header(source)).reshape(-1)
        values = read.astype(np.float32)
        if name == "std" and values.min() <= 0:
            index = int(values.argmin())
            message = f"value {index + 1} is {values[index]:g}; what divides must be above 0"
            raise damaged("SG0248", message, path)
    return values


def _place(request: Request, setting: str) -> Place | None:
    span = request.span_of(setting)
    return Place(span) if span else None
