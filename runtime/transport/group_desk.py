"""A server of one of several groups within a node, woken by its bell; see `groups.py`."""

from __future__ import annotations

from runtime.transport.node import Node
from runtime.transport.places import FLOAT
from runtime.transport.stub import Doubles, Floats, Gathered
from runtime.transport.tally import Elsewhere, Tally
from singac.plan.plan import Process


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
        self.tally, self._elsewhere = Tally(), Elsewhere(plan, process)
        self._clips = plan.update.clip_norm > 0
        served = self._topology.groups_of(self._group)
        self._replicas = {g: places.seen_by(g) for g in served if not self._topology.in_memory(g)}
        servers = self._topology.servers_per_group
        self._place = process.server % servers
        self._owned = [s for s in plan.slices if s.server == self._place]
        # The spaces of what is given to the centre, and answered, have slices server by server.
        before = sum(s.floats for s in plan.slices if s.server < self._place)
        self._own = slice(before, before + sum(s.floats for s in self._owned))
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
        members = self._slices[index].workers_of(self._size)
        first = self._node.places.gradients[group * self._size + members[0]]
        start = first.ctypes.data + self._slices[index].start * FLOAT
        return Gathered(start, first.nbytes, members[-1] - members[0] + 1)

    def pushed(self, group: int, index: int, step: int) -> bool:
        if index in self._node.apart and not self._node.reached("begun", target=step + 1):
            return False
        if self._clips and not self._is_settled(group, step):
            return False
        pushers = len(self._slices[index].workers_of(self._size))
        there = self._node.reached("pushed", group, index, target=pushers * (step + 1))
        bound = self._topology.staleness
        if there and bound is not None:
            for other in range(self._topology.worker_groups):
                near = self._node.reached("clock", other, target=self._size * (step - bound))
                assert near, f"worker group {group} ran ahead of group {other} in step {step}"
        return there

    def _is_settled(self, group: int, step: int) -> bool:
        """Whether no server needs the squares of the step before any more."""
        served = self._node.served
        return all(self._node.reached("updated", group, k, target=step) for k in served)

    def publish(self, group: int, index: int) -> None:
        part = self._slices[index]
        if group in self._replicas:
            seen = slice(part.start, part.stop)
            self._replicas[group][seen] = self.params[seen]
        moved = self._elsewhere.pushed(index, group)
        self.tally.add(moved, moved)
        self._node.arrive("updated", group, index)
        if self._clips:
            self._ring_all()

    def weighed(self, group: int, index: int) -> None:
        self._node.arrive("weighed", group)
        self._ring_all()

    def _ring_all(self) -> None:
        for server in range(self._topology.servers_per_group):
            self._node.ring(self._group, server)

    def all_weighed(self, group: int, step: int) -> bool:
        slices = len(self._node.served)
        return self._node.reached("weighed", group, target=slices * (step + 1))

    def met(self, group: int, meeting: int) -> bool:
        return self._node.reached("met", group, target=self._size * (meeting + 1))

    def refreshed(self) -> None:
        for seen in self._replicas.values():
            for part in self._owned:
                seen[part.start : part.stop] = self.params[part.start : part.stop]
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
