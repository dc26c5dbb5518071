"""A plan that is run for some steps, and what it cost beside what was expected of it.

For that, each operation is a stretch of its own: the kernels and their order stay what they are,
and each is seen by itself. Memory grows by a little of Python and MPI too, which no plan knows, and
pages that a neighbour has already filled come sixteen at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from runtime.process.timing import WARM_UP, Timings
from runtime.timeline import Row, Span
from runtime.transport.stub import prefers_messages
from runtime.transport.tally import Moved
from singac.layers.access import reads, writes
from singac.partition.machine import Machine
from singac.plan.plan import Plan, Program, Run, Step, Stretch
from singac.plan.show import size, table
from singac.plan.verify import verify
from singac.report.costs import Cost, Owners, duration, operation_cost
from singac.report.schedule import schedule

MOST_ROWS = 30


def apart(plan: Plan) -> Plan:
    """The plan with a stretch for each operation; it trains the same numbers."""
    stretches: list[Stretch] = []
    places: list[tuple[int, ...]] = []
    for stretch in plan.stretches:
        parts = list(_parts(stretch))
        places.append(tuple(range(len(stretches), len(stretches) + len(parts))))
        stretches += parts

    def split(program: Program) -> Program:
        return replace(program, steps=tuple(_split(program.steps, places)))

    processes = tuple(replace(p, train=split(p.train), test=None) for p in plan.processes)
    made = replace(plan, stretches=tuple(stretches), processes=processes)
    verify(made)
    return made


def _parts(stretch: Stretch) -> Iterator[Stretch]:
    for operation in stretch.operations:
        metric = getattr(operation, "metric", None)
        named = {*reads(operation), *writes(operation), *([f"metric:{metric}"] if metric else [])}
        # A metric's buffer, and whatever an operation leaves in registers, is named by no reader.
        buffers = tuple(b for b in stretch.buffers if b.name in named)
        name = f"{stretch.name.partition(': ')[0]}: {next(iter(writes(operation)), metric)}"
        yield replace(stretch, name=name, operations=(operation,), buffers=buffers)


def _split(steps: Sequence[Step], places: Sequence[tuple[int, ...]]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, Run):
            yield from (Run(k) for k in places[step.stretch])
        else:
            yield step


def as_text(
    plan: Plan,
    spans: Sequence[Sequence[Span]],
    timings: Sequence[Timings],
    moved: Sequence[Moved],
) -> str:
    """Measured beside expected: of each layer, of each process, and of the whole step.

    `plan` is the one that ran, each operation apart.
    """
    own = [[s for s in one if s.step >= WARM_UP] for one in spans]
    parts = (_layers(plan, own[0]), _processes(plan, own, timings, moved), _steps(plan, own))
    return "\n\n".join(parts) + "\n"


def _layers(plan: Plan, spans: Sequence[Span]) -> str:
    """Process 0 by layers: both directions together."""
    owners, machine = Owners(plan), Machine()
    steps = max(len({s.step for s in spans}), 1)
    seconds: dict[str, float] = {}
    costs: dict[str, Cost] = {}
    expected: dict[str, float] = {}
    for position, step in enumerate(plan.processes[0].train.steps):
        if isinstance(step, Run):
            stretch = plan.stretches[step.stretch]
            (operation,) = stretch.operations
            name = owners.layer(operation) or "-"
            cost = operation_cost(operation, stretch)
            costs[name] = costs.get(name, Cost()) + cost
            expected[name] = expected.get(name, 0.0) + cost.seconds(machine)
            took = sum(s.stop - s.start for s in spans if _is_of(s, position)) / 1e9 / steps
            seconds[name] = seconds.get(name, 0.0) + took
    total = max(sum(seconds.values()), 1e-12)
    order = [x.name for x in plan.layers if x.name in seconds]
    rows = [
        (
            name,
            duration(seconds[name]),
            duration(expected[name]),
            f"{seconds[name] / total:.0%}",
            f"{costs[name].flops / max(seconds[name], 1e-12) / 1e9:,.1f}",
            f"{costs[name].bytes / max(seconds[name], 1e-12) / 1e9:,.1f}",
        )
        for name in [*order, *(n for n in seconds if n not in order)]
    ]
    head = ("layer, process 0", "measured", "expected", "share", "GFLOP/s", "GB/s")
    shown = table(head, rows[:MOST_ROWS])
    hidden = len(rows) - MOST_ROWS
    return shown + (f"\nand {hidden} more" if hidden > 0 else "")


def _is_of(span: Span, position: int) -> bool:
    return span.label is not None and span.label.position == position


def _processes(
    plan: Plan,
    spans: Sequence[Sequence[Span]],
    timings: Sequence[Timings],
    moved: Sequence[Moved],
) -> str:
    """What each did and sent in a step, and how its memory grew; 16 of them at most."""
    rows = []
    processes = list(zip(plan.processes, spans, timings, moved, strict=True))[:16]
    for process, own, left, counted in processes:
        steps = max(len({s.step for s in own}), 1)
        spent = [sum(s.stop - s.start for s in own if s.row is row) / 1e9 / steps for row in Row]
        rows.append(
            (
                process.rank,
                *(duration(spent[row]) for row in (Row.COMPUTE, Row.EXCHANGE, Row.WAIT)),
                size(max(left.grown_bytes, 0)),
                size(process.memory.messages if prefers_messages() else process.memory.steps),
                f"{counted.sent // max(counted.steps, 1):,}",
                f"{process.bytes_sent:,}",
            )
        )
    head = (
        "process",
        "computes",
        "exchanges",
        "waits",
        "memory grown",
        "planned",
        "bytes sent",
        "planned",
    )
    return table(head, rows)


def _steps(plan: Plan, spans: Sequence[Sequence[Span]]) -> str:
    ends = [s for s in spans[0] if s.row is Row.STEPS and s.name.startswith("step ")]
    took = median((s.stop - s.start) / 1e9 for s in ends) if ends else 0.0
    expected = schedule(plan, Machine()).seconds
    return (
        f"a step: {duration(took)} measured (median of {len(ends)}), {duration(expected)} expected"
    )
