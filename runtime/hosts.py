"""The hosts of a job: their names and slots, who runs where, and how they reach the supervisor.

    a:4,b:2        ranks 0 1 2 3 on a, 4 5 on b

A file of hosts has one a line, `name`, `name:4` or `name slots=4`; `#` begins a comment.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from singac.diagnostics import Diagnostic, Exit, Failed, Place, Source, Span

ENTRY = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)(?:(?::|\s+slots\s*=\s*)([1-9][0-9]{0,5}))?")
HELP = "a host is `name`, or `name:4` for four processes"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine by name, and how many processes it may have."""

    name: str
    slots: int

    def __str__(self) -> str:
        return f"{self.name}:{self.slots}"


def parse(text: str) -> tuple[Host, ...]:
    """The hosts of `-H a:4,b:4`; raises Failed."""
    source = Source("-H", text)
    words = re.finditer(r"[^,]+|(?<=,)(?=,|$)|^$", text)
    return _read(source, ((word.start(), word.end()) for word in words))


def read_file(path: str) -> tuple[Host, ...]:
    """The hosts of a file; raises Failed."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"the file of hosts cannot be read: {reason}"
        raise _failed("SG0930", message, file=path) from None
    found = _read(Source(path, text), _lines(text))
    if not found:
        raise _failed("SG0930", "the file of hosts names none", HELP, path)
    return found


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and stop of what stands on each line, comments left out."""
    for line in re.finditer(r"[^\n]+", text):
        said = line[0].partition("#")[0]
        if said.strip():
            yield line.start(), line.start() + len(said)


def _read(source: Source, places: Iterator[tuple[int, int]]) -> tuple[Host, ...]:
    hosts: dict[str, Host] = {}
    spans: dict[str, Span] = {}
    for start, stop in places:
        text = source.text[start:stop]
        start += len(text) - len(text.lstrip())
        span = Span(source, start, max(start + len(text.strip()), start))
        entry = ENTRY.fullmatch(text.strip())
        if entry is None:
            raise _misread("this is no host", span)
        name, slots = entry[1], int(entry[2] or 1)
        if name in hosts:
            raise _misread(f"{name} is named twice", span, Place(spans[name], "and here first"))
        hosts[name], spans[name] = Host(name, slots), span
    return tuple(hosts.values())


def _misread(message: str, span: Span, *related: Place) -> Failed:
    place = Place(span)
    return Failed([Diagnostic("SG0930", message, place, related, help=HELP, exit=Exit.USAGE)])


def _failed(code: str, message: str, help: str | None = None, file: str | None = None) -> Failed:
    return Failed([Diagnostic(code, message, help=help, file=file, exit=Exit.ENVIRONMENT)])


def check_slots(hosts: Sequence[Host], processes: int) -> None:
    """Raises Failed when there are fewer slots than processes."""
    slots = sum(host.slots for host in hosts)
    if slots < processes:
        named = ", ".join(map(str, hosts))
        message = f"the run has {processes} processes and the hosts have {slots} slots: {named}"
        help = f"name hosts for {processes - slots} more, or give fewer with -np"
        raise _failed("SG0931", message, help)


def used(hosts: Sequence[Host], processes: int) -> tuple[Host, ...]:
    """The hosts that get processes, with how many each gets."""
    found, left = [], processes
    for host in hosts:
        if left > 0:
            found.append(Host(host.name, min(host.slots, left)))
            left -= host.slots
    return tuple(found)


def host_of(hosts: Sequence[Host], rank: int) -> str:
    """The name of the host a rank is on, as the launcher fills them; empty where none is named."""
    for host in hosts:
        if rank < host.slots:
            return host.name
        rank -= host.slots
    return ""


def addresses(hosts: Sequence[Host]) -> list[str]:
    """Addresses of this machine by which the hosts reach it, each once; raises Failed."""
    return list(dict.fromkeys(_route(host.name) for host in hosts))


def _route(name: str) -> str:
    """Connecting a datagram socket sends nothing: it asks for the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((name, 9))
        except OSError as error:
            message = f"host {name} cannot be reached: {error.strerror}"
            raise _failed("SG0932", message, "check its name and the network") from None
        return str(probe.getsockname()[0])


def machine() -> str:
    """What two processes have in common when each sees the other's process id."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"
