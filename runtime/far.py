"""Worker groups and server groups by messages: every worker and server with params of its own.

    worker of group g   pull <-- params --   push -- gradient, step -->   servers of its group
    server              one place a worker and slice; updates, and sends the params to the group

The same as `runtime/groups.py` does within a node. Gradients may travel in bfloat16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from runtime import carried, patience
from runtime.environment import EnvironmentFailure
from runtime.messages import zeros
from runtime.parcels import Parcels
from runtime.post import ADDRESSES, Kind, Letter, Post, packed, unpack
from runtime.progress import Mark, Phase
from runtime.shared import slices_served
from runtime.stub import SLOTS, Arrays, Call, Doubles, Floats, Gathered, Kernels, Sums, total
from singac.plan.plan import Feed, Plan, Process, Pull, Push, Receive, Run, Send, Serve, Step


class Far:
    """What the threads of a process have in common: that they begin and end with all others."""

    def __init__(self, plan: Plan, world: MPI.Intracomm) -> None:
        self._plan, self._world = plan, world
        self._stubs: list[FarStub] = []
        self._desks: list[FarDesk] = []

    def stub(self, process: Process, mark: Mark) -> FarStub:
        self._stubs.append(FarStub(self._plan, process, self._world, mark))
        return self._stubs[-1]

    def desk(self, process: Process) -> FarDesk:
        self._desks.append(FarDesk(self._plan, process, self._world))
        return self._desks[-1]

    def to_fill(self) -> list[Arrays]:
        """Whose params and states this process fills before `ready`."""
        return [*self._stubs, *self._desks]

    def ready(self, step: int) -> None:
        threads = len(self._stubs) + len(self._desks)
        if threads > 1 and MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise EnvironmentFailure(
                "this MPI library serves one thread of a process alone", "pip install mpich"
            )
        for stub in self._stubs:
            stub.ready(step)
        for desk in self._desks:
            desk.ready(step)
        self._meet()

    def _meet(self) -> None:
        patience.until(self._world.Ibarrier().Test, self._plan.topology.processes)

    def free(self) -> None:
        """When all have come here, no letter is under way that anybody waits for."""
        self._meet()
        for stub in self._stubs:
            stub.release()


class FarStub:
    """A worker's exchanges by letters; see `Stub` and `Meeting`."""

    def __init__(self, plan: Plan, process: Process, world: MPI.Intracomm, mark: Mark) -> None:
        assert process.worker is not None, "a stub is a worker's"
        self._plan, self._mark, topology = plan, mark, plan.topology
        self._topology, self._size = topology, topology.workers_per_group
        self._worker, self._group = process.worker, topology.group_of_worker(process.worker)
        self._place = process.worker % self._size
        servers = topology.servers_per_group
        self._first_server = topology.workers + topology.served_by(self._group) * servers
        floats, states = plan.param_floats, len(plan.update.states)
        self.params: Floats = zeros(floats)
        self.gradients: Floats = zeros(floats)
        self.states: Floats = zeros(states * floats).reshape(states, floats)
        self._post = Post(plan, world, process.worker)
        self._post.deliver = self._take
        served = [s for p in plan.processes if p.serve for s in p.serve.steps]
        self._served = list(dict.fromkeys(s.slice for s in served if isinstance(s, Serve)))
        self._slices_of = [
            [k for k in self._served if plan.slices[k].param == p] for p in range(len(plan.params))
        ]
        self._versions: dict[int, int] = {}
        self._fresh = self._meetings = self._over = self._shown = 0
        self._clocks = [0] * topology.worker_groups
        self._words: dict[int, bool] = {}
        self._given: Counter[tuple[int, int]] = Counter()
        self._metrics = len(plan.metrics)
        width = self._metrics + carried.doubles(plan)
        self._board: Doubles = np.zeros((SLOTS, self._size, width))
        ranks = [topology.rank_of_worker(w) for w in range(topology.workers)]
        self._parcels = Parcels(plan, process, world, ranks, ADDRESSES, mark, self._complete)

    def owns_memory_of_node(self) -> bool:
        return True

    def ready(self, step: int) -> None:
        self._versions = dict.fromkeys(self._served, step)
        self._clocks = [step] * len(self._clocks)
        self._parcels.ready()

    def _complete(self, requests: Sequence[MPI.Request]) -> None:
        if requests:
            self._post.until(lambda: MPI.Request.Testall(list(requests)))

    def _take(self, letter: Letter) -> None:
        match letter.kind:
            case Kind.PARAM | Kind.FRESH:
                part = self._plan.slices[letter.index]
                self.params[part.start : part.stop] = letter.floats
                self._versions[letter.index] = letter.number
                self._fresh += letter.kind is Kind.FRESH
            case Kind.CLOCK:
                self._clocks[letter.group] = letter.number
            case Kind.SUMS:
                self._board[letter.index, letter.sender % self._size] = letter.doubles
                self._given[letter.index, letter.number] += 1
            case Kind.WORD:
                self._words[letter.index] = bool(letter.number)
            case Kind.STATE:
                part = self._plan.slices[letter.index]
                own = letter.floats.reshape(len(self.states), -1)
                self.states[:, part.start : part.stop] = own
                self._shown += 1
            case Kind.OVER:
                self._over += 1
            case kind:
                raise AssertionError(f"a letter of {kind.name} came to a worker")

    # Exchanges

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        calls = [self._lower(step, kernels) for step in steps]
        if not any(isinstance(step, Push) for step in steps):
            return calls
        return [self._keep_near, *calls, self._tell_clock]

    def _lower(self, step: Step, kernels: Kernels) -> Call:
        match step:
            case Run(stretch):
                call = kernels.stretch(stretch)
                return lambda _: call.function(*call.arguments)
            case Pull(param):
                return lambda step: self._pull(param, step)
            case Push(param):
                return lambda step: self._push(param, step)
            case Send():
                return self._parcels.send(step, kernels)
            case Receive():
                return self._parcels.receive(step, kernels)
            case Feed():
                raise AssertionError("feeding is the worker's affair")
            case _:
                raise AssertionError("servers have threads of their own")

    def _keep_near(self, step: int) -> None:
        """Begin no step before all groups have done all but the last `staleness` before it."""
        bound = self._topology.staleness
        if bound is None:
            return
        self._mark.phase(Phase.AWAITING_PARAMS)
        self._post.until(lambda: self._slowest(step) >= step - bound)
        self._mark.phase(Phase.COMPUTING)

    def _slowest(self, own: int) -> int:
        """Steps that the slowest of all groups has done, as far as is known."""
        others = [c for g, c in enumerate(self._clocks) if g != self._group]
        return min([own, *others])

    def _tell_clock(self, step: int) -> None:
        """The first worker of a group tells the others how far it is; the chief in any case."""
        self._clocks[self._group] = step + 1
        if self._place:
            return
        others = range(self._topology.workers) if self._topology.staleness is not None else (0,)
        for worker in others:
            if self._topology.group_of_worker(worker) != self._group:
                self._post.send(worker, Kind.CLOCK, self._group, number=step + 1)

    def _pull(self, param: int, step: int) -> None:
        self._mark.phase(Phase.AWAITING_PARAMS)
        self.pull(param, step)
        self._mark.phase(Phase.COMPUTING)

    def pull(self, param: int, step: int) -> None:
        own = self._slices_of[param]
        self._post.until(lambda: all(self._versions[k] >= step for k in own))

    def _push(self, param: int, step: int) -> None:
        for k in self._slices_of[param]:
            part = self._plan.slices[k]
            gradient = packed(self.gradients[part.start : part.stop], self._topology.wire)
            to, slowest = self._first_server + part.server, self._slowest(step)
            self._post.send(to, Kind.GRADIENT, self._group, k, step, slowest, gradient)

    # Metrics, of the first group alone

    def post(self, slot: int, round_: int, given: Doubles) -> None:
        self._post.send(0, Kind.SUMS, index=slot, number=round_, body=given)

    def posted(self, slot: int, round_: int) -> bool:
        self._post.take_in()
        return self._given[slot, round_] == self._size

    def sums(self, slot: int, round_: int) -> Sums:
        self._post.until(lambda: self._given[slot, round_] == self._size)
        del self._given[slot, round_]
        return total(self._board[slot, :, : self._metrics])

    def carried(self, slot: int) -> Doubles:
        return self._board[slot, :, self._metrics :]

    def steps_of_all(self, own: int) -> int:
        self._post.take_in()
        self._clocks[self._group] = own
        return sum(self._clocks)

    # The chief's words

    def announce(self, round_: int, stop: bool) -> None:
        for worker in range(1, self._topology.workers):
            self._post.send(worker, Kind.WORD, index=round_, number=int(stop))

    def heard(self, round_: int) -> bool:
        self._post.until(lambda: round_ in self._words)
        return self._words.pop(round_)

    def gather_states(self) -> None:
        self._shown = 0
        for server in range(self._topology.servers_per_group):
            self._post.send(self._topology.workers + server, Kind.WISH)
        self._post.until(lambda: self._shown == len(self._plan.slices))

    # Meetings

    def meet(self, step: int) -> None:
        for param in range(len(self._plan.params)):
            self.pull(param, step)
        self._fresh = 0
        for server in range(self._topology.servers_per_group):
            self._post.send(self._first_server + server, Kind.MET, self._group)
        self._post.until(lambda: self._fresh == len(self._served))

    def part(self) -> None:
        self._meetings += 1
        if self._worker == 0:
            self._over += 1
            for worker in range(1, self._topology.workers):
                self._post.send(worker, Kind.OVER)
        self._post.until(lambda: self._over == self._meetings)

    def finish(self) -> None:
        for server in range(self._topology.servers):
            self._post.send(self._topology.workers + server, Kind.END)
        self._complete(self._parcels.under_way())
        self._post.close()

    def free(self) -> None:
        """The site does it for all threads."""

    def release(self) -> None:
        """What the parcels held; letters that nobody waited for are taken in."""
        self._post.take_in()
        for request in self._parcels.never_come():
            request.Cancel()
            self._post.until(request.Test)
        for request in self._parcels.made():
            request.Free()


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
        sizes = {k: plan.slices[k].stop - plan.slices[k].start for k in self._own}
        self._inbox = {
            (g, k): zeros(self._size * n).reshape(self._size, n)
            for g in self._groups
            for k, n in sizes.items()
        }
        self._pushes: Counter[tuple[int, int]] = Counter()
        self._weighed: Counter[int] = Counter()
        self._met: Counter[int] = Counter()
        self._done: dict[tuple[int, int], int] = {}
        self._asked: list[tuple[int, Floats, bool]] = []
        self._answer: Floats | None = None
        self._ends = self._wishes = 0
        self._post = Post(plan, world, topology.workers + process.server)
        self._post.deliver = self._take

    def ready(self, step: int) -> None:
        """`step` steps of each group have been done."""
        for (group, index), _ in self._inbox.items():
            self._pushes[group, index] = self._size * step
            self._done[group, index] = step
        for group in self._groups:
            self._weighed[group] = sum(self._served) * step

    def _take(self, letter: Letter) -> None:
        group = letter.group
        match letter.kind:
            case Kind.GRADIENT:
                self._check(letter)
                place = self._inbox[group, letter.index][letter.sender % self._size]
                unpack(letter.body, self._topology.wire, place)
                self._pushes[group, letter.index] += 1
            case Kind.SQUARES:
                self.squares[group, letter.index] = letter.doubles[0]
                self._weighed[group] += 1
            case Kind.MET:
                self._met[group] += 1
            case Kind.END:
                self._ends += 1
            case Kind.WISH:
                self._wishes += 1
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
        return Gathered(inbox.ctypes.data, inbox.strides[0])

    def pushed(self, group: int, index: int, step: int) -> bool:
        return self._pushes[group, index] >= self._size * (step + 1)

    def publish(self, group: int, index: int) -> None:
        self._done[group, index] += 1
        self._send_params(Kind.PARAM, group, index)

    def _send_params(self, kind: Kind, group: int, index: int) -> None:
        part, number = self._plan.slices[index], self._done[group, index]
        params = self.params[part.start : part.stop]
        for worker in range(group * self._size, (group + 1) * self._size):
            self._post.send(worker, kind, group, index, number, body=params)

    def weighed(self, group: int, index: int) -> None:
        self._weighed[group] += 1
        square = self.squares[group, index : index + 1]
        first = self._topology.workers + self._group * self._topology.servers_per_group
        for server in range(self._topology.servers_per_group):
            if server != self._place:
                self._post.send(first + server, Kind.SQUARES, group, index, body=square)

    def all_weighed(self, group: int, step: int) -> bool:
        return self._weighed[group] >= sum(self._served) * (step + 1)

    def met(self, group: int, meeting: int) -> bool:
        return self._met[group] >= self._size * (meeting + 1)

    def refreshed(self) -> None:
        learnt = [k for k in self._own if self._served[self._plan.slices[k].param]]
        for group in self._groups:
            for index in learnt:
                self._send_params(Kind.FRESH, group, index)

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
        """Send the chief what it has asked for; nothing is updated meanwhile."""
        while self._wishes:
            self._wishes -= 1
            for index in self._own:
                part = self._plan.slices[index]
                states = self.states[:, part.start : part.stop]
                self._post.send(0, Kind.STATE, index=index, body=states)

    def ended(self) -> bool:
        return self._ends == self._topology.workers

    def close(self) -> None:
        self._post.close()
