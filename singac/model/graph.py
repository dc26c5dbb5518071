"""The net graph: layers joined by arrows, and the params they use.

networkx stays inside this file. An edge carries the slot it feeds, since the order of sources
matters and one layer may be fed twice by the same source. Every listing is in an order in which
sources stand before their consumers, and otherwise in declaration order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from singac.diagnostics import Span
from singac.layers.kind import End, LayerKind, Settings, Sizes
from singac.model.types import Initialiser, Saved


@dataclass(frozen=True, slots=True)
class ParamUse:
    """A layer's param in role `role`: the net's param `name`, as it is or transposed."""

    role: str
    name: str
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """Layer `of` as it was `by` steps before."""

    of: str
    by: int


@dataclass(frozen=True, slots=True)
class Strip:
    """All rows of a batch, and of `whole` columns those from `column` on."""

    column: int
    whole: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the net, in `steps` copies where it is unrolled.

    `kind` is None for a field of the data, and for the result of an earlier step: no arrow leads
    to that, so that sources stand before consumers though a step depends on the one before.
    `partner` is the other end of an undirected connection. In the net of one worker a layer may be
    a `strip` of the whole one, otherwise it has the worker's rows; where workers are joined, `link`
    has the layers of the whole net that it leads to, each with the slot it feeds.
    """

    name: str
    kind: LayerKind | None
    settings: Settings
    sources: tuple[str, ...]
    shape: Sizes
    params: tuple[ParamUse, ...]
    span: Span
    steps: int = 1
    delay: Delay | None = None
    partner: str | None = None
    strip: Strip | None = None
    link: tuple[tuple[str, int], ...] | None = None

    @property
    def is_field(self) -> bool:
        """Whether it is a field of the data."""
        return self.kind is None and self.delay is None


@dataclass(frozen=True, slots=True)
class NetParam:
    """A param of the net, in its canonical shape; `in_panels` or row by row in memory.

    What it `follows` (0: it is learnt) is told in `layers/kind.py`.
    """

    name: str
    shape: Sizes
    initialiser: Initialiser | Saved
    lr_scale: float
    wd_scale: float
    span: Span
    in_panels: bool = True
    follows: float = 0.0


class NetGraph:
    """Layers and params of one net; asked by name, never changed after it is built."""

    def __init__(self, name: str, layers: tuple[Layer, ...], params: tuple[NetParam, ...]) -> None:
        self.name = name
        self.params: Mapping[str, NetParam] = {p.name: p for p in params}
        self._layers: Mapping[str, Layer] = {layer.name: layer for layer in layers}
        self._graph = arrows({layer.name: layer.sources for layer in layers})
        self._order = in_order(self._graph)
        self._position = {name: i for i, name in enumerate(self._order)}

    def layers(self) -> tuple[Layer, ...]:
        """All layers, sources before consumers."""
        return tuple(self._layers[n] for n in self._order)

    def layer(self, name: str) -> Layer:
        return self._layers[name]

    def sources(self, name: str) -> tuple[Layer, ...]:
        """The layers that feed a layer, in the order of its slots."""
        return tuple(self._layers[n] for n in self._layers[name].sources)

    def delays(self, name: str) -> tuple[Layer, ...]:
        """What reads a layer at a later step."""
        return tuple(d for d in self.layers() if d.delay is not None and d.delay.of == name)

    def origin(self, name: str) -> Layer:
        """The layer whose values a layer has, if it only hands them on."""
        layer = self._layers[name]
        while layer.kind is not None and layer.kind.hands_on:
            layer = self._layers[layer.sources[0]]
        return layer

    def consumers(self, name: str) -> tuple[tuple[Layer, int], ...]:
        """The layers a layer feeds, each with the slot it is fed in."""
        edges = self._graph.out_edges(name, data="slot")
        found = sorted((self._position[target], slot) for _, target, slot in edges)
        return tuple((self._layers[self._order[i]], slot) for i, slot in found)

    def pairs(self) -> tuple[tuple[Layer, Layer], ...]:
        """The undirected pairs at the top, (visible, hidden): what is hidden there feeds nothing.

        They see the data through the pairs below.
        """
        ends = (n for n in self._order if self._is_hidden(n) and not self.consumers(n))
        return tuple((self._layers[self._layers[n].sources[0]], self._layers[n]) for n in ends)

    def _is_hidden(self, name: str) -> bool:
        kind = self._layers[name].kind
        return kind is not None and kind.end is End.HIDDEN

    def needed(self, watched: Sequence[str] = ()) -> tuple[Layer, ...]:
        """Layers that a loss, a metric, another worker or a watched layer depends on."""
        wanted: dict[str, None] = {}
        for layer in reversed(self.layers()):
            measures = layer.kind is not None and bool(layer.kind.metrics)
            if measures or layer.link is not None or layer.name in watched:
                wanted |= dict.fromkeys(self._depended_on(layer.name, wanted))
        return tuple(layer for layer in self.layers() if layer.name in wanted)

    def leading_to(self, name: str) -> tuple[Layer, ...]:
        """A layer and all that it depends on, at this step or an earlier one."""
        found = self._depended_on(name, {})
        return tuple(layer for layer in self.layers() if layer.name in found)

    def _depended_on(self, name: str, known: Mapping[str, None]) -> dict[str, None]:
        """A layer and all that lead to it, at this step or an earlier one."""
        found: dict[str, None] = {}
        asked = [name]
        while asked:
            layer = self.layer(asked.pop())
            if layer.name not in found and layer.name not in known:
                found[layer.name] = None
                asked += layer.sources if layer.delay is None else (layer.delay.of,)
        return found

    def between(self, first: str, last: str) -> tuple[str, ...]:
        """Every layer on a path from `first` to `last`, both included; empty without a path."""
        if first == last:
            return (first,)
        after = nx.descendants(self._graph, first) | {first}
        before = nx.ancestors(self._graph, last) | {last}
        found = after & before
        return tuple(n for n in self._order if n in found) if last in after else ()


def arrows(sources: Mapping[str, tuple[str, ...]]) -> nx.MultiDiGraph:
    """A graph with one edge for every source of every layer, in declaration order."""
    graph: nx.MultiDiGraph = nx.MultiDiGraph()
    graph.add_nodes_from(sources)
    for name, feeding in sources.items():
        for slot, source in enumerate(feeding):
            graph.add_edge(source, name, slot=slot)
    return graph


def in_order(graph: nx.MultiDiGraph) -> tuple[str, ...]:
    """Names with sources before consumers, otherwise as declared; the graph has no cycle."""
    declared = {name: i for i, name in enumerate(graph.nodes)}
    return tuple(nx.lexicographical_topological_sort(graph, key=declared.__getitem__))


def components(sources: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Names in groups that depend on each other, groups in order, otherwise as declared.

    A name alone is a group too; it is a loop if it is a source of itself.
    """
    graph = arrows(sources)
    declared = {name: i for i, name in enumerate(graph.nodes)}
    groups = [sorted(g, key=declared.__getitem__) for g in nx.strongly_connected_components(graph)]
    whole = nx.condensation(graph, groups)
    order = nx.lexicographical_topological_sort(whole, key=lambda k: declared[groups[k][0]])
    return tuple(tuple(groups[k]) for k in order)


def find_cycle(sources: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Names around a cycle, in the direction of the arrows; empty without one."""
    try:
        return tuple(edge[0] for edge in nx.find_cycle(arrows(sources)))
    except nx.NetworkXNoCycle:
        return ()
