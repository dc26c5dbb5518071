"""A process killed while it writes a checkpoint, at each call into C and within each write.

There are always the checkpoint from before or the new one, whole, whatever the moment:

    calls   mkdir | open .. write .. close | fsync fsync fsync | rename rename | fsync | unlink ..
            ^     ^    ^  ^   ^   ^   killed before and after each call, and after so many bytes
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import nets
import numpy as np

from runtime.channel import Message
from runtime.checkpoints import checkpoint
from runtime.checkpoints.saver import Order, Saver
from singac.plan.plan import Every, Plan
from singac.saved import listed

BEFORE, AFTER = 1, 2
LIMITS = (0, 8, 300, 1000, 2500)


def plan() -> Plan:
    return nets.plan(1, 1, checkpoint=Every(1, keep=1))


def write(folder: Path, step: int, value: float, tell: Callable[[Message], None]) -> None:
    """A checkpoint all of whose numbers are `value`; those before it are removed."""
    given = plan()
    params = np.full(given.param_floats, value, np.float32)
    states = np.full((len(given.update.states), given.param_floats), value, np.float32)
    saver = Saver(given, folder, tell, lambda goes_on: None)
    saver.begin(Order(due=True, last=False), params, states, {}, step, 24 * step, None)
    saver.wait()


def killed_at(call: int, work: Callable[[], None]) -> bool:
    """Whether `work`, in a process that kills itself at its n-th call into C, came so far."""

    def count() -> None:
        left = call

        def note(frame: FrameType, event: str, argument: object) -> None:
            nonlocal left
            left -= event in ("c_call", "c_return")
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        threading.setprofile(note)  # of the thread that writes
        work()

    return _dies(count)


def killed_after(bytes_of_a_file: int, work: Callable[[], None]) -> bool:
    """Whether `work`, in a process that dies of writing a larger file, came so far."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_of_a_file, bytes_of_a_file))
        work()

    return _dies(limit)


def _dies(work: Callable[[], None]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def found(folder: Path) -> float:
    """The value of the newest checkpoint after a crash; nothing else is left, all are whole."""
    checkpoint.remove_unfinished(folder)
    whole = listed(folder)
    assert sorted(whole) == sorted(folder.iterdir()), "something half written has stayed"
    values = []
    for path in whole:
        held = [data for _, data in checkpoint.tensors(path, checkpoint.verify(path))]
        values.append(np.unique(np.frombuffer(b"".join(held), "<f4")))
    assert values, "no checkpoint is left"
    (value,) = values[0]  # one value: nothing is mixed
    return float(value)


def crash(folder: Path, step: int, killed: Callable[[Callable[[], None]], bool]) -> int | None:
    """Write step 1, be killed while writing `step`; BEFORE or AFTER, None if it came to its end."""
    for path in folder.iterdir() if folder.exists() else ():
        checkpoint.discard(path)
    write(folder, 1, BEFORE, lambda message: None)
    died = killed(lambda: write(folder, step, AFTER, lambda message: None))
    value = int(found(folder))
    assert value in (BEFORE, AFTER)
    if not died:
        assert value == AFTER
        return None
    return value


def every_crash(folder: Path, stride: int = 1, first: int = 1) -> dict[int, int]:
    """How many crashes left the old checkpoint and how many the new one."""
    seen = {BEFORE: 0, AFTER: 0}
    for step in (1, 2):  # replaced, and followed by a newer one
        call: int = first
        while (value := crash(folder, step, partial(killed_at, call))) is not None:
            seen[value] += 1
            call += stride
        for size in LIMITS:
            value = crash(folder, step, partial(killed_after, size))
            seen[value or AFTER] += 1
    return seen
