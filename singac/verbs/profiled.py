"""A plan run with its operations apart -> what every kernel took, and where a step waits.

makes            by                     time  share  GFLOP/s  of peak  GB/s  of memory
fc1              product forward     0.91 ms    12%    171.4      83%   9.1        23%
d(fc1.weight)    product weight_...  ...

process  waits for  before            time  share
1        params     pull fc1.weight  41 us     1%
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeVar

from runtime.process.timing import WARM_UP
from runtime.timeline import Row, Span
from singac.codegen.peak import Machine
from singac.compile import Compiled
from singac.layers.access import writes
from singac.layers.operations import Operation
from singac.plan.estimate import update_flops
from singac.plan.plan import Feed, Plan, Run, Serve, Step
from singac.plan.show import table
from singac.report.costs import FLOAT_BYTES, Cost, duration, operation_cost
from singac.verbs.trial import time_apart, time_steps

NANO, GIGA = 1e-9, 1e9
LOOKS = 4
MOST_ROWS = 40
SMALLEST_WAIT = 0.002
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one core did at its most in this run, while all that are used were busy."""

    gflops: float
    gbytes: float


@dataclass(frozen=True, slots=True)
class Kernel:
    """A step of a process's program, waiting not counted: seconds, FLOP and bytes a training step.

    `makes` is the tensor it writes, or the param that it updates.
    """

    makes: str
    by: str
    seconds: float
    flops: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds a training step that a process waits for something before a step of its program."""

    process: int
    waits: str
    before: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """`step_seconds` as the plan is, `apart_seconds` with each operation apart; kernels are those
    of `process`."""

    net: str
    processes: int
    process: int
    step_seconds: float
    apart_seconds: float
    rates: Rates
    kernels: tuple[Kernel, ...]
    waits: tuple[Wait, ...]


def profile(compiled: Compiled, process: int, steps: int, cache: str) -> Profile:
    """Train some steps as they are, then some with each operation apart; look at what the machine
    gives before and after. Raises `Failed`, `Ended`.
    """
    plan = compiled.plan
    machine = Machine(min(len(plan.processes), len(os.sched_getaffinity(0))))
    before = _rates(machine)
    timings = time_steps(compiled, steps, cache).timings
    found, after = time_apart(compiled, steps, cache), _rates(machine)
    best = Rates(max(before.gflops, after.gflops), max(before.gbytes, after.gbytes))
    worker = next(p.rank for p in plan.processes if p.worker == 0)
    return of(found.plan, found.spans, process, median(timings[worker].steps), best)


def _rates(machine: Machine) -> Rates:
    """The best of some looks, of a core among all."""
    gflops, gbytes = (
        max(look() for _ in range(LOOKS)) for look in (machine.gflops, machine.gbytes)
    )
    return Rates(gflops / machine.cores, gbytes / machine.cores)


def of(
    plan: Plan, spans: Sequence[Sequence[Span]], process: int, step_seconds: float, rates: Rates
) -> Profile:
    """`plan` has its operations apart (`measured.apart`), and `spans` are of its run."""
    own = [[s for s in one if s.step >= WARM_UP] for one in spans]
    steps = [s for s in own[process] if s.row is Row.STEPS and s.name.startswith("step ")]
    return Profile(
        net=plan.net,
        processes=len(spans),
        process=process,
        step_seconds=step_seconds,
        apart_seconds=median((s.stop - s.start) * NANO for s in steps),
        rates=rates,
        kernels=tuple(_kernels(plan, process, own[process])),
        waits=tuple(sorted(_waits(own, len(steps)), key=lambda w: -w.seconds)),
    )


def _kernels(plan: Plan, process: int, own: Sequence[Span]) -> Iterator[Kernel]:
    """In the order of the program; of all steps the median one counts."""
    works = (s for s in own if s.label is not None and s.row in (Row.COMPUTE, Row.EXCHANGE))
    took = _by_step(works, lambda span: span.label.position if span.label else -1)
    for position, step in enumerate(plan.processes[process].train.steps):
        if named := _named(plan, process, step):
            makes, by, cost = named
            yield Kernel(makes, by, median(took.get(position, [0.0])), cost.flops, cost.bytes)


def _by_step(spans: Iterable[Span], key: Callable[[Span], Key]) -> dict[Key, list[float]]:
    """Seconds of the spans that share a key, in each training step that has any."""
    found: dict[Key, dict[int, int]] = {}
    for span in spans:
        steps = found.setdefault(key(span), {})
        steps[span.step] = steps.get(span.step, 0) + span.stop - span.start
    return {k: [took * NANO for took in steps.values()] for k, steps in found.items()}


def _named(plan: Plan, process: int, step: Step) -> tuple[str, str, Cost] | None:
    """What a step of a program makes, by what, at what cost; None for one that only hands on."""
    match step:
        case Run(index):
            stretch = plan.stretches[index]
            (operation,) = stretch.operations
            made = next(iter(writes(operation)), getattr(operation, "metric", ""))
            return made, _kind(operation), operation_cost(operation, stretch)
        case Serve(index):
            piece = plan.slices[index]
            workers = len(piece.workers_of(plan.topology.workers_per_group))
            arrays = workers + 2 * (1 + len(plan.update.states))
            flops = update_flops(plan.update, piece, workers)
            cost = Cost(flops, piece.floats * FLOAT_BYTES * arrays)
            return plan.params[piece.param].name, "update", cost
        case Feed():
            inputs = plan.processes[process].train.inputs
            written = sum(given.buffer.floats for given in inputs) * FLOAT_BYTES
            return ", ".join(given.field for given in inputs), "feed", Cost(0, written)
    return None


def _kind(operation: Operation) -> str:
    """`convolution, weight gradient`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(operation).__name__).lower()
    role = getattr(operation, "role", None)
    return f"{words}, {role.replace('_', ' ')}" if role else words


def _waits(spans: Sequence[Sequence[Span]], steps: int) -> Iterator[Wait]:
    """Each cause by itself, of every process; the mean, for there are steps that need not wait."""
    for rank, own in enumerate(spans):
        took = _by_step((s for s in own if s.row is Row.WAIT), lambda s: (s.name, _before(s)))
        for (waits, before), seconds in took.items():
            yield Wait(rank, waits, before, sum(seconds) / max(steps, 1))


def _before(span: Span) -> str:
    """The step of the program that a process waits for."""
    label = span.label
    return f"{label.verb} {label.what}".rstrip() if label is not None else "the next step"


# -- words -----------------------------------------------------------------------------------------


def as_json(found: Profile) -> str:
    return json.dumps({"format_version": "1.0", **asdict(found)})


def as_text(found: Profile) -> str:
    """Two tables and what the shares are of."""
    return "\n\n".join((_shown_kernels(found), _shown_waits(found), _shown_sums(found))) + "\n"


def _shown_kernels(found: Profile) -> str:
    head = ("makes", "by", "time", "share", "GFLOP/s", "of peak", "GB/s", "of memory")
    order = sorted(found.kernels, key=lambda k: -k.seconds)
    rows = [_kernel_row(kernel, found) for kernel in order[:MOST_ROWS]]
    hidden = order[MOST_ROWS:]
    rest = sum(kernel.seconds for kernel in hidden)
    more = f"\nand {len(hidden)} more, {duration(rest)} in all" if hidden else ""
    return table(head, rows) + more


def _kernel_row(kernel: Kernel, found: Profile) -> tuple[str, ...]:
    seconds = max(kernel.seconds, NANO)
    gflops, gbytes = kernel.flops / seconds / GIGA, kernel.bytes / seconds / GIGA
    return (
        kernel.makes,
        kernel.by,
        duration(kernel.seconds),
        f"{kernel.seconds / found.apart_seconds:.1%}",
        f"{gflops:,.1f}",
        f"{gflops / found.rates.gflops:.0%}",
        f"{gbytes:,.1f}",
        f"{gbytes / found.rates.gbytes:.0%}",
    )


def _shown_waits(found: Profile) -> str:
    whole = found.apart_seconds
    waits = [w for w in found.waits if w.seconds >= SMALLEST_WAIT * whole]
    if not waits:
        return "no process waits"
    rows = (
        (w.process, w.waits, w.before, duration(w.seconds), f"{w.seconds / whole:.1%}")
        for w in waits[:MOST_ROWS]
    )
    return table(("process", "waits", "before", "time", "share"), rows)


def _shown_sums(found: Profile) -> str:
    kernels = sum(kernel.seconds for kernel in found.kernels)
    waits = sum(w.seconds for w in found.waits if w.process == found.process)
    return (
        f"{found.net} on {found.processes} processes: a step takes {duration(found.step_seconds)}; "
        f"with each operation apart {duration(found.apart_seconds)}\nof it process "
        f"{found.process} computes {duration(kernels)} and waits {duration(waits)}\n"
        f"a core's most in this run: {found.rates.gflops:.1f} GFLOP/s, "
        f"{found.rates.gbytes:.1f} GB/s; of memory, what caches hold counts too"
    )
