"""What the programs of a worker are fed with, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from runtime.process.data import Feeder, Values
from runtime.process.lanes import Lanes
from singac.plan.plan import Plan


class Feeding(Protocol):
    """Examples of one part in batches; `runtime/process/data.py` has the meaning of `fill`."""

    @property
    def examples(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def batches(self) -> int: ...
    def fill(
        self, step: int, first_row: int, rows: int, views: Mapping[str, Values], first: int = 0
    ) -> int: ...
    def begins(self, step: int) -> bool:
        """Whether states that are carried begin anew before batch `step`."""
        ...


@runtime_checkable
class FeedingAhead(Protocol):
    """Training examples, several batches at once; see `runtime/process/data.py`."""

    def fill_ahead(
        self,
        step: int,
        steps: int,
        first_row: int,
        rows: int,
        views: Mapping[str, Values],
        first: int = 0,
    ) -> None: ...


Feeds = Callable[[str, bool], Feeding]  # takes the part, and whether it is read only once


def prepared(plan: Plan, folder: str | Path, ahead: int = 0) -> Feeds:
    """Feeding from the prepared arrays of a folder, training from `ahead` examples on."""
    return partial(_feeder, plan, str(folder), ahead)


def _feeder(plan: Plan, folder: str, ahead: int, part: str, once: bool) -> Feeder:
    training, lanes = plan.training, None
    groups = 1 if once else plan.topology.worker_groups
    if training.carry:
        lanes = Lanes(plan.data.examples(part), training.batch, groups, once)
    settings = (training.batch, training.seed, once, 0 if once else ahead, lanes, groups)
    return Feeder(folder, plan.data, part, *settings)
