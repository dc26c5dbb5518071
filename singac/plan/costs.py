"""What a process costs: memory, floating-point operations and bytes of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from singac.layers.access import reads, writes
from singac.layers.operations import Operation, Redistribute
from singac.layers.work import flops
from singac.model.resolve import Model
from singac.partition.partition import PartitionedNet
from singac.plan import estimate
from singac.plan.phase import Phase, Phases
from singac.plan.plan import Buffer, Memory, Seat, Slice, Space, Topology, padded

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a training step: operations, bytes sent to and received from other processes."""

    memory: Memory
    flops: int
    sent: int
    received: int


def param_bytes(net: PartitionedNet) -> int:
    """The whole param space."""
    return sum(p.floats for p in net.params) * FLOAT_BYTES


def costs_of(seat: Seat, net: PartitionedNet, model: Model, phases: Phases) -> Costs:
    """The costs of the worker and the server of a seat."""
    costs = _Costs(seat, net, model, phases)
    exchanged = costs.exchanged()
    moved = costs.pushed() + costs.served()
    flops = costs.flops_of_worker() + costs.flops_of_server()
    return Costs(costs.memory(), flops, moved + exchanged[0], moved + exchanged[1])


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
        self.owned = [s for s in net.slices if s.server == self.place]
        learned = dict.fromkeys(phases.learned())
        self.learned = [s for s in net.slices if net.params[s.param].name in learned]

    # -- memory ------------------------------------------------------------------------------------

    def memory(self) -> Memory:
        """A worker whose server has a thread of its own reads params apart from the server's."""
        owned = sum(s.floats for s in self.owned) * FLOAT_BYTES
        states = owned * len(self.model.train.update.states)
        if self.member is None:
            return Memory(0, owned, 0, states, 0, self._others(owned, states))
        names = ("train", "test") if self.phases.tests() else ("train",)
        phases = [self.phases.of(name, self.member) for name in names]
        arena = max(phase.arena for phase in phases)
        gradients = sum(s.floats for s in self.net.slices if self._has(s)) * FLOAT_BYTES
        params = gradients + sum(s.floats for s in self.owned if not self._has(s)) * FLOAT_BYTES
        if self.place is not None and self.topology.servers_in_threads:
            params = gradients + owned
        mail = sum(_mail_bytes(phase, self.member) for phase in phases)
        others = self._others(params, states)
        others += sum(self._read(phase, self.member) for phase in phases)
        return Memory(arena, params, gradients, states, mail, others)

    def _has(self, piece: Slice) -> bool:
        return self.member is not None and piece.is_of(self.member)

    def _others(self, params: int, states: int) -> int:
        """Gradients of other workers that the server reads; of the first process all that it fills
        beside its own params and states.
        """
        size = self.topology.workers_per_group
        read = sum(s.floats * (len(s.workers_of(size)) - self._has(s)) for s in self.owned)
        read *= FLOAT_BYTES
        if self.seat.rank or self.seat.thread:
            return read
        whole = param_bytes(self.net)
        return read + max(whole - params, 0) + whole * len(self.model.train.update.states) - states

    def _read(self, phase: Phase, member: int) -> int:
        """What it takes of what others put before it."""
        moved = [i.exchange for i in phase.items if isinstance(i, Redistribute)]
        return sum(self.phases.traffic(exchange).received[member] for exchange in moved)

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

    def exchanged(self) -> tuple[int, int]:
        """Bytes that the worker sends to and receives from the others of its group."""
        if self.member is None:
            return 0, 0
        items = self.phases.of("train", self.member).items
        exchanges = [i.exchange for i in items if isinstance(i, Redistribute)]
        moved = [self.phases.traffic(exchange) for exchange in exchanges]
        return sum(t.sent[self.member] for t in moved), sum(t.received[self.member] for t in moved)


def _mail_bytes(phase: Phase, member: int) -> int:
    """What a worker puts before the others of its group in a phase."""
    moved = [i for i in phase.items if isinstance(i, Redistribute)]
    parts = [m.exchange.held[member] for m in moved if m.exchange.sends(member)]
    return sum(p.rows * padded(p.columns) for p in parts) * FLOAT_BYTES


def _rows_of(operation: Operation, buffers: Mapping[str, Buffer], rows: int) -> int:
    """Rows, of one step, of the tensors of layers that an operation works on."""
    names: Sequence[str] = (*writes(operation), *reads(operation))
    found = [buffers[n] for n in names if n in buffers]
    return next((b.rows // b.steps for b in found if b.space is Space.ARENA), rows)
