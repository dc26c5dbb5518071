"""The parts of a process, put together: plan, native code, stubs, workers, servers, sessions."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

from runtime.channel import Line
from runtime.checkpoints import checkpoint, snapshot
from runtime.job import Job, plan_of
from runtime.local_data import data_folder
from runtime.process import capacity
from runtime.process.crew import Crew
from runtime.process.faults import Fault
from runtime.process.feeding import prepared
from runtime.process.neighbours import node_of, ranks_of_node, shares_memory
from runtime.process.session import Session
from runtime.process.steps import steps_of
from runtime.process.timing import Timer
from runtime.process.turns import Turn
from runtime.process.worker import Worker
from runtime.progress import Mark
from runtime.trace import Recorder, TracedMark
from runtime.transport import tally
from runtime.transport.shared import SharedStub
from runtime.transport.stub import Stub
from singac.codegen.load import load
from singac.plan.plan import Plan, Process


def assemble(job: Job, rank: int, mark: Mark, line: Line, fault: Fault) -> Crew:
    """All that this process has to do, memory filled."""
    plan = plan_of(job)
    resumed = Path(job.resume) if job.resume else None
    here = ranks_of_node()
    capacity.check(plan, here, shared=shares_memory())
    if plan.topology.servers_in_threads:
        # Most runs have none of this to load.
        from runtime.process import threads

        return threads.assemble(plan, job, rank, resumed, mark, line, fault)
    process = plan.processes[rank]
    recorder = Recorder(job.notes(rank)) if job.traced else None
    if recorder is not None:
        mark = TracedMark(mark.words, recorder)
    stub = _stub(plan, process, mark)
    start = checkpoint.start(resumed)
    feeds = prepared(plan, data_folder(job), start.ahead(plan.examples_a_step))
    worker = Worker(plan, process, load(plan, process), stub, feeds, recorder)
    timer = Timer(job.timings(rank)) if job.timed else None
    turn = Turn(job, rank) if job.in_turns else None
    steps = steps_of(worker, stub, mark, start.step, gives=process.worker is not None)
    session = Session(plan, process, worker, steps, stub, line, mark, job.checkpoints, timer, turn)
    if timer is not None:
        timer.loaded()
    if stub.owns_memory_of_node():
        snapshot.fill(plan, stub.params, stub.states, resumed, job.origins)
    stub.ready(start.step)
    if resumed is not None:
        worker.resume(resumed)

    def after() -> None:
        stub.free()
        tally.tell(tally.total(session.trained, [session.moved]), line, job, rank)

    return Crew([lambda: session.run(start, fault)], after)


def _stub(plan: Plan, process: Process, mark: Mark) -> Stub:
    if shares_memory():
        return SharedStub(plan, process, node_of(), mark)
    from runtime.transport.messages import MessageStub

    return MessageStub(plan, process, MPI.COMM_WORLD, mark)
