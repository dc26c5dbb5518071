"""The kinds of source a `data` block can name."""

from __future__ import annotations

from singac.sources.cifar import CIFAR
from singac.sources.csv import CSV
from singac.sources.hdf5 import HDF5
from singac.sources.idx import IDX
from singac.sources.images import IMAGES
from singac.sources.kind import SourceKind
from singac.sources.lmdb import LMDB
from singac.sources.npz import NPZ
from singac.sources.parquet import PARQUET
from singac.sources.records import RECORDS
from singac.sources.text import CHARS, WORDS

SOURCES: dict[str, SourceKind] = {
    kind.name: kind
    for kind in (IDX, CIFAR, CSV, NPZ, HDF5, LMDB, PARQUET, IMAGES, RECORDS, CHARS, WORDS)
}
