"""The server of a process: gradients of its slices -> updated params and states, in place."""

from __future__ import annotations

import math

import numpy as np

from runtime.transport.stub import Arrays, Floats, Gathered, NativeCall
from singac import schedules
from singac.codegen.load import Native
from singac.layers.expression import scalars
from singac.plan.plan import CLIP_SCALE, Plan

FLOAT = 4


class Server:
    """Knows the updater's native call for each slice, and the numbers of each step.

    `table` has the numbers of the step that was begun last, where native calls read them.
    """

    def __init__(self, plan: Plan, native: Native, stub: Arrays) -> None:
        self._plan, self._native, self._stub = plan, native, stub
        # The scalars of the native call, for each pair of scales that a param has.
        params = (plan.params[part.param] for part in plan.slices)
        self._scales = [(p.lr_scale, p.wd_scale) for p in params]
        pairs = dict.fromkeys(self._scales)
        self.table: Floats = np.zeros((len(pairs), len(plan.update.scalars)), np.float32)
        self._scalars = dict(zip(pairs, self.table, strict=True))
        # What a param follows with, for those that are measured.
        self._follows: Floats = np.array([p.follows for p in plan.params], np.float32)
        self._limit = np.array([plan.update.clip_norm])
        self._counts_steps = any("step" in scalars(value) for _, value in plan.update.scalars)
        self._rate, self._count = math.nan, 0

    def update(self, index: int, gathered: Gathered) -> NativeCall:
        """The native call that updates a slice in place."""
        plan, part, stub = self._plan, self._plan.slices[index], self._stub
        w = stub.params.ctypes.data + part.start * FLOAT
        state = stub.states.ctypes.data + part.start * FLOAT
        state_stride = self._plan.param_floats * FLOAT
        floats = part.floats
        gradients = (gathered.address, gathered.stride, gathered.count)
        if plan.params[part.param].follows:
            assert self._native.follow is not None, "a plan with such params has the function"
            share = self._follows.ctypes.data + part.param * FLOAT
            return NativeCall(self._native.follow, (w, *gradients, 0, 0, floats, share))
        scalars = self._scalars[self._scales[index]].ctypes.data
        arguments = (w, *gradients, state, state_stride, floats, scalars)
        return NativeCall(self._native.update, arguments)

    def squares(self, index: int, gathered: Gathered, out: int) -> NativeCall:
        """The native call that writes the sum of squares of a slice's gradient to `out`.

        What a measured param follows is no gradient.
        """
        part = self._plan.slices[index]
        assert self._native.clip is not None, "a plan that clips has the functions for it"
        floats = 0 if self._plan.params[part.param].follows else part.floats
        arguments = (gathered.address, gathered.stride, gathered.count, floats, out)
        return NativeCall(self._native.clip.squares, arguments)

    def factor(self, squares: int) -> NativeCall:
        """The native call that sets the factor of a step by the squares of all slices."""
        assert self._native.clip is not None, "a plan that clips has the functions for it"
        column = [name for name, _ in self._plan.update.scalars].index(CLIP_SCALE)
        out = self.table.ctypes.data + column * FLOAT
        copies, stride = self.table.shape[0], self.table.strides[0]
        slices, limit = len(self._plan.slices), self._limit.ctypes.data
        return NativeCall(self._native.clip.factor, (squares, slices, limit, out, stride, copies))

    def begin(self, step: int, count: int) -> bool:
        """Set the scalars of update number `count`, of a worker group's step `step`.

        Tells whether they were others before.
        """
        rate = schedules.rate(self._plan.update.rate, step)
        changes = rate != self._rate or (self._counts_steps and count != self._count)
        if changes:
            self._rate, self._count = rate, count
            self._set_scalars(rate, count)
        return changes

    def begin_several(self, step: int, ahead: Floats) -> None:
        """The scalars of successive steps, update by update, into [steps][...] like `table`."""
        for k in range(len(ahead)):
            if self.begin(step + k, step + k + 1) or k == 0:
                ahead[k:] = self.table

    def _set_scalars(self, rate: float, count: int) -> None:
        update = self._plan.update
        for (lr_scale, wd_scale), numbers in self._scalars.items():
            decay = update.weight_decay * wd_scale
            numbers[:] = update.values(rate * lr_scale, decay, count)
