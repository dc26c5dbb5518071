"""The stub between nodes: two-sided messages, every process with params of its own.

    worker w                             server of slice s
      push  --- gradient of slice s --->   inbox of s: | worker 0 | worker 1 | ... |
      pull  <-- params of slice s    ---   publish

Only the workers that have a gradient of a slice push and pull it. A server of slices that worker 0,
the chief, has none of hears from it when it begins a step, and waits for that: what the chief saves
is of one step.

All requests are persistent: made once, started again each step, and tested, never waited for
inside MPI. A worker and a server in one process copy instead of sending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from mpi4py import MPI

from runtime import patience
from runtime.divergence import bad_gradient
from runtime.progress import Mark, Phase
from runtime.transport.board import Board
from runtime.transport.parcels import Parcels
from runtime.transport.requests import Requests
from runtime.transport.saving import Saving
from runtime.transport.shared import slices_served
from runtime.transport.stub import (
    SLOTS,
    Call,
    Doubles,
    Floats,
    Gathered,
    Kernels,
    NativeCall,
    Sums,
)
from runtime.transport.tally import Tally
from singac.codegen import native
from singac.plan.plan import (
    Clip,
    Feed,
    Norm,
    Plan,
    Process,
    Pull,
    Push,
    Receive,
    Run,
    Send,
    Serve,
    Slice,
    Step,
)

BYTES = 4

# Tags: metrics, the chief's wish for states, its word and its steps first, then four a slice, then
# exchanges.
STATES_WANTED = SLOTS
ANNOUNCED = SLOTS + 1
BEGUN = SLOTS + 2
FIRST_SLICE_TAG = SLOTS + 3
GRADIENT, PARAM, STATE, SQUARES = range(4)


def _tag(index: int, what: int) -> int:
    return FIRST_SLICE_TAG + 4 * index + what


@dataclass(slots=True)
class Exchange:
    """A slice as this process sees it: what arrives and what leaves, each step anew."""

    inbox: Floats
    gradients_in: Requests = field(default_factory=list)
    gradients_out: Requests = field(default_factory=list)
    params_in: Requests = field(default_factory=list)
    params_out: Requests = field(default_factory=list)
    squares_in: Requests = field(default_factory=list)
    squares_out: Requests = field(default_factory=list)


class MessageStub:
    """Exchanges by messages; see `Stub`."""

    def __init__(self, plan: Plan, process: Process, world: MPI.Intracomm, mark: Mark) -> None:
        self._plan, self._process, self._world, self._mark = plan, process, world, mark
        self._worker_ranks = _ranks([p.worker for p in plan.processes])
        self._server_ranks = _ranks([p.server for p in plan.processes])
        self._slices_of = [self._slices_seen(param) for param in range(len(plan.params))]
        self._served = slices_served(plan)
        self._versions, self.tally = [0] * len(plan.params), Tally()
        self._allocate()
        self._squares: Doubles = np.zeros(len(plan.slices))
        self._exchanges = [self._exchange(k, s) for k, s in enumerate(plan.slices)]
        if plan.update.clip_norm:
            self._open_requests_for_squares()
        tag = _tag(len(plan.slices), 0)
        ranks = self._worker_ranks
        self._parcels = Parcels(plan, process, world, ranks, tag, mark, self._complete, self.tally)
        self._word = np.zeros(1, np.int8)
        self._announcing: list[MPI.Request] = []
        self._board = Board(plan, process, world, ranks, self._complete)
        ends = ranks[0], self._server_ranks, STATES_WANTED, lambda index: _tag(index, STATE)
        self._saving = Saving(plan, process, world, self, *ends)
        self._open_requests_for_steps()

    # Memory

    def _allocate(self) -> None:
        floats, states = self._plan.param_floats, len(self._plan.update.states)
        own = floats if self._process.worker is not None else 0
        self.params: Floats = zeros(floats)
        member = self._process.worker
        whole = member is not None and all(s.is_of(member) for s in self._plan.slices)
        self.gradients: Floats = zeros(own, huge=whole)
        self.states: Floats = zeros(states * floats).reshape(states, floats)

    def owns_memory_of_node(self) -> bool:
        return True

    def ready(self, step: int) -> None:
        self._versions = [step] * len(self._versions)
        if self._process.server is not None:
            for k in self._own_slices():
                MPI.Prequest.Startall(self._exchanges[k].gradients_in)
        own = [k for k in self._own_slices() if k in self._served]
        self._saving.updates = dict.fromkeys(own, step)
        self._begun = step
        MPI.Prequest.Startall(self._squares_in())
        MPI.Prequest.Startall(self._steps_in)
        self._parcels.ready()
        self._until(self._world.Ibarrier().Test)

    def _own_slices(self) -> list[int]:
        """Those of the server of this process."""
        own = self._process.server
        return [k for k, s in enumerate(self._plan.slices) if s.server == own]

    def _slices_seen(self, param: int) -> list[int]:
        """Those of a param that the worker of this process has a gradient of."""
        worker, slices = self._process.worker, enumerate(self._plan.slices)
        return [k for k, s in slices if s.param == param and worker is not None and s.is_of(worker)]

    # Requests, made once

    def _exchange(self, index: int, part: Slice) -> Exchange:
        serves = part.server == self._process.server
        workers = part.workers_of(len(self._worker_ranks)) if serves else ()
        exchange = Exchange(zeros(len(workers) * part.floats).reshape(len(workers), part.floats))
        worker = self._process.worker
        if serves:
            self._serve_requests(exchange, index, part)
        elif worker is not None and part.is_of(worker):
            self._work_requests(exchange, index, part)
        return exchange

    def _serve_requests(self, exchange: Exchange, index: int, part: Slice) -> None:
        params = self.params[part.start : part.stop]
        for row, worker in enumerate(part.workers_of(len(self._worker_ranks))):
            rank = self._worker_ranks[worker]
            if rank != self._process.rank:
                gradient, place = exchange.inbox[row], _tag(index, GRADIENT)
                exchange.gradients_in.append(self._world.Recv_init(gradient, rank, place))
                exchange.params_out.append(self._world.Send_init(params, rank, _tag(index, PARAM)))

    def _work_requests(self, exchange: Exchange, index: int, part: Slice) -> None:
        rank = self._server_ranks[part.server]
        params = self.params[part.start : part.stop]
        gradient = self.gradients[part.start : part.stop]
        exchange.params_in.append(self._world.Recv_init(params, rank, _tag(index, PARAM)))
        exchange.gradients_out.append(self._world.Send_init(gradient, rank, _tag(index, GRADIENT)))

    def _open_requests_for_squares(self) -> None:
        """A double a slice, from the server that weighs it to all others that clip by it."""
        weighed = {
            process.rank: [s.slice for s in process.train.steps if isinstance(s, Norm)]
            for process in self._plan.processes
        }
        own = weighed.pop(self._process.rank)
        for other, indices in weighed.items() if own else ():
            for k in indices:
                place, tag = self._squares[k : k + 1], _tag(k, SQUARES)
                self._exchanges[k].squares_in.append(self._world.Recv_init(place, other, tag))
            for k in own if indices else ():
                place, tag = self._squares[k : k + 1], _tag(k, SQUARES)
                self._exchanges[k].squares_out.append(self._world.Send_init(place, other, tag))

    def _squares_in(self) -> Requests:
        return [request for exchange in self._exchanges for request in exchange.squares_in]

    def _open_requests_for_steps(self) -> None:
        """A word from the chief to each other process that serves what the chief has none of."""
        others = (s.server for s in self._plan.slices if not s.is_of(0))
        ranks = [self._server_ranks[server] for server in dict.fromkeys(others)]
        chief, own, self._step_word = self._worker_ranks[0], self._process.rank, zeros(1)
        self._steps_in: Requests = []
        self._steps_out: Requests = []
        if own == chief:
            apart = [rank for rank in ranks if rank != chief]
            self._steps_out = [self._world.Send_init(self._step_word, r, BEGUN) for r in apart]
        elif own in ranks:
            self._steps_in = [self._world.Recv_init(self._step_word, chief, BEGUN)]

    # Exchanges

    def begin(self, step: int) -> None:
        self._complete(self._steps_out)
        MPI.Prequest.Startall(self._steps_out)

    def _await_chief(self, step: int) -> None:
        """Wait until the chief has begun a step."""
        if self._steps_in and self._begun == step:
            self._complete(self._steps_in)
            MPI.Prequest.Startall(self._steps_in)
            self._begun += 1

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        return [self._lower(step, kernels) for step in steps]

    def _lower(self, step: Step, kernels: Kernels) -> Call:
        match step:
            case Run(stretch):
                return kernels.stretch(stretch)
            case Pull(param):
                return lambda step: self._pull(param, step)
            case Push(param):
                return lambda _: self._push(param)
            case Serve(index):
                call = kernels.update(index, _gathered(self._exchanges[index]))
                return lambda step: self._serve(index, call, step)
            case Norm(index):
                exchange = self._exchanges[index]
                out = self._squares[index : index + 1].ctypes.data
                call = kernels.squares(index, _gathered(exchange), out)
                return lambda step: self._weigh(index, call, step)
            case Clip():
                call = kernels.factor(self._squares.ctypes.data)
                return lambda _: self._clip(call)
            case Send() | Receive():
                return self._parcels.lower(step, kernels)
            case Feed():
                raise AssertionError("feeding is the worker's affair")

    def _pull(self, param: int, step: int) -> None:
        self._mark.phase(Phase.AWAITING_PARAMS)
        self.pull(param, step)
        self._mark.phase(Phase.COMPUTING)

    def pull(self, param: int, step: int) -> None:
        if self._versions[param] == step:
            return
        for k in self._slices_of[param]:
            exchange = self._exchanges[k]
            self._complete(exchange.params_in)
            # The next backward writes the gradient again.
            self._complete(exchange.gradients_out)
        self._versions[param] = step

    def _push(self, param: int) -> None:
        for k in self._slices_of[param]:
            exchange, part = self._exchanges[k], self._plan.slices[k]
            if part.server == self._process.server:
                row = part.workers_of(len(self._worker_ranks)).index(self._process.worker)
                exchange.inbox[row] = self.gradients[part.start : part.stop]
            else:
                MPI.Prequest.Startall(exchange.params_in)
                MPI.Prequest.Startall(exchange.gradients_out)
                self.tally.add(
                    len(exchange.gradients_out) * part.floats * BYTES,
                    len(exchange.params_in) * part.floats * BYTES,
                )

    def _weigh(self, index: int, squares: NativeCall, step: int) -> None:
        exchange = self._exchanges[index]
        self._mark.phase(Phase.AWAITING_GRADIENTS)
        self._await_chief(step)
        self._complete(exchange.gradients_in)
        # The double is written anew.
        self._complete(exchange.squares_out)
        self._mark.phase(Phase.COMPUTING)
        squares.function(*squares.arguments)
        MPI.Prequest.Startall(exchange.squares_out)

    def _clip(self, factor: NativeCall) -> None:
        self._mark.phase(Phase.AWAITING_GRADIENTS)
        self._complete(self._squares_in())
        self._mark.phase(Phase.COMPUTING)
        factor.function(*factor.arguments)
        MPI.Prequest.Startall(self._squares_in())

    def _serve(self, index: int, update: NativeCall, step: int) -> None:
        exchange = self._exchanges[index]
        self._mark.phase(Phase.AWAITING_GRADIENTS)
        self._await_chief(step)
        self._complete(exchange.gradients_in)
        # The update is in place.
        self._complete(exchange.params_out)
        self._mark.phase(Phase.COMPUTING)
        if update.function(*update.arguments):
            raise bad_gradient(self._plan.params[self._plan.slices[index].param].name, step)
        self._saving.updates[index] = step + 1
        MPI.Prequest.Startall(exchange.gradients_in)
        MPI.Prequest.Startall(exchange.params_out)
        size = self._plan.slices[index].floats * BYTES
        self.tally.add(len(exchange.params_out) * size, len(exchange.gradients_in) * size)

    # Metrics

    def post(self, slot: int, round_: int, given: Doubles) -> None:
        self._board.post(slot, given)

    def posted(self, slot: int, round_: int) -> bool:
        return self._board.posted(slot)

    def sums(self, slot: int, round_: int) -> Sums:
        return self._board.sums(slot)

    def carried(self, slot: int) -> Doubles:
        return self._board.carried(slot)

    # What the chief announces; messages of one tag from one process arrive in order.

    def announce(self, round_: int, stop: bool) -> None:
        self._complete(self._announcing)
        self._word[0] = stop
        others = [p.rank for p in self._plan.processes if p.rank != self._process.rank]
        self._announcing = [self._world.Isend(self._word, rank, ANNOUNCED) for rank in others]

    def heard(self, round_: int) -> bool:
        word = np.zeros(1, np.int8)
        self._complete([self._world.Irecv(word, self._worker_ranks[0], ANNOUNCED)])
        return bool(word[0])

    # Checkpoints

    def gather(self, step: int) -> None:
        self._saving.gather(step, self._complete)

    # Waiting

    def _complete(self, requests: Sequence[MPI.Request]) -> None:
        if requests:
            self._until(lambda: MPI.Request.Testall(list(requests)))

    def _until(self, done: Callable[[], bool]) -> None:
        def look() -> bool:
            if done():
                return True
            self._saving.grant()
            return False

        patience.until(look, len(self._plan.processes))

    def finish(self) -> None:
        self._complete([*self._announcing, *self._steps_out, *self._parcels.under_way()])
        self._until(self._world.Ibarrier().Test)
        never_come = [r for e in self._exchanges for r in (*e.gradients_in, *e.squares_in)]
        never_come += [*self._parcels.never_come(), *self._saving.made(), *self._steps_in]
        for request in [*never_come, *self._board.never_come()]:
            request.Cancel()
            self._until(request.Test)

    def free(self) -> None:
        for request in self._made():
            request.Free()

    def _made(self) -> Iterator[MPI.Prequest]:
        """Every persistent request."""
        yield from (*self._saving.made(), *self._steps_in, *self._steps_out)
        yield from (*self._parcels.made(), *self._board.made())
        for exchange in self._exchanges:
            yield from (*exchange.gradients_in, *exchange.gradients_out)
            yield from (*exchange.params_in, *exchange.params_out)
            yield from (*exchange.squares_in, *exchange.squares_out)


def _gathered(exchange: Exchange) -> Gathered:
    count, floats = exchange.inbox.shape
    return Gathered(exchange.inbox.ctypes.data, floats * BYTES, count)


def _ranks(roles: Sequence[int | None]) -> list[int]:
    """Rank of worker (or server) 0, 1, ..."""
    found = {role: rank for rank, role in enumerate(roles) if role is not None}
    return [found[k] for k in range(len(found))]


def zeros(floats: int, huge: bool = True) -> Floats:
    """Zeros that take memory only where they are touched, to a page or a huge one."""
    return native.allocate(max(floats, 1) * BYTES, huge).view(np.float32)[:floats]
