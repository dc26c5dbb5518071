"""A process's life between the filling of its memory and the end: steps, tests, checkpoints."""

from __future__ import annotations

import time
from pathlib import Path

from runtime.channel import Line
from runtime.checkpoints.best import Start
from runtime.process.chief import Chief
from runtime.process.faults import Fault
from runtime.process.steps import Steps
from runtime.process.timing import Timer
from runtime.process.turns import Turn
from runtime.process.worker import TEST, VALIDATE, Worker
from runtime.progress import Mark, Phase
from runtime.transport.stub import TEST_SLOT, VALIDATE_SLOT, Meeting, Stub
from runtime.transport.tally import Tally
from singac.plan.plan import Plan, Process


class Session:
    """Trains from a step to the last.

    Worker groups that do not wait for each other meet where a checkpoint is due and at the end: it
    holds what all of them have done until its step. Tests are those of the first group, of params
    that the others go on changing behind it.

    What is due after a step follows from the plan, so every process does the same without being
    told. Two things are known to the chief alone: that a validation was one too many without
    progress, which it announces, and that a stop was asked for from outside.
    """

    def __init__(
        self,
        plan: Plan,
        process: Process,
        worker: Worker,
        steps: Steps,
        stub: Stub,
        line: Line,
        mark: Mark,
        checkpoints: Path,
        timer: Timer | None = None,
        turn: Turn | None = None,
    ) -> None:
        self._plan, self._training = plan, plan.training
        topology = plan.topology
        first = process.worker is not None and topology.group_of_worker(process.worker) == 0
        self._tells, self._is_chief = first, process.worker == 0
        self._meeting = stub if isinstance(stub, Meeting) and topology.asynchronous else None
        self._chief: Chief | None = None
        self._worker, self._steps = worker, steps
        self._stub, self._line, self._mark = stub, line, mark
        self._checkpoints, self._timer, self._turn = checkpoints, timer, turn
        self._tests = self._validations = 0
        self.moved, self.trained = Tally(), 0

    def run(self, start: Start, fault: Fault) -> None:
        """Return when training has ended and every process has come to its end."""
        if self._is_chief:
            folder, tell = self._checkpoints, self._line.send
            self._chief = Chief(self._plan, self._stub, start, folder, tell, self._mark.writing)
        done, going_on = start.step, start.step < self._training.steps
        while going_on:
            self._mark.step(done)
            count = 1 if fault.kind else self._until_due(done)
            if self._turn is not None:
                count = self._turn.comes(count)
            if count == 0:
                break
            fault.strike(done)
            self._mark.phase(Phase.COMPUTING)
            before = self._stub.tally.now
            self._steps.do(done, count)
            self.moved.add(*self._stub.tally.since(before))
            self.trained += count
            done += count
            if self._timer is not None:
                self._timer.tick(self._worker.feeding, count)
            going_on = not self._after(done)
        if self._timer is not None:
            self._timer.write()
        self._mark.step(done)
        self._end()

    def _until_due(self, done: int) -> int:
        """How many steps can be done at once before something else is due."""
        training = self._training
        most = min(self._steps.most, training.steps - done)
        every = (training.test, training.validate, training.checkpoint)
        dues = (n for n in range(1, most) if any(one.due(done + n) for one in every))
        return next(dues, most)

    def _after(self, done: int) -> bool:
        """Do what is due when `done` steps are done; tells whether training ends with them."""
        training, last = self._training, done == self._training.steps
        if training.validate.every and (last or training.validate.due(done)):
            self._follow(done, all_of_them=True)
            last = self._validate(done) or last
        tests = self._worker.tests(TEST) and (last or training.test.due(done))
        saves = (
            (last and self._timer is None) or training.checkpoint.due(done) or self._line.stop_asked
        )
        self._follow(done, all_of_them=saves or tests)
        meeting = self._meeting if last or training.checkpoint.due(done) else None
        if meeting is not None:
            self._mark.phase(Phase.AWAITING_PARAMS)
            meeting.meet(done)
        if tests:
            self._test(done)
        if self._chief is not None and (saves or self._chief.saves(done)):
            self._save(self._chief, done, saves, last)
        if meeting is not None:
            self._mark.phase(Phase.AWAITING_WORD)
            meeting.part()
        return last

    def _follow(self, done: int, all_of_them: bool) -> None:
        if self._chief is not None:
            self._mark.phase(Phase.AWAITING_METRICS)
            self._chief.follow(done, all_of_them)

    def _test(self, done: int) -> None:
        self._mark.phase(Phase.TESTING)
        examples = self._worker.test(TEST, done, self._training.test.steps)
        self._stub.post(TEST_SLOT, self._tests, self._worker.given)
        if self._chief is not None:
            self._chief.tested(done, self._tests, examples)
        self._tests += 1

    def _validate(self, done: int) -> bool:
        """Whether training ends here: the chief alone has the loss and tells the others."""
        round_, examples = self._validations, 0
        self._validations += 1
        if self._worker.tests(VALIDATE):
            self._mark.phase(Phase.TESTING)
            examples = self._worker.test(VALIDATE, done, self._training.validate.steps)
            self._stub.post(VALIDATE_SLOT, round_, self._worker.given)
        if self._chief is not None:
            return self._chief.validated(done, round_, examples)
        if not self._training.early_stop:
            return False
        self._mark.phase(Phase.AWAITING_WORD)
        return self._stub.heard(round_)

    def _save(self, chief: Chief, done: int, due: bool, last: bool) -> None:
        self._mark.phase(Phase.SAVING)
        stops = self._line.stop_asked and not last
        chief.save(done, due or stops, last or stops)
        if stops:
            chief.wait()
            self._line.send({"event": "stopped", "step": done})
            self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        """The supervisor ends all processes; the others wait for this one's next gradient."""
        while True:
            time.sleep(1)

    def _end(self) -> None:
        """Nobody goes before all have come to their end and the last checkpoint is written."""
        if self._chief is not None:
            self._mark.phase(Phase.SAVING)
            self._chief.wait()
        self._mark.phase(Phase.AWAITING_END)
        self._stub.finish()
