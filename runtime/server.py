"""The server of a process: gradients of its slices -> updated params and states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from runtime.stub import Stub
from singac import schedules
from singac.codegen.load import Native
from singac.plan.plan import Plan, Slice

FLOAT = 4


class Server:
    """Applies the updater to slices, in place."""

    def __init__(self, plan: Plan, native: Native, stub: Stub) -> None:
        self._plan, self._stub = plan, stub
        self._update = plan.update
        self._settings = dict(plan.update.rate.settings)
        self._scalars = np.zeros(len(plan.update.scalars), np.float32)
        self._calls = [self._call(native, part) for part in plan.slices]
        # Computed once a step for all params of the same scales.
        self._of_step, self._rate = -1, 0.0
        self._values: dict[tuple[float, float], tuple[float, ...]] = {}

    def serve(self, index: int, step: int) -> None:
        """Wait for step `step`'s gradients of a slice, update it, publish it."""
        gathered = self._stub.collect(index, step)
        self._set_scalars(self._plan.slices[index], step)
        self._calls[index](gathered.address, gathered.stride)
        self._stub.publish(index, step)

    def _call(self, native: Native, part: Slice) -> Callable[[int, int], None]:
        workers, floats = self._plan.topology.workers, part.stop - part.start
        w = self._stub.params.ctypes.data + part.start * FLOAT
        state = self._stub.states.ctypes.data + part.start * FLOAT
        numbers = self._scalars.ctypes.data
        stride = self._plan.param_floats * FLOAT

        def update(gradient: int, gradient_stride: int) -> None:
            native.update(w, gradient, gradient_stride, workers, state, stride, floats, numbers)

        return update

    def _set_scalars(self, part: Slice, step: int) -> None:
        param = self._plan.params[part.param]
        scales = (param.lr_scale, param.wd_scale)
        if self._of_step != step:
            self._of_step = step
            self._rate = schedules.rate(self._update.rate.kind, self._settings, step)
            self._values.clear()
        if scales not in self._values:
            rate, decay = self._rate * scales[0], self._update.weight_decay * scales[1]
            self._values[scales] = self._update.values(rate, decay, step + 1)
        self._scalars[:] = self._values[scales]
