"""A server of one of several groups, by letters; see `runtime/transport/far.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from runtime.transport.centre import joined
from runtime.transport.messages import zeros
from runtime.transport.post import Kind, Letter, Post, unpack
from runtime.transport.shared import slices_served
from runtime.transport.stub import Doubles, Floats, Gathered
from runtime.transport.tally import Tally
from singac.plan.plan import Plan, Process


class FarDesk:
    """A server's exchanges by letters; see `Desk`."""

    def __init__(self, plan: Plan, process: Process, world: MPI.Intracomm) -> None:
        assert process.server is not None, "a desk is a server's"
        self._plan, topology = plan, plan.topology
        self._topology, self._size = topology, topology.workers_per_group
        self._group = topology.group_of_server(process.server)
        self._place = process.server % topology.servers_per_group
        floats, states = plan.param_floats, len(plan.update.states)
        self.params: Floats = zeros(floats)
        self.gradients: Floats = zeros(0)
        self.states: Floats = zeros(states * floats).reshape(states, floats)
        self.squares: Doubles = np.zeros((topology.worker_groups, len(plan.slices)))
        self._own = [k for k, s in enumerate(plan.slices) if s.server == self._place]
        self._served = slices_served(plan)
        self._groups = topology.groups_of(self._group)
        self._pushers = {k: plan.slices[k].workers_of(self._size) for k in self._own}
        sizes = {k: (len(own), plan.slices[k].floats) for k, own in self._pushers.items()}
        self._inbox = {
            (g, k): zeros(count * floats).reshape(count, floats)
            for g in self._groups
            for k, (count, floats) in sizes.items()
        }
        self._pushes: Counter[tuple[int, int]] = Counter()
        # Squares that have come, by worker group and step: a server may be a step ahead.
        self._squares: dict[tuple[int, int], dict[int, float]] = {}
        self._begun = 0
        self._met: Counter[int] = Counter()
        self._done: dict[tuple[int, int], int] = {}
        self._asked: list[tuple[int, Floats, bool]] = []
        self._answer: Floats | None = None
        self._ends, self._wishes = 0, list[int]()
        self.tally, self._rank = Tally(), process.rank
        self._post = Post(plan, world, topology.workers + process.server)
        self._post.deliver = self._take

    def ready(self, step: int) -> None:
        """`step` steps of each group have been done."""
        for group, index in self._inbox:
            self._pushes[group, index] = len(self._pushers[index]) * step
            self._done[group, index] = step
        self._begun = step

    def _take(self, letter: Letter) -> None:
        group = letter.group
        match letter.kind:
            case Kind.GRADIENT:
                self._check(letter)
                row = self._pushers[letter.index].index(letter.sender % self._size)
                place = self._inbox[group, letter.index][row]
                unpack(letter.body, self._topology.wire, place)
                self._pushes[group, letter.index] += 1
                if self._is_elsewhere(letter.sender):
                    self.tally.add(0, letter.body.nbytes)
            case Kind.SQUARES:
                self._take_square(group, letter.number, letter.index, float(letter.doubles[0]))
            case Kind.BEGUN:
                self._begun = letter.number + 1
            case Kind.MET:
                self._met[group] += 1
            case Kind.END:
                self._ends += 1
            case Kind.WISH:
                self._wishes.append(letter.number)
            case Kind.PROGRESS:
                self._asked.append((group, letter.floats, bool(letter.number)))
            case Kind.CENTRE:
                self._answer = letter.floats
            case kind:
                raise AssertionError(f"a letter of {kind.name} came to a server")

    def _check(self, letter: Letter) -> None:
        bound, ahead = self._topology.staleness, letter.number - letter.slowest
        assert letter.number == self._done[letter.group, letter.index], "a gradient of its step"
        assert bound is None or ahead <= bound, (
            f"worker group {letter.group} is {ahead} steps ahead in step {letter.number}"
        )

    def look(self) -> int:
        return self._post.take_in()

    def wait(self, seen: int) -> None:
        self._post.until(lambda: self._post.taken > seen)

    def gathered(self, group: int, index: int) -> Gathered:
        inbox = self._inbox[group, index]
        return Gathered(inbox.ctypes.data, inbox.strides[0], len(inbox))

    def pushed(self, group: int, index: int, step: int) -> bool:
        waits = not self._topology.asynchronous and not self._plan.slices[index].is_of(0)
        if waits and self._begun <= step:
            return False
        return self._pushes[group, index] >= len(self._pushers[index]) * (step + 1)

    def publish(self, group: int, index: int) -> None:
        self._done[group, index] += 1
        self._send_params(Kind.PARAM, group, index, self._pushers[index])

    def _send_params(self, kind: Kind, group: int, index: int, to: Sequence[int]) -> None:
        """A slice to some workers of a group, given by their numbers in it."""
        part, number = self._plan.slices[index], self._done[group, index]
        params = self.params[part.start : part.stop]
        for worker in (group * self._size + member for member in to):
            self._post.send(worker, kind, group, index, number, body=params)
            if kind is Kind.PARAM and self._is_elsewhere(worker):
                self.tally.add(params.nbytes, 0)

    def _is_elsewhere(self, worker: int) -> bool:
        return self._topology.rank_of_worker(worker) != self._rank

    def weighed(self, group: int, index: int) -> None:
        step, square = self._done[group, index], self.squares[group, index : index + 1]
        self._take_square(group, step, index, float(square[0]))
        first = self._topology.workers + self._group * self._topology.servers_per_group
        for server in range(self._topology.servers_per_group):
            if server != self._place:
                self._post.send(first + server, Kind.SQUARES, group, index, step, body=square)

    def _take_square(self, group: int, step: int, index: int, square: float) -> None:
        if self._own:  # who updates nothing needs none
            self._squares.setdefault((group, step), {})[index] = square

    def all_weighed(self, group: int, step: int) -> bool:
        come = self._squares.get((group, step), {})
        if len(come) < len(self._served):
            return False
        for index, square in come.items():
            self.squares[group, index] = square
        del self._squares[group, step]
        return True

    def met(self, group: int, meeting: int) -> bool:
        return self._met[group] >= self._size * (meeting + 1)

    def refreshed(self) -> None:
        for group in self._groups:
            for index in (k for k in self._own if k in self._served):
                pushers = self._pushers[index]
                saves = group == 0 and 0 not in pushers
                self._send_params(Kind.FRESH, group, index, (0, *pushers) if saves else pushers)

    # The centre

    def _server(self, group: int) -> int:
        """The address of the server of another group that has the same slices."""
        servers = self._topology.servers_per_group
        return self._topology.workers + group * servers + self._place

    def ask(self, delta: Floats, last: bool) -> None:
        to = self._server(0)
        self._post.send(to, Kind.PROGRESS, self._group, number=int(last), body=delta)

    def asked(self) -> list[tuple[int, Floats, bool]]:
        asked, self._asked = self._asked, []
        return asked

    def answer(self, server_group: int, centre: Floats) -> None:
        self._post.send(self._server(server_group), Kind.CENTRE, body=centre)

    def answered(self) -> Floats | None:
        answer, self._answer = self._answer, None
        return answer

    # States and the end

    def show_states(self) -> None:
        """Send the chief what it has asked for, when its group has done the step it saves."""
        while self._wishes and self._are_done(self._wishes[0]):
            self._wishes.pop(0)
            for index in self._own:
                part = self._plan.slices[index]
                rows = [*self.states] if part.is_of(0) else [self.params, *self.states]
                saved = joined([row[part.start : part.stop] for row in rows])
                self._post.send(0, Kind.STATE, index=index, body=saved)

    def _are_done(self, step: int) -> bool:
        return all(self._done[0, k] >= step for k in self._own if k in self._served)

    def ended(self) -> bool:
        return self._ends == self._topology.workers

    def close(self) -> None:
        self._post.close()
