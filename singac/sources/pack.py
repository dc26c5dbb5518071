"""The examples of a source -> a file of records (`singac/sources/records.py` has the format)."""

from __future__ import annotations

import os
import tempfile
import zlib
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.sources.kind import Facts, Request
from singac.sources.prepare import read
from singac.sources.records import BLOCK, Packed, aligned, header_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def pack(request: Request, facts: Facts, path: str) -> int:
    """Write every part of the data, as it is before scaling; the bytes of the file.

    `facts` are those `probe` gave. The file appears whole or not at all. Raises `Failed` with exit
    code DAMAGED for damaged data, ENVIRONMENT where the file cannot be written.
    """
    arrays = read(request)
    listed = [
        (_packed(part, index, values, facts), values)
        for part, fields in arrays.items()
        for index, values in enumerate(fields.values())
    ]
    try:
        return _write(header_bytes([p for p, _ in listed]), [v for _, v in listed], path)
    except OSError as error:
        message = f"the records cannot be written: {error.strerror or error}"
        raise Failed([Diagnostic("SG0241", message, file=path, exit=Exit.ENVIRONMENT)]) from None


def _packed(part: str, index: int, values: Array, facts: Facts) -> Packed:
    """What the header says of an array."""
    field = facts.fields[index]
    largest, place = None, ""
    if facts.label and field.name in (facts.label.fields or (facts.fields[-1].name,)):
        row = int(values.max(axis=1).argmax())
        largest, place = int(values[row].max()), f"example {row + 1} of its {part} part"
    sums = tuple(zlib.crc32(block) for block in _blocks(values))
    type = values.dtype.str[1:]
    return Packed(part, field.name, field.shape, type, len(values), sums, largest, place)


def _blocks(values: Array) -> list[memoryview]:
    """The little-endian bytes of an array, a checksum's worth at a time."""
    import numpy as np

    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    data = little.reshape(-1).view(np.uint8).data
    return [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]


def _write(header: bytes, arrays: list[Array], path: str) -> int:
    folder = os.path.dirname(path) or "."
    handle, unfinished = tempfile.mkstemp(prefix=".unfinished-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(header)
            for values in arrays:
                file.write(bytes(aligned(file.tell()) - file.tell()))
                for block in _blocks(values):
                    file.write(block)
            size = file.tell()
        os.chmod(unfinished, 0o666 & ~_umask())
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return size


def _umask() -> int:
    """What a file made by `open` would lack; mkstemp makes one that only its owner can read."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
