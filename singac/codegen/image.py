"""Images in working memory: padded on all sides, so that no window looks for an edge.

A *sheet* is [channels][reach][reach] floats (`Windows.reach`), the image in it:

    +-----------+   Loads of whole vectors may run on past the last window of a row, and past the
    | fill      |   end of the sheet: `sheet_floats` has room for that. What is stored is exact, for
    |  +-----+  |   rows of an image follow each other without a pad.
    |  |image|  |
    +--+-----+--+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    I32,
    INTS,
    LANES,
    VECTOR,
    VECTOR_BYTES,
    VOID,
    ZERO,
    call_intrinsic,
    i32,
    i64,
    ints,
    load,
    loop,
    offset,
    splat,
    store,
)
from singac.layers.windows import Windows
from singac.plan.plan import padded

MASK = ir.VectorType(ir.IntType(1), LANES)


# Runs of floats


def over_run(builder: ir.IRBuilder, count: int, body: Callable[[ir.Value, int], object]) -> None:
    """`body(start, present)` for every vector of `count` floats; the last may be short."""
    whole = count - count % LANES
    if whole:
        with loop(builder, i64(0), i64(whole), LANES) as start:
            body(start, LANES)
    if count % LANES:
        body(i64(whole), count % LANES)


def load_some(
    builder: ir.IRBuilder, place: ir.Value, present: int, rest: ir.Value = ZERO
) -> ir.Value:
    """The first `present` floats at `place`, the other lanes those of `rest`."""
    if present == LANES:
        return load(builder, place, align=FLOAT_BYTES)
    arguments = [place, i32(FLOAT_BYTES), _first(present), rest]
    return call_intrinsic(builder, "llvm.masked.load.v16f32.p0", VECTOR, arguments)


def store_some(builder: ir.IRBuilder, value: ir.Value, place: ir.Value, present: int) -> None:
    """Stores the first `present` lanes and nothing beyond."""
    if present == LANES:
        store(builder, value, place, align=FLOAT_BYTES)
    else:
        arguments = [value, place, i32(FLOAT_BYTES), _first(present)]
        call_intrinsic(builder, "llvm.masked.store.v16f32.p0", VOID, arguments)


def _first(present: int) -> ir.Constant:
    return ir.Constant(MASK, [lane < present for lane in range(LANES)])


def within(builder: ir.IRBuilder, start: ir.Value, count: int) -> ir.Value:
    """Which of the 16 integers from `start` on are at least 0 and below `count`."""
    steps = ir.Constant(INTS, list(range(LANES)))
    numbers = builder.add(splat(builder, builder.trunc(start, I32)), steps)
    return builder.icmp_unsigned("<", numbers, ints(count))


def larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def smaller(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def fill(builder: ir.IRBuilder, start: ir.Value, floats: int, value: ir.Value = ZERO) -> None:
    """`floats`, a multiple of 16, from the aligned `start` on."""
    with loop(builder, i64(0), i64(floats), LANES) as at:
        store(builder, value, offset(builder, start, at, FLOAT_BYTES))


# Every stride-th float


def strided(builder: ir.IRBuilder, place: ir.Value, stride: int) -> ir.Value:
    """The 16 floats that lie `stride` apart from `place` on."""
    if stride == 1:
        return load(builder, place, align=FLOAT_BYTES)
    if stride == 2:
        low, high = _pair(builder, place)
        return builder.shuffle_vector(low, high, _lanes(range(0, 2 * LANES, 2)))
    value: ir.Value = ZERO
    for lane in range(LANES):
        float_ = offset(builder, place, lane * stride * FLOAT_BYTES)
        scalar = builder.load(float_, align=FLOAT_BYTES, typ=FLOAT)
        value = builder.insert_element(value, scalar, i32(lane))
    return value


def add_strided(builder: ir.IRBuilder, place: ir.Value, stride: int, value: ir.Value) -> None:
    """Adds 16 floats to those that lie `stride` apart from `place` on."""
    if stride == 1:
        store(builder, builder.fadd(strided(builder, place, 1), value), place, align=FLOAT_BYTES)
    elif stride == 2:
        for half, before in enumerate(_pair(builder, place)):
            # lane 2 k of the half takes value 8 half + k, odd lanes the zeros of the other operand
            taken = [8 * half + k // 2 if k % 2 == 0 else LANES for k in range(LANES)]
            spread = builder.shuffle_vector(value, ZERO, _lanes(taken))
            there = offset(builder, place, half * VECTOR_BYTES)
            store(builder, builder.fadd(before, spread), there, align=FLOAT_BYTES)
    else:
        for lane in range(LANES):
            float_ = offset(builder, place, lane * stride * FLOAT_BYTES)
            before = builder.load(float_, align=FLOAT_BYTES, typ=FLOAT)
            after = builder.fadd(before, builder.extract_element(value, i32(lane)))
            builder.store(after, float_, align=FLOAT_BYTES)


def woven(
    builder: ir.IRBuilder, columns: Sequence[ir.Value], stride: int, present: int
) -> list[ir.Value]:
    """The vectors of one line that `present` windows, `stride` apart, add their columns to.

    Float k of the line is the sum of lane w of column j over all w * stride + j = k:

        column 0   a b c d            stride 2, kernel 3
        column 1   e f g h
        column 2   i j k l            a e b+i f c+j g d+k h l
    """
    floats = (present - 1) * stride + len(columns)
    return [
        _woven(builder, columns, stride, range(start, min(start + LANES, floats)))
        for start in range(0, floats, LANES)
    ]


def _woven(
    builder: ir.IRBuilder, columns: Sequence[ir.Value], stride: int, floats: range
) -> ir.Value:
    """Columns less than a stride apart share no float: they are shuffled into one, then added."""
    total: ir.Value | None = None
    for first in range(0, len(columns), stride):
        woven: ir.Value = ZERO
        for j, column in enumerate(columns[first : first + stride], first):
            lanes = [*range(LANES)]
            for lane, k in enumerate(floats):
                window, rest = divmod(k - j, stride)
                if rest == 0 and 0 <= window < LANES:
                    lanes[lane] = LANES + window
            if lanes != [*range(LANES)]:
                woven = builder.shuffle_vector(woven, column, _lanes(lanes))
        total = woven if total is None else builder.fadd(total, woven)
    assert total is not None, "a window has a column"
    return total


def _pair(builder: ir.IRBuilder, place: ir.Value) -> tuple[ir.Value, ir.Value]:
    second = offset(builder, place, VECTOR_BYTES)
    return load(builder, place, FLOAT_BYTES), load(builder, second, FLOAT_BYTES)


def _lanes(taken: range | list[int]) -> ir.Constant:
    return ir.Constant(ints(0).type, list(taken))


# Sheets


def sheet_floats(windows: Windows) -> int:
    """Floats of a sheet, with what a vector that starts inside may run over."""
    height, width = windows.reach
    return padded(windows.channels * height * width + LANES * (windows.stride[1] + 1))


def paste(builder: ir.IRBuilder, windows: Windows, image: ir.Value, sheet: ir.Value) -> None:
    """An image onto its sheet; what lies around it stays as it was filled."""

    def copy(row: ir.Value, place: ir.Value, present: int) -> None:
        store_some(builder, load_some(builder, row, present), place, present)

    _over_rows(builder, windows, image, sheet, copy)


def cut(builder: ir.IRBuilder, windows: Windows, sheet: ir.Value, image: ir.Value) -> None:
    """The image of a sheet into a row of a tensor, whose pad is set to zero."""
    clear_pad(builder, windows, image)
    cut_pixels(builder, windows, sheet, image)


def cut_pixels(builder: ir.IRBuilder, windows: Windows, sheet: ir.Value, image: ir.Value) -> None:
    """The image of a sheet, and nothing behind its last pixel."""

    def copy(row: ir.Value, place: ir.Value, present: int) -> None:
        store_some(builder, load_some(builder, place, present), row, present)

    _over_rows(builder, windows, image, sheet, copy)


def clear_pad(builder: ir.IRBuilder, windows: Windows, image: ir.Value) -> None:
    """Zeros in the last vector of a row, before the row is written."""
    floats = windows.channels * windows.pixels_in
    store(builder, ZERO, offset(builder, image, (padded(floats) - LANES) * FLOAT_BYTES))


def _over_rows(
    builder: ir.IRBuilder,
    windows: Windows,
    image: ir.Value,
    sheet: ir.Value,
    copy: Callable[[ir.Value, ir.Value, int], None],
) -> None:
    """`copy(in_image, in_sheet, present)` for all vectors of all rows of an image."""
    height, width = windows.size
    with (
        loop(builder, i64(0), i64(windows.channels)) as channel,
        loop(builder, i64(0), i64(height)) as y,
    ):
        row = builder.add(builder.mul(channel, i64(height)), y)
        row = offset(builder, image, row, width * FLOAT_BYTES)
        line = builder.add(y, i64(windows.pad[0]))
        there = in_sheet(builder, windows, sheet, channel, line, i64(windows.pad[1]))

        def one(start: ir.Value, present: int) -> None:
            here = offset(builder, row, start, FLOAT_BYTES)
            copy(here, offset(builder, there, start, FLOAT_BYTES), present)

        over_run(builder, width, one)


def in_sheet(
    builder: ir.IRBuilder,
    windows: Windows,
    sheet: ir.Value,
    channel: ir.Value,
    line: ir.Value,
    column: ir.Value,
) -> ir.Value:
    """Address of a float of a sheet; lines and columns count from its corner."""
    height, width = windows.reach
    line = builder.add(builder.mul(channel, i64(height)), line)
    return offset(builder, sheet, builder.add(builder.mul(line, i64(width)), column), FLOAT_BYTES)
