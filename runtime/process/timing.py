"""How long each step of a process took, and how much of that went into feeding it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from runtime.process import footprint

# Steps that are run before those that count: they touch all memory for the first time.
WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each step after the warm-up, seconds of them spent copying and scaling examples
    into their buffers, the most memory the process held, and by how much it grew: from when it had
    all its code and objects, and nothing in the memory that the plan speaks of, to the last step.
    """

    steps: list[float]
    feeding: float
    peak_rss_bytes: int
    grown_bytes: int = 0


class Timer:
    """Has a tick a step; `path` is written at the end."""

    def __init__(self, path: Path) -> None:
        self._path, self._loaded = path, 0
        self._ticks = [time.perf_counter()]
        self._fed = [0.0]

    def loaded(self) -> None:
        """Memory begins to be filled."""
        footprint.return_freed()
        self._loaded = footprint.resident()

    def tick(self, feeding: float, steps: int = 1) -> None:
        """Steps are over, which took the same; `feeding` counts the seconds of all so far."""
        before, now, fed = self._ticks[-1], time.perf_counter(), self._fed[-1]
        for k in range(1, steps + 1):
            self._ticks.append(before + (now - before) * k / steps)
            self._fed.append(fed + (feeding - fed) * k / steps)

    def write(self) -> None:
        ticks = self._ticks[WARM_UP:]
        steps = [after - before for before, after in pairwise(ticks)]
        feeding = self._fed[-1] - self._fed[min(WARM_UP, len(self._fed) - 1)]
        grown = footprint.resident() - self._loaded
        timings = Timings(steps, feeding, footprint.peak(), grown)
        self._path.write_text(json.dumps(asdict(timings)), encoding="utf-8")


def read(path: Path) -> Timings:
    return Timings(**json.loads(path.read_text(encoding="utf-8")))
