"""A program of the plan -> a list of calls, made once and run each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.checkpoints import carried
from runtime.divergence import check_metrics, named_metrics
from runtime.process.feeding import Feeding, FeedingAhead, Feeds
from runtime.process.server import Server
from runtime.trace import END, Label, Recorder
from runtime.transport.stub import Call, Doubles, Floats, Gathered, Kernels, NativeCall, Spaces
from singac.codegen import native as memory
from singac.codegen.load import Native
from singac.plan.plan import Buffer, Feed, Plan, Process, Program, Step, padded
from singac.plan.show import words

TRAIN, TEST, VALIDATE = "train", "test", "validate"


@dataclass(frozen=True, slots=True)
class Test:
    """The test program as calls, and what feeds it."""

    feeder: Feeding
    calls: list[Call]


@dataclass(frozen=True, slots=True)
class Fed:
    """A buffer of the arena, [rows][columns and pads], fed with a field from a column on."""

    field: str
    buffer: Floats
    columns: int
    first_column: int
    first_row: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What a training step is made of: how it is fed, the steps after that, and their memory."""

    feeder: FeedingAhead | None
    fed: tuple[Fed, ...]
    steps: tuple[Step, ...]
    kernels: Kernels
    server: Server | None
    scalars: NDArray[np.int64]
    sums: Doubles


class Worker:
    """Runs the programs of one process; a process without a worker only serves.

    `sums` are the metrics of the rows this worker has seen since they were last zeroed, `given` has
    with them the states that it carries on. `feeding` counts the seconds that reading has taken.
    """

    def __init__(
        self,
        plan: Plan,
        process: Process,
        native: Native,
        stub: Spaces,
        feeds: Feeds,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder, self._feeds = recorder, feeds
        self._process, self._native, self._stub = process, native, stub
        turns = process.server is not None and process.serve is None
        self._server = Server(plan, native, stub) if turns else None
        self._batch, self._groups = 0, plan.topology.worker_groups
        self._group = plan.topology.group_of_worker(process.worker or 0)
        self.feeding = 0.0
        metrics = len(plan.metrics)
        self.given: Doubles = np.zeros(metrics + carried.doubles(plan))
        self.sums, self._states_given = self.given[:metrics], self.given[metrics:]
        self._plan, training = plan, plan.training
        self._metrics = named_metrics(plan)
        numbers = (0, training.seed, process.first_row, process.rows, training.batch)
        self._scalars = np.array(numbers, np.int64)
        self._arena = memory.allocate(process.memory.arena)
        self.is_chief = process.worker == 0
        self._feeder = feeds(TRAIN, False) if process.worker is not None else None
        self._states = self._carried(process.train)
        self._train: list[Call] = []
        self._tests: dict[str, Test] = {}

    def train(self, step: int) -> None:
        """One step: forward, backward and this process's part of the update. Raises Diverged."""
        # Together the groups read every batch once, and no two draw alike.
        self._batch = self._scalars[0] = step * self._groups + self._group
        self.sums.fill(0.0)
        if self._server is not None:
            self._server.begin(step, step + 1)
        for call in self._train:
            call(step)
        carried.give(self._states, self._states_given)
        self.check(step)

    def check(self, step: int) -> None:
        """Raises Diverged where a metric of a step is not finite."""
        check_metrics(zip(self._metrics, self.sums.tolist(), strict=True), f"in step {step + 1}")

    def lower(self) -> None:
        """Make the calls of a training step, for `train`."""
        self._train = self._calls(self._process.train, self._feeder)

    def parts(self) -> Parts | None:
        """Of a training step that needs no Python after its examples are read.

        One with states that are carried does, and one that is traced.
        """
        program, first = self._process.train, self._process.first_row
        steps = [step for step in program.steps if not isinstance(step, Feed)]
        feeder = self._feeder
        if self._recorder is not None or self._plan.training.carry or self._states:
            return None
        if not isinstance(feeder, FeedingAhead | None):
            return None
        before = len(program.steps) - len(steps)
        assert program.steps[before:] == tuple(steps), "a step is fed before all else"
        fed = [
            Fed(i.field, self._view(i.buffer), i.buffer.columns, i.column, 0 if i.whole else first)
            for i in program.inputs
        ]
        kernels, server = self._kernels(), self._server
        return Parts(feeder, tuple(fed), tuple(steps), kernels, server, self._scalars, self.sums)

    def resume(self, folder: Path) -> None:
        """Take the states of a checkpoint; raises checkpoint.Damaged."""
        if self._states:
            for name, values in carried.load(self._plan, self._process, folder).items():
                self._states[name][:] = values

    def tests(self, part: str) -> bool:
        """Whether this process has a test program and a part of the data for it."""
        return self._process.test is not None and self._plan.data.examples(part) > 0

    def test(self, part: str, step: int, batches: int) -> int:
        """The first `batches` batches of a part (0: all); gives the examples of a group."""
        feeder = self._of(part).feeder
        count = min(batches, feeder.batches) if batches else feeder.batches
        for _ in self.batches(part, step, count):
            pass
        return min(count * feeder.batch, feeder.examples)

    def batches(self, part: str, step: int, count: int) -> Iterator[int]:
        """Run the test program on `count` batches; gives how many rows of each are examples."""
        calls = self._of(part).calls
        self._scalars[0] = step
        self.sums.fill(0.0)
        for self._batch in range(count):
            for call in calls:
                call(step)
            yield int(self._scalars[3])
        self._scalars[3:] = self._process.rows, self._plan.training.batch

    def tensor(self, name: str) -> Floats:
        """A tensor of the test program, [steps][rows][columns]."""
        program = self._process.test
        assert program is not None, "only a process with a test program has tensors to show"
        buffer = next(b for b in program.buffers if b.name == name)
        whole = self._view(buffer).reshape(buffer.steps, -1, padded(buffer.columns))
        return whole[..., : buffer.columns]

    def _of(self, part: str) -> Test:
        """The test program fed from a part, made when it is first asked for."""
        if part not in self._tests:
            assert self._process.test is not None, "only a process with a test program tests"
            feeder = self._feeds(part, True)
            self._tests[part] = Test(feeder, self._calls(self._process.test, feeder))
        return self._tests[part]

    # Calls

    def _calls(self, program: Program, feeder: Feeding | None) -> list[Call]:
        """Feeding is done here, everything between two feedings by the stub."""
        kernels = self._kernels()
        if self._recorder is not None:
            return self._recorded(program, feeder, kernels, self._recorder)
        calls: list[Call] = []
        for feeds, steps in groupby(program.steps, lambda step: isinstance(step, Feed)):
            if feeds:
                calls += [self._feed(program, feeder) for _ in steps]
            else:
                calls += self._stub.lower(list(steps), kernels)
        return calls

    def _kernels(self) -> Kernels:
        return Kernels(
            self._stretch,
            self._update,
            self._squares,
            self._factor,
            self._native.moves,
            lambda buffer: int(self._arena.ctypes.data) + buffer.offset,
        )

    def _recorded(
        self, program: Program, feeder: Feeding | None, kernels: Kernels, recorder: Recorder
    ) -> list[Call]:
        """Each step by itself, with notes of its beginning and its end."""
        calls: list[Call] = []
        for position, step in enumerate(program.steps):
            feeds = isinstance(step, Feed)
            own = [self._feed(program, feeder)] if feeds else self._stub.lower([step], kernels)
            label = Label(program.phase, position, *words(self._plan, step))
            code = recorder.label(label)
            calls += [partial(_note, recorder, code), *own, partial(_note, recorder, END)]
        recorder.save()
        return calls

    def _stretch(self, stretch: int) -> NativeCall:
        stub = self._stub
        spaces = (self._arena, stub.params, stub.gradients, self.sums, self._scalars)
        addresses = tuple(space.ctypes.data for space in spaces)
        routine = self._native.stretches[stretch]
        return NativeCall(routine.function, (routine.address, *addresses))

    def _update(self, index: int, gathered: Gathered) -> NativeCall:
        return self._serving().update(index, gathered)

    def _squares(self, index: int, gathered: Gathered, out: int) -> NativeCall:
        return self._serving().squares(index, gathered, out)

    def _factor(self, squares: int) -> NativeCall:
        return self._serving().factor(squares)

    def _serving(self) -> Server:
        assert self._server is not None, "a process that serves has a server"
        return self._server

    def _feed(self, program: Program, feeder: Feeding | None) -> Call:
        assert feeder is not None, "only programs of workers are fed"
        process = self._process
        scalars, batch = self._scalars, self._plan.training.batch
        own = self._views(program, whole=False)
        others = self._views(program, whole=True)
        states = self._carried(program)

        def fill(step: int) -> None:
            start = time.perf_counter()
            number = self._batch
            if feeder.begins(number):
                for state in states.values():
                    state.fill(0.0)
            for first, views in own:
                scalars[3] = feeder.fill(number, process.first_row, process.rows, views, first)
            for first, views in others:
                scalars[4] = feeder.fill(number, 0, batch, views, first)
            self.feeding += time.perf_counter() - start

        return fill

    def _views(self, program: Program, whole: bool) -> list[tuple[int, dict[str, Floats]]]:
        """The buffers of fields, with the first column that they take.

        A field that is read several times is in several of these: two layers may each have all
        rows of it, at different workers.
        """
        found: list[tuple[int, dict[str, Floats]]] = [(0, {})]
        for given in program.inputs:
            if given.whole == whole:
                view = self._view(given.buffer)[:, : given.buffer.columns]
                alike = (v for at, v in found if at == given.column and given.field not in v)
                if (views := next(alike, None)) is None:
                    found.append((given.column, views := {}))
                views[given.field] = view
        return found

    def _carried(self, program: Program) -> dict[str, Floats]:
        """What a program carries on, [steps][rows][columns] by the name of its buffer."""
        whole = {b.name: (b, self._view(b)) for b in program.carried}
        return {
            name: view.reshape(b.steps, -1, view.shape[1])[..., : b.columns]
            for name, (b, view) in whole.items()
        }

    def _view(self, buffer: Buffer) -> Floats:
        """A buffer of the arena, [rows][columns rounded up to whole vectors]."""
        floats = self._arena.view(np.float32)
        start = buffer.offset // floats.itemsize
        space = floats[start : start + buffer.floats]
        return space.reshape(buffer.rows, padded(buffer.columns))


def _note(recorder: Recorder, code: int, step: int) -> None:
    recorder.note(code)
