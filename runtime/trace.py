"""What a process did and when, noted while it ran, in a mapped file that outlives it.

    file of a rank, 64-bit integers:
    | notes | room | code, nanoseconds | code, nanoseconds | ...

A code says what begins: a step of a program by the number of its label, a training step, or a
phase. Native code takes the same notes, so that a wait inside a sequence is seen too. Times are of
the monotonic clock, one for all processes of a node. Nothing here exists in a run without a trace.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.progress import Mark, Phase
from singac.codegen import native

ROOM = 1 << 19  # notes; the file is sparse
HEAD = 2  # integers before the first note
# Codes: labels count from 0, the end of what a label stands for, then phases, then training steps.
END, PHASES, STEPS = 1 << 20, 1 << 21, 1 << 22

NOTE = f"""
define i32 @note(ptr %notes, i64 %code, ptr %clock) {{
entry:
  %time = alloca [2 x i64], align 8
  %room_at = getelementptr i64, ptr %notes, i64 1
  %count = load i64, ptr %notes
  %room = load i64, ptr %room_at
  %free = icmp slt i64 %count, %room
  br i1 %free, label %take, label %full
take:
  call i32 %clock(i32 {time.CLOCK_MONOTONIC}, ptr %time)
  %seconds = load i64, ptr %time
  %rest_at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest_at
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  %twice = mul i64 %count, 2
  %place = add i64 %twice, {HEAD}
  %code_at = getelementptr i64, ptr %notes, i64 %place
  %time_at = getelementptr i64, ptr %code_at, i64 1
  store i64 %code, ptr %code_at
  store i64 %now, ptr %time_at
  %more = add i64 %count, 1
  store i64 %more, ptr %notes
  br label %full
full:
  ret i32 0
}}
"""


@dataclass(frozen=True, slots=True)
class Label:
    """Step number `position` of the program of a phase, in words."""

    phase: str
    position: int
    verb: str
    what: str


@dataclass(frozen=True, slots=True)
class Traced:
    """What one process has left: its labels and its notes."""

    labels: tuple[Label, ...]
    notes: Sequence[tuple[int, int]]
    is_full: bool


class Recorder:
    """Takes the notes of this process."""

    def __init__(self, path: Path) -> None:
        self._path, self._labels = path, list[Label]()
        with path.open("w+b") as file:
            file.truncate((HEAD + 2 * ROOM) * 8)
            self._pages = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._pages).cast("q")
        self._words[1] = ROOM
        self._function = native.load(NOTE, ("note",), lambda: NOTE).function("note", 3)
        clock = ctypes.CDLL(None).clock_gettime
        self._clock = ctypes.cast(clock, ctypes.c_void_p).value or 0

    def note(self, code: int) -> None:
        count = self._words[0]
        if count < ROOM:
            place = HEAD + 2 * count
            self._words[place] = code
            self._words[place + 1] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            self._words[0] = count + 1

    def native(self, code: int) -> tuple[Callable[..., int], int, int, int]:
        """The note as a native call: a function and its arguments."""
        address = ctypes.addressof(ctypes.c_int64.from_buffer(self._words))
        return self._function, address, code, self._clock

    def label(self, label: Label) -> int:
        """The code under which this is noted."""
        self._labels.append(label)
        return len(self._labels) - 1

    def save(self) -> None:
        """Leave beside the notes what they mean."""
        told = {
            "labels": [asdict(label) for label in self._labels],
        }
        self._path.with_suffix(".json").write_text(json.dumps(told), encoding="utf-8")


class TracedMark(Mark):
    """A mark whose changes are noted."""

    def __init__(self, words: memoryview[int], recorder: Recorder) -> None:
        super().__init__(words)
        self.recorder = recorder

    def step(self, step: int) -> None:
        super().step(step)
        self.recorder.note(STEPS + step)

    def phase(self, phase: int) -> None:
        super().phase(phase)
        self.recorder.note(PHASES + phase)
        if phase == Phase.AWAITING_END:
            self.recorder.save()

    def native(self, phase: Phase) -> tuple[Callable[..., int], int, int, int]:
        """The note of a phase as a native call."""
        return self.recorder.native(PHASES + phase)


def read(path: Path) -> Traced:
    """What a process has left in its file, as far as it came."""
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    words = memoryview(path.read_bytes()).cast("q")
    count = words[0]
    notes = [(words[HEAD + 2 * k], words[HEAD + 2 * k + 1]) for k in range(count)]
    labels = tuple(Label(**label) for label in told["labels"])
    return Traced(labels, notes, count == words[1])


def is_phase(code: int) -> Phase | None:
    """The phase that a note tells, if it tells one."""
    return Phase(code - PHASES) if PHASES <= code < STEPS else None
