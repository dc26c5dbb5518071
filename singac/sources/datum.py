"""Caffe's `Datum`, one example as a message of Protocol Buffers -> arrays.

    1 channels   2 height   3 width   5 label   7 encoded     whole numbers
    4 data                                                    a byte a value
    6 float_data                                              floats, one by one or packed

A field is a number that says which it is and how it is written (its lowest three bits), and what
the original's converters of images left is all in these few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.number]

_CHANNELS, _HEIGHT, _WIDTH, _DATA, _LABEL, _FLOATS, _ENCODED = range(1, 8)
_WHOLE, _LONG, _BYTES, _SHORT = 0, 1, 2, 5  # how a field is written
_SIZES = {_LONG: 8, _SHORT: 4}
_MOST_DIGITS = 10  # of seven bits each


def arrays_of(record: bytes) -> tuple[Numbers, ...]:
    """The values [channels, height, width], and the label if there is one; raises ValueError."""
    import numpy as np

    whole: dict[int, int] = {}
    parts: dict[int, list[bytes]] = {_DATA: [], _FLOATS: []}
    for number, value in _fields(record):
        if isinstance(value, int):
            whole[number] = value
        elif number in parts:
            parts[number].append(value)
        else:
            raise ValueError(f"a Datum has no field {number} of bytes")
    if whole.get(_ENCODED):
        raise ValueError("a Datum whose data is a compressed picture")
    data, floats = (b"".join(parts[n]) for n in (_DATA, _FLOATS))
    shape = tuple(whole.get(n, 0) for n in (_CHANNELS, _HEIGHT, _WIDTH))
    values: Any = np.frombuffer(data, np.uint8) if data else np.frombuffer(floats, "<f4")
    if values.size == 0 or values.size != shape[0] * shape[1] * shape[2]:
        sizes = " x ".join(map(str, shape))
        raise ValueError(f"a Datum of {sizes} with {values.size} values")
    label = (np.array(whole[_LABEL]),) if _LABEL in whole else ()
    return (values.reshape(shape), *label)


def _fields(record: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The number of each field and its value, a whole number or bytes."""
    at = 0
    while at < len(record):
        key, at = _number(record, at)
        number, written = key >> 3, key & 7
        if written == _WHOLE:
            value, at = _number(record, at)
            yield number, value - (1 << 64) * (value >> 63)
            continue
        size = _SIZES.get(written, -1)
        if written == _BYTES:
            size, at = _number(record, at)
        if not 0 <= size <= len(record) - at:
            raise ValueError("no whole message of Protocol Buffers")
        yield number, record[at : at + size]
        at += size


def _number(record: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, until one whose highest bit is not set; and its end."""
    value = 0
    for k, byte in enumerate(record[at : at + _MOST_DIGITS]):
        value |= (byte & 127) << (7 * k)
        if byte < 128:
            return value, at + k + 1
    raise ValueError("no whole message of Protocol Buffers")
