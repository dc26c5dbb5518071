"""The tensors of a net: how many columns each has, and what a layer sees of its own."""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.kind import Operand, Pair, Use, columns, inner_name, stream_of
from singac.model.graph import Layer, NetGraph
from singac.plan.metrics import metric_names


def tensor_columns(graph: NetGraph) -> dict[str, int]:
    """Those of every layer's result, then of what layers keep beside it."""
    layers = in_memory(graph)
    results = {layer.name: columns(layer.shape) for layer in layers}
    inner = {
        name: size
        for layer in layers
        for name, size in {**inner_of(graph, layer), **_inner_of_batch(graph, layer)}.items()
    }
    return {**results, **inner}


def in_memory(graph: NetGraph) -> list[Layer]:
    """All but delays, which are rows of the layer they are of."""
    return [layer for layer in graph.layers() if layer.delay is None]


def whole_of(graph: NetGraph) -> dict[str, None]:
    """The tensors of layers that have all rows of a batch."""
    strips = [layer for layer in graph.layers() if layer.strip is not None]
    return dict.fromkeys(n for s in strips for n in (s.name, *inner_of(graph, s)))


def inner_of(graph: NetGraph, layer: Layer) -> dict[str, int]:
    """Columns of what a layer keeps beside its result, by name."""
    if layer.kind is None:
        return {}
    sizes = layer.kind.inner(layer.settings, _operands(graph, layer))
    return {inner_name(layer.name, role): size for role, size in sizes.items()}


def _inner_of_batch(graph: NetGraph, layer: Layer) -> dict[str, int]:
    if layer.kind is None:
        return {}
    sizes = layer.kind.inner_of_batch(layer.settings, _operands(graph, layer))
    return {inner_name(layer.name, role): size for role, size in sizes.items()}


def of_batch(graph: NetGraph) -> frozenset[str]:
    """Names of tensors that have one row for the whole batch."""
    return frozenset(n for layer in graph.layers() for n in _inner_of_batch(graph, layer))


def _operands(graph: NetGraph, layer: Layer) -> tuple[Operand, ...]:
    return tuple(Operand(s.name, s.shape, steps=s.steps) for s in graph.sources(layer.name))


def use_of(graph: NetGraph, batch: int, layer: Layer, metrics: Mapping[str, str]) -> Use:
    """A layer as its kind sees it."""
    sources = _operands(graph, layer)
    params = {
        u.role: Operand(u.name, graph.params[u.name].shape, u.transposed) for u in layer.params
    }
    stream = stream_of(layer.name)
    name, shape, settings, steps = layer.name, layer.shape, layer.settings, layer.steps
    return Use(name, shape, settings, sources, params, stream, batch * steps, metrics, steps)


def pair_of(graph: NetGraph, batch: int, hidden: Layer) -> Pair:
    """A hidden layer and the visible one it is joined to, as their kinds see them."""
    (visible,) = graph.sources(hidden.name)
    names = metric_names(graph)
    return Pair(*(use_of(graph, batch, end, names[end.name]) for end in (visible, hidden)))
