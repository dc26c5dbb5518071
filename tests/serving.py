"""The server of a plan on arrays at hand: gradients in, params and states out, as in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.checkpoints.initialise import initial
from runtime.checkpoints.packing import pack, part, unpack
from runtime.process.server import Server
from runtime.transport.stub import Call, Gathered, Kernels, NativeCall
from singac.codegen import load, native
from singac.plan.plan import Param, Plan, Step

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
FLOAT, DOUBLE = 4, 8


class Serving:
    """All slices of a plan in one place; a worker's gradients are a row of `gradients`."""

    def __init__(self, plan: Plan) -> None:
        floats, states = plan.param_floats, len(plan.update.states)
        self.plan = plan
        self.params = _zeros(floats)
        self.states = _zeros(max(states, 1) * floats).reshape(-1, floats)[:states]
        self.gradients = _zeros(plan.topology.workers * floats).reshape(-1, floats)
        for row, (_, value) in zip(self.states, plan.update.states, strict=True):
            row[:] = value
        for param in plan.params:
            pack(param, initial(param, plan.training.seed), part(param, self.params))
        self._squares = np.zeros(len(plan.slices))
        functions = load.Native({}, load.updater(plan.update), load.clip())
        self._server = Server(plan, functions, self)

    def step(self, step: int, gradients: Sequence[dict[str, Array]]) -> bool:
        """Update with each worker's gradients; whether they were all finite."""
        for row, given in zip(self.gradients, gradients, strict=True):
            for param in self.plan.params:
                pack(param, given[param.name].astype(np.float32), part(param, row))
        self._server.begin(step, step + 1)
        slices = range(len(self.plan.slices))
        if self.plan.update.clip_norm:
            for k in slices:
                place = self._squares.ctypes.data + k * DOUBLE
                _run(self._server.squares(k, self._gathered(k), place))
            _run(self._server.factor(self._squares.ctypes.data))
        refusals = [_run(self._server.update(k, self._gathered(k))) for k in slices]
        return not any(refusals)

    def param(self, name: str) -> Array:
        return unpack(self._named(name), part(self._named(name), self.params)).astype(np.float64)

    def _named(self, name: str) -> Param:
        return next(p for p in self.plan.params if p.name == name)

    def _gathered(self, index: int) -> Gathered:
        start = self.gradients.ctypes.data + self.plan.slices[index].start * FLOAT
        return Gathered(start, self.gradients.strides[0], len(self.gradients))

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        raise AssertionError("programs are not run here")


def _run(call: NativeCall) -> int:
    return call.function(*call.arguments)


def _zeros(floats: int) -> Floats:
    return native.allocate(floats * FLOAT).view(np.float32)[:floats]
