"""Where each process stands, in a mapped file that outlives the process.

    record of a rank, eight 64-bit integers:
    | pid | step | phase | beat | writing | unused ... |

The supervisor reads the step of a process that was killed without a word.
"""

from __future__ import annotations

import mmap
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

WORDS = 8
RECORD = 8 * WORDS
PID, STEP, PHASE, BEAT, WRITING = range(5)


class Phase(IntEnum):
    """What a process is doing."""

    ABSENT = 0
    STARTING = 1
    CONNECTING = 2
    LOADING = 3
    COMPUTING = 4
    AWAITING_GRADIENTS = 5
    AWAITING_PARAMS = 6
    AWAITING_METRICS = 7
    TESTING = 8
    SAVING = 9
    AWAITING_END = 10
    AWAITING_WORD = 11
    AWAITING_PARTS = 12


# fmt: off
DOING = {
    Phase.ABSENT:             "not started",
    Phase.STARTING:           "starting",
    Phase.CONNECTING:         "connecting to the other processes",
    Phase.LOADING:            "loading its program",
    Phase.COMPUTING:          "computing",
    Phase.AWAITING_GRADIENTS: "waiting for gradients",
    Phase.AWAITING_PARAMS:    "waiting for params",
    Phase.AWAITING_METRICS:   "waiting for metrics",
    Phase.TESTING:            "testing",
    Phase.SAVING:             "writing a checkpoint",
    Phase.AWAITING_END:       "waiting for the others to end",
    Phase.AWAITING_WORD:      "waiting to hear whether training goes on",
    Phase.AWAITING_PARTS:     "waiting for other workers' parts of layers",
}
# fmt: on
STARTING = (Phase.ABSENT, Phase.STARTING, Phase.CONNECTING, Phase.LOADING)
WAITING = (
    Phase.AWAITING_GRADIENTS,
    Phase.AWAITING_PARAMS,
    Phase.AWAITING_METRICS,
    Phase.AWAITING_WORD,
    Phase.AWAITING_PARTS,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """One process as last seen; `beat` in seconds of the monotonic clock.

    `writing` while a checkpoint is on its way to the disk.
    """

    pid: int
    step: int
    phase: Phase
    beat: float
    writing: bool


class Progress:
    """The file of all ranks, mapped; `create` it once, then `Progress(path)` in every process."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._pages = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._pages).cast("q")

    @staticmethod
    def create(path: Path, ranks: int) -> Progress:
        path.write_bytes(bytes(RECORD * ranks))
        return Progress(path)

    def of(self, rank: int) -> Standing:
        pid, step, phase, beat, writing = self._words[rank * WORDS : rank * WORDS + 5]
        return Standing(pid, step, Phase(phase), beat / 1e9, bool(writing))

    def note(self, rank: int, pid: int, step: int, phase: int) -> None:
        """Where a process of another host has said it stands, just now."""
        record = self._words[rank * WORDS : rank * WORDS + 4]
        record[PID], record[STEP], record[PHASE], record[BEAT] = pid, step, phase, now()

    @staticmethod
    def age(beat: float) -> float:
        """Seconds since a beat."""
        return now() / 1e9 - beat

    def mark(self, rank: int) -> Mark:
        """The record of this process, to be written by it alone."""
        return Mark(self._words[rank * WORDS : (rank + 1) * WORDS])


def now() -> int:
    """Nanoseconds of this machine's own clock."""
    return time.monotonic_ns()


class Mark:
    """The record of one process; single aligned words, so no reader sees half a value."""

    def __init__(self, words: memoryview[int], process: Mark | None = None) -> None:
        self.words = words
        self._process = process or self
        self._threads: list[Mark] = []

    @staticmethod
    def apart(process: Mark | None = None) -> Mark:
        """A record that lies in no file; of a process, or of a thread of one."""
        return Mark(memoryview(bytearray(RECORD)).cast("q"), process)

    def thread(self) -> Mark:
        """The record of one of several threads; each beat sums them up in that of the process."""
        mark = Mark.apart(self)
        mark.phase(Phase.LOADING)
        self._threads.append(mark)
        return mark

    def begin(self, pid: int, phase: Phase) -> None:
        self.words[PID] = pid
        self.phase(phase)
        self.beat()

    def step(self, step: int) -> None:
        self.words[STEP] = step

    def phase(self, phase: int) -> None:
        self.words[PHASE] = phase

    def writing(self, goes_on: bool) -> None:
        """Whether a checkpoint is on its way to the disk, whichever thread began it."""
        self._process.words[WRITING] = goes_on

    def beat(self) -> None:
        if self._threads:
            self.step(max(t.words[STEP] for t in self._threads))
            phases = [t.words[PHASE] for t in self._threads]
            self.phase(next((p for p in phases if p not in WAITING), phases[0]))
        self.words[BEAT] = now()

    def standing(self) -> dict[str, object]:
        """Where the process stands, for a supervisor that does not see the record."""
        return {"event": "standing", "step": self.words[STEP], "phase": self.words[PHASE]}

    @property
    def address(self) -> int:
        """Of the record, for generated code that writes the phase."""
        import ctypes

        return ctypes.addressof(ctypes.c_int64.from_buffer(self.words))
