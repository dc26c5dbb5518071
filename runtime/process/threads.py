"""The parts of a process whose workers and servers are threads, put together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mpi4py import MPI

from runtime.channel import Line
from runtime.checkpoints import checkpoint, snapshot
from runtime.job import Job
from runtime.local_data import data_folder
from runtime.process.assembly import node_of, shares_memory
from runtime.process.crew import Crew, Duty
from runtime.process.faults import Fault
from runtime.process.feeding import prepared
from runtime.process.serving import Serving
from runtime.process.session import Session
from runtime.process.timing import Timer
from runtime.process.worker import Worker
from runtime.progress import Mark
from runtime.transport import tally
from runtime.transport.desk import Desk
from runtime.transport.far import FarStub
from runtime.transport.far_desk import FarDesk
from runtime.transport.group_desk import NodeDesk
from runtime.transport.groups import GroupStub
from runtime.transport.node import Node
from runtime.transport.site import Far
from runtime.transport.stub import Stub
from singac.codegen.load import load
from singac.plan.plan import Plan


def assemble(
    plan: Plan, job: Job, rank: int, resumed: Path | None, mark: Mark, line: Line, fault: Fault
) -> Crew:
    """A thread for every worker and every server of this process."""
    own = [p for p in plan.processes if p.rank == rank]
    marks: dict[int | None, Mark] = {p.worker: mark.thread() for p in own if p.worker is not None}
    works = [p for p in own if p.worker is not None]
    serves = [p for p in own if p.server is not None]
    site: Node | Far
    stubs: Mapping[int | None, Stub]
    desks: Mapping[int | None, Desk]
    if shares_memory():
        site = node = Node(plan, node_of())
        stubs = {p.worker: GroupStub(node, p, marks[p.worker]) for p in works}
        desks = {p.server: NodeDesk(node, p) for p in serves}
    else:
        world = MPI.COMM_WORLD
        far = {p.worker: FarStub(plan, p, world, marks[p.worker]) for p in works}
        far_desks = {p.server: FarDesk(plan, p, world) for p in serves}
        site, stubs, desks = (
            Far(plan, world, [*far.values()], [*far_desks.values()]),
            far,
            far_desks,
        )
    for arrays in site.to_fill():
        snapshot.fill(plan, arrays.params, arrays.states, resumed, job.origins)
    start = checkpoint.start(resumed)
    site.ready(start.step)
    ahead = start.ahead(plan.examples_a_step)
    feeds = prepared(plan, data_folder(job), ahead)
    duties: list[Duty] = []
    sessions: list[Session] = []
    for process in own:
        native = load(plan, process)
        if process.worker is not None:
            stub, at = stubs[process.worker], marks[process.worker]
            worker = Worker(plan, process, native, stub, feeds)
            if resumed is not None:
                worker.resume(resumed)
            timer = Timer(job.timings(rank)) if job.timed and not process.thread else None
            session = Session(plan, process, worker, stub, line, at, job.checkpoints, timer)
            sessions.append(session)
            duties.append(partial(session.run, start, fault))
        if process.server is not None:
            desk, at = desks[process.server], mark.thread()
            duties.append(Serving(plan, process, native, desk, at, start.step).run)
    if not stubs and job.timed:
        duties.append(Timer(job.timings(rank)).write)

    def after() -> None:
        site.free()
        moved = [*(s.moved for s in sessions), *(d.tally for d in desks.values())]
        steps = max((s.trained for s in sessions), default=0)
        tally.tell(tally.total(steps, moved), line, job, rank)

    return Crew(duties, after)
