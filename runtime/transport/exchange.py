"""Both ends of an exchange among the workers of a group, as calls that move rectangles.

A tensor is what one worker has of a whole one, wherever it lies: in its arena, in the window of a
node, in a message. What several workers hold of an element is added in worker order, so that all
transports give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from runtime.transport.stub import NativeCall
from singac.codegen.load import Moves
from singac.layers.exchange import Exchange, Part
from singac.plan.plan import LANES, padded

FLOAT = 4


@dataclass(frozen=True, slots=True)
class Tensor:
    """A part of a whole tensor: address of its first element, bytes from one row to the next."""

    address: int
    stride: int
    part: Part

    def at(self, inner: Part) -> int:
        """Address of the first element of a part of this part."""
        rows, columns = inner.row - self.part.row, inner.column - self.part.column
        return self.address + rows * self.stride + columns * FLOAT


def packed(address: int, part: Part) -> Tensor:
    """A part row after row, without pads."""
    return Tensor(address, part.columns * FLOAT, part)


def copied(moves: Moves, to: Tensor, source: Tensor, part: Part) -> NativeCall:
    """A part of both tensors, copied."""
    return NativeCall(moves.copy, _arguments(to, source, part))


def gathered(
    moves: Moves, exchange: Exchange, worker: int, out: Tensor, sources: Mapping[int, Tensor]
) -> list[NativeCall]:
    """The calls that make `out` of one worker of what all workers hold; `sources` by worker."""
    parts = {v: out.part.shared_with(exchange.held[v]) for v in range(len(exchange.held))}
    parts = {v: part for v, part in parts.items() if part.elements}
    calls = [_cleared(moves, out)] if out.part.columns % LANES else []
    # A part is copied where it is the first; where parts overlap in any other way, all are added.
    if _apart(list(parts.values())):
        added = [False] * len(parts)
        whole = sum(p.elements for p in parts.values()) == out.part.elements
    else:
        whole = all(p == out.part for p in parts.values())
        added = [k > 0 or not whole for k in range(len(parts))]
    if not whole:
        calls = [NativeCall(moves.clear, _arguments(out, out, out.part)), *calls]
    for (v, part), adds in zip(parts.items(), added, strict=True):
        function = moves.add if adds else moves.copy
        calls.append(NativeCall(function, _arguments(out, sources[v], part)))
    return calls


def _apart(parts: list[Part]) -> bool:
    return not any(a.shared_with(b).elements for a, b in combinations(parts, 2))


def _cleared(moves: Moves, out: Tensor) -> NativeCall:
    """Zeros in the pads of every row."""
    columns = out.part.columns
    first = out.address + columns * FLOAT
    arguments = (first, out.stride, first, out.stride, out.part.rows, padded(columns) - columns)
    return NativeCall(moves.clear, arguments)


def _arguments(to: Tensor, source: Tensor, part: Part) -> tuple[int, ...]:
    return to.at(part), to.stride, source.at(part), source.stride, part.rows, part.columns
