"""Objects linked without LLVM, and which are left to it."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import pytest

from singac.codegen import compiler, host, link, native

# A constant in memory of its own, and a call of another object.
CALLER = """
declare i64 @other(i64)
@table = private constant [3 x i64] [i64 30, i64 40, i64 50]
define i32 @caller(i64 %k) {
  %place = getelementptr i64, ptr @table, i64 %k
  %constant = load i64, ptr %place
  %sum = call i64 @other(i64 %constant)
  %short = trunc i64 %sum to i32
  ret i32 %short
}
"""
OTHER = """
define i64 @other(i64 %x) {
  %y = add i64 %x, 7
  ret i64 %y
}
"""
LIBRARY = """
declare i32 @abs(i32)
define i32 @positive(i64 %x) {
  %short = trunc i64 %x to i32
  %y = call i32 @abs(i32 %short)
  ret i32 %y
}
"""
AMD64 = host.describe("baseline")
is_ours = AMD64.triple.startswith("x86_64") and "linux" in AMD64.triple
here = pytest.mark.skipif(not is_ours, reason="LLVM links on this machine")


@here
@pytest.mark.parametrize("order", [(CALLER, OTHER), (OTHER, CALLER)])
def test_objects_call_each_other(order: tuple[str, str]) -> None:
    objects = [compiler.compile_object(text, AMD64) for text in order]
    image, linked = link.link(objects), compiler.Linked(objects, ["caller"])
    for code in (image, linked):
        caller = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)(code.address("caller"))
        assert [caller(k) for k in range(3)] == [37, 47, 57]


@pytest.mark.parametrize("code", [b"", b"\x7fELF", b"\xcf\xfa\xed\xfe" + bytes(100)])
def test_what_is_no_object_is_unknown(code: bytes) -> None:
    with pytest.raises(link.Unknown):
        link.link([code])


@here
def test_what_needs_more_is_left_to_llvm() -> None:
    code = compiler.compile_object(LIBRARY, AMD64)
    with pytest.raises(link.Unknown, match="symbol abs"):
        link.link([code])
    assert native.Library([code], ["positive"]).function("positive", 1)(5) == 5


@here
def test_other_machines_are_left_to_llvm() -> None:
    arm = replace(AMD64, triple="aarch64-unknown-linux-gnu", cpu="generic", features="+neon")
    for machine in (arm, replace(AMD64, triple="x86_64-apple-darwin")):
        with pytest.raises(link.Unknown):
            link.link([compiler.compile_object(OTHER, machine)])
