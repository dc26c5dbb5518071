"""How a run ended: the first thing that went wrong, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit

if TYPE_CHECKING:
    from singac.plan.plan import Plan

LOG_LINES = 40


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
