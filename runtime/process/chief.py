"""The chief, the process of worker 0: tells the supervisor how training goes, saves checkpoints.

It reads the metrics of a step when all workers have given theirs, at most one step late, so that
it waits for nobody on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from runtime.channel import Message
from runtime.checkpoints import carried
from runtime.checkpoints.best import Start, judge
from runtime.checkpoints.saver import Order, Saver
from runtime.divergence import check_metrics
from runtime.transport.stub import RING, TEST_SLOT, VALIDATE_SLOT, Meeting, Stub, Sums
from singac.plan.plan import Plan


class Chief:
    """Reads metrics, takes checkpoints and decides when to stop early."""

    def __init__(
        self,
        plan: Plan,
        stub: Stub,
        start: Start,
        folder: Path,
        tell: Callable[[Message], None],
        writing: Callable[[bool], None],
    ) -> None:
        self._plan, self._stub, self._tell = plan, stub, tell
        self._first = self._read = start.step
        self._ahead = start.ahead(plan.examples_a_step)
        self._best = start.best
        self._saver = Saver(plan, folder, tell, writing)
        self._clock, self._shown_of_all = time.perf_counter(), self._steps_of_all(start.step)

    def _steps_of_all(self, done: int) -> int:
        """Steps of all worker groups, when this one has done so many."""
        return self._stub.steps_of_all(done) if isinstance(self._stub, Meeting) else done

    # Metrics of training

    def follow(self, done: int, all_of_them: bool) -> None:
        """Read the metrics of the `done` steps that are complete; of all of them if asked.

        Raises what the writing of a checkpoint has failed of.
        """
        self._saver.check()
        while self._read < done and (all_of_them or self._read < done - 1 or self._is_posted()):
            self._read_step(self._read)
            self._read += 1

    def _is_posted(self) -> bool:
        return self._stub.posted(*slot_of(self._read - self._first))

    def _read_step(self, step: int) -> None:
        sums = self._stub.sums(*slot_of(step - self._first))
        done = step + 1
        if self._plan.training.display.due(done):
            self._show(done, self._means(sums, self._plan.training.batch))

    def _show(self, done: int, means: dict[str, float]) -> None:
        now = time.perf_counter()
        steps = self._steps_of_all(done)
        examples = (steps - self._shown_of_all) * self._plan.training.batch
        rate = examples / max(now - self._clock, 1e-9)
        self._shown_of_all, self._clock = steps, now
        self._tell(_event("step", done, means) | {"examples_per_second": round(rate, 1)})

    def _means(self, sums: Sums, examples: int) -> dict[str, float]:
        named = zip(self._plan.metrics, sums, strict=True)
        return {name: value / examples for name, value in named}

    # Tests, validations and checkpoints

    def tested(self, done: int, round_: int, examples: int) -> None:
        """Wait for all workers' sums of a test and tell the means; raises Diverged."""
        means = self._means(self._stub.sums(TEST_SLOT, round_), examples)
        check_metrics(means.items(), f"in the test after step {done}")
        self._tell(_event("test", done, means))

    def validated(self, done: int, round_: int, examples: int) -> bool:
        """Wait for all workers' sums of a validation and tell the means.

        Gives whether training ends here, which the others hear if it may. Raises Diverged.
        """
        means = self._means(self._stub.sums(VALIDATE_SLOT, round_), examples)
        check_metrics(means.items(), f"in the validation after step {done}")
        loss = next(iter(means.values()))
        self._tell(_event("validate", done, means))
        patience = self._plan.training.early_stop
        if not patience:
            return False
        best = self._best = judge(self._best, done, loss)
        stops = best.since >= patience
        self._stub.announce(round_, stops)
        if stops:
            told = {"best_step": best.step, "best_loss": best.loss}
            self._tell({"event": "early_stop", "step": done} | told)
        return stops

    def saves(self, done: int) -> bool:
        """Whether params are saved though no checkpoint is due: they have just been the best."""
        return self._best is not None and self._best.step == done

    def save(self, done: int, due: bool, last: bool) -> None:
        """Take a checkpoint, which is written while training goes on.

        Raises Diverged for a param that is not finite.
        """
        for param in range(len(self._plan.params)):
            self._stub.pull(param, done)
        self._stub.gather(done)
        slot, _ = slot_of(done - 1 - self._first)
        self._saver.begin(
            Order(due, last),
            self._stub.params,
            self._stub.states,
            carried.gather(self._plan, self._stub.carried(slot)),
            done,
            done * self._plan.examples_a_step + self._ahead,
            self._best,
        )

    def wait(self) -> None:
        """Until all is written; raises EnvironmentFailure if the last checkpoint cannot be."""
        self._saver.wait()


def slot_of(steps_since_first: int) -> tuple[int, int]:
    """Slot of a step's metrics, and the how-many-th use of the slot it is."""
    round_, slot = divmod(steps_since_first, RING)
    return slot, round_


def _event(name: str, done: int, means: dict[str, float]) -> Message:
    """The first metric is the loss."""
    (_, loss), *others = means.items()
    return {"event": name, "step": done, "loss": loss, "metrics": dict(others)}
