"""What a machine can do, as far as it decides how a net is cut."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """Rates of a process with a core of its own, and where they come from.

    arithmetic    floating-point operations a second
    memory        bytes a second that pass between a core and its memory
    exchange      bytes a second from one process to another
    latency       seconds until another process has noticed what is there for it
    room          bytes that a worker may take; 0: it is not asked

    What is built in are round numbers of a usual core, the same everywhere, so that a plan is the
    same on every machine; `singac calibrate` measures them on one.
    """

    source: str = "built in"
    arithmetic: float = 5e10
    memory: float = 1e10
    exchange: float = 5e9
    latency: float = 5e-6
    room: int = 0


BUILT_IN = Machine()
