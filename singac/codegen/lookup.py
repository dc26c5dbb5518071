"""Operations on whole numbers: rows of a param looked up, their gradient, one-hot vectors.

A param lies in panels of 16 columns, so that the row of a word is one vector of each panel, and
the last vector may have pads:

    word w    panel 0: row w | panel 1: row w | ...      -> out[row], columns i units on
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.elementwise import Frame
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    I64,
    LANES,
    VECTOR_BYTES,
    ZERO,
    call_intrinsic,
    f32,
    i64,
    load,
    loop,
    offset,
    store,
    vector,
)
from singac.layers.operations import Lookup, LookupGradient, OneHot

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class _Index:
    """Index number `at` of a row: what it is, and whether it is a whole number in range."""

    row: ir.Value
    at: ir.Value
    word: ir.Value
    is_right: ir.Value


def emit_lookup(frame: Frame, operation: Lookup) -> None:
    """out[r, i units + c] = table[index[r, i], c]."""
    builder, table = frame.builder, frame.buffers[operation.table]
    start = frame.start(operation.table)
    with _indices(frame, operation.indices, table.rows) as index:

        def vectors(row: ir.Value, place: ir.Value) -> None:
            value = builder.select(index.is_right, load(builder, row), vector(NAN))
            store(builder, value, place, FLOAT_BYTES)

        def singles(row: ir.Value, place: ir.Value) -> None:
            value = builder.load(row, align=FLOAT_BYTES, typ=FLOAT)
            value = builder.select(index.is_right, value, f32(NAN))
            builder.store(value, place, align=FLOAT_BYTES)

        _along(frame, operation.out, index, start, (table.rows, table.columns), vectors, singles)


def emit_lookup_gradient(frame: Frame, operation: LookupGradient) -> None:
    """out[index[r, i], c] += gradient[r, i units + c], one example after the other."""
    builder, table = frame.builder, frame.buffers[operation.out]
    assert table.rows == operation.words, f"{operation.out} has a row a word"
    start = frame.start(operation.out)
    if not operation.accumulate:
        with loop(builder, i64(0), i64(table.floats), LANES) as at:
            store(builder, ZERO, offset(builder, start, at, FLOAT_BYTES))

    def vectors(row: ir.Value, place: ir.Value) -> None:
        total = builder.fadd(load(builder, row), load(builder, place, FLOAT_BYTES))
        store(builder, total, row)

    def singles(row: ir.Value, place: ir.Value) -> None:
        before = builder.load(row, align=FLOAT_BYTES, typ=FLOAT)
        own = builder.load(place, align=FLOAT_BYTES, typ=FLOAT)
        builder.store(builder.fadd(before, own), row, align=FLOAT_BYTES)

    size = (table.rows, table.columns)
    with (
        _indices(frame, operation.indices, table.rows) as index,
        builder.if_then(index.is_right),
    ):
        _along(frame, operation.gradient, index, start, size, vectors, singles)


def emit_onehot(frame: Frame, operation: OneHot) -> None:
    """A row of zeros, then out[r, i words + index[r, i]] = 1, or NaN for what is no index."""
    builder, out = frame.builder, frame.buffers[operation.out]
    with loop(builder, i64(0), i64(out.rows * out.stride), LANES) as at:
        store(builder, ZERO, offset(builder, frame.start(operation.out), at, FLOAT_BYTES))
    with _indices(frame, operation.indices, operation.words) as index:
        column = builder.add(builder.mul(index.at, i64(operation.words)), index.word)
        value = builder.select(index.is_right, f32(1.0), f32(NAN))
        builder.store(value, frame.place(operation.out, index.row, column), align=FLOAT_BYTES)


@contextmanager
def _indices(frame: Frame, name: str, words: int) -> Iterator[_Index]:
    """Every index of every row. One that is none is taken for word 0, so that memory is safe."""
    buffer, builder = frame.buffers[name], frame.builder
    with (
        loop(builder, i64(0), i64(buffer.rows)) as row,
        loop(builder, i64(0), i64(buffer.columns)) as at,
    ):
        value = builder.load(frame.place(name, row, at), align=FLOAT_BYTES, typ=FLOAT)
        word = call_intrinsic(builder, "llvm.fptosi.sat.i64.f32", I64, [value])
        is_whole = builder.fcmp_ordered("==", builder.sitofp(word, FLOAT), value)
        is_known = builder.icmp_unsigned("<", word, i64(words))
        is_right = builder.and_(is_whole, is_known)
        yield _Index(row, at, builder.select(is_right, word, i64(0)), is_right)


def _along(
    frame: Frame,
    name: str,
    index: _Index,
    table: ir.Value,
    size: tuple[int, int],
    vectors: Callable[[ir.Value, ir.Value], None],
    singles: Callable[[ir.Value, ir.Value], None],
) -> None:
    """Goes along the word's row of a table [words, units] and its part of tensor `name` at once.

    `vectors` gets the places of 16 numbers in both, `singles` those of one.
    """
    builder, (words, units) = frame.builder, size
    whole = units // LANES
    own = builder.mul(index.at, i64(units))

    def places(panel: ir.Value, lane: ir.Value) -> tuple[ir.Value, ir.Value]:
        vector_number = builder.add(builder.mul(panel, i64(words)), index.word)
        row = offset(builder, table, vector_number, VECTOR_BYTES)
        column = builder.add(builder.add(own, builder.mul(panel, i64(LANES))), lane)
        return offset(builder, row, lane, FLOAT_BYTES), frame.place(name, index.row, column)

    if whole:
        with loop(builder, i64(0), i64(whole)) as panel:
            vectors(*places(panel, i64(0)))
    if units % LANES:
        with loop(builder, i64(0), i64(units % LANES)) as lane:
            singles(*places(i64(whole), lane))
