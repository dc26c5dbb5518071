"""LLVM IR text -> object code, cached by content -> functions callable from Python.

A rank imports this file and none of the generators: they run only when an object is missing.
"""

import contextlib
import ctypes
import functools
import hashlib
import mmap
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from numpy.typing import NDArray

from singac.codegen import host as hosts
from singac.codegen.host import Host

CACHE_VARIABLE = "SINGAC_CACHE"
HUGE_PAGE = 2 << 20
DIGEST_BYTES = hashlib.sha256().digest_size


class Library:
    """Loaded object code, of one part or several; functions taken from it keep it alive."""

    def __init__(self, parts: Sequence[bytes], names: Sequence[str], host: Host) -> None:
        self._compiler = llvm.create_lljit_compiler(_target_machine(host))
        builder = llvm.JITLibraryBuilder()
        for code in parts:
            builder.add_object_img(code)
        for name in names:
            builder.export_symbol(name)
        self._symbols = builder.link(self._compiler, "singac")

    def function(self, name: str, arguments: int) -> Callable[..., int]:
        """An entry point taking 64-bit `arguments` (addresses or integers); releases the GIL."""
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * arguments)
        function = prototype(self._symbols[name])
        function.library = self  # type: ignore[attr-defined]
        return function


def load(key_text: str, names: Sequence[str], *builds: Callable[[], str]) -> Library:
    """The library `key_text` stands for, each part from the cache or from the IR text of its build.

    `key_text` must determine the IR text together with the generator's own sources and the host.
    """
    parts = [provide(key_text, k, build) for k, build in enumerate(builds)]
    return Library(parts, names, hosts.current())


def provide(key_text: str, part: int, build: Callable[[], str]) -> bytes:
    """The object code of a part, left in the cache."""
    host = hosts.current()
    path = _object_path(f"{key_text}\0{part}", host)
    code = _read_object(path)
    if code is None:
        code = compile_object(build(), host)
        _write_object(path, code)
    return code


def is_cached(key_text: str, part: int) -> bool:
    """Whether the cache holds what `provide` would give."""
    return _read_object(_object_path(f"{key_text}\0{part}", hosts.current())) is not None


def compile_object(ir_text: str, host: Host) -> bytes:
    """Machine code of a module; its kernels are explicit vectors, so no IR pass runs before."""
    code: bytes = _target_machine(host).emit_object(_parse(ir_text, host))
    return code


def assembly(ir_text: str, host: Host | None = None) -> str:
    """The assembly text of a module, for readers and for tests that look for spills."""
    host = host or hosts.current()
    text: str = _target_machine(host).emit_assembly(_parse(ir_text, host))
    return text


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


@functools.cache
def _target_machine(host: Host) -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(host.triple)
    return target.create_target_machine(
        cpu=host.cpu, features=host.features, opt=3, reloc="pic", codemodel="small"
    )


def _parse(ir_text: str, host: Host) -> llvm.ModuleRef:
    module = llvm.parse_assembly(ir_text)
    module.triple = host.triple
    module.data_layout = str(_target_machine(host).target_data)
    module.verify()
    return module


# The cache: a file is the SHA-256 of the code, then the code.


def _object_path(key_text: str, host: Host) -> Path:
    parts = (key_text, _generator_fingerprint(), _llvm_version(), host.key)
    return _cache_folder() / (hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".o")


def _cache_folder() -> Path:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "singac"
    except RuntimeError:
        return Path(os.devnull)  # no home, no cache: nothing is ever found or kept there


def _read_object(path: Path) -> bytes | None:
    """The code in the cache, or None if it is missing, unreadable or damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, code = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write_object(path: Path, code: bytes) -> None:
    """Put the code in the cache, whole or not at all; no harm if the folder takes no files."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
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


def _llvm_version() -> str:
    return f"{llvmlite.__version__} {'.'.join(map(str, llvm.llvm_version_info))}"
