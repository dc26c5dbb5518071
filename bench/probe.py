"""What the machine gives at this moment: multiply-adds on all cores, for some milliseconds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from singac.codegen.peak import Probe

SECONDS = 0.02


class Machine:
    """Looked at around each turn; a turn in a bad moment says nothing of who had it."""

    def __init__(self, cores: int) -> None:
        self._probe, self._cores = Probe(), cores
        self._threads = ThreadPoolExecutor(cores)

    def gflops(self) -> float:
        """Of all cores together, by the clock on the wall."""
        return sum(self._threads.map(self._core, range(self._cores)))

    def _core(self, _: int) -> float:
        runs, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < SECONDS:
            self._probe.run()
            runs += 1
        return runs * self._probe.flops / passed / 1e9
