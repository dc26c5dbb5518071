"""Plans that are trained to be measured, in a run folder that does not stay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime import timeline
from runtime.job import Job
from runtime.process import timing
from runtime.process.timing import Timings
from runtime.supervisor import launch
from runtime.timeline import Span
from runtime.transport import tally
from runtime.transport.tally import Moved
from singac.compile import Compiled
from singac.diagnostics import Diagnostic, Ended, Exit, Failed
from singac.plan.encode import to_json
from singac.plan.plan import Plan
from singac.sources.prepare import prepare
from singac.verbs.common import compile_ahead
from singac.verbs.measured import apart
from singac.verbs.timed import timed


def job_of(
    compiled: Compiled,
    plan: Plan,
    cache: str,
    folder: str,
    traced: bool = False,
    in_turns: bool = False,
) -> Job:
    """A timed job of `plan`, made of what was compiled, that runs in `folder`: data prepared, all
    native code there. Raises `Failed`.
    """
    data = prepare(compiled.request, compiled.model.dataset.facts, cache)
    compile_ahead([plan])
    path = Path(folder, "plan.json")
    path.write_text(to_json(plan), encoding="utf-8")
    processes = plan.topology.processes
    return Job(str(path), data, folder, processes, timed=True, traced=traced, in_turns=in_turns)


@contextmanager
def _run(compiled: Compiled, plan: Plan, cache: str, traced: bool = False) -> Iterator[Job]:
    """A job that has been run; what it has left can be read until the context ends."""
    with tempfile.TemporaryDirectory(prefix="singac-trial-") as folder:
        job = job_of(compiled, plan, cache, folder, traced)
        if code := launch.run(job):
            raise Ended(code)
        yield job


@dataclass(frozen=True, slots=True)
class Timed:
    """A plan, and what each of its processes measured and moved, by rank."""

    plan: Plan
    timings: Sequence[Timings]
    moved: Sequence[Moved]


def time_steps(compiled: Compiled, steps: int, cache: str) -> Timed:
    """Run the plan as it is. Raises `Failed`, `Ended`."""
    plan = timed(compiled.plan, steps)
    with _run(compiled, plan, cache) as job:
        return Timed(plan, _timings(job), _moved(job))


def _timings(job: Job) -> list[Timings]:
    return [timing.read(job.timings(rank)) for rank in range(job.processes)]


def _moved(job: Job) -> list[Moved]:
    return [tally.read(job.moved(rank)) for rank in range(job.processes)]


@dataclass(frozen=True, slots=True)
class Apart:
    """A plan with its operations apart, and what its processes did when, by rank."""

    plan: Plan
    timings: Sequence[Timings]
    spans: Sequence[Sequence[Span]]
    moved: Sequence[Moved]


def time_apart(compiled: Compiled, steps: int, cache: str) -> Apart:
    """Run the plan with each operation apart. Raises `Failed`, `Ended`."""
    if compiled.plan.topology.servers_in_threads:
        message = "operations are measured apart where each process is one thread"
        help = "measure one worker group, with one worker to a process"
        raise Failed([Diagnostic("SG0606", message, help=help, exit=Exit.USAGE)])
    plan = timed(apart(compiled.plan), steps)
    with _run(compiled, plan, cache, traced=True) as job:
        traced, timings, moved = timeline.read_all(job), _timings(job), _moved(job)
    spans = [timeline.spans(rank, own) for rank, own in enumerate(traced)]
    return Apart(plan, timings, spans, moved)
