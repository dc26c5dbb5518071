"""Records: examples of any source in one file of raw arrays, each block with a checksum.

    byte 0                  8                16                   a multiple of 64
         89 "SINGA" 0d 0a   length  CRC-32   header, JSON         values of the first array ...
                            of the header

The header lists the arrays in their order: part, field, shape, type, and the CRC-32 of each block.
Numbers are little-endian; a row is an example. Each array starts at the next whole cache line, so
that it can be mapped.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from singac.diagnostics import Failed
from singac.settings import Setting, Sort, shape_text
from singac.sources.damage import damaged, placed
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey
from singac.sources.stream import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

MAGIC = b"\x89SINGA\r\n"  # as PNG's: a transfer that changes line ends or strips bit 7 is seen
FORMAT_VERSION = "1.0"
BLOCK = 1 << 22  # bytes under one checksum
ALIGNMENT = 64
_START = struct.Struct("<8sII")
_TYPES = {"u1": 1, "f4": 4}
_PARTS = ("train", "test", "validate")


@dataclass(frozen=True, slots=True)
class Packed:
    """One field of one part, and the CRC-32 of each block of its values.

    `largest` is the largest class label and `place` its example; None where there are no classes.
    `start` is its byte in the file, which follows from the arrays before it.
    """

    part: str
    field: str
    shape: tuple[int, ...]
    type: str
    examples: int
    sums: tuple[int, ...]
    largest: int | None = None
    place: str = ""
    start: int = 0

    @property
    def bytes(self) -> int:
        return self.examples * math.prod(self.shape) * _TYPES[self.type]


def header_bytes(arrays: list[Packed]) -> bytes:
    """Magic, length, checksum and JSON."""
    listed = [{k: v for k, v in asdict(a).items() if k != "start"} for a in arrays]
    header = {"format_version": FORMAT_VERSION, "arrays": listed}
    text = json.dumps(header, separators=(",", ":")).encode()
    return _START.pack(MAGIC, len(text), zlib.crc32(text)) + text


# -- reading ---------------------------------------------------------------------------------------


def locate(request: Request) -> tuple[Part, ...]:
    """The parts the file says it has, and files that were given for others."""
    path = request.text("path")
    with placed(request.span_of("path")):
        arrays = _arrays(path)
    parts = []
    for name in _PARTS:
        given = request.get(name) if name != "train" else None
        if isinstance(given, str):
            parts.append(Part(name, name, (given,)))
        elif given is None and any(a.part == name for a in arrays):
            parts.append(Part(name, "path", (path,)))
    return tuple(parts)


def survey(request: Request, part: Part) -> Survey:
    """All from the header."""
    arrays = _of_part(part)
    fields = tuple((a.field, a.shape) for a in arrays)
    return Survey(arrays[0].examples, fields, _label(arrays, part.files[0]))


def _label(arrays: list[Packed], path: str) -> LabelFacts | None:
    found = [a for a in arrays if a.largest is not None]
    if not found:
        return None
    largest = max(found, key=lambda a: a.largest or 0)
    return LabelFacts(largest.largest or 0, path, largest.place, tuple(a.field for a in found))


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of the part, one row an example; every block is compared with its checksum."""
    return {array.field: _values(part.files[0], array) for array in _of_part(part)}


def _of_part(part: Part) -> list[Packed]:
    """The arrays of a part; those of a file given for testing are what it has to train on."""
    wanted = part.name if part.setting == "path" else "train"
    return [a for a in _arrays(part.files[0]) if a.part == wanted]


def _arrays(path: str) -> list[Packed]:
    with Stream(path) as stream:
        if stream.packed:
            raise damaged("SG0221", "the file is packed by gzip; unpack it", path)
        start = stream.read(_START.size)
        if not start:
            raise damaged("SG0224", "the file is empty", path)
        if len(start) < _START.size or start[: len(MAGIC)] != MAGIC:
            found = start[: len(MAGIC)].hex(" ")
            message = f"not a file of records: it starts with bytes {found}"
            raise damaged("SG0221", message, path, "singac pack writes such a file")
        _, length, checksum = _START.unpack(start)
        if _START.size + length > stream.size:
            message = f"the header has {length} bytes, more than the file can hold"
            raise damaged("SG0226", message, path)
        text = stream.read(length)
        if zlib.crc32(text) != checksum:
            raise _altered(path, f"the header, bytes {_START.size} to {_START.size + length}")
        return _placed(_parsed(text, path), _START.size + length, stream.size, path)


def _parsed(text: bytes, path: str) -> list[Packed]:
    """The arrays a header lists; its checksum is right, so that what fails here was so written."""
    try:
        header = json.loads(text)
        if header["format_version"] != FORMAT_VERSION:
            message = f"records of version {header['format_version']}"
            raise damaged("SG0238", message, path, f"this singac reads version {FORMAT_VERSION}")
        arrays = [_packed(a) for a in header["arrays"]]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise damaged("SG0238", "the header does not list arrays as singac does", path) from None
    for part in _PARTS:
        own = [a for a in arrays if a.part == part]
        fit = len({a.examples for a in own}) <= 1 and len({a.field for a in own}) == len(own)
        if not fit or (part == "train" and not own):
            raise damaged("SG0238", f"the arrays of the {part} part do not fit", path)
    return arrays


def _packed(given: dict[str, object]) -> Packed:
    """Raises KeyError, TypeError or ValueError for what `pack` does not write."""
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    array = Packed(**listed)  # type: ignore[arg-type]
    wholes = (array.examples, *array.shape, *array.sums, array.largest or 0)
    texts = (array.part, array.field, array.type, array.place)
    if not all(type(n) is int and n >= 0 for n in wholes) or array.bytes == 0:
        raise ValueError("sizes are whole numbers")
    if len(array.sums) != -(-array.bytes // BLOCK):
        raise ValueError("every block has a checksum")
    if not all(isinstance(t, str) for t in texts) or array.part not in _PARTS:
        raise ValueError("names are texts")
    if not array.field.isidentifier():  # it becomes a part of a file's name in the cache
        raise ValueError("a field is a name")
    return array


def _placed(arrays: list[Packed], end: int, size: int, path: str) -> list[Packed]:
    """Before anything is allocated: the arrays with their places; the last one ends the file."""
    found = []
    for array in arrays:
        found.append(replace(array, start=aligned(end)))
        end = found[-1].start + array.bytes
        if end > size:
            values = f"{shape_text((array.examples, *array.shape))} values of `{array.field}`"
            message = (
                f"the file ends at byte {size}, the {values} of the {array.part} part at {end}"
            )
            raise damaged("SG0226", message, path, "copy or pack the file again")
    if end < size:
        message = f"there are bytes after the last value, from byte {end} on"
        raise damaged("SG0226", message, path)
    return found


def _values(path: str, array: Packed) -> Array:
    import numpy as np

    values = np.empty((array.examples, math.prod(array.shape)), f"<{array.type}")
    target = values.reshape(-1).view(np.uint8).data
    with Stream(path) as stream:
        stream.skip_to(array.start)
        for index, checksum in enumerate(array.sums):
            block = target[index * BLOCK : (index + 1) * BLOCK]
            first = array.start + index * BLOCK
            if stream.read_into(block) < len(block) or zlib.crc32(block) != checksum:
                where = f"bytes {first} to {first + len(block)}"
                raise _altered(path, f"`{array.field}` of the {array.part} part, {where}")
    return values


def _altered(path: str, what: str) -> Failed:
    message = f"{what} do not match their checksum"
    return damaged("SG0239", message, path, "copy or pack the file again")


def aligned(byte: int) -> int:
    """The next byte an array may start at."""
    return -(-byte // ALIGNMENT) * ALIGNMENT


RECORDS = SourceKind(
    name="records",
    doc="examples that `singac pack` wrote, with their parts and a checksum for every block",
    settings=(Setting("path", "the file", sorts=(Sort.PATH,), positional=True), *COMMON_SETTINGS),
    gives="the fields that were packed",
    locate=locate,
    survey=survey,
    load=load,
    declared=("image", "label"),
)
