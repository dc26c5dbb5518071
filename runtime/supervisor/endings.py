"""How the processes of an attempt ended, as the launcher tells once all have.

[mpiexec@a] Exit codes: [a] 0,9      a line a host, a number a process: its status for wait(2)
[b] 768,9
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.job import Job

LINE = re.compile(r"^(?:\[mpiexec@\S*\] Exit codes: )?\[(\S+)\] (\d+(?:,\d+)*)$", re.MULTILINE)
SIGNAL_BITS = 0x7F
# What a process writes of a signal it died of (faulthandler), and how that is told.
# fmt: off
CRASHES = {
    "Aborted":                  "killed by SIGABRT",
    "Bus error":                "killed by SIGBUS",
    "Floating-point exception": "killed by SIGFPE",
    "Illegal instruction":      "killed by SIGILL",
    "Segmentation fault":       "segmentation fault",
}
# fmt: on


def statuses(log: Path, job: Job) -> dict[int, int]:
    """By rank, of all that the launcher has told of; of a host that is gone it does not."""
    told = {host: numbers.split(",") for host, numbers in LINE.findall(_text(log))}
    # Where no hosts are named the launcher names its own.
    hosts = [told.get(host.name, []) for host in job.places] if job.hosts else told.values()
    slots = [host.slots for host in job.places] if job.hosts else [job.processes]
    found: dict[int, int] = {}
    first = 0
    for numbers, own in zip(hosts, slots, strict=False):
        found |= {first + k: int(number) for k, number in enumerate(numbers)}
        first += own
    return found


def line(host: str, code: int) -> str:
    """What the launcher would say of a single process; `code` as of `Popen.returncode`."""
    return f"[{host}] {-code if code < 0 else code << 8}"


def first(candidates: Sequence[int], told: Mapping[int, int]) -> list[int]:
    """Of processes that ended unwatched, those that may have been the first.

    The launcher kills all others when one was killed: who ended otherwise did so by itself.
    """
    own = [rank for rank in candidates if told.get(rank, 0) not in (0, signal.SIGKILL)]
    return own or list(candidates)


def cause(status: int) -> str:
    """How a process ended, told."""
    number = status & SIGNAL_BITS
    return killed_by(number) if number else f"exited with code {status >> 8}"


def killed_by(number: int) -> str:
    """How a death by a signal is told."""
    if number == signal.SIGSEGV:
        return "segmentation fault"
    known = {s.value: s.name for s in signal.Signals}
    return f"killed by {known.get(number, f'signal {number}')}"


def crash(log: Path) -> str | None:
    """The cause a process's own log tells, if it crashed."""
    told = re.search(r"^Fatal Python error: (.*)$", _text(log), re.MULTILINE)
    return CRASHES.get(told[1], told[1]) if told else None


def _text(log: Path) -> str:
    try:
        return log.read_text(errors="replace")
    except OSError:
        return ""
