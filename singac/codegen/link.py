"""Object code -> memory that can be called, without LLVM, whose linker takes 60 MB a process.

What our code asks of a linker is little: sections laid end to end, and distances between them
written where they stand. That is so on Linux (ELF, System V ABI for AMD64); any other object is
left to LLVM.

    sections    | text of a | text of b | constants of b | ...        each at a cache line
    relocation  4 bytes at P become S + A - P, S a symbol, A an addend
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 64
# fmt: off
MAGIC = b"\x7fELF\x02\x01\x01"                 # 64 bits, little-endian, the one version there is
RELOCATABLE, AMD64 = 1, 62
SYMBOLS, RELOCATIONS, EMPTY = 2, 4, 8          # types of sections
ALLOCATED = 2                                  # their flag
DISTANCES = (2, 4)                             # R_X86_64_PC32, R_X86_64_PLT32
UNWIND = ".eh_frame"                           # nothing is thrown through our code

HEADER     = struct.Struct("<16xHH20xQ10xHHH")  # type, machine; sections' place, size, count, names
SECTION    = struct.Struct("<IIQ8xQQIIQ8x")    # name, type, flags, place, size, link, info, align
SYMBOL     = struct.Struct("<IBxHQ8x")         # name, kind, section, place in it
RELOCATION = struct.Struct("<QIIq")            # place, type, symbol, addend
# fmt: on


class Unknown(Exception):
    """The object asks for what is not done here."""


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    flags: int
    content: bytes
    link: int
    info: int
    align: int

    @property
    def is_loaded(self) -> bool:
        return bool(self.flags & ALLOCATED) and self.name != UNWIND


@dataclass(frozen=True, slots=True)
class _Symbol:
    """`section` is 0 for what another object has; a section's own symbol has no name."""

    name: str
    is_local: bool
    section: int
    place: int


@dataclass(frozen=True, slots=True)
class _Object:
    sections: Sequence[_Section]
    symbols: Sequence[_Symbol]

    def relocations(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Section and place in it, type, symbol and addend of those in loaded sections."""
        for section in self.sections:
            if section.kind == RELOCATIONS and self.sections[section.info].is_loaded:
                for relocation in RELOCATION.iter_unpack(section.content):
                    place, kind, symbol, addend = relocation
                    yield section.info, place, kind, symbol, addend


class Image:
    """Objects laid out in memory, which lives as long as this."""

    def __init__(self, content: bytes, places: Mapping[str, int]) -> None:
        self._memory = mmap.mmap(-1, len(content), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._memory.write(content)
        self._places = places
        self._start = int(np.frombuffer(self._memory, np.uint8).ctypes.data)
        _make_executable(self._start, len(content))

    def address(self, name: str) -> int:
        """Where a function is."""
        return self._start + self._places[name]


def link(objects: Sequence[bytes]) -> Image:
    """Objects that call each other and nothing else. Raises Unknown."""
    read = [_read(code) for code in objects]
    content, starts = _laid_out(read)
    places = {
        symbol.name: starts[number, symbol.section] + symbol.place
        for number, object_ in enumerate(read)
        for symbol in object_.symbols
        if not symbol.is_local and (number, symbol.section) in starts
    }
    for number, object_ in enumerate(read):
        for section, place, kind, index, addend in object_.relocations():
            if kind not in DISTANCES:
                raise Unknown(f"relocation {kind}")
            at, symbol = starts[number, section] + place, object_.symbols[index]
            if symbol.section:
                to = starts[number, symbol.section] + symbol.place
            elif symbol.name in places:
                to = places[symbol.name]
            else:
                raise Unknown(f"symbol {symbol.name}")
            struct.pack_into("<i", content, at, to + addend - at)
    return Image(bytes(content), places)


def _laid_out(objects: Sequence[_Object]) -> tuple[bytearray, dict[tuple[int, int], int]]:
    """All sections to be loaded, and where each is, by the numbers of its object and its own."""
    content, starts = bytearray(), {}
    for number, object_ in enumerate(objects):
        for k, section in enumerate(object_.sections):
            if section.is_loaded:
                if section.kind == EMPTY or section.align > ALIGNMENT:
                    raise Unknown(f"section {section.name}")
                content += bytes(-len(content) % ALIGNMENT)
                starts[number, k] = len(content)
                content += section.content
    return content, starts


def _read(code: bytes) -> _Object:
    """The sections and symbols of an object."""
    if not code.startswith(MAGIC) or len(code) < HEADER.size:
        raise Unknown("not ELF of 64 bits")
    kind, machine, start, size, count, names = HEADER.unpack_from(code)
    if (kind, machine, size) != (RELOCATABLE, AMD64, SECTION.size):
        raise Unknown(f"ELF {kind} of machine {machine}")
    heads = [SECTION.unpack_from(code, start + k * size) for k in range(count)]
    texts = heads[names][3]
    sections = [
        _Section(_text(code, texts + name), kind, flags, code[at : at + long], link, info, align)
        for name, kind, flags, at, long, link, info, align in heads
    ]
    symbols: list[_Symbol] = []
    for section in sections:
        if section.kind == SYMBOLS:
            named = sections[section.link].content
            symbols += [
                _Symbol(_text(named, name), not bind >> 4, number, at)
                for name, bind, number, at in SYMBOL.iter_unpack(section.content)
            ]
    return _Object(sections, symbols)


def _text(code: bytes, start: int) -> str:
    return code[start : code.index(b"\0", start)].decode()


def _make_executable(address: int, size: int) -> None:
    """And no longer writable. Raises Unknown where the system refuses."""
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if protect(address, size, mmap.PROT_READ | mmap.PROT_EXEC):
        raise Unknown("memory that can be executed")
