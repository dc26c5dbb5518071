"""Deliberate faults, for tests of the failure contract.

SINGAC_FAULT="rank=1,step=5,kind=kill" makes process 1 kill itself before step 5. `step` may also be
`start` (before MPI) and `connected` (after MPI, before the program is loaded). With `restart=0` the
fault is only in the first attempt of the job, with 1 in the second, and so on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

VARIABLE = "SINGAC_FAULT"


class InjectedFault(Exception):
    """The exception of kind `raise`."""


def _raise() -> None:
    raise InjectedFault("a fault was asked for")


# fmt: off
KINDS: dict[str, Callable[[], object]] = {
    "raise": _raise,
    "exit":  lambda: sys.exit(3),
    "segv":  lambda: ctypes.string_at(0),
    "abort": os.abort,
    "kill":  lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop":  lambda: os.kill(os.getpid(), signal.SIGSTOP),
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of kind `kind` at `step`; an empty kind never strikes."""

    step: str = ""
    kind: str = ""

    def strike(self, step: int | str) -> None:
        if self.kind and self.step == str(step):
            KINDS[self.kind]()


def asked_for(rank: int, restart: int) -> Fault:
    """What the environment asks of this process in an attempt of its job."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return Fault()
    settings = dict(part.split("=", 1) for part in text.split(","))
    if settings["rank"] != str(rank) or settings.get("restart", str(restart)) != str(restart):
        return Fault()
    return Fault(settings["step"], settings["kind"])
