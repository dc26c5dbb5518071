"""A program of the plan -> a list of calls, made once and run each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from runtime.data import Feeder
from runtime.progress import Mark, Phase
from runtime.server import Server
from runtime.stub import Doubles, Floats, Stub
from singac.codegen import native as memory
from singac.codegen.load import Native
from singac.plan.plan import Feed, Plan, Process, Program, Pull, Push, Run, Serve, Step, padded

Call = Callable[[], object]
TRAIN, TEST = "train", "test"


class Worker:
    """Runs the programs of one process; a process without a worker only serves.

    `sums` are the metrics of the rows this worker has seen since they were last zeroed.
    """

    def __init__(
        self, plan: Plan, process: Process, native: Native, stub: Stub, mark: Mark, data_folder: str
    ) -> None:
        self._process, self._native, self._stub, self._mark = process, native, stub, mark
        self._server = Server(plan, native, stub) if process.server is not None else None
        self._step = self._batch = 0
        self.sums: Doubles = np.zeros(len(plan.metrics))
        training = plan.training
        self._scalars = np.array([0, training.seed, process.first_row, process.rows], np.int64)
        self._arena = memory.allocate(process.memory.arena)
        self._feeders = {
            phase: Feeder(data_folder, plan.data, phase, training.batch, training.seed)
            for phase in self._fed_phases(plan)
        }
        self._train = self._calls(process.train)
        self._test = self._calls(process.test) if process.test and plan.data.test else []

    def _fed_phases(self, plan: Plan) -> list[str]:
        if self._process.worker is None:
            return []
        return [TRAIN, TEST] if self._process.test and plan.data.test else [TRAIN]

    def train(self, step: int) -> None:
        """One step: forward, backward and this process's part of the update."""
        self._step = self._batch = step
        self._scalars[0] = step
        self.sums.fill(0.0)
        for call in self._train:
            call()

    @property
    def tests(self) -> bool:
        """Whether this process has a test program and data for it."""
        return bool(self._test)

    def test(self, step: int, batches: int) -> int:
        """The first `batches` batches of the test part (0: all); gives the examples of a group."""
        feeder = self._feeders[TEST]
        count = min(batches, feeder.batches) if batches else feeder.batches
        self._step = self._scalars[0] = step
        self.sums.fill(0.0)
        for self._batch in range(count):
            for call in self._test:
                call()
        self._scalars[3] = self._process.rows
        return min(count * feeder.batch, feeder.examples)

    # Calls

    def _calls(self, program: Program) -> list[Call]:
        return [self._call(program, step) for step in program.steps]

    def _call(self, program: Program, step: Step) -> Call:
        match step:
            case Feed():
                return self._feed(program)
            case Run(stretch):
                return partial(self._native.stretches[stretch], *self._addresses())
            case Pull(param):
                return partial(self._pull, param)
            case Push(param):
                return partial(self._push, param)
            case Serve(index):
                return partial(self._serve, index)

    def _addresses(self) -> tuple[int, ...]:
        stub = self._stub
        spaces = (self._arena, stub.params, stub.gradients, self.sums, self._scalars)
        return tuple(space.ctypes.data for space in spaces)

    def _feed(self, program: Program) -> Call:
        feeder, process = self._feeders[program.phase], self._process
        views = self._views(program)

        def fill() -> None:
            first, rows = process.first_row, process.rows
            self._scalars[3] = feeder.fill(self._batch, first, rows, views)

        return fill

    def _views(self, program: Program) -> Mapping[str, Floats]:
        floats = self._arena.view(np.float32)
        views = {}
        for given in program.inputs:
            buffer = given.buffer
            start = buffer.offset // floats.itemsize
            space = floats[start : start + buffer.floats]
            views[given.field] = space.reshape(buffer.rows, padded(buffer.columns))
        return views

    def _pull(self, param: int) -> None:
        self._mark.phase(Phase.AWAITING_PARAMS)
        self._stub.pull(param, self._step)
        self._mark.phase(Phase.COMPUTING)

    def _push(self, param: int) -> None:
        self._stub.push(param, self._step)

    def _serve(self, index: int) -> None:
        assert self._server is not None, "a process that serves has a server"
        self._mark.phase(Phase.AWAITING_GRADIENTS)
        self._server.serve(index, self._step)
        self._mark.phase(Phase.COMPUTING)
