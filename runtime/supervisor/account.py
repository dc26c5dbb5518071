"""What a run tells of itself from its start to its end, however often it begins again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtime.channel import Message
from runtime.job import Job
from runtime.supervisor.report import Reporter
from runtime.supervisor.verdict import Verdict

if TYPE_CHECKING:
    from singac.plan.plan import Plan

TOLD = ("step", "test", "validate", "checkpoint", "early_stop", "warning")


class Account:
    """Passes events on, and keeps what the last of them needs to know."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told: tuple[Plan, Reporter] | None = None
        self._begun = time.monotonic()
        self._best: Message | None = None
        self._restarts = self._sent = 0
        self._stopped_early = False
        self.step = 0

    def begin(self, plan: Plan) -> None:
        """Tell the start; said again when the job begins again, it is told once."""
        if self._told is not None:
            return
        job, training = self._job, plan.training
        self._told = plan, Reporter(job, plan.net, training.steps)
        event: Message = {
            "event": "start",
            "format_version": plan.format_version,
            "net": plan.net,
            "processes": plan.topology.processes,
            "workers": plan.topology.workers,
            "servers": plan.topology.servers,
            "framework": plan.topology.framework,
            "run_dir": self._job.run_folder,
        }
        self._tell(event)

    def take(self, message: Message) -> None:
        """An event of a process, if it is one for the user."""
        match message:
            case {"event": "moved", "sent": int(sent)}:
                self._sent += sent
            case {"event": str(event), "step": int(step)} if event in TOLD:
                # A checkpoint is told when it is written, some steps after its own.
                self.step = max(self.step, step)
                self._stopped_early |= event == "early_stop"
                if message.get("best"):
                    self._best = {"step": step, "path": message["path"]}
                self._tell(message)

    def restart(self, step: int, reason: str) -> None:
        """Training goes on from `step`; steps after it are done and told again."""
        self.step = step
        self._restarts += 1
        self._tell({"event": "restart", "step": step, "reason": reason})

    def all_done(self) -> None:
        """Every process has come to its end."""
        plan, _ = self._begun_with()
        if not self._stopped_early:
            self.step = max(self.step, plan.training.steps)

    def end(self, verdict: Verdict) -> None:
        """Tell the end of what had a start."""
        if self._told is None:
            return
        plan, reporter = self._told
        event: Message = {
            "event": "end",
            "status": verdict.status,
            "net": plan.net,
            "steps": self.step,
            "seconds": round(time.monotonic() - self._begun, 3),
        }
        event |= {"bytes_sent": self._sent} if self._sent else {}
        event |= {"restarts": self._restarts} if self._restarts else {}
        event |= {"best": self._best} if self._best is not None else {}
        reporter.event(event)
        reporter.close()

    def _tell(self, event: Message) -> None:
        _, reporter = self._begun_with()
        reporter.event(event)

    def _begun_with(self) -> tuple[Plan, Reporter]:
        assert self._told is not None, "a run is told from its start"
        return self._told
