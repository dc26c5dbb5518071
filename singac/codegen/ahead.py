"""Plans -> the object cache filled, on all cores at once, so that processes need only load.

LLVM is held by one lock in a process, so that it takes processes to compile two parts at once:
copies of this one, which has loaded the generators already.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from singac.codegen import load, native
from singac.codegen.calls import Kernel
from singac.codegen.table import RUN
from singac.layers.access import flat
from singac.layers.operations import Convolution, Product
from singac.plan.plan import FOLLOW, Plan

SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2), which Linux alone has
Missing = tuple[str, Kernel]  # with its name


def compile_all(plans: Sequence[Plan]) -> None:
    """Makes what the cache does not hold of the plans' native code."""
    kernels = {n: k for plan in plans for n, k in load.kernels_of(plan).items()}
    missing = [(name, kernel) for name, kernel in kernels.items() if not native.is_cached(name)]
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


def _products(missing: Missing) -> int:
    """How many products and convolutions a kernel has: they take most of the time."""
    return sum(isinstance(o, Product | Convolution) for o in flat([missing[1].operation]))


def _kernels(missing: Sequence[Missing]) -> None:
    """The largest first: what is left at the end is small."""
    processes = min(len(missing), len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)
    if processes > 1:
        try:
            _side_by_side(missing, processes)
            return
        except BrokenProcessPool:
            pass  # one was killed, for want of memory perhaps: one after the other, then
    for one in missing:
        _compile(one)


def _side_by_side(missing: Sequence[Missing], processes: int) -> None:
    forked = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, forked, _begin, (os.getpid(),))
    try:
        with _without_interrupts():  # forking would lose one; and what is forked is to hear none
            results = pool.map(_compile, missing)
        list(results)
    except BaseException:
        # Ctrl-C waits for nothing that they have begun: they end with this process.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _begin(parent: int) -> None:
    """Live no longer than who needs the results, however that ends."""
    ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _compile(missing: Missing) -> None:
    name, kernel = missing
    native.provide(name, partial(load.kernel_source, name, kernel))
