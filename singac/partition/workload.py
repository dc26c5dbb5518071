"""What a worker does in a training step for its part of a layer: operations, and their tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from singac.layers.access import reads, writes
from singac.layers.cut import LANES
from singac.layers.kind import Dimension, Operand, Use, Wanted, columns
from singac.layers.operations import Convolution, Operation
from singac.layers.work import Extent, flops
from singac.model.graph import Layer, NetGraph
from singac.partition.parts import cut_of, cut_shape, piece_of_param
from singac.partition.pieces import PieceOfParam, cut_param
from singac.partition.placing import Placing, operands

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Workload:
    """The operations of a worker's part of a layer, forward and back, on `rows` examples.

    `extents` has the tensors they name, `pieces` the part of each param that the worker uses.
    """

    rows: int
    operations: tuple[Operation, ...]
    extents: Mapping[str, Extent]
    pieces: Mapping[str, PieceOfParam]

    def counts(self) -> Iterator[tuple[int, int]]:
        """Floating-point operations of each operation, and bytes that it reads and writes.

        A convolution whose rows are shorter than a vector lays its windows out first (of a
        gradient, takes them together again): a pass of its own.
        """
        for one in self.operations:
            touched = [self.extents[n] for n in (*reads(one), *writes(one)) if n in self.extents]
            elements = sum(extent.rows * extent.columns for extent in touched)
            yield flops(one, self.extents, self.rows), elements * FLOAT_BYTES
            if isinstance(one, Convolution) and one.windows.places[1] < LANES:
                windows = one.windows
                laid_out = self.rows * windows.channels * windows.taps * windows.pixels
                yield 0, 2 * laid_out * FLOAT_BYTES  # written, and read by the product

    @property
    def kept(self) -> int:
        """Bytes of its tensors, as if none took the place of another."""
        return sum(e.rows * e.columns for e in self.extents.values()) * FLOAT_BYTES


def workload(
    graph: NetGraph,
    layer: Layer,
    placing: Placing,
    worker: int,
    batch: int,
    learning: Mapping[str, None],
    leads: bool,
) -> Workload:
    """The work of a worker that has a part of a layer, of `batch` examples in all.

    `learning` are the layers that a gradient is of use to; those that lead to no loss get none.
    """
    cut = cut_of(graph, layer, placing, worker)
    assert cut is not None, "the worker has a part"
    assert layer.kind is not None, "a field is work for nobody"
    ranges = zip(operands(graph, layer), cut.sources, strict=True)
    sources = tuple(Operand(s.name, cut_shape(s.shape, r)) for s, r in ranges if r is not None)
    pieces = {
        use.name: piece
        for use in layer.params
        if (piece := piece_of_param(graph, layer, use, placing, worker)) is not None
    }
    params = {
        use.role: Operand(
            use.name, cut_param(graph.params[use.name], pieces[use.name]).shape, use.transposed
        )
        for use in layer.params
        if use.name in pieces
    }
    is_cut = placing.dimension is Dimension.FEATURE
    shape = cut_shape(layer.shape, cut.computed) if is_cut else layer.shape
    metrics = {name: name for name in layer.kind.metrics}
    use = Use(layer.name, shape, cut.settings, sources, params, 0, batch, metrics)
    done = layer.kind.forward(use, True)
    if leads and (layer.kind.is_loss or layer.name in learning):
        done += layer.kind.backward(use, _wanted(use, layer, learning))
    rows = placing.parts[worker].rows
    return Workload(rows, done, _extents(use, layer, rows), pieces)


def _wanted(use: Use, layer: Layer, learning: Mapping[str, None]) -> Wanted:
    assert layer.kind is not None, "a field has no backward"
    own = None if layer.kind.is_loss else _gradient(use.name)
    sources = tuple(
        _gradient(s.name, slot) if s.name in learning else None
        for slot, s in enumerate(use.sources)
    )
    return Wanted(own, sources, {r: _gradient(p.name) for r, p in use.params.items()})


def _gradient(name: str, slot: int | None = None) -> str:
    return f"d({name})" if slot is None else f"d({name})/{slot}"


def _extents(use: Use, layer: Layer, rows: int) -> dict[str, Extent]:
    """Of the result, the sources, the params and their gradients, and what is kept beside them."""
    assert layer.kind is not None, "a field keeps nothing"
    own = Extent(rows, columns(use.shape))
    found = {use.name: own, _gradient(use.name): own}
    for slot, source in enumerate(use.sources):
        extent = Extent(rows, columns(source.shape))
        found |= {source.name: extent, _gradient(source.name, slot): extent}
    for param in use.params.values():
        *outer, last = param.shape
        extent = Extent(math.prod(outer), last)
        found |= {param.name: extent, _gradient(param.name): extent}
    inner: list[tuple[Mapping[str, int], int]] = [
        (layer.kind.inner(use.settings, use.sources), rows),
        (layer.kind.inner_of_batch(use.settings, use.sources), 1),
    ]
    found |= {use.inner(role): Extent(n, size) for of, n in inner for role, size in of.items()}
    return found
