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
import time

from singac.codegen import native

BYTES = 64
NAP_SECONDS = 0.1
SPINS_WITH_A_CORE = 4000  # about 100 us
SPINS_SHARING_A_CORE = 20

# fmt: off
FUTEX_CALL = {"x86_64": 202, "aarch64": 98}
SPIN_HINT  = {"x86_64": "@llvm.x86.sse2.pause()", "aarch64": "@llvm.aarch64.isb(i32 15)"}
# fmt: on
FUTEX_WAIT, FUTEX_WAKE, EVERYONE = 0, 1, 2**31 - 1

ARRIVE = """
define i32 @arrive(ptr %counter, i64 %group, ptr %syscall) {{
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
define i32 @await(ptr %counter, i64 %target, i64 %spins, ptr %syscall, ptr %timeout) {{
entry:
  br label %spin
spin:
  %left = phi i64 [ %spins, %entry ], [ %less, %again ]
  %now = load atomic i64, ptr %counter acquire, align 8
  %there = icmp sge i64 %now, %target
  br i1 %there, label %reached, label %count
count:
  %over = icmp eq i64 %left, 0
  br i1 %over, label %announce, label %again
again:
  {hint}
  %less = sub i64 %left, 1
  br label %spin
announce:
  %sleepers_at = getelementptr i64, ptr %counter, i64 1
  %a = atomicrmw add ptr %sleepers_at, i64 1 seq_cst
  %seen = load atomic i64, ptr %counter seq_cst, align 8
  %expected = trunc i64 %seen to i32
  %late = icmp sge i64 %seen, %target
  br i1 %late, label %leave, label %sleep
sleep:
  {sleep}
  br label %leave
leave:
  %b = atomicrmw sub ptr %sleepers_at, i64 1 seq_cst
  %last = load atomic i64, ptr %counter acquire, align 8
  %done = icmp sge i64 %last, %target
  %result = zext i1 %done to i32
  ret i32 %result
reached:
  ret i32 1
}}
"""


class Counters:
    """Operations on counters, given by address."""

    def __init__(self, processes: int) -> None:
        library = native.load(_ir(), ("arrive", "await"), _ir)
        self._arrive, self._await = library.function("arrive", 3), library.function("await", 5)
        self._syscall = _address_of_syscall()
        self._timeout = (ctypes.c_int64 * 2)(0, int(NAP_SECONDS * 1e9))
        self._timeout_at = ctypes.addressof(self._timeout)
        has_core = processes <= len(os.sched_getaffinity(0))
        self._spins = SPINS_WITH_A_CORE if has_core else SPINS_SHARING_A_CORE

    def arrive(self, counter: int, group: int) -> None:
        """Count one arrival; the one that completes a group of `group` wakes the sleepers."""
        self._arrive(counter, group, self._syscall)

    def set(self, counter: int, count: int) -> None:
        """Start counting from `count`; only before any process uses the counter."""
        words = (ctypes.c_int64 * 2).from_address(counter)
        words[0], words[1] = count, 0

    def reached(self, counter: int, target: int) -> bool:
        return ctypes.c_int64.from_address(counter).value >= target

    def wait(self, counter: int, target: int) -> None:
        """Return when `target` arrivals have been counted since the counter was zero."""
        while not self._await(counter, target, self._spins, self._syscall, self._timeout_at):
            # Back in Python now and then, so that signals are noticed.
            if not _FUTEX:
                time.sleep(50e-6)


_FUTEX = FUTEX_CALL.get(platform.machine(), 0) if sys.platform == "linux" else 0


def _ir() -> str:
    hint = SPIN_HINT.get(platform.machine(), "@llvm.donothing()")
    timeout = "ptr %timeout, ptr null, i32 0"
    wake = _futex(f"i32 {FUTEX_WAKE}, i32 {EVERYONE}, ptr null, ptr null, i32 0")
    sleep = _futex(f"i32 {FUTEX_WAIT}, i32 %expected, {timeout}")
    declared = f"declare void {hint.replace(' 15', '')}\n"
    return declared + ARRIVE.format(wake=wake) + AWAIT.format(hint=f"call void {hint}", sleep=sleep)


def _futex(arguments: str) -> str:
    """The system call on the low half of the count (both machines are little-endian)."""
    if not _FUTEX:
        return "; no futex here: the caller naps"
    return f"call i64 (i64, ...) %syscall(i64 {_FUTEX}, ptr %counter, {arguments})"


def _address_of_syscall() -> int:
    function = ctypes.CDLL(None).syscall
    return ctypes.cast(function, ctypes.c_void_p).value or 0
