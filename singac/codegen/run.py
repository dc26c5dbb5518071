"""The function that works off the table of a stretch, kernel after kernel (table.py)."""

from __future__ import annotations

from llvmlite import ir

from singac.codegen.host import Host
from singac.codegen.ir import (
    I64,
    LONG_BYTES,
    POINTER,
    VOID,
    entry,
    i64,
    loop,
    new_module,
    offset,
)
from singac.codegen.table import CALL_WORDS, HEAD_WORDS, PLACE_WORDS, RUN, RUN_ARGUMENTS, SPACES


class _Kernel(ir.PointerType):  # type: ignore[misc]
    """A pointer that can be called: it tells what it points to."""

    pointee = ir.FunctionType(VOID, [POINTER, POINTER])


def build(host: Host) -> str:
    """IR text of `run`."""
    module = new_module(host)
    with entry(module, RUN, RUN_ARGUMENTS) as function:
        builder = function.builder
        table, *bases, scalars = function.arguments
        starts = builder.alloca(POINTER, len(SPACES))
        for k, base in enumerate(bases):
            builder.store(base, offset(builder, starts, k * LONG_BYTES))
        places = builder.alloca(POINTER, _word(builder, table, 1))
        following = builder.alloca(POINTER)
        builder.store(offset(builder, table, HEAD_WORDS * LONG_BYTES), following)
        with loop(builder, i64(0), _word(builder, table, 0)):
            call = builder.load(following, typ=POINTER)
            builder.store(_find(builder, call, starts, places), following)
            builder.call(builder.load(call, typ=_Kernel()), [places, scalars])
    return str(module)


def _find(builder: ir.IRBuilder, call: ir.Value, starts: ir.Value, places: ir.Value) -> ir.Value:
    """Write the addresses of a call's places, and give where the next call stands."""
    count = _word(builder, call, 1)
    first = offset(builder, call, CALL_WORDS * LONG_BYTES)
    with loop(builder, i64(0), count) as number:
        place = offset(builder, first, number, PLACE_WORDS * LONG_BYTES)
        start = offset(builder, starts, _word(builder, place, 0), LONG_BYTES)
        address = offset(builder, builder.load(start, typ=POINTER), _word(builder, place, 1))
        builder.store(address, offset(builder, places, number, LONG_BYTES))
    return offset(builder, first, count, PLACE_WORDS * LONG_BYTES)


def _word(builder: ir.IRBuilder, start: ir.Value, number: int) -> ir.Value:
    return builder.load(offset(builder, start, number * LONG_BYTES), align=LONG_BYTES, typ=I64)
