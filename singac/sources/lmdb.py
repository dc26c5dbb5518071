"""An LMDB database with a record an example, read through lmdb, which is an extra of its own.

The records are in the order of their keys. Each is one array in NumPy's .npy format, or two, one
behind the other: the values of the example and its label.

    key 000000000   | features .npy | label .npy |
    key 000000001   | features .npy | label .npy |

    with lmdb.open("digits.lmdb", map_size=2**34) as base, base.begin(write=True) as records:
        for k, (x, y) in enumerate(examples):
            record = io.BytesIO()
            np.save(record, x)
            np.save(record, y)
            records.put(b"%09d" % k, record.getvalue())

A record that is not of that format is taken for a `Datum` of Caffe (`datum.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from singac.settings import Setting, Sort, shape_text
from singac.sources.damage import damaged, placed, size_of
from singac.sources.datum import arrays_of
from singac.sources.extras import largest_label, library, rows, whole
from singac.sources.kind import COMMON_SETTINGS, Part, Request, SourceKind, Survey
from singac.sources.npy import BROKEN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Numbers = NDArray[np.number]

FIELDS = ("features", "label")
_DATA = "data.mdb"  # what LMDB calls the file in the folder of a database


def locate(request: Request) -> tuple[Part, ...]:
    """The file of each part; a database may be a folder with one in it."""
    parts = []
    for name, setting in (("train", "path"), ("test", "test"), ("validate", "validate")):
        given = request.get(setting)
        if isinstance(given, str):
            with placed(request.span_of(setting)):
                parts.append(Part(name, setting, (_file(given),)))
    return tuple(parts)


def _file(path: str) -> str:
    file = os.path.join(path, _DATA) if os.path.isdir(path) else path
    size_of(file)
    return file


def survey(request: Request, part: Part) -> Survey:
    """Every record is read, for the largest label among them."""
    (path,) = part.files
    read = _read(path, only_last=True)
    fields = tuple((name, sizes or (1,)) for name, (sizes, _) in read.items())
    label = None
    if fields[-1] == ("label", (1,)):
        label = largest_label(read["label"][1], path)
    return Survey(len(read[fields[-1][0]][1]), fields, label)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of every record, one row an example."""
    (path,) = part.files
    read = _read(path)
    return {name: rows(values, f"the {name}", path) for name, (_, values) in read.items()}


def _read(path: str, only_last: bool = False) -> dict[str, tuple[tuple[int, ...], Numbers]]:
    """The sizes of each field and its values of all records; `only_last`, not those before it."""
    import numpy as np

    kept: list[list[Numbers]] = []
    first: _Record | None = None
    with _records(path) as records:
        for key, record in records:
            arrays = first.arrays_alike(record) if first else None
            if arrays is None:
                read = _parsed(path, key, record)
                first, arrays = first or read, list(read.arrays)
                kept = kept or [[] for _ in arrays]
                _check_alike(path, key, arrays, first.arrays)
            for values, array in zip(kept, arrays, strict=True):
                if not only_last or values is kept[-1]:
                    values.append(array)
    if first is None:
        raise damaged("SG0225", "there are no records in it", path)
    listed = zip(FIELDS, first.arrays, kept, strict=False)
    return {name: (array.shape, np.array(values)) for name, array, values in listed}


@dataclass(frozen=True, slots=True)
class _Record:
    """A record and its arrays, each with its bytes: from a header to the first value, to the end.

    Those of a `Datum` have no places.

    | start  header  | first  values | end = start  header | first  values | end
    """

    record: bytes
    arrays: tuple[Numbers, ...]
    places: tuple[tuple[int, int], ...]

    def arrays_alike(self, record: bytes) -> list[Numbers] | None:
        """Those of another record, if it has the same headers: nothing is parsed again."""
        import numpy as np

        same = len(record) == len(self.record) and all(
            record[start:first] == self.record[start:first] for start, first in self.places
        )
        if not self.places or not same or not all(a.flags.c_contiguous for a in self.arrays):
            return None
        return [
            np.frombuffer(record, a.dtype, a.size, first).reshape(a.shape)
            for a, (_, first) in zip(self.arrays, self.places, strict=True)
        ]


def _check_alike(
    path: str, key: bytes, arrays: Sequence[Numbers], others: Sequence[Numbers]
) -> None:
    if [(a.shape, a.dtype) for a in arrays] != [(a.shape, a.dtype) for a in others]:
        message = f"record {key!r} holds {_told(arrays)}, the first {_told(others)}"
        raise damaged("SG0252", message, path)


@contextmanager
def _records(path: str) -> Iterator[Iterator[tuple[bytes, bytes]]]:
    """Keys and values of a database that nothing of is changed; damage is a `Failed`."""
    lmdb = library("lmdb", "lmdb", "lmdb", path)
    options = {"subdir": False, "readonly": True, "lock": False, "create": False}
    with whole(path, "LMDB", lmdb.Error), lmdb.open(path, **options) as base:
        wanted = (base.info()["last_pgno"] + 1) * base.stat()["psize"]
        if size_of(path) < wanted:  # what is mapped beyond the end would end this process
            message = f"its pages take {wanted} bytes, and the file has {size_of(path)}"
            raise damaged("SG0226", message, path, "copy the file again")
        with base.begin() as reading:
            yield iter(reading.cursor())


def _parsed(path: str, key: bytes, record: bytes) -> _Record:
    """A record of one or two arrays of numbers."""
    from numpy.lib.format import MAGIC_PREFIX, read_array

    if record and not record.startswith(MAGIC_PREFIX):
        return _datum(path, key, record)
    stream, arrays, places = BytesIO(record), list[Any](), list[tuple[int, int]]()
    try:
        while stream.tell() < len(record) and len(arrays) <= len(FIELDS):
            start = stream.tell()
            arrays.append(read_array(stream, allow_pickle=False, max_header_size=10_000))
            places.append((start, stream.tell() - arrays[-1].nbytes))
    except (*BROKEN, EOFError) as error:
        fact = (str(error).splitlines() or ["it cannot be read"])[0]
        message = f"record {key!r} is not made of arrays in .npy: {fact}"
        help = "np.save writes them, one behind the other"
        raise damaged("SG0252", message, path, help) from None
    if not 1 <= len(arrays) <= len(FIELDS):
        message = f"record {key!r} holds {len(arrays) or 'no'} arrays or more"
        help = "one of features, and one of labels if there are any"
        raise damaged("SG0252", message, path, help)
    for array in arrays:
        if array.dtype.kind not in "biuf" or array.size == 0:
            message = f"record {key!r} holds {_told([array])}, no numbers"
            raise damaged("SG0252", message, path)
    return _Record(record, tuple(arrays), tuple(places))


def _datum(path: str, key: bytes, record: bytes) -> _Record:
    try:
        return _Record(record, arrays_of(record), ())
    except ValueError as error:
        message = f"record {key!r} is neither made of arrays in .npy nor a Datum of Caffe: {error}"
        help = "np.save writes arrays, one behind the other; convert_imageset uncompressed pictures"
        raise damaged("SG0252", message, path, help) from None


def _told(arrays: Sequence[Numbers]) -> str:
    return " and ".join(f"{a.dtype.name} {shape_text(a.shape or (1,))}" for a in arrays)


LMDB = SourceKind(
    name="lmdb",
    doc="an LMDB database, each record an array in .npy and its label, or a Datum; needs lmdb",
    settings=(
        Setting("path", "a database, its folder or its file", sorts=(Sort.PATH,), positional=True),
        *COMMON_SETTINGS,
    ),
    gives="features, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=FIELDS,
)
