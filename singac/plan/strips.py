"""Operations of a layer that is a strip of a whole one: all rows of a batch, some columns.

What depends on an element's place in the whole layer is told that place; what would be summed over
the workers is whole already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from singac.layers.expression import Call, Draw, Expression, Variable
from singac.layers.operations import Assign, GroupSum, Operation, Pointwise
from singac.model.graph import Layer, Strip


def in_place(layer: Layer, operations: Sequence[Operation]) -> list[Operation]:
    """The operations of a layer where it lies."""
    if layer.strip is None:
        return list(operations)
    return [_operation(layer.strip, operation) for operation in operations]


def _operation(strip: Strip, operation: Operation) -> Operation:
    match operation:
        case Pointwise(like, assigns):
            return Pointwise(like, tuple(Assign(a.out, _drawn(strip, a.value)) for a in assigns))
        case GroupSum(out, source):
            return Pointwise(source, (Assign(out, Variable(source)),))
    return operation


def _drawn(strip: Strip, value: Expression) -> Expression:
    """The expression with its random numbers drawn at their place in the whole layer."""
    match value:
        case Draw():
            return replace(value, column=strip.column, whole=strip.whole)
        case Call(function, arguments):
            return Call(function, tuple(_drawn(strip, a) for a in arguments))
    return value
