"""Data blocks and data files for the tests of sources."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from singac.diagnostics import Diagnostic, Report, Source, Span
from singac.settings import Given, SettingValue
from singac.sources.kind import Facts, Request
from singac.sources.probe import probe, request_of

IDX_TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


class Block:
    """`data d = kind(settings)` in `<folder>/net.singa`, as the resolver hands it over."""

    def __init__(self, folder: Path, kind: str, settings: dict[str, SettingValue]) -> None:
        words = {name: f"{name} = {value!r}" for name, value in settings.items()}
        text = f"data d = {kind}({', '.join(words.values())})\n"
        source = Source(str(folder / "net.singa"), text)
        self.report = Report()
        given = {
            name: Given(
                value, Span(source, text.index(words[name]), text.index(words[name]) + len(name))
            )
            for name, value in settings.items()
        }
        self._request = request_of(kind, given, Span(source, 0, len(text) - 1), self.report)

    @property
    def request(self) -> Request:
        assert self._request is not None, [d.message for d in self.report.found]
        return self._request

    @property
    def facts(self) -> Facts:
        facts = probe(self.request, self.report)
        assert facts is not None, [d.message for d in self.report.found]
        return facts

    @property
    def fault(self) -> Diagnostic:
        """The one diagnostic the block is refused with."""
        if self._request is not None:
            assert probe(self._request, self.report) is None, "the block is not refused"
        (found,) = self.report.found
        return found


def idx_bytes(values: NDArray[np.generic]) -> bytes:
    """An IDX file that holds the values."""
    header = bytes([0, 0, IDX_TYPES[values.dtype.str[1:]], values.ndim])
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return header + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
