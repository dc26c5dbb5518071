"""A timed run that takes turns with others: it trains some steps when it is told to, and waits.

    RUN/turns-0.asked    a line for each turn: how many steps; its end is the end of training
    RUN/turns-0.taken    a line when they are done: nanoseconds at which they began and ended

Two pipes to a process. Who waits for its turn sleeps in the kernel: it takes nothing from whoever
has it. Times are of the monotonic clock, one for all processes of a node.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from runtime.job import Job

ASKED, TAKEN = "asked", "taken"


class Turn:
    """The side of a process: asked before steps how many of them may be done."""

    def __init__(self, job: Job, rank: int) -> None:
        self._asked = _path(job, rank, ASKED).open("r")
        self._taken = _path(job, rank, TAKEN).open("w", buffering=1)
        self._left = self._begun = 0

    def comes(self, most: int) -> int:
        """Wait until steps may be done; how many of `most`, 0 when there is to be none any more."""
        if self._left == 0:
            if self._begun:
                self._taken.write(f"{self._begun} {time.monotonic_ns()}\n")
            self._left = int(self._asked.readline() or 0)
            self._begun = time.monotonic_ns()
        count = min(self._left, most)
        self._left -= count
        return count


class Turns:
    """The side of whoever gives the turns; `prepare` comes before the processes start."""

    def __init__(self, job: Job) -> None:
        self._asked = [_path(job, r, ASKED).open("w", buffering=1) for r in _ranks(job)]
        self._taken = [_path(job, r, TAKEN).open("r") for r in _ranks(job)]

    @staticmethod
    def prepare(job: Job) -> None:
        for rank in _ranks(job):
            for what in (ASKED, TAKEN):
                os.mkfifo(_path(job, rank, what))

    def give(self, steps: int) -> float:
        """Have all processes do so many steps; seconds from the first that began to the last."""
        for pipe in self._asked:
            pipe.write(f"{steps}\n")
        times = [tuple(map(int, pipe.readline().split())) for pipe in self._taken]
        return (max(ended for _, ended in times) - min(begun for begun, _ in times)) / 1e9

    def end(self) -> None:
        """There are no more turns."""
        for pipe in self._asked:
            pipe.close()


def _ranks(job: Job) -> range:
    return range(job.processes)


def _path(job: Job, rank: int, what: str) -> Path:
    return job.folder / f"turns-{rank}.{what}"
