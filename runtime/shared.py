"""The stub within a node: one MPI-3 shared window that all processes map.

    | counters | metrics: slots x workers | squares: slices |
    | params | states | gradients: one space a worker | mailboxes |

Nothing is copied: a push, a published slice or a metric is a counter that goes up by one.
A counter that N arrivals a step complete has reached N * t when t steps are complete.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from runtime import carried, counters, patience
from runtime.counters import Counters
from runtime.divergence import bad_gradient
from runtime.mail import Mail
from runtime.progress import Mark, Phase
from runtime.sequence import Sequence as NativeSequence
from runtime.stub import SLOTS, Call, Doubles, Floats, Gathered, Kernels, Sums, total
from runtime.window import ALIGNMENT, Window
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
    Step,
)

FLOAT, DOUBLE = 4, 8


class SharedStub:
    """Exchanges through the window of the node; see `Stub`."""

    def __init__(self, plan: Plan, process: Process, node: MPI.Intracomm, mark: Mark) -> None:
        self._workers, self._processes = plan.topology.workers, len(plan.processes)
        self._metrics = len(plan.metrics)
        self._width = self._metrics + carried.doubles(plan)  # doubles a worker gives
        self._slices_of = slices_served(plan)
        self._param_of = [s.param for s in plan.slices]
        self._param_names = [p.name for p in plan.params]
        self._starts = [s.start * FLOAT for s in plan.slices]
        self._worker, self._node, self._mark = process.worker, node, mark
        self._counters = Counters(self._processes)
        self._mail = Mail(plan, process.worker)
        self._allocate(plan)

    # Memory

    def _allocate(self, plan: Plan) -> None:
        params, floats = len(plan.params), plan.param_floats
        states = len(plan.update.states)
        own_counts = (2 * params + SLOTS + 4) * counters.BYTES
        counts = own_counts + self._mail.counter_bytes
        squares = -(-len(plan.slices) * DOUBLE // ALIGNMENT) * ALIGNMENT
        board = -(-SLOTS * self._workers * self._width * DOUBLE // ALIGNMENT) * ALIGNMENT
        spaces = (1 + states + self._workers) * floats * FLOAT
        boxes = self._mail.box_bytes
        self._window = Window(self._node, counts + board + squares + spaces + boxes)
        memory = self._window.memory
        base = memory.ctypes.data
        self._mail.place(base + own_counts, base + counts + board + squares + spaces)
        self._pushed = [base + p * counters.BYTES for p in range(params)]
        self._updated = [base + (params + p) * counters.BYTES for p in range(params)]
        self._given = [base + (2 * params + k) * counters.BYTES for k in range(SLOTS)]
        self._ended, self._announced, self._stop, self._weighed = (
            base + (2 * params + SLOTS + k) * counters.BYTES for k in range(4)
        )
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
        self.gradients.fill(0.0)
        if self.owns_memory_of_node():
            self._board.fill(0.0)
            self._squares.fill(0.0)
            self._set_counters(step)
        self._mail.reset(self._counters if self.owns_memory_of_node() else None)
        patience.until(self._node.Ibarrier().Test, self._processes)

    def _set_counters(self, step: int) -> None:
        for counter in (*self._given, self._ended, self._announced, self._stop):
            self._counters.set(counter, 0)
        self._counters.set(self._weighed, sum(self._slices_of) * step)
        for pushed, updated, slices in zip(
            self._pushed, self._updated, self._slices_of, strict=True
        ):
            self._counters.set(pushed, self._workers * step)
            self._counters.set(updated, slices * step)

    # Exchanges

    def pull(self, param: int, step: int) -> None:
        self._counters.wait(self._updated[param], self._slices_of[param] * step)

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        sequence = NativeSequence(self._processes, self._mark)
        for step in steps:
            self._lower(sequence, step, kernels)
        return [sequence.finished()] if steps else []

    def _lower(self, sequence: NativeSequence, step: Step, kernels: Kernels) -> None:
        match step:
            case Run(stretch):
                call = kernels.stretch(stretch)
                sequence.call(call.function, *call.arguments)
            case Pull(param):
                slices = self._slices_of[param]
                sequence.wait(self._updated[param], slices, 0, Phase.AWAITING_PARAMS)
            case Push(param):
                sequence.arrive(self._pushed[param], self._workers)
            case Serve(index):
                self._lower_serve(sequence, index, kernels)
            case Norm(index):
                self._lower_norm(sequence, index, kernels)
            case Clip():
                slices = sum(self._slices_of)
                call = kernels.factor(self._squares.ctypes.data)
                sequence.wait(self._weighed, slices, 1, Phase.AWAITING_GRADIENTS)
                sequence.call(call.function, *call.arguments)
            case Send():
                self._mail.lower_send(sequence, step, kernels)
            case Receive():
                self._mail.lower_receive(sequence, step, kernels)
            case Feed():
                raise AssertionError("feeding is the worker's affair")

    def _lower_norm(self, sequence: NativeSequence, index: int, kernels: Kernels) -> None:
        param = self._param_of[index]
        out = self._squares.ctypes.data + index * DOUBLE
        call = kernels.squares(index, self._gathered(index), out)
        sequence.wait(self._pushed[param], self._workers, 1, Phase.AWAITING_GRADIENTS)
        sequence.call(call.function, *call.arguments)
        sequence.arrive(self._weighed, sum(self._slices_of))

    def _gathered(self, index: int) -> Gathered:
        return Gathered(self._first_gradient + self._starts[index], self._gradient_stride)

    def _lower_serve(self, sequence: NativeSequence, index: int, kernels: Kernels) -> None:
        param = self._param_of[index]
        call = kernels.update(index, self._gathered(index))

        def refused(step: int) -> None:
            raise bad_gradient(self._param_names[param], step)

        sequence.wait(self._pushed[param], self._workers, 1, Phase.AWAITING_GRADIENTS)
        sequence.call(call.function, *call.arguments, refused=refused)
        sequence.arrive(self._updated[param], self._slices_of[param])

    def post(self, slot: int, round_: int, given: Doubles) -> None:
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

    def gather_states(self) -> None:
        """They lie in the window already."""

    def finish(self) -> None:
        self._counters.arrive(self._ended, self._processes)
        self._counters.wait(self._ended, self._processes)

    def free(self) -> None:
        self._window.free()


def slices_served(plan: Plan) -> list[int]:
    """Slices of each param that a server updates; none of one that no loss depends on."""
    programs = [p.train if p.serve is None else p.serve for p in plan.processes]
    steps = [step for program in programs for step in program.steps]
    served = dict.fromkeys(step.slice for step in steps if isinstance(step, Serve))
    params = [plan.slices[index].param for index in served]
    return [params.count(param) for param in range(len(plan.params))]
