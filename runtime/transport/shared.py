"""The stub within a node: one MPI-3 shared window that all processes map.

    | counters | metrics: slots x workers | squares: slices |
    | params | states | gradients: one space a worker | mailboxes |

Nothing is copied: a push, a published slice or a metric is a counter that goes up by one.
A counter that N arrivals a step complete has reached N * t when t steps are complete.

Of a worker's space of gradients only the slices are touched, and take memory, that it has. Slices
that worker 0, the chief, has no gradient of are not updated in a step before it has begun it: what
it saves is of one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from runtime import patience
from runtime.checkpoints import carried
from runtime.divergence import bad_gradient
from runtime.progress import Mark, Phase
from runtime.transport import counters
from runtime.transport.around import Around
from runtime.transport.counters import Counters
from runtime.transport.mail import Mail
from runtime.transport.sequence import Sequence as NativeSequence
from runtime.transport.sequence import WorkedOff
from runtime.transport.stub import (
    RING,
    SLOTS,
    Call,
    Doubles,
    Floats,
    Gathered,
    Kernels,
    Sums,
    total,
)
from runtime.transport.tally import Elsewhere, Tally
from runtime.transport.window import ALIGNMENT, Window
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

FLOAT, DOUBLE = 4, 8


class SharedStub:
    """Exchanges through the window of the node; see `Stub`."""

    def __init__(self, plan: Plan, process: Process, node: MPI.Intracomm, mark: Mark) -> None:
        self._workers, self._processes = plan.topology.workers, len(plan.processes)
        self._metrics = len(plan.metrics)
        self._width = self._metrics + carried.doubles(plan)  # doubles a worker gives
        self._slices, self._params = plan.slices, len(plan.params)
        self._served = slices_served(plan)
        self._pushers = [s.workers_of(self._workers) for s in plan.slices]
        self._param_names = [plan.params[s.param].name for s in plan.slices]
        self._worker, self._node, self._mark = process.worker, node, mark
        self._first_step, self.tally = 0, Tally()
        self._elsewhere = Elsewhere(plan, process)
        self._counters = Counters(self._processes)
        self._mail = Mail(plan, process.worker)
        self._allocate(plan)

    # Memory

    def _allocate(self, plan: Plan) -> None:
        slices, floats = len(plan.slices), plan.param_floats
        states = len(plan.update.states)
        own_counts = (2 * slices + SLOTS + 5) * counters.BYTES
        counts = own_counts + self._mail.counter_bytes
        squares = -(-slices * DOUBLE // ALIGNMENT) * ALIGNMENT
        board = -(-SLOTS * self._workers * self._width * DOUBLE // ALIGNMENT) * ALIGNMENT
        spaces = (1 + states + self._workers) * floats * FLOAT
        boxes = self._mail.box_bytes
        self._window = Window(self._node, counts + board + squares + spaces + boxes)
        memory = self._window.memory
        base = memory.ctypes.data
        self._mail.place(base + own_counts, base + counts + board + squares + spaces)
        places = iter(range(base, base + own_counts, counters.BYTES))
        self._pushed = [next(places) for _ in range(slices)]
        self._updated = [next(places) for _ in range(slices)]
        self._given = [next(places) for _ in range(SLOTS)]
        self._ended, self._announced, self._stop, self._weighed, self._begun = places
        self._squares: Doubles = memory[counts + board :][:squares].view(np.float64)
        board_shape = (SLOTS, self._workers, self._width)
        doubles = memory[counts : counts + board].view(np.float64)
        self._board: Doubles = doubles[: int(np.prod(board_shape))].reshape(board_shape)
        rows = memory[counts + board + squares :][:spaces].view(np.float32).reshape(-1, floats)
        self.params: Floats = rows[0]
        self.states: Floats = rows[1 : 1 + states]
        slots = rows[1 + states :]
        self.gradients: Floats = slots[self._worker] if self._worker is not None else slots[0, :0]
        self._first_gradient = slots.ctypes.data
        self._gradient_stride = floats * FLOAT

    def owns_memory_of_node(self) -> bool:
        return self._node.Get_rank() == 0

    def ready(self, step: int) -> None:
        # A window of one process is not zero as it comes. Pads of gradients must be.
        for piece in self._slices:
            if self._worker is not None and piece.spans(self._worker):
                self.gradients[piece.start : piece.stop].fill(0.0)
        self._first_step = step
        if self.owns_memory_of_node():
            self._board.fill(0.0)
            self._squares.fill(0.0)
            self._set_counters(step)
        self._mail.reset(self._counters if self.owns_memory_of_node() else None)
        patience.until(self._node.Ibarrier().Test, self._processes)

    def _set_counters(self, step: int) -> None:
        for counter in (*self._given, self._ended, self._announced, self._stop):
            self._counters.set(counter, 0)
        self._counters.set(self._weighed, len(self._served) * step)
        self._counters.set(self._begun, step)
        for pushed, workers in zip(self._pushed, self._pushers, strict=True):
            self._counters.set(pushed, len(workers) * step)
        for updated in self._updated:
            self._counters.set(updated, step)

    # Exchanges

    def begin(self, step: int) -> None:
        self._counters.arrive(self._begun, 1)

    def pull(self, param: int, step: int) -> None:
        for index in self._served:
            if self._slices[index].param == param:
                self._counters.wait(self._updated[index], step)

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        sequence = NativeSequence(self._processes, self._mark, self.tally)
        for step in steps:
            self._lower(sequence, step, kernels)
        return [sequence.finished()] if steps else []

    def lower_training(
        self, steps: Sequence[Step], kernels: Kernels, with_them: Around
    ) -> WorkedOff:
        """Whole training steps, with what `begin` and `post` do, as one call."""
        sequence = NativeSequence(self._processes, self._mark, self.tally)
        if self._worker == 0:
            sequence.arrive(self._begun, 1)
        for call in with_them.before:
            sequence.call_of_step(call.function, *call.arguments)
        for step in steps:
            self._lower(sequence, step, kernels)
        if self._worker is not None:
            self._lower_post(sequence, with_them, self._worker)
        return sequence.finished()

    def _lower_post(self, sequence: NativeSequence, given: Around, worker: int) -> None:
        """As `post` does it: where a sum is not finite, nothing is given."""
        helpers, sums, first = given.helpers, given.sums, given.first_step
        slot, row = self._board[0], self._board[0, worker]
        sequence.call(helpers.unsound, sums.ctypes.data, sums.size, refused=given.refused)
        sequence.wait(self._begun, 1, 1, Phase.AWAITING_METRICS)
        board = (row.ctypes.data, slot.nbytes, sums.ctypes.data, sums.nbytes, first, 0, 0)
        sequence.call_of_step(helpers.slotted, *board)
        counter = (self._given[0], self._workers, self._counters.kernel, first, 0, 0, 0)
        sequence.call_of_step(helpers.told, *counter)

    def _lower(self, sequence: NativeSequence, step: Step, kernels: Kernels) -> None:
        match step:
            case Run(stretch):
                call = kernels.stretch(stretch)
                sequence.call(call.function, *call.arguments)
            case Pull(param):
                for index in self._own(param):
                    sequence.wait(self._updated[index], 1, 0, Phase.AWAITING_PARAMS)
                    sequence.moves(received=self._elsewhere.owned(index))
            case Push(param):
                for index in self._own(param):
                    sequence.arrive(self._pushed[index], len(self._pushers[index]))
                    sequence.moves(sent=self._elsewhere.owned(index))
            case Serve(index):
                self._lower_serve(sequence, index, kernels)
            case Norm(index):
                self._lower_norm(sequence, index, kernels)
            case Clip():
                call = kernels.factor(self._squares.ctypes.data)
                sequence.wait(self._weighed, len(self._served), 1, Phase.AWAITING_GRADIENTS)
                sequence.call(call.function, *call.arguments)
            case Send() | Receive():
                self._mail.lower(sequence, step, kernels)
            case Feed():
                raise AssertionError("feeding is the worker's affair")

    def _own(self, param: int) -> list[int]:
        assert self._worker is not None, "params are the workers' to use"
        return slices_used(self._slices, self._served, param, self._worker)

    def _lower_norm(self, sequence: NativeSequence, index: int, kernels: Kernels) -> None:
        """Write the squares when nobody reads those of the step before any more."""
        for updated in map(self._updated.__getitem__, self._served):
            sequence.wait(updated, 1, 0, Phase.AWAITING_GRADIENTS)
        out = self._squares.ctypes.data + index * DOUBLE
        call = kernels.squares(index, self._gathered(index), out)
        self._await_gradients(sequence, index)
        sequence.call(call.function, *call.arguments)
        sequence.arrive(self._weighed, len(self._served))

    def _lower_serve(self, sequence: NativeSequence, index: int, kernels: Kernels) -> None:
        call = kernels.update(index, self._gathered(index))

        def refused(step: int) -> None:
            raise bad_gradient(self._param_names[index], step)

        self._await_gradients(sequence, index)
        sequence.call(call.function, *call.arguments, refused=refused)
        sequence.arrive(self._updated[index], 1)
        moved = self._elsewhere.pushed(index)
        sequence.moves(sent=moved, received=moved)

    def _await_gradients(self, sequence: NativeSequence, index: int) -> None:
        pushers = self._pushers[index]
        if 0 not in pushers:
            sequence.wait(self._begun, 1, 1, Phase.AWAITING_GRADIENTS)
        sequence.wait(self._pushed[index], len(pushers), 1, Phase.AWAITING_GRADIENTS)

    def _gathered(self, index: int) -> Gathered:
        """Those of the workers that have a gradient; who is between them has zeros."""
        first, *_, last = (*self._pushers[index], self._pushers[index][-1])
        start = self._first_gradient + first * self._gradient_stride
        start += self._slices[index].start * FLOAT
        return Gathered(start, self._gradient_stride, last - first + 1)

    def post(self, slot: int, round_: int, given: Doubles) -> None:
        if slot < RING:
            # Who waits for nobody else must not use a slot before the chief has read it.
            step = self._first_step + round_ * RING + slot
            self._counters.wait(self._begun, step + 1)
        self._board[slot, self._worker] = given
        self._counters.arrive(self._given[slot], self._workers)

    def posted(self, slot: int, round_: int) -> bool:
        return self._counters.reached(self._given[slot], self._workers * (round_ + 1))

    def sums(self, slot: int, round_: int) -> Sums:
        self._counters.wait(self._given[slot], self._workers * (round_ + 1))
        return total(self._board[slot, :, : self._metrics])

    def carried(self, slot: int) -> Doubles:
        return self._board[slot, :, self._metrics :]

    def announce(self, round_: int, stop: bool) -> None:
        # Who hears an announcement late must not take a later one for it: so it has its number.
        if stop:
            self._counters.set(self._stop, round_ + 1)
        self._counters.arrive(self._announced, 1)

    def heard(self, round_: int) -> bool:
        self._counters.wait(self._announced, round_ + 1)
        stops = self._counters.reached(self._stop, 1)
        return stops and not self._counters.reached(self._stop, round_ + 2)

    def gather(self, step: int) -> None:
        """All lies in the window already."""

    def finish(self) -> None:
        self._counters.arrive(self._ended, self._processes)
        self._counters.wait(self._ended, self._processes)

    def free(self) -> None:
        self._window.free()


def slices_served(plan: Plan) -> list[int]:
    """The slices that servers update, in order; none of a param that no loss depends on."""
    programs = [p.train if p.serve is None else p.serve for p in plan.processes]
    served = [s.slice for program in programs for s in program.steps if isinstance(s, Serve)]
    return sorted(dict.fromkeys(served))


def slices_used(
    slices: Sequence[Slice], served: Sequence[int], param: int, worker: int
) -> list[int]:
    """The served slices of a param of which a worker of a group has a gradient."""
    own = (k for k in served if slices[k].param == param)
    return [k for k in own if slices[k].is_of(worker)]
