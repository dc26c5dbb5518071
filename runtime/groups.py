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
from mpi4py import MPI

from runtime import patience
from runtime.counters import Counters
from runtime.mail import Mail
from runtime.places import FLOAT, Places
from runtime.progress import Mark, Phase
from runtime.sequence import Sequence as NativeSequence
from runtime.shared import slices_served
from runtime.stub import Arrays, Call, Doubles, Floats, Gathered, Kernels, Sums, total
from singac.plan.plan import Feed, Plan, Process, Pull, Push, Receive, Run, Send, Step


class Node:
    """What the threads of a process have in common: the window, and how many look at it."""

    def __init__(self, plan: Plan, node: MPI.Intracomm) -> None:
        self.plan, self.places, self._node = plan, Places(plan, node), node
        topology = plan.topology
        self.threads = len(plan.processes) + sum(
            p.serve is not None and p.worker is not None for p in plan.processes
        )
        self.counters = Counters(self.threads)
        self.slices_of = slices_served(plan)
        # The servers of a group that have a slice of a param, by number in their group.
        self.owners = [
            [s.server for s in plan.slices if s.param == p] for p in range(len(plan.params))
        ]
        self.first = node.Get_rank() == 0
        self.params: Floats = self.places.params[0]
        self.states: Floats = self.places.states[0]
        self.gradients: Floats = self.places.gradients[0]
        self._workers = topology.workers_per_group

    def stub(self, process: Process, mark: Mark) -> GroupStub:
        return GroupStub(self, process, mark)

    def desk(self, process: Process) -> NodeDesk:
        return NodeDesk(self, process)

    def to_fill(self) -> list[Arrays]:
        """Whose params and states this process fills before `ready`."""
        return [self] if self.first else []

    def ready(self, step: int) -> None:
        """Params and states of server group 0 were filled by the first process: all have them."""
        if self.first:
            places, topology = self.places, self.plan.topology
            for group in range(1, topology.server_groups):
                places.params[group], places.states[group] = self.params, self.states
            for group in range(topology.worker_groups):
                places.seen_by(group)[:] = self.params
            for array in (places.gradients, places.board, places.squares):
                array.fill(0.0)
            self._set_counters(step)
        patience.until(self._node.Ibarrier().Test, self.threads)

    def _set_counters(self, step: int) -> None:
        for counter in self.places.all_counters():
            self.counters.set(counter, 0)
        for group in range(self.plan.topology.worker_groups):
            self._set("clock", self._workers * step, group)
            self._set("weighed", sum(self.slices_of) * step, group)
            for param, slices in enumerate(self.slices_of):
                self._set("pushed", self._workers * step, group, param)
                self._set("updated", slices * step, group, param)

    def _set(self, name: str, count: int, *index: int) -> None:
        self.counters.set(self.places.counter(name, *index), count)

    def arrive(self, name: str, *index: int, group: int = 1) -> None:
        """Count one arrival; the one that completes a group of `group` wakes who waits."""
        self.counters.arrive(self.places.counter(name, *index), group)

    def wait(self, name: str, *index: int, target: int) -> None:
        self.counters.wait(self.places.counter(name, *index), target)

    def reached(self, name: str, *index: int, target: int) -> bool:
        return self.counters.reached(self.places.counter(name, *index), target)

    def ring(self, server_group: int, server: int) -> None:
        """Ring the bell of a server, given by number in its group."""
        size = self.plan.topology.servers_per_group
        self.arrive("bell", server_group * size + server)

    def free(self) -> None:
        """Done by all processes together, when no thread of theirs looks at the window."""
        self.places.window.free()


class GroupStub:
    """A worker's exchanges in a node of several groups; see `Stub` and `Meeting`."""

    def __init__(self, node: Node, process: Process, mark: Mark) -> None:
        assert process.worker is not None, "a stub is a worker's"
        self._node, self._mark, plan = node, mark, node.plan
        topology = plan.topology
        self._topology, self._size = topology, topology.workers_per_group
        self._group = topology.group_of_worker(process.worker)
        self._place = process.worker % self._size
        self._servers = topology.served_by(self._group)
        self._is_chief = process.worker == 0
        self._metrics = len(plan.metrics)
        places = node.places
        self.params: Floats = places.seen_by(self._group)
        self.gradients: Floats = places.gradients[process.worker]
        states = node.states if self._is_chief else node.states[:, :0]
        self.states: Floats = np.zeros_like(states)
        self._meetings = self._wishes = 0
        self._mail = Mail(plan, process.worker)
        self._mail.place(*places.mail)
        self._mail.reset(None)

    # Exchanges

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        sequence = NativeSequence(self._node.threads, self._mark)
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
                updated = places.counter("updated", group, param)
                sequence.wait(updated, self._node.slices_of[param], 0, Phase.AWAITING_PARAMS)
            case Push(param):
                sequence.arrive(places.counter("pushed", group, param), self._size)
                for server in self._node.owners[param]:
                    number = self._servers * self._topology.servers_per_group + server
                    sequence.arrive(places.counter("bell", number), 1)
            case Send():
                self._mail.lower_send(sequence, step, kernels)
            case Receive():
                self._mail.lower_receive(sequence, step, kernels)
            case Feed():
                raise AssertionError("feeding is the worker's affair")
            case _:
                raise AssertionError("servers have threads of their own")

    def pull(self, param: int, step: int) -> None:
        target = self._node.slices_of[param] * step
        self._node.wait("updated", self._group, param, target=target)

    # Metrics, of the first group alone

    def post(self, slot: int, round_: int, given: Doubles) -> None:
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

    def gather_states(self) -> None:
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


class NodeDesk:
    """A server's exchanges in a node of several groups; see `Desk`."""

    def __init__(self, node: Node, process: Process) -> None:
        assert process.server is not None, "a desk is a server's"
        self._node = node
        self._topology, plan = node.plan.topology, node.plan
        self._server, self._slices = process.server, plan.slices
        self._group = self._topology.group_of_server(process.server)
        self._size, places = self._topology.workers_per_group, node.places
        self.params: Floats = places.params[self._group]
        self.states: Floats = places.states[self._group]
        self.gradients: Floats = places.gradients[0][:0]
        self.squares: Doubles = places.squares
        served = self._topology.groups_of(self._group)
        self._apart = {g: places.seen_by(g) for g in served if not self._topology.in_memory(g)}
        servers = self._topology.servers_per_group
        self._place = process.server % servers
        own = [s for s in plan.slices if s.server == self._place]
        self._own = slice(own[0].start, own[-1].stop) if own else slice(0, 0)
        # Servers of other groups with the same slices, as long as this one holds the centre.
        groups = range(self._topology.server_groups) if self._group == 0 else range(0)
        self._others = [(g, g * servers + self._place) for g in groups]
        self._asked = dict.fromkeys(groups, 0)
        self._lasts = dict.fromkeys(groups, 0)
        self._asks = self._answers = self._shown = 0

    def look(self) -> int:
        return self._node.counters.count(self._node.places.counter("bell", self._server))

    def wait(self, seen: int) -> None:
        self._node.wait("bell", self._server, target=seen + 1)

    def gathered(self, group: int, index: int) -> Gathered:
        first = self._node.places.gradients[group * self._size]
        start = first.ctypes.data + self._slices[index].start * FLOAT
        return Gathered(start, first.nbytes)

    def pushed(self, group: int, index: int, step: int) -> bool:
        param = self._slices[index].param
        there = self._node.reached("pushed", group, param, target=self._size * (step + 1))
        bound = self._topology.staleness
        if there and bound is not None:
            for other in range(self._topology.worker_groups):
                near = self._node.reached("clock", other, target=self._size * (step - bound))
                assert near, f"worker group {group} ran ahead of group {other} in step {step}"
        return there

    def publish(self, group: int, index: int) -> None:
        part = self._slices[index]
        if group in self._apart:
            seen = slice(part.start, part.stop)
            self._apart[group][seen] = self.params[seen]
        slices = self._node.slices_of[part.param]
        self._node.arrive("updated", group, part.param, group=slices)

    def weighed(self, group: int, index: int) -> None:
        self._node.arrive("weighed", group)
        for server in range(self._topology.servers_per_group):
            self._node.ring(self._group, server)

    def all_weighed(self, group: int, step: int) -> bool:
        slices = sum(self._node.slices_of)
        return self._node.reached("weighed", group, target=slices * (step + 1))

    def met(self, group: int, meeting: int) -> bool:
        return self._node.reached("met", group, target=self._size * (meeting + 1))

    def refreshed(self) -> None:
        for seen in self._apart.values():
            seen[self._own] = self.params[self._own]
        self._node.arrive("fresh", self._group, group=self._topology.servers_per_group)

    # The centre; what is given and answered lies in the window.

    def ask(self, delta: Floats, last: bool) -> None:
        self._node.places.progress[self._group, self._own] = delta
        if last:
            self._node.arrive("last", self._server)
        self._node.arrive("asked", self._server)
        self._asks += 1
        self._node.ring(0, self._place)

    def asked(self) -> list[tuple[int, Floats, bool]]:
        found = []
        for group, server in self._others:
            if self._node.reached("asked", server, target=self._asked[group] + 1):
                self._asked[group] += 1
                last = self._node.reached("last", server, target=self._lasts[group] + 1)
                self._lasts[group] += last
                found.append((group, self._node.places.progress[group, self._own], last))
        return found

    def answer(self, server_group: int, centre: Floats) -> None:
        self._node.places.centre[server_group, self._own] = centre
        server = server_group * self._topology.servers_per_group + self._place
        self._node.arrive("answered", server)
        self._node.ring(server_group, self._place)

    def answered(self) -> Floats | None:
        if self._answers == self._asks:
            return None
        if not self._node.reached("answered", self._server, target=self._answers + 1):
            return None
        self._answers += 1
        return self._node.places.centre[self._group, self._own]

    # States and the end

    def show_states(self) -> None:
        """Hold still while the chief copies, if it wants to."""
        if self._group or not self._node.reached("wished", target=self._shown + 1):
            return
        self._shown += 1
        self._node.arrive("shown", group=self._topology.servers_per_group)
        self._node.wait("read", target=self._shown)

    def ended(self) -> bool:
        return self._node.reached("ended", target=self._topology.workers)

    def close(self) -> None:
        """Nothing is under way."""
