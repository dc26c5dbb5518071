"""Params cut with their layers: which part of a param a worker's net uses, and where that lies.

A part is a range along one axis of the canonical shape. Ranges of columns of a param in panels are
whole panels, ranges of rows whole blocks: either way a part is one stretch of the param space.

    weight [in, out] cut along out            cut along in: a block of panels for each range
    | panel 0 | panel 1 | panel 2 | ...       | rows 0 to 3: panel 0, 1, .. | rows 4 to 7: ..
    | worker 0          | worker 1            | worker 0                    | worker 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from singac.model.graph import NetParam
from singac.partition.space import LANES, Layout, Param, padded


@dataclass(frozen=True, slots=True)
class PieceOfParam:
    """`start` to `stop` of axis `axis`; the whole param without an axis."""

    axis: int | None = None
    start: int = 0
    stop: int = 0

    @property
    def range(self) -> tuple[int, int]:
        return self.start, self.stop


WHOLE = PieceOfParam()


@dataclass(frozen=True, slots=True)
class Lying:
    """Where a part of a param lies: its first float in the param space, its rows and columns."""

    start: int
    rows: int
    columns: int
    layout: Layout

    @property
    def stop(self) -> int:
        """The float behind its last, pads of rows included where it has whole rows."""
        return self.start + (self.rows * padded(self.columns) if self.rows > 1 else self.columns)


def cut_param(param: NetParam, piece: PieceOfParam) -> NetParam:
    """The param as a worker's net has it."""
    if piece.axis is None:
        return param
    shape = list(param.shape)
    shape[piece.axis] = piece.stop - piece.start
    return replace(param, shape=tuple(shape))


def blocks_of(param: NetParam, pieces: Sequence[PieceOfParam]) -> tuple[int, ...]:
    """The rows at which blocks of a param begin, if it is cut along rows; empty: one block."""
    by_rows = param.in_panels and len(param.shape) > 1
    ranges = [p.range for p in pieces if p.axis == 0]
    return tuple(dict.fromkeys(start for start, _ in sorted(ranges))) if by_rows else ()


def lying(param: Param, piece: PieceOfParam) -> Lying:
    """The place of a part of a placed param."""
    rows, columns = param.matrix
    if piece.axis is None:
        return Lying(param.start, rows, columns, param.layout)
    size = piece.stop - piece.start
    if len(param.shape) == 1:
        return Lying(param.start + piece.start, 1, size, param.layout)
    if piece.axis == 0:
        return Lying(param.start + piece.start * padded(columns), size, columns, param.layout)
    assert piece.start % LANES == 0, "columns are cut between panels"
    assert param.layout is Layout.PANELS, "only panels are cut along columns"
    return Lying(param.start + piece.start * rows, rows, size, param.layout)


def clash(
    param: NetParam, nets: Sequence[Mapping[str, tuple[PieceOfParam, ...]]]
) -> tuple[PieceOfParam, PieceOfParam] | None:
    """Two parts of a param that cannot both be used: they overlap without being the same.

    Within one worker two such gradients would be written over each other; a param that lies in
    blocks of rows cannot be read whole.
    """
    for net in nets:
        first, *others = net.get(param.name, (WHOLE,))
        for other in others:
            if other != first:
                return first, other
    pieces = list(dict.fromkeys(p for net in nets for p in net.get(param.name, ())))
    if not blocks_of(param, pieces):
        return None
    for one in pieces:
        for other in pieces:
            ranges = one.range, other.range
            apart = ranges[0][1] <= ranges[1][0] or ranges[1][1] <= ranges[0][0]
            if one != other and not (one.axis == other.axis == 0 and apart):
                return one, other
    return None
