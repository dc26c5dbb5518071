"""`singac calibrate`: the rates of this machine, from training steps of four small nets.

Each net is made to take nearly all its time for one thing, and that is what the cost model says of
it if all else were for nothing (`Problem.total`): a rate is what it counts over what was measured.

    arithmetic   wide dense layers, a large batch
    memory       wide dense layers, two examples a batch: params pass, and little is computed
    latency      a chain of narrow layers that lie at one of two workers in turn
    exchange     the same, wide
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from singac.compile import compile_source
from singac.diagnostics import Report, Source
from singac.model.choices import Choices
from singac.partition.assign import checked
from singac.partition.auto import priced
from singac.partition.machine import Machine
from singac.partition.split import split
from singac.verbs.trial import time_steps

NOTHING = Machine("free", float("inf"), float("inf"), float("inf"), 0.0)
PROGRAM = """
data points = npz("points.npz", label = none)
net probe on points {{
{net}
}}
partition cut of probe {{
{rules}
}}
train probe {{ updater = SGD(rate = 0.0001)  batch = {batch}  steps = 1 }}
"""
DENSE = """
    features -> a: dense(1024) -> b: dense(1024) -> c: dense(1024) -> d: dense({width})
    [d, features] -> euclidean_loss"""
LINKS = 24  # layers of a chain


@dataclass(frozen=True, slots=True)
class Probe:
    """A net that is timed on some processes; `rules` cut it, `width` is that of an example."""

    net: str
    width: int
    batch: int
    rules: str = ""
    np: int = 1
    steps: int = 12


def _chain(width: int, batch: int) -> Probe:
    """Layers at worker 0 and worker 1 in turn: nothing but handing over, there and back."""
    links = " -> ".join(f"r{k}: tanh" for k in range(LINKS))
    net = f"features -> d: dense({width}) -> {links}\n[r{LINKS - 1}, features] -> l: euclidean_loss"
    rules = ["d at 0", *(f"r{k} at {k % 2}" for k in range(LINKS)), "l at 0"]
    return Probe(net, width, batch, "\n".join(rules), np=2)


PRODUCTS = Probe(DENSE.format(width=1024), 1024, 512)
PARAMS = Probe(DENSE.format(width=1024), 1024, 2)
LETTERS = _chain(16, 2)
PARCELS = _chain(1024, 256)


def measure(cache: str) -> Machine:
    """The rates of this machine, by two of its cores. Raises `Failed`, `Ended`."""
    arithmetic = _rate(PRODUCTS, replace(NOTHING, arithmetic=1.0), cache)
    memory = _rate(PARAMS, replace(NOTHING, memory=1.0), cache)
    computing = replace(NOTHING, arithmetic=arithmetic, memory=memory)
    latency = 1 / _rate(LETTERS, replace(NOTHING, latency=1.0), cache)
    told = replace(computing, latency=latency)
    exchange = _rate(PARCELS, replace(NOTHING, exchange=1.0), cache, told)
    found = Machine("measured", arithmetic, memory, exchange, latency, _room())
    mark = hashlib.sha256(repr(found).encode()).hexdigest()[:8]
    return replace(found, source=f"measured {mark}")


def _rate(probe: Probe, counted: Machine, cache: str, known: Machine = NOTHING) -> float:
    """What the cost model counts of a step, over the seconds that are left of it.

    What is known already is taken from them, but no more than nine tenths: noise could eat all.
    """
    with tempfile.TemporaryDirectory(prefix="singac-calibrate-") as folder:
        source = _program(probe, Path(folder))
        (compiled,) = compile_source(source, Choices(np=probe.np, partition="cut"), cache)
        seconds = median(time_steps(compiled, probe.steps, cache).timings[0].steps)
        rows = split(probe.batch, probe.np)
        rules = checked(compiled.model, Report())

        def total(machine: Machine) -> float:
            return priced(compiled.model, rules, rows, machine).problem.least

        return total(counted) / max(seconds - total(known), seconds / 10)


def _program(probe: Probe, folder: Path) -> Source:
    import numpy as np

    drawn = np.random.default_rng(0).standard_normal((2 * probe.batch, probe.width))
    np.savez(folder / "points.npz", features=drawn.astype(np.float32))
    text = PROGRAM.format(net=probe.net, rules=probe.rules, batch=probe.batch)
    return Source(str(folder / "probe.singa"), text)


def _room() -> int:
    """Memory for each core; 0 where the system does not tell."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
    return total // (os.cpu_count() or 1)


def as_text(found: Machine) -> str:
    """A line for each rate."""
    return "\n".join(
        (
            f"arithmetic  {found.arithmetic / 1e9:,.1f} GFLOP/s",
            f"memory      {found.memory / 1e9:,.1f} GB/s",
            f"exchange    {found.exchange / 1e9:,.1f} GB/s",
            f"latency     {found.latency * 1e6:,.1f} us",
            f"room        {found.room / 1e9:,.1f} GB a worker",
        )
    )
