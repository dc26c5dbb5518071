"""Rectangles of floats moved between two tensors: what an exchange does at both of its ends.

    from  | . . a a a .          to  | a a a .         copy
          | . . a a a .              | a a a .         add     to += from
                                                       clear   to = 0

A rectangle starts and ends anywhere in a vector.
"""

from __future__ import annotations

from enum import IntEnum

from llvmlite import ir

from singac.codegen.host import Host
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    I64,
    LANES,
    ZERO,
    Entry,
    entry,
    f32,
    i64,
    load,
    loop,
    new_module,
    offset,
    store,
)

ARGUMENTS = 6


class Move(IntEnum):
    """What is done with a rectangle; each is a function of its name."""

    COPY = 0
    ADD = 1
    CLEAR = 2


NAMES = tuple(move.name.lower() for move in Move)


def build(host: Host) -> str:
    """IR of `copy`, `add`, `clear`(to, to stride, from, from stride, rows, columns).

    Strides are in bytes from one row to the next; `clear` reads nothing.
    """
    module = new_module(host)
    for move in Move:
        with entry(module, NAMES[move], ARGUMENTS) as function:
            _emit(function, move)
    return str(module)


def _emit(function: Entry, move: Move) -> None:
    builder = function.builder
    to, to_stride, source, source_stride, rows, columns = function.arguments
    to_stride, source_stride, rows, columns = (
        builder.ptrtoint(a, I64) for a in (to_stride, source_stride, rows, columns)
    )
    whole = builder.and_(columns, i64(-LANES))
    with loop(builder, i64(0), rows) as row:
        there = offset(builder, to, builder.mul(row, to_stride))
        here = offset(builder, source, builder.mul(row, source_stride))
        with loop(builder, i64(0), whole, LANES) as column:
            _vector(builder, move, there, here, column)
        with loop(builder, whole, columns) as column:
            _single(builder, move, there, here, column)


def _vector(
    builder: ir.IRBuilder, move: Move, there: ir.Value, here: ir.Value, column: ir.Value
) -> None:
    place, value = offset(builder, there, column, FLOAT_BYTES), ZERO
    if move is not Move.CLEAR:
        value = load(builder, offset(builder, here, column, FLOAT_BYTES), FLOAT_BYTES)
    if move is Move.ADD:
        value = builder.fadd(load(builder, place, FLOAT_BYTES), value)
    store(builder, value, place, FLOAT_BYTES)


def _single(
    builder: ir.IRBuilder, move: Move, there: ir.Value, here: ir.Value, column: ir.Value
) -> None:
    def read(place: ir.Value) -> ir.Value:
        return builder.load(place, align=FLOAT_BYTES, typ=FLOAT)

    place, value = offset(builder, there, column, FLOAT_BYTES), f32(0.0)
    if move is not Move.CLEAR:
        value = read(offset(builder, here, column, FLOAT_BYTES))
    if move is Move.ADD:
        value = builder.fadd(read(place), value)
    builder.store(value, place, align=FLOAT_BYTES)
