"""What a machine can do at most: multiply-adds that never leave registers, sums of long arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from llvmlite import ir

from singac.codegen import compiler, native
from singac.codegen.host import Host, current
from singac.codegen.ir import (
    FLOAT_BYTES,
    LANES,
    ZERO,
    entry,
    fma,
    fold,
    i64,
    load,
    new_module,
    offset,
    store,
)

TURNS = 400_000
RUNS = 20
LOOK_SECONDS = 0.02
STREAM_FLOATS = 1 << 24
CHAINS = 12  # enough to hide the latency of a multiply-add on any core


class Probe:
    """Such chains for a core of a machine; `flops` floating-point operations a run."""

    def __init__(self, machine: Host | None = None) -> None:
        machine = machine or current()
        chains = CHAINS * machine.vector_bits // (LANES * FLOAT_BYTES * 8) or 1
        code = compiler.compile_object(_ir(machine, chains), machine)
        self._call = native.Library([code], ["probe"]).function("probe", 1)
        self._room = native.allocate(chains * LANES * FLOAT_BYTES)
        self.flops = 2 * chains * LANES * TURNS

    def run(self) -> None:
        """A fraction of a millisecond; other threads may run it at the same time."""
        self._call(self._room.ctypes.data)


def fma_peak(machine: Host | None = None) -> float:
    """GFLOP/s of one core, the best of a few runs."""
    probe = Probe(machine)
    return probe.flops / min(_seconds(probe.run) for _ in range(RUNS)) / 1e9


class Machine:
    """All of some cores at once, by the clock on the wall, at this moment."""

    def __init__(self, cores: int) -> None:
        self._probe, self.cores = Probe(), cores
        self._threads = ThreadPoolExecutor(cores)

    def gflops(self) -> float:
        """Of all the cores together."""
        return self._rate(self._probe.flops, [self._probe.run] * self.cores)

    def gbytes(self) -> float:
        """GB/s that the cores together read and write, of arrays that no cache holds."""
        arrays = [np.zeros((2, STREAM_FLOATS), np.float32) for _ in range(self.cores)]
        sums: list[Callable[[], object]] = [partial(np.add, a, b, out=a) for a, b in arrays]
        return self._rate(3 * STREAM_FLOATS * FLOAT_BYTES, sums)

    def _rate(self, work: int, runs: Sequence[Callable[[], object]]) -> float:
        return sum(self._threads.map(partial(_giga, work), runs))


def _giga(work: int, run: Callable[[], object]) -> float:
    """Work a second of one core, in thousands of millions."""
    run()
    times, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < LOOK_SECONDS:
        run()
        times += 1
    return times * work / passed / 1e9


def _ir(machine: Host, chains: int) -> str:
    module = new_module(machine)
    with entry(module, "probe", 1) as function:
        builder, (place,) = function.builder, function.arguments
        factor = load(builder, place)

        def turn(_: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            return [fma(builder, factor, factor, value) for value in sums]

        sums = fold(builder, i64(0), i64(TURNS), 1, [ZERO] * chains, turn)
        for i, value in enumerate(sums):
            store(builder, value, offset(builder, place, i * LANES * FLOAT_BYTES))
    return str(module)


def _seconds(run: Callable[[], None]) -> float:
    """Processor seconds: what others do on the same core meanwhile does not count."""
    start = time.thread_time()
    run()
    return time.thread_time() - start
