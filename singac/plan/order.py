"""A net -> the operations of one step in order, with the params they need and complete.

Forward goes through the layers sources first, backward the other way. A param is pulled just
before the first layer that reads it and pushed as soon as its gradient is complete, so that both
overlap with the computing of other layers:

    pull fc1   fc1   pull fc2   fc2   loss   fc2'   push fc2   fc1'   push fc1
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from singac.layers.expression import Variable, add
from singac.layers.kind import Operand, Pair, Use, Wanted, columns, inner_name
from singac.layers.loss import LOSS
from singac.layers.operations import Assign, Operation, Pointwise, reads, writes
from singac.model.graph import Layer, NetGraph


@dataclass(frozen=True, slots=True)
class PullParam:
    """Param `param` is needed from here on."""

    param: str


@dataclass(frozen=True, slots=True)
class PushParam:
    """The gradient of param `param` is complete."""

    param: str


Item = Operation | PullParam | PushParam


@dataclass(frozen=True, slots=True)
class Order:
    """The operations of a phase; `columns` has the columns of every tensor of a layer they name."""

    items: tuple[Item, ...]
    columns: Mapping[str, int]


def gradient_of(name: str) -> str:
    """Name of the gradient of a tensor."""
    return f"d({name})"


def test_order(graph: NetGraph, batch: int, watched: Sequence[str]) -> Order:
    """Operations that measure the net's losses and metrics on a batch, and compute `watched`."""
    items = forward(graph, batch, needed(graph, watched), training=False)
    return Order(tuple(items), tensor_columns(graph))


def train_order(graph: NetGraph, batch: int) -> Order:
    """Operations of a training step, backward included."""
    ahead = forward(graph, batch, needed(graph), training=True)
    backward = _Backward(graph, batch)
    items = (*ahead, *with_pushes(graph, backward.operations()))
    return Order(items, {**tensor_columns(graph), **backward.columns})


def tensor_columns(graph: NetGraph) -> dict[str, int]:
    """Those of every layer's result, then of what layers keep beside it."""
    results = {layer.name: columns(layer.shape) for layer in graph.layers()}
    inner = {n: c for layer in graph.layers() for n, c in _inner(graph, layer).items()}
    return {**results, **inner}


def _inner(graph: NetGraph, layer: Layer) -> dict[str, int]:
    if layer.kind is None:
        return {}
    sizes = layer.kind.inner(layer.settings, _operands(graph, layer))
    return {inner_name(layer.name, role): size for role, size in sizes.items()}


def _operands(graph: NetGraph, layer: Layer) -> tuple[Operand, ...]:
    return tuple(Operand(s.name, s.shape) for s in graph.sources(layer.name))


def metrics_of(graph: NetGraph) -> tuple[str, ...]:
    """Names of all metrics of a net: the loss, plain names, then those with a layer's name."""
    named = metric_names(graph)
    found = dict.fromkeys(name for names in named.values() for name in names.values())
    return tuple(sorted(found, key=lambda name: (name != LOSS, "." in name)))


def metric_names(graph: NetGraph) -> dict[str, dict[str, str]]:
    """For each layer, the net's name of each of its metrics.

    All losses add to one. Of several layers with one kind of metric the first that is no loss has
    its plain name, the others put theirs before it: `accuracy`, `top.accuracy`.
    """
    layers = [layer for layer in graph.layers() if layer.kind is not None]
    named: dict[str, dict[str, str]] = {layer.name: {} for layer in layers}
    taken: dict[str, None] = {}
    for layer in sorted(layers, key=lambda layer: layer.kind is not None and layer.kind.is_loss):
        for metric in layer.kind.metrics if layer.kind else ():
            free = metric == LOSS or metric not in taken
            named[layer.name][metric] = metric if free else f"{layer.name}.{metric}"
            taken[metric] = None
    return named


def use_of(graph: NetGraph, batch: int, layer: Layer, metrics: Mapping[str, str]) -> Use:
    """A layer as its kind sees it."""
    sources = _operands(graph, layer)
    params = {
        u.role: Operand(u.name, graph.params[u.name].shape, u.transposed) for u in layer.params
    }
    stream = zlib.crc32(layer.name.encode()) >> 1
    return Use(layer.name, layer.shape, layer.settings, sources, params, stream, batch, metrics)


def needed(graph: NetGraph, watched: Sequence[str] = ()) -> tuple[Layer, ...]:
    """Layers that a loss, a metric or a watched layer depends on, sources first."""
    wanted: dict[str, None] = {}
    for layer in reversed(graph.layers()):
        measures = layer.kind is not None and bool(layer.kind.metrics)
        is_end = measures or layer.name in watched
        if is_end or any(c.name in wanted for c, _ in graph.consumers(layer.name)):
            wanted[layer.name] = None
    return tuple(layer for layer in graph.layers() if layer.name in wanted)


def forward(graph: NetGraph, batch: int, layers: Sequence[Layer], training: bool) -> Sequence[Item]:
    items: list[Item] = []
    pulled: dict[str, None] = {}
    metrics = metric_names(graph)
    tops = [hidden.name for _, hidden in graph.pairs()]
    for layer in layers:
        if layer.kind is None:
            continue
        for use in layer.params:
            if use.name not in pulled:
                items.append(PullParam(use.name))
                pulled[use.name] = None
        items += layer.kind.forward(use_of(graph, batch, layer, metrics[layer.name]), training)
        if not training and layer.name in tops:
            energy, pair = layer.kind.energy, pair_of(graph, batch, layer)
            assert energy is not None, "a hidden layer says what its connection means"
            items += energy.reconstruct(pair)
    return items


def pair_of(graph: NetGraph, batch: int, hidden: Layer) -> Pair:
    """A hidden layer and the visible one it is joined to, as their kinds see them."""
    (visible,) = graph.sources(hidden.name)
    names = metric_names(graph)
    return Pair(*(use_of(graph, batch, end, names[end.name]) for end in (visible, hidden)))


class _Backward:
    """Reverse-mode differentiation over the layers that a loss depends on."""

    def __init__(self, graph: NetGraph, batch: int) -> None:
        self.graph, self.batch = graph, batch
        self.layers = needed(graph)
        self.learning = self._learning()
        self.parts: dict[str, list[str]] = {}
        self.columns: dict[str, int] = {}
        self.begun: dict[str, None] = {}
        self.metrics = metric_names(graph)

    def _learning(self) -> dict[str, None]:
        """Layers whose gradient is of use: they, or a layer before them, have params."""
        found: dict[str, None] = {}
        for layer in self.layers:
            if layer.params or any(s in found for s in layer.sources):
                found[layer.name] = None
        return found

    def operations(self) -> list[list[Operation]]:
        """The operations of each layer, last layer first."""
        return [self._layer(layer) for layer in reversed(self.layers)]

    def _layer(self, layer: Layer) -> list[Operation]:
        parts = self.parts.get(layer.name, [])
        ends = layer.kind is not None and layer.kind.is_loss
        if layer.kind is None or not (ends or parts):
            return []
        operations: list[Operation] = []
        own = None if ends else parts[0]
        if len(parts) > 1:
            own = gradient_of(layer.name)
            self.columns[own] = columns(layer.shape)
            operations.append(_summed(own, parts))
        sources = tuple(self._part(layer, slot) for slot in range(len(layer.sources)))
        params = {u.role: gradient_of(u.name) for u in layer.params}
        begun = tuple(n for n in params.values() if n in self.begun)
        wanted = Wanted(own, sources, params, begun)
        use = use_of(self.graph, self.batch, layer, self.metrics[layer.name])
        made = layer.kind.backward(use, wanted)
        written = [n for operation in made for n in writes(operation)]
        self.begun |= dict.fromkeys(n for n in params.values() if n in written)
        for source, name in zip(layer.sources, sources, strict=True):
            if name is not None and name in written:
                self.parts.setdefault(source, []).append(name)
        return [*operations, *made]

    def _part(self, layer: Layer, slot: int) -> str | None:
        """Name of what a layer adds to the gradient of a source; None where it is of no use."""
        source = layer.sources[slot]
        if source not in self.learning:
            return None
        several = len(self.graph.consumers(source)) > 1
        name = f"d({source})/{layer.name}.{slot}" if several else gradient_of(source)
        self.columns[name] = columns(self.graph.layer(source).shape)
        return name


def _summed(out: str, parts: list[str]) -> Pointwise:
    """The gradient of a layer that feeds several: a split's backward, the sum."""
    total = add(Variable(parts[0]), Variable(parts[1]))
    for part in parts[2:]:
        total = add(total, Variable(part))
    return Pointwise(parts[0], (Assign(out, total),))


def with_pushes(graph: NetGraph, layers: list[list[Operation]]) -> list[Item]:
    """Each push after the last layer that writes the gradient or reads the param in backward."""
    param_of = {gradient_of(name): name for name in graph.params}
    last: dict[str, int] = {}
    learned: dict[str, None] = {}
    for position, operations in enumerate(layers):
        written = [n for operation in operations for n in writes(operation)]
        read = [n for operation in operations for n in reads(operation)]
        completed = [param_of[n] for n in written if n in param_of]
        learned |= dict.fromkeys(completed)
        last |= dict.fromkeys([*completed, *(n for n in read if n in graph.params)], position)
    items: list[Item] = []
    for position, operations in enumerate(layers):
        items += operations
        used = dict.fromkeys(n for o in operations for n in (*reads(o), *writes(o)))
        names = dict.fromkeys(param_of.get(n, n) for n in used)
        items += [PushParam(n) for n in names if n in learned and last[n] == position]
    return items
