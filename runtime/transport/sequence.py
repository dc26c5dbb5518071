"""A run of steps as a table that one native call works off, without Python in between.

    record of a step, ten 64-bit integers
    | CALL   | function | eight arguments                           |
    | OF     | function | seven arguments, then the training step's |
    | WAIT   | counter  | arrivals a step | steps ahead | phase     |
    | ARRIVE | counter  | group                                     |
    | TURN   | counter  | address of a target | arrivals | phase    |

A TURN waits for a target that grows by `arrivals` each time, whatever the step is.

The table is worked off once for each of one or several training steps. A call that does not give 0
is the last: the rest of the records is left, and of the steps.

Where many processes share a core, each comes back to a cold cache; what it need not do in Python
then matters more than anything else.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol

import numpy as np

from runtime.progress import PHASE, Mark, Phase
from runtime.trace import TracedMark
from runtime.transport import counters
from runtime.transport.tally import Tally
from singac.codegen import native

Refusal = Callable[[int], object]  # takes the step


class WorkedOff(Protocol):
    """A sequence as a call: of a training step, or of several in a row."""

    def __call__(self, step: int, steps: int = 1) -> object: ...


WORDS = 10
MOST_ARGUMENTS = 8


class Kind(IntEnum):
    """What a record asks for."""

    CALL = 0
    WAIT = 1
    ARRIVE = 2
    TURN = 3
    OF = 4


# A function is called with eight arguments whatever it takes: on the machines meant here the
# caller clears the stack, so a callee never sees the rest.
WORK_OFF = f"""
define i32 @work_off(ptr %records, i64 %count, i64 %first, i64 %steps, i64 %spins, ptr %kernel,
                     ptr %phase) {{
entry:
  br label %turn_over
turn_over:
  %done_steps = phi i64 [ 0, %entry ], [ %more_steps, %step_done ]
  %all = icmp eq i64 %done_steps, %steps
  %step = add i64 %first, %done_steps
  br i1 %all, label %end, label %next
next:
  %k = phi i64 [ 0, %turn_over ], [ %k1, %done ]
  %over = icmp eq i64 %k, %count
  br i1 %over, label %step_done, label %look
step_done:
  %more_steps = add i64 %done_steps, 1
  br label %turn_over
look:
  %start = mul i64 %k, {WORDS}
  %record = getelementptr i64, ptr %records, i64 %start
  %kind = load i64, ptr %record
  %at1 = getelementptr i64, ptr %record, i64 1
  %at2 = getelementptr i64, ptr %record, i64 2
  %at3 = getelementptr i64, ptr %record, i64 3
  %at4 = getelementptr i64, ptr %record, i64 4
  %place = load ptr, ptr %at1
  %a2 = load i64, ptr %at2
  %a3 = load i64, ptr %at3
  %a4 = load i64, ptr %at4
  switch i64 %kind, label %call [
    i64 {Kind.WAIT}, label %wait i64 {Kind.ARRIVE}, label %arrive i64 {Kind.TURN}, label %turn
  ]
call:
  %at5 = getelementptr i64, ptr %record, i64 5
  %at6 = getelementptr i64, ptr %record, i64 6
  %at7 = getelementptr i64, ptr %record, i64 7
  %at8 = getelementptr i64, ptr %record, i64 8
  %at9 = getelementptr i64, ptr %record, i64 9
  %a5 = load i64, ptr %at5
  %a6 = load i64, ptr %at6
  %a7 = load i64, ptr %at7
  %a8 = load i64, ptr %at8
  %last = load i64, ptr %at9
  %of = icmp eq i64 %kind, {Kind.OF}
  %a9 = select i1 %of, i64 %step, i64 %last
  %result = call i32 %place(i64 %a2, i64 %a3, i64 %a4, i64 %a5, i64 %a6, i64 %a7, i64 %a8, i64 %a9)
  %refused = icmp ne i32 %result, 0
  br i1 %refused, label %refusal, label %done
refusal:
  %records_before = mul i64 %done_steps, %count
  %records_done = add i64 %records_before, %k
  %position = trunc i64 %records_done to i32
  %number = add i32 %position, 1
  ret i32 %number
wait:
  %ahead = add i64 %step, %a3
  %target = mul i64 %ahead, %a2
  store atomic i64 %a4, ptr %phase monotonic, align 8
  call i32 @await(ptr %place, i64 %target, i64 %spins, ptr %kernel)
  store atomic i64 {Phase.COMPUTING}, ptr %phase monotonic, align 8
  br label %done
turn:
  %cell = inttoptr i64 %a2 to ptr
  %due = load i64, ptr %cell
  store atomic i64 %a4, ptr %phase monotonic, align 8
  call i32 @await(ptr %place, i64 %due, i64 %spins, ptr %kernel)
  store atomic i64 {Phase.COMPUTING}, ptr %phase monotonic, align 8
  %following = add i64 %due, %a3
  store i64 %following, ptr %cell
  br label %done
arrive:
  call i32 @arrive(ptr %place, i64 %a2, ptr %kernel)
  br label %done
done:
  %k1 = add i64 %k, 1
  br label %next
end:
  ret i32 0
}}
"""


class Sequence:
    """Records in order. `mark` is told when a wait begins and ends, `tally` what was moved."""

    def __init__(self, processes: int, mark: Mark, tally: Tally) -> None:
        self._tally, self._sent, self._received = tally, 0, 0
        self._records: list[tuple[int, ...]] = []
        self._mark = mark
        self._run = native.load(ir(), ("work_off",), ir).function("work_off", 7)
        self._spins, self._kernel = counters.spins(processes), counters.kernel_address()
        self._phase = mark.address + PHASE * 8
        self._kept: list[Callable[..., int]] = []
        self._refusals: dict[int, Refusal] = {}  # by record

    def call(
        self, function: Callable[..., int], *arguments: int, refused: Refusal | None = None
    ) -> None:
        """Call a native function with at most eight addresses or integers.

        It may give another number than 0 where `refused` tells what comes of it.
        """
        assert len(arguments) <= MOST_ARGUMENTS, "a record holds eight arguments"
        if refused is not None:
            self._refusals[len(self._records)] = refused
        self._add(Kind.CALL, self._address(function), *arguments)

    def call_of_step(self, function: Callable[..., int], *arguments: int) -> None:
        """Call a native function of eight arguments, seven of which are given: the last is the
        number of the training step."""
        assert len(arguments) == MOST_ARGUMENTS - 1, "the step is the eighth argument"
        self._add(Kind.OF, self._address(function), *arguments)

    def _address(self, function: Callable[..., int]) -> int:
        """Of a native function, which is kept loaded."""
        self._kept.append(function)
        place = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
        assert place, "a loaded function has an address"
        return place

    def wait(self, counter: int, arrivals: int, ahead: int, phase: Phase) -> None:
        """Wait until the counter has reached `arrivals` times (the step's number + `ahead`)."""
        self._note(phase)
        self._add(Kind.WAIT, counter, arrivals, ahead, phase)
        self._note(Phase.COMPUTING)

    def turn(self, counter: int, target: int, arrivals: int, phase: Phase) -> None:
        """Wait until the counter has reached the integer at `target`, which then grows."""
        self._note(phase)
        self._add(Kind.TURN, counter, target, arrivals, phase)
        self._note(Phase.COMPUTING)

    def arrive(self, counter: int, group: int) -> None:
        """Count one arrival; the one that completes a group wakes the sleepers."""
        self._add(Kind.ARRIVE, counter, group)

    def moves(self, *, sent: int = 0, received: int = 0) -> None:
        """Count bytes that the records so far hand to other processes, or take from them."""
        self._sent += sent
        self._received += received

    def finished(self) -> WorkedOff:
        """The sequence as a call."""
        table = np.array(self._records, np.int64)
        address, count, run = table.ctypes.data, len(table), self._run
        spins, kernel, phase, kept = self._spins, self._kernel, self._phase, (table, self._kept)
        refusals: Mapping[int, Refusal] = self._refusals
        tally, moved = self._tally, (self._sent, self._received)

        def work_off(step: int, steps: int = 1) -> None:
            assert kept, "the table lives as long as the call"
            refused = run(address, count, step, steps, spins, kernel, phase)
            if refused:
                later, record = divmod(refused - 1, count)
                refusals[record](step + later)
                raise AssertionError("who refuses a call raises what comes of it")
            tally.add(moved[0] * steps, moved[1] * steps)

        return work_off

    def _note(self, phase: Phase) -> None:
        """Of a run that is traced, tell when a phase begins."""
        if isinstance(self._mark, TracedMark):
            self.call(*self._mark.native(phase))

    def _add(self, *record: int) -> None:
        self._records.append(record + (0,) * (WORDS - len(record)))


def ir() -> str:
    return counters.ir() + WORK_OFF
