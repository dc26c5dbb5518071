"""Checkpoints written behind the back of training, one after the other.

    steps      | 7 | 8 | 9 | 10 | 11 | 12 |      a checkpoint is due after steps 8 and 12
    taken              ^                 ^       copied while nobody may change it
    a thread           ~~~~~~~~~~~       ~~~~~   writes, hashes, renames, tells

Who takes the next one waits until the one before has been written, and so does who ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.channel import Message
from runtime.checkpoints import checkpoint, snapshot
from runtime.checkpoints.best import Best
from runtime.checkpoints.packing import Floats
from runtime.checkpoints.snapshot import Named, Taken
from runtime.environment import EnvironmentFailure
from singac.plan.plan import Plan

HELP = "make room for it, and go on with --resume from the one before"


@dataclass(frozen=True, slots=True)
class Order:
    """What a checkpoint is for.

    One that is not `due` is saved for being the best alone, and goes when another is better.
    Nothing comes after the `last`: a disk that refuses it is more than worth a warning.
    """

    due: bool
    last: bool


class Saver:
    """Takes checkpoints and writes them. What goes wrong after `begin` is raised by the next
    `begin`, `check` or `wait`: EnvironmentFailure if the last checkpoint cannot be written.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        tell: Callable[[Message], None],
        writing: Callable[[bool], None],
    ) -> None:
        self._plan, self._folder, self._tell, self._writing = plan, folder, tell, writing
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._only_best: Path | None = None
        # Made when first needed and kept: fresh memory costs more than the copying.
        self._copies: tuple[Floats, Floats] | None = None

    def begin(
        self,
        order: Order,
        params: Floats,
        states: Floats,
        states_carried: Named,
        step: int,
        examples: int,
        best: Best | None,
    ) -> None:
        """Copy params and states, which may change as soon as this returns, and begin to write.

        Raises Diverged for a param that is not finite: no checkpoint ever holds one.
        """
        self.wait()
        snapshot.check(self._plan, params, step)
        if self._copies is None:
            self._copies = np.empty_like(params), np.empty_like(states)
        for copy, array in zip(self._copies, (params, states), strict=True):
            np.copyto(copy, array)
        taken = Taken(*self._copies, states_carried, step, examples, best)
        self._writing(True)
        self._thread = threading.Thread(target=self._run, args=(order, taken), daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what a writing has failed of, without waiting for one that goes on."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def wait(self) -> None:
        """Until nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _run(self, order: Order, taken: Taken) -> None:
        try:
            self._write(order, taken)
        except BaseException as error:  # raised again by the thread that trains
            self._failure = error
        self._writing(False)

    def _write(self, order: Order, taken: Taken) -> None:
        try:
            path = snapshot.save(self._plan, taken, self._folder)
        except OSError as error:
            reason = error.strerror or str(error)
            if order.last:
                message = f"the last checkpoint cannot be written: {reason}"
                raise EnvironmentFailure(message, HELP) from error
            text = f"no checkpoint was written: {reason}"
            self._tell({"event": "warning", "step": taken.step, "text": text})
            return
        is_best = taken.best is not None and taken.best.step == taken.step
        event: Message = {"event": "checkpoint", "step": taken.step, "path": str(path)}
        self._tell(event | ({"best": True} if is_best else {}))
        self._remove_others(order, path, is_best, taken.best)

    def _remove_others(self, order: Order, path: Path, is_best: bool, best: Best | None) -> None:
        """Those that are too many, and the former best if that was all it was saved for."""
        if is_best:
            former, self._only_best = self._only_best, None if order.due else path
            if former is not None and former.exists():
                checkpoint.discard(former)
        keep = self._plan.training.checkpoint.keep
        checkpoint.remove_older(self._folder, keep, best, self._only_best)
