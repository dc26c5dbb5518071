"""Worker groups and server groups by messages: every worker and server with params of its own.

    worker of group g   pull <-- params --   push -- gradient, step -->   servers of its group
    server              one place a worker and slice; updates, and sends the params to the group

The same as `runtime/transport/groups.py` does within a node. Gradients may travel in bfloat16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from runtime.checkpoints import carried
from runtime.progress import Mark, Phase
from runtime.transport.messages import zeros
from runtime.transport.parcels import Parcels
from runtime.transport.post import ADDRESSES, Kind, Letter, Post, packed
from runtime.transport.stub import SLOTS, Call, Doubles, Floats, Kernels, Sums, total
from runtime.transport.tally import Elsewhere, Tally
from singac.plan.plan import Feed, Plan, Process, Pull, Push, Receive, Run, Send, Serve, Step


class FarStub:
    """A worker's exchanges by letters; see `Stub` and `Meeting`."""

    def __init__(self, plan: Plan, process: Process, world: MPI.Intracomm, mark: Mark) -> None:
        assert process.worker is not None, "a stub is a worker's"
        self._plan, self._mark, topology = plan, mark, plan.topology
        self._topology, self._size = topology, topology.workers_per_group
        self._worker, self._group = process.worker, topology.group_of_worker(process.worker)
        self._place = topology.member(process.worker)
        servers = topology.servers_per_group
        self._first_server = topology.workers + topology.served_by(self._group) * servers
        floats, states = plan.param_floats, len(plan.update.states)
        self.params: Floats = zeros(floats)
        self.gradients: Floats = zeros(floats)
        self.states: Floats = zeros(states * floats).reshape(states, floats)
        self.tally, self._elsewhere = Tally(), Elsewhere(plan, process)
        self._post = Post(plan, world, process.worker)
        self._post.deliver = self._take
        served = [s for p in plan.processes if p.serve for s in p.serve.steps]
        self._served = list(dict.fromkeys(s.slice for s in served if isinstance(s, Serve)))
        seen = [k for k in self._served if plan.slices[k].is_of(self._place)]
        self._slices_of = [
            [k for k in seen if plan.slices[k].param == p] for p in range(len(plan.params))
        ]
        # At a meeting the chief gets all.
        self._refreshed = len(self._served if process.worker == 0 else seen)
        others = (s.server for s in plan.slices if not s.is_of(0))
        self._apart = list(dict.fromkeys(others)) if not topology.asynchronous else []
        self._versions: dict[int, int] = {}
        self._fresh = self._meetings = self._over = self._shown = 0
        self._clocks = [0] * topology.worker_groups
        self._words: dict[int, bool] = {}
        self._given: Counter[tuple[int, int]] = Counter()
        self._metrics = len(plan.metrics)
        width = self._metrics + carried.doubles(plan)
        self._board: Doubles = np.zeros((SLOTS, self._size, width))
        ranks = [topology.rank_of_worker(w) for w in range(topology.workers)]
        self._parcels = Parcels(
            plan, process, world, ranks, ADDRESSES, mark, self._complete, self.tally
        )

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
                rows = [*self.states] if part.is_of(0) else [self.params, *self.states]
                for row, saved in zip(
                    rows, letter.floats.reshape(len(rows), part.floats), strict=True
                ):
                    row[part.start : part.stop] = saved
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
                return kernels.stretch(stretch)
            case Pull(param):
                return lambda step: self._pull(param, step)
            case Push(param):
                return lambda step: self._push(param, step)
            case Send() | Receive():
                return self._parcels.lower(step, kernels)
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

    def begin(self, step: int) -> None:
        for server in self._apart:
            self._post.send(self._first_server + server, Kind.BEGUN, self._group, number=step)

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
            if params := self._elsewhere.owned(k):
                self.tally.add(gradient.nbytes, params)

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

    def gather(self, step: int) -> None:
        self._shown = 0
        for server in range(self._topology.servers_per_group):
            self._post.send(self._topology.workers + server, Kind.WISH, number=step)
        self._post.until(lambda: self._shown == len(self._plan.slices))

    # Meetings

    def meet(self, step: int) -> None:
        for param in range(len(self._plan.params)):
            self.pull(param, step)
        self._fresh = 0
        for server in range(self._topology.servers_per_group):
            self._post.send(self._first_server + server, Kind.MET, self._group)
        self._post.until(lambda: self._fresh == self._refreshed)

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
