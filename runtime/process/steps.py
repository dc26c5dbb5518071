"""Training steps of a process: one after the other, or several in one native call.

    one by one    begin | read, scale | run, push, serve .. | look at metrics | post
    together      read and scale for n steps | n times all the rest, natively

Where many processes share a core each comes back to a cold cache, and what Python does between two
short steps would take as long as the steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from runtime.process.chief import slot_of
from runtime.process.worker import Parts, Worker
from runtime.progress import STEP, Mark
from runtime.transport import around
from runtime.transport.around import Around
from runtime.transport.sequence import WorkedOff
from runtime.transport.stub import Floats, Kernels, NativeCall, Stub
from singac.plan import plan as plans

MOST = 64  # steps in one call
STAGED_BYTES = 1 << 19  # of examples read ahead
WORD = 8


class Steps(Protocol):
    """How a process trains; `most` steps may be asked for at once."""

    most: int

    def do(self, step: int, count: int) -> None:
        """Steps `step` to `step + count`, metrics given to the chief. Raises Diverged."""


@runtime_checkable
class Whole(Protocol):
    """A stub that does whole training steps natively."""

    def lower_training(
        self, steps: Sequence[plans.Step], kernels: Kernels, with_them: Around
    ) -> WorkedOff: ...


def steps_of(worker: Worker, stub: Stub, mark: Mark, first_step: int, gives: bool) -> Steps:
    """The way of a worker that begins with `first_step`, and `gives` metrics or does not."""
    parts = worker.parts()
    if parts is not None and isinstance(stub, Whole):
        return Together(worker, parts, stub, mark, first_step)
    return OneByOne(worker, stub, first_step, gives)


class OneByOne:
    """With Python in between."""

    def __init__(self, worker: Worker, stub: Stub, first_step: int, gives: bool) -> None:
        self.most = 1
        self._worker, self._stub = worker, stub
        self._first_step, self._gives = first_step, gives
        worker.lower()

    def do(self, step: int, count: int) -> None:
        assert count == 1, "one by one"
        if self._worker.is_chief:
            self._stub.begin(step)
        self._worker.train(step)
        if self._gives:
            self._stub.post(*slot_of(step - self._first_step), self._worker.given)


@dataclass(frozen=True, slots=True)
class _Staged:
    """What the steps of a call find one after the other; `now` is where a step looks for it.

    A call of a single step needs no room of its own: it is put where the step looks.
    """

    ahead: Floats  # [steps][...]
    now: Floats  # [...]

    @staticmethod
    def of(now: Floats, most: int) -> _Staged:
        """Room for `most` steps."""
        return _Staged(np.zeros((most, *now.shape), np.float32) if most > 1 else now[None], now)


class Together:
    """Without. The chief, who tells how it goes, does one step a call all the same."""

    def __init__(
        self, worker: Worker, parts: Parts, stub: Whole, mark: Mark, first_step: int
    ) -> None:
        self._worker, self._parts = worker, parts
        self.most = most = 1 if worker.is_chief else _most(parts)
        self._first = np.zeros(1, np.int64)  # the step that a call begins with
        self._fed = [_Staged.of(fed.buffer, most) for fed in parts.fed]
        server = parts.server
        self._numbers = _Staged.of(server.table, most) if server is not None else None
        staged = [*self._fed, *([self._numbers] if self._numbers is not None else [])]
        helpers = around.helpers()
        before = self._before(helpers, mark, staged if most > 1 else [])
        with_them = Around(helpers, before, parts.sums, worker.check, first_step)
        self._work_off = stub.lower_training(parts.steps, parts.kernels, with_them)

    def _before(
        self, helpers: around.Helpers, mark: Mark, staged: Sequence[_Staged]
    ) -> list[NativeCall]:
        """What a step begins with."""
        first, sums = self._first.ctypes.data, self._parts.sums
        numbers = (mark.address + STEP * WORD, self._parts.scalars.ctypes.data)
        return [
            *(NativeCall(helpers.number, (place, 0, 0, 0, 0, 0, 0)) for place in numbers),
            NativeCall(helpers.clear, (sums.ctypes.data, sums.nbytes, 0, 0, 0, 0, 0)),
            *(
                NativeCall(
                    helpers.staged,
                    (one.now.ctypes.data, one.ahead.ctypes.data, one.now.nbytes, first, 0, 0, 0),
                )
                for one in staged
            ),
        ]

    def do(self, step: int, count: int) -> None:
        self._first[0] = step
        self._read(step, count)
        if self._parts.server is not None and self._numbers is not None:
            self._parts.server.begin_several(step, self._numbers.ahead[:count])
        self._work_off(step, count)

    def _read(self, step: int, count: int) -> None:
        start, feeder = time.perf_counter(), self._parts.feeder
        for fed, staged in zip(self._parts.fed, self._fed, strict=True):
            assert feeder is not None, "what is fed has a feeder"
            rows, padded = fed.buffer.shape
            view = staged.ahead[:count].reshape(count * rows, padded)[:, : fed.columns]
            place = step, count, fed.first_row, rows
            feeder.fill_ahead(*place, {fed.field: view}, fed.first_column)
        self._worker.feeding += time.perf_counter() - start


def _most(parts: Parts) -> int:
    """As many steps as there is room for."""
    size = sum(fed.buffer.nbytes for fed in parts.fed)
    return max(1, min(MOST, STAGED_BYTES // max(size, 1)))
