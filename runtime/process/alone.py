"""A trained net tested by this process alone, without MPI: measured, or read layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from runtime.checkpoints import checkpoint, snapshot
from runtime.process.feeding import Feeds, prepared
from runtime.process.lanes import Lanes
from runtime.process.worker import Worker
from runtime.transport.stub import Call, Floats, Kernels
from singac.codegen import native
from singac.codegen.load import load
from singac.plan.plan import Plan, Run, Step

FLOAT = 4


class Tester:
    """The test program of a plan with the params of a checkpoint."""

    def __init__(self, plan: Plan, folder: Path, data_folder: str) -> None:
        self._plan = plan
        self.step = checkpoint.read_manifest(folder).step
        self._worker = worker_of(plan, folder, prepared(plan, data_folder))

    def measure(self, part: str) -> dict[str, float]:
        """The mean of every metric over a whole part, the loss first."""
        examples = self._worker.test(part, self.step, 0)
        named = zip(self._plan.metrics, self._worker.sums.tolist(), strict=True)
        return {name: value / examples for name, value in named}

    def results(self, part: str, tensor: str) -> Iterator[Floats]:
        """A tensor batch by batch, [examples][columns], in the order of the data.

        Of an unrolled layer an example has the columns of all its steps, one after another.
        """
        training, examples = self._plan.training, self._plan.data.examples(part)
        view = self._worker.tensor(tensor)
        count = -(-examples // training.batch)
        read = (
            view[:, :rows].swapaxes(0, 1).reshape(rows, -1).copy()
            for rows in self._worker.batches(part, self.step, count)
        )
        if not training.carry:
            yield from read
            return
        lanes = Lanes(examples, training.batch, 1, once=True)
        order = [lanes.examples(k, 0, training.batch) for k in range(count)]
        yield np.concatenate(list(read))[np.argsort(np.concatenate(order))]


def worker_of(plan: Plan, folder: Path, feeds: Feeds) -> Worker:
    """The worker of a plan that only tests, with the params of a checkpoint."""
    (process,) = plan.processes
    own = _Own(plan)
    snapshot.fill_params(plan, own.params, folder)
    return Worker(plan, process, load(plan, process), own, feeds)


class _Own:
    """Memory of a process that shares nothing; see `Spaces`."""

    def __init__(self, plan: Plan) -> None:
        self.params: Floats = native.allocate(plan.param_floats * FLOAT).view(np.float32)
        self.gradients: Floats = np.zeros(0, np.float32)
        self.states: Floats = np.zeros((0, 0), np.float32)

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        return [self._lower(step, kernels) for step in steps]

    def _lower(self, step: Step, kernels: Kernels) -> Call:
        assert isinstance(step, Run), "a process that tests alone waits for nobody"
        return kernels.stretch(step.stretch)
