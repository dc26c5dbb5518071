"""The parts of a process whose workers and servers are threads, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mpi4py import MPI

from runtime.channel import Line
from runtime.checkpoints import checkpoint, snapshot
from runtime.job import Job
from runtime.local_data import data_folder
from runtime.process.crew import Crew, Duty
from runtime.process.faults import Fault
from runtime.process.feeding import prepared
from runtime.process.neighbours import node_of, shares_memory
from runtime.process.serving import Serving
from runtime.process.session import Session
from runtime.process.steps import OneByOne
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
from runtime.transport.tally import Tally
from singac.codegen.load import load
from singac.plan.plan import Plan, Process


@dataclass(frozen=True, slots=True)
class _Ends:
    """What the threads of a process exchange through: the site of all, one stub or desk of each."""

    site: Node | Far
    stubs: Mapping[int, Stub]
    desks: Mapping[int, Desk]

    @property
    def moved(self) -> list[Tally]:
        """The bytes of its servers; those of its workers are in their sessions."""
        return [desk.tally for desk in self.desks.values()]


def assemble(
    plan: Plan, job: Job, rank: int, resumed: Path | None, mark: Mark, line: Line, fault: Fault
) -> Crew:
    """A thread for every worker and every server of this process."""
    own = [p for p in plan.processes if p.rank == rank]
    marks = {p.worker: mark.thread() for p in own if p.worker is not None}
    ends = _ends(plan, own, marks)
    start = checkpoint.start(resumed)
    feeds = prepared(plan, data_folder(job), start.ahead(plan.examples_a_step))
    natives = [load(plan, process) for process in own]
    workers = {
        p.worker: Worker(plan, p, native, ends.stubs[p.worker], feeds)
        for p, native in zip(own, natives, strict=True)
        if p.worker is not None
    }
    steps = {
        number: OneByOne(
            worker, ends.stubs[number], start.step, plan.topology.group_of_worker(number) == 0
        )
        for number, worker in workers.items()
    }
    timer = Timer(job.timings(rank)) if job.timed else None
    if timer is not None:
        timer.loaded()
    for arrays in ends.site.to_fill():
        snapshot.fill(plan, arrays.params, arrays.states, resumed, job.origins)
    ends.site.ready(start.step)
    sessions: list[Session] = []
    duties: list[Duty] = []
    for process, native in zip(own, natives, strict=True):
        if process.worker is not None:
            stub, at = ends.stubs[process.worker], marks[process.worker]
            worker = workers[process.worker]
            if resumed is not None:
                worker.resume(resumed)
            ticks = timer if not process.thread else None
            ways = worker, steps[process.worker], stub
            session = Session(plan, process, *ways, line, at, job.checkpoints, ticks)
            sessions.append(session)
            duties.append(partial(session.run, start, fault))
        if process.server is not None:
            desk, at = ends.desks[process.server], mark.thread()
            duties.append(Serving(plan, process, native, desk, at, start.step).run)

    def after() -> None:
        if timer is not None and not sessions:
            timer.write()
        ends.site.free()
        trained = max((s.trained for s in sessions), default=0)
        tally.tell(
            tally.total(trained, [*(s.moved for s in sessions), *ends.moved]), line, job, rank
        )

    return Crew(duties, after)


def _ends(plan: Plan, own: Sequence[Process], marks: Mapping[int, Mark]) -> _Ends:
    """A stub for every worker of `own`, a desk for every server."""
    works = {p.worker: p for p in own if p.worker is not None}
    serves = {p.server: p for p in own if p.server is not None}
    if shares_memory():
        node = Node(plan, node_of())
        return _Ends(
            node,
            {number: GroupStub(node, p, marks[number]) for number, p in works.items()},
            {number: NodeDesk(node, p) for number, p in serves.items()},
        )
    world = MPI.COMM_WORLD
    stubs = {number: FarStub(plan, p, world, marks[number]) for number, p in works.items()}
    desks = {number: FarDesk(plan, p, world) for number, p in serves.items()}
    return _Ends(Far(plan, world, [*stubs.values()], [*desks.values()]), stubs, desks)
