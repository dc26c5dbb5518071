"""Object code, cached by what it depends on -> functions callable from Python.

A rank imports this file, but neither LLVM nor the generators: they run only when an object is
missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import llvmlite
import numpy as np
from numpy.typing import NDArray

from singac.codegen import host as hosts
from singac.codegen import link

if TYPE_CHECKING:
    from singac.codegen import compiler

CACHE_VARIABLE = "SINGAC_CACHE"
HUGE_PAGE = 2 << 20
DIGEST_BYTES = hashlib.sha256().digest_size


class Library:
    """Loaded object code, whose parts call each other; functions taken from it keep it alive."""

    def __init__(self, objects: Sequence[bytes], names: Sequence[str]) -> None:
        self._code: link.Image | compiler.Linked
        try:
            self._code = link.link(objects)
        except link.Unknown:
            from singac.codegen import compiler

            self._code = compiler.Linked(objects, names)

    def function(self, name: str, arguments: int) -> Callable[..., int]:
        """An entry point taking 64-bit `arguments` (addresses or integers); releases the GIL."""
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * arguments)
        function = prototype(self.address(name))
        function.library = self  # type: ignore[attr-defined]
        return function

    def address(self, name: str) -> int:
        """Where a function is; it stays there as long as the library lives."""
        return self._code.address(name)


@dataclass(frozen=True, slots=True)
class Source:
    """IR text of a module, and what builds the modules that it calls, by their keys."""

    text: str
    needs: Mapping[str, Build] = field(default_factory=dict)


Build = Callable[[], Source]


def load(key_text: str, names: Sequence[str], build: Callable[[], str]) -> Library:
    """The library `key_text` stands for, from the cache or from the IR text of its build.

    `key_text` must determine the IR text together with the generator's own sources and the host.
    """
    codes = provide(key_text, lambda: Source(build()))
    return Library([*codes.values()], names)


def provide(key: str, build: Build) -> dict[str, bytes]:
    """The object code of a key and of all that it calls, by their keys, left in the cache."""
    found = _stored(key)
    if found is None:
        source = build()
        found = {key: _made(key, source)}
        for needed, build_needed in source.needs.items():
            found |= provide(needed, build_needed)
    return found


def is_cached(key: str) -> bool:
    """Whether the cache holds what `provide` would give."""
    return _stored(key) is not None


def _stored(key: str) -> dict[str, bytes] | None:
    """The object code of a key and of all that it calls, or None where something is missing."""
    found: dict[str, bytes] = {}
    waiting = [key]
    while waiting:
        key = waiting.pop()
        if key not in found:
            stored = _read_object(_object_path(key))
            if stored is None:
                return None
            found[key] = stored.code
            waiting += stored.needs
    return found


def _made(key: str, source: Source) -> bytes:
    from singac.codegen import compiler

    code = compiler.compile_object(source.text, hosts.current())
    _write_object(_object_path(key), Object(code, tuple(source.needs)))
    return code


def allocate(size: int, huge: bool = True) -> NDArray[np.uint8]:
    """An arena of `size` zero bytes, aligned to huge pages and backed by them where the system can.

    What is no whole huge page is of small ones: a small arena takes no more than it needs. One of
    which parts alone are touched had better not be `huge`.
    """
    pages = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    arena = np.frombuffer(pages, np.uint8)
    skip, whole = -arena.ctypes.data % HUGE_PAGE, size // HUGE_PAGE * HUGE_PAGE
    if huge and whole and hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE, skip, whole)
    return arena[skip : skip + size]


# The cache: a file is the SHA-256 of what follows, the names of what the code calls, and the code.


@dataclass(frozen=True, slots=True)
class Object:
    """Object code as it is stored, with the keys of other objects that it calls."""

    code: bytes
    needs: tuple[str, ...]


def _object_path(key: str) -> Path:
    parts = (key, _generator_fingerprint(), llvmlite.__version__, hosts.key())
    return _cache_folder() / (hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".o")


def _cache_folder() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "singac"
    except RuntimeError:
        return Path(os.devnull)  # no home, no cache: nothing is ever found or kept there


def _read_object(path: Path) -> Object | None:
    """What is in the cache, or None if it is missing, unreadable or damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    names, _, code = content.partition(b"\0")
    return Object(code, tuple(names.decode().split()))


def _write_object(path: Path, made: Object) -> None:
    """Put code in the cache, whole or not at all; no harm if the folder takes no files."""
    content = " ".join(made.needs).encode() + b"\0" + made.code
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise


@functools.cache
def _generator_fingerprint() -> str:
    """A digest of every source file that decides what IR a plan becomes."""
    folder = Path(__file__).parent
    layers = folder.parent / "layers"
    files = [*sorted(folder.glob("*.py")), layers / "operations.py", layers / "expression.py"]
    digest = hashlib.sha256()
    for file in files:
        if file.exists():
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
