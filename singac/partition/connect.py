"""A net and its placing -> a net for each worker: its pieces of layers, joined by connections.

A layer is taken piece by piece as its kind says. Where a piece needs of a source what its worker
does not have, a connection is put between them, one for all consumers that need the same; a field
of the data needs none, for every process can read all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from singac.layers.exchange import NOTHING, Exchange, Part
from singac.layers.join import SLICE
from singac.layers.kind import Cut, Dimension, Sizes, columns
from singac.model.graph import Layer, NetGraph, ParamUse, Strip
from singac.partition.link import connection, words
from singac.partition.parts import Wishes, cut_of, cut_shape, piece_of_param, wish_of
from singac.partition.pieces import WHOLE, PieceOfParam, cut_param
from singac.partition.placing import Placing


@dataclass(frozen=True, slots=True)
class Fed:
    """A layer that is fed: columns of a field from `column` on, `whole` batches or own rows."""

    layer: str
    field: str
    column: int
    whole: bool


@dataclass(frozen=True, slots=True)
class WorkerNet:
    """What one worker of a group computes: a net of pieces, its fields, its parts of params."""

    graph: NetGraph
    fed: tuple[Fed, ...]
    pieces: Mapping[str, PieceOfParam]


@dataclass(frozen=True, slots=True)
class Linked:
    """A connection of the partitioned net: its source, what it is made of, and what it moves."""

    name: str
    source: str
    summary: str
    exchange: Exchange


@dataclass(slots=True)
class _Net:
    """The net of one worker while it is made."""

    layers: dict[str, Layer] = field(default_factory=dict)
    fed: list[Fed] = field(default_factory=list)
    pieces: dict[str, list[PieceOfParam]] = field(default_factory=dict)


class Connector:
    """Makes the nets of all workers at once, layer by layer, sources first."""

    def __init__(self, graph: NetGraph, placed: Mapping[str, Placing]) -> None:
        self._graph, self._placed = graph, placed
        self._workers = len(next(iter(placed.values())).parts)
        self._nets = [_Net() for _ in range(self._workers)]
        self._names: dict[tuple[str, Wishes], str] = {}
        self._taken: dict[str, None] = dict.fromkeys(layer.name for layer in graph.layers())
        self.links: dict[str, Linked] = {}
        self._serves: dict[str, list[tuple[str, int]]] = {}

    def connect(self) -> tuple[_Net, ...]:
        """The nets; only what a loss or metric depends on is part of them."""
        for layer in self._graph.needed():
            if layer.kind is not None:
                self._layer(layer)
            elif not layer.is_field:
                for net in self._nets:
                    net.layers[layer.name] = layer
        for name, served in self._serves.items():
            for net in self._nets:
                if name in net.layers:
                    net.layers[name] = replace(net.layers[name], link=tuple(served))
        return tuple(self._nets)

    # -- a layer -----------------------------------------------------------------------------------

    def _layer(self, layer: Layer) -> None:
        placing = self._placed[layer.name]
        cuts = [cut_of(self._graph, layer, placing, w) for w in range(self._workers)]
        sources = [self._source(layer, slot, cuts) for slot in range(len(layer.sources))]
        for worker, cut in enumerate(cuts):
            if cut is not None:
                read = tuple(n for n, r in zip(sources, cut.sources, strict=True) if r is not None)
                self._add(layer, worker, cut, read)

    def _add(self, layer: Layer, worker: int, cut: Cut, sources: tuple[str, ...]) -> None:
        """The piece; computed with a margin, it is sliced out of what is computed."""
        net, placing = self._nets[worker], self._placed[layer.name]
        params = tuple(u for u in layer.params if self._has_part(layer, u, worker))
        if placing.dimension is Dimension.BATCH:
            net.layers[layer.name] = replace(layer, sources=sources, params=params)
            return
        part = placing.parts[worker]
        own = part.column, part.column + part.columns
        whole = columns(layer.shape)
        made = replace(
            layer,
            settings=cut.settings,
            sources=sources,
            shape=cut_shape(layer.shape, cut.computed),
            params=params,
            strip=Strip(cut.computed[0], whole),
        )
        if cut.computed == own or not layer.shape:
            net.layers[layer.name] = made
            return
        wide = replace(made, name=self._free(f"{layer.name}/wide"))
        net.layers[wide.name] = wide
        unit = columns(layer.shape[1:])
        start, stop = ((at - cut.computed[0]) // unit for at in own)
        net.layers[layer.name] = Layer(
            layer.name, SLICE, {"start": start, "stop": stop}, (wide.name,),
            cut_shape(layer.shape, own), (), layer.span, strip=Strip(own[0], whole),
        )  # fmt: skip

    def _has_part(self, layer: Layer, use: ParamUse, worker: int) -> bool:
        """Whether a worker's piece of a layer has a part of a param, which is noted."""
        piece = piece_of_param(self._graph, layer, use, self._placed[layer.name], worker)
        if piece is None:
            return False
        found = self._nets[worker].pieces.setdefault(use.name, [])
        if piece not in found:
            found.append(piece)
        return True

    # -- its sources -------------------------------------------------------------------------------

    def _source(self, layer: Layer, slot: int, cuts: Sequence[Cut | None]) -> str:
        """The name under which every worker finds what it needs of a source."""
        source = self._graph.layer(layer.sources[slot])
        own = self._placed[layer.name]
        wishes = tuple(
            wish_of(own, worker, cut.sources[slot] if cut is not None else None)
            for worker, cut in enumerate(cuts)
        )
        if source.is_field:
            return self._feed(source, wishes, own)
        held = self._placed[source.name]
        if wishes == held.parts and not held.is_partial:
            return source.name
        name = self._names.get((source.name, wishes))
        if name is None:
            name = self._link(source, wishes, held, own)
        self._serves[name].append((layer.name, slot))
        return name

    def _link(self, source: Layer, wishes: Wishes, held: Placing, own: Placing) -> str:
        name = self._names[source.name, wishes] = self._free(f"{_verb(own, wishes)}({source.name})")
        exchange = Exchange(name, held.parts, wishes)
        summary = words(held, own, exchange)
        self.links[name] = Linked(name, source.name, summary, exchange)
        self._serves[name] = []
        kind = connection(exchange, summary)
        for net, has, wish in zip(self._nets, held.parts, wishes, strict=True):
            if (has, wish) == (NOTHING, NOTHING):
                continue
            net.layers[name] = Layer(
                name, kind, {}, (source.name,) if has != NOTHING else (),
                cut_shape(source.shape, (wish.column, wish.column + wish.columns)), (),
                source.span, strip=_strip(own.dimension, wish, source.shape), link=(),
            )  # fmt: skip
        return name

    def _feed(self, source: Layer, wishes: Wishes, own: Placing) -> str:
        """A field, under another name where not the worker's rows of it are meant."""
        own_rows = self._placed[source.name].parts
        name = source.name
        if any(wish not in (NOTHING, has) for wish, has in zip(wishes, own_rows, strict=True)):
            known = self._names.get((name, wishes))
            name = known or self._free(f"{_verb(own, wishes)}({name})")
            self._names[source.name, wishes] = name
        for net, has, wish in zip(self._nets, own_rows, wishes, strict=True):
            if wish == NOTHING or name in net.layers:
                continue
            whole = wish.rows != has.rows
            shape = cut_shape(source.shape, (wish.column, wish.column + wish.columns))
            strip = Strip(wish.column, columns(source.shape)) if whole else None
            net.layers[name] = replace(source, name=name, shape=shape, strip=strip)
            net.fed.append(Fed(name, source.name, wish.column, whole))
        return name

    def _free(self, name: str) -> str:
        """The name, or if another layer has it, with a number."""
        number = 2
        free = name
        while free in self._taken:
            free, number = f"{name}.{number}", number + 1
        self._taken[free] = None
        return free


def _verb(own: Placing, wishes: Wishes) -> str:
    """`rows(fc1)`, `all(fc1)`, `columns(fc1)`: what is wanted of the source."""
    if own.dimension is Dimension.BATCH:
        return "rows"
    wanted = [wish for wish in wishes if wish != NOTHING]
    return "all" if wanted[0] == wanted[-1] else "columns"


def _strip(dimension: Dimension | None, wish: Part, shape: Sizes) -> Strip | None:
    return None if dimension is Dimension.BATCH else Strip(wish.column, columns(shape))


def worker_nets(graph: NetGraph, nets: Sequence[_Net]) -> tuple[WorkerNet, ...]:
    """The nets as graphs, each with its parts of params."""
    found = []
    for net in nets:
        pieces = {name: pieces[0] for name, pieces in net.pieces.items()}
        params = tuple(cut_param(p, pieces.get(n, WHOLE)) for n, p in graph.params.items())
        made = NetGraph(graph.name, tuple(net.layers.values()), params)
        found.append(WorkerNet(made, tuple(net.fed), pieces))
    return tuple(found)
