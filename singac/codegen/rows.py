"""Operations that look at whole rows: losses, hits, measures.

Sums over a row are taken in lane order and added to the metric as a double, row after row, so a
metric depends on nothing but the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

from singac.codegen import vectormath
from singac.codegen.elementwise import Frame, inside, value_at, without_pads
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    I32,
    I64,
    LANES,
    ZERO,
    call_intrinsic,
    f32,
    fold,
    i32,
    i64,
    ints,
    lanes,
    load,
    loop,
    splat,
    store,
    vector,
)
from singac.layers.operations import Best, Hits, Measure, SoftmaxLoss
from singac.plan.plan import Buffer, metric_buffer

DOUBLE = ir.DoubleType()
LOWEST = vector(-3.4028234663852886e38)
Body = Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]


def emit_measure(frame: Frame, operation: Measure) -> None:
    """metric += sum over valid rows and columns of the value."""
    like = frame.buffers[operation.like]
    builder = frame.builder
    with valid_rows(frame, like) as row:

        def body(column: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            value = value_at(frame, operation.value, like, row, column)
            return [builder.fadd(sums[0], value)]

        (total,) = over_columns(frame, like, [ZERO], body)
        _add_to_metric(frame, operation.metric, total_of(builder, total))


def emit_softmax_loss(frame: Frame, operation: SoftmaxLoss) -> None:
    """Per row: m = max s; e = exp(s - m); loss = log(sum e) - (s[label] - m); ds = e / sum e."""
    scores = frame.buffers[operation.scores]
    with loop(frame.builder, i64(0), i64(scores.rows)) as row:
        peak = row_max(frame, operation.scores, row)
        total = _exponentials(frame, operation, row, peak)
        label = _label(frame, operation.labels, row)
        example = frame.builder.urem(row, i64(scores.rows // scores.steps))
        valid = frame.builder.icmp_signed("<", example, frame.valid(scores))
        with frame.builder.if_then(valid):
            _add_loss(frame, operation, row, label, peak, total)
        if operation.gradient is not None:
            _finish_gradient(frame, operation, row, label, total)


def row_max(frame: Frame, name: str, row: ir.Value) -> ir.Value:
    buffer, builder = frame.buffers[name], frame.builder

    def body(column: ir.Value, peaks: Sequence[ir.Value]) -> Sequence[ir.Value]:
        value = load(builder, frame.place(name, row, column))
        value = builder.select(inside(builder, column, buffer.columns), value, LOWEST)
        larger = builder.fcmp_ordered(">", value, peaks[0])
        return [builder.select(larger, value, peaks[0])]

    (peak,) = over_columns(frame, buffer, [LOWEST], body)
    return call_intrinsic(builder, "llvm.vector.reduce.fmax.v16f32", FLOAT, [peak])


def _exponentials(frame: Frame, operation: SoftmaxLoss, row: ir.Value, peak: ir.Value) -> ir.Value:
    """Sum of exp(s - peak); the terms are left in the gradient, if there is one."""
    buffer, builder = frame.buffers[operation.scores], frame.builder
    top = splat(builder, peak)

    def body(column: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        score = load(builder, frame.place(operation.scores, row, column))
        term = vectormath.exp(builder, builder.fsub(score, top))
        term = without_pads(builder, term, column, buffer.columns)
        if operation.gradient is not None:
            store(builder, term, frame.place(operation.gradient, row, column))
        return [builder.fadd(sums[0], term)]

    (total,) = over_columns(frame, buffer, [ZERO], body)
    return total_of(builder, total)


def _add_loss(
    frame: Frame,
    operation: SoftmaxLoss,
    row: ir.Value,
    label: ir.Value,
    peak: ir.Value,
    total: ir.Value,
) -> None:
    builder = frame.builder
    score = builder.load(frame.place(operation.scores, row, label), align=FLOAT_BYTES, typ=FLOAT)
    log = builder.extract_element(vectormath.log(builder, splat(builder, total)), i32(0))
    loss = builder.fsub(log, builder.fsub(score, peak))
    _add_to_metric(frame, operation.metric, loss, operation.share)


def _finish_gradient(
    frame: Frame, operation: SoftmaxLoss, row: ir.Value, label: ir.Value, total: ir.Value
) -> None:
    """(e / sum e - onehot) * scale."""
    gradient = operation.gradient
    assert gradient is not None, "only called where there is a gradient"
    builder, buffer = frame.builder, frame.buffers[gradient]
    factor = splat(builder, builder.fdiv(f32(operation.scale), total))
    with loop(builder, i64(0), i64(buffer.stride), LANES) as column:
        place = frame.place(gradient, row, column)
        store(builder, builder.fmul(load(builder, place), factor), place)
    place = frame.place(gradient, row, label)
    value = builder.load(place, align=FLOAT_BYTES, typ=FLOAT)
    builder.store(builder.fsub(value, f32(operation.scale)), place, align=FLOAT_BYTES)


def emit_hits(frame: Frame, operation: Hits) -> None:
    """A hit: fewer than topk scores stand above the label's, ties going to the earlier column."""
    builder, scores = frame.builder, frame.buffers[operation.scores]
    with valid_rows(frame, scores) as row:
        label = _label(frame, operation.labels, row)
        place = frame.place(operation.scores, row, label)
        own = builder.load(place, align=FLOAT_BYTES, typ=FLOAT)
        above = _count_above(frame, operation.scores, scores, row, label, own)
        hit = builder.and_(
            builder.icmp_signed("<", above, i32(operation.topk)),
            builder.fcmp_ordered("==", own, own),
        )
        _add_to_metric(frame, operation.metric, builder.uitofp(hit, FLOAT), operation.share)


def _count_above(
    frame: Frame, name: str, scores: Buffer, row: ir.Value, label: ir.Value, own: ir.Value
) -> ir.Value:
    builder = frame.builder
    mine, at = splat(builder, own), splat(builder, label)

    def body(column: ir.Value, counts: Sequence[ir.Value]) -> Sequence[ir.Value]:
        score = load(builder, frame.place(name, row, column))
        earlier = builder.icmp_signed("<", lanes(builder, column), at)
        tied = builder.and_(builder.fcmp_ordered("==", score, mine), earlier)
        above = builder.or_(builder.fcmp_ordered(">", score, mine), tied)
        counted = builder.and_(above, inside(builder, column, scores.columns))
        return [builder.add(counts[0], builder.zext(counted, counts[0].type))]

    (count,) = over_columns(frame, scores, [ints(0)], body)
    return call_intrinsic(builder, "llvm.vector.reduce.add.v16i32", I32, [count])


def emit_best(frame: Frame, operation: Best) -> None:
    """The best of all, then again and again the best of those that come after the one before."""
    builder, out = frame.builder, frame.buffers[operation.out]
    columns = frame.buffers[operation.source].columns
    with loop(builder, i64(0), i64(out.rows)) as row:
        with loop(builder, i64(0), i64(out.stride), LANES) as column:
            store(builder, ZERO, frame.place(operation.out, row, column))

        def next_best(place: ir.Value, last: Sequence[ir.Value]) -> Sequence[ir.Value]:
            found = [f32(-math.inf), i64(columns)]

            def look(column: ir.Value, best: Sequence[ir.Value]) -> Sequence[ir.Value]:
                at = frame.place(operation.source, row, column)
                value = builder.load(at, align=FLOAT_BYTES, typ=FLOAT)
                after = _comes_before(builder, last, (value, column))
                better = builder.and_(after, _comes_before(builder, (value, column), best))
                pairs = zip((value, column), best, strict=True)
                return [builder.select(better, new, old) for new, old in pairs]

            value, column = fold(builder, i64(0), i64(columns), 1, found, look)
            exists = builder.icmp_signed("<", column, i64(columns))
            number = builder.select(exists, builder.sitofp(column, FLOAT), f32(math.nan))
            builder.store(number, frame.place(operation.out, row, place), align=FLOAT_BYTES)
            return [value, column]

        first = [f32(math.inf), i64(-1)]
        fold(builder, i64(0), i64(operation.count), 1, first, next_best)


def _comes_before(
    builder: ir.IRBuilder, one: Sequence[ir.Value], other: Sequence[ir.Value]
) -> ir.Value:
    """Whether a (value, column) is higher, or as high and earlier; no NaN is either."""
    equal = builder.fcmp_ordered("==", one[0], other[0])
    earlier = builder.icmp_signed("<", one[1], other[1])
    return builder.or_(builder.fcmp_ordered(">", one[0], other[0]), builder.and_(equal, earlier))


# -- helpers ---------------------------------------------------------------------------------------


@contextmanager
def valid_rows(frame: Frame, buffer: Buffer) -> Iterator[ir.Value]:
    """A loop over the rows of a buffer that are of examples, step after step."""
    builder = frame.builder
    if buffer.steps == 1:
        with loop(builder, i64(0), frame.valid(buffer)) as row:
            yield row
        return
    with (
        loop(builder, i64(0), i64(buffer.rows), buffer.rows // buffer.steps) as first,
        loop(builder, i64(0), frame.valid(buffer)) as row,
    ):
        yield builder.add(first, row)


def over_columns(
    frame: Frame, buffer: Buffer, initial: Sequence[ir.Value], body: Body
) -> Sequence[ir.Value]:
    return fold(frame.builder, i64(0), i64(buffer.stride), LANES, initial, body)


def total_of(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return call_intrinsic(builder, "llvm.vector.reduce.fadd.v16f32", FLOAT, [f32(0.0), value])


def _label(frame: Frame, name: str, row: ir.Value) -> ir.Value:
    place = frame.place(name, row, i64(0))
    return frame.builder.fptosi(frame.builder.load(place, align=FLOAT_BYTES, typ=FLOAT), I64)


def _add_to_metric(frame: Frame, name: str, value: ir.Value, share: float = 1.0) -> None:
    builder, place = frame.builder, frame.start(metric_buffer(name))
    before = builder.load(place, align=8, typ=DOUBLE)
    added = builder.fpext(value, DOUBLE)
    if share != 1.0:
        added = builder.fmul(added, ir.Constant(DOUBLE, share))
    builder.store(builder.fadd(before, added), place, align=8)
