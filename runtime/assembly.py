"""The parts of a process, put together: plan, native code, stub, worker, session."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

from runtime import checkpoint, snapshot
from runtime import stub as stubs
from runtime.best import Start
from runtime.channel import Line
from runtime.job import Job
from runtime.messages import MessageStub
from runtime.progress import Mark
from runtime.session import Session
from runtime.shared import SharedStub
from runtime.stub import Stub
from runtime.timing import Timer
from runtime.worker import Worker
from singac.codegen.load import load
from singac.plan.encode import from_json
from singac.plan.plan import Plan, Process


def assemble(job: Job, rank: int, mark: Mark, line: Line) -> tuple[Session, Start]:
    """The session of this process, memory filled, and where it begins."""
    plan = from_json(Path(job.plan).read_text(encoding="utf-8"))
    process = plan.processes[rank]
    stub = _stub(plan, process, mark)
    native = load(plan, process)
    resumed = Path(job.resume) if job.resume else None
    if stub.owns_memory_of_node():
        snapshot.fill(plan, stub.params, stub.states, resumed, job.origins)
    start = checkpoint.start(resumed)
    stub.ready(start.step)
    worker = Worker(plan, process, native, stub, job.data_folder)
    timer = Timer(job.timings(rank)) if job.timed else None
    session = Session(plan, process, worker, stub, line, mark, job.checkpoints, timer)
    return session, start


def _stub(plan: Plan, process: Process, mark: Mark) -> Stub:
    world = MPI.COMM_WORLD
    node = MPI.Intracomm(world.Split_type(MPI.COMM_TYPE_SHARED))
    if node.Get_size() < world.Get_size() or stubs.prefers_messages():
        return MessageStub(plan, process, world, mark)
    return SharedStub(plan, process, node, mark)
