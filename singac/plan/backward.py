"""Reverse-mode differentiation of a net, or of the part of it that one worker has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.layers.access import writes
from singac.layers.expression import Expression, Variable, add
from singac.layers.kind import Wanted, columns
from singac.layers.operations import Assign, Operation, Pointwise
from singac.layers.time import shifted
from singac.model.graph import Layer, NetGraph
from singac.plan.items import gradient_of
from singac.plan.metrics import metric_names
from singac.plan.strips import in_place
from singac.plan.tensors import use_of


@dataclass(frozen=True, slots=True)
class Flow:
    """What a worker's part of a net must know of the whole: its metrics, and where gradients go.

    `learning` are the layers whose gradient is of use, `given` the layers that write the gradient
    of a source, each with its slot.
    """

    metrics: Mapping[str, Mapping[str, str]]
    learning: Mapping[str, None]
    given: Mapping[tuple[str, int], None]


def flow_of(graph: NetGraph, batch: int) -> Flow:
    """The flow of gradients through a whole net."""
    names = metric_names(graph)
    backward = Backward(graph, batch, Flow(names, {}, {}))
    backward.operations()
    return Flow(names, backward.learning, backward.given)


class Backward:
    """Reverse-mode differentiation over the layers that a loss depends on."""

    def __init__(self, graph: NetGraph, batch: int, flow: Flow) -> None:
        self.graph, self.batch, self.flow = graph, batch, flow
        self.layers = graph.needed()
        self.learning = self._learning()
        self.parts: dict[str, list[str]] = {}
        self.columns: dict[str, int] = {}
        self.begun: dict[str, None] = {}
        self.steps: dict[str, int] = {}
        self.whole: dict[str, None] = {}
        self.given: dict[tuple[str, int], None] = {}
        self.delayed = [d for d in self.layers if d.delay is not None and d.name in self.learning]

    def _learning(self) -> dict[str, None]:
        """Layers whose gradient is of use: they, or a layer before them, have params."""
        found: dict[str, None] = {}
        size = -1
        while size < len(found):
            size = len(found)
            for layer in self.layers:
                sources = layer.sources if layer.delay is None else (layer.delay.of,)
                known = layer.name in self.flow.learning or self._learns(layer)
                if known or layer.params or any(s in found for s in sources):
                    found[layer.name] = None
        return found

    def _learns(self, layer: Layer) -> bool:
        """Whether a gradient comes back through a connection, be it from this worker or not."""
        return any(served in self.flow.given for served in layer.link or ())

    def operations(self) -> list[list[Operation]]:
        """The operations of each layer, last layer first.

        What a step hands back to earlier ones is complete when all layers are through; the loop
        over steps puts it in its place.
        """
        while True:
            self.parts, self.begun, self.given = {}, {}, {}
            layers = [self._layer(layer) for layer in reversed(self.layers)]
            handing = [d for d in self.delayed if d.name in self.parts]
            if handing == self.delayed:
                return [*layers, *(self._handed_back(d) for d in self.delayed)]
            self.delayed = handing  # the others feed nothing that learns

    def _handed_back(self, delayed: Layer) -> list[Operation]:
        """The gradient of what was read of an earlier step, all its parts together."""
        parts, own = self.parts[delayed.name], gradient_of(delayed.name)
        self._size(own, delayed)
        return [] if parts == [own] else [_summed(own, parts)]

    def _size(self, name: str, layer: Layer) -> None:
        self.columns[name], self.steps[name] = columns(layer.shape), layer.steps
        if layer.strip is not None:
            self.whole[name] = None

    def _parts_of(self, layer: Layer) -> list[str]:
        """Parts of the gradient of a layer's result, what later steps hand back among them."""
        later = [
            shifted(gradient_of(d.name), d.delay.by)
            for d in self.delayed
            if d.delay is not None and d.delay.of == layer.name
        ]
        return [*self.parts.get(layer.name, []), *later]

    def _layer(self, layer: Layer) -> list[Operation]:
        parts = self._parts_of(layer)
        ends = layer.kind is not None and layer.kind.is_loss
        if layer.kind is None or not (ends or parts or self._learns(layer)):
            return []
        operations: list[Operation] = []
        own = parts[0] if parts and not ends else None
        if len(parts) > 1:
            own = gradient_of(layer.name)
            self._size(own, layer)
            operations.append(_summed(own, parts))
        sources = tuple(self._part(layer, slot) for slot in range(len(layer.sources)))
        params = {u.role: gradient_of(u.name) for u in layer.params}
        begun = tuple(n for n in params.values() if n in self.begun)
        wanted = Wanted(own, sources, params, begun)
        metrics = self.flow.metrics.get(layer.name, {})
        use = use_of(self.graph, self.batch, layer, metrics)
        made = in_place(layer, layer.kind.backward(use, wanted))
        written = [n for operation in made for n in writes(operation)]
        self.begun |= dict.fromkeys(n for n in params.values() if n in written)
        for slot, (source, name) in enumerate(zip(layer.sources, sources, strict=True)):
            if name is not None and name in written:
                self.given[layer.name, slot] = None
                self.parts.setdefault(source, []).append(name)
        return [*operations, *made]

    def _part(self, layer: Layer, slot: int) -> str | None:
        """Name of what a layer adds to the gradient of a source; None where it is of no use."""
        source = layer.sources[slot]
        if source not in self.learning:
            return None
        several = len(self.graph.consumers(source)) > 1
        name = f"d({source})/{layer.name}.{slot}" if several else gradient_of(source)
        self._size(name, self.graph.layer(source))
        return name


def _summed(out: str, parts: list[str]) -> Pointwise:
    """The gradient of a layer that feeds several: a split's backward, the sum."""
    first, *others = (Variable(part) for part in parts)
    total: Expression = first
    for part in others:
        total = add(total, part)
    return Pointwise(parts[0], (Assign(out, total),))
