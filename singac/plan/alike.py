"""Workers whose nets differ only in where their pieces lie: what they run is worked out once.

worker 1    fc1: columns 16 to 31 of 64    draws there    panel 1 of fc1.weight
worker 2    fc1: columns 32 to 47 of 64    draws there    panel 2 of fc1.weight
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from singac.layers.expression import Call, Draw, Expression
from singac.layers.kind import stream_of
from singac.layers.operations import Assign, Operation, Pointwise, Product
from singac.model.graph import Layer
from singac.partition.connect import WorkerNet
from singac.plan.items import Item, PullParam, PushParam


def likeness(net: WorkerNet) -> tuple[object, ...]:
    """Equal for nets that run the same operations on tensors of the same sizes."""
    layers = tuple(_likeness(layer) for layer in net.graph.layers())
    params = tuple((p.name, p.shape) for p in net.graph.params.values() if p.name in net.pieces)
    fed = tuple((f.layer, f.field, f.whole) for f in net.fed)
    pieces = tuple((name, piece.axis) for name, piece in net.pieces.items())
    return layers, params, fed, pieces


def _likeness(layer: Layer) -> tuple[object, ...]:
    whole = layer.strip.whole if layer.strip is not None else None
    return (
        layer.name,
        id(layer.kind),  # kinds live as long as the nets do
        tuple(layer.settings.items()),
        layer.sources,
        layer.shape,
        layer.params,
        layer.steps,
        layer.delay,
        layer.link,
        whole,
    )


def drawn_in_place(items: Sequence[Item], net: WorkerNet) -> tuple[Item, ...]:
    """The items of a net like this one, with the random numbers of this one's columns."""
    columns = {
        stream_of(layer.name): layer.strip.column
        for layer in net.graph.layers()
        if layer.strip is not None
    }
    return tuple(
        item if isinstance(item, PullParam | PushParam) else _operation(item, columns)
        for item in items
    )


def _operation(operation: Operation, columns: Mapping[int, int]) -> Operation:
    match operation:
        case Pointwise():
            return _pointwise(operation, columns)
        case Product(then=Pointwise() as then):
            return replace(operation, then=_pointwise(then, columns))
    return operation


def _pointwise(operation: Pointwise, columns: Mapping[int, int]) -> Pointwise:
    assigns = tuple(Assign(a.out, _drawn(a.value, columns)) for a in operation.assigns)
    return operation if assigns == operation.assigns else replace(operation, assigns=assigns)


def _drawn(value: Expression, columns: Mapping[int, int]) -> Expression:
    match value:
        case Draw(stream=stream, whole=whole) if whole:
            return replace(value, column=columns[stream])
        case Call(function, arguments):
            return Call(function, tuple(_drawn(a, columns) for a in arguments))
    return value
