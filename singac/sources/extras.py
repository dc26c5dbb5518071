"""Formats that are read by a library of an extra: the library, and what all of them check."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.sources.arrays import compact, is_whole
from singac.sources.damage import damaged, size_of
from singac.sources.kind import LabelFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Numbers = NDArray[np.number]


def library(module: str, package: str, extra: str, path: str) -> Any:
    """A module of an extra; raises `Failed` (SG0250) where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        message = f"this file is read by {package}, which is not installed"
        help = f"pip install 'singac[{extra}]'"
        raise Failed(
            [Diagnostic("SG0250", message, file=path, help=help, exit=Exit.ENVIRONMENT)]
        ) from None


@contextmanager
def whole(path: str, format: str, *broken: type[Exception]) -> Iterator[None]:
    """Whatever the bytes of a file make go wrong inside its library is a `Failed` (SG0251)."""
    if size_of(path) == 0:
        raise damaged("SG0224", "the file is empty", path)
    try:
        yield
    except broken as error:
        fact = (str(error).splitlines() or ["it cannot be read"])[0]
        raise damaged("SG0251", f"not a whole {format} file: {fact}", path) from None


def rows(values: Numbers, what: str, path: str) -> Array:
    """Values as bytes or float32, one row an example; raises `Failed` for infinity or NaN."""
    import numpy as np

    flat = values.reshape(values.shape[0], -1)
    read = compact(flat)
    if read.dtype.kind == "f" and not bool(np.isfinite(read).all()):
        row, column = (int(i) for i in np.argwhere(~np.isfinite(read))[0])
        fact = "is too large" if np.isfinite(flat[row, column]) else "is not finite"
        place = f"value {column + 1} of example {row + 1}"
        raise damaged("SG0227", f"{what}: {place}, {flat[row, column]}, {fact}", path)
    return read


def largest_label(labels: Any, path: str) -> LabelFacts | None:
    """The largest class of a column of labels, None where they are real numbers."""
    import numpy as np

    if not is_whole(labels):
        return None
    row = int(np.argmax(labels))
    return LabelFacts(int(labels.reshape(-1)[row]), path, f"example {row + 1}")
