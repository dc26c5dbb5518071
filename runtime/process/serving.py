"""A server in a thread of its own: whatever comes is taken as it comes.

    gradients of worker group 0 ---+
    gradients of worker group 1 ---+--> update, publish to that group
    the centre's answer -----------+
    a meeting ---------------------+--> reconcile with the centre, publish to all

Updates are counted for each worker group: the rate follows the group's own step, and what an
updater calls `step` is the number of updates that a slice has had.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.divergence import bad_gradient
from runtime.process.server import Server
from runtime.progress import Mark, Phase
from runtime.transport.centre import Centre, Member
from runtime.transport.desk import Desk
from runtime.transport.stub import NativeCall
from singac.codegen.load import Native
from singac.plan.plan import Plan, Process, Serve


@dataclass(slots=True)
class _Group:
    """A worker group as a server knows it: steps done of each slice, native calls of each.

    `weighed` counts like `done`, where gradients are clipped by their norm.
    """

    done: dict[int, int]
    weighed: dict[int, int]
    updates: dict[int, NativeCall]
    squares: dict[int, NativeCall]
    factor: NativeCall | None


class Serving:
    """Serves the slices of one server for all its worker groups, from step `start` on."""

    def __init__(
        self, plan: Plan, process: Process, native: Native, desk: Desk, mark: Mark, start: int
    ) -> None:
        assert process.server is not None, "only a server serves"
        assert process.serve is not None, "a server in a thread has a program"
        topology = plan.topology
        self._desk, self._mark, self._server = desk, mark, Server(plan, native, desk)
        self._slices = [s.slice for s in process.serve.steps if isinstance(s, Serve)]
        self._names = [plan.params[s.param].name for s in plan.slices]
        self._clips = plan.update.clip_norm > 0
        group = topology.group_of_server(process.server)
        served = topology.groups_of(group)
        self._groups = {g: self._group(g, start) for g in served}
        self._updates_of = dict.fromkeys(self._slices, start * len(served))
        self._meetings = 0
        self._server_groups, self._since = topology.server_groups, 0
        self._round = topology.sync_every * len(served) * len(self._slices)
        own = [s for s in plan.slices if s.server == process.server % topology.servers_per_group]
        params = [desk.params[s.start : s.stop] for s in own]
        self._member = Member(params) if topology.server_groups > 1 else None
        held = params if self._member is not None and group == 0 else []
        self._centre = Centre(held, topology.reconcile, topology.server_groups)
        self._at_meeting: list[int] = []
        self._agreeing = self._agreed = False

    def _group(self, group: int, start: int) -> _Group:
        desk, server = self._desk, self._server
        places = {k: desk.gathered(group, k) for k in self._slices}
        done, row = dict.fromkeys(self._slices, start), desk.squares[group]
        updates = {k: server.update(k, at) for k, at in places.items()}
        if not self._clips:
            return _Group(done, {}, updates, {}, None)
        squares = {k: server.squares(k, at, row[k:].ctypes.data) for k, at in places.items()}
        return _Group(done, dict(done), updates, squares, server.factor(row.ctypes.data))

    def run(self) -> None:
        """Serve until no worker will want anything."""
        while True:
            seen, ended = self._desk.look(), self._desk.ended()
            # What was pushed before the end is served, though nobody may wait for it.
            if self._turn():
                continue
            if ended:
                return self._desk.close()
            self._mark.phase(Phase.AWAITING_GRADIENTS)
            self._desk.wait(seen)
            self._mark.phase(Phase.COMPUTING)

    def _turn(self) -> bool:
        """Do all that can be done now; tells whether there was anything."""
        moved = False
        for number, group in self._groups.items():
            moved |= self._clip(number, group) if self._clips else self._serve(number, group)
        if self._member is not None:
            moved |= self._reconcile(self._member)
        moved |= self._meet()
        self._desk.show_states()
        return moved

    # Updates

    def _serve(self, number: int, group: _Group) -> bool:
        """Update every slice whose gradient a group has pushed."""
        ready = [k for k in self._slices if self._desk.pushed(number, k, group.done[k])]
        for k in ready:
            self._update(number, group, k)
        return bool(ready)

    def _clip(self, number: int, group: _Group) -> bool:
        """Weigh every slice that was pushed, and update when all servers have weighed theirs."""
        moved = False
        for k in self._slices:
            step = group.done[k]
            if group.weighed[k] == step and self._desk.pushed(number, k, step):
                call = group.squares[k]
                call.function(*call.arguments)
                group.weighed[k] += 1
                self._desk.weighed(number, k)
                moved = True
        whole = [k for k in self._slices if group.weighed[k] > group.done[k]]
        if len(whole) < len(self._slices):
            return moved
        if not whole or not self._desk.all_weighed(number, group.done[whole[0]]):
            return moved
        for k in whole:
            self._update(number, group, k)
        return True

    def _update(self, number: int, group: _Group, index: int) -> None:
        self._updates_of[index] += 1
        self._server.begin(group.done[index], self._updates_of[index])
        if group.factor is not None:
            group.factor.function(*group.factor.arguments)
        update = group.updates[index]
        if update.function(*update.arguments):
            raise bad_gradient(self._names[index], group.done[index])
        group.done[index] += 1
        self._since += 1
        self._mark.step(group.done[index])
        self._desk.publish(number, index)

    # Other server groups

    def _reconcile(self, member: Member) -> bool:
        asked = self._desk.asked()
        for server_group, delta, last in asked:
            self._centre.take(delta)
            if last:
                self._at_meeting.append(server_group)
            else:
                self._desk.answer(server_group, self._centre.params)
        if len(self._at_meeting) == self._server_groups:
            # Only now has the centre what all have done before the meeting.
            for server_group in self._at_meeting:
                self._desk.answer(server_group, self._centre.params)
            self._at_meeting.clear()
        centre = self._desk.answered()
        if centre is not None:
            member.adopt(centre)
            self._agreed = self._agreeing
        due = bool(self._slices) and self._since >= self._round and not member.waits
        due = due and not self._agreeing
        if due:
            self._ask(member, last=False)
        return bool(asked or due or centre is not None)

    def _ask(self, member: Member, last: bool) -> None:
        self._since = 0
        self._desk.ask(member.progress(), last)

    # Meetings

    def _meet(self) -> bool:
        """When all workers have met, bring the params they see up to the moment."""
        if not all(self._desk.met(g, self._meetings) for g in self._groups):
            return False
        member = self._member
        if member is None or self._agreed:
            self._agreed = self._agreeing = False
            self._meetings += 1
            self._desk.refreshed()
            return True
        if member.waits or self._agreeing:
            return False
        self._agreeing = True
        self._ask(member, last=True)
        return True
