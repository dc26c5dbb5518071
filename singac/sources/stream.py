"""The bytes of a file, unpacked where it is gzip, with damage told at its byte."""

from __future__ import annotations

import gzip
import zlib
from types import TracebackType

from singac.diagnostics import Failed
from singac.sources.damage import damaged, size_of, unreadable

_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST_RATIO = 1032  # deflate packs no run of bytes tighter than this


class Stream:
    """A file open for reading; a context. Every error is a `Failed` that names the file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = size_of(path)
        try:
            self._file = open(path, "rb")  # noqa: SIM115  closed by __exit__
            magic = self._file.read(len(_GZIP_MAGIC))
            self._file.seek(0)
        except OSError as error:
            raise unreadable(path, error) from None
        self.packed = magic == _GZIP_MAGIC
        if path.endswith(".gz") and not self.packed:
            self._file.close()
            raise damaged("SG0220", f"not a gzip file: it starts with {_hex(magic)}", path)
        self._stream = gzip.GzipFile(fileobj=self._file) if self.packed else self._file
        self.position = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def largest(self) -> int:
        """Bytes the file can hold at most once unpacked."""
        return self.size * _LARGEST_RATIO if self.packed else self.size

    def skip_to(self, position: int) -> None:
        """Go on at a byte of a file that is not packed."""
        assert not self.packed, "what is packed is read from its start"
        self._file.seek(position)
        self.position = position

    def read(self, count: int) -> bytes:
        """The next bytes: `count`, or fewer at the end."""
        target = bytearray(count)
        got = self.read_into(memoryview(target))
        return bytes(target[:got])

    def read_into(self, target: memoryview) -> int:
        """Fill the target with the next bytes and give how many there were.

        Raises SG0220 where gzip data is cut off, does not unpack or has a wrong checksum.
        """
        done = 0
        try:
            while done < len(target):
                got = self._stream.readinto(target[done:])
                if not got:
                    break
                done += got
        except EOFError:
            raise self._broken(f"ends at byte {self.size}, before its end", done) from None
        except gzip.BadGzipFile as error:
            raise self._broken(_bad_gzip(error), done) from None
        except zlib.error:
            raise self._broken(f"cannot be unpacked near byte {self._file.tell()}", done) from None
        except OSError as error:
            raise unreadable(self.path, error) from None
        self.position += done
        return done

    def _broken(self, what: str, done: int) -> Failed:
        unpacked = self.position + done
        return damaged(
            "SG0220",
            f"the gzip data {what}",
            self.path,
            f"the first {unpacked} bytes could be unpacked; copy or download the file again",
        )


def _bad_gzip(error: gzip.BadGzipFile) -> str:
    text = str(error)
    if text.startswith("CRC"):
        return "has a wrong checksum"
    if text.startswith("Incorrect length"):
        return "has a wrong length at its end"
    return "is followed by other bytes or has a damaged header"


def _hex(data: bytes) -> str:
    return f"bytes {data.hex(' ')}" if data else "nothing, it is empty"
