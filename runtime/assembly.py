"""The parts of a process, put together: plan, native code, stubs, workers, servers, sessions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mpi4py import MPI

from runtime import capacity, checkpoint, snapshot
from runtime import stub as stubs
from runtime.channel import Line
from runtime.crew import Crew, Duty
from runtime.desk import Desk
from runtime.far import FarStub
from runtime.far_desk import FarDesk
from runtime.faults import Fault
from runtime.feeding import prepared
from runtime.group_desk import NodeDesk
from runtime.groups import GroupStub
from runtime.job import Job
from runtime.messages import MessageStub
from runtime.node import Node
from runtime.progress import Mark
from runtime.serving import Serving
from runtime.session import Session
from runtime.shared import SharedStub
from runtime.site import Far
from runtime.stub import Stub
from runtime.timing import Timer
from runtime.trace import Recorder, TracedMark
from runtime.turns import Turn
from runtime.worker import Worker
from singac.codegen.load import load
from singac.plan.encode import from_json
from singac.plan.plan import Plan, Process


def assemble(job: Job, rank: int, mark: Mark, line: Line, fault: Fault) -> Crew:
    """All that this process has to do, memory filled."""
    plan = from_json(Path(job.plan).read_text(encoding="utf-8"))
    resumed = Path(job.resume) if job.resume else None
    here = ranks_of_node()
    capacity.check([p for p in plan.processes if p.rank in here], shared=shares_memory())
    if plan.topology.servers_in_threads:
        return _with_threads(plan, job, rank, resumed, mark, line, fault)
    process = plan.processes[rank]
    recorder = Recorder(job.notes(rank)) if job.traced else None
    if recorder is not None:
        mark = TracedMark(mark.words, recorder)
    stub = _stub(plan, process, mark)
    native = load(plan, process)
    if stub.owns_memory_of_node():
        snapshot.fill(plan, stub.params, stub.states, resumed, job.origins)
    start = checkpoint.start(resumed)
    stub.ready(start.step)
    ahead = start.ahead(plan.examples_a_step)
    worker = Worker(plan, process, native, stub, prepared(plan, job.data_folder, ahead), recorder)
    if resumed is not None:
        worker.resume(resumed)
    timer = Timer(job.timings(rank)) if job.timed else None
    turn = Turn(job, rank) if job.in_turns else None
    session = Session(plan, process, worker, stub, line, mark, job.checkpoints, timer, turn)
    return Crew([lambda: session.run(start, fault)], after=stub.free)


def _stub(plan: Plan, process: Process, mark: Mark) -> Stub:
    if shares_memory():
        return SharedStub(plan, process, node_of(), mark)
    return MessageStub(plan, process, MPI.COMM_WORLD, mark)


def node_of() -> MPI.Intracomm:
    """The processes of this node."""
    return MPI.Intracomm(MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED))


def ranks_of_node() -> list[int]:
    """The ranks of the processes of this node."""
    node, world = node_of().Get_group(), MPI.COMM_WORLD.Get_group()
    return node.Translate_ranks(None, world)


def shares_memory() -> bool:
    """Whether all processes are of one node, and may use its memory."""
    return node_of().Get_size() == MPI.COMM_WORLD.Get_size() and not stubs.prefers_messages()


def _with_threads(
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
    feeds = prepared(plan, job.data_folder, ahead)
    duties: list[Duty] = []
    for process in own:
        native = load(plan, process)
        if process.worker is not None:
            stub, at = stubs[process.worker], marks[process.worker]
            worker = Worker(plan, process, native, stub, feeds)
            if resumed is not None:
                worker.resume(resumed)
            timer = Timer(job.timings(rank)) if job.timed and not process.thread else None
            session = Session(plan, process, worker, stub, line, at, job.checkpoints, timer)
            duties.append(partial(session.run, start, fault))
        if process.server is not None:
            desk, at = desks[process.server], mark.thread()
            duties.append(Serving(plan, process, native, desk, at, start.step).run)
    if not stubs and job.timed:
        duties.append(Timer(job.timings(rank)).write)
    return Crew(duties, after=site.free)
