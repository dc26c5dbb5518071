"""Expressions -> vector code: one vector of 16 consecutive elements of a row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from llvmlite import ir

from singac.codegen import philox, vectormath
from singac.codegen.ir import (
    FLOAT_BYTES,
    LANES,
    ZERO,
    fma,
    i64,
    lanes,
    load,
    longs,
    loop,
    offset,
    store,
    vector,
)
from singac.layers.expression import Call, Constant, Draw, Expression, Scalar, Variable
from singac.layers.operations import Pointwise
from singac.plan.plan import Buffer, Layout

ONE = vector(1.0)
SMALL_POWERS = (2.0, 3.0, 4.0)  # by multiplying; others through log and exp


@dataclass(frozen=True, slots=True)
class Frame:
    """What a kernel is given: its buffers and where they are, and the run-time numbers."""

    builder: ir.IRBuilder
    places: Mapping[str, ir.Value]  # from which the offsets of buffers count
    buffers: Mapping[str, Buffer]
    step: ir.Value
    seed: ir.Value
    first_row: ir.Value
    valid_rows: ir.Value
    valid_batch: ir.Value
    rows: int  # examples of a step
    batch: int  # those of all workers of a group
    t: ir.Value | None = None  # the step, inside a loop over steps
    moved: Mapping[str, ir.Value] = field(default_factory=dict)  # bytes to the rows of that step

    def valid(self, buffer: Buffer) -> ir.Value:
        """How many rows of a tensor are examples: it has those of a whole batch, or its own."""
        whole = buffer.rows // buffer.steps == self.batch
        return self.valid_batch if whole else self.valid_rows

    def start(self, name: str) -> ir.Value:
        """Address of the first element of a buffer, or inside a loop of its part for the step."""
        start = offset(self.builder, self.places[name], self.buffers[name].offset)
        return offset(self.builder, start, self.moved[name]) if name in self.moved else start

    def at_step(self, steps: int, t: ir.Value, names: Iterable[str]) -> Frame:
        """The frame inside a loop: unrolled buffers among `names` have the rows of step `t`."""
        known = {n: self.buffers[n] for n in names if n in self.buffers}
        unrolled = {n: b for n, b in known.items() if b.steps > 1}
        assert all(b.steps == steps for b in unrolled.values()), "a loop goes over all steps"
        one = {n: replace(b, rows=b.rows // steps, steps=1) for n, b in unrolled.items()}
        sizes = {n: b.rows // steps * b.stride * FLOAT_BYTES for n, b in unrolled.items()}
        moved = {n: self.builder.mul(t, i64(size)) for n, size in sizes.items()}
        return replace(self, buffers={**self.buffers, **one}, t=t, moved=moved)

    def place_of_draw(self, row: ir.Value, steps: int) -> ir.Value:
        """The number of a row among those of all workers and steps: example by example."""
        builder, t = self.builder, self.t
        if t is None:
            t = builder.udiv(row, i64(self.rows))
            row = builder.urem(row, i64(self.rows))
        example = builder.add(self.first_row, row)
        return builder.add(builder.mul(example, i64(steps)), t)

    def place(self, name: str, row: ir.Value, column: ir.Value) -> ir.Value:
        """Address of an element; a buffer of one row serves every row."""
        buffer = self.buffers[name]
        assert buffer.layout is Layout.ROWS, f"{name} lies in panels and is not read by element"
        start = self.start(name)
        if buffer.rows > 1:
            start = offset(self.builder, start, row, buffer.stride * FLOAT_BYTES)
        return offset(self.builder, start, column, FLOAT_BYTES)


class Evaluator:
    """Emits the value of expressions; a part that stands twice is computed once."""

    def __init__(
        self, builder: ir.IRBuilder, leaf: Callable[[Variable | Scalar | Draw], ir.Value]
    ) -> None:
        self._builder, self._leaf = builder, leaf
        self._done: dict[Expression, ir.Value] = {}

    def value(self, expression: Expression) -> ir.Value:
        if expression not in self._done:
            self._done[expression] = self._emit(expression)
        return self._done[expression]

    def forget(self, name: str) -> None:
        """A tensor was assigned: what was computed from its old value no longer holds."""
        kept = {e: v for e, v in self._done.items() if not _reads(e, name)}
        self._done = kept

    def _emit(self, expression: Expression) -> ir.Value:
        match expression:
            case Constant(number):
                return vector(number)
            case Call("add", (Call("mul", (a, b)), c)) | Call("add", (c, Call("mul", (a, b)))):
                return fma(self._builder, self.value(a), self.value(b), self.value(c))
            case Call("pow", (base, Constant(number))) if number in SMALL_POWERS:
                return self._small_power(base, int(number))
            case Call(function, arguments):
                return EMIT[function](self._builder, *(self.value(a) for a in arguments))
            case Variable() | Scalar() | Draw():
                return self._leaf(expression)

    def _small_power(self, base: Expression, power: int) -> ir.Value:
        value = result = self.value(base)
        for _ in range(power - 1):
            result = self._builder.fmul(result, value)
        return result


def _reads(expression: Expression, name: str) -> bool:
    if isinstance(expression, Call):
        return any(_reads(a, name) for a in expression.arguments)
    return expression == Variable(name)


def _greater(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), ONE, ZERO)


def _max(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The larger; a NaN in `a` stays, so that a broken activation is seen."""
    return builder.select(builder.fcmp_ordered("<", a, b), b, a)


def _min(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", a, b), b, a)


def _sign(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
    return builder.fsub(_greater(builder, a, ZERO), _greater(builder, ZERO, a))


# fmt: off
EMIT: Mapping[str, Callable[..., ir.Value]] = {
    "add":     lambda b, x, y: b.fadd(x, y),
    "sub":     lambda b, x, y: b.fsub(x, y),
    "mul":     lambda b, x, y: b.fmul(x, y),
    "div":     lambda b, x, y: b.fdiv(x, y),
    "neg":     lambda b, x: b.fneg(x),
    "greater": _greater,
    "max":     _max,
    "min":     _min,
    "abs":     vectormath.absolute,
    "sign":    _sign,
    "exp":     vectormath.exp,
    "log":     vectormath.log,
    "sqrt":    vectormath.sqrt,
    "tanh":    vectormath.tanh,
    "sigmoid": vectormath.sigmoid,
    "erf":     vectormath.erf,
    "pow":     vectormath.power,
}
# fmt: on


def emit_pointwise(frame: Frame, operation: Pointwise) -> None:
    """The assigns over every vector of every row."""
    names = (operation.like, *(a.out for a in operation.assigns))
    like = next(frame.buffers[n] for n in names if n in frame.buffers)
    builder = frame.builder
    with (
        loop(builder, i64(0), i64(like.rows)) as row,
        loop(builder, i64(0), i64(like.stride), LANES) as column,
    ):
        emit_assigns(frame, operation, like.columns, row, column, {})


def emit_assigns(
    frame: Frame,
    operation: Pointwise,
    columns: int,
    row: ir.Value,
    column: ir.Value,
    known: Mapping[str, ir.Value],
) -> None:
    """The assigns for the 16 elements from (row, column) on, of `columns` a row.

    `known` has the values that are in registers already. Pads are stored as zeros. What has no
    buffer is used by later assigns only and not stored.
    """
    values = dict(known)
    evaluator = Evaluator(frame.builder, lambda e: _leaf(frame, e, columns, row, column, values))
    for assign in operation.assigns:
        value = without_pads(frame.builder, evaluator.value(assign.value), column, columns)
        values[assign.out] = value
        evaluator.forget(assign.out)
        if assign.out in frame.buffers:
            store(frame.builder, value, frame.place(assign.out, row, column))


def value_at(
    frame: Frame, expression: Expression, like: Buffer, row: ir.Value, column: ir.Value
) -> ir.Value:
    """The value of an expression for the 16 elements from (row, column) on, pads zero."""
    evaluator = Evaluator(frame.builder, lambda e: _leaf(frame, e, like.columns, row, column, {}))
    return without_pads(frame.builder, evaluator.value(expression), column, like.columns)


def without_pads(
    builder: ir.IRBuilder, value: ir.Value, column: ir.Value, columns: int
) -> ir.Value:
    """The vector with zeros in the lanes that lie behind the last column."""
    if columns % LANES == 0:
        return value
    return builder.select(inside(builder, column, columns), value, ZERO)


def inside(builder: ir.IRBuilder, column: ir.Value, columns: int) -> ir.Value:
    """Which of the 16 columns from `column` on are real."""
    return builder.icmp_signed("<", lanes(builder, column), longs(columns))


def _leaf(
    frame: Frame,
    leaf: Variable | Scalar | Draw,
    columns: int,
    row: ir.Value,
    column: ir.Value,
    values: Mapping[str, ir.Value],
) -> ir.Value:
    builder = frame.builder
    match leaf:
        case Variable(name):
            known = values.get(name)
            return load(builder, frame.place(name, row, column)) if known is None else known
        case Draw(stream, steps, first, whole):
            example, width = (row, whole) if whole else (frame.place_of_draw(row, steps), columns)
            element = builder.add(builder.mul(example, i64(width)), column)
            element = builder.add(element, i64(first))
            aligned = width % philox.WORDS_A_BLOCK == first % philox.WORDS_A_BLOCK == 0
            return philox.uniform(builder, frame.seed, stream, frame.step, element, aligned)
        case Scalar(name):
            raise AssertionError(f"the scalar {name} has no meaning in a layer")
