"""How much memory this process holds, and giving back what it has freed."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path


def resident() -> int:
    """Bytes of memory that this process has touched, where the system tells; else 0.

    Of its own and of what it shares with others; pages of files, of which the system has a copy,
    do not count: it takes them back when it needs room.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    words = [line.split() for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return sum(int(kilobytes) for _, kilobytes, _ in words) * 1024


def peak() -> int:
    """The most memory the process held, code and files included, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def return_freed() -> None:
    """To the system, where the C library is asked for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
