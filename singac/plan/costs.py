"""What a process costs: memory, floating-point operations and bytes of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from singac.layers.access import reads, writes
from singac.layers.operations import Operation, Redistribute
from singac.layers.work import flops
from singac.model.resolve import Model
from singac.partition.partition import PartitionedNet
from singac.plan import estimate
from singac.plan.phase import Phases
from singac.plan.plan import Buffer, Memory, Seat, Slice, Space, Topology, padded
from singac.plan.window import touched

FLOAT_BYTES, WORD_BYTES = 4, 8
SPARED = {"float32": 0, "bf16": 2}  # bytes of each value of a gradient in a message


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a training step: operations, bytes sent to and received from other processes, and how
    many less these are in messages.
    """

    memory: Memory
    flops: int
    sent: int
    received: int
    narrower_sent: int
    narrower_received: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes of exchanges in a phase: sent to and received from others of the group; `boxes` are
    what it puts before them, with pads.
    """

    sent: int = 0
    received: int = 0
    boxes: int = 0


def param_bytes(net: PartitionedNet) -> int:
    """The whole param space."""
    return sum(p.floats for p in net.params) * FLOAT_BYTES


def costs_of(seat: Seat, net: PartitionedNet, model: Model, phases: Phases) -> Costs:
    """The costs of the worker and the server of a seat."""
    costs = _Costs(seat, net, model, phases)
    exchanged = costs.moved("train")
    pushed, served = costs.pushed(), costs.served()
    flops = costs.flops_of_worker() + costs.flops_of_server()
    spared = SPARED[model.cluster.topology.wire]
    return Costs(
        costs.memory(),
        flops,
        pushed + served + exchanged.sent,
        pushed + served + exchanged.received,
        pushed * spared // FLOAT_BYTES,
        served * spared // FLOAT_BYTES,
    )


class _Costs:
    """A seat with what it stands for: `member` is its worker's number in a group."""

    def __init__(self, seat: Seat, net: PartitionedNet, model: Model, phases: Phases) -> None:
        self.seat, self.net, self.model, self.phases = seat, net, model, phases
        self.topology: Topology = model.cluster.topology
        self.member = None
        if seat.worker is not None:
            self.member = seat.worker % self.topology.workers_per_group
        self.place = None
        if seat.server is not None:
            self.place = seat.server % self.topology.servers_per_group
        self.floats = param_bytes(net) // FLOAT_BYTES
        self.states = len(model.train.update.states)
        self.owned = [s for s in net.slices if s.server == self.place]
        learned = dict.fromkeys(phases.learned())
        self.learned = [s for s in net.slices if net.params[s.param].name in learned]

    # -- memory ------------------------------------------------------------------------------------

    def memory(self) -> Memory:
        """Of a process of several threads the first has what all of them touch of the window."""
        train = self.moved("train")
        test = self.moved("test") if self.phases.tests() else Moved()
        own = self._window()
        return replace(
            own,
            arena=self._arena(),
            mail=train.boxes,
            data=self._data(),
            others=own.others + train.received,
            tests=test.boxes + test.received,
            messages=self._by_messages() + self._data() + train.sent + train.received,
        )

    def _data(self) -> int:
        """The order of an epoch, and the random numbers that it is drawn by, a word an example."""
        facts, carries = self.model.dataset.facts, self.model.train.training.carry
        shuffles = self.member is not None and facts.shuffle and not carries
        return 2 * WORD_BYTES * facts.train if shuffles else 0

    def _arena(self) -> int:
        if self.member is None:
            return 0
        names = ("train", "test") if self.phases.tests() else ("train",)
        return max(self.phases.of(name, self.member).arena for name in names)

    def _has(self, piece: Slice) -> bool:
        return self.member is not None and piece.is_of(self.member)

    def _window(self) -> Memory:
        """Params, gradients and states, and what it touches of others in a node.

        Others are gradients of other workers that the server reads; of the first process all that
        it fills beside its own params and states.
        """
        if self.topology.servers_in_threads:
            first = self.seat.thread == 0
            return touched(self.seat.rank, self.net, self.model) if first else Memory(0, 0, 0, 0)
        owned = sum(s.floats for s in self.owned)
        has = sum(s.floats for s in self.net.slices if self._has(s))
        params = has + sum(s.floats for s in self.owned if not self._has(s))
        size = self.topology.workers_per_group
        others = sum(s.floats * (len(s.workers_of(size)) - self._has(s)) for s in self.owned)
        if self.seat.rank == 0:
            others += max(self.floats - params, 0) + (self.floats - owned) * self.states
        floats = (params, has, owned * self.states)
        params, gradients, states = (FLOAT_BYTES * count for count in floats)
        return Memory(0, params, gradients, states, others=FLOAT_BYTES * others)

    def _by_messages(self) -> int:
        """Where no memory is shared: its arena, params and states whole, its gradients, and room
        for those that come in. Threads have all of it each, and letters that may be under way.
        """
        size = self.topology.workers_per_group
        has = sum(s.floats for s in self.net.slices if self._has(s))
        room = sum(s.floats * len(s.workers_of(size)) for s in self.owned)
        whole = self.floats * (1 + self.states)
        if not self.topology.servers_in_threads:
            return self._arena() + FLOAT_BYTES * (whole + has + room)
        worker = whole + 2 * has if self.member is not None else 0
        server = whole + 2 * room * len(self._groups_served()) if self.place is not None else 0
        return self._arena() + FLOAT_BYTES * (worker + server)

    def moved(self, name: str) -> Moved:
        """What the worker hands to others of its group in a phase, and has from them."""
        if self.member is None:
            return Moved()
        phase = self.phases.of(name, self.member)
        exchanges = [i.exchange for i in phase.items if isinstance(i, Redistribute)]
        parts = [e.held[self.member] for e in exchanges if e.sends(self.member)]
        traffics = [self.phases.traffic(exchange) for exchange in exchanges]
        return Moved(
            sum(t.sent[self.member] for t in traffics),
            sum(t.received[self.member] for t in traffics),
            sum(p.rows * padded(p.columns) for p in parts) * FLOAT_BYTES,
        )

    # -- operations --------------------------------------------------------------------------------

    def flops_of_worker(self) -> int:
        if self.member is None:
            return 0
        phase, rows = self.phases.of("train", self.member), self.net.rows[self.member].size
        buffers = phase.buffers
        return sum(flops(o, buffers, _rows_of(o, buffers, rows)) for o in phase.computed)

    def flops_of_server(self) -> int:
        """An update for each of the worker groups that it serves."""
        size, update = self.topology.workers_per_group, self.model.train.update
        each = sum(estimate.update_flops(update, s, len(s.workers_of(size))) for s in self.owned)
        return each * len(self._groups_served())

    # -- bytes -------------------------------------------------------------------------------------

    def pushed(self) -> int:
        """What the worker sends of gradients to other processes; as much comes back as params."""
        if self.member is None or self.seat.worker is None:
            return 0
        group = self.topology.served_by(self.topology.group_of_worker(self.seat.worker))
        first = group * self.topology.servers_per_group
        places = (self.topology.rank_of_server(first + s.server) for s in self.learned)
        return FLOAT_BYTES * sum(
            piece.floats
            for piece, rank in zip(self.learned, places, strict=True)
            if piece.is_of(self.member) and rank != self.seat.rank
        )

    def served(self) -> int:
        """What the server gets of gradients from other processes; as much goes out as params."""
        owned = (s for s in self.learned if s.server == self.place)
        return FLOAT_BYTES * sum(piece.floats * self._apart(piece) for piece in owned)

    def _apart(self, piece: Slice) -> int:
        """Workers of other processes that have a gradient of a slice."""
        size = self.topology.workers_per_group
        members = piece.workers_of(size)
        ranks = (
            self.topology.rank_of_worker(g * size + w)
            for g in self._groups_served()
            for w in members
        )
        return sum(rank != self.seat.rank for rank in ranks)

    def _groups_served(self) -> tuple[int, ...]:
        if self.seat.server is None:
            return ()
        return self.topology.groups_of(self.topology.group_of_server(self.seat.server))


def _rows_of(operation: Operation, buffers: Mapping[str, Buffer], rows: int) -> int:
    """Rows, of one step, of the tensors of layers that an operation works on."""
    names: Sequence[str] = (*writes(operation), *reads(operation))
    found = [buffers[n] for n in names if n in buffers]
    return next((b.rows // b.steps for b in found if b.space is Space.ARENA), rows)
