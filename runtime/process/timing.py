"""How long each step of a process took, and how much of that went into feeding it."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

# Steps that are run before those that count: they touch all memory for the first time.
WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each step after the warm-up, seconds of them spent copying and scaling examples
    into their buffers, the most memory the process held, and by how much it grew from when all its
    code was loaded."""

    steps: list[float]
    feeding: float
    peak_rss_bytes: int
    grown_bytes: int = 0


class Timer:
    """Ticks once a step; `path` is written at the end. `loaded` is what was in memory before."""

    def __init__(self, path: Path, loaded: int = 0) -> None:
        self._path, self._loaded = path, loaded
        self._ticks = [time.perf_counter()]
        self._fed = [0.0]

    def tick(self, feeding: float) -> None:
        """A step is over; `feeding` counts the seconds of all steps so far."""
        self._ticks.append(time.perf_counter())
        self._fed.append(feeding)

    def write(self) -> None:
        ticks = self._ticks[WARM_UP:]
        steps = [after - before for before, after in pairwise(ticks)]
        feeding = self._fed[-1] - self._fed[min(WARM_UP, len(self._fed) - 1)]
        grown = resident() - self._loaded
        timings = Timings(steps, feeding, _peak_rss_bytes(), grown)
        self._path.write_text(json.dumps(asdict(timings)), encoding="utf-8")


def read(path: Path) -> Timings:
    return Timings(**json.loads(path.read_text(encoding="utf-8")))


def _peak_rss_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> int:
    """Bytes of memory that this process has touched, where the system tells; else 0.

    Of its own and of what it shares with others; pages of files, of which the system has a copy,
    do not count: it takes them back when it needs room.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    words = [line.split() for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return sum(int(kilobytes) for _, kilobytes, _ in words) * 1024
