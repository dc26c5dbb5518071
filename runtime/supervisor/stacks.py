"""Where the processes of a run stand, as stacks of Python calls.

A process writes its stack to its log when it gets the signal, even while native code runs or waits
in it. One that is suspended does so when it is let go on, which is done only before it is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

SIGNAL = signal.SIGUSR2  # the first is the launcher's
PATIENCE_SECONDS = 1.0
OUTERMOST = " in _run_module_as_main"


def answer(log: IO[str]) -> None:
    """Write the stacks of all threads to the log whenever the signal comes.

    It may come to any of them, even to one of a library that knows nothing of Python.
    """
    faulthandler.register(SIGNAL, log, all_threads=True)


def tell() -> None:
    """Answer oneself; for a process that the signal of another cannot reach."""
    os.kill(os.getpid(), SIGNAL)


def gather(
    handles: Mapping[int, int],
    logs: Mapping[int, Path],
    first: int | None,
    pids: Mapping[int, int],
) -> dict[int, str]:
    """The stacks of living processes, by rank; `handles` are descriptors, `first` may be suspended.

    The others are suspended before it is let go on: so it gets no further than to its next wait.
    """
    others = {rank: handle for rank, handle in handles.items() if rank != first}
    told = _ask(others, logs, lambda: _send(others, SIGNAL))
    _send(others, signal.SIGSTOP)
    if first is None or first not in handles:
        return told
    own, pid = {first: handles[first]}, pids[first]

    def wake() -> None:
        # To the main thread itself: else another might take it when the main one has gone on.
        ctypes.CDLL(None).tgkill(pid, pid, SIGNAL)
        _send(own, signal.SIGCONT)

    return _ask(own, logs, wake) | told


def _ask(
    handles: Mapping[int, int], logs: Mapping[int, Path], ask: Callable[[], None]
) -> dict[int, str]:
    begun = {rank: _size(logs[rank]) for rank in handles}
    ask()
    return read(logs, begun)


def read(logs: Mapping[int, Path], begun: Mapping[int, int]) -> dict[int, str]:
    """The stacks that are told in logs from a byte on, by rank, once those asked have answered."""
    stop = time.monotonic() + PATIENCE_SECONDS
    told: dict[int, str] = {}
    while len(told) < len(begun) and time.monotonic() < stop:
        time.sleep(0.01)
        frames = {rank: _frames(logs[rank], start) for rank, start in begun.items()}
        told = {rank: text for rank, text in frames.items() if text}
    return told


def _send(handles: Mapping[int, int], number: signal.Signals) -> None:
    for handle in handles.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _frames(log: Path, start: int) -> str:
    """The calls of the main thread, once all are written, from the innermost out."""
    try:
        text = log.read_bytes()[start:].decode(errors="replace")
    except OSError:
        return ""
    threads = re.split(r"^(?:Current thread|Thread) .*$", text, flags=re.MULTILINE)
    main = next((thread for thread in threads if OUTERMOST in thread), "")
    return main.strip("\n") if main.endswith("\n") else ""
