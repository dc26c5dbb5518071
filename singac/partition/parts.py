"""What a worker's part of a layer takes: of its sources, and of its params."""

from __future__ import annotations

from singac.layers.exchange import NOTHING, Part
from singac.layers.kind import Cut, Dimension, ParamSpec, Range, Sizes, columns
from singac.model.graph import Layer, NetGraph, ParamUse
from singac.partition.pieces import WHOLE, PieceOfParam
from singac.partition.placing import Placing, operands

Wishes = tuple[Part, ...]


def cut_of(graph: NetGraph, layer: Layer, placing: Placing, worker: int) -> Cut | None:
    """How a worker computes its part; None: it has none."""
    part = placing.parts[worker]
    if part == NOTHING:
        return None
    sources = operands(graph, layer)
    whole = 0, columns(layer.shape)
    if placing.dimension is Dimension.INPUT:
        return Cut(layer.settings, (placing.inputs[worker],), whole)
    if placing.dimension is not Dimension.FEATURE:
        return Cut(layer.settings, tuple((0, columns(s.shape)) for s in sources), whole)
    assert layer.kind is not None, "a field is cut by who reads it"
    assert layer.kind.feature is not None, "what is on feature can be cut"
    own = part.column, part.column + part.columns
    return layer.kind.feature.cut(layer.settings, sources, layer.shape, own)


def cut_shape(shape: Sizes, own: Range) -> Sizes:
    """Columns of a shape as the same shape with fewer channels, or as plain columns."""
    size, each = own[1] - own[0], columns(shape[1:])
    if not shape or size == columns(shape):
        return shape
    return (size // each, *shape[1:]) if size % each == 0 else (size,)


def wish_of(placing: Placing, worker: int, columns_of: Range | None) -> Part:
    """The part of a source that a piece reads: rows as its own, columns as its kind says."""
    own = placing.parts[worker]
    if own == NOTHING or columns_of is None:
        return NOTHING
    first, last = columns_of
    return Part(own.row, own.rows, first, last - first)


def wishes_of(graph: NetGraph, layer: Layer, placing: Placing, slot: int) -> Wishes:
    """What each worker reads of the source in a slot."""
    workers = range(len(placing.parts))
    if placing.dimension in (Dimension.FEATURE, Dimension.INPUT):
        cuts = [cut_of(graph, layer, placing, worker) for worker in workers]
    else:
        cuts = [cut_of(graph, layer, placing, placing.first) for _ in workers]
    return tuple(
        wish_of(placing, w, cut.sources[slot] if cut else None) for w, cut in enumerate(cuts)
    )


def piece_of_param(
    graph: NetGraph, layer: Layer, use: ParamUse, placing: Placing, worker: int
) -> PieceOfParam | None:
    """The part of a param that a worker's part of a layer uses; None: it uses none of it.

    Of partial sums, what is added to the sum once is added by the first worker.
    """
    spec = _spec(graph, layer, use)
    if placing.dimension is Dimension.INPUT:
        if spec.along_input is not None:
            return PieceOfParam(_axis(spec, spec.along_input, use), *placing.inputs[worker])
        return WHOLE if worker == placing.first else None
    if placing.dimension is not Dimension.FEATURE or spec.along is None:
        return WHOLE
    each = columns(layer.shape) // spec.shape[spec.along]
    part = placing.parts[worker]
    start, stop = part.column // each, (part.column + part.columns) // each
    return PieceOfParam(_axis(spec, spec.along, use), start, stop)


def _spec(graph: NetGraph, layer: Layer, use: ParamUse) -> ParamSpec:
    assert layer.kind is not None, "a field has no params"
    specs = layer.kind.params(layer.settings, operands(graph, layer))
    return next(s for s in specs if s.role == use.role)


def _axis(spec: ParamSpec, along: int, use: ParamUse) -> int:
    """The axis of the param as it is stored."""
    return len(spec.shape) - 1 - along if use.transposed else along
