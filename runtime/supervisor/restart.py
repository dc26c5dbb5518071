"""Whether a job that has failed begins again, and from where."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runtime.checkpoints import resume
from runtime.job import Job
from runtime.supervisor.verdict import Verdict
from singac.saved import listed

if TYPE_CHECKING:
    from singac.plan.plan import Plan

# So many failures in a row at one place are no accident.
POISON = 3


class Restarts:
    """Counts them. All checkpoints of the run folder are of this job or what it goes on from."""

    def __init__(self, job: Job) -> None:
        self._given, self._most = job, job.max_restarts
        self._failures: list[str] = []

    def refusal(self, end: Verdict) -> str | None:
        """Why the job does not begin again after this end, or None: it does."""
        self._failures.append(end.place)
        if self._failures[-POISON:] == [end.place] * POISON:
            return f"{end.place} has failed {POISON} times in a row: another restart is useless"
        if len(self._failures) > self._most:
            times = "once" if self._most == 1 else f"{self._most} times"
            return f"the job was restarted {times}, as often as --max-restarts allows"
        return None

    def again(self, plan: Plan) -> Job:
        """The job from its newest sound checkpoint, else from where it began; raises Failed."""
        number = len(self._failures)
        newest = resume.newest(listed(self._given.checkpoints), plan)
        given = self._given.resume
        return dataclasses.replace(
            self._given, resume=str(newest) if newest is not None else given, restart=number
        )
