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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from runtime.hosts import machine

VARIABLE = "SINGAC_CHANNEL"
LOOPBACK = "127.0.0.1"
LINE_LIMIT = 1 << 20
HELLO_LIMIT = 1 << 12
BEAT_SECONDS = 0.5
CONNECT_SECONDS = 10
UNHEARD_SECONDS = 10

Message = dict[str, object]


class Listener:
    """The supervisor's end, one token a run; `addresses` are those of this machine to accept at."""

    def __init__(self, addresses: Sequence[str] = (LOOPBACK,)) -> None:
        self._addresses = addresses
        only = addresses[0] if len(addresses) == 1 else ""
        self.socket = socket.create_server((only, 0))
        self.socket.setblocking(False)
        self._token = secrets.token_hex(16)

    @property
    def address(self) -> str:
        """What the processes find in the environment: addresses, port and token."""
        _, port = self.socket.getsockname()
        return f"{','.join(self._addresses)}:{port}:{self._token}"

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
    """A connection as the supervisor sees it; `rank` is None until the first line was admitted.

    One that `is_near` is of a process of this machine, which can be watched and ended here.
    """

    socket: socket.socket
    rank: int | None = None
    pid: int = 0
    is_near: bool = True
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
        if len(rest) > (HELLO_LIMIT if self.rank is None else LINE_LIMIT):
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
    and the beat goes on while a kernel computes for seconds.

    `beat` gives what the supervisor is told at each, where it cannot see it for itself.
    """

    def __init__(
        self,
        rank: int,
        beat: Callable[[], Message | None],
        orphaned: Callable[[], None],
        show_stack: Callable[[], None],
    ) -> None:
        addresses, port, token = os.environ[VARIABLE].split(":")
        self._socket = _connected(addresses.split(","), int(port))
        self._beat, self._orphaned, self._show_stack = beat, orphaned, show_stack
        self._lock = threading.Lock()
        self.stop_asked = False
        hello = {"token": token, "rank": rank, "pid": os.getpid(), "machine": machine()}
        self.send(hello)
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: Message) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            self._socket.sendall(line)

    def _listen(self) -> None:
        while True:
            try:
                if told := self._beat():
                    self.send(told)
                chunk = self._socket.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                chunk = b""
            if not chunk:
                self._orphaned()
                return
            # The supervisor has two things to say.
            self.stop_asked |= b"stop" in chunk
            if b"stack" in chunk:
                self._show_stack()


def _connected(addresses: Sequence[str], port: int) -> socket.socket:
    """A connection to the first address that answers.

    A supervisor whose host is cut off ends its streams no more than it answers: what stays without
    an acknowledgement for so long breaks the connection.
    """
    *others, last = addresses
    for address in others:
        with contextlib.suppress(OSError):
            return _settled(socket.create_connection((address, port), timeout=CONNECT_SECONDS))
    return _settled(socket.create_connection((last, port), timeout=CONNECT_SECONDS))


def _settled(connection: socket.socket) -> socket.socket:
    connection.settimeout(BEAT_SECONDS)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        limit = int(1000 * UNHEARD_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
    return connection
