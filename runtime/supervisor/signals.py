"""Signals of a run: noted when they come, read when there is time."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType


class Signals:
    """Signals that have come, and a socket that becomes readable when one does."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self.interruptions = self.terminations = 0

    @property
    def interrupted(self) -> bool:
        return self.interruptions > 0

    @property
    def impatient(self) -> bool:
        """Whether the user has asked for the end again."""
        return self.interruptions + self.terminations > 1

    @property
    def any(self) -> bool:
        """Whether the user wants the run to end."""
        return self.interrupted or self.terminations > 0

    def note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self.terminations += 1
        else:
            self.interruptions += 1

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.reader.recv(64)


@contextlib.contextmanager
def caught() -> Iterator[Signals]:
    """Ctrl-C and SIGTERM become something to be read; as before on leaving."""
    signals = Signals()
    before = {number: signal.signal(number, signals.note) for number in Signals.NUMBERS}
    wakeup = signal.set_wakeup_fd(signals.writer.fileno(), warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.reader.close()
        signals.writer.close()
