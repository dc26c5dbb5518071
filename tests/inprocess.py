"""A plan's programs run in this process, on arrays at hand: workers take turns where they exchange.

No MPI: what is tested is the native code and the plan, and of exchanges all but the transport.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.checkpoints.initialise import initial
from runtime.checkpoints.packing import pack, unpack
from runtime.transport.exchange import Tensor, gathered
from singac import schedules
from singac.codegen import load, native
from singac.codegen.load import Native
from singac.plan.plan import (
    CLIP_SCALE,
    Buffer,
    Exchange,
    Feed,
    Param,
    Part,
    Plan,
    Process,
    Program,
    Receive,
    Run,
    Send,
    padded,
)

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
        self._natives: dict[int, Native] = {}
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
        boxes: dict[tuple[int, int], Array] = {}
        running = [
            self._run(process, batch, step, phase, boxes)
            for process in self.plan.processes
            if process.worker is not None
        ]
        while running:
            before = len(boxes)
            done = [next(r, True) for r in running]
            running = [r for r, over in zip(running, done, strict=True) if not over]
            assert any(done) or len(boxes) > before, "workers wait for each other"
        return self.metrics

    def update(self, step: int = 0) -> None:
        """What the servers do with the gradients of a step, all slices in one call."""
        plan = self.plan
        rate = schedules.rate(plan.update.rate, step)
        functions = self._native(plan.processes[0])
        summed = np.sum(self.gradients, axis=0, dtype=np.float32)
        gathered, states = _copy(summed), _copy(np.concatenate([*self.states, summed]))
        clipped = _clipped(plan, summed)
        for param in plan.params:
            decay = plan.update.weight_decay * param.wd_scale
            numbers = plan.update.values(rate * param.lr_scale, decay, step + 1)
            scalars = np.array([*numbers, 0.0], np.float32)
            if clipped is not None:
                scalars[[name for name, _ in plan.update.scalars].index(CLIP_SCALE)] = clipped
            at = param.start * FLOAT
            starts = (self.params.ctypes.data + at, gathered.ctypes.data + at)
            state = (states.ctypes.data + at, self.params.nbytes)
            function = functions.update
            if param.follows and functions.follow is not None:
                function, scalars = functions.follow, np.array([param.follows], np.float32)
            function(*starts, 0, 1, *state, param.floats, scalars.ctypes.data)
        for k, state_values in enumerate(self.states):
            state_values[:] = states[k * plan.param_floats : (k + 1) * plan.param_floats]

    def _run(
        self,
        process: Process,
        batch: Mapping[str, Array],
        step: int,
        phase: str,
        boxes: dict[tuple[int, int], Array],
    ) -> Iterator[bool]:
        """Goes on until a part is missing that another worker has yet to send; gives False then."""
        program = process.train if phase == "train" else process.test
        assert program is not None, f"the plan has no {phase} program"
        assert process.worker is not None, "only workers run"
        arena = native.allocate(process.memory.arena)
        floats = arena.view(np.float32)
        floats[:] = np.nan  # nothing may be read before it is written
        carried = {(process.worker, b.name): _view(arena, b) for b in program.carried}
        for key, state in carried.items():
            state[:] = self.carried.get(key, 0.0)
        stretches = self._native(process).stretches
        seed, whole = self.plan.training.seed, self.plan.training.batch
        scalars = np.array([step, seed, process.first_row, process.rows, whole])
        spaces = (arena, self.params, self.gradients[process.worker], self.metrics, scalars)
        for action in program.steps:
            if isinstance(action, Feed):
                _feed(program, process, arena, batch)
            elif isinstance(action, Run):
                stretches[action.stretch](*(s.ctypes.data for s in spaces))
            elif isinstance(action, Send):
                boxes[action.exchange, process.worker] = _view(arena, action.source).copy()
            elif isinstance(action, Receive):
                exchange = self.plan.exchanges[action.exchange]
                others = [w for w, _ in exchange.received(process.worker)]
                while not all((action.exchange, w) in boxes for w in others):
                    yield False
                _receive(exchange, action, process.worker, arena, boxes)
        self.carried |= {key: state.copy() for key, state in carried.items()}

    def _native(self, process: Process) -> Native:
        """The functions of a process, loaded once."""
        if process.rank not in self._natives:
            self._natives[process.rank] = load.load(self.plan, process)
        return self._natives[process.rank]

    def _param(self, name: str) -> Param:
        return next(p for p in self.plan.params if p.name == name)


def _receive(
    exchange: Exchange,
    action: Receive,
    worker: int,
    arena: NDArray[np.uint8],
    boxes: Mapping[tuple[int, int], Array],
) -> None:
    """What a transport does, with the boxes of the other workers."""

    def tensor(values: Array, part: Part) -> Tensor:
        return Tensor(values.ctypes.data, values.strides[0], part)

    sources = {
        w: tensor(boxes[action.exchange, w], exchange.held[w]) for w, _ in exchange.received(worker)
    }
    if action.source is not None:
        sources[worker] = tensor(_view(arena, action.source), exchange.held[worker])
    out = tensor(_view(arena, action.out), exchange.wanted[worker])
    for call in gathered(load.moves(), exchange, worker, out, sources):
        call.function(*call.arguments)


def _view(arena: NDArray[np.uint8], buffer: Buffer) -> Array:
    """A buffer of the arena with its pads."""
    start = buffer.offset // FLOAT
    floats = arena.view(np.float32)[start : start + buffer.floats]
    view: Array = floats.reshape(buffer.rows, padded(buffer.columns))
    return view


def _feed(
    program: Program, process: Process, arena: NDArray[np.uint8], batch: Mapping[str, Array]
) -> None:
    rows = slice(process.first_row, process.first_row + process.rows)
    for given in program.inputs:
        columns = slice(given.column, given.column + given.buffer.columns)
        values = batch[given.field][slice(None) if given.whole else rows, columns]
        _view(arena, given.buffer)[:, : given.buffer.columns] = values


def _clipped(plan: Plan, gradient: NDArray[np.float32]) -> float | None:
    """The factor by which a gradient shrinks, where the updater has a `clip_norm`."""
    if not plan.update.clip_norm:
        return None
    learned = [gradient[_place(p)] for p in plan.params if not p.follows]
    norm = float(np.linalg.norm(np.concatenate(learned).astype(np.float64)))
    return min(1.0, plan.update.clip_norm / norm) if norm else 1.0


def _place(param: Param) -> slice:
    return slice(param.start, param.start + param.floats)


def _floats(size: int) -> NDArray[np.float32]:
    return native.allocate(size).view(np.float32)


def _copy(values: NDArray[np.float32]) -> NDArray[np.float32]:
    copied = _floats(values.nbytes)
    copied[:] = values
    return copied
