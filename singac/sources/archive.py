"""Arrays by name in an .npz file or in a folder of .npy files, opened with damage told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from singac.sources.damage import damaged, names_in, size_of, unreadable
from singac.sources.npy import Bytes
from singac.sources.stream import Stream

if TYPE_CHECKING:
    import zipfile

_SUFFIX = ".npy"
_LARGEST_RATIO = 1032  # deflate packs no run of bytes tighter than this
_ENCRYPTED = 1


def names_of(path: str) -> tuple[str, ...]:
    """Names of the arrays of a folder, of one .npy file or of an .npz file; raises `Failed`."""
    if os.path.isdir(path):
        found = names_in(path)
    elif is_single(path):
        size_of(path)
        found = [os.path.basename(path)]
    else:
        with _zip(path) as archive:
            found = archive.namelist()
    return tuple(n.removesuffix(_SUFFIX) for n in found if n.endswith(_SUFFIX))


def is_single(path: str) -> bool:
    """Whether this is a file of one array."""
    return path.endswith(_SUFFIX) and not os.path.isdir(path)


def file_of(path: str, name: str) -> str:
    """The file that holds an array of `names_of(path)`."""
    return os.path.join(path, name + _SUFFIX) if os.path.isdir(path) else path


@contextmanager
def opened(path: str, name: str) -> Iterator[Bytes]:
    """The bytes of an array of `names_of(path)`; raises `Failed`, also for damage met inside."""
    if os.path.isdir(path) or is_single(path):
        with opened_file(file_of(path, name)) as source:
            yield source
    else:
        with _zip(path) as archive:
            info = archive.getinfo(name + _SUFFIX)
            _check_member(path, info)
            with archive.open(info) as member:
                yield _Member(path, f"array `{name}`", info.file_size, member)


@contextmanager
def opened_file(path: str) -> Iterator[Bytes]:
    """The bytes of an array in a file of its own; raises `Failed`."""
    with Stream(path) as stream:
        if stream.packed:
            raise damaged("SG0221", "the array is packed by gzip; unpack it", path)
        yield _File(stream)


@contextmanager
def _zip(path: str) -> Iterator[zipfile.ZipFile]:
    """An .npz file open for reading; whatever its bytes make go wrong is a `Failed`."""
    import struct
    import zipfile
    import zlib

    if size_of(path) == 0:
        raise damaged("SG0224", "the file is empty", path)
    broken = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except broken as error:
        help = "np.savez writes such a file; copy or download it again"
        raise damaged("SG0237", f"not a whole .npz file: {_fact(error)}", path, help) from None
    except OSError as error:
        raise unreadable(path, error) from None


def _fact(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0][:1].lower() + text[0][1:] if text else "it cannot be unpacked"


def _check_member(path: str, info: zipfile.ZipInfo) -> None:
    """Before anything is unpacked: the file can hold what its directory says."""
    import zipfile

    stored = info.compress_type == zipfile.ZIP_STORED
    if info.flag_bits & _ENCRYPTED or not (stored or info.compress_type == zipfile.ZIP_DEFLATED):
        message = f"{info.filename} is packed in a way that np.savez never uses"
        raise damaged("SG0237", message, path)
    largest = info.compress_size * (1 if stored else _LARGEST_RATIO)
    if info.compress_size > size_of(path) or info.file_size > largest:
        message = f"{info.filename} is said to have {info.file_size} bytes"
        raise damaged("SG0226", f"{message}, more than the file can hold", path)


@dataclass(frozen=True, slots=True)
class _Member:
    """An array of an .npz file."""

    path: str
    what: str
    size: int
    stream: IO[bytes]

    def read(self, count: int) -> bytes:
        return self.stream.read(count)


@dataclass(frozen=True, slots=True)
class _File:
    """An array in a file of its own."""

    stream: Stream
    what: str = "the file"

    @property
    def path(self) -> str:
        return self.stream.path

    @property
    def size(self) -> int:
        return self.stream.size

    def read(self, count: int) -> bytes:
        return self.stream.read(count)
