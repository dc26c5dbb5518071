"""A plan's programs run in this process, one worker after the other, on arrays at hand.

No MPI: what is tested is the native code and the plan, not the exchange.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.initialise import initial
from runtime.packing import pack, unpack
from singac import schedules
from singac.codegen import load, native
from singac.plan.plan import Buffer, Feed, Param, Plan, Process, Program, Run, padded

Array = NDArray[np.float64]
FLOAT = 4


class InProcess:
    """All workers of a plan; `params` is the param space, `states` the updater's."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        size = plan.param_floats * FLOAT
        self.params = _floats(size)
        self.states = [_floats(size) for _ in plan.update.states]
        self.gradients = [_floats(size) for _ in range(plan.topology.workers)]
        self.metrics = np.zeros(len(plan.metrics))
        self.carried: dict[tuple[int, str], NDArray[np.float32]] = {}
        for state, (_, value) in zip(self.states, plan.update.states, strict=True):
            state[:] = value
        for param in plan.params:
            pack(param, initial(param, plan.training.seed), self.params[_place(param)])

    def set(self, name: str, values: Array) -> None:
        """Gives a param its canonical values."""
        param = self._param(name)
        pack(param, values.astype(np.float32), self.params[_place(param)])

    def param(self, name: str) -> Array:
        param = self._param(name)
        return unpack(param, self.params[_place(param)]).astype(np.float64)

    def gradient(self, name: str) -> Array:
        """The workers' gradients of a param, summed, in its canonical shape."""
        param = self._param(name)
        parts = [unpack(param, g[_place(param)]).astype(np.float64) for g in self.gradients]
        return np.sum(parts, axis=0)

    def step(self, batch: Mapping[str, Array], step: int = 0, phase: str = "train") -> Array:
        """Every worker's part of a batch [examples][values]; gives the summed metrics."""
        self.metrics[:] = 0
        for process in self.plan.processes:
            if process.worker is not None:
                self._run(process, batch, step, phase)
        return self.metrics

    def update(self, step: int = 0) -> None:
        """What the servers do with the gradients of a step, all slices in one call."""
        plan = self.plan
        rate = schedules.rate(plan.update.rate, step)
        functions = load.load(plan, plan.processes[0])
        summed = np.sum(self.gradients, axis=0, dtype=np.float32)
        gathered, states = _copy(summed), _copy(np.concatenate([*self.states, summed]))
        for param in plan.params:
            decay = plan.update.weight_decay * param.wd_scale
            numbers = plan.update.values(rate * param.lr_scale, decay, step + 1)
            scalars = np.array([*numbers, 0.0], np.float32)
            at = param.start * FLOAT
            starts = (self.params.ctypes.data + at, gathered.ctypes.data + at)
            state = (states.ctypes.data + at, self.params.nbytes)
            function = functions.update
            if param.follows and functions.follow is not None:
                function, scalars = functions.follow, np.array([param.follows], np.float32)
            function(*starts, 0, 1, *state, param.floats, scalars.ctypes.data)
        for k, state_values in enumerate(self.states):
            state_values[:] = states[k * plan.param_floats : (k + 1) * plan.param_floats]

    def _run(self, process: Process, batch: Mapping[str, Array], step: int, phase: str) -> None:
        program = process.train if phase == "train" else process.test
        assert program is not None, f"the plan has no {phase} program"
        assert process.worker is not None, "only workers run"
        arena = native.allocate(process.memory.arena)
        floats = arena.view(np.float32)
        floats[:] = np.nan  # nothing may be read before it is written
        carried = {(process.worker, b.name): _within(b, floats) for b in program.carried}
        for key, state in carried.items():
            state[:] = self.carried.get(key, 0.0)
        stretches = load.load(self.plan, process).stretches
        scalars = np.array([step, self.plan.training.seed, process.first_row, process.rows])
        spaces = (arena, self.params, self.gradients[process.worker], self.metrics, scalars)
        for action in program.steps:
            if isinstance(action, Feed):
                _feed(program, process, arena, batch)
            elif isinstance(action, Run):
                stretches[action.stretch](*(s.ctypes.data for s in spaces))
        self.carried |= {key: state.copy() for key, state in carried.items()}

    def _param(self, name: str) -> Param:
        return next(p for p in self.plan.params if p.name == name)


def _feed(
    program: Program, process: Process, arena: NDArray[np.uint8], batch: Mapping[str, Array]
) -> None:
    rows = slice(process.first_row, process.first_row + process.rows)
    floats = arena.view(np.float32)
    for given in program.inputs:
        view = _within(given.buffer, floats)
        view[:, : given.buffer.columns] = batch[given.field][rows]


def _within(buffer: Buffer, arena: NDArray[np.float32]) -> NDArray[np.float32]:
    """A buffer of the arena, [rows][columns rounded up to whole vectors]."""
    start = buffer.offset // FLOAT
    return arena[start : start + buffer.floats].reshape(buffer.rows, padded(buffer.columns))


def _place(param: Param) -> slice:
    return slice(param.start, param.start + param.floats)


def _floats(size: int) -> NDArray[np.float32]:
    return native.allocate(size).view(np.float32)


def _copy(values: NDArray[np.float32]) -> NDArray[np.float32]:
    copied = _floats(values.nbytes)
    copied[:] = values
    return copied
