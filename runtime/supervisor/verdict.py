"""How a run ended: the first thing that went wrong, and how it is told."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit

if TYPE_CHECKING:
    from singac.plan.plan import Plan

LOG_LINES = 40
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
DEADLY = [getattr(signal, f"SIG{n}") for n in ("ILL", "ABRT", "BUS", "FPE", "KILL", "SEGV", "TERM")]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a run, or of an attempt; `traceback` goes above the diagnostic.

    `may_restart` when another attempt may end otherwise; `place` is what failed: a step, a start.
    """

    status: str
    exit: Exit
    diagnostic: Diagnostic | None = None
    traceback: str = ""
    may_restart: bool = False
    place: str = ""

    @property
    def reason(self) -> str:
        return self.diagnostic.message if self.diagnostic is not None else self.status


DONE = Verdict("ok", Exit.DONE)
TERMINATED = Verdict("terminated", Exit.TERMINATED)


@dataclass(frozen=True, slots=True)
class Banner:
    """What the launcher says of the first process that ended badly."""

    pid: int
    host: str
    code: int
    by_signal: bool

    @property
    def cause(self) -> str:
        if not self.by_signal:
            return f"exited with code {self.code}"
        return killed_by(self.code)


def killed_by(number: int) -> str:
    """How a death by a signal is told."""
    if number == signal.SIGSEGV:
        return "segmentation fault"
    return f"killed by {signal.Signals(number).name}"


def read_banner(text: str) -> Banner | None:
    """The launcher's closing words, if it has any."""
    place = re.search(r"PID (\d+) RUNNING AT (\S+)", text)
    code = re.search(r"EXIT CODE: (\d+)", text)
    if not place or not code:
        return None
    by_signal = re.search(r"EXIT STRING: .*\(signal (\d+)\)", text)
    number = int(by_signal[1]) if by_signal else int(code[1])
    # Of another host the launcher may give the number alone. Who exits by itself says so before.
    ends = by_signal is not None or number in DEADLY
    return Banner(int(place[1]), place[2], number, ends)


def crash(log: str) -> str | None:
    """The cause a process's log tells, if it crashed.

    A crash takes its time to end a process: the others, ended for its sake, may be gone before.
    """
    told = re.search(r"^Fatal Python error: (.*)$", log, re.MULTILINE)
    return CRASHES.get(told[1], told[1]) if told else None


def role(plan: Plan, rank: int) -> str:
    """`process 3 (worker 2, server 1)`; with threads `process 1 (workers 2, 3, server 1)`."""
    own = [p for p in plan.processes if p.rank == rank]
    roles = {"worker": [p.worker for p in own], "server": [p.server for p in own]}
    names = []
    for name, hosted in roles.items():
        numbers = [str(n) for n in hosted if n is not None]
        if numbers:
            names.append(f"{name}{'s' * (len(numbers) > 1)} {', '.join(numbers)}")
    return f"process {rank} ({', '.join(names)})"


def failed(who: str, step: int, cause: str, traceback: str = "", place: str = "") -> Verdict:
    return Verdict(
        "failed",
        Exit.FAILED,
        Diagnostic("SG0910", f"{who} failed at step {step}: {cause}"),
        traceback,
        may_restart=True,
        place=place or f"step {step}",
    )


def diverged(who: str, cause: str) -> Verdict:
    help = "lower the learning rate, or clip the gradient"
    return Verdict(
        "failed", Exit.FAILED, Diagnostic("SG0912", f"{cause}, seen by {who}", help=help)
    )


def stalled(who: str, step: int, doing: str, seconds: float, stacks: str = "") -> Verdict:
    message = f"{who} has stalled at step {step}: {doing}, no sign of life for {seconds:.0f} s"
    diagnostic = Diagnostic("SG0911", message, exit=Exit.STALLED)
    return Verdict("stalled", Exit.STALLED, diagnostic, stacks, True, f"step {step}")


def lost_host(host: str, step: int, cause: str, exit: Exit = Exit.FAILED) -> Verdict:
    """A host is gone, or its link is: nothing tells one from the other."""
    message = f"host {host} was lost at step {step}: {cause}"
    status = "stalled" if exit is Exit.STALLED else "failed"
    diagnostic = Diagnostic("SG0934", message, exit=exit)
    return Verdict(status, exit, diagnostic, may_restart=True, place=f"host {host}")


def environment(message: str, help: str | None, traceback: str = "") -> Verdict:
    diagnostic = Diagnostic("SG0900", message, help=help, exit=Exit.ENVIRONMENT)
    return Verdict("failed", Exit.ENVIRONMENT, diagnostic, traceback)


def refused(error: OSError) -> Verdict:
    """The machine does not give what every run needs: room for its small files, sockets."""
    where = f" ({error.filename})" if error.filename else ""
    return environment(f"the run cannot go on: {error.strerror}{where}", None)


def tail(path: Path) -> str:
    """The last lines of a log, or nothing."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_LINES:])
