"""A program of the plan -> a list of calls, made once and run each step."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import numpy as np

from runtime.data import Feeder
from runtime.server import Server
from runtime.stub import Call, Doubles, Floats, Gathered, Kernels, NativeCall, Stub
from singac.codegen import native as memory
from singac.codegen.load import Native
from singac.plan.plan import Feed, Plan, Process, Program, padded

TRAIN, TEST, VALIDATE = "train", "test", "validate"


class Worker:
    """Runs the programs of one process; a process without a worker only serves.

    `sums` are the metrics of the rows this worker has seen since they were last zeroed.
    """

    def __init__(
        self, plan: Plan, process: Process, native: Native, stub: Stub, data_folder: str
    ) -> None:
        self._process, self._native, self._stub = process, native, stub
        self._server = Server(plan, native, stub) if process.server is not None else None
        self._batch = 0
        self.sums: Doubles = np.zeros(len(plan.metrics))
        training = plan.training
        self._scalars = np.array([0, training.seed, process.first_row, process.rows], np.int64)
        self._arena = memory.allocate(process.memory.arena)
        self._feeders = {
            part: Feeder(data_folder, plan.data, part, training.batch, training.seed)
            for part in (TRAIN, TEST, VALIDATE)
            if process.worker is not None and plan.data.examples(part)
        }
        self._train = self._calls(process.train, TRAIN)
        self._tests = {
            part: self._calls(process.test, part)
            for part in (TEST, VALIDATE)
            if process.test is not None and part in self._feeders
        }

    def train(self, step: int) -> None:
        """One step: forward, backward and this process's part of the update."""
        self._batch = step
        self._scalars[0] = step
        self.sums.fill(0.0)
        if self._server is not None:
            self._server.begin(step)
        for call in self._train:
            call(step)

    def tests(self, part: str) -> bool:
        """Whether this process has a test program and a part of the data for it."""
        return part in self._tests

    def test(self, part: str, step: int, batches: int) -> int:
        """The first `batches` batches of a part (0: all); gives the examples of a group."""
        feeder = self._feeders[part]
        count = min(batches, feeder.batches) if batches else feeder.batches
        self._scalars[0] = step
        self.sums.fill(0.0)
        for self._batch in range(count):
            for call in self._tests[part]:
                call(step)
        self._scalars[3] = self._process.rows
        return min(count * feeder.batch, feeder.examples)

    # Calls

    def _calls(self, program: Program, part: str) -> list[Call]:
        """Feeding is done here, everything between two feedings by the stub."""
        kernels = Kernels(self._stretch, self._update)
        calls: list[Call] = []
        for feeds, steps in groupby(program.steps, lambda step: isinstance(step, Feed)):
            if feeds:
                calls += [self._feed(program, part) for _ in steps]
            else:
                calls += self._stub.lower(list(steps), kernels)
        return calls

    def _stretch(self, stretch: int) -> NativeCall:
        stub = self._stub
        spaces = (self._arena, stub.params, stub.gradients, self.sums, self._scalars)
        addresses = tuple(space.ctypes.data for space in spaces)
        return NativeCall(self._native.stretches[stretch], addresses)

    def _update(self, index: int, gathered: Gathered) -> NativeCall:
        assert self._server is not None, "a process that serves has a server"
        return self._server.update(index, gathered)

    def _feed(self, program: Program, part: str) -> Call:
        feeder, process = self._feeders[part], self._process
        views, scalars = self._views(program), self._scalars

        def fill(step: int) -> None:
            scalars[3] = feeder.fill(self._batch, process.first_row, process.rows, views)

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
