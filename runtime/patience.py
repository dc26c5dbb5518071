"""Waiting for MPI without blocking in it.

A process blocked in an MPI call burns its core, and neither notices a signal nor keeps a deadline.
So requests are tested in bursts (a collective moves one stage a test), with naps that grow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

BURST = 8
SPIN_SECONDS = 200e-6
SHORTEST_NAP = 50e-6
LONGEST_NAP = 500e-6


def until(done: Callable[[], bool], processes: int) -> None:
    """Return when `done` says so; calling it drives MPI."""
    if processes <= len(os.sched_getaffinity(0)):
        stop = time.perf_counter() + SPIN_SECONDS
        while time.perf_counter() < stop:
            if done():
                return
    nap = SHORTEST_NAP
    while not any(done() for _ in range(BURST)):
        time.sleep(nap)
        nap = min(nap * 1.5, LONGEST_NAP)
