"""A process's life between the filling of its memory and the end: steps, tests, checkpoints."""

from __future__ import annotations

import time
from pathlib import Path

from runtime.channel import Line
from runtime.chief import Chief, slot_of
from runtime.faults import Fault
from runtime.progress import Mark, Phase
from runtime.stub import TEST_SLOT, Stub
from runtime.worker import Worker
from singac.plan.plan import Plan, Process


class Session:
    """Trains from step `first` to the last.

    What is due after a step follows from the plan, so every process does the same without being
    told; only a stop asked for from outside is known to the chief alone.
    """

    def __init__(
        self,
        plan: Plan,
        process: Process,
        worker: Worker,
        stub: Stub,
        line: Line,
        mark: Mark,
        checkpoints: Path,
    ) -> None:
        self._plan, self._training = plan, plan.training
        self._works, self._is_chief = process.worker is not None, process.worker == 0
        self._chief: Chief | None = None
        self._worker, self._stub, self._line, self._mark = worker, stub, line, mark
        self._checkpoints = checkpoints
        self._tests = 0

    def run(self, first: int, fault: Fault) -> None:
        """Return when the last step is done and every process has come to its end."""
        if self._is_chief:
            self._chief = Chief(self._plan, self._stub, first, self._checkpoints, self._line.send)
        for step in range(first, self._training.steps):
            self._mark.step(step)
            fault.strike(step)
            self._mark.phase(Phase.COMPUTING)
            self._worker.train(step)
            if self._works:
                self._stub.post(*slot_of(step - first), self._worker.sums)
            self._after(step + 1)
        self._mark.step(max(first, self._training.steps))
        self._end(max(first, self._training.steps))

    def _after(self, done: int) -> None:
        last = done == self._training.steps
        tests = self._worker.tests and (last or self._training.test.due(done))
        saves = last or self._training.checkpoint.due(done) or self._line.stop_asked
        if self._chief is not None:
            self._mark.phase(Phase.AWAITING_METRICS)
            self._chief.follow(done, all_of_them=saves or tests)
        if tests:
            self._test(done)
        if self._chief is not None and saves:
            self._save(self._chief, done, last)

    def _test(self, done: int) -> None:
        self._mark.phase(Phase.TESTING)
        examples = self._worker.test(done, self._training.test.steps)
        self._stub.post(TEST_SLOT, self._tests, self._worker.sums)
        if self._chief is not None:
            self._chief.tested(done, self._tests, examples)
        self._tests += 1

    def _save(self, chief: Chief, done: int, last: bool) -> None:
        self._mark.phase(Phase.SAVING)
        stops = self._line.stop_asked and not last
        chief.save(done, last or stops)
        if stops:
            self._line.send({"event": "stopped", "step": done})
            self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        """The supervisor ends all processes; the others wait for this one's next gradient."""
        while True:
            time.sleep(1)

    def _end(self, done: int) -> None:
        """Nobody goes before all have: the chief may still be saving what others hold."""
        self._mark.phase(Phase.AWAITING_END)
        self._stub.finish()
