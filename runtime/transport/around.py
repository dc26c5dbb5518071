"""Native calls for what a training step has beside the operations of its program.

All but `clear` and `unsound` take the number of the training step as their eighth argument, so that
several steps can be done without Python in between:

    staged(to, from, bytes, first)                step - *first times `bytes` behind `from` -> to
    number(to)                                    the step -> to
    slotted(board, slot bytes, from, bytes, first)  from -> the step's slot of the board
    told(counters, group, kernel, first)          one arrival at the counter of the step's slot
    clear(to, bytes)                              zeros
    unsound(doubles, count)                       1 where one of them is not finite, else 0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.transport import counters
from runtime.transport.stub import RING, Doubles, NativeCall
from singac.codegen import native

NAMES = ("staged", "number", "slotted", "told", "clear", "unsound")
ARGUMENTS = 8

IR = f"""
define private void @words(ptr %to, ptr %from, i64 %bytes) {{
entry:
  br label %next
next:
  %at = phi i64 [ 0, %entry ], [ %after, %copy ]
  %over = icmp sge i64 %at, %bytes
  br i1 %over, label %end, label %copy
copy:
  %here = getelementptr i8, ptr %from, i64 %at
  %there = getelementptr i8, ptr %to, i64 %at
  %word = load i32, ptr %here
  store i32 %word, ptr %there
  %after = add i64 %at, 4
  br label %next
end:
  ret void
}}

define i32 @staged(ptr %to, ptr %from, i64 %bytes, ptr %first, i64, i64, i64, i64 %step) {{
  %begin = load i64, ptr %first
  %steps = sub i64 %step, %begin
  %skipped = mul i64 %steps, %bytes
  %source = getelementptr i8, ptr %from, i64 %skipped
  call void @words(ptr %to, ptr %source, i64 %bytes)
  ret i32 0
}}

define i32 @number(ptr %to, i64, i64, i64, i64, i64, i64, i64 %step) {{
  store i64 %step, ptr %to
  ret i32 0
}}

define i32 @slotted(ptr %board, i64 %slot_bytes, ptr %from, i64 %bytes, i64 %first, i64, i64,
                    i64 %step) {{
  %steps = sub i64 %step, %first
  %slot = urem i64 %steps, {RING}
  %skipped = mul i64 %slot, %slot_bytes
  %place = getelementptr i8, ptr %board, i64 %skipped
  call void @words(ptr %place, ptr %from, i64 %bytes)
  ret i32 0
}}

define i32 @told(ptr %counters, i64 %group, ptr %kernel, i64 %first, i64, i64, i64, i64 %step) {{
  %steps = sub i64 %step, %first
  %slot = urem i64 %steps, {RING}
  %skipped = mul i64 %slot, {counters.BYTES}
  %counter = getelementptr i8, ptr %counters, i64 %skipped
  call i32 @arrive(ptr %counter, i64 %group, ptr %kernel)
  ret i32 0
}}

define i32 @clear(ptr %to, i64 %bytes) {{
entry:
  br label %next
next:
  %at = phi i64 [ 0, %entry ], [ %after, %zero ]
  %over = icmp sge i64 %at, %bytes
  br i1 %over, label %end, label %zero
zero:
  %place = getelementptr i8, ptr %to, i64 %at
  store i64 0, ptr %place, align 8
  %after = add i64 %at, 8
  br label %next
end:
  ret i32 0
}}

define i32 @unsound(ptr %doubles, i64 %count) {{
entry:
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %after, %look ]
  %over = icmp sge i64 %k, %count
  br i1 %over, label %end, label %look
look:
  %place = getelementptr double, ptr %doubles, i64 %k
  %value = load double, ptr %place
  %zero = fsub double %value, %value
  %after = add i64 %k, 1
  %bad = fcmp uno double %zero, %zero
  br i1 %bad, label %found, label %next
found:
  ret i32 1
end:
  ret i32 0
}}
"""


@dataclass(frozen=True, slots=True)
class Helpers:
    """The functions above."""

    staged: Callable[..., int]
    number: Callable[..., int]
    slotted: Callable[..., int]
    told: Callable[..., int]
    clear: Callable[..., int]
    unsound: Callable[..., int]


@dataclass(frozen=True, slots=True)
class Around:
    """What goes with the program of a training step: calls before it, each of which is told the
    step, and the sums that are given to the chief after it, unless one of them is `refused`.

    Slots of the board are taken from `first_step` on.
    """

    helpers: Helpers
    before: Sequence[NativeCall]
    sums: Doubles
    refused: Callable[[int], object]
    first_step: int


def helpers() -> Helpers:
    library = native.load(ir(), NAMES, ir)
    return Helpers(*(library.function(name, ARGUMENTS) for name in NAMES))


def ir() -> str:
    return counters.ir() + IR
