"""Worker groups and server groups within a node, by a window that all threads look at.

    worker of group g   pull | run | push .. gradient, a counter, the bells of the servers
    server              look | update in place | copy the slice to the replica of g, a counter

Workers of a group see their params change only between their push and their next pull: they read a
replica. A group that shares a process with all its servers has none, and reads while the updates
of other groups are written: Hogwild.

Every server has a bell, a counter that goes up whenever something has come for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtime.progress import Mark, Phase
from runtime.transport.mail import Mail
from runtime.transport.node import Node
from runtime.transport.sequence import Sequence as NativeSequence
from runtime.transport.shared import slices_used
from runtime.transport.stub import RING, Call, Doubles, Floats, Kernels, Sums, total
from runtime.transport.tally import Elsewhere, Tally
from singac.plan.plan import Feed, Process, Pull, Push, Receive, Run, Send, Step


class GroupStub:
    """A worker's exchanges in a node of several groups; see `Stub` and `Meeting`."""

    def __init__(self, node: Node, process: Process, mark: Mark) -> None:
        assert process.worker is not None, "a stub is a worker's"
        self._node, self._mark, plan = node, mark, node.plan
        topology = plan.topology
        self._topology, self._size = topology, topology.workers_per_group
        self._group = topology.group_of_worker(process.worker)
        self._place = topology.member(process.worker)
        self._servers = topology.served_by(self._group)
        self._is_chief = process.worker == 0
        self._metrics = len(plan.metrics)
        places = node.places
        self.params: Floats = places.seen_by(self._group)
        self.gradients: Floats = places.gradients[process.worker]
        states = node.states if self._is_chief else node.states[:, :0]
        self.states: Floats = np.zeros_like(states)
        self._meetings = self._wishes = 0
        self.tally, self._elsewhere = Tally(), Elsewhere(plan, process)
        self._mail = Mail(plan, process.worker)
        self._mail.place(*places.mail)
        self._mail.reset(None)

    # Exchanges

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        sequence = NativeSequence(self._node.threads, self._mark, self.tally)
        trains = any(isinstance(step, Push) for step in steps)
        if trains:
            self._keep_near(sequence)
        for step in steps:
            self._lower(sequence, step, kernels)
        if trains:
            clock = self._node.places.counter("clock", self._group)
            sequence.arrive(clock, self._size)
        return [sequence.finished()] if steps else []

    def _keep_near(self, sequence: NativeSequence) -> None:
        """Begin no step before all groups have done all but the last `staleness` before it."""
        bound = self._topology.staleness
        if bound is None:
            return
        for group in range(self._topology.worker_groups):
            if group != self._group:
                clock = self._node.places.counter("clock", group)
                sequence.wait(clock, self._size, -bound, Phase.AWAITING_PARAMS)

    def _lower(self, sequence: NativeSequence, step: Step, kernels: Kernels) -> None:
        places, group = self._node.places, self._group
        match step:
            case Run(stretch):
                call = kernels.stretch(stretch)
                sequence.call(call.function, *call.arguments)
            case Pull(param):
                for index in self._own(param):
                    updated = places.counter("updated", group, index)
                    sequence.wait(updated, 1, 0, Phase.AWAITING_PARAMS)
                    sequence.moves(received=self._elsewhere.owned(index))
            case Push(param):
                slices, own = self._node.plan.slices, self._own(param)
                for index in own:
                    pushers = len(slices[index].workers_of(self._size))
                    sequence.arrive(places.counter("pushed", group, index), pushers)
                    sequence.moves(sent=self._elsewhere.owned(index))
                for server in dict.fromkeys(slices[index].server for index in own):
                    number = self._servers * self._topology.servers_per_group + server
                    sequence.arrive(places.counter("bell", number), 1)
            case Send() | Receive():
                self._mail.lower(sequence, step, kernels)
            case Feed():
                raise AssertionError("feeding is the worker's affair")
            case _:
                raise AssertionError("servers have threads of their own")

    def _own(self, param: int) -> list[int]:
        return slices_used(self._node.plan.slices, self._node.served, param, self._place)

    def begin(self, step: int) -> None:
        self._node.arrive("begun")
        slices = self._node.plan.slices
        for server in dict.fromkeys(slices[k].server for k in self._node.apart):
            self._node.ring(self._servers, server)

    def pull(self, param: int, step: int) -> None:
        for index in self._node.served:
            if self._node.plan.slices[index].param == param:
                self._node.wait("updated", self._group, index, target=step)

    # Metrics, of the first group alone

    def post(self, slot: int, round_: int, given: Doubles) -> None:
        if slot < RING:
            # Who waits for nobody else must not use a slot before the chief has read it.
            self._node.wait("begun", target=self._node.first_step + round_ * RING + slot + 1)
        self._node.places.board[slot, self._place] = given
        self._node.arrive("given", slot, group=self._size)

    def posted(self, slot: int, round_: int) -> bool:
        return self._node.reached("given", slot, target=self._size * (round_ + 1))

    def sums(self, slot: int, round_: int) -> Sums:
        self._node.wait("given", slot, target=self._size * (round_ + 1))
        return total(self._node.places.board[slot, :, : self._metrics])

    def carried(self, slot: int) -> Doubles:
        return self._node.places.board[slot, :, self._metrics :]

    def steps_of_all(self, own: int) -> int:
        """Steps that all worker groups together have done."""
        groups = range(self._topology.worker_groups)
        clocks = [self._node.counters.count(self._node.places.counter("clock", g)) for g in groups]
        return sum(clocks) // self._size

    # The chief's words

    def announce(self, round_: int, stop: bool) -> None:
        if stop:
            self._node.counters.set(self._node.places.counter("stop"), round_ + 1)
        self._node.arrive("announced")

    def heard(self, round_: int) -> bool:
        self._node.wait("announced", target=round_ + 1)
        stops = self._node.reached("stop", target=1)
        return stops and not self._node.reached("stop", target=round_ + 2)

    def gather(self, step: int) -> None:
        """Copy the states of server group 0 while its servers hold still."""
        servers, node = self._topology.servers_per_group, self._node
        self._wishes += 1
        node.arrive("wished")
        for server in range(servers):
            node.ring(0, server)
        node.wait("shown", target=servers * self._wishes)
        self.states[:] = node.states
        node.arrive("read")

    # Meetings

    def meet(self, step: int) -> None:
        for param in range(len(self._node.plan.params)):
            self.pull(param, step)
        self._node.arrive("met", self._group, group=self._size)
        servers = self._topology.servers_per_group
        for server in range(servers):
            self._node.ring(self._servers, server)
        self._meetings += 1
        self._node.wait("fresh", self._servers, target=servers * self._meetings)

    def part(self) -> None:
        if self._is_chief:
            self._node.arrive("over")
        self._node.wait("over", target=self._meetings)

    def owns_memory_of_node(self) -> bool:
        return False

    def ready(self, step: int) -> None:
        """The node does it for all threads."""

    def finish(self) -> None:
        self._node.arrive("ended", group=self._topology.workers)
        for group in range(self._topology.server_groups):
            for server in range(self._topology.servers_per_group):
                self._node.ring(group, server)
        self._node.wait("ended", target=self._topology.workers)

    def free(self) -> None:
        """The node does it for all threads."""
