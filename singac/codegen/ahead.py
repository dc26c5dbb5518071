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
from singac.codegen.calls import Kernel
from singac.codegen.table import RUN
from singac.layers.access import flat
from singac.layers.operations import Convolution, Product
from singac.plan.plan import FOLLOW, Plan


def compile_all(plans: Sequence[Plan]) -> None:
    """Makes what the cache does not hold of the plans' native code."""
    kernels = dict.fromkeys(kernel for plan in plans for kernel in load.kernels_of(plan))
    missing = [kernel for kernel in kernels if not native.is_cached(kernel.name)]
    _kernels(sorted(missing, key=_products, reverse=True))
    native.provide(RUN, load.run_source)
    for plan in plans:
        load.updater(plan.update)
        if load.measures(plan):
            load.updater(FOLLOW)
        if plan.update.clip_norm:
            load.clip()
        if plan.exchanges:
            load.moves()


def _products(kernel: Kernel) -> int:
    """How many products and convolutions a kernel has: they take most of the time."""
    return sum(isinstance(o, Product | Convolution) for o in flat([kernel.operation]))


def _kernels(missing: Sequence[Kernel]) -> None:
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


def _compile(kernel: Kernel) -> None:
    native.provide(kernel.name, partial(load.kernel_source, kernel))
