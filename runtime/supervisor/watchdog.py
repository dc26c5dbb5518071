"""Notices processes that no longer live or no longer move, the launcher's among them.

A process that computes for minutes still beats, from a thread of its own. One that is suspended
does not; and if all wait for each other, all beat and nobody moves.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runtime.progress import WAITING, Phase, Progress, Standing
from runtime.supervisor import remains
from runtime.supervisor.remains import Belongings

if TYPE_CHECKING:
    from singac.plan.plan import Plan

STALL_VARIABLE = "SINGAC_STALL_SECONDS"
STALL_SECONDS = 10.0
START_SECONDS = 60.0
LONGEST_PAUSE = 2.0
LAST_WORDS_SECONDS = 1.0
LOST, SUSPENDED = "one of its agents was killed", "suspended by a signal"


class Watchdog:
    """Looks at the progress file; `limit` is how many seconds of silence are a stall."""

    def __init__(self, plan: Plan, progress: Progress, own: Belongings) -> None:
        self._own = own
        self._ranks = range(plan.topology.processes)
        self._progress = progress
        self.limit = float(os.environ.get(STALL_VARIABLE, STALL_SECONDS))
        self._seen = self._since = self._moved = time.monotonic()
        self._steps: list[int] = []

    def silent_rank(self, finished: set[int]) -> int | None:
        """The process to blame when there is a stall."""
        now = time.monotonic()
        if now - self._seen > LONGEST_PAUSE:
            # The whole machine slept, or the supervisor was suspended with the rest.
            self._since = self._moved = now
        self._seen = now
        standings = {r: self._progress.of(r) for r in self._ranks if r not in finished}
        silent = [r for r, s in standings.items() if now - self._heard(s) > self._patience(r, s)]
        if not silent:
            return self._deadlocked(standings, now)
        # Who waits in MPI for one that is suspended may be silent too, and even before.
        return next((rank for rank in standings if self.is_suspended(rank)), silent[0])

    def is_suspended(self, rank: int) -> bool:
        """Whether a process of this host is suspended by a signal."""
        return any(remains.is_stopped(pid) for pid, own in self._own.ranks.items() if own == rank)

    def _heard(self, standing: Standing) -> float:
        return max(standing.beat, self._since)

    def _patience(self, rank: int, standing: Standing) -> float:
        """A process that has never beaten may be long in starting."""
        absent = standing.phase is Phase.ABSENT
        return START_SECONDS if absent and not self.is_suspended(rank) else self.limit

    def _deadlocked(self, standings: dict[int, Standing], now: float) -> int | None:
        """The process that is furthest behind when all have waited long without a step."""
        steps = [s.step for s in standings.values()]
        waiting = all(s.phase in WAITING for s in standings.values())
        if steps != self._steps or not waiting:
            self._steps, self._moved = steps, now
        if not standings or now - self._moved <= self.limit:
            return None
        return min(standings, key=lambda r: standings[r].step)


class LauncherWatch:
    """Looks at the launcher and its agents, which need not notice each other's end.

    Inside another launcher its agent is the parent of this process.
    """

    def __init__(self, own: Belongings, limit: float, inside: bool) -> None:
        self._own, self._limit = own, limit
        self._parent = os.getppid() if inside else None
        self._fit = time.monotonic()

    def fault(self) -> str | None:
        """What has been wrong for so long that it will not pass: LOST or SUSPENDED."""
        now = time.monotonic()
        if self._own.lost_agent() or self._parent not in (None, os.getppid()):
            wrong, patience = LOST, LAST_WORDS_SECONDS
        elif self.is_suspended():
            wrong, patience = SUSPENDED, self._limit
        else:
            self._fit = now
            return None
        return wrong if now - self._fit > patience else None

    def is_suspended(self) -> bool:
        """Whether the launcher or an agent of it is suspended by a signal."""
        return any(remains.is_stopped(pid) for pid in self._own.launching())
