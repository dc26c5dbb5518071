"""The side channel: JSON lines between the supervisor and its processes, beside MPI.

A line is an object. The first line of a process holds the token of the run; a connection that does
not start so, or sends an overlong line, is dropped.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

VARIABLE = "SINGAC_CHANNEL"
LINE_LIMIT = 1 << 20
BEAT_SECONDS = 0.5

Message = dict[str, object]


class Listener:
    """The supervisor's end: accepts on the loopback address, one token a run."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self._token = secrets.token_hex(16)

    @property
    def address(self) -> str:
        """What the processes find in the environment: host, port and token."""
        host, port = self.socket.getsockname()
        return f"{host}:{port}:{self._token}"

    def accept(self) -> Peer | None:
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return None
        connection.setblocking(False)
        return Peer(connection)

    def admits(self, hello: Message) -> bool:
        """Whether a first line has the token of this run, a rank and a process id."""
        token = hello.get("token")
        numbers = isinstance(hello.get("rank"), int) and isinstance(hello.get("pid"), int)
        return numbers and isinstance(token, str) and hmac.compare_digest(token, self._token)


@dataclass(slots=True, eq=False)
class Peer:
    """A connection as the supervisor sees it; `rank` is None until the first line was admitted."""

    socket: socket.socket
    rank: int | None = None
    pid: int = 0
    open: bool = True
    _rest: bytearray = field(default_factory=bytearray)

    def messages(self) -> Iterator[Message]:
        """Some of what has arrived: who sends without end must not keep others from being heard.

        Clears `open` at the end of the stream or on a line that is none.
        """
        if self.open and (chunk := self._receive()) is not None:
            yield from self._lines(chunk)

    def last_messages(self) -> Iterator[Message]:
        """All that has arrived from a process that sends no more."""
        while self.open and (chunk := self._receive()) is not None:
            yield from self._lines(chunk)

    def _lines(self, chunk: bytes) -> Iterator[Message]:
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        if len(rest) > LINE_LIMIT:
            self.open = False
        for line in lines:
            yield from self._decode(line)

    def _receive(self) -> bytes | None:
        try:
            chunk = self.socket.recv(1 << 16)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        self.open = bool(chunk)
        return chunk or None

    def _decode(self, line: bytes | bytearray) -> Iterator[Message]:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict):
            yield message
        else:
            self.open = False

    def send(self, message: Message) -> None:
        """Best effort: a process that is gone will be noticed by the end of its stream."""
        with contextlib.suppress(OSError):
            self.socket.send(json.dumps(message).encode() + b"\n")


class Line:
    """A process's end. A thread of its own reads, so that the end of the supervisor is noticed
    and the beat goes on while a kernel computes for seconds."""

    def __init__(self, rank: int, beat: Callable[[], None], orphaned: Callable[[], None]) -> None:
        host, port, token = os.environ[VARIABLE].split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._socket.settimeout(BEAT_SECONDS)
        self._beat, self._orphaned = beat, orphaned
        self._lock = threading.Lock()
        self.stop_asked = False
        self.send({"token": token, "rank": rank, "pid": os.getpid()})
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: Message) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._socket.sendall(line)

    def _listen(self) -> None:
        while True:
            self._beat()
            try:
                chunk = self._socket.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                self._orphaned()
                return
            # The supervisor has one thing to say.
            self.stop_asked = True
