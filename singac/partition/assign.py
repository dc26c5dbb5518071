"""The rules of a partition -> for every layer, which part of it each worker of a group has.

on batch             on feature            at 1
| 0 0 0 0 |          | 0 | 1 | 2 |         worker 1 has all,
| 1 1 1 1 |          | 0 | 1 | 2 |         the others nothing
| 2 2 2 2 |          | 0 | 1 | 2 |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.diagnostics import Place, Report
from singac.layers.exchange import NOTHING, Part
from singac.layers.kind import Dimension, Operand, columns
from singac.model.algorithms import ALGORITHMS
from singac.model.graph import Layer
from singac.model.resolve import Model
from singac.model.rules import Cut
from singac.partition.split import Piece, split


@dataclass(frozen=True, slots=True)
class Placing:
    """What each worker has of a layer; `dimension` is None where one worker has it all."""

    dimension: Dimension | None
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """As in a rule: `batch`, `feature`, `at 2`."""
        if self.dimension is not None:
            return str(self.dimension)
        return f"at {next(w for w, part in enumerate(self.parts) if part != NOTHING)}"


def assign(model: Model, rows: tuple[Piece, ...], report: Report) -> Mapping[str, Placing]:
    """The placing of every layer; reports what cannot be cut as a rule says."""
    graph = model.net.graph
    cuts = model.rules.cuts if model.rules is not None else {}
    found: dict[str, Placing] = {}
    for layer in graph.layers():
        cut = cuts.get(layer.name)
        if cut is None or len(rows) == 1 or cut.dimension == Dimension.BATCH:
            found[layer.name] = on_batch(layer, rows)
        elif _is_unrolled(layer, model) or ALGORITHMS[model.train.training.algorithm].contrasts:
            why = "unrolled layers, and nets trained by contrastive divergence, are cut on batch"
            message = f"`{layer.name}` is cut on batch only: {why}"
            report.error("SG0304", message, cut.span, help=f"put `{layer.name}` on batch")
            found[layer.name] = on_batch(layer, rows)
        elif cut.worker is not None:
            found[layer.name] = _at(layer, cut, rows, model, report)
        elif cut.dimension == Dimension.FEATURE:
            found[layer.name] = _on_feature(layer, cut, found, model, rows, report)
        else:
            message = f"`on {cut.dimension}` is parsed but cannot be compiled yet"
            report.error("SG0190", message, cut.span, help="put these layers on batch")
            found[layer.name] = on_batch(layer, rows)
    return found


def _is_unrolled(layer: Layer, model: Model) -> bool:
    """Whether a layer has a copy for each step, or stands beside one that has."""
    graph = model.net.graph
    neighbours = (*graph.sources(layer.name), *(c for c, _ in graph.consumers(layer.name)))
    return any(one.steps > 1 for one in (layer, *neighbours))


def on_batch(layer: Layer, rows: tuple[Piece, ...]) -> Placing:
    """Every worker has its rows."""
    width = columns(layer.shape)
    parts = tuple(Part(piece.start, piece.size, 0, width) for piece in rows)
    return Placing(Dimension.BATCH, parts)


def _at(layer: Layer, cut: Cut, rows: tuple[Piece, ...], model: Model, report: Report) -> Placing:
    worker = cut.worker
    assert worker is not None, "the rule names a worker"
    if worker >= len(rows):
        at = model.cluster.workers_at
        related = (Place(at, f"and a group has {len(rows)} workers"),) if at else ()
        message = f"there is no worker {worker} in a group of {len(rows)}"
        help = f"workers are counted from 0: use one of 0 to {len(rows) - 1}"
        report.error("SG0303", message, cut.span, related=related, help=help)
    whole = Part(0, rows[-1].stop, 0, columns(layer.shape))
    return Placing(None, tuple(whole if w == worker else NOTHING for w in range(len(rows))))


def _on_feature(
    layer: Layer,
    cut: Cut,
    placed: Mapping[str, Placing],
    model: Model,
    rows: tuple[Piece, ...],
    report: Report,
) -> Placing:
    assert layer.kind is not None, "rules name no field"
    feature = layer.kind.feature
    if feature is None:
        message = f"`{layer.name}` cannot be cut on feature: {layer.kind.uncut}"
        help = f"put `{layer.name}` on batch, or at one worker: `{layer.name} at 0`"
        report.error("SG0304", message, cut.span, f"a `{layer.kind.name}`", help=help)
        return on_batch(layer, rows)
    sources = tuple(Operand(s.name, s.shape) for s in model.net.graph.sources(layer.name))
    width = feature.width(layer.settings, sources, layer.shape)
    pieces = _pieces_of_source(layer, placed, width) if feature.follows else None
    if pieces is None:
        grain = feature.grain(layer.settings, sources, layer.shape)
        pieces = split(width, len(rows), grain)
    batch = rows[-1].stop
    parts = (Part(0, batch, p.start, p.size) if p.size else NOTHING for p in pieces)
    return Placing(Dimension.FEATURE, tuple(parts))


def _pieces_of_source(
    layer: Layer, placed: Mapping[str, Placing], width: int
) -> tuple[Piece, ...] | None:
    """The columns of the first source, if they are cut and as many."""
    source = placed[layer.sources[0]]
    ends = [part.column + part.columns for part in source.parts]
    if source.dimension is not Dimension.FEATURE or max(ends) != width:
        return None
    return tuple(Piece(part.column, part.column + part.columns) for part in source.parts)
