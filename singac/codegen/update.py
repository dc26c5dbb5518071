"""The update of a slice: sum the workers' gradients, then the updater's equations, in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llvmlite import ir

from singac.codegen.elementwise import Evaluator
from singac.codegen.host import Host
from singac.codegen.ir import (
    FLOAT_BYTES,
    I32,
    I64,
    LANES,
    broadcast,
    entry,
    fma,
    fold,
    i64,
    load,
    new_module,
    offset,
    store,
    vector,
)
from singac.layers.expression import Draw, Scalar, Variable
from singac.plan.plan import Update

NAME = "update"
ARGUMENTS = 8


def build(update: Update, host: Host) -> str:
    """IR of `update(w, gradient, gradient stride, workers, state, state stride, floats, scalars)`.

    Strides are in bytes. Gradients are summed in worker order:

        gradient + 0 * stride   worker 0  | g g g g ...
        gradient + 1 * stride   worker 1  | g g g g ...   -> g, then w and the states in place

    Gives 1 when the sum has a value that is not finite: then 0 * g is no 0. What has been updated
    until that is known is not to be used.
    """
    module = new_module(host)
    with entry(module, NAME, ARGUMENTS) as function:
        builder = function.builder
        w, gradient, stride, workers, state, state_stride, floats, scalars = function.arguments
        numbers = {
            name: broadcast(builder, offset(builder, scalars, k * FLOAT_BYTES))
            for k, (name, _) in enumerate(update.scalars)
        }
        stride, workers, state_stride, floats = (
            builder.ptrtoint(a, I64) for a in (stride, workers, state_stride, floats)
        )
        states = {
            name: builder.gep(
                state, [builder.mul(state_stride, i64(k))], source_etype=ir.IntType(8)
            )
            for k, (name, _) in enumerate(update.states)
        }

        def body(i: ir.Value, zeros: Sequence[ir.Value]) -> Sequence[ir.Value]:
            at = builder.mul(i, i64(FLOAT_BYTES))
            g = summed(builder, offset(builder, gradient, at), stride, workers)
            tensors = {"w": offset(builder, w, at)}
            tensors |= {name: offset(builder, start, at) for name, start in states.items()}
            _apply(builder, update, tensors, g, numbers)
            return [fma(builder, g, vector(0.0), zeros[0])]

        (zeros,) = fold(builder, i64(0), floats, LANES, [vector(0.0)], body)
        function.result = _any_not_a_number(builder, zeros)
    return str(module)


def _any_not_a_number(builder: ir.IRBuilder, values: ir.Value) -> ir.Value:
    """1 or 0."""
    lanes = builder.bitcast(builder.fcmp_unordered("uno", values, values), ir.IntType(LANES))
    return builder.zext(builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0)), I32)


def summed(builder: ir.IRBuilder, first: ir.Value, stride: ir.Value, workers: ir.Value) -> ir.Value:
    """A vector of the gradient of all workers, added in worker order."""

    def body(worker: ir.Value, total: Sequence[ir.Value]) -> Sequence[ir.Value]:
        place = offset(builder, first, builder.mul(worker, stride))
        return [builder.fadd(total[0], load(builder, place))]

    (total,) = fold(builder, i64(1), workers, 1, [load(builder, first)], body)
    return total


def _apply(
    builder: ir.IRBuilder,
    update: Update,
    tensors: Mapping[str, ir.Value],
    g: ir.Value,
    numbers: Mapping[str, ir.Value],
) -> None:
    values = {"g": g, **{name: load(builder, place) for name, place in tensors.items()}}

    def leaf(expression: Variable | Scalar | Draw) -> ir.Value:
        match expression:
            case Variable(name):
                return values[name]
            case Scalar(name):
                return numbers[name]
        raise AssertionError("an updater draws nothing")

    evaluator = Evaluator(builder, leaf)
    for name, expression in update.assigns:
        values[name] = evaluator.value(expression)
        evaluator.forget(name)
    changed = {name for name, _ in update.assigns}
    for name, place in tensors.items():
        if name in changed:
            store(builder, values[name], place)
