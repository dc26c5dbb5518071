"""Counters in memory that processes share: count arrivals, wait for a number of them.

    | count | sleepers |     two 64-bit integers at the start of a cache line

Loads, stores and their order are generated code, so they are right on machines whose memory is
weakly ordered too. A process that waits spins for a while and then sleeps in the kernel (a futex on
the low half of the count); whoever completes a group of arrivals wakes the sleepers. Sleepers cost
nothing, so many processes can share a core.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

from singac.codegen import native

BYTES = 64
SPINS_WITH_A_CORE = 4000  # about 100 us
SPINS_SHARING_A_CORE = 20

# fmt: off
FUTEX_CALL = {"x86_64": 202, "aarch64": 98}
SPIN_HINT  = {"x86_64": "@llvm.x86.sse2.pause()", "aarch64": "@llvm.aarch64.isb(i32 15)"}
# fmt: on
FUTEX_WAIT, FUTEX_WAKE, EVERYONE = 0, 1, 2**31 - 1
NAP_MICROSECONDS = 50

ARRIVE = """
define i32 @arrive(ptr %counter, i64 %group, ptr %kernel) {{
  %old = atomicrmw add ptr %counter, i64 1 seq_cst
  %new = add i64 %old, 1
  %rest = urem i64 %new, %group
  %complete = icmp eq i64 %rest, 0
  br i1 %complete, label %look, label %end
look:
  %sleepers_at = getelementptr i64, ptr %counter, i64 1
  %sleepers = load atomic i64, ptr %sleepers_at seq_cst, align 8
  %nobody = icmp eq i64 %sleepers, 0
  br i1 %nobody, label %end, label %wake
wake:
  {wake}
  br label %end
end:
  ret i32 0
}}
"""

# The sleeper announces itself before it looks for the last time, and the kernel compares the
# count once more before it sleeps: an arrival in between is never missed.
AWAIT = """
declare void {hint_type}

define i32 @await(ptr %counter, i64 %target, i64 %spins, ptr %kernel) {{
entry:
  %sleepers_at = getelementptr i64, ptr %counter, i64 1
  br label %spin
spin:
  %left = phi i64 [ %spins, %entry ], [ %less, %again ], [ 0, %sleep ]
  %now = load atomic i64, ptr %counter acquire, align 8
  %there = icmp sge i64 %now, %target
  br i1 %there, label %reached, label %count
count:
  %over = icmp eq i64 %left, 0
  br i1 %over, label %sleep, label %again
again:
  call void {hint}
  %less = sub i64 %left, 1
  br label %spin
sleep:
  %a = atomicrmw add ptr %sleepers_at, i64 1 seq_cst
  %expected = trunc i64 %now to i32
  {sleep}
  %b = atomicrmw sub ptr %sleepers_at, i64 1 seq_cst
  br label %spin
reached:
  ret i32 0
}}
"""


class Counters:
    """Operations on counters, given by address."""

    def __init__(self, processes: int) -> None:
        library = native.load(ir(), ("arrive", "await"), ir)
        self._arrive, self._await = library.function("arrive", 3), library.function("await", 4)
        self.kernel = kernel_address()
        self.spins = spins(processes)

    def set(self, counter: int, count: int) -> None:
        """Start counting from `count`; only while nobody waits for the counter or arrives."""
        words = (ctypes.c_int64 * 2).from_address(counter)
        words[0], words[1] = count, 0

    def arrive(self, counter: int, group: int) -> None:
        """Count one arrival; the one that completes a group of `group` wakes the sleepers."""
        self._arrive(counter, group, self.kernel)

    def reached(self, counter: int, target: int) -> bool:
        """Whether so many have arrived; then all that they did before can be read."""
        if self.count(counter) < target:
            return False
        self._await(counter, target, 0, self.kernel)
        return True

    def count(self, counter: int) -> int:
        return ctypes.c_int64.from_address(counter).value

    def wait(self, counter: int, target: int) -> None:
        """Return when `target` arrivals have been counted since the counter was zero.

        No Python runs meanwhile in this thread. The supervisor ends a process that waits in vain.
        """
        self._await(counter, target, self.spins, self.kernel)


def spins(processes: int) -> int:
    """How often a waiting process looks before it sleeps."""
    has_core = processes <= len(os.sched_getaffinity(0))
    return SPINS_WITH_A_CORE if has_core else SPINS_SHARING_A_CORE


_FUTEX = FUTEX_CALL.get(platform.machine(), 0) if sys.platform == "linux" else 0


def ir() -> str:
    """IR text of `arrive(counter, group, kernel)` and `await(counter, target, spins, kernel)`."""
    hint = SPIN_HINT.get(platform.machine(), "@llvm.donothing()")
    wake = _futex(f"i32 {FUTEX_WAKE}, i32 {EVERYONE}")
    sleep = _futex(f"i32 {FUTEX_WAIT}, i32 %expected")
    if not _FUTEX:
        wake, sleep = "; sleepers look for themselves", f"call i32 %kernel(i32 {NAP_MICROSECONDS})"
    waiting = AWAIT.format(hint=hint, hint_type=hint.replace(" 15", ""), sleep=sleep)
    return ARRIVE.format(wake=wake) + waiting


def _futex(arguments: str) -> str:
    """The system call on the low half of the count (both machines are little-endian)."""
    rest = "ptr null, ptr null, i32 0"
    return f"call i64 (i64, ...) %kernel(i64 {_FUTEX}, ptr %counter, {arguments}, {rest})"


def kernel_address() -> int:
    """Where generated code enters the kernel to sleep: C's `syscall`, or `usleep` elsewhere."""
    library = ctypes.CDLL(None)
    function = library.syscall if _FUTEX else library.usleep
    return ctypes.cast(function, ctypes.c_void_p).value or 0
