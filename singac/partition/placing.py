"""Which part of a layer each worker of a group has, by the way the layer is cut.

on batch             on feature            on input               at 1
| 0 0 0 0 |          | 0 | 1 | 2 |         | 0 + 1 + 2 |          worker 1 has all,
| 1 1 1 1 |          | 0 | 1 | 2 |         | 0 + 1 + 2 |          the others nothing
| 2 2 2 2 |          | 0 | 1 | 2 |         | 0 + 1 + 2 |

On input each worker has some columns of the source, and what they add to every value of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.layers.cut import LANES
from singac.layers.exchange import NOTHING, Part
from singac.layers.kind import Dimension, Operand, Range, columns
from singac.model.graph import Layer, NetGraph
from singac.partition.split import Piece, split


@dataclass(frozen=True, slots=True)
class Placing:
    """What each worker has of a layer; `dimension` is None where one worker has it all.

    On input `inputs` are the columns of the source that each worker has, and the parts, all whole,
    are partial sums: the layer's values are their sum.
    """

    dimension: Dimension | None
    parts: tuple[Part, ...]
    inputs: tuple[Range, ...] = ()

    @property
    def text(self) -> str:
        """As in a rule: `batch`, `feature`, `at 2`."""
        if self.dimension is not None:
            return str(self.dimension)
        return f"at {next(w for w, part in enumerate(self.parts) if part != NOTHING)}"

    @property
    def is_partial(self) -> bool:
        return self.dimension is Dimension.INPUT

    @property
    def holders(self) -> int:
        """How many workers have a part."""
        return sum(part != NOTHING for part in self.parts)

    @property
    def has_all_rows(self) -> bool:
        """Whether a worker that has anything has some of every example."""
        return self.dimension is not Dimension.BATCH

    @property
    def first(self) -> int:
        """The first worker that has a part."""
        return next(w for w, part in enumerate(self.parts) if part != NOTHING)


def on_batch(layer: Layer, rows: tuple[Piece, ...]) -> Placing:
    """Every worker has its rows."""
    width = columns(layer.shape)
    parts = tuple(Part(piece.start, piece.size, 0, width) for piece in rows)
    return Placing(Dimension.BATCH, parts)


def at_worker(layer: Layer, worker: int, rows: tuple[Piece, ...]) -> Placing:
    """One worker has all of it."""
    whole = Part(0, rows[-1].stop, 0, columns(layer.shape))
    return Placing(None, tuple(whole if w == worker else NOTHING for w in range(len(rows))))


def on_feature(
    graph: NetGraph, layer: Layer, placed: Mapping[str, Placing], rows: tuple[Piece, ...]
) -> Placing:
    """Every worker has some columns; `placed` has the layer's sources."""
    assert layer.kind is not None, "a field is cut by who reads it"
    feature = layer.kind.feature
    assert feature is not None, "what is put on feature can be cut"
    sources = operands(graph, layer)
    width = feature.width(layer.settings, sources, layer.shape)
    pieces = _pieces_of_source(layer, placed, width) if feature.follows else None
    if pieces is None:
        grain = feature.grain(layer.settings, sources, layer.shape)
        pieces = split(width, len(rows), grain)
    batch = rows[-1].stop
    parts = (Part(0, batch, p.start, p.size) if p.size else NOTHING for p in pieces)
    return Placing(Dimension.FEATURE, tuple(parts))


def on_input(
    graph: NetGraph, layer: Layer, placed: Mapping[str, Placing], rows: tuple[Piece, ...]
) -> Placing:
    """Every worker has some columns of the source, where it can those that lie with it already.

    Of a transposed weight the columns are whole panels.
    """
    (source,) = operands(graph, layer)
    pieces = _pieces_of_source(layer, placed, columns(source.shape))
    transposed = any(use.transposed for use in layer.params)
    if pieces is None or (transposed and any(p.start % LANES for p in pieces)):
        pieces = split(columns(source.shape), len(rows), LANES)
    whole = Part(0, rows[-1].stop, 0, columns(layer.shape))
    parts = tuple(whole if p.size else NOTHING for p in pieces)
    return Placing(Dimension.INPUT, parts, tuple((p.start, p.stop) for p in pieces))


def operands(graph: NetGraph, layer: Layer) -> tuple[Operand, ...]:
    """The sources of a layer as its kind sees them."""
    return tuple(Operand(s.name, s.shape, steps=s.steps) for s in graph.sources(layer.name))


def _pieces_of_source(
    layer: Layer, placed: Mapping[str, Placing], width: int
) -> tuple[Piece, ...] | None:
    """The columns of the first source, if they are cut and as many."""
    source = placed[layer.sources[0]]
    ends = [part.column + part.columns for part in source.parts]
    if source.dimension is not Dimension.FEATURE or max(ends) != width:
        return None
    return tuple(Piece(part.column, part.column + part.columns) for part in source.parts)
