"""A plan as it is timed, and what its processes measured -> the figures of `singac bench`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from runtime.process.timing import WARM_UP, Timings
from runtime.transport.tally import Moved
from singac.plan.plan import Every, Initialiser, Param, Plan
from singac.plan.show import size

NEVER = Every()
GIGA = 1e9


def timed(plan: Plan, steps: int) -> Plan:
    """The plan training `steps` steps after a warm-up, with no test and no checkpoint between.

    Params that another run would have left are drawn: what they are takes no time.
    """
    training = replace(
        plan.training, steps=WARM_UP + steps, display=NEVER, test=NEVER, checkpoint=NEVER,
        validate=NEVER, early_stop=0,
    )  # fmt: skip
    processes = tuple(replace(process, test=None) for process in plan.processes)
    params = tuple(map(_drawn, plan.params))
    return replace(plan, training=training, processes=processes, params=params)


def _drawn(param: Param) -> Param:
    if isinstance(param.initialiser, Initialiser):
        return param
    small = Initialiser("gaussian", (("mean", 0.0), ("std", 0.01)))
    return replace(param, initialiser=small)


@dataclass(frozen=True, slots=True)
class Figures:
    """What training costs. `bytes_per_step` change hands between processes; `data_share` is the
    part of a step that copying and scaling its examples takes; `peak_rss_bytes` is of the process
    that held most; the peak is that of the cores used."""

    net: str
    processes: int
    steps: int
    step_seconds: dict[str, float]
    examples_per_second: float
    gflop_per_step: float
    gflops: float
    fma_peak_gflops: float
    peak_fraction: float
    bytes_per_step: int
    data_share: float
    peak_rss_bytes: int


def figures(
    plan: Plan, timings: Sequence[Timings], moved: Sequence[Moved], core_peak: float
) -> Figures:
    """From what each process measured, in the order of ranks; `core_peak` is in GFLOP/s."""
    workers = [timings[p.rank] for p in plan.processes if p.worker is not None]
    steps = workers[0].steps
    seconds = median(steps)
    gflop = sum(p.flops for p in plan.processes) / GIGA
    peak = core_peak * min(plan.topology.processes, _cores())
    return Figures(
        net=plan.net,
        processes=plan.topology.processes,
        steps=len(steps),
        step_seconds={"median": seconds, "min": min(steps)},
        examples_per_second=plan.training.batch * plan.topology.worker_groups / seconds,
        gflop_per_step=gflop,
        gflops=gflop / seconds,
        fma_peak_gflops=peak,
        peak_fraction=gflop / seconds / peak,
        bytes_per_step=sum(m.sent for m in moved) // max(m.steps for m in moved),
        data_share=max(t.feeding / sum(t.steps) for t in workers),
        peak_rss_bytes=max(t.peak_rss_bytes for t in timings),
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_json(found: Figures) -> str:
    fields = {name: getattr(found, name) for name in Figures.__slots__}
    return json.dumps({"format_version": "1.0", **fields})


def as_text(found: Figures) -> str:
    """Two lines for people."""
    median_ms, least_ms = (1e3 * found.step_seconds[k] for k in ("median", "min"))
    return (
        f"{found.net} on {found.processes} processes: {median_ms:.3g} ms a step (least "
        f"{least_ms:.3g}), {found.examples_per_second:,.0f} examples/s over {found.steps} steps\n"
        f"{found.gflop_per_step:.4g} GFLOP a step, {found.gflops:.1f} GFLOP/s, "
        f"{found.peak_fraction:.0%} of the peak of {found.fma_peak_gflops:.0f}; "
        f"{found.data_share:.2%} of the time for data; {found.peak_rss_bytes / 2**20:.0f} MiB"
        + (f"; {size(found.bytes_per_step)} between processes" if found.bytes_per_step else "")
    )
