"""Raw values of a field in their smallest form, and the largest label among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Numbers = NDArray[np.number]


def is_whole(values: Numbers) -> bool:
    """Whether every value is a whole number of at least 0."""
    import numpy as np

    if values.size == 0:
        return True
    if values.dtype.kind in "iu":
        return bool(values.min() >= 0)
    return bool(values.min() >= 0 and (values == np.rint(values)).all())


def compact(values: Numbers) -> Array:
    """The values as bytes where they are whole and below 256, else as float32."""
    import numpy as np

    if is_whole(values) and (values.size == 0 or values.max() <= 255):
        return values.astype(np.uint8, copy=False)
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def joined(blocks: list[Array]) -> Array:
    """Blocks of rows one below the other, bytes only where all are."""
    import numpy as np

    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks, axis=0, dtype=np.result_type(*blocks))
