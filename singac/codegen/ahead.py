"""Plans -> the object cache filled, on all cores at once, so that processes need only load.

LLVM is held by one lock in a process, so that it takes processes to compile two parts at once:
copies of this one, which has loaded the generators already.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from singac.codegen import load, native
from singac.plan.plan import FOLLOW, Plan, Stretch

Missing = tuple[Stretch, int]  # a part of a stretch


def compile_all(plans: Sequence[Plan]) -> None:
    """Makes what the cache does not hold of the plans' native code."""
    stretches = dict.fromkeys(s for plan in plans for s in plan.stretches)
    missing = [
        (stretch, part)
        for stretch in stretches
        for part in load.parts_of(stretch)
        if not native.is_cached(load.key_of(stretch), part)
    ]
    _parts(sorted(missing, key=lambda m: len(load.part_of(*m)), reverse=True))
    for plan in plans:
        load.updater(plan.update)
        if load.measures(plan):
            load.updater(FOLLOW)
        if plan.update.clip_norm:
            load.clip()
        if plan.exchanges:
            load.moves()


def _parts(missing: Sequence[Missing]) -> None:
    """The largest first: what is left at the end is small."""
    processes = min(len(missing), len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)
    if processes > 1:
        try:
            with ProcessPoolExecutor(
                processes, multiprocessing.get_context("fork"), signal.signal,
                (signal.SIGINT, signal.SIG_IGN),
            ) as pool:  # fmt: skip
                list(pool.map(_compile, missing))
            return
        except BrokenProcessPool:
            pass  # one was killed, for want of memory perhaps: one after the other, then
    for one in missing:
        _compile(one)


def _compile(missing: Missing) -> None:
    stretch, part = missing
    native.provide(load.key_of(stretch), part, partial(load.stretch_ir, stretch, part))
