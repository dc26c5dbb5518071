"""The layers of a partitioned net as a plan tells them: what they are, who computes which part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from singac.diagnostics import Span
from singac.model.graph import Layer
from singac.model.resolve import Model
from singac.partition.partition import PartitionedNet, SubLayer
from singac.plan.plan import Held, Place, PlacedLayer
from singac.settings import SettingValue, shape_text


def placed_layers(net: PartitionedNet) -> tuple[PlacedLayer, ...]:
    """Every layer, sources before consumers, with its pieces in the order of the workers."""
    pieces: dict[str, list[SubLayer]] = {layer.name: [] for layer in net.graph.layers()}
    for piece in net.sublayers:
        pieces[piece.layer.name].append(piece)
    handed = _handed(net)
    layers = net.graph.layers()
    return tuple(_placed(x, pieces[x.name], tuple(handed.get(x.name, ()))) for x in layers)


def _handed(net: PartitionedNet) -> dict[str, dict[str, None]]:
    """For each layer, the sources that reach some worker's piece of it through a connection."""
    sources = {link.name: link.source for link in net.links}
    found: dict[str, dict[str, None]] = {}
    for worker in net.nets if sources else ():
        for layer in worker.graph.layers():
            known = dict.fromkeys(sources[s] for s in layer.sources if s in sources)
            if known:
                found.setdefault(layer.name.removesuffix("/wide"), {}).update(known)
    return found


def _placed(layer: Layer, pieces: list[SubLayer], handed: tuple[str, ...]) -> PlacedLayer:
    return PlacedLayer(
        layer.name,
        layer.kind.name if layer.kind else "field",
        layer.sources,
        layer.shape,
        tuple(dict.fromkeys(use.name for use in layer.params)),
        _place(layer.span),
        pieces[0].cut,
        tuple(_held(pieces)),
        handed,
        _definition(layer),
    )


def _definition(layer: Layer) -> str:
    """A layer as a program says it: `dense(units = 10, weight = w')`, `relu(slope = 0) { ... }`."""
    if layer.kind is None:
        return ""
    said = [f"{name} = {_said(value)}" for name, value in layer.settings.items()]
    said += [f"{use.role} = {use.name}{chr(39) * use.transposed}" for use in layer.params]
    call = layer.kind.name + (f"({', '.join(said)})" if said else "")
    return f"{call} {{ {layer.kind.equations} }}" if layer.kind.equations else call


def _said(value: SettingValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return shape_text(value)
    return value if isinstance(value, str) else f"{value:.10g}"


def _held(pieces: list[SubLayer]) -> Iterator[Held]:
    for piece in pieces:
        part, (first, last) = piece.part, piece.inputs
        yield Held(
            piece.worker, part.row, part.rows, part.column, part.columns, first, last - first
        )


def places_of(model: Model) -> tuple[Place, ...]:
    """Where the program says what is not said of one layer."""
    rules = () if model.rules is None else tuple(model.rules.cuts.values())
    spans = {
        "batch": model.train.spans.get("batch"),
        "workers": model.cluster.workers_at,
        "servers": model.cluster.servers_at,
        "partition": rules[0].span if rules else None,
    }
    return tuple(Place(what, _place(span)) for what, span in spans.items() if span is not None)


def _place(span: Span) -> str:
    """File, line and column; without the folder, so that a plan is the same on every machine."""
    line, column = span.source.position(span.start)
    return f"{PurePath(span.source.path).name}:{line}:{column}"
