"""The kinds of source a `data` block can name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from singac.sources.kind import SourceKind

# fmt: off
PLACES: dict[str, tuple[str, str]] = {
    "idx":     ("idx",     "IDX"),
    "cifar":   ("cifar",   "CIFAR"),
    "csv":     ("csv",     "CSV"),
    "npz":     ("npz",     "NPZ"),
    "hdf5":    ("hdf5",    "HDF5"),
    "lmdb":    ("lmdb",    "LMDB"),
    "parquet": ("parquet", "PARQUET"),
    "images":  ("images",  "IMAGES"),
    "records": ("records", "RECORDS"),
    "chars":   ("text",    "CHARS"),
    "words":   ("text",    "WORDS"),
}
# fmt: on


class _Sources(Mapping[str, SourceKind]):
    """A kind by its name. Its file is loaded when it is asked for: a warm start needs but one."""

    def __getitem__(self, name: str) -> SourceKind:
        file, constant = PLACES[name]
        kind: SourceKind = getattr(import_module(f"singac.sources.{file}"), constant)
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


SOURCES = _Sources()
