"""Mailboxes in the window of a node: one for each worker that sends something in an exchange.

    exchange 0: | worker 0 | worker 1 |   exchange 1: | worker 0 | ...   of group 0, then group 1

A worker copies what it holds into its box and counts `sent`; who has read its part from the boxes
of the others counts `taken`. A box is filled again when all have taken what it held before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.progress import Phase
from runtime.transport import counters
from runtime.transport.counters import Counters
from runtime.transport.exchange import FLOAT, Tensor, copied, gathered
from runtime.transport.sequence import Sequence
from runtime.transport.stub import Kernels
from singac.plan.plan import Buffer, Exchange, Part, Plan, Receive, Send, padded


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one exchange of a group: addresses of its counters, and how many count in a turn."""

    sent: int
    taken: int
    senders: int
    takers: int


class Mail:
    """The boxes of all groups; `counter_bytes` and `box_bytes` of the window are theirs.

    Turns are counted by the exchange itself: it may be one of a test, of which a step has many.
    """

    def __init__(self, plan: Plan, worker: int | None) -> None:
        size = plan.topology.workers_per_group
        self._exchanges = plan.exchanges
        self._group, self._member = divmod(worker or 0, size)
        groups = plan.topology.workers // size
        self._boxes: list[dict[int, int]] = []  # by exchange of every group: member -> offset
        at = 0
        for exchange in plan.exchanges * groups:
            boxes: dict[int, int] = {}
            for member in range(size):
                if exchange.sends(member):
                    boxes[member] = at
                    at += _box_floats(exchange, member) * FLOAT
            self._boxes.append(boxes)
        self.box_bytes = at
        self.counter_bytes = 2 * len(self._boxes) * counters.BYTES
        self._takers = [sum(e.takes(w) for w in range(size)) for e in plan.exchanges]
        # What this process waits for next: `taken` before it sends, `sent` before it takes.
        self._targets: NDArray[np.int64] = np.zeros((len(plan.exchanges), 2), np.int64)

    def place(self, counter_base: int, box_base: int) -> None:
        """Where the window has them."""
        self._counter_base, self._box_base = counter_base, box_base

    def reset(self, counts: Counters | None) -> None:
        """Before the first turn; the counters of all by one process."""
        if counts is not None:
            for k in range(2 * len(self._boxes)):
                counts.set(self._counter_base + k * counters.BYTES, 0)
        self._targets[:, 0] = 0
        self._targets[:, 1] = [len(b) for b in self._boxes[: len(self._exchanges)]]

    def lower(self, sequence: Sequence, step: Send | Receive, kernels: Kernels) -> None:
        """This worker's end of an exchange as records."""
        if isinstance(step, Send):
            self._send(sequence, step, kernels)
        else:
            self._receive(sequence, step, kernels)

    def _send(self, sequence: Sequence, step: Send, kernels: Kernels) -> None:
        """Wait for the box to be free, fill it, tell."""
        counts = self._counts(step.exchange)
        exchange = self._exchanges[step.exchange]
        assert kernels.moves is not None, "a plan with exchanges has moves"
        source = _tensor(kernels, step.source, exchange.held[self._member])
        box = self._box(step.exchange, self._member)
        call = copied(kernels.moves, box, source, source.part)
        target = self._targets.ctypes.data + 16 * step.exchange
        sequence.turn(counts.taken, target, counts.takers, Phase.AWAITING_PARTS)
        sequence.call(call.function, *call.arguments)
        sequence.moves(sent=_floats(exchange.sent(self._member)) * FLOAT)
        sequence.arrive(counts.sent, counts.senders)

    def _receive(self, sequence: Sequence, step: Receive, kernels: Kernels) -> None:
        """Wait for all boxes to be filled, take, tell."""
        counts, exchange = self._counts(step.exchange), self._exchanges[step.exchange]
        assert kernels.moves is not None, "a plan with exchanges has moves"
        out = _tensor(kernels, step.out, exchange.wanted[self._member])
        sources = {v: self._box(step.exchange, v) for v, _ in exchange.received(self._member)}
        if step.source is not None:
            sources[self._member] = _tensor(kernels, step.source, exchange.held[self._member])
        takes = exchange.takes(self._member)
        if takes:
            target = self._targets.ctypes.data + 16 * step.exchange + 8
            sequence.turn(counts.sent, target, counts.senders, Phase.AWAITING_PARTS)
        for call in gathered(kernels.moves, exchange, self._member, out, sources):
            sequence.call(call.function, *call.arguments)
        sequence.moves(received=_floats(exchange.received(self._member)) * FLOAT)
        if takes:
            sequence.arrive(counts.taken, counts.takers)

    def _counts(self, index: int) -> Counts:
        own = self._group * len(self._exchanges) + index
        sent = self._counter_base + 2 * own * counters.BYTES
        senders = len(self._boxes[own])
        return Counts(sent, sent + counters.BYTES, senders, self._takers[index])

    def _box(self, index: int, member: int) -> Tensor:
        own = self._group * len(self._exchanges) + index
        part = self._exchanges[index].held[member]
        address = self._box_base + self._boxes[own][member]
        return Tensor(address, padded(part.columns) * FLOAT, part)


def _floats(shared: Iterable[tuple[int, Part]]) -> int:
    """Of the parts that a worker shares with each of the others."""
    return sum(part.elements for _, part in shared)


def _box_floats(exchange: Exchange, member: int) -> int:
    part = exchange.held[member]
    return part.rows * padded(part.columns)


def _tensor(kernels: Kernels, buffer: Buffer, part: Part) -> Tensor:
    return Tensor(kernels.place(buffer), buffer.stride * FLOAT, part)
