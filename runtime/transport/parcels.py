"""Exchanges among the workers of a group as messages: a parcel for each pair that shares something.

Requests are persistent, started each turn. A parcel is packed without pads, so that what is sent is
what the other one needs and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from mpi4py import MPI

from runtime.progress import Mark, Phase
from runtime.transport.exchange import FLOAT, Tensor, copied, gathered, packed
from runtime.transport.requests import Complete, Requests
from runtime.transport.stub import Call, Floats, Kernels, NativeCall
from runtime.transport.tally import Tally
from singac.plan.plan import Buffer, Part, Plan, Process, Receive, Send


@dataclass(slots=True)
class _Round:
    """The parcels of one exchange, by worker of the group, and the requests that move them."""

    going: dict[int, Tensor] = field(default_factory=dict)
    coming: dict[int, Tensor] = field(default_factory=dict)
    sends: Requests = field(default_factory=list)
    receives: Requests = field(default_factory=list)


class Parcels:
    """What the worker of a process sends to and receives from the others of its group.

    `ranks` are those of all workers; tags count from `first_tag`.
    """

    def __init__(
        self,
        plan: Plan,
        process: Process,
        world: MPI.Intracomm,
        ranks: Sequence[int],
        first_tag: int,
        mark: Mark,
        complete: Complete,
        tally: Tally,
    ) -> None:
        self._tally = tally
        self._exchanges, self._mark, self._complete = plan.exchanges, mark, complete
        size = plan.topology.workers_per_group
        self._group, self._member = divmod(process.worker or 0, size)
        self._groups = plan.topology.worker_groups
        self._ranks = ranks[self._group * size : (self._group + 1) * size]
        self._world, self._first_tag = world, first_tag
        self._memory: list[Floats] = []
        self._rounds: dict[int, _Round] = {}
        for program in (process.train, process.test):
            for step in program.steps if program is not None else ():
                self._open(step)

    def _open(self, step: object) -> None:
        if isinstance(step, Send):
            sends = self._round(step.exchange)
            for other, part in self._exchanges[step.exchange].sent(self._member):
                room = self._room(part)
                sends.going[other] = packed(room.ctypes.data, part)
                place = self._ranks[other], self._tag(step.tag, self._member, other)
                sends.sends.append(self._world.Send_init(room, *place))
        elif isinstance(step, Receive):
            receives = self._round(step.exchange)
            for other, part in self._exchanges[step.exchange].received(self._member):
                room = self._room(part)
                receives.coming[other] = packed(room.ctypes.data, part)
                place = self._ranks[other], self._tag(step.tag, other, self._member)
                receives.receives.append(self._world.Recv_init(room, *place))

    def _round(self, index: int) -> _Round:
        return self._rounds.setdefault(index, _Round())

    def _room(self, part: Part) -> Floats:
        self._memory.append(np.zeros(part.elements, np.float32))
        return self._memory[-1]

    def _tag(self, tag: int, sender: int, receiver: int) -> int:
        """A tag of this pair of workers, who may be threads of two processes with several."""
        size = len(self._ranks)
        place = (tag * self._groups + self._group) * size + sender
        return self._first_tag + place * size + receiver

    def ready(self) -> None:
        """Before the first turn."""
        for turn in self._rounds.values():
            MPI.Prequest.Startall(turn.receives)

    def lower(self, step: Send | Receive, kernels: Kernels) -> Call:
        """This worker's end of an exchange as a call."""
        if isinstance(step, Send):
            return self._send(step, kernels)
        return self._receive(step, kernels)

    def _send(self, step: Send, kernels: Kernels) -> Call:
        """A call that packs the parcels and posts them."""
        turn, exchange = self._rounds[step.exchange], self._exchanges[step.exchange]
        assert kernels.moves is not None, "a plan with exchanges has moves"
        source = _tensor(kernels, step.source, exchange.held[self._member])
        packing = [copied(kernels.moves, to, source, to.part) for to in turn.going.values()]

        def post(_: int) -> None:
            self._wait(turn.sends)
            _do(packing)
            MPI.Prequest.Startall(turn.sends)
            self._tally.add(_bytes(turn.going.values()), 0)

        return post

    def _receive(self, step: Receive, kernels: Kernels) -> Call:
        """A call that waits for the parcels and makes the tensor of them."""
        turn, exchange = self._rounds[step.exchange], self._exchanges[step.exchange]
        assert kernels.moves is not None, "a plan with exchanges has moves"
        out = _tensor(kernels, step.out, exchange.wanted[self._member])
        sources = dict(turn.coming)
        if step.source is not None:
            own = exchange.held[self._member]
            sources[self._member] = _tensor(kernels, step.source, own)
        unpacking = gathered(kernels.moves, exchange, self._member, out, sources)

        def take(_: int) -> None:
            self._wait(turn.receives)
            _do(unpacking)
            MPI.Prequest.Startall(turn.receives)
            self._tally.add(0, _bytes(turn.coming.values()))

        return take

    def _wait(self, requests: Requests) -> None:
        self._mark.phase(Phase.AWAITING_PARTS)
        self._complete(requests)
        self._mark.phase(Phase.COMPUTING)

    def never_come(self) -> Requests:
        """What is open at the end."""
        return [request for turn in self._rounds.values() for request in turn.receives]

    def made(self) -> Iterator[MPI.Prequest]:
        """Every persistent request."""
        for turn in self._rounds.values():
            yield from (*turn.sends, *turn.receives)

    def under_way(self) -> Requests:
        """What must arrive before the end."""
        return [request for turn in self._rounds.values() for request in turn.sends]


def _tensor(kernels: Kernels, buffer: Buffer, part: Part) -> Tensor:
    return Tensor(kernels.place(buffer), buffer.stride * FLOAT, part)


def _bytes(parcels: Iterable[Tensor]) -> int:
    return sum(parcel.part.elements for parcel in parcels) * FLOAT


def _do(calls: Sequence[NativeCall]) -> None:
    for call in calls:
        call.function(*call.arguments)
