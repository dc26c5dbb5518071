"""Bytes of NumPy's own format -> an array; nothing in them is ever run.

    byte 0        6        8                 10 or 12
         93 NUMPY version  length of header  {'descr': '<f4', 'fortran_order': False, ...}  values

Format: NumPy Enhancement Proposal 1. Objects need pickle and are refused.
"""

from __future__ import annotations

import math
import tokenize
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Protocol

from singac.diagnostics import Failed
from singac.settings import shape_text
from singac.sources.arrays import compact
from singac.sources.damage import damaged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Numbers = NDArray[np.number]

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # bytes; numbers take below 128
_CHUNK = 1 << 20
# What NumPy raises for a header of odd bytes: it reads one as Python's own literals.
BROKEN = (
    ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError, RecursionError,
    MemoryError,
)  # fmt: skip


class Bytes(Protocol):
    """Where an array is read from: `size` bytes of a file, told as `what`."""

    @property
    def path(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def size(self) -> int: ...
    def read(self, count: int) -> bytes:
        """The next bytes, fewer only at the end; raises `Failed`."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """Type, sizes and order of an array; `start` is the byte of its first value."""

    type: str
    sizes: tuple[int, ...]
    columns_first: bool
    start: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape an example, where the first size counts examples."""
        return self.sizes[1:] or (1,)


def read_header(source: Bytes) -> Header:
    """The header, checked against the bytes there are; raises `Failed`."""
    if source.size == 0:
        raise damaged("SG0224", f"{source.what} is empty", source.path)
    start = source.read(8)
    if len(start) < 8 or start[:6] != _MAGIC or start[6] not in (1, 2):
        message = f"{source.what} is no .npy array: it starts with bytes {start.hex(' ')}"
        raise damaged("SG0221", message, source.path, "np.save and np.savez write such arrays")
    length_bytes = 2 if start[6] == 1 else 4
    length = source.read(length_bytes)
    count = int.from_bytes(length, "little")
    if count > _LONGEST_HEADER:
        raise damaged("SG0221", f"{source.what} has a header of {count} bytes", source.path)
    text = source.read(count)
    if len(text) < count or len(length) < length_bytes:
        raise damaged("SG0226", f"{source.what} ends within its header", source.path)
    header = _parsed(source, start[6], length + text)
    _check_sizes(source, header)
    return header


def _parsed(source: Bytes, version: int, header: bytes) -> Header:
    from numpy.lib import format

    parse = format.read_array_header_1_0 if version == 1 else format.read_array_header_2_0
    try:
        sizes, columns_first, type = parse(BytesIO(header))
    except BROKEN:
        raise damaged(
            "SG0221", f"the header of {source.what} cannot be read", source.path
        ) from None
    if type.kind not in "biuf" or type.itemsize > 8:
        raise damaged(
            "SG0236", f"{source.what} holds no numbers but values of type {type}", source.path
        )
    if not sizes:
        raise damaged("SG0236", f"{source.what} is a single number, not examples", source.path)
    return Header(type.str, tuple(sizes), columns_first, len(_MAGIC) + 2 + len(header))


def _check_sizes(source: Bytes, header: Header) -> None:
    """Before anything is allocated: there are as many bytes as the header says."""
    count = math.prod(header.sizes)
    if count <= 0:
        message = f"there are no examples: {source.what} has sizes {shape_text(header.sizes)}"
        raise damaged("SG0225", message, source.path)
    wanted = header.start + count * int(header.type[2:])
    if wanted != source.size:
        message = f"{source.what} has sizes {shape_text(header.sizes)}, which takes {wanted} bytes"
        raise damaged("SG0226", f"{message}, and has {source.size}", source.path)


def read_values(source: Bytes, header: Header) -> Array:
    """The values after the header as bytes or float32, one row an example; raises `Failed`."""
    values = _as_written(source, header).reshape(header.sizes[0], -1)
    read = compact(values)
    _check_finite(source, read, values)
    return read


def _as_written(source: Bytes, header: Header) -> Numbers:
    import numpy as np

    values = np.empty(math.prod(header.sizes), header.type)
    target = values.view(np.uint8).data
    done = 0
    while chunk := source.read(min(_CHUNK, len(target) - done)):
        target[done : done + len(chunk)] = chunk
        done += len(chunk)
    if done < len(target):
        raise _cut(source, header.start + done)
    if source.read(1):
        raise damaged("SG0226", f"{source.what} goes on after its last value", source.path)
    if header.columns_first:
        return values.reshape(header.sizes[::-1]).transpose()
    return values.reshape(header.sizes)


def _cut(source: Bytes, byte: int) -> Failed:
    return damaged("SG0226", f"{source.what} ends at byte {byte}, while it was read", source.path)


def _check_finite(source: Bytes, read: Array, written: Numbers) -> None:
    import numpy as np

    if read.dtype.kind != "f" or bool(np.isfinite(read).all()):
        return
    row, column = (int(i) for i in np.argwhere(~np.isfinite(read))[0])
    value = written[row, column]
    fact = "is too large" if np.isfinite(value) else "is not finite"
    place = f"value {column + 1} of example {row + 1}"
    raise damaged("SG0227", f"{source.what}: {place}, {value}, {fact}", source.path)
