"""The best validation so far, and whether it is time to stop.

loss      3.1   2.4   2.2   2.3   2.2      early_stop = after(2)
since      0     0     0     1     2       stops here; the best is the third
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Best:
    """The lowest validation loss, the step that had it, and how many validations came since."""

    step: int
    loss: float
    since: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins: with the step of a checkpoint and what was best until then, or anew.

    `examples` have been read before.
    """

    step: int = 0
    best: Best | None = None
    examples: int = 0

    def ahead(self, examples_a_step: int) -> int:
        """Examples read beyond those of its steps: another number of groups has read them."""
        return self.examples - self.step * examples_a_step


def judge(best: Best | None, step: int, loss: float) -> Best:
    """The best after one more validation; a loss that is only as low is no better."""
    if best is None or loss < best.loss:
        return Best(step, loss)
    return replace(best, since=best.since + 1)
